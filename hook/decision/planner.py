"""Decides the next step from an observation and a policy. Pure: no clock, no client, no settings' sources.

The rules stand in the order in which they apply; the first that has a step wins. Each says in its docstring what it
protects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision import downstream, endings, guards, migrations, one_application, restarts, runtime, waiting
from hook.decision.policy import Policy, Reachability
from hook.decision.stage import is_asked_for
from hook.decision.steps import Fail, Pass, Refresh, RestartPods, Resync, Step, Wait, missing
from hook.observation import applications
from hook.observation.applications import Application, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration
from hook.observation.reasons import Reason, Tolerance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hook.observation.observation import Observation, Run


def next_step(observation: Observation, policy: Policy) -> Step:
    """Return the one step to take now."""
    step = _first(_SCHEMA_RULES, observation, policy) or _first(_temporal_rules(policy), observation, policy)
    step = _unless_superseded(step or Pass(endings.notes(observation, policy)), observation)
    return _unless_to_be_reopened(step, observation)


def step_at_deadline(observation: Observation, policy: Policy) -> Step:
    """Return the step where no time is left: the patience that `auto` has with Temporal is over then at the latest.

    Then it passes over what it would still do, too, once the schemas are right; not over what it could not see.
    """
    impatient = replace(policy, patience=timedelta(0))
    step = _first(_SCHEMA_RULES, observation, impatient)
    if step is None:
        step = _first(_temporal_rules(policy), observation, impatient) or Pass(endings.notes(observation, policy))
        lacking = missing(step)
        if policy.reachability is not Reachability.ALWAYS and not set(lacking) & set(_needed(observation, policy)):
            step = step if isinstance(step, Pass | Fail) else Pass((*lacking, *endings.notes(observation, policy)))
    return _unless_to_be_reopened(step, observation)


@dataclass(frozen=True)
class WaitEnd:
    """How a wait ends while nothing changes: after so long at the most, by which setting, and with what reasons."""

    after: timedelta
    setting: str
    passes: bool
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        """Return it in words, to follow what is waited for."""
        how = ("pass with a warning" if self.reasons else "pass") if self.passes else "fail"
        why = f": {', '.join(map(str, self.reasons))}" if self.reasons else ""
        return f"for up to {self.after.total_seconds():g} s ({self.setting}), then {how}{why}"


def end_of_wait(observation: Observation, policy: Policy, limit: timedelta) -> WaitEnd:
    """Return how a run that waits now would end, at the latest; ``limit`` is its deadline after its start.

    A migration that works puts the deadline off with each sign of it.
    """
    at_work = ", counted from the migration's last sign of work" if migrations.is_at_work(observation) else ""
    deadline = f"deadlineSeconds{at_work}"
    ends = (
        (policy.grace, "graceSeconds", next_step(observation, replace(policy, grace=timedelta(0)))),
        (policy.patience, "patienceSeconds", next_step(observation, replace(policy, patience=timedelta(0)))),
        (limit, deadline, step_at_deadline(observation, policy)),
    )
    for after, setting, step in sorted(ends, key=lambda end: end[0]):
        match step:
            case Pass(warnings):
                reasons = tuple(dict.fromkeys(warning.reason for warning in warnings))
                return WaitEnd(min(after, limit), setting, passes=True, reasons=reasons)
            case Fail(finding):
                return WaitEnd(min(after, limit), setting, passes=False, reasons=(finding.reason,))
    return WaitEnd(limit, deadline, passes=False, reasons=(Reason.DEADLINE_EXCEEDED,))


def unseen(observation: Observation, policy: Policy) -> tuple[Finding, ...]:
    """Return the findings of all that some rule needs and that could not be seen, not only of what the next step needs."""
    return tuple(dict.fromkeys(_needed(observation, policy)))


# --- the rules, in order ------------------------------------------------------------------------------------------


def _run_is_known(observation: Observation, policy: Policy) -> Step | None:
    """Know which run this is before anything is decided, and never sync the Application whose sync it is part of."""
    run = observation.run
    if isinstance(run, Unknown):
        is_over = run.finding.reason.tolerance is Tolerance.GRACE and waiting.is_over_grace(
            run.finding, observation, policy
        )
        return Fail(run.finding) if is_over else Wait((run.finding,))
    for application in _targets(observation):
        if (why := _owns(application, run, observation)) is not None:
            return Fail(Finding(Reason.OWN_APPLICATION_TARGETED, f"Application {application.ref}", why))
    return None


def _access_is_refused_for_good(observation: Observation, policy: Policy) -> Step | None:
    """End on what others could have mended, once the grace is over. Only what some rule needs counts."""
    for finding in _needed(observation, policy):
        if finding.reason.tolerance is Tolerance.GRACE and waiting.is_over_grace(finding, observation, policy):
            return Fail(finding)
    return None


def _migration_is_still(observation: Observation, policy: Policy) -> Step | None:
    """Wait for a migration's end; where its schemas are right already, do what it does not matter for meanwhile.

    The schema tool writes the version row after a version's statements (tools/common/schema/updatetask.go of Temporal), so
    that nothing of it is missing then. Its Job's end, and Argo CD's look at it, take two seconds more. Nothing is concluded
    before them.
    """
    held = migrations.is_still(observation, policy)
    is_known = isinstance(observation.migration, Migration)
    if not isinstance(held, Wait) or not is_known or not migrations.are_right(observation, policy):
        return held
    meanwhile = _first(_temporal_rules(policy), observation, policy)
    return meanwhile if isinstance(meanwhile, RestartPods | Resync | Refresh) else held


_SCHEMA_RULES = (
    _run_is_known,
    _access_is_refused_for_good,
    one_application.schema_comes_first,
    _migration_is_still,
    migrations.stores_are_seen,
    one_application.may_be_synced,
    migrations.schemas_are_right,
)
"""What has to hold whatever is asked of Temporal."""

_TEMPORAL_RULES = (
    runtime.is_seen,
    restarts.pods_live_on_the_present_database,
    restarts.nobody_stands_alone,
    migrations.failed_jobs_are_done,
    one_application.its_sync_has_ended,
    runtime.is_not_asked_for,
    runtime.answers,
    downstream.is_done,
    runtime.has_all_its_pods,
)


_GUARDS_TEMPORAL_RULES = (runtime.is_seen, runtime.is_not_asked_for, runtime.answers, runtime.has_all_its_pods)
"""A guard holds a rollout that others are responsible for: it leaves every repair but the migration to the gate."""


def _temporal_rules(policy: Policy) -> tuple[Callable[[Observation, Policy], Step | None], ...]:
    return _GUARDS_TEMPORAL_RULES if policy.is_guard else _TEMPORAL_RULES


def _first(
    rules: tuple[Callable[[Observation, Policy], Step | None], ...], observation: Observation, policy: Policy
) -> Step | None:
    return next((step for rule in rules if (step := rule(observation, policy)) is not None), None)


def _unless_superseded(step: Step, observation: Observation) -> Step:
    """End a guard that would hold on where a newer commit is to be synced; act on nothing any more for the old one."""
    found = None if isinstance(step, Pass | Fail) else guards.superseded(observation)
    if found is None:
        return step
    lacking = "; ".join(str(finding) for finding in missing(step))
    return Fail(replace(found, detail=f"{found.detail}; still missing: {lacking}"))


def _unless_to_be_reopened(step: Step, observation: Observation) -> Step:
    return (_reopen(observation) or step) if isinstance(step, Pass) else step


def _reopen(observation: Observation) -> Step | None:
    """Before passing, for whatever rule: sync a gate that failed and would pass now; nobody else would (facts 6).

    So with the runtime where its guard failed. Once a run: one that fails again says why itself.
    """
    gate, runtime_ = observation.gate, observation.application
    if gate is None:
        return None
    if isinstance(gate, Unknown):
        return Wait((gate.finding,))
    if (step := _sync_again(gate, "it failed, and would pass now", observation)) is not None:
        return step
    if not isinstance(runtime_, Application) or guards.holds(runtime_, observation) is None:
        return None
    if runtime_.policy.is_automated and applications.has_newer_commit(runtime_):
        return None  # Argo CD syncs that by itself
    return _sync_again(runtime_, "its guard failed, and would pass now", observation)


def _sync_again(application: Application, why: str, observation: Observation) -> Step | None:
    operation = application.operation
    if operation is None or operation.phase is not OperationPhase.FAILED or application.attempts:
        return None
    if not applications.is_compared(application, observation.run_started_at):
        return waiting.compare(application, "before it is synced again", observation)
    return Resync(application, 1, why)


# --- what the rules ask -------------------------------------------------------------------------------------------


def _needed(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield the findings of everything that some rule needs under this policy."""
    yield from observation.refused
    may_make_databases = migrations.may_make_databases(observation, policy)
    seen: list[object] = [
        observation.migration,
        *(
            store
            for store in observation.stores.values()
            if not (
                isinstance(store, Unknown) and store.finding.reason is Reason.DATABASE_MISSING and may_make_databases
            )
        ),
    ]
    if not runtime.is_namespace_ahead(observation):
        seen.append(observation.runtime)
    if is_asked_for(observation, policy):
        if not applications.is_missing(observation.application):
            seen.append(observation.application)
        seen.append(observation.frontend)
        seen.extend(one for one in observation.downstream.values() if not applications.is_missing(one))
    seen.append(observation.gate)
    yield from (one.finding for one in seen if isinstance(one, Unknown))


def _targets(observation: Observation) -> Iterator[Application]:
    """Yield every Application that is looked at or synced; its own a guard only looks at, as `guarded`."""
    migration = observation.migration
    if isinstance(migration, Migration) and migration.application is not None:
        yield migration.application
    yield from (
        one for one in (observation.application, *observation.downstream.values()) if isinstance(one, Application)
    )


def _owns(application: Application, run: Run, observation: Observation) -> str | None:
    """Return why an Application is the one whose sync runs this gate, None where it is another.

    It lists the run's Job among its resources, whatever method of tracking Argo CD uses and whatever key its instance label
    has; or the Job's tracking annotation names it. There a bare name is that of an Application in Argo CD's own namespace,
    which is that of the gate's own.
    """
    if run.job is not None and run.job in application.all_jobs:
        return "it lists this gate's Job among its resources"
    ref, said = application.ref, "its sync runs this gate, as the Job's tracking says"
    if run.owner == f"{ref.namespace}_{ref.name}":
        return said
    own = observation.gate_ref
    return said if run.owner == ref.name and (own is None or own.namespace == ref.namespace) else None
