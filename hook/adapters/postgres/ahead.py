"""What a migration that is still to be asked for needs of its database, and how large what it works on is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hook.observation.findings import Finding
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hook.observation.shapes import Update

_EXTENSION = """
SELECT EXISTS (SELECT FROM pg_opclass JOIN pg_am ON pg_am.oid = opcmethod
                WHERE amname = 'gin' AND opcdefault AND opcintype = 'bpchar'::regtype) AS usable,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'btree_gin') AS available,
       current_setting('azure.extensions', TRUE) !~* '\\mbtree_gin\\M' AS withheld,
       quote_ident(pg_get_userbyid(who)) AS role, quote_ident(current_database()) AS database,
       NOT (has_database_privilege(who, current_database(), 'CREATE')
            OR EXISTS (SELECT FROM pg_roles WHERE pg_has_role(who, pg_roles.oid, 'MEMBER')
                        AND (rolsuper OR rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')))) AS forbidden
  FROM (SELECT COALESCE((SELECT relowner FROM pg_class WHERE oid = to_regclass('schema_version')),
                        (SELECT oid FROM pg_roles WHERE rolname = current_user
                            AND current_setting('server_version_num')::int >= 150000
                            AND has_schema_privilege(current_schema(), 'CREATE'))) AS who) AS migrating
"""
"""Who migrates is known by the tables' owner; in an empty database by a right to make tables that only a role which
migrates has (before PostgreSQL 15 everybody had it). An index finds its operator class by its type, in whatever schema
the extension is (run). The extension is trusted: CREATE on the database is enough for it, from PostgreSQL 13.
Azure allows only what its parameter azure.extensions lists (temporal PR 7002)."""

_SIZES = """
SELECT relname, reltuples::bigint AS rows, pg_size_pretty(relpages * current_setting('block_size')::bigint) AS size
  FROM pg_class WHERE oid = ANY (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name)
   AND reltuples >= %s ORDER BY reltuples DESC LIMIT 1
"""
"""From the catalog alone: pg_table_size would wait for the lock of an ALTER TABLE that runs. -1 is not yet analysed."""

_LARGE = 1_000_000
_ROWS_A_MINUTE = 600_000
"""temporal issue 10358: 57 minutes for one rewrite of 35 million rows, on 16 cores."""


def lacking(about: str, updates: Sequence[Update], row: Callable[[str], dict[str, Any]]) -> Finding | None:
    """Return what the updates need and will not find."""
    creating = next((update for update in updates if update.creates_extension), None)
    using = next((update for update in updates if update.uses_extension), None)
    if using is None:
        return None
    seen = row(_EXTENSION)
    if seen["usable"]:
        return None
    run = f"In database {seen['database']}, as a superuser or the provider's administrator, run: "
    if not seen["available"]:
        detail, remedy = "this server does not offer it", "Install PostgreSQL's contrib package on the server."
    elif seen["withheld"]:
        detail = "the server parameter azure.extensions does not list it"
        remedy = "Add BTREE_GIN to the server parameter azure.extensions."
    elif creating is None:
        detail, remedy = "no further version installs it", f"{run}CREATE EXTENSION btree_gin;"
    elif seen["forbidden"]:
        detail = f"role {seen['role']}, which migrates, may not install it"
        remedy = f"{run}CREATE EXTENSION btree_gin; or: GRANT CREATE ON DATABASE {seen['database']} TO {seen['role']};"
    else:
        return None
    detail = f"version {using.version} needs btree_gin, which is not installed: {detail}"
    return Finding(Reason.DATABASE_EXTENSION_MISSING, about, detail, f"{remedy} Then sync the gate's Application.")


def note(
    about: str, updates: Sequence[Update], execute: Callable[[str, Sequence[Any]], Iterable[dict[str, Any]]]
) -> Finding | None:
    """Return how long the updates may take where the table that they rewrite or index is large."""
    if not updates:
        return None
    tables = sorted({table for update in updates for table in (*update.rewrites, *update.indexes)})
    for largest in execute(_SIZES, [tables, _LARGE]):
        table, rows = largest["relname"], largest["rows"]
        rewriting = [str(update.version) for update in updates if table in update.rewrites]
        building = sum(update.indexes.get(table, 0) for update in updates)
        works = [f"{', '.join(rewriting)} rewrite{'s' if len(rewriting) == 1 else ''} it"] if rewriting else []
        works += [f"{building} indexes are built on it"] if building else []
        minutes = max(1, rows * max(1, len(rewriting)) // _ROWS_A_MINUTE)
        detail = (
            f"{table} has about {rows:,} rows ({largest['size']}): {' and '.join(works)}; expect {minutes} minutes or more, "
            "at the rate of one report (35 million rows in 57 minutes)"
        )
        return Finding(Reason.MIGRATION_TAKES_LONG, about, detail)
    return None
