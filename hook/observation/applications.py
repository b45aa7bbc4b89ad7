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
    """An Application's present or last operation. `attempt` is its number if this run wrote it, else None."""

    phase: OperationPhase
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""
    revisions: tuple[str, ...] = ()
    attempt: int | None = None


@dataclass(frozen=True)
class JobRef:
    """A Job by its namespace and name.

    `health` is Argo CD's word for it, None where it does not keep one; `synced` says that it is there, as git has it.
    """

    namespace: str
    name: str
    health: str | None = None
    synced: bool = False


@dataclass(frozen=True)
class Application:
    """An Argo CD Application as its status shows it.

    `compared_at` is ``status.reconciledAt``, a whole second. `jobs` are the managed plain Jobs among its resources,
    `hook_jobs` the hook Jobs of its last operation. `attempts_seen` is the highest attempt of this run that was seen
    under way or ended; one that was only requested may have got lost. `asked_at` is when this run last asked for a
    comparison. `is_automated` says that Argo CD syncs it without a person.
    """

    ref: ApplicationRef
    uid: str
    resource_version: str
    sync: str
    health: str
    revisions: tuple[str, ...] = ()
    compared_at: datetime | None = None
    refresh_requested: bool = False
    operation: Operation | None = None
    jobs: tuple[JobRef, ...] = ()
    hook_jobs: tuple[JobRef, ...] = ()
    attempts_seen: int = 0
    asked_at: datetime | None = None
    is_automated: bool = False

    @property
    def attempts(self) -> int:
        """How often this run had it synced: another's operation may have taken the place of ours since."""
        return max(self.attempts_seen, (self.operation.attempt or 0) if self.operation else 0)


def is_missing(application: Application | Unknown | None) -> bool:
    """Tell whether Argo CD has no such Application."""
    return isinstance(application, Unknown) and application.finding.reason is Reason.APPLICATION_MISSING


def is_ahead(application: Application | Unknown | None) -> bool:
    """Tell whether the Application's own step in the rollout is still to come.

    So it is when there is no such Application, or it is OutOfSync and was never synced or only to another revision.
    One that is OutOfSync at the revision it was synced to only drifts: it was reached.
    """
    if is_missing(application):
        return True
    if not isinstance(application, Application) or application.sync != "OutOfSync":
        return False
    return application.operation is None or application.operation.revisions != application.revisions


def pending_sync(application: Application) -> Finding | None:
    """Return that Argo CD is to sync it by itself, None where it is not, or only a person does."""
    if not application.is_automated or not is_ahead(application):
        return None
    return Finding(
        Reason.MIGRATION_PENDING, f"Application {application.ref}", "git has a commit that was not synced yet"
    )


def has_newer_commit(application: Application) -> bool:
    """Tell whether Argo CD has compared it with another commit than its last operation brought."""
    operation = application.operation
    return operation is not None and bool(application.revisions) and operation.revisions != application.revisions


def is_owned(ref: ApplicationRef, owner: str | None) -> bool:
    """Tell whether ``owner``, as Argo CD's tracking names it, is this Application."""
    return owner in {ref.name, f"{ref.namespace}_{ref.name}"}


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
    """Return what its managed Jobs come to: Argo CD's word for each, else for the whole Application.

    One that still runs counts before one that failed: nothing is judged, and none replaced, until all have ended.
    Argo CD 3.x keeps no health per resource unless ``controller.resource.health.persist`` says so.
    """
    healths = [job.health or application.health for job in application.jobs]
    order = ("Progressing", "Suspended", "Degraded", "Missing", "Unknown")
    return next((health for health in order if health in healths), "Healthy")


def has_failed(application: Application) -> bool:
    """Tell whether a reached Application is not what its step was to bring: failed, Degraded, or never run at all.

    Hook Jobs alone leave an Application Synced without ever running (argo-cd 7237), so no operation means never run.
    """
    operation = application.operation
    return (
        operation is None or operation.phase is OperationPhase.FAILED or application.health in {"Degraded", "Missing"}
    )


def describe(application: Application) -> str:
    """Return one line of its state in Argo CD's words."""
    operation = application.operation
    words = [application.sync, application.health]
    if operation is not None:
        words.append(f"operation {operation.phase}" + (f" ({operation.message})" if operation.message else ""))
    return ", ".join(words)


def failure(application: Application) -> Finding:
    """Return the finding of a downstream Application that failed."""
    detail = "it never ran" if application.operation is None else describe(application)
    return Finding(Reason.DOWNSTREAM_FAILED, f"Application {application.ref}", detail)
