"""Rules about Argo CD itself: whether it does progressive syncs at all, and whether its version does them well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import Seen

_FAULTS = (
    ((3, 5, 1), "argo-cd 29240: an Application that is Healthy and OutOfSync is not synced"),
    ((2, 12), "argo-cd 19535: an Application that another commit reaches while it is Pending stays so"),
)
"""By the version, or the first numbers of it, that the issue names; its title has it, or its label."""


def progressive_syncs(seen: Seen) -> Iterator[Finding | Unseen]:
    """Without them every strategy is ignored (applicationset_controller.go, EnableProgressiveSyncs: false by default)."""
    if not any(seen.rolling_set_of(ref) for _, ref in seen.roles):
        return
    if seen.argocd.progressive_syncs is None:
        yield Unseen(None, "whether progressive syncs are on: give argocd-cmd-params-cm, or the right to read it")
    elif not seen.argocd.progressive_syncs:
        yield Finding.of(Hold.PROGRESSIVE_SYNCS_OFF, None, seen.argocd.why)


def version(seen: Seen) -> Iterator[Finding | Unseen]:
    """Some versions cannot be relied on, whatever the manifests say."""
    if not any(seen.rolling_set_of(ref) for _, ref in seen.roles):
        return
    running = seen.argocd.version
    if running is None:
        yield Unseen(None, "Argo CD's version: give --argocd-version, or a Deployment of Argo CD")
        return
    for faulty, what in _FAULTS:
        if running[: len(faulty)] == faulty:
            yield Finding.of(Hold.ARGO_CD_FAULT, None, f"{'.'.join(map(str, running))}: {what}")
