"""The Node object and its Lease: what a cluster knows a node by, and that it lives.

Knows these two objects. Without a renewed Lease kube-controller-manager taints the node after 40 s and evicts its pods.
Follows pkg/kubelet/kubelet_node_status.go and component-helpers' lease controller (Kubernetes v1.36.1).
"""

import logging
import platform
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Self

from lab.api_client import ApiClient, ApiError, Json
from lab.kubelet.configuration import NODE_IP
from lab.kubelet.status import timestamp

log = logging.getLogger(__name__)

RENEW_SECONDS = 5.0
LEASE_SECONDS = 40
VERSION = "v1.36.1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "256Gi"}
"""Nothing is scheduled by it: this node takes every pod."""
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")


def node_labels(name: str) -> dict[str, str]:
    """Those that a kubelet puts on its own node."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    return {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture}


class Registration:
    """Makes the Node and renews its Lease in a thread of its own, so that a long turn is not taken for a death."""

    def __init__(self, api: ApiClient, name: str, labels: Mapping[str, str], log_port: int | None) -> None:
        self._api = api
        self._name = name
        self._labels = dict(labels)
        self._log_port = log_port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-lease", daemon=True)
        self._written = False

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """The Node stays, as one does whose kubelet is stopped."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                if not self._written:
                    self._write_node()
                self._renew()
                pause = RENEW_SECONDS
            except ApiError as error:
                log.warning("node %s: %s", self._name, str(error))
                pause = 0.5
            if self._stop.wait(pause):
                return

    def _write_node(self) -> None:
        node: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._name, "labels": self._labels}}
        try:
            self._api.create("/api/v1/nodes", node)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            self._api.patch(f"/api/v1/nodes/{self._name}", {"metadata": {"labels": self._labels}})
        self._api.patch_status(f"/api/v1/nodes/{self._name}", {"status": self._status()})
        self._written = True

    def _status(self) -> Json:
        now = timestamp(datetime.now(UTC))
        seen = {"lastHeartbeatTime": now, "lastTransitionTime": now}
        conditions = [
            {"type": kind, "status": "False", "reason": "KubeletHasSufficient", **seen} for kind in _PRESSURES
        ]
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
        }
        status: Json = {
            "capacity": _CAPACITY,
            "allocatable": _CAPACITY,
            "conditions": [*conditions, {**ready, **seen}],
            "addresses": [{"type": "InternalIP", "address": NODE_IP}, {"type": "Hostname", "address": self._name}],
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": platform.release(),
                "osImage": "process kubelet",
                "containerRuntimeVersion": "process://1",
                "kubeletVersion": VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": self._labels.get("kubernetes.io/arch", ""),
            },
        }
        if self._log_port is not None:
            status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": self._log_port}}
        return status

    def _renew(self) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: Json = {"holderIdentity": self._name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
        try:
            self._api.patch(f"{_LEASES}/{self._name}", {"spec": spec})
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": self._name}}
            self._api.create(_LEASES, {**lease, "spec": spec})
