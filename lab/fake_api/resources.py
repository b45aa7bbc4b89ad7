"""Which resources the stand-in serves, and how a path names one of them.

It knows the table of kinds and the shape of API paths (k8s.io/apiserver/pkg/endpoints/request/requestinfo.go), not
what is stored.
"""

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
    Resource("", "v1", "serviceaccounts", "ServiceAccount"),
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
    Resource("apps", "v1", "statefulsets", "StatefulSet", has_status=True, subresources=("status",)),
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
    Resource(
        "argoproj.io",
        "v1alpha1",
        "applicationsets",
        "ApplicationSet",
        has_status=True,
        custom=True,
        subresources=("status",),
    ),
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
    match [unquote(part) for part in path.strip("/").split("/")]:
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return None
    namespace = ""
    match rest:
        case ["namespaces", _, "status" | "finalize"]:
            pass
        case ["namespaces", namespace, plural, *after]:
            rest = [plural, *after]
    plural, name, subresource, *beyond = [*rest, "", ""]
    resource = _BY_PATH.get((group, version, plural))
    if resource is not None and (
        (subresource and subresource not in resource.subresources)
        or any(beyond)
        or (namespace and not resource.namespaced)
        or (name and resource.namespaced and not namespace)
    ):
        resource = None
    if resource is not None and resource.plural == "namespaces":
        namespace = name
    return Target(resource, group, plural, namespace, name, subresource)


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
