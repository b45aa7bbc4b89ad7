"""The worlds that are drawn."""

from dataclasses import replace
from typing import Literal, get_args

from hypothesis import strategies as st

from hook.decision.policy import OnEmptyDatabase, Reachability
from hook.observation.reasons import Reason
from simulation.clocks import Clocks
from simulation.scenario import (
    COMPONENTS,
    PLACES,
    Automated,
    Fault,
    JobPlan,
    JobState,
    Neighbour,
    Owned,
    PodsState,
    RuntimeState,
    Scenario,
    SchemaState,
    Sidecar,
    Stuck,
    StuckIn,
    SyncState,
)

SECONDS = st.floats(0, 120)
INTERVALS = st.tuples(SECONDS, st.floats(0, 60)).map(lambda drawn: (drawn[0], sum(drawn)))
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
    if (place not in {"application", "downstream"} or reason is not Reason.APPLICATION_MISSING)
    and (place != "jobs" or reason in {Reason.API_UNREACHABLE, Reason.API_FORBIDDEN})
]
"""What may hide each place. That Argo CD has no such runtime or bootstrap is no fault: their step is ahead."""

UNREADABLE_JOBS = Fault("jobs", Reason.API_FORBIDDEN, 0, 9000)

OPTIONS = st.lists(
    st.sampled_from(("CreateNamespace=true", "ServerSideApply=true", "Replace=false", "PruneLast=true")),
    max_size=2,
    unique=True,
).map(tuple)


def jobs(*states: JobState, seconds: st.SearchStrategy[float]) -> st.SearchStrategy[JobPlan]:
    """A Job that is in one of these states at first."""
    sidecars: tuple[Sidecar, ...] = ("none", "none", "none", *get_args(Sidecar))
    return st.builds(
        JobPlan,
        state=st.sampled_from(states),
        plain=st.booleans(),
        starts=st.one_of(st.just(0.3), st.floats(0.1, 12)),
        seconds=seconds,
        failures=st.integers(0, 4),
        sidecar=st.sampled_from(sidecars),
        resumes=st.one_of(st.none(), SECONDS),
        vanishes=st.one_of(st.none(), st.none(), SECONDS),
        pods_are_gone=st.sampled_from((False, False, True)),
    )


@st.composite
def owned(draw: st.DrawFn, plans: tuple[JobPlan, ...], *syncs: SyncState) -> Owned:
    """An Application with these Jobs; none of them is there where it was never synced."""
    sync = draw(st.sampled_from(syncs))
    if sync == "never":
        plans = tuple(replace(plan, state="absent") for plan in plans)
    automated: Automated = draw(st.sampled_from(("no", "no", "yes", "self-heal")))
    return Owned(
        sync=sync,
        jobs=plans,
        lag=draw(st.floats(0.2, 3)),
        window_opens=draw(st.one_of(st.just(0.0), SECONDS)),
        automated=automated,
        options=draw(OPTIONS),
        prune=draw(st.booleans()),
    )


@st.composite
def migrations(draw: st.DrawFn) -> Owned:
    """One Job for both stores, or one for each; and perhaps another beside them."""
    makers = jobs("complete", "failed", "running", "suspended", seconds=st.floats(1, 30))
    plans: tuple[JobPlan, ...] = (draw(makers),)
    if draw(st.sampled_from((False, False, True))):
        plans = (
            replace(plans[0], does="default"),
            replace(draw(makers), does="visibility", plain=plans[0].plain),
        )
    if draw(st.sampled_from((False, False, True))):
        plans = (*plans, replace(draw(jobs(*get_args(JobState), seconds=st.floats(1, 30))), does="other"))
    return draw(owned(plans, "synced", "synced", "synced", "never", "ahead"))


