"""etcd, kube-apiserver and kube-controller-manager as local processes on 127.0.0.1.

Knows their command lines; nothing of what is deployed, and nothing of nodes. Services get addresses of the loopback
network, each control plane of another part of it, so that a proxy on this machine can listen on them.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from lab.api_client import ApiClient, ApiError
from lab.control_plane import builds, keys
from lab.control_plane.component import Component
from lab.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from lab.control_plane.builds import KubernetesBuild

TOKEN_SECONDS = 24 * 3600
"""How long a token of ``ControlPlane.token`` is valid: longer than any lab lives."""

CONTEXT = "lab"
"""That of every kubeconfig that a control plane writes."""

_HOST = "127.0.0.1"
_ISSUER = "https://kubernetes.default.svc"
_NETWORKS = range(100, 128)
"""N of 127.N.0.0/16; lower ones are the machine's own (127.0) and pods' (``lab/kubelet/address.py``)."""
_NETWORK_LOCKS = Path(tempfile.gettempdir()) / f"temporal-recovery-hook-networks-{os.getuid()}"
_CONTROLLER_MANAGER = "system:kube-controller-manager"


class ControlPlane:
    """One control plane, its state in a directory that exists and is empty.

    As a context manager it is started, which takes some seconds, and at the end killed. ``url``, ``address``, the
    tokens and the objects stay the same over ``stop_api_server`` and ``start_api_server``.
    """

    def __init__(self, build: KubernetesBuild, directory: Path) -> None:
        self.build = build
        self.directory = directory = directory.resolve()  # the processes run in it
        self.address = (_HOST, free_port())
        self.url = f"https://{_HOST}:{self.address[1]}"
        self.ca_file = directory / "keys" / "ca.crt"
        self.kubeconfig = directory / "admin.kubeconfig"
        self.service_network = ""
        self._tokens = {name: secrets.token_urlsafe(24) for name in ("admin", _CONTROLLER_MANAGER)}
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
    def kubelet_certificate(self) -> tuple[Path, Path]:
        """Certificate and key that a kubelet on 127.0.0.1 serves with.

        The API server trusts them, and shows a certificate of ``ca_file`` in turn.
        """
        return self._made.kubelet.certificate, self._made.kubelet.key

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
            self.service_network = stack.enter_context(_service_network())
            self._keys = keys.make(self.directory / "keys", (_first_address(self.service_network),))
            self.write_kubeconfig(self.kubeconfig, self._tokens["admin"])
            etcd = stack.enter_context(self._started_etcd())
            stack.callback(self.stop_api_server)
            self._api_server = self._started_api_server()
            etcd.wait_until_answers(f"http://{_HOST}:{self._etcd_port}/health")
            self.start_api_server()
            controller_manager = stack.enter_context(self._started_controller_manager())
            controller_manager.wait_until(self._controllers_work, "the namespace default has its ServiceAccount")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.client.close()

    @property
    def _made(self) -> keys.Keys:
        if self._keys is None:
            raise RuntimeError("the control plane has not been started")
        return self._keys

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
        lines = [("admin", "system:masters"), (_CONTROLLER_MANAGER, "")]
        tokens.write_text("".join(f'{self._tokens[user]},{user},{user},"{group}"\n' for user, group in lines))
        made = self._made
        argv = [
            str(self.build.api_server),
            f"--etcd-servers=http://{_HOST}:{self._etcd_port}",
            f"--bind-address={_HOST}", f"--advertise-address={_HOST}", f"--secure-port={self.address[1]}",
            "--endpoint-reconciler-type=none",
            f"--service-cluster-ip-range={self.service_network}",
            "--authorization-mode=RBAC", "--anonymous-auth=false", "--allow-privileged=true",
            f"--token-auth-file={tokens}",
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
        kubeconfig = self.directory / "kube-controller-manager.kubeconfig"
        self.write_kubeconfig(kubeconfig, self._tokens[_CONTROLLER_MANAGER])
        argv = [
            str(self.build.controller_manager),
            f"--kubeconfig={kubeconfig}",
            f"--service-account-private-key-file={self._made.service_accounts}",
            f"--root-ca-file={self._made.authority}",
            "--use-service-account-credentials=true", "--leader-elect=false",
            # Endpoints in the loopback network are refused by validation: these three would fail for every Service.
            "--controllers=*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller",
            "--secure-port=0",
            # The default of 20 a second costs seconds of the start: each controller gets an account and a token first.
            "--kube-api-qps=1000", "--kube-api-burst=1000",
            f"--flex-volume-plugin-dir={self.directory / 'flexvolume'}",  # made where it is missing, by default in /usr
        ]  # fmt: skip
        return Component(argv, name="kube-controller-manager", directory=self.directory)


@contextmanager
def _service_network() -> Iterator[str]:
    """A network such as 127.64.0.0/16 that no other control plane of this machine has for the length of the block."""
    _NETWORK_LOCKS.mkdir(exist_ok=True)
    for number in _NETWORKS:
        lock = FileLock(_NETWORK_LOCKS / str(number), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            yield f"127.{number}.0.0/16"
        finally:
            lock.release()
        return
    raise RuntimeError(f"{len(_NETWORKS)} control planes on this machine are the most there can be")


def _first_address(network: str) -> str:
    """That of the Service kubernetes."""
    return network.replace(".0/16", ".1")
