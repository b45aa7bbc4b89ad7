"""The rules about the migration and the schemas: when it is waited for, asked to run again, and given up. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision import waiting
from hook.decision.policy import OnEmptyDatabase
from hook.decision.steps import Fail, Migrate, Wait
from hook.observation import applications
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.reasons import Reason, Tolerance
from hook.observation.workloads import JobPhase

if TYPE_CHECKING:
    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.applications import Application
    from hook.observation.observation import Observation
    from hook.observation.workloads import Job, JobRef

_MOMENT = timedelta(seconds=5)
"""The schema tool takes one for all of its versions, and each of them passes through states that look like an end."""

_LONGEST_BACK_OFF = timedelta(minutes=6)
"""A container that found no database is started again after five minutes at the most, and then takes its time."""


def is_still(observation: Observation, policy: Policy) -> Step | None:
    """Judge no schema in the middle of an update; end on a migration that hangs on what lasts."""
    migration = observation.migration
    if isinstance(migration, Unknown):
        return Wait((migration.finding,))
    right = are_right(observation, policy)
    application = migration.application
    obstacle = applications.obstacle(application) if application is not None else None
    if obstacle is not None and not migration.is_working:
        if right and not any(job.is_running for job in migration.jobs):
            return None
        return Fail(obstacle) if waiting.is_over_grace(obstacle, observation, policy) else Wait((obstacle,))
    if migration.hang is not None and (migration.phase is MigrationPhase.RUNNING or not right):
        return _held_up(migration, migration.hang, observation, policy)
    if migration.phase is MigrationPhase.RUNNING:
        return Wait((Finding(Reason.MIGRATION_RUNNING, migration.owner, migration.message),))
    if application is not None and migration.phase is MigrationPhase.UNCOMPARED and policy.may_migrate:
        return waiting.compare(application, "its Job's end is not in its status yet", observation)
    return None


def _held_up(migration: Migration, hang: Finding, observation: Observation, policy: Policy) -> Step | None:
    """Wait for what may pass, boundedly; then end, unless the schemas are right and it hangs on another matter.

    Whatever it hangs on holds the servers, too, where they are made by the same sync. On a schema that is right a container
    that finds no database is not waited for longer than another: it may well look for a frontend, which comes later.
    """
    unseen = tuple(one.finding for one in observation.stores.values() if isinstance(one, Unknown))
    unreachable = tuple(finding for finding in unseen if finding.reason.tolerance is Tolerance.DEADLINE)
    running = Finding(Reason.MIGRATION_RUNNING, migration.owner, migration.message)
    ends_by_passing = are_right(observation, policy) and not migration.holds_servers
    is_tried_again = migration.hang_may_pass and not ends_by_passing
    longest = policy.grace + (_LONGEST_BACK_OFF if is_tried_again else timedelta(0))
    if unreachable or not waiting.lasts(hang, observation, longest):
        return Wait((hang, running, *unreachable))
    return None if ends_by_passing else Fail(hang)


def stores_are_seen(observation: Observation, policy: Policy) -> Step | None:
    """Wait for a store that cannot be seen; end on what only a person can mend in it, once it lasts."""
    findings = tuple(
        schema.finding
        for schema in observation.stores.values()
        if isinstance(schema, Unknown) and not _is_to_be_made(schema, observation, policy)
    )
    moment = min(_MOMENT, policy.grace)
    for finding in findings:
        if finding.reason.tolerance is Tolerance.MOMENT and waiting.lasts(finding, observation, moment):
            return Fail(finding)
    return Wait(findings) if findings else None


def schemas_are_right(observation: Observation, policy: Policy) -> Step | None:
    """Ask the owner to migrate what is empty or behind, boundedly."""
    migration = observation.migration
    state = what_is_wrong(observation, policy)
    if not state or not isinstance(migration, Migration):
        return None
    empty = [schema for schema in observation.schemas if schema.version is None]
    if empty and policy.on_empty_database is OnEmptyDatabase.FAIL:
        return Fail(Finding(Reason.DATABASE_EMPTY, f"store {empty[0].store}", state))
    if (busy := _busy(migration, state, observation)) is not None:
        return Wait((busy,))
    if not policy.may_migrate:
        return Wait((Finding(Reason.MIGRATION_AWAITED, migration.owner, state),))
    if (step := _judged_by_git(migration, state, observation, policy)) is not None:
        return step
    if migration.attempts >= policy.attempts:
        detail = f"{migration.attempts} attempts, the last: {with_cause(migration) or migration.phase}; {state}"
        return Fail(Finding(Reason.MIGRATION_FAILED, migration.owner, detail))
    if (step := waiting.own_sync(migration.application, observation)) is not None:
        return step
    failed = migration.phase is not MigrationPhase.SUCCEEDED
    if failed and waiting.is_pausing(migration.attempts, migration.ended_at, observation.now, policy):
        return Wait((pausing(migration, policy),))
    jobs = _jobs_to_run(migration, observation, policy)
    if jobs is None:
        detail = f"{', '.join(str(job.ref) for job in migration.jobs)}; {state}"
        ambiguous = Finding(Reason.MIGRATION_JOB_AMBIGUOUS, migration.owner, detail)
        return Fail(ambiguous) if waiting.is_over_grace(ambiguous, observation, policy) else Wait((ambiguous,))
    return Migrate(migration, migration.attempts + 1, state, jobs)


def failed_jobs_are_done(observation: Observation, policy: Policy) -> Step | None:
    """Have a plain Job that failed run again though the schemas are right: its step would stay Degraded for ever (seen).

    It can be repeated: on a schema that is right the tool changes nothing. Where it fails all the same the gate passes.
    """
    migration = observation.migration
    application = migration.application if isinstance(migration, Migration) else None
    if not isinstance(migration, Migration) or application is None or migration.attempts >= policy.attempts:
        return None
    if not policy.may_migrate:
        return None
    if migration.hang is not None or applications.obstacle(application) is not None:
        return None
    failed = _failed_jobs(migration, application)
    if not failed:
        return None
    if migration.unseen and not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, "before its Job is run again", observation)
    if (step := waiting.own_sync(application, observation)) is not None:
        return step
    if migration.phase not in {MigrationPhase.IDLE, MigrationPhase.FAILED}:
        return Wait((Finding(Reason.MIGRATION_PAUSING, migration.owner, migration.message),))
    if waiting.is_pausing(migration.attempts, migration.ended_at, observation.now, policy):
        return Wait((pausing(migration, policy),))
    why = "the schemas are right, but its Job failed and would hold its step"
    return Migrate(migration, migration.attempts + 1, why, failed)


# --- what the rules ask -------------------------------------------------------------------------------------------


def are_right(observation: Observation, policy: Policy) -> bool:
    """Tell whether every store was seen, and its schema serves the release."""
    return all(policy.is_right(schema) for schema in observation.stores.values())


def is_at_work(observation: Observation) -> bool:
    """Tell whether a migration verifiably works: a pod of it runs and nothing is wrong with it, or its statement does.

    It is not failed by the gate's deadline: a step over a large visibility table takes an hour (temporal 10358, 11594).
    """
    changing = any(schema.is_being_changed for schema in observation.schemas)
    return changing or (isinstance(observation.migration, Migration) and observation.migration.is_working)


def may_make_databases(observation: Observation, policy: Policy) -> bool:
    """Tell whether a database that does not exist may still be made by the owner's migration: it runs, or was not asked.

    Temporal's 0.x chart makes its databases by default, 1.x where it is told to (``createDatabase``).
    """
    migration = observation.migration
    if not isinstance(migration, Migration) or policy.on_empty_database is OnEmptyDatabase.FAIL:
        return False
    return not migration.attempts or migration.phase in {MigrationPhase.RUNNING, MigrationPhase.UNCOMPARED}


def _is_to_be_made(schema: Unknown, observation: Observation, policy: Policy) -> bool:
    return schema.finding.reason is Reason.DATABASE_MISSING and may_make_databases(observation, policy)


def what_is_wrong(observation: Observation, policy: Policy) -> str:
    """Return what is wrong with the stores that the migration may bring right, an empty text where nothing is."""
    wrong = {schema.store: policy.describe(schema) for schema in observation.schemas if not policy.is_right(schema)}
    wrong |= {
        store: f"{store} does not exist"
        for store, schema in observation.stores.items()
        if isinstance(schema, Unknown) and _is_to_be_made(schema, observation, policy)
    }
    return ", ".join(wrong.values())


def holds_its_step(migration: Migration) -> bool:
    """Tell whether a plain Job of it failed: its Application stays Degraded, whatever the schemas are."""
    application = migration.application
    return application is not None and not migration.holds_servers and bool(_failed_jobs(migration, application))


def _busy(migration: Migration, state: str, observation: Observation) -> Finding | None:
    """Return why nobody can be asked to migrate now: somebody changes the schema, or Argo CD is not done with the last."""
    if changing := [schema for schema in observation.schemas if schema.is_being_changed]:
        return Finding(Reason.SCHEMA_BEING_CHANGED, f"store {changing[0].store}", state)
    return held_back(migration)


def held_back(migration: Migration) -> Finding | None:
    """Return why Argo CD does not go on with an operation of its own now, None where it does."""
    if migration.phase is MigrationPhase.BLOCKED:
        return Finding(Reason.MIGRATION_BLOCKED, migration.owner, migration.message)
    if migration.phase is MigrationPhase.PAUSING:
        return Finding(Reason.MIGRATION_PAUSING, migration.owner, with_cause(migration))
    return None


def _judged_by_git(migration: Migration, state: str, observation: Observation, policy: Policy) -> Step | None:
    """Believe no status that could not be compared, and end on no success at a commit that is not the newest.

    Nor on one after which the schemas were right: their databases were replaced since. Nor on that of one Job where
    another was not asked yet, or is not there: a store may have a Job of its own.
    """
    application = migration.application
    if application is not None and application.sync == "Unknown":
        return waiting.compare(application, applications.why_not_compared(application), observation)
    if migration.phase is not MigrationPhase.SUCCEEDED or observation.right_after == migration.attempts:
        return None
    if application is not None and not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, f"before ending on {Reason.MIGRATION_LEFT_SCHEMA_BEHIND}", observation)
    if application is not None and applications.has_newer_commit(application):
        return None
    asked_for = {not _is_from_before_the_run(job, observation) for job in _makers(migration, policy) or ()}
    if asked_for == {True, False} or _has_absent_jobs(migration):
        return None
    return Fail(Finding(Reason.MIGRATION_LEFT_SCHEMA_BEHIND, migration.owner, f"it succeeded, but {state}"))


def pausing(migration: Migration, policy: Policy) -> Finding:
    """Return that the pause after this run's last attempt still runs."""
    detail = f"attempt {migration.attempts} of {policy.attempts} failed: {with_cause(migration)}"
    return Finding(Reason.MIGRATION_PAUSING, migration.owner, detail)


