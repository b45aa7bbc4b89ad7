"""Commits whose runtime is synced before their schema is there: how many servers start too early behind a guard."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.figures import Row, Table
from lab.git_tree import RUNTIME
from lab.images import server
from lab.platform import Platform
from lab.team import Team
from lab.toolchain import RELEASE

if TYPE_CHECKING:
    from pathlib import Path

    from lab.toolchain import TemporalBuild

_ARGO_CD = "3.6"
_RELEASES = ("1.30.8", RELEASE)


def tables(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Commit one release after the other, each on databases that are empty, and sync the runtime first, as a person does."""
    pods: list[float] = []
    early: list[float] = []
    seconds: list[float] = []
    with Platform(directory / "platform", _ARGO_CD) as platform, Team(platform, "overtaken") as team:
        team.git.guard()
        team.roll_out()
        team.until_rolled_out()
        for turn in range(rounds):
            release = _RELEASES[turn % 2]
            known = {version.body["metadata"]["uid"] for version in team.history.versions("Pod")}
            team.replace_databases()
            began = time.monotonic()
            team.git.roll_to(release)
            revision = team.commit(f"Temporal {release}")
            team.until(lambda: _is_under_way(team) or team.try_to_sync(RUNTIME), "the runtime's sync")
            team.until_rolled_out(revision=revision)
            seconds.append(time.monotonic() - began)
            made = _made(team, release, known)
            pods.append(len(made))
            early.append(sum(at < _schema_written_at(team) - 1 for at in made))
            line = f"commit {turn + 1}: {len(made)} pods of {release}, {early[-1]:g} before their schema"
            print(f"{line}, {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return [
        Table(
            "The runtime is synced first, at each commit",
            f"Argo CD {platform.argocd.release}, guards in runtime and bootstrap. Each commit brings another release, the "
            "databases have just been replaced by empty ones, and a person syncs the runtime before anything else. Pods of "
            "the new release, and how many of them were made before both schemas were written.",
            [
                Row("commits", "", [len(pods)]),
                Row("pods of the new release, all commits", "", [sum(pods)]),
                Row("  of them before their schema", "", [sum(early)]),
                Row("commit to all Synced and Healthy", "s", seconds, digits=1),
            ],
        )
    ]


def _is_under_way(team: Team) -> bool:
    return bool(team.operation(RUNTIME).get("phase") == "Running")


def _made(team: Team, release: str, known: set[str]) -> list[float]:
    """Return when each new pod of the release was made, in seconds since the epoch."""
    first: dict[str, float] = {}
    for version in team.history.versions("Pod"):
        uid = version.body["metadata"]["uid"]
        if uid not in known and server(release) in {one["image"] for one in version.body["spec"]["containers"]}:
            first.setdefault(uid, version.at)
    return list(first.values())


def _schema_written_at(team: Team) -> float:
    """Return when the later of both schemas was written."""
    query = "SELECT extract(epoch FROM creation_time) FROM schema_version"
    databases = (team.databases.default, team.databases.visibility)
    return max(float(team.postgres.execute(database, query)[0][0]) for database in databases)
