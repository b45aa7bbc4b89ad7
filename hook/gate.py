"""The loop: observe, plan, act, report, until the plan is to pass or to fail.

It knows no client library and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar, assert_never

from tenacity import RetryCallState, Retrying, retry_if_result, wait_random

from hook.decision import migrations, planner
from hook.decision.steps import (
    Act,
    Fail,
    Migrate,
    Outcome,
    Pass,
    Refresh,
    RestartPods,
    Resync,
    Step,
    Wait,
    missing,
    outcome_of,
)
from hook.observation import applications
from hook.observation.applications import Application
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import Migration
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Job, JobRef, JobsSeen, Member, Pod, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hook.decision.policy import Policy
    from hook.observation.applications import ApplicationRef
    from hook.observation.versions import Schema, SchemaVersion

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.05
"""As long as a turn takes; a shorter pause would only ask more often."""

_PAUSE_GROWTH = 1.25
"""What happens is seen at most a quarter later than it took; doubling cost a repair a sixth of its time (measured)."""


@dataclass(frozen=True)
class World:
    """What the gate can see and do, each by a function of some adapter; None where it is not configured.

    All raise `FindingError`, but for `jobs`, which returns what could not be seen as `Unknown`. Acts return False when
    somebody was faster, so that the world has to be looked at again.
    """

    run: Callable[[], Run]
    migration: Callable[[], Migration]
    migrate: Callable[[Migrate], bool]
    stores: Mapping[Store, Callable[[], Schema]]
    application: Callable[[], Application] | None = None
    runtime: Callable[[], Runtime] | None = None
    frontend: Callable[[], Frontend] | None = None
    downstream: Mapping[ApplicationRef, Callable[[], Application]] = field(default_factory=dict)
    gate: Callable[[], Application] | None = None
    guarded: Callable[[], Application] | None = None
    jobs: Callable[[Application], JobsSeen] = lambda _: {}
    members: Callable[[], tuple[Member, ...]] = tuple
    cluster_time: Callable[[], datetime | None] = lambda: None
    gate_ref: ApplicationRef | None = None
    delete_pod: Callable[[Pod], bool] = lambda _: False
    sync: Callable[[Application, int, tuple[JobRef, ...]], bool] = lambda *_: False
    refresh: Callable[[Application], bool] = lambda _: False


class Reporter(Protocol):
    """Who hears what the gate does."""

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:
        """Hear what was seen and decided in a turn."""

    def acted(self, act: Act, *, done: bool) -> None:
        """Hear that an act was carried out, or that somebody was faster."""

    def ended(self, outcome: Outcome) -> None:
        """Hear how the run ended."""


class StopRequested(BaseException):
    """The run is to stop, as a signal asked.

    Raised between two steps, or into a remote call that hangs; no library catches it.
    """


@dataclass(frozen=True)
class Timing:
    """The gate's time: injected, so that no test has to let it pass."""

    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    interval: timedelta
    limit: timedelta
    """From the run's start to its deadline."""
    longest: timedelta = timedelta(0)
    """From the run's start to the deadline of one in which a migration verifiably works, where that is longer."""


def observe(
    world: World, now: datetime, refused: tuple[Finding, ...] = (), insist: Callable[[], None] = lambda: None
) -> Observation:
    """Look at everything once. What cannot be seen is seen as `Unknown`.

    ``insist`` is called before each single look, and may raise. The migration comes before the stores: one that ends
    between the two reads would look finished with a broken schema.
    """

    def seen(read: Callable[[], T]) -> T | Unknown:
        insist()
        return seen_or_unknown(read)

    migration = seen(world.migration)
    looked_at = Observation(
        now=now,
        run=seen(world.run),
        migration=migration,
        stores={store: seen(read) for store, read in world.stores.items()},
        application=seen(world.application) if world.application else None,
        runtime=seen(world.runtime) if world.runtime else None,
        frontend=seen(world.frontend) if world.frontend else None,
        downstream={ref: seen(read) for ref, read in world.downstream.items()},
        gate=seen(world.gate) if world.gate else None,
        guarded=seen(world.guarded) if world.guarded else None,
        gate_ref=world.gate_ref,
        refused=refused,
    )
    jobs: dict[JobRef, Job | Unknown | None] = {}
    for application in (looked_at.application, *looked_at.downstream.values()):
        if isinstance(application, Application) and not applications.is_ahead(application):
            insist()
            jobs |= world.jobs(application)
    return replace(looked_at, jobs=jobs, cluster_now=world.cluster_time())


