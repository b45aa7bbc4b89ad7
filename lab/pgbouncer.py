"""PgBouncer in front of a PostgreSQL server, as a local process, from Debian's package.

Knows its configuration file; nothing of Temporal. It listens on 127.0.0.1 and asks clients for passwords by itself
(``auth_type = plain``: it needs them in the clear to log in at the server).
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from lab import postgres_origin, toolchain
from lab.processes import Process, free_port, wait_until

_START_SECONDS = 10.0


def program() -> Path:
    """PgBouncer itself, installed where only that is missing. Raises ``toolchain.BuildError``."""
    return toolchain.program("pgbouncer", "pgbouncer")


class PgBouncer:
    """One pooler before a server of this machine; as a context manager it is started and, at the end, stopped and removed.

    ``databases`` maps a name that clients ask for to the server's own, ``users`` a role to its password; ``settings`` are
    lines of the section ``[pgbouncer]``.
    """

    host = "127.0.0.1"

    def __init__(
        self, server_port: int, databases: Mapping[str, str], users: Mapping[str, str], **settings: str | int
    ) -> None:
        self.port = free_port()
        self._user = postgres_origin.user()  # it refuses to run as root
        self._home = Path(tempfile.mkdtemp(prefix="lab-pgbouncer-"))
        users_file, self._file = self._home / "users.txt", self._home / "pgbouncer.ini"
        users_file.write_text("".join(f'"{user}" "{password}"\n' for user, password in users.items()))
        lines = {
            "listen_addr": self.host, "listen_port": self.port, "unix_socket_dir": "", "pool_mode": "transaction",
            "auth_type": "plain", "auth_file": users_file,
        } | settings  # fmt: skip
        at = f"host={self.host} port={server_port}"
        named = "".join(f"{asked} = {at} dbname={real}\n" for asked, real in databases.items())
        configured = "".join(f"{name} = {value}\n" for name, value in lines.items())
        self._file.write_text(f"[databases]\n{named}[pgbouncer]\n{configured}")
        if self._user is not None:
            for path in (self._home, users_file, self._file):
                os.chown(path, *self._user)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        argv = [str(program()), str(self._file)]
        self._process = Process.start(argv, log=self._home / "log", cwd=self._home, user=self._user)
        try:
            wait_until(self._listens, _START_SECONDS, "PgBouncer to listen")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()
        shutil.rmtree(self._home)

    def _listens(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PgBouncer ended as soon as it was started:\n{self._process.tail()}")
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0
