"""A healthy world as the model's values, and how one in trouble differs from it. Times are seconds from now."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hook.decision.policy import Policy
from hook.observation.applications import Application, ApplicationRef, JobRef, Operation, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store
from hook.observation.workloads import Pod, PodState, Runtime

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN_STARTED = -60
"""When the run of `observation` began."""
BORN = -86_400
"""When its databases' schemas were made."""

MIGRATIONS = ApplicationRef("argocd", "data-migrations-temporal")
RUNTIME = ApplicationRef("argocd", "data-temporal")
BOOTSTRAP = ApplicationRef("argocd", "data-temporal-namespace-bootstrap")
GATE = ApplicationRef("argocd", "temporal-gate")

REVISION, OLDER_REVISION = ("2f1c0de",), ("0ddba11",)
COMPONENTS = ("frontend", "history", "matching", "worker")
EXPECTED = {Store.DEFAULT: SchemaVersion((1, 18)), Store.VISIBILITY: SchemaVersion((1, 9))}
JOB = JobRef("temporal", "temporal-schema")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def policy(**changes: Any) -> Policy:
    return replace(Policy(expected=EXPECTED, release=Release(1, 29, 1)), **changes)


def finding(reason: Reason, about: str = "it") -> Finding:
    return Finding(reason, about, "as seen")


def unknown(reason: Reason, about: str = "it") -> Unknown:
    return Unknown(finding(reason, about))


def operation(phase: OperationPhase = OperationPhase.SUCCEEDED, **changes: Any) -> Operation:
    """An operation of others at the present revision that began and ended half an hour ago."""
    ended_at = at(-1800) if phase.ended else None
    return replace(Operation(phase, at(-1810), ended_at, revisions=REVISION), **changes)


def application(ref: ApplicationRef = BOOTSTRAP, **changes: Any) -> Application:
    """An Application that was synced to its target, is Healthy and was compared after the run began."""
    healthy = Application(
        ref=ref,
        uid=f"uid-of-{ref.name}",
        resource_version="1",
        sync="Synced",
        health="Healthy",
        revisions=REVISION,
        compared_at=at(RUN_STARTED + 30),
        operation=operation(),
    )
    return replace(healthy, **changes)


def ahead(ref: ApplicationRef, **changes: Any) -> Application:
    """An Application whose last sync was to an older revision than the one it should be at."""
    return application(ref, **{"sync": "OutOfSync", "operation": operation(revisions=OLDER_REVISION)} | changes)


def migration(phase: MigrationPhase = MigrationPhase.IDLE, **changes: Any) -> Migration:
    idle = Migration(phase, f"Application {MIGRATIONS}", application=application(MIGRATIONS))
    return replace(idle, **changes)


def attempted(attempts: int, phase: MigrationPhase = MigrationPhase.FAILED, ended: float = -3600) -> Migration:
    """The migration after so many attempts of this run, the last of which ended so many seconds from now."""
    return migration(phase, attempts=attempts, ended_at=at(ended), message="exit code 1")


def schema(store: Store, version: str | None = None, since: float = BORN, born: float | None = BORN) -> Schema:
    """A store's schema as expected, or at a version of its own."""
    parsed = SchemaVersion.parse(version) if version else EXPECTED[store]
    return Schema(store, parsed, at(since), at(born) if born is not None else None)


def stores(**changes: Schema | Unknown) -> dict[Store, Schema | Unknown]:
    """Both schemas right, but for what is given as ``default=`` or ``visibility=``."""
    right: dict[Store, Schema | Unknown] = {store: schema(store) for store in Store}
    return right | {Store(name): changed for name, changed in changes.items()}


EMPTY = {Store.DEFAULT: Schema(Store.DEFAULT), Store.VISIBILITY: Schema(Store.VISIBILITY)}
BEHIND = stores(default=schema(Store.DEFAULT, "1.17"))


def pod(component: str, number: int = 0, **changes: Any) -> Pod:
    """A pod that has run for half a day."""
    name = f"temporal-{component}-{number}"
    running = Pod(
        namespace="temporal",
        name=name,
        uid=f"uid-of-{name}",
        component=component,
        state=PodState.RUNNING,
        image="temporalio/server:1.29.1",
        ready=True,
        started_at=at(-43_200),
    )
    return replace(running, **changes)


def in_back_off(component: str, crashed: float, reason: Reason | None = None, number: int = 0) -> Pod:
    """A pod whose server last crashed so many seconds from now, for that reason."""
    running = pod(component, number)
    return replace(
        running,
        state=PodState.BACK_OFF,
        ready=False,
        started_at=None,
        crashed_at=at(crashed),
        restarts=4,
        finding=finding(reason, f"pod temporal/{running.name}") if reason else None,
    )


def runtime(*different: Pod, wanted: Mapping[str, int] | None = None) -> Runtime:
    """One pod of each component, but for those that are given."""
    components = {one.component for one in different}
    others = (pod(component) for component in COMPONENTS if component not in components)
    return Runtime(wanted if wanted is not None else dict.fromkeys(COMPONENTS, 1), (*different, *others))


def downstream(*applications: Application) -> dict[ApplicationRef, Application | Unknown]:
    return {one.ref: one for one in applications}


def observation(**changes: Any) -> Observation:
    """A world in which all is right, but for the changes."""
    healthy = Observation(
        now=NOW,
        run=Run("run", at(RUN_STARTED)),
        migration=migration(),
        stores=stores(),
        application=application(RUNTIME),
        runtime=runtime(),
        frontend=Frontend(),
        downstream=downstream(application(BOOTSTRAP)),
    )
    return replace(healthy, **changes)


def seen_for(seconds: float, *findings: Finding) -> dict[tuple[Reason, str], datetime]:
    """Value of `since` for findings that have been there so long."""
    return {one.key: at(-seconds) for one in findings}
