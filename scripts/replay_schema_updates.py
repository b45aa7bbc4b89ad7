"""Replays every update of Temporal's PostgreSQL schema, interrupted after each statement, with Temporal's own tool.

`hook/data/unreplayable.json` comes from this and is verified by it. For every version and every number of statements
that an interruption can leave behind, on databases of its own:

- without a remedy, temporal-sql-tool's rerun to the newest version is tried: it succeeds, and the schema equals an
  uninterrupted migration's, or this is a stuck version;
- every probe of the knowledge is asked before and after that rerun: exactly the stuck ones are found, by the entry of
  their own version, as the hook asks it (only entries whose `from` is the version that the row says);
- where stuck, the remedy is applied, both at once and after the failed rerun; the probe is false then, the rerun
  succeeds and the schema equals an uninterrupted migration's.

And at every version, uninterrupted: with its row deleted, and with the row that setup-schema then writes, the entry of
`unrecorded` is found, and its remedy writes the version that the row had.

It needs a PostgreSQL on which it may create databases (libpq's environment: PGHOST, PGPORT, PGUSER, PGPASSWORD), the
tool, and the schema of a release: `schema/postgresql/v12` in Temporal's Go module.

    python scripts/replay_schema_updates.py --tool PROGRAM --schema .../schema/postgresql/v12 [--store visibility]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWLEDGE = Path(__file__).resolve().parent.parent / "hook" / "data" / "unreplayable.json"
UNRECORDED = "unrecorded"
DIRECTORIES = {"default": "temporal", "visibility": "visibility"}

SAID = re.compile(r'"error": "(?:error executing statement: )?((?:[^"\\]|\\.)*)"')
"""The reason among the tool's last words, which also tell the time and the place in its source."""

TOKEN = re.compile(
    r"(?P<comment>--[^\n]*)|(?P<quoted>'[^']*'|\"[^\"]*\"|\$\$.*?\$\$)|(?P<end>;)|(?P<other>.)", re.DOTALL
)

FINGERPRINT: LiteralString = """
SELECT 'column', c.relname::text, row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum)::text,
       concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated,
                 pg_get_expr(d.adbin, d.adrelid))
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
UNION ALL
SELECT 'index', i.indexrelid::regclass::text, '', pg_get_indexdef(i.indexrelid) || i.indisvalid
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'function', p.oid::regprocedure::text, '', md5(prosrc)
  FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
UNION ALL
SELECT 'extension', extname::text, '', '' FROM pg_extension
ORDER BY 1, 2, 3
"""
"""All that a schema holds. Positions are counted anew: a dropped column leaves a hole in `attnum` and nothing else."""

Fingerprint = list[tuple[Any, ...]]


class ReplayError(Exception):
    """The replay contradicts the knowledge, or could not be done."""


@dataclass(frozen=True)
class Update:
    """One version of one store: what temporal-sql-tool runs between two rows."""

    store: str
    version: str
    previous: str
    statements: tuple[str, ...]


def order(version: str) -> tuple[int, ...]:
    """1.10 comes after 1.9."""
    return tuple(int(part) for part in version.split("."))


def split(text: str) -> Iterator[str]:
    """Statements as the tool takes them apart: at semicolons outside of quotes, comments left out."""
    statement = ""
    for token in TOKEN.finditer(text):
        if token.lastgroup == "end":
            yield statement.strip()
            statement = ""
        elif token.lastgroup != "comment":
            statement += token.group()
    if statement.strip():
        yield statement.strip()


def read_updates(schema: Path, store: str) -> list[Update]:
    """The updates of a store in the order in which the tool applies them."""
    found: list[Update] = []
    previous = "0.0"
    directories = (schema / DIRECTORIES[store] / "versioned").iterdir()
    for directory in sorted(directories, key=lambda path: order(path.name.removeprefix("v"))):
        version = directory.name.removeprefix("v")
        if version == previous:  # v0.0 is what setup-schema writes.
            continue
        files = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))["SchemaUpdateCqlFiles"]
        statements = [one for name in files for one in split((directory / name).read_text(encoding="utf-8"))]
        found.append(Update(store, version, previous, tuple(statements)))
        previous = version
    return found


