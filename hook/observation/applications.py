"""Argo CD's Applications, by their status, and what it means: ahead, busy, freshly compared, failed. Pure.

Times are timezone-aware. ``syncResult.revision`` and ``reconciledAt`` are pinned by tests on a real Argo CD.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from hook.observation.workloads import JobRef

_A_FEW = 5
"""So many tries of Argo CD's default back-off (5 s, doubling) end within three minutes."""


@dataclass(frozen=True, order=True)
class ApplicationRef:
    """An Argo CD Application by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class OperationPhase(StrEnum):
    """What an operation is doing, told apart by its phase, message and times (facts: starting a sync)."""

    REQUESTED = "requested"
    """`.operation` is written and not yet taken up."""
    RUNNING = "running"
    BLOCKED = "blocked by a sync window"
    PAUSING = "pausing between retries"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self in {OperationPhase.SUCCEEDED, OperationPhase.FAILED}


@dataclass(frozen=True)
class Operation:
    """An Application's present or last operation. `attempt` is its number if this run wrote it, else None.

    `waits_for` is the hook Job that it waits for, `waits_for_health_of` what has to be healthy before it goes on
    (``group/kind/name``), `retries_left` how often it is tried again by itself (None: for ever), `takes_newer_commits`
    whether a retry does (``retry.refresh``).
    """

    phase: OperationPhase
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""
    revisions: tuple[str, ...] = ()
    attempt: int | None = None
    waits_for: JobRef | None = None
    waits_for_health_of: str = ""
    retries_left: int | None = 0
    takes_newer_commits: bool = False
    is_automated: bool = False
    """Whether a program asked for it, as auto-sync and RollingSync do: at the commit that was compared last."""


@dataclass(frozen=True)
class ManagedJob:
    """A plain Job among an Application's resources, in Argo CD's words.

    `health` is None where Argo CD keeps none for a single resource (3.x by default); `synced` says that it is there, as
    git has it; `was_synced` that the last operation got to it. `wave` is its sync wave.
    """

    ref: JobRef
    health: str | None = None
    synced: bool = False
    was_synced: bool = True
    wave: int = 0


@dataclass(frozen=True)
class SyncPolicy:
    """What the Application's specification asks of a sync: whoever writes an operation has to carry it over.

    The controller reads an operation's own options alone (controller/sync.go); the API server, auto-sync and RollingSync
    copy them from the specification. `prune` is that of the automated policy.
    """

    options: tuple[str, ...] = ()
    prune: bool = False
    is_automated: bool = False
    """Whether Argo CD syncs it without a person: by its own policy, or by its ApplicationSet."""


@dataclass(frozen=True)
class Application:
    """An Argo CD Application as its status shows it.

    `compared_at` is ``status.reconciledAt``, a whole second. `jobs` are the managed plain Jobs among its resources,
    `hook_jobs` the hook Jobs of its last operation. `attempts_seen` is the highest attempt of this run that was seen
    under way or ended; one that was only requested may have got lost. `asked_at` is when this run last asked for a
    comparison. `conditions` are the errors among Argo CD's own, by type; `unhealthy` the resources, Jobs excepted, that it
    says are not Healthy. `pre_sync_jobs` are those of the hook Jobs that end before anything else is applied; `server_wave`
    is the first sync wave with a Deployment, a StatefulSet or a Rollout.
    """

    ref: ApplicationRef
    uid: str
    resource_version: str
    sync: str
    health: str
    revisions: tuple[str, ...] = ()
    has_several_sources: bool = False
    compared_at: datetime | None = None
    refresh_requested: bool = False
    operation: Operation | None = None
    jobs: tuple[ManagedJob, ...] = ()
    hook_jobs: tuple[JobRef, ...] = ()
    pre_sync_jobs: tuple[JobRef, ...] = ()
    server_wave: int | None = None
    attempts_seen: int = 0
    asked_at: datetime | None = None
    policy: SyncPolicy = SyncPolicy()
    conditions: tuple[tuple[str, str], ...] = ()
    unhealthy: tuple[str, ...] = ()
    skips_reconcile: bool = False
    is_being_deleted: bool = False

    @property
    def attempts(self) -> int:
        """How often this run had it synced: another's operation may have taken the place of ours since."""
        return max(self.attempts_seen, (self.operation.attempt or 0) if self.operation else 0)

    @property
    def all_jobs(self) -> tuple[JobRef, ...]:
        """Every Job that it makes: the managed ones, and the hooks of its last operation."""
        waited_for = (self.operation.waits_for,) if self.operation and self.operation.waits_for else ()
        return tuple(dict.fromkeys((*(job.ref for job in self.jobs), *self.hook_jobs, *waited_for)))


def is_missing(application: Application | Unknown | None) -> bool:
    """Tell whether Argo CD has no such Application."""
    return isinstance(application, Unknown) and application.finding.reason is Reason.APPLICATION_MISSING


