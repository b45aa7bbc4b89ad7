"""Which Jobs of an Application bring Temporal's schema: those that were seen, else what Temporal's own chart renders.

helm-charts, templates/server-job.yaml: up to 0.x (0.73.2) a plain Job ``<fullname>-schema-1`` under Argo CD, with a TTL of a
day, unless createDatabase, setup and update are all switched off; from 1.0 (1.6.0) ``<fullname>-schema``, a hook of Helm's
unless ``schema.useHelmHooks`` is false, and then named after the chart's version, with a TTL of a day by default.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hook.audit.rollout import PRE_SYNC, Resource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hook.audit.rollout import App, Chart

_SCHEMA = re.compile(r"schema|migrat|(?<![a-z])(sql|db)-?(setup|update)")
_TOOL = re.compile(r"admin-?tools|temporal-sql-tool")
_VERSION = re.compile(r"v?(\d+)\.\d")
_A_DAY = "86400"
_PARTS = ("schema.createDatabase.enabled", "schema.setup.enabled", "schema.update.enabled")


def is_schema_job(job: Resource) -> bool:
    """Tell whether a Job brings Temporal's schema: by the label of Temporal's charts, its name, or the tool's image."""
    if job.kind != "Job" or job.is_of_chart:
        return False
    if job.labels.get("app.kubernetes.io/component") in {"database", "schema"} or _SCHEMA.search(job.name):
        return True
    return any(_TOOL.search(image) for image in job.images or ()) and "namespace" not in job.name


def schema_jobs(app: App) -> tuple[Resource, ...] | None:
    """Return the schema's Jobs of an Application; None where neither they nor its chart with all values were seen."""
    if app.resources is not None:
        return tuple(job for job in app.jobs if is_schema_job(job))
    values = app.values
    if values is None or any(path.startswith("helm.valueFiles") for path in values):
        return None
    charts = [chart for chart in app.charts if chart.name == "temporal" and _VERSION.match(chart.version)]
    return _of_chart(charts[0], values) if charts else None


def _of_chart(chart: Chart, values: Mapping[str, str]) -> tuple[Resource, ...]:
    found = _VERSION.match(chart.version)
    is_old = found is not None and found[1] == "0"
    if is_old and all(_is_off(values, part) for part in _PARTS):
        return ()
    is_hook = not is_old and not _is_off(values, "schema.useHelmHooks")
    ttl = _A_DAY if is_old else values.get("schema.ttlSecondsAfterFinished", _A_DAY)
    return (
        Resource(
            "Job",
            f"schema (Temporal's chart {chart.version})",
            phases=(PRE_SYNC,) if is_hook else (),
            wave=0,
            ttl=ttl if ttl.isdecimal() else None,
        ),
    )


def _is_off(values: Mapping[str, str], path: str) -> bool:
    return values.get(path, "true").lower() == "false"
