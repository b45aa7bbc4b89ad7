"""What runs in Kubernetes, object by object: containers, pods, Jobs, and what owns the servers' pods. Pure.

One shape for all three workloads: the migrations' Jobs, Temporal's servers, the Jobs that come after Temporal. Times of
creation are by the API server's clock, those of containers by their node's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from hook.observation.findings import Finding, Unknown

_SIDECAR = re.compile(
    r"(^|-)(proxy|sidecar|envoy|daprd|dataplane|agent(-\w+)?|collector|exporter|fluent-?bit|filebeat|vector)$"
)
"""What is injected beside a pod's own containers: istio-proxy, cloud-sql-proxy, vault-agent, otc-collector."""

PROGRAM = "temporal-recovery-hook"
"""The label ``app.kubernetes.io/name`` of the gate's chart, whatever its release and alias: that of a guard's Job, too."""

JOB_COMPONENT = "job"
"""The component of a Job's pods, which are none of Temporal's servers."""

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
"""The annotation that names a pod's own container where others were injected in front of it (istio 24737)."""


class ContainerKind(StrEnum):
    """Where a container stands in its pod."""

    INIT = "init container"
    SIDECAR = "sidecar"
    """A native one: an init container whose restartPolicy is Always."""
    MAIN = "container"


@dataclass(frozen=True)
class Termination:
    """How a container ended. `exit_code` is None where Kubernetes does not tell."""

    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Container:
    """A container: it runs (`running_since`), waits (`waiting`: why) or has ended (`ended`); `last` is the end before.

    `log` is the line that tells of its last crash, None where its log was not read; `unread` why it could not be.
    """

    name: str
    kind: ContainerKind = ContainerKind.MAIN
    image: str = ""
    probed: bool = False
    ready: bool = False
    running_since: datetime | None = None
    waiting: str = ""
    waiting_message: str = ""
    ended: Termination | None = None
    last: Termination | None = None
    restarts: int = 0
    log: str | None = None
    unread: str = ""

    @property
    def is_in_back_off(self) -> bool:
        """Whether the kubelet lets time pass before it starts it again."""
        return self.waiting == "CrashLoopBackOff"

    @property
    def last_crash(self) -> Termination | None:
        """How it last ended, if that was not with success.

        In back-off no end is one: a server that a liveness probe stops exits with 0, and a kubelet that was started anew
        may not know the end.
        """
        end = self.ended or self.last
        if self.is_in_back_off:
            return end or Termination()
        return end if end is not None and end.exit_code != 0 else None

    @property
    def crash(self) -> Termination | None:
        """How it last ended, if that was not with success and it has not started again since."""
        return self.last_crash if self.running_since is None else None

    @property
    def is_injected(self) -> bool:
        """Whether its name is that of a proxy or an agent, which runs beside a pod's own work."""
        return self.kind is ContainerKind.SIDECAR or bool(_SIDECAR.search(self.name))


class PodState(StrEnum):
    """What a pod of Temporal's, or rather its server container, is doing."""

    PENDING = "pending"
    RUNNING = "running"
    BACK_OFF = "in back-off"


@dataclass(frozen=True)
class Pod:
    """A pod that is not being deleted, with all its containers.

    `server` names its own container, `owner` the controller that made it (``kind/name``). `unschedulable` is the
    scheduler's message, `failure` why the pod as a whole failed, `event` the last warning about it, where it may be read.
    """

    namespace: str
    name: str
    uid: str
    component: str = ""
    instance: str = ""
    owner: str = ""
    ip: str = ""
    created_at: datetime | None = None
    phase: str = ""
    ready: bool = False
    unschedulable: str = ""
    failure: str = ""
    event: str = ""
    server: str = ""
    containers: tuple[Container, ...] = ()
    finding: Finding | None = None
    """What keeps it from working, as `diagnosis` says."""

    @property
    def about(self) -> str:
        """How findings name it."""
        return f"pod {self.namespace}/{self.name}"

    @property
    def _server(self) -> Container:
        return next((one for one in self.containers if one.name == self.server), Container(self.server))

    @property
    def state(self) -> PodState:
        """What its server is doing; any container in back-off holds a pod that has not started yet."""
        if self._server.running_since is not None:
            return PodState.RUNNING
        return PodState.BACK_OFF if any(one.is_in_back_off for one in self.containers) else PodState.PENDING

    @property
    def image(self) -> str:
        """The server's image."""
        return self._server.image

    @property
    def probed(self) -> bool:
        """Whether the server has a readiness probe."""
        return self._server.probed

    @property
    def started_at(self) -> datetime | None:
        """Since when the server runs."""
        return self._server.running_since

    @property
    def crashed_at(self) -> datetime | None:
        """When a container of it last crashed that has not started since."""
        ends = (one.crash.finished_at for one in self.containers if one.crash)
        return max(filter(None, ends), default=None)

    @property
    def restarts(self) -> int:
        """How often its containers were started again."""
        return sum(one.restarts for one in self.containers)

    @property
    def main(self) -> tuple[Container, ...]:
        """Its main containers without those that were injected."""
        mains = tuple(one for one in self.containers if one.kind is ContainerKind.MAIN)
        return tuple(one for one in mains if not one.is_injected) or mains

    @property
    def is_done(self) -> bool:
        """Whether its own work ended with success, though an injected container may still run."""
        return bool(self.main) and all(one.ended is not None and one.ended.exit_code == 0 for one in self.main)

    @property
    def kept_by(self) -> tuple[str, ...]:
        """The injected containers that keep a pod from ending whose work is done."""
        running = (one for one in self.containers if one.kind is ContainerKind.MAIN and one.running_since is not None)
        return tuple(one.name for one in running) if self.is_done else ()

    @property
    def is_working(self) -> bool:
        """Whether a container of its own runs, and nothing is wrong with the pod."""
        own = (one for one in self.containers if not one.is_injected)
        return self.finding is None and any(one.running_since is not None for one in own)


