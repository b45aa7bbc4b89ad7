"""What the package knows of interrupted schema updates, tried with Temporal's own tool on a real PostgreSQL."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
import pytest

from lab import schema_files, toolchain
from lab.postgres import Postgres
from lab.temporal import Databases, Schema, SchemaToolError, Store

KNOWLEDGE: dict[str, list[dict[str, Any]]] = json.loads(
    (resources.files("hook") / "data" / "unreplayable.json").read_text(encoding="utf-8")
)
OWNER, READER = "unreplayable", "unreplayable_reader"
PASSWORD = "without-blanks"  # the tool sends a blank as a plus (`url.QueryEscape` in `sqlplugin/postgresql/session`)
UNRECORDED = "unrecorded"

# Positions are counted anew: a column dropped for good leaves a hole in attnum and nothing else.
LAYOUT = """
SELECT c.relname, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum), a.attname,
       format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT indexname, 0, indexdef, NULL, NULL, NULL FROM pg_indexes WHERE schemaname = 'public'
ORDER BY 1, 2
"""


def _store(entry: dict[str, Any]) -> Store:
    return Store[entry["store"].upper()]


def _stuck() -> list[Any]:
    return [
        pytest.param(entry, applied, id=f"{entry['store']}-{entry['version']}-after-{applied}")
        for entry in KNOWLEDGE["stuck"]
        for applied in range(entry["interrupted_after"][0], entry["interrupted_after"][1] + 1)
    ]


REPLAYABLE = [
    # On the edges of versions that can be stuck.
    (Store.DEFAULT, "1.0", 0),
    (Store.DEFAULT, "1.0", 2),
    (Store.DEFAULT, "1.4", 0),
    (Store.DEFAULT, "1.16", 0),
    (Store.DEFAULT, "1.16", 2),
    (Store.VISIBILITY, "1.2", 5),
    (Store.VISIBILITY, "1.6", 0),
    (Store.VISIBILITY, "1.6", 8),
    # Elsewhere.
    (Store.DEFAULT, "1.1", 2),
    (Store.DEFAULT, "1.7", 2),
    (Store.DEFAULT, "1.18", 2),
    (Store.VISIBILITY, "1.0", 3),
    (Store.VISIBILITY, "1.4", 5),
    (Store.VISIBILITY, "1.9", 1),
]


@dataclass(frozen=True)
class World:
    """Databases as they are at every version of both stores, and copies of them for the cases."""

    postgres: Postgres
    tool: toolchain.SchemaTool
    names: Iterator[int]

    def schema(self, database: str) -> Schema:
        where = Databases(
            self.postgres.host, self.postgres.port, OWNER, PASSWORD, default=database, visibility=database
        )
        return Schema(self.tool, where)

    def versions(self, store: Store) -> list[str]:
        """0.0, which setup-schema writes, and all that update-schema does."""
        return ["0.0", *schema_files.versions(self.tool.schema_directory / store.value)]

    @staticmethod
    def template(store: Store, version: str) -> str:
        return f"{store.value}_at_{version}"

    def copy(self, template: str, name: str | None = None) -> str:
        name = name or f"unreplayable_{next(self.names)}"
        self.postgres.execute("postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER {OWNER}')
        self.execute(name, "UPDATE schema_version SET db_name = current_database()")
        return name

    def build(self) -> None:
        for store in Store:
            at = f"{store.value}_growing"
            self.postgres.create_database(at, owner=OWNER)
            schema = self.schema(at)
            schema.run(schema.setup(store))
            for version in self.versions(store):
                if version != "0.0":
                    schema.run(schema.update(store, version))
                self.copy(at, self.template(store, version))

    def interrupted(self, store: Store, version: str, applied: int) -> str:
        versions = self.versions(store)
        database = self.copy(self.template(store, versions[versions.index(version) - 1]))
        self.execute(database, *schema_files.statements(self.tool.schema_directory / store.value, version)[:applied])
        return database

    def execute(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.postgres.dsn(database, OWNER, PASSWORD), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def row(self, database: str) -> str | None:
        rows = self.postgres.execute(
            database, "SELECT curr_version FROM schema_version WHERE db_name = current_database()"
        )
        return str(rows[0][0]) if rows else None

    def recognised(self, database: str, store: Store) -> list[str]:
        """The probes that hold, asked read-only and by a role without any right on the tables."""
        row = self.row(database)
        found = []
        with psycopg.connect(self.postgres.dsn(database, READER, PASSWORD), autocommit=True) as connection:
            connection.read_only = True
            for entry in itertools.chain(KNOWLEDGE["stuck"], KNOWLEDGE["unrecorded"]):
                if _store(entry) is store and entry["from"] == row:
                    [(answer,)] = connection.execute(f"SELECT {entry['probe']}".encode()).fetchall()
                    assert answer is not None
                    if answer:
                        found.append(entry.get("version", UNRECORDED))
        return found

    def layout(self, database: str) -> list[Any]:
        return self.postgres.execute(database, LAYOUT)


@pytest.fixture(scope="module")
def world(postgres: Postgres, temporal_build: toolchain.TemporalBuild) -> Iterator[World]:
    made = World(postgres, temporal_build.schema_tool, itertools.count(1))
    before = {name for (name,) in postgres.execute("postgres", "SELECT datname FROM pg_database")}
    postgres.create_role(OWNER, PASSWORD)
    postgres.create_role(READER, PASSWORD)
    made.build()
    yield made
    for (name,) in postgres.execute("postgres", "SELECT datname FROM pg_database"):
        if name not in before:
            postgres.drop_database(name)
    postgres.execute("postgres", f"DROP ROLE {OWNER}, {READER}")


@pytest.mark.parametrize(("entry", "applied"), _stuck())
def test_a_stuck_update_is_recognised_and_its_remedy_lets_the_tool_finish(
    world: World, entry: dict[str, Any], applied: int
) -> None:
    """The rerun fails, and the probe says so before and after it; healed, it ends in a clean migration's schema."""
    store, version = _store(entry), entry["version"]
    database = world.interrupted(store, version, applied)
    schema = world.schema(database)
    assert world.recognised(database, store) == [version]
    with pytest.raises(SchemaToolError, match=r"does not exist|duplicate key value"):
        schema.run(schema.update(store))
    assert world.row(database) == entry["from"]
    assert world.recognised(database, store) == [version]

    world.execute(database, *schema_files.split(entry["remedy"]))

    assert world.recognised(database, store) == []
    schema.run(schema.update(store, version))
    assert world.layout(database) == world.layout(world.template(store, version))
    world.postgres.drop_database(database)


