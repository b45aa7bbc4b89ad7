"""What the user asks for, and whether a schema serves it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from hook.observation.versions import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hook.observation.findings import Unknown
    from hook.observation.versions import Release, SchemaVersion, Store


class Reachability(StrEnum):
    """Whether Temporal has to answer before the gate passes (design, principle 6)."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class OnEmptyDatabase(StrEnum):
    """What an empty database means: a new cluster, or a restore under way."""

    MIGRATE = "migrate"
    FAIL = "fail"


@dataclass(frozen=True)
class Policy:
    """What the user asks for. `release` is None where the schema versions were given by hand."""

    expected: Mapping[Store, SchemaVersion]
    release: Release | None = None
    estimated_from: Release | None = None
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    reachability: Reachability = Reachability.AUTO
    attempts: int = 3
    may_migrate: bool = True
    """Whether a run asks for a migration at all, or waits for the schemas."""
    pause: timedelta = timedelta(seconds=10)
    grace: timedelta = timedelta(seconds=120)
    patience: timedelta = timedelta(minutes=10)
    stable: timedelta = timedelta(seconds=3)
    clock_skew: timedelta = timedelta(seconds=5)
    schema_jobs: tuple[str, ...] = ()
    """The names of the Jobs that make the schema; none: they are recognised by what they run."""
    is_guard: bool = False
    """It holds the Application that it is part of, and acts on nothing but the migration."""

    def is_right(self, schema: Schema | Unknown) -> bool:
        """Tell whether a store's schema serves the release: as new as expected, or newer."""
        if not isinstance(schema, Schema) or schema.version is None:
            return False
        return schema.version >= self.expected[schema.store]

    def describe(self, schema: Schema) -> str:
        """Return a store's version beside the one expected, and what should be known before it is migrated."""
        actual = f"is at {schema.version}" if schema.version else "is empty"
        note = f" ({schema.note.detail})" if schema.note is not None else ""
        return f"{schema.store} {actual}, expected {self.expected[schema.store]}{note}"
