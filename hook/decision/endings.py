"""How a run ends over what is not ours to repair, and what a person should know whatever the step. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.decision import migrations, outcomes, restarts
from hook.decision.policy import Reachability
from hook.decision.stage import Stage, is_asked_for, stage
from hook.decision.steps import Fail, Pass, Wait
from hook.observation import applications
from hook.observation.applications import Application
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from hook.observation.workloads import JobPhase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.observation import Observation


def notes(observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return what a person should know whatever the step: of the release and its schemas, and of what was passed over."""
    return tuple(
        dict.fromkeys(
            (
                *_of_release(observation, policy),
                *_of_migration(observation, policy),
                *_of_runtime(observation, policy),
                *_of_downstream(observation, policy),
                *_of_guarded(observation),
            )
        )
    )


def _of_release(observation: Observation, policy: Policy) -> Iterator[Finding]:
    for schema in observation.schemas:
        if schema.version is not None and schema.version > policy.expected[schema.store]:
            yield Finding(Reason.SCHEMA_NEWER, f"store {schema.store}", policy.describe(schema))
    if policy.estimated_from is not None:
        yield Finding(Reason.RELEASE_ESTIMATED, f"release {policy.release}", f"taken as {policy.estimated_from}")
    live = restarts.live_release(observation)
    if live and policy.release and live.major == policy.release.major and policy.release.minor - live.minor > 1:
        yield Finding(Reason.MINOR_SKIPPED, f"release {policy.release}", f"pods run {live}")


def _of_migration(observation: Observation, policy: Policy) -> Iterator[Finding]:
    migration = observation.migration
    application = migration.application if isinstance(migration, Migration) else None
    if not isinstance(migration, Migration) or application is None:
        return
    if migration.hang is not None:
        yield migration.hang
    if (obstacle := applications.obstacle(application)) is not None:
        yield obstacle
    if migration.unseen:
        names = ", ".join(dict.fromkeys(str(finding.detail or finding.about) for finding in migration.unseen))
        yield Finding(Reason.JOBS_UNSEEN, f"Application {application.ref}", names)
    if migration.phase is MigrationPhase.FAILED and not policy.is_guard and migrations.holds_its_step(migration):
        yield Finding(Reason.MIGRATION_FAILED, migration.owner, migrations.with_cause(migration))
    are_done = bool(migration.jobs) and all(job.phase is JobPhase.COMPLETE for job in migration.jobs)
    if are_done and not migration.holds_servers and application.health in {"Progressing", "Degraded", "Suspended"}:
        what = ", ".join(application.unhealthy) or "not its Jobs, which are Complete"
        yield Finding(Reason.APPLICATION_UNHEALTHY, f"Application {application.ref}", f"{application.health}: {what}")


def _of_runtime(observation: Observation, policy: Policy) -> Iterator[Finding]:
    frontend = observation.frontend
    if isinstance(frontend, Frontend) and frontend.unproved is not None and is_asked_for(observation, policy):
        yield frontend.unproved
    if applications.is_missing(observation.application) and isinstance(observation.application, Unknown):
        yield Finding(Reason.RUNTIME_NOT_FOUND, observation.application.finding.about)
    if stage(observation, policy) is Stage.DRIFTING and isinstance(observation.application, Application):
        about = f"Application {observation.application.ref}"
        yield Finding(Reason.RUNTIME_DRIFTS, about, applications.describe(observation.application))


def _of_downstream(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield what is left undone before the runtime's step: nobody syncs it after that."""
    if policy.reachability is Reachability.AUTO and stage(observation, policy) is Stage.AHEAD:
        yield from outcomes.left_undone(observation, policy)


def _of_guarded(observation: Observation) -> Iterator[Finding]:
    """Yield that a guard could not see whether a newer commit waits for it; that holds nobody up while it can pass."""
    if isinstance(observation.guarded, Unknown):
        yield observation.guarded.finding


def end_unrepaired(findings: tuple[Finding, ...], observation: Observation, policy: Policy) -> Step:
    """End on what is not ours to repair: `always` holds the rollout, the others let it pass with a warning."""
    if policy.reachability is Reachability.ALWAYS:
        return Fail(findings[0])
    return Pass((*findings, *notes(observation, policy)))


def wait_while_patient(missing: tuple[Finding, ...], observation: Observation, policy: Policy) -> Step:
    """Wait; not for ever, except under `always`: the cure may lie in a later step."""
    since = max(filter(None, (observation.run_started_at, observation.right_since)))
    if policy.reachability is not Reachability.ALWAYS and observation.now - since >= policy.patience:
        return end_unrepaired(missing, observation, policy)
    return Wait(missing)
