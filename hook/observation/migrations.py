"""The migration that the schema's owner runs: its phase, as its Application or its command tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from hook.observation.applications import Application, JobRef, OperationPhase, job_health

if TYPE_CHECKING:
    from datetime import datetime


class MigrationPhase(StrEnum):
    """What the owner of the schema is doing. Succeeded and failed are said of this run's own attempt only."""

    IDLE = "idle"
    RUNNING = "running"
    BLOCKED = "blocked by a sync window"
    PAUSING = "pausing between retries"
    UNCOMPARED = "ended, not compared yet"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Migration:
    """The owner's migration; `attempts` counts what this run started, as the operations in the world say."""

    phase: MigrationPhase
    owner: str
    attempts: int = 0
    ended_at: datetime | None = None
    message: str = ""
    jobs: tuple[JobRef, ...] = ()
    application: Application | None = None


_OF_OPERATION = {
    OperationPhase.REQUESTED: MigrationPhase.RUNNING,
    OperationPhase.RUNNING: MigrationPhase.RUNNING,
    OperationPhase.BLOCKED: MigrationPhase.BLOCKED,
    OperationPhase.PAUSING: MigrationPhase.PAUSING,
    OperationPhase.SUCCEEDED: MigrationPhase.SUCCEEDED,
    OperationPhase.FAILED: MigrationPhase.FAILED,
}


def of_application(application: Application) -> Migration:
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
