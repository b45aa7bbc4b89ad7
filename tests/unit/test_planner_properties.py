"""What holds of the gate in every world: the real loop and planner, run in simulated worlds with faults."""

import itertools
import os
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from simulation.clocks import RUN_STARTED, Clocks
from simulation.scenario import (
    COMPONENTS,
    INTERVAL_SECONDS,
    Fault,
    JobPlan,
    Owned,
    Scenario,
    SchemaState,
    Stuck,
)
from simulation.strategies import disturbed, scenarios, with_clocks_apart
from simulation.world import Play, play

from hook.decision.policy import OnEmptyDatabase, Reachability
from hook.decision.steps import Act, Migrate, Refresh, RestartPods, Resync
from hook.observation.reasons import Reason, Tolerance

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
"""How many to search, other ones at each run (`make search`)."""

# Else the same at each run, so that what fails can be looked at; Hypothesis also tries constants of the modules that it
# finds loaded, so that this file has a run of its own in `make test`. No deadline: the machine may be busy.
thoroughly = settings(derandomize=not EXAMPLES, max_examples=EXAMPLES or 300, deadline=None, print_blob=True)


def repairs(acts: Iterable[Act]) -> list[object]:
    """What was done, but for the comparisons that were asked for: their number depends on where a second ends."""
    return [
        tuple(pod.component for pod in act.pods) if isinstance(act, RestartPods) else (type(act), act.attempt)
        for act in acts
        if not isinstance(act, Refresh)
    ]


# --- the simulated world is worth asking --------------------------------------------------------------------------

FAILED = JobPlan("failed", seconds=1)
INCIDENT = Scenario(
    schema="empty", pods="crashing", migrations=Owned(jobs=(JobPlan("failed"),)), downstream=Owned(jobs=(FAILED,))
)
CRASHES_AT_ONCE = Scenario(pods="crashing", cause=Reason.CRASH_LOOPING, reachability=Reachability.ALWAYS)
BOOTSTRAP_FAILS_SINCE_SERVERS_CRASH = replace(CRASHES_AT_ONCE, downstream=Owned(jobs=(FAILED,)), attempts=1)
JOINS_BEFORE_IT_IS_SEEN_ALONE = Scenario(
    replaced=True,
    downstream=None,
    migrations=Owned(jobs=(JobPlan(), JobPlan("suspended", does="visibility"))),
    stuck=Stuck("frontend", is_surplus=False, ends=6),
    attempts=1,
)
"""Seen alone only when it has joined, a minute after its start."""
RESTARTS = [("worker", "matching", "frontend", "history")]
THE_LONE_ONE = ("worker",)


def failing(failures: int) -> Owned:
    return Owned(jobs=(JobPlan("failed", failures=failures),))


AS_SPECIFIED = Owned(
    jobs=(JobPlan("failed", plain=True),),
    options=("ServerSideApply=true", "Replace=false"),
    prune=True,
    automated="yes",
)


