"""A rollout where everything is well: what the gate and the guards add to it, against hook Jobs that do nothing."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.figures import Row, Table
from lab import images
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.images import making
from lab.images.making import Made
from lab.object_status import condition_of
from lab.platform import Platform
from lab.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lab.toolchain import TemporalBuild

Json = dict[str, Any]

_ARGO_CD = "3.6"
_LIMIT_SECONDS = 1.5
_APPLICATIONS = (MIGRATIONS, GATE, RUNTIME, BOOTSTRAP)
_HOOKS = {GATE: "gate", RUNTIME: "runtime's guard", BOOTSTRAP: "bootstrap's guard"}
_REAL, _IDLE = "", "does-nothing"
"""The tag of the hooks' image, by which a rollout is one or the other; the chart's own is empty."""
_SETTLED = timedelta(seconds=10)
"""RollingSync of 3.6 writes a second operation as a rule; so long after the last one none follows."""


@dataclass(frozen=True)
class _Rollout:
    hooks: dict[str, float]
    """From each hook's Job being made to its being Complete, by its Application."""
    since_commit: float
    since_sync: float
    """Without the time until Argo CD notices a commit, which varies by seconds."""


def tables(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Roll out with real hooks and with idle ones, alternating, on one team; first with servers that stay as they are."""
    kinds: dict[str, Callable[[Team, str], None]] = {
        "servers stay up": _change,
        "servers are replaced": _change_servers,
    }
    found: dict[str, dict[str, list[_Rollout]]] = {kind: defaultdict(list) for kind in kinds}
    with Platform(directory / "platform", _ARGO_CD) as platform, Team(platform, "healthy") as team:
        _add_idle_image(platform, directory)
        team.git.guard()
        team.roll_out()
        team.until_rolled_out()
        for turn in range(rounds):
            for kind, change in kinds.items():
                for tag in (_REAL, _IDLE) if turn % 2 == 0 else (_IDLE, _REAL):
                    team.until(partial(_has_settled, team), "no sync that follows")
                    change(team, f"{turn}{tag}")
                    one = _roll_out(team, tag)
                    found[kind][tag].append(one)
                    took = ", ".join(f"{_HOOKS[hook]} {seconds:.2f} s" for hook, seconds in one.hooks.items())
                    what = f"round {turn + 1}, {kind}, hooks {tag or 'as they are'}"
                    print(f"{what}: {took}, all {one.since_commit:.1f} s", file=sys.stderr, flush=True)
    return [
        Table(
            f"What gate and guards add to a healthy rollout whose {kind}",
            f"Argo CD {platform.argocd.release} with RollingSync, Kubernetes' own controllers, a real node. The "
            "schemas are right, and each commit changes something in every step, so that every hook runs. Against the same "
            "rollout with the same hook Jobs, whose process does nothing and exits 0, alternating. A Job's time is from its "
            "being made to Complete, by the API server's watches. The ratio is to the one that does nothing; that of what a "
            "hook adds is to its limit.",
            _rows(by_tag),
            [
                f"The limit: each hook adds at most {_LIMIT_SECONDS:g} s, by the medians.",
                "A Job's time is about whole seconds: its controller looks 1 s after a pod's change (syncJobBatchPeriod).",
                "The end: the last step is Healthy, and each sync has succeeded, for which a step of 3.6 need not wait.",
            ],
        )
        for kind, by_tag in found.items()
    ]


def _add_idle_image(platform: Platform, directory: Path) -> None:
    """Add an image whose program of the gate's name does nothing: the chart, its Job and its pod stay as they are."""
    program = directory / _IDLE
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o755)
    repository = images.GATE.rpartition(":")[0]
    files = making.shell() | {"usr/local/bin/temporal-recovery-hook": program}
    platform.add_image(Made(f"{repository}:{_IDLE}", files, ("USER 65532:65532",)))


def _change(team: Team, name: str) -> None:
    """Have runtime and bootstrap hold a ConfigMap that nothing reads; migrations and gate change with the commit's name."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"name": name}}
    for folder in ("runtime", "bootstrap"):
        named = body | {"metadata": {"name": f"round-of-{folder}"}}
        team.git.more[f"temporal/{folder}/templates/round.yaml"] = yaml.safe_dump(named)


def _change_servers(team: Team, name: str) -> None:
    """Have the annotation of the servers' pods, which is a sum over their configuration, be another, too."""
    team.git.runtime["server"]["config"]["round"] = name
    _change(team, name)


