"""Starts the programs that are compared, as processes, and takes their time. Knows nothing of what they do."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lab import gate_log

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.gate_log import Line

ROOT = Path(__file__).parent.parent
HOOK = str(Path(sys.executable).with_name("temporal-recovery-hook"))
"""The console script, which is what a container starts."""

_LONGEST_SECONDS = 120.0


def environment(**more: str) -> dict[str, str]:
    """Return this environment without anything that would set the hook, and with ``more``."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TRH_")} | more


@contextmanager
def compiled_ahead(directory: Path) -> Iterator[None]:
    """Let Python keep compiled modules, as an image has them; apart, so that nothing is written into this tree."""
    before = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(directory)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class Time:
    """What a program took, its children with it; milliseconds."""

    wall: float
    cpu: float


def milliseconds(argv: Sequence[str], env: Mapping[str, str]) -> Time:
    """Run a program to its end and return its time from start to exit. Raises where it fails."""
    before = _cpu_of_children()
    began = time.perf_counter()
    done = subprocess.run(argv, check=False, env=env, cwd=ROOT, capture_output=True, timeout=_LONGEST_SECONDS)
    ended = time.perf_counter()
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")
        raise RuntimeError(f"{argv} ended with {done.returncode}:\n{said[-2000:]}")
    return Time((ended - began) * 1000, (_cpu_of_children() - before) * 1000)


def _cpu_of_children() -> float:
    """CPU seconds of all children that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def output(argv: Sequence[str], env: Mapping[str, str]) -> tuple[str, str]:
    """Run a program to its end; its standard output and standard error. Raises where it fails."""
    done = subprocess.run(
        argv, check=True, env=env, cwd=ROOT, capture_output=True, timeout=_LONGEST_SECONDS, text=True, errors="replace"
    )
    return done.stdout, done.stderr


def write_settings(file: Path, settings: Mapping[str, Any]) -> Path:
    """Write the hook's settings; answers the file."""
    file.write_text(yaml.safe_dump(dict(settings)), encoding="utf-8")
    return file


def log_lines(log: Path) -> list[Line]:
    """Return the whole lines that a gate has written so far as JSON. Raises where it wrote anything else."""
    return gate_log.lines(log.read_text(encoding="utf-8"))
