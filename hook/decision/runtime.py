"""The rules about Temporal itself: whether its pods are found, are there, and whether it answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hook.decision import endings, guards, restarts, waiting
from hook.decision.policy import Reachability
from hook.decision.stage import Stage, is_asked_for, stage
from hook.decision.steps import Fail, Pass, Wait
from hook.observation import applications
from hook.observation.applications import Application
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason, Tolerance
from hook.observation.workloads import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.observation import Observation


def is_seen(observation: Observation, policy: Policy) -> Step | None:
    """Know the pods before any is judged: one Temporal, and no other."""
    runtime = observation.runtime
    if isinstance(runtime, Unknown):
        return None if is_namespace_ahead(observation) else Wait((runtime.finding,))
    for finding in misfound(observation):
        if finding.reason is Reason.RUNTIME_INSTANCES_MIXED:
            return Fail(finding) if waiting.is_over_grace(finding, observation, policy) else Wait((finding,))
        if policy.reachability is Reachability.ALWAYS:
            return Fail(finding) if waiting.is_over_grace(finding, observation, policy) else Wait((finding,))
    return None


def is_not_asked_for(observation: Observation, policy: Policy) -> Step | None:
    """Pass on the schemas alone where Temporal is not asked for."""
    if not is_asked_for(observation, policy):
        return Pass(endings.notes(observation, policy))
    if isinstance(observation.application, Unknown) and not applications.is_missing(observation.application):
        return Wait((observation.application.finding,))
    return None


def answers(observation: Observation, policy: Policy) -> Step | None:
    """Wait until the frontend really answers; give up on what is diagnosed and not ours."""
    trouble = tuple(frontend_trouble(observation, policy))
    return _unless_it_lasts(tuple(restarts.absent(observation)), trouble, observation, policy) if trouble else None


def has_all_its_pods(observation: Observation, policy: Policy) -> Step | None:
    """Wait for pods that are not there or not ready, though the frontend answers; then trust none that is too young.

    It comes after what is downstream: a surplus pod that cannot start keeps no bootstrap from being repaired. And no pod is
    trusted that has just started and has no readiness probe: one that crashes at once runs for a moment (seen). A guard has
    the frontend's proofs for what comes after it, and holds nothing for the rest.
    """
    if lacking := (*restarts.absent(observation), *misfound(observation)):
        return _unless_it_lasts(lacking, (), observation, policy)
    is_proved = policy.is_guard and policy.reachability is Reachability.ALWAYS
    too_young = () if is_proved else tuple(restarts.young(observation, policy))
    return Wait(too_young) if too_young else None


def _unless_it_lasts(
    lacking: tuple[Finding, ...], trouble: tuple[Finding, ...], observation: Observation, policy: Policy
) -> Step:
    """Wait for the pods that lack and the frontend's trouble, unless a cause is known that lasts."""
    causes = tuple(
        finding
        for finding in dict.fromkeys((*lacking, *trouble))
        if finding.reason.tolerance is Tolerance.NONE
        or (finding.reason.tolerance is Tolerance.GRACE and waiting.is_over_grace(finding, observation, policy))
    )
    if not causes:
        patience = policy.patience if stage(observation, policy) is Stage.REACHED else policy.grace
        return endings.wait_while_patient((*lacking, *trouble), observation, replace(policy, patience=patience))
    application = observation.application
    is_old = isinstance(application, Application) and not applications.is_compared(
        application, observation.run_started_at
    )
    if isinstance(application, Application) and is_old and not policy.is_guard:
        return waiting.compare(application, f"before ending on {causes[0].reason}", observation)
    return endings.end_unrepaired(causes, observation, policy)


# --- what the rules ask -------------------------------------------------------------------------------------------


def misfound(observation: Observation) -> Iterator[Finding]:
    """Yield that the selector finds more than one instance, or nothing where the runtime's step was reached."""
    runtime = observation.runtime
    if not isinstance(runtime, Runtime):
        return
    about = f"selector {runtime.selected_by}"
    if len(runtime.instances) > 1:
        yield Finding(Reason.RUNTIME_INSTANCES_MIXED, about, f"it finds the instances {', '.join(runtime.instances)}")
    migration = observation.migration
    are_made = not isinstance(migration, Migration) or migration.has_made_servers
    if not runtime.is_found and are_made and not guards.is_ahead(observation.application, observation):
        yield Finding(Reason.RUNTIME_PODS_NOT_FOUND, about, "nothing matches it")


def is_namespace_ahead(observation: Observation) -> bool:
    """Tell whether the pods' namespace is missing because the runtime's own step makes it."""
    runtime = observation.runtime
    is_missing = isinstance(runtime, Unknown) and runtime.finding.reason is Reason.NAMESPACE_MISSING
    return is_missing and guards.is_ahead(observation.application, observation)


def frontend_trouble(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield why the frontend's answer proves nothing, or that it does not answer; `always` wants every proof."""
    frontend = observation.frontend
    if isinstance(frontend, Unknown):
        yield frontend.finding
        return
    answer = frontend or Frontend()
    yield from filter(None, (answer.trouble, answer.unproved if policy.reachability is Reachability.ALWAYS else None))
