"""What Argo CD reads from a manifest: hooks, waves, options; and how it applies one.

It knows the annotations (gitops-engine/pkg/sync/{hook,syncwaves,resource}) and kubectl's three-way apply as far as the
lab's kinds need it. Paths of the API are told by kind.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lab.actor import NotModelledError
from lab.api_client import Json

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
TRACKING_ID = "argocd.argoproj.io/tracking-id"
HOOK_FINALIZER = "argocd.argoproj.io/hook-finalizer"
_SYNC_OPTIONS = "argocd.argoproj.io/sync-options"

PHASES = ("PreSync", "Sync", "PostSync")
_NOT_MODELLED = ("SyncFail", "PreDelete", "PostDelete", "Prune=confirm", "Delete=confirm")
"""Hooks and sync options that change what a real sync or deletion does."""
_HELM_HOOKS = {
    "pre-install": "PreSync",
    "pre-upgrade": "PreSync",
    "post-install": "PostSync",
    "post-upgrade": "PostSync",
}
_HELM_POLICIES = {
    "before-hook-creation": "BeforeHookCreation",
    "hook-succeeded": "HookSucceeded",
    "hook-failed": "HookFailed",
}
KINDS = {
    "Namespace": ("", "v1", "namespaces"),
    "ConfigMap": ("", "v1", "configmaps"),
    "Secret": ("", "v1", "secrets"),
    "Service": ("", "v1", "services"),
    "Deployment": ("apps", "v1", "deployments"),
    "Job": ("batch", "v1", "jobs"),
}
"""The kinds that an Application of the lab may hold."""


@dataclass(frozen=True, order=True)
class Key:
    """Which object: ordered as ``resourceStatusKey`` sorts ``status.resources``."""

    group: str
    kind: str
    namespace: str
    name: str


def key(item: Mapping[str, Any]) -> Key:
    """The key of an object or of a manifest that has its namespace."""
    group = item["apiVersion"].rpartition("/")[0]
    return Key(group, item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])


def collection(kind: str, namespace: str = "") -> str:
    """The API path of a kind's collection; without a namespace of all of them."""
    group, version, plural = KINDS[kind]
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"


def path(which: Key) -> str:
    """The API path of one object."""
    return f"{collection(which.kind, which.namespace)}/{which.name}"


def annotation(item: Mapping[str, Any], name: str) -> str:
    """An annotation's text, empty when there is none."""
    return str((item["metadata"].get("annotations") or {}).get(name, ""))


def _listed(item: Mapping[str, Any], name: str) -> list[str]:
    return [part.strip() for part in annotation(item, name).split(",") if part.strip()]


def hook_types(item: Mapping[str, Any]) -> list[str]:
    """``hook.Types``: Argo CD's annotation, else Helm's; a comma-separated list."""
    types = [each for each in _listed(item, "argocd.argoproj.io/hook") if each in (*PHASES, "Skip")]
    if types:
        return types
    return [_HELM_HOOKS[each] for each in _listed(item, "helm.sh/hook") if each in _HELM_HOOKS]


def is_hook(item: Mapping[str, Any]) -> bool:
    """``hook.IsHook``: any hook annotation but a lone Skip."""
    types = hook_types(item)
    return bool(types) and types != ["Skip"]


def is_skipped(item: Mapping[str, Any]) -> bool:
    """``hook.Skip``: neither applied nor counted."""
    return hook_types(item) == ["Skip"]


def sync_phases(item: Mapping[str, Any]) -> list[str]:
    """In which phases of a sync it takes part."""
    if is_skipped(item):
        return []
    return [each for each in PHASES if each in hook_types(item)] if is_hook(item) else ["Sync"]


def wave(item: Mapping[str, Any]) -> int:
    """``syncwaves.Wave``: Argo CD's annotation, else Helm's hook weight, else 0."""
    for name in ("argocd.argoproj.io/sync-wave", "helm.sh/hook-weight"):
        text = annotation(item, name)
        if text.lstrip("-").isdigit():
            return int(text)
    return 0


def delete_policies(item: Mapping[str, Any]) -> list[str]:
    """``hook.DeletePolicies``: BeforeHookCreation where none is given."""
    policies = _listed(item, "argocd.argoproj.io/hook-delete-policy")
    helm = _listed(item, "helm.sh/hook-delete-policy")
    policies += [_HELM_POLICIES[each] for each in helm if each in _HELM_POLICIES]
    return policies or ["BeforeHookCreation"]


