"""What becomes of the Applications after Temporal, such as the namespace bootstrap: left alone, or synced again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import endings, restarts, waiting
from hook.decision.steps import Pass, Resync, Wait
from hook.observation import applications
from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.applications import Application
    from hook.observation.observation import Observation


def is_done(observation: Observation, policy: Policy) -> Step | None:
    """Sync again what was reached and failed, boundedly and never on an old status; Argo CD would not (facts 6)."""
    given_up: list[Finding] = []
    for application in observation.downstream.values():
        if applications.is_ahead(application):
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
    if applications.has_failed(application):
        return applications.failure(application)
    finished_at = application.operation.finished_at if application.operation else None
    if finished_at is not None and restarts.is_older_than_the_database(finished_at, observation, policy):
        detail = "it ran before its database's schema was made"
        return Finding(Reason.DOWNSTREAM_FAILED, f"Application {application.ref}", detail)
    return None


def _step(application: Application, observation: Observation, policy: Policy) -> Step | None:
    about = f"Application {application.ref}"
    if applications.is_busy(application):
        found = Finding(Reason.DOWNSTREAM_RUNNING, about, applications.describe(application))
        return waiting.wait_while_patient((found,), observation, policy)
    settled = applications.is_compared(application, observation.run_started_at)
    operation = application.operation
    attempts = application.attempts
    failed = failure(application, observation, policy)
    if failed is not None:
        if application.sync == "Unknown":
            found = Finding(Reason.COMPARISON_PENDING, about, "Argo CD cannot tell what it should be")
            return waiting.wait_while_patient((found,), observation, policy)
        if not settled:
            return waiting.compare(application, "before it is synced again", observation)
        if attempts and (young := tuple(restarts.young(observation, policy))):
            return Wait(young)  # the attempt before may have met servers that were about to crash, as these may be
        if attempts >= policy.attempts:
            return endings.end_unrepaired((failed,), observation, policy)
        if waiting.is_pausing(attempts, operation.finished_at if operation else None, observation.now, policy):
            detail = f"attempt {attempts} of {policy.attempts} failed: {applications.describe(application)}"
            return waiting.wait_while_patient((Finding(Reason.DOWNSTREAM_PAUSING, about, detail),), observation, policy)
        return Resync(application, attempts + 1, failed.detail)
    if attempts and application.jobs and not settled:
        return waiting.compare(application, "its Job's end is not in its status yet", observation)
    if application.health != "Healthy":
        found = Finding(Reason.DOWNSTREAM_RUNNING, about, applications.describe(application))
        return waiting.wait_while_patient((found,), observation, policy)
    return None
