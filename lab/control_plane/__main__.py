"""``python -m lab.control_plane``: build all that a control plane, and what runs on it, needs, ahead of use."""

import sys

from lab import toolchain
from lab.control_plane import builds
from lab.helm import helm
from lab.toolchain import BuildError

TEMPORAL_RELEASES = (toolchain.RELEASE, "1.30.8")
"""Those that the charts of today and of yesterday install."""


def main() -> None:
    """Build it, or say what does not build and exit 1."""
    try:
        print(f"Kubernetes {builds.kubernetes().release}")
        for line in builds.ARGOCD_LINES:
            print(f"Argo CD {builds.argocd(line).release}")
        for release in TEMPORAL_RELEASES:
            print(f"Temporal {toolchain.temporal(release).schema_tool.release}")
        for path in (helm(3).path, builds.etcd(), builds.redis_server(), builds.git()):
            print(path.name)
    except BuildError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
