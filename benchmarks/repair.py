"""The incident's repair, against what cannot be spared takes by itself: the schema tool and the servers' start."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks import programs
from benchmarks.figures import Row, Table
from lab import temporal_client
from lab.processes import Process, wait_until
from lab.rollout import BOOTSTRAP, MIGRATIONS, TEMPORAL_NAMESPACE
from lab.scenarios import SCENARIOS
from lab.temporal import SERVICES, Store
from lab.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lab.gate_log import Line
    from lab.toolchain import TemporalBuild

_LONGEST_SECONDS = 90.0
_LOOK_SECONDS = 0.02
"""Between two looks at the frontend's health from outside, for the limit and for the repair alike."""


@dataclass(frozen=True)
class Limit:
    """The unavoidable parts, in seconds."""

    tool: float
    servers: float
    bootstrap: float

    @property
    def serving(self) -> float:
        """From empty databases to a frontend that serves."""
        return self.tool + self.servers


@dataclass(frozen=True)
class Repair:
    """The moments of one repair, in seconds since the gate's first log line, in their order."""

    startup: float
    """From the process's start to its first line."""
    marks: dict[str, float]


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it, alternating, each in a world of its own."""
    limits, repairs = [], []
    for turn in range(rounds):
        limits.append(limit(build, directory / f"limit-{turn}"))
        repairs.append(_repair(build, directory / f"repair-{turn}"))
    serving = [one.serving for one in limits]
    with_bootstrap = [one.serving + one.bootstrap for one in limits]
    reached = {name: [one.marks[name] for one in repairs] for name in repairs[0].marks}

    def row(name: str, values: list[float], base: list[float]) -> Row:
        return Row(name, "s", values, base=base, digits=2)

    repair = Table(
        "The incident's repair against its limit",
        "The limit: temporal-sql-tool for both stores (the migration Job's command), then four servers started at once "
        "until the frontend says SERVING. The repair: from the gate's first log line, in a world of the same kind; "
        "alternating, a world a round. The ratio is to the limit, except where it says otherwise.",
        [
            row("limit", serving, serving),
            row("  of it: schema tool, both stores", [one.tool for one in limits], serving),
            row("  of it: servers' start to SERVING", [one.servers for one in limits], serving),
            row("limit with bootstrap's own process", with_bootstrap, serving),
            row("repair (a): frontend serving", reached[_SERVING], serving),
            row("repair (b): bootstrap Succeeded", reached[_BOOTSTRAPPED], serving),
            row("repair (b), ratio to the limit with bootstrap", reached[_BOOTSTRAPPED], with_bootstrap),
            row("repair (c): Passed, and the gate ends", reached[_PASSED], serving),
            row("repair (c), ratio to the limit with bootstrap", reached[_PASSED], with_bootstrap),
            row("before it: the gate's process start to its first line", [one.startup for one in repairs], serving),
        ],
        notes=[
            f"(a) and (b) are seen from outside, every {_LOOK_SECONDS:g} s, as the limit is; (c) is the gate's last line."
        ],
    )
    rest = Table(
        "Where a repair's time goes",
        "The same repairs, from one moment to the next: by the gate's log, the version rows' own time, and Argo CD and the "
        "frontend seen from outside. The ratio is the share of the whole repair (c).",
        [row(f"to: {name}", taken, reached[_PASSED]) for name, taken in phases([one.marks for one in repairs]).items()],
    )
    return [repair, rest]


def phases(repairs: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    """Return what each took from the moment before it, of several repairs' moments since their beginning."""
    found: dict[str, list[float]] = {}
    for marks in repairs:
        for (_, before), (name, after) in pairwise([("", 0.0), *marks.items()]):
            found.setdefault(name, []).append(after - before)
    return found


def limit(build: TemporalBuild, directory: Path) -> Limit:
    """Measure it, in a world of its own in this directory, which it makes."""
    directory.mkdir()
    with World(build, directory) as world, ExitStack() as stack:
        tool = _seconds(lambda: world.schema.run(world.schema.migration_command(create_databases=False)))

        running: dict[str, Process] = {}

        def serves() -> bool:
            """Start what does not run: one of four may lose the race to write the cluster's first row, and ends (seen)."""
            for service in SERVICES:
                if service not in running or running[service].poll() is not None:
                    running[service] = Process.start(world.config.argv(service), log=directory / f"{service}.log")
                    stack.callback(running[service].stop, grace_seconds=0.1)
            return _serves(world)

        servers = _seconds(lambda: wait_until(serves, _LONGEST_SECONDS, "the frontend to serve", _LOOK_SECONDS))
        argv = [sys.executable, "-m", "lab.namespace_bootstrap", world.config.address, TEMPORAL_NAMESPACE]
        bootstrap = programs.milliseconds(argv, programs.environment()).wall / 1000
    return Limit(tool, servers, bootstrap)


