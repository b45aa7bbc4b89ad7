"""Connections that a bounded request (`hook.adapters.attempt`) can shut down when its time is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from hook.adapters import attempt

if TYPE_CHECKING:
    import socket


def _note(user: HTTPConnection, connection: Any) -> None:  # noqa: ANN401 -- a socket, or None where there is none yet
    under_way = attempt.current()
    if connection is not None and under_way is not None:
        under_way.uses(user, connection)


class _Plain(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        _note(self, made)
        return made

    def request(self, *arguments: Any, **options: Any) -> None:
        _note(self, self.sock)  # one that is used again
        super().request(*arguments, **options)

    def _tunnel(self) -> None:
        """Take no end of a proxy's headers for a tunnel that is open, when the end is that of our own time."""
        super()._tunnel()
        under_way = attempt.current()
        if under_way is not None and under_way.is_left:
            raise ConnectionAbortedError


class _Secure(_Plain, HTTPSConnection):
    pass


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


POOLS = {"http": _PlainPool, "https": _SecurePool}
"""For a pool manager whose requests are bounded by `within`."""
