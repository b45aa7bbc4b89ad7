"""What the API server refuses in a Job: its specification's changes, and statuses that no Job can have.

It knows pkg/apis/batch/validation/validation.go and pkg/registry/batch/job/strategy.go (Kubernetes v1.36.1), without
indexes. A status's rule is asked where what it concerns has changed (``getStatusValidationOptions``), so that a status
that was wrong before keeps nobody from writing the rest of it.
"""

import copy
import operator
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any

from lab.fake_api.statuses import OMITTED, Cause, invalid_value, required

Json = dict[str, Any]

_IMMUTABLE = "field is immutable"
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")
_COUNTED = ("active", "succeeded", "failed", "ready", "terminating")


def spec_changes(old: Json, new: Json) -> list[Cause]:
    """``ValidateJobSpecUpdate``: what a Job runs is settled when it is created, but for where, while it is suspended."""
    was, now = old["spec"], new["spec"]
    fields = ["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    if now.get("completionMode") != "Indexed":
        fields.append("completions")
    changed = [field for field in fields if was.get(field) != now.get(field)]
    if _settled(old, was["template"]) != _settled(old, now["template"]):
        changed.append("template")
    return [invalid_value(f"spec.{field}", now.get(field), _IMMUTABLE) for field in sorted(changed)]


def _settled(old: Json, template: Json) -> Json:
    """Of a Job that is suspended and runs nothing the scheduling directives and the resources may still change."""
    status = old.get("status", {})
    held = old["spec"].get("suspend") and _holds(status, "Suspended") and not status.get("active")
    if not held:
        return template
    kept = copy.deepcopy(template)
    for field in ("labels", "annotations"):
        kept.get("metadata", {}).pop(field, None)
    for field in _SCHEDULING:
        kept["spec"].pop(field, None)
    kept["spec"].get("affinity", {}).pop("nodeAffinity", None)
    for container in [*kept["spec"].get("containers", []), *kept["spec"].get("initContainers", [])]:
        container.pop("resources", None)
    return kept


def status_changes(old: Json, new: Json) -> list[Cause]:
    """``ValidateJobStatusUpdate``."""
    was, now = old.get("status") or {}, new.get("status") or {}
    causes = [
        invalid_value(f"status.{field}", now[field], "must be greater than or equal to 0")
        for field in _COUNTED
        if now.get(field, 0) < 0
    ]
    causes += [
        invalid_value(f"status.{field}", now.get(field, 0), f"cannot decrease the {field} counter")
        for field in ("succeeded", "failed")
        if now.get(field, 0) < was.get(field, 0)
    ]
    causes += [
        invalid_value("status.conditions", OMITTED, f"cannot disable the terminal {kind}=True condition")
        for kind in ("Failed", "Complete", "FailureTarget")
        if _holds(was, kind) and not _holds(now, kind)
    ]
    if _holds(was, "SuccessCriteriaMet") and not _holds(now, "SuccessCriteriaMet"):
        causes.append(
            invalid_value("status.conditions", OMITTED, "cannot disable the SuccessCriteriaMet=True condition")
        )
    changed = {name for name, of in _ASPECTS.items() if of(was) != of(now)}
    return causes + _times(was, now, changed, suspended=bool(new["spec"].get("suspend"))) + _states(now, changed)


def _times(was: Json, now: Json, changed: AbstractSet[str], *, suspended: bool) -> list[Cause]:
    causes = []
    began, before, ended = now.get("startTime"), was.get("startTime"), now.get("completionTime")
    resumed = _holds(was, "Suspended") and _holds(now, "Suspended", "False")
    if before and began != before and not suspended and not resumed:
        causes.append(invalid_value("status.startTime", began, "field is immutable for unsuspended job once set"))
    if ended and was.get("completionTime") and ended != was["completionTime"]:
        causes.append(invalid_value("status.completionTime", ended, "field is immutable"))
    if changed & {"startTime", "completionTime"} and began and ended and ended < began:
        causes.append(invalid_value("status.completionTime", ended, "must be equal to or after `startTime`"))
    if changed & {"Complete", "completionTime"}:
        if ended and not _holds(now, "Complete"):
            detail = "cannot set completionTime when there is no Complete=True condition"
            causes.append(invalid_value("status.completionTime", ended, detail))
        if not ended and _holds(now, "Complete"):
            causes.append(required("status.completionTime", "completionTime is required for Complete jobs"))
    if changed & {"finished", "startTime"} and not began and _is_finished(now):
        causes.append(required("status.startTime", "startTime is required for finished job"))
    return causes


def _states(now: Json, changed: AbstractSet[str]) -> list[Cause]:
    """What no status may say at once, each where one of its aspects has changed; the last two always."""
    complete, failed = _holds(now, "Complete"), _holds(now, "Failed")
    met, doomed, finished = _holds(now, "SuccessCriteriaMet"), _holds(now, "FailureTarget"), _is_finished(now)
    uncounted = now.get("uncountedTerminatedPods") or {}
    conditions = (
        ({"Complete", "Failed"}, complete and failed, "cannot set Complete=True and Failed=true conditions"),
        (
            {"Complete", "FailureTarget"},
            complete and doomed,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            {"Failed"},
            failed and not doomed,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            {"Complete", "SuccessCriteriaMet"},
            complete and not met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (changed, met and failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (changed, met and doomed, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
    )
    causes = [
        invalid_value("status.conditions", OMITTED, why) for of, wrong, why in conditions if of & changed and wrong
    ]
    counts = (
        (
            "active",
            {"finished", "active"},
            finished and now.get("active", 0) > 0,
            "active>0 is invalid for finished job",
        ),
        (
            "terminating",
            {"finished", "terminating"},
            finished and now.get("terminating", 0) > 0,
            "terminating>0 is invalid for finished job",
        ),
        (
            "uncountedTerminatedPods",
            {"finished", "uncountedTerminatedPods"},
            finished and any(uncounted.values()),
            "must be empty for finished job",
        ),
        (
            "ready",
            {"ready", "active"},
            now.get("ready", 0) > now.get("active", 0),
            "cannot set more ready pods than active",
        ),
    )
    return causes + [
        invalid_value(f"status.{field}", now.get(field), why)
        for field, of, wrong, why in counts
        if of & changed and wrong
    ]


def _holds(status: Mapping[str, Any], kind: str, value: str = "True") -> bool:
    return any(each["type"] == kind and each["status"] == value for each in status.get("conditions") or [])


def _is_finished(status: Mapping[str, Any]) -> bool:
    return _holds(status, "Complete") or _holds(status, "Failed")


_ASPECTS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "finished": _is_finished,
    **{kind: partial(_holds, kind=kind) for kind in ("Complete", "Failed", "FailureTarget", "SuccessCriteriaMet")},
    "active": lambda status: status.get("active", 0),
    **{
        field: operator.methodcaller("get", field)
        for field in ("startTime", "completionTime", "uncountedTerminatedPods", "ready", "terminating")
    },
}
"""What ``getStatusValidationOptions`` asks whether it has changed."""
