"""The stores' settings: where Temporal's databases are, and how to log in to them.

Each part is given by value or by a file, as a Secret is mounted. Files are read anew at each use: user and password may
rotate together within one run (AWS Secrets Manager's alternating users), and a Secret may come late.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.alias_generators import to_camel

from hook.observation.versions import Store
from hook.settings.blocks import Block

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_VERIFYING = {"require", "verify-ca", "verify-full"}
"""By a CA that is given: libpq then takes require for verify-ca. The others take any certificate."""

SYSTEM = Path("system")
"""libpq's own word (16 and later) for the public authorities, in place of a file."""

BY_VALUE_OR_FILE = ("dsn", "host", "port", "database", "user")
"""Each has a twin, the file that holds it (``dsnFile``): who gives one of the two does not mean the other."""
_WHERE_AND_WHO = ("host", "host_file", "port", "port_file", "user", "user_file", "password_file")
"""What a DSN says, too."""
_WITH_THE_HOST = ("options", "ssl_mode", "ssl_root_cert_file", "ssl_cert_file", "ssl_key_file")
"""What holds for one server only: another one has a CA, and perhaps a routing option, of its own."""
_OF_THE_DATABASE = ("database", "database_file", "search_path")

_NO_DSN = (
    "is no PostgreSQL connection string such as postgresql://user:password@host:5432/database "
    "(characters such as / : @ % in user or password are written as %2F %3A %40 %25)"
)


class Place(NamedTuple):
    """What makes two stores the same."""

    host: str | None
    port: str
    database: str | None
    options: str | None
    """With the search path: one database may hold both stores in two schemas."""


