"""What may stand at the frontend's address: a real gRPC server that plays it, and servers that are none."""

import itertools
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from socket import SHUT_RDWR, create_connection, create_server, socket
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from hook.adapters.frontend_answers import Question

Answer = Callable[[bytes, grpc.ServicerContext], bytes]

SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
METHODS = {
    "/grpc.health.v1.Health/Check": Question.HEALTH,
    f"/{SERVICE}/GetClusterInfo": Question.DATABASE,
    f"/{SERVICE}/DescribeWorkflowExecution": Question.HISTORY,
}


def aborting(code: grpc.StatusCode, details: str) -> Answer:
    """An answer that fails."""

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, details)

    return answer


def saying(status: int) -> Answer:
    """A health check's answer."""
    response = health_pb2.HealthCheckResponse()
    response.status = status  # may be one that has no name yet
    return lambda *_: response.SerializeToString()


WELL: dict[Question, Answer] = {
    Question.HEALTH: saying(health_pb2.HealthCheckResponse.SERVING),
    Question.DATABASE: lambda *_: b"",
    Question.HISTORY: aborting(
        grpc.StatusCode.NOT_FOUND, "workflow not found for ID: temporal-recovery-hook-probe"
    ),  # 1.29.1 (run)
}


class _Handler(grpc.GenericRpcHandler):
    def __init__(
        self, answers: dict[Question, Answer], log: list[tuple[Question, dict[str, str | bytes], str]]
    ) -> None:
        self._answers = answers
        self._log = log

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        question = METHODS.get(handler_call_details.method)
        if question is None or question not in self._answers:
            return None
        headers = dict(handler_call_details.invocation_metadata)

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self._log.append((question, headers, context.peer()))
            return self._answers[question](request, context)

        return grpc.unary_unary_rpc_method_handler(answer)


class Server:
    """A gRPC server that answers as ``WELL`` does, but for what is given; None is a method that it does not know."""

    def __init__(
        self,
        answers: Mapping[Question, Answer | None] | None = None,
        *,
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ) -> None:
        self.calls: list[tuple[Question, dict[str, str | bytes], str]] = []
        self._threads = ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        given = dict(answers or {})
        merged = {one: answer for one in Question if (answer := given.get(one, WELL[one])) is not None}
        self._server.add_generic_rpc_handlers((_Handler(merged, self.calls),))
        where = f"127.0.0.1:{port}"
        bound = (
            self._server.add_secure_port(where, credentials) if credentials else self._server.add_insecure_port(where)
        )
        self.address = f"127.0.0.1:{bound}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)
        self._threads.shutdown()


class Listener:
    """A TCP server on loopback: each connection is handed to ``serve`` in a thread, and closed after it."""

    def __init__(self, serve: Callable[[socket], None], context: ssl.SSLContext | None = None) -> None:
        self._serve = serve
        self._context = context
        self._socket = create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(SHUT_RDWR)
        self._socket.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def cut(self) -> None:
        """End every connection."""
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            thread = threading.Thread(target=self._handle, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _handle(self, connection: socket) -> None:
        with suppress(OSError, EOFError), connection:
            if self._context is None:
                self._serve(connection)
            else:
                with self._context.wrap_socket(connection, server_side=True) as encrypted:
                    self._serve(encrypted)


def banner(content: bytes) -> Callable[[socket], None]:
    """Serve one message and close, whatever is asked."""

    def serve(connection: socket) -> None:
        connection.sendall(content)
        connection.recv(1024)

    return serve


def forwarding(*backends: str) -> Callable[[socket], None]:
    """Serve as a TCP balancer: each connection goes to the next backend, and stays there."""
    turns = itertools.cycle(backends)

    def serve(connection: socket) -> None:
        host, _, port = next(turns).rpartition(":")
        with create_connection((host, int(port))) as backend:
            back = threading.Thread(target=_pump, args=(backend, connection))
            back.start()
            _pump(connection, backend)
            back.join()

    return serve


def _pump(source: socket, target: socket) -> None:
    with suppress(OSError):
        while content := source.recv(65_536):
            target.sendall(content)
        target.shutdown(SHUT_RDWR)


def http2(headers: dict[str, str], body: bytes = b"") -> Callable[[socket], None]:
    """Serve the same answer to every HTTP/2 request (RFC 9113), as a proxy does that never gets to a backend."""
    settings, ping, headers_frame, data = 4, 6, 1, 0
    acknowledged, end_of_stream, end_of_headers = 1, 1, 4
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers.items())

    def serve(connection: socket) -> None:
        _receive(connection, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
        connection.sendall(_frame(settings))
        while True:
            head = _receive(connection, 9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:9])
            payload = _receive(connection, int.from_bytes(head[:3]))
            if kind in {settings, ping} and not flags & acknowledged:
                connection.sendall(_frame(kind, acknowledged, 0, payload if kind == ping else b""))
            elif kind == headers_frame:
                last = 0 if body else end_of_stream
                connection.sendall(_frame(headers_frame, end_of_headers | last, stream, block))
                connection.sendall(_frame(data, end_of_stream, stream, body) if body else b"")

    return serve


def _text(text: str) -> bytes:
    """A string literal of HPACK (RFC 7541, 5.2) of less than 127 bytes, not compressed."""
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _receive(connection: socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise EOFError
        received += part
    return received
