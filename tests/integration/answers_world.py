"""An API server made of plain answers, by path, so that any of them may be malformed; a whole run of the gate over it.

All that the gate reads of Kubernetes and Argo CD is in it: what a healthy rollout has, and what one in trouble has.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes.client import Configuration

import hook.adapters.connection
from hook.adapters import postgres
from hook.adapters.api import Api
from hook.adapters.connection import Connection
from hook.compose import Composition
from hook.gate import Gate, Timing
from hook.observation.observation import Frontend, Observation
from hook.observation.redaction import Secrets
from hook.observation.versions import Schema, SchemaVersion, Store
from hook.report.listeners import EventsListener
from hook.report.teller import Notice, Teller
from hook.settings.settings import Settings

if TYPE_CHECKING:
    import pytest

    from hook.decision.policy import Policy
    from hook.decision.steps import Act, Outcome, Step

Json = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARGO = "/apis/argoproj.io/v1alpha1/namespaces"
JOBS = "/apis/batch/v1/namespaces/data/jobs"
PODS = "/api/v1/namespaces/data/pods"
RIGHT = {Store.DEFAULT: "1.18", Store.VISIBILITY: "1.9"}


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def application(name: str, *, health: str, phase: str, job: str, hook: str = "") -> Json:
    """One as Argo CD 3.6 shows it, with a Job that it manages or, as a hook, ran."""
    one = {"group": "batch", "version": "v1", "kind": "Job", "namespace": "data", "name": job}
    managed = {**one, "status": "Synced", "health": {"status": health}, "requiresPruning": False, "hook": bool(hook)}
    ran = {**one, "status": "Synced", "hookPhase": phase, "hookType": hook or "", "syncPhase": "Sync", "message": ""}
    other = {"group": "", "version": "v1", "kind": "Service", "namespace": "data", "name": "s", "status": "Synced"}
    sync = {"revision": "c0ffee", "prune": True, "syncOptions": ["CreateNamespace=true"]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": "argocd",
            "uid": f"uid-{name}",
            "resourceVersion": "41",
            "creationTimestamp": ago(9000),
            "annotations": {"argocd.argoproj.io/manifest-generate-paths": "."},
            "ownerReferences": [
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "a", "uid": "u"}
            ],
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "main"},
            "sources": None,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "data"},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True, "enabled": True},
                "syncOptions": ["CreateNamespace=true"],
            },
        },
        "status": {
            "sync": {"status": "Synced", "revision": "c0ffee", "revisions": None},
            "health": {"status": health},
            "reconciledAt": ago(-3600),
            "resources": [managed, {**other, "health": {"status": "Healthy"}}],
            "conditions": [{"type": "SyncError", "message": "it went wrong", "lastTransitionTime": ago(100)}],
            "operationState": {
                "phase": phase,
                "message": "successfully synced (all tasks run)",
                "retryCount": 0,
                "startedAt": ago(600),
                "finishedAt": ago(500),
                "operation": {
                    "sync": sync,
                    "info": [{"name": "reason", "value": "none"}],
                    "retry": {"limit": 5, "backoff": {"duration": "5s", "factor": 2}},
                },
                "syncResult": {"revision": "c0ffee", "revisions": None, "resources": [ran]},
            },
        },
    }


def tool(name: str) -> Json:
    return {"name": name, "image": "admin-tools:1.29", "command": ["temporal-sql-tool"], "args": ["update-schema"]}


def job(name: str, uid: str, condition: str) -> Json:
    """A Job that ended."""
    told = {
        "type": condition,
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "it has reached the limit",
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "data",
            "uid": uid,
            "creationTimestamp": ago(600),
            "annotations": {"argocd.argoproj.io/tracking-id": "gate:batch/Job:data/gate"},
        },
        "spec": {"suspend": False, "template": {"spec": {"initContainers": [tool(name)], "containers": [tool(name)]}}},
        "status": {
            "startTime": ago(600),
            "completionTime": ago(500),
            "conditions": [{**told, "lastTransitionTime": ago(500), "lastProbeTime": ago(500)}],
        },
    }


def pod(name: str, component: str, container: Json, **status: object) -> Json:
    """A pod of one main container and one native sidecar."""
    sidecar = {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}
    runs = {
        "name": "proxy",
        "ready": True,
        "restartCount": 0,
        "image": "proxy:1",
        "state": {"running": {"startedAt": ago(900)}},
    }
    ready = {"type": "Ready", "status": str(container.get("ready", False)), "reason": "", "message": ""}
    return {
        "metadata": {
            "name": name,
            "namespace": "data",
            "uid": f"uid-{name}",
            "creationTimestamp": ago(900),
            "labels": labels(component),
            "annotations": {"kubectl.kubernetes.io/default-container": "temporal"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": f"{component}-5d", "uid": "uid-j", "controller": True}],
        },
        "spec": {
            "initContainers": [sidecar],
            "containers": [
                {"name": "temporal", "image": "server:1.29.1", "readinessProbe": {"tcpSocket": {"port": 1}}}
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "reason": "Evicted",
            "message": "The node was low on memory",
            "conditions": [ready, {"type": "PodScheduled", "status": "True", "reason": "", "message": ""}],
            "initContainerStatuses": [{**runs, "state": {"running": {"startedAt": ago(900)}}}],
            "containerStatuses": [
                {"name": "temporal", "ready": False, "image": "server:1.29.1", "restartCount": 3, **container}
            ],
            **status,
        },
    }


def labels(component: str) -> Json:
    return {
        "app.kubernetes.io/name": "temporal",
        "app.kubernetes.io/instance": "temporal",
        "app.kubernetes.io/component": component,
    }


def ended(code: int) -> Json:
    return {
        "terminated": {
            "exitCode": code, "reason": "Error", "message": "", "startedAt": ago(700), "finishedAt": ago(690),
        }
    }  # fmt: skip


def answers(*, servers_run: bool = False) -> dict[str, Json]:
    """What each path gives: a migration that failed, servers that crash-loop or cannot start, a bootstrap that failed."""
    runs = {"state": {"running": {"startedAt": ago(700)}}, "lastState": {}, "ready": True}
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    creates = {"waiting": {"reason": "ContainerCreating", "message": ""}}
    crashed = runs if servers_run else {"state": back_off, "lastState": ended(1)}
    creating = runs if servers_run else {"state": creates, "restartCount": 0}
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}

    def owner(name: str) -> Json:
        metadata = {"name": name, "namespace": "data", "labels": labels(name)}
        return {"metadata": metadata, "spec": {"replicas": 1}, "status": {"conditions": [condition]}}

    def listed(*items: Json) -> Json:
        return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "7"}, "items": list(items)}

    event = {"reason": "FailedMount", "message": "no such Secret", "type": "Warning", "lastTimestamp": ago(50)}
    return {
        f"{ARGO}/argocd/applications/migrations": application(
            "migrations", health="Healthy" if servers_run else "Degraded", phase="Succeeded", job="temporal-schema"
        ),
        f"{ARGO}/argocd/applications/runtime": application("runtime", health="Healthy", phase="Succeeded", job="other"),
        f"{ARGO}/argocd/applications/bootstrap": application(
            "bootstrap", health="Healthy", phase="Failed", job="seed", hook="Sync"
        ),
        f"{JOBS}/temporal-schema": job("temporal-schema", "uid-j", "Complete" if servers_run else "Failed"),
        f"{JOBS}/seed": job("seed", "uid-s", "Failed"),
        f"{JOBS}/gate": job("gate", "uid-gate", "Complete"),
        f"{PODS}?app": listed(
            pod("history-1", "history", crashed),
            pod("worker-1", "worker", creating, phase="Running" if servers_run else "Pending"),
            pod("frontend-1", "frontend", runs if servers_run else {**runs, "ready": False, "lastState": ended(137)}),
        ),
        f"{PODS}?batch": listed(pod("temporal-schema-x", "database", {"state": ended(1)}, phase="Failed")),
        "/apis/apps/v1/namespaces/data/deployments": listed(owner("history"), owner("frontend")),
        "/apis/apps/v1/namespaces/data/statefulsets": listed(owner("worker")),
        f"{ARGO}/data/rollouts": listed(owner("matching")),
        "/api/v1/namespaces/data": {"kind": "Namespace", "metadata": {"name": "data"}},
        "/api/v1/namespaces/data/events": listed(event),
        "written": {"kind": "Application", "metadata": {"resourceVersion": "42"}},
    }


class Client:
    """In the place of the official client: what it sends is answered from a table. A path that is not there is 404."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.rest_client = self
        self.pool_manager = urllib3.PoolManager()
        self.configuration = Configuration()

    def close(self) -> None:
        pass

    def param_serialize(
        self, method: str, path: str, query_params: list[tuple[str, str]], **_: object
    ) -> tuple[Any, ...]:
        selector = dict(query_params).get("labelSelector", "")
        return method, f"{path}?{selector.partition('.')[0]}" if path == PODS else path, {}

    def call_api(self, method: str, path: str, _: Json, **__: object) -> Response:
        if path.endswith("/log"):
            return Response(200, b"{")
        if method != "GET":
            return Response(200, json.dumps(self.answers["written"]).encode())
        if path not in self.answers:
            return Response(404, b'{"kind": "Status", "reason": "NotFound", "message": "not found"}')
        return Response(200, json.dumps(self.answers[path]).encode())


