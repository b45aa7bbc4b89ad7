"""How a run ends over what is not ours to repair, and what a person should know whatever the step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import restarts
from hook.decision.policy import Reachability
from hook.decision.steps import Fail, Pass
from hook.observation import applications
from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.observation import Observation


def notes(observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return them all: newer schema, skipped minor, estimated versions, no runtime."""
    return tuple(_each(observation, policy))


def _each(observation: Observation, policy: Policy) -> Iterator[Finding]:
    for schema in observation.schemas:
        if schema.version is not None and schema.version > policy.expected[schema.store]:
            yield Finding(Reason.SCHEMA_NEWER, f"store {schema.store}", policy.describe(schema))
    if policy.estimated_from is not None:
        yield Finding(Reason.RELEASE_ESTIMATED, f"release {policy.release}", f"taken as {policy.estimated_from}")
    if applications.is_missing(observation.application) and isinstance(observation.application, Unknown):
        yield Finding(Reason.RUNTIME_NOT_FOUND, observation.application.finding.about)
    live = restarts.live_release(observation)
    if live and policy.release and live.major == policy.release.major and policy.release.minor - live.minor > 1:
        yield Finding(Reason.MINOR_SKIPPED, f"release {policy.release}", f"pods run {live}")


def end_unrepaired(findings: tuple[Finding, ...], observation: Observation, policy: Policy) -> Step:
    """End on what is not ours to repair: `always` holds the rollout, the others let it pass with a warning."""
    if policy.reachability is Reachability.ALWAYS:
        return Fail(findings[0])
    return Pass((*findings, *notes(observation, policy)))
