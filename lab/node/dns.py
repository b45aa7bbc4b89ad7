"""The cluster's DNS: CoreDNS as a Deployment, as installers set it up; and names for what is outside of the cluster.

Knows the objects; nothing of who asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.api_client import ApiError
from lab.images import COREDNS
from lab.node.node import CLUSTER_DOMAIN, DNS_ADDRESS
from lab.processes import wait_until

if TYPE_CHECKING:
    from lab.control_plane.kubernetes import ControlPlane

NAMESPACE = "kube-system"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/coredns"

_READY_SECONDS = 90.0
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_LABELS = {"k8s-app": "kube-dns"}
_COREFILE = f"""
.:53 {{
    errors
    health :8080 {{
        lameduck 0s
    }}
    ready :8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 1
    }}
}}
"""


def deploy(plane: ControlPlane) -> None:
    """Deploy it, with the right that the API server needs to read logs from the kubelet."""
    client = plane.client
    client.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "coredns"}})
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    client.create(f"{_RBAC}/clusterroles", {"metadata": {"name": "system:coredns"}, "rules": rules})
    bindings = {
        "system:coredns": {"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE},
        "system:kubelet-api-admin": {
            "kind": "User",
            "name": "kube-apiserver-kubelet-client",
            "apiGroup": "rbac.authorization.k8s.io",
        },
    }
    for role, subject in bindings.items():
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        client.create(
            f"{_RBAC}/clusterrolebindings",
            {"metadata": {"name": f"lab:{role}"}, "roleRef": reference, "subjects": [subject]},
        )
    corefile = {"metadata": {"name": "coredns"}, "data": {"Corefile": _COREFILE}}
    client.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", corefile)
    client.create(DEPLOYMENT.rpartition("/")[0], _deployment())
    service = {
        "clusterIP": plane.network.service(DNS_ADDRESS),
        "selector": _LABELS,
        "ports": [
            {"name": name, "port": 53, "protocol": protocol} for name, protocol in (("dns", "UDP"), ("dns-tcp", "TCP"))
        ],
    }
    client.create(f"/api/v1/namespaces/{NAMESPACE}/services", {"metadata": {"name": "kube-dns"}, "spec": service})


def wait_until_ready(plane: ControlPlane) -> None:
    """Wait until names are looked up. Raises ``TimeoutError``."""

    def ready() -> bool:
        try:
            return bool(plane.client.get(DEPLOYMENT).get("status", {}).get("readyReplicas"))
        except ApiError:
            return False

    wait_until(ready, _READY_SECONDS, "the cluster's DNS to be ready", 0.1)


def name_outside(plane: ControlPlane, namespace: str, name: str, port: int, named_port: int | None = None) -> None:
    """Give something on the host's address a name in the cluster, ``NAME.NAMESPACE.svc``: a Service without a selector.

    It has the same port, or ``named_port``.
    """
    ports = [{"port": named_port or port, "protocol": "TCP"}]
    services = f"/api/v1/namespaces/{namespace}/services"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    metadata = {"name": name, "labels": {"kubernetes.io/service-name": name}}
    endpoints = [{"addresses": [plane.network.host], "conditions": {"ready": True}}]
    slice_ = {
        "metadata": metadata,
        "addressType": "IPv4",
        "ports": [{"port": port, "protocol": "TCP"}],
        "endpoints": endpoints,
    }
    for collection, body in ((services, {"metadata": {"name": name}, "spec": {"ports": ports}}), (slices, slice_)):
        plane.client.create_or_patch(collection, body)


def _deployment() -> dict[str, object]:
    container = {
        "name": "coredns",
        "image": COREDNS,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    template = {"metadata": {"labels": _LABELS}, "spec": pod}
    return {
        "metadata": {"name": "coredns"},
        "spec": {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": template},
    }