def _repair(build: TemporalBuild, directory: Path) -> Repair:
    directory.mkdir()
    with World(build, directory) as world:
        SCENARIOS["incident"].prepare(world, lambda _: None)
        began = time.time()
        gate = world.gate()
        seen = _seen_from_outside(world, gate)
        if gate.wait(_LONGEST_SECONDS) != 0:
            raise RuntimeError(f"the gate did not pass:\n{gate.tail()}")
        lines = programs.log_lines(gate.log)
        right = max(_version_written_at(world, store) for store in Store)
    first = lines[0].at
    return Repair(first - began, {name: at - first for name, at in in_order(_marks(lines, right, seen))})


_MIGRATED = "the migration Succeeded in Argo CD (the Job's end, Argo CD's look)"
_SERVING = "frontend serves (its servers start)"
_BOOTSTRAPPED = "bootstrap Succeeded in Argo CD (its Job, its process)"
_PASSED = "Passed (the last pods' 3 s of stability)"


def _marks(lines: list[Line], right: float, seen: dict[str, float]) -> Iterator[tuple[str, float | None]]:
    """Yield the moments in the order of a repair; None where a repair had no such moment."""

    def first(*words: str) -> float | None:
        return next((line.at for line in lines if all(word in line.event for word in words)), None)

    restarted = [line.at for line in lines if line.event.startswith("restarted ")]
    yield "the migration asked for (first look)", first("asked Application", "to migrate")
    yield "both version rows right (Argo CD, its Job, the schema tool)", right
    yield _MIGRATED, seen[_MIGRATED]
    yield "the gate sees it (its pause), and restarts the first pod", restarted[0]
    yield "the last pod restarted, a component a turn", restarted[-1]
    yield _SERVING, seen[_SERVING]
    yield "the gate sees all pods right (its pause), asks for a comparison", first("asked Argo CD to compare")
    yield "bootstrap synced again (Argo CD compares)", first("synced Application", BOOTSTRAP)
    yield _BOOTSTRAPPED, seen[_BOOTSTRAPPED]
    yield "the gate sees it (its pause)", first(f"/{BOOTSTRAP}:", "operation succeeded")
    yield _PASSED, next(line.at for line in lines if line.reason == "Passed")


def in_order(marks: Iterable[tuple[str, float | None]]) -> Iterator[tuple[str, float]]:
    """Yield them so that none is before the one before it: two things may happen side by side."""
    last = 0.0
    for name, at in marks:
        last = max(last, at or last)
        yield name, last


def _seen_from_outside(world: World, gate: Process) -> dict[str, float]:
    """Wait for what the repair brings, one thing after the other, and return when each was there."""
    seen = {}
    for name, holds in (
        (_MIGRATED, lambda: _has_succeeded(world, MIGRATIONS)),
        (_SERVING, lambda: _serves(world)),
        (_BOOTSTRAPPED, lambda: _has_succeeded(world, BOOTSTRAP)),
    ):
        wait_until(_or_ended(holds, gate), _LONGEST_SECONDS, name, _LOOK_SECONDS)
        seen[name] = time.time()
    return seen


def _or_ended(holds: Callable[[], bool], gate: Process) -> Callable[[], bool]:
    return lambda: gate.poll() is not None or holds()


def _has_succeeded(world: World, application: str) -> bool:
    """Tell whether its last operation succeeded; in the incident those of before had failed."""
    return world.operation(application).get("phase") == "Succeeded"


def _serves(world: World) -> bool:
    try:
        return world.frontend_says_serving()
    except temporal_client.CallError:
        return False


def _version_written_at(world: World, store: Store) -> float:
    database = world.databases.name(store)
    written: datetime = world.postgres.execute(database, "SELECT creation_time FROM schema_version")[0][0]
    return written.replace(tzinfo=UTC).timestamp()


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began
