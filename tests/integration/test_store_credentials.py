"""The stores' settings on a real PostgreSQL: files that come late and rotate, search paths, public authorities."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
from psycopg.conninfo import make_conninfo

from hook.adapters import postgres as adapter
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from hook.settings.stores import StoresSettings
from lab.postgres import Postgres
from lab.temporal import Databases

SECONDS = 5.0


def look(settings: StoresSettings, store: Store = Store.DEFAULT) -> Schema:
    return adapter.read(store, settings.of(store).conninfo, SECONDS)


def finding_of(settings: StoresSettings) -> Finding:
    with pytest.raises(FindingError) as caught:
        look(settings)
    return caught.value.finding


def stores(**default: Any) -> StoresSettings:
    return StoresSettings.model_validate({"default": default})


@pytest.fixture
def databases(fresh_databases: Callable[[], Databases]) -> Databases:
    return fresh_databases()


def test_a_file_that_is_late_or_half_written_is_named_and_taken_up(
    databases: Databases, postgres: Postgres, tmp_path: Path
) -> None:
    """Each is read at each look: a role and its password change together."""
    user, password = tmp_path / "user", tmp_path / "password"
    settings = stores(
        host=databases.host,
        port=databases.port,
        database=databases.default,
        userFile=str(user),
        passwordFile=str(password),
    )
    user.write_text(databases.user)
    missing = finding_of(settings)
    assert missing.reason is Reason.DATABASE_CREDENTIALS_MISSING
    assert f"passwordFile: cannot read {password}" in missing.detail

    password.write_bytes(b"\xff\xfe secret")
    broken = finding_of(settings)
    assert broken.reason is Reason.DATABASE_CREDENTIALS_MISSING
    assert not re.search(r"secret|0xff", str(broken))

    password.write_text(f"{databases.password}\n")
    assert look(settings) == Schema(Store.DEFAULT)

    other = f"{databases.user}_clone"
    postgres.create_role(other, "the next")
    try:
        user.write_text(other)
        assert finding_of(settings).reason is Reason.DATABASE_LOGIN_REFUSED, "the other's name with the old password"
        password.write_text("the next")
        assert look(settings) == Schema(Store.DEFAULT)
    finally:
        postgres.execute("postgres", f'DROP ROLE "{other}"')


def test_a_whole_dsn_is_read_from_its_file(databases: Databases, tmp_path: Path) -> None:
    """Visibility is another database of its server."""
    dsn = tmp_path / "uri"
    dsn.write_text(
        f"postgresql://{databases.user}:{databases.password}@{databases.host}:{databases.port}/{databases.default}\n"
    )
    settings = StoresSettings.model_validate(
        {"default": {"dsnFile": str(dsn)}, "visibility": {"database": databases.visibility}}
    )
    assert look(settings) == Schema(Store.DEFAULT)
    assert look(settings, Store.VISIBILITY) == Schema(Store.VISIBILITY)


def test_two_schemas_of_one_database_are_two_stores(databases: Databases, tmp_path: Path) -> None:
    """Names that need quotes, a blank and a backslash arrive as PostgreSQL's own list of names."""
    names = {Store.DEFAULT: ('"My \\ Schema"', "1.5"), Store.VISIBILITY: ("visibility", "1.2")}
    dsn = make_conninfo(
        host=databases.host,
        port=databases.port,
        dbname=databases.default,
        user=databases.user,
        password=databases.password,
    )
    with psycopg.connect(dsn, autocommit=True) as session:
        for name, version in names.values():
            session.execute(f"CREATE SCHEMA {name}".encode())
            session.execute(
                f"CREATE TABLE {name}.schema_version (version_partition int, db_name text, creation_time timestamp,"
                f" curr_version text, min_compatible_version text)".encode()
            )
            row = (0, databases.default, version, "1.0")
            insert = f"INSERT INTO {name}.schema_version VALUES (%s, %s, now(), %s, %s)"  # noqa: S608 -- names of this test
            session.execute(insert.encode(), row)
    password = tmp_path / "password"
    password.write_text(databases.password)
    settings = StoresSettings.model_validate(
        {
            "default": {
                "host": databases.host,
                "port": databases.port,
                "database": databases.default,
                "user": databases.user,
                "passwordFile": str(password),
                "searchPath": names[Store.DEFAULT][0],
                "options": "-c lock_timeout=5s",
            },
            "visibility": {"database": databases.default, "searchPath": f"nowhere, {names[Store.VISIBILITY][0]}"},
        }
    )
    assert list(settings.faults()) == []
    for store in Store:
        with psycopg.connect(**settings.of(store).conninfo()) as session:  # type: ignore[arg-type]
            found = session.execute("SELECT curr_version, current_setting('lock_timeout') FROM schema_version")
            assert found.fetchone() == (str(SchemaVersion.parse(names[store][1])), "5s")


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Path, Path]]:
    """A server that takes sessions over TLS only, the bundle that knows its authority, and one that does not."""
    folder = tmp_path_factory.mktemp("tls")
    ours, other = trustme.CA(), trustme.CA()
    ours.cert_pem.write_to_path(folder / "ours.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    issued = ours.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "tls.crt")
    issued.private_key_pem.write_to_path(folder / "tls.key")
    with Postgres() as server:
        server.create_role("temporal", "the-right-one")
        server.create_database("temporal", owner="temporal")
        server.enable_tls(folder / "tls.crt", folder / "tls.key", required=True)
        yield server, folder / "ours.pem", folder / "other.pem"


def test_public_authorities_are_those_of_the_machine(
    authorities: tuple[Postgres, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By SSL_CERT_FILE, as the image sets it: psycopg's OpenSSL has no directory of its own that exists."""
    server, ours, other = authorities
    password = tmp_path / "password"
    password.write_text("the-right-one")
    settings = stores(
        host=server.host,
        port=server.port,
        database="temporal",
        user="temporal",
        passwordFile=str(password),
        sslRootCertFile="system",
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(ours))
    assert look(settings) == Schema(Store.DEFAULT)
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    refused = finding_of(settings)
    assert refused.reason is Reason.DATABASE_TLS_REFUSED
    assert "certificate verify failed" in refused.detail
