"""The rules where one Application holds schema and servers (Temporal's chart 1.x: its schema Job is a PreSync hook). Pure.

Its sync is migration and rollout in one: it is asked for as a migration is, and seen to its end, without which there are no
servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import endings, migrations, waiting
from hook.decision.policy import Reachability
from hook.decision.steps import Fail, Migrate, Wait
from hook.observation import applications
from hook.observation.applications import OperationPhase
from hook.observation.findings import Finding
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.applications import Application
    from hook.observation.observation import Observation


def schema_comes_first(observation: Observation, policy: Policy) -> Step | None:  # noqa: ARG001 -- every rule has this shape
    """End on a schema Job that runs beside the servers, as that of Temporal's chart 0.x does: it is never right in time."""
    held = _held(observation)
    if held is None:
        return None
    migration, application = held
    wave = application.server_wave
    late = [job.ref for job in application.jobs if wave is not None and job.wave >= wave]
    if not late:
        return None
    detail = f"Job {late[0]} is not in a sync wave before the servers' ({wave})"
    return Fail(Finding(Reason.SCHEMA_JOB_BESIDE_SERVERS, migration.owner, detail))


def may_be_synced(observation: Observation, policy: Policy) -> Step | None:
    """Where a schema is to be migrated: sync no old commit, and wait for no servers that cannot come up without it."""
    held = _held(observation)
    if held is None or not (state := migrations.what_is_wrong(observation, policy)):
        return None
    migration, application = held
    if migration.phase is MigrationPhase.WITH_SERVERS:
        stuck = Finding(Reason.OPERATION_STUCK, migration.owner, f"{migration.message}; {state}")
        return Fail(stuck) if waiting.is_over_grace(stuck, observation, policy) else Wait((stuck,))
    if applications.is_busy(application) or applications.is_compared(application, observation.run_started_at):
        return None
    return waiting.compare(application, "before it is synced", observation)


def its_sync_has_ended(observation: Observation, policy: Policy) -> Step | None:
    """See the sync that makes the servers to its end, and have it begin again where Argo CD gave it up.

    A hook that failed leaves the servers unmade, whatever the schemas are by now, and RollingSync of 3.6 syncs no revision
    twice (facts 6). A commit is left to Argo CD's own sync for a while: the gate is in its step, and not before it.
    """
    held = _held(observation)
    if held is None or policy.reachability is Reachability.NEVER:
        return None
    migration, application = held
    if applications.obstacle(application) is not None:
        return None
    if (step := waiting.own_sync(application, observation)) is not None:
        return step
    if (held_back := migrations.held_back(migration)) is not None:
        return endings.wait_while_patient((held_back,), observation, policy)
    failed = application.operation is not None and application.operation.phase is OperationPhase.FAILED
    return _again(migration, application, observation, policy) if failed else None


def _again(migration: Migration, application: Application, observation: Observation, policy: Policy) -> Step | None:
    if applications.is_ahead(application):
        return None
    if not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, "before it is synced again", observation)
    if migration.attempts >= policy.attempts:
        detail = f"{migration.attempts} attempts, the last: {migrations.with_cause(migration)}; the schemas are right"
        return endings.end_unrepaired((Finding(Reason.MIGRATION_FAILED, migration.owner, detail),), observation, policy)
    if waiting.is_pausing(migration.attempts, migration.ended_at, observation.now, policy):
        return Wait((migrations.pausing(migration, policy),))
    return Migrate(
        migration, migration.attempts + 1, "the schemas are right, but the sync that makes the servers failed"
    )


def _held(observation: Observation) -> tuple[Migration, Application] | None:
    """Return the migration and its Application where that holds the servers, too."""
    migration = observation.migration
    if not isinstance(migration, Migration) or migration.application is None or not migration.holds_servers:
        return None
    return migration, migration.application
