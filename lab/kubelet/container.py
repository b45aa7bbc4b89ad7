"""One container: its runs as local processes, their ends, and the pauses between them.

Knows processes, logs and one container's spec; of the API only through ``configuration``. Reasons and messages are
those of pkg/kubelet/kuberuntime and pkg/kubelet/images (Kubernetes v1.36.1) with containerd.
"""

import os
import signal
import uuid
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lab.api_client import ApiClient, Json
from lab.kubelet.backoff import Backoff, go_duration
from lab.kubelet.configuration import ConfigurationError, UnsupportedError, command_line, environment
from lab.kubelet.probe import Probes, check_supported
from lab.kubelet.run import Run, StartError
from lab.kubelet.status import NEVER, ContainerView, Running, State, Terminated, Waiting
from lab.kubelet.volumes import Volumes

MESSAGE_BYTES = 4096
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
"""``MaxContainerTerminationMessage…`` in pkg/kubelet/container/runtime.go: the end of the file, or of the log."""
PULL_BASE_SECONDS = 10.0
DEFAULT_GRACE_SECONDS = 30


@dataclass(frozen=True)
class World:
    """What all containers of a node share; ``unpullable`` is looked at on each pull."""

    api: ApiClient
    executor: Executor
    unpullable: AbstractSet[str]
    restart_backoff_seconds: float


@dataclass(frozen=True)
class Logs:
    """The files that a request for the log, or for the previous one, is answered from."""

    current: Path | None
    previous: Path | None

    def read(self, *, previous: bool, tail_lines: int | None, limit_bytes: int | None) -> bytes | None:
        """The last lines, and of those the first bytes. None where there is no such run."""
        file = self.previous if previous else self.current
        if file is None or not file.exists():
            return None
        content = file.read_bytes()
        if tail_lines is not None:
            lines = content.splitlines(keepends=True)
            content = b"".join(lines[max(0, len(lines) - tail_lines) :])
        return content if limit_bytes is None else content[:limit_bytes]


