"""In which order Temporal's servers are restarted after their databases were replaced under them, and what each costs.

Every round is a Temporal of its own: databases made, servers up; then both databases are dropped, made and migrated
again under the running servers, which write their heartbeats into the new one; then one order restarts them.
"""

from __future__ import annotations

import random
import statistics
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.figures import Row, Table
from benchmarks.servers import NEW_PROCESS_SECONDS, SHARDS, Pod, Servers
from lab import temporal_client
from lab.postgres import Postgres
from lab.processes import wait_until
from lab.temporal import Databases, Schema, Store
from lab.temporal_client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.toolchain import TemporalBuild

_TOO_LONG_SECONDS = 15.0
_GIVEN_UP_SECONDS = 20.0
"""A server that is alone takes 40 to 55 s to join by itself (seen): a round does not wait that long."""
_UP_SECONDS = 60.0
_SETTLED_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_ROW_SECONDS = 8.0
_STAGGER_SECONDS = 1.5
_DELAY_SECONDS = (5.0, 18.0)
"""Between the migration and the first deletion. A server writes its heartbeat every 10 to 15 s, and these have just
started: so there are rounds with no row of an old server, with some, and with all."""
_FEW_ROUNDS = 3
_IN_TURN = ("history", "matching", "frontend", "worker")
_SYSTEM_NAMESPACE = "temporal-system"
_NOT_THERE = "temporal-recovery-hook-probe"


class Repair:
    """One restart of all servers: what an order may do, and what it can see."""

    def __init__(self, servers: Servers) -> None:
        """Take the pods that are there for the old ones."""
        self.servers = servers
        self.old = servers.present()
        self.healed: list[str] = []
        """The components of the lone servers that were restarted."""
        self.ended = threading.Event()

    def delete(self, component: str | None = None) -> None:
        """Delete the old pods of a component, by default all that are left."""
        for pod in self.old:
            if pod.deleted_at is None and component in (None, pod.component):
                self.servers.delete(pod)

    def heal(self) -> None:
        """Restart the lone server, where there is one, as soon as another one is there that it can join."""
        with suppress(TimeoutError):
            if pod := wait_until(self.servers.lone, _ROW_SECONDS, "a server that is alone", _LOOK_SECONDS):
                self.healed.append(pod.component)
                self.servers.delete(pod)

    def wait(self, predicate: Callable[[], bool], seconds: float) -> None:
        """Wait for it, but not longer than that, nor than the round lasts."""
        with suppress(TimeoutError):
            wait_until(lambda: self.ended.is_set() or predicate(), seconds, "it", _LOOK_SECONDS)


def _at_once(repair: Repair) -> None:
    repair.delete()


def _in_turn(repair: Repair) -> None:
    for component in _IN_TURN:
        repair.delete(component)
        time.sleep(_STAGGER_SECONDS)


def _in_turn_joined(repair: Repair) -> None:
    def joined(component: str) -> bool:
        return all(pod.joined_at() for pod in repair.servers.present(component))

    for component in _IN_TURN:
        repair.delete(component)
        repair.wait(lambda component=component: joined(component), _GIVEN_UP_SECONDS)  # type: ignore[misc]


def _worker_first(repair: Repair) -> None:
    repair.delete("worker")
    old = {pod.address for pod in repair.old}
    repair.wait(lambda: any(member.address not in old for member in repair.servers.members()), _ROW_SECONDS)
    repair.delete()


def _at_once_healed(repair: Repair) -> None:
    repair.delete("worker")
    repair.delete()
    repair.heal()


_HEALED = "all at once, then the lone one again"
_ORDERS: dict[str, Callable[[Repair], None]] = {
    "all at once": _at_once,
    "in turn, 1.5 s apart": _in_turn,
    "worker, and once its row is there the rest": _worker_first,
    _HEALED: _at_once_healed,
    "in turn, each after the one before has joined": _in_turn_joined,
}
_SLOW = {"in turn, each after the one before has joined"}
"""The first one is always alone, and all the others wait for it: few rounds show it."""


