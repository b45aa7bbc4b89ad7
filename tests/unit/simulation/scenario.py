"""How a world begins, and what happens to it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.observation.applications import ApplicationRef
from hook.observation.reasons import Reason
from hook.observation.versions import Release, SchemaVersion, Store

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
