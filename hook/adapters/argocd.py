"""Argo CD's Applications: reads one by its name, writes its `.operation`, asks for its refresh. Never lists them.

The status fields and what Argo CD makes of them are in facts.md ("Argo CD: starting a sync from inside the cluster").
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hook.adapters.api import Api, ApiError
from hook.observation.applications import Application, ApplicationRef, JobRef, Operation, OperationPhase
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

RUN_INFO = "temporal-recovery-hook/run"
ATTEMPT_INFO = "temporal-recovery-hook/attempt"
"""The two entries of `operation.info` by which a run knows its own operations again."""

_REFRESH = "argocd.argoproj.io/refresh"
_BLOCKED = "blocked by sync window"
_MESSAGE_CHARACTERS = 500
"""A refused change of a Job carries the whole pod's specification, many kilobytes (seen)."""


class Applications:
    """Argo CD's Applications, as seen and synced by one run of the gate."""

    def __init__(self, api: Api, run_id: str) -> None:
        """Work for the run of this id."""
        self._api = api
        self._run_id = run_id
        self._attempts_seen: dict[ApplicationRef, int] = {}
        self._asked_at: dict[ApplicationRef, datetime] = {}

    def read(self, ref: ApplicationRef) -> Application:
        """Return the Application; raise `FindingError` (ApplicationMissing, ArgoCdMissing, or what the API said)."""
        try:
            application = _application(ref, self._api.get(_path(ref)), self._run_id)
        except ApiError as error:
            reason = (
                Reason.APPLICATION_MISSING if error.reason else Reason.ARGO_CD_MISSING
            )  # no route: "404 page not found"
            raise FindingError(Finding(reason, f"Application {ref}", error.message.strip())) from error
        operation = application.operation
        if operation is not None and operation.phase is not OperationPhase.REQUESTED:
            self._attempts_seen[ref] = max(self._attempts_seen.get(ref, 0), application.attempts)
        return replace(application, attempts_seen=self._attempts_seen.get(ref, 0), asked_at=self._asked_at.get(ref))

    def refresh(self, application: Application) -> bool:
        """Ask Argo CD to compare it afresh; return whether somebody was not faster."""
        asked = self._patch(application, {"metadata": {"annotations": {_REFRESH: "normal"}}})
        if asked:
            self._asked_at[application.ref] = datetime.now(UTC)
        return asked

    def sync(self, application: Application, attempt: int) -> bool:
        """Write an operation, if the Application is still as it was seen; return False when somebody was faster.

        Managed plain Jobs that are there are run again by a selective operation that replaces them and touches nothing
        else. Otherwise a full sync runs the hooks, and makes what is missing with all that it needs. Written while another
        operation runs it would be lost, so it is believed only when its info comes back. No retry is asked for: attempts
        are counted and spaced by the planner alone.
        """
        sync: dict[str, Any] = {"prune": False} | _revision(application.revisions)
        if _has_jobs_to_replace(application):
            sync |= {
                "resources": [
                    {"group": "batch", "kind": "Job", "namespace": job.namespace, "name": job.name}
                    for job in application.jobs
                ],
                "syncOptions": ["Replace=true"],
                "syncStrategy": {"apply": {"force": True}},
            }
        operation = {
            "initiatedBy": {"username": "temporal-recovery-hook", "automated": True},
            "info": [
                {"name": RUN_INFO, "value": self._run_id},
                {"name": ATTEMPT_INFO, "value": str(attempt)},
            ],
            "sync": sync,
        }
        return self._patch(application, {"operation": operation, "status": {"operationState": None}})

    def _patch(self, application: Application, body: Mapping[str, Any]) -> bool:
        """Write if nothing has changed since the Application was read."""
        metadata = {"resourceVersion": application.resource_version} | body.get("metadata", {})
        try:
            self._api.merge_patch(_path(application.ref), {**body, "metadata": metadata})
        except ApiError:
            return False
        return True


def _has_jobs_to_replace(application: Application) -> bool:
    """Tell whether its plain Jobs are there: by their sync, else by what its last operation has left.

    A Job that git has changed since is OutOfSync, as a missing one is; a sync that failed may not have got to it.
    """
    operation = application.operation
    if not application.jobs:
        return False
    if all(job.synced for job in application.jobs):
        return True
    made_nothing = operation is None or (operation.phase is OperationPhase.FAILED and application.health == "Missing")
    return not made_nothing


