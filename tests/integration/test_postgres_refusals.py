"""What PostgreSQL, poolers and providers say when they refuse, and what the stores' adapter makes of it.

Stand-ins, each said where it stands: TLS (``lab.postgres_tls``: the wheel's server is built without it), and servers
that misbehave as a real one does not on request (a few bytes of PostgreSQL's protocol, or none).
"""

import re
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from postgres_looks import (
    SECONDS,
    Odd,
    as_owner,
    cutting,
    migrate,
    read,
    refusal,
    refused,
    settings,
)

from hook.adapters import postgres as adapter
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, Store, expectation
from hook.settings.stores import StoreSettings
from lab import temporal, toolchain
from lab.postgres import Postgres
from lab.processes import free_port
from lab.temporal import Databases

FreshDatabases = Callable[[], Databases]

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


def test_a_database_that_takes_no_connections_is_not_accepting(databases: Databases, postgres: Postgres) -> None:
    """As while it is renamed or restored: it passes."""
    postgres.execute("postgres", f'ALTER DATABASE "{databases.default}" ALLOW_CONNECTIONS false')
    assert refused(databases).reason is Reason.DATABASE_NOT_ACCEPTING


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


def test_a_rotated_password_is_taken_up_and_a_missing_file_named(
    databases: Databases, postgres: Postgres, tmp_path: Path
) -> None:
    """The file is read at each look; a Secret may come late, or be half written."""
    file = tmp_path / "password"
    store = StoreSettings.model_validate(
        {
            "host": databases.host,
            "port": databases.port,
            "database": databases.default,
            "user": databases.user,
            "passwordFile": file,
        }
    )

    def look() -> Schema:
        return adapter.read(Store.DEFAULT, store.conninfo, SECONDS)

    with pytest.raises(FindingError) as caught:
        look()
    assert caught.value.finding.reason is Reason.DATABASE_CREDENTIALS_MISSING
    assert str(file) in caught.value.finding.detail

    file.write_bytes(b"\xff\xfe secret")
    with pytest.raises(FindingError) as caught:
        look()
    assert caught.value.finding.reason is Reason.DATABASE_CREDENTIALS_MISSING
    assert not re.search(r"secret|0xff", str(caught.value.finding))

    file.write_text(f"{databases.password}\n")
    assert look() == Schema(Store.DEFAULT)

    postgres.execute("postgres", f"ALTER ROLE \"{databases.user}\" PASSWORD 'the next'")
    with pytest.raises(FindingError, match="password authentication failed"):
        look()
    file.write_text("the next")
    assert look() == Schema(Store.DEFAULT)


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


def test_an_authority_file_that_is_gone_is_a_fault_of_the_gates_own(tls: Tls, tmp_path: Path) -> None:
    """And named."""
    finding = refused(tls.databases, sslmode="verify-full", sslrootcert=tmp_path / "gone.pem")
    assert (finding.reason, str(tmp_path / "gone.pem") in finding.detail) == (Reason.DATABASE_TLS_FILE_UNUSABLE, True)


def test_a_wrong_password_over_tls_is_a_refused_login_in_every_mode(tls: Tls) -> None:
    """Under prefer libpq tries again without TLS, and its text ends with that refusal; the first one is the cause."""
    assert {
        mode: refused(tls.databases, sslmode=mode, password="not-this").reason for mode in ("prefer", "require")
    } == dict.fromkeys(("prefer", "require"), Reason.DATABASE_LOGIN_REFUSED)


# --- servers that misbehave (stand-ins: a real one does not do so on request) -------------------------------------


def test_a_server_that_accepts_and_hangs_is_unreachable_at_the_timeout(databases: Databases) -> None:
    """Two seconds are the least that libpq takes for a timeout."""
    started = time.monotonic()
    with Odd(None) as server:
        finding = refused(databases, port=server.port, seconds=0.1)
    assert (finding.reason, finding.detail) == (Reason.DATABASE_UNREACHABLE, "connection timeout expired")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("mode", ["prefer", "require", "disable"])
def test_a_server_that_closes_at_once_is_unreachable(databases: Databases, mode: str) -> None:
    """Whatever the mode of TLS: a proxy without a backend does so."""
    with Odd(lambda _: b"") as server:
        assert refused(databases, port=server.port, sslmode=mode).reason is Reason.DATABASE_UNREACHABLE


@pytest.mark.parametrize("mode", ["prefer", "require", "disable"])
def test_a_server_that_speaks_http_is_not_postgresql(databases: Databases, mode: str) -> None:
    """Whatever the mode of TLS: a wrong port is no fault of TLS."""
    with Odd(lambda _: b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n") as server:
        finding = refused(databases, port=server.port, sslmode=mode)
    assert (finding.reason, "received" in finding.detail) == (Reason.DATABASE_NOT_POSTGRES, True)


# --- what is no PostgreSQL, and TLS that breaks off ------------------------------------------------------------------

_MYSQL = b"J\0\0\0\n8.0.36\0" + bytes(64)
"""The begin of the greeting that MySQL sends unasked (its documentation, "Protocol::HandshakeV10"): J is its length."""


@pytest.mark.parametrize("mode", ["prefer", "require", "disable"])
def test_mysql_behind_the_port_is_told(databases: Databases, mode: str) -> None:
    """It would be waited for in vain."""
    with Odd(lambda _: _MYSQL) as server:
        assert refused(databases, port=server.port, sslmode=mode).reason is Reason.DATABASE_NOT_POSTGRES


@pytest.mark.parametrize("mode", ["prefer", "require"])
def test_a_tls_connection_that_breaks_off_is_waited_for(databases: Databases, mode: str) -> None:
    """A balancer that ends TLS and has no server behind it does so; a moment later it may have one."""
    with Odd(lambda said: b"S" if said[4:8] == struct.pack("!I", 80877103) else b"", then_close=True) as server:
        finding = refused(databases, port=server.port, sslmode=mode)
    assert finding.reason is Reason.DATABASE_UNREACHABLE, finding.detail


def test_a_session_over_tls_that_breaks_off_is_waited_for(tls: Tls) -> None:
    """After the login, in the middle of a statement."""
    with cutting(tls.databases.port, after=10**9) as (port, heard):
        assert read(tls.databases, port=port, sslmode="require") == Schema(Store.DEFAULT)
    with cutting(tls.databases.port, after=sum(heard) - 200) as (port, _):
        finding = refused(tls.databases, port=port, sslmode="require")
    assert finding.reason is Reason.DATABASE_UNREACHABLE, finding.detail


def test_a_client_key_that_others_may_read_is_named(tls: Tls, tmp_path: Path) -> None:
    """libpq refuses it before it asks the server."""
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    issued = trustme.CA().issue_cert("temporal")
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    key.chmod(0o644)
    finding = refused(tls.databases, sslmode="require", sslkey=key, sslcert=certificate)
    assert (finding.reason, "group or world access" in finding.detail) == (Reason.DATABASE_TLS_FILE_UNUSABLE, True)
    assert "0440" in finding.remedy
