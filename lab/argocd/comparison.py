"""An Application's desired state against the cluster's: sync status, health, resources, conditions.

It knows ``CompareAppState`` (argo-cd controller/state.go) and ``setApplicationHealth`` (controller/health.go) of 3.6, as
pure functions over what is in git and what is live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.actor import NotModelledError
from lab.api_client import Json
from lab.argocd import conditions, health, manifests
from lab.argocd.manifests import Key

_MOST_CAUSES = 3
EVALUATED = (conditions.COMPARISON, conditions.SHARED)
"""The types of condition that a comparison writes or clears."""


@dataclass(frozen=True)
class Comparison:
    """What a comparison found."""

    targets: Mapping[Key, Json]
    hooks: Sequence[Json]
    live: Mapping[Key, Json]
    sync_status: str
    health_status: str
    health_message: str
    resources: Sequence[Json] = field(default_factory=list)
    conditions: Sequence[tuple[str, str]] = ()
    """Types and messages, of those that a comparison evaluates."""

    @property
    def shared(self) -> str:
        """What it says of an object that is also another Application's, if there is one."""
        return next((message for kind, message in self.conditions if kind == conditions.SHARED), "")


def compare(
    application: Mapping[str, Any],
    wanted: Sequence[Mapping[str, Any]] | str,
    cluster: Mapping[Key, Json],
    *,
    persists_resource_health: bool,
) -> Comparison:
    """Compare manifests (a text: why git could not be read) with the objects of the cluster.

    Hooks count neither for sync status nor for health; a live one is listed with ``hook: true`` and no status, one that
    never ran is not listed. ``resources[].health`` is there only where the controller was told to persist it.
    """
    name = application["metadata"]["name"]
    namespace = application["spec"]["destination"].get("namespace", "")
    if application["spec"].get("ignoreDifferences"):
        message = "not modelled: spec.ignoreDifferences"
        raise NotModelledError(message)
    unread = wanted if isinstance(wanted, str) else ""
    everything = [manifests.target(each, name, namespace) for each in ([] if isinstance(wanted, str) else wanted)]
    hooks = [each for each in everything if manifests.is_hook(each)]
    targets = {manifests.key(each): each for each in everything if not manifests.is_hook(each)}
    live = {key: item for key, item in cluster.items() if key in targets or manifests.tracked_by(item, name)}
    keys = sorted({*targets, *live})
    resources = [
        _resource(key, targets.get(key), live.get(key), hooks, with_health=persists_resource_health) for key in keys
    ]
    found = [*_unread(unread), *_shared(application, live)]
    if unread:
        resources = [{**each, "status": "Unknown"} for each in resources]
        sync_status = "Unknown"
    else:
        extra = {key for key in live.keys() - targets.keys() if manifests.is_extraneous(live[key])}
        behind = [key for key, each in zip(keys, resources, strict=True) if each.get("status") == "OutOfSync"]
        sync_status = "OutOfSync" if set(behind) - extra else "Synced"
    status, message = _application_health(targets, live)
    return Comparison(targets, hooks, live, sync_status, status, message, resources, found)


def _unread(why: str) -> list[tuple[str, str]]:
    return [(conditions.COMPARISON, f"Failed to load target state: {why}")] if why else []


def _shared(application: Mapping[str, Any], live: Mapping[Key, Json]) -> list[tuple[str, str]]:
    """``SharedResourceWarning``: tracked as another Application's. An object without a tracking id is nobody's."""
    own = application["metadata"]
    others = {key: manifests.owner(item) for key, item in live.items()}
    return [
        (
            conditions.SHARED,
            f"{key.kind}/{key.name} is part of applications {own['namespace']}/{own['name']} and {other}",
        )
        for key, other in sorted(others.items())
        if other not in ("", own["name"])
    ]


def _resource(key: Key, target: Json | None, live: Json | None, hooks: Sequence[Json], *, with_health: bool) -> Json:
    shown = live if live is not None else target
    if shown is None:
        message = f"{key} is neither in git nor live"
        raise ValueError(message)
    result: Json = {
        "group": key.group,
        "version": shown["apiVersion"].rpartition("/")[2],
        "kind": key.kind,
        "namespace": key.namespace,
        "name": key.name,
    }
    is_hook = manifests.is_hook(shown)
    if is_hook:
        result["hook"] = True
    elif not (target is not None and manifests.is_skipped(target)):
        same = target is not None and live is not None and not manifests.differs(live, target)
        result["status"] = "Synced" if same else "OutOfSync"
    if target is None:
        result["requiresPruning"] = True
    source = target if target is not None else next((each for each in hooks if manifests.key(each) == key), None)
    if source is not None and manifests.wave(source):
        result["syncWave"] = manifests.wave(source)
    if with_health and not is_hook:
        found = health.Health("Missing") if live is None else health.of(live)
        if found is not None:
            result["health"] = {name: text for name, text in found._asdict().items() if text}
    return {name: value for name, value in result.items() if value != ""}


def _application_health(targets: Mapping[Key, Json], live: Mapping[Key, Json]) -> tuple[str, str]:
    """The worst of what is live and no hook; in 3.6 Missing only where nothing at all is live, and with its causes."""
    status, causes, counted, present = "Healthy", list[Key](), False, False
    for key in sorted({*targets, *live}):
        target, item = targets.get(key), live.get(key)
        if (target is not None and manifests.is_skipped(target)) or (item is not None and manifests.is_hook(item)):
            continue
        counted = True
        present = present or item is not None
        if item is None or manifests.ignores_health(item):
            continue
        found = health.of(item)
        if found is None:
            continue
        if health.is_worse(status, found.status):
            status, causes = found.status, [key]
        elif found.status == status != "Healthy":
            causes.append(key)
    if counted and not present and health.is_worse(status, "Missing"):
        return "Missing", ""
    return status, _causes(causes)


def _causes(keys: Sequence[Key]) -> str:
    """``formatHealthCauses``."""
    if not keys:
        return ""
    shown = [f"{key.group}/{key.kind}" if key.group else key.kind for key in keys]
    parts = [f"{kind}:{key.namespace}/{key.name}" for kind, key in zip(shown, keys, strict=True)]
    more = f" and {len(parts) - _MOST_CAUSES} more" if len(parts) > _MOST_CAUSES else ""
    return "Caused by " + ", ".join(parts[:_MOST_CAUSES]) + more
