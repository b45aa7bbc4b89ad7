"""What holds of the gate in every world: the real loop and planner, run in simulated worlds with faults."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulation.scenario import (
    COMPONENTS,
    INTERVAL_SECONDS,
    LIMIT_SECONDS,
    PLACES,
    Fault,
    Owned,
    PodsState,
    RuntimeState,
    Scenario,
    SchemaState,
    State,
)
from simulation.world import Play, play

from hook.decision.policy import OnEmptyDatabase, Reachability
from hook.decision.steps import Act, Migrate, Refresh, RestartPods, Resync
from hook.observation.reasons import Reason, Tolerance

# The same examples at each run, so that what fails can be looked at. No health check is switched off.
thoroughly = settings(derandomize=True, max_examples=300, deadline=None)  # deadline: the machine may be busy

# --- the worlds ---------------------------------------------------------------------------------------------------

SECONDS = st.floats(0, 120)

OWNED = st.builds(
    Owned,
    state=st.sampled_from(("succeeded", "failed", "running", "never ran")),
    plain=st.booleans(),
    seconds=st.floats(9, 30),  # so that new databases are born later than the clocks' skew after the old ones went
    failures=st.integers(0, 4),
    lag=st.floats(0.2, 3),
    window_opens=st.one_of(st.just(0.0), SECONDS),
)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Worlds that nothing happens to but what the gate does: whatever their beginning and their standing faults."""
    schema = draw(st.sampled_from(get_args(SchemaState)))
    runtime: RuntimeState = draw(st.sampled_from(("reached", *get_args(RuntimeState))))
    pods: PodsState = draw(
        st.sampled_from(get_args(PodsState) if runtime in {"ahead", "missing"} else ("running", "crashing"))
    )
    state: State = draw(st.sampled_from(get_args(State)))
    downstream = draw(
        st.one_of(st.none(), OWNED.map(lambda owned: replace(owned, state=state, seconds=owned.seconds / 3)))
    )
    was_up = pods == "running" or (downstream is not None and downstream.ran_well)
    return Scenario(
        schema=schema,
        pods=pods,
        # what was up once was up on a database that held a schema
        replaced=(schema == "empty" and was_up) or draw(st.booleans()),
        runtime=runtime,
        migrations=draw(OWNED),
        downstream=downstream,
        tool=draw(st.sampled_from(("right", "right", "right", "old"))),
        sticks=draw(st.sampled_from((False, False, True))),
        cause=draw(st.sampled_from((None, None, *CAUSES))),
        reachability=draw(st.sampled_from(Reachability)),
        on_empty_database=draw(st.sampled_from((*(OnEmptyDatabase.MIGRATE,) * 3, OnEmptyDatabase.FAIL))),
        attempts=draw(st.integers(1, 3)),
        jobs_may_be_read=draw(st.sampled_from((True, True, False))),
    )


CAUSES = (Reason.CRASH_LOOPING, Reason.TABLE_PERMISSION_DENIED, Reason.NAMESPACE_METADATA_MISSING)
UNSEEN = [
    (place, reason)
    for place in PLACES
    for reason in (
        Reason.API_UNREACHABLE,
        Reason.API_FORBIDDEN,
        Reason.DATABASE_UNREACHABLE,
        Reason.APPLICATION_MISSING,
        Reason.NAMESPACE_MISSING,
    )
    if reason is not Reason.APPLICATION_MISSING or place not in {"application", "downstream"}
]
"""What may hide each place. That Argo CD has no such runtime or bootstrap is no fault: their step is ahead."""


INTERVALS = st.tuples(SECONDS, st.floats(0, 60)).map(lambda drawn: (drawn[0], sum(drawn)))


@st.composite
def disturbed(draw: st.DrawFn) -> Scenario:
    """The same worlds, with others at work in them and blows falling while the gate runs."""
    scenario = draw(scenarios())
    faults = draw(st.lists(st.tuples(st.sampled_from(UNSEEN), INTERVALS), max_size=4))
    syncs = st.lists(SECONDS, max_size=3).map(tuple)
    replacements = draw(st.one_of(st.just(()), st.tuples(SECONDS)))
    downstream = scenario.downstream
    if downstream is not None and not (downstream.plain and (replacements or scenario.replaced)):
        # a sync leaves a finished plain Job as it is, so that its operation's end proves nothing for a new database
        downstream = replace(downstream, foreign=draw(syncs), lost=draw(st.integers(0, 1)))
    migrations = replace(
        scenario.migrations,
        foreign=draw(syncs),
        retries=draw(st.integers(0, 1)),
        follows=draw(st.integers(0, 2)),
        lost=draw(st.integers(0, 2)),
    )
    return replace(
        scenario,
        migrations=migrations,
        downstream=downstream,
        faults=tuple(Fault(*unseen, *interval) for unseen, interval in faults),
        replacements=replacements,
        outages=tuple(draw(st.lists(INTERVALS, max_size=2))),
        cause_ends=draw(st.one_of(st.none(), SECONDS)),
        stuck_in_starting=draw(st.sampled_from(((), (), ("history",), ("worker",)))),
    )


