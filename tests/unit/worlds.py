"""A healthy world as the model's values, and how one in trouble differs from it. Times are seconds from now."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hook.decision.policy import Policy
from hook.observation.applications import Application, ApplicationRef, ManagedJob, Operation, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store
from hook.observation.workloads import (
    Container,
    ContainerKind,
    Job,
    JobPhase,
    JobRef,
    Owner,
    Pod,
    PodState,
    Runtime,
    Termination,
)

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
NAMESPACES = JobRef("temporal", "create-namespaces")


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


def container(name: str, kind: ContainerKind = ContainerKind.MAIN, **changes: Any) -> Container:
    return replace(Container(name, kind, image=f"example.org/{name}:1"), **changes)


def running(name: str, since: float = -43_200, **changes: Any) -> Container:
    return container(name, running_since=at(since), ready=True, **changes)


def crashed(name: str, finished: float, code: int = 1, reason: str = "Error", **changes: Any) -> Container:
    """A container in back-off that last crashed so many seconds from now."""
    last = Termination(code, reason, finished_at=at(finished))
    return replace(container(name, waiting="CrashLoopBackOff", last=last, restarts=4), **changes)


def ended(name: str, code: int = 0, started: float = -1800, finished: float = -1790, **changes: Any) -> Container:
    end = Termination(code, "Completed" if code == 0 else "Error", "", at(started), at(finished))
    return container(name, ended=end, **changes)


def pod(component: str, number: int = 0, **changes: Any) -> Pod:
    """A pod that has run for half a day; what is said of its server is its server container's."""
    name = f"temporal-{component}-{number}"
    server = f"temporal-{component}"
    of_server: dict[str, Any] = {
        "image": "temporalio/server:1.29.1",
        "running_since": at(-43_200),
        "ready": True,
        "restarts": 0,
    }
    for given, field_name in {
        "image": "image",
        "started_at": "running_since",
        "probed": "probed",
        "restarts": "restarts",
    }.items():
        if given in changes:
            of_server[field_name] = changes.pop(given)
    if changes.pop("state", PodState.RUNNING) is not PodState.RUNNING:
        of_server["running_since"] = None
    made = Pod(
        namespace="temporal",
        name=name,
        uid=f"uid-of-{name}",
        component=component,
        instance="temporal",
        owner=f"ReplicaSet/temporal-{component}-5d4f8",
        created_at=at(-43_210),
        phase="Running",
        ready=True,
        server=server,
        containers=(replace(container(server), **of_server),),
    )
    return replace(made, **changes)


def in_back_off(component: str, crash: float, reason: Reason | None = None, number: int = 0, **changes: Any) -> Pod:
    """A pod whose server last crashed so many seconds from now, for that reason."""
    made = pod(component, number)
    changed: dict[str, Any] = {
        "ready": False,
        "containers": (crashed(made.server, crash, image="temporalio/server:1.29.1"),),
        "finding": finding(reason, f"pod temporal/{made.name}") if reason else None,
    } | changes
    return replace(made, **changed)


def owner(component: str, replicas: int = 1, **changes: Any) -> Owner:
    return replace(Owner("deployments", f"temporal-{component}", component, replicas, "temporal"), **changes)


def runtime(*different: Pod, wanted: Mapping[str, int] | None = None) -> Runtime:
    """One pod of each component, but for those that are given."""
    components = {one.component for one in different}
    others = (pod(component) for component in COMPONENTS if component not in components)
    replicas = wanted if wanted is not None else dict.fromkeys(COMPONENTS, 1)
    return Runtime(tuple(owner(component, number) for component, number in replicas.items()), (*different, *others))


def job(phase: JobPhase = JobPhase.COMPLETE, ref: JobRef = JOB, *pods: Pod, **changes: Any) -> Job:
    """A Job that began half an hour ago."""
    is_over = phase in {JobPhase.COMPLETE, JobPhase.FAILED}
    made = Job(
        ref, f"uid-of-{ref.name}", phase, at(-1810), at(-1809), at(-1800) if is_over else None, makes_schema=True
    )
    return replace(made, pods=pods, **changes)


def managed(ref: JobRef = JOB, health: str | None = None, **changes: Any) -> ManagedJob:
    return replace(ManagedJob(ref, health, synced=True), **changes)


def job_pod(*containers: Container, **changes: Any) -> Pod:
    """A pod of a Job."""
    made = Pod(
        "temporal", "job-x1", "uid-of-job-x1", "job", created_at=at(-600), phase="Pending", containers=containers
    )
    return replace(made, **changes)


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