class Gate:
    """One run."""

    def __init__(
        self,
        world: World,
        policy: Policy,
        timing: Timing,
        reporter: Reporter,
        stopped_by: Callable[[], Reason | None],
    ) -> None:
        """Prepare a run; nothing is looked at yet. ``stopped_by`` is asked before each look and before acting."""
        self._world = world
        self._policy = policy
        self._started_at = timing.clock()
        self._timing = timing
        self._reporter = reporter
        self._stopped_by = stopped_by
        self._refused: tuple[Finding, ...] = ()
        self._since: dict[tuple[Reason, str], datetime] = {}
        self._first_seen: dict[tuple[str, datetime], datetime] = {}
        self._last_seen: Observation | None = None
        self._last_step: Step | None = None
        self._turns_alike = 0
        self._at_work_at: datetime | None = None
        self._schemas = _Schemas()
        self._restarted: RestartPods | None = None
        self._guarded_at_first: tuple[str, ...] = ()

    def run(self) -> Outcome:
        """Turn until the plan is to pass or to fail, the deadline comes, or the run is stopped."""
        turns = Retrying(
            retry=retry_if_result(lambda step: not isinstance(step, (Pass, Fail))),
            wait=self._pause,
            stop=self._is_out_of_time,
            sleep=self._timing.sleep,
            retry_error_callback=lambda _: None,
        )
        try:
            turns(self._turn)
        except StopRequested:
            lacking = missing(self._last_step)
            detail = "; ".join(map(str, lacking)) or "nothing was under way"
            outcome = Outcome(Finding(self._stopped_by() or Reason.STOPPED, "still missing", detail), missing=lacking)
        else:
            seen = self._last_seen
            also = (*self._refused, *(planner.unseen(seen, self._policy) if seen else ()))
            outcome = outcome_of(self._last_word(), also)
        self._reporter.ended(outcome)
        return outcome

    def _turn(self) -> Step:
        observation = self._observe()
        step = planner.next_step(observation, self._policy)
        is_alike = _gist(step) == _gist(self._last_step) and _versions(observation) == _versions(self._last_seen)
        self._turns_alike = self._turns_alike + 1 if is_alike else 0
        self._last_seen, self._last_step = observation, step
        self._since = {finding.key: observation.now for finding in _waited_for(step)} | self._since
        if migrations.is_at_work(observation):
            self._at_work_at = observation.now
        self._reporter.observed(observation, self._policy, step)
        if isinstance(step, Act):
            self._insist_on_going()
            self._act(step)
        return step

    def _last_word(self) -> Step | None:
        """Return what the last turn comes to: when there is no time left, waiting for it may have been the last thing."""
        if self._last_seen is None or isinstance(self._last_step, (Pass, Fail)):
            return self._last_step
        return planner.step_at_deadline(self._last_seen, self._policy)

    def _observe(self) -> Observation:
        """Look, and note since when each finding is there: those that are gone are forgotten."""
        observation = observe(self._world, self._timing.clock(), self._refused, self._insist_on_going)
        self._refused = ()
        if isinstance(observation.run, Run):
            self._started_at = observation.run.started_at
        present = (*_findings(observation), *_waited_for(self._last_step))
        self._since = {finding.key: self._since.get(finding.key, observation.now) for finding in present}
        self._schemas.note(observation, self._policy)
        running = ((pod.uid, pod.started_at) for pod in observation.pods if pod.started_at is not None)
        self._first_seen = {start: self._first_seen.get(start, observation.now) for start in running}
        if isinstance(observation.guarded, Application):
            self._guarded_at_first = self._guarded_at_first or observation.guarded.revisions
        return replace(
            observation,
            guarded_at_first=self._guarded_at_first,
            since=self._since,
            first_seen=self._first_seen,
            members=self._members(),
            restarts_before=self._schemas.restarts_before,
            right_after=self._schemas.right_after,
            absent_at=self._schemas.absent_at,
        )

    def _members(self) -> tuple[Member, ...]:
        """Return the servers by their rows, from a restart on and until one that stood alone was restarted.

        Not seeing them is nothing: a server that stands alone ends it by itself within a minute.
        """
        if self._restarted is None or self._restarted.stood_alone:
            return ()
        members = seen_or_unknown(self._world.members)
        return () if isinstance(members, Unknown) else members

    def _act(self, act: Act) -> None:
        try:
            done = carry_out(self._world, act)
        except FindingError as error:
            self._refused = (error.finding,)
        else:
            self._reporter.acted(act, done=done)
            if isinstance(act, RestartPods):
                self._restarted = act

    def _insist_on_going(self) -> None:
        if self._stopped_by() is not None:
            raise StopRequested

    def _pause(self, state: RetryCallState) -> float:
        """Look again soon after something changed, and ever more seldom, up to the interval, while nothing does.

        What an act brings (a migration, a pod) is often there within a second; the interval alone would be most of a repair.
        """
        interval = self._timing.interval.total_seconds()
        pause = min(interval, _FIRST_PAUSE_SECONDS * _PAUSE_GROWTH ** min(self._turns_alike, 100))
        return wait_random(pause * 0.8, pause)(state)

    def _is_out_of_time(self, state: RetryCallState) -> bool:
        """Stop on the injected clock, and before a sleep that would end too late (tenacity's own clock is the real one).

        The time in which a migration verifiably works does not count, up to a limit of its own.
        """
        upcoming, limit = timedelta(seconds=state.upcoming_sleep or 0), self._timing.limit
        counts_from = max(self._started_at, self._at_work_at or self._started_at)
        ends_at = min(counts_from + limit, self._started_at + max(limit, self._timing.longest))
        return self._timing.clock() + upcoming >= ends_at


