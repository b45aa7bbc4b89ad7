"""A container's readiness probe: tcpSocket or exec, asked in the background.

Knows the probe's spec, where to connect and what to run; asks nothing of the API. Defaults are the API server's
(pkg/apis/core/v1/defaults.go): every 10 s, 1 s to answer, one success, three failures; a container is not ready
before its first success and the first question comes at once (``initialDelaySeconds`` 0).
"""

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from pathlib import Path

from lab.api_client import Json
from lab.kubelet.configuration import POD_IP, UnsupportedError


class ReadinessProbe:
    """One run's probe; ``ready`` is its present verdict."""

    def __init__(
        self,
        container: Json,
        given: Mapping[str, str],
        directory: Path,
        started_at: datetime,
        executor: Executor,
    ) -> None:
        spec = container["readinessProbe"]
        self._period = timedelta(seconds=spec.get("periodSeconds", 10))
        self._needed = {True: spec.get("successThreshold", 1), False: spec.get("failureThreshold", 3)}
        self._ask = _question(container, given, directory)
        self._executor = executor
        self._next = started_at + timedelta(seconds=spec.get("initialDelaySeconds", 0))
        self._asked: Future[bool] | None = None
        self._same: tuple[bool, int] = (False, 0)
        self.ready = False

    def turn(self, now: datetime) -> None:
        """Takes up an answer that has come, and asks when it is time; never waits for either."""
        if self._asked is not None and self._asked.done():
            answer = self._asked.result()
            before, count = self._same
            self._same = (answer, count + 1 if answer == before else 1)
            if self._same[1] >= self._needed[answer]:
                self.ready = answer
            self._asked = None
        if self._asked is None and now >= self._next:
            self._next = now + self._period
            self._asked = self._executor.submit(self._ask)


def check_supported(container: Json) -> None:
    """Refuses a probe that is neither tcpSocket nor exec."""
    spec = container.get("readinessProbe")
    if spec is not None and not {"tcpSocket", "exec"} & set(spec):
        kinds = ", ".join(sorted({"httpGet", "grpc"} & set(spec)))
        raise UnsupportedError(f"readiness probe: the process kubelet has no {kinds}")


def _question(container: Json, given: Mapping[str, str], directory: Path) -> Callable[[], bool]:
    spec = container["readinessProbe"]
    seconds = float(spec.get("timeoutSeconds", 1))
    if "exec" in spec:
        command = list(spec["exec"]["command"])
        return lambda: _succeeds(command, given, directory, seconds)
    host = spec["tcpSocket"].get("host") or POD_IP
    port = _port(container, spec["tcpSocket"]["port"])
    return lambda: _connects(host, port, seconds)


def _port(container: Json, port: int | str) -> int:
    """A named port is one of the container's."""
    named = {one.get("name"): one["containerPort"] for one in container.get("ports") or []}
    return int(named.get(port, port))


def _connects(host: str, port: int, seconds: float) -> bool:
    try:
        socket.create_connection((host, port), seconds).close()
    except OSError:
        return False
    return True


def _succeeds(command: Sequence[str], given: Mapping[str, str], directory: Path, seconds: float) -> bool:
    """Exit code 0 in time; what is left of its process group is killed."""
    quiet = subprocess.DEVNULL
    try:
        asked = subprocess.Popen(
            command,
            env=dict(given),
            cwd=directory,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return asked.wait(seconds) == 0
    except subprocess.TimeoutExpired:
        os.killpg(asked.pid, signal.SIGKILL)
        asked.wait()
        return False