def with_cause(migration: Migration) -> str:
    """Return the migration's message with what its pods say, where they say something."""
    causes = [str(pod.finding.detail) for job in migration.jobs for pod in job.pods if pod.finding]
    return "; ".join(filter(None, (migration.message, *dict.fromkeys(causes))))


def _jobs_to_run(migration: Migration, observation: Observation, policy: Policy) -> tuple[JobRef, ...] | None:
    """Return the plain Jobs to be run again alone; none: a full sync; None: they cannot be told from others.

    Of those that make the schema the failed ones; else those that succeeded before this run, on a schema that is gone; else
    what is not there, by a full sync; else all. Where no store has a schema, the failed ones and those of before the run.
    """
    if migration.unseen and migration.application is not None and migration.application.jobs:
        return applications.jobs_that_are_there(migration.application)
    makers = _makers(migration, policy)
    if makers is None:
        return None
    failed = [job.ref for job in makers if job.phase is JobPhase.FAILED]
    done = [job for job in makers if job.phase is JobPhase.COMPLETE]
    old = [job.ref for job in done if _is_from_before_the_run(job, observation)]
    if not failed and not old and _has_absent_jobs(migration):
        return ()
    if failed and all(schema.version is None for schema in observation.schemas):
        return (*failed, *old)
    return tuple(failed or old or [job.ref for job in done])


