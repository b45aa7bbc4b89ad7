"""The gate of a team that has rolled out, started on this machine by its own settings, its requests counted on their way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import programs, waiting
from lab.git_tree import GATE, MIGRATIONS
from lab.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.counting import CountingProxy
    from benchmarks.waiting import Wait
    from lab.team import Team

Json = dict[str, Any]


class GateProcess:
    """It has the rights of its ServiceAccount, and files of its own in a directory, which is made where it is missing."""

    def __init__(self, team: Team, proxy: CountingProxy, directory: Path) -> None:
        """Make ready to reach the API server by this proxy."""
        self._team, self._proxy, self._directory = team, proxy, directory
        self._directory.mkdir(exist_ok=True)
        kubeconfig = directory / "kubeconfig"
        name = team.git.name(GATE)
        team.platform.plane.write_kubeconfig(kubeconfig, team.platform.plane.token(team.name, name))
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"] = {"server": proxy.url}
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        self.settings: Json = yaml.safe_load(
            team.client.get(f"/api/v1/namespaces/{team.name}/configmaps/{name}")["data"]["config.yaml"]
        )
        store = self.settings["stores"]["default"]
        store.pop("userFile", None)  # of its Secret, which is mounted in a pod alone
        password = str(self.write_secret("password", team.databases.password))
        store |= {"host": team.databases.host, "user": team.databases.user, "passwordFile": password}
        self.settings["temporal"]["frontend"]["address"] = team.frontend
        self.settings["kubernetes"] = {"kubeconfigFile": str(kubeconfig)}
        message = directory / "termination-log"
        message.touch()
        self.settings["report"] |= {"format": "json", "terminationMessageFile": str(message)}

    def write_secret(self, name: str, value: str) -> Path:
        """Write a file that its settings may name, as a mounted Secret is one."""
        file = self._directory / name
        file.touch(mode=0o600)
        file.write_text(value, encoding="utf-8")
        return file

    def verdict(self) -> programs.Time:
        """Let it say that all is right."""
        return programs.milliseconds(self._argv("verdict", self.settings), programs.environment())

    def wait(self, frontend: str) -> Wait:
        """Let it wait for this frontend."""
        self._proxy.requests.clear()
        temporal = self.settings["temporal"] | {"frontend": {"address": frontend}}
        argv = self._argv("wait", self.settings | waiting.SETTINGS | {"temporal": temporal})
        with Process.start(argv, log=self._directory / "wait.log", env=programs.environment()) as gate:
            return waiting.waited(gate, self._proxy.requests.all, self._team.git.name(MIGRATIONS))

    def _argv(self, name: str, settings: Json) -> list[str]:
        file = programs.write_settings(self._directory / f"{name}.yaml", settings)
        return [programs.HOOK, "run", "--config", str(file)]