def is_ahead(application: Application | Unknown | None) -> bool:
    """Tell whether the Application's own step in the rollout is still to come.

    So it is when there is no such Application, when it was never synced, or when it is OutOfSync and was synced to
    another revision only. One that is OutOfSync at the revision it was synced to only drifts, and one that is being synced
    has been reached: revisions of operations that have ended are compared, no others. An Application of hooks alone is
    Synced without ever having been synced (argo-cd 7237): nobody will.
    """
    if is_missing(application):
        return True
    if not isinstance(application, Application):
        return False
    if application.operation is None:
        return application.sync != "Synced"
    if application.sync != "OutOfSync" or is_busy(application):
        return False
    return application.operation.revisions != application.revisions


def pending_sync(application: Application) -> Finding | None:
    """Return that Argo CD is to sync it by itself, None where it is not, or only a person does."""
    if not application.policy.is_automated or application.sync != "OutOfSync" or not is_ahead(application):
        return None
    return Finding(
        Reason.MIGRATION_PENDING, f"Application {application.ref}", "git has a commit that was not synced yet"
    )


def has_newer_commit(application: Application) -> bool:
    """Tell whether Argo CD has compared it with another commit than its last operation brought."""
    operation = application.operation
    return operation is not None and bool(application.revisions) and operation.revisions != application.revisions


def obstacle(application: Application) -> Finding | None:
    """Return why Argo CD neither syncs nor compares the Application, None where it does."""
    about = f"Application {application.ref}"
    if application.is_being_deleted:
        return Finding(Reason.APPLICATION_BEING_DELETED, about, "it has a deletionTimestamp")
    if application.skips_reconcile:
        detail = "argocd.argoproj.io/skip-reconcile is true: Argo CD does not process this Application"
        return Finding(Reason.RECONCILIATION_SKIPPED, about, detail)
    if invalid := dict(application.conditions).get("InvalidSpecError"):
        return Finding(Reason.APPLICATION_INVALID, about, invalid)
    return _retries_an_old_commit(application)


def _retries_an_old_commit(application: Application) -> Finding | None:
    """Return that its operation goes on with a commit that git has left, for ever or nearly so (argo-cd 11494, 15642)."""
    operation = application.operation
    if operation is None or operation.phase is not OperationPhase.PAUSING or operation.takes_newer_commits:
        return None
    if not has_newer_commit(application) or not operation.revisions:
        return None
    if operation.retries_left is not None and operation.retries_left <= _A_FEW:
        return None
    old, new = ", ".join(operation.revisions), ", ".join(application.revisions)
    detail = f"it retries commit {old} while git is at {new}: {operation.message}"
    return Finding(Reason.OPERATION_RETRIES_OLD_COMMIT, f"Application {application.ref}", detail)


def why_not_compared(application: Application) -> str:
    """Return why Argo CD cannot compare it, in its own words where it has some."""
    said = "; ".join(f"{kind}: {message}" for kind, message in application.conditions)
    return said or "Argo CD cannot tell what it should be"


def is_busy(application: Application) -> bool:
    """Tell whether an operation is on its way, in any phase before its end."""
    return application.operation is not None and not application.operation.phase.ended


def is_compared(application: Application, run_started_at: datetime) -> bool:
    """Tell whether the status rests on a comparison made since this run began and since the last operation ended."""
    return application.compared_at is not None and application.compared_at > last_change(application, run_started_at)


def last_change(application: Application, run_started_at: datetime) -> datetime:
    """Return when the run began or the last operation ended, whichever is later.

    It is a whole second, as a comparison's time is: one in the very second proves nothing.
    """
    finished_at = application.operation.finished_at if application.operation else None
    return max(filter(None, (run_started_at, finished_at)))


def job_health(application: Application) -> str:
    """Return what its managed Jobs come to where they cannot be read: Argo CD's word for each, else for the whole of it.

    One that still runs counts before one that failed: nothing is judged, and none replaced, until all have ended.
    Argo CD 3.x keeps no health per resource unless ``controller.resource.health.persist`` says so.
    """
    healths = [job.health or application.health for job in application.jobs]
    order = ("Progressing", "Suspended", "Degraded", "Missing", "Unknown")
    return next((health for health in order if health in healths), "Healthy")


def jobs_that_are_there(application: Application) -> tuple[JobRef, ...]:
    """Return the plain Jobs of an Application where they may not be read: none where one of them was never made.

    A Job that git has changed since is OutOfSync, as a missing one is; a sync that failed may not have got to it.
    """
    made = all(job.synced or (application.operation is not None and job.was_synced) for job in application.jobs)
    return tuple(job.ref for job in application.jobs) if made else ()


def describe(application: Application) -> str:
    """Return one line of its state in Argo CD's words."""
    operation = application.operation
    words = [application.sync, application.health]
    if operation is not None:
        words.append(f"operation {operation.phase}" + (f" ({operation.message})" if operation.message else ""))
    return ", ".join(words)
