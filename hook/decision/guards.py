"""Guards: the run's own, and those of Applications that are looked at. Pure.

A guard is a gate's Job inside the Application that it guards, in a wave before everything else: until it has passed, that
Application's sync applies nothing. It is known by its label (`Job.guards`).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision import migrations
from hook.observation import applications
from hook.observation.applications import Application, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase

if TYPE_CHECKING:
    from hook.observation.observation import Observation

_SETTLED = timedelta(seconds=5)
"""A comparison that began before the sync did may end after it, and tell of an older commit."""


def superseded(observation: Observation) -> Finding | None:
    """Return that git has a newer commit for the guarded Application, which no sync can bring while this one goes on.

    Argo CD runs one operation at a time and never lets one take up another commit, but for its retries where
    ``retry.refresh`` says so (appcontroller.go, processRequestedAppOperation, 3.2 and 3.6): a guard that waits on would keep
    out the very commit that mends it. One that this run saw come is newer. Auto-sync and RollingSync sync what was just
    compared, so there any difference is, also one from before this process; a person may have asked for an old commit. A
    rollback by Argo CD runs no hooks. A migration that works is waited for: the newer commit's guard would have to, too.
    """
    guarded = observation.guarded
    operation = guarded.operation if isinstance(guarded, Application) else None
    if not isinstance(guarded, Application) or operation is None or operation.phase is not OperationPhase.RUNNING:
        return None
    if not operation.revisions or not applications.has_newer_commit(guarded) or migrations.is_at_work(observation):
        return None
    came_meanwhile = guarded.revisions != observation.guarded_at_first
    settled = guarded.compared_at is not None and guarded.compared_at > observation.run_started_at + _SETTLED
    if not came_meanwhile and not (operation.is_automated and settled):
        return None
    old, new = ", ".join(operation.revisions), ", ".join(guarded.revisions)
    return Finding(
        Reason.GUARD_SUPERSEDED, f"Application {guarded.ref}", f"this sync brings commit {old}, and git is at {new}"
    )


def of_application(application: Application, observation: Observation) -> Job | None:
    """Return the Job of an Application's guard in its last operation, None where it has none or it cannot be read."""
    jobs = (observation.jobs.get(ref) for ref in application.all_jobs)
    return next((job for job in jobs if isinstance(job, Job) and job.guards), None)


def holds(application: Application | Unknown | None, observation: Observation) -> Job | None:
    """Return the Job of the guard beyond which an Application's last operation has not come, None where it has.

    Nothing else of that commit was applied then.
    """
    if not isinstance(application, Application) or application.operation is None:
        return None
    guard = of_application(application, observation)
    if guard is None or guard.phase is JobPhase.COMPLETE or application.operation.phase is OperationPhase.SUCCEEDED:
        return None
    return guard


def is_ahead(application: Application | Unknown | None, observation: Observation) -> bool:
    """Tell whether nothing of an Application's present commit was applied: its step is still to come, or its guard holds."""
    return applications.is_ahead(application) or holds(application, observation) is not None
