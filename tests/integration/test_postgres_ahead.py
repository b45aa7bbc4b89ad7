"""What goes on in a database, and what a migration will need there, on a real PostgreSQL and Temporal's own schemas."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from postgres_looks import SECONDS, as_owner, migrate, refused, settings
from psycopg.conninfo import make_conninfo

from hook.adapters import postgres as adapter
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason, Tolerance
from hook.observation.versions import Schema, SchemaVersion, Store
from lab import temporal, toolchain
from lab.postgres import Postgres
from lab.processes import wait_until
from lab.temporal import Databases

FreshDatabases = Callable[[], Databases]


def version(text: str) -> SchemaVersion:
    return SchemaVersion.parse(text)


def look(databases: Databases, store: Store, expected: str) -> Schema:
    return adapter.read(store, lambda: settings(databases, store), SECONDS, version(expected))


def hindrance(databases: Databases, store: Store, expected: str) -> Finding:
    with pytest.raises(FindingError) as caught:
        look(databases, store, expected)
    return caught.value.finding


# --- what goes on at the same time ---------------------------------------------------------------------------------


@contextmanager
def running(databases: Databases, store: Store, statement: str) -> Iterator[None]:
    """A session that is in the middle of this statement: it waits for a lock that another one holds."""
    about = settings(databases, store)
    with (
        psycopg.connect(make_conninfo(**about)) as holder,
        psycopg.connect(make_conninfo(**about), autocommit=True) as session,
    ):
        holder.execute("CREATE TABLE IF NOT EXISTS held (id INT)")
        holder.commit()
        holder.execute("LOCK TABLE held IN ACCESS EXCLUSIVE MODE")

        def work() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                session.execute(statement.encode())

        thread = threading.Thread(target=work)
        thread.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        with psycopg.connect(make_conninfo(**about), autocommit=True) as asking:
            wait_until(lambda: asking.execute(waiting, [session.info.backend_pid]).fetchone(), 10, "the statement")
        try:
            yield
        finally:
            session.cancel_safe()
            thread.join(10)


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("ALTER TABLE held ADD COLUMN more INT", True),
        ("-- of v1.10\n/* by hand */ create index CONCURRENTLY on held (id)", True),
        ("DROP TABLE held", True),
        ("SELECT * FROM held", False),
        ("UPDATE held SET id = 1", False),
        ("INSERT INTO held VALUES (1)", False),
    ],
)
def test_a_statement_that_changes_the_schema_is_seen_while_it_runs(
    statement: str,
    changes: bool,  # noqa: FBT001
    databases: Databases,
    schema: temporal.Schema,
) -> None:
    """A migration that takes an hour works verifiably so; what Temporal's servers do all the time is none."""
    migrate(schema, Store.DEFAULT, "1.17")
    before = datetime.now(UTC)
    with running(databases, Store.DEFAULT, statement):
        seen = look(databases, Store.DEFAULT, "1.18")
    assert (seen.version, seen.is_being_changed) == (version("1.17"), changes)
    if changes:
        assert seen.changing_since is not None
        assert before - timedelta(seconds=1) <= seen.changing_since <= datetime.now(UTC)
    assert not look(databases, Store.DEFAULT, "1.18").is_being_changed


def test_another_roles_statement_is_seen_with_the_right_to_and_else_not(
    databases: Databases, schema: temporal.Schema, fresh_databases: FreshDatabases, postgres: Postgres
) -> None:
    """pg_read_all_stats; without it PostgreSQL hides what other roles run."""
    migrate(schema, Store.DEFAULT, "1.17")
    reader = fresh_databases()
    looking = replace(databases, user=reader.user, password=reader.password)
    as_owner(databases, f'GRANT SELECT ON schema_version, schema_update_history TO "{reader.user}"')
    with running(databases, Store.DEFAULT, "ALTER TABLE held ADD COLUMN more INT"):
        assert not look(looking, Store.DEFAULT, "1.18").is_being_changed
        postgres.execute("postgres", f'GRANT pg_read_all_stats TO "{reader.user}"')
        assert look(looking, Store.DEFAULT, "1.18").is_being_changed


