"""What an operation asks of its sync, beside objects and revisions.

It knows ``SyncAppState`` (argo-cd controller/sync.go, 3.6): an operation's own fields alone count, and of its options an
exact text. What changes a real sync and is not modelled here is refused by an exception that ends the stand-in, so that
no test passes for want of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.actor import NotModelledError

_NOT_MODELLED = ("RespectIgnoreDifferences=true", "PrunePropagationPolicy=orphan", "Prune=confirm")
"""Validate, SkipDryRunOnMissingResource and ClientSideApplyMigration say nothing to a stand-in without dry runs and
field managers, and foreground deletion differs from background in what nobody here looks at: they are accepted."""


@dataclass(frozen=True)
class Options:
    """The options of one operation that the stand-in acts on."""

    force: bool
    prune: bool
    replace: bool
    skips_hooks: bool
    server_side: bool
    prune_last: bool
    never_prunes: bool
    only_out_of_sync: bool
    creates_namespace: bool
    fails_on_shared: bool


def of(sync: Mapping[str, Any], spec: Mapping[str, Any]) -> Options:
    """Read an operation's; the Application's specification counts for what an operation cannot say.

    ``Force=true`` is no option of an operation: its strategy says so (``SyncStrategy.Force``).
    """
    listed: Sequence[str] = sync.get("syncOptions") or []
    _refuse(sync, spec, listed)
    strategy = sync.get("syncStrategy") or {}
    chosen = strategy.get("apply") or strategy.get("hook") or {}
    return Options(
        force=bool(chosen.get("force")),
        prune=bool(sync.get("prune")),
        replace="Replace=true" in listed,
        skips_hooks="apply" in strategy or bool(sync.get("resources")),
        server_side="ServerSideApply=true" in listed,
        prune_last="PruneLast=true" in listed,
        never_prunes="Prune=false" in listed,
        only_out_of_sync="ApplyOutOfSyncOnly=true" in listed,
        creates_namespace="CreateNamespace=true" in listed,
        fails_on_shared="FailOnSharedResource=true" in listed,
    )


def _refuse(sync: Mapping[str, Any], spec: Mapping[str, Any], listed: Sequence[str]) -> None:
    unknown = [each for each in listed if each in _NOT_MODELLED]
    unknown += [field for field in ("dryRun", "manifests") if sync.get(field)]
    unknown += [field for field in ("source", "sources") if sync.get(field) and sync[field] != spec.get(field)]
    if "CreateNamespace=true" in listed and (spec.get("syncPolicy") or {}).get("managedNamespaceMetadata"):
        unknown.append("managedNamespaceMetadata")
    if unknown:
        message = f"not modelled of a sync operation: {', '.join(unknown)}"
        raise NotModelledError(message)
