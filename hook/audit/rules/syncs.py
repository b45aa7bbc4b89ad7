"""Rules about syncs: what a failed one does next, what notices a commit, and whether a release reaches a step at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hook.audit.rollout import Seen

_TAG = re.compile(r"(^|[._-]|image)tag$", re.IGNORECASE)
_NAMES_A_RELEASE = re.compile(r"(image|version|release)$", re.IGNORECASE)
_LOOKS_LIKE_ONE = re.compile(r"(^|[:@])v?\d+\.\d+|@?sha256:|\{\{|[:@][\w.-]+$|^[0-9a-f]{7,40}$")
_PLACE = re.compile(r"^path$|^helm\.valueFiles\[\d+\]$")
_HOLDS_ONE = re.compile(r"(?<![\d.])v?\d+\.\d+(\.\d+)?(?!\.?\d)")
"""A folder or a file that is named after a release: the next one changes the specification alone, too."""


def retries(seen: Seen) -> Iterator[Finding | Unseen]:
    """RollingSync takes over the Application's own retry, else five tries (syncApplication)."""
    for _, ref in seen.roles:
        app = seen.app(ref)
        if app is None or seen.rolling_set_of(ref) is None:
            continue
        if not app.retry_is_seen:
            yield Unseen(ref, "its syncPolicy.retry: give the Application itself")
        elif app.retry is not None and app.retry.limit == 0:
            yield Finding.of(Hold.NO_RETRY, ref, "syncPolicy.retry has the limit 0, which is what a missing one is")
        elif app.retry is not None and not app.retry.refresh and not seen.argocd.is_before(3, 2):
            yield Finding.of(Hold.RETRY_WITHOUT_REFRESH, ref, f"its {_tries(app.retry.limit)} keep to one commit")


def _tries(limit: int) -> str:
    return "retries without end" if limit < 0 else f"{limit} retries"


def period(seen: Seen) -> Iterator[Finding | Unseen]:
    """The controller wakes on sync status, health and operation, not on a revision (shouldRequeueForApplication)."""
    sets = {found.ref: found for _, ref in seen.roles if (found := seen.rolling_set_of(ref)) is not None}
    for found in sets.values():
        if not found.has_period and not seen.argocd.is_before(3, 3):
            named = ", ".join(found.generators) or "none"
            yield Finding.of(
                Hold.NO_PERIOD, None, f"ApplicationSet {found.ref}: its generators ({named}) ask only once"
            )


def release(seen: Seen) -> Iterator[Finding | Unseen]:
    """From 3.3 on a step's progress follows the revision in git; a change of the specification alone may be missed."""
    if seen.argocd.is_before(3, 3):
        return
    for _, ref in seen.roles:
        app = seen.app(ref)
        if app is None or seen.rolling_set_of(ref) is None:
            continue
        if app.values is None:
            yield Unseen(ref, f"its Helm values ({Hold.RELEASE_IN_APPLICATION}): give the Application itself")
        elif found := releases(app.values):
            yield Finding.of(Hold.RELEASE_IN_APPLICATION, ref, ", ".join(found))


def releases(values: Mapping[str, str]) -> list[str]:
    """Return which of the values are releases: by their name, and by what they are or are generated from.

    What Argo CD substitutes ($ARGOCD_APP_REVISION) changes with git, not with the specification.
    """
    return [
        path
        for path, value in values.items()
        if "$ARGOCD_" not in value
        and (
            (_TAG.search(path) and value)
            or (_NAMES_A_RELEASE.search(path) and _LOOKS_LIKE_ONE.search(value))
            or (_PLACE.search(path) and _HOLDS_ONE.search(value))
        )
    ]
