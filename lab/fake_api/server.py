"""The stand-in for the Kubernetes API server: HTTP on loopback.

It knows the request pipeline (fault, authentication, authorization, the verb on the store) and pod logs. It offers no
watch, no discovery, no server-side apply, no dry run, no deletion but in the background, and of patches the merge patch
alone: whoever asks for these is refused. ``limit`` on a list is ignored, as a server may. Whoever polls it is served as by
the real one.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from lab.api_client import ApiClient
from lab.fake_api import selectors
from lab.fake_api.access import Access, Attributes, Rule
from lab.fake_api.front import Front
from lab.fake_api.pod_logs import LogSource, read_log
from lab.fake_api.resources import Resource, Target, parse, verb
from lab.fake_api.statuses import (
    RefusalError,
    bad_request,
    method_not_allowed,
    unauthorized,
    unknown_resource,
    unsupported_media,
)
from lab.fake_api.store import Store

Json = dict[str, Any]
_MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.1-stand-in", "platform": "python/http.server"}


class _Body:
    """A request's body, decoded only by the verb that wants it."""

    def __init__(self, headers: Mapping[str, str], content: bytes) -> None:
        self._headers = headers
        self.content = content

    def document(self, media_type: str) -> Json:
        return _document(self._headers, self.content, media_type)


class FakeApi(Front):
    """One server with its objects. A context manager; it may be stopped and started again on the same port."""

    def __init__(self) -> None:
        super().__init__()
        self._access = Access()
        self._store = Store()
        self._log_source: LogSource | None = None

    def add_user(self, name: str, *, admin: bool = False, roles: Mapping[str, Sequence[Rule]] | None = None) -> str:
        """A user, or new rights for one; answers the token. ``roles``: rules by namespace, ``""`` for everywhere."""
        return self._access.add(name, admin=admin, roles=roles)

    def client(self, user: str) -> ApiClient:
        """A client for a user that was added."""
        return ApiClient(self.url, token=self._access.token(user))

    def kubeconfig(self, user: str, namespace: str = "default") -> Json:
        """A kubeconfig for a user that was added."""
        context = {"cluster": "stand-in", "user": user, "namespace": namespace}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
            "contexts": [{"name": "stand-in", "context": context}],
            "users": [{"name": user, "user": {"token": self._access.token(user)}}],
        }

    def write_kubeconfig(self, path: Path, user: str, namespace: str = "default") -> Path:
        """The same as a file that only its owner can read."""
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(self.kubeconfig(user, namespace)), encoding="utf-8")
        return path

    def serve_logs_from(self, source: LogSource | None) -> None:
        """Where container logs come from: the process kubelet. None is a kubelet that is away."""
        self._log_source = source

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """The user of the Authorization header."""
        return self._access.user_of(headers.get("Authorization"))

    def answer(
        self, user: str | None, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        """All of the pipeline behind the faults."""
        try:
            if user is None:
                raise unauthorized()
            return self._authorized(user, method, path, headers, body)
        except RefusalError as refusal:
            return refusal.code, refusal.body()

    def _authorized(
        self, user: str, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/version":
            return 200, _VERSION
        if parts.path in ("/readyz", "/livez", "/healthz"):
            return 200, "ok"
        if "dryRun" in query:
            raise bad_request("dryRun is not offered by the stand-in")
        target = parse(parts.path)
        if target is None:
            return 404, "404 page not found\n"
        action = verb(method, target)
        name = target.name or (selectors.exact_name(query.get("fieldSelector", "")) if method == "GET" else "")
        wanted = Attributes(action, target.group, target.plural, target.subresource, target.namespace, name)
        self._access.check(user, wanted)
        if target.resource is None:
            raise unknown_resource()
        if target.resource.plural == "selfsubjectaccessreviews":
            if action != "create":
                raise method_not_allowed()
            return 201, self._access.review(user, _document(headers, body, _JSON))
        return self._act(target.resource, target, action, query, _Body(headers, body))

    def _act(  # noqa: PLR0911 - an answer for each verb
        self, resource: Resource, target: Target, action: str, query: Mapping[str, str], body: _Body
    ) -> tuple[int, Json | str]:
        namespace, name = target.namespace, target.name
        if target.subresource in ("log", "binding"):
            return self._pod_subresource(resource, target, action, query, body)
        status = target.subresource == "status"
        if action == "list":
            return 200, self._list(resource, target, query)
        if action == "get":
            return 200, self._store.get(resource, namespace, name)
        if action == "create" and not name:
            return 201, self._store.create(resource, namespace, body.document(_JSON))
        if action == "update" and name:
            return 200, self._store.replace(resource, namespace, name, body.document(_JSON), status=status)
        if action == "patch" and name:
            return 200, self._store.patch(resource, namespace, name, body.document(_MERGE_PATCH), status=status)
        if action == "delete" and not status:
            options = body.document(_JSON) if body.content else {}
            if "gracePeriodSeconds" in query:
                options["gracePeriodSeconds"] = int(query["gracePeriodSeconds"])
            if options.get("dryRun") or options.get("propagationPolicy", "Background") != "Background":
                raise bad_request("the stand-in deletes in the background, and not as an exercise")
            item, gone = self._store.delete(resource, namespace, name, options)
            return 200, _deleted(resource, item) if gone and resource.kind != "Pod" else item
        raise method_not_allowed()

    def _list(self, resource: Resource, target: Target, query: Mapping[str, str]) -> Json:
        if query.get("watch") in ("true", "1"):
            raise bad_request("watch is not offered by the stand-in")
        by_label = selectors.labels(query.get("labelSelector", ""))
        by_field = selectors.fields(query.get("fieldSelector", ""), resource)
        items, version = self._store.list(resource, target.namespace, lambda item: by_label(item) and by_field(item))
        if not resource.custom:
            items = [{key: value for key, value in item.items() if key not in ("apiVersion", "kind")} for item in items]
        return {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": version},
            "items": items,
        }

    def _pod_subresource(
        self, resource: Resource, target: Target, action: str, query: Mapping[str, str], body: _Body
    ) -> tuple[int, Json | str]:
        if (target.subresource, action) == ("binding", "create"):
            self._store.bind(resource, target.namespace, target.name, body.document(_JSON))
            return 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        if (target.subresource, action) == ("log", "get"):
            pod = self._store.get(resource, target.namespace, target.name)
            return 200, read_log(pod, query, self._log_source)
        raise method_not_allowed()


def _document(headers: Mapping[str, str], content: bytes, media_type: str) -> Json:
    given = (headers.get("Content-Type") or media_type).partition(";")[0].strip()
    if given != media_type:
        raise unsupported_media([media_type])
    try:
        document = json.loads(content)
    except ValueError as error:
        raise bad_request(f"error decoding the body of the request: {error}") from error
    if not isinstance(document, dict):
        raise bad_request("error decoding the body of the request: it is not an object")
    return document


def _deleted(resource: Resource, item: Json) -> Json:
    details = {"name": item["metadata"]["name"], "kind": resource.plural, "uid": item["metadata"]["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
