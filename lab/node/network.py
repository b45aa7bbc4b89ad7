"""The addresses of one cluster on this machine: a bridge on the host, and what its nodes, pods and Services get.

Knows iproute2 and how a cluster's number is made its own; nothing of nodes. All of it is of 198.18.0.0/15, which no real
network uses (RFC 2544): cluster N has 198.18.N.0/24 for the host's end and its nodes, 198.18.(128+N).0/24 for Services
and a half of 198.19.N.0/24 for each node's pods.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from types import TracebackType

NODES = (1, 2)
"""The numbers of the nodes that a cluster can have."""

_NUMBERS = range(1, 100)
_LOCKS = Path(tempfile.gettempdir()) / f"temporal-recovery-hook-clusters-{os.getuid()}"
_COMMAND_SECONDS = 20.0
_CGROUPS_SECONDS = 20.0


class Network:
    """One that no other cluster of this machine has. A context manager: entered it is there, left it is gone.

    What a cluster left behind whose process was killed is removed by the next one.
    """

    def __init__(self) -> None:
        self.number = 0
        self._stack = ExitStack()

    @property
    def bridge(self) -> str:
        """The link on the host that all nodes are on."""
        return f"trh-lab-{self.number}"

    def link(self, node: int) -> str:
        """The host's end of a node's link."""
        return f"trh-{self.number}-{node}"

    @property
    def host(self) -> str:
        """The host's address on it: the API server's, and that of whatever is outside of the cluster."""
        return f"198.18.{self.number}.1"

    @property
    def services(self) -> str:
        """The Services' range."""
        return f"198.18.{128 + self.number}.0/24"

    def service(self, last: int) -> str:
        """An address of that range, by its last number."""
        return f"198.18.{128 + self.number}.{last}"

    def node(self, node: int) -> str:
        """A node's address."""
        return f"198.18.{self.number}.{node + 1}"

    def pods(self, node: int) -> str:
        """The range of a node's pods."""
        return f"198.19.{self.number}.{128 * (node - 1)}/25"

    @property
    def all_pods(self) -> str:
        """The range of all pods."""
        return f"198.19.{self.number}.0/24"

    @property
    def cgroups(self) -> Path:
        """The file that names the cgroups which were made for this cluster, one a line."""
        return _LOCKS / f"{self.number}.cgroups"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.number = _take(stack)
            _sweep()
            self.clear()
            stack.callback(self.clear)
            run("ip", "link", "add", self.bridge, "type", "bridge")
            run("ip", "address", "add", f"{self.host}/24", "dev", self.bridge)
            run("ip", "link", "set", self.bridge, "up")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def clear(self) -> None:
        """Remove the links, with them their routes, and the cgroups, whose processes are dead or on their way."""
        for link in (self.bridge, *map(self.link, NODES)):
            delete = ["ip", "link", "delete", link]
            subprocess.run(delete, capture_output=True, check=False, timeout=_COMMAND_SECONDS)
        if not self.cgroups.exists():
            return
        deadline = time.monotonic() + _CGROUPS_SECONDS
        for cgroup in map(Path, self.cgroups.read_text(encoding="utf-8").splitlines()):
            while not _removed(cgroup) and time.monotonic() < deadline:
                time.sleep(0.05)
        self.cgroups.unlink()


def _take(stack: ExitStack) -> int:
    """Return a number that no other process has, for the stack to give back."""
    _LOCKS.mkdir(exist_ok=True)
    for number in _NUMBERS:
        with suppress(Timeout):
            stack.enter_context(_lock(number).acquire(timeout=0))
            return number
    raise RuntimeError(f"{len(_NUMBERS)} clusters on this machine are the most there can be")


def _sweep() -> None:
    """Remove what is left of every cluster whose process was killed."""
    for note in _LOCKS.glob("*.cgroups"):
        left = Network()
        left.number = int(note.stem)
        with suppress(Timeout), _lock(left.number).acquire(timeout=0):
            left.clear()


def _lock(number: int) -> FileLock:
    return FileLock(_LOCKS / str(number), thread_local=False)


def run(*argv: str) -> str:
    """What a short command prints. Raises ``RuntimeError`` with what it said where it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _removed(cgroup: Path) -> bool:
    """Whether a cgroup is gone with all below it; it stays as long as a process is in it."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return not cgroup.exists()
