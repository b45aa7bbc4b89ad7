"""The node: a thread that binds pods to itself, runs them, and ends what it started.

Knows the API's list of pods and its own ``Pod`` objects. Everything it does follows from what it reads at a turn;
an API server that is away leaves the processes running and is asked again.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.api_client import ApiClient, ApiError, Json
from lab.kubelet.container import Logs, World
from lab.kubelet.pod import Pod, gone
from lab.kubelet.status import TERMINAL_PHASES, timestamp

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
STOP_GRACE_SECONDS = 2.0
STOP_LIMIT_SECONDS = 10.0
UNSCHEDULABLE = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, "
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
"""``FitError`` in pkg/scheduler/framework/types.go with the default plugins of Kubernetes v1.36.1."""


class ProcessKubelet:
    """Runs the pods of ``namespaces`` below ``directory``; a context manager, so that nothing stays behind.

    ``restart_backoff_seconds`` is the kubelet's own 10 s where a scenario does not need it shorter. ``unpullable`` is
    looked at on each pull: a set that is changed later mends or breaks an image.
    """

    def __init__(
        self,
        api: ApiClient,
        namespaces: Sequence[str],
        directory: Path,
        *,
        node_name: str = "lab-node",
        node_labels: Mapping[str, str] | None = None,
        unpullable: AbstractSet[str] = frozenset(),
        restart_backoff_seconds: float = 10.0,
    ) -> None:
        self._api = api
        self._namespaces = tuple(namespaces)
        self._directory = directory
        self._node_name = node_name
        self._node_labels = {"kubernetes.io/hostname": node_name, **(node_labels or {})}
        self._executor = ThreadPoolExecutor(max_workers=4, thread_name_prefix="kubelet-probe")
        self._world = World(api, self._executor, unpullable, restart_backoff_seconds)
        self._pods: dict[str, Pod] = {}
        # Replaced whole at each turn, so that a log request needs no lock.
        self._logs: Mapping[tuple[str, str, str], Logs] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kubelet", daemon=True)
        self._defect: BaseException | None = None

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End every process it started: SIGTERM, SIGKILL after 2 s. Raises the defect that ended the thread, if any."""
        self._stop.set()
        self._thread.join()
        self._executor.shutdown()
        if self._defect is not None:
            raise self._defect

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def pids(self) -> list[int]:
        """The processes that run now, one a container."""
        return [pid for pod in list(self._pods.values()) for pid in pod.pids()]

    def container_log(  # noqa: PLR0917 -- LogSource, as the API calls it
        self,
        namespace: str,
        pod: str,
        container: str,
        previous: bool,  # noqa: FBT001
        tail_lines: int | None,
        limit_bytes: int | None,
    ) -> bytes | None:
        """What ``pods/log`` answers: the last lines, and of those the first bytes. None where there is no such run."""
        files = self._logs.get((namespace, pod, container))
        file = None if files is None else files.previous if previous else files.current
        if file is None:
            return None
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            return None
        if tail_lines is not None:
            lines = content.splitlines(keepends=True)
            content = b"".join(lines[max(0, len(lines) - tail_lines) :])
        return content if limit_bytes is None else content[:limit_bytes]

    def _run(self) -> None:
        away = ""
        try:
            while not self._stop.wait(POLL_SECONDS):
                try:
                    self._turn()
                    away = ""
                except ApiError as error:
                    if str(error) != away:
                        log.warning("kubelet: %s", error)
                    away = str(error)
        except BaseException as error:  # shown by stop(), whatever it is
            log.exception("the process kubelet has a defect")
            self._defect = error
        finally:
            self._end_all()

    def _turn(self) -> None:
        names: dict[str, tuple[str, str]] = {}
        trouble: ApiError | None = None
        for namespace in self._namespaces:
            for pod in self._api.list(f"/api/v1/namespaces/{namespace}/pods"):
                uid = pod["metadata"]["uid"]
                names[uid] = (namespace, pod["metadata"]["name"])
                try:
                    self._handle(pod)
                except ApiError as error:
                    # One pod's trouble does not keep the others waiting.
                    trouble = trouble if gone(error) else error
        for uid in self._pods.keys() - names.keys():
            # Deleted without grace, or for good: nothing to tell the API of.
            if self._pods[uid].abandon(_now(), 0):
                self._pods.pop(uid).clear()
        self._logs = {
            (*names[uid], container): files
            for uid, pod in self._pods.items()
            if uid in names
            for container, files in pod.logs().items()
        }
        if trouble is not None:
            raise trouble

    def _handle(self, pod: Json) -> None:
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if not node:
            self._schedule(pod, path)
            return
        uid = metadata["uid"]
        if node != self._node_name:
            return
        if uid not in self._pods:
            if pod.get("status", {}).get("phase") in TERMINAL_PHASES:
                # Ended under an earlier kubelet.
                if "deletionTimestamp" in metadata:
                    self._api.delete(path, uid=uid, grace_period_seconds=0)
                return
            home = self._directory / f"{metadata['namespace']}_{metadata['name']}_{uid}"
            self._pods[uid] = Pod(self._world, pod, home, _now())
        self._pods[uid].turn(pod, _now())

    def _schedule(self, pod: Json, path: str) -> None:
        selector: Mapping[str, str] = pod["spec"].get("nodeSelector") or {}
        if selector.items() <= self._node_labels.items():
            target = {"apiVersion": "v1", "kind": "Node", "name": self._node_name}
            identity = {key: pod["metadata"][key] for key in ("name", "namespace", "uid")}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": identity, "target": target}
            self._api.create(path + "/binding", binding)
            return
        known = pod.get("status", {}).get("conditions") or []
        if any(one["type"] == "PodScheduled" and one["status"] == "False" for one in known):
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": UNSCHEDULABLE,
            "lastTransitionTime": timestamp(_now()),
        }
        self._api.patch_status(path, {"status": {"conditions": [condition]}})

    def _end_all(self) -> None:
        grace, limit = STOP_GRACE_SECONDS, time.monotonic() + STOP_LIMIT_SECONDS
        left = list(self._pods.values())
        while left and time.monotonic() < limit:
            left = [pod for pod in left if not pod.abandon(_now(), grace)]
            time.sleep(POLL_SECONDS / 5)
        for pod in self._pods.values():
            pod.clear()


def _now() -> datetime:
    return datetime.now(UTC)
