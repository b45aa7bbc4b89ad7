"""A rollout where everything is well: what the gate and the guards add to it, against hook Jobs that do nothing."""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml

from benchmarks.figures import Row, Table
from lab import images
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
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
        "servers stay up": _change_nothing_of_servers,
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
            f"Argo CD {platform.argocd.release} with RollingSync, Kubernetes' own controllers, pods as processes. The "
            "schemas are right, and each commit changes something in every step, so that every hook runs. Against the same "
            "rollout with the same hook Jobs, whose process does nothing and exits 0, alternating. A Job's time is from its "
            "being made to Complete, by the API server's watches. The ratio is to the one that does nothing; that of what a "
            "hook adds is to its limit.",
            _rows(by_tag),
            [f"The limit: each hook adds at most {_LIMIT_SECONDS:g} s, by the medians."],
        )
        for kind, by_tag in found.items()
    ]


def _add_idle_image(platform: Platform, directory: Path) -> None:
    """Add an image whose program of the gate's name does nothing: the chart, its Job and its pod stay as they are."""
    program = directory / _IDLE
    program.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    program.chmod(0o755)
    repository = images.GATE.rpartition(":")[0]
    files = {"/usr/local/bin/temporal-recovery-hook": program}
    platform.images[f"{repository}:{_IDLE}"] = replace(platform.images[images.GATE], files=files)


def _change_nothing_of_servers(team: Team, name: str) -> None:
    """Have the runtime hold a ConfigMap that no server reads."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "round"}, "data": {"name": name}}
    team.git.more["temporal/runtime/templates/round.yaml"] = yaml.safe_dump(body)
    _change_bootstrap(team, name)


def _change_servers(team: Team, name: str) -> None:
    """Have the pods' annotation, which is a sum over the servers' configuration, be another."""
    team.git.runtime["server"]["config"]["round"] = name
    _change_bootstrap(team, name)


def _change_bootstrap(team: Team, name: str) -> None:
    """As for the runtime; the migrations and the gate change with the commit's name."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "round-of-bootstrap"}, "data": {"name": name}}
    team.git.more["temporal/bootstrap/templates/round.yaml"] = yaml.safe_dump(body)


def _roll_out(team: Team, tag: str) -> _Rollout:
    """Commit, and wait for the last step."""
    for hook in (team.git.gate, team.git.guard_of(RUNTIME), team.git.guard_of(BOOTSTRAP)):
        hook["image"] = {"tag": tag}
    began = time.time()
    revision = team.commit("a round")
    team.until_rolled_out(revision=revision)
    ended = team.until(partial(_last_step_healthy, team, revision), "the last step's record") or 0.0
    synced = [
        team.history.first("Application", team.git.name(one), partial(_is_synced_to, revision), began)
        for one in _APPLICATIONS
    ]
    first = min(at for at in synced if at is not None)
    return _Rollout({hook: _job_seconds(team, hook, began) for hook in _HOOKS}, ended - began, ended - first)


def _has_settled(team: Team) -> bool:
    now = datetime.now(UTC)

    def settled(application: Json) -> bool:
        state = application["status"]["operationState"]
        ended = state["phase"] == "Succeeded" and "operation" not in application
        return ended and now - datetime.fromisoformat(state["finishedAt"]) > _SETTLED

    return all(settled(team.application(one)) for one in _APPLICATIONS)


def _is_synced_to(revision: str, application: Json) -> bool:
    """Whether an operation of it, under way or ended, is of this revision."""
    state = application.get("status", {}).get("operationState") or {}
    return bool(state.get("operation", {}).get("sync", {}).get("revision") == revision)


def _last_step_healthy(team: Team, revision: str) -> float | None:
    """Return when the ApplicationSet first said so of the bootstrap at this revision."""

    def is_done(application_set: Json) -> bool:
        return any(
            one["application"] == team.git.name(BOOTSTRAP)
            and one["status"] == "Healthy"
            and revision in one.get("targetRevisions", [])
            for one in application_set.get("status", {}).get("applicationStatus") or []
        )

    return team.history.first("ApplicationSet", team.name, is_done)


def _job_seconds(team: Team, application: str, since: float) -> float:
    """Return how long the first Job took that an Application's hook had since then."""
    wanted = {"app.kubernetes.io/component": "gate", "app.kubernetes.io/instance": team.git.name(application)}
    known = {one.body["metadata"]["uid"] for one in team.history.versions("Job") if one.at < since}
    versions = [
        one
        for one in team.history.versions("Job", since=since)
        if one.body["metadata"]["uid"] not in known and wanted.items() <= one.body["metadata"]["labels"].items()
    ]
    first = [one for one in versions if one.body["metadata"]["uid"] == versions[0].body["metadata"]["uid"]]
    return next(one.at for one in first if condition_of(one.body, "Complete")) - first[0].at


def _hook_seconds(hook: str, rollout: _Rollout) -> float:
    return rollout.hooks[hook]


def _rows(by_tag: dict[str, list[_Rollout]]) -> list[Row]:
    row = partial(Row, unit="s", digits=2)
    rows: list[Row] = []

    def compare(what: str, taken: Callable[[_Rollout], float], limit: Sequence[float] = ()) -> None:
        real, idle = ([taken(one) for one in by_tag[tag]] for tag in (_REAL, _IDLE))
        added = statistics.median(real) - statistics.median(idle)
        rows.extend(
            (
                row(what, values=real, base=idle),
                row("  a Job that does nothing", values=idle, base=idle),
                row("  added", values=[added], base=limit),
            )
        )

    for hook, what in _HOOKS.items():
        compare(f"{what}: its Job", partial(_hook_seconds, hook), [_LIMIT_SECONDS])
    compare("first sync to the last step Healthy", lambda one: one.since_sync)
    compare("commit to the last step Healthy", lambda one: one.since_commit)
    return rows
