"""HTTP to one foreign API: one request function, its timeout, and what keeps it from an answer as a finding.

Knows neither Kubernetes' objects nor Argo CD's. The official Kubernetes client speaks TLS and knows proxies; its own
repeating is switched off, since the loop is the one retry (by default it sends GET and DELETE up to four times,
uninterruptibly; facts, Kubernetes). It follows no redirect either.
"""

from __future__ import annotations

import json
import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn

import urllib3
import yaml
from kubernetes import client, config

from hook.adapters.attempt import within
from hook.adapters.pools import POOLS
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
        self._proxy_remedy = _proxy_remedy(client.rest_client.pool_manager)
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

        def ask() -> tuple[Any, bytes]:
            response = self._client.call_api(*request, _request_timeout=self._timeout)
            return response, _body(response.response)

        try:
            response, content = within(self._timeout[1], ask)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise NoAnswerError(self.unreachable(f"{method} {path}: {first_line(error)}")) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if self._proxy_remedy and re.search(r"Tunnel connection failed: 40[37]", str(error)):
                raise FindingError(self._refused_by_proxy(first_line(error))) from error
            raise FindingError(self.unreachable(f"{method} {path}: {first_line(error)}")) from error
        except client.ApiException as error:  # the client's own word for a TLS handshake that failed
            detail = f"{method} {path}: {' '.join(str(error.reason).split())}"
            refused = "certificate" in detail.lower()
            raise FindingError(self._distrust(detail) if refused else self.unreachable(detail)) from error
        except ValueError:  # its text is the header: the token
            detail = "its token is no fit content of a header"
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, self.about, detail)) from None
        if self._proxy_remedy and response.status == 407:  # noqa: PLR2004 -- Proxy Authentication Required
            raise FindingError(self._refused_by_proxy("407 Proxy Authentication Required"))
        self._note_time(response)
        return response.status, content

    def decoded(self, content: bytes) -> Any:  # noqa: ANN401 -- decoded JSON
        """Return what an answer says. Raises `FindingError` where it is no JSON."""
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise FindingError(self.unreachable("the answer is not JSON; is this the API server?")) from error

    def unreachable(self, detail: str) -> Finding:
        """Return that the server does not answer as it should."""
        return Finding(Reason.API_UNREACHABLE, self.about, detail, self._proxy_remedy or self._unreachable_remedy)

    def _refused_by_proxy(self, detail: str) -> Finding:
        return Finding(Reason.API_PROXY_UNUSABLE, self.about, detail)

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
        self._take_up_certificate()
        return (verb, url, {name: value.strip() for name, value in all_headers.items() if value}, *rest)

    def _take_up_certificate(self) -> None:
        """Use the client certificate of an exec plugin, which is known only now: the pools were made without it."""
        configuration, pools = self._client.configuration, self._client.rest_client.pool_manager
        files = {"cert_file": configuration.cert_file, "key_file": configuration.key_file}
        if configuration.cert_file and not files.items() <= pools.connection_pool_kw.items():
            pools.connection_pool_kw |= files
            pools.clear()


def _body(response: Any) -> bytes:  # noqa: ANN401 -- the client ships no types
    """Read all of an answer."""
    parts, size = [], 0
    while part := response.read1(65536, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > _MOST_BYTES:
            response.close()
            message = f"the answer has more than {_MOST_BYTES >> 20} MiB"
            raise OSError(message)
    return b"".join(parts)


def made_of(configuration: Any) -> Any:  # noqa: ANN401 -- the client ships no types
    """Return the client of a configuration, its own repeating switched off. Raises what is in ``UNUSABLE``."""
    configuration.retries = False
    proxy = configuration.proxy or ""
    if proxy and "://" not in proxy:
        proxy = configuration.proxy = f"http://{proxy}"  # as Go takes it
    if proxy.lower().startswith("socks"):
        _refuse_proxy(
            proxy, "a SOCKS proxy is not supported: set HTTPS_PROXY, or the kubeconfig's proxy-url, to one of HTTP"
        )
    try:
        made = client.ApiClient(configuration)
    except (urllib3.exceptions.HTTPError, ImportError) as error:
        _refuse_proxy(proxy, f"its address is none: {type(error).__name__}")  # the error's text has the address
    made.rest_client.pool_manager.pool_classes_by_scheme = POOLS
    return made


def _refuse_proxy(proxy: str, detail: str) -> NoReturn:
    about = f"proxy {proxy.rpartition('@')[2]}"
    raise FindingError(Finding(Reason.API_PROXY_UNUSABLE, about, detail)) from None


def _proxy_remedy(pools: urllib3.PoolManager) -> str:
    """Return what to do where requests go through a proxy: the cause is there as often as at the server."""
    if pools.proxy is None:
        return ""
    return (
        f"Requests go through the proxy {pools.proxy.netloc} (HTTPS_PROXY, or proxy-url of the kubeconfig): check that it "
        "answers and may reach this server. If the server is to be reached directly, add its name or address to NO_PROXY."
    )


def without_entries(error: Exception) -> str:
    """Return what is wrong with a file, without any of its content."""
    if isinstance(error, (config.ConfigException, OSError)):
        return re.sub(r"/\{.*", "", " ".join(str(error).split()))  # the client names an entry by all that is in it
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"not a kubeconfig{where}: {type(error).__name__}"


def first_line(error: BaseException) -> str:
    """Return an error's text without the object addresses that urllib3 puts in front."""
    text = " ".join(str(error).split())
    return text.rpartition(">: ")[2] or type(error).__name__
