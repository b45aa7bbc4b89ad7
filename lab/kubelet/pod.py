"""One pod on the node: its volumes, its containers, its deadline, its deletion, and its status as it is written.

Knows one pod's object and its containers. ``turn`` is called again and again with the object as it is now, and never
waits. Follows pkg/kubelet/kubelet.go ``SyncPod``, ``SyncTerminatingPod`` and active_deadline.go (Kubernetes v1.36.1).
"""

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from lab.api_client import ApiError, Json
from lab.kubelet.configuration import (
    POD_IP,
    ConfigurationError,
    UnsupportedError,
    write_volumes,
)
from lab.kubelet.container import Container, Logs, World
from lab.kubelet.status import TERMINAL_PHASES, Waiting, conditions, phase, timestamp

DEFAULT_GRACE_SECONDS = 30
DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


class Pod:
    """The node's side of one pod, by uid."""

    def __init__(self, world: World, pod: Json, directory: Path, now: datetime) -> None:
        metadata = pod["metadata"]
        self._world = world
        self._uid = metadata["uid"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._directory = directory
        self._volumes = directory / "volumes"
        self._volumes.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._started_at = now
        self._mounted = False
        self._past_deadline = False
        self._kill_at: datetime | None = None
        self._written: Json = {}
        self._conditions: list[Json] = []
        self._containers: dict[str, Container] = {}
        for spec in pod["spec"]["containers"]:
            home = directory / spec["name"]
            home.mkdir(exist_ok=True)
            self._containers[spec["name"]] = Container(world, pod, spec, home, self._volumes)

    def turn(self, pod: Json, now: datetime) -> None:
        """One look at the processes and one step; writes the status when it has changed."""
        deleted = "deletionTimestamp" in pod["metadata"]
        if deleted or self._deadline_passed(pod, now):
            self._end(_grace(pod), now)
        ended = [one.observe(now) for one in self._containers.values()]
        # A container's end is told before it is started again, as one sync of the kubelet does.
        if self._kill_at is None and not any(ended):
            self._advance(pod, now)
        self._write_status(pod, now)
        if deleted and not self.pids():
            self._world.api.delete(self._path, uid=self._uid, grace_period_seconds=0)

    def pids(self) -> list[int]:
        """Its running processes, which lead their groups."""
        return [one.pid for one in self._containers.values() if one.pid is not None]

    def logs(self) -> dict[str, Logs]:
        """The log files by container."""
        return {name: one.logs() for name, one in self._containers.items()}

    def abandon(self, now: datetime, grace_seconds: float) -> bool:
        """Ends a pod that the API no longer has, or whose node is stopped; True when nothing of it runs any more."""
        self._end(grace_seconds, now)
        for one in self._containers.values():
            one.observe(now)
        return not self.pids()

    def clear(self) -> None:
        """Removes its files but for the logs."""
        shutil.rmtree(self._volumes, ignore_errors=True)
        for name in self._containers:
            shutil.rmtree(self._directory / name / "root", ignore_errors=True)

    def _advance(self, pod: Json, now: datetime) -> None:
        obstacle = self._not_ready_to_start(pod)
        for one in self._containers.values():
            if obstacle is None:
                one.advance(pod, now)
            else:
                one.hold(obstacle)

    def _not_ready_to_start(self, pod: Json) -> Waiting | None:
        """A volume that cannot be mounted leaves the containers in ContainerCreating; its cause is in no status."""
        if self._mounted:
            return None
        if pod["spec"].get("initContainers"):
            return Waiting("CreateContainerError", "the process kubelet has no init containers")
        try:
            write_volumes(self._world.api, pod, self._volumes)
        except ConfigurationError:
            return Waiting("ContainerCreating")
        except UnsupportedError as error:
            return Waiting("CreateContainerError", str(error))
        self._mounted = True
        return None

    def _deadline_passed(self, pod: Json, now: datetime) -> bool:
        seconds = pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or pod.get("status", {}).get("phase") in TERMINAL_PHASES:
            return self._past_deadline
        self._past_deadline |= now - self._started_at >= timedelta(seconds=seconds)
        return self._past_deadline

    def _end(self, grace_seconds: float, now: datetime) -> None:
        """SIGTERM once, SIGKILL when the grace is over; a shorter grace given later counts."""
        kill_at = now + timedelta(seconds=grace_seconds)
        if self._kill_at is None:
            for one in self._containers.values():
                one.terminate()
            self._kill_at = kill_at
        self._kill_at = min(self._kill_at, kill_at)
        if now >= self._kill_at:
            for one in self._containers.values():
                one.kill()

    def _write_status(self, pod: Json, now: datetime) -> None:
        views = [one.view() for one in self._containers.values()]
        pod_phase = phase(views, pod["spec"].get("restartPolicy", "Always"), ending=self._kill_at is not None)
        if self._past_deadline:
            pod_phase = "Failed"
        self._conditions = conditions(pod_phase, views, self._conditions, now, started=self._mounted)
        status: Json = {
            "phase": pod_phase,
            "conditions": self._conditions,
            "hostIP": POD_IP,
            "podIP": POD_IP,
            "podIPs": [{"ip": POD_IP}],
            "startTime": timestamp(self._started_at),
            "containerStatuses": [view.render() for view in views],
        }
        if self._past_deadline:
            status |= {"reason": "DeadlineExceeded", "message": DEADLINE_MESSAGE}
        if status == self._written:
            return
        # With the uid, as the kubelet's own patch has it, so that a successor of the same name is left alone.
        self._world.api.patch_status(self._path, {"metadata": {"uid": self._uid}, "status": status})
        self._written = status


def gone(error: ApiError) -> bool:
    """Whether the API refused because this incarnation of the pod is no longer there."""
    return error.status in (404, 409)


def _grace(pod: Json) -> float:
    """The deletion's own grace, else the spec's."""
    fallback = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
    return float(pod["metadata"].get("deletionGracePeriodSeconds", fallback))
