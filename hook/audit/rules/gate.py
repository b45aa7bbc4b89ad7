"""Rules about the gate's own Application: what of it keeps its step from being done before the gate has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen
from hook.audit.rollout import CHART, PRE_SYNC, SYNC
from hook.audit.rules.jobs import is_renewed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import App, Resource, Seen

_REVISION = "receipt.revision"


def gate_jobs(app: App) -> tuple[Resource, ...]:
    """Return the gate's Job: the chart's own, else every hook Job of its Application, else every Job."""
    jobs = tuple(job for job in app.jobs if not job.is_watchdog)
    own = tuple(job for job in jobs if job.is_of_chart)
    return own or tuple(job for job in jobs if job.is_hook) or jobs


def phase(seen: Seen) -> Iterator[Finding | Unseen]:
    """From Argo CD 3.3 on a step is done when its Applications are Synced and Healthy, whatever runs (argo-cd 24507)."""
    app = _ordered_gate(seen)
    if app is None:
        return
    phases = _phases(app)
    if phases is None:
        yield Unseen(app.ref, "the gate's Job: give what its chart renders")
        return
    late = [one for one in phases if one not in {PRE_SYNC, SYNC}]
    if not late or set(phases) & {PRE_SYNC, SYNC}:
        return
    named = ", ".join(late)
    if "PostSync" not in late or seen.argocd.is_from(3, 3):
        yield Finding.of(Hold.POST_SYNC_GATE, app.ref, f"the phase of its hook is {named}")
    elif seen.argocd.version is None:
        yield Unseen(
            app.ref, f"whether its {named} hook holds ({Hold.POST_SYNC_GATE}): only Argo CD up to 3.2 waits for one"
        )


def _phases(app: App) -> tuple[str, ...] | None:
    """Return the phases of the gate's hook, empty for a managed Job; None where they were not seen."""
    if jobs := gate_jobs(app):
        return tuple(dict.fromkeys(phase for job in jobs for phase in job.phases))
    if (named := app.of_hook_chart("hook.phase")) is not None:
        return (named,)
    if any(chart.name == CHART for chart in app.charts) and app.values is not None:
        return (SYNC,)  # the chart's default
    return None


def receipt(seen: Seen) -> Iterator[Finding | Unseen]:
    """Hooks count for neither sync nor health: something managed has to come after the gate's."""
    app = _ordered_gate(seen)
    if app is None:
        return
    if app.resources is None:
        if not any(chart.name == CHART for chart in app.charts):  # of which it is known that it renders one
            yield Unseen(app.ref, "the gate's receipt: give what its chart renders")
        return
    hooks = [job for job in gate_jobs(app) if job.is_hook]
    if not hooks:
        if not gate_jobs(app) and app.hooks_are_seen:  # else `phase` says so
            yield Finding.of(Hold.NO_RECEIPT, app.ref, "it renders no Job at all")
        return
    managed = [one for one in app.resources if not one.is_hook]
    wave = max((hook.wave for hook in hooks if hook.wave is not None), default=None)
    if not managed:
        yield Finding.of(Hold.NO_RECEIPT, app.ref, f"{hooks[0]} is all that it renders")
    elif _is_before_sync(hooks) or any(
        one.wave is not None and wave is not None and one.wave > wave for one in managed
    ):
        return
    elif wave is not None:
        yield Finding.of(Hold.NO_RECEIPT, app.ref, f"nothing managed comes after wave {wave}, that of {hooks[0]}")
    elif not any(is_receipt(one) for one in managed):
        yield Unseen(app.ref, f"whether something managed comes after {hooks[0]}: its wave is not in the status")


def _is_before_sync(hooks: list[Resource]) -> bool:
    """Tell whether the hook runs before anything managed is applied, whatever its wave."""
    return all(hook.phases == (PRE_SYNC,) for hook in hooks)


def is_receipt(resource: Resource) -> bool:
    """Tell whether it is the chart's receipt."""
    component = resource.labels.get("app.kubernetes.io/component")
    return resource.kind == "ConfigMap" and (component == "receipt" or resource.name.endswith("-receipt"))


def receipt_and_commits(seen: Seen) -> Iterator[Finding | Unseen]:
    """Only a receipt with the commit is stale at every commit."""
    app = _ordered_gate(seen)
    if app is None:
        return
    given = app.of_hook_chart(_REVISION)
    if given:
        if "$ARGOCD_APP_REVISION" not in given and "{{" not in given:
            yield Finding.of(Hold.RECEIPT_IGNORES_COMMITS, app.ref, f"{_REVISION} is always {given!r}")
        elif not app.is_from_git:
            detail = f"{_REVISION} is {given}, which is the chart's version: its source is a chart repository"
            yield Finding.of(Hold.RECEIPT_IGNORES_COMMITS, app.ref, detail)
        return
    plain = [job for job in gate_jobs(app) if job.is_plain_job]
    if plain and not any(is_renewed(job, app) for job in plain):
        yield Finding.of(
            Hold.RECEIPT_IGNORES_COMMITS, app.ref, f"{plain[0]} is managed and keeps its name: it runs once"
        )
        return
    receipts = [one for one in app.resources or () if is_receipt(one)]
    if any(one.revision for one in receipts):
        return
    if any(one.revision == "" for one in receipts):
        yield Finding.of(Hold.RECEIPT_IGNORES_COMMITS, app.ref, f"{receipts[0]} has no revision")
    elif app.values is not None and any(chart.name == CHART for chart in app.charts):
        yield Finding.of(Hold.RECEIPT_IGNORES_COMMITS, app.ref, f"{_REVISION} is not set")
    elif receipts or app.resources is None:
        yield Unseen(app.ref, f"whether its receipt carries the commit ({_REVISION})")


def _ordered_gate(seen: Seen) -> App | None:
    """Return the gate's Application where a RollingSync orders it: nothing else waits for it."""
    return seen.app(seen.roles.gate) if seen.rolling_set_of(seen.roles.gate) is not None else None
