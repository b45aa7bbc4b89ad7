"""Reads a store's schema version from PostgreSQL as Temporal's server does at its start, and tells what is wrong.

It opens a connection, reads and closes it at each look: an idle session would block ``DROP DATABASE``.
Nothing is written; all statements run in one read-only transaction, so that it works behind a pooler too.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from psycopg import errors, sql
from psycopg.rows import dict_row

from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Defect, Schema, SchemaVersion, VersionError, defects

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg.abc import PQGen

    from hook.observation.versions import Store

T = TypeVar("T")

_PLACE = """
SELECT pg_is_in_recovery() AS in_recovery,
       to_regclass('schema_version') IS NOT NULL AS versioned,
       to_regclass('schema_update_history') IS NOT NULL AS has_history,
       (SELECT string_agg(quote_ident(nspname), ', ')
          FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE relname = 'schema_version' AND relkind = 'r') AS elsewhere
"""
"""Where the tables are: by search_path, as the server finds them, and by the catalog, which everybody may read."""

_VERSION = """
SELECT curr_version, creation_time FROM schema_version
 WHERE version_partition = 0 AND db_name = %s
"""
"""The server asks with the database name it is configured with (schema/postgresql/version.go): behind a pooler that may be
another than the one it is connected to."""

_OTHER_NAMES = "SELECT db_name, curr_version FROM schema_version WHERE version_partition = 0 ORDER BY db_name"

_BORN = "SELECT min(update_time) AS born FROM schema_update_history"

_REFUSALS: tuple[tuple[str, Reason], ...] = (
    (
        r"\w+ authentication failed|role N does not exist|no such user|no password supplied|is not permitted to log in",
        Reason.DATABASE_LOGIN_REFUSED,
    ),
    (r"database N does not exist|no such database", Reason.DATABASE_MISSING),
    (r"permission denied for database", Reason.DATABASE_PERMISSION_DENIED),
    (r"pg_hba\.conf (entry|rejects) .*(SSL encryption|SSL on)", Reason.DATABASE_LOGIN_REFUSED),
    (r"pg_hba\.conf (entry|rejects) .*(no encryption|SSL off)", Reason.DATABASE_TLS_REFUSED),
    (r"pg_hba\.conf (entry|rejects)", Reason.DATABASE_LOGIN_REFUSED),
    (r"invalid response to SSL negotiation", Reason.DATABASE_UNREACHABLE),
    (r"SSL|certificate|tlsv1|sslmode", Reason.DATABASE_TLS_REFUSED),
)
"""libpq gives no SQLSTATE for a failed connection (run), so its English text decides; any other text is unreachable.