def has_option(item: Mapping[str, Any] | None, option: str) -> bool:
    """One of the ``argocd.argoproj.io/sync-options``."""
    return item is not None and option in _listed(item, _SYNC_OPTIONS)


def is_extraneous(item: Mapping[str, Any]) -> bool:
    """``argocd.argoproj.io/compare-options: IgnoreExtraneous``: to be pruned, and no reason to be OutOfSync."""
    return "IgnoreExtraneous" in _listed(item, "argocd.argoproj.io/compare-options")


def ignores_health(item: Mapping[str, Any]) -> bool:
    """``argocd.argoproj.io/ignore-healthcheck: "true"``."""
    return annotation(item, "argocd.argoproj.io/ignore-healthcheck") == "true"


def target(manifest: Mapping[str, Any], application: str, namespace: str) -> Json:
    """A manifest as Argo CD will apply it: in a namespace, with the tracking id (the default method since 3.0)."""
    item: Json = copy.deepcopy(dict(manifest))
    said = [*_listed(item, "argocd.argoproj.io/hook"), *_listed(item, _SYNC_OPTIONS)]
    if unknown := [each for each in said if each in _NOT_MODELLED]:
        message = f"not modelled of a manifest: {', '.join(unknown)}"
        raise NotModelledError(message)
    metadata = item["metadata"]
    if item["kind"] != "Namespace":
        metadata.setdefault("namespace", namespace)
    which = key(item)
    group_kind = f"{which.group}/{which.kind}"
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        TRACKING_ID: f"{application}:{group_kind}:{which.namespace}/{which.name}",
    }
    return item


def tracked_by(item: Mapping[str, Any], application: str) -> bool:
    """Whether an object says that it belongs to the Application, by an id that is its own and not copied."""
    which = key(item)
    wanted = f"{application}:{which.group}/{which.kind}:{which.namespace}/{which.name}"
    return annotation(item, TRACKING_ID) == wanted


def owner(item: Mapping[str, Any]) -> str:
    """The Application that an object's tracking id names (``GetAppName``), whether or not the id is its own."""
    return annotation(item, TRACKING_ID).partition(":")[0]


def with_last_applied(manifest: Mapping[str, Any]) -> Json:
    """The manifest with kubectl's annotation of itself, as ``kubectl create --save-config`` sends it."""
    item: Json = copy.deepcopy(dict(manifest))
    item["metadata"].setdefault("annotations", {})[LAST_APPLIED] = json.dumps(manifest, sort_keys=True)
    return item


def applied(live: Mapping[str, Any], manifest: Mapping[str, Any]) -> Json:
    """What ``kubectl apply`` makes of the live object: fields that git had and has no more go, the others merge."""
    before = json.loads(annotation(live, LAST_APPLIED) or "{}")
    result: Json = _three_way(before, live, manifest)
    result["metadata"]["annotations"][LAST_APPLIED] = json.dumps(manifest, sort_keys=True)
    return result


def differs(live: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Whether applying would change anything but kubectl's own annotation."""
    result = applied(live, manifest)
    result["metadata"]["annotations"].pop(LAST_APPLIED, None)
    present: Json = copy.deepcopy(dict(live))
    present["metadata"].setdefault("annotations", {}).pop(LAST_APPLIED, None)
    return bool(result != present)


def _three_way(before: Any, live: Any, wanted: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        old = before if isinstance(before, Mapping) else {}
        kept = {name: value for name, value in live.items() if name in wanted or name not in old}
        merged = {name: _three_way(old.get(name), live.get(name), value) for name, value in wanted.items()}
        return {**copy.deepcopy(kept), **merged}
    if isinstance(wanted, list) and isinstance(live, list) and _merges_by_name(wanted) and _merges_by_name(live):
        old_items = {each["name"]: each for each in before} if isinstance(before, list) else {}
        live_items = {each["name"]: each for each in live}
        return [_three_way(old_items.get(each["name"]), live_items.get(each["name"]), each) for each in wanted]
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        return [_three_way(None, was, each) for was, each in zip(live, wanted, strict=True)]
    return copy.deepcopy(wanted)


def _merges_by_name(items: list[Any]) -> bool:
    """Containers, volumes, environment: strategic merge's ``patchMergeKey=name``."""
    return bool(items) and all(isinstance(each, Mapping) and "name" in each for each in items)
