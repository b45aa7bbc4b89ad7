"""What becomes of the Applications after Temporal, such as the namespace bootstrap: left alone, or synced again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook import patience, pods, rollout
from hook.model import Finding, Pass, Resync, Unknown, Wait
from hook.reasons import Reason

if TYPE_CHECKING:
    from hook.model import Application, Observation, Policy, Step


def is_done(observation: Observation, policy: Policy) -> Step | None:
    """Sync again what was reached and failed, boundedly and never on an old status; Argo CD would not (facts 6)."""
    given_up: list[Finding] = []
    for application in observation.downstream.values():
        if rollout.is_ahead(application):
            continue
        if isinstance(application, Unknown):
            return Wait((application.finding,))
        next_one = _step(application, observation, policy)
        if isinstance(next_one, Pass):
            given_up += next_one.warnings  # one that only a person can mend keeps no other from being mended
        elif next_one is not None:
            return next_one
    return Pass(tuple(dict.fromkeys(given_up))) if given_up else None


def failure(application: Application, observation: Observation, policy: Policy) -> Finding | None:
    """Return what makes a reached Application after Temporal have to be synced again, None where nothing does.

    A success from before the schema was made was one on a database that is gone: what it registered is gone, too.
    """
    if rollout.has_failed(application):
        return rollout.failure(application)
    finished_at = application.operation.finished_at if application.operation else None
    if finished_at is not None and pods.is_older_than_the_database(finished_at, observation, policy):
        detail = "it ran before its database's schema was made"
        return Finding(Reason.DOWNSTREAM_FAILED, f"Application {application.ref}", detail)
    return None


def _step(application: Application, observation: Observation, policy: Policy) -> Step | None:
    about = f"Application {application.ref}"
    if rollout.is_busy(application):
        waiting = Finding(Reason.DOWNSTREAM_RUNNING, about, rollout.describe(application))
        return patience.wait_or_lose_patience((waiting,), observation, policy)
    settled = rollout.is_compared(application, observation.run_started_at)
    operation = application.operation
    attempts = application.attempts
    failed = failure(application, observation, policy)
    if failed is not None:
        if application.sync == "Unknown":
            waiting = Finding(Reason.COMPARISON_PENDING, about, "Argo CD cannot tell what it should be")
            return patience.wait_or_lose_patience((waiting,), observation, policy)
        if not settled:
            return patience.compare(application, "before it is synced again", observation)
        if attempts and (young := tuple(pods.young(observation, policy))):
            return Wait(young)  # the attempt before may have met servers that were about to crash, as these may be
        if attempts >= policy.attempts:
            return patience.give_up((failed,), observation, policy)
        if patience.is_pausing(attempts, operation.finished_at if operation else None, observation.now, policy):
            detail = f"attempt {attempts} of {policy.attempts} failed: {rollout.describe(application)}"
            return patience.wait_or_lose_patience(
                (Finding(Reason.DOWNSTREAM_PAUSING, about, detail),), observation, policy
            )
        return Resync(application, attempts + 1, failed.detail)
    if attempts and application.jobs and not settled:
        return patience.compare(application, "its Job's end is not in its status yet", observation)
    if application.health != "Healthy":
        waiting = Finding(Reason.DOWNSTREAM_RUNNING, about, rollout.describe(application))
        return patience.wait_or_lose_patience((waiting,), observation, policy)
    return None
