"""A world for the field cases: objects as JSON in the API, a plain Argo CD, a clock that nobody has to wait for.

The gate in it is the whole program below its command line: settings from a file, every adapter but PostgreSQL's, the loop.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from frontend_stand_in import Server

from hook.adapters import postgres
from hook.compose import Composition
from hook.decision.steps import Outcome
from hook.gate import Gate, Timing
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from hook.settings.loading import load
from lab import rollout as platform
from lab.api_client import Json
from lab.fake_api import FakeApi, store
from lab.object_status import ended_job

MIGRATIONS, RUNTIME, BOOTSTRAP = platform.MIGRATIONS, platform.RUNTIME, platform.BOOTSTRAP
NAMESPACE = platform.NAMESPACE
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SCHEMA_JOB = "temporal-schema"
HOUR, DAY = 3600.0, 86_400.0
RIGHT = {Store.DEFAULT: "1.18", Store.VISIBILITY: "1.9"}
"""What 1.29.1 expects."""


class Silent:
    """A reporter that keeps what was done."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.waited_for: list[Finding] = []

    def observed(self, _: object, __: object, step: object) -> None:
        self.waited_for += getattr(step, "findings", ())

    def acted(self, act: object, *, done: bool) -> None:
        self.acts.append(f"{type(act).__name__}{'' if done else ' refused'}")

    def ended(self, _: Outcome) -> None:
        pass


@dataclass(frozen=True)
class End:
    """How a run ended, and after how many seconds of its own clock."""

    outcome: Outcome
    seconds: float
    acts: list[str]
    waited_for: list[Finding]

    @property
    def reason(self) -> Reason:
        return self.outcome.finding.reason

    @property
    def exit_code(self) -> int:
        return int(self.reason.exit_code)

    @property
    def warnings(self) -> set[Reason]:
        return {warning.reason for warning in self.outcome.warnings}

    @property
    def text(self) -> str:
        """All that a user reads at the end."""
        findings = (self.outcome.finding, *self.outcome.missing, *self.outcome.warnings)
        return "\n".join(f"{finding}\n{finding.remedy}" for finding in findings)


