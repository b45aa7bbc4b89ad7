"""Settings: what is refused at once with its name and what to do, and what the accepted ones mean."""

import copy
import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from hook import cli
from hook.decision.policy import OnEmptyDatabase, Reachability
from hook.observation.versions import Release, SchemaVersion, Store
from hook.settings import loading, settings
from hook.settings.settings import Settings, SettingsError
from hook.settings.stores import StoreSettings

SECRET = "hunter2-topsecret"
MINIMAL: dict[str, Any] = {
    "temporal": {"version": "1.29.1"},
    "stores": {"default": {"host": "db", "user": "temporal"}},
    "migrations": {"application": {"name": "data-migrations-temporal"}},
}

Load = Callable[..., Settings]


def with_(path: str, value: object, document: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings with one of them set."""
    changed = copy.deepcopy(MINIMAL if document is None else document)
    *blocks, name = path.split(".")
    block = changed
    for part in blocks:
        block = block.setdefault(part, {})
    block[name] = value
    return changed


def without(path: str) -> dict[str, Any]:
    """Return the settings without one of them."""
    changed = copy.deepcopy(MINIMAL)
    *blocks, name = path.split(".")
    block = changed
    for part in blocks:
        block = block[part]
    del block[name]
    return changed


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(("TRH_", "PG")):
            monkeypatch.delenv(name)


GUARD = with_("guard", value=True, document=with_("gate", {"name": "data-temporal"}))
GUARD |= {"runtime": {"application": {"name": "data-temporal"}}, "temporal": MINIMAL.get("temporal", {})}
GUARD["temporal"] = GUARD["temporal"] | {"frontend": {"address": "temporal:7233"}}
"""A guard of the runtime."""
NO_SCHEMA: dict[str, Any] = {
    "temporal": {"frontend": {"address": "temporal:7233"}},
    "migrations": {"strategy": "none"},
    "guard": True,
    "gate": {"name": "orders"},
    "reachability": "always",
}
"""One before what needs the frontend alone."""


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads settings from a document, written as a file first."""

    def write_and_load(document: dict[str, Any] | None = None) -> Settings:
        file = tmp_path / "settings.yaml"
        file.write_text(yaml.safe_dump(MINIMAL if document is None else document), encoding="utf-8")
        return loading.load(file)

    return write_and_load


@pytest.fixture
def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Runs both commands with bad settings; returns the lines said, having seen that nothing at all was contacted."""

    def contact(*_: object, **__: object) -> NoReturn:
        pytest.fail("something was contacted")

    monkeypatch.setattr(socket.socket, "connect", contact)
    monkeypatch.setattr(socket.socket, "connect_ex", contact)
    monkeypatch.setattr(socket, "getaddrinfo", contact)

    def run(document: dict[str, Any] | bytes | Path | None, commands: tuple[str, ...] = ("run", "check")) -> list[str]:
        file = tmp_path / "settings.yaml"
        if isinstance(document, Path):
            file = document
        elif isinstance(document, bytes):
            file.write_bytes(document)
        elif document is not None:
            file.write_text(yaml.safe_dump(document), encoding="utf-8")
        said = set()
        for command in commands:
            with pytest.raises(SystemExit) as end:
                cli.main([command] if document is None else [command, "--config", str(file)])
            assert end.value.code == 2
            answer = capsys.readouterr()
            assert answer.out == ""
            assert SECRET not in answer.err
            said.add(answer.err)
        [text] = said
        lines = text.splitlines()
        assert all(line.startswith("SettingsInvalid: ") for line in lines)
        return [line.removeprefix("SettingsInvalid: ") for line in lines]

    return run


# --- refused ------------------------------------------------------------------------------------------------------

MISSPELT = [
    ("deadlineSecond", "deadlineSecond: unknown setting: did you mean deadlineSeconds?"),
    ("deadline_seconds", "deadline_seconds: unknown setting: did you mean deadlineSeconds?"),
    ("temporal.versoin", "temporal.versoin: unknown setting: did you mean version?"),
    ("temporal.frontend.adress", "temporal.frontend.adress: unknown setting: did you mean address?"),
    ("temporal.frontend.tls.cafile", "temporal.frontend.tls.cafile: unknown setting: did you mean caFile?"),
    ("stores.default.password", "stores.default.password: unknown setting: did you mean passwordFile?"),
    ("stores.vizibility", "stores.vizibility: unknown setting: did you mean visibility?"),
    ("migrations.application.nam", "migrations.application.nam: unknown setting: did you mean name?"),
    ("zzz", "zzz: unknown setting: check its spelling and its place"),
]


@pytest.mark.parametrize(("path", "line"), MISSPELT, ids=lambda value: value.partition(":")[0])
def test_a_misspelt_setting_is_named_as_it_was_written(refused: Callable[..., list[str]], path: str, line: str) -> None:
    """With what was probably meant, at each depth, and never with its value."""
    assert refused(with_(path, SECRET)) == [line]


def test_a_misspelt_setting_in_a_list_is_named_by_its_place(refused: Callable[..., list[str]]) -> None:
    """The second Application downstream is downstream[1]."""
    document = with_("downstream", [{"name": "one"}, {"name": "two", "namespaces": "x"}])
    assert refused(document) == ["downstream[1].namespaces: unknown setting: did you mean namespace?"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRH_DEADLINE_SECOND", "did you mean TRH_DEADLINE_SECONDS?"),
        ("TRH_DEADLINES_ECONDS", "did you mean TRH_DEADLINESECONDS?"),
        ("TRH_STORES_DEFAULT_HOST", "did you mean TRH_STORES__DEFAULT__HOST?"),
        ("trh_reachabilty", "did you mean TRH_REACHABILITY?"),
        ("TRH_DOWNSTREAM__NAME", "did you mean TRH_DOWNSTREAM?"),
        ("TRH_ZZZZZZZZZZZZZZZ", "check its spelling; a path's parts are joined by __"),
    ],
)
def test_an_environment_variable_that_names_no_setting_is_refused(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    """One misspelt would else be silently without effect."""
    monkeypatch.setenv(name, SECRET)
    assert refused(MINIMAL) == [f"{name}: unknown environment variable: {meant}"]


def test_one_setting_by_two_variables_is_refused(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both spellings name the same setting, and none of them is the stronger."""
    monkeypatch.setenv("TRH_DEADLINE_SECONDS", "900")
    monkeypatch.setenv("TRH_DEADLINESECONDS", "901")
    assert refused(MINIMAL) == ["TRH_DEADLINESECONDS and TRH_DEADLINE_SECONDS are the same setting: remove one"]


OF_1_29 = "1.29.0, 1.29.1, 1.29.2, 1.29.3, 1.29.4, 1.29.5, 1.29.6, 1.29.7"
WRONG = [
    ("temporal", 5, "must be a block of settings, each with its name, such as {name: value}"),
    ("temporal.version", 1.29, f"must be text, the whole release: one of {OF_1_29}"),
    ("temporal.version", "1.29", f"'1.29' is not a release of Temporal's server: give one of {OF_1_29}"),
    ("temporal.version", "latest", "'latest' is not a release of Temporal's server such as 1.29.1"),
    ("stores.default.port", "many", "must be a whole number"),
    ("stores.default.port", 0, "must be greater than or equal to 1"),
    ("stores.default.port", 65_536, "must be less than or equal to 65535"),
    ("stores.default.host", ["db"], "must be text: put it in quotes"),
    ("stores.default.passwordFile", 5, "must be the path of a file, as text"),
    (
        "stores.default.sslMode",
        SECRET,
        "must be 'disable', 'allow', 'prefer', 'require', 'verify-ca' or 'verify-full'",
    ),
    ("stores.visibility.enabled", "perhaps", "must be true or false"),
    ("migrations.attempts", 2.5, "must be a whole number"),
    ("migrations.attempts", -1, "must be greater than or equal to 0"),
    ("migrations.attempts", 21, "must be less than or equal to 20"),
    ("migrations.application.name", "", "must not be empty"),
    ("migrations.pauseSeconds", "ten", "must be a number of seconds, such as 300"),
    ("migrations.pauseSeconds", 0, "must be greater than 0"),
    ("runtime.stableSeconds", -1, "must be greater than 0"),
    ("downstream", {"name": "x"}, "must be a list"),
    ("reachability", "sometimes", "must be 'auto', 'always' or 'never'"),
    ("onEmptyDatabase", "drop", "must be 'migrate' or 'fail'"),
    ("report.format", "xml", "must be 'auto', 'json' or 'console'"),
    ("deadlineSeconds", 86_401, "must be less than or equal to 86400"),
    ("graceSeconds", -1, "must be greater than or equal to 0"),
    ("intervalSeconds", "2s", "must be a number of seconds, such as 300"),
    ("requestTimeoutSeconds", 0.5, "must be greater than or equal to 1"),
    ("requestTimeoutSeconds", 61, "must be less than or equal to 60"),
    ("clockSkewSeconds", 3601, "must be less than or equal to 3600"),
]


@pytest.mark.parametrize(("path", "value", "what"), WRONG, ids=[f"{path}={value}" for path, value, _ in WRONG])
def test_a_wrong_type_or_range_is_said_in_plain_words(
    refused: Callable[..., list[str]], path: str, value: object, what: str
) -> None:
    """The setting, what it must be, and not the value."""
    assert refused(with_(path, value)) == [f"{path}: {what}"]


@pytest.mark.parametrize(
    "address",
    ["frontend", "frontend:", "frontend:port", ":7233", "http://frontend:7233", "frontend:7233/", "a b:7233",
     "frontend:0", "frontend:65536", "", "frontend:7233\n"],
)  # fmt: skip
def test_a_bad_frontend_address_is_refused(refused: Callable[..., list[str]], address: str) -> None:
    """It is host:port, never a URL."""
    [line] = refused(with_("temporal.frontend.address", address))
    assert line.startswith("temporal.frontend.address: must be host:port, such as ")


@pytest.mark.parametrize(
    "address", ["temporal-frontend.temporal:7233", "10.0.0.1:1", "[fd00::1]:65535", "my_host:7233"]
)
def test_a_good_frontend_address_is_taken(load: Load, address: str) -> None:
    """Names, IPv4 and bracketed IPv6."""
    assert load(with_("temporal.frontend.address", address)).temporal.frontend.address == address


@pytest.mark.parametrize(
    "selector",
    ["app in (a", "app=a app=b", "app=a,", ",app=a", "app in a", "app in", "app not in (a)", "!app=a", "app=a=b", "=a",
     "app=-a", "-app", f"{'a' * 64}=b", f"a={'b' * 64}", "a..b/c", "A/b", "a/b/c", "app=a\n", " ", "app > 1"],
)  # fmt: skip
def test_a_bad_selector_is_refused(refused: Callable[..., list[str]], selector: str) -> None:
    """The API server would answer 400 for half an hour."""
    assert refused(with_("runtime.selector", selector)) == [
        "runtime.selector: is no label selector of Kubernetes: give labels such as app.kubernetes.io/name=temporal,team=data"
    ]


@pytest.mark.parametrize(
    "selector",
    ["app", "!app", "! app", "app=a", "app==a", "app != a", "app=", "app in (a,b)", "app notin(a)", "app in ()",
     "app in (,a)", "in=notin", " a.b-c/D_e.f = g , !h ", f"{'a' * 63}={'b' * 63}"],
)  # fmt: skip
def test_a_good_selector_is_taken(load: Load, selector: str) -> None:
    """In every form that the API server takes."""
    assert load(with_("runtime.selector", selector)).runtime.selector == selector


MALFORMED_DSNS = [
    f"postgresql://u:{SECRET}@host:port:x/db",
    f"postgresql://u:{SECRET}@[::1/db",
    f"postgresql://u:{SECRET}@host/db?nonsense=1",
    f"postgresql://u:{SECRET}%zz@host/db",
    f"host=db {SECRET}",
    f"host=db password='{SECRET}",
    f"{SECRET}",
]


@pytest.mark.parametrize("store", ["default", "visibility"])
@pytest.mark.parametrize("dsn", MALFORMED_DSNS)
def test_a_malformed_dsn_is_found_when_settings_are_read(
    refused: Callable[..., list[str]], store: str, dsn: str
) -> None:
    """Not by the first connection; and no part of it is shown."""
    document = with_("stores.default", {"dsn": "host=db"} if store == "visibility" else {"dsn": dsn})
    [line] = refused(with_(f"stores.{store}", {"dsn": dsn}, document))
    assert line.startswith(f"stores.{store}.dsn: is no PostgreSQL connection string such as postgresql://")


CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    (without("stores"), "stores: required: set it"),
    (without("migrations"), "migrations: required: set it"),
    (without("migrations.application"), "migrations.application: required by strategy argocd: set it"),
    (without("stores.default.host"), "stores.default: give host (with database, user and passwordFile), or dsn"),
    (
        with_("stores.default", {"dsn": "host=db", "host": "db", "user": "u", "sslMode": "require"}),
        "stores.default: dsn says it all: remove host, user, or remove dsn",
    ),
    (
        with_("stores.default.sslMode", "verify-full"),
        "stores.default: sslMode verify-full needs sslRootCertFile, the CA to verify by",
    ),
    (
        with_("stores.visibility.sslMode", "verify-ca"),
        "stores.visibility: sslMode verify-ca needs sslRootCertFile, the CA to verify by",
    ),
    *(
        (
            with_(f"stores.{store}.host", "db.postgres.svc:5432"),
            f'stores.{store}.host: "db.postgres.svc:5432" holds a port: give it as stores.{store}.port',
        )
        for store in ("default", "visibility")
    ),
    (
        with_("stores.visibility.database", "temporal"),
        (
            "stores.default and stores.visibility are the same database 'temporal': give each its own, or set "
            "stores.visibility.enabled: false where visibility is not in PostgreSQL"
        ),
    ),
    (
        with_(
            "stores", {"default": {"dsn": "postgresql://db/one"}, "visibility": {"dsn": "host=db port=5432 dbname=one"}}
        ),
        (
            "stores.default and stores.visibility are the same database 'one': give each its own, or set "
            "stores.visibility.enabled: false where visibility is not in PostgreSQL"
        ),
    ),
    (
        with_("stores", {"default": {"dsn": "host=db dbname=one"}, "visibility": {"user": "reader"}}),
        "stores.visibility: give host (with database, user and passwordFile), or dsn",
    ),
    (
        with_("migrations", {"strategy": "command", "application": {"name": "x"}}),
        "migrations.command: required by strategy command: set it",
    ),
    (
        with_("migrations.command", {"argv": ["true"], "stateDirectory": "/nowhere"}),
        "migrations.command: not used by strategy argocd: remove it, or set migrations.strategy",
    ),
    (
        with_("migrations", {"strategy": "command", "command": {"argv": [], "stateDirectory": "/nowhere"}}),
        "migrations.command.argv: must not be empty",
    ),
    (
        with_("runtime.application", {"name": "data-migrations-temporal"}),
        (
            "migrations.application and runtime.application are the same (argocd/data-migrations-temporal): the schema "
            "could never be right before the servers start; split Temporal's chart into two Applications, or set "
            "migrations.beforeServers where its schema Job is a PreSync hook, as in chart 1.x (docs/install.md)"
        ),
    ),
    (
        with_("migrations.beforeServers", True, with_("runtime.application", {"name": "data-temporal"})),  # noqa: FBT003
        (
            "migrations.beforeServers is for one Application with schema Job and servers: name it as "
            "runtime.application, too, or remove beforeServers"
        ),
    ),
    (
        with_("gate", {"name": "data-migrations-temporal"}),
        (
            "migrations.application is the gate's own Application (argocd/data-migrations-temporal): "
            "syncing it from inside its own sync is a deadlock"
        ),
    ),
    (
        with_("gate", {"name": "t"}, with_("runtime.application", {"name": "t"})),
        (
            "runtime.application is the gate's own Application (argocd/t): "
            "syncing it from inside its own sync is a deadlock"
        ),
    ),
    (
        with_("guard", value=True, document=with_("gate", {"name": "data-migrations-temporal"})),
        (
            "migrations.application is the gate's own Application (argocd/data-migrations-temporal): "
            "syncing it from inside its own sync is a deadlock"
        ),
    ),
    (
        GUARD | {"reachability": "always"},
        (
            "reachability: always in a guard of the runtime (argocd/data-temporal) is a deadlock, since Temporal's servers "
            "start after it: leave it at auto"
        ),
    ),
    (
        NO_SCHEMA | {"reachability": "auto"},
        (
            "migrations.strategy: none is for a guard with reachability: always, which waits until Temporal answers: set "
            "both, or migrations.application and stores"
        ),
    ),
    (
        NO_SCHEMA | {"guard": False},
        (
            "migrations.strategy: none is for a guard with reachability: always, which waits until Temporal answers: set "
            "both, or migrations.application and stores"
        ),
    ),
    (
        NO_SCHEMA | {"stores": MINIMAL["stores"]},
        "stores: migrations.strategy none looks at no schema: remove one",
    ),
    (
        NO_SCHEMA | {"migrations": {"strategy": "none", "application": {"name": "data-migrations-temporal"}}},
        "migrations.strategy: none asks nobody to migrate: remove application and command",
    ),
    (
        GUARD | {"downstream": [{"name": "orders"}]},
        "downstream[0] (argocd/orders): a guard syncs no other Application: list it in the gate's settings",
    ),
    (
        GUARD | {"reopenGate": True},
        "reopenGate: a guard is part of its own Application's sync and cannot start another: remove one",
    ),
    (
        with_(
            "downstream", [{"name": "data-migrations-temporal"}], with_("temporal.frontend.address", "temporal:7233")
        ),
        (
            "downstream[0] (argocd/data-migrations-temporal) is the migrations' or the runtime's Application: "
            "list only what comes after Temporal"
        ),
    ),
    (with_("reachability", "always"), "temporal.frontend.address: required by reachability: always: set it"),
    (
        with_("downstream", [{"name": "bootstrap"}]),
        "temporal.frontend.address: required by downstream, which is synced only when Temporal answers: set it",
    ),
    (
        with_("downstream", [{"name": "bootstrap"}], with_("reachability", "never")),
        "downstream: reachability never does not look at it: remove one",
    ),
    (
        with_("graceSeconds", 1800),
        (
            "graceSeconds (1800) must be less than deadlineSeconds (1800), "
            "or no fault would ever be named by its own exit code"
        ),
    ),
    (
        with_("run", {"job": "gate"}),
        "run: job needs id and namespace beside it (the chart sets all three by the downward API)",
    ),
    (
        with_("temporal.schemaVersions", {"default": "1.18", "visibility": "one"}),
        "temporal.schemaVersions.visibility: 'one' is not a schema version such as 1.18",
    ),
    (
        with_("temporal.schemaVersions", {"default": "1.18"}),
        "temporal.schemaVersions.visibility: required unless stores.visibility.enabled is false: set it",
    ),
    (with_("temporal.schemaVersions", {"visibility": "1.9"}), "temporal.schemaVersions.default: required: set it"),
]


