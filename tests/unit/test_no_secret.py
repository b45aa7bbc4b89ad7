"""No secret in any output: error texts of every client, with secrets planted in each form, through every way out.

The texts are those of the clients' own versions and sources; what is planted is known to the program by its settings, its
environment or its kubeconfig, or is known by its looks alone: a pod's log, an Event, Argo CD's message tell others' secrets.
"""

import base64
import html
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from plain_world import PlainComposition
from ways_out import every_way_out

from hook import cli, compose
from hook.observation.applications import ApplicationRef
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import ExitCode, Reason
from hook.observation.redaction import Secrets, logins, told_by, without_secrets
from hook.observation.versions import Store
from hook.report.listeners import EventsListener, Log, overhearing
from hook.report.teller import Notice, Teller
from hook.settings import loading

PASSWORD = 'p@ss/w0rd\'s "quotes" & <more>%'
PROXY_USER, PROXY_PASSWORD = "svc-of-the-proxy", "pr0xy:p@ss/word"
TOKEN = "0p4que-bearer-token+of/the=gate"
FRONTEND_TOKEN = "t3mporals-own-frontend-token"
KNOWN = {
    "database password": PASSWORD,
    "proxy user": PROXY_USER,
    "proxy password": PROXY_PASSWORD,
    "bearer token": TOKEN,
    "frontend token": FRONTEND_TOKEN,
}
KEY_BODY = base64.b64encode(bytes(range(256)) * 3).decode()
PEM = "\n".join(
    [
        "-----BEGIN RSA PRIVATE KEY-----",
        *(KEY_BODY[at : at + 64] for at in range(0, len(KEY_BODY), 64)),
        "-----END RSA PRIVATE KEY-----",
    ]
)
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLW9mLWl0"
UNKNOWN = "somebody-elses-hunter2"
"""A secret that nobody told this program: it is to be known by where it stands."""

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda text: quote(text, safe=""),
    "percent, but for slashes": quote,
    "form": quote_plus,
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "small percent": lambda text: quote(text, safe="").lower() if text.islower() else quote(text, safe=""),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic auth": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 inside": lambda text: base64.b64encode(f"a{text}bc".encode()).decode(),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps(text))[3:-3],
    "Go's JSON": lambda text: (
        json.dumps(text)[1:-1].replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
    ),
    "HTML": lambda text: html.escape(text),  # noqa: PLW0108 -- of one parameter, as the others are
    "repr": lambda text: repr(text)[1:-1],
    "libpq": lambda text: text.replace("\\", "\\\\").replace("'", r"\'"),
    "SQL": lambda text: text.replace("'", "''"),
    "one line": lambda text: " ".join(text.split()),
}

