"""A pod's status as the kubelet writes it, from plain values; no I/O and no clock.

Phase, conditions and container states follow ``getPhase`` and ``convertToAPIContainerStatuses`` in
pkg/kubelet/kubelet_pods.go and pkg/kubelet/status/generate.go (Kubernetes v1.36.1), for pods without readiness gates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from lab.api_client import Json

TERMINAL_PHASES = ("Succeeded", "Failed")
NEVER = datetime.fromtimestamp(0, UTC)
"""The start time that containerd reports of a container that could not be started."""


@dataclass(frozen=True)
class Waiting:
    """Not started, or between two runs."""

    reason: str
    message: str = ""

    def render(self) -> Json:
        """The API's form: an empty message is left out."""
        message = {"message": self.message} if self.message else {}
        return {"waiting": {"reason": self.reason, **message}}


@dataclass(frozen=True)
class Running:
    """A process is there."""

    started_at: datetime

    def render(self) -> Json:
        """The API's form."""
        return {"running": {"startedAt": timestamp(self.started_at)}}


@dataclass(frozen=True)
class Terminated:
    """How one run ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime
    finished_at: datetime
    container_id: str

    def render(self) -> Json:
        """The API's form: an empty message is left out, which is how an empty termination message looks."""
        message = {"message": self.message} if self.message else {}
        ended = {
            "exitCode": self.exit_code,
            "reason": self.reason,
            "startedAt": timestamp(self.started_at),
            "finishedAt": timestamp(self.finished_at),
            "containerID": self.container_id,
            **message,
        }
        return {"terminated": ended}


UNKNOWN_END = Terminated(
    137, "ContainerStatusUnknown", "The container could not be located when the pod was terminated", NEVER, NEVER, ""
)
"""Of a container that was never started, in a pod that was ended after others were."""

State: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerView:
    """One container of a pod, as its status is to tell."""

    name: str
    image: str
    state: State
    last: Terminated | None
    restart_count: int
    ready: bool
    container_id: str
    started: bool = False
    """It runs, and its startup probe has succeeded if it has one."""
    sidecar: bool = False
    """An init container that keeps running beside the others."""

    @property
    def begun(self) -> bool:
        """It has been started at least once."""
        return self.last is not None or not isinstance(self.state, Waiting)

    @property
    def end(self) -> Terminated | None:
        """How it stopped, also while it waits for its next start."""
        if isinstance(self.state, Terminated):
            return self.state
        return self.last if isinstance(self.state, Waiting) else None

    @property
    def initialized(self) -> bool:
        """An init container has done its part: others may start."""
        if self.sidecar:
            return self.started
        return self.end is not None and self.end.exit_code == 0

    def render(self) -> Json:
        """One entry of ``containerStatuses`` or ``initContainerStatuses``. The ID is the newest run's, absent before."""
        status: Json = {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "state": self.state.render(),
            "lastState": self.last.render() if self.last else {},
            "ready": self.ready,
            "started": self.started,
            "restartCount": self.restart_count,
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(  # noqa: PLR0911 - a list of cases, each with its answer
    containers: Sequence[ContainerView],
    restart_policy: str,
    *,
    ending: bool,
    init: Sequence[ContainerView] = (),
) -> str:
    """The pod's phase; ``ending`` (deleted, past its deadline) says that nothing is restarted whatever the policy."""
    ordinary = [one for one in init if not one.sidecar]
    sidecars = [one for one in init if one.sidecar]
    if restart_policy == "Never" and any(one.end is not None and one.end.exit_code != 0 for one in ordinary):
        return "Failed"
    initializing = any(one.end is None for one in ordinary) or (
        not any(one.begun for one in containers) and not all(one.started or one.end for one in sidecars)
    )
    if initializing or not all(one.begun for one in (*containers, *sidecars)):
        return "Pending"
    if any(isinstance(one.state, Running) for one in (*containers, *sidecars)):
        return "Running"
    if restart_policy == "Always" and not ending:
        return "Running"
    if all(one.end is not None and one.end.exit_code == 0 for one in containers):
        return "Succeeded"
    if restart_policy == "Never" or ending:
        return "Failed"
    return "Running"


def conditions(
    pod_phase: str,
    containers: Sequence[ContainerView],
    before: Sequence[Mapping[str, str]],
    now: datetime,
    *,
    started: bool,
    init: Sequence[ContainerView] = (),
) -> list[Json]:
    """The five of a bound pod. ``lastTransitionTime`` moves only with a condition's status."""
    since = {one["type"]: (one["status"], one["lastTransitionTime"]) for one in before}
    ready, reason, message = _readiness(pod_phase, [*(one for one in init if one.sidecar), *containers])
    wanted = [
        ("PodReadyToStartContainers", started and pod_phase not in TERMINAL_PHASES, "", ""),
        ("Initialized", *_initialization(pod_phase, containers, init)),
        ("Ready", ready, reason, message),
        ("ContainersReady", ready, reason, message),
        ("PodScheduled", True, "", ""),
    ]
    rendered: list[Json] = []
    for kind, holds, why, text in wanted:
        status = "True" if holds else "False"
        old_status, old_time = since.get(kind, ("", ""))
        condition = {
            "type": kind,
            "status": status,
            "lastTransitionTime": old_time if old_status == status else timestamp(now),
        }
        condition |= {key: value for key, value in (("reason", why), ("message", text)) if value}
        rendered.append(condition)
    return rendered


def _initialization(
    pod_phase: str, containers: Sequence[ContainerView], init: Sequence[ContainerView]
) -> tuple[bool, str, str]:
    if pod_phase == "Succeeded":
        return True, "PodCompleted", ""
    incomplete = [one.name for one in init if not one.initialized]
    if incomplete and not any(one.begun for one in containers):
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        return False, "ContainersNotInitialized", message
    return True, "", ""


def _readiness(pod_phase: str, containers: Sequence[ContainerView]) -> tuple[bool, str, str]:
    if pod_phase == "Succeeded":
        return False, "PodCompleted", ""
    if pod_phase == "Failed":
        return False, "PodFailed", ""
    unready = [one.name for one in containers if not one.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""
