"""A node as a node is: containerd, kubelet and kube-proxy in namespaces of their own.

Knows their configuration; nothing of what runs on it. It joins a control plane, which may start after it.
"""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lab.api_client import ApiError
from lab.images import PAUSE
from lab.images.making import repository
from lab.node.logs import KeptLogs
from lab.node.namespaces import Namespaces
from lab.node.network import run
from lab.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from lab.control_plane.component import Component
    from lab.control_plane.kubernetes import ControlPlane
    from lab.node.builds import NodeBuild
    from lab.node.registry import Registry

CLUSTER_DOMAIN = "cluster.local"
DNS_ADDRESS = 10
"""The last number of the cluster's DNS in the Services' range, as most installers have it."""


_SOCKET = "/run/containerd/containerd.sock"
_READY_SECONDS = 90.0
_PULL_SECONDS = 120.0

_CONTAINERD = """
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.nri.v1.nri",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "{registries}"
[plugins."io.containerd.cri.v1.runtime"]
  # A container may lack the right to lower an OOM score below its own.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    BinaryName = "{runc}"
    SystemdCgroup = false
"""


class Node:
    """One node of a control plane, by its number, its state in a directory that is there and empty."""

    def __init__(
        self,
        plane: ControlPlane,
        build: NodeBuild,
        registry: Registry,
        directory: Path,
        *,
        number: int = 1,
    ) -> None:
        self.number = number
        self.name = f"node-{number}"
        self.directory = directory.resolve()
        self._plane = plane
        self._build = build
        self._registry = registry
        self._stack = ExitStack()
        self._logs = KeptLogs(self.directory / "var" / "log" / "pods", self.directory / "logs-of-pods")
        self._namespaces = Namespaces(
            self.name, self.directory, tini=build.tini, cni=build.cni, cgroups=plane.network.cgroups
        )

    def __enter__(self) -> Self:
        """Start it; it is ready once ``wait_until_ready`` returns."""
        with ExitStack() as stack:
            stack.callback(self._forget)
            stack.enter_context(self._namespaces)
            self._connect()
            self._configure()
            self._started(stack)
            stack.enter_context(self._logs)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait_until_ready(self) -> None:
        """Wait until the control plane takes it for ready. Raises ``TimeoutError``."""

        def ready() -> bool:
            with suppress(ApiError):
                found = self._plane.client.get(f"/api/v1/nodes/{self.name}")
                return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"])
            return False

        wait_until(ready, _READY_SECONDS, f"{self.name} to be ready, logs below {self.directory}", 0.1)

    def pids(self, uid: str) -> list[int]:
        """The processes of a pod's containers, by its uid; the sandbox's own is not among them."""
        cgroup = next((one for one in self._namespaces.cgroups if one.name and one.parent.name == "pids"), None)
        roots = [cgroup] if cgroup else self._namespaces.cgroups
        return [
            pid
            for root in roots
            for file in root.glob(f"kubepods/**/pod{uid}/*/cgroup.procs")
            for pid in map(int, file.read_text().split())
            if not _is_pause(pid)
        ]

    def logs(self, pod: Mapping[str, Any], container: str) -> list[str]:
        """What each run of a pod's container said, also of a pod that is gone."""
        return self._logs.of(pod["metadata"], container)

    def run(self, *argv: str) -> str:
        """What a short command prints that is run in the node. Raises ``RuntimeError``."""
        return self._namespaces.run(*argv)

    @property
    def shell(self) -> list[str]:
        """The command that opens a shell in it."""
        return self._namespaces.entering(["/bin/sh"])

    @property
    def ctr(self) -> Path:
        """The command line of its containerd."""
        return self._build.containerd / "ctr"

    def load(self, image: str, name: str) -> None:
        """Put one of the registry's images into its store under another name, as ``kind load docker-image`` does."""
        ctr = (str(self.ctr), "--namespace", "k8s.io", "images")
        source = f"{self._registry.address}/{repository(image)}"
        with self._namespaces.start([*ctr, "pull", "--plain-http", source], "ctr", {}) as pull:
            if pull.process.wait(_PULL_SECONDS) != 0:
                raise RuntimeError(f"{source} is not pulled:\n{pull.process.tail()}")
        self.run(*ctr, "tag", "--force", source, name)

    # --- its parts --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        """Give it a link to the bridge, and the host the routes to what is behind it."""
        network = self._plane.network
        pid = str(self._namespaces.first_process)
        run("ip", "link", "add", network.link(self.number), "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "link", "set", network.link(self.number), "master", network.bridge, "up")
        address = network.node(self.number)
        self.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", network.host)
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        run("ip", "route", "add", network.pods(self.number), "via", address)
        if self.number == 1:
            run("ip", "route", "add", network.services, "via", address)
        else:
            first = network.node(1)
            self.run("ip", "route", "add", network.pods(1), "via", first)

    def _forget(self) -> None:
        """Remove the unpacked images and the pods' volumes: a gigabyte. Logs and configuration stay."""
        for folder in ("containerd", "kubelet"):
            shutil.rmtree(self.directory / "var" / "lib" / folder, ignore_errors=True)

    def _configure(self) -> None:
        directory, network = self.directory, self._plane.network
        registries = self._registry.lead(directory / "registries")
        (directory / "containerd.toml").write_text(
            _CONTAINERD.format(socket=_SOCKET, pause=PAUSE, registries=registries, runc=self._build.runc),
            encoding="utf-8",
        )
        ranges = {"type": "host-local", "ranges": [[{"subnet": network.pods(self.number)}]], "dataDir": "/run/cni"}
        bridge = {
            "type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True,
            "ipam": ranges | {"routes": [{"dst": "0.0.0.0/0"}]},
        }  # fmt: skip
        _write(
            directory / "etc/cni/net.d/10-lab.conflist",
            {
                "cniVersion": "1.0.0",
                "name": "lab",
                "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
            },
        )
        (directory / "resolv.conf").write_text("", encoding="utf-8")
        _write(directory / "kubelet.json", self._kubelet())
        _write(directory / "kube-proxy.json", self._kube_proxy())

    def _kubelet(self) -> dict[str, Any]:
        keys = self._plane.keys
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self._plane.network.node(self.number),
            "port": 10250,
            "readOnlyPort": 0,
            "healthzPort": 0,
            "authentication": {
                "x509": {"clientCAFile": str(keys.authority)},
                "webhook": {"enabled": True},
                "anonymous": {"enabled": False},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(keys.kubelet.certificate),
            "tlsPrivateKeyFile": str(keys.kubelet.key),
            "clusterDomain": CLUSTER_DOMAIN,
            "clusterDNS": [self._plane.network.service(DNS_ADDRESS)],
            "resolvConf": str(self.directory / "resolv.conf"),
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            # The disk is the machine's, and so is what it is full of.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": dict.fromkeys(
                ("nodefs.available", "nodefs.inodesFree", "imagefs.available", "memory.available"), "0%"
            ),
            "volumeStatsAggPeriod": "0s",
            # A minute by default: so long a container that waits out its back-off may be called terminated, and a Secret's
            # new value not be seen. The back-off itself is the kubelet's own.
            "syncFrequency": "5s",
            # Else an image that was pulled by one name may not be used by another that it is loaded under (``load``).
            "imagePullCredentialsVerificationPolicy": "NeverVerify",
            # Several nodes on two cores; a machine of its own has no need of these.
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "kubeAPIQPS": 500,
            "kubeAPIBurst": 500,
            "serializeImagePulls": False,
        }

    def _kube_proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(self._plane.kubeconfig_of("system:kube-proxy"))},
            "hostnameOverride": self.name,
            "clusterCIDR": self._plane.network.all_pods,
            "healthzBindAddress": "",
            "metricsBindAddress": "127.0.0.1:10249",
            # Those count for the whole machine.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
            "nftables": {"minSyncPeriod": "0.1s", "syncPeriod": "30s"},
        }

    def _started(self, stack: ExitStack) -> None:
        env = {"PATH": self._build.path, "TMPDIR": "/run", "HOME": "/root"}

        def start(name: str, *argv: str | Path) -> Component:
            return stack.enter_context(self._namespaces.start([str(one) for one in argv], name, env))

        directory = self.directory
        containerd = start(
            "containerd", self._build.containerd / "containerd", "--config", directory / "containerd.toml"
        )
        socket = Path(f"/proc/{self._namespaces.first_process}/root{_SOCKET}")
        containerd.wait_until(socket.exists, "its socket is there")
        kubeconfig = self._plane.kubeconfig_of(f"system:node:{self.name}")
        start(
            "kubelet", self._build.kubelet,
            f"--config={directory / 'kubelet.json'}", f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}", f"--node-ip={self._plane.network.node(self.number)}",
            "--root-dir=/var/lib/kubelet", "--cert-dir=/var/lib/kubelet/pki",
        )  # fmt: skip
        start("kube-proxy", self._build.kube_proxy, f"--config={directory / 'kube-proxy.json'}")


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")  # which is YAML too


def _is_pause(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "pause"
    return True
