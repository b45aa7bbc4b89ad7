"""Argo CD's redis, repo-server, application-controller and applicationset-controller as local processes.

Knows their command lines and environment, and what of install.yaml they need; nothing of any Application. Each calls
the API server with the token of its own ServiceAccount, so its upstream RBAC counts.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Self

from lab.api_client import ApiClient, ApiError, Json
from lab.control_plane import builds
from lab.control_plane.component import Component
from lab.helm import helm
from lab.processes import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from lab.control_plane.builds import ArgoCdBuild
    from lab.control_plane.kubernetes import ControlPlane

NAMESPACE = "argocd"
DESTINATION = "https://kubernetes.default.svc"
_RESYNC_SECONDS = 15
"""How often an Application is compared that nobody asks to be. A comparison is a patch of the longest object there is."""
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"
APPLICATION_SETS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applicationsets"

_HOST = "127.0.0.1"
_REPO_SERVER = "argocd-repo-server"
_CONTROLLER = "argocd-application-controller"
_APPLICATION_SETS = "argocd-applicationset-controller"
_ESTABLISHED_SECONDS = 30.0

_COLLECTIONS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ServiceAccount": f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts",
    "Role": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/roles",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "RoleBinding": f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}/rolebindings",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "ConfigMap": f"/api/v1/namespaces/{NAMESPACE}/configmaps",
    "Secret": f"/api/v1/namespaces/{NAMESPACE}/secrets",
}
"""What is taken of install.yaml, and where it is created."""

_DEFAULT_PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "default"},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}
"""As argocd-server, which is not there, would make it."""
_UNHURRIED = {"ARGOCD_K8S_CLIENT_QPS": "3", "ARGOCD_K8S_CLIENT_BURST": "20"}
"""Requests a second of one client, 50 by default: while an Application that is OutOfSync is being synced, as one with a
gate that waits, Argo CD 3.2 writes the ApplicationSet's status over and over (measured: docs/install.md, its costs)."""


