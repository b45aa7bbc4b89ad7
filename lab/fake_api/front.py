"""A JSON API on loopback: HTTP/1.1, the faults to inject and the record of what was asked.

It knows nothing of what is asked. ``Front`` is what a stand-in's server is built on.
"""

import contextlib
import json
import logging
import socket
import ssl
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from lab.fake_api import faults
from lab.fake_api.statuses import RefusalError

log = logging.getLogger(__name__)

Json = dict[str, Any]
_JSON = "application/json"
_IDLE_SECONDS = 90.0


class Front(ABC):
    """One server. A context manager; it may be stopped and started again on the same port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.faults = faults.Faults()
        self.requests = faults.Requests()
        self._tls = tls
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @abstractmethod
    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """Whose token a request carries."""

    @abstractmethod
    def answer(
        self, user: str | None, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        """The status and the body for one request."""

    @property
    def address(self) -> str:
        """Host and port, once it was started."""
        return f"127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """Where it listens, once it was started."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def start(self) -> Self:
        """Listen on a free port, or on the one it had before."""
        self._server = _Server(("127.0.0.1", self._port), self, self._tls)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; what it holds stays."""
        if self._server is None or self._thread is None:
            return
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: Front, tls: ssl.SSLContext | None) -> None:
        super().__init__(address, _Handler)
        self.api = api
        self._tls = tls
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Speak TLS; the handshake is made by the connection's own thread.

        A client that has gone is noticed before: CPython 3.11 leaves the socket open where it cannot be wrapped.
        """
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            connection.getpeername()
        except OSError:
            connection.close()
            raise
        return self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def drop_connections(self) -> None:
        """Wake the threads that wait for a next request on a kept connection."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A client that went away is its own affair."""
        log.debug("connection from %s broke: %r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each delayed acknowledgement
    wbufsize = -1
    timeout = _IDLE_SECONDS
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(OSError), contextlib.closing(self.rfile):  # it stays open where a last write fails
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The record of requests is kept in ``Front.requests``."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        api = self.server.api
        headers = {name.title(): value for name, value in self.headers.items()}
        user = api.user_of(headers)
        fault = api.faults.take(self.command, self.path, user)
        status, content = self._outcome(fault, user, headers, body)
        payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        sent = payload[: len(payload) // 2] if isinstance(fault, faults.DropAnswer) else payload
        # Recorded before it is sent, so that a client that has its answer finds it counted.
        api.requests.add(faults.Request(self.command, self.path, user, status, length, len(sent)))
        if status:
            media_type = "text/plain; charset=utf-8" if isinstance(content, str) else _JSON
            self._send(status, media_type, sent, len(payload), fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _outcome(
        self, fault: faults.Fault | None, user: str | None, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        match fault:
            case faults.Refuse(status):
                return status, RefusalError(status, f"injected: {self.command} {self.path}").body()
            case faults.Malformed():
                return 200, '{"kind": "Pod'
            case faults.Drop():
                self.close_connection = True
                return 0, ""
            case faults.Hang(seconds):
                self.server.stopping.wait(seconds)
                self.close_connection = True
                return 0, ""
            case faults.DropAnswer():
                self.close_connection = True
        try:
            return self.server.api.answer(user, self.command, self.path, headers, body)
        except Exception as error:
            log.exception("the stand-in has a defect")
            return 500, RefusalError(500, f"Internal error occurred: {error!r}").body()

    def _send(self, status: int, media_type: str, sent: bytes, promised: int, fault: faults.Fault | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(promised))
        if isinstance(fault, faults.Refuse) and fault.retry_after is not None:
            self.send_header("Retry-After", str(fault.retry_after))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
