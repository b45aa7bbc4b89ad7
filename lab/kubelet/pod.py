"""One pod on the node: its volumes, its containers, its deadline, its deletion, and its status as it is written.

Knows one pod's object and its containers. ``turn`` is called again and again with the object as it is now, and never
waits for a program to end. Follows pkg/kubelet/kubelet.go ``SyncPod``, ``SyncTerminatingPod``, active_deadline.go and
``computeInitContainerActions`` in pkg/kubelet/kuberuntime (Kubernetes v1.36.1).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from lab.api_client import ApiError, Json
from lab.kubelet.configuration import NODE_IP, ConfigurationError, UnsupportedError
from lab.kubelet.container import DEFAULT_GRACE_SECONDS, Container, Logs, World
from lab.kubelet.status import TERMINAL_PHASES, UNKNOWN_END, ContainerView, Waiting, conditions, phase, timestamp
from lab.kubelet.volumes import Volumes

DEADLINE_MESSAGE = "Pod was active on the node longer than the specified deadline"


class Pod:
    """The node's side of one pod, by uid."""

    def __init__(self, world: World, pod: Json, directory: Path, now: datetime) -> None:
        metadata, spec = pod["metadata"], pod["spec"]
        self._world = world
        self.last_seen = pod
        self._uid = metadata["uid"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._started_at = now
        self._past_deadline = False
        self._deleted = False
        self._kill_at: datetime | None = None
        self._written: Json = {}
        self._conditions: list[Json] = []
        self._logs: Mapping[str, Logs] = {}
        self._volumes = volumes = Volumes(world.api, directory / "volumes")
        policy = spec.get("restartPolicy", "Always")
        self._init = [
            Container(
                world,
                pod,
                one,
                directory / one["name"],
                volumes,
                restart_policy="Always" if one.get("restartPolicy") == "Always" else _policy_of_init(policy),
                sidecar=one.get("restartPolicy") == "Always",
            )
            for one in spec.get("initContainers") or []
        ]
        self._containers = [
            Container(world, pod, one, directory / one["name"], volumes, restart_policy=policy)
            for one in spec["containers"]
        ]

    def turn(self, pod: Json, now: datetime) -> None:
        """One look at the processes and one step; writes the status when it has changed."""
        self.last_seen = pod
        deleted = "deletionTimestamp" in pod["metadata"]
        if deleted or self._deadline_passed(pod, now):
            self._end(_grace(pod), now)
        elif self._kill_at is None and self._finished(pod):
            self._end(_grace(pod), now)  # of its sidecars nothing more is wanted
        ended = [one.observe(now) for one in self._all()]
        # A container's end is told before it is started again, as one sync of the kubelet does.
        if self._kill_at is None and not any(ended):
            self._advance(pod, now)
        self._write_status(pod, now)
        if deleted and not self._deleted and not self.pids():
            self._world.api.delete(self._path, uid=self._uid, grace_period_seconds=0)
            self._deleted = True  # what keeps it now is a finalizer, which is not the kubelet's

    def pids(self) -> list[int]:
        """Its running processes, which lead their groups."""
        return [one.pid for one in self._all() if one.pid is not None]

    def logs(self) -> Mapping[str, Logs]:
        """The log files by container, as of the last turn: whoever was told of a run finds its log. For any thread."""
        return self._logs

    def abandon(self, now: datetime, grace_seconds: float) -> bool:
        """Ends a pod that the API no longer has, or whose node is stopped; True when nothing of it runs any more."""
        self._end(grace_seconds, now)
        for one in self._all():
            one.observe(now)
        return not self.pids()

    def clear(self) -> None:
        """Removes its files but for the logs."""
        shutil.rmtree(self._directory / "volumes", ignore_errors=True)
        for one in self._all():
            shutil.rmtree(self._directory / one.name / "root", ignore_errors=True)

    def _all(self) -> Sequence[Container]:
        return [*self._init, *self._containers]

    def _advance(self, pod: Json, now: datetime) -> None:
        obstacle = self._not_mounted(pod)
        if obstacle is not None:
            for one in self._all():
                one.hold(obstacle)
            return
        initialized = any(one.view().begun for one in self._containers)
        for one in self._init:
            if one.sidecar or not initialized:
                one.advance(pod, now)
            if not initialized and not one.view().initialized:
                self._hold_others()
                return
        for one in self._containers:
            one.advance(pod, now)

    def _hold_others(self) -> None:
        for one in self._all():
            if not one.view().begun and isinstance(one.view().state, Waiting) and not one.tried:
                one.hold(Waiting("PodInitializing"))

    def _not_mounted(self, pod: Json) -> Waiting | None:
        """A volume that cannot be mounted leaves the containers in ContainerCreating; its cause is in no status."""
        if self._volumes.mounted:
            return None
        try:
            self._volumes.mount(pod)
        except ConfigurationError:
            return Waiting("PodInitializing" if self._init else "ContainerCreating")
        except UnsupportedError as error:
            return Waiting("CreateContainerError", str(error))
        return None

    def _finished(self, pod: Json) -> bool:
        """Nothing but sidecars is left, or an init container has failed for good."""
        if not self._init:
            return False
        if all(one.done for one in self._containers):
            return True
        never = pod["spec"].get("restartPolicy") == "Never"
        return never and any(one.done and not one.view().initialized for one in self._init if not one.sidecar)

    def _deadline_passed(self, pod: Json, now: datetime) -> bool:
        seconds = pod["spec"].get("activeDeadlineSeconds")
        if seconds is None or pod.get("status", {}).get("phase") in TERMINAL_PHASES:
            return self._past_deadline
        self._past_deadline |= now - self._started_at >= timedelta(seconds=seconds)
        return self._past_deadline

    def _end(self, grace_seconds: float, now: datetime) -> None:
        """SIGTERM once, SIGKILL when the grace is over; a shorter grace given later counts.

        Sidecars are asked after the others have ended, the last one first (``terminationOrdering``).
        """
        kill_at = now + timedelta(seconds=grace_seconds)
        self._kill_at = min(self._kill_at or kill_at, kill_at)
        groups = [
            [one for one in self._all() if not one.sidecar],
            *([one] for one in reversed(self._init) if one.sidecar),
        ]
        for group in groups:
            running = [one for one in group if one.running]
            for one in running:
                one.terminate()
            if running:
                break
        if now >= self._kill_at:
            for one in self._all():
                one.kill()

    def _write_status(self, pod: Json, now: datetime) -> None:
        self._logs = {one.name: one.logs() for one in self._all()}
        init = [_of_init(one.view()) for one in self._init]
        views = [one.view() for one in self._containers]
        pod_phase = phase(
            views, pod["spec"].get("restartPolicy", "Always"), ending=self._kill_at is not None, init=init
        )
        if self._kill_at is not None and not self.pids():
            # ``TerminatePod`` of pkg/kubelet/status: what never came to an end has failed.
            pod_phase = pod_phase if pod_phase in TERMINAL_PHASES else "Failed"
            views = [_settled(view) for view in views] if any(view.begun for view in views) else views
        if self._past_deadline:
            pod_phase = "Failed"
        started = self._volumes.mounted
        self._conditions = conditions(pod_phase, views, self._conditions, now, started=started, init=init)
        own = {one["type"] for one in self._conditions}
        others = [one for one in pod.get("status", {}).get("conditions") or [] if one["type"] not in own]
        status: Json = {
            "phase": pod_phase,
            "conditions": [*self._conditions, *others],
            "hostIP": NODE_IP,
            "podIP": NODE_IP,
            "podIPs": [{"ip": NODE_IP}],
            "startTime": timestamp(self._started_at),
            "containerStatuses": [view.render() for view in views],
        }
        if init:
            status["initContainerStatuses"] = [view.render() for view in init]
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


def _policy_of_init(policy: str) -> str:
    """One that succeeded is not run again whatever the pod's policy."""
    return "Never" if policy == "Never" else "OnFailure"


def _settled(view: ContainerView) -> ContainerView:
    """Of a pod that has been ended no container waits: not for its next start, and not for its first."""
    if not isinstance(view.state, Waiting):
        return view
    return replace(view, state=view.last or UNKNOWN_END, last=None)


def _of_init(view: ContainerView) -> ContainerView:
    """An init container that has done its part is ready (``UpdatePodStatus`` in pkg/kubelet/prober)."""
    return view if view.sidecar else replace(view, ready=view.initialized)
