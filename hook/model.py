"""What the gate sees, decides and reports: frozen values, no I/O, no client library.

Times are timezone-aware datetimes. A thing that could not be seen is an `Unknown` with its finding, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hook.reasons import Reason
    from hook.versions import Release, SchemaVersion, Store


@dataclass(frozen=True)
class Finding:
    """A reason, what it is about, and what was seen. `remedy` is the exact cure where it is more than the reason's own."""

    reason: Reason
    about: str
    detail: str = ""
    specific_remedy: str = ""

    @property
    def remedy(self) -> str:
        """Return what a person should do."""
        return self.specific_remedy or self.reason.remedy

    @property
    def key(self) -> tuple[Reason, str]:
        """Return what makes it the same finding from turn to turn: its detail may change."""
        return (self.reason, self.about)

    def __str__(self) -> str:
        """Return it as one line, without the remedy."""
        return f"{self.reason}: {self.about}" + (f": {self.detail}" if self.detail else "")


class FindingError(Exception):
    """How an adapter says that it could not see or do something; the foreign exception is its cause."""

    def __init__(self, finding: Finding) -> None:
        """Carry the finding."""
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True)
class Unknown:
    """In the place of a value that could not be seen."""

    finding: Finding


# --- Argo CD ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class ApplicationRef:
    """An Argo CD Application by its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """Return ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class OperationPhase(StrEnum):
    """What an operation is doing, told apart by its phase, message and times (facts: starting a sync)."""

    REQUESTED = "requested"
    """`.operation` is written and not yet taken up."""
    RUNNING = "running"
    BLOCKED = "blocked by a sync window"
    PAUSING = "pausing between retries"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self in {OperationPhase.SUCCEEDED, OperationPhase.FAILED}


@dataclass(frozen=True)
class Operation:
    """An Application's present or last operation. `attempt` is its number if this run wrote it, else None."""

    phase: OperationPhase
    started_at: datetime | None = None
    finished_at: datetime | None = None
    message: str = ""
    revisions: tuple[str, ...] = ()
    attempt: int | None = None


@dataclass(frozen=True)
class JobRef:
    """A Job by its namespace and name.

    `health` is Argo CD's word for it, None where it does not keep one; `synced` says that it is there, as git has it.
    """

    namespace: str
    name: str
    health: str | None = None
    synced: bool = False


@dataclass(frozen=True)
class Application:
    """An Argo CD Application as its status shows it.

    `compared_at` is ``status.reconciledAt``, a whole second. `jobs` are the managed plain Jobs among its resources,
    `hook_jobs` the hook Jobs of its last operation. `attempts_seen` is the highest attempt of this run that was seen
    under way or ended; one that was only requested may have got lost. `asked_at` is when this run last asked for a
    comparison. `is_automated` says that Argo CD syncs it without a person.
    """

    ref: ApplicationRef
    uid: str
    resource_version: str
    sync: str
    health: str
    revisions: tuple[str, ...] = ()
    compared_at: datetime | None = None
    refresh_requested: bool = False
    operation: Operation | None = None
    jobs: tuple[JobRef, ...] = ()
    hook_jobs: tuple[JobRef, ...] = ()
    attempts_seen: int = 0
    asked_at: datetime | None = None
    is_automated: bool = False

    @property
    def attempts(self) -> int:
        """How often this run had it synced: another's operation may have taken the place of ours since."""
        return max(self.attempts_seen, (self.operation.attempt or 0) if self.operation else 0)


# --- what is observed ---------------------------------------------------------------------------------------------


class MigrationPhase(StrEnum):
    """What the owner of the schema is doing. Succeeded and failed are said of this run's own attempt only."""

    IDLE = "idle"
    RUNNING = "running"
    BLOCKED = "blocked by a sync window"
    PAUSING = "pausing between retries"
    UNCOMPARED = "ended, not compared yet"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Migration:
    """The owner's migration; `attempts` counts what this run started, as the operations in the world say."""

    phase: MigrationPhase
    owner: str
    attempts: int = 0
    ended_at: datetime | None = None
    message: str = ""
    jobs: tuple[JobRef, ...] = ()
    application: Application | None = None


@dataclass(frozen=True)
class Schema:
    """One store's schema. `version` None is an empty database; `since` when its version was written; `born` the first.

    Both are by the clock of the machine where the schema tool ran.
    """

    store: Store
    version: SchemaVersion | None = None
    since: datetime | None = None
    born: datetime | None = None


class PodState(StrEnum):
    """What a pod of Temporal's, or rather its server container, is doing."""

    PENDING = "pending"
    RUNNING = "running"
    BACK_OFF = "in back-off"


