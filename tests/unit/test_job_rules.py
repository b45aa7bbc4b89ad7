"""What Jobs seen as objects mean: which of them a migration or a sync runs again, and what they are waited for."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    BEHIND,
    BOOTSTRAP,
    EMPTY,
    JOB,
    MIGRATIONS,
    NAMESPACES,
    NOW,
    OLDER_REVISION,
    REVISION,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    at,
    attempted,
    crashed,
    downstream,
    ended,
    finding,
    job,
    job_pod,
    managed,
    observation,
    operation,
    pod,
    policy,
    running,
    runtime,
    schema,
    seen_for,
    stores,
    unknown,
)

from hook.decision import planner
from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.decision.steps import Fail, Migrate, Pass, Refresh, Resync, Step, Wait
from hook.observation import applications, migrations
from hook.observation.applications import Application, OperationPhase, SyncPolicy
from hook.observation.findings import Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Job, JobPhase, JobRef, Owner, Runtime

AUTO = policy()
ALWAYS = policy(reachability=Reachability.ALWAYS)
SEED, PER_STORE = JobRef("temporal", "seed-once"), JobRef("temporal", "schema-visibility")
COMPLETE, FAILED, RUNNING, SUSPENDED = JobPhase.COMPLETE, JobPhase.FAILED, JobPhase.RUNNING, JobPhase.SUSPENDED


def gist(step: Step) -> object:  # noqa: PLR0911 -- a line for each step
    match step:
        case Pass(warnings):
            return ("pass", *(warning.reason for warning in warnings))
        case Wait(findings):
            return ("wait", *(one.reason for one in findings))
        case Fail(failure):
            return ("fail", failure.reason)
        case Migrate(_, attempt, _, jobs):
            return ("migrate", attempt, *(one.name for one in jobs))
        case Resync(_, attempt, _, jobs):
            return ("resync", attempt, *(one.name for one in jobs))
        case Refresh(one, _):
            return ("refresh", one.ref)
    return step


def step(asked: Policy = AUTO, **changes: Any) -> object:
    return gist(planner.next_step(observation(**changes), asked))


def owner(
    *jobs: Job | Unknown | None, hooks: tuple[JobRef, ...] = (), refs: tuple[JobRef, ...] = (), **changes: Any
) -> Migration:
    """The migrations Application with these managed Jobs, and what was read of them."""
    named = refs or tuple(one.ref for one in jobs if isinstance(one, Job) and one.ref not in hooks)
    app = application(MIGRATIONS, **{"jobs": tuple(map(managed, named)), "hook_jobs": hooks} | changes)
    seen = dict(zip((*named, *hooks), jobs, strict=False))
    return migrations.of_application(app, seen, NOW)


def busy(ref: JobRef = JOB, **changes: Any) -> Job:
    """A Job whose pod works."""
    return job(RUNNING, ref, job_pod(running("main")), **changes)


def other(phase: JobPhase, ref: JobRef = SEED) -> Job:
    """A Job that has nothing to do with the schema."""
    return job(phase, ref, makes_schema=False)


# --- the migration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ((job(FAILED),), ("migrate", 1, "temporal-schema")),
        ((job(COMPLETE),), ("migrate", 1, "temporal-schema")),
        ((job(COMPLETE), other(COMPLETE)), ("migrate", 1, "temporal-schema")),
        ((job(COMPLETE), other(FAILED)), ("migrate", 1, "temporal-schema")),
        ((job(FAILED), job(COMPLETE, PER_STORE)), ("migrate", 1, "temporal-schema")),
        ((job(COMPLETE), job(COMPLETE, PER_STORE)), ("migrate", 1, "temporal-schema", "schema-visibility")),
        ((other(COMPLETE),), ("migrate", 1, "seed-once")),
        ((other(FAILED), other(COMPLETE, PER_STORE)), ("migrate", 1, "seed-once")),
        ((other(COMPLETE), other(COMPLETE, PER_STORE)), ("wait", Reason.MIGRATION_JOB_AMBIGUOUS)),
        ((busy(),), ("wait", Reason.MIGRATION_RUNNING)),
        ((job(SUSPENDED),), ("wait", Reason.JOB_SUSPENDED, Reason.MIGRATION_RUNNING)),
        ((job(FAILED), busy(SEED, makes_schema=False)), ("wait", Reason.MIGRATION_RUNNING)),
    ],
)
def test_the_schemas_jobs_are_run_again_and_no_others_and_none_while_one_runs(
    jobs: tuple[Job, ...], expected: object
) -> None:
    assert step(stores=BEHIND, migration=owner(*jobs)) == expected


def test_jobs_that_cannot_be_told_apart_end_the_run_after_the_grace_unless_they_are_named() -> None:
    jobs = (other(COMPLETE), other(COMPLETE, PER_STORE))
    ambiguous = finding(Reason.MIGRATION_JOB_AMBIGUOUS, f"Application {MIGRATIONS}")
    expected = ("fail", Reason.MIGRATION_JOB_AMBIGUOUS)
    assert step(stores=BEHIND, migration=owner(*jobs), since=seen_for(120, ambiguous)) == expected
    named = policy(schema_jobs=("schema-visibility",))
    assert step(named, stores=BEHIND, migration=owner(*jobs)) == ("migrate", 1, "schema-visibility")
    absent = owner(other(COMPLETE), None, refs=(SEED, PER_STORE))
    assert step(named, stores=BEHIND, migration=absent) == ("migrate", 1)


@pytest.mark.parametrize(
    "seen",
    [
        owner(None, refs=(JOB,)),
        owner(job(COMPLETE), hooks=(JOB,)),
        owner(other(COMPLETE), job(COMPLETE), hooks=(JOB,), refs=(SEED,)),
        owner(other(COMPLETE), None, hooks=(JOB,), refs=(SEED,)),
    ],
    ids=["never made", "a hook", "a hook beside a plain one", "a hook that was deleted"],
)
def test_what_is_not_there_or_a_hook_takes_a_full_sync(seen: Migration) -> None:
    assert step(stores=BEHIND, migration=seen) == ("migrate", 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"synced": True}, ("migrate", 1, "temporal-schema")),
        ({"synced": False, "was_synced": True}, ("migrate", 1, "temporal-schema")),
        ({"synced": False, "was_synced": False}, ("migrate", 1)),
    ],
)
def test_a_job_that_may_not_be_read_is_judged_by_argo_cds_word(changes: dict[str, Any], expected: object) -> None:
    app = application(MIGRATIONS, jobs=(managed(**changes),))
    seen = migrations.of_application(app, {JOB: unknown(Reason.API_FORBIDDEN)}, NOW)
    assert step(stores=BEHIND, migration=seen) == expected


def test_what_holds_jobs_unseen_and_what_else_is_wrong_is_told_beside_a_pass() -> None:
    app = application(MIGRATIONS, jobs=(managed(),))
    assert step(migration=migrations.of_application(app, {JOB: unknown(Reason.API_FORBIDDEN)}, NOW)) == (
        "pass",
        Reason.JOBS_UNSEEN,
    )
    degraded = owner(job(), health="Degraded", unhealthy=("CronJob backup is Degraded",))
    assert step(migration=degraded) == ("pass", Reason.APPLICATION_UNHEALTHY)


@pytest.mark.parametrize("health", ["Progressing", "Degraded", "Suspended"])
def test_no_more_than_its_jobs_is_the_migration(health: str) -> None:
    """An Ingress without an address, a volume that waits for a consumer, a CronJob whose last run failed."""
    assert step(stores=BEHIND, migration=owner(job(), health=health)) == ("migrate", 1, "temporal-schema")


def test_a_job_whose_pod_a_sidecar_keeps_has_done_its_work() -> None:
    kept = job_pod(ended("main"), running("istio-proxy"))
    assert owner(job(RUNNING, JOB, kept)).phase is MigrationPhase.IDLE
    assert step(migration=owner(job(RUNNING, JOB, kept))) == ("pass", Reason.SIDECAR_KEEPS_JOB)


HANGING_POD = job_pod(crashed("manage-schema", -100), finding=finding(Reason.CRASH_LOOPING, "pod temporal/job-x1"))
WITHOUT_DATABASE = replace(
    HANGING_POD,
    finding=replace(finding(Reason.CRASH_LOOPING, "pod temporal/job-x1"), detail="dial tcp: connection refused"),
)


def test_a_hang_is_told_by_its_job_with_the_causes_own_reason() -> None:
    hang = owner(job(RUNNING, JOB, HANGING_POD)).hang
    assert hang is not None
    assert (hang.reason, hang.about) == (Reason.MIGRATION_HANGS, "Job temporal/temporal-schema")
    assert hang.detail == "CrashLooping: pod temporal/job-x1: as seen"
    assert not owner(job(RUNNING, JOB, HANGING_POD)).hang_may_pass
    assert owner(job(RUNNING, JOB, WITHOUT_DATABASE)).hang_may_pass


def test_a_migration_works_while_a_pod_of_it_runs_and_nothing_is_wrong_with_it() -> None:
    assert owner(job(RUNNING, JOB, job_pod(running("main")))).is_working
    assert not owner(job(RUNNING, JOB, HANGING_POD)).is_working
    assert not owner(job(RUNNING)).is_working


# --- operations and Applications that go nowhere ------------------------------------------------------------------


def waiting(**changes: Any) -> dict[str, Any]:
    return {"operation": operation(OperationPhase.RUNNING, waits_for=JOB, **changes), "hook_jobs": (JOB,)}


def test_an_operation_that_waits_for_a_job_that_is_not_there_is_stuck() -> None:
    stuck = migrations.of_application(application(MIGRATIONS, **waiting()), {JOB: None}, NOW)
    assert step(stores=BEHIND, migration=stuck) == ("wait", Reason.OPERATION_STUCK, Reason.MIGRATION_RUNNING)
    assert stuck.hang is not None
    long = seen_for(120, stuck.hang)
    assert step(stores=BEHIND, migration=stuck, since=long) == ("fail", Reason.OPERATION_STUCK)
    assert step(migration=stuck, since=long) == ("pass", Reason.OPERATION_STUCK)
    unread = migrations.of_application(application(MIGRATIONS, **waiting()), {}, NOW)
    assert step(stores=BEHIND, migration=unread) == ("wait", Reason.MIGRATION_RUNNING)


RETRYING = operation(
    OperationPhase.PAUSING, revisions=OLDER_REVISION, retries_left=None, finished_at=at(-5), message="immutable"
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"skips_reconcile": True}, Reason.RECONCILIATION_SKIPPED),
        ({"is_being_deleted": True}, Reason.APPLICATION_BEING_DELETED),
        ({"conditions": (("InvalidSpecError", "no such project"),)}, Reason.APPLICATION_INVALID),
        ({"operation": RETRYING}, Reason.OPERATION_RETRIES_OLD_COMMIT),
    ],
)
def test_what_argo_cd_does_not_process_is_named_at_once_and_ends_after_the_grace(
    changes: dict[str, Any], reason: Reason
) -> None:
    seen = owner(job(), **changes)
    assert step(stores=BEHIND, migration=seen) == ("wait", reason)
    since = seen_for(120, finding(reason, f"Application {MIGRATIONS}"))
    assert step(stores=BEHIND, migration=seen, since=since) == ("fail", reason)
    assert step(migration=seen) == ("pass", reason)
    working = owner(job(RUNNING, JOB, job_pod(running("main"))), **changes)
    assert step(stores=BEHIND, migration=working) == ("wait", Reason.MIGRATION_RUNNING)


@pytest.mark.parametrize(
    "changes",
    [{"retries_left": 5}, {"takes_newer_commits": True}, {"revisions": REVISION}, {"revisions": ()}],
    ids=["it ends by itself", "a retry takes the newer commit", "git has no newer one", "of no known commit"],
)
def test_a_retry_that_comes_to_an_end_is_waited_for(changes: dict[str, Any]) -> None:
    seen = owner(job(), operation=replace(RETRYING, **changes))
    assert step(stores=BEHIND, migration=seen) == ("wait", Reason.MIGRATION_PAUSING)


def test_why_argo_cd_cannot_compare_is_told_in_its_words() -> None:
    app = application(conditions=(("ComparisonError", "authentication required"),))
    assert applications.why_not_compared(app) == "ComparisonError: authentication required"
    assert applications.why_not_compared(application()) == "Argo CD cannot tell what it should be"


# --- databases ----------------------------------------------------------------------------------------------------

NO_DATABASE = stores(visibility=unknown(Reason.DATABASE_MISSING, "store visibility"))
LONG_MISSING = seen_for(999, finding(Reason.DATABASE_MISSING, "store visibility"))


@pytest.mark.parametrize(
    ("seen", "asked", "expected"),
    [
        (owner(job(FAILED)), AUTO, ("migrate", 1, "temporal-schema")),
        (owner(busy()), AUTO, ("wait", Reason.MIGRATION_RUNNING)),
        (replace(owner(job(FAILED)), attempts=1), AUTO, ("fail", Reason.DATABASE_MISSING)),
        (owner(job(FAILED)), policy(on_empty_database=OnEmptyDatabase.FAIL), ("fail", Reason.DATABASE_MISSING)),
        (unknown(Reason.API_UNREACHABLE), AUTO, ("fail", Reason.DATABASE_MISSING)),
    ],
    ids=["not asked yet", "it runs", "asked once", "none is to be made", "the migration is not seen"],
)
def test_a_database_that_the_migration_may_make_is_asked_for_once(
    seen: Migration | Unknown, asked: Policy, expected: object
) -> None:
    assert step(asked, stores=NO_DATABASE, migration=seen, since=LONG_MISSING) == expected


def test_a_success_before_the_databases_were_replaced_does_not_count_against_them() -> None:
    done = replace(attempted(1, MigrationPhase.SUCCEEDED), application=application(MIGRATIONS))
    assert step(stores=EMPTY, migration=done) == ("fail", Reason.MIGRATION_LEFT_SCHEMA_BEHIND)
    assert step(stores=EMPTY, migration=done, right_after=1) == ("migrate", 2)


def test_a_schema_that_somebody_changes_is_not_asked_for() -> None:
    changing = replace(schema(Store.DEFAULT, "1.17"), changing_since=at(-60))
    assert step(stores=stores(default=changing), migration=owner(job())) == ("wait", Reason.SCHEMA_BEING_CHANGED)


# --- what is downstream -------------------------------------------------------------------------------------------

JUST_MADE = stores(default=schema(Store.DEFAULT, born=-600, since=-600))


def after(*jobs: Job | Unknown | None, refs: tuple[JobRef, ...] = (), **changes: Any) -> dict[str, Any]:
    """The bootstrap's Application with these plain Jobs."""
    named = refs or tuple(one.ref for one in jobs if isinstance(one, Job))
    app = application(BOOTSTRAP, **{"jobs": tuple(map(managed, named))} | changes)
    return {"downstream": downstream(app), "jobs": dict(zip(named, jobs, strict=True)), "runtime": runtime()}


