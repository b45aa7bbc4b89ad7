"""Decides the next step from an observation and a policy. Pure: no clock, no client, no settings' sources.

The rules stand in the order in which they apply; the first that has a step wins. Each says in its docstring what it
protects.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision import downstream, endings, restarts, waiting
from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.decision.steps import Fail, Migrate, Pass, RestartPods, Resync, Step, Wait, missing
from hook.observation import applications
from hook.observation.applications import Application, ApplicationRef, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Observation
from hook.observation.reasons import Reason, Tolerance
from hook.observation.workloads import PodState, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOMENT = timedelta(seconds=5)
"""The schema tool takes one for all of its versions, and each of them passes through states that look like an end."""


def next_step(observation: Observation, policy: Policy) -> Step:
    """Return the one step to take now."""
    step = _first(_SCHEMA_RULES, observation, policy) or _first(_TEMPORAL_RULES, observation, policy)
    return _unless_to_be_reopened(step or Pass(endings.notes(observation, policy)), observation)


def step_at_deadline(observation: Observation, policy: Policy) -> Step:
    """Return the step where no time is left: the patience that `auto` has with Temporal is over then at the latest.

    Then it passes over what it would still do, too, once the schemas are right; not over what it could not see.
    """
    impatient = replace(policy, patience=timedelta(0))
    step = _first(_SCHEMA_RULES, observation, impatient)
    if step is None:
        step = _first(_TEMPORAL_RULES, observation, impatient) or Pass(endings.notes(observation, policy))
        lacking = missing(step)
        if policy.reachability is not Reachability.ALWAYS and not set(lacking) & set(_needed(observation, policy)):
            step = step if isinstance(step, Pass | Fail) else Pass((*lacking, *endings.notes(observation, policy)))
    return _unless_to_be_reopened(step, observation)


def unseen(observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return the findings of all that some rule needs and that could not be seen, not only of what the next step needs."""
    return tuple(dict.fromkeys(_needed(observation, policy)))


def is_asked_for_reachability(observation: Observation, policy: Policy) -> bool:
    """Tell whether Temporal itself has to answer before the gate passes.

    `auto` asks it of a runtime that was reached and has replicas to run; none at all is asked where no runtime is
    configured.
    """
    runtime = observation.runtime
    scaled_to_zero = isinstance(runtime, Runtime) and bool(runtime.wanted) and not any(runtime.wanted.values())
    if policy.reachability is Reachability.NEVER or observation.frontend is None or scaled_to_zero:
        return False
    return policy.reachability is Reachability.ALWAYS or not applications.is_ahead(observation.application)


# --- the rules, in order ------------------------------------------------------------------------------------------


def _run_is_known(observation: Observation, policy: Policy) -> Step | None:
    """Know which run this is before anything is decided, and never sync the Application whose sync it is part of."""
    if isinstance(observation.run, Unknown):
        over = observation.run.finding.reason.tolerance is Tolerance.GRACE and waiting.is_over_grace(
            observation.run.finding, observation, policy
        )
        return Fail(observation.run.finding) if over else Wait((observation.run.finding,))
    for ref in _targets(observation):
        if applications.is_owned(ref, observation.run.owner):
            detail = "its sync runs this gate, as the Job's tracking says"
            return Fail(Finding(Reason.OWN_APPLICATION_TARGETED, f"Application {ref}", detail))
    return None


def _access_is_refused_for_good(observation: Observation, policy: Policy) -> Step | None:
    """End on what others could have mended, once the grace is over. Only what some rule needs counts."""
    for finding in _needed(observation, policy):
        if finding.reason.tolerance is Tolerance.GRACE and waiting.is_over_grace(finding, observation, policy):
            return Fail(finding)
    return None


def _migration_is_seen_and_still(observation: Observation, policy: Policy) -> Step | None:  # noqa: ARG001 -- every rule has this shape
    """Judge no schema in the middle of an update."""
    migration = observation.migration
    if isinstance(migration, Unknown):
        return Wait((migration.finding,))
    hung = tuple(pod.finding for pod in observation.migration_pods if pod.finding)
    if migration.phase is MigrationPhase.RUNNING:
        return Wait((Finding(Reason.MIGRATION_RUNNING, migration.owner, migration.message), *hung))
    application = migration.application
    if application is None:
        return None
    if migration.phase is MigrationPhase.UNCOMPARED:
        return waiting.compare(application, "its Job's end is not in its status yet", observation)
    if application.jobs and observation.migration_pods:
        # Argo CD's word is for the whole Application, in which something else may be Degraded beside a Job that runs.
        detail = f"{applications.describe(application)}; but a pod of its Job is there"
        return Wait((Finding(Reason.MIGRATION_RUNNING, migration.owner, detail), *hung))
    return None


