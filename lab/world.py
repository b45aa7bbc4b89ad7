"""The world of the demo and the integration tests: real PostgreSQL and Temporal, stand-ins for Kubernetes and Argo CD.

Everything listens on loopback, and everything it starts ends with it. It knows how to put the world into a state, how to
run the gate in it as a process of its own, and what a person would look at; what a scenario is stands in ``scenarios``.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar

import yaml

from lab import rollout, temporal_client
from lab.argocd import REFRESH, ArgoCd
from lab.controllers import ControllerManager
from lab.fake_api import FakeApi
from lab.kubelet import ProcessKubelet
from lab.object_status import is_ready
from lab.postgres import Postgres
from lab.processes import Process, wait_until
from lab.rollout import ARGO_CD_NAMESPACE, BOOTSTRAP, GATE, MIGRATIONS, NAMESPACE, RUNTIME, TEMPORAL_NAMESPACE
from lab.temporal import Databases, Schema, ServerConfig, Store

if TYPE_CHECKING:
    from pathlib import Path

    from lab.api_client import ApiClient, Json
    from lab.toolchain import TemporalBuild

T = TypeVar("T")

_PATIENCE_SECONDS = 60.0
_RESTART_BACKOFF_SECONDS = 60.0
"""The kubelet's is 10 s, doubling. Servers that have crashed for minutes wait so long, and do not mend themselves
while a slow machine is still at the scenario."""
_APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGO_CD_NAMESPACE}/applications"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_SELECTOR = "app.kubernetes.io/name=temporal"
ANOTHER_NAMESPACE = "orders-anew"
"""Registered in a replaced database: one of the old name is remembered by its old id for a while (seen)."""

_SERVER_ROLE = "temporal_server"

_CRASH = re.compile(
    r"(sql schema version compatibility check failed: |panic: |Failed to lock )[^\n]*?(?=\\n|\\t|\n|\",|$)"
)
"""What a crashed server says of it, up to the stack trace."""


class World:
    """One cluster with Temporal's rollout in git and nothing of it synced; its two databases are there and empty."""

    def __init__(self, build: TemporalBuild, directory: Path, *, plain_jobs: bool = False) -> None:
        """Prepare; ``plain_jobs`` makes migrations and bootstrap managed Jobs instead of hooks."""
        self.directory = directory
        self.postgres = Postgres()
        self.api = FakeApi()
        self.unpullable: set[str] = set()
        self._build = build
        self._hooks = not plain_jobs
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start everything."""
        with ExitStack() as stack:
            stack.enter_context(self.postgres)
            stack.enter_context(self.api)
            self.databases = self._make_databases()
            self.schema = Schema(self._build.schema_tool, self.databases)
            self.config = ServerConfig(self._build, self.databases, self.directory / "temporal")
            self.client = self._make_cluster()
            self._kubelet = stack.enter_context(
                ProcessKubelet(
                    self.client,
                    [NAMESPACE],
                    self.directory / "kubelet",
                    unpullable=self.unpullable,
                    restart_backoff_seconds=_RESTART_BACKOFF_SECONDS,
                )
            )
            self.api.serve_logs_from(self._kubelet.container_log)
            stack.enter_context(ControllerManager(self.client, [NAMESPACE]))
            self.argocd = stack.enter_context(ArgoCd(self.client, ARGO_CD_NAMESPACE))
            self._commit()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stack.close()

    def _make_databases(self) -> Databases:
        databases = Databases(self.postgres.host, self.postgres.port, "temporal", "not-for-anyones-eyes")
        self.postgres.create_role(databases.user, databases.password)
        self._create_both(databases)
        return databases

    def _create_both(self, databases: Databases) -> None:
        for name in (databases.default, databases.visibility):
            self.postgres.create_database(name, owner=databases.user)

    def _make_cluster(self) -> ApiClient:
        self.api.add_user("cluster", admin=True)
        self.api.add_user("gate", roles=rollout.gate_roles())
        client = self.api.client("cluster")
        for name in (ARGO_CD_NAMESPACE, NAMESPACE):
            client.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        client.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", rollout.secret(self.databases))
        return client

    def _commit(self) -> None:
        self.argocd.commit(MIGRATIONS, rollout.migrations(self.schema, hook=self._hooks))
        self.argocd.commit(RUNTIME, rollout.runtime(self.config, self._build.schema_tool.release))
        self.argocd.commit(BOOTSTRAP, rollout.bootstrap(self.config.address, hook=self._hooks))
        self.argocd.commit(GATE, [])
        for name in rollout.APPLICATIONS:
            self.client.create(_APPLICATIONS, rollout.application(name))
        for name in rollout.APPLICATIONS:
            self._until_compared(name)

    def _until_compared(self, name: str) -> None:
        self._until(lambda: "reconciledAt" in self.application(name).get("status", {}), f"{name} to be compared")

    # --- what happens to it ---------------------------------------------------------------------------------------

    def sync(self, application: str) -> Json:
        """Sync an Application as RollingSync or a person does, to the end of the operation; its operationState."""
        before = self.operation(application).get("startedAt"), self.operation(application).get("finishedAt")
        self.argocd.sync(application)

        def ended() -> Json | None:
            found = self.application(application)
            state: Json = found.get("status", {}).get("operationState", {})
            if "operation" in found or state.get("phase") not in {"Succeeded", "Failed", "Error"}:
                return None
            return state if (state["startedAt"], state["finishedAt"]) != before or state else None

        return self._until(ended, f"the sync of {application} to end") or {}

    def until_failed(self, application: str) -> None:
        """Until an Application's operation failed, or its plain Job."""

        def failed() -> bool:
            status = self.application(application)["status"]
            return "Failed" in status["operationState"]["phase"] or "Degraded" in status["health"]["status"]

        self._until(failed, f"{application} to fail")

    def roll_out(self) -> None:
        """Everything in its order, to the end: what a rollout is when nothing goes wrong."""
        self.sync(MIGRATIONS)
        self.sync(RUNTIME)
        self.until_serving()
        self.sync(BOOTSTRAP)

    def replace_databases(self) -> None:
        """Drop both databases under whatever runs on them, and make them anew, empty."""
        for name in (self.databases.default, self.databases.visibility):
            self.postgres.drop_database(name)
        self._create_both(self.databases)

    def serve_as_another_role(self) -> None:
        """Let the servers log in by a role of their own, which may use none of the tables."""
        self.postgres.create_role(_SERVER_ROLE, self.databases.password)
        for name in (self.databases.default, self.databases.visibility):
            self.postgres.execute(name, f"GRANT CONNECT ON DATABASE {name} TO {_SERVER_ROLE}")
        weak = replace(self.databases, user=_SERVER_ROLE)
        self.config = ServerConfig(self._build, weak, self.directory / "temporal-weak")
        self.commit(RUNTIME, rollout.runtime(self.config, self._build.schema_tool.release))

    def commit(self, application: str, manifests: list[Json]) -> None:
        """Commit, and wait until Argo CD has seen it."""
        revision = self.argocd.commit(application, manifests)
        self.client.patch(f"{_APPLICATIONS}/{application}", {"metadata": {"annotations": {REFRESH: "normal"}}})
        self._until(
            lambda: self.application(application)["status"]["sync"].get("revision") == revision, "the commit to be seen"
        )

    def duplicate_cluster_metadata(self) -> None:
        """Give another cluster's row the present cluster's initial failover version."""
        self.postgres.execute(
            self.databases.default,
            "INSERT INTO cluster_metadata_info (metadata_partition, cluster_name, data, data_encoding, version) "
            "SELECT metadata_partition, 'second', decode(replace(encode(data, 'hex'), encode('active', 'hex'), "
            "encode('second', 'hex')), 'hex'), data_encoding, version FROM cluster_metadata_info",
        )

    def use_standby(self) -> None:
        """Let the gate meet a standby of the database server."""
        standby = self.postgres.standby()
        self._stack.callback(standby.remove)
        self.databases = replace(self.databases, port=standby.port)

    def delete(self, pod: Json) -> None:
        """Delete a pod, as a person does."""
        self.client.delete(f"{_PODS}/{pod['metadata']['name']}")

    # --- the gate -------------------------------------------------------------------------------------------------

    def settings(self, **changes: Any) -> Json:
        """The gate's settings in this world, with ``changes`` merged into them block by block."""
        settings: Json = {
            "temporal": {"version": self._build.schema_tool.release, "frontend": {"address": self.config.address}},
            "stores": {
                "default": {
                    "host": self.databases.host,
                    "port": self.databases.port,
                    "user": self.databases.user,
                    "passwordFile": str(self._password_file()),
                }
            },
            "migrations": {"application": {"name": MIGRATIONS}},
            "runtime": {"application": {"name": RUNTIME}, "namespace": NAMESPACE},
            "downstream": [{"name": BOOTSTRAP}],
            "gate": {"name": GATE},
            "kubernetes": {"kubeconfigFile": str(self.directory / "kubeconfig.yaml")},
            "report": {"format": "json", "terminationMessageFile": str(self.directory / "termination-log")},
            "clockSkewSeconds": 0,
            "deadlineSeconds": 90,
            "graceSeconds": 60,
        }
        return _merged(settings, changes)

    def gate(self, *arguments: str, **changes: Any) -> Process:
        """Start the program as its own process; its log is the process's."""
        name = f"gate-{len(list(self.directory.glob('gate-*.yaml')))}"
        (self.directory / "termination-log").touch()
        self.api.write_kubeconfig(self.directory / "kubeconfig.yaml", "gate")
        config = self.directory / f"{name}.yaml"
        config.write_text(yaml.safe_dump(self.settings(**changes)), encoding="utf-8")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TRH_")}
        environment["COLUMNS"] = "118"
        argv = [sys.executable, "-m", "hook", *(arguments or ("run",)), "--config", str(config)]
        return self._stack.enter_context(Process.start(argv, log=self.directory / f"{name}.log", env=environment))

    @property
    def termination_message(self) -> str:
        """What the last gate left for Kubernetes."""
        return (self.directory / "termination-log").read_text(encoding="utf-8")

    def _password_file(self) -> Path:
        file = self.directory / "password"
        file.touch(mode=0o600)
        file.write_text(self.databases.password + "\n", encoding="utf-8")
        return file

    # --- what is looked at ----------------------------------------------------------------------------------------

    def application(self, name: str) -> Json:
        """An Application as the API has it."""
        return self.client.get(f"{_APPLICATIONS}/{name}")

    def operation(self, name: str) -> Json:
        """Its operationState, empty where there is none."""
        state: Json = self.application(name).get("status", {}).get("operationState") or {}
        return state

    def pods(self) -> list[Json]:
        """Temporal's pods, the web page's too."""
        return self.client.list(_PODS, label_selector=_SELECTOR)

    def pod_uids(self) -> dict[str, str]:
        """The pods' uids by component."""
        return {pod["metadata"]["labels"]["app.kubernetes.io/component"]: pod["metadata"]["uid"] for pod in self.pods()}

    def events(self) -> list[Json]:
        """The Events on Applications."""
        return self.client.list(f"/api/v1/namespaces/{ARGO_CD_NAMESPACE}/events")

    def until_crash_looping(self, components: int = 4) -> None:
        """Until so many components' pods are in back-off."""
        self._until(lambda: sum(map(is_in_back_off, self.pods())) >= components, "Temporal's pods to crash-loop")

    def until_serving(self) -> None:
        """Until the frontend serves and every pod of the runtime runs."""
        self._until(self._serves, "Temporal to serve")

    def start_workflow(self, namespace: str = TEMPORAL_NAMESPACE) -> str:
        """The proof of the end: a workflow's id. Raises ``CallError``.

        Asked for a moment: a namespace that was just registered takes up to a second to be known to all services.
        """
        errors: list[temporal_client.CallError] = []

        def started() -> str | None:
            try:
                return temporal_client.start_workflow(self.config.address, namespace)
            except temporal_client.CallError as error:
                errors.append(error)
                return None

        try:
            return wait_until(started, 15, "a workflow to start", 0.2) or ""
        except TimeoutError:
            raise errors[-1] from None

    def crash(self, component: str) -> str:
        """The last line of a crashed server's log, shortened: why it crashed."""
        pod = next(pod for pod in self.pods() if pod["metadata"]["labels"]["app.kubernetes.io/component"] == component)
        name = pod["metadata"]["name"]
        container = f"temporal-{component}"
        log = self._kubelet.container_log(NAMESPACE, name, container, previous=True, tail_lines=300, limit_bytes=None)
        found = _CRASH.search((log or b"").decode(errors="replace"))
        return found.group(0) if found else "for another cause, see its log"

    def frontend_says_serving(self) -> bool:
        """Whether its health says so, which proves nothing."""
        return temporal_client.health(self.config.address) == "SERVING"

    def workflow_refusal(self) -> str:
        """Why no workflow can start. Raises ``AssertionError`` where one can."""
        temporal_client.register_namespace(self.config.address, ANOTHER_NAMESPACE)

        def refused() -> str | None:
            try:
                temporal_client.start_workflow(self.config.address, ANOTHER_NAMESPACE)
            except temporal_client.CallError as error:
                return None if error.code == "NOT_FOUND" else str(error)  # the namespace is not known everywhere yet
            raise AssertionError("a workflow started")

        return str(self._until(refused, "a workflow to be refused"))

    def schema_versions(self) -> tuple[str | None, str | None]:
        """What the two version rows say, None where there is none."""
        default, visibility = (self._version(self.databases.name(store)) for store in (Store.DEFAULT, Store.VISIBILITY))
        return default, visibility

    def _version(self, database: str) -> str | None:
        if not self.postgres.execute(database, "SELECT to_regclass('schema_version') IS NOT NULL")[0][0]:
            return None
        rows = self.postgres.execute(database, "SELECT curr_version FROM schema_version")
        return str(rows[0][0]) if rows else None

    def initiators(self) -> set[str]:
        """Who wrote the Applications' last operations; the gate is ``gate``."""
        names = {
            str(self.operation(name).get("operation", {}).get("initiatedBy", {}).get("username", ""))
            for name in rollout.APPLICATIONS
        }
        return {"gate" if name == "temporal-recovery-hook" else name for name in names}

    def _serves(self) -> bool:
        try:
            serving = temporal_client.health(self.config.address) == "SERVING"
        except temporal_client.CallError:
            return False
        pods = self.pods()
        return serving and len(pods) > len(self.config.ports) and all(map(is_ready, pods))

    def _until(self, holds: Callable[[], T], what: str) -> T:
        return wait_until(holds, _PATIENCE_SECONDS, what)


def is_in_back_off(pod: Mapping[str, Any]) -> bool:
    """Whether a container of it waits out a back-off."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return any(each["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" for each in statuses)


def _merged(base: Json, changes: Mapping[str, Any]) -> Json:
    """Changes over settings; None removes one."""
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
