"""A container's probes: asked in the background, at their periods, with their thresholds.

Knows the probes' specs, where to connect and what to run; asks nothing of the API. Defaults are the API server's
(pkg/apis/core/v1/defaults.go): every 10 s, 1 s to answer, one success, three failures. A container is not ready before
its readiness probe's first success, and the first question comes at once (``initialDelaySeconds`` 0); liveness and
readiness wait for the startup probe's success (pkg/kubelet/prober/worker.go, Kubernetes v1.36.1).
"""

import socket
from collections.abc import Callable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta

from lab.api_client import Json
from lab.kubelet.configuration import NODE_IP, UnsupportedError
from lab.kubelet.run import Run

_KINDS = {"exec", "tcpSocket"}


class Probes:
    """Those of one run of a container."""

    def __init__(self, container: Json, run: Run, now: datetime, executor: Executor) -> None:
        def probe(name: str) -> Probe | None:
            spec = container.get(name)
            return None if spec is None else Probe(spec, _question(container, spec, run), now, executor)

        self._startup = probe("startupProbe")
        self._liveness = probe("livenessProbe")
        self._readiness = probe("readinessProbe")

    def turn(self, now: datetime) -> None:
        """Asks what is to be asked now; never waits."""
        if self._startup is not None and not self.started:
            self._startup.turn(now)
            return
        for probe in (self._liveness, self._readiness):
            if probe is not None:
                probe.turn(now)

    @property
    def started(self) -> bool:
        """The startup probe has succeeded once, or there is none."""
        return self._startup is None or self._startup.verdict is True

    @property
    def ready(self) -> bool:
        """The container may be sent requests."""
        return self.started and (self._readiness is None or self._readiness.verdict is True)

    @property
    def failed(self) -> Json | None:
        """The spec of the probe that says that the container is to be killed."""
        return next(
            (one.spec for one in (self._startup, self._liveness) if one is not None and one.verdict is False), None
        )


class Probe:
    """One probe; ``verdict`` is None until a threshold has been reached."""

    def __init__(self, spec: Json, ask: Callable[[], bool], started_at: datetime, executor: Executor) -> None:
        self.spec = spec
        self.verdict: bool | None = None
        self._period = timedelta(seconds=spec.get("periodSeconds", 10))
        self._needed = {True: spec.get("successThreshold", 1), False: spec.get("failureThreshold", 3)}
        self._ask = ask
        self._executor = executor
        self._next = started_at + timedelta(seconds=spec.get("initialDelaySeconds", 0))
        self._asked: Future[bool] | None = None
        self._same: tuple[bool, int] = (False, 0)

    def turn(self, now: datetime) -> None:
        """Takes up an answer that has come, and asks when it is time; never waits for either."""
        if self._asked is not None and self._asked.done():
            answer = self._asked.result()
            before, count = self._same
            self._same = (answer, count + 1 if answer == before else 1)
            if self._same[1] >= self._needed[answer]:
                self.verdict = answer
            self._asked = None
        if self._asked is None and now >= self._next:
            self._next = now + self._period
            self._asked = self._executor.submit(self._ask)


def check_supported(container: Json) -> None:
    """Refuses a probe of another kind than ``exec`` and ``tcpSocket``."""
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        spec = container.get(name)
        if spec is not None and not _KINDS & set(spec):
            other = ", ".join(key for key, value in spec.items() if isinstance(value, dict))
            raise UnsupportedError(f"{name}: the process kubelet has no {other}")


def _question(container: Json, spec: Json, run: Run) -> Callable[[], bool]:
    seconds = float(spec.get("timeoutSeconds", 1))
    if "exec" in spec:
        command = list(spec["exec"]["command"])
        return lambda: run.execute(command, seconds)
    host, port = spec["tcpSocket"].get("host") or NODE_IP, _port(container, spec["tcpSocket"]["port"])
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
