"""Ownership, names and readiness of API objects; plain functions without I/O."""

import random
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from lab.api_client import Json

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""``utilrand``'s: no vowels and no look-alikes (k8s.io/apimachinery/pkg/util/rand)."""


def random_suffix() -> str:
    """The five characters that the API server appends to a generateName."""
    return "".join(random.choices(_ALPHABET, k=5))  # noqa: S311 -- a name, not a secret


def safe_encode(number: int) -> str:
    """``SafeEncodeString`` of a number's decimal digits."""
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(number))


def timestamp(moment: datetime) -> str:
    """RFC 3339 in whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def controller_of(thing: Json) -> Json | None:
    """The owner reference of the controller that made it."""
    references: list[Json] = thing["metadata"].get("ownerReferences") or []
    return next((one for one in references if one.get("controller")), None)


def owned_by(owner: Json, things: Iterable[Json]) -> list[Json]:
    """Those that this incarnation of the owner made."""
    uid = owner["metadata"]["uid"]
    return [one for one in things if (controller_of(one) or {}).get("uid") == uid]


def owner_reference(api_version: str, kind: str, owner: Json) -> Json:
    """As ``metav1.NewControllerRef``."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def pod_from(template: Json, owner: Json, reference: Json, labels: Mapping[str, str]) -> Json:
    """A pod of the template with a name of its own."""
    metadata = template.get("metadata") or {}
    prefix = owner["metadata"]["name"] + "-"
    made: Json = {
        "name": prefix + random_suffix(),
        "generateName": prefix,
        "namespace": owner["metadata"]["namespace"],
        "labels": {**(metadata.get("labels") or {}), **labels},
        "ownerReferences": [reference],
    }
    if metadata.get("annotations"):
        made["annotations"] = metadata["annotations"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": template["spec"]}


def deleted(thing: Json) -> bool:
    """Whether its deletion has begun."""
    return "deletionTimestamp" in thing["metadata"]


def phase_of(pod: Json) -> str:
    """The pod's phase; Pending before anyone wrote one."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_active(pod: Json) -> bool:
    """``IsPodActive``: not ended and not being deleted."""
    return phase_of(pod) not in ("Succeeded", "Failed") and not deleted(pod)
