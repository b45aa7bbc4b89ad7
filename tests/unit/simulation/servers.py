"""Temporal's servers: the pods, the kubelet that restarts them, the ReplicaSets that replace them, and who joins whom."""

import itertools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from hook.observation import diagnosis
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from hook.observation.workloads import Container, ContainerKind, Member, Owner, Pod, PodState, Runtime, Termination
from simulation.clocks import Actor, Clock, before
from simulation.postgres import Databases
from simulation.scenario import COMPONENTS, SERVER, Scenario, Stuck

_OWN, _OTHER = "temporal", "another"
"""The releases' names: ``app.kubernetes.io/instance``."""

_SAID = {
    Reason.RUNTIME_FINDS_NO_SCHEMA: "sql schema version compatibility check failed: unable to read DB schema version",
    Reason.DATABASE_UNUSABLE_FOR_RUNTIME: "no usable database connection found",
    Reason.TABLE_PERMISSION_DENIED: "permission denied for table schema_version",
    Reason.NAMESPACE_METADATA_MISSING: "Failed to lock namespace metadata. Error: sql: no rows in result set",
    Reason.CRASH_LOOPING: "panic: something else",
}
"""A server's last words (facts, "what the server checks at start")."""

_COUNTS = timedelta(seconds=20)
"""How long a heartbeat makes a row a peer: healthyHostLastHeartbeatCutoff, ringpop/monitor.go of Temporal 1.29.1."""
_BEATS_EVERY = 10
_ALONE_SECONDS = 45.0
"""Measured: 40 to 55 s (docs/how-it-decides.md)."""


@dataclass
class Server:
    """A pod. `epoch` is the pair of databases its server was started on, None where it does not get so far."""

    pod: Pod
    epoch: int | None = None
    began: datetime | None = None
    is_stuck: bool = False
    alone_until: datetime | None = None


