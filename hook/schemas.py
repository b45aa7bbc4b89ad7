"""What a store's schema means for the release that comes next: right or not, in words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.model import Schema

if TYPE_CHECKING:
    from hook.model import Policy, Unknown


def is_right(schema: Schema | Unknown, policy: Policy) -> bool:
    """Tell whether a store's schema serves the release: as new as expected, or newer."""
    return isinstance(schema, Schema) and schema.version is not None and schema.version >= policy.expected[schema.store]


def describe(schema: Schema, policy: Policy) -> str:
    """Return a store's version beside the one expected."""
    actual = f"is at {schema.version}" if schema.version else "is empty"
    return f"{schema.store} {actual}, expected {policy.expected[schema.store]}"
