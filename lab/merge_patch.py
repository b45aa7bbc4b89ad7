"""RFC 7386 merge patches: applying one, and making the one that turns one object into another.

It knows JSON values only. The stand-in API server applies them; Argo CD's stand-in makes them, as the real controller
does for an Application's status (``createMergePatch`` in argo-cd's controller/appcontroller.go).
"""

import copy
from collections.abc import Mapping
from typing import Any


def apply(target: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value that RFC 7386, section 2, gives. Neither argument is changed or shared with the result."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result: dict[str, Any] = copy.deepcopy(dict(target)) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes ``new`` of ``old``; empty when they are equal."""
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            patch[key] = diff(before, value)
        else:
            patch[key] = copy.deepcopy(value)
    return patch
