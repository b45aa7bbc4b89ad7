"""Exec plugins and OIDC issuers that are missing, fail, hang or give garbage; and where a kubeconfig is looked for."""

import base64
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
import trustme
import yaml

from hook.adapters import helpers
from hook.adapters.api import Api
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import ExitCode, Reason, Tolerance
from lab.processes import wait_until

PODS = "/api/v1/namespaces/default/pods"
VERSION = "client.authentication.k8s.io/v1"
SECRET = "token-for-nobodys-eyes-1"
NO_PODS = json.dumps({"kind": "PodList", "apiVersion": "v1", "items": []}).encode()

Answers = Mapping[str, tuple[int, bytes]]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "SECONDS", 1.0)
    monkeypatch.setattr(helpers, "PAUSE_SECONDS", 30.0)


class Server:
    """Answers each path as it is told to, and remembers the requests: method, path, token and body."""

    def __init__(self, answers: Answers, seconds: float = 0) -> None:
        self.requests: list[tuple[str, str, str | None, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                server.requests.append((self.command, self.path, self.headers["Authorization"], body))
                time.sleep(seconds)
                status, content = answers.get(self.path.partition("?")[0], (404, b"{}"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815 -- the base's name

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self._thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.shutdown()
        self._thread.join()
        self.http.server_close()


@contextmanager
def api_server(answers: Answers | None = None) -> Iterator[Server]:
    with Server({PODS: (200, NO_PODS)} | dict(answers or {})) as found:
        yield found


def kubeconfig(path: Path, url: str, user: object, **cluster: object) -> Path:
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "gate"}}],
        "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
        "users": [{"name": "gate", "user": user}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def plugin(folder: Path, script: str) -> str:
    """A program of its own, as a plugin is."""
    path = folder / "plugin"
    path.write_text(f"#!{sys.executable}\n{script}\n")
    path.chmod(0o755)
    return str(path)


def exec_user(command: str, **settings: object) -> dict[str, Any]:
    return {"exec": {"apiVersion": VERSION, "command": command, **settings}}


def printing(status: object, version: str = VERSION) -> str:
    return f"print({json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status})!r})"


def failure(api: Api, capfd: pytest.CaptureFixture[str]) -> Finding:
    """The finding of a request; nothing of any secret, and nothing past the reporter."""
    with pytest.raises(FindingError) as caught:
        api.list(PODS, {})
    finding = caught.value.finding
    assert SECRET not in f"{finding} {finding.remedy}"
    assert capfd.readouterr() == ("", "")
    return finding


# --- exec plugins -------------------------------------------------------------------------------------------------


def test_a_plugins_token_is_used_until_it_ends_or_is_refused(tmp_path: Path) -> None:
    """It is run at the first request, not before: what it needs may be on its way when the gate starts."""
    count = tmp_path / "count"
    script = (
        "import datetime, json, os, pathlib\n"
        f"file = pathlib.Path({str(count)!r})\n"
        "n = int(file.read_text()) + 1 if file.exists() else 1\n"
        "file.write_text(str(n))\n"
        "info = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "assert info['kind'] == 'ExecCredential' and info['spec']['cluster']['server'].startswith('http')\n"
        "assert info['spec']['cluster']['config'] == {'a': 1} and os.environ['NAMED'] == 'yes'\n"
        "end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=3600 if n != 2 else 5)\n"
        "print(json.dumps({'apiVersion': info['apiVersion'], 'kind': info['kind'], 'status':"
        " {'token': f'token-{n}', 'expirationTimestamp': end.strftime('%Y-%m-%dT%H:%M:%SZ')}}))"
    )
    learned: list[str] = []
    answers = {PODS: (200, NO_PODS)}
    user = exec_user("./plugin", env=[{"name": "NAMED", "value": "yes"}], provideClusterInfo=True)
    plugin(tmp_path, script)
    extensions = [{"name": "client.authentication.k8s.io/exec", "extension": {"a": 1}}]
    with Server(answers) as found:
        path = kubeconfig(tmp_path / "kubeconfig", found.url, user, extensions=extensions)
        with closing(Api.connect(path, None, 5, learned.extend)) as api:
            assert not count.exists()
            api.list(PODS, {})
            api.list(PODS, {})
            answers[PODS] = (401, b"{}")
            with pytest.raises(FindingError):
                api.list(PODS, {})
            answers[PODS] = (200, NO_PODS)
            api.list(PODS, {})  # by the second, whose end is near
            api.list(PODS, {})
        tokens = [token for _, _, token, _ in found.requests]
    assert tokens == [f"Bearer token-{n}" for n in (1, 1, 1, 2, 3)]
    assert {"token-1", "token-2", "token-3"} <= set(learned)


def test_a_plugins_client_certificate_is_used(tmp_path: Path) -> None:
    """As Teleport's and others' give it in place of a token."""
    authority, clients = trustme.CA(), trustme.CA()
    own = clients.issue_cert("gate@example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    clients.configure_trust(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca"))
    status = {
        "clientCertificateData": own.cert_chain_pems[0].bytes().decode(),
        "clientKeyData": own.private_key_pem.bytes().decode(),
    }
    with api_server() as found:
        found.http.socket = context.wrap_socket(found.http.socket, server_side=True)
        url = found.url.replace("http:", "https:")
        user = exec_user(plugin(tmp_path, printing(status)))
        path = kubeconfig(tmp_path / "kubeconfig", url, user, **{"certificate-authority": "ca"})
        with closing(Api.connect(path, None, 5)) as api:
            assert api.list(PODS, {}) == []


BAD_PLUGINS = {
    "fails": ("import sys; sys.stderr.write('no\\n  session'); sys.exit(3)", "ended with exit code 3: no session"),
    "is killed": ("import os; os.kill(os.getpid(), 9)", "ended with exit code -9"),
    "hangs": ("import time; time.sleep(60)", "did not end within 1 s"),
    "hangs with a child": (
        "import subprocess, time; subprocess.Popen(['sleep', '61']); time.sleep(61)",
        "did not end within 1 s",
    ),
    "prints nothing": ("", "printed nothing"),
    "prints a page": (f"print('<html>{SECRET}</html>')", "printed something that is not JSON"),
    "prints without end": ("while True: print('x' * 65536)", "prints without end"),
    "complains without end": ("import sys\nwhile True: sys.stderr.write('x' * 65536)", "prints without end"),
    "prints a list": ("print('[]')", "printed something that is no ExecCredential: the answer: expected an object"),
    "prints bytes": (
        "import sys; sys.stdout.buffer.write(bytes(range(128, 256)))",
        "printed something that is not JSON",
    ),
    "prints deep": ("print('[' * 100000)", "printed something that is not JSON"),
    "has another version": (printing({"token": SECRET}, "client.authentication.k8s.io/v1beta1"), f"not {VERSION}"),
    "has no token": (printing({}), "printed neither a token nor a client certificate with its key"),
    "has no key": (printing({"clientCertificateData": SECRET}), "printed neither a token nor"),
    "has a number": (printing({"token": 5}), "status.token: expected text, found a number"),
    "has no time": (printing({"token": SECRET, "expirationTimestamp": "soon"}), "expirationTimestamp: expected a time"),
}


@pytest.mark.parametrize("name", BAD_PLUGINS)
def test_a_plugin_that_is_no_use_ends_in_time_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """The client logged it as ERROR:root on standard error, and asked on without a token. One turn waits for it once."""
    script, said = BAD_PLUGINS[name]
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x')\n{script}"
    with api_server() as found:
        path = kubeconfig(tmp_path / "kubeconfig", found.url, exec_user(plugin(tmp_path, script)))
        with closing(Api.connect(path, None, 5)) as api:
            began = time.monotonic()
            first = failure(api, capfd)
            assert time.monotonic() - began < 20  # some hang for a minute
            assert {failure(api, capfd) for _ in range(20)} == {first}
        assert found.requests == []
    assert starts.read_text() == "x"
    assert first.about == f"kubeconfig {path}"
    assert said in first.detail
    assert "\n" not in first.detail
    assert (first.reason, first.reason.exit_code) == (Reason.CREDENTIAL_HELPER_FAILED, ExitCode.ACCESS)
    assert first.reason.tolerance is Tolerance.GRACE


def test_a_plugin_that_is_left_is_not_left_running(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor are those that it started."""
    child = tmp_path / "child"
    script = (
        "import pathlib, subprocess, time\n"
        f"pathlib.Path({str(child)!r}).write_text(str(subprocess.Popen(['sleep', '62']).pid))\ntime.sleep(62)"
    )
    path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", exec_user(plugin(tmp_path, script)))
    with closing(Api.connect(path, None, 5)) as api:
        failure(api, capfd)

    def is_gone() -> bool:
        status = Path(f"/proc/{child.read_text()}/stat")
        return not status.exists() or status.read_text().rpartition(") ")[2].startswith("Z")

    wait_until(is_gone, 5, "the end of the plugin's child")


@pytest.mark.parametrize(
    ("command", "settings", "said", "remedy"),
    [
        ("not-there-authenticator", {}, "is not there, or cannot be executed: looked in PATH", "Install it."),
        (
            "not-there-authenticator",
            {"installHint": "See the\nprovider's pages."},
            "looked in PATH",
            "Install it. See the provider's pages.",
        ),
        ("./not-there", {}, "looked at ", "Install it."),
        ("./kubeconfig", {}, "looked at ", "Install it."),
        ("/", {}, "looked", "Install it."),
        ("sh", {"args": ["\0"]}, "cannot be started", "Run it by hand"),
        ("sh", {"interactiveMode": "Always"}, "wants a terminal", "Run it by hand"),
        ("sh", {"args": ["-c", "echo $0 >&2; exit 1", f"--token={SECRET}"]}, "exit code 1", "Run it by hand"),
    ],
)
def test_a_plugin_that_cannot_be_run_is_named_with_its_remedy(
    tmp_path: Path, command: str, settings: dict[str, object], said: str, remedy: str
) -> None:
    """Where it was looked for, and the kubeconfig's own hint."""
    learned: list[str] = []
    path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", exec_user(command, **settings))
    with closing(Api.connect(path, None, 5, learned.extend)) as api, pytest.raises(FindingError) as caught:
        api.list(PODS, {})
    finding = caught.value.finding
    assert finding.reason is Reason.CREDENTIAL_HELPER_FAILED
    assert said in finding.detail
    assert remedy in finding.remedy
    assert (SECRET in learned) is (SECRET in str(settings)), "so that a report can leave it out"


def test_a_plugin_is_tried_again_after_a_pause(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been installed or logged in meanwhile."""
    with api_server() as found:
        path = kubeconfig(tmp_path / "kubeconfig", found.url, exec_user("./plugin"))
        with closing(Api.connect(path, None, 5)) as api:
            failure(api, capfd)
            plugin(tmp_path, printing({"token": "good"}))
            failure(api, capfd)
            monkeypatch.setattr(helpers, "PAUSE_SECONDS", 0.0)
            assert api.list(PODS, {}) == []
        assert [token for _, _, token, _ in found.requests] == ["Bearer good"]


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"exec": {"apiVersion": VERSION}}, "users[0].user.exec.command: expected a text that is not empty"),
        ({"exec": {"command": "x"}}, "users[0].user.exec.apiVersion: expected a text that is not empty"),
        ({"exec": {"command": "x", "apiVersion": VERSION, "args": "a"}}, "exec.args: expected a list"),
        ({"exec": {"command": "x", "apiVersion": VERSION, "env": [{"value": SECRET}]}}, "exec.env[0].name: expected"),
        ({"exec": SECRET}, "users[0].user.exec: expected an object"),
        ({"auth-provider": {"name": "azure"}}, "auth-provider azure is not supported"),
    ],
)
def test_a_helper_that_is_not_described_is_a_fault_of_the_file(tmp_path: Path, user: object, said: str) -> None:
    """It is said before anything is contacted, by its path."""
    with pytest.raises(FindingError) as caught:
        Api.connect(kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", user), None, 5)
    assert caught.value.finding.reason is Reason.KUBECONFIG_UNUSABLE
    assert said in caught.value.finding.detail
    assert SECRET not in str(caught.value.finding)


# --- OIDC ---------------------------------------------------------------------------------------------------------


def jwt(seconds: float, name: str = "") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part({'exp': time.time() + seconds, 'sub': name})}.{SECRET}"


def oidc_user(issuer: str, **settings: object) -> dict[str, Any]:
    given = {
        "idp-issuer-url": issuer, "client-id": "gate", "client-secret": "of-the-client", "refresh-token": "again",
        "id-token": jwt(-60), **settings,
    }  # fmt: skip
    return {"auth-provider": {"name": "oidc", "config": given}}


def discovery(endpoint: str) -> tuple[int, bytes]:
    return 200, json.dumps({"token_endpoint": endpoint}).encode()


WELL_KNOWN = "/.well-known/openid-configuration"


def test_a_token_that_is_valid_asks_no_issuer(tmp_path: Path) -> None:
    """Whatever state it is in."""
    token = jwt(3600)
    with api_server() as found:
        user = oidc_user("http://127.0.0.1:1", **{"id-token": token})
        with closing(Api.connect(kubeconfig(tmp_path / "kubeconfig", found.url, user), None, 5)) as api:
            api.list(PODS, {})
        assert found.requests[-1][2] == f"Bearer {token}"


def test_an_expired_token_is_renewed_at_the_issuer(tmp_path: Path) -> None:
    """By the refresh-token, which the issuer may replace."""
    tokens, learned = [jwt(3600, "one"), jwt(3600, "two")], list[str]()
    answers: dict[str, tuple[int, bytes]] = {PODS: (200, NO_PODS)}
    with Server(answers) as found:
        answers[WELL_KNOWN] = discovery(f"{found.url}/token")
        answers["/token"] = 200, json.dumps({"id_token": tokens[0], "refresh_token": "next"}).encode()
        path = kubeconfig(tmp_path / "kubeconfig", found.url, oidc_user(found.url + "/"))
        with closing(Api.connect(path, None, 5, learned.extend)) as api:
            api.list(PODS, {})
            api.list(PODS, {})
    assert [one[1] for one in found.requests] == [WELL_KNOWN, "/token", PODS, PODS]
    assert found.requests[1][0] == "POST"
    assert (
        found.requests[1][3]
        == "grant_type=refresh_token&refresh_token=again&client_id=gate&client_secret=of-the-client"
    )
    assert [one[2] for one in found.requests[2:]] == [f"Bearer {tokens[0]}"] * 2
    assert {"again", "of-the-client", tokens[0]} <= set(learned)


BAD_ISSUERS: dict[str, tuple[Callable[[str], Answers], str]] = {
    "discovery is not there": (lambda _: {}, "answers discovery with 404"),
    "discovery is a page": (
        lambda _: {WELL_KNOWN: (200, b"<html>")},
        "discovery with 200 and something that is not JSON",
    ),
    "discovery is a list": (lambda _: {WELL_KNOWN: (200, b"[]")}, "discovery with 200 and something that is not JSON"),
    "discovery names nothing": (lambda _: {WELL_KNOWN: (200, b"{}")}, "names no token_endpoint"),
    "discovery names a number": (
        lambda _: {WELL_KNOWN: (200, b'{"token_endpoint": 5}')},
        "token_endpoint: expected text",
    ),
    "discovery names another place": (lambda _: {WELL_KNOWN: discovery("http://127.0.0.1:1/")}, "does not answer"),
    "discovery names nonsense": (lambda _: {WELL_KNOWN: discovery("nonsense://x")}, "does not answer"),
    "the refresh-token is refused": (
        lambda url: {
            WELL_KNOWN: discovery(f"{url}/token"),
            "/token": (400, b'{"error": "invalid_grant", "error_description": "expired"}'),
        },
        "answers refresh with 400 invalid_grant",
    ),
    "it gives no token": (
        lambda url: {WELL_KNOWN: discovery(f"{url}/token"), "/token": (200, b'{"access_token": "x"}')},
        "gave no id_token",
    ),
    "it gives a number": (
        lambda url: {WELL_KNOWN: discovery(f"{url}/token"), "/token": (200, b'{"id_token": 5}')},
        "id_token: expected text",
    ),
    "it fails": (lambda url: {WELL_KNOWN: discovery(f"{url}/token"), "/token": (503, b"")}, "answers refresh with 503"),
}


@pytest.mark.parametrize("name", BAD_ISSUERS)
def test_an_issuer_that_is_no_use_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """The client went on with the token that had expired."""
    make, said = BAD_ISSUERS[name]
    answers: dict[str, tuple[int, bytes]] = {}
    with Server(answers) as issuer:
        answers |= make(issuer.url)
        path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", oidc_user(issuer.url))
        with closing(Api.connect(path, None, 5)) as api:
            finding = failure(api, capfd)
    assert finding.reason is Reason.CREDENTIAL_HELPER_FAILED
    assert finding.detail.startswith(f"OIDC issuer {issuer.url} ")
    assert said in finding.detail


def test_an_issuer_that_hangs_or_is_away_ends_in_time(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And is asked once a turn."""
    with Server({}, seconds=3) as slow:
        for issuer, said in (
            (slow.url, "timed out"),
            ("http://127.0.0.1:1", "refused"),
            ("http://away.invalid", "resolve"),
        ):
            path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", oidc_user(issuer))
            with closing(Api.connect(path, None, 5)) as api:
                first = failure(api, capfd)
                assert failure(api, capfd) == first
            assert first.detail.startswith(f"OIDC issuer {issuer} does not answer: ")
            assert said in first.detail
        assert len(slow.requests) == 1


@pytest.mark.parametrize("missing", ["refresh-token", "client-id", "idp-issuer-url"])
def test_an_expired_token_that_cannot_be_renewed_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], missing: str
) -> None:
    """With when it ended."""
    path = kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", oidc_user("http://127.0.0.1:1", **{missing: ""}))
    with closing(Api.connect(path, None, 5)) as api:
        finding = failure(api, capfd)
    assert finding.reason is Reason.CREDENTIAL_HELPER_FAILED
    assert "its id-token ended at 20" in finding.detail


# --- where a kubeconfig is looked for -----------------------------------------------------------------------------


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Outside of a pod, with an empty home."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def not_found(path: Path | None = None, context: str | None = None) -> str:
    with pytest.raises(FindingError) as caught:
        Api.connect(path, context, 5)
    assert caught.value.finding.reason is Reason.KUBECONFIG_UNUSABLE
    return caught.value.finding.detail


def test_each_place_that_was_looked_at_has_its_own_words(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting, KUBECONFIG, the home's file, and the pod's service account."""
    nowhere = (
        f"no service account (Service host/port is not set), and no kubeconfig: KUBECONFIG is not set, and {outside}"
    )
    assert not_found() == f"{nowhere}/.kube/config, which does not exist"
    assert (
        not_found(context="x")
        == f"no kubeconfig: KUBECONFIG is not set, and {outside}/.kube/config, which does not exist"
    )
    assert not_found(outside / "named") == f"no kubeconfig: {outside}/named, which does not exist"
    monkeypatch.setenv("KUBECONFIG", "/nowhere/a:/nowhere/b")
    assert not_found().endswith("no kubeconfig: KUBECONFIG names /nowhere/a, /nowhere/b, which do not exist")


def test_the_homes_kubeconfig_is_found(outside: Path) -> None:
    """Where nothing else is said."""
    (outside / ".kube").mkdir()
    with api_server() as found:
        kubeconfig(outside / ".kube/config", found.url, {"token": "x"})
        with closing(Api.connect(None, None, 5)) as api:
            assert api.list(PODS, {}) == []


def test_several_kubeconfigs_are_one(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for kubectl: those that are not there are left out, and the first of equal names and contexts counts."""
    with api_server() as found:
        first, second = outside / "first", outside / "second"
        first.write_text(yaml.safe_dump({"users": [{"name": "gate", "user": {"tokenFile": "token"}}]}))
        (outside / "token").write_text("of-the-first\n")
        kubeconfig(second, found.url, {"token": "of-the-second"})
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(["/nowhere", str(first), str(second)]))
        with closing(Api.connect(None, None, 5)) as api:
            api.list(PODS, {})
        assert found.requests[0][2] == "Bearer of-the-first"
        assert not_found(context="elsewhere") == "it has no context elsewhere; its contexts are: here"


def test_name_and_password_are_sent_as_they_are(tmp_path: Path) -> None:
    """With a token beside them, the token."""
    learned: list[str] = []
    with api_server() as found:
        for user in ({"username": "a", "password": "b:c"}, {"username": "a", "password": "b", "token": "t"}):
            path = kubeconfig(tmp_path / "kubeconfig", found.url, user)
            with closing(Api.connect(path, None, 5, learned.extend)) as api:
                api.list(PODS, {})
        assert [one[2] for one in found.requests] == ["Basic YTpiOmM=", "Bearer t"]
    assert {"b:c", "t"} <= set(learned)
