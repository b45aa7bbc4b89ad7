"""What is in git: Temporal's rollout as three Applications, as the team that asked for the tool has them.

The manifests follow Temporal's chart in names and labels; only the images' entrypoints are local programs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.temporal import SERVICES, Databases, Schema, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

ARGO_CD_NAMESPACE = "argocd"
NAMESPACE = "data"
MIGRATIONS = "data-migrations-temporal"
RUNTIME = "data-temporal"
BOOTSTRAP = "data-temporal-namespace-bootstrap"
GATE = "data-temporal-recovery-hook"
SCHEMA_JOB = "temporal-schema"
BOOTSTRAP_JOB = "temporal-namespace-bootstrap"
APPLICATIONS = (MIGRATIONS, RUNTIME, BOOTSTRAP, GATE)
TEMPORAL_NAMESPACE = "orders"
"""The namespace that the bootstrap Job registers in Temporal."""

SECRET = "temporal-database"  # noqa: S105 -- its name
_ROOT = Path(__file__).parent.parent


def application(name: str) -> Json:
    """An Application; what it holds is committed apart from it."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": ARGO_CD_NAMESPACE},
        "spec": {
            "project": "default",
            "source": {"repoURL": "file:///git/platform", "path": name, "targetRevision": "HEAD"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": NAMESPACE},
        },
    }


def secret(databases: Databases) -> Json:
    """The database's Secret, as the Jobs take their password from it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {"password": databases.password},
    }


def migrations(schema: Schema, *, hook: bool) -> list[Json]:
    """The migrations: one schema Job, a hook or a plain one."""
    password = {"name": "SQL_PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "password"}}}
    command = schema.migration_command(create_databases=False)
    image = f"temporalio/admin-tools:{schema.tool.release}"
    return [_job(SCHEMA_JOB, image, command, [password], hook=hook)]


def runtime(config: ServerConfig, release: str) -> list[Json]:
    """The servers, one Deployment a service, and the web page, which is none of the gate's business."""
    image = f"temporalio/server:{release}"
    servers = [_deployment(service, image, _server(config, service)) for service in SERVICES]
    return [*servers, _deployment("web", "temporalio/ui:2.44.0", ["sleep", "infinity"])]


def bootstrap(address: str, *, hook: bool) -> list[Json]:
    """The namespace bootstrap: one Job that registers a namespace in Temporal."""
    command = [sys.executable, "-m", "lab.namespace_bootstrap", address, TEMPORAL_NAMESPACE]
    environment = [{"name": "PYTHONPATH", "value": str(_ROOT)}]
    return [_job(BOOTSTRAP_JOB, "temporalio/admin-tools", command, environment, hook=hook)]


def failing_hook(mended: Path) -> Json:
    """A hook Job that fails until this file is there."""
    return _job("temporal-recovery-hook", "temporal-recovery-hook", ["test", "-e", str(mended)], [], hook=True)


def guard(name: str, settings: Path) -> Json:
    """A guard's Job as the chart makes it, of this repository's program and its settings file."""
    command = [sys.executable, "-m", "hook", "run", "--config", str(settings)]
    labels = {"TRH_RUN__ID": "batch.kubernetes.io/controller-uid", "TRH_RUN__JOB": "batch.kubernetes.io/job-name"}
    fields = {one: f"metadata.labels['{label}']" for one, label in labels.items()}
    environment: list[Json] = [
        {"name": one, "valueFrom": {"fieldRef": {"fieldPath": field}}}
        for one, field in {**fields, "TRH_RUN__NAMESPACE": "metadata.namespace"}.items()
    ]
    environment.append({"name": "PYTHONPATH", "value": str(_ROOT)})
    job = _job(name, "temporal-recovery-hook", command, environment, hook=True)
    job["metadata"]["labels"] = {"app.kubernetes.io/name": "temporal-recovery-hook"}
    job["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] = "-5"
    return job


def gate_roles() -> dict[str, list[Json]]:
    """The rights of the gate, by namespace: what the chart's Roles grant, and no more."""
    argocd = {"apiGroups": ["argoproj.io"], "resources": ["applications"]}
    return {
        ARGO_CD_NAMESPACE: [
            {**argocd, "verbs": ["get"], "resourceNames": [MIGRATIONS, RUNTIME, BOOTSTRAP, GATE]},
            {**argocd, "verbs": ["patch"], "resourceNames": [MIGRATIONS, RUNTIME, BOOTSTRAP]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ],
        NAMESPACE: [
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["list"]},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "delete"]},
            {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        ],
    }


def _job(name: str, image: str, command: Sequence[str], environment: list[Json], *, hook: bool) -> Json:
    annotations = {"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation"}
    container = {"name": name, "image": image, "command": list(command), "env": environment}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": annotations if hook else {}},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }


def _server(config: ServerConfig, service: str) -> list[str]:
    """A server's command, which does not begin before its predecessor's ports are free."""
    ports = f"{config.ports[service]},{config.membership_ports[service]}"
    return [sys.executable, "-I", "-S", str(_ROOT / "lab" / "await_ports.py"), ports, *config.argv(service)]


def _deployment(component: str, image: str, command: Sequence[str]) -> Json:
    labels = {
        "app.kubernetes.io/name": "temporal",
        "app.kubernetes.io/instance": "temporal",
        "app.kubernetes.io/component": component,
    }
    container = {"name": f"temporal-{component}", "image": image, "command": list(command)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"temporal-{component}", "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                # A frontend drains for 10 s; here nobody waits for its last answers.
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }
