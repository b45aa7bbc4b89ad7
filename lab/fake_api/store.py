"""The objects, and the rules by which they change.

It knows what k8s.io/apiserver/pkg/registry/{generic/registry/store.go,rest/{create,update,delete}.go} do: uids, one
resourceVersion for the whole store, generation, compare-and-swap, finalizers and graceful deletion. A stored object is
never changed in place, so that readers need no copy. Of the controllers' work it does two things itself, at once: a
deleted namespace loses its contents, and a new one has a service account ``default``. It collects no garbage: that is
``lab.controllers``' part.
"""

import copy
import itertools
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from lab import merge_patch
from lab.fake_api import crd, defaults, validation
from lab.fake_api.resources import RESOURCES, Resource
from lab.fake_api.statuses import (
    RefusalError,
    already_exists,
    bad_request,
    conflict,
    forbidden_by_admission,
    invalid,
    invalid_value,
    not_found,
)

Json = dict[str, Any]

FIRST_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""k8s.io/apimachinery/pkg/util/rand: no vowels, no digits that look like them."""
_LONGEST_GENERATED = 58
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")
_NAMESPACES = next(each for each in RESOURCES if each.plural == "namespaces")
_SERVICE_ACCOUNTS = next(each for each in RESOURCES if each.plural == "serviceaccounts")


class Store:
    """Every object of one server. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._version = 0
        self._addresses = itertools.count(1)
        self._objects: dict[Resource, dict[tuple[str, str], Json]] = {each: {} for each in RESOURCES}
        for name in FIRST_NAMESPACES:
            self.create(_NAMESPACES, "", {"metadata": {"name": name}})

    def get(self, resource: Resource, namespace: str, name: str) -> Json:
        """One object; not to be changed by the caller."""
        with self._lock:
            found = self._objects[resource].get((_scope(resource, namespace), name))
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return found

    def list(self, resource: Resource, namespace: str, matches: Callable[[Json], bool]) -> tuple[list[Json], str]:
        """The matching objects by namespace and name, and the resourceVersion of the whole list."""
        with self._lock:
            everything = sorted(self._objects[resource].items())
            version = str(self._version)
        wanted = _scope(resource, namespace)
        return [item for (where, _), item in everything if wanted in ("", where) and matches(item)], version

    def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Json:
        """POST."""
        item = _identified(resource, body)
        metadata = item["metadata"]
        namespace = _scope(resource, namespace)
        if metadata.setdefault("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise bad_request(message)
        if not namespace:
            del metadata["namespace"]
        if metadata.get("resourceVersion"):
            raise RefusalError(500, "resourceVersion should not be set on objects to be created", "")
        if not metadata.get("name") and metadata.get("generateName"):
            suffix = "".join(random.choices(_SUFFIX_LETTERS, k=5))  # noqa: S311 - as the real one, no secret
            metadata["name"] = metadata["generateName"][:_LONGEST_GENERATED] + suffix
        for field in _SERVER_OWNED:
            metadata.pop(field, None)
        metadata["uid"] = str(uuid.uuid4())
        metadata["creationTimestamp"] = timestamp()
        if resource.custom or "spec" in item:
            metadata["generation"] = 1
        defaults.fill(resource, item)
        defaults.prepare_for_create(resource, item)
        with self._lock:
            self._require_namespace(namespace)
            validation.for_create(resource, item)
            key = (namespace, metadata["name"])
            if key in self._objects[resource]:
                raise already_exists(resource.plural, resource.group, metadata["name"])
            self._admit(resource, namespace, item)
            made = self._put(resource, key, item)
            if resource is _NAMESPACES:
                self.create(_SERVICE_ACCOUNTS, metadata["name"], {"metadata": {"name": "default"}})
            return made

    def replace(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any], *, status: bool) -> Json:
        """PUT of an object, or of its status alone."""
        item = _identified(resource, body)
        if item["metadata"].get("name") != name:
            given = item["metadata"].get("name", "")
            raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
        with self._lock:
            old = self.get(resource, namespace, name)
            if resource.custom and not item["metadata"].get("resourceVersion"):
                cause = invalid_value("metadata.resourceVersion", "0x0", "must be specified for an update")
                raise invalid(resource.kind, resource.group, name, [cause])
            return self._update(resource, old, item, status=status)

    def patch(self, resource: Resource, namespace: str, name: str, patch: Mapping[str, Any], *, status: bool) -> Json:
        """A merge patch of an object, or of its status alone."""
        with self._lock:
            old = self.get(resource, namespace, name)
            item = merge_patch.apply(old, patch)
            if not isinstance(item.get("metadata"), dict) or item["metadata"].get("name") != name:
                cause = invalid_value("metadata.name", None, "field is immutable")
                raise invalid(resource.kind, resource.group, name, [cause])
            return self._update(resource, old, _identified(resource, item), status=status)

    def delete(self, resource: Resource, namespace: str, name: str, options: Mapping[str, Any]) -> tuple[Json, bool]:
        """DELETE: the object as it now is, and whether it is gone."""
        with self._lock:
            old = self.get(resource, namespace, name)
            _check_preconditions(resource, old, options.get("preconditions") or {})
            grace = _grace(resource, old, options)
            metadata = old["metadata"]
            pending = metadata.get("deletionTimestamp") is not None
            if pending and grace >= (metadata.get("deletionGracePeriodSeconds") or 0):
                grace = metadata.get("deletionGracePeriodSeconds") or 0
                if grace or metadata.get("finalizers"):
                    return old, False
            if grace == 0 and not metadata.get("finalizers"):
                return self._remove(resource, old), True
            new = copy.deepcopy(old)
            new["metadata"]["deletionTimestamp"] = timestamp(grace)
            new["metadata"]["deletionGracePeriodSeconds"] = grace
            if "generation" in metadata and not pending:
                new["metadata"]["generation"] += 1
            return self._put(resource, _key(resource, old), new), False

    def bind(self, resource: Resource, namespace: str, name: str, body: Mapping[str, Any]) -> None:
        """A scheduler's Binding (``assignPod`` of pkg/registry/core/pod/storage/storage.go)."""
        node = (body.get("target") or {}).get("name")
        if not node:
            raise invalid("Binding", "", name, [invalid_value("target.name", "", "Required value")])
        with self._lock:
            old = self.get(resource, namespace, name)
            if old["metadata"].get("deletionTimestamp"):
                raise conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
            if old["spec"].get("nodeName"):
                why = f'pod {name} is already assigned to node "{old["spec"]["nodeName"]}"'
                raise conflict("pods/binding", "", name, why)
            new = copy.deepcopy(old)
            new["spec"]["nodeName"] = node
            bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
            others = [each for each in new["status"].get("conditions", []) if each["type"] != "PodScheduled"]
            new["status"]["conditions"] = [*others, bound]
            self._put(resource, _key(resource, old), new)

    def _update(self, resource: Resource, old: Json, new: Json, *, status: bool) -> Json:
        name, given = old["metadata"]["name"], new["metadata"]
        version = given.get("resourceVersion") or old["metadata"]["resourceVersion"]
        if version != old["metadata"]["resourceVersion"]:
            raise conflict(resource.plural, resource.group, name)
        if given.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            uid = old["metadata"]["uid"]
            why = f"Precondition failed: UID in precondition: {given['uid']}, UID in object meta: {uid}"
            raise conflict(resource.plural, resource.group, name, why)
        if status:
            new = {**old, "status": new.get("status", {})}
        elif resource.has_status:
            new["status"] = old.get("status", {})
        new["metadata"] = {
            **{key: value for key, value in new["metadata"].items() if key not in _SERVER_OWNED},
            **{key: old["metadata"][key] for key in _SERVER_OWNED if key in old["metadata"]},
            **{key: old["metadata"][key] for key in ("name", "namespace", "resourceVersion") if key in old["metadata"]},
        }
        if not status:
            defaults.fill(resource, new)
            if resource.kind == "Service":
                new["spec"].setdefault("clusterIP", old["spec"].get("clusterIP"))
        validation.for_update(resource, old, new)
        if new == old:
            return old
        if "generation" in old["metadata"] and _desire(resource, new) != _desire(resource, old):
            new["metadata"]["generation"] += 1
        metadata = new["metadata"]
        ending = metadata.get("deletionTimestamp") and not metadata.get("deletionGracePeriodSeconds")
        if ending and not metadata.get("finalizers"):
            return self._remove(resource, new)
        return self._put(resource, _key(resource, old), new)

    def _put(self, resource: Resource, key: tuple[str, str], item: Json) -> Json:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        self._objects[resource][key] = item
        return item

    def _remove(self, resource: Resource, item: Json) -> Json:
        self._version += 1
        del self._objects[resource][_key(resource, item)]
        if resource.plural == "namespaces":
            for objects in self._objects.values():
                for key in [each for each in objects if each[0] == item["metadata"]["name"]]:
                    del objects[key]
        return item

    def _require_namespace(self, namespace: str) -> None:
        """Admission plugin NamespaceLifecycle."""
        if namespace and ("", namespace) not in self._objects[_NAMESPACES]:
            raise not_found("namespaces", "", namespace)

    def _admit(self, resource: Resource, namespace: str, item: Json) -> None:
        """Admission plugin ServiceAccount for pods; an address for Services."""
        if resource.kind == "Service":
            item["spec"].setdefault("clusterIP", f"10.96.0.{next(self._addresses)}")
        if resource.kind != "Pod":
            return
        name = item["spec"]["serviceAccountName"]
        if (namespace, name) not in self._objects[_SERVICE_ACCOUNTS]:
            absent = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise forbidden_by_admission("pods", "", item["metadata"]["name"], absent)


