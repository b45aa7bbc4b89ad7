"""What the actors on the API have in common: a thread that takes one turn after another, and ends with what it met.

Knows that an API server may be away or refuse; nothing of what a turn does.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Self

from lab.api_client import ApiError

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)


class NotModelledError(Exception):
    """The real one would do something that this stand-in cannot: a defect, so that no test passes for want of it."""


class Actor:
    """Takes turns from ``start`` to ``stop``; a context manager, so that nothing stays behind.

    A turn that the API refuses is followed by the next one; any other exception is a defect, which ``stop`` raises.
    """

    def __init__(self, name: str, poll_seconds: float) -> None:
        self._actor = name
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._defect: BaseException | None = None

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop after the present turn; raises what ended the thread, if that was a defect."""
        self._stopping.set()
        self._thread.join()
        if self._defect is not None:
            raise self._defect

    def is_alive(self) -> bool:
        """Whether it still takes turns."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _turn(self) -> None:
        """Look and act once."""
        raise NotImplementedError

    def _end(self) -> None:
        """What the thread does last, whatever ended it."""

    def _run(self) -> None:
        refused = ""
        try:
            while not self._stopping.wait(self._poll_seconds):
                try:
                    self._turn()
                    refused = ""
                except ApiError as error:
                    words = str(error)  # a log record outlives the error, and would keep all that its frames hold
                    if words != refused:
                        log.warning("%s: %s", self._actor, words)
                    refused = words
        except BaseException as error:  # shown by stop(), whatever it is
            log.exception("%s has a defect", self._actor)
            self._defect = error
        finally:
            self._end()
