"""Which of Temporal's pods are restarted, and in which order. Pure.

A pod is restarted once: it must have been made before the run, or before the schemas became right in it, by the API
server's clock. The evidence for a restart is by other clocks, in whole seconds and the database's, and allows for that.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from hook.decision.steps import RestartPods
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

COMPONENTS = ("worker", "matching", "frontend", "internal-frontend", "history")
"""Temporal's services in the order in which their pods are deleted: the first new server may have to be started again, and a
worker is missed least."""

_HEARTBEAT_COUNTS = timedelta(seconds=20)
"""How old a heartbeat may be for its row to be a peer (healthyHostLastHeartbeatCutoff, Temporal's ringpop/monitor.go)."""

_BEATS_EVERY = timedelta(seconds=10)
"""The shortest time between two heartbeats: 10 to 15 s (startHeartbeatUpsertLoop, there)."""

_JOINS_BY_ITSELF = timedelta(seconds=35)
"""A server that stands alone joins by itself after 40 to 55 s (measured, 1.29.1): one that has waited for so long gains
nothing by a restart, and may have joined when its pod is deleted."""

_KUBERNETES_RESOLUTION = timedelta(seconds=1)
"""Kubernetes cuts its times to whole seconds: what started at :05 may have started just before :06."""


def pods_live_on_the_present_database(observation: Observation, policy: Policy) -> Step | None:
    """Restart pods that wait out a back-off whose cause may be gone, and pods that live on a database that is gone.

    All at once: at most the first new server is alone then, and no order prevents that (docs/how-it-decides.md, measured in
    benchmarks/README.md).
    """
    runtime = observation.runtime
    if not isinstance(runtime, Runtime):
        return None
    reasons = {pod: why for pod in runtime.pods if (why := why_restart(pod, observation, policy))}
    pods = sorted(reasons, key=lambda pod: COMPONENTS.index(pod.component))
    return RestartPods(tuple(pods), "; ".join(dict.fromkeys(reasons.values()))) if pods else None


def nobody_stands_alone(observation: Observation, policy: Policy) -> Step | None:  # noqa: ARG001 -- every rule has this shape
    """Restart once the one new server that found only the rows of old ones: it would wait for them for 40 to 55 s.

    It can only be the first: a server writes its row before it reads the others', so that each later one finds it. A
    container that ended has left a row, too, which is nobody's. A row with the address of a pod that is there is no old
    server's, whatever its node's clock says.
    """
    default = observation.stores.get(Store.DEFAULT)
    born = default.born if isinstance(default, Schema) else None
    if born is None or not observation.members:
        return None
    members = sorted(observation.members, key=lambda member: member.session_start)
    present = {pod.ip for pod in observation.pods}
    old = [member for member in members if member.session_start < born and member.address not in present]
    new = sorted(
        {member.address: member for member in members if member.session_start >= born}.values(),
        key=lambda member: member.session_start,
    )
    pods = {pod.ip: pod for pod in observation.pods if pod.ip and pod.state is PodState.RUNNING}
    first = new[0] if new else None
    if first is None or first.address not in pods or not any(member.address in pods for member in new[1:]):
        return None
    # A heartbeat after its start that is the first one here is of a row that it did not find.
    found = [
        one for one in old if one.last_heartbeat <= first.session_start or one.last_heartbeat - _BEATS_EVERY >= born
    ]
    met_an_old_one = any(member.last_heartbeat > first.session_start - _HEARTBEAT_COUNTS for member in found)
    if not met_an_old_one or observation.now - first.session_start > _JOINS_BY_ITSELF:
        return None
    why = "stands alone: it waits for servers of a database that is gone"
    return RestartPods((pods[first.address],), why, stood_alone=True)


def why_restart(pod: Pod, observation: Observation, policy: Policy) -> str | None:
    """Return why a pod is to be restarted, None where it is not: it waits out a back-off, or lives on what is gone."""
    if pod.created_at is None or pod.created_at >= observation.made_before or pod.component not in COMPONENTS:
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

    The moment is by a node's clock, and the schema's by its tool's: so much must lie between them that no clock explains it.
    The same goes for when this process saw the store without a schema. A schema that is yet to be made, by a clock that is
    ahead, tells nothing: every new pod would be older than it, too.
    """
    default = observation.stores.get(Store.DEFAULT)
    born = default.born if isinstance(default, Schema) else None
    known = [at for at in (born, observation.absent_at) if at is not None and at <= observation.now]
    return bool(known) and moment + _KUBERNETES_RESOLUTION <= max(known) - policy.clock_skew


def began_before_the_schema_was_absent(moment: datetime | None, observation: Observation) -> bool:
    """Tell whether it began before the default store was seen without a schema. Both are times of the control plane."""
    absent_at = observation.absent_at
    return absent_at is not None and moment is not None and moment < absent_at.replace(microsecond=0)


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
    """Yield a finding for each pod that has just started and whose readiness nothing tells.

    Its start is by its node's clock, which may be behind this one: what seems to run for so long already, but was not seen
    to, is not trusted either.
    """
    for pod in observation.pods:
        if pod.probed or pod.started_at is None:
            continue
        age, stable = observation.now - pod.started_at, policy.stable
        first_seen = observation.first_seen.get((pod.uid, pod.started_at))
        was_seen = first_seen is None or observation.now - first_seen >= stable - _KUBERNETES_RESOLUTION
        if age < stable or (age < stable + policy.clock_skew and not was_seen):
            yield Finding(
                Reason.PODS_NOT_STABLE,
                pod.about,
                f"started less than {stable.total_seconds():g} s ago, and has no readiness probe",
            )