@pytest.mark.parametrize(("document", "line"), CONTRADICTIONS, ids=[line[:60] for _, line in CONTRADICTIONS])
def test_settings_that_contradict_each_other_are_refused(
    refused: Callable[..., list[str]], document: dict[str, Any], line: str
) -> None:
    """Each names the settings that do not go together and what to change."""
    assert refused(document) == [line]


def test_one_application_may_hold_schema_and_servers(load: Callable[[dict[str, Any]], Settings]) -> None:
    """Where it is said that its sync ends the schema Job first."""
    one = with_("runtime.application", {"name": "data-migrations-temporal"})
    assert load(with_("migrations.beforeServers", True, one)).migrations.before_servers  # noqa: FBT003


@pytest.mark.parametrize(
    "path", ["temporal.frontend.tls.certFile", "temporal.frontend.tls.keyFile", "stores.default.sslCertFile"]
)
def test_a_certificate_without_its_key_is_refused(refused: Callable[..., list[str]], tmp_path: Path, path: str) -> None:
    """And a key without its certificate."""
    (tmp_path / "half.pem").write_text("")
    lines = refused(with_(path, str(tmp_path / "half.pem")))
    assert lines[0].startswith(path.rpartition(".")[0])
    assert "go together: give both or neither" in lines[0]


