"""What the name of an image stands for on this node: there is no registry and no layer, only files of this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """The command, files, environment and user that a container gets by naming it."""

    command: Sequence[str] = ()
    """ENTRYPOINT and CMD; a container's own ``command`` replaces it, its ``args`` follow either."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path in the container to a file or directory of this machine, bound read-only."""
    environment: Mapping[str, str] = field(default_factory=dict)
    user: tuple[int, int] = (0, 0)
    """USER: uid and gid."""