class ArgoCd:
    """Argo CD in the namespace argocd, its state in a directory that exists and is empty.

    As a context manager it is installed and started, which takes some seconds, and at the end killed. Applications and
    ApplicationSets are objects of the namespace argocd, their destination is ``DESTINATION`` with any namespace. They
    are looked at every 15 s, and at once where a refresh is asked for, as a webhook does. Progressive Syncs are on.
    """

    def __init__(self, plane: ControlPlane, build: ArgoCdBuild, directory: Path) -> None:
        self.build = build
        self.release = build.release
        self.directory = directory.resolve()  # the processes run in it
        self.namespace = NAMESPACE
        self.redis = self.repo_server = ""
        """Their addresses, once it is started."""
        self._plane = plane
        self._stack = ExitStack()

    @property
    def host(self) -> str:
        """The address by which pods of the cluster reach what listens on this machine."""
        return self._plane.network.host

    def secret(self, name: str) -> Json:
        """A Secret of its namespace."""
        return self._plane.client.get(f"{_COLLECTIONS['Secret']}/{name}")

    def __enter__(self) -> Self:
        self._install(self._plane.client)
        self._make_folders()
        self.redis, self.repo_server = (f"{_HOST}:{free_port()}" for _ in range(2))
        with ExitStack() as stack:
            stack.enter_context(self._started_redis(self.redis))
            processes = self._started_processes(self.repo_server, self.redis)
            started = [(stack.enter_context(one), url) for one, url in processes]
            for component, url in started:
                component.wait_until_answers(url)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # --- what it needs in the cluster -----------------------------------------------------------------------------

    def _install(self, client: ApiClient) -> None:
        client.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for one in json.loads(self.build.manifests.read_text()):
            if (collection := _COLLECTIONS.get(one["kind"])) is not None:
                client.create(collection, one)
        # argocd-server, which is not there, would make the key of the sessions; the settings are refused without one.
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        client.patch(f"{_COLLECTIONS['Secret']}/argocd-secret", {"data": {"server.secretkey": key}})
        projects = APPLICATIONS.replace("applications", "appprojects")
        for collection in (APPLICATIONS, APPLICATION_SETS, projects):
            wait_until(partial(_is_served, client, collection), _ESTABLISHED_SECONDS, f"{collection} is served")
        client.create(projects, _DEFAULT_PROJECT)

    # --- the processes --------------------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        for name in ("bin", "home", "tmp", "gnupg", "gpg", "tls", "ssh", "plugins"):
            (self.directory / name).mkdir()
        programs = [builds.git(), helm(3).path, *self.build.scripts.iterdir()]
        for path in programs:
            (self.directory / "bin" / path.name).symlink_to(path)

    def _started_processes(self, repo_server: str, redis: str) -> Iterator[tuple[Component, str]]:
        """Start one at a time, for the caller to keep, each with what answers when it is ready."""
        yield self._started_repo_server(repo_server, redis)
        yield self._started_controller(repo_server, redis)
        yield self._started_application_sets(repo_server)

    def _started_redis(self, address: str) -> Component:
        argv = [
            str(builds.redis_server()), "--bind", _HOST, "--port", address.rpartition(":")[2],
            "--save", "", "--appendonly", "no",
        ]  # fmt: skip
        return Component(argv, name="redis", directory=self.directory)

    def _started_repo_server(self, address: str, redis: str) -> tuple[Component, str]:
        metrics = free_port()
        arguments = [
            "--address", _HOST, "--port", address.rpartition(":")[2],
            "--metrics-address", _HOST, "--metrics-port", str(metrics),
            "--redis", redis, "--revision-cache-expiration", "2s",
        ]  # fmt: skip
        return self.started(_REPO_SERVER, arguments), f"http://{_HOST}:{metrics}/healthz"

    def _started_controller(self, repo_server: str, redis: str) -> tuple[Component, str]:
        metrics = free_port()
        arguments = [
            "--namespace", NAMESPACE, "--repo-server", repo_server, "--redis", redis,
            "--app-resync", str(_RESYNC_SECONDS), "--metrics-port", str(metrics),
        ]  # fmt: skip
        # It finds out from its pod's name which share of the clusters is its own. Its metrics have no address to be bound
        # to: the one server here that listens on all of the machine's.
        more = {"HOSTNAME": f"{_CONTROLLER}-0"}
        return self.started(_CONTROLLER, arguments, more), f"http://{_HOST}:{metrics}/healthz"

    def _started_application_sets(self, repo_server: str) -> tuple[Component, str]:
        metrics, probes, webhook = (f"{_HOST}:{free_port()}" for _ in range(3))
        arguments = [
            "--namespace", NAMESPACE, "--argocd-repo-server", repo_server,
            "--metrics-addr", metrics, "--probe-addr", probes, "--webhook-addr", webhook,
            "--enable-progressive-syncs",
        ]  # fmt: skip
        # Argo CD 3.6: how long RollingSync waits for Applications to notice a commit; 30 s by default. 3.2 does not wait.
        more = {"ARGOCD_APPLICATIONSET_CONTROLLER_REFRESH_GRACE_PERIOD_SECONDS": "5"} | _UNHURRIED
        return self.started(_APPLICATION_SETS, arguments, more), f"http://{metrics}/metrics"

    def started(self, name: str, arguments: list[str], more: Mapping[str, str] | None = None) -> Component:
        """Start one of its processes, with the rights of the ServiceAccount that has its name."""
        kubeconfig = self.directory / f"{name}.kubeconfig"
        self._plane.write_kubeconfig(kubeconfig, self._plane.token(NAMESPACE, name))
        folder = {
            variable: str(self.directory / folder)
            for variable, folder in (
                ("HOME", "home"),
                ("TMPDIR", "tmp"),
                ("ARGOCD_GNUPGHOME", "gnupg"),
                ("ARGOCD_GPG_DATA_PATH", "gpg"),
                ("ARGOCD_TLS_DATA_PATH", "tls"),
                ("ARGOCD_SSH_DATA_PATH", "ssh"),
                ("ARGOCD_PLUGINSOCKFILEPATH", "plugins"),
            )
        }
        env = folder | {
            "PATH": f"{self.directory / 'bin'}:{os.environ.get('PATH', os.defpath)}",
            "KUBECONFIG": str(kubeconfig),
            "ARGOCD_BINARY_NAME": name,
            "ARGOCD_FAKE_IN_CLUSTER": "true",  # in-cluster is where the kubeconfig points
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_RECONCILIATION_TIMEOUT": "5s",
            "ARGOCD_RECONCILIATION_JITTER": "0s",
        }
        return Component(
            [str(self.build.program), *arguments], name=name, directory=self.directory, env={**env, **(more or {})}
        )


def _is_served(client: ApiClient, path: str) -> bool:
    """A new CustomResourceDefinition is not in service at once."""
    try:
        client.get(path)
    except ApiError as error:
        if error.status != 404:  # noqa: PLR2004 - not found
            raise
        return False
    return True
