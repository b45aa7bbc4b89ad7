"""Stands between one client and an API server, and counts: requests, and bytes of answers. Changes nothing of either."""

from __future__ import annotations

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import urllib3

from lab.fake_api import Request, Requests

if TYPE_CHECKING:
    from pathlib import Path

_OF_THIS_CONNECTION = frozenset({"connection", "host", "transfer-encoding"})
_SECONDS = 30.0


class CountingProxy:
    """Listens on a free port of loopback, without TLS, as a context manager."""

    def __init__(self, api_server: str, ca_file: Path, requests: Requests | None = None) -> None:
        """Stand before this URL; ``requests`` is what another one counts into, too."""
        self.requests = Requests() if requests is None else requests
        pool = urllib3.PoolManager(ca_certs=str(ca_file), timeout=_SECONDS, retries=False, maxsize=8)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, api_server, pool, self.requests))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, api_server: str, pool: urllib3.PoolManager, requests: Requests, *connection: Any) -> None:
        self._api_server, self._pool, self._requests = api_server, pool, requests
        super().__init__(*connection)

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THIS_CONNECTION}
        answer = self._pool.request(
            self.command, self._api_server + self.path, body=body or None, headers=headers, decode_content=False
        )
        self._requests.add(
            Request(self.command, self.path.partition("?")[0], "gate", answer.status, len(body), len(answer.data))
        )
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_THIS_CONNECTION | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.data)))
        self.end_headers()
        self.wfile.write(answer.data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""