WITH_KNOWN = (
    # requests and urllib3, with a proxy
    "HTTPSConnectionPool(host='api', port=6443): Max retries exceeded (Caused by ProxyError('Cannot connect to proxy: {}'))",
    "Failed to parse: http://svc:{}@proxy.corp:99999",
    "('Unable to connect to proxy', OSError('Tunnel connection failed: 407 {}'))",
    # psycopg and libpq
    'connection to server at "db" (10.0.0.7), port 5432 failed: FATAL: password authentication failed for user "{}"',
    'missing "=" after "{}" in connection info string',
    "invalid connection option in host=db user=temporal password='{}' dbname=temporal",
    'could not translate host name "{}@db" to address: Name or service not known',
    # gRPC
    "UNAUTHENTICATED: Jwt verification fails: {}",
    "invalid metadata: authorization: Bearer {}",
    # the kubernetes client, exec plugins
    "Invalid header value b'Bearer {}\\n'",
    "exec: process returned 1. could not get token: {}",
    "Expected key user in kubeconfig/users[name=gate]/{}",
    # a command's output, pods' logs, Events, Argo CD
    "exit code 1: temporal-sql-tool --ep db --pw {} setup-schema",
    'pods "history-0": Back-off; env SQL_PASSWORD={} is wrong',
    "ComparisonError: failed to generate manifest: rpc error: code = Unknown desc = authentication required for {}",
)  # fmt: skip
WITH_UNKNOWN = (
    "dial postgres://temporal:{}@db:5432/temporal?sslmode=require: no such host",
    "dial postgres://temporal:{}/x@y@db:5432/temporal: no such host",
    "pq: cannot connect to user=temporal password={} host=db",
    "pq: cannot connect to user=temporal password='{} and more' host=db",
    "Error 1045: temporal:{}@tcp(db:3306)/temporal",
    "fatal: unable to access 'https://{}@github.com/org/repo.git/': 403",
    "fatal: unable to access 'https://oauth2:{}@gitlab.com/org/repo.git/': 403",
    "https://login.example/callback?next=https%3A%2F%2Fuser%3A{}%40host: bad request",
    "proxyconnect tcp: dial svc:{}@proxy:3128: connection refused",
    "request failed: map[Accept:[*/*] Authorization:[Bearer {}]]",
    "{{'Accept': 'application/json', 'Authorization': 'Bearer {}'}}",
    '{{"headers":{{"authorization":["Bearer {}"]}},"level":"error"}}',
    "Proxy-Authorization: Basic {}",
    "sent: curl -H 'Authorization: token {}' https://api",
    'failed: {{"level":"error","password":"{}","user":"temporal"}}',
    'failed: {{\\"password\\":\\"{}\\"}}',
    "config: persistence: sql: user: temporal password: {} host: db",
    "env: SQL_PASSWORD={} SQL_USER=temporal",
    "env: AWS_SECRET_ACCESS_KEY={}",
    "temporal-sql-tool --ep db -u temporal --pw {} create",
    "Command '['psql', '--password', '{}', '-c', 'x']' returned non-zero exit status 1.",
    "helm repo add x --username u --password={} failed",
    "GET https://argocd/api?token={}&x=1: 401",
    "client_secret={}&grant_type=refresh_token: invalid_client",
)
LOOKS = (
    *(f"the log says {key} and goes on" for key in (PEM, PEM.replace("\n", " "), PEM.replace("\n", "\\n"))),
    *(f"cut: {PEM[:400]} …", f"cut: {' '.join(PEM.split())[-300:]} end"),
    f"token {JWT} is expired",
    f"serviceaccount said {JWT[:60]}",
    "remote: ghp_0123456789abcdefghijABCDEFGHIJ012345 is revoked",
    "remote: glpat-0123456789abcdefghij is revoked",
    "exec: k8s-aws-v1.aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8 is no token",
)


@dataclass(frozen=True)
class Planted:
    """A text, and what must not be found in any output of it."""

    text: str
    secrets: tuple[str, ...]


def planted() -> Iterator[Planted]:
    for number, text in enumerate(WITH_KNOWN):
        for place, secret in enumerate(KNOWN.values()):
            # Each text with each secret, and each with a form of its own: all forms come with every secret.
            for form in list(FORMS.values())[(number + place) % 5 :: 5]:
                written = form(secret)
                yield Planted(text.format(written), (secret, written))
    for text in WITH_UNKNOWN:
        yield Planted(text.format(UNKNOWN), (UNKNOWN,))
    for text in LOOKS:
        body = [*PEM.splitlines()[2:-2]] if "KEY" in text else ()
        yield Planted(text, (*body, JWT[:40], "0123456789abcdefghij", "aHR0cHM6Ly9zdHMu"))


PLANTED = tuple(planted())


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Settings that lead to the known secrets, each in its own way but the token, which a kubeconfig holds."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "token").write_text(FRONTEND_TOKEN)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"{PROXY_USER}:{quote(PROXY_PASSWORD, safe='')}@proxy:3128")
    monkeypatch.setenv("COLUMNS", "2000")
    (tmp_path / "termination").touch()
    document = {
        "temporal": {
            "version": "1.29.1",
            "frontend": {"address": "f:7233", "tokenFile": str(tmp_path / "token"), "allowPlainTextToken": True},
        },
        "stores": {"default": {"host": "db", "user": "temporal", "passwordFile": str(tmp_path / "password")}},
        "migrations": {"application": {"name": "migrations"}},
        "report": {"format": "json", "terminationMessageFile": str(tmp_path / "termination")},
        "graceSeconds": 0,
    }
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.fixture
def secrets(settings: Path) -> Secrets:
    loaded = loading.load(settings)
    found = Secrets(lambda: loading.secrets(loaded))
    found.learn([TOKEN])  # as the API's adapter does; see its tests
    return found


def test_two_hundred_texts_and_more_are_tried() -> None:
    """Each known secret in each form, and each place for one that is unknown."""
    assert len(PLANTED) >= 200
    for secret in KNOWN.values():
        written = {form(secret) for form in FORMS.values()}
        assert written <= {one for planted in PLANTED for one in planted.secrets}


