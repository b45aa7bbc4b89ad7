"""argocd-server as a local process, and what a person does with its command line: roles, their tokens, other clusters.

Knows its command line, the certificate that it makes for itself, and Argo CD's own client. A scenario that needs it
starts it: nothing else of Argo CD does.
"""

from __future__ import annotations

import base64
import ssl
import subprocess
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from lab.control_plane.component import Component
from lab.control_plane.kubernetes import CONTEXT
from lab.processes import free_port
from lab.toolchain import program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from lab.control_plane.argocd import ArgoCd

NAME = "argocd-server.argocd.svc"
"""A name in the certificate that it makes; its Service's in a cluster."""

_HOST = "127.0.0.1"
_ANSWER_SECONDS = 2.0
_COMMAND_SECONDS = 60.0


class ArgoCdServer:
    """One server on one port, with TLS and its RBAC on. A context manager; it may be stopped and started again."""

    def __init__(self, argocd: ArgoCd) -> None:
        self.port = free_port()
        self.host = argocd.host
        self.address = f"{self.host}:{self.port}"
        self._argocd = argocd
        self._component: Component | None = None
        self._relay: Component | None = None
        self._logged_in = False

    def start(self) -> Self:
        """Start it and wait until it answers. Raises as ``Component.wait_until``."""
        arguments = [
            "--namespace", self._argocd.namespace, "--address", _HOST, "--port", str(self.port),
            "--metrics-address", _HOST, "--metrics-port", str(free_port()),
            "--repo-server", self._argocd.repo_server, "--redis", self._argocd.redis,
        ]  # fmt: skip
        self._component = self._argocd.started("argocd-server", arguments)
        try:
            self._relay = self._started_relay()
            self._component.wait_until(self._answers, "/healthz answers")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kill it: its port refuses from then on."""
        for component in (self._relay, self._component):
            if component is not None:
                component.stop()
        self._relay = self._component = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _started_relay(self) -> Component:
        """From the address that pods reach: the server itself asks its own port on 127.0.0.1, whatever its address."""
        listen, server = f"TCP-LISTEN:{self.port},bind={self.host},fork,reuseaddr", f"TCP:{_HOST}:{self.port}"
        argv = [str(program("socat", "socat")), listen, server]
        return Component(argv, name="argocd-server-relay", directory=self._argocd.directory)

    def _answers(self) -> bool:
        """By any certificate: it may be making its own."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with urllib.request.urlopen(f"https://{self.address}/healthz", timeout=_ANSWER_SECONDS, context=context):
                return True
        except OSError:
            return False

    def write_certificate(self, path: Path) -> Path:
        """Its certificate, which is self-signed, as a person takes it out of the Secret."""
        path.write_bytes(self._secret("argocd-secret", "tls.crt"))
        return path

    # --- what a person does -----------------------------------------------------------------------------------------

    def create_role(self, project: str, role: str) -> None:
        """``argocd proj role create``; it may do nothing yet."""
        self._run("proj", "role", "create", project, role)

    def allow(self, project: str, role: str, action: str, application: str) -> None:
        """``argocd proj role add-policy``."""
        rule = ("--action", action, "--permission", "allow", "--object", application)
        self._run("proj", "role", "add-policy", project, role, *rule)

    def create_token(self, project: str, role: str, *more: str) -> str:
        """``argocd proj role create-token``, such as with ``--expires-in 1s``."""
        return self._run("proj", "role", "create-token", project, role, "--token-only", *more).strip()

    def delete_tokens(self, project: str, role: str) -> None:
        """``argocd proj role delete-token``, of each that there is."""
        listed = self._run("proj", "role", "list-tokens", project, role, "--unixtime").splitlines()[1:]
        for issued_at in {line.split()[1] for line in listed}:
            self._run("proj", "role", "delete-token", project, role, issued_at)

    @contextmanager
    def cluster_added(self, kubeconfig: Path) -> Iterator[None]:
        """``argocd cluster add`` of the lab's context in a kubeconfig, and at the end ``argocd cluster rm``.

        Argo CD then deploys to it by an account of its own there, ``argocd-manager``.
        """
        self._run("cluster", "add", CONTEXT, "--yes", kubeconfig=kubeconfig)
        try:
            yield
        finally:
            self._run("cluster", "rm", CONTEXT, "--yes", kubeconfig=kubeconfig)

    def _run(self, *arguments: str, kubeconfig: Path | None = None) -> str:
        if not self._logged_in:
            password = self._secret("argocd-initial-admin-secret", "password").decode()
            self._logged_in = True
            self._run("login", self.address, "--username", "admin", "--password", password)
        argv = [
            *arguments,
            "--config",
            str(self._argocd.directory / "cli"),
            "--insecure",
        ]  # it is called by its address
        return self._command(argv, {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)})

    def _command(self, argv: Iterable[str], env: Mapping[str, str]) -> str:
        done = subprocess.run(
            [str(self._argocd.build.program), *argv],
            env={"ARGOCD_BINARY_NAME": "argocd", "HOME": str(self._argocd.directory / "home"), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise RuntimeError(f"argocd {' '.join(list(argv)[:3])}: {done.stderr}")
        return done.stdout

    def _secret(self, name: str, key: str) -> bytes:
        return base64.b64decode(self._argocd.secret(name)["data"][key])
