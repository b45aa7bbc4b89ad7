"""Jobs: one pod after another until one succeeds or the Job has failed.

Knows Jobs and their pods. Follows ``syncJob`` in pkg/controller/job/job_controller.go, pod_failure_policy.go and
backoff_utils.go (Kubernetes v1.36.1), for one completion and no parallelism.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lab.api_client import ApiClient, Json
from lab.controllers.objects import deleted, is_active, owned_by, owner_reference, phase_of, pod_from, timestamp
from lab.object_status import condition_of, is_ready

MAX_BACKOFF_SECONDS = 600.0
"""``MaxJobPodFailureBackOff``."""
DEFAULT_BACKOFF_LIMIT = 6


@dataclass
class _Record:
    """What the real controller keeps in finalizers and its back-off store: which pods were counted, and as what."""

    failed: set[str] = field(default_factory=set)
    ignored: set[str] = field(default_factory=set)
    succeeded: set[str] = field(default_factory=set)
    alive: set[str] = field(default_factory=set)
    last_failure: datetime | None = None

    def pause(self, base_seconds: float, now: datetime) -> float:
        """Seconds until the next pod; ignored failures count here, though not towards the limit."""
        failures = len(self.failed) + len(self.ignored)
        if self.last_failure is None:
            return 0.0
        whole: float = min(base_seconds * 2.0 ** min(failures - 1, 16), MAX_BACKOFF_SECONDS)
        return whole - (now - self.last_failure).total_seconds()


class JobController:
    """Remembers its Jobs by uid."""

    def __init__(self, api: ApiClient, backoff_seconds: float) -> None:
        self._api = api
        self._backoff_seconds = backoff_seconds
        self._records: dict[str, _Record] = {}

    def sync(self, job: Json, pods: Sequence[Json], now: datetime) -> None:
        """One step of one Job, and its status."""
        if is_finished(job) or deleted(job):
            return
        record = self._records.setdefault(job["metadata"]["uid"], _Record())
        own = owned_by(job, pods)
        _count(job, own, record, now)
        started = job.get("status", {}).get("startTime") or timestamp(now)
        active = [pod for pod in own if is_active(pod)]
        terminating = sum(deleted(pod) and not _has_ended(pod) for pod in own)
        failure = _failure(job, own, record, datetime.fromisoformat(started), now)
        conditions: list[Json] = []
        complete = False
        if failure is not None:
            for pod in active:
                self._delete(pod)
            conditions = [_condition("FailureTarget", failure, now)]
            # Failed only when nothing of it runs any more.
            if not active and not terminating:
                conditions.append(_condition("Failed", failure, now))
        elif record.succeeded and not active:
            reached = ("CompletionsReached", "Reached expected number of succeeded pods")
            conditions = [_condition(kind, reached, now) for kind in ("SuccessCriteriaMet", "Complete")]
            complete = True
        elif not record.succeeded:
            occupied = len(active) + (terminating if _replaces_failed_only(job) else 0)
            if not occupied and record.pause(self._backoff_seconds, now) <= 0:
                active = [self._create(job)]
                record.alive.add(active[0]["metadata"]["uid"])
        status = {
            "startTime": started,
            "active": len(active) or None,
            "ready": sum(is_ready(pod) for pod in active),
            "terminating": terminating,
            "succeeded": len(record.succeeded) or None,
            "failed": len(record.failed) or None,
        }
        if complete:
            status["completionTime"] = timestamp(now)
        self._write_status(job, status, conditions)

    def forget_others(self, uids: set[str]) -> None:
        """Only these Jobs are left."""
        self._records = {uid: record for uid, record in self._records.items() if uid in uids}

    def _create(self, job: Json) -> Json:
        metadata = job["metadata"]
        labels = {
            "batch.kubernetes.io/controller-uid": metadata["uid"],
            "batch.kubernetes.io/job-name": metadata["name"],
            "controller-uid": metadata["uid"],
            "job-name": metadata["name"],
        }
        reference = owner_reference("batch/v1", "Job", job)
        pod = pod_from(job["spec"]["template"], job, reference, labels)
        return self._api.create(f"/api/v1/namespaces/{metadata['namespace']}/pods", pod)

    def _delete(self, pod: Json) -> None:
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._api.delete(path, uid=metadata["uid"])

    def _write_status(self, job: Json, status: Json, conditions: Sequence[Json]) -> None:
        metadata, before = job["metadata"], job.get("status") or {}
        known: list[Json] = list(before.get("conditions") or [])
        new = [one for one in conditions if condition_of(job, one["type"]) is None]
        if new:
            status["conditions"] = known + new
        if any(before.get(key) != value for key, value in status.items()):
            path = f"/apis/batch/v1/namespaces/{metadata['namespace']}/jobs/{metadata['name']}"
            self._api.patch_status(path, {"status": status})


def is_finished(job: Json) -> bool:
    """Complete or Failed; it is never touched again."""
    kinds = (condition_of(job, kind) for kind in ("Complete", "Failed"))
    return any(one is not None and one["status"] == "True" for one in kinds)


def _count(job: Json, own: Sequence[Json], record: _Record, now: datetime) -> None:
    """Takes up each pod's end once. A pod that vanished in between has failed, as its finalizer would have shown."""
    present = {pod["metadata"]["uid"]: pod for pod in own}
    for uid in record.alive - present.keys():
        record.alive.discard(uid)
        record.failed.add(uid)
        record.last_failure = now
    for uid, pod in present.items():
        if uid in record.failed | record.ignored | record.succeeded:
            continue
        if phase_of(pod) == "Succeeded":
            record.succeeded.add(uid)
        elif phase_of(pod) == "Failed" or (deleted(pod) and not _replaces_failed_only(job)):
            ignored = (_matching_rule(job, pod) or ("", ""))[0] == "Ignore"
            (record.ignored if ignored else record.failed).add(uid)
            record.last_failure = now
        else:
            record.alive.add(uid)
            continue
        record.alive.discard(uid)