def _path(ref: ApplicationRef) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{ref.namespace}/applications/{ref.name}"


def _revision(revisions: tuple[str, ...]) -> dict[str, Any]:
    """Name the revision as just compared: an empty one inherits an old commit (argo-cd 28778)."""
    if len(revisions) == 1:
        return {"revision": revisions[0]}
    return {"revisions": list(revisions)} if revisions else {}


def _application(ref: ApplicationRef, body: Mapping[str, Any], run_id: str) -> Application:
    metadata, status = body["metadata"], body.get("status") or {}
    sync = status.get("sync") or {}
    operation_state = status.get("operationState") or {}
    return Application(
        ref=ref,
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        sync=sync.get("status") or "Unknown",
        health=(status.get("health") or {}).get("status") or "Unknown",
        revisions=_revisions(sync),
        compared_at=_time(status.get("reconciledAt")),
        refresh_requested=_REFRESH in (metadata.get("annotations") or {}),
        operation=_operation(body.get("operation"), operation_state, run_id),
        jobs=tuple(
            JobRef(
                resource.get("namespace", ""),
                resource["name"],
                (resource.get("health") or {}).get("status"),
                synced=resource.get("status") == "Synced",
            )
            for resource in status.get("resources") or ()
            if (resource.get("group"), resource["kind"]) == ("batch", "Job")
            and not resource.get("hook")
            # Git has it no more: no sync makes it anew. Where git could not be read this is said of everything.
            and not (resource.get("requiresPruning") and sync.get("status") != "Unknown")
        ),
        hook_jobs=tuple(
            JobRef(resource.get("namespace", ""), resource["name"])
            for resource in (operation_state.get("syncResult") or {}).get("resources") or ()
            if resource.get("kind") == "Job" and resource.get("hookType")
        ),
        is_automated=_is_automated(body),
    )


def _is_automated(body: Mapping[str, Any]) -> bool:
    """Tell whether its own policy or its ApplicationSet has it synced.

    RollingSync switches the policy's automated sync off, or leaves no word of it (until 3.2), and syncs by itself.
    """
    automated = (body["spec"].get("syncPolicy") or {}).get("automated")
    owners = body["metadata"].get("ownerReferences") or ()
    is_on = automated is not None and automated.get("enabled") is not False
    return is_on or any(owner.get("kind") == "ApplicationSet" for owner in owners)


def _revisions(source: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the revision or, of an Application with several sources, all of them."""
    several = source.get("revisions")
    return tuple(several) if several else tuple(filter(None, (source.get("revision"),)))


def _operation(requested: Mapping[str, Any] | None, state: Mapping[str, Any], run_id: str) -> Operation | None:
    if not state:
        if requested is None:
            return None
        return Operation(
            OperationPhase.REQUESTED,
            revisions=_revisions(requested.get("sync") or {}),
            attempt=_attempt(requested, run_id),
        )
    message, phase = state.get("message") or "", state.get("phase")
    running = phase not in {"Succeeded", "Failed", "Error"}
    if running and _BLOCKED in message.lower():
        found = OperationPhase.BLOCKED
    elif running and state.get("finishedAt"):
        found = OperationPhase.PAUSING
    elif running:
        found = OperationPhase.RUNNING
    elif requested is not None:
        found = OperationPhase.REQUESTED  # a new one, written over the state of the last
    else:
        found = OperationPhase.SUCCEEDED if phase == "Succeeded" else OperationPhase.FAILED
    return Operation(
        phase=found,
        started_at=_time(state.get("startedAt")),
        finished_at=_time(state.get("finishedAt")),
        message=shortened(message, _MESSAGE_CHARACTERS),
        revisions=_revisions(state.get("syncResult") or {})
        or _revisions((state.get("operation") or {}).get("sync") or {}),
        attempt=_attempt(state.get("operation") or {}, run_id),
    )


def _attempt(operation: Mapping[str, Any], run_id: str) -> int | None:
    """Return the attempt's number if this run wrote the operation."""
    info = {entry.get("name"): entry.get("value") for entry in operation.get("info") or ()}
    if info.get(RUN_INFO) != run_id:
        return None
    try:
        return int(info[ATTEMPT_INFO])
    except (KeyError, ValueError):
        return None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
