"""The planner as tables: a healthy world, what differs in it, the policy, and the one step that follows."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    BEHIND,
    BOOTSTRAP,
    EMPTY,
    JOB,
    MIGRATIONS,
    NOW,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    at,
    attempted,
    downstream,
    finding,
    in_back_off,
    migration,
    observation,
    operation,
    pod,
    policy,
    runtime,
    schema,
    seen_for,
    stores,
    unknown,
)

from hook import planner
from hook.model import (
    Fail,
    Finding,
    Frontend,
    Migrate,
    MigrationPhase,
    OnEmptyDatabase,
    OperationPhase,
    Pass,
    Pod,
    PodState,
    Policy,
    Reachability,
    Refresh,
    RestartPods,
    Resync,
    Run,
    Runtime,
    Step,
    Wait,
)
from hook.reasons import Reason
from hook.versions import Release, SchemaVersion, Store

AUTO = policy()
ALWAYS = policy(reachability=Reachability.ALWAYS)
NEVER = policy(reachability=Reachability.NEVER)

PASSES = "pass"


def gist(step: Step) -> object:
    """What a step is and is about, in the words that the tables use."""
    match step:
        case Pass(warnings):
            return ("pass with", *(warning.reason for warning in warnings)) if warnings else PASSES
        case Wait(findings):
            return ("wait for", *(one.reason for one in findings))
        case Fail(failure):
            return ("fail with", failure.reason)
        case Migrate(_, attempt, _):
            return ("migrate", attempt)
        case RestartPods(component, pods, _):
            return ("restart", component, *(one.name for one in pods))
        case Resync(resynced, attempt, _):
            return ("resync", resynced.ref, attempt)
        case Refresh(refreshed, _):
            return ("refresh", refreshed.ref)


def step(policy: Policy = AUTO, **changes: Any) -> object:
    """The gist of the next step in a healthy world with these changes."""
    return gist(planner.next_step(observation(**changes), policy))


def case(name: str, expected: object, policy: Policy = AUTO, **changes: Any) -> Any:
    return pytest.param(changes, policy, expected, id=name)


def cases(*rows: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("changes", "policy", "expected"), rows)


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
def test_the_application_whose_sync_runs_the_gate_is_refused_as_a_target(owner: Any, spelling: str) -> None:
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
def test_what_a_rule_needs_and_may_not_see_is_waited_for_and_ends_the_run_after_the_grace(place: dict[str, Any]) -> None:
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
    case("the frontend, while the runtime is ahead", PASSES, frontend=FORBIDDEN, application=ahead(RUNTIME)),
    case("the runtime's Application, scaled to zero", PASSES, application=FORBIDDEN,
         runtime=Runtime({"frontend": 0, "history": 0})),
)  # fmt: skip
def test_what_no_rule_needs_may_stay_unseen(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert step(policy, since=OVER_GRACE, **changes) == expected


# --- the migration ------------------------------------------------------------------------------------------------


JOB_HANGS = pod("job", state=PodState.PENDING, finding=finding(Reason.IMAGE_NOT_PULLABLE))


@cases(
    case("unseen", wait(Reason.API_UNREACHABLE), migration=UNREACHABLE),
    case("running", wait(Reason.MIGRATION_RUNNING), migration=migration(MigrationPhase.RUNNING)),
    case("running, its pod hangs: says so", wait(Reason.MIGRATION_RUNNING, Reason.IMAGE_NOT_PULLABLE),
         migration=migration(MigrationPhase.RUNNING), migration_pods=(JOB_HANGS, pod("job", 1))),
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


# --- the schemas --------------------------------------------------------------------------------------------------


@cases(
    case("unreachable", wait(Reason.DATABASE_UNREACHABLE), stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE))),
    case("a standby", wait(Reason.DATABASE_IN_RECOVERY), stores=stores(visibility=unknown(Reason.DATABASE_IN_RECOVERY))),
    case("both unseen: both are said", wait(Reason.DATABASE_UNREACHABLE, Reason.DATABASE_MISSING),
         stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE), visibility=unknown(Reason.DATABASE_MISSING))),
    case("one unseen, the other behind: the migration has to wait", wait(Reason.DATABASE_UNREACHABLE),
         stores=BEHIND | {Store.VISIBILITY: unknown(Reason.DATABASE_UNREACHABLE)}),
    case("stuck: only a person can mend it", fail(Reason.SCHEMA_STUCK), stores=stores(default=unknown(Reason.SCHEMA_STUCK))),
    case("one unreachable, the other renamed: a person has to", fail(Reason.SCHEMA_VERSION_MISSING),
         stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE), visibility=unknown(Reason.SCHEMA_VERSION_MISSING))),
)  # fmt: skip
def test_a_store_that_cannot_be_judged_is_waited_for_unless_only_a_person_can_mend_it(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected


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

JUST_MIGRATED = stores(default=schema(Store.DEFAULT, since=-RIGHT_FOR))
NEW_DATABASE = stores(default=schema(Store.DEFAULT, since=-RIGHT_FOR, born=-RIGHT_FOR))
SKEW = AUTO.clock_skew.total_seconds()


@cases(
    case("in back-off from before the schema was right", ("restart", "history", "temporal-history-0"),
         runtime=runtime(in_back_off("history", -RIGHT_FOR - 1)), stores=JUST_MIGRATED),
    case("the later of the two stores counts", ("restart", "history", "temporal-history-0"),
         runtime=runtime(in_back_off("history", -RIGHT_FOR - 1)),
         stores=stores(visibility=schema(Store.VISIBILITY, since=-RIGHT_FOR))),
    case("in back-off from after the schema was right", wait(Reason.PODS_NOT_STABLE),
         runtime=runtime(in_back_off("history", -RIGHT_FOR)), stores=JUST_MIGRATED),
    case("in back-off from before this run, whatever its cause was", ("restart", "worker", "temporal-worker-0"),
         runtime=runtime(in_back_off("worker", RUN_STARTED - 1, Reason.NAMESPACE_METADATA_MISSING))),
    case("in back-off from within this run", wait(Reason.PODS_NOT_STABLE),
         runtime=runtime(in_back_off("worker", RUN_STARTED))),
    case("in back-off, when it crashed is not known", wait(Reason.PODS_NOT_STABLE),
         runtime=runtime(replace(in_back_off("worker", 0), crashed_at=None))),
    case("since when the schema is right is not known: this run counts", ("restart", "worker", "temporal-worker-0"),
         runtime=runtime(in_back_off("worker", RUN_STARTED - 1)),
         stores={one: replace(schema(one), since=None) for one in Store}),
    case("running since before its database was made", ("restart", "history", "temporal-history-0"),
         runtime=runtime(pod("history", started_at=at(-RIGHT_FOR - SKEW - 1))), stores=NEW_DATABASE),
    case("running since about when its database was made: clocks differ", PASSES,
         runtime=Runtime(pods=(pod("history", started_at=at(-RIGHT_FOR - SKEW)),)), stores=NEW_DATABASE,
         downstream={}),
    case("an upgraded database is the same database", PASSES, stores=JUST_MIGRATED),
    case("an empty history says nothing", PASSES, stores=stores(default=schema(Store.DEFAULT, born=None))),
    case("only the default store's birth counts", PASSES,
         stores=stores(visibility=schema(Store.VISIBILITY, since=-RIGHT_FOR, born=-RIGHT_FOR))),
    case("the default store is not gated: no birth is known", PASSES,
         stores={Store.VISIBILITY: schema(Store.VISIBILITY, born=-RIGHT_FOR)}),
    case("a pod that is not started yet is no old one", wait(Reason.PODS_NOT_STABLE), stores=NEW_DATABASE, downstream={},
         runtime=Runtime(pods=(pod("history", state=PodState.PENDING, ready=False, started_at=None),))),
    case("only those of the component that need it", ("restart", "history", "temporal-history-1"),
         runtime=runtime(pod("history", 0), in_back_off("history", RUN_STARTED - 1), pod("history", 2),
                         wanted={"history": 3}) if False else
         runtime(pod("history", 0), replace(in_back_off("history", RUN_STARTED - 1), name="temporal-history-1"))),
    case("history first, matching next", ("restart", "history", "temporal-history-0"),
         runtime=runtime(*(in_back_off(one, RUN_STARTED - 1) for one in ("worker", "matching", "history")))),
    case("a component at a time, in order", ("restart", "matching", "temporal-matching-0"),
         runtime=runtime(*(in_back_off(one, RUN_STARTED - 1) for one in ("worker", "frontend", "matching")))),
    case("nothing of Temporal's servers", PASSES, runtime=runtime(in_back_off("web", RUN_STARTED - 1)) if False else
         runtime(pod("history"))),
    case("even while the runtime's next step is ahead", ("restart", "history", "temporal-history-0"),
         runtime=runtime(in_back_off("history", RUN_STARTED - 1)), application=ahead(RUNTIME)),
    case("not while the schema is behind", ("migrate", 1),
         runtime=runtime(in_back_off("history", RUN_STARTED - 1)), stores=BEHIND),
)  # fmt: skip
def test_pods_are_restarted_whose_crash_or_database_is_a_thing_of_the_past(
    changes: dict[str, Any], policy: Policy, expected: object
) -> None:
    assert step(policy, **changes) == expected
