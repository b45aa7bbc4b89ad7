"""Argo CD's Applications: reads one by its name, has it synced, asks for its comparison. Never lists them.

What is read means the same whichever way it came; by the Kubernetes API it is here as well.

The status fields and what Argo CD makes of them are in facts.md ("Argo CD: starting a sync from inside the cluster").
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from hook.adapters.answers import Answer
from hook.adapters.api import Api, ApiError
from hook.observation.applications import Application, ApplicationRef, ManagedJob, Operation, OperationPhase, SyncPolicy
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.reasons import Reason
from hook.observation.workloads import JobRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RUN_INFO = "temporal-recovery-hook/run"
ATTEMPT_INFO = "temporal-recovery-hook/attempt"
"""The two entries of `operation.info` by which a run knows its own operations again."""

_REFRESH = "argocd.argoproj.io/refresh"
_SKIP = "argocd.argoproj.io/skip-reconcile"
_BLOCKED = "blocked by sync window"
_WAITS = re.compile(r"waiting for (?:completion|deletion) of hook batch/Job/([^\s,]+)")
_WAITS_FOR_HEALTH = re.compile(r"waiting for healthy state of ([^\s,]+)")
"""What an operation says while it goes on (setRunningPhase in gitops-engine's pkg/sync/sync_context.go)."""
_SERVER_KINDS = frozenset({"Deployment", "StatefulSet", "Rollout"})
_MESSAGE_CHARACTERS = 500
"""A refused change of a Job carries the whole pod's specification, many kilobytes (seen)."""


class Way(Protocol):
    """A way to Applications: the Kubernetes API (here), or Argo CD's own (``argocd_server``). Both raise `FindingError`."""

    def get(self, ref: ApplicationRef) -> Mapping[str, Any]:
        """Return the Application's object."""

    def refresh(self, application: Application) -> bool:
        """Ask for a comparison; return False when somebody was faster."""

    def sync(self, application: Application, jobs: tuple[JobRef, ...], info: Mapping[str, str]) -> bool:
        """Have a sync begin; return False when somebody was faster."""


class Applications:
    """Argo CD's Applications, as seen and synced by one run of the gate."""

    def __init__(self, way: Way, run_id: str) -> None:
        """Work for the run of this id."""
        self._way = way
        self._run_id = run_id
        self._attempts_seen: dict[ApplicationRef, int] = {}
        self._asked_at: dict[ApplicationRef, datetime] = {}

    def read(self, ref: ApplicationRef) -> Application:
        """Return the Application; raise `FindingError` (ApplicationMissing, ArgoCdMissing, or what the API said)."""
        application = _application(ref, self._way.get(ref), self._run_id)
        operation = application.operation
        if operation is not None and operation.phase is not OperationPhase.REQUESTED:
            self._attempts_seen[ref] = max(self._attempts_seen.get(ref, 0), application.attempts)
        return replace(application, attempts_seen=self._attempts_seen.get(ref, 0), asked_at=self._asked_at.get(ref))

    def refresh(self, application: Application) -> bool:
        """Ask Argo CD to compare it afresh; return whether somebody was not faster."""
        asked_at = datetime.now(UTC)
        asked = self._way.refresh(application)
        if asked:
            self._asked_at[application.ref] = asked_at
        return asked

    def sync(self, application: Application, attempt: int, jobs: tuple[JobRef, ...]) -> bool:
        """Have it synced, if nobody else is at it; return False when somebody was faster.

        With ``jobs`` it replaces those plain Jobs and touches nothing else; without, it is a full sync, which runs the
        hooks and makes what is missing with all that it needs. Written while another operation runs it would be lost, so
        it is believed only when its info comes back.
        """
        return self._way.sync(application, jobs, {RUN_INFO: self._run_id, ATTEMPT_INFO: str(attempt)})


class KubernetesWay:
    """By the Kubernetes API: patches of the Application, each only if it is still as it was seen."""

    def __init__(self, api: Api) -> None:
        """Speak to the API server that has the Applications."""
        self._api = api

    def get(self, ref: ApplicationRef) -> Mapping[str, Any]:
        """Return the Application's object."""
        try:
            return self._api.get(_path(ref))
        except ApiError as error:
            reason = (
                Reason.APPLICATION_MISSING if error.reason else Reason.ARGO_CD_MISSING
            )  # no route: "404 page not found"
            raise FindingError(Finding(reason, f"Application {ref}", error.message.strip())) from error

    def refresh(self, application: Application) -> bool:
        """Write the annotation that asks for a comparison."""
        return self._patch(application, {"metadata": {"annotations": {_REFRESH: "normal"}}})

    def sync(self, application: Application, jobs: tuple[JobRef, ...], info: Mapping[str, str]) -> bool:
        """Write an operation, and remove the state of the one before."""
        written = {
            "initiatedBy": {"username": "temporal-recovery-hook", "automated": True},
            "info": [{"name": name, "value": value} for name, value in info.items()],
            "sync": sync_operation(application, jobs),
        }
        return self._patch(application, {"operation": written, "status": {"operationState": None}})

    def _patch(self, application: Application, body: Mapping[str, Any]) -> bool:
        """Write if nothing has changed since the Application was read."""
        metadata = {"resourceVersion": application.resource_version} | body.get("metadata", {})
        try:
            self._api.merge_patch(_path(application.ref), {**body, "metadata": metadata})
        except ApiError:
            return False
        return True


def sync_operation(application: Application, jobs: tuple[JobRef, ...]) -> dict[str, Any]:
    """Return an operation's sync as Argo CD's own clients build it.

    Of SyncOperation's fields (types.go) they fill revision or revisions, prune, syncOptions, syncStrategy and resources;
    source, sources and manifests are for a rollback or a local folder, dryRun and autoHealAttemptsCount not for a sync.
    syncOptions are the specification's (server/application/application.go Sync, appcontroller.go autoSync,
    progressive_sync.go), prune is the automated policy's and of a full sync only. A selective sync adds Replace, and force
    by its strategy: ``Force=true`` among the options is not enough (seen: the Job's selector is immutable). It leaves
    ApplyOutOfSyncOnly out: with it a Job that is in sync, failed or not, would not be touched (``filterOutOfSyncTasks``,
    gitops-engine sync_context.go). No retry is asked for: attempts are counted and spaced by the planner alone.
    """
    sync: dict[str, Any] = {"prune": application.policy.prune and not jobs} | _revision(application)
    options = list(application.policy.options)
    if jobs:
        options = [*(one for one in options if not one.startswith(("Replace=", "ApplyOutOfSyncOnly="))), "Replace=true"]
        sync |= {
            "resources": [
                {"group": "batch", "kind": "Job", "namespace": job.namespace, "name": job.name} for job in jobs
            ],
            "syncStrategy": {"apply": {"force": True}},
        }
    if options:
        sync["syncOptions"] = options
    return sync


def _revision(application: Application) -> dict[str, Any]:
    """Name the revision as just compared: an empty one inherits an old commit (argo-cd 28778).

    An Application of ``sources`` is read by ``revisions`` whatever its length (CompareAppState).
    """
    revisions = list(application.revisions)
    if not revisions:
        return {}
    return {"revisions": revisions} if application.has_several_sources else {"revision": revisions[0]}


def _path(ref: ApplicationRef) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{ref.namespace}/applications/{ref.name}"


def _application(ref: ApplicationRef, body: Mapping[str, Any], run_id: str) -> Application:
    answer = Answer(body, f"Application {ref}")
    metadata, spec, status = answer["metadata"], answer["spec"], answer["status"]
    sync, state = status["sync"], status["operationState"]
    annotations = metadata["annotations"].texts()
    is_unread = sync["status"].text("Unknown") == "Unknown"
    resources = [one for one in status["resources"] if not one["hook"].flag()]
    result = list(state["syncResult"]["resources"])
    synced = {(one["kind"].text(), one["namespace"].text(), one["name"].text()) for one in result}
    return Application(
        ref=ref,
        uid=metadata["uid"].text(),
        resource_version=metadata["resourceVersion"].text(),
        sync=sync["status"].text("Unknown"),
        health=status["health"]["status"].text("Unknown"),
        revisions=_revisions(sync),
        has_several_sources=bool(list(spec["sources"])),
        compared_at=status["reconciledAt"].time(),
        refresh_requested=_REFRESH in annotations,
        operation=_operation(answer["operation"], state, run_id, spec["destination"]["namespace"].text()),
        jobs=tuple(
            ManagedJob(
                JobRef(one["namespace"].text(), one["name"].text()),
                one["health"]["status"].text() or None,
                synced=one["status"].text() == "Synced",
                was_synced=("Job", one["namespace"].text(), one["name"].text()) in synced
                or (not result and state["phase"].text() == "Succeeded"),
                wave=one["syncWave"].number(),
            )
            for one in resources
            if (one["group"].text(), one["kind"].text()) == ("batch", "Job")
            # Without a name it is made by generateName, and cannot be read by one.
            and one["name"].text()
            # Git has it no more: no sync makes it anew. Where git could not be read this is said of everything.
            and not (one["requiresPruning"].flag() and not is_unread)
        ),
        hook_jobs=_hook_jobs(result),
        pre_sync_jobs=_hook_jobs(result, "PreSync"),
        server_wave=min(
            (one["syncWave"].number() for one in resources if one["kind"].text() in _SERVER_KINDS), default=None
        ),
        policy=_policy(metadata, spec),
        conditions=tuple(
            (one["type"].text(), shortened(one["message"].text(), _MESSAGE_CHARACTERS))
            for one in status["conditions"]
            if one["type"].text().endswith("Error")
        ),
        unhealthy=tuple(
            f"{one['kind'].text()} {one['name'].text()} is {one['health']['status'].text()}"
            for one in resources
            if one["kind"].text() != "Job" and one["health"]["status"].text("Healthy") != "Healthy"
        ),
        skips_reconcile=annotations.get(_SKIP, "").lower() == "true",
        is_being_deleted="deletionTimestamp" in metadata,
    )


def _hook_jobs(result: Iterable[Answer], phase: str = "") -> tuple[JobRef, ...]:
    """Return the hook Jobs of an operation's result, or those of one phase."""
    return tuple(
        JobRef(one["namespace"].text(), one["name"].text())
        for one in result
        if one["kind"].text() == "Job"
        and one["name"].text()
        and (one["hookType"].text() == phase if phase else one["hookType"].text())
    )


def _policy(metadata: Answer, spec: Answer) -> SyncPolicy:
    """Return what its specification asks of a sync, and whether its own policy or its ApplicationSet has it synced.

    RollingSync switches the policy's automated sync off, or leaves no word of it (until 3.2), and syncs by itself.
    """
    policy = spec["syncPolicy"]
    automated = policy["automated"]
    is_on = automated.is_there and automated["enabled"].flag(default=True)
    of_a_set = any(owner["kind"].text() == "ApplicationSet" for owner in metadata["ownerReferences"])
    return SyncPolicy(
        options=tuple(one.text() for one in policy["syncOptions"]),
        prune=automated["prune"].flag(),
        is_automated=is_on or of_a_set,
    )


def _revisions(source: Answer) -> tuple[str, ...]:
    """Return the revision or, of an Application with several sources, all of them."""
    several = tuple(one.text() for one in source["revisions"])
    return several or tuple(filter(None, (source["revision"].text(),)))


def _operation(requested: Answer, state: Answer, run_id: str, destination: str) -> Operation | None:
    if not state.is_there:
        if not requested.is_there:
            return None
        return Operation(
            OperationPhase.REQUESTED, revisions=_revisions(requested["sync"]), attempt=_attempt(requested, run_id)
        )
    message, phase = state["message"].text(), state["phase"].text()
    running = phase not in {"Succeeded", "Failed", "Error"}
    if running and _BLOCKED in message.lower():
        found = OperationPhase.BLOCKED
    elif running and state["finishedAt"].is_there:
        found = OperationPhase.PAUSING
    elif running:
        found = OperationPhase.RUNNING
    elif requested.is_there:
        found = OperationPhase.REQUESTED  # a new one, written over the state of the last
    else:
        found = OperationPhase.SUCCEEDED if phase == "Succeeded" else OperationPhase.FAILED
    written = state["operation"]
    limit = written["retry"]["limit"].number()
    return Operation(
        phase=found,
        started_at=state["startedAt"].time(),
        finished_at=state["finishedAt"].time(),
        message=shortened(message, _MESSAGE_CHARACTERS),
        revisions=_revisions(state["syncResult"]) or _revisions(written["sync"]),
        attempt=_attempt(written, run_id),
        waits_for=_waited_for(message, state, destination),
        waits_for_health_of=health[1] if (health := _WAITS_FOR_HEALTH.search(message)) else "",
        retries_left=None if limit < 0 else max(0, limit - state["retryCount"].number()),
        takes_newer_commits=written["retry"]["refresh"].flag(),
        is_automated=written["initiatedBy"]["automated"].flag(),
    )


def _waited_for(message: str, state: Answer, destination: str) -> JobRef | None:
    """Return the hook Job that an operation waits for; its message leaves the namespace to the list of hooks."""
    found = _WAITS.search(message)
    if found is None:
        return None
    hooks = state["syncResult"]["resources"]
    namespaces = (one["namespace"].text() for one in hooks if one["name"].text() == found[1] and one["hookType"].text())
    return JobRef(next(namespaces, destination), found[1])


def _attempt(written: Answer, run_id: str) -> int | None:
    """Return the attempt's number if this run wrote the operation."""
    info = {entry["name"].text(): entry["value"].text() for entry in written["info"]}
    if info.get(RUN_INFO) != run_id:
        return None
    try:
        return int(info[ATTEMPT_INFO])
    except (KeyError, ValueError):
        return None