class Response:
    def __init__(self, status: int, content: bytes) -> None:
        self.status = status
        self.response = self
        self._content = io.BytesIO(content)

    def read1(self, size: int, *, decode_content: bool) -> bytes:
        assert decode_content
        return self._content.read(size)

    def getheader(self, name: str) -> str | None:
        return NOW.strftime("%a, %d %b %Y %H:%M:%S GMT") if name == "Date" else None


SETTINGS = {
    "temporal": {"version": "1.29.1"},
    "stores": {"default": {"host": "unused", "user": "temporal", "passwordFile": "/dev/null"}},
    "migrations": {"application": {"name": "migrations"}},
    "runtime": {"application": {"name": "runtime"}, "namespace": "data"},
    "downstream": [],
    "gate": {"name": "gate"},
    "run": {"id": "uid-gate", "job": "gate", "namespace": "data"},
    "intervalSeconds": 1000,
}


@dataclass
class Told:
    """All that a run said, and what it did."""

    outcome: Outcome | None = None
    acts: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    seen: list[tuple[Observation, Step]] = field(default_factory=list)

    @property
    def end(self) -> tuple[object, ...]:
        """What a run comes to, without the words."""
        assert self.outcome is not None
        return self.outcome.finding.reason, {one.reason for one in self.outcome.warnings}, tuple(self.acts)

    @property
    def text(self) -> str:
        """Everything, for a search."""
        return f"{self.notices}{self.outcome}{[seen for seen, _ in self.seen]}"

    def hear(self, notice: Notice) -> None:
        """Keep a notice, as the log does."""
        self.notices.append(notice)


