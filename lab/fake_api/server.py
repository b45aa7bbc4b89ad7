"""The stand-in for the Kubernetes API server: HTTP on loopback.

It knows the request pipeline (fault, authentication, authorization, the verb on the store) and pod logs. It offers no
watch, no discovery, no server-side apply, no dry run, no deletion but in the background, and of patches the merge patch
alone: whoever asks for these is refused. ``limit`` on a list is ignored, as a server may. Whoever polls it is served as by
the real one.
"""

import contextlib
import json
import logging
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import yaml

from lab.api_client import ApiClient
from lab.fake_api import faults, selectors
from lab.fake_api.access import Access, Attributes, Rule
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

log = logging.getLogger(__name__)

Json = dict[str, Any]
_MERGE_PATCH = "application/merge-patch+json"
_JSON = "application/json"
_VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.1-stand-in", "platform": "python/http.server"}
_IDLE_SECONDS = 90.0


class _Body:
    """A request's body, decoded only by the verb that wants it."""

    def __init__(self, headers: Mapping[str, str], content: bytes) -> None:
        self._headers = headers
        self.content = content

    def document(self, media_type: str) -> Json:
        return _document(self._headers, self.content, media_type)


class FakeApi:
    """One server with its objects. A context manager; it may be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.faults = faults.Faults()
        self.requests = faults.Requests()
        self._access = Access()
        self._store = Store()
        self._log_source: LogSource | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it listens, once it was started."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Listen on a free port, or on the one it had before."""
        self._server = _Server(("127.0.0.1", self._port), self)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake-api", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every connection; the objects stay."""
        if self._server is None or self._thread is None:
            return
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._thread.join()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

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
        """Whose token a request carries."""
        return self._access.user_of(headers.get("Authorization"))

    def answer(
        self, user: str | None, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        """The status and the body for one request: all of the pipeline behind the faults."""
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], api: "FakeApi") -> None:
        super().__init__(address, _Handler)
        self.api = api
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def opened(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def drop_connections(self) -> None:
        """Wake the threads that wait for a next request on a kept connection."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """A client that went away is its own affair."""
        log.debug("connection from %s broke: %r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a kept connection waits 40 ms for each delayed acknowledgement
    wbufsize = -1
    timeout = _IDLE_SECONDS
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The record of requests is kept in ``FakeApi.requests``."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        api = self.server.api
        headers = {name.title(): value for name, value in self.headers.items()}
        user = api.user_of(headers)
        fault = api.faults.take(self.command, self.path, user)
        status, content = self._outcome(fault, user, headers, body)
        payload = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        sent = payload[: len(payload) // 2] if isinstance(fault, faults.DropAnswer) else payload
        # Recorded before it is sent, so that a client that has its answer finds it counted.
        api.requests.add(faults.Request(self.command, self.path, user, status, length, len(sent)))
        if status:
            media_type = "text/plain; charset=utf-8" if isinstance(content, str) else _JSON
            self._send(status, media_type, sent, len(payload), fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _outcome(
        self, fault: faults.Fault | None, user: str | None, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Json | str]:
        match fault:
            case faults.Refuse(status):
                return status, RefusalError(status, f"injected: {self.command} {self.path}").body()
            case faults.Malformed():
                return 200, '{"kind": "Pod'
            case faults.Drop():
                self.close_connection = True
                return 0, ""
            case faults.Hang(seconds):
                self.server.stopping.wait(seconds)
                self.close_connection = True
                return 0, ""
            case faults.DropAnswer():
                self.close_connection = True
        try:
            return self.server.api.answer(user, self.command, self.path, headers, body)
        except Exception as error:
            log.exception("the stand-in has a defect")
            return 500, RefusalError(500, f"Internal error occurred: {error!r}").body()

    def _send(self, status: int, media_type: str, sent: bytes, promised: int, fault: faults.Fault | None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(promised))
        if isinstance(fault, faults.Refuse) and fault.retry_after is not None:
            self.send_header("Retry-After", str(fault.retry_after))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
