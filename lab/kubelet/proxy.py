"""kube-proxy's part: where Services listen, and how connections reach their pods.

Knows addresses and ports, and nothing of Services or pods. While a Service has no ready pod nothing listens, so that a
caller is refused at once, as kube-proxy rejects; one whose pod refuses is reset.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Self

from lab.kubelet.network import Place

log = logging.getLogger(__name__)

CHUNK_BYTES = 65536
RETRY_SECONDS = 1.0
_RESET = struct.pack("ii", 1, 0)
"""``struct linger``: closing sends RST (socket(7))."""


class ServiceProxy:
    """One thread, in which an event loop forwards TCP."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="service-proxy", daemon=True)
        # Not asyncio's own servers: Python 3.11 drops what they have accepted, unclosed, when they are closed (_attach).
        self._listeners: dict[Place, socket.socket] = {}
        self._turns: dict[Place, Iterator[Place]] = {}
        self._table: dict[Place, tuple[Place, ...]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._failed_at = 0.0

    def start(self) -> Self:
        """Begin; nothing is forwarded yet."""
        self._thread.start()
        return self

    def update(self, table: Mapping[Place, tuple[Place, ...]]) -> None:
        """From now on listen there and forward to these in turn; connections that are open stay as they are."""
        asyncio.run_coroutine_threadsafe(self._update(dict(table)), self._loop).result()

    def stop(self) -> None:
        """Close everything. A second time does nothing."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _update(self, table: dict[Place, tuple[Place, ...]]) -> None:
        now = self._loop.time()
        complete = self._listeners.keys() == table.keys()
        if table == self._table and (complete or now - self._failed_at < RETRY_SECONDS):
            return
        for place in self._listeners.keys() - table.keys():
            self._unlisten(self._listeners.pop(place))
        for place, backends in table.items():
            if self._table.get(place) != backends:
                self._turns[place] = itertools.cycle(backends)
        self._table = table
        for place in table.keys() - self._listeners.keys():
            try:
                self._listeners[place] = self._listen(place)
            except OSError as error:
                # As when a program listens on 0.0.0.0 at this port: without network namespaces that is here, too.
                log.warning("cannot listen for a Service: %s", str(error))
                self._failed_at = now

    def _listen(self, place: Place) -> socket.socket:
        listener = socket.create_server(place, backlog=256)
        listener.settimeout(0)
        self._loop.add_reader(listener, self._accept, listener, place)
        return listener

    def _unlisten(self, listener: socket.socket) -> None:
        self._loop.remove_reader(listener)
        listener.close()

    def _accept(self, listener: socket.socket, place: Place) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:  # it has gone again
            return
        connection.settimeout(0)
        task = self._loop.create_task(self._serve(connection, place))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: socket.socket, place: Place) -> None:
        reader, writer = await asyncio.open_connection(sock=connection)
        with contextlib.closing(writer):
            try:
                back_reader, back_writer = await asyncio.open_connection(*next(self._turns[place]))
            except OSError:
                _reset(writer)
                return
            with contextlib.closing(back_writer):
                try:
                    await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer))
                except OSError:
                    _reset(writer)
                    _reset(back_writer)

    async def _close(self) -> None:
        for listener in self._listeners.values():
            self._unlisten(listener)
        await asyncio.sleep(0)  # what was accepted is begun, so that it is closed
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, and its end: the other direction may go on."""
    while piece := await reader.read(CHUNK_BYTES):
        writer.write(piece)
        await writer.drain()
    with contextlib.suppress(OSError):  # the other side has gone altogether
        writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    handle: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
