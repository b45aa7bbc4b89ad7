"""What a container starts from: the container runtime's part, as the containers see it.

``plain.PlainRuntime`` and ``isolated.IsolatedRuntime`` play it. Neither knows the API or when to start what.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lab.api_client import Json
from lab.kubelet.image import Image
from lab.kubelet.volumes import Volumes
from lab.processes import Process

DEFAULT_MESSAGE_PATH = "/dev/termination-log"


class StartError(Exception):
    """The runtime could not start the program, in runc's words; ``StartError`` in the container's status."""


class PodNetwork(Protocol):
    """A pod's address, and what it looks names up by."""

    @property
    def address(self) -> str:
        """Its own, or the node's."""
        ...

    @property
    def files(self) -> Mapping[str, Path]:
        """Path in each of its containers to a file of the pod's own."""
        ...

    def refresh(self, pod: Json) -> None:
        """Brings the files up to date."""
        ...

    def release(self) -> None:
        """The pod is gone."""
        ...


@dataclass(frozen=True)
class Sandbox:
    """What the containers of a pod share."""

    network: PodNetwork
    volumes: Volumes


@dataclass(frozen=True)
class Program:
    """What is to be started: one run of a container."""

    pod: Json
    spec: Json
    image: Image
    argv: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    sandbox: Sandbox
    log: Path


class Run(Protocol):
    """A started program."""

    @property
    def process(self) -> Process:
        """It."""
        ...

    @property
    def message(self) -> Path:
        """The file that it may tell its end in."""
        ...

    def execute(self, command: Sequence[str], seconds: float) -> bool:
        """Whether ``command``, run beside it, exits 0 in time."""
        ...

    def sweep(self) -> None:
        """Kills what it left behind."""
        ...


class Runtime(Protocol):
    """Pulls images and starts programs."""

    isolated: bool

    def pull(self, name: str) -> Image | None:
        """What the image's name stands for; None if there is no such image."""
        ...

    def environment(self, pod: Json, spec: Json, image: Image, directory: Path) -> dict[str, str]:
        """What a container is given before its pod says anything."""
        ...

    def network(self, pod: Json, directory: Path) -> PodNetwork:
        """For a new pod; its files lie in ``directory``."""
        ...

    def start(self, program: Program) -> Run:
        """Raises ``StartError``, or ``ConfigurationError`` for what the spec forbids."""
        ...


def has_ended(pid: int) -> bool:
    """Without waiting for it: it stays a zombie, so that its group can be killed under an id that is still its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def succeeds(command: Sequence[str], given: Mapping[str, str], directory: Path, seconds: float) -> bool:
    """Exit code 0 in time; what is left of its process group is killed."""
    quiet = subprocess.DEVNULL
    try:
        asked = subprocess.Popen(
            command,
            env=dict(given),
            cwd=directory,
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