def test_several_faults_are_all_told_in_one_go(refused: Callable[..., list[str]]) -> None:
    """First what is no setting or no value, each where it stands in the settings."""
    document = with_("temporal.versoin", 1, with_("intervalSeconds", 0, with_("reachability", "x")))
    assert [line.partition(":")[0] for line in refused(document)] == [
        "temporal.versoin",
        "reachability",
        "intervalSeconds",
    ]


def test_contradictions_are_all_told_with_the_files_that_cannot_be_read(refused: Callable[..., list[str]]) -> None:
    """Somebody who corrects one line at a time would sync once for each."""
    document = with_("graceSeconds", 1800, with_("reachability", "always"))
    lines = refused(with_("stores.default.passwordFile", "/", document))
    assert [line.split()[0].strip(":") for line in lines] == [
        "temporal.frontend.address",
        "graceSeconds",
        "stores.default.passwordFile",
    ]


def test_all_unknown_variables_are_told_before_the_file_is_looked_at(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of their names."""
    monkeypatch.setenv("TRH_B_", "1")
    monkeypatch.setenv("TRH_A_", "1")
    assert [line.partition(":")[0] for line in refused(Path("/nowhere.yaml"))] == ["TRH_A_", "TRH_B_"]


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_release_that_the_table_does_not_know_is_refused(refused: Callable[..., list[str]], command: str) -> None:
    """By `check`, too, before it looks; with the settings that stand in for the table."""
    assert refused(with_("temporal.version", "1.99.0"), (command,)) == [
        (
            "temporal.version: release 1.99.0 is not in the table (it knows 1.17 to 1.32): "
            "set temporal.schemaVersions.default and .visibility yourself, or use a newer hook"
        )
    ]


def test_run_needs_the_release_that_comes_next(refused: Callable[..., list[str]]) -> None:
    """`check` may ask the pods instead; a run is for what does not run yet."""
    assert refused(without("temporal.version"), ("run",)) == [
        "temporal.version: required: the server's release that is rolled out, such as 1.29.1"
    ]


STORES_FILES = [
    "stores.default.passwordFile",
    "stores.default.databaseFile",
    "stores.default.sslRootCertFile",
    "stores.visibility.passwordFile",
    "stores.visibility.portFile",
    "stores.visibility.sslRootCertFile",
]
FILES = [
    *STORES_FILES,
    "temporal.frontend.tls.caFile",
    "temporal.frontend.tokenFile",
    "argocd.kubeconfigFile",
    "kubernetes.kubeconfigFile",
]


def naming(path: str, file: Path) -> dict[str, Any]:
    """Settings that name a file, with what makes use of it."""
    if path == "temporal.frontend.tokenFile":
        return with_(path, str(file), with_("temporal.frontend.tls", {}))
    store = path.removesuffix(".sslRootCertFile")
    return with_(path, str(file), with_(f"{store}.sslMode", "verify-ca") if store != path else None)


@pytest.mark.parametrize(
    ("path", "name", "why"),
    [(path, "", "Is a directory") for path in FILES]
    + [(path, "missing", "No such file or directory") for path in FILES if path not in STORES_FILES],
)
def test_a_file_that_cannot_be_read_is_named_with_its_setting(
    refused: Callable[..., list[str]], tmp_path: Path, path: str, name: str, why: str
) -> None:
    """A Secret that is not mounted is the common cause."""
    file = tmp_path / name
    assert refused(naming(path, file)) == [f"{path}: cannot read {file}: {why}; is the Secret mounted there?"]


@pytest.mark.parametrize("path", STORES_FILES)
def test_a_stores_file_that_is_missing_may_still_come(load: Load, tmp_path: Path, path: str) -> None:
    """On a fresh cluster a Secret is often late: it is told of when it is used, and has its grace."""
    stores = load(naming(path, tmp_path / "missing")).stores
    with pytest.raises(OSError, match=f"{path.rpartition('.')[2]}: cannot read {tmp_path}/missing: No such file"):
        stores.of(Store(path.split(".")[1])).conninfo()


@pytest.mark.parametrize("path", [path for path in FILES if path.endswith(("caFile", "sslRootCertFile"))])
@pytest.mark.parametrize(
    "content",
    [b"", SECRET.encode(), b"\x30\x82\x01\x0a", b"-----BEGIN CERTIFICATE-----\nbm90\n-----END CERTIFICATE-----\n"],
    ids=["empty", "text", "der", "broken"],
)
def test_a_ca_file_without_a_certificate_is_refused(
    refused: Callable[..., list[str]], tmp_path: Path, path: str, content: bytes
) -> None:
    """Found now, and not as a TLS handshake that fails for two minutes."""
    file = tmp_path / "ca"
    file.write_bytes(content)
    assert refused(naming(path, file)) == [
        f"{path}: {file} holds no certificate in PEM form: give a file that begins -----BEGIN CERTIFICATE"
    ]


def test_a_password_file_that_is_no_text_is_refused(refused: Callable[..., list[str]], tmp_path: Path) -> None:
    """An encrypted or compressed one, for example."""
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe" + SECRET.encode())
    assert refused(with_("stores.default.passwordFile", str(file))) == [
        f"stores.default.passwordFile: {file} is not UTF-8 text: store the password itself, not encoded or encrypted"
    ]


def test_files_of_a_store_that_is_switched_off_are_not_asked_for(load: Load) -> None:
    """Nothing of it is read, and it may even name the same database."""
    off = {"enabled": False, "passwordFile": "/nowhere", "sslMode": "verify-ca", "database": "temporal"}
    assert load(with_("stores.visibility", off)).stores.enabled == (Store.DEFAULT,)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"- a\n- b\n", "must hold settings, one `name: value` a line, and holds something else"),
        (b"hello\n", "must hold settings, one `name: value` a line, and holds something else"),
        (b"1: 1\n", "must hold settings, one `name: value` a line, and holds something else"),
        (
            b"temporal:\n  version: [1\n",
            "is not YAML at line 3, column 1: check indentation, brackets and quotes there",
        ),
        (
            b"dsn: *" + SECRET.encode(),
            "is not YAML at line 1, column 6: check indentation, brackets and quotes there",
        ),
        (
            b"dsn: !" + SECRET.encode() + b" x",
            "is not YAML at line 1, column 6: check indentation, brackets and quotes there",
        ),
        (b"a: \x01\n", "is not YAML: it holds a character or a value that YAML does not allow"),
        (b"a: 2024-13-45\n", "is not YAML: it holds a character or a value that YAML does not allow"),
        (b"a: \xff\n", "is not UTF-8 text (byte 3): save it as UTF-8"),
    ],
    ids=["list", "text", "number-as-name", "broken", "alias", "tag", "control-character", "date", "not-utf-8"],
)
def test_a_file_that_is_no_settings_is_told_by_its_place_in_it(
    refused: Callable[..., list[str]], tmp_path: Path, content: bytes, what: str
) -> None:
    """Never by the text that stands there: it may be a password that was not quoted."""
    assert refused(content) == [f"--config {tmp_path / 'settings.yaml'}: {what}"]


@pytest.mark.parametrize(("name", "why"), [("missing.yaml", "No such file or directory"), ("", "Is a directory")])
def test_a_config_path_that_is_no_file_is_named(
    refused: Callable[..., list[str]], tmp_path: Path, name: str, why: str
) -> None:
    """By the option that gives it."""
    path = tmp_path / name
    assert refused(path) == [f"--config {path}: cannot be read: {why}; give the path of a settings file"]


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("TRH_STORES", "{", 'a block of settings in JSON, as {"name": "value"}'),
        ("TRH_GATE", "gate", 'a block of settings in JSON, as {"name": "value"}'),
        ("TRH_STORES__DEFAULT", "[1]", 'a block of settings in JSON, as {"name": "value"}'),
        ("TRH_DOWNSTREAM", "bootstrap", 'a list in JSON, as ["one", "two"]'),
        ("TRH_DOWNSTREAM", "", 'a list in JSON, as ["one", "two"]'),
        ("TRH_MIGRATIONS__COMMAND__ARGV", "make migrate", 'a list in JSON, as ["one", "two"]'),
    ],
)
def test_a_variable_that_is_not_the_json_it_has_to_be_is_named(
    refused: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, name: str, value: str, what: str
) -> None:
    """A block or a list in one variable is JSON."""
    monkeypatch.setenv(name, value)
    assert refused(MINIMAL) == [f"{name}: must be {what}"]


def test_settings_from_nowhere_are_refused_with_what_is_required(refused: Callable[..., list[str]]) -> None:
    """No file and no variable."""
    assert refused(None) == ["stores: required: set it", "migrations: required: set it"]


# --- taken --------------------------------------------------------------------------------------------------------

ANOTHER = {
    "TRH_TEMPORAL__VERSION": "1.28.1",
    "TRH_DOWNSTREAM": '[{"name": "bootstrap"}]',
    "TRH_REACHABILITY": "always",
    "TRH_TEMPORAL__FRONTEND__ADDRESS": "temporal:7233",
    "TRH_ON_EMPTY_DATABASE": "fail",
    "TRH_STORES__DEFAULT__SSL_MODE": "require",
    "TRH_STORES__VISIBILITY__ENABLED": "false",
    "TRH_MIGRATIONS__PAUSE_SECONDS": "11",
    "TRH_REPORT__TERMINATION_MESSAGE_FILE": "/tmp/said",  # noqa: S108 -- only named
    "TRH_REQUEST_TIMEOUT_SECONDS": "7.5",
}


def at(loaded: Settings, variable: str) -> object:
    """Return the value that a variable in its longer spelling sets."""
    value: Any = loaded
    for part in variable.removeprefix("TRH_").lower().split("__"):
        value = getattr(value, part)
    return value


@pytest.mark.parametrize("spelling", [str, lambda name: f"TRH_{name.removeprefix('TRH_').replace('__', '.')}"])
def test_the_environment_wins_over_the_file(
    load: Load, monkeypatch: pytest.MonkeyPatch, spelling: Callable[[str], str]
) -> None:
    """In both spellings of a name: TRH_DEADLINE_SECONDS and TRH_DEADLINESECONDS."""
    short = spelling is not str
    file = with_("stores.default.sslMode", "disable", with_("migrations.pauseSeconds", 12))
    file |= {"reachability": "auto", "onEmptyDatabase": "migrate", "requestTimeoutSeconds": 6, "downstream": []}
    for name, value in ANOTHER.items():
        parts = name.removeprefix("TRH_").split("__")
        monkeypatch.setenv("TRH_" + "__".join(part.replace("_", "") if short else part for part in parts), value)
    loaded = load(file)
    assert {name: at(loaded, name) for name in ANOTHER} == {
        "TRH_TEMPORAL__VERSION": "1.28.1",
        "TRH_DOWNSTREAM": (settings.ApplicationSettings(name="bootstrap"),),
        "TRH_REACHABILITY": Reachability.ALWAYS,
        "TRH_TEMPORAL__FRONTEND__ADDRESS": "temporal:7233",
        "TRH_ON_EMPTY_DATABASE": OnEmptyDatabase.FAIL,
        "TRH_STORES__DEFAULT__SSL_MODE": "require",
        "TRH_STORES__VISIBILITY__ENABLED": False,
        "TRH_MIGRATIONS__PAUSE_SECONDS": 11,
        "TRH_REPORT__TERMINATION_MESSAGE_FILE": Path("/tmp/said"),  # noqa: S108
        "TRH_REQUEST_TIMEOUT_SECONDS": 7.5,
    }
    assert loaded.stores.default.host == "db", "what no variable names is the file's"


def test_every_variable_reaches_its_setting(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is known and without effect: each changes the settings, or is refused for what it holds."""
    usual = load()
    for name in loading._variables():  # noqa: SLF001 -- the names that are not refused as unknown
        with monkeypatch.context() as environment:
            environment.setenv(name, "17")
            with suppress(SettingsError):
                assert load() != usual, name


def test_a_block_in_json_is_completed_by_the_variables_of_its_parts(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And both by the file."""
    monkeypatch.setenv("TRH_STORES__DEFAULT", json.dumps({"host": "from-json", "port": 1, "passwordFile": None}))
    monkeypatch.setenv("TRH_STORES__DEFAULT__PORT", "2")
    default = load(with_("stores.default.user", "from-file")).stores.default
    assert (default.host, default.port, default.user) == ("from-json", 2, "from-file")


def test_settings_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that sets variables only."""
    monkeypatch.setenv("TRH_STORES__DEFAULT__HOST", "db")
    monkeypatch.setenv("TRH_MIGRATIONS__APPLICATION__NAME", "migrations")
    loaded = loading.load(None)
    assert loaded.stores.default.host == "db"
    assert str(loaded.targets["migrations.application"]) == "argocd/migrations"


def test_an_empty_file_says_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is as good as none."""
    monkeypatch.setenv("TRH_STORES__DEFAULT__HOST", "db")
    monkeypatch.setenv("TRH_MIGRATIONS__APPLICATION__NAME", "migrations")
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert loading.load(tmp_path / "empty.yaml") == loading.load(None)


def test_visibility_takes_what_it_leaves_out_from_the_default_store(load: Load, tmp_path: Path) -> None:
    """All but the database's name."""
    password = tmp_path / "password"
    password.write_text(f"{SECRET}\n")
    document = with_("stores.default", {"host": "db", "port": 5433, "user": "temporal", "passwordFile": str(password)})
    stores = load(with_("stores.visibility.user", "reader", document)).stores
    assert stores.of(Store.DEFAULT).conninfo() == {
        "host": "db",
        "port": "5433",
        "dbname": "temporal",
        "user": "temporal",
        "password": SECRET,
    }
    assert stores.of(Store.VISIBILITY).conninfo() == {
        "host": "db",
        "port": "5433",
        "dbname": "temporal_visibility",
        "user": "reader",
        "password": SECRET,
    }


def test_visibility_may_verify_by_the_ca_that_it_inherits(load: Load, tmp_path: Path) -> None:
    """What one store leaves out is not missing."""
    document = naming("stores.default.sslRootCertFile", authority(tmp_path))
    stores = load(with_("stores.visibility.sslMode", "verify-full", document)).stores
    visibility = stores.of(Store.VISIBILITY).conninfo()
    assert (visibility["sslmode"], visibility["sslrootcert"]) == ("verify-full", str(tmp_path / "ca.pem"))


@pytest.mark.parametrize("store", ["default", "visibility"])
@pytest.mark.parametrize(("mode", "shown"), [(None, "prefer, libpq's default"), ("disable", "disable")])
def test_a_ca_that_verifies_nothing_is_refused(
    refused: Callable[..., list[str]], tmp_path: Path, store: str, mode: str | None, shown: str
) -> None:
    """libpq would send the password to whoever answers."""
    document = with_(f"stores.{store}.sslRootCertFile", str(authority(tmp_path)))
    line = (
        f"stores.{store}.sslRootCertFile: nothing is verified by it under sslMode {shown}: "
        f"set stores.{store}.sslMode to verify-full or verify-ca"
    )
    assert refused(with_(f"stores.{store}.sslMode", mode, document)) == [line]


def authority(directory: Path) -> Path:
    """The certificate of some CA."""
    import trustme  # noqa: PLC0415 -- for these cases only

    trustme.CA().cert_pem.write_to_path(directory / "ca.pem")
    return directory / "ca.pem"


def test_conninfo_holds_every_part_that_is_set_and_no_other(tmp_path: Path) -> None:
    """libpq's own names and defaults."""
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    for file in (ca, cert, key):
        file.write_text("-----BEGIN")
    store = StoreSettings.model_validate(
        {
            "host": "db", "port": 5433, "database": "t", "user": "u", "sslMode": "verify-full", "options": "-c a=b",
            "sslRootCertFile": ca, "sslCertFile": cert, "sslKeyFile": key,
        }
    )  # fmt: skip
    assert store.conninfo() == {
        "host": "db", "port": "5433", "dbname": "t", "user": "u", "sslmode": "verify-full", "options": "-c a=b",
        "sslrootcert": str(ca), "sslcert": str(cert), "sslkey": str(key),
    }  # fmt: skip
    assert StoreSettings(host="db").conninfo() == {"host": "db"}
    cert.unlink()
    with pytest.raises(OSError, match="sslCertFile: cannot read"):  # libpq would go on without it
        store.conninfo()


def test_an_ipv6_address_holds_no_port(load: Load) -> None:
    """Its last part may be digits alone; and what a store that is switched off says does not count."""
    document = with_("stores.visibility", {"enabled": False, "host": "db:5432"})
    assert load(with_("stores.default.host", "fd00::5432", document)).stores.default.place[0] == "fd00::5432"


def test_a_dsn_is_taken_apart_by_libpq(load: Load) -> None:
    """Percent-encoding included; nothing is inherited from it or into it."""
    dsns = {"default": {"dsn": "postgresql://u:p%40ss@db:5433/one"}, "visibility": {"dsn": "dbname=two"}}
    stores = load(with_("stores", dsns)).stores
    assert stores.of(Store.DEFAULT).conninfo() == {
        "user": "u",
        "password": "p@ss",
        "host": "db",
        "port": "5433",
        "dbname": "one",
    }
    assert stores.of(Store.VISIBILITY).conninfo() == {"dbname": "two"}


def test_a_dsn_is_not_shown_where_settings_are_printed(load: Load) -> None:
    """Not even by accident."""
    document = with_("stores.default", {"dsn": f"password={SECRET}"}, with_("stores.visibility.host", "db"))
    assert SECRET not in repr(load(document))


def secrets_of(settings: Settings) -> set[str]:
    """The secrets that the settings lead to, without those of the environment that the tests run in."""
    return loading.secrets(settings) - loading.environment_secrets()


def test_a_rotated_password_is_taken_up_at_the_next_use(load: Load, tmp_path: Path) -> None:
    """The file is read anew, and one line's end is not part of it."""
    file = tmp_path / "password"
    file.write_text("old\n")
    loaded = load(with_("stores.default.passwordFile", str(file)))
    store = loaded.stores.of(Store.DEFAULT)
    assert store.conninfo()["password"] == "old"
    assert secrets_of(loaded) == {"old"}
    file.write_text(" new \r\n")
    assert store.conninfo()["password"] == " new "
    assert secrets_of(loaded) == {" new "}


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["gone", "no-text"])
def test_a_password_file_that_went_bad_is_an_os_error(load: Load, tmp_path: Path, content: bytes | None) -> None:
    """The adapter waits for that; anything else would end the run as a bug. And no secret is known from it."""
    file = tmp_path / "password"
    file.write_text("good")
    loaded = load(with_("stores.default.passwordFile", str(file)))
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OSError, match="password"):
        loaded.stores.of(Store.DEFAULT).conninfo()
    assert secrets_of(loaded) == set()