def timestamp(later_seconds: int = 0) -> str:
    """metav1.Time: RFC 3339, whole seconds."""
    moment = datetime.now(UTC) + timedelta(seconds=later_seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _scope(resource: Resource, namespace: str) -> str:
    return namespace if resource.namespaced else ""


def _key(resource: Resource, item: Json) -> tuple[str, str]:
    return _scope(resource, item["metadata"].get("namespace", "")), item["metadata"]["name"]


def _identified(resource: Resource, body: Mapping[str, Any]) -> Json:
    """A copy that is of this kind, without nulls, and for a custom resource without unknown fields."""
    item: Json = _without_nulls(body)
    if resource.custom and not item.get("kind"):
        raise bad_request(f"Object 'Kind' is missing in '{item}'")
    item.setdefault("apiVersion", resource.api_version)
    item.setdefault("kind", resource.kind)
    if (item["apiVersion"], item["kind"]) != (resource.api_version, resource.kind):
        given = f"{item['apiVersion']}, Kind={item['kind']}"
        raise bad_request(
            f"the API version in the data ({given}) does not match the expected API version "
            f"({resource.api_version}, Kind={resource.kind})"
        )
    if not isinstance(item.setdefault("metadata", {}), dict):
        raise bad_request("json: cannot unmarshal metadata into Go value of type v1.ObjectMeta")
    return crd.prune(resource.kind, item) if resource.custom else item


def _without_nulls(value: Any) -> Any:  # noqa: ANN401
    """Null means absent: in Go's decoding, and for the fields of a CRD that are not nullable."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner) for inner in value]
    return value


def _desire(resource: Resource, item: Json) -> Json:
    """What counts for ``generation``: the spec; of a custom resource without status subresource all but metadata."""
    if resource.custom:
        return {key: value for key, value in item.items() if key != "metadata"}
    return {"spec": item.get("spec")}


def _check_preconditions(resource: Resource, item: Json, wanted: Mapping[str, Any]) -> None:
    """``BeforeDelete`` names the kind, not the plural, in this conflict."""
    fields = (
        ("UID", "uid", "The object might have been deleted and then recreated"),
        ("ResourceVersion", "resourceVersion", "The object might have been modified"),
    )
    for shown, field, hint in fields:
        actual = item["metadata"][field]
        if wanted.get(field) is not None and wanted[field] != actual:
            given = wanted[field]
            why = f"the {shown} in the precondition ({given}) does not match the {shown} in record ({actual}). {hint}"
            raise conflict(resource.kind, resource.group, item["metadata"]["name"], why)


def _grace(resource: Resource, item: Json, options: Mapping[str, Any]) -> int:
    """``podStrategy.CheckGracefulDelete``; nothing else is deleted gracefully."""
    if resource.kind != "Pod":
        return 0
    finished = item.get("status", {}).get("phase") in ("Succeeded", "Failed")
    if not item["spec"].get("nodeName") or finished:
        return 0
    period: int = options.get("gracePeriodSeconds", item["spec"]["terminationGracePeriodSeconds"])
    if period < 0:
        message = "Invalid value: must be greater than or equal to 0"
        raise bad_request(f"gracePeriodSeconds: {message}")
    return period
