"""The migration by its Jobs as objects: what is seen of it, and which Jobs are run again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from worlds import (
    BEHIND,
    EMPTY,
    JOB,
    MIGRATIONS,
    NOW,
    OLDER_REVISION,
    RUN_STARTED,
    application,
    at,
    crashed,
    ended,
    finding,
    job,
    job_pod,
    managed,
    observation,
    operation,
    policy,
    running,
    schema,
    stores,
    unknown,
)

from hook.decision import planner
from hook.decision.policy import OnEmptyDatabase, Policy
from hook.decision.steps import Fail, Migrate, Pass, Refresh, Step, Wait, missing, outcome_of
from hook.observation import migrations
from hook.observation.applications import OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Observation
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Job, JobPhase, JobRef

SEED = JobRef("temporal", "seed-once")
SECOND = JobRef("temporal", "visibility-schema")
FAILED, COMPLETE, RUNNING = JobPhase.FAILED, JobPhase.COMPLETE, JobPhase.RUNNING
UNSEEN = unknown(Reason.API_FORBIDDEN, "Job")
WORKING = job(RUNNING, JOB, job_pod(running("tool")))
CRASHING = job(
    RUNNING, JOB, job_pod(crashed("tool", -9), finding=Finding(Reason.CRASH_LOOPING, "pod x", "pq: permission denied"))
)


def seed(phase: JobPhase = COMPLETE) -> Job:
    return job(phase, SEED, makes_schema=False)


def migration_of(
    *jobs: Job, unseen: tuple[JobRef, ...] = (), absent: tuple[JobRef, ...] = (), **changes: Any
) -> Migration:
    """That of an Application with these plain Jobs, unless ``plain`` or ``hooks`` says which they are."""
    seen: dict[JobRef, Job | Unknown | None] = {one.ref: one for one in jobs}
    seen |= dict.fromkeys(unseen, UNSEEN) | dict.fromkeys(absent)
    hooks = changes.pop("hooks", ())
    plain = changes.pop("jobs", tuple(managed(ref) for ref in seen if ref not in hooks))
    owner = application(MIGRATIONS, jobs=plain, hook_jobs=hooks, **changes)
    return migrations.of_application(owner, seen, NOW)


def world(seen: Migration, **changes: Any) -> Observation:
    return observation(**{"migration": seen, "stores": BEHIND} | changes)


def lasting(seen: Observation, seconds: float = 3600) -> Observation:
    """The same after what it waits for has been there so long."""
    taken = planner.next_step(seen, policy())
    return replace(seen, since={one.key: at(-seconds) for one in missing(taken)})


def reasons(taken: Step) -> set[Reason]:
    return {one.reason for one in (taken.warnings if isinstance(taken, Pass) else missing(taken))} | (
        {taken.finding.reason} if isinstance(taken, Fail) else set()
    )


@pytest.mark.parametrize(
    ("seen", "asked", "jobs"),
    [
        (migration_of(job(FAILED)), policy(), (JOB,)),
        (migration_of(job()), policy(), (JOB,)),
        (migration_of(job(FAILED), seed()), policy(), (JOB,)),
        (migration_of(job(), seed(FAILED)), policy(), (JOB,)),
        (migration_of(job(), job(FAILED, SECOND)), policy(), (SECOND,)),
        (migration_of(job(), job(COMPLETE, SECOND)), policy(), (JOB, SECOND)),
        (migration_of(seed(FAILED)), policy(), (SEED,)),
        (migration_of(seed()), policy(), (SEED,)),
        (migration_of(job(FAILED), seed(FAILED)), policy(schema_jobs=("seed-once",)), (SEED,)),
        (migration_of(job(), absent=(SECOND,)), policy(schema_jobs=(SECOND.name,)), ()),
        (migration_of(absent=(JOB,)), policy(), ()),
        (migration_of(), policy(), ()),
        (migration_of(job(FAILED), hooks=(JOB,)), policy(), ()),
        (migration_of(job(FAILED), seed(), hooks=(JOB,)), policy(), ()),
        (migration_of(seed(), absent=(JOB,), hooks=(JOB,)), policy(), ()),
        (migration_of(unseen=(JOB,)), policy(), (JOB,)),
        (migration_of(unseen=(JOB,), jobs=(managed(synced=False, was_synced=False),)), policy(), ()),
    ],
)
def test_which_jobs_are_run_again_where_a_schema_is_behind(
    seen: Migration, asked: Policy, jobs: tuple[JobRef, ...]
) -> None:
    """Those that make the schema, of them the failed; none: a full sync makes what lacks, and runs hooks."""
    taken = planner.next_step(world(seen), asked)
    assert isinstance(taken, Migrate)
    assert (set(taken.jobs), taken.attempt) == (set(jobs), 1)


def test_jobs_that_cannot_be_told_apart_are_nobodys_to_run() -> None:
    """Two Complete Jobs, neither of which is known to make a schema."""
    other = job(COMPLETE, SECOND, makes_schema=False)
    seen = world(migration_of(seed(), other))
    assert reasons(planner.next_step(seen, policy())) == {Reason.MIGRATION_JOB_AMBIGUOUS}
    taken = planner.next_step(lasting(seen), policy())
    assert isinstance(taken, Fail)
    assert {"temporal/seed-once", "temporal/visibility-schema"} <= set(
        taken.finding.detail.replace(";", ",").split(", ")
    )


@pytest.mark.parametrize(
    ("seen", "jobs"),
    [
        (migration_of(job(FAILED)), {JOB}),
        (migration_of(job(FAILED), seed()), {JOB}),
        (migration_of(job(), seed(FAILED)), {SEED}),
        (migration_of(unseen=(JOB,), health="Degraded"), {JOB}),
        (migration_of(unseen=(JOB,)), None),
        (migration_of(job()), None),
        (migration_of(job(FAILED), hooks=(JOB,)), None),
        (migration_of(job(), health="Degraded"), None),
    ],
)
def test_on_schemas_that_are_right_only_a_failed_plain_job_is_run_again(
    seen: Migration, jobs: set[JobRef] | None
) -> None:
    taken = planner.next_step(world(seen, stores=stores()), policy())
    assert (set(taken.jobs) if isinstance(taken, Migrate) else None) == jobs
    assert isinstance(taken, Migrate | Pass)


@pytest.mark.parametrize(
    ("seen", "phase"),
    [
        (migration_of(WORKING), MigrationPhase.RUNNING),
        (migration_of(job(FAILED), replace(WORKING, ref=SECOND)), MigrationPhase.RUNNING),
        (migration_of(WORKING, hooks=(JOB,)), MigrationPhase.RUNNING),
        (migration_of(job(JobPhase.SUSPENDED)), MigrationPhase.RUNNING),
        (migration_of(job(), health="Progressing"), MigrationPhase.IDLE),
        (migration_of(job(), operation=operation(attempt=1)), MigrationPhase.SUCCEEDED),
        (migration_of(job(FAILED), operation=operation(attempt=1)), MigrationPhase.FAILED),
        (migration_of(job(FAILED)), MigrationPhase.IDLE),
        (migration_of(unseen=(JOB,), health="Progressing"), MigrationPhase.RUNNING),
        (migration_of(unseen=(JOB,), health="Suspended"), MigrationPhase.RUNNING),
        (migration_of(unseen=(JOB,), operation=operation(attempt=1), health="Degraded"), MigrationPhase.FAILED),
        (
            migration_of(unseen=(JOB,), operation=operation(finished_at=at(-5)), compared_at=at(-9)),
            MigrationPhase.UNCOMPARED,
        ),
        (migration_of(unseen=(JOB,), operation=None), MigrationPhase.IDLE),
        (migration_of(job(), operation=operation(OperationPhase.BLOCKED)), MigrationPhase.BLOCKED),
        (migration_of(operation=None), MigrationPhase.IDLE),
    ],
)
def test_the_phase_is_that_of_the_jobs_and_of_argo_cd_where_they_may_not_be_read(
    seen: Migration, phase: MigrationPhase
) -> None:
    """Succeeded and failed are said of this run's own attempt only."""
    assert seen.phase is phase


