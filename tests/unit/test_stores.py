"""The stores' login as people have it: by value, by a Secret's files read anew, by a whole DSN, without a password."""

import shlex
import ssl
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hook.observation.versions import Store
from hook.settings import loading
from hook.settings.settings import Settings
from hook.settings.stores import StoresSettings

PARTS = {"host": "db.example", "port": "6432", "database": "orders", "user": "alice", "password": "first"}


def secret(directory: Path, **parts: str) -> dict[str, str]:
    """A mounted Secret: each part's file, named by its setting."""
    directory.mkdir(exist_ok=True)
    for name, text in parts.items():
        (directory / name).write_text(text)
    return {f"{name}File": str(directory / name) for name in parts}


def stores_of(default: dict[str, Any], visibility: dict[str, Any] | None = None) -> StoresSettings:
    return StoresSettings.model_validate({"default": default, "visibility": visibility or {}})


def faults(default: dict[str, Any], visibility: dict[str, Any] | None = None) -> list[str]:
    return list(stores_of(default, visibility).faults())


def test_every_part_may_come_from_a_secret(tmp_path: Path) -> None:
    """As Crossplane, Terraform and CloudNativePG write them; the end of a line is no part of any."""
    given = secret(tmp_path, **{name: f"{text}\n" for name, text in PARTS.items()})
    found = stores_of(given)
    assert found.of(Store.DEFAULT).conninfo() == {
        "host": "db.example",
        "port": "6432",
        "dbname": "orders",
        "user": "alice",
        "password": "first",
    }
    assert found.of(Store.VISIBILITY).conninfo() == found.of(Store.DEFAULT).conninfo() | {
        "dbname": "temporal_visibility"
    }
    assert not list(found.faults())


def test_user_and_password_rotate_together_within_a_run(tmp_path: Path) -> None:
    """AWS Secrets Manager's alternating users: the name that was read at the start would go with the other's password."""
    store = stores_of(secret(tmp_path, **PARTS)).of(Store.VISIBILITY)
    assert (store.conninfo()["user"], store.conninfo()["password"]) == ("alice", "first")
    secret(tmp_path, user="alice_clone", password="second")
    assert (store.conninfo()["user"], store.conninfo()["password"]) == ("alice_clone", "second")


@pytest.mark.parametrize("part", [*PARTS, "dsn"])
@pytest.mark.parametrize("content", [None, b"", b"\xff"], ids=["missing", "empty", "no text"])
def test_a_file_that_says_nothing_is_named_by_its_setting(tmp_path: Path, part: str, content: bytes | None) -> None:
    """The adapter tells it; libpq would take its own default, such as the name of this process's user."""
    given = {"host": "db"} if part not in {"host", "dsn"} else {}
    file = tmp_path / part
    if content is not None:
        file.write_bytes(content)
    store = stores_of(given | {f"{part}File": str(file)}).default
    with pytest.raises(OSError, match=rf"^{part}File: .*{file}"):
        store.conninfo()


@pytest.mark.parametrize("content", ["0", "65536", "http", "54321 5432"])
def test_a_port_that_is_none_is_told_without_its_text(tmp_path: Path, content: str) -> None:
    """It may be another key's value."""
    with pytest.raises(OSError, match=r"portFile: \S+ holds no port$"):
        stores_of({"host": "db"} | secret(tmp_path, port=content)).default.conninfo()


@pytest.mark.parametrize("part", ["host", "port", "database", "user"])
def test_value_and_file_are_not_both_given(tmp_path: Path, part: str) -> None:
    value = 5432 if part == "port" else "x"
    with pytest.raises(ValueError, match=f"{part} and {part}File say the same: remove one"):
        stores_of({"host": "db", part: value} | secret(tmp_path, **{part: "y"}))


class TestDsn:
    """A whole connection string in a file, such as CloudNativePG's `uri`."""

    URI = "postgresql://app:p%40ss@db-rw.data:5432/app"

    def test_it_is_read_anew(self, tmp_path: Path) -> None:
        store = stores_of(secret(tmp_path, dsn=f"{self.URI}\n")).default
        expected = {"host": "db-rw.data", "port": "5432", "dbname": "app", "user": "app", "password": "p@ss"}
        assert store.conninfo() == expected
        secret(tmp_path, dsn=self.URI.replace("p%40ss", "other"))
        assert store.conninfo() == expected | {"password": "other"}

    def test_visibility_is_another_database_of_its_server(self, tmp_path: Path) -> None:
        found = stores_of(secret(tmp_path, dsn=self.URI), {"searchPath": "vis"})
        assert found.of(Store.VISIBILITY).conninfo() == found.default.conninfo() | {
            "dbname": "temporal_visibility",
            "options": "-c search_path=vis",
        }

    def test_what_is_given_besides_goes_before_it(self, tmp_path: Path) -> None:
        """CloudNativePG's says nothing of TLS."""
        given = {"database": "temporal", "sslMode": "require", "searchPath": "s", "options": "-c b=2"}
        found = stores_of(
            given | secret(tmp_path, dsn=f"{self.URI}?options=-c%20a%3D1&sslmode=prefer")
        ).default.conninfo()
        assert (found["dbname"], found["sslmode"]) == ("temporal", "require")
        assert found["options"] == "-c a=1 -c b=2 -c search_path=s"

    @pytest.mark.parametrize(
        "text", ["jdbc:postgresql://db/app?password=hunter2", "hunter2", "postgresql://u:hunter2/@db"]
    )
    def test_what_is_none_is_told_without_its_text(self, tmp_path: Path, text: str) -> None:
        """At the start, and in the midst of a run."""
        given = secret(tmp_path, dsn=text)
        with pytest.raises(OSError, match=r"dsnFile: .* is no PostgreSQL connection string") as told:
            stores_of(given).default.conninfo()
        document = {"stores": {"default": given}, "migrations": {"application": {"name": "m"}}}
        (line,) = loading._file_faults(Settings.model_validate(document))  # noqa: SLF001 -- the boundary under test
        assert line.startswith("stores.default.dsnFile: ")
        assert "hunter2" not in str(told.value) + line

    def test_its_password_is_a_secret(self, tmp_path: Path) -> None:
        document = {"stores": {"default": secret(tmp_path, dsn=self.URI)}, "migrations": {"application": {"name": "m"}}}
        assert "p@ss" in loading.secrets(Settings.model_validate(document))

    def test_both_forms_are_not_given(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="dsn and dsnFile say the same"):
            stores_of({"dsn": self.URI} | secret(tmp_path, dsn=self.URI))


