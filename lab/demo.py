"""``python -m lab.demo [SCENARIO]``: plays a scenario and tells it as a timeline that a person can follow."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lab import toolchain
from lab.scenarios import PLAYED, SCENARIOS, Scenario, UnmetError, settle
from lab.world import World

if TYPE_CHECKING:
    from lab.processes import Process

_PARTS = """\
real:      PostgreSQL, temporal-sql-tool, Temporal's four servers, the namespace bootstrap, the hook's own process
stands in: the Kubernetes API, Argo CD's and the controllers' part on it, and the kubelet, which runs pods as processes
"""

_WIDTH = 118
_FOLLOW_SECONDS = 120.0


class Timeline:
    """Lines with the seconds since the story began and who speaks."""

    def __init__(self) -> None:
        """Begin now."""
        self._start = time.monotonic()

    def say(self, who: str, text: str) -> None:
        """Print one line, wrapped under its text."""
        seconds = time.monotonic() - self._start
        lead = f"{seconds:6.1f} s  {who:<7} "
        print(textwrap.fill(text, _WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead)), flush=True)


def play(scenario: Scenario, directory: Path) -> bool:
    """Play it; return whether the gate ended as the scenario says and the world is as it should be."""
    build = toolchain.temporal(progress=lambda line: print(line, flush=True))
    print(f"\n{scenario.title}\n\n{_PARTS}")
    timeline = Timeline()
    with World(build, directory, plain_jobs=scenario.plain_jobs) as world:
        scenario.prepare(world, lambda text: timeline.say("world", text))
        uids = world.pod_uids()
        timeline.say("world", "the gate starts, as syncing its Application would start it: temporal-recovery-hook run")
        code = _follow(world.gate(**scenario.settings), timeline)
        reason = world.termination_message.partition(":")[0]
        timeline.say("world", f"the gate's process ended with exit code {code}: {reason}")
        if code:
            message = textwrap.indent(world.termination_message, "  ")
            print(f"\nWhat it leaves for a person (the termination message):\n\n{message}")
        as_told = (code, reason) == (scenario.exit_code, scenario.reason)
        if not as_told:
            timeline.say("world", f"NOT as expected: it should have been {scenario.exit_code} ({scenario.reason})")
        try:
            settle(world, uids, scenario)
        except UnmetError as error:
            timeline.say("world", str(error))
            return False
        _restarts(timeline, uids, scenario)
        if code == 0:
            timeline.say("world", "and a workflow starts")
        print("\n$ temporal-recovery-hook check\n")
        check = world.gate("check", **scenario.settings)
        check.wait(60)
        print(check.log.read_text(encoding="utf-8"))
        return as_told


def _follow(gate: Process, timeline: Timeline) -> int:
    """Tell what the gate logs while it runs; return its exit code."""
    with gate.log.open(encoding="utf-8") as log:
        deadline = time.monotonic() + _FOLLOW_SECONDS
        while time.monotonic() < deadline:
            ended = gate.poll()
            for line in log.readlines():
                _tell(line, timeline)
            if ended is not None:
                return ended
            time.sleep(0.05)
    raise TimeoutError(f"the gate still runs after {_FOLLOW_SECONDS:g} s")


def _tell(line: str, timeline: Timeline) -> None:
    try:
        record = json.loads(line)
    except ValueError:
        timeline.say("gate", line.strip())
        return
    timeline.say("gate", record["event"])
    for name in ("why", "remedy"):
        if name in record:
            print(textwrap.fill(f"{name}: {record[name]}", _WIDTH, initial_indent=" " * 20, subsequent_indent=" " * 20))


def _restarts(timeline: Timeline, uids: dict[str, str], scenario: Scenario) -> None:
    kept = sorted(set(uids) - scenario.restarts)
    if scenario.restarts:
        timeline.say("world", f"restarted: {', '.join(sorted(scenario.restarts))}; left alone: {', '.join(kept)}")
    else:
        timeline.say("world", "no pod was touched")


def main() -> None:
    """Play the scenario that is named."""
    parser = argparse.ArgumentParser(prog="make demo", description="Plays one scenario: make demo SCENARIO=NAME")
    parser.add_argument("scenario", nargs="?", default=PLAYED[0], choices=SCENARIOS, metavar="SCENARIO",
                        help=f"{', '.join(PLAYED)}; and {', '.join(sorted(set(SCENARIOS) - set(PLAYED)))}")  # fmt: skip
    scenario = SCENARIOS[parser.parse_args().scenario]
    with tempfile.TemporaryDirectory(prefix="temporal-recovery-hook-") as directory:
        sys.exit(0 if play(scenario, Path(directory)) else 1)


if __name__ == "__main__":
    main()