@dataclass
class Row:
    """A server's row in ``cluster_membership``; `ended`: when its server did."""

    address: str
    epoch: int
    began: datetime
    ended: datetime | None = None

    def last_beat(self, now: datetime) -> datetime:
        """Return when its server last wrote it."""
        lived = (self.ended or now) - self.began
        return self.began + timedelta(seconds=lived.total_seconds() // _BEATS_EVERY * _BEATS_EVERY)


class Servers:
    """The runtime's pods, and those of another release in the same namespace."""

    def __init__(self, clock: Clock, databases: Databases, scenario: Scenario) -> None:
        self._clock, self._databases, self._scenario = clock, databases, scenario
        self._numbers = itertools.count()
        self._known_to = {0}
        """The epochs in which some server has written the cluster's metadata."""
        self._servers: dict[str, Server] = {}
        self._rows: dict[str, Row] = {}
        self.wanted = {} if scenario.pods == "none" else dict.fromkeys(COMPONENTS, 1)
        self.deleted: list[str] = []
        """The components of the pods that the gate deleted."""
        stuck = scenario.stuck
        for component in self.wanted:
            server = self._create(component, before(43_210))
            if stuck and stuck.component == component and not stuck.is_surplus:
                self._stick(server, stuck)
            elif scenario.pods == "running":
                self._run(server, before(43_200), 0)
            else:
                self._crash(server, Reason.RUNTIME_FINDS_NO_SCHEMA, before(20), restarts=4)
        if stuck and stuck.is_surplus and self.wanted:
            self._stick(self._create(stuck.component, before(600)), stuck)
        if scenario.neighbour != "none":
            for component in COMPONENTS:
                other = self._create(component, before(43_210), _OTHER)
                self._crash(other, Reason.RUNTIME_FINDS_NO_SCHEMA, before(20), restarts=4)

    def _create(self, component: str, created: datetime | None = None, instance: str = _OWN) -> Server:
        number = next(self._numbers)
        name = f"{instance}-{component}-{number}"
        tag = "1.28.2" if self._scenario.runtime == "ahead" else "1.29.1"
        pod = Pod(
            "temporal",
            name,
            f"uid-of-{name}",
            component,
            instance,
            ip=f"10.0.0.{number}",
            created_at=self._clock.written(Actor.API, created),
            phase="Pending",
            server=SERVER,
            containers=(Container(SERVER, image=f"temporalio/server:{tag}"),),
        )
        self._servers[pod.uid] = Server(pod)
        return self._servers[pod.uid]

    # --- the kubelet -----------------------------------------------------------------------------------------------

    def _stick(self, server: Server, stuck: Stuck) -> None:
        """Let it hang before its server starts, as a pod does whose volume, image, node or init container is not there."""
        own = replace(server.pod.containers[0], waiting="PodInitializing")
        server.is_stuck = True
        match stuck.how:
            case "Unschedulable":
                server.pod = replace(server.pod, unschedulable="0/3 nodes are available")
            case "an init container in back-off":
                end = Termination(1, "Error", finished_at=self._clock.written(Actor.NODES, before(20)))
                waits = Container(
                    "wait", ContainerKind.INIT, waiting="CrashLoopBackOff", last=end, restarts=4, log="no"
                )
                server.pod = replace(server.pod, containers=(waits, own))
            case _:
                server.pod = replace(server.pod, containers=(replace(own, waiting=stuck.how),))
        if stuck.ends is not None:
            self._clock.at(stuck.ends, partial(self._start, server))

    def _start(self, server: Server) -> None:
        if server.pod.uid not in self._servers or server.pod.instance == _OTHER:
            return
        cause = self._cause
        self._run(server, self._clock.now, None if cause else self._databases.epoch)
        if cause:
            self._clock.after(1.5, partial(self._crash_now, server, cause))
        else:
            self._known_to.add(self._databases.epoch)

    def _run(self, server: Server, began: datetime, epoch: int | None) -> None:
        server.is_stuck, server.epoch, server.began = False, epoch, began
        own = replace(server.pod.containers[-1], waiting="", running_since=self._clock.written(Actor.NODES, began))
        server.pod = replace(server.pod, ready=True, unschedulable="", containers=(replace(own, ready=True),))
        if epoch is not None:
            self._join(server, epoch, began)

    def _crash_now(self, server: Server, cause: Reason) -> None:
        if server.pod.uid in self._servers:
            self._crash(server, cause, self._clock.now, server.pod.restarts + 1)

    def _crash(self, server: Server, cause: Reason, crashed_at: datetime, restarts: int) -> None:
        end = Termination(1, "Error", finished_at=self._clock.written(Actor.NODES, crashed_at))
        own = replace(server.pod.containers[-1], running_since=None, ready=False, last=end, restarts=restarts)
        crashed = replace(own, waiting="CrashLoopBackOff", log=_SAID[cause])
        server.pod = replace(server.pod, ready=False, containers=(crashed,))
        self._clock.after(min(10 * 2 ** (restarts - 1), 100), partial(self._start, server))

    @property
    def _cause(self) -> Reason | None:
        """Why a server that starts now crashes."""
        if self._databases.are_away:
            return Reason.DATABASE_UNUSABLE_FOR_RUNTIME
        if not self._databases.are_right:
            return Reason.RUNTIME_FINDS_NO_SCHEMA
        ends = self._scenario.cause_ends
        return self._scenario.cause if ends is None or not self._clock.is_past(ends) else None

    # --- who joins whom (docs/how-it-decides.md, from Temporal's ringpop/monitor.go) --------------------------------

    def _join(self, server: Server, epoch: int, began: datetime) -> None:
        """Write the row, then read the others': who finds only those of an old database waits for them, and is alone."""
        address = server.pod.ip
        peers = [row for row in self._beating if began - row.last_beat(began) < _COUNTS and row.address != address]
        self._rows[address] = Row(address, epoch, began)
        if peers and all(row.epoch != epoch for row in peers):
            server.alone_until = began + timedelta(seconds=_ALONE_SECONDS)

    @property
    def _beating(self) -> list[Row]:
        """The rows in the present default store: those of servers that have beaten since it was made."""
        made = self._databases.made_at
        return [row for row in self._rows.values() if made and row.last_beat(self._clock.now) >= made]

    def look_at_members(self) -> tuple[Member, ...]:
        """What the gate sees of the rows."""
        if self._databases.are_away:
            raise FindingError(Finding(Reason.DATABASE_UNREACHABLE, "store default"))
        now, on_node = self._clock.now, partial(self._clock.read, Actor.NODES)
        return tuple(Member(row.address, on_node(row.began), on_node(row.last_beat(now))) for row in self._beating)

    # --- the truth, and what is seen --------------------------------------------------------------------------------

    @property
    def serve(self) -> bool:
        """The truth: whether a workflow can start. It does without the one worker or matching that is alone."""
        up = {
            server.pod.component
            for server in self._servers.values()
            if self._is_up(server)
            and (server.pod.component in {"worker", "matching"} or not self._waits_for_others(server))
        }
        return up == set(COMPONENTS) and not self._databases.are_away and self._databases.are_right

    def _is_up(self, server: Server) -> bool:
        return server.pod.state is PodState.RUNNING and server.epoch == self._databases.epoch

    def _waits_for_others(self, server: Server) -> bool:
        return server.alone_until is not None and server.alone_until > self._clock.now

    def served_since(self, pod: Pod, since: datetime) -> bool:
        """Tell whether this pod has served the present databases all the time since then."""
        server = self._servers.get(pod.uid)
        if server is None or server.began is None or self._waits_for_others(server):
            return False
        return self._is_up(server) and server.began <= since

    def look(self) -> Runtime:
        """What the gate sees of them."""
        found = {_OWN, _OTHER} if self._scenario.neighbour == "selected too" else {_OWN}
        owners = [Owner("deployments", f"{_OWN}-{one}", one, number, _OWN) for one, number in self.wanted.items()]
        if _OTHER in found:
            owners += [Owner("deployments", f"{_OTHER}-{one}", one, 1, _OTHER) for one in COMPONENTS]
        pods = (self._seen(server.pod) for server in self._servers.values() if server.pod.instance in found)
        return Runtime(tuple(owners), tuple(pods))

    def _seen(self, pod: Pod) -> Pod:
        return pod if pod.ready else replace(pod, finding=diagnosis.of_pod(pod, self._clock.written(Actor.API)))

    def look_at_frontend(self) -> Frontend:
        """What the frontend answers: it does so over a database that is gone, and does not tell of every fault."""
        running = [one for one in self._servers.values() if one.pod.state is PodState.RUNNING]
        if not any(one.pod.component == "frontend" for one in running):
            raise FindingError(Finding(Reason.FRONTEND_UNREACHABLE, "frontend"))
        knows = self._databases.epoch in self._known_to and not self._databases.are_away
        works = {
            one.pod.component for one in running if one.pod.component == "matching" or not self._waits_for_others(one)
        }
        proved = knows and {"frontend", "history", "matching"} <= works
        return Frontend(None if proved else Finding(Reason.FRONTEND_NOT_SERVING, "frontend"))

    # --- what is done to them ---------------------------------------------------------------------------------------

    def delete(self, pod: Pod) -> bool:
        """Delete a pod by its uid; its ReplicaSet makes another, and what stuck in starting sticks again."""
        server = self._servers.pop(pod.uid, None)
        if server is None:
            return False
        self.deleted.append(pod.component)
        if row := self._rows.get(pod.ip):
            row.ended = self._clock.now
        if pod.instance == _OWN:
            self._clock.after(0.3, partial(self._replace, server))
        return True

    def _replace(self, gone: Server) -> None:
        server, stuck = self._create(gone.pod.component), self._scenario.stuck
        if gone.is_stuck and stuck and (stuck.ends is None or not self._clock.is_past(stuck.ends)):
            self._stick(server, stuck)
        else:
            self._clock.after(0.5, partial(self._start, server))
