"""The incident on a real control plane: its repair by the gate against its limit, and left to Kubernetes alone."""

from __future__ import annotations

import time
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks import by_hand, repair
from benchmarks.figures import Row, Table
from lab import incident
from lab.control_plane.argocd import APPLICATIONS, DESTINATION
from lab.control_plane.git import BRANCH, Repository
from lab.git_tree import BOOTSTRAP, MIGRATIONS
from lab.object_status import component_of, is_in_back_off, is_ready, sync_and_health
from lab.platform import Platform
from lab.processes import wait_until
from lab.team import Team
from lab.temporal import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.api_client import ApiClient
    from lab.toolchain import TemporalBuild

Json = dict[str, Any]

_ARGO_CD = "3.6"
_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_LONGEST_BACKOFF = "back-off 5m0s"
"""As the kubelet says it."""

BOOTSTRAPPED = "bootstrap's Job Complete (Argo CD, its process)"
REPAIRED = "bootstrap Healthy in Argo CD (its look at its Job)"
PASSED = "Passed"


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure the repair, each with a team of its own."""
    limits, idle, repairs, starts, hands = [], [], [], [], []
    with Platform(directory / "platform", _ARGO_CD) as platform:
        bystander = _Bystander(platform)
        for turn in range(rounds):
            limits.append(repair.limit(build, directory / f"limit-{turn}"))
            idle.append(bystander.sync() + bystander.sync())
            with Team(platform, f"repair{turn}") as team:
                incident.break_by_hand(team)
                done = incident.repair(team)
                repairs.append(moments(team, done))
                starts.append(done.lines[0].at - done.synced)
            with Team(platform, f"hand{turn}") as team:
                incident.break_by_hand(team)
                began = time.time()
                by_hand.repair(team)
                hands.append(time.time() - began)
    whole = [limit.serving + two for limit, two in zip(limits, idle, strict=True)]
    reached = {name: [one[name] for one in repairs] for name in repairs[0]}
    row = partial(Row, unit="s", digits=2)
    against = Table(
        "The incident's repair on a real control plane, against its limit",
        f"Argo CD {platform.argocd.release}, Kubernetes' own controllers, a real node. The limit: temporal-sql-tool "
        "for both stores, four servers started at once until the frontend says SERVING, and two syncs by Argo CD of an "
        "Application of one ConfigMap that change nothing. The repair: from the gate's first log line, a team a round. By "
        "hand: from the first deletion of the schema Job on, by a machine that hesitates nowhere, all servers at once.",
        [
            row("limit", values=whole, base=whole),
            row("  of it: schema tool, both stores", values=[one.tool for one in limits], base=whole),
            row("  of it: servers' start to SERVING", values=[one.servers for one in limits], base=whole),
            row("  of it: Argo CD, two syncs that do nothing", values=idle, base=whole),
            row("by hand, by a machine: bootstrap's Job Complete", values=hands, base=whole),
            row("repair: bootstrap's Job Complete", values=reached[BOOTSTRAPPED], base=whole),
            row("repair: bootstrap Healthy", values=reached[REPAIRED], base=whole),
            row("repair: Passed, and the gate ends", values=reached[PASSED], base=whole),
            row("before it: from the sync to the gate's first line", values=starts, base=whole),
        ],
    )
    rest = Table(
        "Where its time goes",
        "The same repairs, from one moment to the next, by the gate's log, the version rows' own time and the API server's "
        "watches. The ratio is the share of the repair up to Passed.",
        [row(f"to: {name}", values=taken, base=reached[PASSED]) for name, taken in repair.phases(repairs).items()],
    )
    return [against, rest]


def left_alone(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure the incident without a gate: a person runs the migrations, and Kubernetes' back-off does the rest."""
    first, last = [], []
    with Platform(directory / "platform", _ARGO_CD) as platform:
        for turn in range(rounds):
            with Team(platform, f"alone{turn}") as team:
                incident.break_by_hand(team)
                team.until(partial(_waits_its_longest, team), "the longest back-off", seconds=900)
                began = time.time()
                team.migrate()
                team.until(lambda: _ready(team) > 0, "a first pod", seconds=600)
                first.append(time.time() - began)
                team.until(lambda: _ready(team) == len(SERVICES), "all pods", seconds=600)
                last.append(time.time() - began)
    return [
        Table(
            "The incident left to Kubernetes, after someone ran the migrations by hand",
            "On a real node. "
            "Four servers that have crash-looped until their back-off is 5 minutes; the migrations are run as soon as all "
            "of them wait it out, which is the worst moment: at a random one it is half as long in the mean. Nobody syncs "
            "the bootstrap, which stays failed.",
            [
                Row("first pod ready", "s", first, digits=0),
                Row("all pods ready", "s", last, digits=0),
            ],
        )
    ]