class StoreSettings(Block):
    """One store's database, by its parts or by a DSN."""

    dsn: SecretStr | None = None
    """A connection string, for a laptop. Other settings of the store override its parts."""
    dsn_file: Path | None = None
    """A file with a connection string, such as the key `uri` of a CloudNativePG Secret."""
    host: str | None = None
    """The host name."""
    host_file: Path | None = None
    """A file with the host name."""
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """The port. Default: 5432, PostgreSQL's own."""
    port_file: Path | None = None
    """A file with the port."""
    database: str | None = None
    """The database's name."""
    database_file: Path | None = None
    """A file with the database's name."""
    user: str | None = None
    """The role."""
    user_file: Path | None = None
    """A file with the role."""
    password_file: Path | None = None
    """A file with the password. Without it: no password, or what libpq finds (PGPASSWORD, PGPASSFILE)."""
    search_path: str | None = None
    """The schemas of Temporal's tables, as in `connectAttributes.search_path` of Temporal's configuration. Default:
    the role's search path."""
    options: str | None = None
    """More `options` of libpq for the session, such as `-c statement_timeout=5s`."""
    ssl_mode: SslMode | None = None
    """How to use TLS. Default: libpq's default, `prefer`, or `verify-full` with `sslRootCertFile: system`."""
    ssl_root_cert_file: Path | None = None
    """The CA that signed the server's certificate, or `system` for the public CAs that this machine or image trusts."""
    ssl_cert_file: Path | None = None
    """The client certificate."""
    ssl_key_file: Path | None = None
    """The key of the client certificate."""

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_dsn(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        given = {name for name in self.model_fields_set if getattr(self, name) is not None}
        for name in BY_VALUE_OR_FILE:
            if {name, f"{name}_file"} <= given:
                message = f"{name} and {name}File say the same: remove one"
                raise ValueError(message)
        others = sorted(to_camel(name) for name in given.intersection(_WHERE_AND_WHO))
        for name in given & {"dsn", "dsn_file"}:
            if others:
                message = f"{to_camel(name)} says it all: remove {', '.join(others)}, or remove {to_camel(name)}"
                raise ValueError(message)
        return self

    @property
    def has_dsn(self) -> bool:
        """Tell whether a DSN says where the database is."""
        return self.dsn is not None or self.dsn_file is not None

    @property
    def files(self) -> dict[str, Path]:
        """Return the files that are given, by the setting's field."""
        named = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_file")}
        return {name: path for name, path in named.items() if path not in {None, SYSTEM}}

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the store as it will be used, inherited parts included."""
        if not self.has_dsn and not self.host and self.host_file is None:
            yield "give host (with database, user and passwordFile), or dsn"
        if self.ssl_mode in {"verify-ca", "verify-full"} and self.ssl_root_cert_file is None:
            yield f"sslMode {self.ssl_mode} needs sslRootCertFile, the CA to verify by"
        if self.ssl_root_cert_file == SYSTEM and self.ssl_mode not in {None, "verify-full"}:
            # libpq refuses it, too
            yield f"sslRootCertFile system needs sslMode verify-full, not {self.ssl_mode}: anybody has such a certificate"
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            yield "sslCertFile and sslKeyFile go together: give both or neither"

    @property
    def place(self) -> Place:
        """Return where the store is; raise OSError when a file that says so cannot be read."""
        known = self._parameters()
        return Place(known.get("host"), known.get("port", "5432"), known.get("dbname"), known.get("options"))

    def conninfo(self) -> dict[str, str]:
        """Return libpq's parameters, each file read now.

        Raises OSError when one cannot be read or used; its text names the setting and the file, and shows nothing of it.
        """
        for name, file in self.files.items():
            if name.startswith("ssl_"):  # libpq goes on without a client certificate that is not there
                _contents(name, file)
        password = self._read("password_file")
        return self._parameters() | ({"password": password} if password else {})

    def secrets(self) -> set[str]:
        """Return what is secret of it, as far as it can be read now."""
        found = set()
        with suppress(OSError):
            found.add(self._read("password_file"))
        with suppress(OSError):
            said = self._dsn()
            found |= {said.get("password", ""), said.get("sslpassword", "")}
        return found - {""}

    def _parameters(self) -> dict[str, str]:
        """Return all but the password, unless a DSN holds it."""
        said = self._dsn()
        database = self.database if not self.has_dsn or "database" in self.model_fields_set else None
        options = (said.get("options"), self.options, _search_path(self.search_path))
        given = {
            "host": self.host or self._read("host_file"),
            "port": self.port or self._port(),
            "dbname": self._read("database_file") or database,
            "user": self.user or self._read("user_file"),
            "options": " ".join(filter(None, options)),
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ssl_root_cert_file,
            "sslcert": self.ssl_cert_file,
            "sslkey": self.ssl_key_file,
        }
        said |= {key: str(value) for key, value in given.items() if value}
        if said.get("sslrootcert") == str(SYSTEM) and said.setdefault("sslmode", "verify-full") == "verify-full":
            said["sslrootcert"] = _public_authorities()  # with a weaker mode it stays, and libpq refuses it
        return said

    def _dsn(self) -> dict[str, str]:
        if self.dsn is not None:
            return parse_dsn(self.dsn.get_secret_value())
        try:
            return parse_dsn(self._read("dsn_file").strip()) if self.dsn_file is not None else {}
        except ValueError as error:
            message = f"dsnFile: {self.dsn_file} {error}"
            raise OSError(message) from None

    def _port(self) -> str:
        port = self._read("port_file").strip()
        if port and not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65_535):  # noqa: PLR2004 -- TCP's greatest
            message = f"portFile: {self.port_file} holds no port"
            raise OSError(message)
        return port

    def _read(self, name: str) -> str:
        file = self.files.get(name)
        return _contents(name, file) if file is not None else ""


class DefaultStoreSettings(StoreSettings):
    """The default store."""

    database: str | None = "temporal"
    """The database's name. With a DSN, the default is the DSN's database."""


class VisibilityStoreSettings(StoreSettings):
    """The visibility store. It inherits what you leave out from the default store, except database and search path.

    It inherits TLS settings and options only if it also inherits the host.
    """

    enabled: bool = True
    """Whether visibility is in PostgreSQL. `false` for Elasticsearch or OpenSearch: then the gate checks only the default
    store."""
    database: str | None = "temporal_visibility"
    """The database's name."""


class StoresSettings(Block):
    """The databases of both stores."""

    default: DefaultStoreSettings = DefaultStoreSettings()
    visibility: VisibilityStoreSettings = VisibilityStoreSettings()

    def of(self, store: Store) -> StoreSettings:
        """Return a store's settings, the visibility store's completed from the default store's."""
        if store is Store.DEFAULT or self.visibility.has_dsn:
            return self.default if store is Store.DEFAULT else self.visibility
        own = _given(self.visibility)
        left_out = set(_OF_THE_DATABASE)
        if self._visibility_is_elsewhere:
            left_out |= set(_WITH_THE_HOST)
        if own.keys() & set(_WHERE_AND_WHO):
            left_out |= {"dsn", "dsn_file"}
        for name in BY_VALUE_OR_FILE:
            if own.keys() & {name, f"{name}_file"}:
                left_out |= {name, f"{name}_file"}
        inherited = {name: value for name, value in _given(self.default).items() if name not in left_out}
        if "database_file" in own:
            own.pop("database", None)
        return StoreSettings.model_validate({to_camel(name): value for name, value in (inherited | own).items()})

    @property
    def _visibility_is_elsewhere(self) -> bool:
        own, other = self.visibility, self.default
        named = own.host is not None or own.host_file is not None
        return named and (own.host, own.host_file) != (other.host, other.host_file)

    @property
    def enabled(self) -> tuple[Store, ...]:
        """Return the stores that are gated."""
        return (Store.DEFAULT, Store.VISIBILITY) if self.visibility.enabled else (Store.DEFAULT,)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the stores as they will be used."""
        faults = {store: tuple(self.of(store).faults()) for store in self.enabled}
        for store, found in faults.items():
            inherited = faults[Store.DEFAULT] if store is not Store.DEFAULT and not self.visibility.has_dsn else ()
            yield from (f"stores.{store}: {fault}" for fault in found if fault not in inherited)
        for store in self.enabled:
            own, mode = getattr(self, store.value), self.of(store).ssl_mode or "prefer, libpq's default"
            if re.fullmatch(r"[^:]*:[0-9]+", own.host or ""):  # an IPv6 address has more colons
                yield f'stores.{store}.host: "{own.host}" holds a port: give it as stores.{store}.port'
            if own.ssl_root_cert_file not in {None, SYSTEM} and mode not in _VERIFYING:
                yield (
                    f"stores.{store}.sslRootCertFile: nothing is verified by it under sslMode {mode}: "
                    f"set stores.{store}.sslMode to verify-full or verify-ca"
                )
        if self.visibility.enabled:
            yield from self._faults_of_both()

    def _faults_of_both(self) -> Iterator[str]:
        verified = self.default.ssl_mode in _VERIFYING or self.default.ssl_root_cert_file == SYSTEM
        own = self.visibility
        elsewhere = self._visibility_is_elsewhere and not own.has_dsn
        if elsewhere and verified and own.ssl_mode is None and own.ssl_root_cert_file != SYSTEM:
            yield (
                "stores.visibility.sslMode: required: it has a host of its own, which takes over neither sslMode nor CA "
                "of stores.default"
            )
        try:
            place = self.default.place
            same = place == self.of(Store.VISIBILITY).place
        except OSError:  # a file that is not there yet, and is told of when it is used
            return
        if same:
            yield (
                f"stores.default and stores.visibility are the same database {place.database!r}: "
                "give each its own, or set stores.visibility.enabled: false where visibility is not in PostgreSQL"
            )


def parse_dsn(text: str) -> dict[str, str]:
    """Return a connection string's parameters; raise ValueError, without any of its text, where it is none."""
    from psycopg import Error  # noqa: PLC0415 -- 0.1 s that only those pay who have a DSN
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        known = {key: str(value) for key, value in conninfo_to_dict(text).items()}
    except (Error, UnicodeError):  # its text would show parts of the DSN
        raise ValueError(_NO_DSN) from None
    if not all(port.isdecimal() or not port for port in known.get("port", "").split(",")):
        raise ValueError(_NO_DSN)
    return known


def _contents(name: str, file: Path) -> str:
    """Return the text of a file without the end of its last line; raise OSError when there is none."""
    try:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        message = f"{to_camel(name)}: cannot read {file}: {error.strerror}"
        raise OSError(message) from None
    except UnicodeDecodeError:
        message = f"{to_camel(name)}: {file} is not UTF-8 text"
        raise OSError(message) from None
    if not text:
        message = f"{to_camel(name)}: {file} is empty"
        raise OSError(message)
    return text


def _given(store: StoreSettings) -> dict[str, object]:
    named = {name: getattr(store, name) for name in StoreSettings.model_fields}
    if store.has_dsn and "database" not in store.model_fields_set:
        named.pop("database")
    return {name: value for name, value in named.items() if value is not None}


def _search_path(schemas: str | None) -> str | None:
    """Return it as an option of the session; in `options` a backslash keeps a blank or a backslash from ending the word."""
    return "-c search_path=" + re.sub(r"([\\\s])", r"\\\1", schemas) if schemas else None


def _public_authorities() -> str:
    """Return the file of the public authorities.

    psycopg's wheels bring an OpenSSL whose own directory exists nowhere (/usr/lib/psycopg-openssl; asked 3.3.9's
    X509_get_default_cert_file): libpq's `system` finds no authority there but by SSL_CERT_FILE. Python's OpenSSL knows this
    machine's file, and heeds SSL_CERT_FILE as well.
    """
    return ssl.get_default_verify_paths().cafile or str(SYSTEM)
