"""What the gate needs of Kubernetes itself: Temporal's servers, Jobs, the gate's own Job, and Events.

It lists by label in one namespace, and reads Jobs by their names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hook.adapters.answers import Answer
from hook.adapters.api import Api, ApiError
from hook.adapters.pods import LastWords, read_pod
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.workloads import JOB_COMPONENT, PROGRAM, Job, JobPhase, JobRef, Owner, Pod, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hook.observation.applications import ApplicationRef

_SCHEMA_TOOL = re.compile(r"temporal-(sql|cassandra)-tool")
"""What makes or updates Temporal's schema, in the commands of the chart's containers and of everybody else's."""

_SCHEMA_NAME = re.compile(r"(^|[-_])schema([-_]|$)")


class Servers:
    """Temporal's servers in one namespace: what owns their pods, and the pods."""

    def __init__(self, api: Api, namespace: str, selector: str, components: tuple[str, ...], words: LastWords) -> None:
        """Select by the runtime's labels and its components."""
        self._api = api
        self._namespace = namespace
        self._selector = f"{selector},app.kubernetes.io/component in ({','.join(components)})"
        self._words = words

    def look(self) -> Runtime:
        """Return what is wanted and what is there; raise `FindingError`."""
        query = {"labelSelector": self._selector}
        owners = list(self._owners("apps/v1", "deployments", query))
        listed = self._api.list(f"/api/v1/namespaces/{self._namespace}/pods", query)
        pods = tuple(pod for item in listed if (pod := read_pod(item)) is not None and pod.phase not in _ENDED)
        if not _are_explained(pods, owners):
            for group, kind in (("apps/v1", "statefulsets"), ("argoproj.io/v1alpha1", "rollouts")):
                owners += self._others(group, kind, query)
        if not owners and not listed:
            self._insist_on_namespace()
        told = self._words.told(pods, self._api.server_time)
        return Runtime(tuple(owners), told, f"{self._selector} in namespace {self._namespace}")

    def delete(self, pod: Pod) -> bool:
        """Delete a pod if it is still the same; return False when it is gone or another has its name."""
        try:
            self._api.delete(f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", pod.uid)
        except ApiError:
            return False
        return True

    def _owners(self, group: str, kind: str, query: Mapping[str, str]) -> Iterator[Owner]:
        for item in self._api.list(f"/apis/{group}/namespaces/{self._namespace}/{kind}", query):
            answer = Answer(item, f"{kind} in namespace {self._namespace}")
            labels = answer["metadata"]["labels"].texts()
            yield Owner(
                kind=kind,
                name=answer["metadata"]["name"].name(),
                component=labels.get("app.kubernetes.io/component", ""),
                replicas=answer["spec"]["replicas"].number(1),
                instance=labels.get("app.kubernetes.io/instance", ""),
                trouble=next(
                    (
                        f"{one['reason'].text()}: {one['message'].text()}"
                        for one in answer["status"]["conditions"]
                        if one["type"].text() == "ReplicaFailure" and one["status"].text() == "True"
                    ),
                    "",
                ),
            )

    def _others(self, group: str, kind: str, query: Mapping[str, str]) -> list[Owner]:
        """Return owners that are no Deployments; none where there is no such kind, or they may not be read."""
        try:
            return list(self._owners(group, kind, query))
        except FindingError:
            return []

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


_ENDED = {"Succeeded", "Failed"}


def _are_explained(pods: tuple[Pod, ...], owners: list[Owner]) -> bool:
    """Tell whether Deployments own all pods; a ReplicaSet's name is its Deployment's and a hash."""
    names = {owner.name for owner in owners}
    owned = (pod.owner.partition("/") for pod in pods if pod.owner)
    return bool(owners or pods) and all(
        kind == "ReplicaSet" and name.rpartition("-")[0] in names for kind, _, name in owned
    )


class JobReader:
    """Jobs by their names, and their pods."""

    def __init__(self, api: Api, words: LastWords) -> None:
        """Read pods' last words through ``words``."""
        self._api = api
        self._words = words

    def look(self, ref: JobRef, *, with_pods_of_complete: bool = False) -> Job | None:
        """Return a Job with its pods, None where there is none; raise `FindingError`.

        The pods of one that is Complete are of interest only where it matters when its work began.
        """
        try:
            item = self._api.get(f"/apis/batch/v1/namespaces/{ref.namespace}/jobs/{ref.name}")
        except ApiError as error:
            if error.status != 404:  # noqa: PLR2004 -- HTTP's not found
                raise FindingError(Finding(Reason.API_UNREACHABLE, f"Job {ref}", error.message)) from error
            return self._orphaned(ref)
        except FindingError:
            if (job := self._orphaned(ref)) is not None:
                return job
            raise
        job = _job(ref, Answer(item, f"Job {ref}"))
        if job.phase is JobPhase.COMPLETE and not with_pods_of_complete:
            return job
        try:
            pods = self._pods(ref, job.uid)
        except FindingError as error:
            return replace(job, pods_unseen=error.finding)
        if job.is_running and not pods:
            return replace(job, message=self._words.refused(ref.namespace, job.uid))
        return replace(job, pods=pods)

    def _orphaned(self, ref: JobRef) -> Job | None:
        """Return a Job that is not there, or may not be read, by the pods that still run in its name; None without any."""
        try:
            pods = tuple(pod for pod in self._pods(ref, "") if pod.phase not in _ENDED)
        except FindingError:
            return None
        return Job(ref, "", JobPhase.RUNNING, pods=pods) if pods else None

    def _pods(self, ref: JobRef, uid: str) -> tuple[Pod, ...]:
        """Return the pods that bear the Job's name, and are of the Job of this uid where they name an owner."""
        query = {"labelSelector": f"batch.kubernetes.io/job-name={ref.name}"}
        listed = self._api.list(f"/api/v1/namespaces/{ref.namespace}/pods", query)
        own = (item for item in listed if not uid or not (owners := _owners_of(item)) or uid in owners)
        pods = tuple(pod for item in own if (pod := read_pod(item, JOB_COMPONENT)) is not None)
        return self._words.told(pods, self._api.server_time)


def _owners_of(item: Mapping[str, Any]) -> set[str]:
    """Return the uids of a pod's owners."""
    return {one["uid"].text() for one in Answer(item, "a pod")["metadata"]["ownerReferences"]}


def _job(ref: JobRef, answer: Answer) -> Job:
    metadata, spec, status = answer["metadata"], answer["spec"], answer["status"]
    conditions = {one["type"].text(): one for one in status["conditions"] if one["status"].text() == "True"}
    phase, told = JobPhase.RUNNING, None
    if failed := conditions.get("Failed") or conditions.get("FailureTarget"):
        phase, told = JobPhase.FAILED, failed
    elif conditions.get("Complete") or conditions.get("SuccessCriteriaMet"):
        phase = JobPhase.COMPLETE
    elif spec["suspend"].flag():
        phase = JobPhase.SUSPENDED
    template = spec["template"]["spec"]
    commands = " ".join(
        word.text()
        for containers in ("initContainers", "containers")
        for one in template[containers]
        for words in ("command", "args")
        for word in one[words]
    )
    return Job(
        ref=ref,
        uid=metadata["uid"].text(),
        phase=phase,
        created_at=metadata["creationTimestamp"].time(),
        started_at=status["startTime"].time(),
        ended_at=status["completionTime"].time() or (told["lastTransitionTime"].time() if told else None),
        message=f"{told['reason'].text()}: {told['message'].text()}".strip(": ") if told else "",
        makes_schema=bool(_SCHEMA_TOOL.search(commands) or _SCHEMA_NAME.search(ref.name)),
        guards=metadata["labels"]["app.kubernetes.io/name"].text() == PROGRAM,
    )


class OwnJob:
    """The gate's own Job, which makes its run: read until it was seen once, since none of it changes."""

    def __init__(self, api: Api, ref: JobRef, uid: str) -> None:
        """Read the Job of this name; ``uid`` is the run's: a successor of the same name is another run."""
        self._api = api
        self._ref = ref
        self._uid = uid
        self._run: Run | None = None

    def look(self) -> Run:
        """Return the run: the Job's uid and creation, and the Application whose sync made it. Raises `FindingError`.

        Argo CD marks what it made by the tracking annotation ``app:group/kind:namespace/name`` or, under label tracking,
        by an instance label whose key is a setting of its own: which is why an Application that lists the Job among its
        resources owns it, whatever the labels say.
        """
        if self._run is None:
            self._run = self._read()
        return self._run

    def _read(self) -> Run:
        about = f"Job {self._ref}"
        try:
            item = self._api.get(f"/apis/batch/v1/namespaces/{self._ref.namespace}/jobs/{self._ref.name}")
        except ApiError as error:
            raise FindingError(Finding(Reason.API_UNREACHABLE, about, error.message)) from error
        metadata = Answer(item, about)["metadata"]
        uid, created_at = metadata["uid"].name(), metadata["creationTimestamp"].time()
        if created_at is None:
            raise metadata["creationTimestamp"].not_understood("a time")
        if uid != self._uid:
            detail = f"it is another Job of that name (uid {uid}, not {self._uid})"
            raise FindingError(Finding(Reason.API_UNREACHABLE, about, detail))
        tracking = metadata["annotations"].texts().get("argocd.argoproj.io/tracking-id", "")
        return Run(uid, created_at, owner=tracking.partition(":")[0] or None, job=self._ref)


class Events:
    """Kubernetes Events on Applications."""

    def __init__(self, api: Api, reporter: str, uid_of: Callable[[ApplicationRef], str] | None = None) -> None:
        """Report as ``reporter``, the run's id. ``uid_of`` tells an Application's uid, None has it read from this API."""
        self._api = api
        self._reporter = reporter
        self._uid_of = uid_of or self._read_uid
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
            self._uids[ref] = self._uid_of(ref)
        return self._uids[ref]

    def _read_uid(self, ref: ApplicationRef) -> str:
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{ref.namespace}/applications/{ref.name}"
        return Answer(self._api.get(path), f"Application {ref}")["metadata"]["uid"].text()

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
