"""The loop that the lab's actors on the API have in common."""

import gc
import weakref

from lab.actor import Actor
from lab.api_client import ApiError
from lab.processes import wait_until


class Socket:
    """Stands for what a call that broke has left open in one of its frames."""


class Refused(Actor):
    """One whose every turn breaks over a socket of its own, each with other words."""

    def __init__(self) -> None:
        super().__init__("refused", 0.001)
        self.sockets: list[weakref.ref[Socket]] = []

    def _turn(self) -> None:
        socket = Socket()
        self.sockets.append(weakref.ref(socket))
        raise ApiError(0, "Unreachable", f"turn {len(self.sockets)}")


def test_nothing_of_a_turn_that_was_refused_stays_behind() -> None:
    """Log records are kept until a test is over, and the error would be with all that its frames hold.

    A socket whose handshake broke (CPython leaves it open) was closed in the test after, which failed by its warning (seen).
    """
    with Refused() as refused:
        wait_until(lambda: len(refused.sockets) > 3, 10, "some turns")
    gc.collect()
    assert [one() for one in refused.sockets] == [None] * len(refused.sockets)
