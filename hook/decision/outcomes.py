"""What became of an Application after Temporal, such as the namespace bootstrap: by its Jobs, or by its operation. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import guards, restarts
from hook.observation import applications, diagnosis
from hook.observation.applications import Application, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.decision.policy import Policy
    from hook.observation.observation import Observation


def left_undone(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield why an Application has to be synced again that no step of the rollout will sync.

    RollingSync syncs what is OutOfSync: a commit for the runtime alone leaves such a bootstrap as it is. Of one that is at
    work nobody knows yet.
    """
    for application in _reached(observation):
        if not is_at_work(application, observation) and (failed := failure(application, observation, policy)):
            yield failed


def are_to_be_done_first(observation: Observation, policy: Policy) -> bool:
    """Tell whether one of them did its work on a database that is gone: it is synced again on the servers that are there.

    Once this run has synced it, until that is done or given up. Not one that failed before, nor one that somebody else's
    operation works on: what mends it may be in the runtime's step.
    """
    return bool(observation.pods) and any(_is_to_be_done(one, observation, policy) for one in _reached(observation))


def _is_to_be_done(application: Application, observation: Observation, policy: Policy) -> bool:
    at_work = is_at_work(application, observation)
    if application.attempts:
        return at_work or failure(application, observation, policy) is not None
    lost = None if at_work else _loss(application, observation, policy)
    return lost is not None and lost == failure(application, observation, policy)


def _reached(observation: Observation) -> Iterator[Application]:
    for one in observation.downstream.values():
        if isinstance(one, Application) and one.operation is not None and not applications.is_ahead(one):
            yield one


def jobs_of(application: Application, observation: Observation) -> tuple[Job, ...]:
    """Return its Jobs that are there and could be read; a guard's is none of its work."""
    jobs = (observation.jobs.get(ref) for ref in application.all_jobs)
    return tuple(job for job in jobs if isinstance(job, Job) and not job.guards)


def is_at_work(application: Application, observation: Observation) -> bool:
    """Tell whether its operation or a Job of it is at work; of a Job that may not be read Argo CD's word counts."""
    if applications.is_busy(application) or _running(application, observation):
        return True
    is_unseen = any(isinstance(observation.jobs.get(job.ref), Unknown) for job in application.jobs)
    return is_unseen and applications.job_health(application) in {"Progressing", "Suspended"}


def _running(application: Application, observation: Observation) -> tuple[Job, ...]:
    """Return its Jobs that are still at work; one that a sidecar alone keeps is not."""
    at_work = {JobPhase.RUNNING, JobPhase.SUSPENDED}
    return tuple(job for job in jobs_of(application, observation) if job.phase in at_work and not job.kept_by)


def failure(application: Application, observation: Observation, policy: Policy) -> Finding | None:
    """Return what makes a reached Application after Temporal have to be synced again, None where nothing does.

    It is judged by its Jobs, where they can be read: one that failed, or whose work began before the schema was made, so
    that what it registered is in a database that is gone. Where there is none to be read, by its operation, or by its guard,
    after which its work begins.
    """
    about = f"Application {application.ref}"
    operation, jobs = application.operation, jobs_of(application, observation)
    if operation is None:
        return Finding(Reason.DOWNSTREAM_FAILED, about, "it never ran")
    guard = guards.of_application(application, observation)
    if guard is not None and guard.phase is JobPhase.FAILED and operation.phase is OperationPhase.FAILED:
        return Finding(Reason.GUARD_HOLDS, about, _why_failed(guard, observation))
    if failed := [job for job in jobs if job.phase is JobPhase.FAILED]:
        return Finding(Reason.DOWNSTREAM_FAILED, about, "; ".join(_why_failed(job, observation) for job in failed))
    if operation.phase is OperationPhase.FAILED:
        return Finding(Reason.DOWNSTREAM_FAILED, about, applications.describe(application))
    if application.health in {"Degraded", "Missing"} and not (jobs and all_are_seen(application, observation)):
        return Finding(Reason.DOWNSTREAM_FAILED, about, applications.describe(application))
    return _loss(application, observation, policy)


def _loss(application: Application, observation: Observation, policy: Policy) -> Finding | None:
    """Return that its work was done on a database that is gone."""
    about, operation, jobs = f"Application {application.ref}", application.operation, jobs_of(application, observation)
    if old := [job for job in jobs if is_from_before(job, observation, policy)]:
        names = ", ".join(f"Job {job.ref}" for job in old)
        return Finding(Reason.DOWNSTREAM_FAILED, about, f"{names} ran before its database's schema was made")
    guard = guards.of_application(application, observation)
    began_at = ((guard and guard.ended_at) or (operation.started_at if operation else None)) if not jobs else None
    if restarts.began_before_the_schema_was_absent(began_at, observation) or (
        began_at is not None and restarts.is_older_than_the_database(began_at, observation, policy)
    ):
        return Finding(Reason.DOWNSTREAM_FAILED, about, "it ran before its database's schema was made")
    return None


def all_are_seen(application: Application, observation: Observation) -> bool:
    """Tell whether each of its plain Jobs is there and could be read."""
    return all(isinstance(observation.jobs.get(job.ref), Job) for job in application.jobs)


def _why_failed(job: Job, observation: Observation) -> str:
    cause = diagnosis.of_job(job, observation.api_time)
    return f"Job {job.ref} failed: {cause.detail if cause else job.message}".rstrip(": ")


def is_from_before(job: Job, observation: Observation, policy: Policy) -> bool:
    """Tell whether its work is over and was done on a database that is gone.

    That it started before the schema was seen to be absent does not tell it of work that a later container did.
    """
    began_at, absent_at = job.work_started_at, observation.absent_at
    is_over = job.phase is JobPhase.COMPLETE or bool(job.kept_by)
    if restarts.began_before_the_schema_was_absent(job.started_at or job.created_at, observation):
        return is_over and absent_at is not None and began_at is not None and began_at < absent_at + policy.clock_skew
    return is_over and began_at is not None and restarts.is_older_than_the_database(began_at, observation, policy)
