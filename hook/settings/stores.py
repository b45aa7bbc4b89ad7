"""The stores' settings: where Temporal's databases are, and how to log in to them.

Reads password files, anew at each use, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.alias_generators import to_camel

from hook.observation.versions import Store
from hook.settings.blocks import Block

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
_VERIFYING = {"require", "verify-ca", "verify-full"}
"""By a CA that is given: libpq then takes require for verify-ca. The others take any certificate."""


class StoreSettings(Block):
    """One store's database, either by its parts or by a whole DSN (for a laptop)."""

    dsn: SecretStr | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """None: PostgreSQL's own default, 5432."""
    database: str | None = None
    user: str | None = None
    password_file: Path | None = None
    """Read anew at each use, so that a rotated Secret is taken up. None: libpq's own ways (PGPASSWORD, ~/.pgpass)."""
    ssl_mode: SslMode | None = None
    """None: libpq's default, prefer."""
    ssl_root_cert_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        from psycopg import Error  # noqa: PLC0415 -- 0.1 s that only those pay who have a DSN
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        try:
            ports = str(conninfo_to_dict(value.get_secret_value() if value else "").get("port", ""))
            usable = all(port.isdecimal() or not port for port in ports.split(","))
        except (Error, UnicodeError):  # its text would show parts of the DSN
            usable = False
        if not usable:
            message = (
                "is no PostgreSQL connection string such as postgresql://user:password@host:5432/database "
                "(characters such as / : @ % in user or password are written as %2F %3A %40 %25)"
            )
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.dsn is not None and self.model_fields_set - {"dsn", "enabled"}:
            others = ", ".join(sorted(to_camel(name) for name in self.model_fields_set - {"dsn", "enabled"}))
            message = f"dsn says it all: remove {others}, or remove dsn"
            raise ValueError(message)
        return self

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the store as it will be used, inherited parts included."""
        if self.dsn is None and not self.host:
            yield "give host (with database, user and passwordFile), or dsn"
        if self.ssl_mode in {"verify-ca", "verify-full"} and self.ssl_root_cert_file is None:
            yield f"sslMode {self.ssl_mode} needs sslRootCertFile, the CA to verify by"
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            yield "sslCertFile and sslKeyFile go together: give both or neither"

    @property
    def place(self) -> tuple[str | None, str, str | None]:
        """Return host, port and database: what makes two stores the same."""
        known = self.conninfo(with_password=False)
        return known.get("host"), known.get("port", "5432"), known.get("dbname")

    def conninfo(self, *, with_password: bool = True) -> dict[str, str]:
        """Return libpq's parameters, the password read from its file now; raise OSError when that cannot be read."""
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 -- 0.1 s that only those pay who connect

        if self.dsn is not None:
            return {key: str(value) for key, value in conninfo_to_dict(self.dsn.get_secret_value()).items()}
        parameters = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": _password(self.password_file) if self.password_file and with_password else None,
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ssl_root_cert_file,
            "sslcert": self.ssl_cert_file,
            "sslkey": self.ssl_key_file,
        }
        return {key: str(value) for key, value in parameters.items() if value is not None}


class DefaultStoreSettings(StoreSettings):
    """The default store."""

    database: str | None = "temporal"


class VisibilityStoreSettings(StoreSettings):
    """The visibility store; what it leaves out is taken from the default store, but for the database's name."""

    enabled: bool = True
    """False where visibility is not in PostgreSQL (Elasticsearch, OpenSearch): then only the default store is gated."""
    database: str | None = "temporal_visibility"


class StoresSettings(Block):
    """Both stores."""

    default: DefaultStoreSettings = DefaultStoreSettings()
    visibility: VisibilityStoreSettings = VisibilityStoreSettings()

    def of(self, store: Store) -> StoreSettings:
        """Return a store's settings, the visibility store's completed from the default store's."""
        if store is Store.DEFAULT or self.visibility.dsn is not None:
            return self.default if store is Store.DEFAULT else self.visibility
        own = self.visibility.model_dump(by_alias=True, exclude_none=True, exclude={"enabled", "dsn"})
        inherited = self.default.model_dump(by_alias=True, exclude_none=True, exclude={"dsn"})
        return StoreSettings.model_validate(inherited | own)

    @property
    def enabled(self) -> tuple[Store, ...]:
        """Return the stores that are gated."""
        return (Store.DEFAULT, Store.VISIBILITY) if self.visibility.enabled else (Store.DEFAULT,)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the stores as they will be used."""
        faults = {store: tuple(self.of(store).faults()) for store in self.enabled}
        for store, found in faults.items():
            inherited = faults[Store.DEFAULT] if store is not Store.DEFAULT and self.visibility.dsn is None else ()
            yield from (f"stores.{store}: {fault}" for fault in found if fault not in inherited)
        for store in self.enabled:
            own, mode = getattr(self, store.value), self.of(store).ssl_mode or "prefer, libpq's default"
            if re.fullmatch(r"[^:]*:[0-9]+", own.host or ""):  # an IPv6 address has more colons
                yield f'stores.{store}.host: "{own.host}" holds a port: give it as stores.{store}.port'
            if own.ssl_root_cert_file is not None and mode not in _VERIFYING:
                yield (
                    f"stores.{store}.sslRootCertFile: nothing is verified by it under sslMode {mode}: "
                    f"set stores.{store}.sslMode to verify-full or verify-ca"
                )
        if self.visibility.enabled and self.default.place == self.of(Store.VISIBILITY).place:
            yield (
                f"stores.default and stores.visibility are the same database {self.default.place[2]!r}: "
                "give each its own, or set stores.visibility.enabled: false where visibility is not in PostgreSQL"
            )


def _password(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        message = f"{file} is not UTF-8 text"
        raise OSError(message) from None