class Container:
    """Started, watched and ended by its pod, which calls ``observe`` and ``advance`` in turn."""

    def __init__(
        self,
        world: World,
        pod: Json,
        spec: Json,
        directory: Path,
        volumes: Volumes,
        *,
        restart_policy: str,
        sidecar: bool = False,
    ) -> None:
        self._world = world
        self._spec = spec
        self._directory = directory
        self._volumes = volumes
        self._pod_shown = "{name}_{namespace}({uid})".format(**pod["metadata"])  # format.Pod
        self._grace_seconds = pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS)
        self._restart_policy = restart_policy
        self.sidecar = sidecar
        self._restarts = Backoff(world.restart_backoff_seconds)
        self._pulls = Backoff(PULL_BASE_SECONDS)
        self._pull_failed_at: datetime | None = None
        self._state: State = Waiting("ContainerCreating")
        self._last: Terminated | None = None
        self._runs = 0
        self._id = ""
        self._run: Run | None = None
        self._probes: Probes | None = None
        self._kill_at: datetime | None = None
        self.name: str = spec["name"]
        self.tried = False
        self._asked_to_end = False
        directory.mkdir(parents=True, exist_ok=True)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._run is not None

    @property
    def pid(self) -> int | None:
        """Of the process, and of its group."""
        return None if self._run is None else self._run.process.pid

    @property
    def done(self) -> bool:
        """It has ended and is not started again."""
        return isinstance(self._state, Terminated) and not self._restarted(self._state)

    def view(self) -> ContainerView:
        """For the pod's status."""
        running, probes = isinstance(self._state, Running), self._probes
        return ContainerView(
            name=self._spec["name"],
            image=self._spec["image"],
            state=self._state,
            last=self._last,
            restart_count=max(0, self._runs - 1),
            ready=running and (probes is None or probes.ready),
            container_id=self._id,
            started=running and (probes is None or probes.started),
            sidecar=self.sidecar,
        )

    def logs(self) -> Logs:
        """As ``validateContainerLogStatus`` chooses: previous is the run of lastState, else the newest one."""
        newest = self._log(self._runs - 1) if self._runs else None
        if self._last is None:
            return Logs(newest, None)
        waiting = isinstance(self._state, Waiting)
        return Logs(newest, newest if waiting else self._log(self._runs - 2))

    def observe(self, now: datetime) -> bool:
        """Looks whether the process has ended; True when it just has."""
        if self._run is None:
            return False
        if not self._run.has_ended:
            self._heed_probes(now)
            return False
        code = self._run.bury()
        self._probes = self._kill_at = None
        started = self._state.started_at if isinstance(self._state, Running) else now
        self._state = Terminated(
            exit_code=code,
            reason="Completed" if code == 0 else "Error",
            message=self._termination_message(self._run, code),
            started_at=started,
            finished_at=now,
            container_id=self._id,
        )
        self._run = None
        return True

    def advance(self, pod: Json, now: datetime) -> None:
        """Starts it for the first time or again, where it should run and nothing holds it back."""
        ended = self._state if isinstance(self._state, Terminated) else self._last
        if isinstance(self._state, Running) or (ended is not None and not self._restarted(ended)):
            return
        self.tried = True
        waiting = self._crash_loop(ended, now) if ended else None
        if waiting is None and self._spec["image"] in self._world.unpullable:
            waiting = self._image_missing(now)
        if waiting is None:
            try:
                self._start(pod, ended, now)
            except ConfigurationError as error:
                waiting = Waiting("CreateContainerConfigError", str(error))
            except UnsupportedError as error:
                waiting = Waiting("CreateContainerError", str(error))
        if waiting is not None:
            self._last = ended
            self._state = waiting

    def hold(self, waiting: Waiting) -> None:
        """The pod cannot start it yet."""
        self._state = waiting

    def terminate(self) -> None:
        """SIGTERM, once, to the process alone, as a container runtime does."""
        if not self._asked_to_end:
            self._signal(signal.SIGTERM)
        self._asked_to_end = True

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def _restarted(self, ended: Terminated) -> bool:
        if self._restart_policy == "OnFailure":
            return ended.exit_code != 0
        return bool(self._restart_policy == "Always")

    def _crash_loop(self, ended: Terminated, now: datetime) -> Waiting | None:
        if self._restarts.remaining(ended.finished_at, now) <= 0:
            return None
        pause, name = go_duration(self._restarts.seconds), self._spec["name"]
        message = f"back-off {pause} restarting failed container={name} pod={self._pod_shown}"
        return Waiting("CrashLoopBackOff", message)

    def _image_missing(self, now: datetime) -> Waiting:
        """``ErrImagePull`` at the failed pull, then ``ImagePullBackOff`` until the next one."""
        image = self._spec["image"]
        cause = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        failed = self._pull_failed_at
        if failed is not None and self._pulls.remaining(failed, now) > 0:
            message = f'Back-off pulling image "{image}": ErrImagePull: {cause}'
            return Waiting("ImagePullBackOff", message)
        self._pulls.next(now, now)
        self._pull_failed_at = now
        return Waiting("ErrImagePull", cause)

    def _start(self, pod: Json, ended: Terminated | None, now: datetime) -> None:
        check_supported(self._spec)
        given = environment(self._world.api, pod, self._spec, self._directory / "root")
        argv = command_line(self._spec, given)
        log = self._log(self._runs)
        log.write_bytes(b"")
        try:
            run, obstacle = Run.start(self._spec, argv, given, self._volumes, log), ""
        except StartError as error:
            run, obstacle = None, str(error)
        if ended is not None:
            self._restarts.next(ended.finished_at, now)
        self._runs += 1
        self._last = ended
        self._id = f"process://{uuid.uuid4().hex}"
        if run is None:
            self._state = Terminated(128, "StartError", obstacle, NEVER, now, self._id)
            return
        self._run = run
        self._asked_to_end = False
        self._state = Running(now)
        self._probes = Probes(self._spec, run, now, self._world.executor)

    def _heed_probes(self, now: datetime) -> None:
        """Asks them; a container that one of them gives up is ended with its grace, and then is as one that crashed."""
        if self._kill_at is not None:
            if now >= self._kill_at:
                self.kill()
            return
        if self._probes is None:
            return
        self._probes.turn(now)
        failed = self._probes.failed
        if failed is not None:
            self.terminate()
            self._kill_at = now + timedelta(seconds=failed.get("terminationGracePeriodSeconds", self._grace_seconds))

    def _signal(self, number: signal.Signals) -> None:
        """Not yet waited for, so its id cannot be another's."""
        if self._run is not None:
            os.kill(self._run.process.pid, number)

    def _log(self, run: int) -> Path:
        return self._directory / f"{run}.log"

    def _termination_message(self, run: Run, code: int) -> str:
        """What the process wrote to its file; its log's end only where the policy asks for it."""
        written = run.message.read_bytes()[-MESSAGE_BYTES:] if run.message.exists() else b""
        policy = self._spec.get("terminationMessagePolicy", "File")
        if not written and code != 0 and policy == "FallbackToLogsOnError":
            lines = self._log(self._runs - 1).read_bytes().splitlines(keepends=True)
            written = b"".join(lines[-FALLBACK_LINES:])[-FALLBACK_BYTES:]
        return written.decode("utf-8", errors="replace")
