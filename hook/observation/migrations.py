"""The migration that the schema's owner runs: its phase by its Jobs and its operation, or by its command. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from hook.observation import diagnosis
from hook.observation.applications import Application, OperationPhase, is_busy, job_health
from hook.observation.diagnosis import TRANSIENT
from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase, JobRef

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hook.observation.workloads import JobsSeen


class MigrationPhase(StrEnum):
    """What the owner of the schema is doing. Succeeded and failed are said of this run's own attempt only."""

    IDLE = "idle"
    RUNNING = "running"
    BLOCKED = "blocked by a sync window"
    PAUSING = "pausing between retries"
    UNCOMPARED = "ended, not compared yet"
    WITH_SERVERS = "over, its sync goes on with the servers"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Migration:
    """The owner's migration; `attempts` counts what this run started, as the operations in the world say.

    `jobs` are its Jobs as they were read; `hang` is what keeps it from going on, `hang_may_pass` whether that may be over
    since it was seen (a database that was not there yet); `unseen` what could not be read, and why. `holds_servers` says
    that its Application's sync makes Temporal's servers, too, once the schema Job has ended.
    """

    phase: MigrationPhase
    owner: str
    attempts: int = 0
    ended_at: datetime | None = None
    message: str = ""
    jobs: tuple[Job, ...] = ()
    application: Application | None = None
    hang: Finding | None = None
    hang_may_pass: bool = False
    unseen: tuple[Finding, ...] = ()
    holds_servers: bool = False

    @property
    def is_working(self) -> bool:
        """Whether a pod of it verifiably works."""
        return self.phase is MigrationPhase.RUNNING and any(job.is_working for job in self.jobs)

    @property
    def has_made_servers(self) -> bool:
        """Whether no sync of the schema is still to make them: where it holds them, its last one has to have got to them."""
        if not self.holds_servers or self.phase is MigrationPhase.WITH_SERVERS:
            return True
        operation = self.application.operation if self.application else None
        return operation is not None and operation.phase is OperationPhase.SUCCEEDED


NO_MIGRATION = Migration(MigrationPhase.IDLE, "nobody")
"""Where no schema is looked at."""

_OF_OPERATION = {
    OperationPhase.REQUESTED: MigrationPhase.RUNNING,
    OperationPhase.RUNNING: MigrationPhase.RUNNING,
    OperationPhase.BLOCKED: MigrationPhase.BLOCKED,
    OperationPhase.PAUSING: MigrationPhase.PAUSING,
    OperationPhase.SUCCEEDED: MigrationPhase.SUCCEEDED,
    OperationPhase.FAILED: MigrationPhase.FAILED,
}


_HOOK_IS_MADE_WITHIN = timedelta(seconds=30)
"""Argo CD needs one or two for the deletion of a hook's last Job (seen), and more than 15 on an overloaded machine (seen).
Its clock is not the API server's: where it is ahead, this explains nothing."""

_OLD_COMMIT = (
    "Argo CD's operation waits for this Job and takes up no commit meanwhile: after a commit that corrects it, terminate "
    "the operation (argocd app terminate-op NAME)."
)


def of_application(
    application: Application, seen: JobsSeen, now: datetime, *, holds_servers: bool = False, names: tuple[str, ...] = ()
) -> Migration:
    """Return what the migrations Application and its Jobs say of the migration; ``now`` by the API server's clock.

    The Jobs were read after the Application: where an operation of ours has ended, they are those that it made. With
    ``holds_servers`` only those count that make the schema, or have these ``names``.
    """
    unseen = tuple(one.finding for ref in application.all_jobs if isinstance(one := seen.get(ref), Unknown))
    if holds_servers:
        application = _without_other_jobs(application, seen, names)
    jobs = tuple(job for ref in application.all_jobs if isinstance(job := seen.get(ref), Job))
    operation = application.operation
    phase, message = _phase(application, seen, holds_servers=holds_servers)
    hang, hang_may_pass = _hang(application, jobs, seen, now)
    ours = operation is not None and operation.attempt is not None
    if not ours and phase in {MigrationPhase.SUCCEEDED, MigrationPhase.FAILED}:
        phase = MigrationPhase.IDLE
    return Migration(
        phase=phase,
        owner=f"Application {application.ref}",
        attempts=application.attempts,
        ended_at=max(
            filter(None, (operation.finished_at if operation else None, *(job.ended_at for job in jobs))), default=None
        ),
        message=message,
        jobs=jobs,
        application=application,
        hang=hang,
        hang_may_pass=hang_may_pass,
        unseen=unseen,
        holds_servers=holds_servers,
    )


