"""The API's adapter against the fake API server and what it injects, and against small servers for what that never says."""

import json
import re
import ssl
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme
import yaml
from kubernetes.config import incluster_config

from hook.adapters.api import Api, ApiError
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason, Tolerance
from lab.fake_api import Drop, DropAnswer, FakeApi, Fault, Hang, Malformed, Refuse
from lab.processes import free_port, wait_until

Json = dict[str, Any]

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SECONDS = 2.0
SECRET = "token-for-nobodys-eyes"
NO_PODS = json.dumps({"kind": "PodList", "apiVersion": "v1", "items": []}).encode()


@pytest.fixture
def server() -> Iterator[FakeApi]:
    with FakeApi() as found:
        found.add_user("admin", admin=True)
        found.add_user("gate", admin=True)
        yield found


@pytest.fixture
def api(server: FakeApi, tmp_path: Path) -> Iterator[Api]:
    with closing(Api.connect(server.write_kubeconfig(tmp_path / "gate", "gate"), None, SECONDS)) as found:
        yield found


def refusal(ask: Callable[[], object]) -> Finding:
    """The finding of something that must fail, free of every token, and so is what a traceback would show."""
    with pytest.raises(FindingError) as caught:
        ask()
    finding = caught.value.finding
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{finding}{finding.remedy}{shown}"
    return finding


def kubeconfig(path: Path, url: str, user: object, **cluster: object) -> Path:
    context = {"cluster": "here", "user": "gate"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
        "contexts": [{"name": "here", "context": context}],
        "users": [{"name": "gate", "user": user}],
    }
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def asked_once(path: Path) -> Finding:
    """What one request of a client of its own says."""
    with closing(Api.connect(path, None, SECONDS)) as api:
        return refusal(lambda: api.get(PODS))


# --- what the API server says -------------------------------------------------------------------------------------


def test_an_object_a_list_and_a_log_are_plain_json_and_text(server: FakeApi, api: Api) -> None:
    """A label selector goes along; a query is encoded."""
    made = api.create(CONFIG_MAPS, {"metadata": {"name": "a", "labels": {"app": "x"}}})
    api.create(CONFIG_MAPS, {"metadata": {"name": "b"}})
    assert api.get(f"{CONFIG_MAPS}/a") == made
    assert [each["metadata"]["name"] for each in api.list(CONFIG_MAPS, {"labelSelector": "app in (x,y)"})] == ["a"]
    spec = {"nodeName": "node", "containers": [{"name": "main", "image": "x"}]}
    api.create(PODS, {"metadata": {"name": "web"}, "spec": spec})
    server.serve_logs_from(lambda *_: b"caf\xc3\xa9 \xff\n")
    assert api.text(f"{PODS}/web/log", {"container": "main"}) == "café \N{REPLACEMENT CHARACTER}\n"


def test_a_token_that_nobody_knows_is_a_refused_login(server: FakeApi, tmp_path: Path) -> None:
    """401: waited for the grace, since a Secret may be on its way; an expired token gets the same."""
    finding = asked_once(kubeconfig(tmp_path / "k", server.url, {"token": SECRET}))
    assert finding == Finding(Reason.API_LOGIN_REFUSED, f"Kubernetes API {server.url}", "Unauthorized")
    assert finding.reason.tolerance is Tolerance.GRACE


def test_a_forbidden_verb_is_told_in_the_apis_own_words(server: FakeApi, tmp_path: Path) -> None:
    """403: verb, resource and namespace are in the message, so that a person can grant them."""
    server.add_user("poor")
    with closing(Api.connect(server.write_kubeconfig(tmp_path / "k", "poor"), None, SECONDS)) as api:
        for ask, verb, resource in (
            (lambda: api.list(PODS, {}), "list", "pods"),
            (lambda: api.text(f"{PODS}/web/log", {}), "get", "pods/log"),
            (lambda: api.delete(f"{PODS}/web", "uid"), "delete", "pods"),
            (lambda: api.create(CONFIG_MAPS, {}), "create", "configmaps"),
            (lambda: api.merge_patch(f"{CONFIG_MAPS}/a", {}), "patch", "configmaps"),
        ):
            finding = refusal(ask)
            assert finding.reason is Reason.API_FORBIDDEN
            assert f'cannot {verb} resource "{resource}" in API group "" in the namespace "default"' in finding.detail


