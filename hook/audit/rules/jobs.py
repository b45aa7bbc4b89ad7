"""Rules about the migrations' Jobs: where they stand in the rollout, and whether a commit brings a new one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen
from hook.audit.steps import members, most_at_once, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import App, Resource, Seen

_SCHEMA = re.compile(r"schema|migrat|(?<![a-z])(sql|db)-?(setup|update)")
_TOOL = re.compile(r"admin-?tools|temporal-sql-tool")
_SHORT_COMMIT = 7
"""So many characters has $ARGOCD_APP_REVISION_SHORT."""


def is_schema_job(job: Resource) -> bool:
    """Tell whether a Job brings Temporal's schema: by the label of Temporal's charts, its name, or the tool's image.

    The 0.x charts label it ``app.kubernetes.io/component: database``; 1.x name it ``<fullname>-schema``.
    """
    if job.kind != "Job" or job.is_of_chart:
        return False
    if job.labels.get("app.kubernetes.io/component") in {"database", "schema"} or _SCHEMA.search(job.name):
        return True
    return any(_TOOL.search(image) for image in job.images or ()) and "namespace" not in job.name


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


def _schema_jobs(app: App) -> list[Resource]:
    """Return the schema's Jobs of the migrations' Application: all of its own where none can be told apart."""
    jobs = [job for job in app.jobs if not job.is_of_chart]
    return [job for job in jobs if is_schema_job(job)] or jobs


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
    if app.resources is None:
        if own < its:
            yield Unseen(
                app.ref, f"whether its schema Job is a hook ({Hold.PLAIN_JOB_BEFORE_GATE}): give what it renders"
            )
        return
    for job in _schema_jobs(app):
        if job.is_plain_job:
            where = (
                f"its step is {own}, the gate's {its}" if own < its else f"maxUpdate of their step lets {at_once} run"
            )
            yield Finding.of(Hold.PLAIN_JOB_BEFORE_GATE, app.ref, f"{job} is no hook, and {where}")
            return


def beside_the_servers(seen: Seen) -> Iterator[Finding | Unseen]:
    """Temporal's 0.x charts render the schema Job and the servers side by side."""
    runtime = seen.app(seen.roles.runtime)
    if runtime is None:
        return
    is_one = seen.roles.migrations == seen.roles.runtime
    plain = [job for job in runtime.jobs if job.is_plain_job and is_schema_job(job)]
    old = [chart for chart in runtime.charts if chart.name == "temporal" and re.match(r"v?0\.", chart.version)]
    if plain:
        detail = f"{plain[0]} is a plain Job beside the servers"
    elif is_one and old and runtime.resources is None:
        detail = f"migrations and runtime are one Application of Temporal's chart {old[0].version}"
    else:
        if is_one and runtime.resources is None and not runtime.charts:
            yield Unseen(runtime.ref, "whether its schema Job is a hook: give what it renders")
        return
    yield Finding.of(Hold.MIGRATIONS_WITH_RUNTIME, runtime.ref, detail, runtime.ref)


def renewed(seen: Seen) -> Iterator[Finding | Unseen]:
    """A Job's template is immutable, so another image needs another Job, and the last one has to go."""
    app = seen.app(seen.roles.migrations)
    if app is None:
        return
    if app.resources is None:
        yield Unseen(app.ref, f"its Jobs ({Hold.JOB_NOT_RENEWED}, {Hold.JOB_WITH_TTL}): give what it renders")
        return
    found = seen.set_of(app.ref)
    prunes = app.prune or (found is not None and (found.default_prune or found.prunes))
    is_seen = app.prune is not None and (found is None or found.prunes is not None)
    for job in _schema_jobs(app):
        if not job.is_plain_job or job.is_replaced:
            continue
        if not is_renewed(job, app):
            yield Finding.of(Hold.JOB_NOT_RENEWED, app.ref, f"{job} keeps its name from commit to commit")
        elif is_seen and not prunes:
            yield Finding.of(Hold.JOB_NOT_RENEWED, app.ref, f"{job} gets another name, and the last one is not pruned")


def kept(seen: Seen) -> Iterator[Finding | Unseen]:
    """A finished Job that Kubernetes deletes is one that Argo CD misses."""
    for ref in dict.fromkeys((seen.roles.migrations, seen.roles.gate, seen.roles.runtime)):
        app = seen.app(ref)
        for job in app.jobs if app is not None else ():
            if job.ttl is not None and (ref != seen.roles.runtime or is_schema_job(job) or job.is_of_chart):
                yield Finding.of(Hold.JOB_WITH_TTL, ref, f"{job} has ttlSecondsAfterFinished: {job.ttl}")
