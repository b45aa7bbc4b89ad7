"""What becomes of the Applications after Temporal, such as the namespace bootstrap: left alone, or synced again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import endings, guards, outcomes, restarts, runtime, waiting
from hook.decision.stage import Stage, stage
from hook.decision.steps import Pass, Resync, Wait
from hook.observation import applications, diagnosis
from hook.observation.applications import Application, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import lost_hook
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase

if TYPE_CHECKING:
    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.observation import Observation
    from hook.observation.workloads import JobRef


def is_done(observation: Observation, policy: Policy) -> Step | None:
    """Sync again what was reached and failed, boundedly and never on an old status; Argo CD would not (facts 6)."""
    given_up: list[Finding] = []
    for application in observation.downstream.values():
        if applications.is_ahead(application):
            if stage(observation, policy) is Stage.DRIFTING:
                given_up += _failed_before(application, observation, policy)
            continue
        if isinstance(application, Unknown):
            return Wait((application.finding,))
        next_one = _step(application, observation, policy)
        if isinstance(next_one, Pass):
            given_up += next_one.warnings  # one that only a person can mend keeps no other from being mended
        elif next_one is not None:
            return next_one
    return _without(tuple(given_up), observation, policy) if given_up else None


def _without(given_up: tuple[Finding, ...], observation: Observation, policy: Policy) -> Step:
    """Pass over what is given up; but as surely as without it, and saying all that a person should know."""
    rest = runtime.has_all_its_pods(observation, policy) or Pass(endings.notes(observation, policy))
    return Pass(tuple(dict.fromkeys((*given_up, *rest.warnings)))) if isinstance(rest, Pass) else rest


def _failed_before(application: Application | Unknown, observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return as a warning that one failed at the commit before, where nobody can tell whether its step is still to come."""
    if not isinstance(application, Application) or application.operation is None:
        return ()
    failed = outcomes.failure(application, observation, policy)
    return (failed,) if failed is not None and application.operation.phase is OperationPhase.FAILED else ()


def _step(application: Application, observation: Observation, policy: Policy) -> Step | None:
    about = f"Application {application.ref}"
    if (obstacle := applications.obstacle(application)) is not None and (
        applications.is_busy(application) or outcomes.failure(application, observation, policy) is not None
    ):
        return _held_up(obstacle, observation, policy)
    jobs = outcomes.jobs_of(application, observation)
    if outcomes.is_at_work(application, observation):
        return _while_it_runs(application, observation, policy)
    failed = outcomes.failure(application, observation, policy)
    if failed is not None:
        return _again(application, failed, observation, policy)
    settled = applications.is_compared(application, observation.run_started_at)
    if (
        application.attempts
        and application.jobs
        and not settled
        and not outcomes.all_are_seen(application, observation)
    ):
        return waiting.compare(application, "its Job's end is not in its status yet", observation)
    if application.health != "Healthy" and not (jobs and outcomes.all_are_seen(application, observation)):
        found = Finding(Reason.DOWNSTREAM_RUNNING, about, applications.describe(application))
        return endings.wait_while_patient((found,), observation, policy)
    return None


def _again(application: Application, failed: Finding, observation: Observation, policy: Policy) -> Step:
    """Sync it again, boundedly, with pauses, and only on what Argo CD has compared since the last operation."""
    about, attempts, operation = f"Application {application.ref}", application.attempts, application.operation
    if application.sync == "Unknown":
        found = Finding(Reason.COMPARISON_PENDING, about, applications.why_not_compared(application))
        return endings.wait_while_patient((found,), observation, policy)
    if not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, "before it is synced again", observation)
    if attempts and (young := tuple(restarts.young(observation, policy))):
        return Wait(young)  # the attempt before may have met servers that were about to crash, as these may be
    if attempts >= policy.attempts:
        return endings.end_unrepaired((failed,), observation, policy)
    if waiting.is_pausing(attempts, operation.finished_at if operation else None, observation.now, policy):
        found = Finding(
            Reason.DOWNSTREAM_PAUSING, about, f"attempt {attempts} of {policy.attempts} failed: {failed.detail}"
        )
        return endings.wait_while_patient((found,), observation, policy)
    return Resync(application, attempts + 1, failed.detail, _jobs_to_run(application, observation, policy))


def _jobs_to_run(application: Application, observation: Observation, policy: Policy) -> tuple[JobRef, ...]:
    """Return the plain Jobs that failed or ran on a database that is gone; none: a full sync makes what it lacks.

    Hooks that failed come first: they may be deleted by now, and a selective operation would hide that theirs has failed.
    Where a Job may not be read: all of them, if Argo CD says that they are there.
    """
    seen = {job.ref: observation.jobs.get(job.ref) for job in application.jobs}
    operation = application.operation
    if application.hook_jobs and operation is not None and operation.phase is OperationPhase.FAILED:
        return ()
    if any(job is None and ref in observation.jobs for ref, job in seen.items()):
        return ()
    if all(isinstance(job, Job) for job in seen.values()):
        return tuple(
            job.ref
            for job in seen.values()
            if isinstance(job, Job)
            and (job.phase is JobPhase.FAILED or outcomes.is_from_before(job, observation, policy))
        )
    return applications.jobs_that_are_there(application)


def _while_it_runs(application: Application, observation: Observation, policy: Policy) -> Step:
    """Wait; but name what holds it, and do not wait for ever for what lasts."""
    about = f"Application {application.ref}"
    guard = guards.holds(application, observation)
    running = Finding(
        Reason.GUARD_HOLDS if guard else Reason.DOWNSTREAM_RUNNING, about, applications.describe(application)
    )
    hang = lost_hook(application, observation.jobs, observation.api_time)
    for job in (*outcomes.jobs_of(application, observation), *filter(None, (guard,))):
        if hang is None and job.phase is JobPhase.SUSPENDED:
            hang = Finding(Reason.JOB_SUSPENDED, f"Job {job.ref}", "spec.suspend is true")
        if hang is None and job.phase is JobPhase.RUNNING:
            hang = diagnosis.of_job(job, observation.api_time)
    if hang is None:
        return endings.wait_while_patient((running,), observation, policy)
    reason = Reason.GUARD_HOLDS if guard else Reason.DOWNSTREAM_FAILED
    return _held_up(Finding(reason, about, str(hang), hang.remedy), observation, policy)


def _held_up(hang: Finding, observation: Observation, policy: Policy) -> Step:
    if waiting.is_over_grace(hang, observation, policy):
        return endings.end_unrepaired((hang,), observation, policy)
    return endings.wait_while_patient((hang,), observation, policy)
