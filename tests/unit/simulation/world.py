"""The whole: what the gate sees of it, and how a run in it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TypeVar

from hook.decision.policy import Policy, Reachability
from hook.decision.steps import Act, Migrate, Outcome, Step
from hook.gate import Gate, Timing, World
from hook.observation import migrations
from hook.observation.applications import Application, Operation, OperationPhase
from hook.observation.findings import Finding, FindingError
from hook.observation.migrations import Migration
from hook.observation.observation import Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Pod
from simulation.argocd import OwnedApplication
from simulation.clocks import RUN_STARTED, Clock, before
from simulation.postgres import Databases
from simulation.scenario import (
    ACT_SECONDS,
    BOOTSTRAP,
    INTERVAL_SECONDS,
    LIMIT_SECONDS,
    LOOK_SECONDS,
    MIGRATIONS,
    RUNTIME,
    Owned,
    Scenario,
)
from simulation.servers import Servers
from simulation.work import BootstrapWork, MigrationWork

T = TypeVar("T")


class Killed(BaseException):
    """The gate's process is gone, in the middle of what it did."""


@dataclass
class Recorder:
    """Hears the gate."""

    acts: list[Act] = field(default_factory=list)

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:
        """Nothing: the world knows better."""

    def acted(self, act: Act, *, done: bool) -> None:
        """Keep what was done."""
        if done:
            self.acts.append(act)

    def ended(self, outcome: Outcome) -> None:
        """Nothing: it is returned."""


