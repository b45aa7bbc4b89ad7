"""What Temporal's pods mean for the rollout: absent, on their way, young, living on what is gone. Pure.

Kubernetes' times are whole seconds, and the database's clock is not the nodes': what is told from both allows for that.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.versions import Release, Schema, Store, VersionError
from hook.observation.workloads import Pod, PodState, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from hook.decision.policy import Policy
    from hook.observation.observation import Observation

COMPONENTS = ("history", "matching", "frontend", "internal-frontend", "worker")
"""Temporal's services in the order in which they are restarted: history owns the shards and is what the others wait for."""

_KUBERNETES_RESOLUTION = timedelta(seconds=1)
"""Kubernetes cuts its times to whole seconds: what started at :05 may have started just before :06."""


def why_restart(pod: Pod, observation: Observation, policy: Policy) -> str | None:
    """Return why a pod is to be restarted, None where it is not: it waits out a back-off, or lives on what is gone."""
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


def absent(observation: Observation, counts: Callable[[Pod], bool] = lambda _: True) -> Iterator[Finding]:
    """Yield a finding for each component that lacks a pod, and for each pod that counts and does not run or is not ready."""
    if not isinstance(observation.runtime, Runtime):
        return
    pods = observation.runtime.pods
    for component, replicas in observation.runtime.wanted.items():
        present = sum(pod.component == component for pod in pods)
        if present < replicas:
            yield Finding(Reason.PODS_NOT_STABLE, f"component {component}", f"{present} of {replicas} pods are there")
    for pod in filter(counts, pods):
        if pod.finding is not None:
            yield pod.finding
        elif pod.state is not PodState.RUNNING or not pod.ready:
            yield Finding(Reason.PODS_NOT_STABLE, f"pod {pod.namespace}/{pod.name}", f"{pod.state}, not ready")


def starting(observation: Observation, policy: Policy) -> Iterator[Finding]:
    """Yield a finding for each pod on its way: not for one that is to be restarted, or that something keeps from running."""
    for finding in absent(observation, lambda pod: _is_starting(pod) and not why_restart(pod, observation, policy)):
        yield replace(finding, detail=f"{finding.detail}; the next component is restarted after it")


def _is_starting(pod: Pod) -> bool:
    return pod.finding is None and pod.state is not PodState.BACK_OFF


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
            f"pod {pod.namespace}/{pod.name}",
            f"started less than {policy.stable.total_seconds():g} s ago, and has no readiness probe",
        )
        for pod in observation.pods
        if not pod.probed and pod.started_at is not None and observation.now - pod.started_at < policy.stable
    )