BOOTSTRAPPED = job(COMPLETE, NAMESPACES)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (after(job(FAILED, NAMESPACES), other(COMPLETE)), ("resync", 1, "create-namespaces")),
        (after(None, refs=(NAMESPACES,), operation=operation(OperationPhase.FAILED)), ("resync", 1)),
        (after(unknown(Reason.API_FORBIDDEN), refs=(NAMESPACES,), health="Degraded"), ("resync", 1, "create-namespaces")),
        (after(BOOTSTRAPPED, health="Degraded"), ("pass",)),
        (after(BOOTSTRAPPED, health="Progressing"), ("pass",)),
        (after(busy(NAMESPACES), other(FAILED)), ("wait", Reason.DOWNSTREAM_RUNNING)),
        (after(job(SUSPENDED, NAMESPACES)), ("wait", Reason.DOWNSTREAM_FAILED)),
    ],
    ids=["one of two failed", "never made", "not to be read", "a CronJob beside it", "an Ingress beside it", "one runs",
         "suspended"],
)  # fmt: skip
def test_what_failed_downstream_is_run_again_and_nothing_else(changes: dict[str, Any], expected: object) -> None:
    assert step(**changes) == expected


def test_a_job_whose_work_began_before_the_schema_was_made_is_run_again() -> None:
    """Whenever its Application was synced since: what it registered is in a database that is gone."""
    lately = operation(started_at=at(-60), finished_at=at(-50))
    old = after(BOOTSTRAPPED, other(COMPLETE), operation=lately)
    young_runtime = runtime(
        *(pod(one, started_at=at(-500), created_at=at(-500)) for one in ("frontend", "history", "matching", "worker"))
    )
    world = old | {"runtime": young_runtime, "stores": JUST_MADE}
    assert step(**world) == ("resync", 1, "create-namespaces", "seed-once")
    new = replace(BOOTSTRAPPED, started_at=at(-500))
    assert step(**world | {"jobs": {NAMESPACES: new, SEED: replace(other(COMPLETE), started_at=at(-500))}}) == ("pass",)


