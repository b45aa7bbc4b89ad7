"""Temporal on PostgreSQL: its schema by its own temporal-sql-tool, its four services as processes.

Knows the tool's and the server's command lines and configuration; starts nothing but the tool. What a running frontend
is asked is in ``temporal_client``.
"""

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg
import yaml

from lab import schema_files
from lab.processes import free_port
from lab.toolchain import SchemaTool, TemporalBuild

SERVICES = ("frontend", "history", "matching", "worker")
_TOOL_SECONDS = 60.0


class Store(Enum):
    """One of Temporal's two stores; the value is the name of its schema in the module's ``schema/postgresql/v12``."""

    DEFAULT = "temporal"
    VISIBILITY = "visibility"


@dataclass(frozen=True)
class Databases:
    """Where the two stores are, as Temporal is told."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    default: str = "temporal"
    visibility: str = "temporal_visibility"

    def name(self, store: Store) -> str:
        """The database of a store."""
        return self.default if store is Store.DEFAULT else self.visibility


class SchemaToolError(RuntimeError):
    """Temporal-sql-tool failed; the message is the end of its output."""


@dataclass(frozen=True)
class Schema:
    """The schemas of both stores, as one release's temporal-sql-tool makes them. Its password is in the environment."""

    tool: SchemaTool
    databases: Databases

    def create_database(self, store: Store) -> list[str]:
        """Arguments that create the database; without CREATEDB this fails even where it exists."""
        return [*self._connection(store), "create-database"]

    def setup(self, store: Store) -> list[str]:
        """Arguments that create the version tables, at 0.0; they leave a higher version as it is."""
        return [*self._connection(store), "setup-schema", "-v", "0.0"]

    def update(self, store: Store, version: str | None = None) -> list[str]:
        """Arguments that update to a version such as ``1.17``, by default to the release's own."""
        target = [] if version is None else ["--version", version]
        return [*self._connection(store), "update-schema", "--schema-name", f"postgresql/v12/{store.value}", *target]

    def environment(self) -> dict[str, str]:
        """What the tool needs beside its arguments."""
        return {"SQL_PASSWORD": self.databases.password}

    def run(self, argv: Sequence[str]) -> str:
        """Run the tool to its end; its output. Raises ``SchemaToolError``."""
        done = subprocess.run(
            argv,
            check=False,
            env=os.environ | self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TOOL_SECONDS,
        )
        if done.returncode != 0:
            raise SchemaToolError(done.stdout[-2000:])
        return done.stdout

    def migrate(self, default: str | None = None, visibility: str | None = None) -> None:
        """Set up and update both stores in their existing databases; the versions default to the release's own."""
        self.migrate_store(Store.DEFAULT, default)
        self.migrate_store(Store.VISIBILITY, visibility)

    def migrate_store(self, store: Store, version: str | None = None) -> None:
        """Set up and update one store in its existing database."""
        self.run(self.setup(store))
        self.run(self.update(store, version))

    def migration_command(self, *, create_databases: bool) -> list[str]:
        """What the schema Job of Temporal's chart does, as one command to be run with ``environment()``.

        ``create_databases`` as the chart's ``createDatabase``: the role needs CREATEDB. It can be repeated; it stops
        with exit code 1 at the first failure.
        """
        steps = [
            command(store)
            for store in Store
            for command in ((self.create_database,) if create_databases else ()) + (self.setup, self.update)
        ]
        return ["sh", "-ec", "\n".join(shlex.join(step) for step in steps)]

    def leave_interrupted(self, store: Store, version: str, statements: int) -> None:
        """Leave an empty database as a tool does that is killed after so many statements of that version.

        The version row stays at the one before: the tool writes it after the statements, without a transaction around
        (``executeUpdates`` in ``tools/common/schema/updatetask.go``). Raises ``ValueError`` for what does not exist.
        """
        directory = self.tool.schema_directory / store.value
        versions = schema_files.versions(directory)
        before = versions[: versions.index(version)][-1:]
        todo = schema_files.statements(directory, version)
        if not 0 <= statements <= len(todo):
            raise ValueError(f"{store.value} {version} has {len(todo)} statements, not {statements}")
        self.run(self.setup(store))
        for reached in before:
            self.run(self.update(store, reached))
        with psycopg.connect(
            host=self.databases.host,
            port=self.databases.port,
            user=self.databases.user,
            password=self.databases.password,
            dbname=self.databases.name(store),
            autocommit=True,
        ) as connection:
            for statement in todo[:statements]:
                connection.execute(statement.encode())

    def _connection(self, store: Store) -> list[str]:
        database = self.databases
        return [
            str(self.tool.path), "--plugin", "postgres12", "--ep", database.host, "-p", str(database.port),
            "-u", database.user, "--db", database.name(store),
        ]  # fmt: skip


class ServerConfig:
    """The configuration of one Temporal, one process a service, on ports of its own.

    Written once into ``directory`` (the password with it, as Temporal wants it); the same file serves all four.
    ``host`` is an address of loopback: with the ports of another configuration, ``ports``, it is one pod's of a cluster
    whose pods have an address each and the same ports.
    """

    def __init__(
        self,
        build: TemporalBuild,
        databases: Databases,
        directory: Path,
        *,
        host: str = "127.0.0.1",
        ports: "ServerConfig | None" = None,
        shards: int = 4,
    ) -> None:
        self._build = build
        self._directory = directory
        self._host = host
        self._shards = shards
        self.ports: dict[str, int] = ports.ports if ports else {service: free_port() for service in SERVICES}
        """The gRPC port of each service."""
        self.membership_ports: dict[str, int] = (
            ports.membership_ports if ports else {service: free_port() for service in SERVICES}
        )
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / "lab.yaml"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(self._rendered(databases)))

    @property
    def address(self) -> str:
        """``host:port`` of the frontend's gRPC."""
        return f"{self._host}:{self.ports['frontend']}"

    def argv(self, service: str) -> list[str]:
        """The command of one of ``SERVICES``. It needs nothing from the environment or the current directory."""
        return [
            str(self._build.server), "--root", "/", "--config", str(self._directory.absolute()), "--env", "lab",
            "--allow-no-auth", "start", f"--service={service}",
        ]  # fmt: skip

    def _rendered(self, databases: Databases) -> dict[str, Any]:
        """The module's own development configuration, with what one process a service and this database change."""
        config: dict[str, Any] = yaml.safe_load(self._build.config_template.read_text())
        stores = config["persistence"]["datastores"]
        for key, store in (("postgres-default", Store.DEFAULT), ("postgres-visibility", Store.VISIBILITY)):
            stores[key]["sql"] |= {
                "databaseName": databases.name(store),
                "connectAddr": f"{databases.host}:{databases.port}",
                "user": databases.user,
                "password": databases.password,
            }
        # Four processes would want the same two ports.
        del config["global"]["pprof"], config["global"]["metrics"]
        for service, port in self.ports.items():
            config["services"][service]["rpc"] = {
                "grpcPort": port,
                "membershipPort": self.membership_ports[service],
                "bindOnIP": self._host,
            }
        config["global"]["membership"]["broadcastAddress"] = self._host
        config["persistence"]["numHistoryShards"] = self._shards
        # The same for every server: one that starts with another writes the cluster's row anew, and two at once lose a race.
        config["clusterMetadata"]["clusterInformation"]["active"]["rpcAddress"] = f"127.0.0.1:{self.ports['frontend']}"
        config["dynamicConfigClient"]["filepath"] = str(self._build.dynamic_config)
        return config