class SimulatedWorld:
    """The world of a scenario."""

    def __init__(self, scenario: Scenario, killed_after: frozenset[int] = frozenset()) -> None:
        """Begin as the scenario says; ``killed_after`` are the numbers of the acts after which the gate dies."""
        self.scenario, self._killed_after = scenario, killed_after
        self.clock = Clock()
        self.violations: list[str] = []
        self.turn_began = RUN_STARTED
        self._acts = 0
        self.databases = Databases(self.clock, scenario)
        self.servers = Servers(self.clock, self.databases, scenario)
        self.migration_work = MigrationWork(self.clock, self.databases, scenario)
        self.migrations = OwnedApplication(self.clock, MIGRATIONS, scenario.migrations, self.migration_work)
        downstream = scenario.downstream or Owned()
        self.bootstrap_work = BootstrapWork(downstream, self.databases, self.servers, done=downstream.ran_well)
        self.downstream = OwnedApplication(self.clock, BOOTSTRAP, downstream, self.bootstrap_work)
        self.migrations.violations = self.downstream.violations = self.violations

    def as_seen(self) -> World:
        """The gate's view."""
        runtime = self.scenario.runtime
        return World(
            run=lambda: self._look("run", lambda: Run("run", RUN_STARTED)),
            migration=self._look_at_migration,
            migrate=self._migrate,
            stores={store: partial(self._look, store.value, partial(self.databases.look, store)) for store in Store},
            application=(lambda: self._look("application", self._runtime_application))
            if runtime != "not configured"
            else None,
            runtime=lambda: self._look("runtime", self.servers.look),
            frontend=lambda: self._look("frontend", self.servers.look_at_frontend),
            downstream={BOOTSTRAP: lambda: self._look("downstream", self.downstream.look)}
            if self.scenario.downstream
            else {},
            delete_pod=self._delete,
            jobs=lambda _: self.downstream.look_at_jobs(may_be_read=self.scenario.jobs_may_be_read),
            cluster_time=lambda: self.clock.whole_second,
            sync=lambda application, attempt, jobs: self._act(
                partial(self.downstream.sync, application, attempt, jobs)
            ),
            refresh=self._refresh,
        )

    def _runtime_application(self) -> Application:
        if self.scenario.runtime == "missing":
            raise FindingError(Finding(Reason.APPLICATION_MISSING, f"Application {RUNTIME}"))
        ahead = self.scenario.runtime == "ahead"
        return Application(
            ref=RUNTIME,
            uid=str(RUNTIME),
            resource_version="1",
            sync="OutOfSync" if ahead else "Synced",
            health="Healthy",
            revisions=("new",),
            compared_at=self.clock.whole_second,
            operation=Operation(
                OperationPhase.SUCCEEDED, before(3610), before(3600), revisions=("old" if ahead else "new",)
            ),
        )

    def _look_at_migration(self) -> Migration:
        self.turn_began = self.clock.now

        def look() -> Migration:
            jobs = self.migrations.look_at_jobs(may_be_read=self.scenario.jobs_may_be_read)
            return migrations.of_application(self.migrations.look(), jobs, self.clock.whole_second)

        return self._look("migration", look)

    def _migrate(self, act: Migrate) -> bool:
        application = act.migration.application
        assert application is not None
        return self._act(partial(self.migrations.sync, application, act.attempt, act.jobs))

    def _refresh(self, application: Application) -> bool:
        owner = self.migrations if application.ref == MIGRATIONS else self.downstream
        return self._act(partial(owner.refresh, application))

    def _delete(self, pod: Pod) -> bool:
        if not self.databases.were_right_since(self.turn_began):
            self.violations.append(f"{pod.name} was restarted before the schema was right")
        if self.servers.served_since(pod, self.turn_began):
            self.violations.append(f"{pod.name} was restarted though it served the present database")
        return self._act(partial(self.servers.delete, pod))

    def _look(self, place: str, read: Callable[[], T]) -> T:
        self._meet(place)
        self.clock.let_pass(LOOK_SECONDS)
        return read()

    def _act(self, act: Callable[[], bool]) -> bool:
        self._meet("acts")
        done = act()
        self.clock.let_pass(ACT_SECONDS)
        if done:
            self._acts += 1
            if self._acts in self._killed_after:
                raise Killed
        return done

    def _meet(self, place: str) -> None:
        for fault in self.scenario.faults:
            if fault.place == place and self.clock.is_between(fault.begins, fault.ends):
                raise FindingError(Finding(fault.reason, place))

    @property
    def asks_for_temporal(self) -> bool:
        """The truth: whether policy asks for a Temporal that works, and what comes after it."""
        if self.scenario.reachability is Reachability.AUTO:
            return self.scenario.runtime in {"reached", "not configured"}
        return self.scenario.reachability is Reachability.ALWAYS

    @property
    def lacks(self) -> list[str]:
        """The truth: what policy asks for and does not hold."""
        lacking = [] if self.databases.were_right_since(self.turn_began) else ["the schemas are right"]
        if self.asks_for_temporal and not self.servers.serve:
            lacking.append("a workflow can start")
        downstream = self.scenario.downstream
        asked = downstream is not None and downstream.state != "missing" and not self.downstream.is_ahead
        if self.asks_for_temporal and asked and not self.bootstrap_work.is_done:
            lacking.append("the namespaces are there")
        return lacking


@dataclass(frozen=True)
class Play:
    """How a run of the gate in a world ended, over all its restarts."""

    world: SimulatedWorld
    outcome: Outcome
    acts: tuple[Act, ...]

    @property
    def reason(self) -> Reason:
        """The outcome's reason."""
        return self.outcome.finding.reason


def play(scenario: Scenario, killed_after: frozenset[int] = frozenset()) -> Play:
    """Run the gate in the scenario's world, started anew under the same run each time that it is killed."""
    world, recorder = SimulatedWorld(scenario, killed_after), Recorder()
    timing = Timing(
        clock=lambda: world.clock.now,
        sleep=world.clock.let_pass,
        interval=timedelta(seconds=INTERVAL_SECONDS),
        limit=timedelta(seconds=LIMIT_SECONDS),
    )
    while True:
        try:
            outcome = Gate(world.as_seen(), scenario.policy, timing, recorder, lambda: None).run()
        except Killed:
            world.migrations.attempts_seen = world.downstream.attempts_seen = 0
            world.clock.let_pass(0.5)
        else:
            return Play(world, outcome, tuple(recorder.acts))
