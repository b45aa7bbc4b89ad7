"""Faults to inject, and the record of what was asked.

It knows methods, paths and counts. A fault stands before authentication, as a proxy or the API server's flow control
would; ``DropAnswer`` alone comes after the request has taken effect.
"""

import re
import threading
from collections import deque
from dataclasses import dataclass

KEPT_REQUESTS = 200_000


@dataclass(frozen=True)
class Refuse:
    """An error status, with Retry-After where given (429 as from API priority and fairness)."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True)
class Hang:
    """No answer for so long, then the connection is closed. Ends early when the server is stopped."""

    seconds: float


@dataclass(frozen=True)
class Drop:
    """The connection is closed; the request never took effect."""


@dataclass(frozen=True)
class DropAnswer:
    """The request takes effect and the connection is closed half way through the answer."""


@dataclass(frozen=True)
class Malformed:
    """200, and a body that is not JSON; the request never took effect."""


Fault = Refuse | Hang | Drop | DropAnswer | Malformed


@dataclass
class _Planned:
    method: str
    path: re.Pattern[str]
    fault: Fault
    left: int
    user: str | None


class Faults:
    """The faults still to come, in the order they were planned."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def plan(self, method: str, path: str, fault: Fault, count: int = 1, user: str | None = None) -> None:
        """The next ``count`` requests with this method whose path with its query matches the regular expression.

        ``user``: only those that carry this user's token.
        """
        with self._lock:
            self._planned.append(_Planned(method, re.compile(path), fault, count, user))

    @property
    def left(self) -> int:
        """How many are still to come."""
        with self._lock:
            return sum(planned.left for planned in self._planned)

    def clear(self) -> None:
        """No more faults."""
        with self._lock:
            self._planned.clear()

    def take(self, method: str, path: str, user: str | None) -> Fault | None:
        """The fault for this request, which is then used up by one."""
        with self._lock:
            for planned in self._planned:
                theirs = planned.user in (None, user)
                if theirs and planned.left > 0 and planned.method == method and planned.path.search(path):
                    planned.left -= 1
                    return planned.fault
        return None


@dataclass(frozen=True)
class Request:
    """One request as the server saw it. ``status`` is 0 where the connection was dropped without an answer."""

    method: str
    path: str
    user: str | None
    status: int
    bytes_received: int
    bytes_sent: int


class Requests:
    """The latest requests, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: deque[Request] = deque(maxlen=KEPT_REQUESTS)

    def add(self, request: Request) -> None:
        """Called by the server."""
        with self._lock:
            self._seen.append(request)

    def clear(self) -> None:
        """Start counting anew."""
        with self._lock:
            self._seen.clear()

    def by(self, user: str) -> list[Request]:
        """What this user asked."""
        with self._lock:
            return [request for request in self._seen if request.user == user]

    def all(self) -> list[Request]:
        """What everybody asked."""
        with self._lock:
            return list(self._seen)
