"""Which of Temporal's pods are restarted, and in which order. Pure.

A pod is restarted once: it must have been made before the run, or before the schemas became right in it, by the API
server's clock. The evidence for a restart is by other clocks, in whole seconds and the database's, and allows for that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision import waiting
from hook.decision.steps import RestartPods, Wait
from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, Store, VersionError
from hook.observation.workloads import PodState, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from hook.decision.policy import Policy
    from hook.decision.steps import Step
    from hook.observation.observation import Observation
    from hook.observation.workloads import Pod

COMPONENTS = ("history", "matching", "frontend", "internal-frontend", "worker")
"""Temporal's services in the order in which they are restarted: history owns the shards and is what the others wait for."""

_KUBERNETES_RESOLUTION = timedelta(seconds=1)
"""Kubernetes cuts its times to whole seconds: what started at :05 may have started just before :06."""

_STARTS_WITHIN = timedelta(seconds=15)
"""A restarted pod is waited for so long before the next component follows: one that is stuck holds back no other."""


def pods_live_on_the_present_database(observation: Observation, policy: Policy) -> Step | None:
    """Restart pods that wait out a back-off whose cause may be gone, and pods that live on a database that is gone.

    Those that run go one component after the other: a server joins the ring through members that it reads from the
    database, and one that finds none but servers on their way out stands alone for its `maxJoinDuration`, 30 s in
    Temporal's chart (seen, 1.29.1).
    """
    runtime = observation.runtime
    if not isinstance(runtime, Runtime):
        return None
    for component in COMPONENTS:
        reasons = {
            pod: why
            for pod in runtime.pods
            if pod.component == component and (why := why_restart(pod, observation, policy))
        }
        if not reasons:
            continue
        starting = tuple(_starting(observation))
        if starting and any(pod.state is PodState.RUNNING for pod in reasons):
            return Wait(starting)
        return RestartPods(component, tuple(reasons), next(iter(reasons.values())))
    return None


def why_restart(pod: Pod, observation: Observation, policy: Policy) -> str | None:
    """Return why a pod is to be restarted, None where it is not: it waits out a back-off, or lives on what is gone."""
    if pod.created_at is None or pod.created_at >= observation.made_before:
        return None
    if pod.state is PodState.BACK_OFF and pod.crashed_at is not None:
        right_since = observation.right_since
        # It may have looked before and crashed just after; and the database's clock is not the node's.
        if right_since is not None and pod.crashed_at < right_since + policy.clock_skew:
            return "in back-off from a crash before the schema was right"
        if pod.crashed_at < observation.run_started_at:
            return "in back-off from a crash before this run"
    running_since = pod.started_at if pod.state is PodState.RUNNING else None
    if running_since is not None and is_older_than_the_database(running_since, observation, policy):
        return "running since before its database's schema was made"
    return None


def is_older_than_the_database(moment: datetime, observation: Observation, policy: Policy) -> bool:
    """Tell whether it was before the default store's schema was made, so that another database was meant.

    A schema that is yet to be made, by a clock that is ahead, tells nothing: every new pod would be older than it, too.
    """
    default = observation.stores.get(Store.DEFAULT)
    born = default.born if isinstance(default, Schema) else None
    if born is None or born > observation.now:
        return False
    return moment + _KUBERNETES_RESOLUTION <= born - policy.clock_skew


def _starting(observation: Observation) -> Iterator[Finding]:
    """Yield a finding for each pod that was just made and is on its way, and for each component that lacks one just now."""
    then = "the next component is restarted after it"
    for finding in absent(observation):
        if finding.reason is not Reason.PODS_NOT_STABLE:
            continue
        pod = next((one for one in observation.pods if one.about == finding.about), None)
        if pod is None:
            is_stuck = waiting.lasts(finding, observation, _STARTS_WITHIN)
        else:
            made_at = pod.created_at or observation.made_before
            is_stuck = pod.state is PodState.BACK_OFF or observation.api_time - made_at >= _STARTS_WITHIN
        if not is_stuck:
            yield replace(finding, detail=f"{finding.detail}; {then}")


def absent(observation: Observation) -> Iterator[Finding]:
    """Yield a finding for each component that lacks a pod, and for each pod that does not run or is not ready."""
    runtime = observation.runtime
    if not isinstance(runtime, Runtime):
        return
    for component, replicas in runtime.wanted.items():
        present = sum(pod.component == component for pod in runtime.pods)
        if present >= replicas:
            continue
        about = f"component {component}"
        troubles = [owner for owner in runtime.troubles() if owner.component == component]
        for owner in troubles:
            yield Finding(Reason.POD_NOT_MADE, about, f"{owner.kind} {owner.name}: {owner.trouble}")
        if not troubles:
            yield Finding(Reason.PODS_NOT_STABLE, about, f"{present} of {replicas} pods are there")
    for pod in runtime.pods:
        if pod.finding is not None:
            yield pod.finding
        elif pod.state is not PodState.RUNNING or not pod.ready:
            yield Finding(Reason.PODS_NOT_STABLE, pod.about, f"{pod.state}, not ready")


def live_release(observation: Observation) -> Release | None:
    """Return the oldest release that Temporal's pods run, read from their images' tags; None where none can be read."""
    releases = []
    for pod in observation.pods:
        tag = pod.image.partition("@")[0].rpartition(":")[2]
        try:
            releases.append(Release.parse(tag))
        except VersionError:
            continue
    return min(releases, default=None)


def young(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each pod that has just started and whose readiness nothing tells."""
    yield from (
        Finding(
            Reason.PODS_NOT_STABLE,
            pod.about,
            f"started less than {policy.stable.total_seconds():g} s ago, and has no readiness probe",
        )
        for pod in observation.pods
        if not pod.probed and pod.started_at is not None and observation.now - pod.started_at < policy.stable
    )
