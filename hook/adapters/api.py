"""The Kubernetes API over HTTP: its credentials, its errors translated. Knows no kind of object.

Objects stay plain JSON: building typed models of whole pods would cost more than all else in a turn.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hook.adapters import refusals
from hook.adapters.answers import Answer
from hook.adapters.connection import Connection, made_of
from hook.adapters.kubeconfig import load
from hook.observation.findings import FindingError, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from hook.adapters.helpers import Renewed

_MERGE_PATCH = "application/merge-patch+json"
_TRUST = "Set the certificate authority and the client certificate in the kubeconfig as this server wants them."


_SHOWN_CHARACTERS = 200
"""Of an answer that is not the API's own: a page."""


class ApiError(Exception):
    """404 or 409: the object is not there, or somebody was faster; what that means is the caller's to say."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Carry what the API said."""
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """One API server."""

    def __init__(self, connection: Connection, renewed: Renewed | None = None) -> None:
        """Speak through a connection, whose credentials something may renew."""
        self._connection = connection
        self._renewed = renewed

    @classmethod
    def connect(
        cls,
        kubeconfig: Path | None,
        context: str | None,
        timeout_seconds: float,
        learn: Callable[[Iterable[str]], None] = lambda _: None,
    ) -> Api:
        """Load a kubeconfig, else the pod's service account, else the user's own kubeconfig; contact nothing.

        What is secret of them is told to ``learn``. Raises `FindingError` when there are no usable credentials.
        """
        credentials = load(kubeconfig, context, learn)
        connected = made_of(credentials.configuration)
        address = credentials.configuration.host.rpartition("@")[2]  # what stands before an @ is a password
        return cls(Connection(connected, f"Kubernetes API {address}", timeout_seconds, _TRUST), credentials.renewed)

    @property
    def server_time(self) -> datetime | None:
        """Return when it answered last, by its own clock: the one that an object's creation is told by."""
        return self._connection.server_time

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return an object. Raises `ApiError` and `FindingError`, as all of these do."""
        return self._json(self._send("GET", path))

    def list(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the items of a collection. Raises `FindingError` alone: a collection is there even when it is empty."""
        try:
            listed = self._json(self._send("GET", path, query))
        except ApiError as error:
            detail = f"GET {path}: {error}; is this the API server?"
            raise FindingError(self._connection.unreachable(detail)) from error
        return [item.object() for item in Answer(listed, f"GET {path}")["items"]]

    def text(self, path: str, query: Mapping[str, str]) -> str:
        """Return a log."""
        return self._send("GET", path, query).decode(errors="replace")

    def merge_patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Merge ``body`` into an object; with ``metadata.resourceVersion`` in it this is a compare-and-swap."""
        return self._json(self._send("PATCH", path, body=body, content_type=_MERGE_PATCH))

    def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object in a collection."""
        return self._json(self._send("POST", path, body=body, content_type="application/json"))

    def delete(self, path: str, uid: str) -> None:
        """Delete the object that has this uid, and no successor of the same name."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        self._send("DELETE", path, body=body, content_type="application/json")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> bytes:
        headers = {"Content-Type": content_type} if content_type else {}
        status, content = self._connection.send(method, path, query, body, headers)
        if 200 <= status < 300:  # noqa: PLR2004 -- HTTP's success
            return content
        if status == 401 and self._renewed is not None:  # noqa: PLR2004 -- HTTP's Unauthorized
            self._renewed.forget()
        raise self._error(status, content, f"{method} {path}")

    def _json(self, content: bytes) -> dict[str, Any]:
        decoded = self._connection.decoded(content)
        if not isinstance(decoded, dict) or "kind" not in decoded:
            detail = "the answer is not an object of the API; is this the API server?"
            raise FindingError(self._connection.unreachable(detail))
        return decoded

    def _error(self, status: int, content: bytes, request: str) -> Exception:
        """Translate an error status: what any caller would say alike becomes a finding, the rest is the caller's."""
        about = self._connection.about
        try:
            said = Answer(json.loads(content), about)
            message, reason = said["message"].text(), said["reason"].text()
        except (ValueError, RecursionError, FindingError):
            message, reason = shortened(content.decode(errors="replace"), _SHOWN_CHARACTERS), ""
        message = " ".join(message.split())
        if status in {404, 409} and refusals.denier(message) is None:
            return ApiError(status, reason, message)
        return FindingError(refusals.finding(about, status, reason, message, request))