def test_a_job_that_hangs_downstream_is_named_and_not_waited_for_for_ever() -> None:
    stuck = job_pod(finding=finding(Reason.IMAGE_NOT_PULLABLE, "pod temporal/job-x1"))
    world = after(job(RUNNING, NAMESPACES, stuck))
    hang = finding(Reason.DOWNSTREAM_FAILED, f"Application {BOOTSTRAP}")
    assert step(ALWAYS, **world) == ("wait", Reason.DOWNSTREAM_FAILED)
    assert step(ALWAYS, **world, since=seen_for(120, hang)) == ("fail", Reason.DOWNSTREAM_FAILED)
    assert step(**world, since=seen_for(120, hang)) == ("pass", Reason.DOWNSTREAM_FAILED)


def test_a_failed_jobs_own_words_are_told() -> None:
    words = replace(
        job_pod(phase="Failed"), finding=replace(finding(Reason.CRASH_LOOPING), detail="exit code 1: refused")
    )
    decided = planner.next_step(observation(**after(job(FAILED, NAMESPACES, words))), AUTO)
    assert isinstance(decided, Resync)
    assert decided.why == "Job temporal/create-namespaces failed: exit code 1: refused"
    untold = planner.next_step(observation(**after(job(FAILED, NAMESPACES, message="BackoffLimitExceeded: x"))), AUTO)
    assert isinstance(untold, Resync)
    assert untold.why == "Job temporal/create-namespaces failed: BackoffLimitExceeded: x"


