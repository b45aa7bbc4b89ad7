"""The whole: what the gate sees of it, and how a run in it goes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from hook.adapters.argocd import ATTEMPT_INFO, RUN_INFO, sync_operation
from hook.decision.policy import Policy, Reachability
from hook.decision.steps import Act, Fail, Migrate, Outcome, Pass, Step
from hook.gate import Gate, Timing, World
from hook.observation import migrations
from hook.observation.applications import Application, Operation, OperationPhase
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import Migration
from hook.observation.observation import Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import JobRef, JobsSeen, Pod
from simulation.argocd import SimulatedApplication
from simulation.clocks import RUN_STARTED, Actor, Clock, before
from simulation.jobs import SimulatedJob, Work
from simulation.postgres import Databases
from simulation.scenario import (
    ACT_SECONDS,
    BOOTSTRAP,
    INTERVAL_SECONDS,
    LIMIT_SECONDS,
    LOOK_SECONDS,
    MIGRATIONS,
    RUNTIME,
    JobPlan,
    Owned,
    Scenario,
)
from simulation.servers import Servers
from simulation.work import BootstrapWork, MigrationWork, OtherWork

T = TypeVar("T")


class Killed(BaseException):
    """The gate's process is gone, in the middle of what it did."""


@dataclass
class Recorder:
    """Hears the gate."""

    acts: list[Act] = field(default_factory=list)
    has_decided: bool = False
    """It was told that it passes or fails."""

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:  # noqa: ARG002 -- a Reporter's
        """Note the last decision: nothing comes after it."""
        self.has_decided |= isinstance(step, Pass | Fail)

    def acted(self, act: Act, *, done: bool) -> None:
        """Keep what was done."""
        if done:
            self.acts.append(act)

    def ended(self, outcome: Outcome) -> None:  # noqa: ARG002 -- a Reporter's
        """Note the end."""
        self.has_decided = True


