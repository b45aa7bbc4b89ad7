"""Containers as plain processes: each in a directory of its own, and what it mounts as links below that directory.

Needs no rights of root and no Linux namespaces; a path of the container's is not its own root's but this machine's.
"""

import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from lab.api_client import Json
from lab.kubelet.configuration import NODE_IP
from lab.kubelet.image import Image
from lab.kubelet.runtime import DEFAULT_MESSAGE_PATH, PodNetwork, Program, Run, StartError, succeeds
from lab.processes import Process


@dataclass(frozen=True)
class NodeNetwork:
    """This machine's address and names."""

    address: str = NODE_IP
    files: Mapping[str, Path] = field(default_factory=dict)

    def refresh(self, pod: Json) -> None:
        """There is nothing."""

    def release(self) -> None:
        """There is nothing."""


class PlainRuntime:
    """Processes in directories: mounts are links below the container's own, and every name is an image but some."""

    isolated = False

    def __init__(self, unpullable: AbstractSet[str]) -> None:
        self._unpullable = unpullable

    def pull(self, name: str) -> Image | None:
        """Nothing but the name."""
        return None if name in self._unpullable else Image()

    def environment(self, pod: Json, spec: Json, image: Image, directory: Path) -> dict[str, str]:
        """Of this machine's it gets PATH alone, as an image would set it."""
        del spec
        path = os.environ.get("PATH", os.defpath)
        given = {"PATH": path, "HOME": str(directory / "root"), "HOSTNAME": pod["metadata"]["name"]}
        return given | dict(image.environment)

    def network(self, pod: Json, directory: Path) -> PodNetwork:
        """The node's own for all."""
        del pod, directory
        return NodeNetwork()

    def start(self, program: Program) -> Run:
        """In ``workingDir`` of this machine, else in the container's directory."""
        root = program.directory / "root"
        root.mkdir(parents=True, exist_ok=True)
        for entry in program.spec.get("volumeMounts") or []:
            place = root / entry["mountPath"].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.is_symlink():
                place.symlink_to(program.sandbox.volumes.source(entry["name"], entry.get("subPath", "")))
        message = root / (program.spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH).lstrip("/")
        message.parent.mkdir(parents=True, exist_ok=True)
        message.write_bytes(b"")
        where = Path(program.spec.get("workingDir") or root)
        if obstacle := _obstacle(program.argv[0], program.environment["PATH"], where):
            raise StartError(obstacle)
        process = Process.start(program.argv, log=program.log, env=program.environment, cwd=where)
        return PlainRun(process, message, program.environment, where)


@dataclass(frozen=True)
class PlainRun:
    """One process in its directory."""

    process: Process
    message: Path
    environment: Mapping[str, str]
    where: Path

    def execute(self, command: Sequence[str], seconds: float) -> bool:
        """In the same directory and environment."""
        return succeeds(command, self.environment, self.where, seconds)

    def sweep(self) -> None:
        """What is left of its group, while it is a zombie and so the id still its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def _obstacle(program: str, search_path: str, where: Path) -> str:
    """Why the runtime could not start it, in runc's words; empty if it can."""
    if not where.is_dir():
        return f'unable to start container process: chdir to cwd ("{where}"): no such file or directory'
    if "/" in program:
        found, why = shutil.which(where / program), "no such file or directory"
    else:
        found, why = shutil.which(program, path=search_path), "executable file not found in $PATH"
    return "" if found else f'unable to start container process: exec: "{program}": {why}'
