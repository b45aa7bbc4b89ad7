"""What the tests of the stores' adapter share: looks at a database, and servers that misbehave on request."""

import re
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from hook.adapters import postgres as adapter
from hook.observation.findings import Finding, FindingError
from hook.observation.versions import Schema, Store
from lab import temporal
from lab.temporal import Databases

SECONDS = 5.0
LAB_STORES = {Store.DEFAULT: temporal.Store.DEFAULT, Store.VISIBILITY: temporal.Store.VISIBILITY}


def settings(databases: Databases, store: Store = Store.DEFAULT, **changes: Any) -> dict[str, str]:
    """The parameters of a store as the gate's settings give them."""
    parameters = {
        "host": databases.host,
        "port": databases.port,
        "dbname": databases.name(LAB_STORES[store]),
        "user": databases.user,
        "password": databases.password,
    } | changes
    return {name: str(value) for name, value in parameters.items()}


def read(databases: Databases, store: Store = Store.DEFAULT, *, seconds: float = SECONDS, **changes: Any) -> Schema:
    return adapter.read(store, lambda: settings(databases, store, **changes), seconds)


def refused(databases: Databases, store: Store = Store.DEFAULT, *, seconds: float = SECONDS, **changes: Any) -> Finding:
    """The finding of a look that must fail. Whatever it is, it says where and holds no password."""
    parameters = settings(databases, store, **changes)
    return refusal(store, lambda: parameters, seconds, parameters["password"], parameters["dbname"])


def refusal(
    store: Store, conninfo: Callable[[], Mapping[str, str]], seconds: float, password: str, database: str
) -> Finding:
    with pytest.raises(FindingError) as caught:
        adapter.read(store, conninfo, seconds)
    finding = caught.value.finding
    assert finding.about.startswith(f"store {store} ({database} on ")
    for text in (str(caught.value), str(finding), finding.remedy, repr(caught.value.__cause__)):
        assert password not in text
    return finding


def migrate(schema: temporal.Schema, store: Store = Store.DEFAULT, version: str | None = None) -> None:
    schema.run(schema.setup(LAB_STORES[store]))
    schema.run(schema.update(LAB_STORES[store], version))


def as_owner(databases: Databases, *statements: str, store: Store = Store.DEFAULT) -> None:
    with psycopg.connect(make_conninfo(**settings(databases, store)), autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def remedy_of(finding: Finding) -> str:
    """The SQL that a person would copy from it."""
    found = re.fullmatch(
        r"In that database, as the tables' owner, run: (.*) Then sync the gate's Application\.", finding.remedy
    )
    assert found is not None, finding.remedy
    return found.group(1)


class Odd:
    """Accepts, reads a little if it is to answer, answers, and closes; ``None`` keeps the connection and says nothing."""

    def __init__(self, answer: Callable[[bytes], bytes] | None, *, then_close: bool = False) -> None:
        self._answer = answer
        self._then_close = then_close
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        kept: list[socket.socket] = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                break
            kept.append(connection)
            if self._answer is not None:
                self._talk(connection, self._answer)
        for connection in kept:
            connection.close()

    def _talk(self, connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        with connection:
            while said := answer(connection.recv(4096)):
                connection.sendall(said)
                if said != b"N":
                    if self._then_close:
                        connection.recv(4096)  # a close over unread data would be a reset
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


def error_response(code: str, message: str) -> bytes:
    """PostgreSQL's ErrorResponse (documentation, "Message Formats")."""
    body = b"".join(f"{kind}{text}".encode() + b"\0" for kind, text in (("S", "FATAL"), ("C", code), ("M", message)))
    return b"E" + struct.pack("!I", len(body) + 5) + body + b"\0"


_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


def refusing(code: str, message: str) -> Callable[[bytes], bytes]:
    """A server without encryption that refuses each login with this error."""

    def answer(said: bytes) -> bytes:
        if len(said) >= 8 and struct.unpack("!I", said[4:8])[0] in {_SSL_REQUEST, _GSS_REQUEST}:
            return b"N"
        return error_response(code, message)

    return answer


@contextmanager
def between(port: int, passed: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """Stands before the real server, yields its port: passes on what a client says, changed so, or nothing more at all."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                pipes = {client: server, server: client}
                while True:
                    for source in select.select(list(pipes), [], [])[0]:
                        data = source.recv(65536)
                        said = passed(data) if data and source is client else data
                        if not said:
                            over.wait(60)
                            return
                        pipes[source].sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


@contextmanager
def cutting(port: int, after: int) -> Iterator[tuple[int, list[int]]]:
    """Stands before the real server and closes both connections once the server has said so many bytes; it counts them."""
    heard: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                pipes = {client: server, server: client}
                while True:
                    for source in select.select(list(pipes), [], [])[0]:
                        data = source.recv(1024)
                        heard.append(len(data) if source is server else 0)
                        if not data or sum(heard) > after:
                            return
                        pipes[source].sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            thread.join(10)
