"""TLS in front of a PostgreSQL server that was built without it, as the embedded wheel's is.

Knows the first message of PostgreSQL's protocol (documentation, "Protocol Flow", "SSL Session Encryption") and passes
all that follows through unread. What it stands in for is a server with ``ssl = on`` and, where TLS is required, only
``hostssl`` lines in pg_hba.conf; channel binding (SCRAM-SHA-256-PLUS) is not offered.
"""

import asyncio
import contextlib
import ssl
import struct
import threading
from pathlib import Path

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_PROTOCOL_3 = range(196608, 262144)


class TlsFront:
    """Listens on ``port`` and forwards to ``backend_port`` of the same address; ``required`` refuses plain sessions."""

    def __init__(
        self, host: str, port: int, backend_port: int, certificate: Path, key: Path, *, required: bool
    ) -> None:
        self._host = host
        self._port = port
        self._backend_port = backend_port
        self._required = required
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"tls-front-{port}", daemon=True)
        self._sessions: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def start(self) -> None:
        """Listen; ``OSError`` if the port is taken."""
        self._thread.start()
        try:
            listen = asyncio.start_server(self._accept, self._host, self._port)
            self._server = asyncio.run_coroutine_threadsafe(listen, self._loop).result(5)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Close the port and every session."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for session in self._sessions:
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (session := asyncio.current_task()) is not None:
            self._sessions.add(session)
            session.add_done_callback(self._sessions.discard)
        # A client that leaves in the middle, as one does that mistrusts the certificate, is no fault of the server's.
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._session(reader, writer)
        writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted = False
        while True:
            head = await reader.readexactly(8)
            length, code = struct.unpack("!II", head)
            if code == _SSL_REQUEST and not encrypted:
                writer.write(b"S")
                await writer.start_tls(self._context)
                encrypted = True
            elif code == _GSS_REQUEST:
                writer.write(b"N")
            else:
                break
        startup = await reader.readexactly(length - 8)
        if self._required and not encrypted and code in _PROTOCOL_3:
            writer.write(_refusal(startup))
            await writer.drain()
            return
        backend_reader, backend_writer = await asyncio.open_connection(self._host, self._backend_port)
        try:
            backend_writer.write(head + startup)
            await asyncio.gather(_pump(reader, backend_writer), _pump(backend_reader, writer))
        finally:
            backend_writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes until the source ends, then end the sink."""
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


def _refusal(startup: bytes) -> bytes:
    """The ErrorResponse of a server whose pg_hba.conf has hostssl lines only (ClientAuthentication in libpq/auth.c)."""
    words = startup.rstrip(b"\0").split(b"\0")
    parameters = dict(zip(words[::2], words[1::2], strict=False))
    user = parameters.get(b"user", b"").decode()
    database = parameters.get(b"database", b"").decode() or user
    text = f'no pg_hba.conf entry for host "127.0.0.1", user "{user}", database "{database}", no encryption'
    fields = ("SFATAL", "VFATAL", "C28000", f"M{text}")
    body = b"".join(field.encode() + b"\0" for field in fields) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body
