"""The planner as tables: a healthy world, what differs in it, the policy, and the one step that follows."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from worlds import (
    BEHIND,
    BOOTSTRAP,
    COMPONENTS,
    EMPTY,
    GATE,
    JOB,
    MIGRATIONS,
    NOW,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    at,
    attempted,
    container,
    downstream,
    finding,
    in_back_off,
    job,
    job_pod,
    managed,
    migration,
    observation,
    operation,
    owner,
    pod,
    policy,
    running,
    runtime,
    schema,
    seen_for,
    stores,
    unknown,
)

from hook.decision import planner, restarts
from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.decision.steps import Fail, Migrate, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.observation.applications import Application, ApplicationRef, OperationPhase, SyncPolicy
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store
from hook.observation.workloads import JobPhase, Member, Pod, PodState, Runtime

OLD_PODS = runtime(*(pod(one, image="temporalio/server:1.28.2") for one in COMPONENTS))
"""Pods of the release before: the runtime's step is still to come."""

AUTO = policy()
ALWAYS = policy(reachability=Reachability.ALWAYS)
NEVER = policy(reachability=Reachability.NEVER)

PASSES = "pass"

Row = tuple[str, dict[str, Any], Policy, object]
"""A case: its name, what differs from a healthy world, the policy, the gist of the step that follows."""


def gist(step: Step) -> object:  # noqa: PLR0911 -- an answer for each kind of step
    """What a step is and is about, in the words that the tables use."""
    match step:
        case Pass(warnings):
            return ("pass with", *(warning.reason for warning in warnings)) if warnings else PASSES
        case Wait(findings):
            return ("wait for", *(one.reason for one in findings))
        case Fail(failure):
            return ("fail with", failure.reason)
        case Migrate(_, attempt, _, _):
            return ("migrate", attempt)
        case RestartPods(pods, _):
            return ("restart", *(one.name for one in pods))
        case Resync(resynced, attempt, _, _):
            return ("resync", resynced.ref, attempt)
        case Refresh(refreshed, _):
            return ("refresh", refreshed.ref)


def step(policy: Policy = AUTO, **changes: Any) -> object:
    """The gist of the next step in a healthy world with these changes."""
    return gist(planner.next_step(observation(**changes), policy))


def case(name: str, expected: object, policy: Policy = AUTO, **changes: Any) -> Row:
    return name, changes, policy, expected


def cases(*rows: Row) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("changes", "policy", "expected"), [row[1:] for row in rows], ids=[row[0] for row in rows]
    )


def wait(*reasons: Reason) -> tuple[object, ...]:
    return ("wait for", *reasons)


def fail(reason: Reason) -> tuple[object, ...]:
    return ("fail with", reason)


def warned(*reasons: Reason) -> tuple[object, ...]:
    return ("pass with", *reasons)


FORBIDDEN = unknown(Reason.API_FORBIDDEN)
UNREACHABLE = unknown(Reason.API_UNREACHABLE)
MISSING = unknown(Reason.APPLICATION_MISSING)
FRONTEND_DOWN = unknown(Reason.FRONTEND_UNREACHABLE, "frontend")
OVER_GRACE = seen_for(121, FORBIDDEN.finding)
IN_GRACE = seen_for(119, FORBIDDEN.finding)
UNCOMPARED_SINCE_RUN = at(RUN_STARTED)  # a comparison in the very second of the run's start proves nothing
FAILED = operation(OperationPhase.FAILED)
CLOSED = application(GATE, sync="OutOfSync", operation=FAILED)
"""The gate's own Application after a run that failed."""


@pytest.mark.parametrize("policy", [AUTO, ALWAYS, NEVER], ids=["auto", "always", "never"])
def test_a_healthy_world_passes_under_every_policy(policy: Policy) -> None:
    assert step(policy) == PASSES


# --- the run itself -----------------------------------------------------------------------------------------------


@cases(
    case("unreachable: waits", wait(Reason.API_UNREACHABLE), run=UNREACHABLE),
    case("unreachable: waits longer than the grace", wait(Reason.API_UNREACHABLE), run=UNREACHABLE,
         since=seen_for(1000, UNREACHABLE.finding)),
    case("forbidden, in its grace: waits", wait(Reason.API_FORBIDDEN), run=FORBIDDEN, since=IN_GRACE),
    case("forbidden, its grace over: fails", fail(Reason.API_FORBIDDEN), run=FORBIDDEN, since=OVER_GRACE),
    case("forbidden, never noted before: in its grace", wait(Reason.API_FORBIDDEN), run=FORBIDDEN),
)  # fmt: skip
def test_nothing_is_decided_before_it_is_known_which_run_this_is(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, stores=EMPTY, **changes) == expected


@pytest.mark.parametrize("owner", [MIGRATIONS, RUNTIME, BOOTSTRAP], ids=str)
@pytest.mark.parametrize("spelling", ["{0.name}", "{0.namespace}_{0.name}"])
def test_the_application_whose_sync_runs_the_gate_is_refused_as_a_target(owner: ApplicationRef, spelling: str) -> None:
    run = Run("run", at(RUN_STARTED), owner=spelling.format(owner))
    assert step(run=run) == fail(Reason.OWN_APPLICATION_TARGETED)


@cases(
    case("it belongs to an Application of its own", PASSES, run=Run("run", at(RUN_STARTED), owner="temporal-gate")),
    case("another namespace's Application has a target's name", PASSES,
         run=Run("run", at(RUN_STARTED), owner=f"tenants_{MIGRATIONS.name}")),
    case("it belongs to none, and none is a target", PASSES,
         migration=migration(application=None), application=None, downstream={}),
    case("a target that is not there syncs nothing", warned(Reason.RUNTIME_NOT_FOUND),
         run=Run("run", at(RUN_STARTED), owner=RUNTIME.name), application=MISSING),
)  # fmt: skip
def test_a_run_that_belongs_to_no_target_goes_on(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, **changes) == expected


# --- what others may still mend -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        {"migration": FORBIDDEN},
        {"stores": stores(default=FORBIDDEN)},
        {"stores": stores(visibility=FORBIDDEN)},
        {"application": FORBIDDEN},
        {"runtime": FORBIDDEN},
        {"frontend": FORBIDDEN},
        {"downstream": {BOOTSTRAP: FORBIDDEN}},
    ],
    ids=lambda place: next(iter(place)),
)
def test_what_a_rule_needs_and_may_not_see_is_waited_for_and_ends_the_run_after_the_grace(
    place: dict[str, Any],
) -> None:
    assert step(**place, since=IN_GRACE) == wait(Reason.API_FORBIDDEN)
    assert step(**place, since=OVER_GRACE) == fail(Reason.API_FORBIDDEN)


@cases(
    case("a refused act, in its grace: it is tried again", ("migrate", 1),
         refused=(FORBIDDEN.finding,), since=IN_GRACE, stores=BEHIND),
    case("a refused act, its grace over", fail(Reason.API_FORBIDDEN),
         refused=(FORBIDDEN.finding,), since=OVER_GRACE, stores=BEHIND),
    case("no grace at all: at once", fail(Reason.API_FORBIDDEN), policy(grace=AUTO.grace * 0),
         stores=stores(default=FORBIDDEN), since=seen_for(0, FORBIDDEN.finding)),
    case("unreachable is waited for however long", wait(Reason.API_UNREACHABLE),
         migration=UNREACHABLE, since=seen_for(100_000, UNREACHABLE.finding)),
)  # fmt: skip
def test_the_grace_counts_for_what_waiting_can_mend(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, **changes) == expected


@cases(
    case("the runtime's Application, where Temporal is not asked for", PASSES, NEVER, application=FORBIDDEN),
    case("the frontend, where Temporal is not asked for", PASSES, NEVER, frontend=FORBIDDEN),
    case("downstream, where Temporal is not asked for", PASSES, NEVER, downstream={BOOTSTRAP: FORBIDDEN}),
    case("the frontend, while the runtime is ahead", PASSES, frontend=FORBIDDEN, application=ahead(RUNTIME),
         runtime=OLD_PODS),
    case("the runtime's Application, scaled to zero", PASSES, application=FORBIDDEN,
         runtime=Runtime((owner("frontend", 0), owner("history", 0)))),
)  # fmt: skip
def test_what_no_rule_needs_may_stay_unseen(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, since=OVER_GRACE, **changes) == expected