class SimulatedWorld:
    """The world of a scenario."""

    def __init__(self, scenario: Scenario, killed_after: frozenset[int] = frozenset()) -> None:
        """Begin as the scenario says; ``killed_after`` are the numbers of the acts after which the gate dies."""
        self.scenario, self._killed_after = scenario, killed_after
        self.clock = Clock(scenario.clocks)
        self.recorder = Recorder()
        self.violations: list[str] = []
        self.turn_began = RUN_STARTED
        self.starts = 0
        """How often the gate's process was started."""
        self._acts = 0
        self.databases = Databases(self.clock, scenario)
        self.servers = Servers(self.clock, self.databases, scenario)
        self.migration_works: list[MigrationWork] = []
        self._is_still_to_be_replaced = scenario.replaced_while is not None
        self.migrations = self._application(scenario.migrations)
        self.downstream = self._application(scenario.downstream or Owned(), comes_after_temporal=True)

    # --- how it is made ---------------------------------------------------------------------------------------------

    def _application(self, owned: Owned, *, comes_after_temporal: bool = False) -> SimulatedApplication:
        ref = BOOTSTRAP if comes_after_temporal else MIGRATIONS
        made = SimulatedApplication(self.clock, ref, owned, self.violations, comes_after_temporal=comes_after_temporal)
        jobs = []
        for number, plan in enumerate(owned.jobs):
            work = self._bootstrap(owned, plan) if comes_after_temporal else self._migration(plan)
            jobs.append(
                SimulatedJob(self.clock, JobRef("temporal", f"{ref.name}-{number}"), plan, work, made.job_changed)
            )
        made.begin(jobs)
        return made

    def _migration(self, plan: JobPlan) -> Work:
        if plan.does == "other":
            return OtherWork(plan)
        work = MigrationWork(self.clock, self.databases, self.scenario, plan, self._replace_while)
        self.migration_works.append(work)
        return work

    def _bootstrap(self, owned: Owned, plan: JobPlan) -> Work:
        """One that is not there was deleted after it had succeeded, unless it was never made."""
        done = plan.state == "complete" or (plan.state == "absent" and owned.sync != "never")
        return BootstrapWork(self.databases, self.servers, plan, self._replace_while, done=done)

    def _replace_while(self, owner: str) -> None:
        wanted = self.scenario.replaced_while
        if self._is_still_to_be_replaced and wanted is not None and wanted[0] == owner:
            self._is_still_to_be_replaced = False
            self.clock.after(wanted[1], self.databases.replace)

    # --- what the gate sees and does --------------------------------------------------------------------------------

    def as_seen(self) -> World:
        """The gate's view."""
        runtime = self.scenario.runtime
        run = Run("run", self.clock.written(Actor.API, RUN_STARTED))
        return World(
            run=lambda: self._look("run", lambda: run),
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
            jobs=lambda _: self._look_at_jobs(self.downstream),
            members=lambda: self._look("members", self.servers.look_at_members),
            cluster_time=lambda: self.clock.written(Actor.API),
            sync=lambda application, attempt, jobs: self._sync(self.downstream, application, attempt, jobs),
            refresh=self._refresh,
        )

    def _runtime_application(self) -> Application:
        if self.scenario.runtime == "missing":
            raise FindingError(Finding(Reason.APPLICATION_MISSING, f"Application {RUNTIME}"))
        ahead = self.scenario.runtime == "ahead"
        began, ended = (self.clock.written(Actor.ARGO_CD, before(seconds)) for seconds in (3610, 3600))
        return Application(
            ref=RUNTIME,
            uid=str(RUNTIME),
            resource_version="1",
            sync="OutOfSync" if ahead else "Synced",
            health="Healthy",
            revisions=("new",),
            compared_at=self.clock.written(Actor.ARGO_CD),
            operation=Operation(OperationPhase.SUCCEEDED, began, ended, revisions=("old" if ahead else "new",)),
        )

    def _look_at_migration(self) -> Migration:
        self.turn_began = self.clock.now

        def look() -> Migration:
            application = self.migrations.look()
            return migrations.of_application(
                application, self._look_at_jobs(self.migrations), self.clock.written(Actor.API)
            )

        return self._look("migration", look)

    def _look_at_jobs(self, owner: SimulatedApplication) -> JobsSeen:
        after_temporal = owner is self.downstream
        try:
            self._meet("jobs")
        except FindingError as error:
            owner.jobs_were_seen = False
            return {job.ref: Unknown(error.finding) for job in owner.jobs}
        owner.jobs_were_seen = True
        return {
            job.ref: job.look(
                makes_schema=not after_temporal and job.plan.does != "other", with_pods_of_complete=after_temporal
            )
            for job in owner.jobs
        }

    def _migrate(self, act: Migrate) -> bool:
        application = act.migration.application
        assert application is not None
        return self._sync(self.migrations, application, act.attempt, act.jobs)

    def _sync(
        self, owner: SimulatedApplication, application: Application, attempt: int, jobs: tuple[JobRef, ...]
    ) -> bool:
        info = {RUN_INFO: "run", ATTEMPT_INFO: str(attempt)}
        written = {
            "info": [{"name": name, "value": value} for name, value in info.items()],
            "sync": sync_operation(application, jobs),
        }
        return self._act(partial(owner.write, application, written))

    def _refresh(self, application: Application) -> bool:
        owner = self.migrations if application.ref == MIGRATIONS else self.downstream
        return self._act(partial(owner.refresh, application))

    def _delete(self, pod: Pod) -> bool:
        if pod.instance != "temporal":
            self.violations.append(f"{pod.name} of another release was deleted")
        if not (self.databases.are_right or self.databases.changed_since(self.turn_began)):
            self.violations.append(f"{pod.name} was restarted before the schema was right")
        if self.servers.served_since(pod, self.turn_began):
            self.violations.append(f"{pod.name} was restarted though it served the present database")
        return self._act(partial(self.servers.delete, pod))

    def _look(self, place: str, read: Callable[[], T]) -> T:
        self._meet(place)
        self.clock.let_pass(LOOK_SECONDS)
        return read()

    def _act(self, act: Callable[[], bool]) -> bool:
        if self.recorder.has_decided:
            self.violations.append("something was done after the last decision")
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

    def start(self) -> None:
        """Start the gate's process, which knows nothing of one before it."""
        self.starts += 1
        self.migrations.forget()
        self.downstream.forget()

    # --- the truth --------------------------------------------------------------------------------------------------

    @property
    def asks_for_temporal(self) -> bool:
        """The truth: whether policy asks for a Temporal that works, and what comes after it."""
        if self.scenario.reachability is Reachability.AUTO:
            return self.scenario.runtime in {"reached", "not configured"}
        return self.scenario.reachability is Reachability.ALWAYS

    @property
    def lacks(self) -> list[str]:
        """The truth: what policy asks for and does not hold, unless it was lost since the gate looked."""
        if self.databases.changed_since(self.turn_began):
            return []
        lacking = [] if self.databases.are_right else ["the schemas are right"]
        if self.asks_for_temporal and not self.servers.serve:
            lacking.append("a workflow can start")
        downstream = self.scenario.downstream
        is_reached = downstream is not None and downstream.sync != "missing" and not self.downstream.is_ahead
        if is_reached and (self.asks_for_temporal or self._is_left_behind):
            lacking += [f"{job.ref} ran in the present database" for job in self.downstream.jobs if not job.work.stands]
        return lacking

    @property
    def _is_left_behind(self) -> bool:
        """Whether the runtime's step is to come, and none that syncs the bootstrap again, whose Jobs are over."""
        scenario, jobs = self.scenario, self.downstream.jobs
        is_to_come = scenario.runtime in {"ahead", "missing"} and scenario.reachability is Reachability.AUTO
        return is_to_come and all(job.has_ended for job in jobs)

    def limit(self) -> datetime:
        """The moment at which the run must have ended: it counts from its Job's creation, which the API server wrote."""
        counts_from = self.clock.written(Actor.API, RUN_STARTED) - self.clock.read(Actor.GATE, RUN_STARTED)
        return RUN_STARTED + counts_from + timedelta(seconds=LIMIT_SECONDS)


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
    world = SimulatedWorld(scenario, killed_after)
    timing = Timing(
        clock=lambda: world.clock.read(Actor.GATE),
        sleep=world.clock.let_pass,
        interval=timedelta(seconds=INTERVAL_SECONDS),
        limit=timedelta(seconds=LIMIT_SECONDS),
    )
    while True:
        world.start()
        try:
            outcome = Gate(world.as_seen(), scenario.policy, timing, world.recorder, lambda: None).run()
        except Killed:
            world.clock.let_pass(0.5)
        else:
            return Play(world, outcome, tuple(world.recorder.acts))
