"""What the API server fills in when an object is created.

It knows the defaults of k8s.io/kubernetes/pkg/apis/{core,apps,batch}/v1/defaults.go that the lab's actors or the hook
may meet, and the fields that a strategy's PrepareForCreate takes away or sets. Custom resources have none of them.
"""

import base64
from collections.abc import Callable
from typing import Any

from lab.fake_api.resources import Resource

Json = dict[str, Any]


def fill(resource: Resource, item: Json) -> None:
    """Set the defaults of one object, in place."""
    filler = _FILLERS.get(resource.kind)
    if filler is not None:
        filler(item)


def prepare_for_create(resource: Resource, item: Json) -> None:
    """Status comes from controllers, not from whoever creates the object."""
    if resource.has_status:
        item["status"] = _first_status(resource.kind)
    if resource.kind == "Job":
        _job_selector(item)


def _first_status(kind: str) -> Json:
    if kind == "Pod":
        return {"phase": "Pending", "qosClass": "BestEffort"}
    if kind == "Namespace":
        return {"phase": "Active"}
    if kind == "Service":
        return {"loadBalancer": {}}
    return {"replicas": 0} if kind == "ReplicaSet" else {}


def _pod_spec(spec: Json) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for container in [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]:
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        container.setdefault("resources", {})
        latest = container.get("image", "").endswith(":latest") or ":" not in container.get("image", "")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(probe):
                _probe(container[probe])


def _probe(probe: Json) -> None:
    defaults = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
    for field, value in defaults.items():
        probe.setdefault(field, value)


def _template(spec: Json) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        template.setdefault("metadata", {})
        _pod_spec(template["spec"])


def _pod(item: Json) -> None:
    spec = item.get("spec")
    if isinstance(spec, dict):
        _pod_spec(spec)
        spec.setdefault("serviceAccountName", "default")  # admission plugin ServiceAccount


def _deployment(item: Json) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault(
        "strategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    )
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    _template(spec)


def _replica_set(item: Json) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _job(item: Json) -> None:
    spec = item.setdefault("spec", {})
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    _template(spec)


def _job_selector(item: Json) -> None:
    """``generateSelector`` of pkg/registry/batch/job/strategy.go: once, at creation, from the Job's uid."""
    spec = item["spec"]
    if spec.get("manualSelector") or not isinstance(spec.get("template"), dict):
        return
    uid, name = item["metadata"]["uid"], item["metadata"]["name"]
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels.update(
        {
            "controller-uid": uid,
            "job-name": name,
            "batch.kubernetes.io/controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
        }
    )
    spec["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _secret(item: Json) -> None:
    item.setdefault("type", "Opaque")
    written = item.pop("stringData", None)
    if written:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in written.items()}
        item["data"] = {**(item.get("data") or {}), **encoded}


def _service(item: Json) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _event(item: Json) -> None:
    item.setdefault("reportingComponent", "")
    item.setdefault("reportingInstance", "")
    item.setdefault("source", {})


_FILLERS: dict[str, Callable[[Json], None]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Job": _job,
    "Secret": _secret,
    "Service": _service,
    "Event": _event,
}
