"""Whether an automated Application is synced by the controller itself, and why not.

It knows ``autoSync`` and ``alreadyAttemptedSync`` (argo-cd controller/appcontroller.go, 3.6): pure functions.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lab.api_client import Json
from lab.argocd.operation import sources_of

_RETRIES = 5
_FIRST_PAUSE_SECONDS, _PAUSE_FACTOR, _LONGEST_PAUSE_SECONDS = 2.0, 3, 300.0
"""``--self-heal-backoff-…`` of argocd-application-controller."""


def of_specification(spec: Mapping[str, Any]) -> Json:
    """What Argo CD's own clients take from an Application's sync policy into an operation, and nothing else does."""
    policy = spec.get("syncPolicy") or {}
    options = {"syncOptions": policy["syncOptions"]} if policy.get("syncOptions") else {}
    retry = {"retry": policy["retry"]} if policy.get("retry") else {}
    return {"sync": options, **retry}


def is_automated(spec: Mapping[str, Any]) -> bool:
    """``IsAutomatedSyncEnabled``."""
    automated = (spec.get("syncPolicy") or {}).get("automated")
    return automated is not None and automated.get("enabled", True) is not False


def decide(application: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> tuple[Json | None, str]:
    """An operation to begin, or a SyncError, or neither; ``status`` is that of the comparison just made."""
    if not _is_asked_for(application, status):
        return None, ""
    spec, resources, compared = application["spec"], status["resources"], status["sync"]
    automated, own = spec["syncPolicy"]["automated"], of_specification(spec)
    prunes = bool(automated.get("prune"))
    revisions = compared["revisions"] if spec.get("sources") else [compared["revision"]]
    shown = f"[{' '.join(revisions)}]"
    which = {key: compared[key] for key in ("revision", "revisions") if key in compared}
    sources = {"sources": spec["sources"]} if spec.get("sources") else {"source": sources_of(spec)[0]}
    sync = {**own.pop("sync"), **which, **sources, "prune": prunes}
    last = application.get("status", {}).get("operationState")
    if last and _is_attempted(spec, last, revisions):
        if last["phase"] != "Succeeded":
            return None, f"Failed last sync attempt to {shown}: {last.get('message', '')}"
        heals = last["operation"].get("sync", {}).get("autoHealAttemptsCount", 0)
        if not automated.get("selfHeal") or not _has_paused(last, heals, now):
            return None, ""
        sync |= {"autoHealAttemptsCount": heals + 1, "resources": _out_of_sync(resources)}
    if prunes and not automated.get("allowEmpty") and all(each.get("requiresPruning") for each in resources):
        return None, f"Skipping sync attempt to {shown}: auto-sync will wipe out all resources"
    return {"initiatedBy": {"automated": True}, "retry": {"limit": _RETRIES}, **own, "sync": sync}, ""


def _is_asked_for(application: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Automated, idle, and OutOfSync by more than what may not be pruned."""
    spec = application["spec"]
    idle = "operation" not in application and not application["metadata"].get("deletionTimestamp")
    if not is_automated(spec) or not idle or status["sync"]["status"] != "OutOfSync":
        return False
    if spec["syncPolicy"]["automated"].get("prune"):
        return True
    return not all(each.get("status") == "Synced" or each.get("requiresPruning") for each in status["resources"])


def _out_of_sync(resources: Sequence[Mapping[str, Any]]) -> list[Json]:
    """By names without a namespace, hooks included, as the real one lists them."""
    behind = [each for each in resources if each.get("status") != "Synced"]
    return [{key: each[key] for key in ("kind", "group", "name") if key in each} for each in behind]


def _is_attempted(spec: Mapping[str, Any], last: Mapping[str, Any], wanted: list[str]) -> bool:
    result = last.get("syncResult")
    if result is None:
        return bool(last["phase"] in ("Succeeded", "Failed", "Error"))
    if spec.get("sources"):
        return bool(result.get("revisions") == wanted and result.get("sources") == spec["sources"])
    return bool([result.get("revision")] == wanted and result.get("source") == sources_of(spec)[0])


def _has_paused(last: Mapping[str, Any], heals: int, now: datetime) -> bool:
    """``selfHealRemainingBackoff``: nothing before the first, then longer and longer."""
    if not heals:
        return True
    pause: float = min(_FIRST_PAUSE_SECONDS * _PAUSE_FACTOR ** (heals - 1), _LONGEST_PAUSE_SECONDS)
    return (now - datetime.fromisoformat(last["finishedAt"])).total_seconds() >= pause
