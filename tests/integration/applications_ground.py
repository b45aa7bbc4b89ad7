"""Where the contract of the ways to Applications is tried: an Argo CD with one Application, and gates that reach it.

What a case needs of it, and the stand-ins' part; the real Argo CD's is in ``tests/e2e/test_applications_contract.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

from hook.adapters.api import Api
from hook.adapters.argocd import Applications, KubernetesWay, Way
from hook.adapters.argocd_server import ServerWay
from hook.observation.applications import Application, ApplicationRef
from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import ArgoCd, ArgoCdServer, Behaviour
from lab.fake_api import FakeApi
from lab.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

WAYS = ("kubernetes", "argocd-server")
PROJECT, ROLE, READER = "default", "gate", "reader"
RUN, OTHER_RUN = "run-of-now", "run-of-before"
REQUEST_SECONDS = 5.0


class Ground(ABC):
    """One Application, compared once and never synced, and the ways to it."""

    seconds = 15.0
    """How long anything may take."""

    def __init__(self, way: str, client: ApiClient, ref: ApplicationRef, namespace: str) -> None:
        self.way = way
        self.client = client
        self.ref = ref
        self.namespace = namespace
        self.path = f"/apis/argoproj.io/v1alpha1/namespaces/{ref.namespace}/applications/{ref.name}"
        self.jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self.config_maps = f"/api/v1/namespaces/{namespace}/configmaps"

    # --- gates ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def way_with(self, rights: str = ROLE) -> Way:
        """A way with the rights of ROLE (get and sync) or READER (get)."""

    @abstractmethod
    def way_of_nobody(self) -> Way:
        """A way whose token nobody knows."""

    @abstractmethod
    def way_to_nowhere(self) -> Way:
        """A way to a server that is not there."""

    def gate(self, run: str = RUN) -> Applications:
        """A gate that may do all that it has to."""
        return Applications(self.way_with(), run)

    def look(self) -> Application:
        """The Application as a gate sees it."""
        return self.gate().read(self.ref)

    # --- others ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def commit(self, *manifests: Json) -> str:
        """What is in git from now on; the revision."""

    def raw(self) -> Json:
        """The Application as Kubernetes has it."""
        return self.client.get(self.path)

    def change(self, **spec: Any) -> None:
        """Change its specification."""
        self.client.patch(self.path, {"spec": spec})

    def sync_as_a_person(self) -> None:
        """As Argo CD's page does."""
        self.client.patch(self.path, {"operation": {"initiatedBy": {"username": "admin"}, "sync": {}}})

    # --- what comes -------------------------------------------------------------------------------------------------

    def until(self, holds: Callable[[Application], object], what: str) -> Application:
        """Wait for it."""
        return wait_until(lambda: found if holds(found := self.look()) else None, self.seconds, what) or self.look()

    def until_status(self, sync: str) -> Application:
        """Wait until it was compared so."""
        return self.until(lambda it: it.sync == sync, sync)

    def uid(self, path: str, without: str = "") -> str:
        """The uid of an object that is there, another one than the one given."""

        def found() -> str | None:
            try:
                uid = str(self.client.get(path)["metadata"]["uid"])
            except ApiError as error:
                if error.status != 404:
                    raise
                return None
            return uid if uid != without else None

        return wait_until(found, self.seconds, f"a new {path}") or ""


