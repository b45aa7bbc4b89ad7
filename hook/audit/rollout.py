"""What an audit sees: ApplicationSets, their steps, Applications, and what is known of their manifests. Pure values.

None stands for what was not seen, an empty collection for what is known to be absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hook.audit.holds import Unseen
    from hook.observation.applications import ApplicationRef

CHART = "temporal-recovery-hook"
"""This project's chart: its name, and the label ``app.kubernetes.io/name`` of what it renders."""

PRE_SYNC, SYNC = "PreSync", "Sync"

Version = tuple[int, ...]


class Role(StrEnum):
    """What an Application is to the gate."""

    MIGRATIONS = "migrations"
    GATE = "gate"
    RUNTIME = "runtime"
    DOWNSTREAM = "downstream"


@dataclass(frozen=True)
class Expression:
    """One of a step's ``matchExpressions``."""

    key: str
    operator: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A step of a RollingSync; `max_update` as it is written: a number, a text such as ``10%``, or None."""

    expressions: tuple[Expression, ...]
    max_update: int | str | None = None


@dataclass(frozen=True)
class ApplicationSet:
    """An ApplicationSet. `has_period`: whether a generator of it asks again after a time.

    `tracks` is whether its status has an entry for its Applications, which only progressive syncs write; None in a manifest.
    `updates` is whether its policy lets the controller change an Application, which is how RollingSync syncs one.
    `prunes` is what its template's sync policy says, which Argo CD up to 3.2 takes out of the Applications; None: not seen.
    """

    ref: ApplicationRef
    strategy: str
    steps: tuple[Step, ...] = ()
    has_period: bool = True
    generators: tuple[str, ...] = ()
    default_prune: bool = False
    updates: bool = True
    tracks: bool | None = None
    prunes: bool | None = False


@dataclass(frozen=True)
class Retry:
    """An Application's ``syncPolicy.retry``; a limit that is left out is 0 (types.go, RetryStrategy)."""

    limit: int = 0
    refresh: bool = False


@dataclass(frozen=True)
class Chart:
    """A Helm chart that an Application takes from a repository."""

    name: str
    version: str


@dataclass(frozen=True)
class Resource:
    """An object that an Application renders. `phases` are those of a hook, none of what is managed.

    `wave`, `ttl`, `revision` and `images` are None where only Argo CD's status names the object. `revision` is what a
    receipt says of the commit, "" where it says nothing.
    """

    kind: str
    name: str
    namespace: str = ""
    phases: tuple[str, ...] = ()
    wave: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    ttl: str | None = None
    is_replaced: bool = False
    images: tuple[str, ...] | None = None
    revision: str | None = None

    @property
    def is_hook(self) -> bool:
        """Whether it is a hook, not managed."""
        return bool(self.phases)

    @property
    def is_plain_job(self) -> bool:
        """Whether it is a managed Job."""
        return self.kind == "Job" and not self.is_hook

    @property
    def is_of_chart(self) -> bool:
        """Whether this project's chart renders it: by its labels, or by its name where they were not seen."""
        labels = self.labels
        named = labels.get("app.kubernetes.io/name") == CHART or labels.get("helm.sh/chart", "").startswith(f"{CHART}-")
        return named or (not labels and CHART in self.name)

    @property
    def is_watchdog(self) -> bool:
        """Whether it is the chart's, but neither gate nor guard."""
        return self.labels.get("app.kubernetes.io/component") == "watchdog" or self.kind == "CronJob"

    def __str__(self) -> str:
        """Return its kind and name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class App:
    """An Application as its specification has it, and what it renders.

    `labels`, their values, `prune`, `values` and `resources` are None where they were not seen, and so is `retry` where
    `retry_is_seen` does not say that there is none. `values` are the Helm values and images of its specification by their
    path. `revision` is the commit that a live one was compared with. `hooks_are_seen` tells whether `resources` has the
    hooks, too, which Argo CD's status names only after a whole sync.
    """

    ref: ApplicationRef
    set_ref: ApplicationRef | None = None
    labels: Mapping[str, str | None] | None = field(default_factory=dict)
    retry: Retry | None = None
    retry_is_seen: bool = True
    prune: bool | None = False
    values: Mapping[str, str] | None = field(default_factory=dict)
    charts: tuple[Chart, ...] = ()
    is_from_git: bool = True
    resources: tuple[Resource, ...] | None = None
    revision: str = ""
    hooks_are_seen: bool = True

    @property
    def jobs(self) -> tuple[Resource, ...]:
        """The Jobs that it is known to render."""
        return tuple(one for one in self.resources or () if one.kind == "Job")

    def of_hook_chart(self, setting: str) -> str | None:
        """Return what the specification sets in this project's chart: its own chart, or a dependency under any alias."""
        for path, value in (self.values or {}).items():
            if path == setting or path.endswith(f".{setting}"):
                return value
        return None


@dataclass(frozen=True)
class ArgoCd:
    """What is known of Argo CD itself, and by what."""

    progressive_syncs: bool | None = None
    why: str = ""
    version: Version | None = None

    def is_before(self, *version: int) -> bool:
        """Tell whether its version is known and before this one."""
        return self.version is not None and self.version < version

    def is_from(self, *version: int) -> bool:
        """Tell whether its version is known and not before this one."""
        return self.version is not None and self.version >= version


@dataclass(frozen=True)
class Roles:
    """Who is who."""

    gate: ApplicationRef | None = None
    migrations: ApplicationRef | None = None
    runtime: ApplicationRef | None = None
    downstream: tuple[ApplicationRef, ...] = ()

    def __iter__(self) -> Iterator[tuple[Role, ApplicationRef]]:
        """Yield each Application with its role, in the order of a rollout."""
        for role, ref in (
            (Role.MIGRATIONS, self.migrations),
            (Role.GATE, self.gate),
            (Role.RUNTIME, self.runtime),
            *((Role.DOWNSTREAM, one) for one in self.downstream),
        ):
            if ref is not None:
                yield role, ref

    @property
    def held(self) -> tuple[ApplicationRef, ...]:
        """What the gate is to hold."""
        return tuple(ref for role, ref in self if role in {Role.RUNTIME, Role.DOWNSTREAM})


@dataclass(frozen=True)
class Seen:
    """All that an audit judges."""

    roles: Roles
    apps: Mapping[ApplicationRef, App]
    sets: Mapping[ApplicationRef, ApplicationSet]
    argocd: ArgoCd = ArgoCd()
    unseen: tuple[Unseen, ...] = ()

    def app(self, ref: ApplicationRef | None) -> App | None:
        """Return an Application, None where it was not seen or there is no such role."""
        return self.apps.get(ref) if ref is not None else None

    def set_of(self, ref: ApplicationRef | None) -> ApplicationSet | None:
        """Return the ApplicationSet of an Application, None where it was not seen."""
        app = self.app(ref)
        return self.sets.get(app.set_ref) if app is not None and app.set_ref is not None else None

    def rolling_set_of(self, ref: ApplicationRef | None) -> ApplicationSet | None:
        """Return the ApplicationSet of an Application where it rolls."""
        found = self.set_of(ref)
        return found if found is not None and is_rolling(found) else None


def is_rolling(found: ApplicationSet) -> bool:
    """Tell whether Argo CD takes it for a RollingSync (progressive_sync.go, RollingSyncStrategyEnabled)."""
    return found.strategy == "RollingSync" and bool(found.steps)
