"""Writes `hook/data/schema_updates.json`: what each version of Temporal's PostgreSQL schema changes.

Source: the newest listed release's own files (`schema/postgresql/v12` in its Go module, fetched as
`refresh_schema_versions.py` fetches it). Every version is applied to a real PostgreSQL, statement by statement as the
tool does, and the catalog is compared before and after:

- `adds`: tables and columns that are new; `drops`: those that are gone; `redoes`: those that are gone for a while;
- `rewrites`: tables that got a new file (all rows are written anew under an exclusive lock);
- `indexes`: how many indexes were built on each table that was there before;
- `creates_extension`, `uses_extension`: the extension that it installs, or whose operator class an index of it needs.

Versions 1.10 to 1.12 of the visibility store hold nothing since the releases of June 2026, and statements of their own
before (temporal PR 10371): the newest files ask for the least.

    python scripts/derive_schema_updates.py [--check] [RELEASE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import refresh_schema_versions as releases
from replay_schema_updates import DIRECTORIES, read_updates

from lab.postgres import Postgres

DATA = Path(__file__).resolve().parent.parent / "hook" / "data" / "schema_updates.json"

Snapshot = dict[str, dict[Any, Any]]

COLUMNS: LiteralString = """
SELECT relname, array_agg(attname ORDER BY attnum), pg_relation_filenode(pg_class.oid)
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' GROUP BY relname, pg_class.oid
"""

INDEXES: LiteralString = """
SELECT indexrelid, relname, (SELECT min(extname) FROM pg_depend JOIN pg_extension ON pg_extension.oid = refobjid
                             WHERE classid = 'pg_opclass'::regclass AND deptype = 'e' AND objid = ANY (indclass))
  FROM pg_index JOIN pg_class ON pg_class.oid = indrelid WHERE relnamespace = 'public'::regnamespace
"""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Derive what each version of Temporal's schema changes.")
    parser.add_argument("--check", action="store_true", help="compare, change nothing")
    parser.add_argument("release", nargs="?", help="by default the newest of hook/data/schema_versions.json")
    options = parser.parse_args()
    release = options.release or list(releases.read_table())[-1]
    with tempfile.TemporaryDirectory() as folder, Postgres() as server:
        schema = unpacked(release, Path(folder))
        derived = {store: updates(server, schema, store) for store in DIRECTORIES}
    text = render(release, derived)
    if options.check:
        known = json.loads(DATA.read_text(encoding="utf-8"))
        differing = [
            f"{store} {mine['version']}"
            for store in DIRECTORIES
            for mine, yours in zip(known[store], derived[store], strict=False)
            if mine != yours
        ]
        print(f"{release} differs in {', '.join(differing)}" if differing else f"{release} says the same")
        return 1 if differing else 0
    DATA.write_text(text, encoding="utf-8")
    return 0


def unpacked(release: str, folder: Path) -> Path:
    """The release's schema files, unpacked from its module's zip."""
    prefix = f"{releases.MODULE}@v{release}/schema/postgresql/v12/"
    with zipfile.ZipFile(releases.archive(release)) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(prefix)])
    return folder / prefix


def updates(server: Postgres, schema: Path, store: str) -> list[dict[str, Any]]:
    """What each version of a store changes, oldest first."""
    server.create_database(store)
    found = []
    with psycopg.connect(server.dsn(store), autocommit=True) as session:
        before = snapshot(session)
        for update in read_updates(schema, store):
            between = [before]
            for statement in update.statements:
                session.execute(statement.encode())
                between.append(snapshot(session))
            found.append({"version": update.version, **difference(between)})
            before = between[-1]
    return found


def snapshot(session: psycopg.Connection[Any]) -> Snapshot:
    """What the catalog says now."""
    tables = session.execute(COLUMNS).fetchall()
    return {
        "columns": {name: columns for name, columns, _ in tables},
        "files": {name: file for name, _, file in tables},
        "indexes": {oid: (table, extension) for oid, table, extension in session.execute(INDEXES)},
        "extensions": {name: None for (name,) in session.execute("SELECT extname FROM pg_extension")},
    }


def difference(between: list[Snapshot]) -> dict[str, Any]:
    """What a version changed, from the catalog between its statements; what it left alone is left out."""
    before, after = between[0], between[-1]
    there = [{(str(table), str(name)) for table, names in one["columns"].items() for name in names} for one in between]
    always = there[0].intersection(*there[1:])
    redone = sorted((there[0] & there[-1]) - always)
    new = {oid: index for oid, index in after["indexes"].items() if oid not in before["indexes"]}
    built = [table for table, _ in new.values() if table in before["columns"]]
    changed = {
        "adds": columns(after, before),
        "drops": columns(before, after),
        "redoes": {table: [column for name, column in redone if name == table] for table, _ in redone},
        "rewrites": sorted(name for name, file in before["files"].items() if after["files"].get(name, file) != file),
        "indexes": {table: built.count(table) for table in sorted(set(built))},
        "creates_extension": next(iter(after["extensions"].keys() - before["extensions"].keys()), None),
        "uses_extension": next((extension for _, extension in new.values() if extension), None),
    }
    return {name: value for name, value in changed.items() if value}


def columns(those_of: Snapshot, but_not_of: Snapshot) -> dict[str, list[str]]:
    """Columns by table, those of new tables included."""
    found = {
        name: [column for column in there if column not in but_not_of["columns"].get(name, ())]
        for name, there in those_of["columns"].items()
    }
    return {name: found[name] for name in sorted(found) if found[name]}


def render(release: str, derived: dict[str, list[dict[str, Any]]]) -> str:
    """One line a version: a new one shows as an added line."""
    stores = [
        f'  "{store}": [\n' + ",\n".join(f"    {json.dumps(update)}" for update in rows) + "\n  ]"
        for store, rows in derived.items()
    ]
    return "{\n" + f'  "release": "{release}",\n' + ",\n".join(stores) + "\n}\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except releases.RefreshError as error:
        sys.exit(str(error))
