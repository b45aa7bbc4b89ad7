"""Draws `docs/repair.svg`: breaks a team's Temporal on a real control plane, syncs its gate once, and draws what happened.

python -m scripts.draw_timeline [--out FILE]     as root, as `make e2e`
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS
from lab.incident import Repair, break_by_hand, repair
from lab.object_status import is_in_back_off, sync_and_health
from lab.platform import Platform
from lab.team import Team
from lab.timeline import Lane, Mark, Span, State, Timeline, draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Json = dict[str, Any]
Look = tuple[State, str]

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "repair.svg"
_BEFORE_SECONDS = 2.0
_AFTER_SECONDS = 2.0


_COMPONENTS = ("history", "matching", "frontend", "worker")
_GATE, _GATE_POD = "gate: Application", "gate: its Job's pod"
_MIGRATIONS, _BOOTSTRAP, _WORKFLOW = "migrations: Application", "bootstrap: Application", "a workflow"


def record(team: Team, done: Repair) -> Timeline:
    """Return what a repair was by the team's history."""
    marks = sorted(_marks(done), key=lambda mark: mark.at)
    start, end = -_BEFORE_SECONDS, time.time() - done.synced

    def lane(name: str, group: str, looks: Iterable[tuple[float, Look]]) -> Lane:
        return Lane(name, group, list(_spans(((at - done.synced, look) for at, look in looks), start, end)))

    lanes = [
        lane(_GATE, "gate", _of_application(team, GATE)),
        lane(_GATE_POD, "gate", _of_pods(team, "gate", State.GATE, "at work")),
        lane("gate: receipt", "gate", _of_receipt(team)),
        lane(_MIGRATIONS, "migrations", _of_application(team, MIGRATIONS)),
        lane("migrations: its Job's pod", "migrations", _of_pods(team, "database", State.UNDER_WAY, "migrating")),
    ]
    for store, (at, version) in done.schemas.items():
        looks = [(0.0, (State.BROKEN, "empty")), (at, (State.RIGHT, f"at {version}"))]
        name = "schema of default" if store.name == "DEFAULT" else "schema of visibility"
        lanes.append(lane(name, "migrations", looks))
    lanes += [
        lane(component, "runtime", _of_pods(team, component, State.RIGHT, "running"))
        for component in (*_COMPONENTS, "web")
    ]
    lanes += [
        lane(_BOOTSTRAP, "bootstrap", _of_application(team, BOOTSTRAP)),
        lane(_WORKFLOW, "bootstrap", [(0.0, (State.BROKEN, "none can start")), (done.works, (State.RIGHT, "starts"))]),
    ]
    release = team.git.release["temporal"]["server"]["image"]["tag"]
    title = f"One sync of the gate repairs the incident (Argo CD {team.platform.argocd.release}, Temporal {release})"
    return Timeline(title, start, end, lanes, marks)


def _marks(done: Repair) -> Iterator[Mark]:
    yield Mark(0.0, _GATE, "a person syncs the gate's Application")
    for line in done.lines:
        at = line.at - done.synced
        if line.reason == "MigrationStarted":
            yield Mark(at, _MIGRATIONS, "the gate asks the migrations' Application to run their Job")
        elif found := re.match(r"restarted \d+ pod\(s\) of (\w+):", line.event):
            yield Mark(at, found[1], f"the gate restarts {found[1]}")
        elif line.event.startswith("frontend: serves"):
            yield Mark(at, "frontend", "the gate sees that the frontend serves")
        elif line.reason == "ApplicationSynced":
            yield Mark(at, _BOOTSTRAP, "the gate syncs the bootstrap's Application")
        elif line.reason == "Passed":
            yield Mark(at, _GATE_POD, "Passed: the rollout may go on")
    yield Mark(done.works - done.synced, _WORKFLOW, "a workflow starts in the namespace of the bootstrap")


def _spans(looks: Iterable[tuple[float, Look]], start: float, end: float) -> Iterator[Span]:
    """Yield one for each change between start and end; a server that ran until it crashed was not right."""
    changes: list[tuple[float, Look]] = [(start, (State.NOTHING, ""))]
    for at, look in looks:
        if at <= start:
            changes = [(start, look)]
        elif look != changes[-1][1]:
            changes.append((at, look))
    for (at, (state, text)), (until, (then, _)) in pairwise([*changes, (end, (State.NOTHING, ""))]):
        crashes = text == "running" and then is State.BROKEN
        yield Span(at, until, State.UNDER_WAY if crashes else state, "starts" if crashes else text)


def _of_pods(team: Team, component: str, running: State, words: str) -> Iterator[tuple[float, Look]]:
    """Yield how the newest pod of a component was."""
    there: dict[str, Json] = {}
    for version in team.history.versions("Pod"):
        labels = version.body["metadata"].get("labels", {})
        if labels.get("app.kubernetes.io/component") != component:
            continue
        if labels.get("app.kubernetes.io/instance", team.git.name(GATE)) == team.git.name(GATE) or component != "gate":
            there[version.name] = version.body
            if version.gone or "deletionTimestamp" in version.body["metadata"]:
                del there[version.name]
            yield version.at, _look_of_pod(next(reversed(there.values()), None), running, words)


def _look_of_pod(pod: Json | None, running: State, words: str) -> Look:
    if pod is None:
        return State.NOTHING, ""
    status = pod.get("status", {})
    phase = status.get("phase")
    if phase in {"Succeeded", "Failed"}:
        return (State.RIGHT, "succeeded") if phase == "Succeeded" else (State.BROKEN, "failed")
    states = [next(iter(one["state"]), "") for one in status.get("containerStatuses", [])]
    if is_in_back_off(pod) or "terminated" in states:
        return State.BROKEN, "crash-looping"
    initializing = [one for one in status.get("initContainerStatuses", []) if "waiting" not in one["state"]]
    return (running, words) if "running" in states or initializing else (State.UNDER_WAY, "starting")


def _of_application(team: Team, application: str) -> Iterator[tuple[float, Look]]:
    for version in team.history.versions("Application", team.git.name(application)):
        state = version.body.get("status", {}).get("operationState", {})
        sync, health = sync_and_health(version.body)
        if "operation" in version.body or state.get("phase") == "Running":
            yield version.at, (State.UNDER_WAY, "syncing")
        elif state.get("phase") in {"Failed", "Error"} or health == "Degraded":
            yield version.at, (State.BROKEN, "Degraded" if health == "Degraded" else "sync failed")
        elif (sync, health) == ("Synced", "Healthy"):
            yield version.at, (State.RIGHT, "Synced, Healthy")
        else:
            yield version.at, (State.UNDER_WAY if health == "Progressing" else State.NOTHING, health if state else sync)


def _of_receipt(team: Team) -> Iterator[tuple[float, Look]]:
    for version in team.history.versions("ConfigMap", f"{team.git.name(GATE)}-receipt"):
        yield version.at, (State.NOTHING, "") if version.gone else (State.RIGHT, "written")


def main() -> None:
    """Record and write it."""
    parser = argparse.ArgumentParser(description="Draw docs/repair.svg from a repair that is done for it.")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    file: Path = parser.parse_args().out
    with (
        tempfile.TemporaryDirectory() as scratch,
        Platform(Path(scratch) / "platform", "3.6") as platform,
        Team(platform, "temporal") as team,
    ):
        break_by_hand(team)
        time.sleep(_BEFORE_SECONDS)
        done = repair(team)
        time.sleep(_AFTER_SECONDS)
        file.write_text(draw(record(team, done)), encoding="utf-8")


if __name__ == "__main__":
    main()