def _stores_are_seen(observation: Observation, policy: Policy) -> Step | None:
    """Wait for a store that cannot be seen; end on what only a person can mend in it, once it lasts."""
    findings = tuple(schema.finding for schema in observation.stores.values() if isinstance(schema, Unknown))
    moment = min(_MOMENT, policy.grace)
    for finding in findings:
        if finding.reason.tolerance is Tolerance.MOMENT and waiting.lasts(finding, observation, moment):
            return Fail(finding)
    return Wait(findings) if findings else None


def _schemas_are_right(observation: Observation, policy: Policy) -> Step | None:
    """Ask the owner to migrate what is empty or behind, boundedly."""
    wrong = [schema for schema in observation.schemas if not policy.is_right(schema)]
    migration = observation.migration
    if not wrong or not isinstance(migration, Migration):
        return None
    state = ", ".join(policy.describe(schema) for schema in wrong)
    empty = [schema for schema in wrong if schema.version is None]
    if empty and policy.on_empty_database is OnEmptyDatabase.FAIL:
        return Fail(Finding(Reason.DATABASE_EMPTY, f"store {empty[0].store}", state))
    if migration.phase is MigrationPhase.BLOCKED:
        return Wait((Finding(Reason.MIGRATION_BLOCKED, migration.owner, migration.message),))
    if migration.phase is MigrationPhase.PAUSING:
        return Wait((Finding(Reason.MIGRATION_PAUSING, migration.owner, migration.message),))
    if (step := _judged_by_git(migration, state, observation)) is not None:
        return step
    if migration.attempts >= policy.attempts:
        detail = f"{migration.attempts} attempts, the last: {migration.message or migration.phase}; {state}"
        return Fail(Finding(Reason.MIGRATION_FAILED, migration.owner, detail))
    if (step := waiting.own_sync(migration.application, observation)) is not None:
        return step
    failed = migration.phase is not MigrationPhase.SUCCEEDED
    if failed and waiting.is_pausing(migration.attempts, migration.ended_at, observation.now, policy):
        detail = f"attempt {migration.attempts} of {policy.attempts} failed: {migration.message}"
        return Wait((Finding(Reason.MIGRATION_PAUSING, migration.owner, detail),))
    return Migrate(migration, migration.attempts + 1, state)


def _judged_by_git(migration: Migration, state: str, observation: Observation) -> Step | None:
    """Believe no status that could not be compared, and end on no success at a commit that is not the newest."""
    application = migration.application
    if application is not None and application.sync == "Unknown":
        return waiting.compare(application, "Argo CD cannot tell what it should be", observation)
    if migration.phase is not MigrationPhase.SUCCEEDED:
        return None
    if application is not None and not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, f"before ending on {Reason.MIGRATION_LEFT_SCHEMA_BEHIND}", observation)
    if application is not None and applications.has_newer_commit(application):
        return None
    return Fail(Finding(Reason.MIGRATION_LEFT_SCHEMA_BEHIND, migration.owner, f"it succeeded, but {state}"))


def _pods_live_on_the_present_database(observation: Observation, policy: Policy) -> Step | None:
    """Restart pods that wait out a back-off whose cause may be gone, and pods that live on a database that is gone.

    Bounded without a count: a new pod is younger than what made the old one be restarted. Those that run go one component
    after the other: a server joins the ring through members that it reads from the database, and one that finds none but
    servers on their way out stands alone for its `maxJoinDuration`, 30 s in Temporal's chart (seen, 1.29.1).
    """
    if isinstance(observation.runtime, Unknown) and not _is_namespace_ahead(observation):
        return Wait((observation.runtime.finding,))
    if not isinstance(observation.runtime, Runtime):
        return None
    for component in restarts.COMPONENTS:
        reasons = {
            pod: why
            for pod in observation.runtime.pods
            if pod.component == component and (why := restarts.why_restart(pod, observation, policy))
        }
        if not reasons:
            continue
        starting = tuple(restarts.starting(observation, policy))
        if starting and any(pod.state is PodState.RUNNING for pod in reasons):
            return waiting.wait_while_patient(starting, observation, policy)
        return RestartPods(component, tuple(reasons), next(iter(reasons.values())))
    return None


def _migrations_can_be_done(observation: Observation, policy: Policy) -> Step | None:
    """Have a plain Job that failed run again though the schemas are right: its step would stay Degraded for ever (seen).

    It can be repeated: on a schema that is right the tool changes nothing. Where it fails all the same the gate passes.
    """
    migration = observation.migration
    application = migration.application if isinstance(migration, Migration) else None
    if not isinstance(migration, Migration) or application is None or not application.jobs:
        return None
    if applications.job_health(application) != "Degraded" or migration.attempts >= policy.attempts:
        return None
    if not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, "before its Job is run again", observation)
    if (step := waiting.own_sync(application, observation)) is not None:
        return step
    if migration.phase not in {MigrationPhase.IDLE, MigrationPhase.FAILED}:
        return Wait((Finding(Reason.MIGRATION_PAUSING, migration.owner, migration.message),))
    if waiting.is_pausing(migration.attempts, migration.ended_at, observation.now, policy):
        detail = f"attempt {migration.attempts} of {policy.attempts} failed: {migration.message}"
        return Wait((Finding(Reason.MIGRATION_PAUSING, migration.owner, detail),))
    return Migrate(
        migration, migration.attempts + 1, "the schemas are right, but its Job failed and would hold its step"
    )


