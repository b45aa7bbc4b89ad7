"""The namespaces and cgroups that a node lives in, held by its own process 1.

Knows Linux's mounts, namespaces and both kinds of cgroups; nothing of Kubernetes. The file system is this machine's, but
for the folders that a node writes to. Its cgroups are below the caller's, so that whoever limits or ends the caller
limits and ends the node; where cgroups are v2 alone they are beside it, since only a leaf may hold processes.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab.control_plane.component import Component
from lab.node.network import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_CGROUPS = Path("/sys/fs/cgroup")
_V2_CONTROLLERS = "+cpuset +cpu +io +memory +hugetlb +pids"
_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup")
_FOLDERS = ("/var/lib/kubelet", "/var/lib/containerd", "/var/log", "/etc/cni/net.d", "/opt/cni/bin")
"""What a node writes to, or reads as its own."""

_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
"""Enter cgroups, then become a program."""

_LAY_OUT = """
set -eu
name=$1 dir=$2 cni=$3
shift 3
hostname "$name"
mount --make-rshared /
controllers=$(ls /sys/fs/cgroup)
v2=no
[ -e /sys/fs/cgroup/cgroup.controllers ] && v2=yes
mount -t sysfs sysfs /sys
if [ $v2 = yes ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # Only leaves may hold processes: the kubelet's cgroups are beside the node's own.
    mkdir -p /sys/fs/cgroup/node
    echo $$ > /sys/fs/cgroup/node/cgroup.procs
    for one in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$one" > /sys/fs/cgroup/cgroup.subtree_control; done
else
    mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
    for one in $controllers; do
        mkdir "/sys/fs/cgroup/$one"
        case $one in
            unified) mount -t cgroup2 cgroup2 "/sys/fs/cgroup/$one";;
            systemd) mount -t cgroup -o none,name=systemd cgroup "/sys/fs/cgroup/$one";;
            *) mount -t cgroup -o "$one" cgroup "/sys/fs/cgroup/$one";;
        esac
    done
fi
mount -t tmpfs -o mode=755 tmpfs /run
for folder in "$@"; do
    mkdir -p "$folder" "$dir$folder"
    mount --bind "$dir$folder" "$folder"
done
mount --bind "$cni" /opt/cni/bin
# The kubelet would set these for the whole machine: it finds them set, and the machine keeps its own.
mkdir /run/sysctl
for one in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1; do
    file=/run/sysctl/$(basename "${one%=*}")
    echo "${one#*=}" > "$file"
    mount --bind "$file" "/proc/sys/${one%=*}"
done
ip link set lo up
touch "$dir/laid-out"
exec sleep infinity
"""


class NamespacesError(RuntimeError):
    """This machine lets no node be made; the message says what is missing."""


def check() -> None:
    """Raise ``NamespacesError`` where this machine lets no node be made."""
    if os.geteuid() != 0:
        raise NamespacesError("a node needs root")
    try:
        run("unshare", *_NAMESPACES, "--fork", "true")
    except (RuntimeError, OSError) as error:
        raise NamespacesError(f"a node needs namespaces of its own, as in a privileged container: {error}") from None
    for cgroup in _cgroups("trh-lab-check"):
        _make(cgroup)
        cgroup.rmdir()


class Namespaces:
    """Those of one node, by its name, in a directory that is there. A context manager: left, all in it is killed."""

    def __init__(self, name: str, directory: Path, *, tini: Path, cni: Path, cgroups: Path) -> None:
        """``cgroups`` is the file that is to name the cgroups; ``cni`` the folder of the network plugins."""
        self.name = name
        self.directory = directory
        self._tini = tini
        self._cni = cni
        self._note = cgroups
        self.cgroups: list[Path] = []
        self._stack = ExitStack()
        self._first = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._make_cgroups()
            argv = [
                "unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                str(self._tini), "--", "/bin/sh", "-c", _LAY_OUT, "sh",
                self.name, str(self.directory), str(self._cni), *_FOLDERS,
            ]  # fmt: skip
            outer = stack.enter_context(
                Component(
                    self._joining(argv),
                    name="node",
                    directory=self.directory,
                    env={"PATH": os.defpath + ":/usr/sbin:/sbin"},
                )
            )
            outer.wait_until((self.directory / "laid-out").exists, "its mounts are laid out")
            children = Path(f"/proc/{outer.process.pid}/task/{outer.process.pid}/children")
            self._first = int(children.read_text().split()[0])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def first_process(self) -> int:
        """Its process 1, as this machine numbers it."""
        return self._first

    def run(self, *argv: str) -> str:
        """What a short command prints in it. Raises ``RuntimeError``."""
        return run(*self.entering(argv))

    def start(self, argv: Sequence[str], name: str, env: Mapping[str, str]) -> Component:
        """Start a server in it."""
        return Component(self._joining(self.entering(argv)), name=name, directory=self.directory, env=env)

    def entering(self, argv: Sequence[str]) -> list[str]:
        """Return the command that does so in it."""
        return ["nsenter", "--target", str(self._first), *_NAMESPACES, "--", *argv]

    def _joining(self, argv: Sequence[str]) -> list[str]:
        leaf = [one / "node" if (one / "node").exists() else one for one in self.cgroups]
        return ["/bin/sh", "-c", _JOIN, "sh", *map(str, leaf), "--", *argv]

    def _make_cgroups(self) -> None:
        self.cgroups = _cgroups(f"trh-lab-{self._note.stem}-{self.name}")
        with self._note.open("a") as note:
            note.writelines(f"{cgroup}\n" for cgroup in self.cgroups)
        for cgroup in self.cgroups:
            _make(cgroup)


def _cgroups(name: str) -> list[Path]:
    """Where one of this name belongs: below the caller's in each hierarchy (v1), or beside it (v2)."""
    if not _CGROUPS.is_dir():
        raise NamespacesError(f"a node needs cgroups: {_CGROUPS} is not there")
    own = dict(_own_cgroups())
    if (_CGROUPS / "cgroup.controllers").exists():
        leaf = _CGROUPS / own[""].lstrip("/")
        return [(leaf if leaf == _CGROUPS else leaf.parent) / name]
    hierarchies = sorted(one.name for one in _CGROUPS.iterdir())
    return [_CGROUPS / one / own.get(_KEYS.get(one, one), "/").lstrip("/") / name for one in hierarchies]


def _make(cgroup: Path) -> None:
    try:
        cgroup.mkdir()
    except OSError as error:
        raise NamespacesError(f"a node needs cgroups of its own: {cgroup}: {error.strerror}") from None
    if (cgroup / "cgroup.controllers").exists():
        for one in _V2_CONTROLLERS.split():
            with suppress(OSError):  # not every kernel has each
                (cgroup.parent / "cgroup.subtree_control").write_text(one)
    else:
        for kind in ("cpuset.cpus", "cpuset.mems"):  # empty ones take no process
            if (cgroup / kind).exists():
                (cgroup / kind).write_text((cgroup.parent / kind).read_text())


_KEYS = {"unified": "", "systemd": "name=systemd"}
"""How /proc/self/cgroup names hierarchies whose folder has another name."""


def _own_cgroups() -> list[tuple[str, str]]:
    lines = (line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines())
    return [(one, path) for _, controllers, path in lines for one in controllers.split(",")]
