"""The writes of a sync: apply, replace, delete, hook finalizers.

It knows what kubectl and ``applyObject``/``pruneObject`` of gitops-engine/pkg/sync/sync_context.go do with one object.
"""

import time
from collections.abc import Mapping
from typing import Any

from lab.actor import NotModelledError
from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import manifests
from lab.argocd.manifests import HOOK_FINALIZER

_GONE_SECONDS = 10.0
_POLL_SECONDS = 0.01
_NOT_FOUND, _CONFLICT, _INVALID = 404, 409, 422


def apply_object(
    client: ApiClient, target: Json, live: Json | None, *, replace: bool, force: bool, server_side: bool
) -> str:
    """Create, apply or replace; answers what kubectl would print and raises ApiError when it is refused.

    A replace without force is a PUT, which a Job refuses: its selector and its pods' labels are made at creation. With
    force it deletes, waits until the object is gone, and creates (``kubectl replace --force``). A server-side apply is
    that of an absent or an unchanged object: who owns which field is not modelled.
    """
    which = manifests.key(target)
    label = f"{which.kind.lower()}.{which.group}/{which.name}" if which.group else f"{which.kind.lower()}/{which.name}"
    collection = manifests.collection(which.kind, which.namespace)
    if server_side and not replace:
        return _apply_server_side(client, target, live, label)
    if live is None:
        client.create(collection, manifests.with_last_applied(target))
        return f"{label} created"
    if replace and force:
        _recreate(client, target, live)
        return f"{label} replaced"
    if replace:
        client.replace(manifests.path(which), manifests.with_last_applied(target))
        return f"{label} replaced"
    if not manifests.differs(live, target):
        return f"{label} unchanged"
    try:
        client.replace(manifests.path(which), manifests.applied(live, target))
    except ApiError as error:
        if not force or error.status not in (_CONFLICT, _INVALID):
            raise
        _recreate(client, target, live)
    return f"{label} configured"


def _apply_server_side(client: ApiClient, target: Json, live: Json | None, label: str) -> str:
    if live is None:
        which = manifests.key(target)
        client.create(manifests.collection(which.kind, which.namespace), target)
    elif manifests.differs(live, target):
        message = f"not modelled: ServerSideApply of a change, to {label}"
        raise NotModelledError(message)
    return f"{label} serverside-applied"


def _recreate(client: ApiClient, target: Json, live: Json) -> None:
    which = manifests.key(target)
    delete(client, live)
    deadline = time.monotonic() + _GONE_SECONDS
    while exists(client, live):
        if time.monotonic() > deadline:
            message = f"timed out waiting for the condition on {which.kind.lower()}/{which.name}"
            raise ApiError(0, "Timeout", message)
        time.sleep(_POLL_SECONDS)
    client.create(manifests.collection(which.kind, which.namespace), manifests.with_last_applied(target))


def read(client: ApiClient, item: Mapping[str, Any]) -> Json | None:
    """The live object under this key, whatever its uid."""
    try:
        return client.get(manifests.path(manifests.key(item)))
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def exists(client: ApiClient, item: Mapping[str, Any]) -> bool:
    """Whether this very incarnation is still there."""
    found = read(client, item)
    return found is not None and found["metadata"]["uid"] == item["metadata"]["uid"]


def delete(client: ApiClient, item: Mapping[str, Any]) -> bool:
    """Delete it; False when it was gone already."""
    try:
        client.delete(manifests.path(manifests.key(item)))
    except ApiError as error:
        if error.status == _NOT_FOUND:
            return False
        raise
    return True


def remove_hook_finalizer(client: ApiClient, item: Mapping[str, Any]) -> None:
    """Let go of a hook's object: it carries the finalizer while its sync runs (2.14+)."""
    left = [each for each in item["metadata"].get("finalizers", []) if each != HOOK_FINALIZER]
    if left == item["metadata"].get("finalizers", []):
        return
    patch = {"metadata": {"uid": item["metadata"]["uid"], "finalizers": left}}
    try:
        client.patch(manifests.path(manifests.key(item)), patch)
    except ApiError as error:
        if error.status not in (_NOT_FOUND, _CONFLICT):
            raise
