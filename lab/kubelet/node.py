"""The node: a thread that binds pods to itself, runs them, and ends what it started.

Knows the API's lists of pods and its own ``Pod`` objects. Everything it does follows from what it reads at a turn; while
the API server is away it goes by what it read last.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from lab.actor import Actor
from lab.api_client import ApiClient, ApiError, Json
from lab.kubelet.container import World
from lab.kubelet.pod import Pod, gone
from lab.kubelet.status import TERMINAL_PHASES, timestamp

POLL_SECONDS = 0.05
NAME = "lab-node"
STOP_GRACE_SECONDS = 2.0
STOP_LIMIT_SECONDS = 10.0
UNSCHEDULABLE = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, "
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
"""``FitError`` in pkg/scheduler/framework/types.go with the default plugins of Kubernetes v1.36.1."""


class ProcessKubelet(Actor):
    """Runs the pods of ``namespaces`` below ``directory``. Any image can be pulled but the ``unpullable``.

    ``restart_backoff_seconds`` is the kubelet's own 10 s where a scenario does not need it shorter.
    """

    def __init__(
        self,
        api: ApiClient,
        namespaces: Sequence[str],
        directory: Path,
        *,
        unpullable: AbstractSet[str] = frozenset(),
        restart_backoff_seconds: float = 10.0,
    ) -> None:
        super().__init__("kubelet", POLL_SECONDS)
        self._api = api
        self._pod_lists = [f"/api/v1/namespaces/{one}/pods" for one in namespaces]
        self._directory = directory
        self._executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="kubelet-probe")
        self._world = World(api, self._executor, unpullable, restart_backoff_seconds)
        self._pods: dict[str, Pod] = {}
        # Replaced whole, so that a log request needs no lock.
        self._named: Mapping[tuple[str, str], Pod] = {}

    def stop(self) -> None:
        """End every process it started: SIGTERM, SIGKILL after 2 s. Raises the defect that ended the thread, if any."""
        try:
            super().stop()
        finally:
            self._executor.shutdown()

    def pids(self, uid: str | None = None) -> list[int]:
        """The processes that run now, one a container; of all pods, or of the one with this uid."""
        return [pid for own, pod in list(self._pods.items()) if uid in (None, own) for pid in pod.pids()]

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
        found = self._named.get((namespace, pod))
        files = found.logs().get(container) if found else None
        return files.read(previous=previous, tail_lines=tail_lines, limit_bytes=limit_bytes) if files else None

    def _turn(self) -> None:
        try:
            pods = [pod for path in self._pod_lists for pod in self._api.list(path)]
        except ApiError:
            self._carry_on()
            raise
        names: dict[str, tuple[str, str]] = {}
        trouble: ApiError | None = None
        for pod in pods:
            uid = pod["metadata"]["uid"]
            names[uid] = (pod["metadata"]["namespace"], pod["metadata"]["name"])
            try:
                self._handle(pod)
            except ApiError as error:
                # One pod's trouble does not keep the others waiting.
                trouble = trouble if gone(error) else error
        for uid in self._pods.keys() - names.keys():
            # Deleted without grace, or for good: nothing to tell the API of.
            if self._pods[uid].abandon(_now(), 0):
                self._pods.pop(uid).clear()
        self._named = {names[uid]: pod for uid, pod in self._pods.items() if uid in names}
        if trouble is not None:
            raise trouble

    def _carry_on(self) -> None:
        """What ends is started again, and probes are asked, by what was last known; it is told when the API is back."""
        for pod in self._pods.values():
            with contextlib.suppress(ApiError):
                pod.turn(pod.last_seen, _now())

    def _handle(self, pod: Json) -> None:
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if not node:
            self._schedule(pod, path)
            return
        uid = metadata["uid"]
        if node != NAME:
            return
        if uid not in self._pods:
            if pod.get("status", {}).get("phase") in TERMINAL_PHASES:
                # Ended under an earlier kubelet.
                if "deletionTimestamp" in metadata:
                    self._api.delete(path, uid=uid, grace_period_seconds=0)
                return
            home = self._directory / f"{metadata['namespace']}_{metadata['name']}_{uid}"
            self._pods[uid] = Pod(self._world, pod, home, _now())
            self._named = {**self._named, (metadata["namespace"], metadata["name"]): self._pods[uid]}
        self._pods[uid].turn(pod, _now())

    def _schedule(self, pod: Json, path: str) -> None:
        """As the default scheduler, which leaves pods alone that name another one."""
        if pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return
        selector: Mapping[str, str] = pod["spec"].get("nodeSelector") or {}
        if not selector:
            target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
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

    def _end(self) -> None:
        grace, limit = STOP_GRACE_SECONDS, time.monotonic() + STOP_LIMIT_SECONDS
        left = list(self._pods.values())
        while left and time.monotonic() < limit:
            left = [pod for pod in left if not pod.abandon(_now(), grace)]
            time.sleep(POLL_SECONDS / 5)
        for pod in self._pods.values():
            pod.clear()


def _now() -> datetime:
    return datetime.now(UTC)
