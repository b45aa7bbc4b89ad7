"""Refusals by their words: recorded ones of servers, poolers and providers, and those that PgBouncer and limits say here."""

import threading
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from postgres_looks import Odd, as_owner, migrate, read, refused, refusing, remedy_of, settings
from psycopg.conninfo import make_conninfo

from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from lab import pgbouncer, temporal, toolchain
from lab.pgbouncer import PgBouncer
from lab.postgres import Postgres
from lab.processes import free_port, wait_until
from lab.temporal import Databases

NOWHERE = Databases("127.0.0.1", 0, "temporal", "a-secret-of-nobody")

# --- recorded texts ------------------------------------------------------------------------------------------------

_POSTGRES, _PGBOUNCER, _SUPAVISOR, _NEON = (
    "postgres/postgres", "pgbouncer/pgbouncer src", "supabase/supavisor lib/supavisor", "neondatabase/neon proxy/src"
)  # fmt: skip
_HOST = 'for host "10.0.0.1", user "temporal", database "temporal"'
_ENDPOINT = (
    "Endpoint ID is not specified. Either please upgrade the postgres client library (libpq) for SNI support or pass the "
    "endpoint ID (first part of the domain name) as a parameter: '?options=endpoint%3D<endpoint-id>'."
)

RECORDED: dict[Reason, list[tuple[str, str]]] = {
    Reason.DATABASE_LOGIN_REFUSED: [
        ('role "temporal" does not exist', f"{_POSTGRES} utils/init/miscinit.c"),
        ('LDAP authentication failed for user "temporal"', f"{_POSTGRES} libpq/auth.c"),
        ('certificate authentication failed for user "temporal"', f"{_POSTGRES} libpq/auth.c"),
        ('PAM authentication failed for user "temporal"', "RDS with IAM: aws/aws-sdk-go 3043"),
        (f"pg_hba.conf rejects connection {_HOST}, SSL encryption", f"{_POSTGRES} libpq/auth.c"),
        (f"no pg_hba.conf entry {_HOST}, SSL encryption", f"{_POSTGRES} libpq/auth.c"),
        (f"no pg_hba.conf entry {_HOST}, SSL on", "postgres/postgres before 14"),
        ("no such user: temporal", f"{_PGBOUNCER}/client.c before 1.16"),
        ("SASL authentication failed", f"{_PGBOUNCER}/client.c"),
        ("empty password returned by client", f"{_PGBOUNCER}/client.c"),
        ("Tenant or user not found", "supabase/cli 4277"),
        ("(ENOTFOUND) tenant/user postgres.abc not found", f"{_SUPAVISOR}/errors/tenant_or_user_not_found_error.ex"),
        (
            "(ENOIDENTIFIER) no tenant identifier provided (external_id or sni_hostname required)",
            f"{_SUPAVISOR}/errors/no_tenant_identifier_error.ex",
        ),
        (
            "(EADDRNOTALLOWED) address not in tenant allow_list: {10, 0, 0, 1}",
            f"{_SUPAVISOR}/errors/address_not_allowed_error.ex",
        ),
        (
            "This RDS proxy has no credentials for the role temporal. Check the credentials for this role and try again.",
            "anomalyco/sst 5161",
        ),
        ("The password that was provided for the role temporal is wrong.", "PostHog/posthog PR 64084"),
        (
            "The access token does not have a valid audience claim. Please acquire a new token for the resource.",
            "microsoft/azuredatastudio-postgresql 505",
        ),
        (
            "The access token has invalid format. Please ensure the token is passed exactly as returned.",
            "Azure-Samples/rag-postgres-openai-python 161",
        ),
        (
            "An error occurred while validating the access token. Please acquire a new token and retry",
            "cyrilgdn/terraform-provider-postgresql 60",
        ),
        ('Cloud SQL IAM user authentication failed for user "temporal"', "GoogleCloudPlatform/cloud-sql-proxy 849"),
        (
            'Cloud SQL IAM service account authentication failed for user "temporal"',
            "GoogleCloudPlatform/cloud-sql-jdbc-socket-factory 727",
        ),
        (_ENDPOINT, f"{_NEON}/auth/mod.rs"),
        ("password authentication failed for user 'temporal'", f"{_NEON}/auth/mod.rs"),
        (
            "This IP address 10.0.0.1 is not allowed to connect to this endpoint. Please add it to the allowed list.",
            f"{_NEON}/auth/mod.rs",
        ),
    ],
    Reason.DATABASE_MISSING: [
        ("no such database: temporal", f"{_PGBOUNCER}/client.c"),
        ('database "temporal" does not exist', f"{_POSTGRES} utils/init/postinit.c"),
        ("odyssey: c0123: route for 'temporal.temporal' is not found", "yandex/odyssey sources/frontend.c"),
    ],
    Reason.DATABASE_SUSPENDED: [
        (
            "Your account or project has exceeded the compute time quota. Upgrade your plan to increase limits.",
            "Neon's page Connection errors",
        ),
        ("(EBANNED) tenant is banned: unpaid", f"{_SUPAVISOR}/errors/tenant_banned_error.ex"),
        ('database "temporal" is disabled', f"{_PGBOUNCER}/client.c"),
    ],
    Reason.DATABASE_TLS_REFUSED: [
        (f"no pg_hba.conf entry {_HOST}, no encryption", f"{_POSTGRES} libpq/auth.c"),
        (f"no pg_hba.conf entry {_HOST}, SSL off", "postgres/postgres before 14"),
        ("connection requires a valid client certificate", f"{_POSTGRES} libpq/auth.c"),
        ("node is running secure mode, SSL connection required", "cockroachdb/cockroach pkg/sql/pgwire/server.go"),
        ("SSL required", f"{_PGBOUNCER}/client.c"),
        ("(ESSLREQUIRED) SSL connection is required for user: temporal", f"{_SUPAVISOR}/errors/ssl_required_error.ex"),
        ("This RDS Proxy requires TLS connections", "aws-samples/aws-secrets-manager-rotation-lambdas 103"),
        ("connection is insecure (try using `sslmode=require`)", f"{_NEON}/tls/mod.rs"),
    ],
    Reason.DATABASE_OPTIONS_REFUSED: [
        ("unsupported startup parameter: options", f"{_PGBOUNCER}/client.c"),
        ("unsupported startup parameter in options: search_path", f"{_PGBOUNCER}/client.c"),
        (
            "Feature not supported: RDS Proxy currently doesn\N{RIGHT SINGLE QUOTATION MARK}t support command-line options.",
            "psycopg/psycopg2 1577",
        ),
        ('unrecognized configuration parameter "serch_path"', f"{_POSTGRES} utils/misc/guc.c"),
    ],
    Reason.DATABASE_CONNECTIONS_EXHAUSTED: [
        ("sorry, too many clients already", f"{_POSTGRES} storage/lmgr/proc.c"),
        (
            "remaining connection slots are reserved for non-replication superuser connections",
            "postgres/postgres before 16; canonical/temporal-k8s-operator 55",
        ),
        (
            "remaining connection slots are reserved for roles with the SUPERUSER attribute",
            f"{_POSTGRES} utils/init/postinit.c",
        ),
        ('too many connections for role "temporal"', f"{_POSTGRES} utils/init/miscinit.c"),
        ('too many connections for database "temporal"', f"{_POSTGRES} utils/init/postinit.c"),
        ("no more connections allowed (max_client_conn)", f"{_PGBOUNCER}/client.c"),
        ("client connections exceeded (max_db_client_connections)", f"{_PGBOUNCER}/client.c"),
        ("Max client connections reached", "supabase/supavisor before PR 841"),
        (
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
            f"{_SUPAVISOR}/errors/max_connections_error.ex",
        ),
        (
            "Failed to acquire permit to connect. Too many database connection attempts are currently ongoing.",
            f"{_NEON}/control_plane/errors.rs",
        ),
    ],
    Reason.DATABASE_NOT_ACCEPTING: [
        ("the database system is starting up", f"{_POSTGRES} tcop/backend_startup.c"),
        ("the database system is shutting down", f"{_POSTGRES} tcop/backend_startup.c"),
        ("the database system is in recovery mode", f"{_POSTGRES} tcop/backend_startup.c"),
        ("the database system is not yet accepting connections", f"{_POSTGRES} tcop/backend_startup.c"),
        ("pooler is shutting down", f"{_PGBOUNCER}/client.c"),
        ("server is not accepting clients, try another node", "cockroachdb/cockroach pkg/sql/pgwire/server.go"),
    ],
    Reason.DATABASE_ERROR: [
        ("Passwort-Authentifizierung fehlgeschlagen", f"{_POSTGRES} de.po"),
        ("a word that no server has said yet", "none: it answers, so it is no silence"),
    ],
    Reason.DATABASE_UNREACHABLE: [
        ("server login has been failing, cached error: connect failed (server_login_retry)", f"{_PGBOUNCER}/objects.c"),
        ("client_login_timeout (server down)", f"{_PGBOUNCER}/janitor.c"),
        ("query_wait_timeout", f"{_PGBOUNCER}/janitor.c"),
        ("Couldn't connect to compute node", f"{_NEON}/compute.rs"),
        ("all backend nodes are down, pgpool requires at least one valid node", "pgpool2 src/protocol/child.c"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        pytest.param(reason, text, id=f"{reason}: {source}: {text[:40]}")
        for reason, recorded in RECORDED.items()
        for text, source in recorded
    ],
)
def test_a_refusal_is_judged_by_its_text(reason: Reason, text: str) -> None:
    """Libpq hands no SQLSTATE on from a failed connection. The texts are recorded: most of these cannot run here."""
    with Odd(refusing("08P01", text)) as server:
        finding = refused(NOWHERE, port=server.port)
    assert (finding.reason, text in finding.detail) == (reason, True)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("This RDS proxy has no credentials for the role temporal.", "RDS Proxy"),
        ("Tenant or user not found", "as the provider shows them"),
        (_ENDPOINT, "the endpoint's own host name"),
        ("The access token has invalid format.", "fresh access token"),
        (f"no pg_hba.conf entry {_HOST}, SSL encryption", "Allow the address"),
        ("query_wait_timeout", "pooler's own log"),
    ],
)
def test_who_refuses_decides_the_remedy(text: str, remedy: str) -> None:
    """The password in the Secret may be right, and the network too."""
    with Odd(refusing("XX000", text)) as server:
        assert remedy in refused(NOWHERE, port=server.port).remedy