def _roll_out(team: Team, tag: str) -> _Rollout:
    """Commit, and wait for the last step."""
    for hook in (team.git.gate, team.git.guard_of(RUNTIME), team.git.guard_of(BOOTSTRAP)):
        hook["image"] = {"tag": tag}
    began = time.time()
    revision = team.commit("a round")
    team.until_rolled_out(revision=revision)
    ended = team.until(partial(_end, team, revision), "the last step to be done")
    first = min(_synced(team, one, revision, "Running", "Succeeded") for one in _APPLICATIONS)
    return _Rollout({hook: _job_seconds(team, hook, began) for hook in _HOOKS}, ended - began, ended - first)


def _has_settled(team: Team) -> bool:
    now = datetime.now(UTC)

    def settled(application: Json) -> bool:
        state = application["status"]["operationState"]
        ended = state["phase"] == "Succeeded" and "operation" not in application
        return ended and now - datetime.fromisoformat(state["finishedAt"]) > _SETTLED

    return all(settled(team.application(one)) for one in _APPLICATIONS)


def _end(team: Team, revision: str) -> float:
    """Return when the last step was Healthy and each Application's sync had succeeded; 0 where they have not."""
    moments = [
        _last_step_healthy(team, revision),
        *(_synced(team, one, revision, "Succeeded") for one in _APPLICATIONS),
    ]
    return max(moments) if all(moments) else 0.0


def _synced(team: Team, application: str, revision: str, *phases: str) -> float:
    """Return when an operation of this revision first was in one of these phases; 0 where none was."""

    def is_so(body: Json) -> bool:
        state = body.get("status", {}).get("operationState") or {}
        return bool(state and state["operation"]["sync"].get("revision") == revision and state["phase"] in phases)

    return team.history.first("Application", team.git.name(application), is_so) or 0.0


def _last_step_healthy(team: Team, revision: str) -> float:
    """Return when the ApplicationSet first said so of the bootstrap at this revision; 0 where it has not."""

    def is_done(application_set: Json) -> bool:
        return any(
            one["application"] == team.git.name(BOOTSTRAP)
            and one["status"] == "Healthy"
            and revision in one.get("targetRevisions", [])
            for one in application_set.get("status", {}).get("applicationStatus") or []
        )

    return team.history.first("ApplicationSet", team.name, is_done) or 0.0


def _job_seconds(team: Team, application: str, since: float) -> float:
    """Return how long the first Job took that an Application's hook has had since then and that is Complete."""
    wanted = {"app.kubernetes.io/component": "gate", "app.kubernetes.io/instance": team.git.name(application)}
    made: dict[str, float] = {}
    for version in team.history.versions("Job"):
        metadata = version.body["metadata"]
        at = made.setdefault(metadata["uid"], version.at)
        is_ours = at >= since and wanted.items() <= metadata.get("labels", {}).items()
        if is_ours and condition_of(version.body, "Complete"):
            return version.at - at
    raise RuntimeError(f"no Job of the hook of {application} is Complete\n\n{team.describe()}")


def _rows(by_tag: dict[str, list[_Rollout]]) -> list[Row]:
    row = partial(Row, unit="s", digits=2)
    rows: list[Row] = []

    def compare(what: str, taken: dict[str, list[float]], limit: Sequence[float] = ()) -> None:
        real, idle = taken[_REAL], taken[_IDLE]
        rows.append(row(what, values=real, base=idle))
        rows.append(row("  hook Jobs that do nothing", values=idle, base=idle))
        rows.append(row("  added", values=[statistics.median(real) - statistics.median(idle)], base=limit))

    for hook, what in _HOOKS.items():
        jobs = {tag: [one.hooks[hook] for one in found] for tag, found in by_tag.items()}
        compare(f"{what}: its Job", jobs, [_LIMIT_SECONDS])
    compare("first sync to the end", {tag: [one.since_sync for one in found] for tag, found in by_tag.items()})
    compare("commit to the end", {tag: [one.since_commit for one in found] for tag, found in by_tag.items()})
    return rows