def test_a_running_migration_is_neither_asked_nor_ended() -> None:
    seen = lasting(world(migration_of(WORKING)))
    assert reasons(planner.next_step(seen, policy())) == {Reason.MIGRATION_RUNNING}
    assert seen.migration.is_working  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("seen", "reason", "words"),
    [
        (migration_of(CRASHING), Reason.MIGRATION_HANGS, "permission denied"),
        (migration_of(job(JobPhase.SUSPENDED)), Reason.JOB_SUSPENDED, "spec.suspend is true"),
        (migration_of(job(RUNNING)), Reason.MIGRATION_HANGS, "it has no pod"),
        (
            migration_of(job(RUNNING, JOB, job_pod(ended("tool"), running("istio-proxy")))),
            Reason.SIDECAR_KEEPS_JOB,
            "istio-proxy",
        ),
        (
            migration_of(absent=(JOB,), jobs=(), operation=operation(OperationPhase.RUNNING, waits_for=JOB)),
            Reason.OPERATION_STUCK,
            "does not exist",
        ),
        (migration_of(job(FAILED), skips_reconcile=True), Reason.RECONCILIATION_SKIPPED, "skip-reconcile"),
        (migration_of(job(FAILED), is_being_deleted=True), Reason.APPLICATION_BEING_DELETED, "deletionTimestamp"),
        (
            migration_of(job(FAILED), conditions=(("InvalidSpecError", "no project"),)),
            Reason.APPLICATION_INVALID,
            "no project",
        ),
        (
            migration_of(
                job(FAILED), operation=operation(OperationPhase.PAUSING, revisions=OLDER_REVISION, retries_left=None)
            ),
            Reason.OPERATION_RETRIES_OLD_COMMIT,
            "retries commit",
        ),
    ],
)
def test_what_holds_a_migration_ends_the_run_after_the_grace_unless_the_schemas_are_right(
    seen: Migration, reason: Reason, words: str
) -> None:
    taken = planner.next_step(world(seen), policy())
    assert isinstance(taken, Wait)
    assert reason in reasons(taken)
    late = planner.next_step(lasting(world(seen)), policy())
    assert isinstance(late, Fail)
    assert (late.finding.reason, words in late.finding.detail) == (reason, True)
    right = planner.next_step(lasting(world(seen, stores=stores())), policy())
    assert isinstance(right, Pass)
    assert reason in {one.reason for one in right.warnings}