# --- limits and statements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["ROLE", "DATABASE"])
def test_a_limit_that_is_reached_is_told_as_one(limit: str, databases: Databases, postgres: Postgres) -> None:
    """By the real server: it answers, so host and port are right."""
    name = databases.user if limit == "ROLE" else databases.default
    postgres.execute("postgres", f'ALTER {limit} "{name}" CONNECTION LIMIT 1')
    with psycopg.connect(make_conninfo(**settings(databases))):
        finding = refused(databases)
    assert (finding.reason, f"too many connections for {limit.lower()}" in finding.detail) == (
        Reason.DATABASE_CONNECTIONS_EXHAUSTED,
        True,
    )


@pytest.mark.parametrize(
    ("fault", "state"),
    [("1 / 0", "22012"), ("db_name::int", "22P02"), ("pg_read_file('/etc/hostname')::int", "42501")],
)
def test_a_statement_that_fails_is_no_silence(
    fault: str, state: str, databases: Databases, schema: temporal.Schema
) -> None:
    """Any SQLSTATE: the server has answered. A view in the table's place makes it fail."""
    migrate(schema, Store.DEFAULT, "1.0")
    as_owner(
        databases,
        "ALTER TABLE schema_version RENAME TO kept",
        "CREATE VIEW schema_version AS SELECT version_partition, db_name, creation_time,"  # noqa: S608 -- of our own
        f" concat(curr_version, CASE WHEN version_partition = 0 THEN {fault} END) AS curr_version FROM kept",
    )
    finding = refused(databases)
    denied = state == "42501"
    assert finding.reason is (Reason.DATABASE_PERMISSION_DENIED if denied else Reason.DATABASE_ERROR)
    assert f"(SQLSTATE {state})" in finding.detail