def _has_ended(pod: Json) -> bool:
    return phase_of(pod) in ("Succeeded", "Failed")


def _replaces_failed_only(job: Json) -> bool:
    """podReplacementPolicy: Failed, which a podFailurePolicy implies (``onlyReplaceFailedPods``)."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or bool(spec.get("podFailurePolicy"))


def _failure(
    job: Json, own: Sequence[Json], record: _Record, started: datetime, now: datetime
) -> tuple[str, str] | None:
    """Reason and message, in the real one's order: decided before, policy, limit, deadline."""
    target = condition_of(job, "FailureTarget")
    if target is not None:
        return target["reason"], target["message"]
    for pod in own:
        rule = _matching_rule(job, pod) if phase_of(pod) == "Failed" else None
        if rule is not None and rule[0] == "FailJob":
            return "PodFailurePolicy", rule[1]
    limit = job["spec"].get("backoffLimit", DEFAULT_BACKOFF_LIMIT)
    if len(record.failed) > limit or _past_limit_on_failure(job, own, limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    deadline = job["spec"].get("activeDeadlineSeconds")
    if deadline is not None and now - started >= timedelta(seconds=deadline):
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _past_limit_on_failure(job: Json, own: Sequence[Json], limit: int) -> bool:
    """With restartPolicy OnFailure the containers' restarts are counted instead."""
    if job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(
        status["restartCount"]
        for pod in own
        if not _has_ended(pod)
        for status in pod.get("status", {}).get("containerStatuses") or []
    )
    return bool(restarts >= max(1, limit))


def _matching_rule(job: Json, pod: Json) -> tuple[str, str] | None:
    """The action of the first rule of the podFailurePolicy that matches, and what the Job says of it."""
    shown = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    status = pod.get("status", {})
    rules: list[Json] = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for index, rule in enumerate(rules):
        action, codes = rule["action"], rule.get("onExitCodes")
        if codes is not None:
            for one in status.get("containerStatuses") or []:
                ended = one["state"].get("terminated")
                named = codes.get("containerName") in (None, one["name"])
                if ended is None or ended["exitCode"] == 0 or not named:
                    continue
                if (ended["exitCode"] in codes["values"]) == (codes["operator"] == "In"):
                    return action, (
                        f"Container {one['name']} for pod {shown} failed with exit code "
                        f"{ended['exitCode']} matching {action} rule at index {index}"
                    )
            continue
        for pattern in rule.get("onPodConditions") or []:
            found = condition_of(pod, pattern["type"])
            if found is not None and found["status"] == pattern.get("status", "True"):
                return action, (f"Pod {shown} has condition {pattern['type']} matching {action} rule at index {index}")
    return None


def _condition(kind: str, verdict: tuple[str, str], now: datetime) -> Json:
    reason, message = verdict
    return {
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
    }
