"""Deployments: one ReplicaSet a template, rolled from old to new, and what is said of it.

Knows Deployments, their ReplicaSets, and of pods only whether old ones are left. The arithmetic of a rollout is that of
pkg/controller/deployment/rolling.go, the conditions that of progress.go and sync.go (Kubernetes v1.36.1).
"""

import json
import math
import zlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from lab.actor import NotModelledError
from lab.api_client import ApiClient, Json
from lab.controllers.objects import owned_by, owner_reference, phase_of, safe_encode, timestamp
from lab.object_status import condition_of

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
PROGRESS_DEADLINE_SECONDS = 600
"""The API server's default, pkg/apis/apps/v1/defaults.go; so are 25 % for maxSurge and maxUnavailable."""


def sync_deployment(
    api: ApiClient, deployment: Json, replica_sets: Sequence[Json], pods: Sequence[Json], now: datetime
) -> None:
    """One step of the rollout, and the status."""
    if deployment["spec"].get("paused"):
        message = f"not modelled: Deployment {deployment['metadata']['name']} is paused"
        raise NotModelledError(message)
    own = sorted(owned_by(deployment, replica_sets), key=_revision)
    label = template_hash(deployment["spec"]["template"])
    new = next((one for one in own if one["metadata"]["labels"][HASH_LABEL] == label), None)
    old = [one for one in own if one is not new]
    recreate = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
    if recreate and _old_are_left(api, old, pods):
        _write_status(api, deployment, own, new, now)
        return
    if new is None:
        new = _create(api, deployment, own, label)
        own.append(new)
    _scale(api, new, _new_size(deployment, own, new, recreate=recreate))
    if not recreate:
        _scale_down_old(api, deployment, old, new)
    _write_status(api, deployment, own, new, now)


def template_hash(template: Json) -> str:
    """A label for a template: stable, and different for another one; the real one hashes the Go value."""
    return safe_encode(zlib.crc32(json.dumps(template, sort_keys=True).encode()))


def _wanted(deployment: Json) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _fenceposts(deployment: Json) -> tuple[int, int]:
    """Give maxSurge, rounded up, and maxUnavailable, rounded down; never both 0 (``ResolveFenceposts``)."""
    strategy = deployment["spec"].get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    wanted = _wanted(deployment)
    surge = math.ceil(_scaled(rolling.get("maxSurge", "25%"), wanted))
    unavailable = math.floor(_scaled(rolling.get("maxUnavailable", "25%"), wanted))
    return surge, min(wanted, unavailable if surge or unavailable else 1)


def _scaled(value: int | str, wanted: int) -> float:
    return wanted * int(value[:-1]) / 100 if isinstance(value, str) else value


def _size(*replica_sets: Json) -> int:
    return sum(one["spec"]["replicas"] for one in replica_sets)


def _counted(field: str, *replica_sets: Json) -> int:
    return sum(one.get("status", {}).get(field, 0) for one in replica_sets)


def _new_size(deployment: Json, own: Sequence[Json], new: Json, *, recreate: bool) -> int:
    wanted, present = _wanted(deployment), _size(new)
    if recreate or present >= wanted:
        return wanted
    room = wanted + _fenceposts(deployment)[0] - _size(*own)
    return present + min(max(0, room), wanted - present)


def _scale_down_old(api: ApiClient, deployment: Json, old: Sequence[Json], new: Json) -> None:
    """Unhealthy old pods first, which costs no availability; then available ones as far as new ones replace them."""
    least = _wanted(deployment) - _fenceposts(deployment)[1]
    spare = _size(*old, new) - least - (_size(new) - _counted("availableReplicas", new))
    for one in old:
        unhealthy = _size(one) - _counted("availableReplicas", one)
        cut = min(max(0, spare), max(0, unhealthy))
        _scale(api, one, _size(one) - cut)
        spare -= cut
    dispensable = min(spare, _counted("availableReplicas", *old, new) - least)
    for one in old:
        cut = min(max(0, dispensable), _size(one))
        _scale(api, one, _size(one) - cut)
        dispensable -= cut


def _old_are_left(api: ApiClient, old: Sequence[Json], pods: Sequence[Json]) -> bool:
    """Recreate: the old ones to nothing, and nothing new while one of their pods is there."""
    for one in old:
        _scale(api, one, 0)
    return any(phase_of(pod) not in ("Succeeded", "Failed") for one in old for pod in owned_by(one, pods))


def _path(replica_set: Json) -> str:
    namespace, name = replica_set["metadata"]["namespace"], replica_set["metadata"]["name"]
    return f"/apis/apps/v1/namespaces/{namespace}/replicasets/{name}"


def _scale(api: ApiClient, replica_set: Json, replicas: int) -> None:
    """Also in the object at hand, for the steps that follow in this turn."""
    if replica_set["spec"]["replicas"] != replicas:
        api.patch(_path(replica_set), {"spec": {"replicas": replicas}})
        replica_set["spec"]["replicas"] = replicas


