"""What a gate costs while it waits: memory, and requests and bytes a turn in a small and in a crowded cluster."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Row, Table
from benchmarks.frontend import Frontend
from lab import rollout
from lab.processes import free_port, wait_until
from lab.rollout import ARGO_CD_NAMESPACE, MIGRATIONS, NAMESPACE, RUNTIME
from lab.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.fake_api import Request
    from lab.processes import Process
    from lab.toolchain import TemporalBuild

TURNS, _MANY_TURNS = 20, 200
APPLICATIONS, PODS = 2000, 500
_LONGEST_SECONDS = 120.0
SETTINGS: dict[str, Any] = {"intervalSeconds": 0.1, "deadlineSeconds": 600}
"""Turns are what is counted here; at the default of 2 s they would only be slower to come."""

_MB = 1000 * 1000


@dataclass(frozen=True)
class Wait:
    """One gate that waited."""

    peak: float
    """Megabytes."""
    turns: list[list[Request]]
    """What each asked."""

    @property
    def requests(self) -> list[float]:
        """How many, by turn."""
        return [float(len(turn)) for turn in self.turns]

    @property
    def bytes(self) -> list[float]:
        """Of answers, by turn."""
        return [float(sum(request.bytes_sent for request in turn)) for turn in self.turns]

    def only(self, what: str) -> Wait:
        """Return the same with those requests alone whose path has this in it."""
        return Wait(self.peak, [[one for one in turn if what in one.path] for turn in self.turns])


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it."""
    with World(build, directory) as world, Frontend() as frontend:
        world.roll_out()
        world.gate().wait(60)
        world.argocd.stop()  # it would compare two thousand Applications all the time
        causes: dict[str, dict[str, Any]] = {
            "database unreachable": {"stores": {"default": {"port": free_port()}}},
            "frontend NOT_SERVING": {"temporal": {"frontend": {"address": frontend.address}}},
        }
        small, crowded = "3 Applications", f"{APPLICATIONS} Applications, {PODS} pods"
        waits: dict[tuple[str, str], list[Wait]] = defaultdict(list)
        for size in (small, crowded):
            if size == crowded:
                _crowd(world)
            for _ in range(rounds):
                for cause, changes in causes.items():
                    waits[cause, size].append(_wait(world, changes, TURNS))
        long = {cause: [_wait(world, changes, _MANY_TURNS)] for cause, changes in causes.items()}
    memory, traffic = [], []
    for cause in causes:
        first, second = waits[cause, small], waits[cause, crowded]
        base = [one.peak for one in first]
        memory.append(Row(f"{cause}, {small}", "MB", base, base=base, digits=1))
        memory.append(Row(f"{cause}, {crowded}", "MB", [one.peak for one in second], base=base, digits=1))
        memory.append(
            Row(f"{cause}, the same after {_MANY_TURNS} turns", "MB", [one.peak for one in long[cause]], base, 1)
        )
        for unit in ("requests", "bytes"):
            few, many = ([each for one in found for each in getattr(one, unit)] for found in (first, second))
            traffic.append(Row(f"{cause}, {small}", f"{unit} a turn", few, base=few))
            traffic.append(Row(f"{cause}, {crowded}", f"{unit} a turn", many, base=few))
    return [
        Table(
            "Memory of a waiting gate",
            f"VmHWM of /proc/PID/status, the peak of resident memory, after {TURNS} turns of waiting. The ratio is to the "
            "same wait in the small cluster.",
            memory,
        ),
        Table(
            "What a waiting gate asks of the API a turn",
            f"As the API's stand-in counted them: requests, and bytes of answers, n turns of {rounds} gates each. The "
            f"ratio is to the same wait in the small cluster. Of the {PODS} pods half are in the runtime's namespace.",
            traffic,
            notes=["A few bytes of difference are digits of resourceVersions, which grow as the cluster does."],
        ),
    ]


def _wait(world: World, changes: dict[str, Any], turns: int) -> Wait:
    """Let a gate of this world wait for so many turns."""
    world.api.requests.clear()
    gate = world.gate(**SETTINGS, **changes)
    return waited(gate, lambda: world.api.requests.by("gate"), MIGRATIONS, turns)


def waited(gate: Process, requests: Callable[[], Sequence[Request]], migrations: str, turns: int = TURNS) -> Wait:
    """Let a gate wait for so many turns, then end it; the migrations Application is what a turn reads first, and once."""

    def asked() -> list[list[Request]]:
        """Split what was asked into turns."""
        found: list[list[Request]] = []
        for request in requests():
            if request.method == "GET" and request.path.endswith(f"/applications/{migrations}"):
                found.append([])
            if found:
                found[-1].append(request)
        return found

    wait_until(lambda: gate.poll() is not None or len(asked()) > turns, _LONGEST_SECONDS, f"{turns} turns")
    if gate.poll() is not None:
        raise RuntimeError(f"the gate ended instead of waiting:\n{gate.tail()}")
    status = Path(f"/proc/{gate.pid}/status").read_text(encoding="ascii")
    gate.stop()
    whole = asked()[2 : turns - 1]  # the first reads what it then remembers
    return Wait(peak=_kilobytes(status, "VmHWM") * 1024 / _MB, turns=whole)


def _kilobytes(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no {name} in /proc/PID/status")
    return int(found[1])


def _crowd(world: World) -> None:
    """Fill the cluster with other teams' Applications and pods; the pods are another node's business."""
    status = world.application(RUNTIME)["status"]
    for number in range(APPLICATIONS):
        application = {**rollout.application(f"team-{number}"), "status": status}
        world.client.create(f"/apis/argoproj.io/v1alpha1/namespaces/{ARGO_CD_NAMESPACE}/applications", application)
    for number in range(PODS):
        namespace = (NAMESPACE, "default")[number % 2]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"team-{number}", "labels": {"app.kubernetes.io/name": f"team-{number}"}},
            "spec": {"nodeName": "another", "containers": [{"name": "team", "image": "team"}]},
        }
        world.client.create(f"/api/v1/namespaces/{namespace}/pods", pod)
