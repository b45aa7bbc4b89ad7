"""Figures and the tables they are read in: n, median, min to max, and a ratio. Knows nothing of what is measured."""

from __future__ import annotations

import statistics
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH = 110
_HEAD = ("what", "unit", "n", "median", "min-max", "ratio")


@dataclass(frozen=True)
class Row:
    """One figure, measured several times."""

    what: str
    unit: str
    values: Sequence[float]
    base: Sequence[float] = ()
    """What the ratio is to: the ratio of the medians. Empty where the figure is compared with nothing."""
    digits: int = 0

    @property
    def median(self) -> float:
        """The median."""
        return statistics.median(self.values)

    @property
    def ratio(self) -> float | None:
        """The median over the base's median."""
        return self.median / statistics.median(self.base) if self.base else None

    def cells(self) -> tuple[str, ...]:
        """Return it as text, in the order of the table's head."""
        low, high = min(self.values), max(self.values)
        return (
            self.what,
            self.unit,
            str(len(self.values)),
            self._told(self.median),
            f"{self._told(low)}-{self._told(high)}",
            f"{self.ratio:.2f}" if self.ratio is not None else "",
        )

    def _told(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True)
class Table:
    """Figures that belong together; `compared` says what is compared with what."""

    title: str
    compared: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def as_text(self) -> str:
        """Return it for a terminal."""
        lines = [_HEAD, *(row.cells() for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
        shown = [_aligned(line, widths) for line in lines]
        shown.insert(1, "-" * len(shown[0]))
        told = [textwrap.fill(text, _WIDTH) for text in (self.compared, *self.notes)]
        return "\n".join((self.title, "=" * len(self.title), told[0], "", *shown, "", *told[1:]))

    def as_markdown(self) -> str:
        """Return it for the README."""
        head = [f"| {' | '.join(_HEAD)} |", "|---|---|---:|---:|---:|---:|"]
        body = [f"| {' | '.join(row.cells())} |" for row in self.rows]
        notes = [line for note in self.notes for line in ("", note)]
        return "\n".join((f"## {self.title}", "", self.compared, "", *head, *body, *notes, ""))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    words = [cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True)]
    return "  ".join((*words, *numbers)).rstrip()