@st.composite
def with_clocks_apart(draw: st.DrawFn) -> Scenario:
    """The same, where nodes and schema tool have clocks of their own."""
    ahead = st.floats(-300, 300)
    return replace(draw(disturbed()), node_clock=draw(ahead), database_clock=draw(ahead))


def repairs(acts: Iterable[Act]) -> list[object]:
    """What was done, but for the comparisons that were asked for: their number depends on where a second ends."""
    return [
        tuple(pod.component for pod in act.pods) if isinstance(act, RestartPods) else (type(act), act.attempt)
        for act in acts
        if not isinstance(act, Refresh)
    ]


# --- the simulated world is worth asking --------------------------------------------------------------------------

INCIDENT = Scenario(
    schema="empty", pods="crashing", migrations=Owned(state="failed"), downstream=Owned(state="failed", seconds=1)
)
BOOTSTRAP_FAILS_SINCE_SERVERS_CRASH = Scenario(
    pods="crashing",
    cause=Reason.CRASH_LOOPING,
    downstream=Owned(state="failed", seconds=1),
    reachability=Reachability.ALWAYS,
    attempts=1,
)
RESTARTS = [("worker", "matching", "frontend", "history")]


@pytest.mark.parametrize(
    ("scenario", "acts", "reason"),
    [
        (Scenario(), [], Reason.PASSED),
        (INCIDENT, [(Migrate, 1), *RESTARTS, (Resync, 1)], Reason.PASSED),
        (Scenario(replaced=True), [*RESTARTS, (Resync, 1)], Reason.PASSED),
        (replace(INCIDENT, migrations=Owned(failures=9)),
         [(Migrate, 1), (Migrate, 2), (Migrate, 3)], Reason.MIGRATION_FAILED),
        (replace(INCIDENT, migrations=Owned(failures=1), sticks=True), [(Migrate, 1)], Reason.SCHEMA_STUCK),
        (replace(INCIDENT, tool="old"), [(Migrate, 1)], Reason.MIGRATION_LEFT_SCHEMA_BEHIND),
        (replace(INCIDENT, on_empty_database=OnEmptyDatabase.FAIL), [], Reason.DATABASE_EMPTY),
        (Scenario(pods="crashing", cause=Reason.CRASH_LOOPING), RESTARTS, Reason.PASSED_WITH_WARNING),
        (Scenario(outages=((0, 9000),)), [], Reason.DEADLINE_EXCEEDED),
        (Scenario(faults=(Fault("runtime", Reason.API_FORBIDDEN, 0, 9000),)), [], Reason.API_FORBIDDEN),
        (Scenario(downstream=Owned(state="moved on")), [], Reason.PASSED),
        (Scenario(downstream=Owned(state="failed", failures=9), reachability=Reachability.ALWAYS),
         [(Resync, 1), (Resync, 2), (Resync, 3)], Reason.DOWNSTREAM_FAILED),
    ],
    ids=["healthy", "the incident", "replaced databases", "a migration that fails", "one that sticks", "an old tool",
         "an empty database refused", "another cause of crashes", "no database", "a verb refused",
         "bootstrap ahead, and not seen to be", "a bootstrap that fails"],
)  # fmt: skip
def test_the_simulated_world_takes_the_course_of_the_known_one(
    scenario: Scenario, acts: list[object], reason: Reason
) -> None:
    played = play(scenario)
    assert (repairs(played.acts), played.reason) == (acts, reason)


@pytest.mark.parametrize(("schema", "restarted"), [("empty", len(COMPONENTS)), ("behind", 0)])
def test_servers_on_a_schema_that_is_behind_outlive_its_upgrade_and_those_on_one_that_is_gone_do_not(
    schema: SchemaState, restarted: int
) -> None:
    played = play(Scenario(schema=schema, replaced=schema == "empty"))
    assert len(played.world.servers.deleted) == restarted
    assert played.reason is Reason.PASSED


# --- what the gate never does -------------------------------------------------------------------------------------


def assert_is_harmless(played: Play) -> None:
    world = played.world
    assert world.violations == []  # restarts before the schema is right, or of what serves
    assert not world.downstream.synced_while_ahead
    assert not world.migration_work.doubled


@thoroughly
@given(disturbed())
def test_it_restarts_nothing_too_early_nor_what_serves_and_syncs_nothing_ahead_nor_twice_at_once(
    scenario: Scenario,
) -> None:
    assert_is_harmless(play(scenario))


ONE_TURN_SECONDS = 1
"""More than a turn's looks and acts take there, the last of which may begin just before the deadline."""


