"""A small world of Argo CD, Temporal and PostgreSQL with a clock of its own, in which the real gate is run.

It behaves as facts.md and lab.md say the real ones do, as far as the gate can tell, and knows the truth beside what is
seen of it. Time passes only while the gate sleeps, looks or acts. What the gate must never do is noted in `violations`.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.decision.steps import Act, Migrate, Outcome, Step
from hook.gate import Gate, Timing, World
from hook.observation import migrations
from hook.observation.applications import Application, ApplicationRef, ManagedJob, Operation, OperationPhase
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import Migration
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store
from hook.observation.workloads import Container, Job, JobPhase, JobRef, Owner, Pod, PodState, Runtime, Termination

RUN_STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMIT_SECONDS = 600.0
INTERVAL_SECONDS = 4.0
LOOK_SECONDS, ACT_SECONDS = 0.01, 0.05
GRACE_SECONDS = 30.0

MIGRATIONS = ApplicationRef("argocd", "migrations")
RUNTIME = ApplicationRef("argocd", "temporal")
BOOTSTRAP = ApplicationRef("argocd", "bootstrap")
COMPONENTS = ("frontend", "history", "matching", "worker")
SERVER = "server"

Versions = dict[Store, SchemaVersion]


def _versions(default: str, visibility: str) -> Versions:
    return {Store.DEFAULT: SchemaVersion.parse(default), Store.VISIBILITY: SchemaVersion.parse(visibility)}


EXPECTED = _versions("1.18", "1.9")
NEWER, BEHIND, OLD_TOOL = _versions("1.19", "1.10"), _versions("1.16", "1.8"), _versions("1.17", "1.9")
ON_THE_WAY = SchemaVersion.parse("1.9")
"""A version that the default store passes through when it is made from nothing."""


T = TypeVar("T")


class Killed(BaseException):
    """The gate's process is gone, in the middle of what it did."""


# --- how a world begins, and what happens to it -------------------------------------------------------------------

PLACES = ("run", "migration", "default", "visibility", "application", "runtime", "frontend", "downstream", "acts")
"""What the gate looks at, and what it does."""


@dataclass(frozen=True)
class Fault:
    """The gate cannot see (or do) this from one second of the run to another."""

    place: str
    reason: Reason
    begins: float
    ends: float


State = Literal["succeeded", "failed", "running", "never ran", "ahead", "moved on", "missing"]
SchemaState = Literal["right", "newer", "behind", "empty"]
PodsState = Literal["running", "crashing", "none"]
RuntimeState = Literal["reached", "ahead", "missing", "not configured"]


@dataclass(frozen=True)
class Owned:
    """An Application and its Job: the migrations, or bootstrap. The plain Job, or the hook, takes so many seconds."""

    state: State = "succeeded"
    plain: bool = False
    seconds: float = 6.0
    failures: int = 0
    """So many of its runs fail before one succeeds."""
    lag: float = 0.5
    """Seconds until Argo CD has compared a change."""
    window_opens: float = 0.0
    retries: int = 0
    """How often Argo CD itself tries an operation of others again."""
    follows: int = 0
    """After so many operations another one of others follows at once."""
    lost: int = 0
    """So many operations written by the gate are accepted and lost to one of others."""
    foreign: tuple[float, ...] = ()
    """When others sync it."""

    @property
    def ran_well(self) -> bool:
        """Whether its Job has succeeded before the run, at whatever revision."""
        return self.state in {"succeeded", "ahead"}