@pytest.mark.parametrize(
    ("scenario", "acts", "reason"),
    [
        (Scenario(), [], Reason.PASSED),
        (INCIDENT, [(Migrate, 1), *RESTARTS, (Resync, 1)], Reason.PASSED),
        (Scenario(replaced=True), [*RESTARTS, THE_LONE_ONE, (Resync, 1)], Reason.PASSED),
        (replace(INCIDENT, migrations=failing(9)),
         [(Migrate, 1), (Migrate, 2), (Migrate, 3)], Reason.MIGRATION_FAILED),
        (replace(INCIDENT, migrations=failing(1), sticks=True), [(Migrate, 1)], Reason.SCHEMA_STUCK),
        (replace(INCIDENT, tool="old"), [(Migrate, 1)], Reason.MIGRATION_LEFT_SCHEMA_BEHIND),
        (replace(INCIDENT, on_empty_database=OnEmptyDatabase.FAIL), [], Reason.DATABASE_EMPTY),
        (Scenario(pods="crashing", cause=Reason.CRASH_LOOPING), RESTARTS, Reason.PASSED_WITH_WARNING),
        (Scenario(outages=((0, 9000),)), [], Reason.DEADLINE_EXCEEDED),
        (Scenario(faults=(Fault("runtime", Reason.API_FORBIDDEN, 0, 9000),)), [], Reason.API_FORBIDDEN),
        (Scenario(downstream=Owned(sync="moved on")), [], Reason.PASSED),
        (Scenario(downstream=failing(9), reachability=Reachability.ALWAYS),
         [(Resync, 1), (Resync, 2), (Resync, 3)], Reason.DOWNSTREAM_FAILED),
        (Scenario(replaced=True, neighbour="selected too"), [], Reason.RUNTIME_INSTANCES_MIXED),
        (Scenario(replaced=True, neighbour="told apart"), [*RESTARTS, THE_LONE_ONE, (Resync, 1)], Reason.PASSED),
        (Scenario(replaced=True, stuck=Stuck("history", ends=200)),
         [*RESTARTS, THE_LONE_ONE, (Resync, 1)], Reason.PASSED_WITH_WARNING),
        (Scenario(downstream=Owned(jobs=(JobPlan("suspended"),)), reachability=Reachability.ALWAYS),
         [], Reason.DOWNSTREAM_FAILED),
        (Scenario(downstream=Owned(jobs=(JobPlan(), JobPlan("failed", plain=True)))), [(Resync, 1)], Reason.PASSED),
        (replace(INCIDENT, migrations=Owned(sync="ahead", automated="yes", jobs=(JobPlan("failed"),))),
         [*RESTARTS, (Resync, 1)], Reason.PASSED),
        (Scenario(schema="empty", replaced=True, replaced_while=("bootstrap", 0.5)),
         [(Migrate, 1), *RESTARTS, (Resync, 1), (Migrate, 2), *RESTARTS, (Resync, 2)], Reason.PASSED),
    ],
    ids=["healthy", "the incident", "replaced databases", "a migration that fails", "one that sticks", "an old tool",
         "an empty database refused", "another cause of crashes", "no database", "a verb refused",
         "bootstrap ahead, and not seen to be", "a bootstrap that fails", "two releases under one selector",
         "two releases told apart", "a pod stuck in starting", "a suspended bootstrap",
         "one of two Jobs of bootstrap failed", "a commit that Argo CD syncs by itself",
         "databases replaced while bootstrap runs"],
)  # fmt: skip
def test_the_simulated_world_takes_the_course_of_the_known_one(
    scenario: Scenario, acts: list[object], reason: Reason
) -> None:
    random.seed(0)  # of the pauses between turns
    played = play(scenario)
    assert (repairs(played.acts), played.reason) == (acts, reason), played.outcome
    assert_is_harmless(played)


@pytest.mark.parametrize(("schema", "restarted"), [("empty", len(COMPONENTS)), ("behind", 0)])
def test_servers_on_a_schema_that_is_behind_outlive_its_upgrade_and_those_on_one_that_is_gone_do_not(
    schema: SchemaState, restarted: int
) -> None:
    played = play(Scenario(schema=schema, replaced=schema == "empty"))
    assert len(played.world.servers.deleted) == restarted
    assert played.reason is Reason.PASSED


# --- what the gate never does, whatever happens --------------------------------------------------------------------

ONE_TURN = timedelta(seconds=1)
"""More than a turn's looks and acts take there, the last of which may begin just before the deadline."""


def assert_is_harmless(played: Play) -> None:
    """It restarts nothing too early, nor what serves, nor of another release; replaces no Job that runs or succeeded; and
    so on: what the world has noted (`violations`)."""
    assert played.world.violations == []
    assert not any(work.doubled for work in played.world.migration_works)


def assert_ends_in_time(played: Play) -> None:
    world = played.world
    assert world.clock.now < max(world.limit(), RUN_STARTED) + ONE_TURN
    if played.reason is Reason.DEADLINE_EXCEEDED:
        assert world.clock.now >= world.limit() - timedelta(seconds=INTERVAL_SECONDS)
        assert played.outcome.missing