class _Schemas:
    """What a process remembers of the schemas: when it saw them become right, or another database take their place."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self.restarts_before: datetime | None = None
        self.right_after: int | None = None
        self.absent_at: datetime | None = None
        self._is_due = True
        self._was_wrong = False
        self._born: datetime | None = None

    def note(self, observation: Observation, policy: Policy) -> None:
        """Take up what a turn saw; a store that cannot be seen tells nothing, but for one that is not there.

        A moment for restarts is taken from the API server's clock alone, once it has answered.
        """
        self._take_up_schemas(observation, policy)
        if observation.cluster_now is not None and _is_absent(observation.stores.get(Store.DEFAULT)):
            self.absent_at = observation.cluster_now
        if self._is_due and observation.cluster_now is not None:
            self.restarts_before, self._is_due = observation.cluster_now, False

    def _take_up_schemas(self, observation: Observation, policy: Policy) -> None:
        schemas = observation.stores.values()
        if any(isinstance(one, Unknown) and one.finding.reason is not Reason.DATABASE_MISSING for one in schemas):
            return
        if not migrations.are_right(observation, policy):
            self._was_wrong = True
            return
        born = next((one.born for one in observation.schemas if one.store is Store.DEFAULT), None)
        if self._was_wrong or (self._born is not None and born != self._born):
            self._is_due = True
        self._was_wrong, self._born = False, born
        if isinstance(observation.migration, Migration):
            self.right_after = observation.migration.attempts


def _is_absent(store: Schema | Unknown | None) -> bool:
    """Tell whether a store has no schema; one that cannot be seen may have one."""
    if isinstance(store, Unknown):
        return store.finding.reason is Reason.DATABASE_MISSING
    return store is not None and store.version is None


def _waited_for(step: Step | None) -> tuple[Finding, ...]:
    return step.findings if isinstance(step, Wait) else ()


def _gist(step: Step | None) -> object:
    """Return what makes a step the same as the one before: what it is about, not what was seen of it."""
    match step:
        case Wait(findings):
            return frozenset(finding.key for finding in findings)
        case Migrate(_, attempt, _, _):
            return (Migrate, attempt)
        case RestartPods(pods, _):
            return frozenset(pod.uid for pod in pods)
        case Resync(application, attempt, _, _):
            return (application.ref, attempt)
        case Refresh(application, _):
            return application.ref
    return None


def _versions(observation: Observation | None) -> dict[Store, SchemaVersion | None]:
    """Return the stores' versions: a migration that gets on is looked at again soon."""
    return {schema.store: schema.version for schema in observation.schemas} if observation else {}


def carry_out(world: World, act: Act) -> bool:
    """Carry out an act; return False when somebody was faster. Raises `FindingError`."""
    match act:
        case Migrate():
            return world.migrate(act)
        case RestartPods(pods, _):
            deleted = [world.delete_pod(pod) for pod in pods]
            return all(deleted)
        case Resync(application, attempt, _, jobs):
            return world.sync(application, attempt, jobs)
        case Refresh(application, _):
            return world.refresh(application)
    assert_never(act)


def seen_or_unknown(read: Callable[[], T]) -> T | Unknown:
    """Return what a look saw; what it could not see as `Unknown`."""
    try:
        return read()
    except FindingError as error:
        return Unknown(error.finding)


def _findings(observation: Observation) -> Iterator[Finding]:
    """Yield every finding of an observation whose age may matter."""
    values = (
        observation.run,
        observation.migration,
        *observation.stores.values(),
        observation.application,
        observation.runtime,
        observation.frontend,
        observation.gate,
        observation.guarded,
        *observation.downstream.values(),
    )
    yield from (value.finding for value in values if isinstance(value, Unknown))
    yield from observation.refused
    migration = observation.migration
    application = migration.application if isinstance(migration, Migration) else None
    if application is not None and (pending := applications.pending_sync(application)) is not None:
        yield pending
    if isinstance(observation.frontend, Frontend):
        yield from filter(None, (observation.frontend.trouble, observation.frontend.unproved))
    if isinstance(observation.runtime, Runtime):
        yield from (pod.finding for pod in observation.runtime.pods if pod.finding)