@dataclass(frozen=True)
class Scenario:
    """A world's beginning and the blows it takes. Times are seconds from the run's start."""

    schema: SchemaState = "right"
    pods: PodsState = "running"
    replaced: bool = False
    """The databases are others than those that the running pods were started on."""
    runtime: RuntimeState = "reached"
    migrations: Owned = Owned()
    downstream: Owned | None = Owned()
    tool: Literal["right", "old"] = "right"
    sticks: bool = False
    """A migration that fails leaves the default store in a version that cannot be replayed."""
    cause: Reason | None = None
    """Why servers crash that start, whatever their schema."""
    cause_ends: float | None = None
    faults: tuple[Fault, ...] = ()
    replacements: tuple[float, ...] = ()
    """When the databases are dropped and made anew, empty."""
    outages: tuple[tuple[float, float], ...] = ()
    """When PostgreSQL is away."""
    reachability: Reachability = Reachability.AUTO
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    attempts: int = 3
    node_clock: float = 0.0
    """So many seconds the nodes' clock is ahead of the API server's; one that is behind is below zero."""
    database_clock: float = 0.0
    """So many seconds the clock of the machine where the schema tool runs is ahead of the API server's."""
    jobs_may_be_read: bool = True
    stuck_in_starting: tuple[str, ...] = ()
    """Components of which a surplus pod is stuck in starting."""

    @property
    def policy(self) -> Policy:
        """What the gate is told; its times are shorter than the defaults, so that a run takes fewer turns."""
        return Policy(
            expected=EXPECTED,
            release=Release(1, 29, 1),
            reachability=self.reachability,
            on_empty_database=self.on_empty_database,
            attempts=self.attempts,
            pause=timedelta(seconds=5),
            grace=timedelta(seconds=GRACE_SECONDS),
            patience=timedelta(seconds=90),
            clock_skew=timedelta(seconds=2),
        )


# --- time ---------------------------------------------------------------------------------------------------------


