"""Jobs: pods until enough have succeeded or the Job has failed, and what is said of it meanwhile.

Knows Jobs and their pods. Follows ``syncJob`` in pkg/controller/job/job_controller.go and backoff_utils.go, and
pkg/controller/ttlafterfinished (Kubernetes v1.36.1), without indexes. As there, a pod carries a finalizer until the Job's
status has counted it, in two writes, so that neither pod nor controller may vanish in between.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lab import merge_patch
from lab.actor import NotModelledError
from lab.api_client import ApiClient, ApiError, Json
from lab.controllers.objects import (
    controller_of,
    deleted,
    is_active,
    owned_by,
    owner_reference,
    phase_of,
    pod_from,
    timestamp,
)
from lab.controllers.pod_failures import matching_rule
from lab.controllers.refusals import Refusals
from lab.object_status import condition_of, is_ready

OWN = "kubernetes.io/job-controller"
"""Of ``managedBy``; a Job of any other is left to that one."""
TRACKING = "batch.kubernetes.io/job-tracking"
MAX_BACKOFF_SECONDS = 600.0
"""``MaxJobPodFailureBackOff``."""
_NOT_FOUND = 404


@dataclass
class _Pause:
    """The back-off store's record of a Job: failures since the last success, ignored ones too."""

    failures: int = 0
    last: datetime | None = None

    def after(self, failed: Sequence[Json], *, succeeded: bool, now: datetime) -> "_Pause":
        """With what has ended since."""
        if succeeded:
            return _Pause()
        if not failed:
            return self
        return _Pause(self.failures + len(failed), max(_finished_at(pod, now) for pod in failed))

    def left(self, base_seconds: float, now: datetime) -> float:
        """Seconds until the next pod."""
        if self.last is None:
            return 0.0
        whole: float = min(base_seconds * 2.0 ** min(self.failures - 1, 16), MAX_BACKOFF_SECONDS)
        return whole - (now - self.last).total_seconds()


class JobController:
    """Remembers nothing of its Jobs but the pause before their next pod, and whom it has told of a refused one."""

    def __init__(self, api: ApiClient, backoff_seconds: float) -> None:
        self._api = api
        self._backoff_seconds = backoff_seconds
        self._pauses: dict[str, _Pause] = {}
        self._refusals = Refusals(api, "job-controller")

    def sync(self, job: Json, pods: Sequence[Json], now: datetime) -> None:
        """One step of one Job, and its status."""
        spec = job["spec"]
        if spec.get("managedBy", OWN) != OWN:
            return
        if spec.get("completionMode") == "Indexed" or spec.get("successPolicy"):
            message = f"not modelled: Job {job['metadata']['name']} is Indexed or has a success policy"
            raise NotModelledError(message)
        if is_finished(job):
            self._clean_up(job, now)
        else:
            _Step(self._api, job, owned_by(job, pods), now).take(self)

    def pause(self, job: Json) -> _Pause:
        """Before its next pod, as of the step before."""
        return self._pauses.get(job["metadata"]["uid"], _Pause())

    def remember(self, job: Json, pause: _Pause) -> None:
        """For the next step."""
        self._pauses[job["metadata"]["uid"]] = pause

    def has_paused(self, pause: _Pause, now: datetime) -> bool:
        """Whether a pod may be made now."""
        return pause.left(self._backoff_seconds, now) <= 0

    def create(self, job: Json) -> Json | None:
        """A pod of it, or none where the API refuses, which only an Event of the Job tells."""
        metadata = job["metadata"]
        labels = {
            "batch.kubernetes.io/controller-uid": metadata["uid"],
            "batch.kubernetes.io/job-name": metadata["name"],
            "controller-uid": metadata["uid"],
            "job-name": metadata["name"],
        }
        pod = pod_from(job["spec"]["template"], job, owner_reference("batch/v1", "Job", job), labels)
        pod["metadata"]["finalizers"] = [TRACKING]
        return self._refusals.create({"apiVersion": "batch/v1", "kind": "Job", **job}, pod)[0]

    def forget_others(self, uids: set[str]) -> None:
        """Only these Jobs are left."""
        self._pauses = {uid: pause for uid, pause in self._pauses.items() if uid in uids}

    def release(self, pods: Sequence[Json], jobs: Sequence[Json]) -> None:
        """``syncOrphanPod``: nobody counts the pods of a Job that is gone or has ended."""
        counting = {job["metadata"]["uid"] for job in jobs if not is_finished(job)}
        for pod in pods:
            owner = controller_of(pod)
            if owner is not None and owner["kind"] == "Job" and owner["uid"] not in counting and _is_tracked(pod):
                untrack(self._api, pod)

    def _clean_up(self, job: Json, now: datetime) -> None:
        """``ttlSecondsAfterFinished``."""
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None or deleted(job):
            return
        ended = next(one for kind in ("Complete", "Failed") if (one := condition_of(job, kind)) is not None)
        if now >= datetime.fromisoformat(ended["lastTransitionTime"]) + timedelta(seconds=seconds):
            self._api.delete(_path(job), uid=job["metadata"]["uid"])


