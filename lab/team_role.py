"""A team's role in a project of Argo CD: what it may do, its tokens, and the team's gates set to them.

Knows what a person does for it, by Argo CD's command line and in the team's namespace; nothing of what the gate asks for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lab.control_plane.argocd_server import ArgoCdServer
    from lab.team import Team

PROJECT = "default"

_TOKEN = "gate-argocd-token"  # noqa: S105 -- its Secret's name
_CA = "argocd-server-ca"


class TeamRole:
    """A role that has the team's name, and may do nothing yet."""

    def __init__(self, team: Team, server: ArgoCdServer) -> None:
        """Create it."""
        self.team = team
        self.server = server
        self._allowed: set[tuple[str, str]] = set()
        server.create_role(PROJECT, team.name)

    def allow(self, *policies: tuple[str, str]) -> None:
        """Let it do this with these Applications, by the examples' names; what it may already do is left."""
        for action, application in dict.fromkeys(policies):
            if (action, application) in self._allowed:
                continue
            self._allowed.add((action, application))
            self.server.allow(PROJECT, self.team.name, action, self.team.git.name(application))

    def give_token(self, *more: str) -> str:
        """Make a token and put it into its Secret."""
        token = self.server.create_token(PROJECT, self.team.name, *more)
        self._put("token", _TOKEN, token)
        return token

    def set_gate(self, scratch: Path, host: str, server_name: str = "") -> None:
        """Have the team's gate reach the server by this name: a Service's, or one that only it knows."""
        gate = self.team.git.gate
        if host.endswith(".svc"):
            name, namespace, _ = host.split(".")
            self.team.cluster.name_outside(namespace, name, self.server.port)
        else:
            gate["hostAliases"] = [{"ip": self.server.host, "hostnames": [host]}]
        self._put("ca.crt", _CA, self.server.write_certificate(scratch / "ca.crt").read_text())
        server = {
            "address": f"{host}:{self.server.port}",
            "project": PROJECT,
            "tokenSecret": {"name": _TOKEN},
            "caSecret": {"name": _CA},
            "serverName": server_name,
        }
        gate["argocd"] = {"server": server}

    def initiator(self) -> str:
        """Whom an operation is by that the gate asked for."""
        return f"proj:{PROJECT}:{self.team.name}"

    def _put(self, key: str, name: str, value: str) -> None:
        """Write a Secret of the team's namespace."""
        path = f"/api/v1/namespaces/{self.team.name}/secrets"
        body = {"metadata": {"name": name}, "stringData": {key: value}}
        if any(one["metadata"]["name"] == name for one in self.team.client.list(path)):
            self.team.client.patch(f"{path}/{name}", body)
        else:
            self.team.client.create(path, body)
