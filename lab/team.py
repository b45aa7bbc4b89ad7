"""One team on the platform: its repository, its database, its ApplicationSet; what its people do, and what they can look at.

It knows how a person acts (a commit, a sync, a look) and nothing of how the gate works. Everything of a team is named
after it, so that teams are out of each other's way: a namespace, the Applications' prefix, a PostgreSQL of its own.
"""

from __future__ import annotations

import os
import signal
import time
import uuid
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from lab import team_report, temporal_client
from lab.api_client import ApiClient, ApiError
from lab.control_plane import argocd
from lab.control_plane.git import Repository
from lab.git_tree import GATE, TEMPORAL_NAMESPACE, GitTree
from lab.history import History, Watched
from lab.object_status import back_off_ends, component_of, is_in_back_off, sync_and_health
from lab.postgres import Postgres
from lab.processes import wait_until
from lab.team_gate import TeamGate
from lab.temporal import Databases, Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.platform import Cluster, Platform

T = TypeVar("T")
Json = dict[str, Any]

PATIENCE_SECONDS = 300.0
SERVERS = frozenset({"frontend", "history", "matching", "worker"})
SECRET = "temporal-db-app"  # noqa: S105 -- its name
_DATABASE = "temporal-db-rw"
_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""The strictest of the Pod Security Standards."""
POD_SECURITY = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
"""What the namespaces of teams ask of a pod and its containers: the restricted Pod Security Standard."""
_LOOK_SECONDS = 0.5
_ENDED = frozenset({"Succeeded", "Failed", "Error"})


class Team:
    """A team whose name is its namespace; its repository is empty until it commits, its databases are there and empty.

    With a ``spoke`` all of it runs there, and the platform's Argo CD is the hub; that has to know the spoke's cluster.
    """

    def __init__(self, platform: Platform, name: str, spoke: Cluster | None = None) -> None:
        self.platform = platform
        self.cluster = spoke or platform
        self.name = name
        self.client: ApiClient = self.cluster.client
        """Where its namespace is."""
        self.hub: ApiClient = platform.client
        """Where its Applications are."""
        self.postgres = Postgres(self.cluster.host)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start its database, and make what its platform gives it: a namespace with the database's Secret."""
        with ExitStack() as stack:
            stack.enter_context(self.postgres)
            self.databases = Databases(self.postgres.host, self.postgres.port, "temporal", "not-for-anyones-eyes")
            self.postgres.create_role(self.databases.user, self.databases.password)
            self._create_databases()
            self.repository = Repository(self.platform.directory / f"git-{self.name}")
            self._database_host = f"{_DATABASE}.{self.name}.svc"
            self.git = self._tree("rollout")
            self.client.create("/api/v1/namespaces", {"metadata": {"name": self.name, "labels": _RESTRICTED}})
            self.cluster.name_outside(self.name, _DATABASE, self.postgres.port)
            self.set_password(self.databases.password)
            self.history = stack.enter_context(History(self._watched()))
            stack.callback(self._leave)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Take everything of it off the platform."""
        self._stack.close()

    # --- what its people do -----------------------------------------------------------------------------------------

    def follow(self, example: str) -> None:
        """Take another of the examples, by its folder there, before anything of it is changed."""
        self.git = self._tree(example)

    def commit(self, message: str) -> str:
        """Commit its tree as it is now, and tell Argo CD's Applications, as a webhook does; the revision."""
        revision = self.repository.commit(self.git.files(), message)
        refresh = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}
        for application in self.applications():
            try:
                self.hub.patch(f"{argocd.APPLICATIONS}/{self.git.name(application)}", refresh)
            except ApiError as error:
                if error.status != 404:  # noqa: PLR2004 -- not generated yet
                    raise
        return revision

    def apply(self) -> None:
        """Apply its ApplicationSet: for the first time, or as it is now."""
        self.hub.create_or_patch(argocd.APPLICATION_SETS, self.git.application_set)

    def roll_out(self, message: str = "Temporal") -> str:
        """Commit and apply: what a first rollout is; the revision."""
        revision = self.commit(message)
        self.apply()
        return revision

    def sync(self, application: str, *, retries: int = 0, replaced_job: str | None = None) -> str:
        """Sync an Application as a person does, or replace only a Job of it, once another sync has ended: `try_to_sync`."""
        return self.until(
            lambda: self.try_to_sync(application, retries=retries, replaced_job=replaced_job),
            f"{application} to be free for a sync",
        )

    def try_to_sync(self, application: str, *, retries: int = 0, replaced_job: str | None = None) -> str:
        """Sync an Application as a person does by Argo CD's command line or page.

        Those refuse while another sync is under way: empty, then. Else an id, which the operationState carries.
        """
        name, asked = self.git.name(application), uuid.uuid4().hex
        operation: Json = {
            "initiatedBy": {"username": "admin"},
            "info": [{"name": "sync", "value": asked}],
            "sync": {"revision": "main", "syncStrategy": {"hook": {}}, "prune": False},
        }
        if retries:
            operation["retry"] = {"limit": retries}
        if replaced_job:
            job = {"group": "batch", "kind": "Job", "namespace": self.name, "name": replaced_job}
            operation["sync"] |= {
                "resources": [job],
                "syncOptions": ["Replace=true"],
                "syncStrategy": {"apply": {"force": True}},
            }

        found = self.application(application)
        state = found.get("status", {}).get("operationState") or {}
        if "operation" in found or state.get("phase", "Succeeded") not in _ENDED:
            return ""
        body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "operation": operation}
        try:
            self.hub.patch(f"{argocd.APPLICATIONS}/{name}", body)
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            return ""
        return asked

    def sync_to_end(self, application: str) -> Json:
        """Sync and wait for the end of that operation; its operationState."""
        mine = {"name": "sync", "value": self.sync(application)}

        def ended() -> Json | None:
            # By its history: RollingSync may write another one within a tenth of a second.
            for version in self.history.versions("Application", self.git.name(application)):
                state: Json = version.body.get("status", {}).get("operationState") or {}
                if mine in (state.get("operation", {}).get("info") or []) and state.get("phase") in _ENDED:
                    return state
            return None

        return self.until(ended, f"the sync of {application} to end") or {}

    def terminate(self, application: str) -> None:
        """End its operation, as a person does by Argo CD's command line or page; returns at once."""
        path = f"{argocd.APPLICATIONS}/{self.git.name(application)}"
        self.hub.patch(path, {"status": {"operationState": {"phase": "Terminating"}}})

    def set_password(self, password: str) -> None:
        """Write the database's Secret, as an operator for PostgreSQL does."""
        self.add_secret(SECRET, password)

    def add_secret(self, name: str, password: str) -> None:
        """Write a Secret with the database's role and this password."""
        data = {"username": self.databases.user, "password": password}
        body = {"metadata": {"name": name, "namespace": self.name}, "stringData": data}
        self.client.create_or_patch(f"/api/v1/namespaces/{self.name}/secrets", body)

    def migrate(self, release: str | None = None) -> None:
        """Run the migrations by hand, with the tool of a release; the lab's first where none is named."""
        builds = self.cluster.builds
        Schema(builds[release or next(iter(builds))].schema_tool, self.databases).migrate()

    def replace_databases(self) -> None:
        """Drop both databases under whatever runs on them, and make them anew, empty."""
        for name in (self.databases.default, self.databases.visibility):
            self.postgres.drop_database(name)
        self._create_databases()

    def kill(self, pod: Json) -> None:
        """SIGKILL the processes of a pod, as the kernel does where memory runs out."""
        for pid in self.cluster.pids(pod["metadata"]["uid"]):
            os.kill(pid, signal.SIGKILL)

    def delete(self, path: str) -> None:
        """Delete an object of its namespace, such as ``pods/NAME``."""
        self.client.delete(f"/api/v1/namespaces/{self.name}/{path}")

    def start_workflow(self, namespace: str = TEMPORAL_NAMESPACE) -> str:
        """The proof of the end: a workflow's id. A new namespace takes a second to be known everywhere."""
        said = ""

        def started() -> str:
            nonlocal said
            try:
                return temporal_client.start_workflow(self.frontend, namespace)
            except (temporal_client.CallError, ApiError) as error:
                said = str(error)
                return ""

        try:
            return wait_until(started, 30.0, "a workflow to start", _LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"no workflow starts: {said}\n\n{self.describe()}") from None

    # --- what can be looked at --------------------------------------------------------------------------------------

    @property
    def frontend(self) -> str:
        """``host:port`` of the frontend's Service."""
        service = self.client.get(f"/api/v1/namespaces/{self.name}/services/temporal-frontend")
        return f"{service['spec']['clusterIP']}:7233"

    def applications(self) -> list[str]:
        """The names of those that its ApplicationSet generates, without the team's."""
        generators = self.git.application_set["spec"]["generators"][0]["matrix"]["generators"]
        return [one["name"].removeprefix(f"{self.name}-") for one in generators[1]["list"]["elements"]]

    def application(self, application: str) -> Json:
        """An Application as it is now."""
        return self.hub.get(f"{argocd.APPLICATIONS}/{self.git.name(application)}")

    def operation(self, application: str) -> Json:
        """Its operationState, empty where there is none."""
        return dict(self.application(application).get("status", {}).get("operationState") or {})

    def state(self, application: str) -> tuple[str, str]:
        """Sync and health as Argo CD's page shows them, such as ``("Synced", "Healthy")``."""
        return sync_and_health(self.application(application))

    def steps(self) -> dict[str, str]:
        """The ApplicationSet's status by Application, such as ``Healthy`` or ``Waiting``."""
        found = self.hub.get(f"{argocd.APPLICATION_SETS}/{self.name}").get("status", {}).get("applicationStatus") or []
        return {one["application"].removeprefix(f"{self.name}-"): one["status"] for one in found}

    def objects(self, group: str, kind: str, selector: str | None = None) -> list[Json]:
        """Objects of its namespace: ``group`` such as ``api/v1`` or ``apis/batch/v1``, ``kind`` in the plural."""
        return self.client.list(f"/{group}/namespaces/{self.name}/{kind}", label_selector=selector)

    def pods(self, component: str | None = None) -> list[Json]:
        """Temporal's pods, the web page's too, or those of one component; not those on their way out."""
        selector = "app.kubernetes.io/name=temporal,app.kubernetes.io/component" + (
            f"={component}" if component else "!=database"
        )
        found = self.objects("api/v1", "pods", selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pod_uids(self) -> dict[str, str]:
        """The pods' uids by component; a component with several pods has one of them."""
        return {component_of(pod): pod["metadata"]["uid"] for pod in self.pods()}

    def events(self, application: str) -> list[str]:
        """The gate's Events on an Application, as ``Reason: message``, oldest first."""
        name = self.git.name(application)
        found = [
            one
            for one in self.hub.list(f"/api/v1/namespaces/{argocd.NAMESPACE}/events")
            if one["involvedObject"].get("name") == name and one.get("reportingComponent") == "temporal-recovery-hook"
        ]
        found.sort(key=lambda one: one.get("eventTime") or one.get("lastTimestamp") or "")
        return [f"{one['reason']}: {one['message']}" for one in found]

    def gate(self, name: str = GATE) -> TeamGate:
        """One of its gates, by its Application's name without the team's."""
        return TeamGate(self.client, self.history, self.cluster.logs, self.name, self.git.name(name))

    def log(self, pod: Json, container: str | None = None, *, previous: bool = False) -> str:
        """A pod's log, as ``kubectl logs`` shows it."""
        query = f"?tailLines=300{f'&container={container}' if container else ''}{'&previous=true' if previous else ''}"
        return self.client.get_text(f"/api/v1/namespaces/{self.name}/pods/{pod['metadata']['name']}/log{query}")

    def schema_versions(self) -> tuple[str | None, str | None]:
        """What the two version rows say, None where there is none."""
        default, visibility = (self._version(name) for name in (self.databases.default, self.databases.visibility))
        return default, visibility

    # --- waiting ----------------------------------------------------------------------------------------------------

    def until(self, holds: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait for it; a ``TimeoutError`` describes what there was instead."""
        try:
            return cast("T", wait_until(lambda: _answer(holds), seconds, what, _LOOK_SECONDS))
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n\n{self.describe()}") from None

    def until_rolled_out(
        self, *applications: str, revision: str | None = None, seconds: float = PATIENCE_SECONDS
    ) -> None:
        """Until these Applications, by default all, are Synced and Healthy, and their steps done, at this revision."""
        wanted = applications or tuple(self.applications())

        def done() -> bool:
            steps = self.steps()
            return all(steps.get(one) == "Healthy" and self._is_at(one, revision) for one in wanted)

        self.until(done, f"{', '.join(wanted)} to be Synced, Healthy and done", seconds)

    def until_crash_looping(self, *, back_off_seconds: float = 0.0) -> None:
        """Until all four servers' pods are in back-off, each for so many more seconds at least."""

        def crash_loops() -> bool:
            now = time.time()
            ends = {component_of(pod): back_off_ends(pod) for pod in self.pods() if is_in_back_off(pod)}
            return ends.keys() >= SERVERS and min(ends.values()) - now >= back_off_seconds

        self.until(crash_loops, f"a crash loop with a back-off of {back_off_seconds:g} s")

    def until_serving(self) -> None:
        """Until the frontend serves."""

        def serves() -> bool:
            try:
                return temporal_client.health(self.frontend) == "SERVING"
            except temporal_client.CallError:
                return False

        self.until(serves, "Temporal to serve")

    def holds_for(self, seconds: float, holds: Callable[[], object], what: str) -> None:
        """Look for so long that it stays so. Raises ``AssertionError``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not holds():
                raise AssertionError(f"not for {seconds:g} s: {what}\n\n{self.describe()}")
            time.sleep(_LOOK_SECONDS)

    def describe(self) -> str:
        """What a person would look at first, in words."""
        return team_report.describe(self)

    # ----------------------------------------------------------------------------------------------------------------

    def _is_at(self, application: str, revision: str | None) -> bool:
        found = self.application(application)
        at = revision in (None, found.get("status", {}).get("sync", {}).get("revision"))
        return at and sync_and_health(found) == ("Synced", "Healthy")

    def _tree(self, example: str) -> GitTree:
        tree = GitTree(self.name, self.repository.url, self.databases, self._database_host, example)
        if self.cluster is not self.platform:
            tree.deploy_to(self.cluster.plane.url)
        return tree

    def _create_databases(self) -> None:
        for name in (self.databases.default, self.databases.visibility):
            self.postgres.create_database(name, owner=self.databases.user)

    def _version(self, database: str) -> str | None:
        if not self.postgres.execute(database, "SELECT to_regclass('schema_version') IS NOT NULL")[0][0]:
            return None
        rows = self.postgres.execute(database, "SELECT curr_version FROM schema_version")
        return str(rows[0][0]) if rows else None

    def _watched(self) -> list[Watched]:
        def ours(body: Json) -> bool:
            return str(body["metadata"]["name"]).startswith(f"{self.name}-") or body["metadata"]["name"] == self.name

        def on_ours(body: Json) -> bool:
            return str(body.get("involvedObject", {}).get("name", "")).startswith(f"{self.name}-")

        return [
            Watched(self.hub, "Application", argocd.APPLICATIONS, ours),
            Watched(self.hub, "ApplicationSet", argocd.APPLICATION_SETS, ours),
            Watched(self.client, "Pod", f"/api/v1/namespaces/{self.name}/pods"),
            Watched(self.client, "Job", f"/apis/batch/v1/namespaces/{self.name}/jobs"),
            Watched(self.client, "ConfigMap", f"/api/v1/namespaces/{self.name}/configmaps"),
            Watched(self.hub, "Event", f"/api/v1/namespaces/{argocd.NAMESPACE}/events", on_ours),
        ]

    def _leave(self) -> None:
        """Its ApplicationSet first, or that would make its Applications anew; their ends are not waited for.

        A sync that runs is ended: it would go on, and make the namespace anew.
        """
        self._delete(self.hub, f"{argocd.APPLICATION_SETS}/{self.name}")
        for application in self.applications():
            with suppress(ApiError):  # it is not there
                if self.operation(application).get("phase") == "Running":
                    self.terminate(application)
            self._delete(self.hub, f"{argocd.APPLICATIONS}/{self.git.name(application)}")
        self._delete(self.client, f"/api/v1/namespaces/{self.name}")

    def _delete(self, client: ApiClient, path: str) -> None:
        try:
            client.delete(path)
        except ApiError as error:
            if error.reason != "NotFound":
                raise


def _answer(holds: Callable[[], T]) -> T | None:
    """None while the API server is away or the object is not there yet."""
    try:
        return holds()
    except ApiError as error:
        if error.status in (0, 404) or error.status >= 500:  # noqa: PLR2004
            return None
        raise
