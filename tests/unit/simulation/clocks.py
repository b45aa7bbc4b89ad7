"""The world's time, and what is to happen in it."""

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

RUN_STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """The world's time, and what is to happen in it."""

    def __init__(self) -> None:
        self.now = RUN_STARTED
        self._numbers = itertools.count()
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []

    def at(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen so many seconds after the run's start; at once if that is past."""
        due = max(self.now, moment(seconds))
        heapq.heappush(self._events, (due, next(self._numbers), what))

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._events, (self.now + timedelta(seconds=seconds), next(self._numbers), what))

    def let_pass(self, seconds: float) -> None:
        """Let time pass, and happen what is due."""
        until = self.now + timedelta(seconds=seconds)
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = until

    def is_past(self, seconds: float) -> bool:
        """Tell whether so many seconds have passed since the run's start."""
        return self.now >= moment(seconds)

    def is_between(self, begins: float, ends: float) -> bool:
        """Tell whether the first is past and the second is not."""
        return self.is_past(begins) and not self.is_past(ends)

    @property
    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return (self.now - RUN_STARTED).total_seconds()

    @property
    def whole_second(self) -> datetime:
        """The time as Kubernetes writes it."""
        return self.now.replace(microsecond=0)


def moment(seconds: float) -> datetime:
    return RUN_STARTED + timedelta(seconds=seconds)


def before(seconds: float) -> datetime:
    return moment(-seconds)
