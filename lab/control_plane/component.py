"""A server of the control plane as a local process: started with its log, awaited, and explained where it fails.

Knows nothing of what the servers are.
"""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Self

from lab.processes import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

READY_SECONDS = 120.0
"""Each takes some seconds on an idle machine."""

_SELDOM_COLLECTED = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Nearly all are Go's. By default API servers and Argo CD's controllers spend a sixth of their time on it (measured)."""

_ASK_EVERY_SECONDS = 0.1
_ANSWER_SECONDS = 2.0


class ComponentError(RuntimeError):
    """A component ended before it was ready; the message ends with the tail of its log."""


class Component:
    """A running server. As a context manager it is killed at the end of the block: what it holds is thrown away."""

    def __init__(
        self, argv: Sequence[str], *, name: str, directory: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Start it; ``directory/logs/NAME.log`` gets its output. It inherits nothing of the environment."""
        self.name = name
        logs = directory / "logs"
        logs.mkdir(exist_ok=True)
        self.process = Process.start(
            argv, log=logs / f"{name}.log", env=_SELDOM_COLLECTED | dict(env or {}), cwd=directory
        )

    def wait_until(self, predicate: Callable[[], bool], what: str) -> None:
        """Wait until ``predicate`` is true of it. Raises ``ComponentError`` if it ends, ``TimeoutError``."""

        def so() -> bool:
            if (code := self.process.poll()) is not None:
                raise ComponentError(f"{self.name} ended with exit code {code} before {what}:\n{self.process.tail()}")
            return predicate()

        try:
            wait_until(so, READY_SECONDS, f"{self.name}: {what}", _ASK_EVERY_SECONDS)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the end of its log:\n{self.process.tail()}") from None

    def wait_until_answers(self, url: str) -> None:
        """Wait until a plain HTTP GET of ``url`` succeeds. Raises as ``wait_until``."""
        self.wait_until(lambda: _answers(url), f"{url} answers")

    def stop(self) -> None:
        """Kill it and what it started."""
        self.process.stop(first=signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS):  # noqa: S310 - of a server that was started here
            return True
    except (OSError, urllib.error.URLError):
        return False