# --- Jobs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class JobRef:
    """A Job by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class JobPhase(StrEnum):
    """What a Job is doing, as its own conditions say."""

    RUNNING = "running"
    SUSPENDED = "suspended"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(frozen=True)
class Job:
    """A Job and its pods (listed only while it has not succeeded). `message` is its failure's, or that of a pod never made.

    `makes_schema` says that Temporal's schema tool is in its containers' commands, or a schema in its name; `pods_unseen`
    why its pods could not be listed. `guards` says that it is a guard: it is no work of the Application that it is part of.
    """

    ref: JobRef
    uid: str
    phase: JobPhase
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str = ""
    makes_schema: bool = False
    pods: tuple[Pod, ...] = ()
    pods_unseen: Finding | None = None
    guards: bool = False

    @property
    def work_started_at(self) -> datetime | None:
        """When the work that succeeded began: its container's start, else the Job's own, where the pods are gone."""
        done = (one.ended.started_at for pod in self.pods if pod.is_done for one in pod.main if one.ended)
        return min(filter(None, done), default=None) or self.started_at or self.created_at

    @property
    def is_running(self) -> bool:
        """Whether it still works: a pod whose work is done, but that a sidecar keeps, does not."""
        return self.phase is JobPhase.RUNNING and not (self.pods and all(pod.is_done for pod in self.pods))

    @property
    def is_working(self) -> bool:
        """Whether a pod of it verifiably works."""
        return self.is_running and any(pod.is_working for pod in self.pods)

    @property
    def kept_by(self) -> tuple[str, ...]:
        """The sidecars that keep it from being Complete though its work is done."""
        return tuple(name for pod in self.pods for name in pod.kept_by) if self.phase is JobPhase.RUNNING else ()


JobsSeen: TypeAlias = "Mapping[JobRef, Job | Unknown | None]"
"""What was seen of Jobs: None is one that is not there."""


# --- Temporal's servers -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Owner:
    """What makes a component's pods: a Deployment, StatefulSet or Argo Rollout. `trouble` is its condition's message."""

    kind: str
    name: str
    component: str
    replicas: int
    instance: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Runtime:
    """Temporal's servers in Kubernetes: what owns their pods, and the pods. `selected_by` is where and by which labels."""

    owners: tuple[Owner, ...] = ()
    pods: tuple[Pod, ...] = ()
    selected_by: str = field(default="", compare=False)

    @property
    def wanted(self) -> dict[str, int]:
        """The replicas wanted of each component, none where nothing owns pods."""
        wanted: dict[str, int] = {}
        for owner in self.owners:
            wanted[owner.component] = wanted.get(owner.component, 0) + owner.replicas
        return wanted

    @property
    def instances(self) -> tuple[str, ...]:
        """The instances that the selector finds: more than one are not one Temporal."""
        found = {owner.instance for owner in self.owners} | {pod.instance for pod in self.pods}
        return tuple(sorted(filter(None, found)))

    @property
    def is_found(self) -> bool:
        """Whether the selector finds anything at all."""
        return bool(self.owners or self.pods)

    def troubles(self) -> Iterator[Owner]:
        """Yield the owners that cannot make their pods."""
        yield from (owner for owner in self.owners if owner.trouble)


@dataclass(frozen=True)
class Member:
    """A server by its row in ``cluster_membership`` of the default store. Times are by its own node's clock."""

    address: str
    session_start: datetime
    last_heartbeat: datetime