def _revision(replica_set: Json) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _create(api: ApiClient, deployment: Json, own: Sequence[Json], label: str) -> Json:
    metadata, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: label}
    body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{metadata['name']}-{label}",
            "namespace": metadata["namespace"],
            "labels": labels,
            "annotations": {REVISION: str(max(map(_revision, own), default=0) + 1)},
            "ownerReferences": [owner_reference("apps/v1", "Deployment", deployment)],
        },
        "spec": {
            "replicas": 0,
            "minReadySeconds": spec.get("minReadySeconds", 0),
            "selector": {"matchLabels": {**(spec["selector"].get("matchLabels") or {}), HASH_LABEL: label}},
            "template": {**template, "metadata": {**template["metadata"], "labels": labels}},
        },
    }
    return api.create(f"/apis/apps/v1/namespaces/{metadata['namespace']}/replicasets", body)


def _write_status(api: ApiClient, deployment: Json, own: Sequence[Json], new: Json | None, now: datetime) -> None:
    metadata, before = deployment["metadata"], deployment.get("status") or {}
    available = _counted("availableReplicas", *own)
    counts = {
        "replicas": _counted("replicas", *own),
        "updatedReplicas": _counted("replicas", *([new] if new else [])),
        "readyReplicas": _counted("readyReplicas", *own),
        "availableReplicas": available,
        "unavailableReplicas": max(0, _size(*own) - available),
    }
    enough = available >= _wanted(deployment) - _fenceposts(deployment)[1]
    verdict = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    )
    conditions = [_condition(deployment, "Available", verdict, now, progress=False)]
    progressing = _progressing(deployment, counts, new, now)
    if progressing is not None:
        conditions.append(progressing)
    conditions += _failures(deployment, own, new, now)
    # Fields that are 0 are absent in the API (omitempty), which null says in a merge patch.
    status: Json = {key: count or None for key, count in counts.items()}
    status |= {"observedGeneration": metadata["generation"], "conditions": conditions}
    if any(before.get(key) != value for key, value in status.items()):
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}"
        api.patch_status(path, {"status": status})


def _failures(deployment: Json, own: Sequence[Json], new: Json | None, now: datetime) -> list[Json]:
    """``getReplicaFailures``: the new ReplicaSet's word before any older one's."""
    ordered = [*([new] if new else []), *own]
    found = next((one for each in ordered if (one := condition_of(each, "ReplicaFailure")) is not None), None)
    if found is None:
        return []
    verdict = (found["status"], found["reason"], found["message"])
    return [_condition(deployment, "ReplicaFailure", verdict, now, progress=False)]


def _progressing(deployment: Json, counts: dict[str, int], new: Json | None, now: datetime) -> Json | None:
    """Once a rollout is complete it stays so until the next one, whatever its pods do."""
    kind = "Progressing"
    before, status = condition_of(deployment, kind), deployment.get("status") or {}
    old_left = counts["replicas"] - counts["updatedReplicas"]
    if before and before["reason"] == "NewReplicaSetAvailable" and not old_left:
        return before
    wanted = _wanted(deployment)
    subject = f'ReplicaSet "{new["metadata"]["name"]}"' if new else "Deployment"
    if counts["replicas"] == counts["updatedReplicas"] == counts["availableReplicas"] == wanted:
        verdict = ("True", "NewReplicaSetAvailable", f"{subject} has successfully progressed.")
        return _condition(deployment, kind, verdict, now, progress=False)
    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    old_before = status.get("replicas", 0) - status.get("updatedReplicas", 0)
    if old_left < old_before or any(counts[key] > status.get(key, 0) for key in grown):
        verdict = ("True", "ReplicaSetUpdated", f"{subject} is progressing.")
        return _condition(deployment, kind, verdict, now, progress=True)
    if before is None:
        verdict = ("True", "NewReplicaSetCreated", f"Created new replica set {subject[11:]}")
        return _condition(deployment, kind, verdict, now, progress=True) if new else None
    deadline = timedelta(seconds=deployment["spec"].get("progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS))
    late = now - datetime.fromisoformat(before["lastUpdateTime"]) > deadline
    if late and before["reason"] != "NewReplicaSetAvailable":
        verdict = ("False", "ProgressDeadlineExceeded", f"{subject} has timed out progressing.")
        return _condition(deployment, kind, verdict, now, progress=False)
    return before


def _condition(deployment: Json, kind: str, verdict: tuple[str, str, str], now: datetime, *, progress: bool) -> Json:
    """``SetDeploymentCondition``: the same status and reason leave it alone, unless progress is to be noted."""
    status, reason, message = verdict
    before = condition_of(deployment, kind)
    if before and (before["status"], before["reason"]) == (status, reason) and not progress:
        return before
    same = before is not None and before["status"] == status
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastUpdateTime": timestamp(now),
        "lastTransitionTime": before["lastTransitionTime"] if same and before else timestamp(now),
    }
