"""Temporal's pods and Deployments, the gate's own Job, and Events: what the gate needs of Kubernetes itself.

It lists by label in one namespace; a log is read only of a pod in back-off and only when its restart count changed.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hook.adapters.api import Api, ApiError
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.workloads import Pod, PodState, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hook.observation.applications import ApplicationRef, JobRef

_LOG = {"tailLines": "300", "limitBytes": "1048576", "previous": "true"}
"""Enough to reach back over the goroutines that follow a panic, and over fx's stack traces (seen: 100 kB).

The kubelet keeps the first bytes of these lines, so that a limit below what they may weigh would cut off the crash itself.
"""

_DIAGNOSES: tuple[tuple[str, Reason], ...] = (
    (r"Failed to lock namespace metadata\. ?Error: ?sql: no rows", Reason.NAMESPACE_METADATA_MISSING),
    (r"Cluster info initial versions have duplicates", Reason.CLUSTER_METADATA_DUPLICATED),
    (r"temporal-system namespace does not exist", Reason.SYSTEM_NAMESPACE_MISSING),
    (r"permission denied for (table|relation|schema)", Reason.TABLE_PERMISSION_DENIED),
    (r"no usable database connection found", Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
    (r"sql schema version compatibility check failed", Reason.RUNTIME_FINDS_NO_SCHEMA),
)
"""Temporal's start-up crashes that are rooted in the database, by their text (facts, "what the server checks").

The order matters: from 1.25 an unusable database carries the schema check's prefix too.
"""

_SHOWN_CHARACTERS = 300

_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG_REASONS = {"CreateContainerConfigError", "CreateContainerError"}


class Pods:
    """The pods of Temporal's servers in one namespace."""

    def __init__(self, api: Api, namespace: str, selector: str, components: tuple[str, ...]) -> None:
        """Select by the runtime's labels and its components."""
        self._api = api
        self._namespace = namespace
        self._selector = f"{selector},app.kubernetes.io/component in ({','.join(components)})"
        self._diagnoses: dict[str, tuple[int, Finding]] = {}
        """By the pod's uid: at which restart count its previous log was read, and what it said."""

    def look(self) -> Runtime:
        """Return what is wanted and what is there; raise `FindingError`."""
        query = {"labelSelector": self._selector}
        deployments = self._api.list(f"/apis/apps/v1/namespaces/{self._namespace}/deployments", query)
        listed = self._api.list(f"/api/v1/namespaces/{self._namespace}/pods", query)
        if not deployments and not listed:
            self._insist_on_namespace()
        wanted: dict[str, int] = {}
        for deployment in deployments:
            component = _component(deployment)
            wanted[component] = wanted.get(component, 0) + int(deployment["spec"].get("replicas", 1))
        pods = tuple(self._diagnosed(pod, item) for item in listed if (pod := _pod(item, _component(item))) is not None)
        uids = {pod.uid for pod in pods}
        self._diagnoses = {uid: diagnosis for uid, diagnosis in self._diagnoses.items() if uid in uids}
        return Runtime(wanted, pods)

    def delete(self, pod: Pod) -> bool:
        """Delete a pod if it is still the same; return False when it is gone or another has its name."""
        try:
            self._api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", pod.uid)
        except ApiError:
            return False
        return True

    def _insist_on_namespace(self) -> None:
        """Tell an empty namespace from one that is not there: a list of either is empty. Forbidden is no answer."""
        try:
            self._api.get(f"/api/v1/namespaces/{self._namespace}")
        except ApiError as error:
            about = f"namespace {self._namespace}"
            raise FindingError(Finding(Reason.NAMESPACE_MISSING, about, error.message)) from error
        except FindingError as error:
            if error.finding.reason is not Reason.API_FORBIDDEN:
                raise

    def _diagnosed(self, pod: Pod, item: Mapping[str, Any]) -> Pod:
        """Add the diagnosis of its previous log to a pod in back-off; a log that could not be read is asked for again.

        One that has crashed again keeps its diagnosis up to its next back-off, which is half a second later (seen).
        """
        about, (read_at, known) = f"pod {pod.namespace}/{pod.name}", self._diagnoses.get(pod.uid, (-1, None))
        if pod.state is PodState.PENDING and pod.finding is None:
            return replace(pod, finding=known)
        if pod.state is not PodState.BACK_OFF:
            return pod
        if known is None or read_at != pod.restarts:
            try:
                known = diagnose(about, self._previous_log(pod, _server_container(item)))
            except (ApiError, FindingError) as error:
                unread = Finding(Reason.CRASH_LOOPING, about, f"its previous log cannot be read: {error}")
                return replace(pod, finding=unread)
            self._diagnoses[pod.uid] = (pod.restarts, known)
        return replace(pod, finding=known)

    def _previous_log(self, pod: Pod, container: str) -> str:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"
        return self._api.text(path, {**_LOG, "container": container})


