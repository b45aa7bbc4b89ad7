"""What the API server says of a custom resource, by the CRD that its project publishes in its Go module.

Unknown fields, wrong types, values that are none of an enumeration, and what is missing; no rules in CEL.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def schemas(*files: Path) -> dict[tuple[str, str], Json]:
    """The structural schemas of these CRDs, by apiVersion and kind."""
    found = {}
    for file in files:
        spec = yaml.safe_load(file.read_text())["spec"]
        for version in spec["versions"]:
            identity = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            found[identity] = version["schema"]["openAPIV3Schema"]
    return found


def faults(value: object, schema: Json, path: str = "") -> Iterator[str]:
    """What is wrong with a value, as ``kubectl apply`` with strict validation would refuse it."""
    if schema.get("x-kubernetes-int-or-string") or "type" not in schema:
        return
    wanted = schema["type"]
    if not isinstance(value, _TYPES[wanted]) or (wanted != "boolean" and isinstance(value, bool)):
        yield f"{path}: {value!r} is no {wanted}"
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is none of {schema['enum']}"
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from faults(item, schema["items"], f"{path}[{number}]")
    elif isinstance(value, dict):
        yield from _of_object(value, schema, path)


def _of_object(value: Json, schema: Json, path: str) -> Iterator[str]:
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name}: required"
    for name, item in value.items():
        if name in properties:
            yield from faults(item, properties[name], f"{path}.{name}")
        elif isinstance(others, dict):
            yield from faults(item, others, f"{path}.{name}")
        elif properties and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: unknown field"
