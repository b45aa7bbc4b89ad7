"""Rules about the migrations' Jobs: where they stand in the rollout, and whether a commit brings a new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen
from hook.audit.rollout import Role
from hook.audit.rules.schema_jobs import schema_jobs
from hook.audit.steps import members, most_at_once, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import App, Resource, Seen

_SHORT_COMMIT = 7
"""So many characters has $ARGOCD_APP_REVISION_SHORT."""


def is_renewed(job: Resource, app: App) -> bool:
    """Tell whether a commit or a release brings a Job of another name, or replaces it."""
    if job.is_replaced:
        return True
    values = (app.values or {}).items()
    if any("$ARGOCD_APP_REVISION" in value and "name" in path.lower() for path, value in values):
        return True
    if "$ARGOCD_APP_REVISION" in job.name or (app.revision and app.revision[:_SHORT_COMMIT] in job.name):
        return True
    tags = (image.rpartition(":")[2].partition("@")[0] for image in job.images or () if ":" in image)
    name = re.sub(r"[^a-z0-9]", "-", job.name.lower())
    return any(len(tag) > 2 and re.sub(r"[^a-z0-9]", "-", tag.lower()) in name for tag in tags)  # noqa: PLR2004 -- 1.29


def _migrations(app: App) -> tuple[Resource, ...] | None:
    """Return the migrations' Jobs: all of their Application's own where none can be told apart; None where none was seen."""
    found = schema_jobs(app)
    if found or app.resources is None:
        return found
    return tuple(job for job in app.jobs if not job.is_of_chart)


def plain_job_before_gate(seen: Seen) -> Iterator[Finding | Unseen]:
    """A Degraded step never lets the next one start, nor the rest of its own where maxUpdate counts it as under way."""
    app, gate = seen.app(seen.roles.migrations), seen.app(seen.roles.gate)
    found, gates = seen.rolling_set_of(seen.roles.migrations), seen.rolling_set_of(seen.roles.gate)
    if app is None or gate is None or found is None or gates is None or found.ref != gates.ref:
        return
    own, its = place_of(app, found).number, place_of(gate, found).number
    if own is None or its is None or own > its or app.ref == gate.ref:
        return
    count = len(members(seen, found, own))
    at_once = most_at_once(found.steps[own - 1], count)
    if own == its and not 0 < at_once < count:
        return
    jobs = _migrations(app)
    if jobs is None:
        if own < its:
            yield Unseen(
                app.ref, f"whether its schema Job is a hook ({Hold.PLAIN_JOB_BEFORE_GATE}): give what it renders"
            )
        return
    for job in jobs:
        if job.is_plain_job:
            where = (
                f"its step is {own}, the gate's {its}" if own < its else f"maxUpdate of their step lets {at_once} run"
            )
            yield Finding.of(Hold.PLAIN_JOB_BEFORE_GATE, app.ref, f"{job} is no hook, and {where}")
            return


def with_the_servers(seen: Seen) -> Iterator[Finding | Unseen]:
    """Temporal's 0.x charts render the schema Job and the servers side by side."""
    runtime = seen.app(seen.roles.runtime)
    if runtime is None:
        return
    jobs = schema_jobs(runtime)
    if jobs is None and seen.roles.migrations == seen.roles.runtime:
        yield Unseen(runtime.ref, "whether its schema Job is a hook: give what it renders")
    for job in jobs or ():
        if job.is_plain_job:
            detail = f"{job} is a plain Job in the Application of the servers"
            yield Finding.of(Hold.MIGRATIONS_WITH_RUNTIME, runtime.ref, detail, runtime.ref)
            return


def renewed(seen: Seen) -> Iterator[Finding | Unseen]:
    """A Job's template is immutable, so another image needs another Job, and the last one has to go."""
    app = seen.app(seen.roles.migrations)
    if app is None:
        return
    jobs = _migrations(app)
    if jobs is None:
        yield Unseen(app.ref, f"its Jobs ({Hold.JOB_NOT_RENEWED}, {Hold.JOB_WITH_TTL}): give what it renders")
        return
    found = seen.set_of(app.ref)
    prunes = app.prune or (found is not None and (found.default_prune or found.prunes))
    is_seen = app.prune is not None and (found is None or found.prunes is not None)
    for job in jobs:
        if not job.is_plain_job or job.is_replaced:
            continue
        if not is_renewed(job, app):
            yield Finding.of(Hold.JOB_NOT_RENEWED, app.ref, f"{job} keeps its name from commit to commit")
        elif is_seen and not prunes:
            yield Finding.of(Hold.JOB_NOT_RENEWED, app.ref, f"{job} gets another name, and the last one is not pruned")


def kept(seen: Seen) -> Iterator[Finding | Unseen]:
    """A finished Job that Kubernetes deletes is one that Argo CD misses."""
    for role, ref in seen.roles:
        app = seen.app(ref)
        if app is None or (role is Role.RUNTIME and ref == seen.roles.migrations):
            continue
        own = _migrations(app) or () if role is Role.MIGRATIONS else ()
        for job in (*own, *(one for one in app.jobs if one.is_of_chart)):
            if job.ttl is not None:
                yield Finding.of(Hold.JOB_WITH_TTL, ref, f"{job} has ttlSecondsAfterFinished: {job.ttl}")
