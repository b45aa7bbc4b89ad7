"""Which resources the stand-in serves, and how a path names one of them.

It knows the table of kinds and the shape of API paths (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go), not
what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from lab.fake_api.statuses import method_not_allowed


@dataclass(frozen=True)
class Resource:
    """One kind that is served."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = False
    custom: bool = False
    """Defined by a CRD: no server-side defaults, no unconditional replace, items of a list carry their kind."""
    subresources: tuple[str, ...] = ()
    selectable: tuple[str, ...] = ()
    """Fields that a field selector may name, beside metadata.name and metadata.namespace."""

    @property
    def api_version(self) -> str:
        """As it stands in an object's ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version


_EVENT_FIELDS = (
    *(
        f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
    ),
    "reason",
    "reportingComponent",
    "source",
    "type",
)

RESOURCES = (
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        has_status=True,
        subresources=("status", "log", "binding"),
        selectable=(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ),
    ),
    Resource("", "v1", "events", "Event", selectable=_EVENT_FIELDS),
    Resource("", "v1", "configmaps", "ConfigMap"),
    Resource("", "v1", "secrets", "Secret", selectable=("type",)),
    Resource("", "v1", "services", "Service", has_status=True, subresources=("status",)),
    Resource(
        "",
        "v1",
        "namespaces",
        "Namespace",
        namespaced=False,
        has_status=True,
        subresources=("status",),
        selectable=("status.phase",),
    ),
    Resource("apps", "v1", "deployments", "Deployment", has_status=True, subresources=("status",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", has_status=True, subresources=("status",)),
    Resource(
        "batch",
        "v1",
        "jobs",
        "Job",
        has_status=True,
        subresources=("status",),
        selectable=("status.successful",),
    ),
    Resource("argoproj.io", "v1alpha1", "applications", "Application", custom=True),
    Resource("argoproj.io", "v1alpha1", "appprojects", "AppProject", custom=True),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
    ),
)

_BY_PATH = {(each.group, each.version, each.plural): each for each in RESOURCES}


@dataclass(frozen=True)
class Target:
    """What a path names. ``resource`` is None when the server does not serve it."""

    resource: Resource | None
    group: str
    plural: str
    namespace: str
    name: str
    subresource: str


def parse(path: str) -> Target | None:
    """The target of an API path, or None for a path that is no resource's (``/version``, ``/readyz``)."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:1] == ["api"] and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    resource = _BY_PATH.get((group, version, rest[0]))
    if resource is not None and (
        (subresource and subresource not in resource.subresources)
        or len(rest) > 3
        or (namespace and not resource.namespaced)
        or (name and resource.namespaced and not namespace)
    ):
        resource = None
    if resource is not None and resource.plural == "namespaces":
        namespace = name
    return Target(resource, group, rest[0], namespace, name, subresource)


def verb(method: str, target: Target) -> str:
    """The verb that authorization sees."""
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
    if method in verbs:
        return verbs[method]
    if method == "GET":
        return "get" if target.name else "list"
    if method == "DELETE":
        return "delete" if target.name else "deletecollection"
    raise method_not_allowed()