@thoroughly
@given(disturbed())
def test_it_always_ends_at_the_deadline_at_the_latest(scenario: Scenario) -> None:
    played = play(scenario)
    assert played.world.clock.elapsed < LIMIT_SECONDS + ONE_TURN_SECONDS
    if played.reason is Reason.DEADLINE_EXCEEDED:
        assert played.world.clock.elapsed >= LIMIT_SECONDS - INTERVAL_SECONDS
        assert played.outcome.missing


@thoroughly
@given(disturbed())
@example(Scenario(replaced=True))
@example(Scenario(pods="crashing", cause=Reason.CRASH_LOOPING))
@example(INCIDENT)
def test_a_pass_means_that_everything_policy_asks_for_holds_in_truth(scenario: Scenario) -> None:
    played = play(scenario)
    if played.reason is Reason.PASSED:
        assert played.world.lacks == []
    if played.reason is Reason.PASSED_WITH_WARNING:
        assert "the schemas are right" not in played.world.lacks
        assert scenario.reachability is not Reachability.ALWAYS


@thoroughly
@given(disturbed())
def test_attempts_are_bounded(scenario: Scenario) -> None:
    """Where another's operation follows ours between two looks, nothing in the world tells of ours any more."""
    played = play(scenario)
    for owned in (played.world.migrations, played.world.downstream):
        assert len(owned.written) <= scenario.attempts + owned.foreign
        assert owned.written == sorted(owned.written)
    rounds = 2 + len(
        scenario.replacements
    )  # those of before the run, those of before the schema; anew for each database
    assert all(times <= rounds for times in Counter(played.world.servers.deleted).values())


@thoroughly
@given(with_clocks_apart())
@example(Scenario(node_clock=-120, replaced=True))
@example(Scenario(node_clock=-300, pods="crashing", cause=Reason.CRASH_LOOPING, reachability=Reachability.ALWAYS))
@example(Scenario(schema="empty", pods="crashing", database_clock=300))
def test_deletions_are_bounded_whatever_the_clocks(scenario: Scenario) -> None:
    """A pod that a restart has made is not restarted again, unless the schemas became right anew after it."""
    played = play(scenario)
    rounds = 2 + len(scenario.replacements)
    assert all(times <= rounds for times in Counter(played.world.servers.deleted).values())
    assert played.world.clock.elapsed < LIMIT_SECONDS + ONE_TURN_SECONDS


# --- what it does in the end --------------------------------------------------------------------------------------


def can_heal(scenario: Scenario) -> Scenario:
    """The same world, but nothing in it needs a person, or more time than `auto` has patience for."""
    migrations = replace(scenario.migrations, failures=min(scenario.migrations.failures, scenario.attempts - 1))
    downstream = scenario.downstream
    if downstream is not None:
        downstream = replace(downstream, failures=min(downstream.failures, scenario.attempts - 1), window_opens=0)
    return replace(
        scenario,
        tool="right",
        sticks=False,
        cause=None,
        on_empty_database=OnEmptyDatabase.MIGRATE,
        migrations=migrations,
        downstream=downstream,
    )


@thoroughly
@given(scenarios().map(can_heal))
def test_what_can_be_healed_is_healed(scenario: Scenario) -> None:
    never_comes = scenario.reachability is Reachability.ALWAYS and scenario.pods == "none"
    played = play(scenario)
    assert played.reason is (Reason.DEADLINE_EXCEEDED if never_comes else Reason.PASSED), played.outcome


@thoroughly
@given(disturbed())
def test_nothing_that_waiting_may_mend_ends_a_run_before_its_grace(scenario: Scenario) -> None:
    played = play(scenario)
    assert played.reason.tolerance is not Tolerance.DEADLINE
    if played.reason.tolerance is Tolerance.GRACE:
        assert played.world.clock.elapsed >= scenario.policy.grace.total_seconds()


# --- killed and started anew --------------------------------------------------------------------------------------


@thoroughly
@given(scenarios(), st.frozensets(st.integers(1, 12), min_size=1))
@example(INCIDENT, frozenset(range(1, 100)))
@example(BOOTSTRAP_FAILS_SINCE_SERVERS_CRASH, frozenset({1, 2, 3}))
def test_killed_after_any_acts_and_started_anew_it_comes_to_the_same_end_with_its_attempts_counted(
    scenario: Scenario, killed_after: frozenset[int]
) -> None:
    killed = play(scenario, killed_after)
    assert killed.reason is play(scenario).reason
    for owned in (killed.world.migrations, killed.world.downstream):
        assert owned.written == sorted(set(owned.written))  # no attempt is made twice
        assert len(owned.written) <= scenario.attempts
    assert_is_harmless(killed)


@thoroughly
@given(disturbed(), st.frozensets(st.integers(1, 12), min_size=1))
def test_killed_after_any_acts_in_a_world_in_turmoil_it_is_as_harmless_and_as_truthful(
    scenario: Scenario, killed_after: frozenset[int]
) -> None:
    killed = play(scenario, killed_after)
    assert_is_harmless(killed)
    if killed.reason is Reason.PASSED:
        assert killed.world.lacks == []
