"""How healthy Argo CD holds an object to be.

It knows gitops-engine/pkg/health (``health_job.go``, ``health_deployment.go``, ``health.go``): pure functions of a
live object.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lab.argocd.manifests import HOOK_FINALIZER

_ORDER = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")


class Health(NamedTuple):
    """A status and what explains it."""

    status: str
    message: str = ""


def of(item: Mapping[str, Any]) -> Health | None:
    """The health of a live object; None for kinds that have none (a ConfigMap)."""
    metadata = item["metadata"]
    if metadata.get("deletionTimestamp") and HOOK_FINALIZER not in metadata.get("finalizers", []):
        return Health("Progressing", "Pending deletion")
    if item["kind"] == "Job":
        return _job(item)
    if item["kind"] == "Deployment":
        return _deployment(item)
    if item["kind"] == "Service":
        return Health("Healthy")  # of type ClusterIP; a LoadBalancer without an address would be Progressing
    return None


def is_worse(current: str, other: str) -> bool:
    """``health.IsWorse``: whether ``other`` is worse than ``current``."""
    return _ORDER.index(other) > _ORDER.index(current)


def _job(item: Mapping[str, Any]) -> Health:
    """``getBatchv1JobHealth`` looks at the types of the conditions, and at the status of ``Suspended`` alone."""
    conditions = {each["type"]: each for each in item.get("status", {}).get("conditions", [])}
    ended = [kind for kind in ("Failed", "Complete", "Suspended") if kind in conditions]
    if not ended:
        return Health("Progressing")
    message = conditions[ended[-1]].get("message", "")
    if "Failed" in conditions:
        return Health("Degraded", conditions["Failed"].get("message", ""))
    if conditions.get("Suspended", {}).get("status") == "True":
        return Health("Suspended", message)
    return Health("Healthy", message)


def _deployment(item: Mapping[str, Any]) -> Health:  # noqa: PLR0911 - a list of cases, as its source
    """``getAppsv1DeploymentHealth``: no replica wanted is Healthy, and so is one that was available for a moment."""
    spec, status = item["spec"], item.get("status", {})
    if spec.get("paused"):
        return Health("Suspended", "Deployment is paused")
    if item["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return Health(
            "Progressing",
            "Waiting for rollout to finish: observed deployment generation less than desired generation",
        )
    progressing = [each for each in status.get("conditions", []) if each["type"] == "Progressing"]
    if progressing and progressing[0].get("reason") == "ProgressDeadlineExceeded":
        return Health("Degraded", f'Deployment "{item["metadata"]["name"]}" exceeded its progress deadline')
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    available, everything = status.get("availableReplicas", 0), status.get("replicas", 0)
    waiting = "Waiting for rollout to finish:"
    if updated < wanted:
        return Health("Progressing", f"{waiting} {updated} out of {wanted} new replicas have been updated...")
    if everything > updated:
        return Health("Progressing", f"{waiting} {everything - updated} old replicas are pending termination...")
    if available < updated:
        return Health("Progressing", f"{waiting} {available} of {updated} updated replicas are available...")
    return Health("Healthy")
