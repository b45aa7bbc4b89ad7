"""Temporal's releases and the schema versions they expect. Reads its own data file and nothing else.

Source of the table: the constants in ``schema/postgresql/version.go`` of each release's Go module
(``scripts/refresh_schema_versions.py`` writes it).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from datetime import datetime

    from hook.observation.findings import Finding


class Store(StrEnum):
    """Temporal's two stores, each a database with a schema version of its own."""

    DEFAULT = "default"
    VISIBILITY = "visibility"


_WRITTEN = 2
"""Temporal writes its schema versions with so many numbers."""


class VersionError(ValueError):
    """Text that is no version, or a release whose schema versions are not known. Its text is for the user."""


@dataclass(frozen=True, order=True)
class SchemaVersion:
    """A schema version such as 1.18, ordered by its numbers: 1.10 is newer than 1.9, and 1.18.0 is 1.18.

    Temporal compares them as semantic versions (``common/persistence/schema/version.go``).
    """

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        """Leave a last 0 out, as Temporal's own versions do, so that equal versions are equal values."""
        if self.numbers[_WRITTEN:] == (0,):
            object.__setattr__(self, "numbers", self.numbers[:_WRITTEN])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1.18`` or ``v1.18``; raise `VersionError` for anything else, which Temporal would take for 0."""
        if not re.fullmatch(r"v?\d+(\.\d+){1,2}", text):
            message = f"{text!r} is not a schema version such as 1.18"
            raise VersionError(message)
        return cls(tuple(int(part) for part in text.removeprefix("v").split(".")))

    def __str__(self) -> str:
        """Return it as Temporal spells it."""
        return ".".join(map(str, self.numbers))


@dataclass(frozen=True, order=True)
class Release:
    """A release of Temporal's server such as 1.29.1."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1.29.1`` or ``v1.29.1``, or an image tag that begins so (``1.29.1-tctl-1.18.4``)."""
        found = re.match(r"v?(\d+)\.(\d+)\.(\d+)(?![\d.])", text)
        if found is None:
            listed = releases_of(text)
            which = f": give one of {', '.join(listed)}" if listed else " such as 1.29.1"
            message = f"{text!r} is not a release of Temporal's server{which}"
            raise VersionError(message)
        major, minor, patch = map(int, found.groups())
        return cls(major, minor, patch)

    def __str__(self) -> str:
        """Return it without the v."""
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Expectation:
    """The schema versions that a release expects; `listed_as` differs from the release where it is a lower bound."""

    release: Release
    listed_as: Release
    versions: dict[Store, SchemaVersion]

    @property
    def estimated(self) -> bool:
        """Whether another patch's row stands in for the release's own."""
        return self.release != self.listed_as


@cache
def table() -> dict[Release, dict[Store, SchemaVersion]]:
    """Return every listed release with its two schema versions, in order."""
    text = resources.files("hook").joinpath("data/schema_versions.json").read_text(encoding="utf-8")
    rows = {
        Release.parse(release): {Store(store): SchemaVersion.parse(version) for store, version in versions.items()}
        for release, versions in json.loads(text).items()
    }
    return dict(sorted(rows.items()))


def releases_of(minor: str) -> tuple[str, ...]:
    """Return the listed releases of a minor such as ``1.29``; none where it is no minor or not listed."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)", minor)
    wanted = tuple(map(int, found.groups())) if found else None
    return tuple(str(row) for row in table() if (row.major, row.minor) == wanted)


def expectation(release: Release) -> Expectation:
    """Return what ``release`` expects; a patch that is not listed takes the greatest listed one of its minor below it.

    Raises `VersionError` when its minor is unknown, or older than every listed patch of it.
    """
    below = [row for row in table() if (row.major, row.minor) == (release.major, release.minor) and row <= release]
    if not below:
        known = sorted({(row.major, row.minor) for row in table()})
        first, last = known[0], known[-1]
        remedy = "set temporal.schemaVersions.default and .visibility yourself"
        if (release.major, release.minor) < first:
            remedy = f"give the server's release, not the version of its chart; for an older server {remedy}"
        else:
            remedy = f"{remedy}, or use a newer hook"
        known_range = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
        raise VersionError(f"release {release} is not in the table (it knows {known_range}): {remedy}")
    return Expectation(release, below[-1], table()[below[-1]])


@dataclass(frozen=True)
class Defect:
    """A state of a store that no migration mends (and some would ruin), how to tell, and how a person mends it.

    `version` is the one it is stuck in, None where the version row itself is lost. `probe` is one SQL expression, true
    exactly when the database is in that state; `scripts/replay_schema_updates.py` proves each with Temporal's own tool.
    """

    version: SchemaVersion | None
    probe: str
    why: str
    remedy: str


@cache
def defects(store: Store, version: SchemaVersion | None) -> tuple[Defect, ...]:
    """Return what may be wrong with a store whose row says ``version``, or that has no row."""
    data = json.loads(resources.files("hook").joinpath("data/unreplayable.json").read_text(encoding="utf-8"))
    return tuple(
        Defect(_parsed(row.get("version")), row["probe"], row["why"], row["remedy"])
        for row in (*data["unrecorded"], *data["stuck"])
        if row["store"] == store and _parsed(row["from"]) == version
    )


def _parsed(text: str | None) -> SchemaVersion | None:
    return SchemaVersion.parse(text) if text is not None else None


@dataclass(frozen=True)
class Schema:
    """One store's schema. `version` None is an empty database; `since` when its version was written; `born` the first.

    Both are by the clock of the machine where the schema tool ran. `note` is what a person should know before the next
    migration. `changing_since` is since when another session runs a statement that changes this database, by its clock:
    None if none does, or if this role may not see it, or if the schema is as new as expected.
    """

    store: Store
    version: SchemaVersion | None = None
    since: datetime | None = None
    born: datetime | None = None
    note: Finding | None = None
    changing_since: datetime | None = None

    @property
    def is_being_changed(self) -> bool:
        """Tell whether somebody verifiably changes it right now: a migration that works, or a restore."""
        return self.changing_since is not None
