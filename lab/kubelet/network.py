"""What pods know of each other: the cluster's Services as names, environment variables and endpoints.

Plain values of the API's Services and of the node's own pods, and the files in which containers look names up. It
opens no socket: ``proxy.py`` does.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from lab.api_client import Json

Place: TypeAlias = tuple[str, int]
"""An address and a port."""

PAGE_BYTES = 4096
NSSWITCH = "passwd: files\ngroup: files\nhosts: files\n"
"""glibc and Go look names up in ``/etc/hosts`` alone, so that an unknown one fails at once."""
RESOLV_CONF = (
    "# Names are in /etc/hosts alone; nothing answers here.\nnameserver 127.255.255.254\noptions timeout:1 attempts:1\n"
)
"""For a resolver that does not read nsswitch.conf: the port is closed, and the kernel says so at once."""
LOCALHOST = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"


@dataclass(frozen=True)
class Endpoint:
    """One of the node's pods."""

    pod: Json
    address: str
    ready: bool


class Network:
    """The Services as they were last seen.

    ``hosts`` are names of things outside the cluster; ``api_server`` is what stands behind the Service ``kubernetes``.
    """

    def __init__(self, hosts: Mapping[str, str], api_server: Place | None) -> None:
        self._hosts = hosts  # looked at each time: what is outside comes and goes
        self._api_server = api_server
        self._services: Sequence[Json] = ()
        self._endpoints: Sequence[Endpoint] = ()

    def look(self, services: Sequence[Json], endpoints: Sequence[Endpoint]) -> dict[Place, tuple[Place, ...]]:
        """Takes them up; where Services are to listen, and to what they forward: those with a ready pod."""
        self._services, self._endpoints = services, endpoints
        table: dict[Place, tuple[Place, ...]] = {}
        for service in services:
            cluster_ip = _cluster_ip(service)
            if cluster_ip is None:
                continue
            for port in service["spec"].get("ports") or []:
                if port.get("protocol", "TCP") == "TCP" and (backends := self._backends(service, port)):
                    table[cluster_ip, port["port"]] = backends
        return table

    def links(self, pod: Json) -> dict[str, str]:
        """The variables by which a pod finds Services: of its namespace unless it declines, and always the API's.

        ``getServiceEnvVarMap`` in pkg/kubelet/kubelet_pods.go and pkg/kubelet/envvars (Kubernetes v1.36.1).
        """
        given: dict[str, str] = {}
        if pod["spec"].get("enableServiceLinks", True):
            for service in self._services:
                if service["metadata"]["namespace"] == pod["metadata"]["namespace"]:
                    given |= _links(service)
        if self._api_server is not None:
            host, port = self._api_server
            given |= {
                "KUBERNETES_SERVICE_HOST": host,
                "KUBERNETES_SERVICE_PORT": str(port),
                "KUBERNETES_SERVICE_PORT_HTTPS": str(port),
            }
        return given

    def hosts(self, pod: Json, address: str) -> str:
        """The pod's ``/etc/hosts``: in place of DNS, so it has every name that can be asked for."""
        metadata, spec = pod["metadata"], pod["spec"]
        name = spec.get("hostname") or metadata["name"]
        domain = (
            f"{name}.{spec['subdomain']}.{metadata['namespace']}.svc.cluster.local " if spec.get("subdomain") else ""
        )
        lines = [f"{address}\t{domain}{name}"]
        lines += [f"{alias['ip']}\t{' '.join(alias['hostnames'])}" for alias in spec.get("hostAliases") or []]
        lines += [f"{ip}\t{host}" for host, ip in list(self._hosts.items())]
        for service in self._services:
            names = _names(service, metadata["namespace"])
            lines += [f"{ip}\t{names}" for ip in self._addresses(service)]
        return LOCALHOST + "".join(f"{line}\n" for line in lines)

    def _backends(self, service: Json, port: Json) -> tuple[Place, ...]:
        metadata = service["metadata"]
        if (metadata["namespace"], metadata["name"]) == ("default", "kubernetes"):
            return () if self._api_server is None else (self._api_server,)
        target = port.get("targetPort") or port["port"]
        found = []
        for endpoint in self._selected(service):
            number = _container_port(endpoint.pod, target)
            if number is not None:
                found.append((endpoint.address, number))
        return tuple(found)

    def _selected(self, service: Json) -> list[Endpoint]:
        spec = service["spec"]
        selector: Mapping[str, str] = spec.get("selector") or {}
        namespace, all_of_them = service["metadata"]["namespace"], bool(spec.get("publishNotReadyAddresses"))
        return [
            one
            for one in self._endpoints
            if selector
            and (one.ready or all_of_them)
            and one.pod["metadata"]["namespace"] == namespace
            and selector.items() <= (one.pod["metadata"].get("labels") or {}).items()
        ]

    def _addresses(self, service: Json) -> list[str]:
        """The cluster's address, or those of the pods for a headless Service."""
        if service["spec"].get("clusterIP") == "None":
            return [one.address for one in self._selected(service)]
        cluster_ip = _cluster_ip(service)
        return [] if cluster_ip is None else [cluster_ip]


def write_in_place(path: Path, text: str) -> None:
    """The same inode, which is what containers have bound, and in one call: filled up to pages, so nothing is cut off."""
    content = text.encode()
    size = max(-(-len(content) // PAGE_BYTES) * PAGE_BYTES, path.stat().st_size if path.exists() else 0)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(file, content.ljust(size, b"\n"), 0)
    finally:
        os.close(file)


def _cluster_ip(service: Json) -> str | None:
    text = service["spec"].get("clusterIP")
    return None if text in (None, "", "None") else str(text)


def _names(service: Json, namespace: str) -> str:
    """As a pod of ``namespace`` may ask for it, with the search domains of its resolv.conf applied beforehand."""
    name, own = service["metadata"]["name"], service["metadata"]["namespace"]
    names = [f"{name}.{own}.svc.cluster.local", f"{name}.{own}.svc", f"{name}.{own}"]
    return " ".join([*names, name] if own == namespace else names)


def _container_port(pod: Json, target: int | str) -> int | None:
    """A number as it is, a name as the pod has it."""
    if isinstance(target, int):
        return target
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]
    ports = [port for one in containers for port in one.get("ports") or []]
    return next((port["containerPort"] for port in ports if port.get("name") == target), None)


def _links(service: Json) -> dict[str, str]:
    cluster_ip, ports = _cluster_ip(service), service["spec"].get("ports") or []
    if cluster_ip is None or not ports:
        return {}
    prefix = _variable(service["metadata"]["name"])
    given = {f"{prefix}_SERVICE_HOST": cluster_ip, f"{prefix}_SERVICE_PORT": str(ports[0]["port"])}
    for number, port in enumerate(ports):
        protocol = port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{cluster_ip}:{port['port']}"
        if port.get("name"):
            given[f"{prefix}_SERVICE_PORT_{_variable(port['name'])}"] = str(port["port"])
        if number == 0:
            given[f"{prefix}_PORT"] = url
        of_port = f"{prefix}_PORT_{port['port']}_{protocol}"
        given |= {
            of_port: url,
            f"{of_port}_PROTO": protocol.lower(),
            f"{of_port}_PORT": str(port["port"]),
            f"{of_port}_ADDR": cluster_ip,
        }
    return given


def _variable(name: str) -> str:
    return name.replace("-", "_").upper()