def test_one_that_works_is_waited_for_whatever_argo_cd_has_to_say() -> None:
    assert reasons(planner.next_step(lasting(world(migration_of(WORKING, skips_reconcile=True))), policy())) == {
        Reason.MIGRATION_RUNNING
    }


@pytest.mark.parametrize(("left", "newer"), [(3, False), (None, True), (50, True), (5, False)], ids=str)
def test_only_retries_that_go_on_for_long_are_stuck_on_an_old_commit(left: int | None, *, newer: bool) -> None:
    pausing = operation(OperationPhase.PAUSING, revisions=OLDER_REVISION, retries_left=left)
    taken = planner.next_step(world(migration_of(operation=pausing)), policy())
    assert (Reason.OPERATION_RETRIES_OLD_COMMIT in reasons(taken)) is newer


NONE = stores(visibility=unknown(Reason.DATABASE_MISSING, "store visibility"))


@pytest.mark.parametrize(
    ("seen", "asked", "expected"),
    [
        (migration_of(job(FAILED)), policy(), Migrate),
        (migration_of(WORKING, operation=operation(attempt=1)), policy(), Wait),
        (migration_of(job(FAILED), operation=operation(attempt=1)), policy(), Fail),
        (migration_of(job(FAILED)), policy(on_empty_database=OnEmptyDatabase.FAIL), Fail),
    ],
)
def test_a_database_that_does_not_exist_is_asked_for_once(seen: Migration, asked: Policy, expected: type[Step]) -> None:
    lacking = NONE[next(store for store in NONE if isinstance(NONE[store], Unknown))]
    assert isinstance(lacking, Unknown)
    taken = planner.next_step(world(seen, stores=NONE, since={lacking.finding.key: at(-3600)}), asked)
    assert isinstance(taken, expected)
    if isinstance(taken, Fail):
        assert taken.finding == lacking.finding


def test_a_success_on_a_database_that_was_replaced_since_is_none() -> None:
    """It was right after this attempt, and is empty now."""
    succeeded = migration_of(job(), operation=operation(attempt=1))
    taken = planner.next_step(world(succeeded, stores=EMPTY, right_after=1), policy())
    assert isinstance(taken, Migrate)
    assert taken.attempt == 2
    left_behind = planner.next_step(world(succeeded, stores=EMPTY), policy())
    assert reasons(left_behind) == {Reason.MIGRATION_LEFT_SCHEMA_BEHIND}


