"""What objects of Kubernetes and Argo CD say of themselves, as kubectl and Argo CD's page show it. Knows no API."""

import re
from datetime import datetime
from typing import Any

Json = dict[str, Any]


def component_of(pod: Json) -> str:
    """Its component, such as ``frontend``."""
    return str(pod["metadata"].get("labels", {}).get("app.kubernetes.io/component", ""))


def sync_and_health(application: Json) -> tuple[str, str]:
    """As Argo CD's page shows them."""
    status = application.get("status", {})
    return status.get("sync", {}).get("status", ""), status.get("health", {}).get("status", "")


def back_off_ends(pod: Json) -> float:
    """When the last of its containers' back-offs ends, in seconds since the epoch; 0 where there is none.

    From the last end on, for as long as the kubelet says: ``back-off 1m20s restarting failed ...``.
    """
    ends = [0.0]
    for one in pod.get("status", {}).get("containerStatuses", []):
        found = re.match(r"back-off (?:(\d+)m)?(\d+)s ", one["state"].get("waiting", {}).get("message", ""))
        ended = one.get("lastState", {}).get("terminated", {}).get("finishedAt")
        if found and ended:
            ends.append(datetime.fromisoformat(ended).timestamp() + 60.0 * int(found[1] or 0) + int(found[2]))
    return max(ends)


def is_in_back_off(pod: Json) -> bool:
    """Whether a container of it waits out a back-off."""
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return any(one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" for one in statuses)


def condition_of(thing: Json, kind: str) -> Json | None:
    """One of its status's conditions."""
    known: list[Json] = thing.get("status", {}).get("conditions") or []
    return next((one for one in known if one["type"] == kind), None)


def ended_job(kind: str, message: str, *, started: str, ended: str, reason: str = "") -> Json:
    """The status of a Job that is Complete or Failed, with what Kubernetes wants to see before (1.31+)."""
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[kind]
    same = {"status": "True", "reason": reason, "message": message, "lastTransitionTime": ended, "lastProbeTime": ended}
    completed = {"completionTime": ended, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    conditions = [{"type": one, **same} for one in (before, kind)]
    return {"startTime": started, "conditions": conditions, "active": None, "ready": 0, "terminating": 0, **completed}


def is_ready(pod: Json) -> bool:
    """Whether its Ready condition holds."""
    return (condition_of(pod, "Ready") or {}).get("status") == "True"