@dataclass(frozen=True)
class Pod:
    """A pod that is not being deleted. `started_at` is when its running container started, `crashed_at` its last end.

    `finding` is what keeps it from running, diagnosed from its status and its previous container's log.
    """

    namespace: str
    name: str
    uid: str
    component: str
    state: PodState
    image: str = ""
    ready: bool = False
    probed: bool = False
    started_at: datetime | None = None
    crashed_at: datetime | None = None
    restarts: int = 0
    finding: Finding | None = None


@dataclass(frozen=True)
class Runtime:
    """Temporal's servers in Kubernetes: replicas wanted by component, none when no Deployment is there, and their pods."""

    wanted: Mapping[str, int] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()


@dataclass(frozen=True)
class Frontend:
    """The frontend answered. `trouble` says why its answer does not prove a working Temporal, None if it does."""

    trouble: Finding | None = None


@dataclass(frozen=True)
class Run:
    """This run of the gate: its id, and since when it counts (its Job's creation).

    `owner` is the Application whose sync made the Job, ``name`` or ``namespace_name``; None outside of Argo CD.
    """

    id: str
    started_at: datetime
    owner: str | None = None


@dataclass(frozen=True)
class Observation:
    """All that one turn saw. None stands for what is not configured; `since` is when each finding was first seen.

    `gate` is the gate's own Application, looked at only by a run that may reopen it. `refused` holds the findings of acts
    that were refused when they were last tried.
    """

    now: datetime
    run: Run | Unknown
    migration: Migration | Unknown
    stores: Mapping[Store, Schema | Unknown]
    application: Application | Unknown | None = None
    runtime: Runtime | Unknown | None = None
    frontend: Frontend | Unknown | None = None
    downstream: Mapping[ApplicationRef, Application | Unknown] = field(default_factory=dict)
    gate: Application | Unknown | None = None
    migration_pods: tuple[Pod, ...] = ()
    refused: tuple[Finding, ...] = ()
    since: Mapping[tuple[Reason, str], datetime] = field(default_factory=dict)

    @property
    def run_started_at(self) -> datetime:
        """Return since when the run counts; now, where it cannot be seen."""
        return self.run.started_at if isinstance(self.run, Run) else self.now

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """Return the schemas of the stores that could be seen."""
        return tuple(schema for schema in self.stores.values() if isinstance(schema, Schema))

    @property
    def right_since(self) -> datetime | None:
        """Return since when all schemas are what they are; a time to come, by a clock that is ahead, tells nothing."""
        return max((at for schema in self.schemas if (at := schema.since) and at <= self.now), default=None)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Return Temporal's pods, none where they could not be seen."""
        return self.runtime.pods if isinstance(self.runtime, Runtime) else ()


# --- what is decided ----------------------------------------------------------------------------------------------


class Reachability(StrEnum):
    """Whether Temporal has to answer before the gate passes (design, principle 6)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class OnEmptyDatabase(StrEnum):
    """What an empty database means: a new cluster, or a restore under way."""

    MIGRATE = "migrate"
    FAIL = "fail"


@dataclass(frozen=True)
class Policy:
    """What the user asks for. `release` is None where the schema versions were given by hand."""

    expected: Mapping[Store, SchemaVersion]
    release: Release | None = None
    estimated_from: Release | None = None
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    reachability: Reachability = Reachability.AUTO
    attempts: int = 3
    pause: timedelta = timedelta(seconds=10)
    grace: timedelta = timedelta(seconds=120)
    patience: timedelta = timedelta(minutes=10)
    stable: timedelta = timedelta(seconds=3)
    clock_skew: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class Wait:
    """Look again after an interval; `findings` say for what."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Refresh:
    """Ask Argo CD to compare the Application afresh; `why` says which decision needs it."""

    application: Application
    why: str


@dataclass(frozen=True)
class Migrate:
    """Ask the schema's owner to run; `attempt` counts from 1 within this run."""

    migration: Migration
    attempt: int
    why: str


@dataclass(frozen=True)
class RestartPods:
    """Delete these pods of one component, each only if it still has its uid."""

    component: str
    pods: tuple[Pod, ...]
    why: str


@dataclass(frozen=True)
class Resync:
    """Sync a downstream Application again; `attempt` counts from 1 within this run."""

    application: Application
    attempt: int
    why: str


@dataclass(frozen=True)
class Pass:
    """The rollout may go on."""

    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Fail:
    """The rollout must not go on, and waiting cannot help."""

    finding: Finding


Act = Refresh | Migrate | RestartPods | Resync
Step = Wait | Act | Pass | Fail


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `missing` is what was still waited for, `warnings` what a person should know though it passed."""

    finding: Finding
    missing: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()