def pods_of_jobs(api: Api, jobs: tuple[JobRef, ...]) -> tuple[Pod, ...]:
    """Return the pods of Jobs that have not ended: they run, or hang; raise `FindingError`."""
    return tuple(
        pod
        for job in jobs
        for item in api.list(
            f"/api/v1/namespaces/{job.namespace}/pods", {"labelSelector": f"batch.kubernetes.io/job-name={job.name}"}
        )
        if (pod := _pod(item, "job")) is not None
    )


def diagnose(about: str, log: str) -> Finding:
    """Return what a crashed server's log says was the cause."""
    for pattern, reason in _DIAGNOSES:
        for line in log.splitlines():
            if re.search(pattern, line):
                return Finding(reason, about, _told(line))
    lines = [line for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith("panic:") or '"level":"fatal"' in line or '"error":' in line]
    last = (telling or lines or ["its previous log is empty"])[-1]
    return Finding(Reason.CRASH_LOOPING, about, _told(last))


class OwnJob:
    """The gate's own Job, which makes its run: read until it was seen once, since none of it changes."""

    def __init__(self, api: Api, ref: JobRef, *, has_application: bool) -> None:
        """Read the Job of this name; without an Application its instance label is the chart's own, not Argo CD's."""
        self._api = api
        self._ref = ref
        self._has_application = has_application
        self._run: Run | None = None

    def look(self) -> Run:
        """Return the run: the Job's uid and creation, and the Application whose sync made it. Raises `FindingError`.

        Argo CD marks what it made by the tracking annotation ``app:group/kind:namespace/name`` or, under label
        tracking, by the instance label.
        """
        if self._run is None:
            self._run = self._read()
        return self._run

    def _read(self) -> Run:
        try:
            metadata = self._api.get(f"/apis/batch/v1/namespaces/{self._ref.namespace}/jobs/{self._ref.name}")[
                "metadata"
            ]
        except ApiError as error:
            about = f"Job {self._ref.namespace}/{self._ref.name}"
            raise FindingError(Finding(Reason.API_UNREACHABLE, about, error.message)) from error
        tracking = (metadata.get("annotations") or {}).get("argocd.argoproj.io/tracking-id", "")
        label = (metadata.get("labels") or {}).get("app.kubernetes.io/instance")
        owner = tracking.partition(":")[0] or (label if self._has_application else None)
        return Run(metadata["uid"], datetime.fromisoformat(metadata["creationTimestamp"]), owner)