def test_a_session_that_is_ended_at_the_server_is_one_that_stops(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """As in a restart: what the server says last counts, and it is waited for."""
    migrate(schema, Store.DEFAULT, "1.0")
    ours = "FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"

    def end() -> None:
        wait_until(lambda: postgres.execute("postgres", f"SELECT 1 {ours}", [databases.user]), 10, "the look")
        postgres.execute("postgres", f"SELECT pg_terminate_backend(pid) {ours}", [databases.user])

    thread = threading.Thread(target=end)
    with psycopg.connect(postgres.dsn(databases.default)) as session:
        session.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
        thread.start()
        finding = refused(databases)
    thread.join(10)
    assert (finding.reason, "administrator command" in finding.detail) == (Reason.DATABASE_NOT_ACCEPTING, True)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"target_session_attrs": "read-write"}, Reason.DATABASE_READ_ONLY),
        ({"target_session_attrs": "read-only"}, None),
        ({"channel_binding": "require"}, Reason.DATABASE_LOGIN_REFUSED),
        ({"require_auth": "md5"}, Reason.DATABASE_LOGIN_REFUSED),
        ({"options": "-c serch_path=temporal"}, Reason.DATABASE_OPTIONS_REFUSED),
        ({"options": "--nonsense"}, Reason.DATABASE_ERROR),
        ({"keepalives": "often"}, Reason.DATABASE_OPTIONS_REFUSED),
        ({"nonsense": "1"}, Reason.DATABASE_OPTIONS_REFUSED),
    ],
)
def test_what_a_dsn_asks_for_in_vain_is_told(
    parameters: dict[str, str], reason: Reason | None, databases: Databases, postgres: Postgres
) -> None:
    """A DSN may hold any of libpq's parameters; none of these faults is a server that does not answer."""
    postgres.execute("postgres", f'ALTER DATABASE "{databases.default}" SET default_transaction_read_only = on')
    changes: dict[str, Any] = parameters
    finding = refused(databases, **changes)
    assert finding.reason is (reason or Reason.DATABASE_READ_ONLY), finding.detail


