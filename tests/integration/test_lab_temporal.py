"""The lab's Temporal is the real one: it crashes without its schema, serves with it, lives on when it is replaced."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import schema_files, temporal_client, toolchain
from lab.postgres import Postgres
from lab.processes import Process, free_port, wait_until
from lab.temporal import SERVICES, Databases, Schema, SchemaToolError, ServerConfig, Store

FreshDatabases = Callable[[], Databases]
PREFIX = "sql schema version compatibility check failed: "
# Services that start side by side on a new schema race for its first row of cluster_metadata_info. The loser exits, and
# a kubelet starts it again (initCurrentClusterMetadataRecord in temporal/fx.go; seen in about one start of ten).
LOST_RACE = "failed to initialize current cluster metadata"
# A worker that is not done with starting when its database is replaced exits of itself.
LOST_NAMESPACE = "Namespace temporal-system is not found"


class Running:
    """All four services of a Temporal; one that exits for a reason that its next start does not meet is restarted."""

    def __init__(self, config: ServerConfig, folder: Path) -> None:
        self.address = config.address
        self._config = config
        self._folder = folder
        self._processes = {service: self._start(service) for service in SERVICES}

    def serving(self) -> bool:
        self._tend()
        try:
            return temporal_client.health(self.address) == "SERVING"
        except temporal_client.CallError:
            return False

    def started_workflow(self, namespace: str) -> str:
        """Its id, or nothing where none could be started: a shard just acquired may refuse at first."""
        self._tend()
        try:
            return temporal_client.start_workflow(self.address, namespace)
        except temporal_client.CallError:
            return ""

    def stop(self) -> None:
        """With little grace: a worker whose frontend went first would use it up."""
        for process in self._processes.values():
            process.stop(0.1)

    def _start(self, service: str) -> Process:
        return Process.start(self._config.argv(service), log=self._folder / f"{service}.log")

    def _tend(self) -> None:
        for service, process in self._processes.items():
            if process.poll() is not None:
                last_words = process.tail(1)
                assert LOST_RACE in last_words or LOST_NAMESPACE in last_words, last_words
                self._processes[service] = self._start(service)


@contextmanager
def _running(config: ServerConfig, folder: Path) -> Iterator[Running]:
    temporal = Running(config, folder)
    try:
        yield temporal
    finally:
        temporal.stop()


def _bootstrap(address: str, namespace: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "lab.namespace_bootstrap", address, namespace]
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=20)  # noqa: S603 - our own


def _version(postgres: Postgres, database: str) -> str:
    [(version,)] = postgres.execute(database, "SELECT curr_version FROM schema_version WHERE version_partition = 0")
    return str(version)


@pytest.mark.parametrize("service", SERVICES)
def test_without_a_schema_every_service_exits(
    service: str, temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, tmp_path: Path
) -> None:
    """At once, with the message of the incident."""
    databases = fresh_databases()
    config = ServerConfig(temporal_build, databases, tmp_path / "config")
    with Process.start(config.argv(service), log=tmp_path / "log") as process:
        assert process.wait(10) == 1
    expected = (
        f"{PREFIX}unable to read DB schema version keyspace/database: {databases.default} "
        'error: pq: relation "schema_version" does not exist'
    )
    assert expected in process.tail(50)


def test_with_an_older_schema_a_service_exits_naming_both_versions(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, tmp_path: Path
) -> None:
    """The default store is checked first."""
    databases = fresh_databases()
    Schema(temporal_build.schema_tool, databases).migrate(default="1.17")
    config = ServerConfig(temporal_build, databases, tmp_path / "config")
    with Process.start(config.argv("history"), log=tmp_path / "log") as process:
        assert process.wait(10) == 1
    expected = (
        f'{PREFIX}version mismatch for keyspace/database: "{databases.default}". '
        "Expected version: 1.18 cannot be greater than Actual version: 1.17"
    )
    assert expected in process.tail(50)


def test_a_migrated_temporal_serves_and_lives_on_blindly_when_its_databases_are_replaced(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, postgres: Postgres, tmp_path: Path
) -> None:
    """SERVING, a new namespace and no workflow: only a restart makes such a Temporal whole again."""
    databases = fresh_databases()
    schema = Schema(temporal_build.schema_tool, databases)
    config = ServerConfig(temporal_build, databases, tmp_path / "config")
    schema.migrate()
    with _running(config, tmp_path) as temporal:
        wait_until(temporal.serving, 30, "the frontend to serve")
        assert _bootstrap(config.address, "orders").stdout == "namespace orders registered\n"
        assert _bootstrap(config.address, "orders").stdout == "namespace orders is there already\n"
        assert temporal_client.describe_namespace(config.address, "orders") == "NAMESPACE_STATE_REGISTERED"
        workflow = wait_until(lambda: temporal.started_workflow("orders"), 20, "a workflow to start")
        status = temporal_client.describe_workflow(config.address, "orders", workflow)
        assert status == "WORKFLOW_EXECUTION_STATUS_RUNNING"

        for database in (databases.default, databases.visibility):
            postgres.drop_database(database)
            postgres.create_database(database, owner=databases.user)
        schema.migrate()
        assert temporal.serving()
        assert _bootstrap(config.address, "returns").returncode == 0
        with pytest.raises(temporal_client.CallError, match="shard status unknown"):
            temporal_client.start_workflow(config.address, "returns")

    with _running(config, tmp_path) as temporal:
        wait_until(temporal.serving, 30, "the frontend to serve again")
        assert wait_until(lambda: temporal.started_workflow("returns"), 20, "a workflow to start again")


def test_bootstrap_fails_plainly_where_nothing_listens() -> None:
    """As the namespace bootstrap of the incident did."""
    done = _bootstrap(f"127.0.0.1:{free_port()}", "orders")
    assert done.returncode == 1
    assert "Connection refused" in done.stderr


def test_the_migration_command_makes_both_schemas_and_can_be_repeated(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, postgres: Postgres
) -> None:
    """From nothing, databases included; the password is in no argument."""
    databases = fresh_databases()
    postgres.drop_database(databases.visibility)
    postgres.execute("postgres", f'ALTER ROLE "{databases.user}" CREATEDB')
    schema = Schema(temporal_build.schema_tool, databases)
    command = schema.migration_command(create_databases=True)
    assert databases.password not in " ".join(command)
    schema.run(command)
    assert (_version(postgres, databases.default), _version(postgres, databases.visibility)) == ("1.18", "1.9")
    assert "found zero updates from current version 1.18" in schema.run(command)


def test_the_migration_command_fails_where_it_may_not_create_databases(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases
) -> None:
    """Even though they exist; without that step it succeeds."""
    schema = Schema(temporal_build.schema_tool, fresh_databases())
    with pytest.raises(SchemaToolError, match="permission denied to create database"):
        schema.run(schema.migration_command(create_databases=True))
    schema.run(schema.migration_command(create_databases=False))


@pytest.mark.parametrize(
    ("store", "version", "statements", "before", "error"),
    [
        (Store.DEFAULT, "1.0", 3, "0.0", "duplicate key"),
        (Store.DEFAULT, "1.16", 1, "1.15", "does not exist"),
        (Store.VISIBILITY, "1.6", 7, "1.5", "does not exist"),
    ],
)
def test_a_schema_interrupted_where_it_does_not_replay_is_stuck(  # noqa: PLR0913, PLR0917
    store: Store,
    version: str,
    statements: int,
    before: str,
    error: str,
    temporal_build: toolchain.TemporalBuild,
    fresh_databases: FreshDatabases,
    postgres: Postgres,
) -> None:
    """The version stays at the one before, however often the tool is run."""
    databases = fresh_databases()
    schema = Schema(temporal_build.schema_tool, databases)
    schema.leave_interrupted(store, version, statements)
    for _ in range(2):
        assert _version(postgres, databases.name(store)) == before
        with pytest.raises(SchemaToolError, match=error):
            schema.run(schema.update(store))


def test_a_schema_interrupted_elsewhere_is_finished_by_the_next_run(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, postgres: Postgres
) -> None:
    """What exists already is skipped."""
    databases = fresh_databases()
    schema = Schema(temporal_build.schema_tool, databases)
    schema.leave_interrupted(Store.DEFAULT, "1.18", 1)
    assert _version(postgres, databases.default) == "1.17"
    assert "Duplicate update" in schema.run(schema.update(Store.DEFAULT))
    assert _version(postgres, databases.default) == "1.18"


@pytest.mark.parametrize("store", Store)
def test_statements_are_split_as_the_tool_splits_them(
    store: Store, temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases
) -> None:
    """The tool logs each statement that it runs, on one line."""
    schema = Schema(temporal_build.schema_tool, fresh_databases())
    schema.run(schema.setup(store))
    said = re.findall(r"\t((?:CREATE|ALTER|INSERT|DROP) .*)\t\{", schema.run(schema.update(store)))
    directory = temporal_build.schema_tool.schema_directory / store.value
    ours = [
        re.sub(r"\s+", " ", statement)
        for version in schema_files.versions(directory)
        for statement in schema_files.statements(directory, version)
    ]
    assert ours == said


def test_a_build_in_the_cache_needs_no_go(
    temporal_build: toolchain.TemporalBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor its module cache: the second run of the demo starts at once."""
    told: list[str] = []
    monkeypatch.setenv("PATH", "")
    assert toolchain.temporal(progress=told.append) == temporal_build
    assert told == []


def test_a_failed_build_shows_what_go_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run builds anew."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text('#!/bin/sh\n[ "$1" = env ] && { echo go1.26.0; exit; }\necho no such module; exit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(toolchain.BuildError, match="no such module"):
            toolchain.schema_tool("1.29.1", progress=lambda _: None)
    assert [path.name for path in (toolchain.cache_directory() / "temporal" / "1.29.1").iterdir()] == [".tool.lock"]
