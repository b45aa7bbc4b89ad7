"""What a gate costs in a real cluster with other teams' Applications and pods, against the same cluster without them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import programs, waiting
from benchmarks.counting import CountingProxy
from benchmarks.figures import Row, Table
from benchmarks.frontend import Frontend
from lab.control_plane.argocd import APPLICATIONS, DESTINATION
from lab.git_tree import GATE, MIGRATIONS
from lab.processes import Process
from lab.team import Team

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.waiting import Wait
    from lab.platform import Platform

Json = dict[str, Any]


def table(platform: Platform, directory: Path, rounds: int) -> Table:
    """Measure it with a team of its own; the crowd stays."""
    small, crowded = "5 Applications", f"{waiting.APPLICATIONS} Applications, {waiting.PODS} pods"
    waits: dict[str, list[Wait]] = {}
    verdicts: dict[str, list[programs.Time]] = {}
    with Team(platform, "crowd") as team, Frontend() as silent:
        team.roll_out()
        team.until_rolled_out()
        with CountingProxy(platform.plane.url, platform.plane.ca_file) as proxy:
            gate = _Gate(team, proxy, directory)
            for size in (small, crowded):
                if size == crowded:
                    _crowd(team)
                gate.verdict()  # the first of each warms up
                verdicts[size] = [gate.verdict() for _ in range(rounds)]
                waits[size] = [gate.wait(silent.address) for _ in range(rounds)]
    rows = []
    for size in (small, crowded):
        for what in ("requests", "bytes"):
            values, base = ([each for one in waits[of] for each in getattr(one, what)] for of in (size, small))
            rows.append(Row(f"waiting, {size}", f"{what} a turn", values, base=base))
        peaks, base = ([one.peak for one in waits[of]] for of in (size, small))
        rows.append(Row(f"waiting, {size}", "MB", peaks, base=base, digits=1))
        for what in ("wall", "cpu"):
            values, base = ([getattr(one, what) for one in verdicts[of]] for of in (size, small))
            rows.append(
                Row(f"verdict when all is right, {size}", "ms" if what == "wall" else "CPU ms", values, base=base)
            )
    return Table(
        "A gate in a crowded cluster, on the real API server",
        "Kubernetes and Argo CD themselves; the gate as a process of its own with its ServiceAccount's token, its requests "
        f"counted on their way. It waits {waiting.TURNS} turns for a frontend that says NOT_SERVING. The ratio is to the "
        "same cluster before the others came. Of the pods half are in the runtime's namespace.",
        rows,
        notes=["The others' Applications are another project's, and Argo CD is told not to compare them."],
    )


class _Gate:
    """The gate of a team that has rolled out, started on this machine by its own settings."""

    def __init__(self, team: Team, proxy: CountingProxy, directory: Path) -> None:
        self._team, self._proxy, self._directory = team, proxy, directory
        self._directory.mkdir(exist_ok=True)
        kubeconfig = directory / "kubeconfig"
        name = team.git.name(GATE)
        team.platform.plane.write_kubeconfig(kubeconfig, team.platform.plane.token(team.name, name))
        config = json.loads(kubeconfig.read_text(encoding="utf-8"))
        config["clusters"][0]["cluster"] = {"server": proxy.url}
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        password = directory / "password"
        password.touch(mode=0o600)
        password.write_text(team.databases.password, encoding="utf-8")
        self._settings: Json = yaml.safe_load(
            team.client.get(f"/api/v1/namespaces/{team.name}/configmaps/{name}")["data"]["config.yaml"]
        )
        self._settings["stores"]["default"] |= {
            "host": team.databases.host,
            "user": team.databases.user,
            "passwordFile": str(password),
        }
        self._settings["temporal"]["frontend"]["address"] = team.frontend
        self._settings["kubernetes"] = {"kubeconfigFile": str(kubeconfig)}
        message = directory / "termination-log"
        message.touch()
        self._settings["report"] |= {"format": "json", "terminationMessageFile": str(message)}

    def verdict(self) -> programs.Time:
        """Let it say that all is right."""
        return programs.milliseconds(self._argv("verdict", self._settings), programs.environment())

    def wait(self, frontend: str) -> Wait:
        """Let it wait for this frontend."""
        self._proxy.requests.clear()
        temporal = self._settings["temporal"] | {"frontend": {"address": frontend}}
        argv = self._argv("wait", self._settings | waiting.SETTINGS | {"temporal": temporal})
        with Process.start(argv, log=self._directory / "wait.log", env=programs.environment()) as gate:
            return waiting.waited(gate, self._proxy.requests.all, self._team.git.name(MIGRATIONS))

    def _argv(self, name: str, settings: Json) -> list[str]:
        file = programs.write_settings(self._directory / f"{name}.yaml", settings)
        return [programs.HOOK, "run", "--config", str(file)]


def _crowd(team: Team) -> None:
    """Fill the cluster; the pods are for a node that is not there, and the Applications are left alone by Argo CD."""
    body = team.application(MIGRATIONS)
    for number in range(waiting.APPLICATIONS):
        name = f"another-{number}"
        source = {"repoURL": "https://git.example.org/another.git", "path": name, "targetRevision": "main"}
        metadata = {"name": name, "annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}
        spec = {
            "project": "another",
            "source": source,
            "destination": {"server": DESTINATION, "namespace": "default"},
        }
        one = {"apiVersion": body["apiVersion"], "kind": "Application", "metadata": metadata, "spec": spec}
        team.client.create(APPLICATIONS, one | {"status": body["status"]})
    for number in range(waiting.PODS):
        name = f"another-{number}"
        pod = {
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
            "spec": {"nodeSelector": {"of": "another"}, "containers": [{"name": "another", "image": "another"}]},
        }
        team.client.create(f"/api/v1/namespaces/{(team.name, 'default')[number % 2]}/pods", pod)
    team.until(
        lambda: all(pod["status"].get("conditions") for pod in team.client.list("/api/v1/pods")), "the crowd to settle"
    )
