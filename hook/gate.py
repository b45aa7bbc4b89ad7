"""The loop: observe, plan, act, report, until the plan is to pass or to fail.

It knows no client library and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar, assert_never

from tenacity import RetryCallState, Retrying, retry_if_result, wait_random

from hook.decision import planner
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
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.workloads import Pod, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hook.decision.policy import Policy
    from hook.observation.applications import Application, ApplicationRef, JobRef
    from hook.observation.versions import Schema, Store

T = TypeVar("T")

_FIRST_PAUSE_SECONDS = 0.05
"""As long as a turn takes; a shorter pause would only ask more often."""

_PAUSE_GROWTH = 1.25
"""What happens is seen at most a quarter later than it took; doubling cost a repair a sixth of its time (measured)."""


@dataclass(frozen=True)
class World:
    """What the gate can see and do, each by a function of some adapter; None where it is not configured.

    All raise `FindingError`. Acts return False when somebody was faster, so that the world has to be looked at again.
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
    migration_pods: Callable[[tuple[JobRef, ...]], tuple[Pod, ...]] | None = None
    delete_pod: Callable[[Pod], bool] = lambda _: False
    sync: Callable[[Application, int], bool] = lambda *_: False
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


def observe(
    world: World, now: datetime, refused: tuple[Finding, ...] = (), insist: Callable[[], None] = lambda: None
) -> Observation:
    """Look at everything once. What cannot be seen is seen as `Unknown`.

    ``insist`` is called before each single look, and may raise. The migration comes before the stores: one that ends
    between the two reads would look finished with a broken schema.
    """

    def seen(read: Callable[[], T]) -> T | Unknown:
        insist()
        return _seen(read)

    migration = seen(world.migration)
    return Observation(
        now=now,
        run=seen(world.run),
        migration=migration,
        stores={store: seen(read) for store, read in world.stores.items()},
        application=seen(world.application) if world.application else None,
        runtime=seen(world.runtime) if world.runtime else None,
        frontend=seen(world.frontend) if world.frontend else None,
        downstream={ref: seen(read) for ref, read in world.downstream.items()},
        gate=seen(world.gate) if world.gate else None,
        migration_pods=_migration_pods(world, migration),
        refused=refused,
    )


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
        self._last_seen: Observation | None = None
        self._last_step: Step | None = None
        self._turns_alike = 0

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
        self._turns_alike = self._turns_alike + 1 if _gist(step) == _gist(self._last_step) else 0
        self._last_seen, self._last_step = observation, step
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
        self._since = {finding.key: self._since.get(finding.key, observation.now) for finding in _findings(observation)}
        return Observation(**{**vars(observation), "since": self._since})

    def _act(self, act: Act) -> None:
        try:
            done = carry_out(self._world, act)
        except FindingError as error:
            self._refused = (error.finding,)
        else:
            self._reporter.acted(act, done=done)

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
        """Stop on the injected clock, and before a sleep that would end too late (tenacity's own clock is the real one)."""
        upcoming = timedelta(seconds=state.upcoming_sleep or 0)
        return self._timing.clock() + upcoming >= self._started_at + self._timing.limit


def _gist(step: Step | None) -> object:
    """Return what makes a step the same as the one before: what it is about, not what was seen of it."""
    match step:
        case Wait(findings):
            return frozenset(finding.key for finding in findings)
        case Migrate(_, attempt, _):
            return (Migrate, attempt)
        case RestartPods(_, pods, _):
            return frozenset(pod.uid for pod in pods)
        case Resync(application, attempt, _):
            return (application.ref, attempt)
        case Refresh(application, _):
            return application.ref
    return None


def carry_out(world: World, act: Act) -> bool:
    """Carry out an act; return False when somebody was faster. Raises `FindingError`."""
    match act:
        case Migrate():
            return world.migrate(act)
        case RestartPods(_, pods, _):
            deleted = [world.delete_pod(pod) for pod in pods]
            return all(deleted)
        case Resync(application, attempt, _):
            return world.sync(application, attempt)
        case Refresh(application, _):
            return world.refresh(application)
    assert_never(act)


def _seen(read: Callable[[], T]) -> T | Unknown:
    try:
        return read()
    except FindingError as error:
        return Unknown(error.finding)


def _migration_pods(world: World, migration: Migration | Unknown) -> tuple[Pod, ...]:
    """Return the pods of the migration's Jobs while it runs, and where Argo CD's word does not tell whether it does.

    Not seeing them is nothing: they explain, and hold back only what is doubtful.
    """
    if world.migration_pods is None or not isinstance(migration, Migration) or not migration.jobs:
        return ()
    application = migration.application
    doubtful = application is not None and bool(application.jobs) and application.health != "Healthy"
    if migration.phase is not MigrationPhase.RUNNING and not doubtful:
        return ()
    pods = _seen(lambda: world.migration_pods(migration.jobs) if world.migration_pods else ())
    return () if isinstance(pods, Unknown) else pods


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
        *observation.downstream.values(),
    )
    yield from (value.finding for value in values if isinstance(value, Unknown))
    yield from observation.refused
    migration = observation.migration
    application = migration.application if isinstance(migration, Migration) else None
    if application is not None and (pending := applications.pending_sync(application)) is not None:
        yield pending
    if isinstance(observation.runtime, Runtime):
        yield from (pod.finding for pod in observation.runtime.pods if pod.finding)
