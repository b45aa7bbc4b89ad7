"""The platform that teams roll out on: a real control plane, a real Argo CD, this machine as the node.

Knows how its parts are put together, and nothing of a rollout (``lab.team``). All of it listens on loopback.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from lab import images, toolchain
from lab.control_plane.argocd import ArgoCd
from lab.control_plane.builds import argocd, kubernetes
from lab.control_plane.kubernetes import ControlPlane
from lab.kubelet import ProcessKubelet

if TYPE_CHECKING:
    from pathlib import Path

    from lab.toolchain import Progress

RELEASES = (toolchain.RELEASE, "1.30.8")
"""The releases of Temporal whose images the node has."""

_RESTART_BACKOFF_SECONDS = 2.0
"""Ten in a kubelet: the first pauses of a crash loop are a fifth here, their doubling and its end are the same."""


class Cluster:
    """A control plane, and this machine as its node; nothing is deployed on it."""

    def __init__(
        self,
        directory: Path,
        *,
        restart_backoff_seconds: float = _RESTART_BACKOFF_SECONDS,
        progress: Progress = print,
    ) -> None:
        """Prepare; what is not in the cache is built. Raises ``BuildError``."""
        self.directory = directory
        self._restart_backoff_seconds = restart_backoff_seconds
        self._kubernetes = kubernetes(progress)
        self.builds = {release: toolchain.temporal(release, progress) for release in RELEASES}
        self.hosts: dict[str, str] = {}
        """Names outside of the cluster that its pods can resolve, such as the databases'."""
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

    def _start(self, stack: ExitStack) -> None:
        """Start its parts, each for the stack to end."""
        for part in ("plane", "kubelet", "images"):
            (self.directory / part).mkdir(parents=True)
        self.images = images.images(self.builds.values(), self.directory / "images")
        self.plane = stack.enter_context(ControlPlane(self._kubernetes, self.directory / "plane"))
        self.client = self.plane.client
        self.kubelet = stack.enter_context(
            ProcessKubelet(
                self.client,
                None,
                self.directory / "kubelet",
                images=self.images,
                hosts=self.hosts,
                api_server=self.plane.address,
                serving_certificate=self.plane.kubelet_certificate,
                restart_backoff_seconds=self._restart_backoff_seconds,
            )
        )


class Platform(Cluster):
    """A cluster with an Argo CD; ``argocd_line`` is its line, such as ``3.6``."""

    def __init__(
        self,
        directory: Path,
        argocd_line: str,
        *,
        restart_backoff_seconds: float = _RESTART_BACKOFF_SECONDS,
        progress: Progress = print,
    ) -> None:
        """Prepare; what is not in the cache is built. Raises ``BuildError``."""
        super().__init__(directory, restart_backoff_seconds=restart_backoff_seconds, progress=progress)
        self.argocd_line = argocd_line
        self._argocd = argocd(argocd_line, progress)

    def _start(self, stack: ExitStack) -> None:
        super()._start(stack)
        (self.directory / "argocd").mkdir()
        self.argocd = stack.enter_context(ArgoCd(self.plane, self._argocd, self.directory / "argocd"))
