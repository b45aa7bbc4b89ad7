"""Reads a store's schema version from PostgreSQL as Temporal's server does at its start, and tells what is wrong.

It opens a connection, reads and closes it at each look: an idle session would block ``DROP DATABASE``.
Nothing is written, and all statements run in one transaction, so that it works behind a pooler too. The transaction is
made read-only as soon as it is known whether the session was given so.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from hook.adapters.postgres import ahead, lookup, refusals
from hook.observation import shapes
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Defect, Schema, SchemaVersion, Store, VersionError, defects
from hook.observation.workloads import Member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from psycopg.abc import PQGen

T = TypeVar("T")

_VERSIONED = ["version_partition", "db_name", "curr_version", "creation_time"]
"""The columns that make a table schema_version Temporal's: Flyway's had that name once, too."""

_PLACE = """
SELECT set_config('statement_timeout', %(timeout)s, TRUE),
       pg_is_in_recovery() AS in_recovery,
       current_setting('transaction_read_only') = 'on' AS read_only,
       (SELECT json_object_agg(name, (SELECT json_agg(attname) FROM pg_attribute
                                       WHERE attrelid = to_regclass(name) AND attnum > 0 AND NOT attisdropped))
          FROM unnest(%(tables)s::text[]) AS name WHERE to_regclass(name) IS NOT NULL) AS present,
       (SELECT string_agg(quote_ident(nspname), ', ')
          FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relname = 'schema_version' AND relkind IN ('r', 'p')
           AND %(versioned)s <@ (SELECT array_agg(attname::text) FROM pg_attribute WHERE attrelid = pg_class.oid)
       ) AS elsewhere
"""
"""Where the tables are: by search_path, as the server finds them, and by the catalog, which everybody may read."""

_REASONABLE = "BETWEEN '2016-01-01' AND (now() AT TIME ZONE 'UTC') + INTERVAL '1 day'"
"""Before, there was no Temporal (nor the Cadence that it comes from). Go's zero and 'infinity' are no times."""

_VERSION = f"""
SELECT curr_version, CASE WHEN creation_time {_REASONABLE} THEN creation_time END AS creation_time FROM schema_version
 WHERE version_partition = 0 AND db_name = %s
"""  # noqa: S608 -- all of it stands here
"""The server asks with the database name it is configured with (schema/postgresql/version.go): behind a pooler that may be
another than the one it is connected to."""

_OTHER_NAMES = """
SELECT regexp_replace(db_name, '[^ -~]', '?', 'g') AS db_name FROM schema_version WHERE version_partition = 0 ORDER BY 1
"""
"""For the eye alone: a byte that is no text, which a SQL_ASCII database may hold, must not take the verdict's place."""

_BORN = f"SELECT min(update_time) FILTER (WHERE update_time {_REASONABLE}) AS born FROM schema_update_history"  # noqa: S608 -- all of it stands here

_READ_ONLY_BY = "SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'"

_RESETS = {
    "database": "ALTER DATABASE {database} RESET default_transaction_read_only;",
    "user": "ALTER ROLE {user} RESET default_transaction_read_only;",
    "database user": "ALTER ROLE {user} IN DATABASE {database} RESET default_transaction_read_only;",
}
"""How it is taken back, by where pg_settings says that it comes from."""

_CHANGING = r"""
SELECT query_start AS since, substring(told from '^\w+ \w+') AS statement
  FROM pg_stat_activity, LATERAL regexp_replace(query, '^(\s|--[^\n]*\n|/\*.*?\*/)+', '') AS bare,
       LATERAL regexp_replace(bare, '\s+', ' ', 'g') AS told
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active'
   AND (told ~* '^(ALTER|CREATE|DROP) (TABLE|INDEX|UNIQUE|EXTENSION|FUNCTION|SCHEMA|SEQUENCE|TYPE|VIEW|TRIGGER|OR)\M'
        OR told ~* '^(DO|TRUNCATE)\M' OR told ~* '^COPY .* FROM '
        OR told ~* '^(INSERT INTO|UPDATE|DELETE FROM) (\w+\.)?(schema_version|schema_update_history)\M')
 ORDER BY query_start LIMIT 1
"""
"""What a migration or a restore runs, and Temporal's servers do not. Of another role's session the statement is seen only
by members of that role or of pg_read_all_stats. Two words of it are told: more could hold a secret."""

_SLACK_SECONDS = 1.0
"""So much longer than the server's own statement_timeout its answer is waited for: its words say more than a silence."""


