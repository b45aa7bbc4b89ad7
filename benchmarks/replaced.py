"""Databases that are replaced under running servers, on a real control plane: repaired by the gate, and by hand."""

from __future__ import annotations

import random
import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import by_hand
from benchmarks.figures import Row, Table
from lab import gate_log
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.platform import Platform
from lab.processes import wait_until
from lab.team import Team

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.toolchain import TemporalBuild

_ARGO_CD = "3.6"
_GATE = "gate: its first line to a workflow that starts"
_TOO_LONG_SECONDS = 15.0
_LONGEST_SECONDS = 120.0
_LOOK_SECONDS = 0.1
_AGE_SECONDS = (5.0, 18.0)
"""How long the servers have run when it happens. A server writes its heartbeat every 10 to 15 s."""
_SETTLED_SECONDS = 20.0
"""Between two rounds: a server that waits for old ones joins, and the gate's Job ends."""


def tables(_: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it with one replica, each way in turn, on one team whose servers the round before restarted."""
    ways: dict[str, Callable[[Team], float]] = {
        _GATE: _by_the_gate,
        "by hand: all servers at once": partial(_by_hand, order=by_hand.AT_ONCE),
        "by hand: in turn, 1.5 s apart": partial(_by_hand, order=by_hand.IN_TURN),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    with Platform(directory / "platform", _ARGO_CD) as platform, Team(platform, "replaced") as team:
        _roll_out_by_hand(team)
        for turn in range(rounds):
            for way, measure in ways.items():
                time.sleep(_SETTLED_SECONDS + random.uniform(*_AGE_SECONDS))  # noqa: S311 -- no secret
                team.replace_databases()
                taken[way].append(measure(team))
                print(f"round {turn + 1}: {way}: {taken[way][-1]:.1f} s", file=sys.stderr, flush=True)
    hands = [way for way in ways if way != _GATE]
    best = min((taken[way] for way in hands), key=statistics.median)
    rows = [Row(way, "s", values, base=best, digits=1) for way, values in taken.items()]
    late = [
        Row(f"  rounds over {_TOO_LONG_SECONDS:g} s", "", [sum(one > _TOO_LONG_SECONDS for one in taken[way])])
        for way in ways
    ]
    return [
        Table(
            "Replaced databases under running servers, on a real control plane",
            f"Argo CD {platform.argocd.release}, Kubernetes' own controllers, a real node, one of each server. Both "
            "databases are dropped and made anew, empty. By hand: the schema Job replaced by a sync, the "
            "servers' pods deleted in that order, and the bootstrap synced once the frontend serves; by a machine, which "
            "hesitates nowhere. To a workflow that starts in the bootstrap's namespace. The ratio is to the best of the "
            "two by hand.",
            [row for pair in zip(rows, late, strict=True) for row in pair],
        )
    ]


def _roll_out_by_hand(team: Team) -> None:
    team.git.sync_by_hand()
    team.roll_out()
    for application in (MIGRATIONS, RUNTIME):
        team.sync_to_end(application)
    team.until_serving()
    team.sync_to_end(BOOTSTRAP)
    team.until(lambda: by_hand.works(team), "a workflow to start")


def _by_the_gate(team: Team) -> float:
    began = time.time()
    team.sync(GATE)
    at = _until_it_works(team)
    team.until(lambda: team.gate().ends(began), "the gate to end")
    lines = [line.at for _, log in team.gate().logs() for line in gate_log.lines(log) if line.at >= began]
    return at - min(lines)


def _by_hand(team: Team, order: by_hand.Order) -> float:
    began = time.time()
    by_hand.repair(team, order)
    return _until_it_works(team) - began


def _until_it_works(team: Team) -> float:
    wait_until(lambda: by_hand.works(team), _LONGEST_SECONDS, "a workflow to start", _LOOK_SECONDS)
    return time.time()
