"""The part of Argo CD's CRDs that is written from outside: an Application's ``operation``, and what is required.

It knows the structural schema of manifests/crds/application-crd.yaml (argo-cd 3.6) as far as the lab writes to it, and
does with it what k8s.io/apiextensions-apiserver does: unknown fields are pruned silently, wrong types and missing
fields are refused. What is not described here is kept as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from lab.fake_api.statuses import Cause, invalid_value, required

Json = dict[str, Any]


@dataclass(frozen=True)
class Schema:
    """One node of a structural schema. An object without properties keeps whatever is in it."""

    type: str
    properties: Mapping[str, "Schema"] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    items: "Schema | None" = None
    is_time: bool = False
    """``format: date-time``."""


_STRING, _BOOLEAN, _INTEGER, _ANY = Schema("string"), Schema("boolean"), Schema("integer"), Schema("object")
_TIME = Schema("string", is_time=True)
_STRINGS = Schema("array", items=_STRING)
_NAMED = Schema("object", {"name": _STRING, "value": _STRING}, ("name", "value"))
_FORCE = Schema("object", {"force": _BOOLEAN})
_SYNC = Schema(
    "object",
    {
        "autoHealAttemptsCount": _INTEGER,
        "dryRun": _BOOLEAN,
        "manifests": _STRINGS,
        "prune": _BOOLEAN,
        "resources": Schema(
            "array",
            items=Schema(
                "object",
                {"group": _STRING, "kind": _STRING, "name": _STRING, "namespace": _STRING},
                ("kind", "name"),
            ),
        ),
        "revision": _STRING,
        "revisions": _STRINGS,
        "source": _ANY,
        "sources": Schema("array", items=_ANY),
        "syncOptions": _STRINGS,
        "syncStrategy": Schema("object", {"apply": _FORCE, "hook": _FORCE}),
    },
)
_RETRY = Schema(
    "object",
    {
        "backoff": Schema("object", {"duration": _STRING, "factor": _INTEGER, "maxDuration": _STRING}),
        "limit": _INTEGER,
        "refresh": _BOOLEAN,
    },
)
_OPERATION = Schema(
    "object",
    {
        "info": Schema("array", items=_NAMED),
        "initiatedBy": Schema("object", {"automated": _BOOLEAN, "username": _STRING}),
        "retry": _RETRY,
        "sync": _SYNC,
    },
)
_CONDITION = {"type": _STRING, "message": _STRING, "lastTransitionTime": _TIME}
_STATUS = Schema(
    "object",
    {
        "operationState": Schema(
            "object",
            {
                "operation": _OPERATION,
                "phase": _STRING,
                "message": _STRING,
                "startedAt": _TIME,
                "finishedAt": _TIME,
                "retryCount": _INTEGER,
                "syncResult": Schema("object", {}, ("revision",)),
            },
            ("operation", "phase", "startedAt"),
        ),
        "sync": Schema("object", {}, ("status",)),
        "reconciledAt": _TIME,
        "resources": Schema("array", items=_ANY),
        "conditions": Schema("array", items=Schema("object", _CONDITION, ("message", "type"))),
        **dict.fromkeys(("health", "summary", "sourceHydrator"), _ANY),
        **dict.fromkeys(("resourceHealthSource", "sourceType", "controllerNamespace"), _STRING),
        "observedAt": _TIME,
        "history": Schema("array", items=Schema("object", {}, ("deployedAt", "id"))),
        "sourceTypes": _STRINGS,
    },
)
_TOP = {"apiVersion": _STRING, "kind": _STRING, "metadata": _ANY}
_SCHEMAS = {
    "Application": Schema(
        "object",
        {
            **_TOP,
            "operation": _OPERATION,
            "spec": Schema("object", {}, ("destination", "project")),
            "status": _STATUS,
        },
        ("metadata", "spec"),
    ),
    "ApplicationSet": Schema(
        "object",
        {**_TOP, "spec": Schema("object", {}, ("generators", "template")), "status": _ANY},
        ("metadata", "spec"),
    ),
    "AppProject": Schema("object", {**_TOP, "spec": _ANY, "status": _ANY}, ("metadata", "spec")),
}
_PYTHON: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "object": Mapping,
    "array": list,
}


def prune(kind: str, item: Json) -> Json:
    """Without the fields that the schema does not have, silently, as the real one."""
    pruned: Json = _pruned(_SCHEMAS[kind], item)
    return pruned


def check(kind: str, item: Json) -> list[Cause]:
    """Everything that the schema refuses."""
    return _check(_SCHEMAS[kind], item, "")


def _pruned(schema: Schema, value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Mapping) and schema.type == "object" and schema.properties:
        return {key: _pruned(schema.properties[key], inner) for key, inner in value.items() if key in schema.properties}
    if isinstance(value, list) and schema.items is not None:
        return [_pruned(schema.items, inner) for inner in value]
    return value


def _check(schema: Schema, value: Any, path: str) -> list[Cause]:  # noqa: ANN401
    wrong_bool = schema.type == "integer" and isinstance(value, bool)
    if not isinstance(value, _PYTHON[schema.type]) or wrong_bool:
        found = type(value).__name__
        where = path or "<nil>"
        return [invalid_value(where, found, f'{where} in body must be of type {schema.type}: "{found}"')]
    if schema.is_time and not _is_time(str(value)):
        return [invalid_value(path, value, f'{path} in body must be of type date-time: "{value}"')]
    causes: list[Cause] = []
    if isinstance(value, Mapping):
        prefix = f"{path}." if path else ""
        causes += [required(prefix + name) for name in schema.needed if name not in value]
        for key, inner in value.items():
            if key in schema.properties:
                causes += _check(schema.properties[key], inner, prefix + key)
    elif isinstance(value, list) and schema.items is not None:
        for index, inner in enumerate(value):
            causes += _check(schema.items, inner, f"{path}[{index}]")
    return causes


def _is_time(text: str) -> bool:
    """RFC 3339, which wants a zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None and "T" in text.upper()
    except ValueError:
        return False
