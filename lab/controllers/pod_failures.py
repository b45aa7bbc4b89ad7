"""A Job's podFailurePolicy: which rule a failed pod meets, and what the Job says of it.

Knows pkg/controller/job/pod_failure_policy.go (Kubernetes v1.36.1); plain functions without I/O.
"""

from collections.abc import Mapping
from typing import Any

from lab.api_client import Json


def matching_rule(job: Json, pod: Json) -> tuple[str, str] | None:
    """The action of the first rule that matches, and the message of one that fails the Job."""
    shown = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    rules: list[Json] = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for index, rule in enumerate(rules):
        action = rule["action"]
        which = f"matching {action} rule at index {index}"
        if rule.get("onExitCodes") is not None:
            ended = _container(pod.get("status", {}), rule["onExitCodes"])
            if ended is not None:
                code = ended["state"]["terminated"]["exitCode"]
                return action, f"Container {ended['name']} for pod {shown} failed with exit code {code} {which}"
            continue
        kind = _condition(pod.get("status", {}), rule.get("onPodConditions") or [])
        if kind is not None:
            return action, f"Pod {shown} has condition {kind} {which}"
    return None


def _container(status: Mapping[str, Any], codes: Mapping[str, Any]) -> Json | None:
    """Main containers first, then the init containers."""
    everyone = [one for kind in ("containerStatuses", "initContainerStatuses") for one in status.get(kind) or []]
    for one in everyone:
        ended = one["state"].get("terminated")
        if ended is None or ended["exitCode"] == 0 or codes.get("containerName") not in (None, one["name"]):
            continue
        if (ended["exitCode"] in codes["values"]) == (codes["operator"] == "In"):
            found: Json = one
            return found
    return None


def _condition(status: Mapping[str, Any], patterns: list[Json]) -> str | None:
    wanted = [(each["type"], each.get("status", "True")) for each in patterns]
    present = status.get("conditions") or []
    return next((str(each["type"]) for each in present if (each["type"], each["status"]) in wanted), None)
