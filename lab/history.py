"""What happened to one team's objects, in order: every version that the API server's watches told of, with its time.

Knows watches; nothing of what the objects mean. A look at the end of a scenario sees that a pod runs; only its history shows
whether it crash-looped before, or when an Application was first synced.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from lab.api_client import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lab.api_client import ApiClient

Json = dict[str, Any]
log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Watched:
    """One kind of object: where it is listed, and which of them belong to the team."""

    client: ApiClient
    kind: str
    path: str
    belongs: Callable[[Json], bool] = lambda _: True


@dataclass(frozen=True)
class Version:
    """An object as it was from ``at`` on (seconds since the epoch); ``gone`` where it was deleted then."""

    at: float
    kind: str
    name: str
    body: Json
    gone: bool


class History:
    """Recorded from ``__enter__`` to ``__exit__``, by one thread a kind, without a gap.

    Each watch goes on where the one before ended. Only what an API server that restarts forgets is lost.
    """

    def __init__(self, watched: Sequence[Watched], watch_seconds: int = 30) -> None:
        self._watch_seconds = watch_seconds
        self._versions: list[Version] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._follow, args=(one,), daemon=True) for one in watched]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what was recorded stays. A watch that nothing happens to ends some seconds later, by itself."""
        self._stop.set()

    def versions(self, kind: str, name: str | None = None, since: float = 0.0) -> list[Version]:
        """All versions of a kind, of one object or of all, in their order."""
        return [
            one for one in list(self._versions) if one.kind == kind and name in (None, one.name) and one.at >= since
        ]

    def first(self, kind: str, name: str, holds: Callable[[Json], object], since: float = 0.0) -> float | None:
        """When an object first was so; None if it never was."""
        return next((one.at for one in self.versions(kind, name, since) if not one.gone and holds(one.body)), None)

    def ever(self, kind: str, holds: Callable[[Json], object], since: float = 0.0) -> list[str]:
        """The names of those of a kind that ever were so."""
        return sorted({one.name for one in self.versions(kind, None, since) if holds(one.body)})

    def _follow(self, watched: Watched) -> None:
        known: dict[str, str] = {}
        reached: str | None = None
        while not self._stop.is_set():
            try:
                if reached is None:
                    answer = watched.client.get(watched.path)
                    for body in answer.get("items") or []:
                        self._take(watched, body, known, gone=False)
                    reached = str(answer["metadata"]["resourceVersion"])
                for kind, body in watched.client.watch(watched.path, reached, self._watch_seconds):
                    if self._stop.is_set():
                        return
                    if kind == "ERROR":  # the version is too old
                        reached = None
                        break
                    reached = str(body["metadata"]["resourceVersion"])
                    if kind != "BOOKMARK":
                        self._take(watched, body, known, gone=kind == "DELETED")
            except ApiError as error:
                log.debug("history of %s: %s", watched.kind, str(error))
                if error.status == HTTPStatus.GONE:
                    reached = None
                self._stop.wait(_AGAIN_SECONDS)

    def _take(self, watched: Watched, body: Json, known: dict[str, str], *, gone: bool) -> None:
        metadata: Mapping[str, Any] = body["metadata"]
        version = metadata["resourceVersion"]
        if watched.belongs(body) and known.get(metadata["uid"]) != version:
            known[metadata["uid"]] = version
            self._versions.append(Version(time.time(), watched.kind, metadata["name"], body, gone))