def test_no_way_out_tells_a_secret(settings: Path, secrets: Secrets, capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines and JSON log, Events and those that are refused, termination message, `check` as table and as JSON."""
    leaks = []
    for one in PLANTED:
        told = every_way_out(secrets, one.text, settings.parent)
        printed = capsys.readouterr()
        everything = told + printed.out + printed.err
        assert "DatabaseLoginRefused" in everything
        leaks += [(secret, one.text) for secret in one.secrets if secret in everything]
        leaks += [(secret, one.text) for secret in one.secrets if json.dumps(secret)[1:-1] in everything]
    assert leaks == []


@pytest.mark.parametrize(("name", "texts"), [("run", PLANTED[::2]), ("check", PLANTED[1::2])], ids=["run", "check"])
def test_no_exception_that_the_command_line_prints_tells_a_secret(
    settings: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    texts: tuple[Planted, ...],
) -> None:
    """A bug's traceback, an adapter that cannot begin, and what a library logs or warns of meanwhile."""
    leaks = []
    for number, one in enumerate(texts):
        raised = (
            RuntimeError(one.text) if number % 2 else FindingError(Finding(Reason.API_UNREACHABLE, one.text, one.text))
        )

        def begin(_: object, known: Secrets, one: Planted = one, raised: Exception = raised) -> PlainComposition:
            known.learn([TOKEN])
            logging.getLogger("kubernetes").error("could not: %s", one.text)
            with warnings.catch_warnings():
                warnings.simplefilter("always")  # these tests' own filter makes errors of them
                warnings.warn(one.text, UserWarning, stacklevel=1)
            thread = threading.Thread(target=lambda: (_ for _ in ()).throw(OSError(one.text)).__next__())
            thread.start()
            thread.join()
            raise raised

        monkeypatch.setattr(compose, "Composition", begin)
        with pytest.raises(SystemExit) as end:
            cli.main([name, "--config", str(settings)])
        assert end.value.code in {ExitCode.BUG, ExitCode.DEADLINE}
        printed = capsys.readouterr()
        assert "kubernetes: could not: " in printed.err
        assert "UserWarning: " in printed.err
        assert "failed where nobody waits for it: OSError" in printed.err
        everything = printed.out + printed.err + (settings.parent / "termination").read_text()
        leaks += [(secret, one.text) for secret in one.secrets if secret in everything]
        leaks += [(secret, one.text) for secret in one.secrets if json.dumps(secret)[1:-1] in everything]
    assert leaks == []


def test_no_fault_of_the_settings_and_no_bad_command_line_tells_a_secret(
    settings: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--dsn` is no option, and is tried nevertheless."""
    dsn = f"postgres://temporal:{UNKNOWN}@db/temporal"
    with pytest.raises(SystemExit):
        cli.main(["check", "--dsn", dsn])
    monkeypatch.setenv("TRH_STORES__DEFAULT__DSN", dsn.replace(":", "::::", 1))
    with pytest.raises(SystemExit):
        cli.main(["check", "--config", str(settings)])
    printed = capsys.readouterr()
    assert "unrecognized arguments: --dsn" in printed.err
    assert "SettingsInvalid" in printed.err
    assert UNKNOWN not in printed.out + printed.err


# --- an audit -----------------------------------------------------------------------------------------------------

ROLLOUT = Path(__file__).parents[2] / "examples" / "rollout" / "applicationset.yaml"
NAMES = (
    "data-migrations-temporal",
    "data-temporal-recovery-hook",
    "data-temporal",
    "data-temporal-namespace-bootstrap",
)
LOGIN = f"https://svc:{UNKNOWN}@git.example.org/platform.git"
Json = dict[str, Any]


def rollout() -> Json:
    """The example, with secrets wherever people keep them: sources' addresses, Helm's values, generators' values."""
    found: Json = yaml.safe_load(ROLLOUT.read_text())
    files, elements = found["spec"]["generators"][0]["matrix"]["generators"]
    files["git"]["repoURL"] = LOGIN
    for element in elements["list"]["elements"]:
        element["password"] = UNKNOWN
    source = found["spec"]["template"]["spec"]["source"]
    source["repoURL"] = LOGIN
    source["plugin"] = {"env": [{"name": "RELEASE", "value": UNKNOWN}, {"name": "TAG", "value": "{{ .password }}"}]}
    source["kustomize"] = {"images": [f"temporal={LOGIN}:1.29.1"]}
    helm = source["helm"]
    helm["parameters"] += [
        {"name": "server.image.tag", "value": "{{ .password }}"},
        {"name": "server.config.password", "value": UNKNOWN},
    ]
    helm["valuesObject"] = {"server": {"image": {"tag": UNKNOWN}, "env": [{"name": "PGPASSWORD", "value": UNKNOWN}]}}
    helm["values"] = f"temporalVersion: {UNKNOWN}\ndsn: postgres://temporal:{UNKNOWN}@db/temporal\n"
    return found


def audited(
    document: Json, folder: Path, capsys: pytest.CaptureFixture[str], forms: tuple[str, ...] = ("table", "json")
) -> str:
    """What an audit prints of it, as text and as JSON."""
    file = folder / "rollout.yaml"
    file.write_text(yaml.safe_dump(document))
    migrations, gate, servers, bootstrap = NAMES
    roles = ("--migrations", migrations, "--gate", gate, "--runtime", servers, "--downstream", bootstrap)
    for form in forms:
        with pytest.raises(SystemExit) as end:
            cli.main(["audit", "--file", str(file), *roles, "--argocd-version", "3.6.1", "--output", form])
        assert end.value.code in {ExitCode.PASSED, ExitCode.SETTINGS, Reason.GATE_DOES_NOT_HOLD.exit_code}
    printed = capsys.readouterr()
    return printed.out + printed.err


def leaves(value: object, *path: Any) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        for name, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(one, *path, name)
    else:
        yield path


def test_an_audit_tells_no_secret_of_the_manifests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the values that it is about, and quotes none."""
    told = audited(rollout(), tmp_path, capsys)
    assert "ReleaseInApplication: " in told
    assert "server.image.tag" in told
    assert UNKNOWN not in told


def test_an_audit_tells_no_login_of_an_address_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, labels and the receipt's revision are quoted: each text of the rollout in turn is such an address."""
    tried, quoted = 0, 0
    elements = ("spec", "generators", 0, "matrix", "generators", 1, "list", "elements")
    for path in leaves(rollout()):
        if path[: len(elements)] == elements and path[len(elements)] > 1:
            continue  # as those before
        document = rollout()
        place: Any = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = LOGIN
        told = audited(document, tmp_path, capsys, (("table", "json")[tried % 2],))
        assert UNKNOWN not in told, path
        tried, quoted = tried + 1, quoted + ("//***@git.example.org" in told)
    assert tried > 40
    assert quoted > 0, "else nothing was tried"


# --- what is told still tells -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        'FATAL: password authentication failed for user "temporal"',
        "fe_sendauth: no password supplied",
        "stores.default.password: unknown setting: did you mean passwordFile?",
        "passwordFile: cannot read /etc/secrets/password: No such file or directory",
        'secret "temporal-db-app" not found',
        "couldn't find key password in Secret temporal/temporal-db",
        "invalid token: expired",
        "bearer token is missing",
        "Jwt is missing",
        "Basic authentication is required",
        "pass: the rollout may go on",
        'Post "https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": context deadline exceeded',
        "Kubernetes API https://10.96.0.1:443",
        "registry:5000/temporalio/server:1.29.1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "https://[fd00::1]:6443/api?email=a@b",
        "https://github.com/org/repo@v1.2.3: not found",
        "frontend temporal-frontend.temporal:7233: it says NOT_SERVING",
        'applications.argoproj.io "x" is forbidden: User "system:serviceaccount:a:b" cannot patch resource "applications"',
        "GET /apis/argoproj.io/v1alpha1/namespaces/argocd/applications/data-temporal: 503 ServiceUnavailable: x",
        "ended at 2026-08-01T12:00:00Z: exit code 1",
        "-----BEGIN CERTIFICATE----- MIIB -----END CERTIFICATE-----",
    ],
)
def test_what_holds_no_secret_is_told_as_it_is(text: str) -> None:
    """Half a diagnosis would help nobody."""
    assert without_secrets(text, ()) == text
    assert without_secrets(text, KNOWN.values()) == text


@given(secret=st.text(min_size=1, max_size=40), before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_known_secret_never_stays_whole(secret: str, before: str, after: str) -> None:
    """Whatever it is made of; a short one where it stands as a word. What is taken out once is taken out for good."""
    if secret.strip("*") == "":
        return
    clean = without_secrets(f"{before} {secret} {after}", {secret})
    if secret.strip() == secret:
        assert f" {secret} " not in clean.replace("***", "")
    assert without_secrets(clean, {secret}) == clean


@given(
    secret=st.text(st.characters(categories=("L", "N", "P", "S"), max_codepoint=1000), min_size=12, max_size=40),
    place=st.text(max_size=5),
)
def test_a_known_secret_is_found_in_every_form(secret: str, place: str) -> None:
    """In each encoding, wherever it stands in what is encoded."""
    for name, form in FORMS.items():
        written = form(secret)
        assert written not in without_secrets(f"said {written}, {place}", {secret}), name


def test_logins_and_command_lines_are_read_for_secrets() -> None:
    """As they are written and as they are meant."""
    assert logins("http://svc:p%40ss@proxy:3128") == {"svc", "p%40ss", "p@ss"}
    assert logins("svc:pa/s@s@proxy") >= {"svc", "pa/s@s"}
    assert logins("http://proxy:3128") == logins("") == set()
    assert {"one", "two", "three", "four"} <= told_by(
        "tool --pw one --password=two PGPASSWORD=three postgres://u:four@h/d"
    )


# --- what libraries say by themselves -----------------------------------------------------------------------------


def test_what_a_library_logs_is_one_clean_line_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """In the log's own form; afterwards all is as it was."""
    before = (logging.getLogger().handlers[:], threading.excepthook, sys.unraisablehook, warnings.showwarning)
    with overhearing(Teller([Log("json")], Secrets(lambda: [TOKEN]))):
        for _ in range(3):
            logging.error("exec: process returned 1. %s", TOKEN)  # noqa: LOG015 -- as the kubernetes client does
        logging.getLogger("urllib3").warning("bad %s %s", "argument")  # noqa: PLE1206 -- as a library may, by mistake
        logging.getLogger("urllib3").info("nobody's business")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("error", "root: exec: process returned 1. ***"),
        ("warning", "urllib3: bad %s %s"),
    ]
    assert before == (logging.getLogger().handlers, threading.excepthook, sys.unraisablehook, warnings.showwarning)


def test_a_refused_event_is_told_without_secrets() -> None:
    """Its own error went straight to the log."""
    heard: list[Notice] = []

    class Heard:
        def hear(self, notice: Notice) -> None:
            heard.append(notice)

    def refuse(*_: object) -> None:
        raise FindingError(Finding(Reason.API_FORBIDDEN, "an Event", f"said {TOKEN}"))

    told = Teller([Heard()], Secrets(lambda: [TOKEN]))
    told.add(EventsListener(refuse, told))
    told.hear(Notice("x", about=(ApplicationRef("argocd", "temporal"),)))
    assert "said ***" in str(heard)
    assert TOKEN not in str(heard)


COMMAND = {"argv": ["tool", "--pw", "of-the-command"]}


def test_a_store_s_secrets_are_known_where_another_part_of_it_cannot_be_read(tmp_path: Path) -> None:
    """A client certificate that is late is no reason to print the password."""
    (tmp_path / "password").write_text("of-the-store")
    document = {
        "temporal": {"version": "1.29.1"},
        "stores": {
            "default": {"host": "db", "passwordFile": str(tmp_path / "password"), "userFile": str(tmp_path / "none")}
        },
        "migrations": {"strategy": "command", "command": COMMAND | {"stateDirectory": str(tmp_path)}},
    }
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(document))
    loaded = loading.load(file)
    with pytest.raises(OSError, match="userFile"):
        loaded.stores.of(Store.DEFAULT).conninfo()
    assert {"of-the-store", "of-the-command"} <= loading.secrets(loaded)


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("SQL_PASSWORD", "hunter2-of-sql", True),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-of-aws", True),
        ("ARGOCD_AUTH_TOKEN", "hunter2-of-argo", True),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/password", False),
        ("TOKEN_SVC_SERVICE_PORT", "8080", False),
        ("TRH_TEMPORAL__FRONTEND__ALLOW_PLAIN_TEXT_TOKEN", "true", False),
        ("PATH", "/usr/bin", False),
    ],
)
def test_the_environment_s_secrets_are_known_by_their_names(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, known: bool
) -> None:
    """The migration command inherits them, and prints them where it fails."""
    monkeypatch.setenv(name, value)
    assert (value in loading.environment_secrets()) is known


def test_libpq_s_own_password_file_is_read_for_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no password is set it serves, with its own escapes."""
    (tmp_path / "pgpass").write_text("# comment\ndb:5432:*:temporal:pa\\:ss\\\\word\nbad line\n")
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    assert "pa:ss\\word" in loading.environment_secrets()