class Events:
    """Kubernetes Events on Applications."""

    def __init__(self, api: Api, reporter: str) -> None:
        """Report as ``reporter``, the run's id."""
        self._api = api
        self._reporter = reporter
        self._uids: dict[ApplicationRef, str] = {}

    def post(self, ref: ApplicationRef, kind: str, reason: str, message: str) -> None:
        """Post one; ``kind`` is Normal or Warning. Raises `FindingError`.

        The uid is what Argo CD's page and kubectl select by. The API refuses a message above 1024 bytes.
        """
        try:
            self._create(ref, kind, reason, message)
        except ApiError as error:
            about = f"Event on Application {ref}"
            raise FindingError(Finding(Reason.APPLICATION_MISSING, about, error.message)) from error

    def _uid(self, ref: ApplicationRef) -> str:
        """Return the Application's uid, read once."""
        if ref not in self._uids:
            path = f"/apis/argoproj.io/v1alpha1/namespaces/{ref.namespace}/applications/{ref.name}"
            self._uids[ref] = self._api.get(path)["metadata"]["uid"]
        return self._uids[ref]

    def _create(self, ref: ApplicationRef, kind: str, reason: str, message: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": "temporal-recovery-hook-", "namespace": ref.namespace},
            "involvedObject": {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": self._uid(ref),
            },
            "type": kind,
            "reason": reason,
            "message": message.encode()[:1024].decode(errors="ignore"),
            "source": {"component": "temporal-recovery-hook"},
            "reportingComponent": "temporal-recovery-hook",
            "reportingInstance": self._reporter[:128],
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._api.create(f"/api/v1/namespaces/{ref.namespace}/events", body)


def _component(item: Mapping[str, Any]) -> str:
    return str((item["metadata"].get("labels") or {}).get("app.kubernetes.io/component", ""))


def _server_container(item: Mapping[str, Any]) -> str:
    """Return the name of the container that is Temporal's server: sidecars come and go beside it."""
    names = [container["name"] for container in item["spec"]["containers"]]
    ours = [name for name in names if name == f"temporal-{_component(item)}"]
    return str((ours or names)[0])


def _pod(item: Mapping[str, Any], component: str) -> Pod | None:
    """Return a pod, or None for one that is on its way out."""
    metadata, status = item["metadata"], item.get("status") or {}
    if metadata.get("deletionTimestamp") or status.get("phase") in {"Succeeded", "Failed"}:
        return None
    name = _server_container(item)
    spec = next(container for container in item["spec"]["containers"] if container["name"] == name)
    container: Mapping[str, Any] = next(
        (one for one in status.get("containerStatuses") or () if one["name"] == name), {}
    )
    running = (container.get("state") or {}).get("running")
    waiting = (container.get("state") or {}).get("waiting") or {}
    ended = (
        (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    )
    if running is not None:
        state = PodState.RUNNING
    elif waiting.get("reason") == "CrashLoopBackOff":
        state = PodState.BACK_OFF
    else:
        state = PodState.PENDING
    about = f"pod {metadata['namespace']}/{metadata['name']}"
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        component=component,
        state=state,
        image=spec.get("image", ""),
        ready=any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ()),
        probed="readinessProbe" in spec,
        started_at=_time((running or {}).get("startedAt")),
        crashed_at=_time(ended.get("finishedAt")),
        restarts=int(container.get("restartCount", 0)),
        finding=next(_hung(about, status), None),
    )


def _hung(about: str, status: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield why a pod does not even start: each hangs for ever without an exit code."""
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Finding(Reason.POD_UNSCHEDULABLE, about, condition.get("message", ""))
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        detail = f"{waiting.get('reason')}: {waiting.get('message', '')}"
        if waiting.get("reason") in _IMAGE_REASONS:
            yield Finding(Reason.IMAGE_NOT_PULLABLE, about, f"{container.get('image', '')}: {detail}")
        elif waiting.get("reason") in _CONFIG_REASONS:
            yield Finding(Reason.CONTAINER_CONFIG_INVALID, about, detail)


def _told(line: str) -> str:
    """Return a log line that fits into a message; Temporal's lines are JSON with a stack trace."""
    found = re.search(r'"error":"((?:[^"\\]|\\.)*)"', line)
    text = found.group(1).replace('\\"', '"').replace("\\n", " ") if found else line
    return shortened(text, _SHOWN_CHARACTERS)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
