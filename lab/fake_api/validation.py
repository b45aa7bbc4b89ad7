"""What the API server refuses in an object: missing, wrong or immutable fields.

It knows the rules of k8s.io/kubernetes/pkg/apis/{core,apps,batch}/validation that the lab's objects can break, and
those that hold for every object's metadata (k8s.io/apimachinery/pkg/api/validation/objectmeta.go).
"""

import copy
import re
from collections.abc import Mapping
from typing import Any

from lab.fake_api import crd, job_validation
from lab.fake_api.resources import Resource
from lab.fake_api.statuses import Cause, forbidden_field, invalid, invalid_value, required

Json = dict[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LONGEST_NAME = 253
_IMMUTABLE = "field is immutable"


def for_create(resource: Resource, item: Json) -> None:
    """Refuse a new object that is wrong."""
    _refuse(resource, item, _metadata(item) + _body(resource, item))


def for_update(resource: Resource, old: Json, new: Json) -> None:
    """Refuse a change that may not be made, or whose result is wrong."""
    causes = _body(resource, new)
    if old["metadata"].get("deletionTimestamp"):
        added = set(new["metadata"].get("finalizers") or ()) - set(old["metadata"].get("finalizers") or ())
        if added:
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {added}"
            causes.append(forbidden_field("metadata.finalizers", detail))
    if resource.kind == "Pod":
        causes += _pod_update(old, new)
    elif resource.kind == "Job":
        causes += job_validation.spec_changes(old, new) + job_validation.status_changes(old, new)
    elif resource.kind in ("Deployment", "ReplicaSet") and old["spec"].get("selector") != new["spec"].get("selector"):
        causes.append(invalid_value("spec.selector", new["spec"].get("selector"), _IMMUTABLE))
    elif resource.kind == "Secret" and old.get("type") != new.get("type"):
        causes.append(invalid_value("type", new.get("type"), _IMMUTABLE))
    _refuse(resource, new, causes)


def _refuse(resource: Resource, item: Json, causes: list[Cause]) -> None:
    if causes:
        raise invalid(resource.kind, resource.group, item["metadata"].get("name", ""), causes)


def _metadata(item: Json) -> list[Cause]:
    name = item["metadata"].get("name", "")
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if len(name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(name):
        return [invalid_value("metadata.name", name, _SUBDOMAIN_RULE)]
    return []


def _body(resource: Resource, item: Json) -> list[Cause]:  # noqa: PLR0911 - a case for each kind
    if resource.custom:
        return crd.check(resource.kind, item)
    spec = item.get("spec") or {}
    if resource.kind == "Pod":
        return _pod_spec(spec, "spec")
    if resource.kind == "Job":
        return _job_spec(spec)
    if resource.kind in ("Deployment", "ReplicaSet"):
        return _selector(spec) + _template(spec, ("Always",))
    if resource.kind == "Service" and not spec.get("ports") and spec.get("type") != "ExternalName":
        return [required("spec.ports")]
    if resource.kind == "Event":
        return _event(item)
    return []


def _pod_spec(spec: Mapping[str, Any], path: str) -> list[Cause]:
    containers = spec.get("containers") or []
    if not containers:
        return [required(f"{path}.containers")]
    causes = []
    for index, container in enumerate(containers):
        if not container.get("name"):
            causes.append(required(f"{path}.containers[{index}].name"))
        if not container.get("image"):
            causes.append(required(f"{path}.containers[{index}].image"))
    return causes


def _template(spec: Mapping[str, Any], policies: tuple[str, ...]) -> list[Cause]:
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    causes = _pod_spec(pod, "spec.template.spec")
    field = "spec.template.spec.restartPolicy"
    listed = ", ".join(f'"{policy}"' for policy in policies)
    if pod and "Always" not in policies and pod.get("restartPolicy") in (None, "Always"):
        # ``validateJobSpec``: left out and the default are told from a wrong one
        causes.append(required(field, f"valid values: {listed}"))
    elif pod and pod.get("restartPolicy") not in policies:
        supported = f"supported values: {listed}"
        causes.append(Cause(field, "FieldValueNotSupported", supported, pod.get("restartPolicy")))
    return causes


def _selector(spec: Mapping[str, Any]) -> list[Cause]:
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    if not spec.get("selector"):
        return [required("spec.selector")]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    if not wanted.items() <= labels.items():
        detail = "`selector` does not match template `labels`"
        return [invalid_value("spec.template.metadata.labels", labels, detail)]
    return []


def _job_spec(spec: Mapping[str, Any]) -> list[Cause]:
    causes = _selector(spec) + _template(spec, ("OnFailure", "Never"))
    pod = (spec.get("template") or {}).get("spec") or {}
    if spec.get("podFailurePolicy") and pod.get("restartPolicy") != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        causes.append(invalid_value("spec.template.spec.restartPolicy", pod.get("restartPolicy"), detail))
    return causes


def _pod_update(old: Json, new: Json) -> list[Cause]:
    """``ValidatePodUpdate``: images, activeDeadlineSeconds and more tolerations; nothing else."""
    if _fixed(old["spec"]) == _fixed(new["spec"]):
        return []
    detail = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [forbidden_field("spec", detail)]


def _fixed(spec: Mapping[str, Any]) -> Json:
    kept = copy.deepcopy({key: value for key, value in spec.items() if key != "activeDeadlineSeconds"})
    kept.pop("tolerations", None)
    for container in [*kept.get("containers", []), *kept.get("initContainers", [])]:
        container.pop("image", None)
    return kept


def _event(item: Json) -> list[Cause]:
    """``legacyValidateEvent``, which core/v1 Events still meet, and the stricter part for those with eventTime."""
    namespace = item["metadata"].get("namespace", "")
    about = (item.get("involvedObject") or {}).get("namespace", "")
    causes = []
    if about != namespace and not (about == "" and namespace in ("", "default", "kube-system")):
        causes.append(invalid_value("involvedObject.namespace", about, "does not match event.namespace"))
    if item.get("eventTime"):
        fields = ("reportingComponent", "reportingInstance", "action", "reason")
        causes += [required(field) for field in fields if not item.get(field)]
    return causes
