"""The real things that integration tests share: one PostgreSQL, Temporal's programs, databases of a test's own."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import temporal, toolchain
from lab.postgres import Postgres
from lab.temporal import Databases
from lab.world import World

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the session: share it by databases, leave its settings alone."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def temporal_build(request: pytest.FixtureRequest) -> toolchain.TemporalBuild:
    """Temporal's tool and server at the lab's release; the first time ever this takes minutes and says so."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    return toolchain.temporal(progress=reporter.write_line if reporter else print)


@pytest.fixture
def fresh_databases(postgres: Postgres) -> Iterator[Callable[[], Databases]]:
    """Makes pairs of empty databases under unique names, each pair with a role that owns it; dropped at the end."""
    made: list[Databases] = []

    def make() -> Databases:
        name = f"temporal_{next(_numbers)}"
        databases = Databases(
            host=postgres.host,
            port=postgres.port,
            user=name,
            password=f"secret-of-{name}",
            default=name,
            visibility=f"{name}_visibility",
        )
        made.append(databases)
        postgres.create_role(databases.user, databases.password)
        for database in (databases.default, databases.visibility):
            postgres.create_database(database, owner=databases.user)
        return databases

    yield make
    for databases in made:
        for database in (databases.default, databases.visibility):
            postgres.drop_database(database)
        postgres.execute("postgres", f'DROP ROLE "{databases.user}"')


@pytest.fixture
def databases(fresh_databases: Callable[[], Databases]) -> Databases:
    return fresh_databases()


@pytest.fixture
def schema(databases: Databases, temporal_build: toolchain.TemporalBuild) -> temporal.Schema:
    """Temporal's tool, working on the databases; nothing is made yet."""
    return temporal.Schema(temporal_build.schema_tool, databases)


@pytest.fixture
def make_world(temporal_build: toolchain.TemporalBuild, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world of real parts and stand-ins that ends with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(World(temporal_build, tmp_path, **options))
