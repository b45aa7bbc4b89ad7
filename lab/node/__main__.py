"""``python -m lab.node``: say whether nodes can be made here, and build ahead of use all that a platform needs."""

import sys

from lab import images, toolchain
from lab.control_plane import builds as control_plane
from lab.emulation import EmulationError
from lab.helm import helm
from lab.image import ImageError
from lab.node import builds, namespaces
from lab.platform import RELEASES
from lab.toolchain import BuildError


def main() -> None:
    """Do so, or say what is missing and exit 1."""
    try:
        namespaces.check()
        node = builds.node()
        print(f"Kubernetes {control_plane.kubernetes().release}, with {node.containerd.name} of containerd")
        for line in control_plane.ARGOCD_LINES:
            print(f"Argo CD {control_plane.argocd(line).release}")
        for path in (helm(3).path, control_plane.etcd(), control_plane.redis_server(), control_plane.git()):
            print(path.name)
        found = images.stores([toolchain.temporal(release) for release in RELEASES])
        print(f"{len(found)} images")
    except (BuildError, ImageError, EmulationError, namespaces.NamespacesError) as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
