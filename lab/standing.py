"""``make lab`` and ``make lab-down``: the platform with one team on it, left up to be looked into.

``python -m lab.standing up`` starts a process that holds all of it, and returns once Temporal serves; with
``--without-gate`` the rollout has none yet. ``down`` ends that process, and with it everything; what is left where it was
killed goes with the next ``up``. Its directory, ``lab/`` in the cache, has the process's id, a kubeconfig and all logs.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab.git_tree import GATE
from lab.images import GATE as GATE_IMAGE
from lab.platform import Platform
from lab.processes import wait_until
from lab.team import Team
from lab.toolchain import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEAM = "temporal"
_START_SECONDS = 3600.0
"""With everything to be built."""
_STOP_SECONDS = 60.0

_SAID = """
The lab is up: Argo CD {argocd}, Temporal {temporal}, and the rollout of examples/rollout as {team}'s.

  kubectl        {kubectl} --kubeconfig {kubeconfig}
                 in your shell:  alias k='{kubectl} --kubeconfig {kubeconfig}'
  Applications   k -n argocd get applications      ({applications})
  steps          k -n argocd get applicationset {team} -o jsonpath='{{.status.applicationStatus}}'
  repository     {repository}   (commit to its branch main: Argo CD notices within 15 s)
  frontend       {frontend}
  the node       {node}
                 there:  {ctr} -n k8s.io containers list
  logs           {logs}

Break it, as a replaced database does (all looks healthy, nothing works), and more so, as a restart of the nodes does:
  for name in temporal temporal_visibility; do
    {psql} "$(cat {dsn})" -c "DROP DATABASE $name WITH (FORCE)" -c "CREATE DATABASE $name OWNER temporal"
  done
  k -n {team} delete pods -l app.kubernetes.io/name=temporal
{gate}
End it:
  make lab-down
"""
_THE_GATE = """
Sync the gate, as a person does, and read what it does:
  k -n argocd patch application {gate} --type merge \\
    -p '{{"operation":{{"sync":{{"revision":"main","syncStrategy":{{"hook":{{}}}}}}}}}}'
  k -n {team} logs -l app.kubernetes.io/component=gate --tail=-1
  k -n argocd get events --field-selector involvedObject.name={gate}
"""
_NO_GATE = """
There is no gate. Install one: the image {image} is in the registry that the node pulls from,
and Argo CD reads a Git repository on this machine by its path, such as {source}
"""


def _home() -> Path:
    return cache_directory() / "lab"


def up(*options: str) -> None:
    """Start it, unless it is up, and print how to look into it."""
    home = _home()
    if _holder() is None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        with (home / "log").open("wb") as log:
            argv = [sys.executable, "-m", "lab.standing", "hold", *options]
            holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        with (home / "log").open(encoding="utf-8", errors="replace") as told:

            def ready() -> bool:
                print(told.read(), end="", flush=True)
                if holder.poll() is not None:
                    sys.exit(f"the lab did not start, see {home / 'log'}")
                return (home / "said").exists()

            wait_until(ready, _START_SECONDS, "the lab to be up", 0.2)
    print((home / "said").read_text(encoding="utf-8"))


def down() -> None:
    """End it."""
    holder = _holder()
    if holder is None:
        print("the lab is not up")
        return
    os.kill(holder, signal.SIGTERM)
    wait_until(lambda: _holder() is None, _STOP_SECONDS, f"process {holder} to end", 0.2)
    print("the lab is down")


def hold(*, with_gate: bool) -> None:
    """Hold it up until SIGTERM or SIGINT."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    home = _home()
    with (
        _held(home / "pid"),
        Platform(home / "platform", "3.6", progress=lambda line: print(line, flush=True)) as platform,
        Team(platform, _TEAM) as team,
    ):
        print("the platform is up; rolling out", flush=True)
        if not with_gate:
            team.git.take_out_the_gate()
        team.roll_out()
        team.until_rolled_out(seconds=300)
        (home / "said.new").write_text(_instructions(platform, team), encoding="utf-8")
        (home / "said.new").rename(home / "said")
        while not asked.wait(0.5):  # a wait without end may miss the signal that comes just before it
            pass


def _instructions(platform: Platform, team: Team) -> str:
    gate = _THE_GATE if GATE in team.applications() else _NO_GATE
    dsn = platform.directory / "dsn"
    dsn.touch(mode=0o600)
    dsn.write_text(team.postgres.dsn(), encoding="utf-8")
    return _SAID.format(
        argocd=platform.argocd.release,
        temporal=team.git.release["temporal"]["server"]["image"]["tag"],
        team=team.name,
        kubectl=platform.plane.build.kubectl,
        kubeconfig=platform.plane.kubeconfig,
        applications=", ".join(team.git.name(one) for one in team.applications()),
        gate=gate.format(team=team.name, gate=team.git.name(GATE), image=GATE_IMAGE, source=Path(__file__).parents[1]),
        repository=team.repository.directory,
        frontend=team.frontend,
        node=shlex.join(platform.nodes[0].shell),
        ctr=platform.nodes[0].ctr,
        logs=platform.directory,
        psql=team.postgres.program("psql"),
        dsn=dsn,
    )


@contextmanager
def _held(file: Path) -> Iterator[None]:
    """Write this process's id into the file and hold its lock: the id counts as long as that is held."""
    with file.open("w", encoding="utf-8") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.write(str(os.getpid()))
        held.flush()
        yield


def _holder() -> int | None:
    """The id of the process that holds the lab up."""
    with suppress(FileNotFoundError), (_home() / "pid").open(encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
    return None


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lab.standing")
    parser.add_argument("action", choices=("up", "down", "hold"))
    parser.add_argument("--without-gate", action="store_true", help="roll out no gate, for you to install one")
    asked = parser.parse_args()
    match asked.action:
        case "up":
            up(*(["--without-gate"] if asked.without_gate else []))
        case "down":
            down()
        case _:
            hold(with_gate=not asked.without_gate)


if __name__ == "__main__":
    main()