N is a quoted name. Under sslmode prefer libpq tries a refused login again without TLS, and its text tells of both: what
was said over TLS counts."""

_QUOTED_NAME = re.compile(r"\"[^\"]*\"|'[^'\s]*'")
"""Names are taken out before the text is judged: a role may be called certificate_manager, a host SSL-DB."""

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


def read(store: Store, conninfo: Callable[[], Mapping[str, str]], timeout_seconds: float) -> Schema:
    """Return the store's schema as its database has it now.

    ``conninfo`` is asked at each call, so that a rotated password is taken up. Raises `FindingError`.
    """
    try:
        parameters = dict(conninfo())
    except OSError as error:
        about = f"store {store}"
        raise FindingError(Finding(Reason.DATABASE_CREDENTIALS_MISSING, about, str(error))) from error
    about = _name(store, parameters)
    parameters.setdefault("connect_timeout", str(max(2, round(timeout_seconds))))  # libpq takes less than 2 for 2
    parameters.setdefault("application_name", "temporal-recovery-hook")
    parameters.setdefault("client_encoding", "UTF8")  # psycopg gives bytes for the text of a SQL_ASCII database
    try:
        with _Session.connect(
            **cast("dict[str, Any]", parameters), row_factory=dict_row, prepare_threshold=None
        ) as session:
            session.answer_seconds = timeout_seconds + _SLACK_SECONDS
            session.read_only = True
            session.execute(
                sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(round(timeout_seconds * 1000)))
            )
            return _schema(store, about, session)
    except psycopg.Error as error:
        raise FindingError(_finding(about, error)) from error


def _name(store: Store, parameters: Mapping[str, str]) -> str:
    """Return how the store is spoken of: no secret in it."""
    where = f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}"
    return f"store {store} ({parameters.get('dbname', '')} on {where})"


def _schema(store: Store, about: str, session: psycopg.Connection[dict[str, Any]]) -> Schema:
    place = _row(session, _PLACE)
    if place["in_recovery"]:
        raise FindingError(Finding(Reason.DATABASE_IN_RECOVERY, about, "pg_is_in_recovery() is true"))
    if not place["versioned"] and place["elsewhere"]:
        detail = f"schema_version is in schema {place['elsewhere']}, which this role does not search or may not use"
        raise FindingError(Finding(Reason.DATABASE_SCHEMA_HIDDEN, about, detail))
    rows = session.execute(_VERSION, [session.info.dbname]).fetchall() if place["versioned"] else []
    if len(rows) > 1:
        found = ", ".join(str(row["curr_version"]) for row in rows)
        raise FindingError(Finding(Reason.SCHEMA_VERSION_AMBIGUOUS, about, f"its rows say {found}"))
    version = _version(about, rows[0]["curr_version"]) if rows else None
    for defect in defects(store, version):
        if _row(session, f"SELECT {defect.probe} AS present")["present"]:
            others = session.execute(_OTHER_NAMES).fetchall() if place["versioned"] and not rows else []
            name = sql.Literal(session.info.dbname).as_string()
            told = replace(defect, remedy=defect.remedy.replace("current_database()", name))
            raise FindingError(_of_defect(about, told, version, [row["db_name"] for row in others]))
    born = _row(session, _BORN)["born"] if place["has_history"] else None
    return Schema(store, version, since=_utc(rows[0]["creation_time"]) if rows else None, born=_utc(born))


def _version(about: str, text: str | None) -> SchemaVersion:
    if text is None:
        raise FindingError(Finding(Reason.SCHEMA_VERSION_MALFORMED, about, "curr_version is NULL"))
    try:
        return SchemaVersion.parse(text)
    except VersionError as error:
        raise FindingError(Finding(Reason.SCHEMA_VERSION_MALFORMED, about, f"curr_version {error}")) from error


def _row(session: psycopg.Connection[dict[str, Any]], query: str) -> dict[str, Any]:
    """Return the one row of a query of our own; its text comes from this package, never from outside."""
    row = session.execute(query).fetchone()
    if row is None:
        message = "no row where there is always one"
        raise errors.NoDataFound(message)
    return row


def _utc(moment: datetime | None) -> datetime | None:
    """Temporal's tool writes UTC into columns without a time zone."""
    return moment.replace(tzinfo=UTC) if moment is not None else None


def _of_defect(about: str, defect: Defect, version: SchemaVersion | None, others: list[str]) -> Finding:
    """Return the finding of a defect; ``others`` are the database names that schema_version has rows for."""
    reason = Reason.SCHEMA_STUCK if defect.version is not None else Reason.SCHEMA_VERSION_MISSING
    detail = f"between {version} and {defect.version}: {defect.why}" if defect.version is not None else defect.why
    if others:
        detail += f"; schema_version has a row for {', '.join(map(repr, others))}"
    remedy = f"In that database, as the tables' owner, run: {defect.remedy} Then sync the gate's Application."
    return Finding(reason, about, detail, " ".join(remedy.split()))


def _finding(about: str, error: psycopg.Error) -> Finding:
    """Translate psycopg's error. Its text may hold user and host, never the password (libpq leaves it out)."""
    text = " ".join(str(error).split())
    if isinstance(error, errors.InsufficientPrivilege):
        return Finding(Reason.DATABASE_PERMISSION_DENIED, about, text)
    if error.sqlstate is None:
        told = _QUOTED_NAME.sub("N", text)
        for pattern, reason in _REFUSALS:
            if re.search(pattern, told):
                return Finding(reason, about, text)
    return Finding(Reason.DATABASE_UNREACHABLE, about, text)
