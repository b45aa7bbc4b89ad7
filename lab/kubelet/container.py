"""One container: its runs as local processes, their ends, and the pauses between them.

Knows processes, logs and one container's spec; of the API only through ``configuration``. Reasons and messages are
those of pkg/kubelet/kuberuntime and pkg/kubelet/images (Kubernetes v1.36.1) with containerd.
"""

import contextlib
import os
import shutil
import signal
import uuid
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lab.api_client import ApiClient, Json
from lab.kubelet.backoff import Backoff, go_duration
from lab.kubelet.configuration import (
    ConfigurationError,
    UnsupportedError,
    below,
    command_line,
    environment,
    mount,
)
from lab.kubelet.probe import ReadinessProbe, check_supported
from lab.kubelet.status import NEVER, ContainerView, Running, State, Terminated, Waiting
from lab.processes import Process

DEFAULT_MESSAGE_PATH = "/dev/termination-log"
MESSAGE_BYTES = 4096
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048
"""``MaxContainerTerminationMessage…`` in pkg/kubelet/container/runtime.go: the end of the file, or of the log."""
PULL_BASE_SECONDS = 10.0


@dataclass(frozen=True)
class World:
    """What all containers of a node share."""

    api: ApiClient
    executor: Executor
    unpullable: AbstractSet[str]
    restart_backoff_seconds: float


@dataclass(frozen=True)
class Logs:
    """The files that a request for the log, or for the previous one, is answered from."""

    current: Path | None
    previous: Path | None


class Container:
    """Started, watched and ended by its pod, which calls ``observe`` and ``advance`` in turn."""

    def __init__(self, world: World, pod: Json, spec: Json, directory: Path, volumes: Path) -> None:
        self._world = world
        self._spec = spec
        self._directory = directory
        self._root = directory / "root"
        self._volumes = volumes
        metadata = pod["metadata"]
        self._pod_shown = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        self._restart_policy = pod["spec"].get("restartPolicy", "Always")
        self._restarts = Backoff(world.restart_backoff_seconds)
        self._pulls = Backoff(PULL_BASE_SECONDS)
        self._pull_failed_at: datetime | None = None
        self._state: State = Waiting("ContainerCreating")
        self._last: Terminated | None = None
        self._runs = 0
        self._id = ""
        self._process: Process | None = None
        self._probe: ReadinessProbe | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """Of the process, and of its group."""
        return None if self._process is None else self._process.pid

    def view(self) -> ContainerView:
        """For the pod's status."""
        running = isinstance(self._state, Running)
        return ContainerView(
            name=self._spec["name"],
            image=self._spec["image"],
            state=self._state,
            last=self._last,
            restart_count=max(0, self._runs - 1),
            ready=running and (self._probe is None or self._probe.ready),
            container_id=self._id,
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
        if self._probe is not None:
            self._probe.turn(now)
        if self._process is None or not _has_ended(self._process.pid):
            return False
        code = _bury(self._process)
        self._process = self._probe = None
        started = self._state.started_at if isinstance(self._state, Running) else now
        self._state = Terminated(
            exit_code=code,
            reason="Completed" if code == 0 else "Error",
            message=self._termination_message(code),
            started_at=started,
            finished_at=now,
            container_id=self._id,
        )
        return True

    def advance(self, pod: Json, now: datetime) -> None:
        """Starts it for the first time or again, where it should run and nothing holds it back."""
        ended = self._state if isinstance(self._state, Terminated) else self._last
        if isinstance(self._state, Running) or (ended is not None and not self._restarted(ended)):
            return
        waiting = (self._crash_loop(ended, now) if ended else None) or self._image_missing(now)
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
        """SIGTERM, to the process alone, as a container runtime does."""
        self._signal(signal.SIGTERM)

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

    def _image_missing(self, now: datetime) -> Waiting | None:
        """``ErrImagePull`` at the failed pull, then ``ImagePullBackOff`` until the next one."""
        image = self._spec["image"]
        if image not in self._world.unpullable:
            return None
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
        given = environment(self._world.api, pod, self._spec, self._root)
        argv = command_line(self._spec, given)
        mount(self._spec, self._volumes, self._root)
        message_file = self._message_file()
        message_file.parent.mkdir(parents=True, exist_ok=True)
        message_file.write_bytes(b"")
        where = Path(self._spec.get("workingDir") or self._root)
        if ended is not None:
            self._restarts.next(ended.finished_at, now)
        log = self._log(self._runs)
        self._runs += 1
        self._last = ended
        self._id = f"process://{uuid.uuid4().hex}"
        if obstacle := _obstacle(argv[0], given["PATH"], where):
            log.write_bytes(b"")
            self._state = Terminated(128, "StartError", obstacle, NEVER, now, self._id)
            return
        self._process = Process.start(argv, log=log, env=given, cwd=where)
        self._state = Running(now)
        if "readinessProbe" in self._spec:
            self._probe = ReadinessProbe(self._spec, given, where, now, self._world.executor)

    def _signal(self, number: signal.Signals) -> None:
        """Not yet waited for, so its id cannot be another's."""
        if self._process is not None:
            os.kill(self._process.pid, number)

    def _log(self, run: int) -> Path:
        return self._directory / f"{run}.log"

    def _message_file(self) -> Path:
        path = self._spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH
        return below(self._root, path)

    def _termination_message(self, code: int) -> str:
        """What the process wrote to its file; its log's end only where the policy asks for it."""
        file = self._message_file()
        written = file.read_bytes()[-MESSAGE_BYTES:] if file.exists() else b""
        policy = self._spec.get("terminationMessagePolicy", "File")
        if not written and code != 0 and policy == "FallbackToLogsOnError":
            lines = self._log(self._runs - 1).read_bytes().splitlines(keepends=True)
            written = b"".join(lines[-FALLBACK_LINES:])[-FALLBACK_BYTES:]
        return written.decode("utf-8", errors="replace")


def _obstacle(program: str, search_path: str, where: Path) -> str:
    """Why the runtime could not start it, in runc's words; empty if it can."""
    if not where.is_dir():
        return f'unable to start container process: chdir to cwd ("{where}"): no such file or directory'
    if "/" in program:
        found, why = shutil.which(where / program), "no such file or directory"
    else:
        found, why = shutil.which(program, path=search_path), "executable file not found in $PATH"
    return "" if found else f'unable to start container process: exec: "{program}": {why}'


def _has_ended(pid: int) -> bool:
    """Without waiting for it: it stays a zombie, so that its group can be killed under an id that is still its own."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _bury(process: Process) -> int:
    """Ends what is left of its group and takes its exit code; a signal's is 128 + its number, as runc reports."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait(10.0)
    return 128 - code if code < 0 else code
