"""The logs of a node's containers, kept when the kubelet removes them with their pod.

Knows where the kubelet has them and the format of the container runtime interface. A second name (a hard link) holds what
is written until the end; a container's first lines are a second old before anybody could delete its pod.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

_LOOK_SECONDS = 0.2


class KeptLogs:
    """Those below ``source``, by second names below ``kept``. A context manager: entered it keeps what comes."""

    def __init__(self, source: Path, kept: Path) -> None:
        self._source = source
        self._kept = kept
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="kept-logs", daemon=True)

    def __enter__(self) -> Self:
        self._kept.mkdir(parents=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def of(self, metadata: Mapping[str, Any], container: str) -> list[str]:
        """What each run of a container said, in order, by its pod's metadata."""
        self._look()
        home = self._kept / f"{metadata['namespace']}_{metadata['name']}_{metadata['uid']}" / container
        files = sorted(home.glob("*.log"), key=lambda file: int(file.stem))
        return [_said(file.read_text("utf-8", errors="replace")) for file in files]

    def _keep(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        # An iterator of os.scandir would be left open where its folder goes meanwhile.
        with suppress(FileNotFoundError):  # none yet
            for pod in self._source.iterdir():
                with suppress(OSError):  # pods come and go meanwhile
                    self._link(pod)

    def _link(self, pod: Path) -> None:
        for container in pod.iterdir():
            for log in container.iterdir():
                name = self._kept / pod.name / container.name / log.name
                if not name.exists():
                    name.parent.mkdir(parents=True, exist_ok=True)
                    os.link(log, name)


def _said(text: str) -> str:
    """Without the time, the stream and the tag that a container runtime puts before each line; P is a line in parts."""
    found = []
    for line in text.splitlines():
        _, _, tag, said = [*line.split(" ", 3), "", "", "", ""][:4]
        found.append(said + ("" if tag == "P" else "\n"))
    return "".join(found)
