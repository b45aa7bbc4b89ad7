"""The node: a thread that binds pods to itself, runs them, and ends what it started.

Knows the API's lists of pods and Services and its own ``Pod`` objects. Everything it does follows from what it reads
at a turn; while the API server is away it goes by what it read last.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lab.actor import Actor
from lab.api_client import ApiClient, ApiError, Json
from lab.kubelet.container import Logs, World
from lab.kubelet.image import Image
from lab.kubelet.isolated import IsolatedRuntime
from lab.kubelet.log_server import LogServer, Query, read
from lab.kubelet.network import Network
from lab.kubelet.plain import PlainRuntime
from lab.kubelet.pod import Pod, gone
from lab.kubelet.proxy import ServiceProxy
from lab.kubelet.registration import Registration
from lab.kubelet.registration import node_labels as default_labels
from lab.kubelet.status import TERMINAL_PHASES, timestamp

if TYPE_CHECKING:
    from lab.kubelet.runtime import Runtime

POLL_SECONDS = 0.05
CLUSTER_POLL_SECONDS = 0.2
"""Of a real API server, which shares the processors with what is tried."""
SERVICES_SECONDS = 1.0
STOP_GRACE_SECONDS = 2.0
STOP_LIMIT_SECONDS = 10.0
UNSCHEDULABLE = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to deallocate, "
    "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
"""``FitError`` in pkg/scheduler/framework/types.go with the default plugins of Kubernetes v1.36.1."""


class ProcessKubelet(Actor):
    """Runs pods below ``directory``.

    Of ``namespaces`` if they are given. With None it is the node of a whole cluster: it runs the pods of all of them,
    and keeps a Node and a Lease.

    With ``images`` containers are isolated: looked at on each pull, what is not in it cannot be pulled. Services are
    forwarded, ``hosts`` are names of what is outside the cluster, and ``api_server`` is where pods find the API.
    Without, they are plain processes, any image can be pulled but the ``unpullable``, looked at likewise.

    ``serving_certificate`` (certificate and key) serves containers' logs to the API server. ``restart_backoff_seconds``
    is the kubelet's own 10 s where a scenario does not need it shorter.
    """

    def __init__(
        self,
        api: ApiClient,
        namespaces: Sequence[str] | None,
        directory: Path,
        *,
        node_name: str = "lab-node",
        node_labels: Mapping[str, str] | None = None,
        unpullable: AbstractSet[str] = frozenset(),
        images: Mapping[str, Image] | None = None,
        hosts: Mapping[str, str] | None = None,
        api_server: tuple[str, int] | None = None,
        serving_certificate: tuple[Path, Path] | None = None,
        restart_backoff_seconds: float = 10.0,
    ) -> None:
        super().__init__("kubelet", CLUSTER_POLL_SECONDS if namespaces is None else POLL_SECONDS)
        self._api = api
        prefixes = [""] if namespaces is None else [f"/namespaces/{one}" for one in namespaces]
        # Resource version 0 is answered from the API server's memory instead of etcd.
        suffix = "?resourceVersion=0" if namespaces is None else ""
        self._pod_lists = [f"/api/v1{prefix}/pods{suffix}" for prefix in prefixes]
        self._service_lists = [f"/api/v1{prefix}/services{suffix}" for prefix in prefixes]
        self._directory = directory
        self._node_name = node_name
        self._node_labels = {**default_labels(node_name), **(node_labels or {})}
        self._executor = ThreadPoolExecutor(max_workers=8, thread_name_prefix="kubelet-probe")
        runtime: Runtime = PlainRuntime(unpullable)
        self._network: Network | None = None
        self._proxy: ServiceProxy | None = None
        if images is not None:
            self._network, self._proxy = Network({} if hosts is None else hosts, api_server), ServiceProxy()
            runtime = IsolatedRuntime(images, self._network)
        self._services: list[Json] = []
        self._services_due = 0.0
        self._world = World(api, self._executor, runtime, restart_backoff_seconds)
        self._pods: dict[str, Pod] = {}
        # Replaced whole, so that a log request needs no lock.
        self._named: Mapping[tuple[str, str], Pod] = {}
        self._log_server = None
        if serving_certificate is not None:
            self._log_server = LogServer(self._logs, *serving_certificate)
        self._registration = None
        if namespaces is None:
            port = None if self._log_server is None else self._log_server.port
            self._registration = Registration(api, node_name, self._node_labels, port)

    def start(self) -> Self:
        """Begin."""
        for one in (self._proxy, self._log_server, self._registration):
            if one is not None:
                one.start()
        return super().start()

    def stop(self) -> None:
        """End every process it started: SIGTERM, SIGKILL after 2 s. Raises the defect that ended the thread, if any."""
        try:
            super().stop()
        finally:
            for one in (self._proxy, self._log_server, self._registration):
                if one is not None:
                    one.stop()
            self._executor.shutdown()

    @property
    def log_port(self) -> int | None:
        """Where it serves logs to the API server."""
        return None if self._log_server is None else self._log_server.port

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
        files = (self._logs(namespace, pod) or {}).get(container)
        return None if files is None else read(files, Query(previous, tail_lines, limit_bytes))

    def _logs(self, namespace: str, pod: str) -> Mapping[str, Logs] | None:
        found = self._named.get((namespace, pod))
        return None if found is None else found.logs()

    def _turn(self) -> None:
        try:
            self._look_at_services()
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
        self._forward()
        if trouble is not None:
            raise trouble

    def _carry_on(self) -> None:
        """What ends is started again, and probes are asked, by what was last known; it is told when the API is back."""
        for pod in self._pods.values():
            with contextlib.suppress(ApiError):
                pod.turn(pod.last_seen, _now())

    def _look_at_services(self) -> None:
        if self._network is not None and time.monotonic() >= self._services_due:
            self._services = [one for path in self._service_lists for one in self._api.list(path)]
            self._services_due = time.monotonic() + SERVICES_SECONDS
            self._forward()

    def _forward(self) -> None:
        if self._network is not None and self._proxy is not None:
            self._proxy.update(self._network.look(self._services, [pod.endpoint() for pod in self._pods.values()]))

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
            self._named = {**self._named, (metadata["namespace"], metadata["name"]): self._pods[uid]}
        self._pods[uid].turn(pod, _now())

    def _schedule(self, pod: Json, path: str) -> None:
        """As the default scheduler, which leaves pods alone that name another one."""
        if pod["spec"].get("schedulerName", "default-scheduler") != "default-scheduler":
            return
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