class StandInGround(Ground):
    """On the stand-ins: the fake API, the lab's application controller, the lab's argocd-server."""

    def __init__(self, way: str, api: FakeApi, argocd: ArgoCd, server: ArgoCdServer, directory: Path) -> None:
        super().__init__(way, api.client("cluster"), ApplicationRef("argocd", "migrations"), "data")
        self.api = api
        self.argocd = argocd
        self.server = server
        self._directory = directory
        self._stack = ExitStack()
        self._ways: dict[str, Way] = {}
        self.token = directory / "token"

    def close(self) -> None:
        """Close the gates' connections."""
        self._stack.close()
        self.client.close()

    def way_with(self, rights: str = ROLE) -> Way:
        if rights not in self._ways:
            token = self.server.create_token(PROJECT, rights)
            kubeconfig = self.api.write_kubeconfig(self._directory / rights, rights)
            self._ways[rights] = (
                self.server_way(token) if self.way == "argocd-server" else self._by_kubernetes(kubeconfig)
            )
        return self._ways[rights]

    def way_of_nobody(self) -> Way:
        kubeconfig = self.api.write_kubeconfig(self._directory / "nobody", ROLE)
        kubeconfig.write_text(
            kubeconfig.read_text().replace(self.api.kubeconfig(ROLE)["users"][0]["user"]["token"], "nobody-knows-it")
        )
        return self.server_way("no.such.token") if self.way == "argocd-server" else self._by_kubernetes(kubeconfig)

    def way_to_nowhere(self) -> Way:
        address = f"127.0.0.1:{free_port()}"
        kubeconfig = self.api.write_kubeconfig(self._directory / "nowhere", ROLE)
        kubeconfig.write_text(kubeconfig.read_text().replace(self.api.address, address))
        if self.way == "argocd-server":
            return self.server_way("x", address)
        return self._by_kubernetes(kubeconfig)

    def server_way(self, token: str, address: str = "", **options: Any) -> ServerWay:
        """By the stand-in for argocd-server, with this token."""
        way = ServerWay.connect(
            address or self.server.address,
            lambda: f"Bearer {token}",
            lambda _: PROJECT,
            REQUEST_SECONDS,
            **{"plain_text": True, **options},
        )
        return self._stack.enter_context(closing(way))

    def _by_kubernetes(self, kubeconfig: Path) -> Way:
        api = Api.connect(kubeconfig, None, REQUEST_SECONDS)
        return KubernetesWay(self._stack.enter_context(closing(api)))

    def commit(self, *manifests: Json) -> str:
        return self.argocd.commit(self.ref.name, manifests)


@contextmanager
def stand_in_ground(
    way: str, directory: Path, *manifests: Json, sources: Sequence[Json] = (), **server_options: Any
) -> Iterator[StandInGround]:
    """All of it, ready."""
    rule = {"apiGroups": ["argoproj.io"], "resources": ["applications"]}
    with FakeApi() as api, ExitStack() as stack:
        api.add_user("cluster", admin=True)
        api.add_user(ROLE, roles={"": [{**rule, "verbs": ["get", "patch"]}]})
        api.add_user(READER, roles={"": [{**rule, "verbs": ["get"]}]})
        client = stack.enter_context(closing(api.client("cluster")))
        for name in ("argocd", "data"):
            client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        projects = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects"
        client.create(projects, {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", **project()})
        argocd = ArgoCd(client, behaviour=Behaviour(resync_seconds=3600.0))
        server = stack.enter_context(ArgoCdServer(client, argocd, **server_options))
        found = StandInGround(way, api, argocd, server, directory)
        stack.callback(found.close)
        found.commit(*manifests)
        client.create(found.path.rpartition("/")[0], application(found, "https://example.org/git", sources=sources))
        stack.enter_context(argocd)
        found.until(lambda it: it.compared_at, "the first comparison")
        yield found


def project() -> Json:
    """The AppProject with the roles, by the policy lines of docs/rbac.md."""

    def policies(role: str, *actions: str) -> list[str]:
        return [f"p, proj:{PROJECT}:{role}, applications, {action}, {PROJECT}/*, allow" for action in actions]

    return {
        "metadata": {"name": PROJECT},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "roles": [
                {"name": ROLE, "policies": policies(ROLE, "get", "sync")},
                {"name": READER, "policies": policies(READER, "get")},
            ],
        },
    }


def application(ground: Ground, url: str, *, sources: Sequence[Json] = ()) -> Json:
    """The Application's object."""
    source = {"repoURL": url, "path": ".", "targetRevision": "HEAD"}
    destination = {"server": "https://kubernetes.default.svc", "namespace": ground.namespace}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": ground.ref.name},
        "spec": {
            "project": PROJECT,
            "destination": destination,
            **({"sources": list(sources)} if sources else {"source": source}),
        },
    }


def config_map(name: str, **data: str) -> Json:
    """A ConfigMap as git has it."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def suspended_job(name: str = "schema", hook: str | None = None) -> Json:
    """A Job that runs no pod and does not end, a plain one or a hook."""
    container = {"name": "main", "image": "example.org/tool:1"}
    annotations = {"annotations": {"argocd.argoproj.io/hook": hook}} if hook else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **annotations},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