@st.composite
def downstream(draw: st.DrawFn) -> Owned:
    """A Job that registers namespaces, or two."""
    plans = draw(st.lists(jobs(*get_args(JobState), seconds=st.floats(1, 10)), min_size=1, max_size=2).map(tuple))
    return draw(owned(plans, "synced", "synced", "synced", "ahead", "moved on", "never", "missing"))


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Worlds that nothing happens to but what the gate does: whatever their beginning and their standing faults."""
    schema: SchemaState = draw(st.sampled_from(get_args(SchemaState)))
    runtime: RuntimeState = draw(st.sampled_from(("reached", *get_args(RuntimeState))))
    pods: PodsState = draw(
        st.sampled_from(get_args(PodsState) if runtime in {"ahead", "missing"} else ("running", "crashing"))
    )
    after = draw(st.one_of(st.none(), downstream(), downstream()))
    was_up = pods == "running" or (
        after is not None and after.sync != "never" and any(_has_run(one) for one in after.jobs)
    )
    neighbours: tuple[Neighbour, ...] = ("none", "none", "none", "told apart", "told apart", "selected too")
    return Scenario(
        schema=schema,
        pods=pods,
        # what was up once was up on a database that held a schema
        replaced=(schema == "empty" and was_up) or draw(st.booleans()),
        runtime=runtime,
        migrations=draw(migrations()),
        downstream=after,
        tool=draw(st.sampled_from(("right", "right", "right", "old"))),
        sticks=draw(st.sampled_from((False, False, True))),
        cause=draw(st.sampled_from((None, None, *CAUSES))),
        faults=draw(st.sampled_from(((), (), (UNREADABLE_JOBS,)))),
        reachability=draw(st.sampled_from(Reachability)),
        on_empty_database=draw(st.sampled_from((*(OnEmptyDatabase.MIGRATE,) * 3, OnEmptyDatabase.FAIL))),
        attempts=draw(st.integers(1, 3)),
        clocks=draw(clocks(1)),
        stuck=draw(st.one_of(st.none(), st.none(), stuck())),
        # Where nothing of ours is there, nobody can tell from instances that what a selector finds is another's.
        neighbour=draw(st.sampled_from(neighbours if pods != "none" else neighbours[:-1])),
    )


def _has_run(plan: JobPlan) -> bool:
    return plan.state in {"complete", "absent"}


def clocks(apart: float) -> st.SearchStrategy[Clocks]:
    """Clocks that are so many seconds ahead or behind at the most."""
    ahead = st.floats(-apart, apart)
    return st.one_of(st.just(Clocks()), st.builds(Clocks, ahead, ahead, ahead, ahead, ahead))


def stuck() -> st.SearchStrategy[Stuck]:
    """A pod that is stuck in starting."""
    return st.builds(
        Stuck,
        component=st.sampled_from(COMPONENTS),
        how=st.sampled_from(get_args(StuckIn)),
        is_surplus=st.booleans(),
        ends=st.one_of(st.none(), SECONDS),
    )


@st.composite
def disturbed(draw: st.DrawFn) -> Scenario:
    """The same worlds, with others at work in them and blows falling while the gate runs."""
    scenario = draw(scenarios())
    faults = draw(st.lists(st.tuples(st.sampled_from(UNSEEN), INTERVALS), max_size=4))
    moments = st.lists(SECONDS, max_size=3).map(tuple)
    after = scenario.downstream
    if after is not None:
        after = replace(after, foreign=draw(moments), lost=draw(st.integers(0, 1)), commits=draw(moments))
    of_schemas = replace(
        scenario.migrations,
        foreign=draw(moments),
        commits=draw(moments),
        retries=draw(st.integers(0, 1)),
        follows=draw(st.integers(0, 2)),
        lost=draw(st.integers(0, 2)),
    )
    owner: Literal["migrations", "bootstrap"] = draw(st.sampled_from(("migrations", "bootstrap", "bootstrap")))
    return replace(
        scenario,
        migrations=of_schemas,
        downstream=after,
        faults=(*scenario.faults, *(Fault(*unseen, *interval) for unseen, interval in faults)),
        replacements=draw(st.one_of(st.just(()), st.tuples(SECONDS))),
        replaced_while=draw(st.one_of(st.none(), st.none(), st.tuples(st.just(owner), st.floats(0, 12)))),
        outages=tuple(draw(st.lists(INTERVALS, max_size=2))),
        cause_ends=draw(st.one_of(st.none(), SECONDS)),
    )


@st.composite
def with_clocks_apart(draw: st.DrawFn) -> Scenario:
    """The same, where no two actors have the same time."""
    return replace(draw(disturbed()), clocks=draw(clocks(300)))
