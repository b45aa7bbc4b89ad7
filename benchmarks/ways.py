"""The two ways to Applications on a real control plane: what a waiting gate asks by each, and a repair's time by each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import cluster, repair, waiting
from benchmarks.counting import CountingProxy
from benchmarks.figures import Row, Table
from benchmarks.frontend import Frontend
from benchmarks.gate_process import GateProcess
from lab import incident
from lab.control_plane.argocd_server import NAME, ArgoCdServer
from lab.git_tree import BOOTSTRAP, MIGRATIONS, RUNTIME
from lab.platform import Platform
from lab.team import Team
from lab.team_role import PROJECT, TeamRole

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.waiting import Wait
    from lab.toolchain import TemporalBuild

_ARGO_CD = "3.6"
_KUBERNETES, _SERVER = "by the Kubernetes API", "by Argo CD's own API"
_PATHS = {_KUBERNETES: "/apis/argoproj.io/", _SERVER: "/api/v1/applications/"}
_POLICIES = [
    *(("get", application) for application in (MIGRATIONS, RUNTIME, BOOTSTRAP)),
    *(("sync", application) for application in (MIGRATIONS, BOOTSTRAP)),
]


def tables(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure both on one control plane: the waits first, then the repairs, alternating, each with a team of its own."""
    with Platform(directory / "platform", _ARGO_CD) as platform, ArgoCdServer(platform.argocd) as server:
        traffic = _traffic(platform, server, directory, rounds)
        repairs: dict[str, list[dict[str, float]]] = {_KUBERNETES: [], _SERVER: []}
        for turn in range(rounds):
            for way in (_KUBERNETES, _SERVER) if turn % 2 == 0 else (_SERVER, _KUBERNETES):
                with Team(platform, f"way{turn}{'ks'[way == _SERVER]}") as team:
                    if way == _SERVER:
                        _role(team, server).set_gate(directory, NAME)
                    incident.break_by_hand(team)
                    repairs[way].append(cluster.moments(team, incident.repair(team)))
    return [traffic, *_times(repairs)]


def _role(team: Team, server: ArgoCdServer) -> TeamRole:
    role = TeamRole(team, server)
    role.allow(*_POLICIES)
    role.give_token()
    return role


def _traffic(platform: Platform, server: ArgoCdServer, directory: Path, rounds: int) -> Table:
    waits: dict[str, list[Wait]] = {_KUBERNETES: [], _SERVER: []}
    certificate = server.write_certificate(directory / "argocd-server.crt")
    with Team(platform, "waits") as team, Frontend() as silent:
        team.roll_out()
        team.until_rolled_out()
        role = _role(team, server)
        with (
            CountingProxy(platform.plane.url, platform.plane.ca_file) as api,
            # A name in the certificate that this machine resolves.
            CountingProxy(f"https://localhost:{server.port}", certificate, api.requests) as argocd,
        ):
            gates = {way: GateProcess(team, api, directory / f"gate-{number}") for number, way in enumerate(waits)}
            by_server = gates[_SERVER]
            by_server.settings["argocd"] = {
                "server": {
                    "address": argocd.url.removeprefix("http://"),
                    "plainText": True,
                    "project": PROJECT,
                    "tokenFile": str(by_server.write_secret("token", role.give_token())),
                }
            }
            for _ in range(rounds):
                for way, gate in gates.items():
                    waits[way].append(gate.wait(silent.address))
    applications = {
        f"  {way}: Applications alone": [one.only(path) for one in waits[way]] for way, path in _PATHS.items()
    }
    rows = []
    for what in ("requests", "bytes"):
        for group in (waits, applications):
            values = {name: [each for one in found for each in getattr(one, what)] for name, found in group.items()}
            base = next(iter(values.values()))
            rows += [Row(name, f"{what} a turn", found, base=base) for name, found in values.items()]
    return Table(
        "What a waiting gate asks a turn, by each way to Applications",
        "On the real API server and the real argocd-server, counted on their way: requests, and bytes of answers, of both "
        f"servers together. The gate waits {waiting.TURNS} turns for a frontend that says NOT_SERVING, and reads three "
        "Applications a turn. The ratio is to the Kubernetes API.",
        rows,
    )


def _times(repairs: dict[str, list[dict[str, float]]]) -> list[Table]:
    base = repairs[_KUBERNETES]
    reached = [
        Row(f"{name}, {way}", "s", [one[moment] for one in found], [one[moment] for one in base], digits=2)
        for name, moment in (
            ("bootstrap's Job Complete", cluster.BOOTSTRAPPED),
            ("bootstrap Healthy", cluster.REPAIRED),
            ("Passed, and the gate ends", cluster.PASSED),
        )
        for way, found in repairs.items()
    ]
    phases = {way: repair.phases(found) for way, found in repairs.items()}
    rest = [
        Row(f"to: {name}, {way}", "s", found[name], digits=2)
        for name in phases[_KUBERNETES]
        for way, found in phases.items()
    ]
    return [
        Table(
            "The incident's repair by each way to Applications",
            f"Argo CD {_ARGO_CD} on a real control plane, its argocd-server with its RBAC on; from the gate's first line, "
            "alternating, a team a repair. The ratio is to the Kubernetes API.",
            reached,
        ),
        Table("Where its time goes, by each way", "The same repairs, from one moment to the next.", rest),
    ]
