"""HTTP to one foreign API: one request function, its timeout, and what keeps it from an answer as a finding.

Knows neither Kubernetes' objects nor Argo CD's. The official Kubernetes client speaks TLS and knows proxies; its own
repeating is switched off, since the loop is the one retry (by default it sends GET and DELETE up to four times,
uninterruptibly; facts, Kubernetes). It follows no redirect either.
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

from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

UNUSABLE = (
    config.ConfigException, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, ImportError,
    yaml.YAMLError, urllib3.exceptions.HTTPError,
)  # fmt: skip
"""What the client raises on a file that is no kubeconfig, a token that is not there, a proxy or an issuer that is no use."""

_MOST_BYTES = 64 * 1024 * 1024
"""More than any list in one namespace; what never ends is no answer."""


class NoAnswerError(FindingError):
    """No answer came in time: the request may have been carried out, or be under way."""


class Connection:
    """One server. ``about`` names it in findings, ``trust_remedy`` says how to have it trusted."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401 -- the client ships no types
        about: str,
        timeout_seconds: float,
        trust_remedy: str,
        unreachable_remedy: str = "",
    ) -> None:
        """Use a client that is configured; contact nothing."""
        self._client = client
        self.about = about
        self._timeout = (timeout_seconds, timeout_seconds)
        self._trust_remedy = trust_remedy
        self._unreachable_remedy = unreachable_remedy
        self.server_time: datetime | None = None
        """When it answered last, by its own clock: the one that an object's creation is told by."""

    def close(self) -> None:
        """Close the connections."""
        self._client.rest_client.close()

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Return an answer's status and content. Raises `FindingError`; `NoAnswerError` where it only took too long."""
        request = self._request(method, path, query, body, headers or {})
        try:
            response = self._client.call_api(*request, _request_timeout=self._timeout)
            content = self._body(response.response)
            self._note_time(response)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise NoAnswerError(self.unreachable(f"{method} {path}: {_first_line(error)}")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise FindingError(self.unreachable(f"{method} {path}: {_first_line(error)}")) from error
        except client.ApiException as error:  # the client's own word for a TLS handshake that failed
            detail = f"{method} {path}: {' '.join(str(error.reason).split())}"
            refused = "certificate" in detail.lower()
            raise FindingError(self._distrust(detail) if refused else self.unreachable(detail)) from error
        except ValueError:  # its text is the header: the token
            detail = "its token is no fit content of a header"
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, self.about, detail)) from None
        return response.status, content

    def decoded(self, content: bytes) -> Any:  # noqa: ANN401 -- decoded JSON
        """Return what an answer says. Raises `FindingError` where it is no JSON."""
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise FindingError(self.unreachable("the answer is not JSON; is this the API server?")) from error

    def unreachable(self, detail: str) -> Finding:
        """Return that the server does not answer as it should."""
        return Finding(Reason.API_UNREACHABLE, self.about, detail, self._unreachable_remedy)

    def _distrust(self, detail: str) -> Finding:
        return Finding(Reason.API_LOGIN_REFUSED, self.about, detail, self._trust_remedy)

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
        headers: Mapping[str, str],
    ) -> tuple[Any, ...]:
        """Return what the client sends. It reads the token's file anew every minute, and keeps the file's last newline."""
        wanted = {"Accept": "application/json", **headers}
        try:
            verb, url, all_headers, *rest = self._client.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=wanted, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
        except UNUSABLE as error:
            detail = f"its token cannot be read anew: {without_entries(error)}"
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, self.about, detail)) from None
        return (verb, url, {name: value.strip() for name, value in all_headers.items()}, *rest)

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


def made_of(configuration: Any) -> Any:  # noqa: ANN401 -- the client ships no types
    """Return the client of a configuration, its own repeating switched off. Raises what is in ``UNUSABLE``."""
    configuration.retries = False
    if configuration.proxy and "://" not in configuration.proxy:
        configuration.proxy = f"http://{configuration.proxy}"  # as Go takes it
    if (configuration.proxy or "").lower().startswith("socks"):
        message = "a SOCKS proxy is not supported; set HTTPS_PROXY, or the kubeconfig's proxy-url, to one of HTTP"
        raise config.ConfigException(message)
    return client.ApiClient(configuration)


def without_entries(error: Exception) -> str:
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


def _first_line(error: BaseException) -> str:
    """Return an error's text without the object addresses that urllib3 puts in front."""
    text = _without_logins(" ".join(str(error).split()))
    return text.rpartition(">: ")[2] or type(error).__name__


def _without_logins(text: str) -> str:
    """Return the text without what stands before the @ of an address."""
    return re.sub(r"//[^/\s]*@", "//***@", text)
