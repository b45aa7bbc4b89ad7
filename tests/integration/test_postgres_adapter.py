"""The stores' adapter against a real PostgreSQL and schemas that Temporal's own tool made.

What refuses a login is in test_postgres_refusals, what the tables must be in test_postgres_shapes.
"""

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from postgres_looks import (
    LAB_STORES,
    as_owner,
    between,
    migrate,
    read,
    refused,
    remedy_of,
)

from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, SchemaVersion, Store, expectation
from lab import temporal, toolchain
from lab.postgres import Postgres
from lab.processes import wait_until
from lab.temporal import Databases

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
        assert finding.detail.startswith("unless a restore is under way: ")
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


def test_a_table_that_another_session_locks_is_busy_at_the_timeout(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """A migration or a person may hold it; the gate must go on turning."""
    migrate(schema, Store.DEFAULT, "1.0")
    with psycopg.connect(postgres.dsn(databases.default)) as session:
        session.execute("LOCK TABLE schema_version IN ACCESS EXCLUSIVE MODE")
        finding = refused(databases, seconds=0.3)
    assert (finding.reason, "statement timeout" in finding.detail) == (Reason.DATABASE_BUSY, True)
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


def test_a_database_without_an_encoding_is_read_as_any(
    databases: Databases, postgres: Postgres, schema: temporal.Schema
) -> None:
    """SQL_ASCII, what initdb makes for the locale C: its text would come as bytes."""
    postgres.drop_database(databases.default)
    plain = f"ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0 OWNER \"{databases.user}\""
    postgres.execute("postgres", f'CREATE DATABASE "{databases.default}" {plain}')
    migrate(schema)
    assert read(databases).version == SchemaVersion((1, 18))
    as_owner(databases, r"UPDATE schema_version SET db_name = E'caf\xe9'")
    finding = refused(databases)
    assert (finding.reason, "a row for 'caf?'" in finding.detail) == (Reason.SCHEMA_VERSION_MISSING, True)
