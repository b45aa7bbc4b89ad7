"""A small JSON client for a Kubernetes API server, real or stand-in.

It knows paths, JSON and the API's error object, and nothing of any resource. The stand-ins on ``lab.fake_api`` (the
process kubelet, the Job and Deployment controllers, Argo CD's) and the end-to-end tests on a real kube-apiserver speak
through it, and the contract tests to both. It never retries: a refusal is something its caller has to see.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlencode

import urllib3

Json: TypeAlias = dict[str, Any]

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
_FIRST_REFUSAL = 300
MERGE_PATCH = "application/merge-patch+json"


class ApiError(Exception):
    """A refusal by the API server, in its own words; ``status`` 0 is a call that got no answer at all."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class ApiClient:
    """Calls by path, e.g. ``/api/v1/namespaces/demo/pods/web``. Safe to share between threads."""

    def __init__(self, base_url: str, token: str | None = None, ca_file: str | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = urllib3.PoolManager(
            maxsize=16,
            ca_certs=ca_file,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            retries=False,
        )

    def get(self, path: str) -> Json:
        """One object, or with a collection's path the whole List object."""
        return self._json("GET", path)

    def get_text(self, path: str) -> str:
        """An answer that is not JSON: a container's log."""
        return self._call("GET", path, None, None).decode("utf-8", errors="replace")

    def list(self, path: str, label_selector: str | None = None, field_selector: str | None = None) -> list[Json]:
        """The items of a collection. As the API server sends them: without apiVersion and kind."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        given = {name: text for name, text in query.items() if text is not None}
        answer = self._json("GET", path + ("?" + urlencode(given) if given else ""))
        items: list[Json] = answer.get("items") or []
        return items

    def watch(self, path: str, resource_version: str, seconds: int = 30) -> Iterator[tuple[str, Json]]:
        """What happens to a collection from that version on, by type and object, until ``seconds`` passed.

        An object of type BOOKMARK has a resourceVersion alone: up to there nothing else has happened.
        """
        wanted = {"watch": "1", "allowWatchBookmarks": "true"}
        query = urlencode({**wanted, "resourceVersion": resource_version, "timeoutSeconds": seconds})
        url = f"{self._base_url}{path}?{query}"
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds + READ_SECONDS)
        try:
            answer = self._pool.request("GET", url, headers=self._headers, preload_content=False, timeout=timeout)
            if answer.status >= _FIRST_REFUSAL:
                raise _refusal(answer.status, answer.read())
            with contextlib.closing(answer):
                rest = b""
                for chunk in answer.stream():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = json.loads(line)
                        yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiError(0, "Unreachable", f"watching {path}: {error}") from error

    def create(self, path: str, body: Mapping[str, Any]) -> Json:
        """POST to a collection (or to ``…/binding``)."""
        return self._json("POST", path, body)

    def create_or_patch(self, path: str, body: Mapping[str, Any]) -> None:
        """POST to a collection; where an object of that name is there, it is merged into it."""
        try:
            self.create(path, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            self.patch(f"{path}/{body['metadata']['name']}", body)

    def replace(self, path: str, body: Mapping[str, Any]) -> Json:
        """PUT; with ``metadata.resourceVersion`` in the body it is a compare-and-swap."""
        return self._json("PUT", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        """RFC 7386 merge patch: null deletes, a list is replaced whole."""
        return self._json("PATCH", path, body, MERGE_PATCH)

    def patch_status(self, path: str, body: Mapping[str, Any]) -> Json:
        """Merge patch of the object's status subresource; ``path`` is the object's own."""
        return self._json("PATCH", path + "/status", body, MERGE_PATCH)

    def delete(self, path: str, uid: str | None = None, grace_period_seconds: int | None = None) -> Json:
        """DELETE, of this one incarnation only where ``uid`` is given."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        return self._json("DELETE", path, options)

    def close(self) -> None:
        """Close the pooled connections."""
        self._pool.clear()

    def _json(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        raw = self._call(method, path, body, content_type if body is not None else None)
        try:
            answer = json.loads(raw)
        except ValueError as error:
            raise ApiError(0, "Malformed", f"{method} {path}: the answer is not JSON") from error
        if not isinstance(answer, dict):
            raise ApiError(0, "Malformed", f"{method} {path}: the answer is not an object")
        return answer

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, content_type: str | None) -> bytes:
        headers = dict(self._headers)
        if content_type is not None:
            headers["Content-Type"] = content_type
        payload = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(method, self._base_url + path, body=payload, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, "Unreachable", f"{method} {path}: {error}") from error
        if answer.status >= _FIRST_REFUSAL:
            raise _refusal(answer.status, answer.data)
        return answer.data


def _refusal(status: int, raw: bytes) -> ApiError:
    """The Status object of apimachinery, where there is one; else the text as it is."""
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and answer.get("kind") == "Status":
        return ApiError(status, str(answer.get("reason", "")), str(answer.get("message", "")))
    return ApiError(status, "", raw[:500].decode("utf-8", errors="replace"))
