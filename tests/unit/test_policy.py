"""How a store's schema is told of beside what the user asks for."""

from hook.decision.policy import Policy
from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store

EXPECTED = {Store.DEFAULT: SchemaVersion((1, 18)), Store.VISIBILITY: SchemaVersion((1, 13))}


def test_what_should_be_known_before_a_migration_stands_beside_its_versions() -> None:
    """So that it is read where the migration is asked for, and not after an hour of it."""
    note = Finding(Reason.MIGRATION_TAKES_LONG, "store visibility", "executions_visibility has about 35,000,000 rows")
    behind = Schema(Store.VISIBILITY, SchemaVersion((1, 9)), note=note)
    assert Policy(EXPECTED).describe(behind) == (
        "visibility is at 1.9, expected 1.13 (executions_visibility has about 35,000,000 rows)"
    )
    assert Policy(EXPECTED).describe(Schema(Store.DEFAULT)) == "default is empty, expected 1.18"
