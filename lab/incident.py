"""The incident that the gate exists for, made by people who sync by hand before the database is ready, and its repair.

Knows what people do and what they can see of it; nothing of how the gate works but its log.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lab import gate_log, temporal_client
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, TEMPORAL_NAMESPACE
from lab.temporal import Store

if TYPE_CHECKING:
    from lab.gate_log import Line
    from lab.team import Team


@dataclass(frozen=True)
class Repair:
    """One sync of the gate's Application and what came of it; seconds since the epoch. The rest is in the team's history."""

    synced: float
    """When a person asked for it."""
    lines: list[Line]
    """What the gate said, of all its pods."""
    schemas: dict[Store, tuple[float, str]]
    """Since when a store's version row is as it is at the end, and that version."""
    works: float
    """When a workflow started."""


def break_by_hand(team: Team, *, back_off_seconds: float = 30.0) -> None:
    """Leave a new team with failed migrations, servers that crash-loop and a failed bootstrap; nothing syncs by itself."""
    team.git.sync_by_hand()
    team.git.give_up_at_once()
    team.postgres.stop()
    team.roll_out()
    team.sync_to_end(MIGRATIONS)
    team.until(lambda: team.state(MIGRATIONS)[1] == "Degraded", "the migration to fail")
    team.postgres.start()
    team.sync_to_end(RUNTIME)
    if (phase := team.sync_to_end(BOOTSTRAP)["phase"]) != "Failed":
        raise RuntimeError(f"the bootstrap's sync should have Failed, and is {phase}\n\n{team.describe()}")
    # Pods whose next start is near would come up by themselves in the middle of a repair.
    team.until_crash_looping(back_off_seconds=back_off_seconds)


def repair(team: Team) -> Repair:
    """Sync the gate once, as a person does, and wait until Temporal works and Argo CD shows the gate as done."""
    team.until(lambda: team.application(GATE), "the gate's Application to be there")
    synced = time.time()
    team.sync(GATE)

    def passed() -> bool:
        logs = [log for _, log in team.gate().logs()]
        return team.state(GATE) == ("Synced", "Healthy") and any('"Passed"' in log for log in logs)

    def bootstrapped() -> bool:
        return team.operation(BOOTSTRAP).get("phase") == "Succeeded"

    def works() -> float | None:
        try:
            temporal_client.start_workflow(team.frontend, TEMPORAL_NAMESPACE)
        except temporal_client.CallError:
            return None
        return time.time()

    team.until(bootstrapped, "the bootstrap to succeed")
    at = team.until(works, "a workflow to start") or 0.0
    team.until(passed, "the gate to pass")
    lines = [line for _, log in team.gate().logs() for line in gate_log.lines(log)]
    return Repair(synced, sorted(lines, key=lambda line: line.at), {one: _version(team, one) for one in Store}, at)


def _version(team: Team, store: Store) -> tuple[float, str]:
    rows = team.postgres.execute(team.databases.name(store), "SELECT creation_time, curr_version FROM schema_version")
    written: datetime = rows[0][0]
    return written.replace(tzinfo=UTC).timestamp(), str(rows[0][1])
