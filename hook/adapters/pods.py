"""Pods as the Kubernetes API shows them: all their containers, and the last words of what crashed.

Their logs and Events are read one a turn, so that a turn does not grow with the pods that are in trouble.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hook.adapters.answers import Answer
from hook.adapters.api import ApiError
from hook.observation import diagnosis
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason
from hook.observation.workloads import (
    DEFAULT_CONTAINER,
    Container,
    ContainerKind,
    Pod,
    Termination,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from typing import Any

    from hook.adapters.api import Api

_LOG = {"tailLines": "300", "limitBytes": "1048576"}
"""Enough to reach back over the goroutines that follow a panic, and over fx's stack traces (seen: 100 kB).

The kubelet keeps the first bytes of these lines, so that a limit below what they may weigh would cut off the crash itself.
"""


def read_pod(item: Mapping[str, Any], component: str = "") -> Pod | None:
    """Return a pod, or None for one that is on its way out. Raises `FindingError`."""
    namespace, name = _identity(item)
    answer = Answer(item, f"pod {namespace}/{name}")
    metadata, spec, status = answer["metadata"], answer["spec"], answer["status"]
    if "deletionTimestamp" in metadata:
        return None
    labels = metadata["labels"].texts()
    component = component or labels.get("app.kubernetes.io/component", "")
    created_at = metadata["creationTimestamp"].time()
    containers = (
        *_containers(spec, status, created_at, "initContainers"),
        *_containers(spec, status, created_at, "containers"),
    )
    failed = status["phase"].text() == "Failed"
    return Pod(
        namespace=namespace,
        name=name,
        uid=metadata["uid"].text(),
        component=component,
        instance=labels.get("app.kubernetes.io/instance", ""),
        owner=next(
            (
                f"{one['kind'].text()}/{one['name'].text()}"
                for one in metadata["ownerReferences"]
                if one["controller"].flag()
            ),
            "",
        ),
        ip=status["podIP"].text(),
        created_at=created_at,
        phase=status["phase"].text(),
        ready=any(one["type"].text() == "Ready" and one["status"].text() == "True" for one in status["conditions"]),
        unschedulable=_unschedulable(status),
        failure=f"{status['reason'].text()}: {status['message'].text()}".strip(": ") if failed else "",
        server=_server(containers, component, metadata["annotations"].texts().get(DEFAULT_CONTAINER, "")),
        containers=containers,
    )


def _identity(item: Mapping[str, Any]) -> tuple[str, str]:
    metadata = Answer(item, "a pod")["metadata"]
    return metadata["namespace"].name(), metadata["name"].name()


def _unschedulable(status: Answer) -> str:
    for one in status["conditions"]:
        if one["type"].text() == "PodScheduled" and one["reason"].text() == "Unschedulable":
            return one["message"].text() or "Unschedulable"
    return ""


def _server(containers: tuple[Container, ...], component: str, default: str) -> str:
    """Return the name of the pod's own container: sidecars come and go beside it, and an alias of the chart renames it.

    The chart calls it ``<chart's name or alias>-<component>``.
    """
    mains = [one for one in containers if one.kind is ContainerKind.MAIN]
    names = [one.name for one in mains]
    by_component = [name for name in names if name.endswith(f"-{component}")] if component else []
    by_default = [name for name in names if name == default]
    own = [one.name for one in mains if not one.is_injected]
    return next(iter((*by_component, *by_default, *own, *names)), "")


def _containers(spec: Answer, status: Answer, created_at: datetime | None, of: str) -> Iterator[Container]:
    """Yield the containers of the specification, each with its status where it has one yet; then those of status alone."""
    field = "initContainerStatuses" if of == "initContainers" else "containerStatuses"
    statuses = {one["name"].text(): one for one in status[field]}
    nothing = Answer(None, "a container")
    specified = {one["name"].name(): one for one in spec[of]}
    for name, one in (specified | {name: nothing for name in statuses if name not in specified}).items():
        seen = statuses.get(name, nothing)
        kind = ContainerKind.MAIN
        if of == "initContainers":
            kind = ContainerKind.SIDECAR if one["restartPolicy"].text() == "Always" else ContainerKind.INIT
        state = seen["state"]
        yield Container(
            name=name,
            kind=kind,
            image=one["image"].text() or seen["image"].text(),
            probed="readinessProbe" in one,
            ready=seen["ready"].flag(),
            running_since=(state["running"]["startedAt"].time() or created_at) if "running" in state else None,
            waiting=state["waiting"]["reason"].text(),
            waiting_message=state["waiting"]["message"].text(),
            ended=_termination(state["terminated"]),
            last=_termination(seen["lastState"]["terminated"]),
            restarts=seen["restartCount"].number(),
        )


def _termination(end: Answer) -> Termination | None:
    if not end.is_there:
        return None
    return Termination(
        exit_code=end["exitCode"].number() if "exitCode" in end else None,
        reason=end["reason"].text(),
        message=end["message"].text(),
        started_at=end["startedAt"].time(),
        finished_at=end["finishedAt"].time(),
    )


class LastWords:
    """What crashed containers and stuck pods say, read one a turn, and once each: until a container crashes again."""

    def __init__(self, api: Api, *, with_events: bool) -> None:
        """Read logs, and Events where they may be read."""
        self._api = api
        self._with_events = with_events
        self._logs: dict[tuple[str, str], tuple[int, str]] = {}
        """By the pod's uid and the container: at which restart it was read, and what it said."""
        self._unread: dict[tuple[str, str], str] = {}
        self._events: dict[str, str] = {}
        self._may_read = True

    def begin_turn(self) -> None:
        """Let one more be read."""
        self._may_read = True

    def told(self, pods: tuple[Pod, ...], now: datetime | None) -> tuple[Pod, ...]:
        """Return the pods with what they said and their diagnosis. What cannot be read is left out, and asked for again.

        What crashed last is read first, and what could not be read last, so that it keeps no other from being read.
        """
        # One that ended for the first time is started again at once, and its log is another's then. From the second time
        # on the kubelet waits for 10 s and more, and may call it terminated for a minute before it says CrashLoopBackOff.
        crashed = [
            (one, pod)
            for pod in pods
            for one in pod.containers
            if one.crash and (one.waiting or one.restarts or pod.phase == "Failed")
        ]
        crashed.sort(key=_crashed_at, reverse=True)
        tried = {key: turn for turn, key in enumerate(self._unread, start=1)}
        for container, pod in sorted(crashed, key=lambda one: tried.get((one[1].uid, one[0].name), 0)):
            self._read_log(pod, container)
        told = tuple(self._with_words(pod, now) for pod in pods)
        for pod in told:
            if pod.finding is not None and pod.finding.reason is Reason.POD_NOT_STARTING:
                self._read_event(pod.namespace, pod.uid, "type=Warning")
        return told

    def refused(self, namespace: str, uid: str) -> str:
        """Return why no pod can be made for a Job, empty where nobody says so: only an Event of the Job tells."""
        self._read_event(namespace, uid, "reason=FailedCreate")
        return self._events.get(uid, "")

    def _with_words(self, pod: Pod, now: datetime | None) -> Pod:
        containers = tuple(self._with_log(pod, one) if one.last_crash else one for one in pod.containers)
        pod = replace(pod, containers=containers, event=self._events.get(pod.uid, ""))
        return replace(pod, finding=diagnosis.of_pod(pod, now))

    def _with_log(self, pod: Pod, container: Container) -> Container:
        key = (pod.uid, container.name)
        return replace(container, log=self._logs.get(key, (0, None))[1], unread=self._unread.get(key, ""))

    def _read_log(self, pod: Pod, container: Container) -> None:
        key = (pod.uid, container.name)
        read_at, _ = self._logs.get(key, (-1, ""))
        if read_at == container.restarts or not self._may_read:
            return
        self._may_read = False
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"
        previous = {"previous": "true"} if container.ended is None else {}
        try:
            log = self._api.text(path, {**_LOG, **previous, "container": container.name})
        except (ApiError, FindingError) as error:
            self._unread.pop(key, None)
            self._unread[key] = str(error)  # as the one that was tried last
            return
        self._unread.pop(key, None)
        self._logs[key] = (container.restarts, diagnosis.last_words(log))

    def _read_event(self, namespace: str, uid: str, kind: str) -> None:
        """Read the last such Event about an object; where Events may not be read nothing is lost but words."""
        if not self._may_read or not self._with_events or self._events.get(uid):
            return
        self._may_read = False
        query = {"fieldSelector": f"involvedObject.uid={uid},{kind}", "limit": "50"}
        try:
            events = self._api.list(f"/api/v1/namespaces/{namespace}/events", query)
            told = [(str(e["lastTimestamp"].time() or ""), e) for e in (Answer(one, "an Event") for one in events)]
            last = max(told, key=lambda one: one[0], default=None)
            self._events[uid] = f"{last[1]['reason'].text()}: {last[1]['message'].text()}" if last else ""
        except ApiError:
            return
        except FindingError as error:
            self._with_events = error.finding.reason is not Reason.API_FORBIDDEN


def _crashed_at(one: tuple[Container, Pod]) -> str:
    crash = one[0].crash
    return str((crash.finished_at if crash else None) or "")