def _makers(migration: Migration, policy: Policy) -> tuple[Job, ...] | None:
    """Return the plain Jobs that make the schema; none: a full sync makes it; None: they cannot be told from others."""
    application = migration.application
    if application is None or not application.jobs:
        return ()
    managed = {job.ref for job in application.jobs}
    hooks = [job for job in migration.jobs if job.ref not in managed]
    there = [job for job in migration.jobs if job.ref in managed]
    if policy.schema_jobs:
        makers = [job for job in there if job.ref.name in policy.schema_jobs]
        awaited = {ref for ref in managed if ref.name in policy.schema_jobs}
    else:
        makers = [job for job in there if job.makes_schema]
        awaited = managed if not makers else set()
    if (
        awaited - {job.ref for job in there}
        or (application.hook_jobs and not makers)
        or any(h.makes_schema for h in hooks)
    ):
        return ()
    candidates = makers or [job for job in there if job.phase is JobPhase.FAILED] or (there if len(there) == 1 else [])
    return tuple(candidates) or None


def _has_absent_jobs(migration: Migration) -> bool:
    """Tell whether a plain Job is not there; where Jobs may not be read, whether Argo CD misses one, or finds it changed."""
    application = migration.application
    if application is None:
        return False
    if migration.unseen:
        return not all(job.synced for job in application.jobs)
    there = {job.ref for job in migration.jobs}
    return any(job.ref not in there for job in application.jobs)


def _is_from_before_the_run(job: Job, observation: Observation) -> bool:
    """Tell whether it succeeded before this run asked for it; both times are by the API server's clock."""
    is_older = job.created_at is not None and job.created_at < observation.run_started_at
    return is_older and job.phase is JobPhase.COMPLETE


def _failed_jobs(migration: Migration, application: Application) -> tuple[JobRef, ...]:
    if migration.unseen:
        return (
            applications.jobs_that_are_there(application) if applications.job_health(application) == "Degraded" else ()
        )
    managed = {job.ref for job in application.jobs}
    return tuple(job.ref for job in migration.jobs if job.phase is JobPhase.FAILED and job.ref in managed)