def assert_is_bounded(played: Play) -> None:
    """Where another's operation follows ours between two looks, nothing in the world tells of ours any more.

    The process that wrote ours remembers it; one that is started anew after that begins to count anew. A pod is restarted
    once: if it is older than the process, or than the schemas' becoming right. A server that stands alone is restarted once
    more after each of these.
    """
    world = played.world
    for owned in (world.migrations, world.downstream):
        attempts, anew = world.scenario.attempts, owned.foreign if world.starts > 1 else 0
        assert len(owned.written) <= attempts * (1 + anew) + owned.foreign
        assert sum(later < before for before, later in itertools.pairwise(owned.written)) <= anew
    rounds = world.starts + world.databases.times_right
    stuck = world.scenario.stuck
    for component, times in Counter(world.servers.deleted).items():
        pods = 1 + (stuck is not None and stuck.component == component)
        assert times <= (pods + 1) * rounds


def assert_has_waited(played: Play) -> None:
    """Nothing that waiting may mend ends a run before its grace."""
    assert played.reason.tolerance is not Tolerance.DEADLINE
    if played.reason.tolerance is Tolerance.GRACE:
        assert played.world.clock.elapsed >= played.world.scenario.policy.grace.total_seconds()


def assert_is_truthful(played: Play) -> None:
    """A pass means that everything policy asks for holds in truth; with a warning that may lack, but not under `always`."""
    holds = played.world.scenario.reachability is Reachability.ALWAYS
    if played.reason is Reason.PASSED or (played.reason is Reason.PASSED_WITH_WARNING and holds):
        assert played.world.lacks == []
    if played.reason is Reason.PASSED_WITH_WARNING:
        assert "the schemas are right" not in played.world.lacks


@thoroughly
@given(disturbed())
@example(Scenario(replaced=True))
@example(Scenario(pods="crashing", cause=Reason.CRASH_LOOPING))
@example(INCIDENT)
@example(CRASHES_AT_ONCE)
@example(replace(CRASHES_AT_ONCE, clocks=Clocks(nodes=-1, gate=1)))
@example(Scenario(replaced=True, downstream=Owned(jobs=(JobPlan(plain=True, sidecar="plain"),))))
@example(Scenario(downstream=Owned(jobs=(JobPlan("failed", plain=True), JobPlan("running", plain=True, seconds=20)))))
@example(Scenario(downstream=Owned(jobs=(JobPlan("failed", plain=True), JobPlan(plain=True)))))
@example(Scenario(migrations=Owned(jobs=(JobPlan("failed", plain=True), JobPlan(plain=True, does="other")))))
@example(replace(INCIDENT, migrations=AS_SPECIFIED, downstream=replace(AS_SPECIFIED, jobs=(FAILED,))))
@example(Scenario(replaced=True, neighbour="selected too"))
@example(Scenario(replaced=True, neighbour="told apart", stuck=Stuck("history", "an init container in back-off")))
@example(Scenario(downstream=Owned(sync="ahead", jobs=(FAILED,))))
@example(Scenario(replacements=(20,)))
@example(Scenario(outages=((0, 9000),)))
@example(Scenario(downstream=failing(9), reachability=Reachability.ALWAYS))
@example(JOINS_BEFORE_IT_IS_SEEN_ALONE)
def test_in_a_world_in_turmoil_it_is_harmless_bounded_truthful_and_patient_and_ends_in_time(scenario: Scenario) -> None:
    played = play(scenario)
    assert_is_harmless(played)
    assert_ends_in_time(played)
    assert_is_bounded(played)
    assert_is_truthful(played)
    assert_has_waited(played)


@thoroughly
@given(with_clocks_apart())
@example(Scenario(clocks=Clocks(nodes=-120), replaced=True))
@example(replace(CRASHES_AT_ONCE, clocks=Clocks(nodes=-300)))
@example(Scenario(schema="empty", pods="crashing", clocks=Clocks(database=300)))
def test_whatever_the_clocks_it_is_bounded_and_ends_in_time(scenario: Scenario) -> None:
    played = play(scenario)
    assert_ends_in_time(played)
    assert_is_bounded(played)


