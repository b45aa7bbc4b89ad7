"""How a world begins, and what happens to it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.observation.applications import ApplicationRef
from hook.observation.reasons import Reason
from hook.observation.versions import Release, SchemaVersion, Store
from simulation.clocks import IN_STEP, Clocks

LIMIT_SECONDS = 400.0
INTERVAL_SECONDS = 8.0
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

PLACES = (
    "run",
    "migration",
    "default",
    "visibility",
    "application",
    "runtime",
    "frontend",
    "downstream",
    "jobs",
    "members",
    "acts",
)
"""What the gate looks at, and what it does."""


@dataclass(frozen=True)
class Fault:
    """The gate cannot see (or do) this from one second of the run to another."""

    place: str
    reason: Reason
    begins: float
    ends: float


JobState = Literal["complete", "failed", "running", "suspended", "absent"]
Sidecar = Literal["none", "native", "native, deaf", "plain"]
"""What runs beside a Job's work. A native one (an init container with restartPolicy Always) ends with the work, one that is
deaf to SIGTERM by the end of its pod's grace period; a plain one, a main container like the work, keeps the pod for ever
(kubernetes.io, "Sidecar Containers": "Jobs with sidecar containers")."""


@dataclass(frozen=True)
class JobPlan:
    """A Job: what it is at first, and what it does when it runs. A plain one is a managed resource, the others are hooks."""

    state: JobState = "complete"
    plain: bool = False
    does: Literal["all", "default", "visibility", "other"] = "all"
    """Of the migrations' Jobs: which stores it migrates; other: something that is none of the gate's business."""
    starts: float = 0.3
    """Seconds until its container is started: it is scheduled, and its image pulled."""
    seconds: float = 6.0
    failures: int = 0
    """So many of its runs fail before one succeeds."""
    sidecar: Sidecar = "none"
    resumes: float | None = None
    """When the one who has suspended it lets it run."""
    vanishes: float | None = None
    """When it is deleted if it has ended: by ttlSecondsAfterFinished, or by a person."""
    pods_are_gone: bool = False
    """Its pods are deleted when it has ended: their node is drained, or the garbage collector was here."""


SyncState = Literal["synced", "ahead", "moved on", "never", "missing"]
"""Moved on: git has a commit that Argo CD has not compared yet."""
SchemaState = Literal["right", "newer", "behind", "empty"]
PodsState = Literal["running", "crashing", "none"]
RuntimeState = Literal["reached", "ahead", "missing", "not configured"]
Automated = Literal["no", "yes", "self-heal"]


@dataclass(frozen=True)
class Owned:
    """An Application and its Jobs: the migrations, or bootstrap."""

    sync: SyncState = "synced"
    jobs: tuple[JobPlan, ...] = (JobPlan(),)
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
    """When others sync it: a person, or RollingSync."""
    commits: tuple[float, ...] = ()
    """When git has a new commit of it."""
    automated: Automated = "no"
    options: tuple[str, ...] = ()
    """``spec.syncPolicy.syncOptions``."""
    prune: bool = False
    """``spec.syncPolicy.automated.prune``."""


StuckIn = Literal["ContainerCreating", "ImagePullBackOff", "an init container in back-off", "Unschedulable"]


@dataclass(frozen=True)
class Stuck:
    """A pod of Temporal's is stuck in starting, until something ends it (None: nothing does)."""

    component: str
    how: StuckIn = "ContainerCreating"
    is_surplus: bool = True
    """There is another pod of its component: a rollout has made one more, and waits for it."""
    ends: float | None = None


Neighbour = Literal["none", "told apart", "selected too"]
"""Another release of Temporal in the namespace: the selector tells it apart by its instance, or finds its pods, too."""


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
    replaced_while: tuple[Literal["migrations", "bootstrap"], float] | None = None
    """They are, too, so many seconds after a Job of that Application has begun its work for the first time."""
    outages: tuple[tuple[float, float], ...] = ()
    """When PostgreSQL is away."""
    reachability: Reachability = Reachability.AUTO
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    attempts: int = 3
    clocks: Clocks = IN_STEP
    stuck: Stuck | None = None
    neighbour: Neighbour = "none"

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

    @property
    def replacements_at_most(self) -> int:
        """How often the databases may be replaced while the gate runs."""
        return len(self.replacements) + (self.replaced_while is not None)
