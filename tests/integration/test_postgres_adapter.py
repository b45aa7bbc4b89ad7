"""The stores' adapter against a real PostgreSQL and schemas that Temporal's own tool made.

Stand-ins, each said where it stands: TLS (``lab.postgres_tls``: the wheel's server is built without it), and servers
that misbehave as a real one does not on request (a few bytes of PostgreSQL's protocol, or none).
"""

import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest
import trustme
from psycopg.conninfo import make_conninfo

from hook.adapters import postgres as adapter
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store, expectation
from lab import temporal, toolchain
from lab.postgres import Postgres
from lab.processes import free_port, wait_until
from lab.temporal import Databases

FreshDatabases = Callable[[], Databases]

SECONDS = 5.0
LAB_STORES = {Store.DEFAULT: temporal.Store.DEFAULT, Store.VISIBILITY: temporal.Store.VISIBILITY}


def settings(databases: Databases, store: Store = Store.DEFAULT, **changes: Any) -> dict[str, str]:
    """The parameters of a store as the gate's settings give them."""
    parameters = {
        "host": databases.host,
        "port": databases.port,
        "dbname": databases.name(LAB_STORES[store]),
        "user": databases.user,
        "password": databases.password,
    } | changes
    return {name: str(value) for name, value in parameters.items()}


def read(databases: Databases, store: Store = Store.DEFAULT, *, seconds: float = SECONDS, **changes: Any) -> Schema:
    return adapter.read(store, lambda: settings(databases, store, **changes), seconds)


def refused(databases: Databases, store: Store = Store.DEFAULT, *, seconds: float = SECONDS, **changes: Any) -> Finding:
    """The finding of a look that must fail. Whatever it is, it says where and holds no password."""
    parameters = settings(databases, store, **changes)
    return refusal(store, lambda: parameters, seconds, parameters["password"], parameters["dbname"])


def refusal(
    store: Store, conninfo: Callable[[], Mapping[str, str]], seconds: float, password: str, database: str
) -> Finding:
    with pytest.raises(FindingError) as caught:
        adapter.read(store, conninfo, seconds)
    finding = caught.value.finding
    assert finding.about.startswith(f"store {store} ({database} on ")
    for text in (str(caught.value), str(finding), finding.remedy, repr(caught.value.__cause__)):
        assert password not in text
    return finding


@pytest.fixture
def databases(fresh_databases: FreshDatabases) -> Databases:
    return fresh_databases()


@pytest.fixture
def schema(databases: Databases, temporal_build: toolchain.TemporalBuild) -> temporal.Schema:
    """Temporal's tool, working on the databases; nothing is made yet."""
    return temporal.Schema(temporal_build.schema_tool, databases)


def migrate(schema: temporal.Schema, store: Store = Store.DEFAULT, version: str | None = None) -> None:
    schema.run(schema.setup(LAB_STORES[store]))
    schema.run(schema.update(LAB_STORES[store], version))


