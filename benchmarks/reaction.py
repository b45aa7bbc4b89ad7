"""How soon a waiting gate acts on a change: from the change to its next log line, against the interval it looks in."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks import programs
from benchmarks.figures import Row, Table
from benchmarks.frontend import Frontend
from lab.postgres import Postgres
from lab.processes import Process, wait_until
from lab.temporal import Databases, Schema, Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.toolchain import TemporalBuild

_INTERVALS = (0.5, 2.0)
_AT_ONCE = 4
"""Gates that wait side by side: each looks at moments of its own, so that one change gives so many delays."""

_LONGEST_SECONDS = 60.0
_BEHIND = "1.17"


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it."""
    with Postgres() as postgres, Frontend() as frontend:
        waiting = _Waiting(build, directory, postgres, frontend)
        rows, over = [], []
        for interval in _INTERVALS:
            for name, measure in (("schema right", waiting.schema), ("frontend serving", waiting.frontend)):
                delays = [delay for _ in range(rounds) for delay in measure(interval)]
                rows.append(Row(f"{name}, interval {interval:g} s", "s", delays, base=[interval], digits=3))
                over.append(f"{name} at {interval:g} s: {max(delays) - interval:+.3f} s")
    return [
        Table(
            "From a change to the gate's next log line",
            f"{_AT_ONCE} gates wait at their full interval, the change comes at a random moment (the commit of the version "
            "row; the frontend's health), and each gate's next line is taken. The ratio is the median to the interval: a "
            "look at regular times has 0.5.",
            rows,
            notes=[f"The longest delay against the interval: {'; '.join(over)}. Beyond it is at most one turn."],
        )
    ]


class _Waiting:
    """Gates that wait for a database or for a frontend, and nothing else: the owner's command, no Kubernetes."""

    def __init__(self, build: TemporalBuild, directory: Path, postgres: Postgres, frontend: Frontend) -> None:
        self._directory = directory
        self._postgres = postgres
        self._frontend = frontend
        self._release = build.schema_tool.release
        self._gates = 0
        self._databases = Databases(postgres.host, postgres.port, "temporal", "not-for-anyones-eyes")
        postgres.create_role(self._databases.user, self._databases.password)
        for store in Store:
            postgres.create_database(self._databases.name(store), owner=self._databases.user)
        schema = Schema(build.schema_tool, self._databases)
        schema.migrate(default=_BEHIND)
        self._right = self._expected()
        (directory / "password").write_text(self._databases.password, encoding="utf-8")

    def _expected(self) -> str:
        said, _ = programs.output([programs.HOOK, "versions", self._release], programs.environment())
        return said.split()[-2]

    def schema(self, interval: float) -> list[float]:
        """Delays from the commit of the default store's version row. The migration failed before, and pauses for long."""
        self._set_version(_BEHIND)

        def change() -> float:
            with psycopg.connect(self._postgres.dsn(self._databases.default)) as connection:
                connection.execute("UPDATE schema_version SET curr_version = %s", [self._right])
                connection.commit()
                return time.time()

        return self._delays(interval, "MigrationPausing", change, {"reachability": "never"})

    def frontend(self, interval: float) -> list[float]:
        """Delays from the frontend's beginning to say SERVING. The schema is right."""
        self._set_version(self._right)
        self._frontend.serve(serving=False)

        def change() -> float:
            self._frontend.serve(serving=True)
            return time.time()

        settings = {"reachability": "always", "temporal": {"frontend": {"address": self._frontend.address}}}
        return self._delays(interval, "FrontendNotServing", change, settings)

    def _set_version(self, version: str) -> None:
        self._postgres.execute(self._databases.default, "UPDATE schema_version SET curr_version = %s", [version])

    def _delays(
        self, interval: float, waits_for: str, change: Callable[[], float], settings: dict[str, Any]
    ) -> list[float]:
        with ExitStack() as stack:
            gates = [stack.enter_context(self._gate(interval, settings)) for _ in range(_AT_ONCE)]
            for gate in gates:
                _until_waiting(gate, waits_for)
            # Pauses double from 0.1 s up to the interval: all of them together are less than two intervals.
            time.sleep(2 * interval + random.uniform(0.5, 0.5 + interval))  # noqa: S311 -- a random moment
            seen = [len(programs.log_lines(gate.log)) for gate in gates]
            changed_at = change()
            for gate in gates:
                if gate.wait(_LONGEST_SECONDS) != 0:
                    raise RuntimeError(f"a gate did not pass:\n{gate.tail()}")
            return [
                programs.log_lines(gate.log)[before].at - changed_at for gate, before in zip(gates, seen, strict=True)
            ]

    def _gate(self, interval: float, settings: dict[str, Any]) -> Process:
        self._gates += 1
        directory = self._directory / f"gate-{self._gates}"
        directory.mkdir()
        database = self._databases
        temporal = {"version": self._release, **settings.get("temporal", {})}
        default = {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "passwordFile": str(self._directory / "password"),
        }
        command = {"argv": ["false"], "stateDirectory": str(directory / "state")}
        all_settings = {
            "stores": {"default": default},
            "migrations": {"strategy": "command", "command": command, "pauseSeconds": 3600},
            "report": {"format": "json"},
            "intervalSeconds": interval,
            **settings,
            "temporal": temporal,
        }
        config = programs.write_settings(directory / "settings.yaml", all_settings)
        argv = [programs.HOOK, "run", "--config", str(config)]
        return Process.start(argv, log=directory / "log", env=programs.environment())


def _until_waiting(gate: Process, waits_for: str) -> None:
    def waits() -> bool:
        if gate.poll() is not None:
            raise RuntimeError(f"a gate ended instead of waiting:\n{gate.tail()}")
        return any(line.reason == waits_for for line in programs.log_lines(gate.log))

    wait_until(waits, _LONGEST_SECONDS, f"a gate to wait for {waits_for}")
