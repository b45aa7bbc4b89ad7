"""One run of a container: a process in a directory of its own, what it mounts as links below that directory.

Knows the container's spec and the pod's volumes; not the API, nor when to start what.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.api_client import Json
from lab.kubelet.volumes import Volumes
from lab.processes import Process

DEFAULT_MESSAGE_PATH = "/dev/termination-log"


class StartError(Exception):
    """The program cannot be started, in runc's words; ``StartError`` in the container's status."""


@dataclass(frozen=True)
class Run:
    """A started program: its process, the file that it may tell its end in, and where and with what it runs."""

    process: Process
    message: Path
    environment: Mapping[str, str]
    where: Path

    @classmethod
    def start(
        cls,
        spec: Json,
        argv: Sequence[str],
        environment: Mapping[str, str],
        volumes: Volumes,
        log: Path,
    ) -> Self:
        """In ``workingDir`` of this machine, else in ``root`` beside its log. Raises ``StartError``."""
        root = log.parent / "root"
        root.mkdir(parents=True, exist_ok=True)
        for entry in spec.get("volumeMounts") or []:
            place = root / entry["mountPath"].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(volumes.source(entry["name"], entry.get("subPath", "")))
        message = root / (spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH).lstrip("/")
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_bytes(b"")
        where = Path(spec.get("workingDir") or root)
        if obstacle := _obstacle(argv[0], environment["PATH"], where):
            raise StartError(obstacle)
        return cls(Process.start(argv, log=log, env=environment, cwd=where), message, environment, where)

    @property
    def has_ended(self) -> bool:
        """Without waiting for it: it stays a zombie, so that its group can be killed under an id that is still its own."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def bury(self) -> int:
        """Kill what is left of its group, and take its exit code; a signal's is 128 + its number, as runc reports."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait(10.0)
        return 128 - code if code < 0 else code

    def execute(self, command: Sequence[str], seconds: float) -> bool:
        """Whether ``command``, run beside it, exits 0 in time; what is left of its process group is killed."""
        quiet = subprocess.DEVNULL
        try:
            asked = subprocess.Popen(
                command,
                env=dict(self.environment),
                cwd=self.where,
                stdin=quiet,
                stdout=quiet,
                stderr=quiet,
                start_new_session=True,
            )
        except OSError:
            return False
        try:
            return asked.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(asked.pid, signal.SIGKILL)
            asked.wait()
            return False


def _obstacle(program: str, search_path: str, where: Path) -> str:
    """Why it cannot be started, in runc's words; empty if it can."""
    if not where.is_dir():
        return f'unable to start container process: chdir to cwd ("{where}"): no such file or directory'
    if "/" in program:
        found, why = shutil.which(where / program), "no such file or directory"
    else:
        found, why = shutil.which(program, path=search_path), "executable file not found in $PATH"
    return "" if found else f'unable to start container process: exec: "{program}": {why}'