class _Session(psycopg.Connection[dict[str, Any]]):
    """A connection that does not wait for ever on a server that froze after the login.

    statement_timeout is the server's own, and connect_timeout ends with the login.
    """

    answer_seconds = 60.0

    def wait(self, gen: PQGen[T], *arguments: Any, **named: Any) -> T:
        """Wait as psycopg does, which wakes the generator every 0.1 s, but not longer than ``answer_seconds``."""
        try:
            return super().wait(_within(self.answer_seconds, gen), *arguments, **named)
        except _NoAnswerError:
            self.close()
            raise

    def row(self, query: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the one row of a query of our own; its text comes from this package, never from outside."""
        row = self.execute(query, parameters).fetchone()
        if row is None:
            message = "no row where there is always one"
            raise errors.NoDataFound(message)
        return row


class _NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time."""


def _within(seconds: float, gen: PQGen[T]) -> PQGen[T]:
    """Do as ``gen``, which talks with the server, but raise when its answer does not come."""
    deadline = time.monotonic() + seconds
    try:
        awaited = next(gen)
        while True:
            ready = yield awaited
            if not ready and time.monotonic() >= deadline:
                raise _NoAnswerError(f"connected, but no answer within {seconds:g} s")
            awaited = gen.send(ready)
    except StopIteration as end:
        return cast("T", end.value)


def read(
    store: Store,
    conninfo: Callable[[], Mapping[str, str]],
    timeout_seconds: float,
    expected: SchemaVersion | None = None,
) -> Schema:
    """Return the store's schema as its database has it now.

    ``conninfo`` is asked at each call, so that a rotated password is taken up. What a migration to ``expected`` needs and
    how long it takes is found out before anybody asks for it. Raises `FindingError`.
    """
    try:
        parameters = dict(conninfo())
    except OSError as error:
        about = f"store {store}"
        raise FindingError(Finding(Reason.DATABASE_CREDENTIALS_MISSING, about, str(error))) from error
    about = _name(store, parameters)
    try:
        with _connected(parameters, timeout_seconds) as session:
            return _Look(store, about, session).schema(timeout_seconds, expected)
    except psycopg.Error as error:
        raise FindingError(refusals.finding(about, error)) from error


@contextmanager
def _connected(parameters: dict[str, str], timeout_seconds: float) -> Iterator[_Session]:
    """Open a session that waits for no answer for ever."""
    parameters.setdefault("connect_timeout", str(max(2, round(timeout_seconds))))  # libpq takes less than 2 for 2
    parameters.setdefault("application_name", "temporal-recovery-hook")
    parameters.setdefault("client_encoding", "UTF8")  # psycopg gives bytes for the text of a SQL_ASCII database
    parameters |= lookup.addresses(parameters, timeout_seconds)
    with _Session.connect(
        **cast("dict[str, Any]", parameters), row_factory=dict_row, prepare_threshold=None
    ) as session:
        session.answer_seconds = timeout_seconds + _SLACK_SECONDS
        yield session


_MEMBERS = """
SELECT rpc_address, session_start, last_heartbeat FROM cluster_membership ORDER BY session_start DESC LIMIT 500
"""


def members(conninfo: Callable[[], Mapping[str, str]], timeout_seconds: float) -> tuple[Member, ...]:
    """Return Temporal's servers by their rows in the default store. Raises `FindingError`."""
    about = "store default: cluster_membership"
    try:
        with _connected(dict(conninfo()), timeout_seconds) as session:
            session.read_only = True
            session.execute("SELECT set_config('statement_timeout', %s, TRUE)", [_milliseconds(timeout_seconds)])
            rows = session.execute(_MEMBERS).fetchall()
    except (psycopg.Error, OSError) as error:
        raise FindingError(Finding(Reason.DATABASE_UNREACHABLE, about, type(error).__name__)) from error
    times = ((row["rpc_address"], _utc(row["session_start"]), _utc(row["last_heartbeat"])) for row in rows)
    return tuple(Member(address, start, beat) for address, start, beat in times if start and beat)


def _name(store: Store, parameters: Mapping[str, str]) -> str:
    """Return how the store is spoken of: no secret in it."""
    where = f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}"
    return f"store {store} ({parameters.get('dbname', '')} on {where})"


