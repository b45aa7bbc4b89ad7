"""What an Application's status means for the rollout: ahead, busy, freshly compared, failed. Pure.

Sources: facts.md and lab.md ("Argo CD"); ``syncResult.revision`` and ``reconciledAt`` are pinned by tests on a real
Argo CD.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.model import Application, ApplicationRef, Finding, JobRef, Migration, MigrationPhase, OperationPhase, Unknown
from hook.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

_OF_OPERATION = {
    OperationPhase.REQUESTED: MigrationPhase.RUNNING,
    OperationPhase.RUNNING: MigrationPhase.RUNNING,
    OperationPhase.BLOCKED: MigrationPhase.BLOCKED,
    OperationPhase.PAUSING: MigrationPhase.PAUSING,
    OperationPhase.SUCCEEDED: MigrationPhase.SUCCEEDED,
    OperationPhase.FAILED: MigrationPhase.FAILED,
}


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


def migration(application: Application) -> Migration:
    """Return what the migrations Application says of the migration."""
    operation = application.operation
    phase = MigrationPhase.IDLE if operation is None else _OF_OPERATION[operation.phase]
    if application.jobs and (operation is None or operation.phase.ended):
        phase = _phase_of_jobs(application, phase)
    ours = operation is not None and operation.attempt is not None
    if not ours and phase in {MigrationPhase.SUCCEEDED, MigrationPhase.FAILED}:
        phase = MigrationPhase.IDLE
    return Migration(
        phase=phase,
        owner=f"Application {application.ref}",
        attempts=application.attempts,
        ended_at=operation.finished_at if operation else None,
        message=_message(application),
        jobs=tuple(JobRef(job.namespace, job.name) for job in (*application.jobs, *application.hook_jobs)),
        application=application,
    )


def _phase_of_jobs(application: Application, phase: MigrationPhase) -> MigrationPhase:
    """Judge by the plain Jobs: an operation on them ends before they do (seen)."""
    operation = application.operation
    if operation is not None and operation.finished_at is not None:
        compared = application.compared_at is not None and application.compared_at > operation.finished_at
        if not compared:
            return MigrationPhase.UNCOMPARED
    match job_health(application):
        case "Progressing" | "Suspended":
            return MigrationPhase.RUNNING
        case "Degraded":
            return MigrationPhase.FAILED
        case _:
            return phase


def _message(application: Application) -> str:
    if application.jobs and job_health(application) == "Degraded":
        return "Job " + ", ".join(f"{job.namespace}/{job.name}" for job in application.jobs) + " failed"
    return application.operation.message if application.operation else ""


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
