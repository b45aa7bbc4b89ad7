"""Temporal's servers as pods: deleted as Kubernetes deletes them, each successor with an address of its own.

A deletion sends SIGTERM, and SIGKILL after the grace period that Temporal's chart leaves at Kubernetes' 30 s; the
ReplicaSet's new pod is made at the same moment and its process starts a while later, beside the old one. What ends by
itself is started again after the kubelet's back-off.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg

from lab.processes import Process
from lab.temporal import SERVICES, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    from lab.temporal import Databases
    from lab.toolchain import TemporalBuild

GRACE_SECONDS = 30.0
NEW_PROCESS_SECONDS = (0.5, 1.5)
"""Between a pod's deletion and its successor's process: Kubernetes' controllers, the container's sandbox, its start."""
HEARTBEAT_COUNTS = timedelta(seconds=20)
"""How old a heartbeat may be for its row to be a peer: healthyHostLastHeartbeatCutoff in Temporal's ringpop/monitor.go."""
SHARDS = 512
"""As Temporal's chart has it."""
_BACK_OFF_SECONDS = (0.0, 10.0, 20.0, 40.0)
_TICK_SECONDS = 0.02
_ROLES = {1: "frontend", 2: "history", 3: "matching", 4: "worker"}
"""ServiceType in common/persistence/data_interfaces.go."""

_addresses = (f"127.{a}.{b}.{c}" for a, b, c in itertools.product(range(40, 90), range(1, 255), range(1, 255)))


@dataclass(frozen=True)
class Member:
    """A row of ``cluster_membership``."""

    component: str
    address: str
    session_start: datetime
    last_heartbeat: datetime


@dataclass
class Pod:
    """A pod of one server."""

    component: str
    address: str
    config: ServerConfig
    log: Path
    starts_at: float
    process: Process | None = None
    restarts: int = -1
    deleted_at: float | None = None
    killed: bool = field(default=False, repr=False)

    @property
    def frontend(self) -> str:
        """``host:port`` of its gRPC."""
        return self.config.address

    def joined_at(self) -> float | None:
        """When its rings started (Unix time): it has joined the others, or found nobody to join; None where it has not."""
        return next((datetime.fromisoformat(line["ts"]).timestamp() for line in self._views()), None)

    def sees(self) -> dict[str, set[str]]:
        """Return the addresses that it last saw of each component's servers."""
        seen: dict[str, set[str]] = {}
        for line in self._views():
            seen[line["service"]] = {address.partition(":")[0] for address in line["addresses"]}
        return seen

    def _views(self) -> list[dict[str, Any]]:
        """What its log says of its rings since its process started."""
        lines: list[dict[str, Any]] = []
        if self.log.exists():
            for line in self.log.read_text(errors="replace").splitlines():
                if '"Starting server for services"' in line:
                    lines.clear()
                elif '"Current reachable members"' in line:
                    lines.append(json.loads(line))
        return lines


