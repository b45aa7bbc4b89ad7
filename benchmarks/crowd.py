"""What a gate costs in a real cluster with other teams' Applications and pods, against the same cluster without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import programs, verdict, waiting
from benchmarks.counting import CountingProxy
from benchmarks.figures import Row, Table
from benchmarks.frontend import Frontend
from benchmarks.gate_process import GateProcess
from lab.control_plane import builds
from lab.control_plane.argocd import APPLICATIONS, DESTINATION
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.platform import Platform
from lab.team import CONTAINER_SECURITY, POD_SECURITY, Team
from lab.toolchain import build_once, cache_directory

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.waiting import Wait
    from lab.toolchain import TemporalBuild

Json = dict[str, Any]

_ARGO_CD = "3.6"
_PROBE = "0.4.38"
_VERDICTS = 3
"""More of these than of waits, since they are short."""


def tables(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it on a control plane of its own."""
    with Platform(directory / "platform", _ARGO_CD) as platform:
        return [_table(platform, directory / "crowd", rounds)]


def _table(platform: Platform, directory: Path, rounds: int) -> Table:
    small, crowded = "5 Applications", f"{waiting.APPLICATIONS} Applications, {waiting.PODS} pods"
    waits: dict[str, list[Wait]] = {}
    verdicts: dict[str, list[programs.Time]] = {}
    scripts: dict[str, list[programs.Time]] = {}
    with Team(platform, "crowd") as team, Frontend() as silent:
        team.roll_out()
        team.until_rolled_out()
        with CountingProxy(platform.plane.url, platform.plane.ca_file) as proxy:
            gate = GateProcess(team, proxy, directory)
            script = _Script(team, directory)
            for size in (small, crowded):
                if size == crowded:
                    _crowd(team)
                gate.verdict(), script.verdict()  # the first of each warms up
                both = [(gate.verdict(), script.verdict()) for _ in range(rounds * _VERDICTS)]
                verdicts[size], scripts[size] = (list(each) for each in zip(*both, strict=True))
                waits[size] = [gate.wait(silent.address) for _ in range(rounds)]
    rows = []
    for size in (small, crowded):
        for what in ("requests", "bytes"):
            values, base = ([each for one in waits[of] for each in getattr(one, what)] for of in (size, small))
            rows.append(Row(f"waiting, {size}", f"{what} a turn", values, base=base))
        peaks, base = ([one.peak for one in waits[of]] for of in (size, small))
        rows.append(Row(f"waiting, {size}", "MB", peaks, base=base, digits=1))
        for what, unit in (("wall", "ms"), ("cpu", "CPU ms")):
            values, base = ([getattr(one, what) for one in verdicts[of]] for of in (size, small))
            rows.append(Row(f"verdict when all is right, {size}", unit, values, base=base))
            by_script = [getattr(one, what) for one in scripts[size]]
            rows.append(Row("  against a script of psql, grpc-health-probe, kubectl", unit, values, base=by_script))
            rows.append(Row("  the script", unit, by_script, base=by_script))
    return Table(
        "A gate in a crowded cluster, on the real API server",
        "Kubernetes and Argo CD themselves; the gate as a process of its own with its ServiceAccount's token, its requests "
        f"counted on their way. It waits {waiting.TURNS} turns for a frontend that says NOT_SERVING. The ratio is to the "
        "same cluster before the others came. Of the pods half are in the runtime's namespace.",
        rows,
        notes=["The others' Applications are another project's, and Argo CD is told not to compare them."],
    )


class _Script:
    """A shell script that asks what the gate of a team asks, with the rights of its ServiceAccount."""

    def __init__(self, team: Team, directory: Path) -> None:
        kubeconfig = directory / "kubeconfig-of-the-script"
        token = team.platform.plane.token(team.name, team.git.name(GATE))
        team.platform.plane.write_kubeconfig(kubeconfig, token)
        self._environment = programs.environment(
            APPLICATIONS=" ".join(team.git.name(one) for one in (MIGRATIONS, RUNTIME, BOOTSTRAP)),
            DATABASES=f"{team.databases.default} {team.databases.visibility}",
            FRONTEND=team.frontend,
            HOME=str(directory),  # kubectl keeps there what it discovered
            KUBECONFIG=str(kubeconfig),  # kubectl sends no token without TLS
            KUBECTL=str(builds.kubernetes().kubectl),
            NAMESPACE=team.name,
            PGHOST=team.databases.host,
            PGPASSWORD=team.databases.password,
            PGPORT=str(team.databases.port),
            PGUSER=team.databases.user,
            PROBE=str(_probe()),
            PSQL=str(verdict.psql()),
        )

    def verdict(self) -> programs.Time:
        """Let it ask."""
        argv = ["sh", str(verdict.SCRIPT), "stores", "probe", "kubectl"]
        return programs.milliseconds(argv, self._environment)


def _probe() -> Path:
    """Return grpc-health-probe, built once into the lab's cache."""
    kept = cache_directory() / "grpc-health-probe" / _PROBE
    package = f"github.com/grpc-ecosystem/grpc-health-probe@v{_PROBE}"
    return build_once(kept, f"grpc-health-probe {_PROBE}", ["install", package]) / "grpc-health-probe"


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
            "spec": {
                "nodeSelector": {"of": "another"},
                "securityContext": POD_SECURITY,
                "containers": [{"name": "another", "image": "another", "securityContext": CONTAINER_SECURITY}],
            },
        }
        team.client.create(f"/api/v1/namespaces/{(team.name, 'default')[number % 2]}/pods", pod)
    team.until(
        lambda: all(pod["status"].get("conditions") for pod in team.client.list("/api/v1/pods")), "the crowd to settle"
    )
