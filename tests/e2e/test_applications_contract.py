"""The contract of the two ways to Applications, case by case, on a real Argo CD with its real argocd-server."""

# The fixture below takes the place of the imported one.
# mypy: disable-error-code="no-redef"

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import yaml
from applications_ground import PROJECT, READER, REQUEST_SECONDS, ROLE, WAYS, Ground, application, config_map, project
from test_applications_contract import *  # noqa: F403 -- the cases; their fixture is replaced below

from hook.adapters.api import Api
from hook.adapters.argocd import KubernetesWay, Way
from hook.adapters.argocd_server import ServerWay
from hook.observation.applications import ApplicationRef
from lab.api_client import Json
from lab.control_plane import argocd
from lab.control_plane.argocd_server import NAME, ArgoCdServer
from lab.control_plane.git import Repository
from lab.platform import Platform
from lab.processes import free_port, wait_until

_numbers = itertools.count(1)
RBAC = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{argocd.NAMESPACE}"
VERBS = {ROLE: ["get", "patch"], READER: ["get"]}


class RealGround(Ground):
    """On the platform: a repository of files, an Application that nothing syncs by itself, tokens as a person makes them."""

    seconds = 60.0

    def __init__(self, way: str, platform: Platform, server: ArgoCdServer, directory: Path) -> None:
        name = f"contract-applications-{next(_numbers)}"
        super().__init__(way, platform.client, ApplicationRef(argocd.NAMESPACE, name), name)
        self.repository = Repository(directory / "git")
        self._platform = platform
        self._server = server
        self._directory = directory
        self._stack = ExitStack()
        self._ways: dict[str, Way] = {}

    def close(self) -> None:
        """Close the gates' connections."""
        self._stack.close()

    def commit(self, *manifests: Json) -> str:
        return self.repository.commit({"all.yaml": yaml.safe_dump_all(manifests)}, "a commit")

    def way_with(self, rights: str = ROLE) -> Way:
        if rights not in self._ways:
            if self.way == "kubernetes":
                self._ways[rights] = self._by_kubernetes(self._platform.plane.token(argocd.NAMESPACE, rights))
            else:
                self._ways[rights] = self._by_server(self._server.create_token(PROJECT, rights), self._server.address)
        return self._ways[rights]

    def way_of_nobody(self) -> Way:
        if self.way == "kubernetes":
            return self._by_kubernetes("no.such.token")
        token = self._server.create_token(PROJECT, ROLE)
        return self._by_server(f"{token[:-6]}AAAAAA", self._server.address)

    def way_to_nowhere(self) -> Way:
        address = f"127.0.0.1:{free_port()}"
        if self.way == "kubernetes":
            return self._by_kubernetes("x", address)
        return self._by_server("x", address)

    def _by_kubernetes(self, token: str, address: str = "") -> Way:
        kubeconfig = self._directory / f"kubeconfig-{next(_numbers)}"
        self._platform.plane.write_kubeconfig(kubeconfig, token)
        if address:
            kubeconfig.write_text(kubeconfig.read_text().replace(self._platform.plane.url, f"https://{address}"))
        return KubernetesWay(self._stack.enter_context(closing(Api.connect(kubeconfig, None, REQUEST_SECONDS))))

    def _by_server(self, token: str, address: str) -> Way:
        way = ServerWay.connect(
            address,
            lambda: f"Bearer {token}",
            lambda _: PROJECT,
            REQUEST_SECONDS,
            ca_file=self._server.write_certificate(self._directory / "argocd-server.crt"),
            server_name=NAME,
        )
        return self._stack.enter_context(closing(way))


@pytest.fixture(scope="module")
def server(platforms: Callable[[str], Platform]) -> Iterator[ArgoCdServer]:
    """argocd-server, and the accounts of both ways with their rights."""
    platform = platforms("3.6")
    client = platform.client
    rule = {"apiGroups": ["argoproj.io"], "resources": ["applications"]}
    for name, verbs in VERBS.items():
        client.create(f"/api/v1/namespaces/{argocd.NAMESPACE}/serviceaccounts", {"metadata": {"name": name}})
        client.create(f"{RBAC}/roles", {"metadata": {"name": name}, "rules": [{**rule, "verbs": verbs}]})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": argocd.NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        client.create(f"{RBAC}/rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{argocd.NAMESPACE}/appprojects/{PROJECT}"
    client.patch(path, {"spec": {"roles": project()["spec"]["roles"]}})
    with ArgoCdServer(platform.argocd) as found:
        yield found
    client.patch(path, {"spec": {"roles": None}})


@pytest.fixture(params=WAYS)
def ground(
    request: pytest.FixtureRequest, platforms: Callable[[str], Platform], server: ArgoCdServer, tmp_path: Path
) -> Iterator[Ground]:
    platform = platforms("3.6")
    found = RealGround(request.param, platform, server, tmp_path)
    found.client.create("/api/v1/namespaces", {"metadata": {"name": found.namespace}})
    found.commit(config_map("a", key="value"))
    found.client.create(argocd.APPLICATIONS, application(found, found.repository.url))
    # A right and a role's token take a moment to be known.
    wait_until(lambda: "reconciledAt" in found.raw().get("status", {}), found.seconds, "the first comparison")
    found.until(lambda it: it.compared_at, "the first look")
    yield found
    found.close()
    if any(one["metadata"]["name"] == found.ref.name for one in found.client.list(argocd.APPLICATIONS)):
        found.client.delete(found.path)
    found.client.delete(f"/api/v1/namespaces/{found.namespace}")