class Reporter:
    """The program's own teller, which also keeps what it heard."""

    def __init__(self, teller: Teller, told: Told) -> None:
        self._teller = teller
        self._told = told

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:
        self._told.seen.append((observation, step))
        self._teller.observed(observation, policy, step)

    def acted(self, act: Act, *, done: bool) -> None:
        self._told.acts.append(type(act).__name__)
        self._teller.acted(act, done=done)

    def ended(self, outcome: Outcome) -> None:
        self._teller.ended(outcome)


def run(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, schemas: dict[Store, str] | None = None) -> Told:
    """Run the gate over these answers, on a clock that moves by each pause; schemas are right where nothing is said."""
    told, clock = Told(), [NOW]

    def sleep(_: float) -> None:
        clock[0] += timedelta(seconds=700)

    def read_store(store: Store, *_: object) -> Schema:
        version = (RIGHT if schemas is None else schemas).get(store)
        born = NOW - timedelta(seconds=800)
        return Schema(store, SchemaVersion.parse(version), born, born) if version else Schema(store)

    settings = Settings.model_validate(SETTINGS | {"downstream": [{"name": "bootstrap"}]})
    with monkeypatch.context() as patched:
        connection = Connection(Client(given), "Kubernetes API", 5.0, "")
        patched.setattr(Api, "connect", classmethod(lambda cls, *_: cls(connection)))
        patched.setattr(hook.adapters.connection, "within", lambda _, ask: ask())  # all is answered at once
        patched.setattr(postgres, "read", read_store)
        patched.setattr(postgres, "members", lambda *_: ())
        with Composition(settings) as parts:
            teller = Teller([told, EventsListener(parts._post(), told)], Secrets())  # noqa: SLF001 -- as compose does
            timing = Timing(lambda: clock[0], sleep, timedelta(seconds=1000), timedelta(seconds=1800))
            world = replace(parts.world(parts.own_run()), frontend=Frontend)
            told.outcome = Gate(world, settings.policy(), timing, Reporter(teller, told), lambda: None).run()
    return told