def _without_other_jobs(application: Application, seen: JobsSeen, names: tuple[str, ...]) -> Application:
    """Return the Application with the schema's Jobs alone.

    Others of it, such as the one that registers namespaces (a plain Job in Temporal's chart from 1.1.1 on) or a test after
    the sync, wait for the servers. A hook that is gone, as the chart's is once it has succeeded, or that may not be read is
    told by its phase or its name; a plain Job that may not be read is left alone, and so is one that a hook comes before: it
    makes another schema, as an umbrella chart may have it.
    """

    def is_of_schema(ref: JobRef) -> bool:
        job = seen.get(ref)
        return ref.name in names if names else isinstance(job, Job) and job.makes_schema

    def is_hook_of_schema(ref: JobRef) -> bool:
        return ref in application.pre_sync_jobs or is_of_schema(ref)

    operation = application.operation
    if operation is not None and operation.waits_for is not None and not is_hook_of_schema(operation.waits_for):
        later = f"batch/Job/{operation.waits_for.name}"
        operation = replace(operation, waits_for=None, waits_for_health_of=later)
    hooks = tuple(ref for ref in application.hook_jobs if is_hook_of_schema(ref))
    plain = tuple(one for one in application.jobs if isinstance(seen.get(one.ref), Job) and is_of_schema(one.ref))
    return replace(application, operation=operation, hook_jobs=hooks, jobs=plain if names or not hooks else ())


def _goes_on_with_servers(application: Application) -> bool:
    """Tell whether its operation is past the schema: it waits for the health of what is no schema Job."""
    waits_for = application.operation.waits_for_health_of if application.operation else ""
    return bool(waits_for) and waits_for not in {f"batch/Job/{job.ref.name}" for job in application.jobs}


def _phase(application: Application, seen: JobsSeen, *, holds_servers: bool) -> tuple[MigrationPhase, str]:
    """Return the phase and what tells of it: the Jobs' own where they could be read, else Argo CD's word."""
    operation = application.operation
    said = operation.message if operation else ""
    phase = _OF_OPERATION[operation.phase] if operation else MigrationPhase.IDLE
    jobs = [job for ref in application.all_jobs if isinstance(job := seen.get(ref), Job)]
    if running := [job for job in jobs if job.is_running or job.phase is JobPhase.SUSPENDED]:
        return MigrationPhase.RUNNING, "; ".join(f"Job {job.ref} is {job.phase}" for job in running)
    if is_busy(application):
        is_over = holds_servers and phase is MigrationPhase.RUNNING and _goes_on_with_servers(application)
        return (MigrationPhase.WITH_SERVERS if is_over else phase), said
    managed = [seen.get(job.ref) for job in application.jobs]
    if not managed:
        return phase, said
    if any(isinstance(job, Unknown) for job in managed) or not {job.ref for job in application.jobs} <= set(seen):
        return _phase_by_argocd(application, phase)
    if failed := [job for job in managed if isinstance(job, Job) and job.phase is JobPhase.FAILED]:
        return MigrationPhase.FAILED, "; ".join(f"Job {job.ref} failed: {job.message}".rstrip(": ") for job in failed)
    return phase, said


def _phase_by_argocd(application: Application, phase: MigrationPhase) -> tuple[MigrationPhase, str]:
    """Judge plain Jobs that may not be read by Argo CD's word: an operation on them ends before they do (seen)."""
    operation = application.operation
    said = operation.message if operation else ""
    if operation is not None and operation.finished_at is not None:
        compared = application.compared_at is not None and application.compared_at > operation.finished_at
        if not compared:
            return MigrationPhase.UNCOMPARED, said
    match job_health(application):
        case "Progressing" | "Suspended":
            return MigrationPhase.RUNNING, said
        case "Degraded":
            return MigrationPhase.FAILED, f"Job {', '.join(str(job.ref) for job in application.jobs)} failed"
        case _:
            return phase, said


def _hang(
    application: Application, jobs: tuple[Job, ...], seen: Mapping[JobRef, Job | Unknown | None], now: datetime
) -> tuple[Finding | None, bool]:
    """Return what holds a migration that has neither failed nor ended, and whether that may be over by itself."""
    for job in jobs:
        if job.phase is JobPhase.SUSPENDED:
            return Finding(Reason.JOB_SUSPENDED, f"Job {job.ref}", "spec.suspend is true"), False
        cause = diagnosis.of_job(job, now) if job.phase is JobPhase.RUNNING else None
        if cause is not None:
            detail = cause.detail if cause.about == f"Job {job.ref}" else str(cause)
            reason = cause.reason if cause.reason is Reason.SIDECAR_KEEPS_JOB else Reason.MIGRATION_HANGS
            remedy = "" if cause.reason is Reason.CRASH_LOOPING else cause.remedy
            operation = application.operation
            if operation is not None and operation.waits_for == job.ref:
                remedy = f"{remedy or Reason.MIGRATION_HANGS.remedy} {_OLD_COMMIT}"
            return Finding(reason, f"Job {job.ref}", detail, remedy), bool(TRANSIENT.search(cause.detail))
    return lost_hook(application, seen, now), False


def lost_hook(application: Application, seen: Mapping[JobRef, Job | Unknown | None], now: datetime) -> Finding | None:
    """Return that the operation waits for a hook Job that is not there (argo-cd 21055, 18884, 6880, 27507).

    At its start each does so for a moment: until Argo CD has seen the last one deleted, and made the new one.
    """
    operation = application.operation
    if operation is None or operation.waits_for is None or operation.phase is not OperationPhase.RUNNING:
        return None
    if operation.waits_for not in seen or seen[operation.waits_for] is not None:
        return None
    if operation.started_at is not None and timedelta(0) <= now - operation.started_at < _HOOK_IS_MADE_WITHIN:
        return None
    detail = f"Job {operation.waits_for} does not exist: {operation.message}"
    return Finding(Reason.OPERATION_STUCK, f"Application {application.ref}", detail)
