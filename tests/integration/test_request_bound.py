"""One bound for a request, whatever it hangs in: servers and proxies that say nothing, or a byte now and then."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from hook.adapters.api import Api
from hook.adapters.attempt import within
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason, Tolerance
from lab.processes import wait_until

BOUND = 0.5
SLACK = 20.0
"""For a machine that is busy; what hangs here does so without end."""
PODS = "/api/v1/namespaces/default/pods"
NO_PODS = b'{"kind": "PodList", "apiVersion": "v1", "items": []}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Speech = Callable[[socket.socket, threading.Event], None]


def silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def trickling(head: bytes, drop: bytes) -> Speech:
    """Says the head at once, then a drop ten times a second, without end."""

    def speak(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.1):
            connection.sendall(drop)

    return speak


def whole(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(NO_PODS) + NO_PODS)
    over.wait()


SPEECHES = {
    "silent": silent,
    "status": trickling(b"", b"H"),
    "headers": trickling(HEAD, b"X-A: b\r\n"),
    "one header": trickling(HEAD + b"X-A: ", b"b"),
    "continue": trickling(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body": trickling(HEAD + b"Content-Length: 999999\r\n\r\n", b" "),
    "body without an end": trickling(HEAD + b"Connection: close\r\n\r\n", b" "),
    "chunks": trickling(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "chunk's length": trickling(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
}


@contextmanager
def peer(speak: Speech) -> Iterator[int]:
    """A server that reads a request's head and then speaks; yields its port."""
    over, threads = threading.Event(), []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            speak(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join()


def kubeconfig(folder: Path, url: str, **cluster: object) -> Path:
    path = folder / "kubeconfig"
    named = {"clusters": [{"name": "x", "cluster": {"server": url, **cluster}}], "users": [{"name": "x", "user": {}}]}
    context = {"current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}
    path.write_text(yaml.safe_dump(named | context))
    return path


def refused_in_time(path: Path) -> str:
    """What is found where a request hangs; it takes as long as one may, and nothing of it is left behind."""
    with closing(Api.connect(path, None, BOUND)) as api:
        began = time.monotonic()
        with pytest.raises(FindingError) as caught:
            api.list(PODS, {})
        assert time.monotonic() - began < BOUND + SLACK
        wait_until(lambda: "request" not in {thread.name for thread in threading.enumerate()}, 5, "its thread's end")
    finding = caught.value.finding
    assert finding.reason is Reason.API_UNREACHABLE
    assert finding.reason.tolerance is Tolerance.DEADLINE
    return f"{finding.detail} {finding.remedy}"


@pytest.mark.parametrize("speech", SPEECHES)
def test_a_server_that_hangs_is_left_when_a_requests_time_is_over(tmp_path: Path, speech: str) -> None:
    """A read's own timeout begins anew with each byte, so that such an answer never ended."""
    with peer(SPEECHES[speech]) as port:
        assert "timed out" in refused_in_time(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"))


@pytest.mark.parametrize("speech", SPEECHES)
def test_a_proxy_that_hangs_is_left_and_named(tmp_path: Path, speech: str) -> None:
    """In the tunnel to a server by TLS, as well as where it passes on a plain request."""
    with peer(SPEECHES[speech]) as port:
        for server in ("http://api.invalid", "https://api.invalid"):
            if server.startswith("https") and speech.startswith(("body", "chunk", "continue")):
                continue  # a tunnel's answer ends with its first headers
            said = refused_in_time(kubeconfig(tmp_path, server, **{"proxy-url": f"http://127.0.0.1:{port}"}))
            assert "timed out" in said
            assert f"127.0.0.1:{port}" in said
            assert "HTTPS_PROXY" in said
            assert "NO_PROXY" in said


def test_a_proxy_of_the_environment_is_named_without_its_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nothing listens there."""
    monkeypatch.setenv("HTTPS_PROXY", "http://svc:hunter2@127.0.0.1:1")
    said = refused_in_time(kubeconfig(tmp_path, "https://api.invalid"))
    assert "127.0.0.1:1" in said
    assert "NO_PROXY" in said
    assert "hunter2" not in said


@pytest.mark.parametrize("speech", ["silent", "status"])
def test_a_server_that_hangs_in_the_handshake_is_left(tmp_path: Path, speech: str) -> None:
    """TLS takes the bytes of a record as they come."""
    record = {"silent": silent, "status": trickling(b"\x16\x03\x03\x40\x00", b"\x02")}[speech]
    with peer(record) as port:
        assert "timed out" in refused_in_time(kubeconfig(tmp_path, f"https://127.0.0.1:{port}"))


def test_a_lookup_that_hangs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no timeout of its own: five seconds for each server and search domain of resolv.conf, twice."""
    over = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        over.wait(60)
        raise socket.gaierror

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with closing(Api.connect(kubeconfig(tmp_path, "http://api.invalid"), None, BOUND)) as api:
        began = time.monotonic()
        with pytest.raises(FindingError) as caught:
            api.list(PODS, {})
        assert time.monotonic() - began < BOUND + SLACK
        over.set()
    assert "timed out: no connection within 0.5 s" in caught.value.finding.detail


def test_a_connection_that_was_left_is_not_used_again(tmp_path: Path) -> None:
    """What is still to come of an answer must not be taken for the next one's."""
    answers = iter([SPEECHES["headers"], whole])

    def speak(connection: socket.socket, over: threading.Event) -> None:
        next(answers)(connection, over)

    with (
        peer(speak) as port,
        closing(Api.connect(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), None, BOUND)) as api,
    ):
        with pytest.raises(FindingError):
            api.list(PODS, {})
        assert api.list(PODS, {}) == []


def test_a_signal_ends_the_wait_for_an_answer(tmp_path: Path) -> None:
    """A run that is to stop is pulled out of a request by what its handler raises; the connection is closed then."""

    class PulledOut(BaseException):
        pass

    def pull(*_: object) -> None:
        raise PulledOut

    with ExitStack() as stack:
        port = stack.enter_context(peer(silent))
        api = stack.enter_context(closing(Api.connect(kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), None, 60)))
        before = signal.signal(signal.SIGALRM, pull)
        stack.callback(signal.signal, signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        began = time.monotonic()
        with pytest.raises(PulledOut):
            api.list(PODS, {})
        assert time.monotonic() - began < SLACK
        wait_until(lambda: "request" not in {thread.name for thread in threading.enumerate()}, 5, "its thread's end")


def test_work_that_is_done_in_time_returns_or_raises_what_it_does() -> None:
    """Nothing is changed by the bound."""
    assert within(5, lambda: 7) == 7
    with pytest.raises(KeyError, match="x"):
        within(5, lambda: dict[str, int]()["x"])