class Servers:
    """So many replicas of each of Temporal's services, kept running as a context manager."""

    def __init__(self, build: TemporalBuild, databases: Databases, directory: Path, replicas: int) -> None:
        """Start nothing yet."""
        self._build = build
        self._databases = databases
        self._directory = directory
        self._lock = threading.RLock()
        self._ports = ServerConfig(build, databases, directory / "ports", shards=SHARDS)
        self._stopping = threading.Event()
        self._kubelet = threading.Thread(target=self._keep_running, name="kubelet")
        self.pods: list[Pod] = []
        for component in SERVICES:
            for _ in range(replicas):
                self._create(component, after=0.0)

    def __enter__(self) -> Self:
        """Start them."""
        self._kubelet.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill them all."""
        self._stopping.set()
        self._kubelet.join()
        for pod in self.pods:
            if pod.process is not None:
                pod.process.stop(0.0, first=signal.SIGKILL)

    def present(self, component: str | None = None) -> list[Pod]:
        """Return the pods that nobody deleted."""
        with self._lock:
            return [pod for pod in self.pods if pod.deleted_at is None and component in (None, pod.component)]

    def delete(self, pod: Pod) -> Pod:
        """Delete it, and return its successor."""
        with self._lock:
            if pod.deleted_at is None:
                pod.deleted_at = time.monotonic()
                if pod.process is not None:
                    pod.process.send_signal(signal.SIGTERM)
            return self._create(pod.component, after=random.uniform(*NEW_PROCESS_SECONDS))  # noqa: S311

    def members(self) -> list[Member]:
        """Return the rows of ``cluster_membership``."""
        rows = self._read("SELECT role, rpc_address, session_start, last_heartbeat FROM cluster_membership")
        return [Member(_ROLES[role], *row) for role, *row in rows]

    def born(self) -> datetime:
        """When the default store's schema was made."""
        return cast("datetime", self._read("SELECT min(update_time) FROM schema_update_history")[0][0])

    def whole(self) -> bool:
        """Tell whether every server sees all the others, and nobody else."""
        present = {component: {pod.address for pod in self.present(component)} for component in SERVICES}
        return all(pod.sees() == present for pod in self.present())

    def lone(self) -> Pod | None:
        """Return the new server that is alone, once there is another that it could join."""
        present = {pod.address: pod for pod in self.present()}
        found = lone(self.members(), self.born(), present)
        return present[found.address] if found else None

    def _read(self, query: str) -> list[tuple[Any, ...]]:
        databases = self._databases
        with psycopg.connect(
            host=databases.host,
            port=databases.port,
            user=databases.user,
            password=databases.password,
            dbname=databases.default,
            connect_timeout=5,
        ) as connection:
            return connection.execute(query.encode()).fetchall()

    def _create(self, component: str, after: float) -> Pod:
        address = next(_addresses)
        directory = self._directory / f"{component}-{address}"
        config = ServerConfig(self._build, self._databases, directory, host=address, ports=self._ports, shards=SHARDS)
        pod = Pod(component, address, config, directory / "log", time.monotonic() + after)
        self.pods.append(pod)
        return pod

    def _keep_running(self) -> None:
        while not self._stopping.wait(_TICK_SECONDS):
            with self._lock:
                for pod in self.pods:
                    self._tend(pod, time.monotonic())

    def _tend(self, pod: Pod, now: float) -> None:
        if pod.deleted_at is not None:
            overdue = now - pod.deleted_at > GRACE_SECONDS
            if overdue and not pod.killed and pod.process is not None:
                pod.killed = True
                pod.process.send_signal(signal.SIGKILL)
            return
        if pod.process is not None and pod.process.poll() is not None:
            pod.process = None
            pod.starts_at = now + _BACK_OFF_SECONDS[min(pod.restarts, len(_BACK_OFF_SECONDS) - 1)]
        if pod.process is None and now >= pod.starts_at:
            pod.restarts += 1
            pod.process = Process.start(pod.config.argv(pod.component), log=pod.log)


def lone(members: Iterable[Member], born: datetime, present: Container[str]) -> Member | None:
    """Return the new server that found only peers of the old cluster, once there is another that it could join.

    It can only be the first: a server writes its row before it reads the others', so every later one finds it. It is
    alone where an old server's heartbeat counted at that moment. An old server started before the schema was ``born``;
    ``present`` are the addresses of the pods that are there.
    """
    latest: dict[str, Member] = {}
    old = []
    for member in sorted(members, key=lambda member: member.session_start):
        if member.session_start < born:
            old.append(member)
        else:
            latest[member.address] = member  # a container that ended has left a row, too
    new = sorted(latest.values(), key=lambda member: member.session_start)
    if not new or new[0].address not in present:
        return None
    first, *others = new
    if not any(member.address in present for member in others):
        return None
    joined_nobody = any(member.last_heartbeat > first.session_start - HEARTBEAT_COUNTS for member in old)
    return first if joined_nobody else None
