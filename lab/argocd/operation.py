"""An operation from ``.operation`` to ``status.operationState``.

It knows ``processRequestedAppOperation`` and ``setOperationState`` (argo-cd controller/appcontroller.go) and the frame
of ``SyncAppState`` (controller/sync.go): retries, sync windows, revisions. One call is one look at one operation.
"""

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lab import merge_patch
from lab.api_client import ApiClient, Json
from lab.argocd import conditions
from lab.argocd.comparison import EVALUATED, Comparison
from lab.argocd.sync import Sync

COMPLETED = ("Succeeded", "Failed", "Error")
TERMINATING = "Terminating"
"""Written by whoever ends an operation (``argocd app terminate-op``)."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Compare = Callable[[Mapping[str, Any], Sequence[str]], tuple[list[str], Comparison]]
"""Compare an Application at the revisions asked for, one a source; answers those that it came to."""


@dataclass(frozen=True)
class Settings:
    """What differs from one Argo CD to another, and what a project says."""

    merges_operation_state: bool
    blocked: Callable[[str, bool], bool]
    """Whether a sync window is closed for this Application and an operation that is (not) a person's."""
    project_exists: Callable[[str], bool]


class Operation:
    """The operation of one Application, as it was read."""

    def __init__(self, client: ApiClient, path: str, application: Json, settings: Settings) -> None:
        self._client = client
        self._path = path
        self._application = application
        self._state_as_read: Json | None = application.get("status", {}).get("operationState")
        self._settings = settings

    def advance(self, compare: Compare, now: datetime) -> str:
        """Begin it, go on with it or end it; answers the phase it is in."""
        state = self._begin_or_resume(now)
        if state is None:
            return "Running"
        terminating = state["phase"] == TERMINATING
        name, project = self._application["metadata"]["name"], self._application["spec"]["project"]
        if not self._settings.project_exists(project):
            state["phase"] = "Error"
            state["message"] = f'Failed to load application project: appproject.argoproj.io "{project}" not found'
        elif state["phase"] != TERMINATING and self._settings.blocked(name, not self._is_automated()):
            state.setdefault("syncResult", self._first_result(state))
            state["message"] = "Sync operation blocked by sync window"
        else:
            self._sync(state, compare)
        if state["phase"] in ("Failed", "Error") and not terminating:
            _plan_retry(state, now)
        elif state["phase"] == "Running" and self._is_ended_by_now():
            state["phase"], state["message"] = TERMINATING, "operation is terminating"
        self._write(state, now)
        return str(state["phase"])

    def _begin_or_resume(self, now: datetime) -> Json | None:
        """The state to work on; None between two tries."""
        present = self._application.get("status", {}).get("operationState")
        if present is None or present["phase"] in COMPLETED:
            state: Json = {
                "phase": "Running",
                "operation": copy.deepcopy(self._application["operation"]),
                "startedAt": stamp(now),
            }
            self._write(state, now)
            return state
        state = copy.deepcopy(present)
        if "finishedAt" not in state or state["phase"] == TERMINATING:
            return state
        finished = datetime.strptime(state["finishedAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if now < _retry_at(state, finished):
            return None
        refreshes = state["operation"].get("retry", {}).get("refresh")
        if refreshes:
            for field in ("revision", "revisions"):
                state["operation"]["sync"].pop(field, None)
        extra = " with latest revisions" if refreshes else ""
        state["message"] = f"Retrying operation{extra}. Attempt #{state['retryCount']}"
        del state["finishedAt"]
        state.pop("syncResult", None)
        self._write(state, now)
        return state

    def _is_ended_by_now(self) -> bool:
        """Somebody said so while this look was under way."""
        state = self._client.get(self._path).get("status", {}).get("operationState", {})
        return bool(state.get("phase") == TERMINATING)

    def _is_automated(self) -> bool:
        """As ``syncWindowPreventsSync`` asks: of the state as it was read, on the first look that of the one before."""
        present = self._state_as_read
        return present is None or bool(present["operation"].get("initiatedBy", {}).get("automated"))

    def _first_result(self, state: Json) -> Json:
        """``newSyncOperationResult``: the revision as asked for, empty where none was."""
        sync, spec = state["operation"].get("sync", {}), self._application["spec"]
        result: Json = {"revision": sync.get("revision", ""), "source": sources_of(spec)[0]}
        if spec.get("sources"):
            result |= {"sources": spec["sources"], "revisions": sync.get("revisions", [])}
        return result

    def _sync(self, state: Json, compare: Compare) -> None:
        if "sync" not in state["operation"]:
            state["phase"] = "Error"
            state["message"] = "Invalid operation request: no operation specified"
            return
        result = state.setdefault("syncResult", self._first_result(state))
        several = bool(result.get("sources"))
        revisions, comparison = compare(self._application, result["revisions"] if several else [result["revision"]])
        result["revision"] = "" if several else revisions[0]
        if several:
            result["revisions"] = revisions
        sync = Sync(self._client, self._application, state["operation"]["sync"], comparison)
        if sync.fails_on_shared:
            state["phase"], state["message"] = "Failed", f"Shared resource found: {comparison.shared}"
            return
        known = self._application.get("status", {}).get("conditions") or []
        errors = conditions.errors(conditions.updated(known, comparison.conditions, EVALUATED, ""))
        if errors:
            state["phase"], state["message"] = "Error", errors
            return
        sync.resume(result.get("resources", []))
        state["phase"], state["message"] = sync.terminate() if state["phase"] == TERMINATING else sync.advance()
        result["resources"] = sync.results()

    def _write(self, state: Json, now: datetime) -> None:
        """``setOperationState``: no resourceVersion, so that a status written meanwhile does not lose it.

        From 3.6 the whole state replaces the one before; until 3.5 it was merged into it, so that fields of an earlier
        operation stay where the new one has none (argo-cd 28778: an operation without a revision keeps the older one).
        """
        if state["phase"] in COMPLETED:
            state["finishedAt"] = stamp(now)
        before: Json = self._application.get("status", {}).get("operationState") or {}
        if state == before and state["phase"] not in COMPLETED:
            return
        change: Json
        if self._settings.merges_operation_state:
            change = copy.deepcopy(state)
            if "finishedAt" not in state:
                change["finishedAt"] = None
        else:
            change = merge_patch.diff(before, state)
        patch: Json = {"status": {"operationState": change}}
        if state["phase"] in COMPLETED:
            patch["operation"] = None
        self._application = self._client.patch(self._path, patch)


def sources_of(spec: Mapping[str, Any]) -> list[Json]:
    """``GetSources``: the one source of most."""
    return list(spec.get("sources") or [spec.get("source", {})])


def stamp(moment: datetime) -> str:
    """metav1.Time: RFC 3339, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _plan_retry(state: Json, now: datetime) -> None:
    """A try is left: the phase stays Running, with finishedAt set."""
    retry, count = state["operation"].get("retry", {}), state.get("retryCount", 0)
    limit = retry.get("limit", 0)
    if 0 <= limit <= count:
        if count:
            state["message"] += f" (retried {count} times)."
        return
    at = _retry_at(state, now)
    state.update(phase="Running", finishedAt=stamp(now), retryCount=count + 1)
    state["message"] += f". Retrying attempt #{count + 1} at {stamp(at)}."


def _retry_at(state: Json, last: datetime) -> datetime:
    """``NextRetryAt``: 5 s, doubling, at most 3 minutes, unless the operation says otherwise."""
    backoff = state["operation"].get("retry", {}).get("backoff", {})
    first = _seconds(backoff.get("duration") or "5s")
    wait = first * backoff.get("factor", 2) ** state.get("retryCount", 0)
    return last + timedelta(seconds=min(wait, _seconds(backoff.get("maxDuration") or "3m")))


def _seconds(text: str) -> float:
    """A Go duration such as ``1m30s``."""
    return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
