"""Label and field selectors.

It knows their grammar (k8s.io/apimachinery/pkg/labels/selector.go and pkg/fields/selector.go) and how to ask an object.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.fake_api.resources import Resource
from lab.fake_api.statuses import bad_request

Matches = Callable[[Mapping[str, Any]], bool]

_KEY = r"[A-Za-z0-9](?:[-A-Za-z0-9_./]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")


def labels(selector: str) -> Matches:
    """Equality, ``in``, ``notin``, ``key`` and ``!key``, all of which must hold."""
    wanted = [_requirement(each) for each in _split(selector)]

    def matches(item: Mapping[str, Any]) -> bool:
        present = item["metadata"].get("labels") or {}
        return all(requirement(present) for requirement in wanted)

    return matches


def _split(selector: str) -> list[str]:
    """At the commas that stand outside of parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _requirement(text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _EQUALITY.fullmatch(text):
        key, operator, value = found.groups()
        if operator == "!=":
            return lambda present: present.get(key) != value
        return lambda present: present.get(key) == value
    if found := _SET.fullmatch(text):
        key, operator, listed = found.groups()
        values = {value.strip() for value in listed.split(",")}
        if operator == "in":
            return lambda present: key in present and present[key] in values
        return lambda present: present.get(key) not in values
    if found := _EXISTS.fullmatch(text):
        negated, key = found.groups()
        return lambda present: (key in present) != bool(negated)
    raise bad_request(f"unable to parse requirement: found '{text}', expected: identifier")


def fields(selector: str, resource: Resource) -> Matches:
    """``path=value``, ``path==value`` and ``path!=value``; only the fields the real server has indexed."""
    wanted: list[tuple[str, bool, str]] = []
    for term in filter(None, selector.split(",")):
        found = re.fullmatch(r"([^=!]+)(==|=|!=)(.*)", term)
        if found is None:
            raise bad_request(f"invalid selector: '{selector}'; can't understand '{term}'")
        path, operator, value = found.groups()
        if path not in ("metadata.name", "metadata.namespace", *resource.selectable):
            raise bad_request(
                f'Unable to find "{resource.group}/{resource.version}, Resource={resource.plural}" that match '
                f'label selector "", field selector "{selector}": field label not supported: {path}'
            )
        wanted.append((path, operator != "!=", value))

    def matches(item: Mapping[str, Any]) -> bool:
        return all((field(item, path) == value) is equal for path, equal, value in wanted)

    return matches


def exact_name(selector: str) -> str:
    """The name that ``metadata.name=…`` pins, as request info takes it for authorization; else empty."""
    for term in selector.split(","):
        found = re.fullmatch(r"metadata\.name==?([^=]+)", term)
        if found is not None:
            return found.group(1)
    return ""


def field(item: Mapping[str, Any], path: str) -> str:
    """A field's value as the server's field sets hold it: text, empty when unset."""
    if path == "source":
        path = "source.component"
    if path == "status.successful":
        path = "status.succeeded"
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        return "0" if path == "status.succeeded" else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