class TestSearchPath:
    """Temporal's tables in a schema of their own (temporal issue 3383, chart's connectAttributes.search_path)."""

    @pytest.mark.parametrize("path", ["temporal", '"My Schema", public', "a\\b", "a\tb"])
    def test_it_is_one_word_of_the_options(self, path: str) -> None:
        """PostgreSQL splits `options` at blanks, and a backslash keeps the next character (pg_split_opts)."""
        options = stores_of({"host": "db", "searchPath": path}).default.conninfo()["options"]
        assert shlex.split(options.replace('"', '\\"').replace("'", "\\'")) == ["-c", f"search_path={path}"]

    def test_two_schemas_of_one_database_are_two_places(self) -> None:
        same = {"database": "temporal"}
        assert faults({"host": "db", "searchPath": "one"}, same | {"searchPath": "two"}) == []
        (line,) = faults({"host": "db", "searchPath": "one"}, same | {"searchPath": "one"})
        assert "are the same database 'temporal'" in line

    def test_visibility_has_its_own(self) -> None:
        """It goes with the database's name."""
        assert "options" not in stores_of({"host": "db", "searchPath": "one"}).of(Store.VISIBILITY).conninfo()


class TestTls:
    """TLS material is one server's."""

    DEFAULT: ClassVar = {
        "host": "db",
        "sslMode": "verify-full",
        "sslRootCertFile": "/ca",
        "sslCertFile": "/c",
        "sslKeyFile": "/k",
    }

    @pytest.mark.parametrize("own", [{}, {"host": "db"}, {"user": "reader"}])
    def test_it_is_inherited_with_the_host(self, own: dict[str, str]) -> None:
        found = stores_of(self.DEFAULT, own).of(Store.VISIBILITY)
        assert (found.ssl_mode, found.ssl_root_cert_file, found.ssl_key_file) == (
            "verify-full",
            Path("/ca"),
            Path("/k"),
        )

    def test_another_host_has_its_own(self) -> None:
        """A CA of CloudNativePG's would refuse RDS, which asks for `require` alone."""
        found = stores_of(self.DEFAULT, {"host": "other", "sslMode": "require"}).of(Store.VISIBILITY)
        assert found.conninfo() == {"host": "other", "dbname": "temporal_visibility", "sslmode": "require"}

    def test_it_does_not_fall_to_no_verification_in_silence(self) -> None:
        assert faults(self.DEFAULT, {"host": "other"}) == [
            (
                "stores.visibility.sslMode: required: it has a host of its own, which takes over neither sslMode nor CA "
                "of stores.default"
            )
        ]
        assert faults({"host": "db"}, {"host": "other"}) == []

    def test_public_authorities_are_those_of_this_machine(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """psycopg's own OpenSSL knows none but by SSL_CERT_FILE."""
        authorities = tmp_path / "all.pem"
        authorities.write_text("")
        monkeypatch.setenv("SSL_CERT_FILE", str(authorities))
        found = stores_of({"host": "db", "sslRootCertFile": "system"})
        assert list(found.faults()) == []
        for store in found.enabled:
            known = found.of(store).conninfo()
            assert (known["sslmode"], known["sslrootcert"]) == ("verify-full", str(authorities))
        dsn = stores_of({"dsn": "host=db sslrootcert=system"}).default.conninfo()
        assert (dsn["sslmode"], dsn["sslrootcert"]) == ("verify-full", str(authorities))
        weak = stores_of({"dsn": "host=db sslrootcert=system sslmode=require"}).default.conninfo()
        assert weak["sslrootcert"] == "system", "libpq refuses it"

    @pytest.mark.parametrize("mode", ["require", "verify-ca", "disable"])
    def test_public_authorities_alone_prove_nothing(self, mode: str) -> None:
        """libpq's own rule: weak sslmode may not be used with sslrootcert=system."""
        assert faults({"host": "db", "sslRootCertFile": "system", "sslMode": mode}) == [
            f"stores.default: sslRootCertFile system needs sslMode verify-full, not {mode}: anybody has such a certificate"
        ]

    def test_without_a_file_of_this_machine_it_is_libpqs_to_find(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: type("Paths", (), {"cafile": None}))
        assert stores_of({"host": "db", "sslRootCertFile": "system"}).default.conninfo()["sslrootcert"] == "system"