class _Step:
    """One step of one Job, from what is seen of it and its pods."""

    def __init__(self, api: ApiClient, job: Json, own: Sequence[Json], now: datetime) -> None:
        self._api = api
        self._seen = job
        self._job = copy.deepcopy(job)
        self._status: Json = self._job.setdefault("status", {})
        self._own = own
        self._now = now
        self._active = [pod for pod in own if is_active(pod)]
        self._terminating = sum(deleted(pod) and not _has_ended(pod) for pod in own)
        uncounted = self._status.setdefault("uncountedTerminatedPods", {})
        self._uncounted: dict[str, list[str]] = {kind: uncounted.get(kind, []) for kind in ("succeeded", "failed")}

    def take(self, controller: JobController) -> None:
        """Decide, act on the pods, count those that have ended, and write the status."""
        fresh = [pod for pod in self._own if _is_tracked(pod)]
        succeeded = [pod for pod in fresh if phase_of(pod) == "Succeeded" and not self._is_counted(pod, "succeeded")]
        failed = [pod for pod in fresh if self._has_failed(pod) and not self._is_counted(pod, "failed")]
        counted_as_failed = [pod for pod in failed if not self._is_ignored(pod)]
        pause = controller.pause(self._job).after(failed, succeeded=bool(succeeded), now=self._now)
        totals = {
            "succeeded": self._total("succeeded") + len(succeeded),
            "failed": self._total("failed") + len(counted_as_failed),
        }
        if "startTime" not in self._status and not self._is_suspended():
            self._status["startTime"] = timestamp(self._now)
        end = self._end(totals["failed"])
        if end is not None:
            self._delete_active()
        else:
            if not deleted(self._job):
                self._manage(controller, pause, totals["succeeded"])
            end = self._completion(totals["succeeded"])
            if end is None and not deleted(self._job):
                self._tell_suspension()
        self._status |= {
            "active": len(self._active),
            "ready": sum(is_ready(pod) for pod in self._active),
            "terminating": self._terminating,
        }
        self._count(end)
        controller.remember(self._job, pause)

    # --- what it comes to -------------------------------------------------------------------------------------------

    def _end(self, failed: int) -> tuple[str, str, str] | None:
        """Kind, reason and message, in the real one's order: decided before, policy, limit, deadline."""
        spec = self._job["spec"]
        for kind in ("SuccessCriteriaMet", "FailureTarget"):
            decided = condition_of(self._job, kind)
            if decided is not None and decided["status"] == "True":
                return kind, decided["reason"], decided["message"]
        for pod in self._own:
            rule = matching_rule(self._job, pod) if phase_of(pod) == "Failed" else None
            if rule is not None and rule[0] == "FailJob":
                return "FailureTarget", "PodFailurePolicy", rule[1]
        if failed > spec["backoffLimit"] or self._past_limit_on_failure():
            return "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        deadline = spec.get("activeDeadlineSeconds")
        if deadline is not None and not self._is_suspended():
            started = datetime.fromisoformat(self._status["startTime"])
            if self._now - started >= timedelta(seconds=deadline):
                return "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline"
        return None

    def _completion(self, succeeded: int) -> tuple[str, str, str] | None:
        wanted = self._job["spec"].get("completions")
        enough = succeeded > 0 if wanted is None else succeeded >= wanted
        reached = ("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
        return reached if enough and not self._active else None

    def _past_limit_on_failure(self) -> bool:
        """With restartPolicy OnFailure the containers' restarts count instead, those of init containers too."""
        if self._job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
            return False
        restarts = sum(
            one["restartCount"]
            for pod in self._own
            if not _has_ended(pod)
            for kind in ("initContainerStatuses", "containerStatuses")
            for one in pod.get("status", {}).get(kind) or []
        )
        return bool(restarts >= max(1, self._job["spec"]["backoffLimit"]))

    def _is_suspended(self) -> bool:
        return bool(self._job["spec"].get("suspend"))

    # --- its pods ---------------------------------------------------------------------------------------------------

    def _manage(self, controller: JobController, pause: _Pause, succeeded: int) -> None:
        """``manageJob``: as many as are wanted, none of a suspended one."""
        spec = self._job["spec"]
        if self._is_suspended():
            self._delete_active()
            return
        wanted, parallelism = spec.get("completions"), spec["parallelism"]
        if wanted is None:
            target = len(self._active) if succeeded else parallelism
        else:
            target = max(0, min(wanted - succeeded, parallelism))
        occupied = len(self._active) + (self._terminating if self._replaces_failed_only() else 0)
        if target > occupied and controller.has_paused(pause, self._now):
            made = [controller.create(self._job) for _ in range(target - occupied)]
            self._active += [pod for pod in made if pod is not None]

    def _delete_active(self) -> None:
        for pod in self._active:
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
            try:
                self._api.delete(path, uid=pod["metadata"]["uid"])
            except ApiError as error:
                if error.status != _NOT_FOUND:
                    raise
        self._terminating += len(self._active)
        self._active = []

    def _has_failed(self, pod: Json) -> bool:
        """``isPodFailed``: one that is deleted has, unless only the failed are replaced."""
        if phase_of(pod) == "Failed":
            return True
        return deleted(pod) and phase_of(pod) != "Succeeded" and not self._replaces_failed_only()

    def _replaces_failed_only(self) -> bool:
        """podReplacementPolicy: Failed, which a podFailurePolicy implies (``onlyReplaceFailedPods``)."""
        spec = self._job["spec"]
        return spec.get("podReplacementPolicy") == "Failed" or bool(spec.get("podFailurePolicy"))

    def _is_ignored(self, pod: Json) -> bool:
        return (matching_rule(self._job, pod) or ("", ""))[0] == "Ignore"

    # --- its status -------------------------------------------------------------------------------------------------

    def _is_counted(self, pod: Json, kind: str) -> bool:
        return pod["metadata"]["uid"] in self._uncounted[kind]

    def _total(self, kind: str) -> int:
        return int(self._status.get(kind, 0)) + len(self._uncounted[kind])

    def _tell_suspension(self) -> None:
        """Nothing of a Job that never was; one that goes on starts anew."""
        known = condition_of(self._job, "Suspended")
        if self._is_suspended() == (known is not None and known["status"] == "True"):
            return
        if self._is_suspended():
            self._set_condition("Suspended", "True", "JobSuspended", "Job suspended")
            self._status["startTime"] = None
        else:
            self._set_condition("Suspended", "False", "JobResumed", "Job resumed")
            self._status["startTime"] = timestamp(self._now)

    def _set_condition(self, kind: str, status: str, reason: str, message: str) -> None:
        others = [one for one in self._status.get("conditions") or [] if one["type"] != kind]
        now = timestamp(self._now)
        condition = {"type": kind, "status": status, "reason": reason, "message": message}
        self._status["conditions"] = [*others, {**condition, "lastProbeTime": now, "lastTransitionTime": now}]

    def _count(self, end: tuple[str, str, str] | None) -> None:
        """``trackJobStatusAndRemoveFinalizers``: whose end is known is written before its finalizer goes.

        And the verdict before the end: Complete and Failed come once nothing of the Job is uncounted or running.
        """
        self._move_counted({pod["metadata"]["uid"] for pod in self._own if _is_tracked(pod)})
        released = [pod for pod in self._own if _is_tracked(pod) and self._may_be_released(pod, end)]
        for pod in released:
            kind = self._counts_as(pod, end)
            if kind is not None and not self._is_counted(pod, kind):
                self._uncounted[kind].append(pod["metadata"]["uid"])
        if end is not None and condition_of(self._job, end[0]) is None:
            self._set_condition(end[0], "True", end[1], end[2])
        self._write()
        for pod in released:
            untrack(self._api, pod)
        gone = {pod["metadata"]["uid"] for pod in released}
        self._move_counted({pod["metadata"]["uid"] for pod in self._own if _is_tracked(pod)} - gone)
        if end is not None and not any(self._uncounted.values()) and not self._terminating:
            kind = "Complete" if end[0] == "SuccessCriteriaMet" else "Failed"
            self._set_condition(kind, "True", end[1], end[2])
            if kind == "Complete":
                self._status["completionTime"] = timestamp(self._now)
        self._write()

    def _may_be_released(self, pod: Json, end: tuple[str, str, str] | None) -> bool:
        """``canRemoveFinalizer``."""
        return deleted(self._job) or end is not None or phase_of(pod) == "Succeeded" or self._has_failed(pod)

    def _counts_as(self, pod: Json, end: tuple[str, str, str] | None) -> str | None:
        """Of a Job that has failed every pod that has not ended has failed, too."""
        if phase_of(pod) == "Succeeded" and not self._is_counted(pod, "failed"):
            return "succeeded"
        doomed = end is not None and end[0] == "FailureTarget"
        return "failed" if (self._has_failed(pod) or doomed) and not self._is_ignored(pod) else None

    def _move_counted(self, tracked: set[str]) -> None:
        """Those without a finalizer are safe in the counters alone (``cleanUncountedPodsWithoutFinalizers``)."""
        for kind, uids in self._uncounted.items():
            left = [uid for uid in uids if uid in tracked]
            self._status[kind] = self._status.get(kind, 0) + len(uids) - len(left)
            self._uncounted[kind] = left

    def _write(self) -> None:
        """Of one who has seen what it writes over: a conflict ends the step."""
        # Fields that are 0 are absent in the API (omitempty) but ready and terminating, which are pointers.
        status = {key: value for key, value in self._status.items() if value or key in ("ready", "terminating")}
        status["uncountedTerminatedPods"] = {kind: uids for kind, uids in self._uncounted.items() if uids}
        before = self._seen.get("status") or {}
        change = merge_patch.diff(before, status)
        if change:
            version = {"resourceVersion": self._seen["metadata"]["resourceVersion"]}
            self._seen = self._api.patch_status(_path(self._job), {"metadata": version, "status": change})


def is_finished(job: Json) -> bool:
    """Complete or Failed; it is never touched again."""
    kinds = (condition_of(job, kind) for kind in ("Complete", "Failed"))
    return any(one is not None and one["status"] == "True" for one in kinds)


def untrack(api: ApiClient, pod: Json) -> None:
    """Take the finalizer from this incarnation of it; one that is gone needs no more."""
    metadata = pod["metadata"]
    left = [each for each in metadata["finalizers"] if each != TRACKING]
    body = {"metadata": {"uid": metadata["uid"], "finalizers": left or None}}
    try:
        api.patch(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", body)
    except ApiError as error:
        if error.status != _NOT_FOUND:
            raise


def _is_tracked(pod: Json) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or [])


def _has_ended(pod: Json) -> bool:
    return phase_of(pod) in ("Succeeded", "Failed")


def _finished_at(pod: Json, now: datetime) -> datetime:
    """``getFinishedTime``: of the container that ended last; without one it is only just known."""
    ends = [one["state"].get("terminated") for one in pod.get("status", {}).get("containerStatuses") or []]
    known = [datetime.fromisoformat(end["finishedAt"]) for end in ends if end and end.get("finishedAt")]
    return max(known) if known and len(known) == len(ends) else now


def _path(job: Json) -> str:
    return f"/apis/batch/v1/namespaces/{job['metadata']['namespace']}/jobs/{job['metadata']['name']}"