def test_each_store_may_have_a_job_of_its_own() -> None:
    """What succeeded before the run is asked, too, once the one that had failed has succeeded in it; and nothing twice."""
    old, failed = job(), job(FAILED, SECOND)
    half = {**EMPTY, Store.VISIBILITY: schema(Store.VISIBILITY, "1.8")}
    first = planner.next_step(world(migration_of(old, failed), stores=half), policy())
    assert isinstance(first, Migrate)
    assert first.jobs == (SECOND,)
    done = job(ref=SECOND, created_at=at(RUN_STARTED + 1))
    behind = {**EMPTY, Store.VISIBILITY: schema(Store.VISIBILITY)}
    second = planner.next_step(world(migration_of(old, done, operation=operation(attempt=1)), stores=behind), policy())
    assert isinstance(second, Migrate)
    assert (second.jobs, second.attempt) == ((JOB,), 2)
    both = migration_of(replace(old, created_at=at(RUN_STARTED + 2)), done, operation=operation(attempt=2))
    assert reasons(planner.next_step(world(both, stores=behind), policy())) == {Reason.MIGRATION_LEFT_SCHEMA_BEHIND}


def test_what_succeeded_on_databases_that_are_gone_is_run_again_with_what_failed() -> None:
    """Where no store has a schema, one attempt does for both: there may be no other."""
    taken = planner.next_step(world(migration_of(job(), job(FAILED, SECOND)), stores=EMPTY), policy(attempts=1))
    assert isinstance(taken, Migrate)
    assert set(taken.jobs) == {JOB, SECOND}
    own = job(created_at=at(RUN_STARTED + 1))
    in_this_run = planner.next_step(world(migration_of(own, job(FAILED, SECOND)), stores=EMPTY), policy(attempts=1))
    assert isinstance(in_this_run, Migrate)
    assert in_this_run.jobs == (SECOND,)


def test_a_job_that_is_not_there_is_made_before_a_run_ends_on_the_success_of_another() -> None:
    """Its ttlSecondsAfterFinished is over, and it was the other store's."""
    done = job(created_at=at(RUN_STARTED + 1))
    behind = {**EMPTY, Store.DEFAULT: schema(Store.DEFAULT)}
    seen = migration_of(done, absent=(SECOND,), operation=operation(attempt=1))
    taken = planner.next_step(world(seen, stores=behind), policy())
    assert isinstance(taken, Migrate)
    assert (taken.jobs, taken.attempt) == ((), 2)


def test_a_job_that_argo_cd_misses_has_not_succeeded_though_nobody_may_read_it() -> None:
    """It failed, and its ttlSecondsAfterFinished was over before its failure was seen."""
    seen = migration_of(unseen=(JOB,), jobs=(managed(synced=False),), sync="OutOfSync", operation=operation(attempt=1))
    taken = planner.next_step(world(seen, stores=EMPTY), policy())
    assert isinstance(taken, Migrate)
    assert (taken.jobs, taken.attempt) == ((JOB,), 2)


def test_the_pause_before_the_next_attempt_tells_what_its_pods_said() -> None:
    pod = job_pod(crashed("tool", -9), finding=finding(Reason.CRASH_LOOPING))
    failed = job(FAILED, JOB, pod, ended_at=at(-3), message="BackoffLimitExceeded")
    seen = world(migration_of(failed, operation=operation(attempt=1)))
    taken = planner.next_step(seen, policy(pause=timedelta(seconds=60)))
    assert isinstance(taken, Wait)
    (told,) = taken.findings
    assert "BackoffLimitExceeded; as seen" in told.detail
    right = planner.next_step(replace(seen, stores=stores()), policy(pause=timedelta(seconds=60)))
    assert reasons(right) == {Reason.MIGRATION_PAUSING}


def test_a_job_that_may_not_be_read_is_run_again_on_a_fresh_comparison_only() -> None:
    seen = migration_of(unseen=(JOB,), health="Degraded", operation=None, compared_at=at(-3600))
    assert isinstance(planner.next_step(world(seen, stores=stores()), policy()), Refresh)


def test_what_a_pass_says_of_the_migrations() -> None:
    """What stands next to their Jobs, and what could not be read."""
    beside = migration_of(job(), health="Degraded", unhealthy=("CronJob backup is Degraded",))
    taken = planner.next_step(world(beside, stores=stores()), policy())
    assert isinstance(taken, Pass)
    assert [one.detail for one in taken.warnings] == ["Degraded: CronJob backup is Degraded"]
    silent = planner.next_step(world(migration_of(unseen=(JOB,)), stores=stores()), policy())
    assert reasons(silent) == {Reason.JOBS_UNSEEN}


def test_what_was_about_to_be_done_at_the_end_is_told_as_missing() -> None:
    taken = planner.next_step(world(migration_of(job(FAILED))), policy())
    told = outcome_of(taken)
    assert told.finding.reason is Reason.DEADLINE_EXCEEDED
    assert "attempt 1 is due" in told.finding.detail
