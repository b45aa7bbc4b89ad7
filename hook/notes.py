"""What a person should know of the release and its schemas whatever the step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook import pods, rollout, schemas
from hook.model import Finding, Unknown
from hook.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.model import Observation, Policy


def all_of(observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return them all: newer schema, skipped minor, estimated versions, no runtime."""
    return tuple(_each(observation, policy))


def _each(observation: Observation, policy: Policy) -> Iterator[Finding]:
    for schema in observation.schemas:
        if schema.version is not None and schema.version > policy.expected[schema.store]:
            yield Finding(Reason.SCHEMA_NEWER, f"store {schema.store}", schemas.describe(schema, policy))
    if policy.estimated_from is not None:
        yield Finding(Reason.RELEASE_ESTIMATED, f"release {policy.release}", f"taken as {policy.estimated_from}")
    if rollout.is_missing(observation.application) and isinstance(observation.application, Unknown):
        yield Finding(Reason.RUNTIME_NOT_FOUND, observation.application.finding.about)
    live = pods.live_release(observation)
    if live and policy.release and live.major == policy.release.major and policy.release.minor - live.minor > 1:
        yield Finding(Reason.MINOR_SKIPPED, f"release {policy.release}", f"pods run {live}")