def test_404_and_409_are_the_callers_to_judge(api: Api) -> None:
    """The status, the reason and the message as the API says them."""
    with pytest.raises(ApiError) as caught:
        api.get(f"{PODS}/web")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (404, "NotFound", 'pods "web" not found')
    api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    with pytest.raises(ApiError) as caught:
        api.merge_patch(f"{CONFIG_MAPS}/a", {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}})
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")
    assert "data" not in api.get(f"{CONFIG_MAPS}/a")


def test_a_path_that_is_not_served_has_no_reason(api: Api) -> None:
    """What an API server without that kind says; the adapter of Applications tells them apart by it."""
    with pytest.raises(ApiError) as caught:
        api.get("/nowhere")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (404, "", "404 page not found")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Refuse(429, retry_after=3), "429 TooManyRequests: injected"),
        (Refuse(500), "500 InternalError: injected"),
        (Refuse(503, retry_after=1), "503 ServiceUnavailable: injected"),
        (Drop(), "Connection aborted"),
        (DropAnswer(), "Connection broken: IncompleteRead"),
        (Malformed(), "is not JSON"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "POST"])
def test_a_server_in_trouble_is_asked_once_and_waited_for(
    server: FakeApi, api: Api, method: str, fault: Fault, said: str
) -> None:
    """Whatever it says of retrying: the loop is the one retry, and a request that hangs could not be stopped."""
    made = api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})
    path = f"{CONFIG_MAPS}/a"
    asks: dict[str, Callable[[], object]] = {
        "GET": lambda: api.get(path),
        "DELETE": lambda: api.delete(path, made["metadata"]["uid"]),
        "PATCH": lambda: api.merge_patch(path, {}),
        "POST": lambda: api.create(CONFIG_MAPS, {"metadata": {"name": "b"}}),
    }
    server.faults.plan(method, "/configmaps", fault, count=9)
    server.requests.clear()
    if (method, fault) == ("DELETE", Malformed()):
        api.delete(path, made["metadata"]["uid"])  # its answer is not looked at: the next turn is
    else:
        finding = refusal(asks[method])
        assert finding.reason is Reason.API_UNREACHABLE
        assert finding.reason.tolerance is Tolerance.DEADLINE
        assert said in finding.detail
    assert [request.method for request in server.requests.by("gate")] == [method]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_hanging_server_is_left_at_the_timeout(server: FakeApi, tmp_path: Path, method: str) -> None:
    """After one timeout and one request."""
    server.faults.plan(method, PODS, Hang(30), count=9)
    with closing(Api.connect(server.write_kubeconfig(tmp_path / "k", "gate"), None, 0.3)) as api:
        began = time.monotonic()
        finding = refusal(lambda: api.list(PODS, {}) if method == "GET" else api.delete(f"{PODS}/web", "uid"))
        assert 0.3 <= time.monotonic() - began < 20
    assert finding.reason is Reason.API_UNREACHABLE
    assert "timed out" in finding.detail
    assert server.faults.left == 8


def test_a_connection_that_is_not_taken_is_left_at_the_timeout(tmp_path: Path) -> None:
    """A server whose queue is full answers no SYN, as a lost node does."""
    port = free_port()
    listener = ThreadingHTTPServer(("127.0.0.1", port), _Nothing, bind_and_activate=False)
    listener.request_queue_size = 0
    with closing(listener.socket):
        listener.server_bind()
        listener.server_activate()
        path = kubeconfig(tmp_path / "k", f"http://127.0.0.1:{port}", {"token": SECRET})
        apis = [Api.connect(path, None, 0.3) for _ in range(3)]
        began = time.monotonic()
        findings = [refusal(lambda api=api: api.get(PODS)) for api in apis]  # type: ignore[misc]
        assert time.monotonic() - began < 20
        for api in apis:
            api.close()
    assert {finding.reason for finding in findings} == {Reason.API_UNREACHABLE}
    assert all("timed out" in finding.detail for finding in findings)


