"""Temporal's servers: the pods, the kubelet that restarts them and the ReplicaSets that replace them."""

import itertools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from hook.observation.workloads import Container, Owner, Pod, PodState, Runtime, Termination
from simulation.clocks import Clock, before
from simulation.postgres import Databases
from simulation.scenario import COMPONENTS, SERVER, Scenario


@dataclass
class Server:
    """A pod; `epoch` is the pair of databases it was started on, None where it does not get so far."""

    pod: Pod
    epoch: int | None = None
    began: datetime | None = None


class Servers:
    """The runtime's pods, the kubelet that restarts them and the ReplicaSets that replace them."""

    def __init__(self, clock: Clock, databases: Databases, scenario: Scenario) -> None:
        self._clock, self._databases, self._scenario = clock, databases, scenario
        self._numbers = itertools.count()
        self._known_to = {0}
        """The epochs in which some server has written the cluster's metadata."""
        self._servers: dict[str, Server] = {}
        self.wanted = {} if scenario.pods == "none" else dict.fromkeys(COMPONENTS, 1)
        self.deleted: list[str] = []
        """The components of the pods that the gate deleted."""
        for component in self.wanted:
            server = self._create(component, before(43_210))
            if scenario.pods == "running":
                self._run(server, before(43_200), 0)
            else:
                self._crash(server, Reason.RUNTIME_FINDS_NO_SCHEMA, before(20), restarts=4)

        for component in scenario.stuck_in_starting:
            stuck = self._create(component, before(600))
            stuck.pod = replace(stuck.pod, containers=(Container(SERVER, waiting="ContainerCreating"),))

    def _create(self, component: str, created_at: datetime | None = None) -> Server:
        name = f"temporal-{component}-{next(self._numbers)}"
        made_at = (created_at or self._clock.now).replace(microsecond=0)
        pod = Pod("temporal", name, f"uid-of-{name}", component, created_at=made_at, server=SERVER)
        tag = "1.28.2" if self._scenario.runtime == "ahead" else "1.29.1"
        pod = replace(pod, phase="Pending", containers=(Container(SERVER, image=f"temporalio/server:{tag}"),))
        self._servers[pod.uid] = Server(pod)
        return self._servers[pod.uid]

    def _on_node(self, moment: datetime) -> datetime:
        """The moment by the node's clock."""
        return (moment + timedelta(seconds=self._scenario.node_clock)).replace(microsecond=0)

    def _start(self, server: Server) -> None:
        if server.pod.uid not in self._servers:
            return
        cause = self._cause
        self._run(server, self._clock.now, None if cause else self._databases.epoch)
        if cause:
            self._clock.after(1.5, partial(self._crash_now, server, cause))
        else:
            self._known_to.add(self._databases.epoch)

    def _run(self, server: Server, began: datetime, epoch: int | None) -> None:
        server.epoch, server.began = epoch, began
        running = replace(server.pod.containers[0], waiting="", running_since=self._on_node(began), ready=True)
        server.pod = replace(server.pod, ready=True, finding=None, containers=(running,))

    def _crash_now(self, server: Server, cause: Reason) -> None:
        if server.pod.uid in self._servers:
            self._crash(server, cause, self._clock.now, server.pod.restarts + 1)

    def _crash(self, server: Server, cause: Reason, crashed_at: datetime, restarts: int) -> None:
        crashed = Container(
            SERVER,
            image=server.pod.image,
            waiting="CrashLoopBackOff",
            last=Termination(1, "Error", finished_at=self._on_node(crashed_at)),
            restarts=restarts,
        )
        finding = Finding(cause, f"pod {server.pod.name}")
        server.pod = replace(server.pod, ready=False, finding=finding, containers=(crashed,))
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

    @property
    def serve(self) -> bool:
        """The truth: whether a workflow can start."""
        up = {server.pod.component for server in self._servers.values() if self._serves(server)}
        return up == set(COMPONENTS) and not self._databases.are_away and self._databases.are_right

    def _serves(self, server: Server) -> bool:
        return server.pod.state is PodState.RUNNING and server.epoch == self._databases.epoch

    def look(self) -> Runtime:
        """What the gate sees of them."""
        owners = (Owner("deployments", f"temporal-{one}", one, replicas) for one, replicas in self.wanted.items())
        return Runtime(tuple(owners), tuple(server.pod for server in self._servers.values()))

    def look_at_frontend(self) -> Frontend:
        """What the frontend answers: it does so over a database that is gone, and does not tell of every fault."""
        running = {one.pod.component for one in self._servers.values() if one.pod.state is PodState.RUNNING}
        if "frontend" not in running:
            raise FindingError(Finding(Reason.FRONTEND_UNREACHABLE, "frontend"))
        knows = self._databases.epoch in self._known_to and not self._databases.are_away
        works = knows and {"history", "matching"} <= running
        return Frontend(None if works else Finding(Reason.FRONTEND_NOT_SERVING, "frontend"))

    def served_since(self, pod: Pod, moment: datetime) -> bool:
        """Tell whether this pod has served the present databases all the time since then."""
        server = self._servers.get(pod.uid)
        return server is not None and self._serves(server) and server.began is not None and server.began <= moment

    def delete(self, pod: Pod) -> bool:
        """Delete a pod by its uid; its ReplicaSet makes another."""
        if self._servers.pop(pod.uid, None) is None:
            return False
        self.deleted.append(pod.component)
        self._clock.after(0.3, partial(self._replace, pod.component))
        return True

    def _replace(self, component: str) -> None:
        self._clock.after(0.5, partial(self._start, self._create(component)))