@dataclass(frozen=True)
class _Look:
    """One look at one store."""

    store: Store
    about: str
    session: _Session

    def schema(self, timeout_seconds: float, expected: SchemaVersion | None) -> Schema:
        """Return the schema, or raise what is wrong with it: the first that makes all that follows unreadable."""
        present = self._present(timeout_seconds)
        is_versioned = present.get("schema_version", frozenset()).issuperset(_VERSIONED)
        rows = self.session.execute(_VERSION, [self.session.info.dbname]).fetchall() if is_versioned else []
        version = self._version(rows)
        if (wrong := self._wrong(version, present, expected)) is not None:
            raise FindingError(self._unless_changing(wrong))
        born = _utc(self.session.row(_BORN)["born"]) if "schema_update_history" in present else None
        seen = Schema(self.store, version, since=_utc(rows[0]["creation_time"]) if rows else None, born=born)
        if expected is not None and version is not None and version >= expected:
            return seen
        pending = tuple(shapes.pending(self.store, version, expected)) if expected is not None else ()
        if (lacking := ahead.lacking(self.about, pending, self.session.row)) is not None:
            raise FindingError(lacking)
        changing = self.session.execute(_CHANGING).fetchone()
        return replace(
            seen,
            note=ahead.note(self.about, pending, self.session.execute),
            changing_since=changing["since"] if changing else None,
        )

    def _present(self, timeout_seconds: float) -> dict[str, frozenset[str]]:
        """Return the columns of every known table that is there; raise where none could be read or written."""
        known = [table for store in Store for table in sorted(shapes.tables(store))]
        place = self.session.row(
            _PLACE,
            {
                "timeout": _milliseconds(timeout_seconds),
                "tables": ["schema_version", "schema_update_history", *known],
                "versioned": _VERSIONED,
            },
        )
        if place["in_recovery"]:
            raise FindingError(Finding(Reason.DATABASE_IN_RECOVERY, self.about, "pg_is_in_recovery() is true"))
        if place["read_only"]:
            raise FindingError(self._read_only())
        self.session.execute("SET TRANSACTION READ ONLY")
        present = {table: frozenset(columns or ()) for table, columns in (place["present"] or {}).items()}
        if not present.get("schema_version", frozenset()).issuperset(_VERSIONED):
            if place["elsewhere"]:
                schema = place["elsewhere"]
                detail = f"schema_version is in schema {schema}, which this session does not search or may not use"
                raise FindingError(Finding(Reason.DATABASE_SCHEMA_HIDDEN, self.about, detail))
            if "schema_version" in present:
                detail = f"schema_version has the columns {', '.join(sorted(present['schema_version']))}"
                raise FindingError(Finding(Reason.SCHEMA_VERSION_FOREIGN, self.about, detail))
        return present

    def _read_only(self) -> Finding:
        by = self.session.execute(_READ_ONLY_BY).fetchone()
        if by is None:
            return Finding(Reason.DATABASE_READ_ONLY, self.about, "transaction_read_only is on")
        detail = f"default_transaction_read_only is on, set by: {by['source']}"
        reset = _RESETS.get(by["source"], "").format(
            database=sql.Identifier(self.session.info.dbname).as_string(),
            user=sql.Identifier(self.session.info.user).as_string(),
        )
        remedy = f"If the disk is full, enlarge it or free space first. Then run: {reset}" if reset else ""
        return Finding(Reason.DATABASE_READ_ONLY, self.about, detail, remedy)

    def _version(self, rows: list[dict[str, Any]]) -> SchemaVersion | None:
        if len(rows) > 1:
            found = ", ".join(str(row["curr_version"]) for row in rows)
            raise FindingError(Finding(Reason.SCHEMA_VERSION_AMBIGUOUS, self.about, f"its rows say {found}"))
        if not rows:
            return None
        text = rows[0]["curr_version"]
        if text is None:
            raise FindingError(Finding(Reason.SCHEMA_VERSION_MALFORMED, self.about, "curr_version is NULL"))
        try:
            return SchemaVersion.parse(text)
        except VersionError as error:
            raise FindingError(Finding(Reason.SCHEMA_VERSION_MALFORMED, self.about, f"curr_version {error}")) from error

    def _wrong(
        self, version: SchemaVersion | None, present: Mapping[str, frozenset[str]], expected: SchemaVersion | None
    ) -> Finding | None:
        """Return what only a person can mend, if anything."""
        fault = shapes.fault(self.store, version, present, expected)
        if fault is not None and fault[0] is not Reason.SCHEMA_VERSION_MISSING:
            return Finding(fault[0], self.about, fault[1])
        for defect in defects(self.store, version):
            if self.session.row(f"SELECT {defect.probe} AS present")["present"]:
                return self._of_defect(defect, version, present)
        return Finding(fault[0], self.about, fault[1]) if fault is not None else None

    def _of_defect(
        self, defect: Defect, version: SchemaVersion | None, present: Mapping[str, frozenset[str]]
    ) -> Finding:
        sql_text = defect.remedy.replace("current_database()", sql.Literal(self.session.info.dbname).as_string())
        remedy = f"In that database, as the tables' owner, run: {sql_text} Then sync the gate's Application."
        if defect.version is not None:
            detail = f"between {version} and {defect.version}: {defect.why}"
            return Finding(Reason.SCHEMA_STUCK, self.about, detail, " ".join(remedy.split()))
        detail = f"unless a restore is under way: {defect.why}"
        if version is None and "schema_version" in present:
            others = [row["db_name"] for row in self.session.execute(_OTHER_NAMES)]
            detail += f"; schema_version has a row for {', '.join(map(repr, others))}" if others else ""
        if "schema_update_history" not in present:  # then the SQL has nothing to take the version from
            return Finding(Reason.SCHEMA_VERSION_MISSING, self.about, detail)
        return Finding(Reason.SCHEMA_VERSION_MISSING, self.about, detail, " ".join(remedy.split()))

    def _unless_changing(self, wrong: Finding) -> Finding:
        """Return it, or where somebody is at work in the database: that. A restore looks like any of these on its way."""
        changing = self.session.execute(_CHANGING).fetchone()
        if changing is None:
            return wrong
        since = changing["since"].astimezone(UTC).strftime("%H:%M:%S")
        detail = f"{changing['statement']} runs since {since} UTC; until it is done: {wrong.detail}"
        return Finding(Reason.SCHEMA_BEING_CHANGED, self.about, detail)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _utc(moment: datetime | None) -> datetime | None:
    """Temporal's tool writes UTC into columns without a time zone."""
    return moment.replace(tzinfo=UTC) if moment is not None else None