def test_what_lacks_in_the_middle_of_a_restore_is_waited_for(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """However long it takes: it is judged when nobody works there any longer. No word of the data is told."""
    migrate(schema)
    as_owner(databases, "DELETE FROM schema_version")
    postgres.execute(databases.default, f'GRANT pg_read_server_files TO "{databases.user}"')
    with running(databases, Store.DEFAULT, "COPY held FROM '/dev/null'"):
        finding = refused(databases)
    assert (finding.reason, finding.reason.tolerance) == (Reason.SCHEMA_BEING_CHANGED, Tolerance.DEADLINE)
    assert finding.detail.startswith("COPY held runs since ")
    assert refused(databases).reason is Reason.SCHEMA_VERSION_MISSING
    postgres.execute(databases.default, f'REVOKE pg_read_server_files FROM "{databases.user}"')


# --- before a migration is asked for -------------------------------------------------------------------------------


@pytest.fixture
def unprivileged(databases: Databases, postgres: Postgres) -> Databases:
    """The database's role may make tables in it and nothing else, as where an administrator made it."""
    name = databases.visibility
    postgres.execute("postgres", f'ALTER DATABASE "{name}" OWNER TO postgres')
    postgres.execute(name, f'GRANT CREATE, USAGE ON SCHEMA public TO "{databases.user}"')
    return databases


@pytest.mark.parametrize("at", ["empty", "0.0", "1.1"])
def test_an_extension_that_the_migration_may_not_install_is_told_beforehand(
    at: str, unprivileged: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """The tool fails on it each time; with the SQL that is shown it does not."""
    if at != "empty":
        schema.run(schema.setup(temporal.Store.VISIBILITY))
    if at == "1.1":
        schema.run(schema.update(temporal.Store.VISIBILITY, "1.1"))
    finding = hindrance(unprivileged, Store.VISIBILITY, "1.9")
    assert finding.reason is Reason.DATABASE_EXTENSION_MISSING
    assert "version 1.2 needs btree_gin" in finding.detail
    assert look(unprivileged, Store.VISIBILITY, "1.1").version == (version(at) if at != "empty" else None)
    schema.run(schema.setup(temporal.Store.VISIBILITY))
    with pytest.raises(temporal.SchemaToolError, match="permission denied to create extension"):
        schema.run(schema.update(temporal.Store.VISIBILITY))

    _, _, sql = finding.remedy.partition("run: ")
    postgres.execute(unprivileged.visibility, sql.partition(" or: ")[0])

    assert look(unprivileged, Store.VISIBILITY, "1.9").version is not None
    schema.run(schema.update(temporal.Store.VISIBILITY))
    assert look(unprivileged, Store.VISIBILITY, "1.9").version == version("1.9")


def test_an_extension_that_the_migration_may_install_is_no_fault(databases: Databases) -> None:
    """The owner of a database may: the extension is trusted."""
    assert look(databases, Store.VISIBILITY, "1.9") == Schema(Store.VISIBILITY)


def test_a_role_that_only_looks_is_not_taken_for_the_one_that_migrates(
    databases: Databases, fresh_databases: FreshDatabases
) -> None:
    """It may make no table either; who migrates is not known in an empty database."""
    reader = fresh_databases()
    looking = replace(databases, user=reader.user, password=reader.password)
    assert look(looking, Store.VISIBILITY, "1.9") == Schema(Store.VISIBILITY)


def test_an_extension_that_is_gone_is_told_where_a_version_to_come_needs_it(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """temporal issue 9930: at 1.9, on the way to 1.13, which does not install it. At 1.9 itself nothing is wrong."""
    migrate(schema, Store.VISIBILITY)
    postgres.execute(databases.visibility, "DROP EXTENSION btree_gin CASCADE")
    assert look(databases, Store.VISIBILITY, "1.9").version == version("1.9")
    finding = hindrance(databases, Store.VISIBILITY, "1.13")
    assert finding.reason is Reason.DATABASE_EXTENSION_MISSING
    assert "CREATE EXTENSION btree_gin;" in finding.remedy


def test_an_extension_in_a_schema_that_is_not_searched_serves_all_the_same(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """An index finds the operator class by its type. What the field took for the search path was an absent extension."""
    migrate(schema, Store.VISIBILITY)
    postgres.execute(databases.visibility, "CREATE SCHEMA extensions")
    postgres.execute(databases.visibility, "ALTER EXTENSION btree_gin SET SCHEMA extensions")
    assert look(databases, Store.VISIBILITY, "1.13").version == version("1.9")
    newer = toolchain.schema_tool("1.30.8")
    migrated = temporal.Schema(newer, databases)
    migrated.run(migrated.update(temporal.Store.VISIBILITY))
    assert look(databases, Store.VISIBILITY, "1.13").version == version("1.13")


def test_azures_list_of_extensions_is_respected(databases: Databases, postgres: Postgres) -> None:
    """temporal PR 7002. Its parameter is a name to PostgreSQL; here a database has it."""
    postgres.execute(
        "postgres", f"ALTER DATABASE \"{databases.visibility}\" SET azure.extensions = 'PG_TRGM,UUID-OSSP'"
    )
    finding = hindrance(databases, Store.VISIBILITY, "1.9")
    assert (finding.reason, "azure.extensions" in finding.remedy) == (Reason.DATABASE_EXTENSION_MISSING, True)
    postgres.execute(
        "postgres", f"ALTER DATABASE \"{databases.visibility}\" SET azure.extensions = 'PG_TRGM,BTREE_GIN'"
    )
    assert look(databases, Store.VISIBILITY, "1.9") == Schema(Store.VISIBILITY)


@pytest.mark.parametrize(("rows", "told"), [(35_000_000, True), (20_000, False), (-1, False)])
def test_how_long_a_migration_takes_is_said_beforehand_where_a_table_is_large(
    rows: int,
    told: bool,  # noqa: FBT001
    databases: Databases,
    schema: temporal.Schema,
    postgres: Postgres,
) -> None:
    """temporal issue 10358. By the statistics, which are there for nothing: -1 is a table that nobody has analysed."""
    migrate(schema, Store.VISIBILITY)
    postgres.execute(
        databases.visibility, "UPDATE pg_class SET reltuples = %s WHERE relname = 'executions_visibility'", [rows]
    )
    note = look(databases, Store.VISIBILITY, "1.13").note
    assert (note is not None) == told
    if note is not None:
        assert note.reason is Reason.MIGRATION_TAKES_LONG
        assert "executions_visibility has about 35,000,000 rows" in note.detail
        assert "1.13 rewrites it and 17 indexes are built on it" in note.detail
        assert "expect 58 minutes or more" in note.detail
    assert look(databases, Store.VISIBILITY, "1.9").note is None


def test_sizes_are_read_past_a_migration_that_holds_its_table(databases: Databases, schema: temporal.Schema) -> None:
    """A look must not wait for the lock of the ALTER TABLE that it is to tell of."""
    migrate(schema, Store.VISIBILITY)
    with psycopg.connect(make_conninfo(**settings(databases, Store.VISIBILITY))) as session:
        session.execute("LOCK TABLE executions_visibility IN ACCESS EXCLUSIVE MODE")
        assert look(databases, Store.VISIBILITY, "1.13").version == version("1.9")
