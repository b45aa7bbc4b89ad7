"""``/containerLogs``: where the API server gets a container's log from, over TLS.

Knows the request and a source of log files. Statuses and words are those of ``getContainerLogs`` in
pkg/kubelet/server/server.go and ``validateContainerLogStatus`` in pkg/kubelet/kubelet_pods.go (Kubernetes v1.36.1).
"""

import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self, TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit

from lab.kubelet.container import Logs
from lab.processes import free_port

LogsOfPod: TypeAlias = Callable[[str, str], Mapping[str, Logs] | None]
"""The files by container of a pod by namespace and name, None if there is none."""

_PATH = re.compile(r"/containerLogs/([^/]+)/([^/]+)/([^/]+)")
_UNDONE = ("follow", "sinceTime", "sinceSeconds", "timestamps")
_PULLS = {"ErrImagePull": "image can't be pulled", "ImagePullBackOff": "trying and failing to pull image"}


@dataclass(frozen=True)
class Query:
    """What is honoured of ``PodLogOptions``."""

    previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None


class LogServer:
    """Serves on a free port of 127.0.0.1."""

    def __init__(self, logs: LogsOfPod, certificate: Path, key: Path) -> None:
        self.port = free_port()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(logs))
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake is the connection's own thread's business, at its first read.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, name="kubelet-logs", daemon=True)

    def start(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End. A second time does nothing."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def read(files: Logs, query: Query) -> bytes | None:
    """The last lines, and of those the first bytes. None where there is no such run."""
    file = files.previous if query.previous else files.current
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    if query.tail_lines is not None:
        lines = content.splitlines(keepends=True)
        content = b"".join(lines[max(0, len(lines) - query.tail_lines) :])
    return content if query.limit_bytes is None else content[: query.limit_bytes]


def answer(logs: LogsOfPod, target: str) -> tuple[HTTPStatus, bytes]:  # noqa: PLR0911 - each refusal has its words
    """Of a GET of ``target``."""
    split = urlsplit(target)
    match = _PATH.fullmatch(split.path)
    if match is None:
        return HTTPStatus.NOT_FOUND, b"404 page not found\n"
    namespace, pod, container = (unquote(part) for part in match.groups())
    given = {name: values[-1] for name, values in parse_qs(split.query).items()}
    undone = [name for name in _UNDONE if given.get(name, "false") != "false"]
    if undone:
        return HTTPStatus.BAD_REQUEST, f"the process kubelet has no {', '.join(undone)}".encode()
    files = logs(namespace, pod)
    if files is None:
        return HTTPStatus.NOT_FOUND, f'pod "{pod}" does not exist'.encode()
    if container not in files:
        return HTTPStatus.NOT_FOUND, f'container "{container}" not found in pod "{pod}"'.encode()
    try:
        query = Query(given.get("previous") == "true", _number(given, "tailLines"), _number(given, "limitBytes"))
    except ValueError:
        return HTTPStatus.BAD_REQUEST, b'{"message": "Unable to decode query."}'
    content = read(files[container], query)
    if content is not None:
        return HTTPStatus.OK, content
    shown = f'container "{container}" in pod "{pod}"'
    if query.previous:
        return HTTPStatus.BAD_REQUEST, f"previous terminated {shown} not found".encode()
    reason = files[container].waiting
    return HTTPStatus.BAD_REQUEST, f"{shown} is waiting to start: {_PULLS.get(reason, reason)}".encode()


def _number(given: Mapping[str, str], name: str) -> int | None:
    return int(given[name]) if name in given else None


def _handler(logs: LogsOfPod) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def do_GET(self) -> None:
            status, content = answer(logs, self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name for it
            """Not on standard error."""

    return Handler