@dataclass
class _Outcome:
    """What was seen of one round."""

    first: list[float] = field(default_factory=list)
    """For each new frontend, the seconds from the first deletion until a workflow starts there, the proof passed."""
    old_rows: int = 0
    healed: list[str] = field(default_factory=list)
    joined: float | None = None
    """When the last server joined; None where one did not within the round."""
    whole: bool = False
    """Whether every server sees all the others."""

    @property
    def everywhere(self) -> float:
        """Until a workflow starts at every frontend."""
        return max(self.first)


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Play the rounds of one replica and of three side by side, the orders in alternation."""
    with Postgres() as postgres, ThreadPoolExecutor() as pool:

        def play(replicas: int) -> Table:
            return _table(replicas, *_rounds(build, postgres, directory / str(replicas), replicas, rounds))

        return list(pool.map(play, (1, 3)))


def _rounds(
    build: TemporalBuild, postgres: Postgres, directory: Path, replicas: int, rounds: int
) -> tuple[dict[str, list[_Outcome]], list[float]]:
    outcomes: dict[str, list[_Outcome]] = {order: [] for order in _ORDERS}
    delays = []
    for number in range(rounds):
        delays.append(random.uniform(*_DELAY_SECONDS))  # noqa: S311 - nothing hangs on its being guessed
        for order, restart in _ORDERS.items():
            if order in _SLOW and number >= _FEW_ROUNDS:
                continue
            played = _Round(build, postgres, directory / f"{number}-{len(order)}", replicas, delays[-1])
            outcome = _play(played, restart)
            outcomes[order].append(outcome)
            print(f"x{replicas} {number} {delays[-1]:.1f} {order}: {outcome}", file=sys.stderr, flush=True)
    return outcomes, delays


def _table(replicas: int, outcomes: dict[str, list[_Outcome]], delays: list[float]) -> Table:
    best = min(
        (o for o in outcomes if o != _HEALED), key=lambda o: statistics.median(r.everywhere for r in outcomes[o])
    )
    base = [outcome.everywhere for outcome in outcomes[best]]
    rows = []
    for order, seen in outcomes.items():
        rows.append(Row(order, "s", [outcome.everywhere for outcome in seen], base, digits=1))
        if replicas > 1:
            rows.append(Row("  at the first of the frontends", "s", [min(o.first) for o in seen], base, digits=1))
        rows.append(Row("  old servers with a row, of all", "rows", [o.old_rows for o in seen]))
        joined = [outcome.joined for outcome in seen if outcome.joined is not None]
        if len(joined) == len(seen):
            rows.append(Row("  every server has joined", "s", joined, digits=1))
    over = "; ".join(
        f"{order} {sum(o.everywhere > _TOO_LONG_SECONDS for o in seen)} of {len(seen)}"
        for order, seen in outcomes.items()
    )
    alone = "; ".join(
        f"{order} {sum(o.joined is None or not o.whole for o in seen)} of {len(seen)}"
        for order, seen in outcomes.items()
    )
    healed = sorted(component for outcome in outcomes[_HEALED] for component in outcome.healed)
    counted = ", ".join(f"{component} {healed.count(component)}" for component in dict.fromkeys(healed)) or "none"
    return Table(
        f"Restart of all servers on a replaced database, {replicas} of each",
        "From the first deletion until every new frontend has started a workflow, in a namespace that was registered after"
        f" the repair, and answers the gate's proof. {SHARDS} shards; the first deletion comes {min(delays):.0f} to"
        f" {max(delays):.0f} s after the migration, a new process {NEW_PROCESS_SECONDS[0]} to {NEW_PROCESS_SECONDS[1]} s"
        f" after its pod's deletion. A round is given up after {_GIVEN_UP_SECONDS:.0f} s, and counts as that. The ratio is"
        f" to the best order without a second restart: {best}.",
        rows,
        (
            f"Rounds over {_TOO_LONG_SECONDS:.0f} s: {over}.",
            f"Rounds that ended with a server that was alone, {_SETTLED_SECONDS:.0f} s after workflows started: {alone}.",
            f"Lone servers that were restarted: {counted}.",
        ),
    )


@dataclass(frozen=True)
class _Round:
    build: TemporalBuild
    postgres: Postgres
    directory: Path
    replicas: int
    delay_seconds: float


def _play(played: _Round, restart: Callable[[Repair], None]) -> _Outcome:
    postgres, mark = played.postgres, uuid.uuid4().hex[:8]
    databases = Databases(
        postgres.host, postgres.port, "postgres", postgres.superuser_password, f"temporal_{mark}", f"visibility_{mark}"
    )
    schema = Schema(played.build.schema_tool, databases)
    try:
        _replace(postgres, schema)
        with Servers(played.build, databases, played.directory, played.replicas) as servers:
            _await_up(servers)
            _replace(postgres, schema)
            time.sleep(played.delay_seconds)
            return _watch(servers, restart, played.replicas)
    finally:
        for store in Store:
            postgres.drop_database(databases.name(store))


def _watch(servers: Servers, restart: Callable[[Repair], None], replicas: int) -> _Outcome:
    repair = Repair(servers)
    outcome = _Outcome(old_rows=len(servers.members()), healed=repair.healed)
    begun, begun_at = time.monotonic(), time.time()
    works: dict[str, float] = {}
    """For each new frontend that has started a workflow, when."""
    with ThreadPoolExecutor() as pool:
        acting = pool.submit(restart, repair)
        asked: set[str] = set()
        while time.monotonic() - begun < _GIVEN_UP_SECONDS:
            frontends = [pod for pod in servers.present("frontend") if pod not in repair.old]
            for pod in frontends:
                if pod.address not in asked:
                    asked.add(pod.address)
                    pool.submit(_ask, pod, begun, works, repair.ended)
            if len(frontends) == replicas and all(pod.address in works for pod in frontends) and acting.done():
                break
            time.sleep(0.02)
        present = {pod.address for pod in servers.present("frontend")}
        outcome.first = [at for address, at in works.items() if address in present]
        outcome.first += [_GIVEN_UP_SECONDS] * (replicas - len(outcome.first))
        if outcome.everywhere < _GIVEN_UP_SECONDS:
            repair.wait(servers.whole, _SETTLED_SECONDS)
        repair.ended.set()
    acting.result()
    outcome.whole = servers.whole()
    joined = [pod.joined_at() for pod in servers.present()]
    if None not in joined:
        outcome.joined = max(at for at in joined if at is not None) - begun_at
    return outcome


def _ask(pod: Pod, begun: float, works: dict[str, float], ended: threading.Event) -> None:
    """Ask one new frontend until it has proved itself and started a workflow."""
    namespace = f"after-{uuid.uuid4().hex[:8]}"
    registered = False
    while not ended.wait(0.05) and pod.deleted_at is None:
        with suppress(CallError):
            if not registered:
                temporal_client.register_namespace(pod.frontend, namespace)
                registered = True
            if _proves(pod):
                temporal_client.start_workflow(pod.frontend, namespace)
                works[pod.address] = time.monotonic() - begun
                return


def _proves(pod: Pod) -> bool:
    """As the gate asks: history answers that there is no such workflow."""
    try:
        temporal_client.describe_workflow(pod.frontend, _SYSTEM_NAMESPACE, _NOT_THERE)
    except CallError as error:
        return error.code == "NOT_FOUND"
    return True


def _replace(postgres: Postgres, schema: Schema) -> None:
    for store in Store:
        postgres.drop_database(schema.databases.name(store))
        postgres.create_database(schema.databases.name(store))
    schema.migrate()


def _await_up(servers: Servers) -> None:
    """Wait until they have settled: a worker ends where its database goes while it starts."""

    def up() -> bool:
        return servers.whole() and all(
            "worker service started" in pod.log.read_text(errors="replace") for pod in servers.present("worker")
        )

    wait_until(up, _UP_SECONDS, "Temporal to be up", 0.2)
    wait_until(lambda: all(_proves(pod) for pod in servers.present("frontend")), _UP_SECONDS, "its proof", 0.2)
