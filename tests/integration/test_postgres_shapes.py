"""Whether a database is what its version row says, on a real PostgreSQL and schemas that Temporal's own tool made."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from postgres_looks import LAB_STORES, as_owner, migrate, read, refused

from hook.observation import shapes
from hook.observation.reasons import ExitCode, Reason, Tolerance
from hook.observation.versions import Schema, SchemaVersion, Store
from lab import schema_files, temporal
from lab.postgres import Postgres
from lab.temporal import Databases

FreshDatabases = Callable[[], Databases]


def version(text: str) -> SchemaVersion:
    return SchemaVersion.parse(text)


def row(databases: Databases, store: Store, text: str) -> str:
    return f"UPDATE schema_version SET curr_version = '{text}' WHERE db_name = '{databases.name(LAB_STORES[store])}'"  # noqa: S608


# --- the kind ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", Store)
def test_every_version_that_the_tool_makes_is_whole(
    store: Store, databases: Databases, schema: temporal.Schema
) -> None:
    """Each one in turn, of the release that the lab runs: no migration on its way is taken for a fault."""
    directory = schema.tool.schema_directory / LAB_STORES[store].value
    migrate(schema, store, "1.0")
    for reached in schema_files.versions(directory):
        if version(reached) >= version("1.0"):
            schema.run(schema.update(LAB_STORES[store], reached))
            assert read(databases, store).version == version(reached)


@pytest.mark.parametrize(("store", "made"), [(Store.VISIBILITY, Store.DEFAULT), (Store.DEFAULT, Store.VISIBILITY)])
def test_the_other_stores_schema_is_no_schema(
    store: Store, made: Store, databases: Databases, schema: temporal.Schema
) -> None:
    """temporal issue 4046: the version is high enough, and for the default store even a migration would be asked for."""
    swapped = replace(databases, default=databases.visibility, visibility=databases.default)
    migrate(replace(schema, databases=swapped), made)
    finding = refused(databases, store)
    assert (finding.reason, finding.reason.exit_code) == (Reason.SCHEMA_OF_OTHER_STORE, ExitCode.SCHEMA)
    assert f"the {made} store's tables" in finding.detail


@pytest.mark.parametrize("left", ["no row", "row 0.0"])
def test_the_other_stores_tables_are_not_migrated_over(
    left: str, databases: Databases, schema: temporal.Schema
) -> None:
    """Where the row is lost or was written anew a migration would mix the two."""
    migrate(replace(schema, databases=replace(databases, default=databases.visibility)))
    as_owner(
        databases,
        "DELETE FROM schema_version" if left == "no row" else row(databases, Store.VISIBILITY, "0.0"),
        store=Store.VISIBILITY,
    )
    assert refused(databases, Store.VISIBILITY).reason is Reason.SCHEMA_OF_OTHER_STORE


def test_a_default_update_that_ran_over_a_visibility_schema_is_found_by_what_it_did_not_add(
    databases: Databases, schema: temporal.Schema
) -> None:
    """The default store's 1.10 to 1.13 run there, and the row says 1.13 then: as new as release 1.30 asks."""
    migrate(schema, Store.VISIBILITY, "1.9")
    over = replace(schema, databases=replace(databases, default=databases.visibility))
    with pytest.raises(temporal.SchemaToolError, match="current_executions"):
        over.run(over.update(temporal.Store.DEFAULT))
    finding = refused(databases, Store.VISIBILITY)
    assert finding.reason is Reason.SCHEMA_INCOMPLETE
    assert "its row says 1.13, but these are missing: column executions_visibility.temporal" in finding.detail