class Server:
    """The PostgreSQL and the tool it is tried with."""

    def __init__(self, tool: Path, schema: Path) -> None:
        """Take the tool and the directory `schema/postgresql/v12` whose updates it applies."""
        self._tool = tool
        self._schema = schema
        self._admin = psycopg.connect("dbname=postgres", autocommit=True)
        self._environment = {
            **os.environ,
            "SQL_PLUGIN": "postgres12",
            "SQL_HOST": self._admin.info.host,
            "SQL_PORT": str(self._admin.info.port),
            "SQL_USER": self._admin.info.user,
            "SQL_PASSWORD": self._admin.info.password,
        }

    def tool(self, database: str, *arguments: str) -> str | None:
        """None where the tool succeeded, else its last words. Its exit code can be believed without `--quiet`."""
        ended = subprocess.run(
            [self._tool, "--db", database, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode == 0:
            return None
        words = (ended.stdout + ended.stderr).strip().splitlines()[-1]
        said = SAID.search(words)
        return said.group(1).replace('\\"', '"') if said else words

    def update(self, database: str, store: str, version: str | None = None) -> str | None:
        """`update-schema` up to a version, or to the newest."""
        target = () if version is None else ("--version", version)
        return self.tool(
            database, "update-schema", "--schema-dir", str(self._schema / DIRECTORIES[store] / "versioned"), *target
        )

    def create(self, database: str, template: str | None = None) -> None:
        """Create a database, empty or as another one is; the row of a copy then names it, as the tool reads it."""
        self.drop(database)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._admin.execute(statement.format(sql.Identifier(database), sql.Identifier(template or "template0")))
        if template is not None:
            self.run(database, "UPDATE schema_version SET db_name = current_database()")

    def drop(self, database: str) -> None:
        """Drop a database if it is there."""
        self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    @contextmanager
    def open(self, database: str) -> Iterator[psycopg.Connection]:
        """A session in which each statement is its own transaction, as the tool's are."""
        with psycopg.connect(dbname=database, autocommit=True) as connection:
            yield connection

    def run(self, database: str, *statements: str) -> None:
        """Execute statements one by one."""
        with self.open(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fingerprint(self, database: str) -> Fingerprint:
        """What the database's schema holds, and the one row that updates write."""
        with self.open(database) as connection:
            rows: Fingerprint = connection.execute(FINGERPRINT).fetchall()
            if any(row[1] == "namespace_metadata" for row in rows):
                rows += connection.execute(
                    "SELECT partition_id, notification_version FROM namespace_metadata"
                ).fetchall()
            return rows

    def found_stuck(self, database: str, entries: list[dict[str, Any]]) -> list[str]:
        """The versions whose probe holds, asked as the hook asks: read-only, entries of the row's version only."""
        with self.open(database) as connection:
            connection.read_only = True
            rows = connection.execute("SELECT curr_version FROM schema_version WHERE db_name = current_database()")
            row = rows.fetchone()
            version = row[0] if row else None
            found = []
            for entry in entries:
                if entry["from"] == version:
                    answer = connection.execute(f"SELECT {entry['probe']}".encode()).fetchone()
                    if answer is None or answer[0] is None:
                        raise ReplayError(
                            f"the probe of {entry['store']} {entry['version']} answers neither true nor false"
                        )
                    if answer[0]:
                        found.append(str(entry.get("version", UNRECORDED)))
            return found


class Replay:
    """One store, replayed."""

    def __init__(self, server: Server, store: str, updates: list[Update]) -> None:
        """Migrate a database without interruption first: all others are compared with it."""
        self._server = server
        self._store = store
        self._updates = updates
        knowledge = json.loads(KNOWLEDGE.read_text(encoding="utf-8"))
        self._stuck = [entry for entry in knowledge["stuck"] if entry["store"] == store]
        self._unrecorded = [entry for entry in knowledge["unrecorded"] if entry["store"] == store]
        self._entries = self._stuck + self._unrecorded
        self._base = f"replay_{store}_base"
        self._database = f"replay_{store}_case"
        self._prepare(self._base)
        self._succeed(self._base)
        self._clean = server.fingerprint(self._base)
        self._prepare(self._base)

    def _prepare(self, database: str) -> None:
        self._server.create(database)
        if words := self._server.tool(database, "setup-schema", "--version", "0.0"):
            raise ReplayError(f"setup-schema failed: {words}")

    def _succeed(self, database: str, version: str | None = None) -> None:
        if words := self._server.update(database, self._store, version):
            raise ReplayError(f"update-schema failed: {words}")

    def _expect(self, update: Update, applied: int, expected: list[str], when: str) -> None:
        found = self._server.found_stuck(self._database, self._entries)
        if found != expected:
            place = f"{self._store} {update.version} after {applied} {when}"
            raise ReplayError(f"{place}: probes say {found}, expected {expected}")

    def _interrupt(self, update: Update, applied: int) -> None:
        self._server.create(self._database, self._base)
        self._server.run(self._database, *update.statements[:applied])

    def _heals(self, update: Update, applied: int, remedy: str, when: str) -> None:
        self._server.run(self._database, *split(remedy))
        self._expect(update, applied, [], f"healed {when}")
        self._succeed(self._database)
        if self._server.fingerprint(self._database) != self._clean:
            place = f"{self._store} {update.version} after {applied}, healed {when}"
            raise ReplayError(f"{place}: not the schema of a clean migration")

    def interruption(self, update: Update, applied: int, entry: dict[str, Any] | None) -> str | None:
        """One interruption: None where a rerun heals it, else the tool's last words."""
        self._interrupt(update, applied)
        before = self._server.found_stuck(self._database, self._entries)
        words = self._server.update(self._database, self._store)
        if words is None:
            if before:
                place = f"{self._store} {update.version} after {applied}"
                raise ReplayError(f"{place}: probe {before} holds, but a rerun succeeds")
            if self._server.fingerprint(self._database) != self._clean:
                raise ReplayError(f"{self._store} {update.version} after {applied}: a rerun ends in another schema")
            return None
        if self._server.update(self._database, self._store) is None:
            raise ReplayError(f"{self._store} {update.version} after {applied}: a second rerun succeeds")
        if entry is None:
            return words
        if before != [update.version]:
            raise ReplayError(f"{self._store} {update.version} after {applied}: stuck, but probes say {before}")
        self._expect(update, applied, [update.version], "and failed reruns")
        self._heals(update, applied, entry["remedy"], "after failed reruns")
        self._interrupt(update, applied)
        self._heals(update, applied, entry["remedy"], "at once")
        return words

    def without_record(self, update: Update, entry: dict[str, Any]) -> None:
        """A whole database of some version whose row is gone, or is what setup-schema makes of that."""
        if order(update.version) < order(entry["since"]):
            return
        self._server.create(self._database, self._base)
        self._server.run(self._database, "UPDATE schema_version SET db_name = 'its former name'")
        when = f"without its record, row {entry['from']}"
        if entry["from"] is not None:
            words = self._server.tool(self._database, "setup-schema", "--version", entry["from"])
            if words is not None:
                raise ReplayError(f"{self._store} {update.version} {when}: setup-schema failed: {words}")
        total = len(update.statements)
        self._expect(update, total, [UNRECORDED], when)
        self._heals(update, total, entry["remedy"], when)
        with self._server.open(self._database) as connection:
            query = "SELECT new_version FROM schema_update_history WHERE new_version = %s"
            times = len(connection.execute(query, [update.version]).fetchall())
        if times != 1:
            raise ReplayError(f"{self._store} {update.version} {when}: healed, and applied {times} times")

    def run(self) -> list[str]:
        """Every version and every interruption; what contradicts the knowledge, one line each."""
        wrong: list[str] = []
        for update in self._updates:
            entry = next((entry for entry in self._stuck if entry["version"] == update.version), None)
            stuck: dict[int, str] = {}
            for applied in range(len(update.statements) + 1):
                try:
                    if words := self.interruption(update, applied, entry):
                        stuck[applied] = words
                except ReplayError as error:
                    wrong.append(str(error))
            total = len(update.statements)
            verdict = f"stuck after {_ranges(stuck)}" if stuck else "replays"
            print(f"{self._store} {update.previous} -> {update.version}: {total} statements, {verdict}", flush=True)
            for words in dict.fromkeys(stuck.values()):
                print(f"    {words}", flush=True)
            known = None if entry is None else (entry["from"], entry["statements"], _inclusive(entry))
            seen = (update.previous, total, list(stuck)) if stuck else None
            if known != seen:
                wrong.append(f"{self._store} {update.version}: {KNOWLEDGE.name} says {known}, the replay says {seen}")
            self._succeed(self._base, update.version)
            for entry in self._unrecorded:
                try:
                    self.without_record(update, entry)
                except ReplayError as error:
                    wrong.append(str(error))
        known_versions = {update.version for update in self._updates}
        newer = [entry["version"] for entry in self._stuck if entry["version"] not in known_versions]
        if newer:
            print(f"{self._store}: not in this release: {', '.join(newer)}")
        self._server.drop(self._base)
        self._server.drop(self._database)
        return wrong


def _inclusive(entry: dict[str, Any]) -> list[int]:
    first, last = entry["interrupted_after"]
    return list(range(first, last + 1))


def _ranges(stuck: dict[int, str]) -> str:
    numbers = list(stuck)
    whole = numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if whole else ", ".join(map(str, numbers))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Replay Temporal's schema updates, interrupted after each statement.")
    parser.add_argument("--tool", type=Path, required=True, help="temporal-sql-tool, built from Temporal's Go module")
    parser.add_argument("--schema", type=Path, required=True, help="schema/postgresql/v12 of a release")
    parser.add_argument("--store", choices=sorted(DIRECTORIES), action="append", help="only this store")
    options = parser.parse_args()
    server = Server(options.tool.resolve(), options.schema.resolve())
    wrong: list[str] = []
    for store in options.store or sorted(DIRECTORIES):
        wrong += Replay(server, store, read_updates(options.schema, store)).run()
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
