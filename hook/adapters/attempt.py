"""One bound for all that a request may hang in: a lookup, the connection, TLS, a proxy, headers or a body that trickle.

The client's own timeouts begin anew with each byte that comes, and a lookup has none. So a request runs in a thread of its
own, which is left when its time is over; its connection is shut down then, so that the thread ends as well.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Closable(Protocol):
    """What holds a connection, and can let it go."""

    def close(self) -> None:
        """Let it go."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what the work returns, and raise what it raises, or TimeoutError when its time is over.

    Where there was no connection by then, the error is a ConnectionError: nothing can have been carried out.
    """
    attempt = Attempt(work)
    try:
        attempt.start()
        attempt.done.wait(seconds)  # a join that a signal's handler ends takes the thread for ended (CPython 3.11)
        return attempt.outcome(seconds)
    finally:  # also when a signal's handler raises out of the wait
        attempt.leave()


class Attempt(threading.Thread, Generic[T]):
    """A request under way."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="request", daemon=True)
        self.done = threading.Event()
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        self._user: Closable | None = None
        self._connection: socket.socket | None = None
        self._was_connected = False
        self.is_left = False

    def run(self) -> None:
        """Do the work, in the thread."""
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 -- it is raised where the work is waited for
            self._error = error
            if self._user is not None:
                self._user.close()  # not all of urllib3's ways out do so
        finally:
            self.done.set()

    def outcome(self, seconds: float) -> T:
        """Return what came of it."""
        if self._results:
            return self._results[0]
        if self._error is not None:
            raise self._error
        if self._was_connected:
            message = f"timed out: the answer was not complete within {seconds:g} s"
            raise TimeoutError(message)
        message = f"timed out: no connection within {seconds:g} s"
        raise ConnectionError(message)

    def uses(self, user: Closable, connection: Any) -> None:  # noqa: ANN401 -- TLS cannot be duplicated as such
        """Take hold of the connection: whoever reads from it notices when it is shut down."""
        self._user = user
        with self._lock:
            self._forget()
            with suppress(OSError):
                self._connection = socket.socket(fileno=os.dup(connection.fileno()))
            self._was_connected = True
            if self.is_left:
                self._shut_down()
                self._forget()

    def leave(self) -> None:
        """Do not wait for it any longer."""
        with self._lock:
            self.is_left = True
            if not self.done.is_set():
                self._shut_down()
            self._forget()

    def _shut_down(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def current() -> Attempt[Any] | None:
    """Return the attempt whose thread asks."""
    thread = threading.current_thread()
    return thread if isinstance(thread, Attempt) else None
