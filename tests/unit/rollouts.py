"""A rollout that holds, as an audit sees it, and what changes one thing of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hook.audit.rollout import App, ApplicationSet, ArgoCd, Expression, Resource, Retry, Roles, Seen, Step
from hook.observation.applications import ApplicationRef

SET = ApplicationRef("argocd", "temporal")
MIGRATIONS = ApplicationRef("argocd", "data-migrations-temporal")
GATE = ApplicationRef("argocd", "data-temporal-recovery-hook")
RUNTIME = ApplicationRef("argocd", "data-temporal")
BOOTSTRAP = ApplicationRef("argocd", "data-temporal-namespace-bootstrap")
ROLES = Roles(GATE, MIGRATIONS, RUNTIME, (BOOTSTRAP,))
CHART = {"app.kubernetes.io/name": "temporal-recovery-hook"}

GUARD = Resource("Job", "temporal-guard", phases=("Sync",), wave=-5, labels=CHART, images=())
GATE_JOB = Resource("Job", "temporal-gate", phases=("Sync",), wave=0, labels=CHART, images=())
RECEIPT = Resource("ConfigMap", "temporal-gate-receipt", wave=1, labels=CHART, revision="$ARGOCD_APP_REVISION")
SCHEMA_JOB = Resource("Job", "temporal-schema", phases=("Sync",), wave=0, images=("temporalio/admin-tools:1.29.1",))
SERVER = Resource("Deployment", "temporal-frontend", wave=0)
PLAIN_SCHEMA_JOB = replace(SCHEMA_JOB, phases=())


def step(*phases: str, most: int | str | None = None) -> Step:
    """A step that selects the phases."""
    return Step((Expression("rollout-phase", "In", phases),), most)


def app(ref: ApplicationRef, phase: str, *resources: Resource) -> App:
    """An Application with nothing against it."""
    return App(
        ref,
        set_ref=SET,
        labels={"rollout-phase": phase},
        retry=Retry(10, refresh=True),
        prune=True,
        resources=resources,
    )


HOLDS = Seen(
    ROLES,
    {
        MIGRATIONS: app(MIGRATIONS, "265", SCHEMA_JOB, Resource("ConfigMap", "config", wave=0)),
        GATE: app(GATE, "300", GATE_JOB, RECEIPT),
        RUNTIME: app(RUNTIME, "450", GUARD, SERVER),
        BOOTSTRAP: app(BOOTSTRAP, "455", GUARD, Resource("Job", "bootstrap", phases=("Sync",), wave=0, images=())),
    },
    {
        SET: ApplicationSet(
            SET, "RollingSync", (step("265"), step("300"), step("450"), step("455")), generators=("git",)
        )
    },
    ArgoCd(progressive_syncs=True, why="argocd-cmd-params-cm", version=(3, 6, 1)),
)


def with_app(ref: ApplicationRef, seen: Seen = HOLDS, **changes: Any) -> Seen:
    """The rollout with one Application changed."""
    return replace(seen, apps={**seen.apps, ref: replace(seen.apps[ref], **changes)})


def with_set(seen: Seen = HOLDS, **changes: Any) -> Seen:
    """The rollout with its ApplicationSet changed."""
    return replace(seen, sets={SET: replace(seen.sets[SET], **changes)})


def with_argocd(seen: Seen = HOLDS, **changes: Any) -> Seen:
    """The rollout under another Argo CD."""
    return replace(seen, argocd=replace(seen.argocd, **changes))


def without_guards(seen: Seen = HOLDS) -> Seen:
    """The rollout held by its gate alone."""
    for ref in (RUNTIME, BOOTSTRAP):
        resources = seen.apps[ref].resources or ()
        seen = with_app(ref, seen, resources=tuple(one for one in resources if one != GUARD))
    return seen


Change = Callable[[Seen], Seen]