# --- the migration ------------------------------------------------------------------------------------------------


HANG = finding(Reason.MIGRATION_HANGS, "Job temporal/temporal-schema")
HANGING = migration(MigrationPhase.RUNNING, hang=HANG)
FAILED_JOB = job(JobPhase.FAILED)
UNSEEN_JOBS = (finding(Reason.API_FORBIDDEN, "Job temporal/temporal-schema"),)


@cases(
    case("unseen", wait(Reason.API_UNREACHABLE), migration=UNREACHABLE),
    case("running", wait(Reason.MIGRATION_RUNNING), migration=migration(MigrationPhase.RUNNING)),
    case("running, its pod hangs: says so", wait(Reason.MIGRATION_HANGS, Reason.MIGRATION_RUNNING), migration=HANGING),
    case("ended, its Job's end not compared yet", ("refresh", MIGRATIONS), migration=migration(MigrationPhase.UNCOMPARED)),
    case("ended, a comparison was asked for", wait(Reason.COMPARISON_PENDING),
         migration=migration(MigrationPhase.UNCOMPARED, application=application(MIGRATIONS, refresh_requested=True))),
)  # fmt: skip
def test_no_schema_is_judged_in_the_middle_of_an_update(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    stuck = stores(default=unknown(Reason.SCHEMA_STUCK))
    assert step(policy, stores=stuck, **changes) == expected
    assert step(policy, stores=EMPTY, **changes) == expected
    assert step(policy, **changes) == expected


@cases(
    case("the grace of what hangs is over, and the schemas are behind", fail(Reason.MIGRATION_HANGS),
         stores=BEHIND, migration=HANGING, since=seen_for(120, HANG)),
    case("the schemas are right: it hangs on another matter, which is told", warned(Reason.MIGRATION_HANGS),
         migration=HANGING, since=seen_for(120, HANG)),
    case("it found no database, which may be there by now", wait(Reason.MIGRATION_HANGS, Reason.MIGRATION_RUNNING),
         stores=BEHIND, migration=replace(HANGING, hang_may_pass=True), since=seen_for(479, HANG)),
    case("it should have been started again since", fail(Reason.MIGRATION_HANGS),
         stores=BEHIND, migration=replace(HANGING, hang_may_pass=True), since=seen_for(480, HANG)),
    case("it finds no frontend, and the schemas are right: no longer than another", warned(Reason.MIGRATION_HANGS),
         migration=replace(HANGING, hang_may_pass=True), since=seen_for(120, HANG)),
    case("the database is still away", wait(Reason.MIGRATION_HANGS, Reason.MIGRATION_RUNNING, Reason.DATABASE_UNREACHABLE),
         stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE)), migration=HANGING, since=seen_for(9999, HANG)),
    case("a sidecar keeps it, and the schemas are right", warned(Reason.SIDECAR_KEEPS_JOB),
         migration=migration(hang=finding(Reason.SIDECAR_KEEPS_JOB))),
    case("a sidecar keeps it, and the schemas are behind", wait(Reason.SIDECAR_KEEPS_JOB, Reason.MIGRATION_RUNNING),
         stores=BEHIND, migration=migration(hang=finding(Reason.SIDECAR_KEEPS_JOB))),
)  # fmt: skip
def test_a_migration_that_hangs_on_what_lasts_ends_unless_the_schemas_are_right(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


# --- the schemas --------------------------------------------------------------------------------------------------

STUCK, RENAMED = unknown(Reason.SCHEMA_STUCK), unknown(Reason.SCHEMA_VERSION_MISSING)
FOR_A_MOMENT = seen_for(5, STUCK.finding, RENAMED.finding)


@cases(
    case("unreachable", wait(Reason.DATABASE_UNREACHABLE), stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE))),
    case("a standby", wait(Reason.DATABASE_IN_RECOVERY), stores=stores(visibility=unknown(Reason.DATABASE_IN_RECOVERY))),
    case("both unseen: what may still be made is not waited for", wait(Reason.DATABASE_UNREACHABLE),
         stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE), visibility=unknown(Reason.DATABASE_MISSING))),
    case("one unseen, the other behind: the migration has to wait", wait(Reason.DATABASE_UNREACHABLE),
         stores=BEHIND | {Store.VISIBILITY: unknown(Reason.DATABASE_UNREACHABLE)}),
    case("stuck, as in the middle of a migration by hand", wait(Reason.SCHEMA_STUCK), stores=stores(default=STUCK)),
    case("stuck a moment ago, too", wait(Reason.SCHEMA_STUCK),
         stores=stores(default=STUCK), since=seen_for(4, STUCK.finding)),
    case("stuck for longer: only a person can mend it", fail(Reason.SCHEMA_STUCK),
         stores=stores(default=STUCK), since=FOR_A_MOMENT),
    case("stuck, no grace at all: at once", fail(Reason.SCHEMA_STUCK), policy(grace=AUTO.grace * 0),
         stores=stores(default=STUCK)),
    case("renamed, or in the middle of a restore", wait(Reason.SCHEMA_VERSION_MISSING),
         stores=stores(visibility=RENAMED), since=seen_for(119, RENAMED.finding)),
    case("one unreachable, the other renamed: a person has to", fail(Reason.SCHEMA_VERSION_MISSING),
         since=seen_for(120, RENAMED.finding),
         stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE), visibility=RENAMED)),
    case("read-only: nothing is migrated there", wait(Reason.DATABASE_READ_ONLY),
         stores=BEHIND | {Store.VISIBILITY: unknown(Reason.DATABASE_READ_ONLY)}),
)  # fmt: skip
def test_a_store_that_cannot_be_judged_is_waited_for_unless_only_a_person_can_mend_it(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


MIGRATED_BEFORE = application(MIGRATIONS, compared_at=UNCOMPARED_SINCE_RUN)
EMPTY_FAILS = policy(on_empty_database=OnEmptyDatabase.FAIL)
PAUSE = AUTO.pause.total_seconds()


@cases(
    case("empty", ("migrate", 1), stores=EMPTY),
    case("behind", ("migrate", 1), stores=BEHIND),
    case("visibility alone behind", ("migrate", 1), stores=stores(visibility=schema(Store.VISIBILITY, "1.8"))),
    case("empty, where a restore may be under way", fail(Reason.DATABASE_EMPTY), EMPTY_FAILS, stores=EMPTY),
    case("one empty, where a restore may be under way", fail(Reason.DATABASE_EMPTY), EMPTY_FAILS,
         stores=BEHIND | {Store.VISIBILITY: EMPTY[Store.VISIBILITY]}),
    case("behind, where only emptiness is refused", ("migrate", 1), EMPTY_FAILS, stores=BEHIND),
    case("the sync window is closed", wait(Reason.MIGRATION_BLOCKED),
         stores=BEHIND, migration=migration(MigrationPhase.BLOCKED)),
    case("the owner pauses between its own retries", wait(Reason.MIGRATION_PAUSING),
         stores=BEHIND, migration=migration(MigrationPhase.PAUSING)),
    case("this run's own attempt succeeded: the owner's tool is too old", fail(Reason.MIGRATION_LEFT_SCHEMA_BEHIND),
         stores=BEHIND, migration=attempted(1, MigrationPhase.SUCCEEDED)),
    case("the same, by a status from before the run", ("refresh", MIGRATIONS), stores=BEHIND,
         migration=replace(attempted(1, MigrationPhase.SUCCEEDED), application=MIGRATED_BEFORE)),
    case("the same, but git has a newer commit than it ran at: no pause, nothing failed", ("migrate", 2), stores=BEHIND,
         migration=replace(attempted(1, MigrationPhase.SUCCEEDED, ended=-1), application=ahead(MIGRATIONS))),
    case("a command's success needs no comparison", fail(Reason.MIGRATION_LEFT_SCHEMA_BEHIND), stores=BEHIND,
         migration=replace(attempted(1, MigrationPhase.SUCCEEDED), application=None)),
    case("newer commits are no endless matter either", fail(Reason.MIGRATION_FAILED), stores=BEHIND,
         migration=replace(attempted(3, MigrationPhase.SUCCEEDED), application=ahead(MIGRATIONS))),
    case("git cannot be read: at which commit it would run is not known", ("refresh", MIGRATIONS), stores=BEHIND,
         migration=migration(application=application(MIGRATIONS, sync="Unknown"))),
    case("the same, and was asked a moment ago", wait(Reason.COMPARISON_PENDING), stores=BEHIND,
         migration=migration(application=application(MIGRATIONS, sync="Unknown", asked_at=at(-9)))),
    case("the same, and was asked long enough ago", ("refresh", MIGRATIONS), stores=BEHIND,
         migration=migration(application=application(MIGRATIONS, sync="Unknown", asked_at=at(-10)))),
    case("what succeeded before git could not be read is not judged", ("refresh", MIGRATIONS), stores=BEHIND,
         migration=replace(attempted(1, MigrationPhase.SUCCEEDED), application=application(MIGRATIONS, sync="Unknown"))),
    case("the first attempt just failed", wait(Reason.MIGRATION_PAUSING),
         stores=BEHIND, migration=attempted(1, ended=-PAUSE + 1)),
    case("its pause is over", ("migrate", 2), stores=BEHIND, migration=attempted(1, ended=-PAUSE)),
    case("the second pause is twice the first", wait(Reason.MIGRATION_PAUSING),
         stores=BEHIND, migration=attempted(2, ended=-2 * PAUSE + 1)),
    case("the second pause is over", ("migrate", 3), stores=BEHIND, migration=attempted(2, ended=-2 * PAUSE)),
    case("no pause grows beyond 64 times the first", ("migrate", 20), policy(attempts=20),
         stores=BEHIND, migration=attempted(19, ended=-64 * PAUSE)),
    case("the seventh pause is 64 times the first", wait(Reason.MIGRATION_PAUSING), policy(attempts=20),
         stores=BEHIND, migration=attempted(19, ended=-64 * PAUSE + 1)),
    case("when the last attempt ended is not known: no pause", ("migrate", 2),
         stores=BEHIND, migration=replace(attempted(1), ended_at=None)),
    case("the attempts are used up", fail(Reason.MIGRATION_FAILED), stores=BEHIND, migration=attempted(3)),
    case("used up, and just now: there is nothing to pause for", fail(Reason.MIGRATION_FAILED),
         stores=BEHIND, migration=attempted(3, ended=0)),
    case("another's migration failed: that is no attempt of this run", ("migrate", 1),
         stores=BEHIND, migration=migration(MigrationPhase.IDLE)),
)  # fmt: skip
def test_a_schema_that_is_empty_or_behind_is_migrated_boundedly(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


@pytest.mark.parametrize("phase", [MigrationPhase.BLOCKED, MigrationPhase.PAUSING, MigrationPhase.FAILED])
def test_schemas_that_are_right_need_no_migration_whatever_became_of_the_last(phase: MigrationPhase) -> None:
    assert step(migration=attempted(3, phase, ended=0)) == PASSES


def test_a_store_that_is_not_gated_is_not_asked_for() -> None:
    assert step(stores={Store.DEFAULT: schema(Store.DEFAULT)}) == PASSES


def test_the_end_after_the_last_attempt_says_how_often_and_why() -> None:
    ended = planner.next_step(observation(stores=BEHIND, migration=attempted(3)), AUTO)
    assert isinstance(ended, Fail)
    assert ended.finding.detail == "3 attempts, the last: exit code 1; default is at 1.17, expected 1.18"


# --- the pods -----------------------------------------------------------------------------------------------------

RIGHT_FOR = 30
"""Seconds since when the default store is right in the cases below, later than the run's start."""

STARTING: dict[str, Any] = {"state": PodState.PENDING, "ready": False, "started_at": None, "created_at": at(-2)}


def stale(component: str, **changes: Any) -> Pod:
    """A pod that has run since before the database of `NEW_DATABASE` was made, as all of `runtime` have."""
    return pod(component, **changes)


JUST_MIGRATED = stores(default=schema(Store.DEFAULT, since=-RIGHT_FOR))
NEW_DATABASE = stores(default=schema(Store.DEFAULT, since=-RIGHT_FOR, born=-RIGHT_FOR))
SKEW = AUTO.clock_skew.total_seconds()
AHEAD_OF_TIME = stores(default=schema(Store.DEFAULT, since=60, born=60))


def only(*pods: Pod) -> Runtime:
    """No other pods than these."""
    return Runtime((), pods)


@cases(
    case("in back-off from before the schema was right", ("restart", "temporal-history-0"),
         runtime=only(in_back_off("history", -RIGHT_FOR - 1)), stores=JUST_MIGRATED),
    case("the later of the two stores counts", ("restart", "temporal-history-0"),
         runtime=only(in_back_off("history", -RIGHT_FOR - 1)),
         stores=stores(visibility=schema(Store.VISIBILITY, since=-RIGHT_FOR))),
    case("in back-off from about when the schema turned right: clocks differ", ("restart", "temporal-history-0"),
         runtime=only(in_back_off("history", -RIGHT_FOR + SKEW - 1)), stores=JUST_MIGRATED),
    case("in back-off from after the schema was right", wait(Reason.PODS_NOT_STABLE),
         runtime=only(in_back_off("history", -RIGHT_FOR + SKEW)), stores=JUST_MIGRATED),
    case("in back-off from before this run, whatever its cause was", ("restart", "temporal-worker-0"),
         runtime=only(in_back_off("worker", RUN_STARTED - 1, Reason.NAMESPACE_METADATA_MISSING))),
    case("in back-off from within this run", wait(Reason.PODS_NOT_STABLE),
         runtime=only(in_back_off("worker", RUN_STARTED))),
    case("in back-off, when it crashed is not known", wait(Reason.PODS_NOT_STABLE),
         runtime=only(in_back_off("worker", 0, containers=(container("temporal-worker", waiting="CrashLoopBackOff"),)))),
    case("since when the schema is right is not known: this run counts", ("restart", "temporal-worker-0"),
         runtime=only(in_back_off("worker", RUN_STARTED - 1)),
         stores={one: replace(schema(one), since=None) for one in Store}),
    case("running since before its database was made", ("restart", "temporal-history-0"),
         runtime=only(pod("history", started_at=at(-RIGHT_FOR - SKEW - 1))), stores=NEW_DATABASE),
    case("running since about when its database was made: clocks differ", PASSES,
         runtime=Runtime(pods=(pod("history", started_at=at(-RIGHT_FOR - SKEW)),)), stores=NEW_DATABASE,
         downstream={}),
    case("a schema that is yet to be made, by a clock that is ahead, makes no pod old", PASSES,
         runtime=only(pod("history", started_at=at(-4))), stores=AHEAD_OF_TIME),
    case("nor does it tell which crashes came before it", wait(Reason.PODS_NOT_STABLE),
         runtime=only(in_back_off("history", RUN_STARTED + 1)), stores=AHEAD_OF_TIME),
    case("an upgraded database is the same database", PASSES, stores=JUST_MIGRATED),
    case("an empty history says nothing", PASSES, stores=stores(default=schema(Store.DEFAULT, born=None))),
    case("only the default store's birth counts", PASSES,
         stores=stores(visibility=schema(Store.VISIBILITY, since=-RIGHT_FOR, born=-RIGHT_FOR))),
    case("the default store is not gated: no birth is known", PASSES,
         stores={Store.VISIBILITY: schema(Store.VISIBILITY, born=-RIGHT_FOR)}),
    case("a pod that is not started yet is no old one", wait(Reason.PODS_NOT_STABLE), stores=NEW_DATABASE, downstream={},
         runtime=Runtime(pods=(pod("history", state=PodState.PENDING, ready=False, started_at=None),))),
    case("only those of the component that need it", ("restart", "temporal-history-1"),
         runtime=only(pod("history", 0), in_back_off("history", RUN_STARTED - 1, number=1))),
    case("all at once, in order", ("restart", "temporal-worker-0", "temporal-matching-0", "temporal-frontend-0"),
         runtime=only(*(in_back_off(one, RUN_STARTED - 1) for one in ("frontend", "matching", "worker")))),
    case("whatever keeps others from running", ("restart", "temporal-matching-0"),
         runtime=only(pod("history", **STARTING, finding=finding(Reason.IMAGE_NOT_PULLABLE)), stale("matching")),
         stores=NEW_DATABASE),
    case("and whatever is on its way", ("restart", "temporal-matching-0"),
         runtime=only(pod("history", **STARTING), stale("matching")), stores=NEW_DATABASE),
    case("each pod once: this one was made after the run began", PASSES,
         runtime=Runtime((), (pod("history", started_at=at(-RIGHT_FOR - SKEW - 1), created_at=at(RUN_STARTED)),)),
         stores=NEW_DATABASE, frontend=None),
    case("or after the schemas became right", PASSES, restarts_before=at(-30),
         runtime=Runtime((), (pod("history", started_at=at(-RIGHT_FOR - SKEW - 1), created_at=at(-30)),)),
         stores=NEW_DATABASE, frontend=None),
    case("but one from before that again", ("restart", "temporal-history-0"), restarts_before=at(-30),
         runtime=only(pod("history", started_at=at(-RIGHT_FOR - SKEW - 1), created_at=at(-31))),
         stores=NEW_DATABASE),
    case("nor by one that something keeps from running", ("restart", "temporal-matching-0"),
         runtime=only(pod("history", **STARTING, finding=finding(Reason.IMAGE_NOT_PULLABLE)), stale("matching")),
         stores=NEW_DATABASE),
    case("nor by one in back-off", ("restart", "temporal-matching-0"),
         runtime=only(in_back_off("history", -RIGHT_FOR + SKEW), stale("matching")), stores=NEW_DATABASE),
    case("a pod that is none of the servers is not ours to restart", wait(Reason.PODS_NOT_STABLE),
         runtime=only(in_back_off("web", RUN_STARTED - 1))),
    case("even while the runtime's next step is ahead", ("restart", "temporal-history-0"),
         runtime=only(in_back_off("history", RUN_STARTED - 1)), application=ahead(RUNTIME)),
    case("not while the schema is behind", ("migrate", 1),
         runtime=only(in_back_off("history", RUN_STARTED - 1)), stores=BEHIND),
    case("not while it is made, and is behind", wait(Reason.MIGRATION_RUNNING), migration=migration(MigrationPhase.RUNNING),
         runtime=only(in_back_off("history", RUN_STARTED - 1)), stores=BEHIND),
    case("once it is right, though the Job or the operation still ends", ("restart", "temporal-history-0"),
         runtime=only(in_back_off("history", RUN_STARTED - 1)), migration=migration(MigrationPhase.RUNNING)),
    case("nor by a guard", wait(Reason.MIGRATION_RUNNING), replace(AUTO, is_guard=True),
         runtime=only(in_back_off("history", RUN_STARTED - 1)), migration=migration(MigrationPhase.RUNNING)),
)  # fmt: skip
def test_pods_are_restarted_whose_crash_or_database_is_a_thing_of_the_past(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


FIRST = pod("frontend", ip="10.0.1.1")
SECOND = pod("history", ip="10.0.1.2")
OLD_SERVER = Member("10.0.0.1", at(-3600), at(-20))
HEALED = ("restart", "temporal-frontend-0")


def member(of: Pod, started: float) -> Member:
    return Member(of.ip, at(started), at(started))


@cases(
    case("the first is, where an old server's heartbeat counted", HEALED,
         members=(member(SECOND, -9), OLD_SERVER, member(FIRST, -10))),
    case("nobody is, where the first found only itself", PASSES, members=(member(FIRST, -10), member(SECOND, -9))),
    case("an old heartbeat counts for twenty seconds", PASSES,
         members=(Member("10.0.0.1", at(-3600), at(-30)), member(FIRST, -10), member(SECOND, -9))),
    case("it is left until there is another that it can join", PASSES, members=(OLD_SERVER, member(FIRST, -10))),
    case("one that has no pod any more is no other", PASSES,
         members=(OLD_SERVER, member(FIRST, -10), Member("10.0.9.9", at(-9), at(-9)))),
    case("once it was restarted its row has no pod, and the second is not taken for it", PASSES,
         members=(OLD_SERVER, Member("10.0.9.9", at(-10), at(-10)), member(SECOND, -9), member(FIRST, -5))),
    case("it is, after half a minute", HEALED,
         members=(Member("10.0.0.1", at(-3600), at(-36)), member(FIRST, -35), member(SECOND, -34))),
    case("then it is about to join by itself", PASSES,
         members=(Member("10.0.0.1", at(-3600), at(-37)), member(FIRST, -36), member(SECOND, -35))),
    case("an old server wrote its row here only after it", PASSES, born=-12,
         members=(Member("10.0.0.1", at(-3600), at(-8)), member(FIRST, -10), member(SECOND, -9))),
    case("or also a heartbeat before", HEALED, born=-18,
         members=(Member("10.0.0.1", at(-3600), at(-8)), member(FIRST, -10), member(SECOND, -9))),
    case("a new one whose node's clock is behind is no old one", PASSES,
         members=(member(SECOND, -95), member(FIRST, -80), Member("10.0.1.3", at(-79), at(-79)))),
    case("no rows can be read", PASSES, members=()),
)  # fmt: skip
def test_a_new_server_that_stands_alone_is_restarted_once(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    new = stores(default=schema(Store.DEFAULT, since=-90, born=changes.pop("born", -90)))
    young_enough = replace(policy, stable=timedelta(0))
    recent = {one.component: replace(one, created_at=at(-50)) for one in (FIRST, SECOND)}
    others = (pod(one, started_at=at(-10), created_at=at(-50)) for one in COMPONENTS)
    pods = (replace(recent.get(one.component, one), containers=one.containers) for one in others)
    assert step(young_enough, stores=new, runtime=runtime(*pods), downstream={}, **changes) == expected


@cases(
    case("unreachable", wait(Reason.API_UNREACHABLE), runtime=UNREACHABLE),
    case("unreachable, though Temporal is not asked for: its pods may need a restart", wait(Reason.API_UNREACHABLE), NEVER,
         runtime=UNREACHABLE),
    case("their namespace is made by the runtime's own step, which is ahead", PASSES,
         runtime=unknown(Reason.NAMESPACE_MISSING), application=ahead(RUNTIME)),
    case("the same, after the grace", PASSES, runtime=unknown(Reason.NAMESPACE_MISSING), application=ahead(RUNTIME),
         since=seen_for(121, finding(Reason.NAMESPACE_MISSING))),
    case("their namespace is missing though the runtime was reached", wait(Reason.NAMESPACE_MISSING),
         runtime=unknown(Reason.NAMESPACE_MISSING)),
    case("they are not looked at", PASSES, runtime=None),
)  # fmt: skip
def test_pods_that_cannot_be_seen_are_waited_for(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, **changes) == expected


# --- a commit that Argo CD syncs by itself ------------------------------------------------------------------------


def with_new_commit(found: Migration, **changes: Any) -> Migration:
    """Git has a commit that was not synced yet; Argo CD syncs it by itself."""
    return replace(found, application=ahead(MIGRATIONS, **{"policy": SyncPolicy(is_automated=True)} | changes))


OWN_SYNC = wait(Reason.MIGRATION_PENDING)
PENDING = finding(Reason.MIGRATION_PENDING, f"Application {MIGRATIONS}")


@cases(
    case("it is left half a minute for that", OWN_SYNC, stores=BEHIND, migration=with_new_commit(migration()),
         since=seen_for(29, PENDING)),
    case("not more", ("migrate", 1), stores=BEHIND, migration=with_new_commit(migration()),
         since=seen_for(30, PENDING)),
    case("also after an attempt that failed", OWN_SYNC, stores=BEHIND, migration=with_new_commit(attempted(1))),
    case("and after one that succeeded at the commit before", OWN_SYNC, stores=BEHIND,
         migration=with_new_commit(attempted(1, MigrationPhase.SUCCEEDED))),
    case("never synced at all", OWN_SYNC, stores=BEHIND, migration=with_new_commit(migration(), operation=None)),
    case("not where a person syncs it", ("migrate", 1), stores=BEHIND,
         migration=with_new_commit(migration(), policy=SyncPolicy())),
    case("not where it changes nothing there: hooks alone", ("migrate", 1), stores=BEHIND,
         migration=with_new_commit(migration(), sync="Synced")),
    case("not at the commit that was synced", ("migrate", 1), stores=BEHIND,
         migration=with_new_commit(migration(), operation=operation())),
    case("nothing is waited for where the schemas are right", PASSES, migration=with_new_commit(migration())),
    case("but where a Job failed all the same", OWN_SYNC,
         migration=with_new_commit(migration(jobs=(FAILED_JOB,)), jobs=(managed(),))),
    case("no longer there either", ("migrate", 1),
         migration=with_new_commit(migration(jobs=(FAILED_JOB,)), jobs=(managed(),)), since=seen_for(30, PENDING)),
)  # fmt: skip
def test_what_git_has_is_left_to_argo_cds_own_sync_for_a_while(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    """RollingSync of 3.6 would take ours for it, and wait for ever for what ours does not bring."""
    assert step(policy, **changes) == expected


# --- a failed schema Job on schemas that are right ----------------------------------------------------------------


def with_failed_job(found: Migration, **changes: Any) -> Migration:
    """The owner is an Application whose plain Job failed."""
    seen = () if found.unseen else (FAILED_JOB,)
    return replace(
        found, jobs=seen, application=application(MIGRATIONS, health="Degraded", jobs=(managed(),), **changes)
    )


@cases(
    case("it is run again, or its step would stay Degraded", ("migrate", 1), migration=with_failed_job(migration())),
    case("even where Temporal is not asked for", ("migrate", 1), NEVER, migration=with_failed_job(migration())),
    case("where it may not be read, not on an old status", ("refresh", MIGRATIONS),
         migration=with_failed_job(migration(unseen=UNSEEN_JOBS), compared_at=at(RUN_STARTED - 1))),
    case("but on a fresh one", ("migrate", 1), migration=with_failed_job(migration(unseen=UNSEEN_JOBS))),
    case("again after a pause", ("migrate", 2), migration=with_failed_job(attempted(1))),
    case("not within it", wait(Reason.MIGRATION_PAUSING), migration=with_failed_job(attempted(1, ended=-1))),
    case("not while Argo CD itself is between two retries", wait(Reason.MIGRATION_PAUSING),
         migration=with_failed_job(migration(MigrationPhase.PAUSING))),
    case("boundedly: it does not keep the gate from passing, which tells of it", warned(Reason.MIGRATION_FAILED),
         migration=with_failed_job(attempted(3))),
    case("a hook Job's failure holds no step", PASSES,
         migration=replace(migration(), application=application(MIGRATIONS, health="Degraded"))),
    case("nor does a command's", PASSES, migration=replace(migration(MigrationPhase.FAILED), application=None)),
)  # fmt: skip
def test_a_failed_job_does_not_hold_the_step_of_schemas_that_are_right(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


# --- reachability -------------------------------------------------------------------------------------------------

DEAD: dict[str, Any] = {"frontend": FRONTEND_DOWN, "downstream": downstream(application(health="Degraded"))}
"""A Temporal that would hold any gate that asks for it."""


@cases(
    case("never", PASSES, NEVER, **DEAD),
    case("auto, the runtime is ahead", warned(Reason.DOWNSTREAM_FAILED), application=ahead(RUNTIME),
         **DEAD | {"runtime": OLD_PODS}),
    case("auto, there is no runtime's Application yet", warned(Reason.RUNTIME_NOT_FOUND, Reason.DOWNSTREAM_FAILED),
         application=MISSING, **DEAD),
    case("no replicas are wanted", PASSES, runtime=Runtime((owner("frontend", 0), owner("history", 0))), **DEAD),
    case("no replicas are wanted, under always", PASSES, ALWAYS, runtime=Runtime((owner("frontend", 0),)), **DEAD),
    case("no frontend is configured", PASSES, frontend=None),
)  # fmt: skip
def test_the_schemas_alone_are_enough_where_temporal_is_not_asked_for(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


@cases(
    case("always, though the runtime is ahead", wait(Reason.FRONTEND_UNREACHABLE), ALWAYS,
         application=ahead(RUNTIME), frontend=FRONTEND_DOWN),
    case("always, though the runtime's Application is missing", wait(Reason.FRONTEND_UNREACHABLE), ALWAYS,
         application=MISSING, frontend=FRONTEND_DOWN),
    case("auto, without an Application to be ahead", wait(Reason.FRONTEND_UNREACHABLE),
         application=None, frontend=FRONTEND_DOWN),
    case("auto, the runtime only drifts", wait(Reason.FRONTEND_UNREACHABLE),
         application=application(RUNTIME, sync="OutOfSync"), frontend=FRONTEND_DOWN),
    case("auto, no Deployment is there yet", wait(Reason.FRONTEND_UNREACHABLE),
         runtime=Runtime(), frontend=FRONTEND_DOWN),
    case("whether the runtime is ahead cannot be seen", wait(Reason.API_UNREACHABLE),
         application=UNREACHABLE, frontend=FRONTEND_DOWN),
)  # fmt: skip
def test_temporal_is_asked_for_where_its_step_was_reached_or_policy_says_always(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


NOT_SERVING = Frontend(finding(Reason.FRONTEND_NOT_SERVING, "frontend"))


@cases(
    case("the frontend says it does not serve", wait(Reason.FRONTEND_NOT_SERVING), frontend=NOT_SERVING),
    case("the frontend does not answer", wait(Reason.FRONTEND_UNREACHABLE), frontend=FRONTEND_DOWN),
    case("a pod is not ready", wait(Reason.PODS_NOT_STABLE), runtime=runtime(pod("matching", ready=False))),
    case("a pod is pending", wait(Reason.PODS_NOT_STABLE), runtime=runtime(pod("matching", state=PodState.PENDING))),
    case("a pod is missing", wait(Reason.PODS_NOT_STABLE), runtime=runtime(wanted={"history": 2})),
    case("one of two replicas crashes for an unknown cause", wait(Reason.CRASH_LOOPING),
         runtime=runtime(pod("history"), in_back_off("history", -1, Reason.CRASH_LOOPING, number=1))),
    case("all is said at once", wait(Reason.PODS_NOT_STABLE, Reason.CRASH_LOOPING, Reason.FRONTEND_UNREACHABLE),
         runtime=runtime(in_back_off("frontend", -1, Reason.CRASH_LOOPING), wanted={"frontend": 2}),
         frontend=FRONTEND_DOWN),
)  # fmt: skip
def test_temporal_is_waited_for_until_every_pod_is_there_and_the_frontend_really_answers(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected
    assert step(ALWAYS, **changes) == expected


REFUSAL = finding(Reason.FRONTEND_REFUSES_GATE, "frontend")
LIMIT = finding(Reason.FRONTEND_RATE_LIMITED, "frontend")
REFUSED = Frontend(trouble=REFUSAL)
UNPROVED = Frontend(unproved=REFUSAL)
LIMITED = Frontend(unproved=LIMIT)


@cases(
    case("auto takes SERVING for proofs that are refused, and says so", warned(Reason.FRONTEND_REFUSES_GATE),
         frontend=UNPROVED),
    case("always waits for whoever may let the gate read", wait(Reason.FRONTEND_REFUSES_GATE), ALWAYS,
         frontend=UNPROVED, since=seen_for(119, REFUSAL)),
    case("always ends after the grace", fail(Reason.FRONTEND_REFUSES_GATE), ALWAYS,
         frontend=UNPROVED, since=seen_for(121, REFUSAL)),
    case("nothing is proved: auto waits, too", wait(Reason.FRONTEND_REFUSES_GATE),
         frontend=REFUSED, since=seen_for(119, REFUSAL)),
    case("nothing is proved: auto passes after the grace", warned(Reason.FRONTEND_REFUSES_GATE),
         frontend=REFUSED, since=seen_for(121, REFUSAL)),
    case("nothing is proved: always ends after the grace", fail(Reason.FRONTEND_REFUSES_GATE), ALWAYS,
         frontend=REFUSED, since=seen_for(121, REFUSAL)),
    case("a rate limit is no reason to wait for auto", warned(Reason.FRONTEND_RATE_LIMITED), frontend=LIMITED),
    case("and never one to end for always", wait(Reason.FRONTEND_RATE_LIMITED), ALWAYS,
         frontend=LIMITED, since=seen_for(1000, LIMIT)),
    case("what comes after Temporal is repaired all the same", ("resync", BOOTSTRAP, 1),
         frontend=UNPROVED, downstream=downstream(application(operation=FAILED))),
    case("not asked for Temporal, nobody is warned of it", PASSES, NEVER, frontend=UNPROVED),
    case("nor before its step", PASSES, frontend=UNPROVED, application=ahead(RUNTIME), runtime=OLD_PODS),
)  # fmt: skip
def test_a_proof_that_is_refused_is_no_proof(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, **changes) == expected


PATIENCE = AUTO.patience.total_seconds()


@cases(
    case("patience left", wait(Reason.FRONTEND_UNREACHABLE), run=Run("run", at(-PATIENCE + 1))),
    case("patience over", warned(Reason.FRONTEND_UNREACHABLE), run=Run("run", at(-PATIENCE))),
    case("patience begins anew when the schema turns right", wait(Reason.FRONTEND_UNREACHABLE),
         run=Run("run", at(-2 * PATIENCE)), stores=stores(default=schema(Store.DEFAULT, since=-PATIENCE + 1))),
    case("patience over since the schema turned right", warned(Reason.FRONTEND_UNREACHABLE),
         run=Run("run", at(-2 * PATIENCE)), stores=stores(default=schema(Store.DEFAULT, since=-PATIENCE))),
    case("a time to come, by a clock that is ahead, is no such time", warned(Reason.FRONTEND_UNREACHABLE),
         run=Run("run", at(-PATIENCE)), stores=AHEAD_OF_TIME),
    case("always knows no such patience", wait(Reason.FRONTEND_UNREACHABLE), ALWAYS, run=Run("run", at(-2 * PATIENCE))),
)  # fmt: skip
def test_auto_waits_for_temporal_only_so_long_since_the_cure_may_lie_in_a_later_step(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, frontend=FRONTEND_DOWN, **changes) == expected


@cases(
    case("auto passes, however much patience was left", warned(Reason.FRONTEND_UNREACHABLE), frontend=FRONTEND_DOWN),
    case("always waits for it all the same", wait(Reason.FRONTEND_UNREACHABLE), ALWAYS, frontend=FRONTEND_DOWN),
    case("a schema is never passed over", ("migrate", 1), stores=BEHIND),
    case("nor is what cannot be seen of it", wait(Reason.API_UNREACHABLE), migration=UNREACHABLE),
    case("nor what cannot be seen of Temporal", wait(Reason.API_UNREACHABLE), runtime=UNREACHABLE),
    case("auto passes over what it would still do", warned(Reason.DOWNSTREAM_RUNNING),
         downstream=downstream(application(operation=FAILED))),
    case("always does it", ("resync", BOOTSTRAP, 1), ALWAYS, downstream=downstream(application(operation=FAILED))),
    case("auto passes over a comparison that does not come", warned(Reason.COMPARISON_PENDING),
         downstream=downstream(application(operation=FAILED, compared_at=None))),
    case("and over a pod that has just started", warned(Reason.PODS_NOT_STABLE),
         runtime=runtime(pod("history", started_at=at(-1)))),
    case("and what is right passes", PASSES),
    case("a gate that would pass now is reopened all the same", ("resync", GATE, 1), gate=CLOSED,
         frontend=FRONTEND_DOWN),
)  # fmt: skip
def test_where_no_time_is_left_auto_has_no_more_patience(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert gist(planner.step_at_deadline(observation(**changes), policy)) == expected


AT_WORK = job(JobPhase.RUNNING, JOB, job_pod(running("main")))


@cases(
    case("a person has to: the grace", "120 s (graceSeconds), then fail: SchemaVersionMissing",
         stores=stores(visibility=RENAMED)),
    case("auto: its patience", "600 s (patienceSeconds), then pass with a warning: FrontendUnreachable",
         frontend=FRONTEND_DOWN),
    case("always: the deadline", "1800 s (deadlineSeconds), then fail: DeadlineExceeded", ALWAYS, frontend=FRONTEND_DOWN),
    case("no setting beyond the deadline counts", "1800 s (deadlineSeconds), then pass with a warning: FrontendUnreachable",
         replace(AUTO, patience=timedelta(hours=1)), frontend=FRONTEND_DOWN),
    case("a migration that works puts the deadline off",
         "1800 s (deadlineSeconds, counted from the migration's last sign of work), then fail: DeadlineExceeded",
         stores=BEHIND, migration=migration(MigrationPhase.RUNNING, jobs=(AT_WORK,))),
)  # fmt: skip
def test_it_is_known_how_long_a_wait_may_last_and_what_comes_then(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    end = planner.end_of_wait(observation(**changes), policy, timedelta(minutes=30))
    assert str(end) == f"for up to {expected}"


CRASH = in_back_off("frontend", -1, Reason.NAMESPACE_METADATA_MISSING)
"""Its cause is diagnosed, and no waiting mends it."""
DENIED = in_back_off("frontend", -1, Reason.TABLE_PERMISSION_DENIED)
"""Its cause is diagnosed, and somebody may be about to mend it."""
DENIED_LONG = seen_for(120, finding(Reason.TABLE_PERMISSION_DENIED, f"pod temporal/{DENIED.name}"))


def crashing(crash: Pod = CRASH, **runtime_application: Any) -> dict[str, Any]:
    """A world in which the frontend crashes, and the runtime's Application differs so."""
    return {"runtime": runtime(crash), "application": application(RUNTIME, **runtime_application)}


@cases(
    case("auto passes with the diagnosis", warned(Reason.NAMESPACE_METADATA_MISSING), **crashing()),
    case("always holds the rollout", fail(Reason.NAMESPACE_METADATA_MISSING), ALWAYS, **crashing()),
    case("without an Application there is nothing to compare", fail(Reason.NAMESPACE_METADATA_MISSING), ALWAYS,
         runtime=runtime(CRASH), application=None),
    case("not on a comparison from before the run", ("refresh", RUNTIME), ALWAYS,
         **crashing(compared_at=UNCOMPARED_SINCE_RUN)),
    case("auto does not pass on an old comparison either", ("refresh", RUNTIME),
         **crashing(compared_at=UNCOMPARED_SINCE_RUN)),
    case("the comparison was asked for", wait(Reason.COMPARISON_PENDING), ALWAYS,
         **crashing(compared_at=None, refresh_requested=True)),
    case("its sync is on its way, which ends in a comparison", wait(Reason.COMPARISON_PENDING), ALWAYS,
         **crashing(compared_at=None, operation=operation(OperationPhase.RUNNING))),
    case("what others may mend has its grace", wait(Reason.TABLE_PERMISSION_DENIED), ALWAYS, **crashing(DENIED)),
    case("the grace is over", fail(Reason.TABLE_PERMISSION_DENIED), ALWAYS, **crashing(DENIED), since=DENIED_LONG),
    case("auto passes with it after the grace", warned(Reason.TABLE_PERMISSION_DENIED), since=DENIED_LONG,
         **crashing(DENIED)),
    case("every cause is said", warned(Reason.NAMESPACE_METADATA_MISSING, Reason.SYSTEM_NAMESPACE_MISSING),
         runtime=runtime(CRASH, in_back_off("history", -1, Reason.SYSTEM_NAMESPACE_MISSING))),
)  # fmt: skip
def test_a_diagnosed_cause_that_is_not_ours_to_mend_ends_the_wait(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


STABLE = AUTO.stable.total_seconds()


@cases(
    case("too young", wait(Reason.PODS_NOT_STABLE), runtime=runtime(pod("history", started_at=at(-STABLE + 1)))),
    case("old enough", PASSES, runtime=runtime(pod("history", started_at=at(-STABLE)))),
    case("a readiness probe vouches for it", PASSES, runtime=runtime(pod("history", started_at=at(-1), probed=True))),
)  # fmt: skip
def test_no_pod_is_trusted_that_just_started_and_has_no_readiness_probe(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


# --- downstream ---------------------------------------------------------------------------------------------------

Downstream = dict[ApplicationRef, Application | Unknown]


def resynced(
    attempts: int, phase: OperationPhase = OperationPhase.FAILED, ended: float = -50, **changes: Any
) -> Downstream:
    """Bootstrap after so many syncs by this run, the last of which ended so many seconds from now, and compared since."""
    last = operation(phase, attempt=attempts, started_at=at(ended - 1), finished_at=at(ended))
    return downstream(application(BOOTSTRAP, **{"operation": last, "compared_at": at(ended + 1)} | changes))


RESYNC = ("resync", BOOTSTRAP, 1)


@cases(
    case("its operation failed", RESYNC, downstream=downstream(application(operation=FAILED))),
    case("its plain Job failed", RESYNC, downstream=downstream(application(health="Degraded", jobs=(managed(),)))),
    case("its Job is gone", RESYNC, downstream=downstream(application(health="Missing", jobs=(managed(),)))),
    case("its hook never ran", RESYNC, downstream=downstream(application(operation=None))),
    case("it only drifts, and failed", RESYNC, downstream=downstream(application(sync="OutOfSync", operation=FAILED))),
    case("it ran on a database that is gone", RESYNC, runtime=None,
         stores=stores(default=schema(Store.DEFAULT, born=-1800))),
    case("it ran about when the database was made: clocks differ", PASSES, runtime=None,
         stores=stores(default=schema(Store.DEFAULT, born=-1810 + SKEW))),
    case("once the schemas are right, though the migration's Job or operation still ends", ("resync", BOOTSTRAP, 1),
         migration=migration(MigrationPhase.RUNNING), downstream=downstream(application(operation=FAILED))),
    case("the first that needs it, in their order", ("resync", BOOTSTRAP, 1),
         downstream=downstream(application(RUNTIME), application(BOOTSTRAP, operation=None))),
)  # fmt: skip
def test_a_downstream_that_was_reached_and_failed_is_synced_again(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected
    assert step(ALWAYS, **changes) == expected


@cases(
    case("its step is ahead", PASSES, downstream=downstream(ahead(BOOTSTRAP, health="Degraded"))),
    case("it was never synced", PASSES, downstream=downstream(ahead(BOOTSTRAP, operation=None, health="Missing"))),
    case("it does not exist", PASSES, downstream={BOOTSTRAP: MISSING}),
    case("none is configured", PASSES, downstream={}),
    case("it cannot be seen", wait(Reason.API_UNREACHABLE), downstream={BOOTSTRAP: UNREACHABLE}),
    case("another sync of it is on its way", wait(Reason.DOWNSTREAM_RUNNING),
         downstream=downstream(application(operation=operation(OperationPhase.RUNNING), health="Degraded"))),
    case("its Job still runs", wait(Reason.DOWNSTREAM_RUNNING), downstream=downstream(application(health="Progressing"))),
    case("Argo CD does not say that it is healthy", wait(Reason.DOWNSTREAM_RUNNING),
         downstream=downstream(application(health="Suspended"))),
    case("its comparison is from before the run", ("refresh", BOOTSTRAP),
         downstream=downstream(application(operation=FAILED, compared_at=UNCOMPARED_SINCE_RUN))),
    case("it was never compared", ("refresh", BOOTSTRAP),
         downstream=downstream(application(operation=FAILED, compared_at=None))),
    case("it ended within this second: a comparison of it proves nothing", wait(Reason.COMPARISON_PENDING),
         downstream=downstream(application(operation=replace(FAILED, finished_at=at(0)), compared_at=at(0)))),
    case("it ended a second ago", ("refresh", BOOTSTRAP),
         downstream=downstream(application(operation=replace(FAILED, finished_at=at(-1)), compared_at=at(-1)))),
    case("a comparison was asked for", wait(Reason.COMPARISON_PENDING),
         downstream=downstream(application(operation=FAILED, compared_at=None, refresh_requested=True))),
    case("never synced, whatever the comparison says", PASSES,
         downstream=downstream(application(operation=None, sync="Unknown"))),
    case("it failed, and Argo CD cannot compare it", wait(Reason.COMPARISON_PENDING),
         downstream=downstream(application(operation=FAILED, sync="Unknown"))),
    case("Temporal does not answer yet", wait(Reason.FRONTEND_UNREACHABLE),
         frontend=FRONTEND_DOWN, downstream=downstream(application(operation=FAILED))),
    case("the schemas are behind while they are migrated", wait(Reason.MIGRATION_RUNNING), stores=BEHIND,
         migration=migration(MigrationPhase.RUNNING), downstream=downstream(application(operation=FAILED))),
    case("the migration cannot be seen", wait(Reason.API_UNREACHABLE),
         migration=UNREACHABLE, downstream=downstream(application(operation=FAILED))),
    case("what a step before it says does not hide it", wait(Reason.DOWNSTREAM_RUNNING), downstream=downstream(
         application(MIGRATIONS), ahead(RUNTIME), application(health="Progressing"))),
)  # fmt: skip
def test_a_downstream_is_left_alone_while_it_need_not_or_must_not_be_synced(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


@cases(
    case("the first sync just failed", wait(Reason.DOWNSTREAM_PAUSING), downstream=resynced(1, ended=-PAUSE + 1)),
    case("its pause is over", ("resync", BOOTSTRAP, 2), downstream=resynced(1, ended=-PAUSE)),
    case("the second pause is twice the first", wait(Reason.DOWNSTREAM_PAUSING),
         downstream=resynced(2, ended=-2 * PAUSE + 1)),
    case("the second pause is over", ("resync", BOOTSTRAP, 3), downstream=resynced(2, ended=-2 * PAUSE)),
    case("the attempts are used up: auto passes and says so", warned(Reason.DOWNSTREAM_FAILED), downstream=resynced(3)),
    case("the attempts are used up: always holds", fail(Reason.DOWNSTREAM_FAILED), ALWAYS, downstream=resynced(3)),
    case("used up, but on an old status", ("refresh", BOOTSTRAP), ALWAYS,
         downstream=resynced(3, ended=-10, compared_at=at(-10))),
    case("given up, it keeps no other from being synced", ("resync", RUNTIME, 1),
         downstream=resynced(3) | downstream(application(RUNTIME, operation=FAILED))),
    case("both given up: both are said", warned(Reason.DOWNSTREAM_FAILED, Reason.DOWNSTREAM_FAILED),
         downstream=resynced(3) | downstream(application(RUNTIME, operation=FAILED, attempts_seen=3))),
    case("another's sync failed since, and hides none of them", warned(Reason.DOWNSTREAM_FAILED),
         downstream=downstream(application(operation=FAILED, attempts_seen=3))),
    case("its servers may have been about to crash, as they may be now", wait(Reason.PODS_NOT_STABLE),
         downstream=resynced(1), runtime=runtime(pod("history", started_at=at(-STABLE + 1)))),
    case("nor is it given up for the sake of such servers", wait(Reason.PODS_NOT_STABLE), ALWAYS,
         downstream=resynced(3), runtime=runtime(pod("history", started_at=at(-STABLE + 1)))),
    case("the first sync need not wait for that", RESYNC, downstream=downstream(application(operation=FAILED)),
         runtime=runtime(pod("history", started_at=at(-STABLE + 1)))),
    case("its operation ended, its Job perhaps not: compare first", ("refresh", BOOTSTRAP),
         downstream=resynced(1, OperationPhase.SUCCEEDED, ended=-10, compared_at=at(-10), jobs=(managed(),))),
    case("its Job ended well", PASSES, downstream=resynced(1, OperationPhase.SUCCEEDED, jobs=(managed(),))),
    case("its hook ended well: the operation says so itself", PASSES,
         downstream=resynced(1, OperationPhase.SUCCEEDED, ended=-10, compared_at=at(-10))),
)  # fmt: skip
def test_syncing_a_downstream_again_is_bounded_and_rests_on_no_old_status(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


@pytest.mark.parametrize(
    ("hanging", "reason"),
    [
        (downstream(application(operation=operation(OperationPhase.RUNNING))), Reason.DOWNSTREAM_RUNNING),
        (downstream(application(health="Progressing")), Reason.DOWNSTREAM_RUNNING),
        (downstream(application(operation=FAILED, sync="Unknown")), Reason.COMPARISON_PENDING),
        (resynced(1, ended=-1, compared_at=NOW), Reason.DOWNSTREAM_PAUSING),
    ],
    ids=["operation", "Job", "comparison", "pause"],
)
def test_auto_does_not_wait_for_a_hanging_downstream_for_ever(hanging: Downstream, reason: Reason) -> None:
    impatient = policy(patience=at(0) - at(RUN_STARTED))
    assert step(downstream=hanging) == wait(reason)
    assert step(impatient, downstream=hanging) == warned(reason)
    assert step(replace(impatient, reachability=Reachability.ALWAYS), downstream=hanging) == wait(reason)


# --- reopening the gate -------------------------------------------------------------------------------------------

REOPENS = ("resync", GATE, 1)


@cases(
    case("all is right", REOPENS),
    case("the runtime is ahead, since the gate held it", REOPENS, application=ahead(RUNTIME)),
    case("Temporal is not asked for", REOPENS, NEVER, frontend=FRONTEND_DOWN),
    case("what is broken lets the gate pass with a warning", REOPENS, downstream=resynced(3)),
    case("what is broken holds the gate", fail(Reason.DOWNSTREAM_FAILED), ALWAYS, downstream=resynced(3)),
    case("the schema is behind", ("migrate", 1), stores=BEHIND),
)  # fmt: skip
def test_a_watchdog_syncs_a_gate_that_failed_and_would_pass_now(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, gate=CLOSED, **changes) == expected


@cases(
    case("it passed", PASSES, gate=application(GATE)),
    case("it runs", PASSES, gate=application(GATE, operation=operation(OperationPhase.RUNNING))),
    case("it never ran", PASSES, gate=application(GATE, operation=None)),
    case("it failed again after this run synced it", PASSES, gate=replace(CLOSED, operation=replace(FAILED, attempt=1))),
    case("its status is from before the run", ("refresh", GATE), gate=replace(CLOSED, compared_at=UNCOMPARED_SINCE_RUN)),
    case("it cannot be seen", wait(Reason.API_UNREACHABLE), gate=UNREACHABLE),
    case("it may not be seen, its grace is over", fail(Reason.API_FORBIDDEN), gate=FORBIDDEN, since=OVER_GRACE),
)  # fmt: skip
def test_a_watchdog_syncs_no_gate_that_did_not_fail_and_none_twice(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


# --- notes --------------------------------------------------------------------------------------------------------


def of_image(image: str) -> Runtime:
    return runtime(pod("history", image=image))


@cases(
    case("a schema is newer, as after a rollback", warned(Reason.SCHEMA_NEWER),
         stores=stores(default=schema(Store.DEFAULT, "1.19"))),
    case("the versions are another patch's", warned(Reason.RELEASE_ESTIMATED), policy(estimated_from=Release(1, 29, 0))),
    case("the runtime's Application is not there", warned(Reason.RUNTIME_NOT_FOUND), application=MISSING),
    case("the upgrade skips a minor", warned(Reason.MINOR_SKIPPED), runtime=of_image("temporalio/server:1.27.2")),
    case("the next minor", PASSES, runtime=of_image("temporalio/server:1.28.1")),
    case("a downgrade", PASSES, runtime=of_image("temporalio/server:1.30.8")),
    case("another major", PASSES, runtime=of_image("temporalio/server:2.0.0")),
    case("an image without a tag", PASSES, runtime=of_image("temporalio/server")),
    case("an image whose tag is no release", PASSES, runtime=of_image("registry:5000/server:latest")),
    case("versions by hand: no release to compare with", PASSES, policy(release=None),
         runtime=of_image("temporalio/server:1.27.2")),
    case("no pods to tell by", PASSES, runtime=None),
)  # fmt: skip
def test_a_pass_says_what_a_person_should_know(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, **changes) == expected


def test_the_oldest_release_among_the_pods_is_the_live_one_whatever_else_their_images_hold() -> None:
    images = ("r:5000/server:1.29.1@sha256:0a", "temporalio/server:1.28.2-tctl-1.18.4", "temporalio/server@sha256:0b")
    running = runtime(*(pod("history", number, image=image) for number, image in enumerate(images)))
    assert restarts.live_release(observation(runtime=running)) == Release(1, 28, 2)


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        (schema(Store.DEFAULT, "1.18"), True),
        (schema(Store.DEFAULT, "1.19"), True),
        (schema(Store.DEFAULT, "1.9"), False),
        (EMPTY[Store.DEFAULT], False),
        (UNREACHABLE, False),
    ],
    ids=["as expected", "newer", "older, though greater as text", "empty", "unseen"],
)
def test_a_schema_is_right_when_it_is_seen_to_be_as_new_as_expected(seen: Schema | Unknown, *, right: bool) -> None:
    assert AUTO.is_right(seen) is right


def test_a_warning_of_trouble_comes_before_the_notes() -> None:
    passed = planner.next_step(
        observation(stores=stores(default=schema(Store.DEFAULT, "1.19")), downstream=resynced(3)), AUTO
    )
    assert gist(passed) == warned(Reason.DOWNSTREAM_FAILED, Reason.SCHEMA_NEWER)


def test_a_restart_and_a_sync_say_why() -> None:
    restarting = planner.next_step(observation(runtime=runtime(in_back_off("history", RUN_STARTED - 1))), AUTO)
    assert isinstance(restarting, RestartPods)
    assert restarting.why == "in back-off from a crash before this run"
    syncing = planner.next_step(observation(downstream=downstream(application(operation=None))), AUTO)
    assert isinstance(syncing, Resync)
    assert syncing.why == "it never ran"
    migrating = planner.next_step(observation(stores=EMPTY), AUTO)
    assert isinstance(migrating, Migrate)
    assert migrating.why == "default is empty, expected 1.18, visibility is empty, expected 1.9"


def test_findings_name_the_thing_they_are_about() -> None:
    waiting = planner.next_step(observation(runtime=runtime(pod("history", ready=False))), AUTO)
    assert waiting == Wait((Finding(Reason.PODS_NOT_STABLE, "pod temporal/temporal-history-0", "running, not ready"),))


def test_ten_is_newer_than_nine() -> None:
    assert schema(Store.VISIBILITY, "1.10").version == SchemaVersion((1, 10))
    assert step(stores=stores(visibility=schema(Store.VISIBILITY, "1.10"))) == warned(Reason.SCHEMA_NEWER)
