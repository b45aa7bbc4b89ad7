"""Local processes: in a group of their own, never outliving this one, ended by their id; ports; bounded waiting.

Knows nothing of what the processes are.
"""

import fcntl
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

_LAUNCHER = Path(__file__).with_name("launcher.py")
# Below the ephemeral range (32768 up by default, /proc/sys/net/ipv4/ip_local_port_range): a server that is down for a
# while, as in a crash loop, must find its port again, and an outgoing connection could have been given one from there.
_PORTS = range(20000, 32000)

# A port is given once: to others of this machine it is taken by a lock on its file, for as long as this process lives. Tests
# run side by side, and between the choice of a port and its use lie seconds.
_given_ports: dict[int, int] = {}
"""Each with the descriptor of its file, which is closed, and so unlocked, by the end of this process."""
_given_ports_lock = threading.Lock()
_PORT_FILES = Path(tempfile.gettempdir()) / f"temporal-recovery-hook-ports-{os.getuid()}"
# The kernel sends the parent-death signal when the *thread* that started the child ends (prctl(2)). This one thread
# starts them all and ends with the interpreter.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now and is given to nobody else while this process lives.

    Raises ``OSError`` if a thousand tries find none.
    """
    _PORT_FILES.mkdir(exist_ok=True)
    for _ in range(1000):
        port = random.choice(_PORTS)  # noqa: S311 - nothing hangs on its being guessed
        with _given_ports_lock:
            if port not in _given_ports and (file := _reserved(port)) is not None:
                _given_ports[port] = file
                return port
    raise OSError(f"no free port on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def _reserved(port: int) -> int | None:
    """The locked file of a port that nobody uses, None for any other."""
    file = os.open(_PORT_FILES / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        os.close(file)
        return None
    return file


def wait_until(predicate: Callable[[], T], seconds: float, what: str, interval_seconds: float = 0.02) -> T:
    """Ask ``predicate`` until its answer is true, and return that answer.

    Raises ``TimeoutError`` that names ``what`` was awaited. An exception of the predicate ends the wait.
    """
    deadline = time.monotonic() + seconds
    while not (answer := predicate()):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(interval_seconds)
    return answer


class Process:
    """A running local process. As a context manager it is stopped at the end of the block."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen = popen
        self.log = log

    @classmethod
    def start(
        cls,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
    ) -> Self:
        """Start ``argv`` in a session and process group of its own; its output is appended to ``log``.

        ``env`` replaces the environment, ``user`` is (uid, gid). A program that cannot be started exits 127 and its log
        says why. It is killed when this process ends, however that happens; its own children are not.
        """
        uid, gid = user or (os.getuid(), os.getgid())
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(uid), str(gid)]

        def start() -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [*launcher, *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=env,
                    cwd=cwd,
                    start_new_session=True,
                )

        return cls(_starter.submit(start).result(), log)

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._popen.pid

    def poll(self) -> int | None:
        """Its exit code, negative for a signal as in ``subprocess``; None while it runs."""
        return self._popen.poll()

    def wait(self, seconds: float) -> int:
        """Wait for its end and return the exit code. Raises ``TimeoutError``."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {seconds:g} s, log {self.log}") from None

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone; nothing happens if it has ended."""
        self._popen.send_signal(number)

    def stop(self, grace_seconds: float = 5.0, first: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end by ``first``, after the grace kill it, and with it what is left of its group; its exit code."""
        if (ended := self.poll()) is not None:
            return ended
        self.send_signal(first)
        try:
            code = self.wait(grace_seconds)
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            code = self.wait(10.0)
        with suppress(ProcessLookupError):  # it left no children
            os.killpg(self.pid, signal.SIGKILL)
        return code

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
