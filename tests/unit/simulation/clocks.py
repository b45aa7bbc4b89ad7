"""The world's time, the clocks that its actors read it from, and what is to happen in it."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

RUN_STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Actor(Enum):
    """Whose clock a time was read from."""

    API = "the API server's: what was created when, the Jobs' own times, and the answers' Date"
    GATE = "the gate's own"
    NODES = "the nodes': when a container started and ended; Temporal's servers write it into their rows"
    DATABASE = "that of the machine where the schema tool ran: when a schema was made and written"
    ARGO_CD = "the application controller's: comparisons and operations"


@dataclass(frozen=True)
class Clocks:
    """So many seconds each actor's clock is ahead of the true time; one that is behind is below zero."""

    api: float = 0.0
    gate: float = 0.0
    nodes: float = 0.0
    database: float = 0.0
    argo_cd: float = 0.0


IN_STEP = Clocks()


class Clock:
    """The world's time, and what is to happen in it."""

    def __init__(self, clocks: Clocks) -> None:
        self.now = RUN_STARTED
        self._ahead = {actor: timedelta(seconds=vars(clocks)[actor.name.lower()]) for actor in Actor}
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

    def read(self, actor: Actor, true: datetime | None = None) -> datetime:
        """Return what an actor's clock shows at a moment; now, where none is given."""
        return (true or self.now) + self._ahead[actor]

    def written(self, actor: Actor, true: datetime | None = None) -> datetime:
        """Return a moment as an actor writes it into an object of the API: in whole seconds (metav1.Time)."""
        return self.read(actor, true).replace(microsecond=0)


def moment(seconds: float) -> datetime:
    """Return the moment so many seconds after the run's start."""
    return RUN_STARTED + timedelta(seconds=seconds)


def before(seconds: float) -> datetime:
    """Return the moment so many seconds before the run's start."""
    return moment(-seconds)
