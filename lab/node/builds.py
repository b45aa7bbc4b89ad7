"""The programs of a node: the kubelet's and containerd's built once into the lab's cache, the rest of Debian's packages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab import toolchain
from lab.control_plane import builds
from lab.toolchain import build_tools_once, cache_directory

if TYPE_CHECKING:
    from lab.toolchain import Progress

_CONTAINERD = "github.com/containerd/containerd/v2"
_TAGS = "no_btrfs,no_zfs,no_devmapper,no_aufs"
"""Storage of containerd's that nothing here uses, and that needs C."""
_PLUGINS = Path("/usr/lib/cni")

_PROGRAMS = (
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
)
"""What kubelet, kube-proxy and the network plugins call by its name, and the package of each."""


@dataclass(frozen=True)
class NodeBuild:
    """What a node runs; ``containerd`` is the folder of containerd's programs, ``cni`` that of the network plugins."""

    kubelet: Path
    kube_proxy: Path
    containerd: Path
    runc: Path
    tini: Path
    cni: Path
    path: str


def node(progress: Progress = print) -> NodeBuild:
    """All of them, built or installed where they are missing. Raises ``BuildError``."""
    kubernetes = builds.kubernetes(progress)
    module = builds.MODULES / "containerd"
    release = builds.release(module, _CONTAINERD)
    containerd = cache_directory() / "containerd" / release
    build_tools_once(containerd, f"containerd {release}", module, stamp={}, tags=_TAGS, progress=progress)
    found = {name: toolchain.program(name, package, progress) for name, package in _PROGRAMS}
    bridge = _PLUGINS / "bridge"
    toolchain.installed(
        "a network plugin", "containernetworking-plugins", lambda: str(bridge) if bridge.exists() else None, progress
    )
    return NodeBuild(
        kubelet=kubernetes.kubelet,
        kube_proxy=kubernetes.kube_proxy,
        containerd=containerd,
        runc=found["runc"],
        tini=toolchain.program("tini", "tini", progress),
        cni=_PLUGINS,
        path=os.pathsep.join([str(containerd), "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
    )


def registry(progress: Progress = print) -> Path:
    """The server of a registry of images, Debian's. Raises ``BuildError``."""
    return toolchain.program("docker-registry", "docker-registry", progress)
