"""Rules about guards: a Job of this project's chart inside of the Application that it holds, before everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen
from hook.audit.rollout import CHART, PRE_SYNC, SYNC, Resource
from hook.audit.rules.schema_jobs import is_schema_job, schema_jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import App, Seen
    from hook.observation.applications import ApplicationRef


_INERT = {
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount", "NetworkPolicy", "LimitRange"),
    *("ConfigMap", "Secret", "ExternalSecret", "SealedSecret", "PersistentVolumeClaim", "Service"),
    *("Namespace", "CustomResourceDefinition"),
}
"""What may come before a guard, or has to: its own Secret, for one. None of it runs anything."""


def guard_of(app: App | None) -> Resource | None:
    """Return the Job that guards an Application, None where none was seen; it may come too late to hold anything."""
    if app is None:
        return None
    jobs = [job for job in app.jobs if job.is_of_chart and job.is_hook and not job.is_watchdog]
    if jobs:
        return jobs[0]
    if any(chart.name == CHART for chart in app.charts):  # one of its sources
        wave = app.of_hook_chart("hook.wave") or ""
        return Resource(
            "Job",
            CHART,
            phases=(app.of_hook_chart("hook.phase") or SYNC,),
            wave=int(wave) if wave.lstrip("-").isdecimal() else None,
            labels={"app.kubernetes.io/name": CHART},
        )
    return None


def own_migration(seen: Seen, ref: ApplicationRef) -> Resource | None:
    """Return the schema Job that holds the servers of its own Application, as Temporal's 1.x chart renders both by default.

    A PreSync hook that fails ends the sync before anything managed is applied.
    """
    app = seen.app(ref)
    if app is None or ref != seen.roles.migrations:
        return None
    return next((job for job in schema_jobs(app) or () if PRE_SYNC in job.phases), None)


def is_guarded(seen: Seen, ref: ApplicationRef) -> bool:
    """Tell whether a guard holds the Application, or its own migration."""
    if own_migration(seen, ref) is not None:
        return True
    app = seen.app(ref)
    guard = guard_of(app)
    return ref != seen.roles.gate and app is not None and guard is not None and not _why_it_is_late(app, guard)


def hold_all(seen: Seen) -> bool:
    """Tell whether a guard holds each Application that is to be held."""
    return bool(seen.roles.held) and all(is_guarded(seen, ref) for ref in seen.roles.held)


def _why_it_is_late(app: App, guard: Resource) -> str:
    if not set(guard.phases) & {PRE_SYNC, SYNC}:
        return f"the phase of {guard} is {', '.join(guard.phases)}"
    if PRE_SYNC in guard.phases or guard.wave is None:
        return ""
    for one in app.resources or ():
        if one.is_of_chart or one.kind in _INERT or is_schema_job(one):
            continue
        if PRE_SYNC in one.phases or (one.wave is not None and one.wave <= guard.wave and "PostSync" not in one.phases):
            where = "runs before a Sync hook" if PRE_SYNC in one.phases else f"has wave {one.wave}"
            return f"{guard} has wave {guard.wave}, and {one} {where}"
    return ""


def first(seen: Seen) -> Iterator[Finding | Unseen]:
    """A guard that comes with or after what it is to hold holds nothing."""
    for ref in seen.roles.held:
        app = seen.app(ref)
        guard = guard_of(app)
        if app is not None and guard is not None and ref != seen.roles.gate and (why := _why_it_is_late(app, guard)):
            yield Finding.of(Hold.GUARD_NOT_FIRST, ref, why, ref)


def missing(seen: Seen) -> Iterator[Finding | Unseen]:
    """An order alone can be overtaken: by RollingSync itself, and by a person's sync."""
    for ref in seen.roles.held:
        app = seen.app(ref)
        if app is None or guard_of(app) is not None or own_migration(seen, ref) is not None:
            continue
        if app.resources is None:
            yield Unseen(ref, f"whether it has a guard ({Hold.NO_GUARD}): give what it renders")
        elif not app.hooks_are_seen:
            why = "its last sync does not name its hooks; run audit again when no sync is running"
            yield Unseen(ref, f"whether it has a guard ({Hold.NO_GUARD}): {why}")
        elif unread := [job for job in app.jobs if job.is_hook and job.images is None]:
            yield Unseen(ref, f"whether {unread[0]}, a hook, is a guard ({Hold.NO_GUARD}): it was not read")
        else:
            yield Finding.of(Hold.NO_GUARD, ref, "no hook Job of this chart is among what it renders", ref)