@dataclass
class Field:
    """A namespace with a rollout in it. All times are seconds before now."""

    api: FakeApi
    directory: Path
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    skipped: timedelta = timedelta(0)
    stores: dict[Store, str | Schema | Finding | None] = field(default_factory=lambda: dict(RIGHT))
    born: float = 30 * DAY
    logs: dict[tuple[str, str], str] = field(default_factory=dict)
    operations: list[tuple[str, Json]] = field(default_factory=list)
    """What the gate asked Argo CD for: Application and operation."""
    phases: dict[str, str] = field(default_factory=dict)
    """How Argo CD's operations of an Application end; Succeeded where nothing is said."""
    on_sync: Callable[[str, Json], None] = lambda *_: None
    on_sleep: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.client = self.stack.enter_context(closing(self.api.client("cluster")))
        for name in ("argocd", NAMESPACE):
            self.client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        self.api.serve_logs_from(lambda _, pod, name, *__: self.logs.get((pod, name), "").encode())
        self.monkeypatch.setattr(postgres, "read", self._read_store)
        self.monkeypatch.setattr(postgres, "members", lambda *_: ())

    # --- what is there --------------------------------------------------------------------------------------------

    def ago(self, seconds: float) -> str:
        """So long ago by the API server's clock: what is made within the run is younger than what was there."""
        return (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def create(self, path: str, body: Json, *, age: float, status: Json | None = None) -> Json:
        """An object of that age, whose status is as its controller wrote it."""
        with self.monkeypatch.context() as patched:
            patched.setattr(store, "timestamp", lambda later=0: self.ago(age - later))
            made = self.client.create(path, body)
        return self.client.patch_status(f"{path}/{made['metadata']['name']}", {"status": status}) if status else made

    def application(  # noqa: PLR0913 - as many as an Application has faults
        self,
        name: str,
        *,
        health: str = "Healthy",
        sync: str = "Synced",
        revision: str = "new",
        synced_to: str = "new",
        resources: tuple[Json, ...] = (),
        state: Json | None = None,
        spec: Json | None = None,
        annotations: Mapping[str, str] | None = None,
        conditions: tuple[Json, ...] = (),
        synced: float = 2 * HOUR,
    ) -> Json:
        """An Application that was synced two hours ago; ``state`` is merged into its operationState, {} leaves it out."""
        result = {"revision": synced_to, "resources": []}
        ended = {"phase": "Succeeded", "startedAt": self.ago(synced), "finishedAt": self.ago(synced - 5)}
        given = dict(state or {})
        result |= given.pop("syncResult", {})
        operation = {**ended, "operation": {"sync": {"revision": synced_to}}, "syncResult": result, **given}
        operation = {key: value for key, value in operation.items() if value is not None}
        status = {
            "sync": {"status": sync, "revision": revision},
            "health": {"status": health},
            "reconciledAt": self.ago(20),
            "resources": list(resources),
            "conditions": list(conditions),
        } | ({} if state == {} else {"operationState": operation})
        source = {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "HEAD"}
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "annotations": dict(annotations or {})},
            "spec": {"project": "default", "source": source, "destination": {"namespace": NAMESPACE}} | (spec or {}),
            "status": {key: value for key, value in status.items() if value or key != "conditions"},
        }
        return self.create(APPLICATIONS, body, age=30 * DAY)

    def job(  # noqa: PLR0913
        self,
        name: str = SCHEMA_JOB,
        *,
        ended: str | None = None,
        message: str = "",
        age: float = 2 * HOUR,
        tool: str = "temporal-sql-tool",
        suspend: bool = False,
        init: tuple[str, ...] = (),
    ) -> str:
        """A Job, its uid; ``ended`` is Complete or Failed."""
        containers = [{"name": one, "image": "temporalio/admin-tools:1.29", "command": [tool]} for one in init]
        main = {"name": name, "image": "temporalio/admin-tools:1.29", "command": [tool]}
        pod = {"restartPolicy": "Never", "containers": [main], "initContainers": containers}
        body = {"metadata": {"name": name}, "spec": {"suspend": suspend, "template": {"spec": pod}}}
        status: Json = {"startTime": self.ago(age), "active": 1}
        if ended:
            reason = "BackoffLimitExceeded" if ended == "Failed" else "CompletionsReached"
            status = ended_job(ended, message, started=self.ago(age), ended=self.ago(age - 10), reason=reason)
        return str(self.create(JOBS, body, age=age, status=status)["metadata"]["uid"])

    def pod(  # noqa: PLR0913
        self,
        name: str,
        *,
        component: str = "",
        job: str = "",
        init: Mapping[str, Json] | None = None,
        containers: Mapping[str, Json] | None = None,
        age: float = HOUR,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        sidecars: tuple[str, ...] = (),
        **status: object,
    ) -> Json:
        """A pod by its containers' statuses, of a component of Temporal or of a Job."""
        marks = temporal(component) if component else {"batch.kubernetes.io/job-name": job}
        spec: Json = {"nodeName": "elsewhere", "restartPolicy": "Always" if component else "OnFailure"}
        for key, which in (("initContainers", init or {}), ("containers", containers or {})):
            spec[key] = [
                {"name": one, "image": "temporalio/server:1.29.1"}
                | ({"restartPolicy": "Always"} if one in sidecars else {})
                for one in which
            ]
        metadata = {"name": name, "labels": {**marks, **(labels or {})}, "annotations": dict(annotations or {})}
        shown = {"phase": "Running" if component else "Pending", **status}
        for key, which in (("initContainerStatuses", init or {}), ("containerStatuses", containers or {})):
            shown[key] = [
                {"name": one, "image": "i", "imageID": "", "ready": False, "restartCount": 0, **seen}
                for one, seen in which.items()
            ]
        return self.create(PODS, {"metadata": metadata, "spec": spec}, age=age, status=shown)

    def servers(self, *without: str, age: float = DAY) -> None:
        """Temporal's servers, which run since they were made."""
        for component in ("frontend", "history", "matching", "worker"):
            if component not in without:
                self.deployment(component)
                up = {f"temporal-{component}": self.running(age)}
                ready = [{"type": "Ready", "status": "True"}]
                self.pod(f"temporal-{component}-0", component=component, containers=up, age=age, conditions=ready)

    def deployment(self, component: str, *, labels: Mapping[str, str] | None = None, **status: object) -> Json:
        marks = {**temporal(component), **(labels or {})}
        pod = {"containers": [{"name": f"temporal-{component}", "image": "temporalio/server:1.29.1"}]}
        template = {"metadata": {"labels": marks}, "spec": pod}
        spec = {"replicas": 1, "selector": {"matchLabels": marks}, "template": template}
        body = {"metadata": {"name": f"temporal-{component}", "labels": marks}, "spec": spec}
        return self.create(DEPLOYMENTS, body, age=DAY, status=dict(status) or None)

    # --- the states of containers ---------------------------------------------------------------------------------

    def running(self, since: float = HOUR) -> Json:
        return {"state": {"running": {"startedAt": self.ago(since)}}, "ready": True, "started": True}

    def back_off(self, restarts: int, code: int = 1, reason: str = "Error", crashed: float = 100) -> Json:
        ended = {"exitCode": code, "reason": reason, "startedAt": self.ago(crashed), "finishedAt": self.ago(crashed)}
        waiting = {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}
        return {"restartCount": restarts, "state": {"waiting": waiting}, "lastState": {"terminated": ended}}

    def ended(self, code: int = 0) -> Json:
        times = {"startedAt": self.ago(100), "finishedAt": self.ago(90)}
        return {"state": {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", **times}}}

    # --- the run --------------------------------------------------------------------------------------------------

    def run(self, *, run: Run | None = None, frontend: Server | None = None, **changes: Any) -> End:
        """Run the gate from one minute ago on, with the defaults of its settings, until it ends."""
        address = (frontend or self.stack.enter_context(Server())).address
        password = self.directory / "password"
        password.write_text("never-shown", encoding="utf-8")
        kubeconfig = self.api.write_kubeconfig(self.directory / "kubeconfig.yaml", "gate")
        settings: Json = {
            "temporal": {"version": "1.29.1", "frontend": {"address": address}},
            "stores": {"default": {"host": "unused", "user": "temporal", "passwordFile": str(password)}},
            "migrations": {"application": {"name": MIGRATIONS}},
            "runtime": {"application": {"name": RUNTIME}, "namespace": NAMESPACE},
            "downstream": [{"name": BOOTSTRAP}],
            "gate": {"name": platform.GATE},
            "kubernetes": {"kubeconfigFile": str(kubeconfig)},
            "report": {"events": False},
            "intervalSeconds": 20,
        } | changes
        config = self.directory / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        loaded, reporter, began = load(config), Silent(), self._clock()
        run = run or Run("run", self.now - timedelta(seconds=60))
        timing = Timing(
            clock=self._clock,
            sleep=self._sleep,
            interval=timedelta(seconds=loaded.interval_seconds),
            limit=timedelta(seconds=loaded.deadline_seconds),
            longest=timedelta(seconds=loaded.migration_deadline_seconds),
        )
        with Composition(loaded) as parts:
            outcome = Gate(parts.world(lambda: run), loaded.policy(), timing, reporter, lambda: None).run()
        return End(outcome, (self._clock() - began).total_seconds(), reporter.acts, reporter.waited_for)

    def syncs_of(self, name: str) -> list[Json]:
        """What the gate asked for, of one Application."""
        return [operation["sync"] for of, operation in self.operations if of == name]

    def deleted(self) -> list[str]:
        """The pods that the gate deleted."""
        asked = self.api.requests.by("gate")
        return [one.path.partition("?")[0].rpartition("/")[2] for one in asked if one.method == "DELETE"]

    @property
    def passed(self) -> float:
        """Seconds since it was made, by the run's clock: what a slow machine took of them as well."""
        return (self._clock() - self.now).total_seconds()

    def _clock(self) -> datetime:
        return datetime.now(UTC) + self.skipped

    def _sleep(self, seconds: float) -> None:
        """Let others do their part meanwhile."""
        self.on_sleep()
        for application in self.client.list(APPLICATIONS):
            if application["metadata"].get("annotations", {}).get("argocd.argoproj.io/skip-reconcile") != "true":
                self._reconcile(application)
        self.skipped += timedelta(seconds=seconds)

    def _reconcile(self, application: Json) -> None:
        """What Argo CD does of an operation and of a request for a comparison."""
        name, operation = application["metadata"]["name"], application.get("operation")
        refresh = "argocd.argoproj.io/refresh" in application["metadata"].get("annotations", {})
        if not operation and not refresh:
            return
        now = self._clock()
        status: Json = {"reconciledAt": (now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")}
        if operation:
            self.operations.append((name, operation))
            ended = now.strftime("%Y-%m-%dT%H:%M:%SZ")
            result = {"revision": operation["sync"].get("revision", ""), "resources": []}
            state = {"phase": self.phases.get(name, "Succeeded"), "startedAt": ended, "finishedAt": ended}
            status["operationState"] = {**state, "operation": operation, "syncResult": result}
            self.on_sync(name, operation)
        body = {"operation": None, "status": status, "metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}}
        self.client.patch(f"{APPLICATIONS}/{name}", body)

    def _read_store(self, which: Store, *_: object) -> Schema:
        seen = self.stores[which]
        if isinstance(seen, Finding):
            raise FindingError(seen)
        if isinstance(seen, Schema):
            return seen
        born = self.now - timedelta(seconds=self.born)
        return Schema(which, SchemaVersion.parse(seen), born, born) if seen else Schema(which)


def temporal(component: str) -> dict[str, str]:
    """The labels of Temporal's chart."""
    return {
        "app.kubernetes.io/name": "temporal",
        "app.kubernetes.io/instance": "temporal",
        "app.kubernetes.io/component": component,
    }


def managed(name: str = SCHEMA_JOB, kind: str = "Job", health: str | None = None, **more: object) -> Json:
    """A resource in an Application's status."""
    group = {"Job": "batch", "CronJob": "batch", "Ingress": "networking.k8s.io"}.get(kind, "")
    shown = {"health": {"status": health}} if health else {}
    return {"group": group, "kind": kind, "namespace": NAMESPACE, "name": name, "status": "Synced", **shown, **more}


def by_hook(name: str = SCHEMA_JOB) -> Json:
    """An operationState whose sync runs this Job as a hook."""
    made = {"group": "batch", "kind": "Job", "namespace": NAMESPACE, "name": name, "hookType": "Sync"}
    message = f"waiting for completion of hook batch/Job/{name}"
    return {"phase": "Running", "finishedAt": None, "message": message, "syncResult": {"resources": [made]}}


def worlds(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    """For a fixture."""
    with FakeApi() as api, ExitStack() as stack:
        api.add_user("cluster", admin=True)
        api.add_user("gate", roles=platform.gate_roles())
        yield Field(api, directory, monkeypatch, stack)