def as_owner(databases: Databases, *statements: str, store: Store = Store.DEFAULT) -> None:
    with psycopg.connect(make_conninfo(**settings(databases, store)), autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


# --- the schema's state -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", Store)
def test_an_empty_database_has_no_version(databases: Databases, store: Store) -> None:
    """It is no fault: a new cluster looks so."""
    assert read(databases, store) == Schema(store)


@pytest.mark.parametrize("store", Store)
def test_a_migrated_schema_is_what_its_release_expects_since_when_the_tool_wrote_it(
    store: Store, databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """Times are UTC, whatever the role's time zone."""
    postgres.execute("postgres", f"ALTER ROLE \"{databases.user}\" SET timezone = 'Asia/Tokyo'")
    before = datetime.now(UTC)
    migrate(schema, store)
    after = datetime.now(UTC)

    seen = read(databases, store)

    database = databases.name(LAB_STORES[store])
    [(since, born)] = postgres.execute(
        database, "SELECT creation_time, (SELECT min(update_time) FROM schema_update_history) FROM schema_version"
    )
    expected = expectation(Release.parse(toolchain.RELEASE)).versions[store]
    assert seen == Schema(store, expected, since.replace(tzinfo=UTC), born.replace(tzinfo=UTC))
    assert seen.born is not None
    assert seen.since is not None
    assert before - timedelta(milliseconds=1) <= seen.born < seen.since <= after


@pytest.mark.parametrize(
    ("store", "version"),
    [
        (Store.DEFAULT, "1.0"),
        (Store.DEFAULT, "1.9"),
        (Store.DEFAULT, "1.10"),
        (Store.DEFAULT, "1.17"),
        (Store.VISIBILITY, "1.1"),
        (Store.VISIBILITY, "1.8"),
    ],
)
def test_an_older_schema_is_read_as_its_version(
    store: Store, version: str, databases: Databases, schema: temporal.Schema
) -> None:
    """And no state that a migration passes through is taken for a fault."""
    migrate(schema, store, version)
    assert read(databases, store).version == SchemaVersion.parse(version)


def test_a_migration_under_way_moves_since_and_leaves_born(databases: Databases, schema: temporal.Schema) -> None:
    """Pods are compared with the one, crashes with the other."""
    migrate(schema, Store.DEFAULT, "1.17")
    earlier = read(databases)
    migrate(schema)
    later = read(databases)
    assert later.born == earlier.born
    assert earlier.since is not None
    assert later.since is not None
    assert later.since > earlier.since


@pytest.mark.parametrize("store", Store)
@pytest.mark.parametrize("left", ["one table", "both tables", "the row 0.0"])
def test_an_interrupted_set_up_is_no_fault(
    store: Store, left: str, databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """The next one goes on from there."""
    schema.run(schema.setup(LAB_STORES[store]))
    database = databases.name(LAB_STORES[store])
    if left != "the row 0.0":
        postgres.execute(database, "DELETE FROM schema_version")
        postgres.execute(database, "DELETE FROM schema_update_history")
    if left == "one table":
        postgres.execute(database, "DROP TABLE schema_update_history")

    seen = read(databases, store)

    assert seen.version == (SchemaVersion.parse("0.0") if left == "the row 0.0" else None)
    assert (seen.since is None, seen.born is None) == ((False, False) if left == "the row 0.0" else (True, True))
    migrate(schema, store)
    assert read(databases, store).version == expectation(Release.parse(toolchain.RELEASE)).versions[store]


@pytest.mark.parametrize(
    ("store", "version", "statements", "seen"),
    [(Store.DEFAULT, "1.0", 2, "0.0"), (Store.DEFAULT, "1.18", 1, "1.17"), (Store.VISIBILITY, "1.9", 1, "1.8")],
)
def test_an_update_interrupted_where_it_replays_is_behind_and_no_fault(  # noqa: PLR0913, PLR0917
    store: Store, version: str, statements: int, seen: str, databases: Databases, schema: temporal.Schema
) -> None:
    """The next migration finishes it."""
    schema.leave_interrupted(LAB_STORES[store], version, statements)
    assert read(databases, store).version == SchemaVersion.parse(seen)


@pytest.mark.parametrize(
    ("store", "version", "statements", "before"),
    [(Store.DEFAULT, "1.16", 1, "1.15"), (Store.VISIBILITY, "1.6", 3, "1.5")],
)
def test_an_update_interrupted_where_it_does_not_replay_is_stuck_until_its_remedy_is_run(  # noqa: PLR0913, PLR0917
    store: Store, version: str, statements: int, before: str, databases: Databases, schema: temporal.Schema
) -> None:
    """It is named by its two versions; every such version is in test_unreplayable_versions."""
    schema.leave_interrupted(LAB_STORES[store], version, statements)

    finding = refused(databases, store)

    assert finding.reason is Reason.SCHEMA_STUCK
    assert finding.detail.startswith(f"between {before} and {version}: ")
    as_owner(databases, remedy_of(finding), store=store)
    assert read(databases, store).version == SchemaVersion.parse(before)
    schema.run(schema.update(LAB_STORES[store]))
    assert read(databases, store).version == expectation(Release.parse(toolchain.RELEASE)).versions[store]


def remedy_of(finding: Finding) -> str:
    """The SQL that a person would copy from it."""
    found = re.fullmatch(
        r"In that database, as the tables' owner, run: (.*) Then sync the gate's Application\.", finding.remedy
    )
    assert found is not None, finding.remedy
    return found.group(1)


@pytest.mark.parametrize("set_up_again", [False, True], ids=["no row", "row 0.0"])
@pytest.mark.parametrize("store", Store)
def test_a_renamed_database_lacks_its_row_until_its_remedy_is_run(
    store: Store,
    set_up_again: bool,  # noqa: FBT001 - a case of the test
    databases: Databases,
    schema: temporal.Schema,
    postgres: Postgres,
) -> None:
    """Also where setup-schema was run on it since; the finding names the row that it has."""
    migrate(schema, store)
    was = databases.name(LAB_STORES[store])
    healthy = read(databases, store)
    renamed = f"{was}_renamed"
    postgres.execute("postgres", f'ALTER DATABASE "{was}" RENAME TO "{renamed}"')
    there = Databases(databases.host, databases.port, databases.user, databases.password, renamed, renamed)
    try:
        again = temporal.Schema(schema.tool, there)
        if set_up_again:
            again.run(again.setup(LAB_STORES[store]))

        finding = refused(there, store)

        assert finding.reason is Reason.SCHEMA_VERSION_MISSING
        assert finding.detail.endswith("" if set_up_again else f"; schema_version has a row for '{was}'")
        assert finding.detail.count(f"'{was}'") == (0 if set_up_again else 1)
        before = datetime.now(UTC)
        as_owner(there, remedy_of(finding), store=store)
        healed = read(there, store)
        assert (healed.version, healed.born) == (healthy.version, healthy.born)
        assert healed.since is not None
        assert before - timedelta(milliseconds=1) <= healed.since <= datetime.now(UTC)
        found = again.run(again.update(LAB_STORES[store]))
        assert f"found zero updates from current version {healthy.version}" in found
    finally:
        postgres.drop_database(renamed)


@pytest.mark.parametrize("store", Store)
def test_tables_without_any_version_table_are_not_taken_for_an_empty_database(
    store: Store, databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """As after a restore that is half done."""
    migrate(schema, store)
    postgres.execute(databases.name(LAB_STORES[store]), "DROP TABLE schema_version")
    assert refused(databases, store).reason is Reason.SCHEMA_VERSION_MISSING


@pytest.mark.parametrize("text", ["one.two", "", "1.18-rc", "1.18\n1.19", None])
def test_a_version_that_is_none_is_malformed(
    text: str | None, databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """Temporal would take it for 0; it is shown as it is."""
    migrate(schema, Store.DEFAULT, "1.0")
    postgres.execute(databases.default, "UPDATE schema_version SET curr_version = %s", [text])
    finding = refused(databases)
    assert finding.reason is Reason.SCHEMA_VERSION_MALFORMED
    assert finding.detail.startswith("curr_version is NULL" if text is None else f"curr_version {text!r} ")


def test_two_rows_of_the_same_database_are_ambiguous(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """Which takes a primary key that is gone; both versions are shown."""
    migrate(schema, Store.DEFAULT, "1.1")
    postgres.execute(databases.default, "ALTER TABLE schema_version DROP CONSTRAINT schema_version_pkey")
    postgres.execute(
        databases.default,
        "INSERT INTO schema_version (version_partition, db_name, curr_version) VALUES (0, current_database(), '1.18')",
    )
    finding = refused(databases)
    assert finding.reason is Reason.SCHEMA_VERSION_AMBIGUOUS
    assert all(version in finding.detail for version in ("1.1", "1.18"))


def test_rows_of_other_databases_and_partitions_are_not_ours(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """The server asks for partition 0 and its own database's name."""
    migrate(schema, Store.DEFAULT, "1.1")
    before = read(databases)
    postgres.execute(
        databases.default,
        "INSERT INTO schema_version (version_partition, db_name, curr_version)"
        " VALUES (0, 'another', '1.18'), (1, current_database(), '1.17')",
    )
    assert read(databases) == before


# --- access -------------------------------------------------------------------------------------------------------


def test_a_wrong_password_is_a_refused_login(databases: Databases) -> None:
    """By the real authentication."""
    finding = refused(databases, password="not-the-right-one")
    assert finding.reason is Reason.DATABASE_LOGIN_REFUSED
    assert "password authentication failed" in finding.detail


@pytest.mark.parametrize("user", ["absent", "SSL certificate_manager"])
def test_an_absent_role_is_a_refused_login_whatever_its_name(databases: Databases, user: str) -> None:
    """PostgreSQL says the same of it as of a wrong password."""
    assert refused(databases, user=user).reason is Reason.DATABASE_LOGIN_REFUSED


def test_a_role_that_may_not_log_in_is_a_refused_login(databases: Databases, postgres: Postgres) -> None:
    """As one that was made without LOGIN."""
    postgres.execute("postgres", f'ALTER ROLE "{databases.user}" NOLOGIN')
    assert refused(databases).reason is Reason.DATABASE_LOGIN_REFUSED


def test_no_password_at_all_is_a_refused_login(databases: Databases) -> None:
    """Where the server asks for one."""
    parameters = settings(databases)
    password = parameters.pop("password")
    finding = refusal(Store.DEFAULT, lambda: parameters, SECONDS, password, databases.default)
    assert finding.reason is Reason.DATABASE_LOGIN_REFUSED


@pytest.mark.parametrize("name", ["absent", "SSL certificate"])
def test_an_absent_database_is_named(databases: Databases, name: str) -> None:
    """Whatever it is called."""
    finding = refused(databases, dbname=name)
    assert (finding.reason, f'database "{name}" does not exist' in finding.detail) == (Reason.DATABASE_MISSING, True)


def test_a_database_that_takes_no_connections_is_unreachable(databases: Databases, postgres: Postgres) -> None:
    """As while it is renamed or restored: it passes."""
    postgres.execute("postgres", f'ALTER DATABASE "{databases.default}" ALLOW_CONNECTIONS false')
    assert refused(databases).reason is Reason.DATABASE_UNREACHABLE


def test_an_unused_port_is_unreachable(databases: Databases) -> None:
    """With the system's words."""
    finding = refused(databases, port=free_port())
    assert (finding.reason, "Connection refused" in finding.detail) == (Reason.DATABASE_UNREACHABLE, True)


@pytest.mark.parametrize("host", ["postgres.invalid", "SSL-certificate.invalid"])
def test_an_unresolvable_host_is_unreachable_whatever_its_name(databases: Databases, host: str) -> None:
    """And named."""
    finding = refused(databases, host=host)
    assert (finding.reason, host in finding.detail) == (Reason.DATABASE_UNREACHABLE, True)


@pytest.fixture
def reader(fresh_databases: FreshDatabases) -> Databases:
    """A role that owns nothing of the databases it will look at."""
    return fresh_databases()


def as_reader(databases: Databases, reader: Databases) -> Databases:
    """The one's databases, looked at by the other's role."""
    return Databases(
        databases.host, databases.port, reader.user, reader.password, databases.default, databases.visibility
    )


@pytest.mark.parametrize("table", ["schema_version", "schema_update_history"])
def test_a_table_that_may_not_be_read_is_named(
    table: str, databases: Databases, schema: temporal.Schema, reader: Databases
) -> None:
    """SELECT on two tables is all that a gate's own role needs."""
    migrate(schema)
    grants = [f'GRANT SELECT ON {one} TO "{reader.user}"' for one in ("schema_version", "schema_update_history")]
    as_owner(databases, *grants)
    looking = as_reader(databases, reader)
    assert read(looking) == read(databases)

    as_owner(databases, f'REVOKE SELECT ON {table} FROM "{reader.user}"')  # noqa: S608 - of names of our own

    finding = refused(looking)
    assert finding.reason is Reason.DATABASE_PERMISSION_DENIED
    assert f"permission denied for table {table}" in finding.detail


def test_a_database_that_the_role_may_not_connect_to_is_a_denied_permission(
    databases: Databases, reader: Databases
) -> None:
    """It is no refused login: the password was right."""
    as_owner(databases, f'REVOKE CONNECT ON DATABASE "{databases.default}" FROM PUBLIC')
    finding = refused(as_reader(databases, reader))
    assert finding.reason is Reason.DATABASE_PERMISSION_DENIED
    assert f'permission denied for database "{databases.default}"' in finding.detail


def test_a_schema_that_the_role_may_not_use_is_hidden_and_not_empty(
    databases: Databases, schema: temporal.Schema, reader: Databases, postgres: Postgres
) -> None:
    """To take it for empty would start a migration; it is named."""
    migrate(schema)
    postgres.execute(databases.default, "REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    finding = refused(as_reader(databases, reader))
    assert finding.reason is Reason.DATABASE_SCHEMA_HIDDEN
    assert "schema_version is in schema public, " in finding.detail


def test_tables_in_a_schema_of_the_roles_search_path_are_found_and_elsewhere_hidden(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """As Temporal's own unqualified query finds them, or not."""
    as_owner(databases, 'CREATE SCHEMA "Temporal"')
    postgres.execute("postgres", f'ALTER ROLE "{databases.user}" SET search_path = "Temporal"')
    migrate(schema)
    assert read(databases).version == expectation(Release.parse(toolchain.RELEASE)).versions[Store.DEFAULT]

    postgres.execute("postgres", f'ALTER ROLE "{databases.user}" RESET search_path')

    finding = refused(databases)
    assert finding.reason is Reason.DATABASE_SCHEMA_HIDDEN
    assert 'schema_version is in schema "Temporal", ' in finding.detail


# --- what a look leaves behind ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [False, True], ids=["read", "refused"])
def test_a_look_leaves_no_session_that_would_hold_the_database(
    fault: bool,  # noqa: FBT001 - a case of the test
    databases: Databases,
    schema: temporal.Schema,
    postgres: Postgres,
) -> None:
    """DROP DATABASE waits for none; whoever replaces a database meets no gate in it."""
    migrate(schema, Store.DEFAULT, "1.0")
    if fault:
        postgres.execute(databases.default, "UPDATE schema_version SET curr_version = 'x'")
        assert refused(databases).reason is Reason.SCHEMA_VERSION_MALFORMED
    else:
        read(databases)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
    wait_until(lambda: postgres.execute("postgres", count, [databases.default]) == [(0,)], 10, "the session's end")
    postgres.execute("postgres", f'DROP DATABASE "{databases.default}"')


def test_a_look_is_one_read_only_transaction_under_the_gates_name(
    databases: Databases, schema: temporal.Schema
) -> None:
    """A view in the table's place tells what the reader's transaction was, by way of a version that is none."""
    migrate(schema, Store.DEFAULT, "1.0")
    as_owner(
        databases,
        "ALTER TABLE schema_version RENAME TO kept",
        "CREATE VIEW schema_version AS SELECT version_partition, db_name, creation_time,"
        " concat_ws(' ', current_setting('application_name'), current_setting('transaction_read_only'),"
        " current_setting('statement_timeout'), now() = statement_timestamp()) AS curr_version FROM kept",
    )
    assert "'temporal-recovery-hook on 2s f'" in refused(databases, seconds=2).detail


def test_a_table_that_another_session_locks_is_unreachable_at_the_timeout(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """A migration or a person may hold it; the gate must go on turning."""
    migrate(schema, Store.DEFAULT, "1.0")
    with psycopg.connect(postgres.dsn(databases.default)) as session:
        session.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
        finding = refused(databases, seconds=0.3)
    assert (finding.reason, "statement timeout" in finding.detail) == (Reason.DATABASE_UNREACHABLE, True)
    assert read(databases).version == SchemaVersion.parse("1.0")


# --- a standby ----------------------------------------------------------------------------------------------------


def test_a_standby_is_told_by_its_recovery(databases: Databases, schema: temporal.Schema, postgres: Postgres) -> None:
    """Also where its schema is right: no migration could run there, and a service may point at it for a moment only."""
    migrate(schema, Store.DEFAULT, "1.0")
    standby = postgres.standby()
    try:
        finding = refused(databases, port=standby.port)
    finally:
        standby.remove()
    assert finding.reason is Reason.DATABASE_IN_RECOVERY
    assert read(databases).version == SchemaVersion.parse("1.0")


# --- TLS (stand-in: lab.postgres_tls speaks it before the real server) --------------------------------------------


class Tls:
    """A server that takes sessions over TLS only, and the files of its authority and of a stranger."""

    def __init__(self, server: Postgres, folder: Path) -> None:
        self.databases = Databases(server.host, server.port, "temporal", "the-right-one")
        server.create_role(self.databases.user, self.databases.password)
        server.create_database(self.databases.default, owner=self.databases.user)
        authority = trustme.CA()
        self.ca, self.stranger = folder / "ca.pem", folder / "stranger.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        trustme.CA().cert_pem.write_to_path(str(self.stranger))
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
        issued.private_key_pem.write_to_path(str(folder / "tls.key"))
        server.enable_tls(folder / "tls.crt", folder / "tls.key", required=True)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    with Postgres() as server:
        yield Tls(server, tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
def test_a_server_that_requires_tls_is_read_over_it(tls: Tls, mode: str) -> None:
    """Verified where that is asked for."""
    ca: dict[str, Any] = {"sslrootcert": tls.ca} if mode.startswith("verify") else {}
    assert read(tls.databases, sslmode=mode, **ca) == Schema(Store.DEFAULT)


def test_a_server_that_requires_tls_refuses_a_session_without_it(tls: Tls) -> None:
    """PostgreSQL says it as a missing line of pg_hba.conf."""
    finding = refused(tls.databases, sslmode="disable")
    assert (finding.reason, "no encryption" in finding.detail) == (Reason.DATABASE_TLS_REFUSED, True)


def test_a_server_without_tls_is_refused_where_tls_is_asked_for(databases: Databases) -> None:
    """The real server's own answer, no stand-in."""
    finding = refused(databases, sslmode="require")
    assert (finding.reason, "does not support SSL" in finding.detail) == (Reason.DATABASE_TLS_REFUSED, True)


def test_a_server_of_another_authority_is_refused(tls: Tls) -> None:
    """The certificate is the fault that is named."""
    finding = refused(tls.databases, sslmode="verify-full", sslrootcert=tls.stranger)
    assert (finding.reason, "certificate verify failed" in finding.detail) == (Reason.DATABASE_TLS_REFUSED, True)


def test_a_certificate_of_another_host_name_is_refused_where_names_are_verified(tls: Tls) -> None:
    """As of a Service whose name the certificate does not carry."""
    at: dict[str, Any] = {"host": "postgres.example", "hostaddr": "127.0.0.1", "sslrootcert": tls.ca}
    finding = refused(tls.databases, sslmode="verify-full", **at)
    assert (finding.reason, "does not match host name" in finding.detail) == (Reason.DATABASE_TLS_REFUSED, True)
    assert read(tls.databases, sslmode="verify-ca", **at) == Schema(Store.DEFAULT)


def test_an_authority_file_that_is_gone_is_a_fault_of_tls(tls: Tls, tmp_path: Path) -> None:
    """And named."""
    finding = refused(tls.databases, sslmode="verify-full", sslrootcert=tmp_path / "gone.pem")
    assert (finding.reason, str(tmp_path / "gone.pem") in finding.detail) == (Reason.DATABASE_TLS_REFUSED, True)


def test_a_wrong_password_over_tls_is_a_refused_login_in_every_mode(tls: Tls) -> None:
    """Under prefer libpq tries again without TLS, and its text ends with that refusal; the first one is the cause."""
    assert {
        mode: refused(tls.databases, sslmode=mode, password="not-this").reason for mode in ("prefer", "require")
    } == dict.fromkeys(("prefer", "require"), Reason.DATABASE_LOGIN_REFUSED)


# --- servers that misbehave (stand-ins: a real one does not do so on request) -------------------------------------


class Odd:
    """Accepts, reads a little if it is to answer, answers, and closes; ``None`` keeps the connection and says nothing."""

    def __init__(self, answer: Callable[[bytes], bytes] | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        kept: list[socket.socket] = []
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                break
            kept.append(connection)
            if self._answer is not None:
                self._talk(connection, self._answer)
        for connection in kept:
            connection.close()

    @staticmethod
    def _talk(connection: socket.socket, answer: Callable[[bytes], bytes]) -> None:
        with connection:
            while said := answer(connection.recv(4096)):
                connection.sendall(said)
                if said != b"N":
                    return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()


def error_response(code: str, message: str) -> bytes:
    """PostgreSQL's ErrorResponse (documentation, "Message Formats")."""
    body = b"".join(f"{kind}{text}".encode() + b"\0" for kind, text in (("S", "FATAL"), ("C", code), ("M", message)))
    return b"E" + struct.pack("!I", len(body) + 5) + body + b"\0"


_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104


def refusing(code: str, message: str) -> Callable[[bytes], bytes]:
    """A server without encryption that refuses each login with this error."""

    def answer(said: bytes) -> bytes:
        if len(said) >= 8 and struct.unpack("!I", said[4:8])[0] in {_SSL_REQUEST, _GSS_REQUEST}:
            return b"N"
        return error_response(code, message)

    return answer


def test_a_server_that_accepts_and_hangs_is_unreachable_at_the_timeout(databases: Databases) -> None:
    """Two seconds are the least that libpq takes for a timeout."""
    started = time.monotonic()
    with Odd(None) as server:
        finding = refused(databases, port=server.port, seconds=0.1)
    assert (finding.reason, finding.detail) == (Reason.DATABASE_UNREACHABLE, "connection timeout expired")
    assert time.monotonic() - started < 20


@contextmanager
def between(port: int, passed: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """Stands before the real server, yields its port: passes on what a client says, changed so, or nothing more at all."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            client, _ = listening.accept()
            with client, socket.create_connection(("127.0.0.1", port)) as server:
                pipes = {client: server, server: client}
                while True:
                    for source in select.select(list(pipes), [], [])[0]:
                        data = source.recv(65536)
                        said = passed(data) if data and source is client else data
                        if not said:
                            over.wait(60)
                            return
                        pipes[source].sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join(10)


@pytest.mark.parametrize("word", [b"BEGIN", b"FROM schema_version"])
def test_a_server_that_freezes_after_the_login_is_unreachable_soon_after_the_timeout(
    word: bytes,
    databases: Databases,
    schema: temporal.Schema,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its own statement_timeout does not come then; nor does psycopg log of a transaction that it could not end."""
    migrate(schema, Store.DEFAULT, "1.0")
    started = time.monotonic()
    with between(databases.port, lambda said: None if word in said else said) as port:
        finding = refused(databases, port=port, seconds=0.2)
    assert (finding.reason, finding.detail) == (Reason.DATABASE_UNREACHABLE, "connected, but no answer within 1.2 s")
    assert time.monotonic() - started < 20
    assert caplog.records == []


def test_a_poolers_name_for_a_database_is_the_one_that_counts(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """PgBouncer knows a database by another name: Temporal's rows are under the one that it was configured with."""
    migrate(schema)
    asked, real = databases.default, f"{databases.default}_real"

    def renamed(said: bytes) -> bytes:
        found = f"database\0{asked}\0".encode()
        if found not in said:
            return said
        changed = said.replace(found, f"database\0{real}\0".encode())
        return struct.pack("!I", len(changed)) + changed[4:]

    postgres.execute("postgres", f'ALTER DATABASE "{asked}" RENAME TO "{real}"')
    try:
        with between(databases.port, renamed) as port:
            assert read(databases, port=port, sslmode="disable", gssencmode="disable").version == SchemaVersion((1, 18))
        as_owner(replace(databases, default=real), "DELETE FROM schema_version")
        with between(databases.port, renamed) as port:
            finding = refused(databases, port=port, sslmode="disable", gssencmode="disable")
        assert finding.reason is Reason.SCHEMA_VERSION_MISSING
        as_owner(replace(databases, default=real), remedy_of(finding))
        with between(databases.port, renamed) as port:
            assert read(databases, port=port, sslmode="disable", gssencmode="disable").version == SchemaVersion((1, 18))
    finally:
        postgres.execute("postgres", f'ALTER DATABASE "{real}" RENAME TO "{asked}"')


def test_a_database_without_an_encoding_is_read_as_any(
    databases: Databases, postgres: Postgres, schema: temporal.Schema
) -> None:
    """SQL_ASCII, what initdb makes for the locale C: its text would come as bytes."""
    postgres.drop_database(databases.default)
    plain = f"ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER \"{databases.user}\""
    postgres.execute("postgres", f'CREATE DATABASE "{databases.default}" {plain}')
    migrate(schema)
    assert read(databases).version == SchemaVersion((1, 18))


@pytest.mark.parametrize("mode", ["prefer", "require", "disable"])
def test_a_server_that_closes_at_once_is_unreachable(databases: Databases, mode: str) -> None:
    """Whatever the mode of TLS: a proxy without a backend does so."""
    with Odd(lambda _: b"") as server:
        assert refused(databases, port=server.port, sslmode=mode).reason is Reason.DATABASE_UNREACHABLE


@pytest.mark.parametrize("mode", ["prefer", "require", "disable"])
def test_a_server_that_speaks_http_is_unreachable(databases: Databases, mode: str) -> None:
    """Whatever the mode of TLS: a wrong port is no fault of TLS."""
    with Odd(lambda _: b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as server:
        finding = refused(databases, port=server.port, sslmode=mode)
    assert (finding.reason, "received" in finding.detail) == (Reason.DATABASE_UNREACHABLE, True)


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        ("28P01", "Passwort-Authentifizierung für Benutzer »temporal« fehlgeschlagen", Reason.DATABASE_UNREACHABLE),
        ("57P03", "the database system is starting up", Reason.DATABASE_UNREACHABLE),
        ("53300", "sorry, too many clients already", Reason.DATABASE_UNREACHABLE),
        ("28000", 'role "temporal" does not exist', Reason.DATABASE_LOGIN_REFUSED),
        ("08P01", "no such database: temporal", Reason.DATABASE_MISSING),
        ("08P01", "no such user: temporal", Reason.DATABASE_LOGIN_REFUSED),
        ("08P01", "SASL authentication failed", Reason.DATABASE_LOGIN_REFUSED),
        ("28000", 'LDAP authentication failed for user "temporal"', Reason.DATABASE_LOGIN_REFUSED),
        ("28000", 'certificate authentication failed for user "temporal"', Reason.DATABASE_LOGIN_REFUSED),
        (
            "28000",
            'pg_hba.conf rejects connection for host "10.0.0.1", user "temporal", database "temporal", SSL encryption',
            Reason.DATABASE_LOGIN_REFUSED,
        ),
        (
            "28000",
            'no pg_hba.conf entry for host "10.0.0.1", user "temporal", database "temporal", SSL encryption',
            Reason.DATABASE_LOGIN_REFUSED,
        ),
        (
            "28000",
            'no pg_hba.conf entry for host "10.0.0.1", user "temporal", database "temporal", no encryption',
            Reason.DATABASE_TLS_REFUSED,
        ),
    ],
)
def test_a_refusal_is_judged_by_its_english_text_and_else_waited_for(
    code: str, message: str, reason: Reason, databases: Databases
) -> None:
    """Libpq hands no SQLSTATE on from a failed connection; the wheel's server has no other language (so a stand-in)."""
    with Odd(refusing(code, message)) as server:
        finding = refused(databases, port=server.port)
    assert (finding.reason, message in finding.detail) == (reason, True)