@pytest.mark.parametrize(
    ("store", "statement", "missing"),
    [
        (Store.DEFAULT, "DROP TABLE shards", "table shards"),
        (Store.DEFAULT, "DROP TABLE tasks_v2", "table tasks_v2"),
        (
            Store.DEFAULT,
            "ALTER TABLE current_executions DROP COLUMN start_time",
            "column current_executions.start_time",
        ),
        (Store.VISIBILITY, "DROP TABLE executions_visibility", "table executions_visibility"),
        (
            Store.VISIBILITY,
            "ALTER TABLE executions_visibility DROP COLUMN _version",
            "column executions_visibility._version",
        ),
    ],
)
def test_what_is_missing_at_a_version_is_named(  # noqa: PLR0913, PLR0917
    store: Store, statement: str, missing: str, databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """A restore of a part: it may still be going on, so it is waited for."""
    migrate(schema, store)
    postgres.execute(databases.name(LAB_STORES[store]), statement)
    finding = refused(databases, store)
    assert finding.reason is Reason.SCHEMA_INCOMPLETE
    assert finding.detail.endswith(f"but these are missing: {missing}")
    assert (finding.reason.exit_code, finding.reason.tolerance) == (ExitCode.SCHEMA, Tolerance.GRACE)


@pytest.mark.parametrize("store", Store)
def test_a_version_row_alone_is_no_schema(store: Store, databases: Databases, schema: temporal.Schema) -> None:
    """As where somebody wrote it by hand."""
    schema.run(schema.setup(LAB_STORES[store]))
    as_owner(databases, row(databases, store, "1.9"), store=store)
    assert refused(databases, store).reason is Reason.SCHEMA_INCOMPLETE


def test_a_newer_version_than_is_known_is_asked_for_its_kind_alone(
    databases: Databases, schema: temporal.Schema
) -> None:
    """After a rollback: what a version to come has and has not is not known here."""
    migrate(schema)
    as_owner(databases, row(databases, Store.DEFAULT, "1.99"), "DROP TABLE tasks_v2")
    assert read(databases).version == version("1.99")


def test_some_tables_without_a_row_are_a_restore_and_not_empty(
    databases: Databases, schema: temporal.Schema, postgres: Postgres
) -> None:
    """pg_restore makes tables first, in the order of their names, and fills them later."""
    migrate(schema)
    kept = sorted(shapes.tables(Store.DEFAULT))[:3]
    for table in shapes.tables(Store.DEFAULT) - set(kept):
        postgres.execute(databases.default, f"DROP TABLE IF EXISTS {table}")
    postgres.execute(databases.default, "DROP TABLE schema_version, schema_update_history")
    finding = refused(databases)
    assert (finding.reason, finding.reason.tolerance) == (Reason.SCHEMA_VERSION_MISSING, Tolerance.GRACE)
    assert kept[0] in finding.detail
    assert "INSERT" not in finding.remedy  # there is nothing to take a version from


# --- another program's table ---------------------------------------------------------------------------------------

FLYWAY = "CREATE TABLE {}.schema_version (installed_rank INT PRIMARY KEY, version VARCHAR(50), description TEXT)"


def test_another_programs_table_elsewhere_counts_as_nothing(databases: Databases) -> None:
    """Flyway 4 called its table so; the database is empty to Temporal, and may be migrated."""
    as_owner(databases, "CREATE SCHEMA billing", FLYWAY.format("billing"))
    assert read(databases) == Schema(Store.DEFAULT)


def test_another_programs_table_in_temporals_place_is_named_before_every_migration_fails_on_it(
    databases: Databases, schema: temporal.Schema
) -> None:
    """temporal issue 668. The tool's CREATE TABLE IF NOT EXISTS leaves it, and its INSERT fails."""
    as_owner(databases, FLYWAY.format("public"))
    finding = refused(databases)
    assert finding.reason is Reason.SCHEMA_VERSION_FOREIGN
    assert "installed_rank" in finding.detail
    with pytest.raises(temporal.SchemaToolError, match="version_partition"):
        schema.run(schema.setup(temporal.Store.DEFAULT))


def test_another_programs_table_hides_none_of_temporals(databases: Databases, schema: temporal.Schema) -> None:
    """Temporal's is in a schema that this session does not search: that is the fault, and no migration."""
    migrate(schema, Store.DEFAULT, "1.1")
    as_owner(
        databases, "CREATE SCHEMA temporal", "ALTER TABLE schema_version SET SCHEMA temporal", FLYWAY.format("public")
    )
    finding = refused(databases)
    assert finding.reason is Reason.DATABASE_SCHEMA_HIDDEN
    assert "Temporal would not" not in finding.reason.meaning


def test_a_search_path_by_options_finds_the_tables(databases: Databases, schema: temporal.Schema) -> None:
    """As Temporal does by connectAttributes (temporal issue 3383), whatever the role's own is."""
    as_owner(databases, "CREATE SCHEMA temporal")
    as_owner(databases, f'ALTER ROLE "{databases.user}" SET search_path = temporal')
    migrate(schema)
    as_owner(databases, f'ALTER ROLE "{databases.user}" RESET search_path')
    assert refused(databases).reason is Reason.DATABASE_SCHEMA_HIDDEN
    assert "searchPath" in refused(databases).remedy
    assert read(databases, options="-c search_path=temporal").version == version("1.18")


# --- read-only -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "options", "by", "reset"),
    [
        (
            "ALTER DATABASE {database} SET default_transaction_read_only = on",
            "",
            "database",
            "DATABASE {database} RESET",
        ),
        ("ALTER ROLE {user} SET default_transaction_read_only = on", "", "user", "ALTER ROLE {user} RESET"),
        (
            "ALTER ROLE {user} IN DATABASE {database} SET default_transaction_read_only = on",
            "",
            "database user",
            "ALTER ROLE {user} IN DATABASE {database} RESET",
        ),
        ("SELECT 1", "-c default_transaction_read_only=on", "client", "disk is full"),
    ],
)
def test_a_session_that_is_given_read_only_is_told_by_who_made_it_so(  # noqa: PLR0913, PLR0917
    statement: str,
    options: str,
    by: str,
    reset: str,
    databases: Databases,
    schema: temporal.Schema,
    postgres: Postgres,
) -> None:
    """Providers do so where the disk is full. No right schema passes for it, and no migration is asked for."""
    migrate(schema)
    names = {"database": f'"{databases.default}"', "user": f'"{databases.user}"'}
    postgres.execute("postgres", statement.format(**names))
    finding = refused(databases, options=options)
    assert (finding.reason, finding.reason.tolerance) == (Reason.DATABASE_READ_ONLY, Tolerance.DEADLINE)
    assert finding.detail.endswith(f"set by: {by}")
    assert reset.format(**names) in finding.remedy


# --- times ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31", "infinity", "-infinity", "0044-03-15 BC", "1970-01-01"])
def test_a_time_beyond_reason_is_no_time(moment: str, databases: Databases, schema: temporal.Schema) -> None:
    """Go's zero, and what psycopg could not even hold."""
    migrate(schema, Store.DEFAULT, "1.1")
    before = read(databases)
    as_owner(
        databases,
        f"UPDATE schema_version SET creation_time = '{moment}'",  # noqa: S608 -- of our own
        f"UPDATE schema_update_history SET update_time = '{moment}' WHERE new_version = '0.0'",  # noqa: S608
    )
    seen = read(databases)
    assert (seen.since, seen.version) == (None, version("1.1"))
    assert seen.born is not None
    assert before.born is not None
    assert seen.born > before.born  # the first that is a time
    as_owner(databases, "DELETE FROM schema_update_history WHERE new_version <> '0.0'")
    assert read(databases).born is None


def test_a_version_with_three_numbers_is_read_as_one_with_two(databases: Databases, schema: temporal.Schema) -> None:
    """Temporal compares them as semantic versions."""
    migrate(schema)
    as_owner(databases, row(databases, Store.DEFAULT, "1.18.0"))
    assert read(databases).version == version("1.18")