@pytest.mark.parametrize(("store", "version", "applied"), REPLAYABLE)
def test_an_update_that_replays_is_not_called_stuck(world: World, store: Store, version: str, applied: int) -> None:
    """No probe holds, and the rerun ends in the schema of a clean migration."""
    database = world.interrupted(store, version, applied)
    assert world.recognised(database, store) == []
    schema = world.schema(database)
    schema.run(schema.update(store))
    assert world.layout(database) == world.layout(world.template(store, world.versions(store)[-1]))


@pytest.mark.parametrize("entry", KNOWLEDGE["stuck"], ids=lambda entry: f"{entry['store']}-{entry['version']}")
def test_the_numbers_of_statements_are_the_releases_own(world: World, entry: dict[str, Any]) -> None:
    """What `why` counts is what the tool runs."""
    statements = schema_files.statements(world.tool.schema_directory / _store(entry).value, entry["version"])
    versions = world.versions(_store(entry))
    assert (len(statements), versions[versions.index(entry["version"]) - 1]) == (entry["statements"], entry["from"])


@pytest.mark.parametrize(
    "entry", KNOWLEDGE["unrecorded"], ids=lambda entry: f"{entry['store']}-row-{entry['from'] or 'missing'}"
)
def test_a_database_that_lost_its_row_gets_it_back_from_its_history(world: World, entry: dict[str, Any]) -> None:
    """Renamed, without a row or with the one setup-schema writes: recognised, healed, nothing left for the tool."""
    store = _store(entry)
    newest = world.versions(store)[-1]
    database = world.copy(world.template(store, newest))
    schema = world.schema(database)
    world.execute(database, "UPDATE schema_version SET db_name = 'its former name'")
    if entry["from"] is not None:
        schema.run(schema.setup(store))
    assert world.recognised(database, store) == [UNRECORDED]

    world.execute(database, *schema_files.split(entry["remedy"]))

    assert world.recognised(database, store) == []
    assert world.row(database) == newest
    assert f"found zero updates from current version {newest}" in schema.run(schema.update(store))


def test_migrating_a_renamed_visibility_database_succeeds_and_loses_data(world: World) -> None:
    """Why a missing row is never answered with a migration: 1.6 replaces two columns by empty ones."""
    store = Store.VISIBILITY
    database = world.copy(world.template(store, world.versions(store)[-1]))
    schema = world.schema(database)
    world.execute(
        database,
        "UPDATE schema_version SET db_name = 'its former name'",
        "INSERT INTO executions_visibility (namespace_id, run_id, start_time, execution_time, workflow_id,"
        " workflow_type_name, status, encoding, root_workflow_id)"
        " VALUES ('n', 'r', now(), now(), 'w', 't', 1, 'e', 'root')",
    )
    schema.run(schema.setup(store))
    schema.run(schema.update(store))
    kept = world.postgres.execute(database, "SELECT workflow_id, root_workflow_id FROM executions_visibility")
    assert kept == [("w", "")]


def test_a_fresh_migration_holds_one_row_of_namespace_metadata_and_no_cluster(world: World) -> None:
    """The rows that the gate asks for after a migration and before the first server."""
    database = world.template(Store.DEFAULT, world.versions(Store.DEFAULT)[-1])
    assert world.postgres.execute(database, "SELECT * FROM namespace_metadata") == [(54321, 1)]
    assert world.postgres.execute(database, "SELECT * FROM cluster_metadata_info") == []