def _reachability_is_not_asked(observation: Observation, policy: Policy) -> Step | None:
    """Pass on the schemas alone where Temporal is not asked for."""
    if not is_asked_for_reachability(observation, policy):
        return Pass(endings.notes(observation, policy))
    if isinstance(observation.application, Unknown) and not applications.is_missing(observation.application):
        return Wait((observation.application.finding,))
    return None


def _temporal_answers(observation: Observation, policy: Policy) -> Step | None:
    """Wait until all pods are there and the frontend really answers; give up on what is diagnosed and not ours."""
    lacking = (*restarts.absent(observation), *_frontend_trouble(observation))
    if not lacking:
        return None
    causes = tuple(
        pod.finding
        for pod in observation.pods
        if pod.finding is not None
        and pod.finding.reason.tolerance is not Tolerance.DEADLINE
        and (pod.finding.reason.tolerance is Tolerance.NONE or waiting.is_over_grace(pod.finding, observation, policy))
    )
    if not causes:
        return waiting.wait_while_patient(lacking, observation, policy)
    application = observation.application
    if isinstance(application, Application) and not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, f"before ending on {causes[0].reason}", observation)
    return endings.end_unrepaired(causes, observation, policy)


def _pods_are_stable(observation: Observation, policy: Policy) -> Step | None:
    """Trust no pod that has just started and has no readiness probe: one that crashes at once runs for a moment (seen)."""
    young = tuple(restarts.young(observation, policy))
    return Wait(young) if young else None


_SCHEMA_RULES = (
    _run_is_known,
    _access_is_refused_for_good,
    _migration_is_seen_and_still,
    _stores_are_seen,
    _schemas_are_right,
)
"""What has to hold whatever is asked of Temporal."""

_TEMPORAL_RULES = (
    _pods_live_on_the_present_database,
    _migrations_can_be_done,
    _reachability_is_not_asked,
    _temporal_answers,
    downstream.is_done,
    _pods_are_stable,
)


def _first(
    rules: tuple[Callable[[Observation, Policy], Step | None], ...], observation: Observation, policy: Policy
) -> Step | None:
    return next((step for rule in rules if (step := rule(observation, policy)) is not None), None)


def _unless_to_be_reopened(step: Step, observation: Observation) -> Step:
    return (_reopen(observation) or step) if isinstance(step, Pass) else step


def _reopen(observation: Observation) -> Step | None:
    """Before passing, for whatever rule: sync a gate that failed and would pass now; nobody else would (facts 6).

    Once a run: a gate that fails again says why itself.
    """
    gate = observation.gate
    if isinstance(gate, Unknown):
        return Wait((gate.finding,))
    operation = gate.operation if gate else None
    if gate is None or operation is None or operation.phase is not OperationPhase.FAILED or operation.attempt:
        return None
    if not applications.is_compared(gate, observation.run_started_at):
        return waiting.compare(gate, "before it is synced again", observation)
    return Resync(gate, 1, "it failed, and would pass now")


# --- what the rules ask -------------------------------------------------------------------------------------------


def _needed(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield the findings of everything that some rule needs under this policy."""
    yield from observation.refused
    seen: list[object] = [observation.migration, *observation.stores.values()]
    if not _is_namespace_ahead(observation):
        seen.append(observation.runtime)
    if is_asked_for_reachability(observation, policy):
        if not applications.is_missing(observation.application):
            seen.append(observation.application)
        seen.append(observation.frontend)
        seen.extend(one for one in observation.downstream.values() if not applications.is_missing(one))
    seen.append(observation.gate)
    yield from (one.finding for one in seen if isinstance(one, Unknown))


def _targets(observation: Observation) -> Iterator[ApplicationRef]:
    """Yield every Application that is looked at or synced."""
    migration = observation.migration
    if isinstance(migration, Migration) and migration.application is not None:
        yield migration.application.ref
    if isinstance(observation.application, Application):
        yield observation.application.ref
    yield from observation.downstream


def _is_namespace_ahead(observation: Observation) -> bool:
    """Tell whether the pods' namespace is missing because the runtime's own step makes it."""
    runtime = observation.runtime
    is_missing = isinstance(runtime, Unknown) and runtime.finding.reason is Reason.NAMESPACE_MISSING
    return is_missing and applications.is_ahead(observation.application)


def _frontend_trouble(observation: Observation) -> Iterator[Finding]:
    frontend = observation.frontend
    if isinstance(frontend, Unknown):
        yield frontend.finding
    elif isinstance(frontend, Frontend) and frontend.trouble is not None:
        yield frontend.trouble