def test_after_its_trouble_the_server_is_asked_again(server: FakeApi, api: Api) -> None:
    """A broken connection, and an API server that restarted, do not stay in the pool."""
    for fault in (Drop(), DropAnswer(), Malformed(), Refuse(503)):
        server.faults.plan("GET", PODS, fault)
        refusal(lambda: api.list(PODS, {}))
        assert api.list(PODS, {}) == []
    server.stop()
    assert "Connection refused" in refusal(lambda: api.list(PODS, {})).detail
    server.start()
    assert api.list(PODS, {}) == []


def test_a_lost_answer_is_no_lost_write(server: FakeApi, api: Api) -> None:
    """It is unreachable to whoever wrote, and done: only looking again can tell."""
    server.faults.plan("POST", CONFIG_MAPS, DropAnswer())
    assert refusal(lambda: api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})).reason is Reason.API_UNREACHABLE
    assert api.get(f"{CONFIG_MAPS}/a")


def test_a_deletion_spares_the_successor_of_the_same_name(server: FakeApi, api: Api) -> None:
    """It carries the uid, and the API refuses with 409 where another has the name by now."""
    first = api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})["metadata"]["uid"]
    api.delete(f"{CONFIG_MAPS}/a", first)
    second = api.create(CONFIG_MAPS, {"metadata": {"name": "a"}})["metadata"]["uid"]
    with pytest.raises(ApiError) as caught:
        api.delete(f"{CONFIG_MAPS}/a", first)
    assert caught.value.status == 409
    assert api.get(f"{CONFIG_MAPS}/a")["metadata"]["uid"] == second
    with closing(server.client("admin")) as admin:
        admin.delete(f"{CONFIG_MAPS}/a")
    with pytest.raises(ApiError) as caught:
        api.delete(f"{CONFIG_MAPS}/a", second)
    assert caught.value.status == 404


# --- what is no API server ----------------------------------------------------------------------------------------


class _Nothing(BaseHTTPRequestHandler):
    """Never handles anything."""


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a handshake that the client broke off."""


class Peer:
    """A server that says one thing to all, and remembers by which token and on how many connections it was asked."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.tokens: list[str | None] = []
        self.opened = 0
        self.closed = 0
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20

            def setup(self) -> None:
                super().setup()
                peer.opened += 1

            def finish(self) -> None:
                super().finish()
                peer.closed += 1

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
                pass

            def do_GET(self) -> None:
                peer.tokens.append(self.headers["Authorization"])
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return self._server.server_port

    def use(self, context: ssl.SSLContext) -> None:
        """Speak TLS; the handshake is made by the connection's own thread."""
        plain = self._server.socket
        self._server.socket = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def peer(
    status: int = 200,
    body: bytes = NO_PODS,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[Peer]:
    found = Peer(status, body, headers or {})
    if context is not None:
        found.use(context)
    found.start()
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>hello</html>", "not JSON"),
        (200, b'["a", "list"]', "not an object of the API"),
        (200, b'{"ok": true}', "not an object of the API"),
        (200, b"", "not JSON"),
        (200, b"\xff\xfe", "not JSON"),
        (200, b"[" * 100_000, "not JSON"),  # nested more deeply than a decoder can follow
        (200, b'{"kind": ' + b"9" * 5000 + b"}", "not JSON"),  # more digits than Python reads
        (502, b"<html>\r\n<h1>502 Bad Gateway</h1>\r\n</html>", "502 : <html> <h1>502 Bad Gateway</h1> </html>"),
        (404, b"<h1>Not Found</h1>\n", "404 : <h1>Not Found</h1>; is this the API server?"),
        (404, b'{"message": null}', "404"),
        (400, b"[]", "400"),
        (500, b'{"message": {"a": 1}}', "500"),
        (500, b"[" * 100_000, "500"),
    ],
)
def test_a_server_that_is_no_api_server_is_unreachable(tmp_path: Path, status: int, body: bytes, said: str) -> None:
    """A list is asked of it: what it says is shown on one line."""
    with peer(status, body) as found:
        path = kubeconfig(tmp_path / "k", f"http://127.0.0.1:{found.port}", {"token": SECRET})
        with closing(Api.connect(path, None, SECONDS)) as api:
            finding = refusal(lambda: api.list(PODS, {}))
    assert finding.reason is Reason.API_UNREACHABLE
    assert said in finding.detail
    assert "\n" not in finding.detail


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (5, "items: expected a list, found a number"),
        ({"a": 1}, "items: expected a list, found an object"),
        ([{}, None], "items[1]: expected an object, found nothing"),
        (["a"], "items[0]: expected an object, found another text"),
    ],
)
def test_a_list_of_anything_else_is_named_by_its_path(tmp_path: Path, items: object, said: str) -> None:
    """An item that is no object fails here, not where it is used."""
    with peer(200, json.dumps({"kind": "PodList", "items": items}).encode()) as found:
        path = kubeconfig(tmp_path / "k", f"http://127.0.0.1:{found.port}", {"token": SECRET})
        with closing(Api.connect(path, None, SECONDS)) as api:
            finding = refusal(lambda: api.list(PODS, {}))
    assert finding == Finding(Reason.ANSWER_NOT_UNDERSTOOD, f"GET {PODS}", said)


