"""etcd, kube-apiserver, kube-controller-manager and kube-scheduler as local processes.

Knows their command lines; nothing of what is deployed, and of nodes only their names. The API server listens on the host's
end of the cluster's network, where its nodes and pods find it; etcd on 127.0.0.1.
"""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from lab.api_client import ApiClient, ApiError
from lab.control_plane import builds, keys
from lab.control_plane.component import Component
from lab.node.network import NODES, Network
from lab.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from lab.control_plane.builds import KubernetesBuild

TOKEN_SECONDS = 24 * 3600
"""How long a token of ``ControlPlane.token`` is valid: longer than any lab lives."""

CONTEXT = "lab"
"""That of every kubeconfig that a control plane writes."""

_HOST = "127.0.0.1"
_ISSUER = "https://kubernetes.default.svc"
_CONTROLLER_MANAGER = "system:kube-controller-manager"
_SCHEDULER = "system:kube-scheduler"
_PROXY = "system:kube-proxy"
_KUBELETS = tuple(f"system:node:node-{number}" for number in NODES)
_GROUPS = (
    {"admin": "system:masters"}
    | dict.fromkeys((_CONTROLLER_MANAGER, _SCHEDULER, _PROXY), "")
    | dict.fromkeys(_KUBELETS, "system:nodes")
)
"""Everybody who has a token, and their group."""


