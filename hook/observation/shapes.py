"""What a store's schema must hold at each version, and what the next versions will do to it. Reads its own data file.

Source of the data: every version's statements, run on a real PostgreSQL (``scripts/derive_schema_updates.py`` writes it).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from hook.observation.reasons import Reason
from hook.observation.versions import SchemaVersion, Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Columns = Mapping[str, frozenset[str]]
    """Column names by table."""

_SHOWN = 6
"""So many missing things are named; the rest is counted."""


@dataclass(frozen=True)
class Update:
    """What one version of a schema changes.

    `redoes` are columns that it drops and adds again. `rewrites` are tables whose every row it writes anew, `indexes` how
    many indexes it builds on tables that were there before; both take as long as the table is large.
    """

    version: SchemaVersion
    adds: Columns
    drops: Columns
    redoes: Columns
    rewrites: frozenset[str]
    indexes: Mapping[str, int]
    creates_extension: str | None
    uses_extension: str | None


@cache
def updates(store: Store) -> tuple[Update, ...]:
    """Return every known version of a store, oldest first."""
    text = resources.files("hook").joinpath("data/schema_updates.json").read_text(encoding="utf-8")
    return tuple(
        Update(
            SchemaVersion.parse(row["version"]),
            adds=_columns(row, "adds"),
            drops=_columns(row, "drops"),
            redoes=_columns(row, "redoes"),
            rewrites=frozenset(row.get("rewrites", ())),
            indexes=row.get("indexes", {}),
            creates_extension=row.get("creates_extension"),
            uses_extension=row.get("uses_extension"),
        )
        for row in json.loads(text)[store.value]
    )


@cache
def tables(store: Store) -> frozenset[str]:
    """Return every table that some version of the store has; no table belongs to both stores."""
    return frozenset(table for update in updates(store) for table in update.adds)


def pending(store: Store, version: SchemaVersion | None, expected: SchemaVersion) -> Iterator[Update]:
    """Yield the updates that a migration to ``expected`` still has to run."""
    for update in updates(store):
        if (version is None or version < update.version) and update.version <= expected:
            yield update


@cache
def required(store: Store, version: SchemaVersion) -> Columns:
    """Return what must be there while the version row says ``version``; nothing at a version that is not known.

    What the next version drops may be gone already: its statements run before the row is written.
    """
    there: dict[str, frozenset[str]] = {}
    for update in updates(store):
        if update.version > version:
            for gone in (update.drops, update.redoes):
                there = _without(there, gone)
            return there
        for table, columns in update.adds.items():
            there[table] = there.get(table, frozenset()) | columns
        there = _without(there, update.drops)
    return there if version == updates(store)[-1].version else {}


def fault(
    store: Store, version: SchemaVersion | None, present: Columns, expected: SchemaVersion | None = None
) -> tuple[Reason, str] | None:
    """Return why the tables that are present are not the schema that the version row tells of, None if they are.

    A version row is one for a database, whatever schema wrote it: `Store` has to be known by the tables. Of a schema that
    is newer than ``expected`` only what the expected one has is missed.
    """
    other = next(one for one in Store if one is not store)
    own, others = tables(store) & present.keys(), tables(other) & present.keys()
    newest = updates(store)[-1].version
    if others and not own:
        detail = f"it holds the {other} store's tables ({_listed(sorted(others))}) and none of the {store} store's"
        return Reason.SCHEMA_OF_OTHER_STORE, detail
    if version is None:
        # setup-schema writes the row 0.0 before the first table is made.
        return (Reason.SCHEMA_VERSION_MISSING, f"it holds {_listed(sorted(own))}, but no version row") if own else None
    if others and version > newest and (missing := _missing(required(store, newest), present)):
        detail = (
            f"its row says {version}, which is the {other} store's: it holds both stores' tables, but not {missing}"
        )
        return Reason.SCHEMA_OF_OTHER_STORE, detail
    needed = version if expected is None else min(version, expected)
    lacking = required(store, needed) if needed <= newest else dict.fromkeys(_lasting(store), frozenset[str]())
    if missing := _missing(lacking, present):
        return Reason.SCHEMA_INCOMPLETE, f"its row says {version}, but these are missing: {missing}"
    return None


@cache
def _lasting(store: Store) -> frozenset[str]:
    """Return the tables that every version has: a newer one than is known will have them, too."""
    versions = [required(store, update.version).keys() for update in updates(store)]
    return frozenset(versions[0]).intersection(*versions[1:])


def _missing(wanted: Columns, present: Columns) -> str:
    gone = [f"table {table}" for table in sorted(wanted) if table not in present]
    gone += [
        f"column {table}.{column}"
        for table in sorted(wanted.keys() & present.keys())
        for column in sorted(wanted[table] - present[table])
    ]
    return _listed(gone)


def _listed(names: Iterable[str]) -> str:
    ordered = list(names)
    rest = len(ordered) - _SHOWN
    return ", ".join(ordered[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _without(there: Mapping[str, frozenset[str]], gone: Columns) -> dict[str, frozenset[str]]:
    """Return the tables without those columns; one without any column left is gone."""
    left = {table: columns - gone.get(table, frozenset()) for table, columns in there.items()}
    return {table: columns for table, columns in left.items() if columns}


def _columns(row: Mapping[str, dict[str, list[str]]], name: str) -> dict[str, frozenset[str]]:
    return {table: frozenset(columns) for table, columns in row.get(name, {}).items()}