@pytest.mark.parametrize("status", [403, 404, 409])
def test_a_webhook_that_denies_by_any_status_is_named(tmp_path: Path, status: int) -> None:
    """404 and 409 would else be taken for an object that is gone, or for somebody who was faster."""
    message = 'admission webhook "a.b.c" denied the request:\n\nno owner'
    body = {"kind": "Status", "message": message, "reason": "Forbidden", "code": status}
    with peer(status, json.dumps(body).encode()) as found:
        finding = asked_once(kubeconfig(tmp_path / "k", f"http://127.0.0.1:{found.port}", {"token": SECRET}))
    assert (finding.reason, finding.about) == (Reason.ADMISSION_DENIED, 'admission webhook "a.b.c"')
    assert "\n" not in finding.detail


def test_a_redirection_is_not_followed(tmp_path: Path) -> None:
    """The token goes nowhere but to the server that the kubeconfig names."""
    with peer() as other, peer(302, b"", {"Location": f"http://localhost:{other.port}/"}) as found:
        finding = asked_once(kubeconfig(tmp_path / "k", f"http://127.0.0.1:{found.port}", {"token": SECRET}))
        assert found.tokens == [f"Bearer {SECRET}"]
        assert other.tokens == []
    assert "302" in finding.detail


def test_a_port_that_speaks_no_http_is_unreachable(tmp_path: Path) -> None:
    """Such as a TLS port that is asked without TLS, and the other way round."""
    authority = trustme.CA()
    with peer(context=_serving(authority, "127.0.0.1")) as secure, peer() as plain:
        findings = [
            asked_once(kubeconfig(tmp_path / "a", f"http://127.0.0.1:{secure.port}", {"token": SECRET})),
            asked_once(kubeconfig(tmp_path / "b", f"https://127.0.0.1:{plain.port}", {"token": SECRET})),
        ]
    assert [finding.reason for finding in findings] == [Reason.API_UNREACHABLE] * 2


def test_a_closed_port_is_unreachable(tmp_path: Path) -> None:
    """It says so, and at which address."""
    port = free_port()
    finding = asked_once(kubeconfig(tmp_path / "k", f"http://127.0.0.1:{port}", {"token": SECRET}))
    assert finding.reason is Reason.API_UNREACHABLE
    assert finding.about == f"Kubernetes API http://127.0.0.1:{port}"
    assert "Connection refused" in finding.detail


def test_a_name_that_does_not_resolve_is_unreachable(tmp_path: Path) -> None:
    """It may be a name whose Service is on its way."""
    finding = asked_once(kubeconfig(tmp_path / "k", "http://api.invalid", {"token": SECRET}))
    assert finding.reason is Reason.API_UNREACHABLE
    assert "Failed to resolve 'api.invalid'" in finding.detail


# --- TLS ----------------------------------------------------------------------------------------------------------


