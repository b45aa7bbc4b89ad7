"""How long a rule waits and for what, and what it comes to when it does not wait any longer. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision.steps import Refresh, Wait
from hook.observation import applications
from hook.observation.findings import Finding
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.applications import Application
    from hook.observation.observation import Observation

_ASK_AGAIN = timedelta(seconds=10)
"""Argo CD takes a request for a comparison back without one where the Application's project or cluster is not there."""

_OWN_SYNC = timedelta(seconds=30)
"""RollingSync of 3.6 lets 5 s pass after the last Application that has heard of a commit, and then syncs (seen)."""

_LONGEST_PAUSE = 2**6
"""The pause doubles so often at the most, whatever the number of attempts."""


def is_over_grace(finding: Finding, observation: Observation, policy: Policy) -> bool:
    """Tell whether others have had their time to mend it."""
    return lasts(finding, observation, policy.grace)


def lasts(finding: Finding, observation: Observation, time: timedelta) -> bool:
    """Tell whether it has been there for so long."""
    return observation.now - observation.since.get(finding.key, observation.now) >= time


def compare(application: Application, why: str, observation: Observation) -> Step:
    """Ask for a fresh comparison, or wait: for the one that was asked for, or until one would prove something."""
    last_change = applications.last_change(application, observation.run_started_at)
    too_early = observation.now.replace(microsecond=0) <= last_change
    asked_at = application.asked_at
    just_asked = asked_at is not None and asked_at > last_change and observation.now - asked_at < _ASK_AGAIN
    if application.refresh_requested or applications.is_busy(application) or too_early or just_asked:
        return Wait((Finding(Reason.COMPARISON_PENDING, f"Application {application.ref}", why),))
    return Refresh(application, why)


def own_sync(application: Application | None, observation: Observation) -> Step | None:
    """Leave a commit's sync to Argo CD for a while where it makes one by itself: it brings all that git has.

    RollingSync of 3.6 takes whatever operation begins in an Application's step for its own and makes none then: one of
    ours, of the Jobs alone, left an Application OutOfSync and its step unfinished for ever (seen).
    """
    pending = applications.pending_sync(application) if application is not None else None
    return Wait((pending,)) if pending is not None and not lasts(pending, observation, _OWN_SYNC) else None


def is_pausing(attempts: int, ended_at: datetime | None, now: datetime, policy: Policy) -> bool:
    """Tell whether the pause after the last attempt still runs: it doubles from attempt to attempt."""
    if not attempts or ended_at is None:
        return False
    pause: timedelta = policy.pause * min(2 ** (attempts - 1), _LONGEST_PAUSE)
    return now - ended_at < pause