def _waits_its_longest(team: Team) -> bool:
    return all(
        is_in_back_off(pod) and _LONGEST_BACKOFF in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        for pod in team.pods()
        if component_of(pod) in SERVICES
    )


def _ready(team: Team) -> int:
    """How many servers are."""
    return sum(component_of(pod) in SERVICES and is_ready(pod) for pod in team.pods())


def moments(team: Team, done: incident.Repair) -> dict[str, float]:
    """Return the moments of a repair in their order, in seconds since the gate's first line."""
    first = done.lines[0].at
    return {name: at - first for name, at in repair.in_order(_marks(team, done))}


def _marks(team: Team, done: incident.Repair) -> Iterator[tuple[str, float | None]]:
    """Yield the moments in the order of a repair; None where it had no such moment."""

    def said(reason: str) -> list[float]:
        return [line.at for line in done.lines if line.reason == reason]

    def is_synced_and_healthy(application: Json) -> bool:
        operation = application.get("status", {}).get("operationState", {})
        return operation.get("phase") == "Succeeded" and sync_and_health(application) == ("Synced", "Healthy")

    migrate, restarted, bootstrap = said("MigrationStarted"), said("PodsRestarted"), said("ApplicationSynced")
    since = done.lines[0].at
    yield "the migration asked for (first look)", next(iter(migrate), None)
    yield "both version rows right (Argo CD, its Job, the schema tool)", max(at for at, _ in done.schemas.values())
    yield (
        "the migrations Healthy in Argo CD (the Job's end, Argo CD's look)",
        team.history.first("Application", team.git.name(MIGRATIONS), is_synced_and_healthy, since),
    )
    yield "the gate sees it, and restarts the pods", next(iter(restarted), None)
    yield "the last pod restarted", restarted[-1] if restarted else None
    yield (
        "the gate sees the frontend serve (its servers start)",
        next((line.at for line in done.lines if line.event.startswith("frontend: serves")), None),
    )
    yield "bootstrap synced again (all pods right, Argo CD's comparison)", next(iter(bootstrap), None)
    yield BOOTSTRAPPED, by_hand.ended(team, by_hand.BOOTSTRAP_JOB, next(iter(bootstrap), since), "Complete")
    yield (
        REPAIRED,
        team.history.first(
            "Application", team.git.name(BOOTSTRAP), is_synced_and_healthy, next(iter(bootstrap), since)
        ),
    )
    yield PASSED, said("Passed")[0]


class _Bystander:
    """An Application of one ConfigMap, which is synced though nothing changes."""

    def __init__(self, platform: Platform) -> None:
        self._client: ApiClient = platform.client
        self._path = f"{APPLICATIONS}/bystander"
        repository = Repository(platform.directory / "git-bystander")
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bystander"}, "data": {"is": "there"}}
        repository.commit({"bystander/configmap.yaml": yaml.safe_dump(manifest)}, "one ConfigMap")
        application = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": "bystander"},
            "spec": {
                "project": "default",
                "source": {"repoURL": repository.url, "targetRevision": BRANCH, "path": "bystander"},
                "destination": {"server": DESTINATION, "namespace": "default"},
            },
        }
        self._client.create(APPLICATIONS, application)
        self.sync()

    def sync(self) -> float:
        """Sync it; the seconds from writing the operation to its success."""
        mine = {"name": "benchmark", "value": uuid.uuid4().hex}
        operation = {"info": [mine], "sync": {"revision": BRANCH, "syncStrategy": {"hook": {}}}}
        began = time.perf_counter()
        self._client.patch(self._path, {"operation": operation})

        def succeeded() -> bool:
            state = self._client.get(self._path).get("status", {}).get("operationState", {})
            return mine in state.get("operation", {}).get("info", []) and state["phase"] == "Succeeded"

        wait_until(succeeded, _LONGEST_SECONDS, "a sync that does nothing", _LOOK_SECONDS)
        return time.perf_counter() - began