def _serving(authority: trustme.CA, *names: str, clients: trustme.CA | None = None) -> ssl.SSLContext:
    """A server's side of TLS; without a name its certificate has expired."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if names:
        authority.issue_cert(*names).configure_cert(context)
    else:
        authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)).configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        clients.configure_trust(context)
    return context


def _pem(path: Path, *blobs: trustme.Blob) -> str:
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return str(path)


def test_a_certificate_of_a_trusted_authority_is_accepted(tmp_path: Path) -> None:
    """With the client certificate that the server wants."""
    authority, clients = trustme.CA(), trustme.CA()
    own = clients.issue_cert("gate@example.org")
    user = {
        "client-certificate": _pem(tmp_path / "cert", *own.cert_chain_pems),
        "client-key": _pem(tmp_path / "key", own.private_key_pem),
    }
    with peer(context=_serving(authority, "127.0.0.1", clients=clients)) as found:
        url, trusted = f"https://127.0.0.1:{found.port}", _pem(tmp_path / "ca", authority.cert_pem)
        path = kubeconfig(tmp_path / "k", url, user, **{"certificate-authority": trusted})
        with closing(Api.connect(path, None, SECONDS)) as api:
            assert api.list(PODS, {}) == []


@pytest.mark.parametrize(
    ("names", "trusts", "says"),
    [
        ([], "it", "certificate has expired"),
        (["127.0.0.1"], "nobody", "certificate verify failed"),
        (["127.0.0.1"], "another", "certificate verify failed"),
        (["elsewhere.example.org"], "it", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        (["127.0.0.1"], "garbage", "NO_CERTIFICATE_OR_CRL_FOUND"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_a_matter_of_the_kubeconfig(
    tmp_path: Path, names: list[str], trusts: str, says: str
) -> None:
    """Named with its remedy and ended after the grace, as all that a setting or a Secret mends; no token was sent."""
    authority = trustme.CA()
    pems = {"it": authority.cert_pem.bytes(), "another": trustme.CA().cert_pem.bytes(), "garbage": b"no PEM"}
    (tmp_path / "ca").write_bytes(pems.get(trusts, b""))
    trusted = {} if trusts == "nobody" else {"certificate-authority": str(tmp_path / "ca")}
    with peer(context=_serving(authority, *names)) as found:
        finding = asked_once(
            kubeconfig(tmp_path / "k", f"https://127.0.0.1:{found.port}", {"token": SECRET}, **trusted)
        )
        assert found.tokens == []
    assert finding.reason is Reason.API_LOGIN_REFUSED
    assert says in finding.detail
    assert "certificate authority" in finding.remedy
    assert "\n" not in finding.detail


# --- credentials --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no kubeconfig: "),
        ("", "file is empty"),
        (f"- {SECRET}", "not a kubeconfig"),
        (SECRET, "not a kubeconfig"),
        (f"users: {{a: {SECRET}", "not a kubeconfig (line 1"),
        (f"users:\n\t- {SECRET}", "not a kubeconfig (line 2, column 1)"),
        (f"token: *{SECRET}", "not a kubeconfig (line 1"),
        ("users: 5", "no current-context; its contexts are: none"),
        ("contexts: 5", "not a kubeconfig: contexts: expected a list, found a number"),
    ],
)
def test_a_file_that_is_no_kubeconfig_is_named_and_not_shown(tmp_path: Path, content: str | None, says: str) -> None:
    """Nothing is contacted, and nothing of it is told: it holds tokens."""
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    finding = refusal(lambda: Api.connect(path, None, SECONDS))
    assert finding.reason is Reason.KUBECONFIG_UNUSABLE
    assert str(path) in str(finding)
    assert says in finding.detail


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda config: config["users"][0].update(usr=config["users"][0].pop("user")),
            "users[0].user: expected an object",
        ),
        (lambda config: config.update(users=[{"user": {"token": SECRET}}] * 2), "users[0].name: expected a text"),
        (lambda config: config.update({"current-context": "there"}), "no context there; its contexts are: here"),
        (lambda config: config.pop("current-context"), "no current-context; its contexts are: here"),
        (
            lambda config: config.update(clusters=[]),
            "names the cluster here, which is not there; its clusters are: none",
        ),
        (lambda config: config.update(users=[]), "names the user gate, which is not there; its users are: none"),
        (lambda config: config["clusters"][0]["cluster"].pop("server"), "clusters[0].cluster.server: expected a text"),
        (
            lambda config: config["clusters"][0]["cluster"].update({"certificate-authority-data": SECRET + "*"}),
            "certificate-authority: its content is not base64",
        ),
        (
            lambda config: config["users"][0].update(user={"auth-provider": {"name": "gcp", "config": {}}}),
            "auth-provider gcp is not supported",
        ),
        (lambda config: config["users"][0].update(user={"tokenFile": "/nowhere/token"}), "/nowhere/token"),
        (
            lambda config: config["clusters"][0]["cluster"].update({"certificate-authority": "/nowhere/ca"}),
            "File does not exist: /nowhere/ca",
        ),
    ],
)
def test_a_kubeconfig_that_lacks_something_says_what(
    tmp_path: Path, change: Callable[[Json], object], says: str
) -> None:
    """But never an entry's content, which the client itself quotes whole."""
    path = kubeconfig(tmp_path / "kubeconfig", "https://127.0.0.1:1", {"token": SECRET})
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))
    finding = refusal(lambda: Api.connect(path, None, SECONDS))
    assert finding.reason is Reason.KUBECONFIG_UNUSABLE
    assert finding.about == f"kubeconfig {path}"
    assert says in finding.detail