def test_a_downstream_that_argo_cd_does_not_process_is_named() -> None:
    skipped = after(job(FAILED, NAMESPACES), skips_reconcile=True)
    assert step(**skipped) == ("wait", Reason.RECONCILIATION_SKIPPED)
    assert step(**after(BOOTSTRAPPED, skips_reconcile=True)) == ("pass",)


def test_a_runtime_that_only_drifts_is_asked_and_what_failed_at_the_commit_before_is_told() -> None:
    drifting: dict[str, Any] = {"application": ahead(RUNTIME)}
    assert step(**drifting) == ("pass", Reason.RUNTIME_DRIFTS)
    by_itself = ahead(RUNTIME, policy=SyncPolicy(is_automated=True))
    assert step(application=by_itself, frontend=unknown(Reason.FRONTEND_UNREACHABLE)) == ("pass",)
    failed = operation(OperationPhase.FAILED, revisions=OLDER_REVISION)
    world = drifting | {"downstream": downstream(ahead(BOOTSTRAP, operation=failed))}
    assert step(**world) == ("pass", Reason.DOWNSTREAM_FAILED, Reason.RUNTIME_DRIFTS)
    never = drifting | {"downstream": downstream(ahead(BOOTSTRAP, operation=None))}
    assert step(**never) == ("pass", Reason.RUNTIME_DRIFTS)
    fine = drifting | {"downstream": downstream(ahead(BOOTSTRAP))}
    assert step(**fine) == ("pass", Reason.RUNTIME_DRIFTS)