# --- what it does in the end --------------------------------------------------------------------------------------


def can_heal(scenario: Scenario) -> Scenario:
    """The same world, but nothing in it needs a person, or more time than `auto` has patience for."""

    after = scenario.downstream
    owners = (scenario.migrations, after) if after else (scenario.migrations,)
    attempts = max(scenario.attempts, *(len(owned.jobs) for owned in owners), 1)  # one Job after the other, at worst

    def heals(owned: Owned) -> Owned:
        def mended(plan: JobPlan) -> JobPlan:
            """An operation waits for ever for a hook that is suspended, or not there (argo-cd 21055)."""
            waits = plan.state == "suspended" or (plan.state == "absent" and not plan.plain and owned.sync != "never")
            return replace(
                plan,
                state="complete" if waits else plan.state,
                sidecar="none" if plan.sidecar == "none" else "native",
                failures=min(plan.failures, attempts // len(owned.jobs) - 1),
                starts=0.3,
                vanishes=plan.vanishes if plan.plain else None,
            )

        return replace(owned, jobs=tuple(map(mended, owned.jobs)))

    healed = replace(heals(after), window_opens=0) if after else None
    has_run = healed is not None and healed.sync != "never" and any(plan.state == "complete" for plan in healed.jobs)
    return replace(
        scenario,
        # What has run did so on a database that held a schema.
        replaced=scenario.replaced or (scenario.schema == "empty" and has_run),
        tool="right",
        sticks=False,
        cause=None,
        on_empty_database=OnEmptyDatabase.MIGRATE,
        attempts=attempts,
        migrations=heals(scenario.migrations),
        downstream=healed,
        stuck=None,
        # Which of a hook and a plain Job makes the schema, only the Jobs themselves tell.
        faults=() if len({plan.plain for plan in scenario.migrations.jobs}) > 1 else scenario.faults,
        neighbour="none" if scenario.neighbour == "selected too" else scenario.neighbour,
    )


@thoroughly
@given(scenarios().map(can_heal))
def test_what_can_be_healed_is_healed(scenario: Scenario) -> None:
    never_comes = scenario.reachability is Reachability.ALWAYS and scenario.pods == "none"
    played = play(scenario)
    expected = {Reason.DEADLINE_EXCEEDED if never_comes else Reason.PASSED}
    after = scenario.downstream
    was_done = after and after.automated == "no" and all(p.state == "complete" and not p.failures for p in after.jobs)
    serves = scenario.runtime == "ahead" and scenario.pods == "running"
    if scenario.runtime in {"ahead", "missing"} and after and not (was_done and serves):
        expected.add(Reason.PASSED_WITH_WARNING)  # a bootstrap that failed may be mended by the runtime's step
    assert played.reason in expected, played.outcome
    assert_is_harmless(played)


def with_one_end(scenario: Scenario) -> Scenario:
    """Which of two faults that last is named depends on the moment; so does whether a Job resumes within the grace."""

    def settled(owned: Owned) -> Owned:
        return replace(owned, jobs=tuple(replace(plan, resumes=None) for plan in owned.jobs))

    after = settled(scenario.downstream) if scenario.downstream else None
    stuck = None if scenario.cause else scenario.stuck
    return replace(scenario, migrations=settled(scenario.migrations), downstream=after, stuck=stuck)


# --- killed and started anew --------------------------------------------------------------------------------------


@thoroughly
@given(scenarios().map(with_one_end), st.frozensets(st.integers(1, 12), min_size=1))
@example(INCIDENT, frozenset(range(1, 100)))
@example(Scenario(replacements=(0,), outages=((0, 2),)), frozenset({2}))
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
def test_killed_after_any_acts_in_a_world_in_turmoil_it_is_as_harmless_bounded_and_truthful(
    scenario: Scenario, killed_after: frozenset[int]
) -> None:
    killed = play(scenario, killed_after)
    assert_is_harmless(killed)
    assert_ends_in_time(killed)
    assert_is_bounded(killed)
    assert_is_truthful(killed)