def test_a_context_chooses_the_server(server: FakeApi, tmp_path: Path) -> None:
    """And one that is not there is named."""
    path = server.write_kubeconfig(tmp_path / "k", "gate")
    config = yaml.safe_load(path.read_text())
    config["current-context"] = "elsewhere"
    path.write_text(yaml.safe_dump(config))
    with closing(Api.connect(path, "stand-in", SECONDS)) as api:
        assert api.list(PODS, {}) == []
    finding = refusal(lambda: Api.connect(path, "nobody's", SECONDS))
    assert finding.detail == "it has no context nobody's; its contexts are: stand-in"
    assert finding.remedy == "Set `current-context`, or the context in the settings, to one of its contexts."


def test_a_token_file_may_end_in_a_newline(server: FakeApi, tmp_path: Path) -> None:
    """As one written by echo, or by hand into a Secret."""
    (tmp_path / "token").write_text(server.add_user("gate", admin=True) + "\n")
    path = kubeconfig(tmp_path / "k", server.url, {"tokenFile": "token"})
    with closing(Api.connect(path, None, SECONDS)) as api:
        assert api.list(PODS, {}) == []


@pytest.mark.parametrize("token", [f"{SECRET}\nmore", f"{SECRET}\N{EURO SIGN}"])
def test_a_token_that_no_header_can_hold_is_a_refused_login(tmp_path: Path, token: str) -> None:
    """The library's own error would show it, in its text or in a traceback's."""
    finding = asked_once(kubeconfig(tmp_path / "k", "http://127.0.0.1:1", {"token": token}))
    assert finding.reason is Reason.API_LOGIN_REFUSED
    assert "its token" in finding.detail


def test_a_password_in_the_servers_address_is_not_shown(tmp_path: Path) -> None:
    """Nor by the errors about it."""
    finding = asked_once(kubeconfig(tmp_path / "k", f"http://gate:{SECRET}@127.0.0.1:{free_port()}", {}))
    assert re.fullmatch(r"Kubernetes API 127\.0\.0\.1:\d+", finding.about)


