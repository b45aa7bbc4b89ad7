"""ReplicaSets: as many active pods as wanted, and what is said of them.

Knows ReplicaSets and their pods. Follows pkg/controller/replicaset (Kubernetes v1.36.1).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from lab.api_client import ApiClient, Json
from lab.controllers.objects import is_active, owned_by, owner_reference, phase_of, pod_from, timestamp
from lab.controllers.refusals import Refusals
from lab.object_status import condition_of, is_ready


def sync_replica_set(
    api: ApiClient, replica_set: Json, pods: Sequence[Json], now: datetime, refusals: Refusals
) -> None:
    """Creates what is missing or deletes what is too much, then writes the status."""
    metadata, spec = replica_set["metadata"], replica_set["spec"]
    active = [pod for pod in owned_by(replica_set, pods) if is_active(pod)]
    missing = spec["replicas"] - len(active)
    reference = owner_reference("apps/v1", "ReplicaSet", replica_set)
    owner, refused = {"apiVersion": "apps/v1", "kind": "ReplicaSet", **replica_set}, ""
    for _ in range(missing):
        _, refused = refusals.create(owner, pod_from(spec["template"], replica_set, reference, {}))
        if refused:
            break
    for pod in sorted(active, key=_worth)[: max(0, -missing)]:
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{pod['metadata']['name']}"
        api.delete(path, uid=pod["metadata"]["uid"])
    status = {
        "observedGeneration": metadata["generation"],
        "replicas": len(active),
        "fullyLabeledReplicas": len(active),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": sum(_is_available(pod, spec, now) for pod in active),
        "conditions": _conditions(replica_set, refused, now) or None,
    }
    if any(replica_set.get("status", {}).get(key) != value for key, value in status.items()):
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/replicasets/{metadata['name']}"
        api.patch_status(path, {"status": status})


def _conditions(replica_set: Json, refused: str, now: datetime) -> list[Json]:
    """``calculateStatus``: the first refusal stays until pods can be made again."""
    known = condition_of(replica_set, "ReplicaFailure")
    if not refused:
        return []
    if known is not None:
        return [known]
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": refused}
    return [{**condition, "lastTransitionTime": timestamp(now)}]


def _is_available(pod: Json, spec: Json, now: datetime) -> bool:
    if not is_ready(pod):
        return False
    since = datetime.fromisoformat((condition_of(pod, "Ready") or {})["lastTransitionTime"])
    return now - since >= timedelta(seconds=spec.get("minReadySeconds", 0))


def _worth(pod: Json) -> tuple[bool, bool, bool, float]:
    """``ActivePodsWithRanks``, in short: unassigned, pending, not ready and young pods are deleted first."""
    created = datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()
    bound = bool(pod["spec"].get("nodeName"))
    return bound, phase_of(pod) == "Running", is_ready(pod), -created