class Clock:
    """The world's time, and what is to happen in it."""

    def __init__(self) -> None:
        self.now = RUN_STARTED
        self._numbers = itertools.count()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen so many seconds after the run's start; at once if that is past."""
        moment = max(self.now, _moment(seconds))
        heapq.heappush(self._events, (moment, next(self._numbers), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._events, (self.now + timedelta(seconds=seconds), next(self._numbers), what))

    def let_pass(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        until = self.now + timedelta(seconds=seconds)
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    def is_past(self, seconds: float) -> bool:
        """Tell whether so many seconds have passed since the run's start."""
        return self.now >= _moment(seconds)

    def is_between(self, begins: float, ends: float) -> bool:
        """Tell whether the first is past and the second is not."""
        return self.is_past(begins) and not self.is_past(ends)

    @property
    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return (self.now - RUN_STARTED).total_seconds()

    @property
    def whole_second(self) -> datetime:
        """The time as Kubernetes writes it."""
        return self.now.replace(microsecond=0)


def _moment(seconds: float) -> datetime:
    return RUN_STARTED + timedelta(seconds=seconds)


def _before(seconds: float) -> datetime:
    return _moment(-seconds)


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


class Databases:
    """Both stores. An `epoch` is a pair of databases: those that replace them are another. The world was up in epoch 0."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        versions = {"right": EXPECTED, "newer": NEWER, "behind": BEHIND, "empty": {}}[scenario.schema]
        made = _before(300 if scenario.replaced else 86_400)
        self._clock = clock
        self._outages = scenario.outages
        self.epoch = 1 if scenario.replaced else 0
        self.stuck = False
        self.turned_wrong_at: datetime | None = None
        self._ahead = timedelta(seconds=scenario.database_clock)
        self.schemas = {
            store: Schema(store, versions[store], made + self._ahead, made + self._ahead) if versions else Schema(store)
            for store in Store
        }
        for seconds in scenario.replacements:
            clock.at(seconds, self.replace)

    def replace(self) -> None:
        """Drop both and make them anew, empty."""
        if self.are_right:
            self.turned_wrong_at = self._clock.now
        self.epoch += 1
        self.stuck = False
        self.schemas = {store: Schema(store) for store in Store}

    def bring(self, store: Store, version: SchemaVersion) -> None:
        """Migrate a store, as Temporal's tool does: one that is as new or newer stays as it is."""
        before = self.schemas[store]
        if before.version is None or before.version < version:
            written_at = self._clock.now + self._ahead
            self.schemas[store] = Schema(store, version, written_at, before.born or written_at)

    @property
    def are_away(self) -> bool:
        """Whether PostgreSQL does not answer."""
        return any(self._clock.is_between(begins, ends) for begins, ends in self._outages)

    @property
    def are_right(self) -> bool:
        """Whether a server of the target release starts on them."""
        return not self.stuck and all(
            schema.version is not None and schema.version >= EXPECTED[store] for store, schema in self.schemas.items()
        )

    def were_right_since(self, moment: datetime) -> bool:
        """Tell whether they were right at any time since then."""
        return self.are_right or (self.turned_wrong_at is not None and self.turned_wrong_at >= moment)

    def look(self, store: Store) -> Schema:
        """What the gate sees of a store."""
        if self.are_away:
            raise FindingError(Finding(Reason.DATABASE_UNREACHABLE, f"store {store}"))
        if self.stuck and store is Store.DEFAULT:
            raise FindingError(Finding(Reason.SCHEMA_STUCK, f"store {store}"))
        return self.schemas[store]


# --- Argo CD ------------------------------------------------------------------------------------------------------


class Work(Protocol):
    """What an Application's Job does."""

    def begin(self) -> None:
        """Start."""

    def end(self) -> bool:
        """Come to its end; tell whether it succeeded."""

    @property
    def is_worth_keeping(self) -> bool:
        """The truth: whether what it did last still stands."""


class OwnedApplication:
    """An Application and its one Job, a plain one or a hook, with Argo CD's part of it."""

    def __init__(self, clock: Clock, ref: ApplicationRef, owned: Owned, work: Work) -> None:
        self._clock, self._ref, self._owned, self._work = clock, ref, owned, work
        self._version = 1
        self._target = "new"
        self._applied: str | None = None if owned.state == "never ran" and owned.plain else "new"
        self._job: str | None = None if owned.state == "never ran" else "Healthy"
        self._job_number = 0
        self._job_started_at = _before(3610)
        self.violations: list[str] = []
        self.job = JobRef("temporal", f"{ref.name}-job")
        self._operation: Operation | None = None
        self._retries, self._lost, self._follows = 0, owned.lost, owned.follows
        self.written: list[int] = []
        """The attempts that the gate wrote and that were not lost."""
        self.attempts_seen = 0
        """What the gate's process remembers of its attempts, as the adapter does; a new process knows nothing."""
        self.foreign = 0
        """How many operations of others there were since the run began."""
        self.synced_while_ahead = False
        self._begin(owned.state)
        self._seen: dict[str, str] = {}
        self._compared_at = _before(60)
        self._refresh_requested = False
        self._note_status()
        if owned.state == "moved on":  # a newer revision, which Argo CD has not compared yet
            self._target = "newer"
        for seconds in owned.foreign:
            clock.at(seconds, self.sync_by_others)

    def _begin(self, state: str) -> None:
        phase = OperationPhase.FAILED if state in {"failed", "moved on"} else OperationPhase.SUCCEEDED
        if state == "ahead":
            self._target = "newer"
        if state in {"failed", "moved on"} and self._owned.plain:
            phase, self._job = OperationPhase.SUCCEEDED, "Degraded"
        if state != "never ran":
            self._operation = Operation(phase, _before(3610), _before(3600), revisions=("new",))
        if state == "running":
            self._job = None
            self._take_up()

    @property
    def is_ahead(self) -> bool:
        """The truth: whether its own step in the rollout is still to come."""
        return self._applied != self._target

    def look(self) -> Application:
        """What the gate sees of it."""
        if self._owned.state == "missing":
            raise FindingError(Finding(Reason.APPLICATION_MISSING, f"Application {self._ref}"))
        operation = self._operation
        if operation is not None and operation.phase is not OperationPhase.REQUESTED:
            self.attempts_seen = max(self.attempts_seen, operation.attempt or 0)
        return Application(
            ref=self._ref,
            uid=str(self._ref),
            resource_version=str(self._version),
            sync=self._seen["sync"],
            health=self._seen["health"],
            revisions=(self._seen["revision"],),
            compared_at=self._compared_at,
            refresh_requested=self._refresh_requested,
            operation=self._operation,
            jobs=(ManagedJob(self.job, synced=self._job is not None),) if self._owned.plain else (),
            hook_jobs=(self.job,) if self._operation is not None and not self._owned.plain else (),
            attempts_seen=self.attempts_seen,
        )

    def look_at_jobs(self, *, may_be_read: bool) -> dict[JobRef, Job | Unknown | None]:
        """What the gate sees of its Job."""
        if not may_be_read:
            return {self.job: Unknown(Finding(Reason.API_FORBIDDEN, f"Job {self.job}"))}
        if self._job is None:
            return {self.job: None}
        phase = {"Progressing": JobPhase.RUNNING, "Healthy": JobPhase.COMPLETE, "Degraded": JobPhase.FAILED}[self._job]
        began = self._job_started_at.replace(microsecond=0)
        return {self.job: Job(self.job, f"uid-{self._job_number}", phase, began, began, makes_schema=True)}

    def sync(self, application: Application, attempt: int, jobs: tuple[JobRef, ...]) -> bool:
        """Write an operation for the gate; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        if self._lost:
            self._lost -= 1
            self.sync_by_others()
            return True
        self.written.append(attempt)
        self.synced_while_ahead |= self.is_ahead
        if jobs and self._job == "Progressing":
            self.violations.append(f"{self._ref}: a Job that runs was replaced")
        if jobs and self._job == "Healthy" and self._work.is_worth_keeping:
            self.violations.append(f"{self._ref}: a Job that succeeded was replaced")
        self._request(attempt, selective=bool(jobs))
        return True

    def refresh(self, application: Application) -> bool:
        """Ask for a comparison; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        self._refresh_requested = True
        self._changed()
        return True

    def sync_by_others(self) -> None:
        """A person or RollingSync syncs it, unless an operation is on its way."""
        if self._operation is None or self._operation.phase.ended:
            self.foreign += 1
            self._request(None, selective=False)

    def _request(self, attempt: int | None, *, selective: bool) -> None:
        self._operation = Operation(OperationPhase.REQUESTED, revisions=(self._target,), attempt=attempt)
        self._retries = self._owned.retries if attempt is None else 0
        self._changed()
        self._clock.after(0.3, partial(self._take_up, selective=selective))

    def _take_up(self, *, selective: bool = False) -> None:
        """Begin the requested operation, or be blocked by the sync window."""
        if not self._clock.is_past(self._owned.window_opens):
            self._move(OperationPhase.BLOCKED, started_at=self._clock.whole_second)
            self._clock.at(self._owned.window_opens, partial(self._take_up, selective=selective))
            return
        self._move(OperationPhase.RUNNING, started_at=self._clock.whole_second, finished_at=None)
        if not self._owned.plain:
            self._start_job()
            return
        if selective or self._job is None:  # a sync leaves a finished plain Job as it is
            self._start_job()
        self._clock.after(1, partial(self._end_operation, OperationPhase.SUCCEEDED))

    def _start_job(self) -> None:
        self._job, self._job_number = "Progressing", self._job_number + 1
        self._job_started_at = self._clock.now
        self._work.begin()
        self._clock.after(self._owned.seconds, partial(self._end_job, self._job_number))

    def _end_job(self, number: int) -> None:
        if number != self._job_number:
            return  # it was replaced
        succeeded = self._work.end()
        self._job = "Healthy" if succeeded else "Degraded"
        if self._owned.plain:
            self._changed()
        elif not succeeded and self._retries:
            self._retries -= 1
            self._move(OperationPhase.PAUSING, finished_at=self._clock.whole_second)
            self._clock.after(5, self._take_up)
        else:
            self._end_operation(OperationPhase.SUCCEEDED if succeeded else OperationPhase.FAILED)

    def _end_operation(self, phase: OperationPhase) -> None:
        self._applied = self._target
        self._move(phase, finished_at=self._clock.whole_second, message="as its Job ended")
        if self._follows:
            self._follows -= 1
            self._clock.after(0.5, self.sync_by_others)

    def _move(self, phase: OperationPhase, **changes: Any) -> None:
        before = self._operation or Operation(phase, revisions=(self._target,))
        self._operation = replace(before, phase=phase, **changes)
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        self._clock.after(self._owned.lag, self._compare)

    def _compare(self) -> None:
        self._note_status()
        self._compared_at = self._clock.whole_second
        self._refresh_requested = False
        self._version += 1

    def _note_status(self) -> None:
        health = "Healthy" if not self._owned.plain else self._job or "Missing"
        synced = self._applied == self._target
        self._seen = {"sync": "Synced" if synced else "OutOfSync", "health": health, "revision": self._target}


class MigrationWork:
    """What the migrations' Job does to the databases: step by step, and it may fail half-way."""

    def __init__(self, clock: Clock, databases: Databases, scenario: Scenario) -> None:
        self._clock, self._databases, self._scenario = clock, databases, scenario
        self._failures = scenario.migrations.failures
        self._epoch = 0
        self._fails = False
        self.active = 0
        self.doubled = False

    def begin(self) -> None:
        self.active += 1
        self.doubled |= self.active > 1
        self._epoch = self._databases.epoch
        self._fails = self._failures > 0
        self._failures -= self._fails
        versions = OLD_TOOL if self._scenario.tool == "old" else EXPECTED
        a_third = self._scenario.migrations.seconds / 3
        self._clock.after(a_third, partial(self._bring, Store.DEFAULT, ON_THE_WAY))
        if not self._fails:
            self._clock.after(2 * a_third, partial(self._bring, Store.DEFAULT, versions[Store.DEFAULT]))
            self._clock.after(2.5 * a_third, partial(self._bring, Store.VISIBILITY, versions[Store.VISIBILITY]))

    def _bring(self, store: Store, version: SchemaVersion) -> None:
        if self._can_go_on:
            self._databases.bring(store, version)
        else:
            self._fails = True

    @property
    def _can_go_on(self) -> bool:
        databases = self._databases
        return not databases.are_away and not databases.stuck and databases.epoch == self._epoch

    def end(self) -> bool:
        self.active -= 1
        succeeded = not self._fails and self._can_go_on
        if not succeeded and self._scenario.sticks and not self._databases.are_right:
            self._databases.stuck = True
        return succeeded

    @property
    def is_worth_keeping(self) -> bool:
        return self._databases.are_right


class BootstrapWork:
    """What the bootstrap's Job does: register namespaces in a Temporal that works."""

    def __init__(self, owned: Owned, databases: Databases, servers: "Servers", *, done: bool) -> None:
        self._databases, self._servers = databases, servers
        self._failures = owned.failures
        self._done_in = 0 if done else None
        self._began_in: int | None = None

    def begin(self) -> None:
        self._began_in = self._databases.epoch

    def end(self) -> bool:
        fails = self._failures > 0
        self._failures -= fails
        if fails or not self._servers.serve:
            return False
        self._done_in = self._began_in  # what it registered before the databases were replaced is gone
        return True

    @property
    def is_worth_keeping(self) -> bool:
        return self.is_done

    @property
    def is_done(self) -> bool:
        """The truth: whether the namespaces are in the present database."""
        return self._done_in == self._databases.epoch


# --- Temporal's servers -------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A pod; `epoch` is the pair of databases it was started on, None where it does not get so far."""

    pod: Pod
    epoch: int | None = None
    began: datetime | None = None


class Servers:
    """The runtime's pods, the kubelet that restarts them and the ReplicaSets that replace them."""

    def __init__(self, clock: Clock, databases: Databases, scenario: Scenario) -> None:
        self._clock, self._databases, self._scenario = clock, databases, scenario
        self._numbers = itertools.count()
        self._known_to = {0}
        """The epochs in which some server has written the cluster's metadata."""
        self._servers: dict[str, Server] = {}
        self.wanted = {} if scenario.pods == "none" else dict.fromkeys(COMPONENTS, 1)
        self.deleted: list[str] = []
        """The components of the pods that the gate deleted."""
        for component in self.wanted:
            server = self._create(component, _before(43_210))
            if scenario.pods == "running":
                self._run(server, _before(43_200), 0)
            else:
                self._crash(server, Reason.RUNTIME_FINDS_NO_SCHEMA, _before(20), restarts=4)

        for component in scenario.stuck_in_starting:
            stuck = self._create(component, _before(600))
            stuck.pod = replace(stuck.pod, containers=(Container(SERVER, waiting="ContainerCreating"),))

    def _create(self, component: str, created_at: datetime | None = None) -> Server:
        name = f"temporal-{component}-{next(self._numbers)}"
        made_at = (created_at or self._clock.now).replace(microsecond=0)
        pod = Pod("temporal", name, f"uid-of-{name}", component, created_at=made_at, server=SERVER)
        tag = "1.28.2" if self._scenario.runtime == "ahead" else "1.29.1"
        pod = replace(pod, phase="Pending", containers=(Container(SERVER, image=f"temporalio/server:{tag}"),))
        self._servers[pod.uid] = Server(pod)
        return self._servers[pod.uid]

    def _on_node(self, moment: datetime) -> datetime:
        """The moment by the node's clock."""
        return (moment + timedelta(seconds=self._scenario.node_clock)).replace(microsecond=0)

    def _start(self, server: Server) -> None:
        if server.pod.uid not in self._servers:
            return
        cause = self._cause
        self._run(server, self._clock.now, None if cause else self._databases.epoch)
        if cause:
            self._clock.after(1.5, partial(self._crash_now, server, cause))
        else:
            self._known_to.add(self._databases.epoch)

    def _run(self, server: Server, began: datetime, epoch: int | None) -> None:
        server.epoch, server.began = epoch, began
        running = replace(server.pod.containers[0], waiting="", running_since=self._on_node(began), ready=True)
        server.pod = replace(server.pod, ready=True, finding=None, containers=(running,))

    def _crash_now(self, server: Server, cause: Reason) -> None:
        if server.pod.uid in self._servers:
            self._crash(server, cause, self._clock.now, server.pod.restarts + 1)

    def _crash(self, server: Server, cause: Reason, crashed_at: datetime, restarts: int) -> None:
        crashed = Container(
            SERVER,
            image=server.pod.image,
            waiting="CrashLoopBackOff",
            last=Termination(1, "Error", finished_at=self._on_node(crashed_at)),
            restarts=restarts,
        )
        finding = Finding(cause, f"pod {server.pod.name}")
        server.pod = replace(server.pod, ready=False, finding=finding, containers=(crashed,))
        self._clock.after(min(10 * 2 ** (restarts - 1), 100), partial(self._start, server))

    @property
    def _cause(self) -> Reason | None:
        """Why a server that starts now crashes."""
        if self._databases.are_away:
            return Reason.DATABASE_UNUSABLE_FOR_RUNTIME
        if not self._databases.are_right:
            return Reason.RUNTIME_FINDS_NO_SCHEMA
        ends = self._scenario.cause_ends
        return self._scenario.cause if ends is None or not self._clock.is_past(ends) else None

    @property
    def serve(self) -> bool:
        """The truth: whether a workflow can start."""
        up = {server.pod.component for server in self._servers.values() if self._serves(server)}
        return up == set(COMPONENTS) and not self._databases.are_away and self._databases.are_right

    def _serves(self, server: Server) -> bool:
        return server.pod.state is PodState.RUNNING and server.epoch == self._databases.epoch

    def look(self) -> Runtime:
        """What the gate sees of them."""
        owners = (Owner("deployments", f"temporal-{one}", one, replicas) for one, replicas in self.wanted.items())
        return Runtime(tuple(owners), tuple(server.pod for server in self._servers.values()))

    def look_at_frontend(self) -> Frontend:
        """What the frontend answers: it does so over a database that is gone, and does not tell of every fault."""
        running = {one.pod.component for one in self._servers.values() if one.pod.state is PodState.RUNNING}
        if "frontend" not in running:
            raise FindingError(Finding(Reason.FRONTEND_UNREACHABLE, "frontend"))
        knows = self._databases.epoch in self._known_to and not self._databases.are_away
        works = knows and {"history", "matching"} <= running
        return Frontend(None if works else Finding(Reason.FRONTEND_NOT_SERVING, "frontend"))

    def served_since(self, pod: Pod, moment: datetime) -> bool:
        """Tell whether this pod has served the present databases all the time since then."""
        server = self._servers.get(pod.uid)
        return server is not None and self._serves(server) and server.began is not None and server.began <= moment

    def delete(self, pod: Pod) -> bool:
        """Delete a pod by its uid; its ReplicaSet makes another."""
        if self._servers.pop(pod.uid, None) is None:
            return False
        self.deleted.append(pod.component)
        self._clock.after(0.3, partial(self._replace, pod.component))
        return True

    def _replace(self, component: str) -> None:
        self._clock.after(0.5, partial(self._start, self._create(component)))


# --- the whole ----------------------------------------------------------------------------------------------------


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
                OperationPhase.SUCCEEDED, _before(3610), _before(3600), revisions=("old" if ahead else "new",)
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
