"""What a gate says in its log's JSON form, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Line:
    """One line of a gate's log."""

    at: float
    """Seconds since the epoch."""
    event: str
    reason: str


def lines(text: str) -> list[Line]:
    """Return the whole lines that a gate has written so far. Raises where it wrote anything else."""
    found = []
    for line in text[: text.rfind("\n") + 1].splitlines():
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RuntimeError(f"the gate said: {text}") from error
        moment = datetime.fromisoformat(record["timestamp"]).timestamp()
        found.append(Line(moment, record["event"], record.get("reason", "")))
    return found