class ControlPlane:
    """One control plane, its state in a directory that exists and is empty.

    As a context manager it is started, which takes some seconds, and at the end killed. ``url``, ``address``, the
    tokens and the objects stay the same over ``stop_api_server`` and ``start_api_server``.
    """

    def __init__(self, build: KubernetesBuild, network: Network, directory: Path) -> None:
        self.build = build
        self.network = network
        self.directory = directory = directory.resolve()  # the processes run in it
        self.address = (network.host, free_port())
        self.url = f"https://{network.host}:{self.address[1]}"
        self.ca_file = directory / "keys" / "ca.crt"
        self.kubeconfig = directory / "admin.kubeconfig"
        self._tokens = {name: secrets.token_urlsafe(24) for name in _GROUPS}
        self._etcd_port = free_port()
        self._stack = ExitStack()
        self._api_server: Component | None = None
        self._keys: keys.Keys | None = None
        self._client: ApiClient | None = None

    @property
    def client(self) -> ApiClient:
        """Calls as an administrator (group system:masters)."""
        if self._client is None:
            self._client = ApiClient(self.url, self._tokens["admin"], str(self.ca_file))
        return self._client

    @property
    def keys(self) -> keys.Keys:
        """The files of its certificates and keys."""
        if self._keys is None:
            raise RuntimeError("the control plane has not been started")
        return self._keys

    def kubeconfig_of(self, user: str) -> Path:
        """Write the kubeconfig of a part of the cluster, such as ``system:node:node-1``; its path."""
        path = self.directory / f"{user.rpartition(':')[2]}.kubeconfig"
        self.write_kubeconfig(path, self._tokens[user])
        return path

    def token(self, namespace: str, service_account: str) -> str:
        """A token of a ServiceAccount that exists, by TokenRequest. Raises ``ApiError``."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        answer = self.client.create(path, request | {"spec": {"expirationSeconds": TOKEN_SECONDS}})
        token: str = answer["status"]["token"]
        return token

    def write_kubeconfig(self, path: Path, token: str) -> None:
        """Write a kubeconfig that calls with this token."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": CONTEXT, "cluster": {"server": self.url, "certificate-authority": str(self.ca_file)}},
            ],
            "users": [{"name": CONTEXT, "user": {"token": token}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
            "current-context": CONTEXT,
        }
        path.touch(0o600)
        path.write_text(json.dumps(config, indent=2))  # which is YAML too

    def start_api_server(self) -> None:
        """Start it and wait until it is ready; nothing happens where it runs. Raises as ``Component.wait_until``."""
        if self._api_server is None:
            self._api_server = self._started_api_server()
        self._api_server.wait_until(self._ready, "/readyz answers")

    def stop_api_server(self) -> None:
        """Kill it: from then on its port refuses, and the rest goes on running. SIGTERM would wait for open watches."""
        if self._api_server is not None:
            self._api_server.stop()
            self._api_server = None

    def restart_api_server(self) -> None:
        """Stop it and start it."""
        self.stop_api_server()
        self.start_api_server()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            nodes = [each for number in NODES for each in (f"node-{number}", self.network.node(number))]
            addresses = (self.network.host, self.network.service(1))
            self._keys = keys.make(self.directory / "keys", addresses, tuple(nodes))
            self.write_kubeconfig(self.kubeconfig, self._tokens["admin"])
            etcd = stack.enter_context(self._started_etcd())
            stack.callback(self.stop_api_server)
            self._api_server = self._started_api_server()
            etcd.wait_until_answers(f"http://{_HOST}:{self._etcd_port}/health")
            self.start_api_server()
            controller_manager = stack.enter_context(self._started_controller_manager())
            stack.enter_context(self._started_scheduler())
            controller_manager.wait_until(self._controllers_work, "the namespace default has its ServiceAccount")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.client.close()

    def _ready(self) -> bool:
        try:
            return self.client.get_text("/readyz") == "ok"
        except ApiError:
            return False

    def _controllers_work(self) -> bool:
        """The first thing that no API server does by itself."""
        try:
            return bool(self.client.get("/api/v1/namespaces/default/serviceaccounts/default"))
        except ApiError:
            return False

    def _started_etcd(self) -> Component:
        clients, peers = (f"http://{_HOST}:{port}" for port in (self._etcd_port, free_port()))
        argv = [
            str(builds.etcd()), "--name=lab", f"--data-dir={self.directory / 'etcd'}", "--unsafe-no-fsync",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=lab={peers}",
            "--log-level=warn",
        ]  # fmt: skip
        return Component(argv, name="etcd", directory=self.directory)

    def _started_api_server(self) -> Component:
        tokens = self.directory / "tokens.csv"
        tokens.touch(0o600)
        lines = [f'{self._tokens[user]},{user},{user},"{group}"\n' for user, group in _GROUPS.items()]
        tokens.write_text("".join(lines))
        made, host = self.keys, self.network.host
        argv = [
            str(self.build.api_server),
            f"--etcd-servers=http://{_HOST}:{self._etcd_port}",
            f"--bind-address={host}", f"--advertise-address={host}", f"--secure-port={self.address[1]}",
            f"--service-cluster-ip-range={self.network.services}",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false", "--allow-privileged=true",
            f"--token-auth-file={tokens}", f"--client-ca-file={made.authority}",
            f"--tls-cert-file={made.api_server.certificate}", f"--tls-private-key-file={made.api_server.key}",
            f"--service-account-issuer={_ISSUER}",
            f"--service-account-key-file={made.service_accounts}",
            f"--service-account-signing-key-file={made.service_accounts}",
            f"--kubelet-client-certificate={made.kubelet_client.certificate}",
            f"--kubelet-client-key={made.kubelet_client.key}",
            f"--kubelet-certificate-authority={made.authority}",
            "--kubelet-preferred-address-types=InternalIP",
        ]  # fmt: skip
        return Component(argv, name="kube-apiserver", directory=self.directory)

    def _started_controller_manager(self) -> Component:
        argv = [
            str(self.build.controller_manager),
            f"--kubeconfig={self.kubeconfig_of(_CONTROLLER_MANAGER)}",
            f"--service-account-private-key-file={self.keys.service_accounts}",
            f"--root-ca-file={self.keys.authority}",
            "--use-service-account-credentials=true", "--leader-elect=false",
            "--secure-port=0",
            # The default of 20 a second costs seconds of the start: each controller gets an account and a token first.
            "--kube-api-qps=1000", "--kube-api-burst=1000",
            f"--flex-volume-plugin-dir={self.directory / 'flexvolume'}",  # made where it is missing, by default in /usr
        ]  # fmt: skip
        return Component(argv, name="kube-controller-manager", directory=self.directory)

    def _started_scheduler(self) -> Component:
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(self.kubeconfig_of(_SCHEDULER)), "qps": 500, "burst": 500},
        }
        file = self.directory / "kube-scheduler.json"
        file.write_text(json.dumps(configuration), encoding="utf-8")
        argv = [str(self.build.scheduler), f"--config={file}", "--secure-port=0"]
        return Component(argv, name="kube-scheduler", directory=self.directory)
