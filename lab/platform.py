"""The platform that teams roll out on: a real control plane, a real Argo CD, real nodes.

Knows how its parts are put together, and nothing of a rollout (``lab.team``). The control plane and Argo CD are processes
of this machine; what runs on the nodes is in namespaces of theirs.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from lab import images, toolchain
from lab.control_plane.argocd import ArgoCd
from lab.control_plane.builds import argocd, kubernetes
from lab.control_plane.kubernetes import ControlPlane
from lab.image import Builder
from lab.images import making
from lab.node import builds as node_builds
from lab.node import dns
from lab.node.network import Network
from lab.node.node import Node
from lab.node.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lab.images.making import Made
    from lab.toolchain import Progress

RELEASES = (toolchain.RELEASE, "1.30.8")
"""The releases of Temporal whose images the registry has."""


class Cluster:
    """A control plane with one node; nothing but its DNS is deployed on it."""

    def __init__(self, directory: Path, *, progress: Progress = print) -> None:
        """Prepare; what is not in the cache is built. Raises ``BuildError``."""
        self.directory = directory
        self._kubernetes = kubernetes(progress)
        self._node = node_builds.node(progress)
        self.builds = {release: toolchain.temporal(release, progress) for release in RELEASES}
        self._images = images.stores(self.builds.values(), progress)
        self.nodes: list[Node] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Start everything. Raises ``TimeoutError`` with the log of what did not start."""
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stack.close()

    @property
    def host(self) -> str:
        """The address of this machine in the cluster's network: where what is outside of the cluster listens."""
        return self.plane.network.host

    def pids(self, uid: str) -> list[int]:
        """The processes of a pod's containers."""
        return [pid for node in self.nodes for pid in node.pids(uid)]

    def logs(self, pod: Mapping[str, Any], container: str) -> list[str]:
        """What each run of a container said, also of a pod that is gone."""
        return [said for node in self.nodes for said in node.logs(pod, container)]

    def add_image(self, made: Made) -> None:
        """Build an image, and have the registry serve it."""
        making.push(Builder(), made, self.registry.address)

    def name_outside(self, namespace: str, name: str, port: int, named_port: int | None = None) -> None:
        """Give a port of ``host`` the name ``NAME.NAMESPACE.svc``, with another port where one is named."""
        dns.name_outside(self.plane, namespace, name, port, named_port)

    def add_node(self, number: int) -> Node:
        """Start another node, which ends with the cluster."""
        return self._add_node(self._stack, number)

    def remove_node(self, node: Node) -> None:
        """End a node that was added, for good; what runs on it has to be elsewhere (``kubectl drain``)."""
        node.__exit__(None, None, None)
        self.nodes.remove(node)
        self.client.delete(f"/api/v1/nodes/{node.name}")

    def _start(self, stack: ExitStack) -> None:
        """Start its parts, each for the stack to end."""
        for part in ("plane", "registry"):
            (self.directory / part).mkdir(parents=True)
        making.merge(self._images, self.directory / "images")
        network = stack.enter_context(Network())
        self.plane = stack.enter_context(ControlPlane(self._kubernetes, network, self.directory / "plane"))
        self.client = self.plane.client
        self.registry = stack.enter_context(
            Registry(self.directory / "images", self.directory / "registry", network.host)
        )
        self._add_node(stack, 1)
        dns.deploy(self.plane)

    def _add_node(self, stack: ExitStack, number: int) -> Node:
        directory = self.directory / f"node-{number}"
        directory.mkdir()
        node = stack.enter_context(Node(self.plane, self._node, self.registry, directory, number=number))
        node.wait_until_ready()
        self.nodes.append(node)
        return node


class Platform(Cluster):
    """A cluster with an Argo CD; ``argocd_line`` is its line, such as ``3.6``."""

    def __init__(
        self,
        directory: Path,
        argocd_line: str,
        *,
        progress: Progress = print,
    ) -> None:
        """Prepare; what is not in the cache is built. Raises ``BuildError``."""
        super().__init__(directory, progress=progress)
        self.argocd_line = argocd_line
        self._argocd = argocd(argocd_line, progress)

    def _start(self, stack: ExitStack) -> None:
        super()._start(stack)
        (self.directory / "argocd").mkdir()
        self.argocd = stack.enter_context(ArgoCd(self.plane, self._argocd, self.directory / "argocd"))
        dns.wait_until_ready(self.plane)