# --- PgBouncer -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bouncer() -> type[PgBouncer]:
    """PgBouncer, where it is or can be installed."""
    try:
        pgbouncer.program()
    except toolchain.BuildError as error:
        pytest.skip(str(error))
    return PgBouncer


def test_a_poolers_name_for_a_database_is_the_one_that_counts(
    bouncer: type[PgBouncer], databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """PgBouncer knows a database by another name: Temporal's rows are under the one that it was configured with."""
    real = databases.default
    users = {databases.user: databases.password}
    with bouncer(postgres.port, {"asked": real}, users, ignore_startup_parameters="extra_float_digits") as pooler:
        pooled = replace(databases, port=pooler.port, default="asked")
        migrate(replace(schema, databases=pooled))
        assert read(pooled).version == SchemaVersion((1, 18))
        as_owner(databases, "DELETE FROM schema_version")
        finding = refused(pooled)
        assert finding.reason is Reason.SCHEMA_VERSION_MISSING
        as_owner(databases, remedy_of(finding))
        assert read(pooled).version == SchemaVersion((1, 18))


def test_pgbouncers_refusals_are_known(bouncer: type[PgBouncer], databases: Databases, postgres: Postgres) -> None:
    """By the real one: an absent database, a wrong password, options, a limit, TLS."""
    users = {databases.user: databases.password}
    with bouncer(postgres.port, {databases.default: databases.default}, users, max_client_conn=2) as pooler:
        pooled = replace(databases, port=pooler.port)
        assert read(pooled) == Schema(Store.DEFAULT)
        seen = {
            "database": refused(pooled, dbname="absent").reason,
            "password": refused(pooled, password="not-this").reason,
            "user": refused(pooled, user="absent").reason,
            "options": refused(pooled, options="-c search_path=temporal").reason,
            "tls": refused(pooled, sslmode="require").reason,
        }
        held = [psycopg.connect(make_conninfo(**settings(pooled))) for _ in range(2)]
        seen["limit"] = refused(pooled).reason
        for session in held:
            session.close()
    assert seen == {
        "database": Reason.DATABASE_MISSING,
        "password": Reason.DATABASE_LOGIN_REFUSED,
        "user": Reason.DATABASE_LOGIN_REFUSED,
        "options": Reason.DATABASE_OPTIONS_REFUSED,
        "tls": Reason.DATABASE_TLS_REFUSED,
        "limit": Reason.DATABASE_CONNECTIONS_EXHAUSTED,
    }


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuses", Reason.DATABASE_LOGIN_REFUSED),
        ("closed", Reason.DATABASE_NOT_ACCEPTING),
        ("away", Reason.DATABASE_UNREACHABLE),
    ],
)
def test_what_ails_the_server_behind_pgbouncer_is_told(
    bouncer: type[PgBouncer], fault: str, reason: Reason, databases: Databases, postgres: Postgres
) -> None:
    """The pooler's own words for it are passed on, or its own for a server that it cannot reach."""
    users = {databases.user: databases.password}
    if fault == "refuses":
        postgres.execute("postgres", f"ALTER ROLE \"{databases.user}\" PASSWORD 'another'")
    if fault == "closed":
        postgres.execute("postgres", f'ALTER DATABASE "{databases.default}" ALLOW_CONNECTIONS false')
    port = free_port() if fault == "away" else postgres.port
    with bouncer(port, {databases.default: databases.default}, users, query_wait_timeout=1) as pooler:
        finding = refused(replace(databases, port=pooler.port))
    assert finding.reason is reason, finding.detail
    assert ("pooler's own log" in finding.remedy) == (fault == "away"), finding.detail


def test_what_befalls_the_server_behind_pgbouncer_later_is_told_as_well(
    bouncer: type[PgBouncer], databases: Databases, postgres: Postgres
) -> None:
    """A pooler that has once seen its server logs clients in by itself: the refusal comes with their first statement."""
    users = {databases.user: databases.password}
    with bouncer(postgres.port, {databases.default: databases.default}, users, query_wait_timeout=1) as pooler:
        pooled = replace(databases, port=pooler.port)
        assert read(pooled) == Schema(Store.DEFAULT)
        postgres.execute("postgres", f"ALTER ROLE \"{databases.user}\" PASSWORD 'another'")
        ours = "FROM pg_stat_activity WHERE usename = %s"
        postgres.execute("postgres", f"SELECT pg_terminate_backend(pid, 5000) {ours}", [databases.user])
        finding = refused(pooled)
    assert (finding.reason, "query_wait_timeout" in finding.detail) == (Reason.DATABASE_UNREACHABLE, True)
    assert "pooler's own log" in finding.remedy
