"""A pod's status as the kubelet writes it, from plain values; no I/O and no clock.

Phase, conditions and container states follow ``getPhase`` and ``convertToAPIContainerStatuses`` in
pkg/kubelet/kubelet_pods.go and pkg/kubelet/status/generate.go (Kubernetes v1.36.1), for pods without init containers
and readiness gates.
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

    def render(self) -> Json:
        """One entry of ``containerStatuses``. The ID is of the newest run, and left out before the first."""
        status: Json = {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "state": self.state.render(),
            "lastState": self.last.render() if self.last else {},
            "ready": self.ready,
            "started": isinstance(self.state, Running),
            "restartCount": self.restart_count,
        }
        if self.container_id:
            status["containerID"] = self.container_id
        return status


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def phase(containers: Sequence[ContainerView], restart_policy: str, *, ending: bool) -> str:
    """The pod's phase; ``ending`` (deleted, past its deadline) says that nothing is restarted whatever the policy."""
    ends = [_end(one) for one in containers]
    if any(isinstance(one.state, Waiting) and one.last is None for one in containers):
        return "Pending"
    finished = [end for end in ends if end is not None]
    if len(finished) < len(containers):
        return "Running"
    if restart_policy == "Always" and not ending:
        return "Running"
    if all(end.exit_code == 0 for end in finished):
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
) -> list[Json]:
    """The five of a bound pod. ``lastTransitionTime`` moves only with a condition's status."""
    since = {one["type"]: (one["status"], one["lastTransitionTime"]) for one in before}
    ready, reason, message = _readiness(pod_phase, containers)
    wanted = [
        ("PodReadyToStartContainers", started and pod_phase not in TERMINAL_PHASES, "", ""),
        ("Initialized", True, "PodCompleted" if pod_phase == "Succeeded" else "", ""),
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


def _end(one: ContainerView) -> Terminated | None:
    """How the container stopped, also while it waits for its next start."""
    if isinstance(one.state, Terminated):
        return one.state
    return one.last if isinstance(one.state, Waiting) else None


def _readiness(pod_phase: str, containers: Sequence[ContainerView]) -> tuple[bool, str, str]:
    if pod_phase == "Succeeded":
        return False, "PodCompleted", ""
    if pod_phase == "Failed":
        return False, "PodFailed", ""
    unready = [one.name for one in containers if not one.ready]
    if unready:
        return False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"
    return True, "", ""