def test_an_adopted_runtime_without_pods_is_ahead() -> None:
    adopted: Application = application(RUNTIME, operation=None)
    assert step(application=adopted, runtime=Runtime(), frontend=unknown(Reason.FRONTEND_UNREACHABLE)) == ("pass",)


# --- what the selector finds --------------------------------------------------------------------------------------


def test_pods_of_several_instances_are_not_touched() -> None:
    mixed = runtime(pod("history", instance="other"))
    assert step(runtime=mixed) == ("wait", Reason.RUNTIME_INSTANCES_MIXED)
    since = seen_for(120, finding(Reason.RUNTIME_INSTANCES_MIXED, "selector "))
    assert step(runtime=mixed, since=since) == ("fail", Reason.RUNTIME_INSTANCES_MIXED)


def test_a_selector_that_finds_nothing_is_a_warning_and_a_failure_under_always() -> None:
    since = seen_for(120, finding(Reason.RUNTIME_PODS_NOT_FOUND, "selector "))
    assert step(runtime=Runtime()) == ("wait", Reason.RUNTIME_PODS_NOT_FOUND)
    assert step(runtime=Runtime(), since=since) == ("pass", Reason.RUNTIME_PODS_NOT_FOUND)
    assert step(ALWAYS, runtime=Runtime()) == ("wait", Reason.RUNTIME_PODS_NOT_FOUND)
    assert step(ALWAYS, runtime=Runtime(), since=since) == ("fail", Reason.RUNTIME_PODS_NOT_FOUND)


