"""The Kubernetes API over HTTP: one request function, its timeout, its errors translated. Knows no kind of object.

The official client loads the credentials and speaks TLS; its own repeating is switched off, since the loop is the one
retry (by default it sends GET and DELETE up to four times, uninterruptibly; facts, Kubernetes). Objects stay plain JSON:
building typed models of whole pods would cost more than all else in a turn.
"""

from __future__ import annotations

import json
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import urllib3
import yaml
from kubernetes import client, config

from hook.adapters import refusals
from hook.adapters.answers import Answer
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_MERGE_PATCH = "application/merge-patch+json"
_UNUSABLE = (
    config.ConfigException, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, ImportError,
    yaml.YAMLError, urllib3.exceptions.HTTPError,
)  # fmt: skip
"""What the client raises on a file that is no kubeconfig, a token that is not there, a proxy or an issuer that is no use."""

_MOST_BYTES = 64 * 1024 * 1024
"""More than any list in one namespace; what never ends is no answer."""


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

    def __init__(self, client: Any, about: str, timeout_seconds: float) -> None:  # noqa: ANN401 -- the client ships no types
        """Use a client that is configured; ``about`` names the server in findings."""
        self._client = client
        self._about = about
        self._timeout = (timeout_seconds, timeout_seconds)
        self.server_time: datetime | None = None
        """When it answered last, by its own clock: the one that an object's creation is told by."""

    @classmethod
    def connect(cls, kubeconfig: Path | None, context: str | None, timeout_seconds: float) -> Api:
        """Load a kubeconfig, else the pod's service account, else the user's own kubeconfig; contact nothing.

        Raises `FindingError` when there are no usable credentials.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig is None and context is None:
                try:
                    config.load_incluster_config(client_configuration=configuration)
                except config.ConfigException:
                    config.load_kube_config(client_configuration=configuration, persist_config=False)
            else:
                config.load_kube_config(
                    str(kubeconfig) if kubeconfig else None, context, configuration, persist_config=False
                )
            configuration.retries = False
            if configuration.proxy and "://" not in configuration.proxy:
                configuration.proxy = f"http://{configuration.proxy}"  # as Go takes it
            if (configuration.proxy or "").lower().startswith("socks"):
                message = (
                    "a SOCKS proxy is not supported; set HTTPS_PROXY, or the kubeconfig's proxy-url, to one of HTTP"
                )
                raise config.ConfigException(message)
            connected = client.ApiClient(configuration)
        except _UNUSABLE as error:
            named = f"{kubeconfig}: " if kubeconfig else ""
            detail = f"no usable kubeconfig or service account: {named}{_without_entries(error)}"
            # Not chained: the client's own text quotes whole entries of the file, tokens included.
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, "Kubernetes API", detail)) from None
        address = configuration.host.rpartition("@")[2]  # what stands before an @ is a password
        return cls(connected, f"Kubernetes API {address}", timeout_seconds)

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.close()

    def get(self, path: str) -> dict[str, Any]:
        """Return an object. Raises `ApiError` and `FindingError`, as all of these do."""
        return self._json(self._send("GET", path))

    def list(self, path: str, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the items of a collection. Raises `FindingError` alone: a collection is there even when it is empty."""
        try:
            listed = self._json(self._send("GET", path, query))
        except ApiError as error:
            raise FindingError(self._unreachable(f"GET {path}: {error}; is this the API server?")) from error
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
        request = self._request(method, path, query, body, content_type)
        try:
            response = self._client.call_api(*request, _request_timeout=self._timeout)
            content = self._body(response.response)
            self._note_time(response)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FindingError(self._unreachable(f"{method} {path}: {_first_line(error)}")) from error
        except client.ApiException as error:  # the client's own word for a TLS handshake that failed
            detail = f"{method} {path}: {' '.join(str(error.reason).split())}"
            refused = "certificate" in detail.lower()
            raise FindingError(self._distrust(detail) if refused else self._unreachable(detail)) from error
        except ValueError:  # its text is the header: the token
            detail = "its token is no fit content of a header"
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, self._about, detail)) from None
        if 200 <= response.status < 300:  # noqa: PLR2004 -- HTTP's success
            return content
        raise self._error(response.status, content, f"{method} {path}")

    def _note_time(self, response: Any) -> None:  # noqa: ANN401 -- the client ships no types
        try:
            told = parsedate_to_datetime(response.getheader("Date") or "")
        except ValueError:
            return
        self.server_time = told.astimezone(UTC)

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str | None,
    ) -> tuple[Any, ...]:
        """Return what the client sends. It reads the token's file anew every minute, and keeps the file's last newline."""
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        try:
            verb, url, headers, *rest = self._client.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
        except _UNUSABLE as error:
            detail = f"its token cannot be read anew: {_without_entries(error)}"
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, self._about, detail)) from None
        return (verb, url, {name: value.strip() for name, value in headers.items()}, *rest)

    def _body(self, response: Any) -> bytes:  # noqa: ANN401 -- the client ships no types
        """Read all of an answer within the time of a request: a read's own timeout begins anew with each byte."""
        until = time.monotonic() + self._timeout[1]
        parts, size = [], 0
        while part := response.read1(65536, decode_content=True):
            parts.append(part)
            size += len(part)
            if time.monotonic() > until or size > _MOST_BYTES:
                response.close()
                message = f"the answer was not complete within {self._timeout[1]:g} s and {_MOST_BYTES >> 20} MiB"
                raise TimeoutError(message)
        return b"".join(parts)

    def _json(self, content: bytes) -> dict[str, Any]:
        try:
            decoded = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise FindingError(self._unreachable("the answer is not JSON; is this the API server?")) from error
        if not isinstance(decoded, dict) or "kind" not in decoded:
            raise FindingError(self._unreachable("the answer is not an object of the API; is this the API server?"))
        return decoded

    def _error(self, status: int, content: bytes, request: str) -> Exception:
        """Translate an error status: what any caller would say alike becomes a finding, the rest is the caller's."""
        try:
            said = Answer(json.loads(content), self._about)
            message, reason = said["message"].text(), said["reason"].text()
        except (ValueError, RecursionError, FindingError):
            message, reason = shortened(content.decode(errors="replace"), _SHOWN_CHARACTERS), ""
        message = " ".join(message.split())
        if status in {404, 409} and refusals.denier(message) is None:
            return ApiError(status, reason, message)
        return FindingError(refusals.finding(self._about, status, reason, message, request))

    def _distrust(self, detail: str) -> Finding:
        remedy = "Set the certificate authority and the client certificate in the kubeconfig as this server wants them."
        return Finding(Reason.API_LOGIN_REFUSED, self._about, detail, remedy)

    def _unreachable(self, detail: str) -> Finding:
        return Finding(Reason.API_UNREACHABLE, self._about, detail)


def _first_line(error: BaseException) -> str:
    """Return an error's text without the object addresses that urllib3 puts in front."""
    text = _without_logins(" ".join(str(error).split()))
    return text.rpartition(">: ")[2] or type(error).__name__


def _without_entries(error: Exception) -> str:
    """Return what is wrong with a file, without any of its content."""
    if isinstance(error, (urllib3.exceptions.HTTPError, ImportError)):
        return (
            f"the proxy or the issuer of its tokens cannot be used: {type(error).__name__}"  # its text has the address
        )
    if isinstance(error, (config.ConfigException, OSError)):
        return re.sub(r"/\{.*", "", " ".join(str(error).split()))  # the client names an entry by all that is in it
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"not a kubeconfig{where}: {type(error).__name__}"


def _without_logins(text: str) -> str:
    """Return the text without what stands before the @ of an address."""
    return re.sub(r"//[^/\s]*@", "//***@", text)