@pytest.fixture
def service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a pod's token and CA are; the directory is empty."""
    directory = tmp_path / "serviceaccount"
    directory.mkdir()
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(directory / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(directory / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    return directory


@contextmanager
def in_cluster(service_account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """An API server as a pod finds it, with the pod's first token in place."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(service_account / "ca.crt"))
    (service_account / "token").write_text("first")
    with peer(context=_serving(authority, "127.0.0.1")) as found:
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(found.port))
        yield found


class Clock:
    """The clock by which the client holds its token to be young."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = datetime(2026, 1, 1, tzinfo=UTC)
        fake = SimpleNamespace(datetime=SimpleNamespace(now=lambda: self._now), timedelta=timedelta)
        monkeypatch.setattr(incluster_config, "datetime", fake)

    def advance(self) -> None:
        self._now += timedelta(seconds=90)


def test_a_pod_uses_its_service_account_and_takes_up_its_rotated_token(
    service_account: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubelet renews the token while a gate waits; the client reads it anew when a minute has passed."""
    clock, learned = Clock(monkeypatch), list[str]()
    with in_cluster(service_account, monkeypatch) as found:
        with closing(Api.connect(None, None, SECONDS, learned.extend)) as api:
            api.list(PODS, {})
            (service_account / "token").write_text("second\n")
            api.list(PODS, {})
            clock.advance()
            api.list(PODS, {})
        assert found.tokens == ["bearer first", "bearer first", "bearer second"]
    assert set(learned) == {"first", "second"}, "so that no report shows either"


@pytest.mark.parametrize("content", [None, ""])
def test_a_token_that_vanished_is_a_refused_login(
    service_account: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """And is mended by its return: a finding, not the end of the loop."""
    clock = Clock(monkeypatch)
    token = service_account / "token"
    with in_cluster(service_account, monkeypatch), closing(Api.connect(None, None, SECONDS)) as api:
        clock.advance()
        token.unlink() if content is None else token.write_text(content)
        finding = refusal(lambda: api.list(PODS, {}))
        assert finding.reason is Reason.API_LOGIN_REFUSED
        assert "cannot be read anew" in finding.detail
        token.write_text("second")
        assert api.list(PODS, {}) == []


@pytest.mark.usefixtures("service_account")
def test_a_pod_without_a_token_and_without_a_kubeconfig_has_no_credentials() -> None:
    """Nothing is contacted: automountServiceAccountToken is false, and nobody gave a kubeconfig."""
    finding = refusal(lambda: Api.connect(None, None, SECONDS))
    assert finding.reason is Reason.KUBECONFIG_UNUSABLE
    assert (
        "no service account (Service token file does not exist), and no kubeconfig: KUBECONFIG names " in finding.detail
    )


def test_a_kubeconfig_that_is_named_comes_before_the_service_account(
    service_account: Path, server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argo CD may be in another cluster."""
    with in_cluster(service_account, monkeypatch) as found:
        with closing(Api.connect(server.write_kubeconfig(tmp_path / "k", "gate"), None, SECONDS)) as api:
            assert api.list(PODS, {}) == []
        assert found.tokens == []


def test_one_connection_serves_all_requests_and_is_closed(tmp_path: Path) -> None:
    """A handshake a turn would be most of a turn."""
    with peer() as found:
        api = Api.connect(
            kubeconfig(tmp_path / "k", f"http://127.0.0.1:{found.port}", {"token": SECRET}), None, SECONDS
        )
        for _ in range(3):
            assert api.list(PODS, {}) == []
        assert (found.opened, found.closed) == (1, 0)
        api.close()
        wait_until(lambda: found.closed == 1, 5, "the connection to be closed")


# --- proxies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proxy", [f"http://svc:{SECRET}@proxy.invalid:99999", f"socks5://svc:{SECRET}@127.0.0.1:9", "nonsense://x:1"]
)
@pytest.mark.parametrize("by_file", [False, True])
def test_a_proxy_that_is_no_use_is_a_finding_without_its_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, *, by_file: bool
) -> None:
    """From the environment and from the kubeconfig; each ended the run as a bug, with the password in its text."""
    if not by_file:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    path = kubeconfig(tmp_path / "k", "https://api.invalid", {}, **({"proxy-url": proxy} if by_file else {}))
    assert refusal(lambda: Api.connect(path, None, SECONDS)).reason is Reason.API_PROXY_UNUSABLE


def test_a_proxy_without_a_scheme_is_one_of_http(tmp_path: Path) -> None:
    """As Go takes it: it is asked, and here it is away."""
    proxy = f"svc:{SECRET}@127.0.0.1:{free_port()}"
    path = kubeconfig(tmp_path / "k", "https://api.invalid", {}, **{"proxy-url": proxy})
    finding = asked_once(path)
    assert finding.reason is Reason.API_UNREACHABLE
    assert "proxy" in finding.detail.lower()