def test_a_surplus_pod_that_cannot_start_keeps_no_bootstrap_from_its_repair() -> None:
    surplus = pod(
        "history", 1, ready=False, finding=finding(Reason.POD_UNSCHEDULABLE, "pod temporal/temporal-history-1")
    )
    world = after(job(FAILED, NAMESPACES)) | {"runtime": runtime(pod("history"), surplus)}
    assert step(**world) == ("resync", 1, "create-namespaces")
    since = seen_for(120, finding(Reason.POD_UNSCHEDULABLE, "pod temporal/temporal-history-1"))
    done = after(BOOTSTRAPPED) | {"runtime": runtime(pod("history"), surplus), "since": since}
    assert step(**done) == ("pass", Reason.POD_UNSCHEDULABLE)


def test_a_workload_that_cannot_make_its_pods_says_why() -> None:
    quota = Owner("deployments", "temporal-history", "history", 1, trouble="FailedCreate: exceeded quota")
    others = tuple(pod(one) for one in ("frontend", "matching", "worker"))
    decided = planner.next_step(observation(runtime=Runtime((quota,), others)), AUTO)
    assert isinstance(decided, Wait)
    assert [str(one) for one in decided.findings] == [
        "PodNotMade: component history: deployments temporal-history: FailedCreate: exceeded quota"
    ]


def test_whose_sync_runs_the_gate_is_known_by_its_resources_whatever_the_labels_say() -> None:
    own = Run("run", at(RUN_STARTED), job=JOB)
    assert step(run=own, migration=owner(job())) == ("fail", Reason.OWN_APPLICATION_TARGETED)
    assert step(run=replace(own, job=SEED), migration=owner(job())) == ("pass",)


def test_an_automated_policy_is_argo_cds_own_sync() -> None:
    app = ahead(MIGRATIONS, policy=SyncPolicy(is_automated=True))
    assert applications.pending_sync(app) is not None
    assert applications.pending_sync(replace(app, sync="Unknown")) is None