def test_every_password_that_settings_lead_to_is_a_secret(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files, from a DSN, of a key, and libpq's own variable."""
    monkeypatch.setenv("PGPASSWORD", "from-variable")
    (tmp_path / "password").write_text("from-file")
    stores = {
        "default": {"host": "db", "passwordFile": str(tmp_path / "password")},
        "visibility": {"dsn": "host=db password=from-dsn sslpassword=of-key"},
    }
    loaded = load(with_("stores", stores))
    assert secrets_of(loaded) == {"from-file", "from-dsn", "of-key"}
    assert {"from-variable", "from-file"} <= loading.secrets(loaded)


def test_policy_is_made_of_the_settings(load: Load) -> None:
    """Seconds become durations, and only stores that are gated are expected."""
    document = with_("stores.visibility.enabled", value=False, document=with_("graceSeconds", 5))
    policy = load(with_("migrations.attempts", 2, document)).policy()
    assert policy.expected == {Store.DEFAULT: SchemaVersion.parse("1.18")}
    assert (policy.release, policy.estimated_from) == (Release(1, 29, 1), None)
    assert (policy.grace, policy.attempts, policy.pause) == (timedelta(seconds=5), 2, timedelta(seconds=10))


def test_policy_says_which_listed_release_stands_in(load: Load) -> None:
    """For a patch that came after the table."""
    assert load(with_("temporal.version", "1.29.99")).policy().estimated_from == Release(1, 29, 7)


def test_schema_versions_by_hand_stand_in_for_the_table(load: Load) -> None:
    """For a release that it does not know, or for none at all."""
    by_hand = {"default": "1.50", "visibility": "1.40"}
    expected = {Store.DEFAULT: SchemaVersion((1, 50)), Store.VISIBILITY: SchemaVersion((1, 40))}
    unknown = with_("temporal", {"version": "1.99.0", "schemaVersions": by_hand})
    assert load(unknown).policy().expected == expected
    assert load(with_("temporal", {"schemaVersions": by_hand})).policy().expected == expected


def test_a_store_that_is_not_gated_needs_no_schema_version(load: Load) -> None:
    """Its version would be that of a database that is not there."""
    document = with_("stores.visibility.enabled", value=False)
    loaded = load(with_("temporal", {"version": "1.99.0", "schemaVersions": {"default": "1.50"}}, document))
    assert loaded.policy().expected == {Store.DEFAULT: SchemaVersion((1, 50))}


def test_check_takes_the_release_that_runs_where_none_is_set(load: Load) -> None:
    """And refuses one that the table does not know."""
    loaded = load(without("temporal.version"))
    assert loaded.policy(Release(1, 17, 0)).expected[Store.DEFAULT] == SchemaVersion((1, 8))
    with pytest.raises(SettingsError, match=r"release 1\.99\.0 is not in the table"):
        loaded.policy(Release(1, 99, 0))


def test_every_number_of_time_carries_its_unit_in_its_name() -> None:
    """No setting leaves open whether it counts seconds or minutes."""

    def numbers(model: type[Any]) -> list[str]:
        return [name for name, field in model.model_fields.items() if field.annotation is float]

    found = numbers(Settings) + numbers(settings.MigrationsSettings) + numbers(settings.RuntimeSettings)
    assert len(found) == 9
    assert [name for name in found if not name.endswith("_seconds")] == []


def with_token(file: Path, **frontend: Any) -> dict[str, Any]:
    return with_("temporal.frontend", {"address": "temporal:7233", "tokenFile": str(file), **frontend})


@pytest.mark.parametrize(
    ("content", "header", "hidden"),
    [
        ("aaa.bbb.ccc\n", "Bearer aaa.bbb.ccc", "aaa.bbb.ccc"),
        ("  aaa.bbb.ccc  ", "Bearer aaa.bbb.ccc", "aaa.bbb.ccc"),
        ("Bearer aaa.bbb.ccc\r\n", "Bearer aaa.bbb.ccc", "aaa.bbb.ccc"),
        ("Basic  dXNlcjpwYXNz", "Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    ],
)
def test_a_token_is_sent_as_bearer_unless_its_file_names_a_scheme_and_is_a_secret(
    load: Load, tmp_path: Path, content: str, header: str, hidden: str
) -> None:
    """Alone and with its scheme: either may come back in an error's text."""
    file = tmp_path / "token"
    file.write_text(content)
    loaded = load(with_token(file, tls={}))
    assert loaded.temporal.frontend.authorization() == header
    assert {header, hidden} <= loading.secrets(loaded)


def test_a_rotated_token_is_taken_up_at_the_next_use(load: Load, tmp_path: Path) -> None:
    """And one that is away meanwhile is an error that the adapter knows, and no bug."""
    file = tmp_path / "token"
    file.write_text("old")
    loaded = load(with_token(file, allowPlainTextToken=True))
    file.write_text("new")
    assert loaded.temporal.frontend.authorization() == "Bearer new"
    file.unlink()
    with pytest.raises(OSError, match="token"):
        loaded.temporal.frontend.authorization()
    assert secrets_of(loaded) == set()


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", "tök".encode(), b"to\x00ken"])
def test_a_file_that_holds_no_token_is_refused(
    refused: Callable[..., list[str]], tmp_path: Path, content: bytes
) -> None:
    """GRPC takes no other text for a header, and would end the run as a bug."""
    file = tmp_path / "token"
    file.write_bytes(content)
    assert refused(with_token(file, tls={})) == [
        f"temporal.frontend.tokenFile: {file} holds no token: one line of ASCII text is needed"
    ]


def test_a_token_in_plain_text_has_to_be_allowed(load: Load, refused: Callable[..., list[str]], tmp_path: Path) -> None:
    """Anybody on its way could read it."""
    file = tmp_path / "token"
    file.write_text("aaa.bbb.ccc")
    [line] = refused(with_token(file))
    assert line.startswith("temporal.frontend: tokenFile would be sent in plain text: set tls, or allowPlainTextToken")
    assert load(with_token(file, allowPlainTextToken=True)).temporal.frontend.authorization() == "Bearer aaa.bbb.ccc"


def test_without_a_token_file_there_is_no_header(load: Load) -> None:
    assert load(with_("temporal.frontend.address", "temporal:7233")).temporal.frontend.authorization() is None


def test_a_guard_that_needs_the_frontend_alone_needs_neither_stores_nor_a_release(load: Load) -> None:
    """Nothing is asked of PostgreSQL or of migrations; its own Application is read all the same."""
    settings = load(NO_SCHEMA)
    assert (settings.gated, dict(settings.policy().expected), settings.targets) == ((), {}, {})
    assert settings.reads_applications
    assert settings.posts_events


def test_a_guard_may_be_part_of_what_it_guards(load: Load) -> None:
    """The runtime's looks at nothing of Temporal; the bootstrap's does. A gate is neither, and asks for migrations."""
    before_runtime = load(GUARD)
    assert before_runtime.policy().is_guard
    assert not before_runtime.looks_at_temporal
    own = {"gate": {"name": "orders"}, "downstream": [{"name": "orders"}], "reachability": "always"}
    before_bootstrap = load(GUARD | own)
    assert before_bootstrap.looks_at_temporal
    gate = load(MINIMAL)
    assert (gate.policy().is_guard, gate.looks_at_temporal, gate.policy().may_migrate) == (False, True, True)


def test_no_attempts_are_none_of_the_migration_alone(load: Load) -> None:
    """What is downstream is synced again all the same."""
    policy = load(with_("migrations.attempts", 0)).policy()
    assert (policy.may_migrate, policy.attempts) == (False, 1)
