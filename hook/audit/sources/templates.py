"""Renders the Applications of an ApplicationSet as far as its manifest tells: lists, and what matrix and merge make of them.

It substitutes plain fields, ``{{ .a.b }}`` or ``{{a.b}}``, and runs no template code: what needs more keeps its braces, and
so was not seen. Argo CD's own `argocd appset generate` renders all of it.
"""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

import yaml

from hook.adapters.answers import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

BRACES = re.compile(r"\{\{")
_GO = re.compile(r"\{\{-?\s*\.([\w.]+)\s*(?:\|\s*(?:quote|toString)\s*)?-?\}\}")
_FAST = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")
_MOST = 1000
"""So many Applications are rendered at the most: an audit is about a handful."""

_PATCHED = {"labels": "labels", "syncPolicy": "sync policy", "source": "sources"}
"""What a templatePatch may change that matters here, by the word that it has to use."""

Parameters = dict[str, Any]


def rendered(spec: Answer) -> tuple[list[dict[str, Any]], bool]:
    """Return the Applications of an ApplicationSet's specification, and whether those are all.

    Each has the fields that a patch which could not be rendered may change under ``unseen``.
    """
    uses_go, template = spec["goTemplate"].flag(), spec["template"].object()
    patch = spec["templatePatch"].text()
    found, complete = [], True
    for generator in spec["generators"]:
        parameters, is_all = _parameters(generator)
        complete &= is_all
        own = _own_template(generator)
        merged = _merged(template, own)
        found += [_application(merged, patch, one, uses_go=uses_go) for one in parameters[:_MOST]]
    named = [one for one in found if not BRACES.search(Answer(one, "the template")["metadata"]["name"].text("{{"))]
    return named, complete and len(named) == len(found)


def _application(template: Any, patch: str, parameters: Parameters, *, uses_go: bool) -> dict[str, Any]:  # noqa: ANN401
    made: dict[str, Any] = _substituted(template, parameters, _GO if uses_go else _FAST)
    unseen: list[str] = []
    if patch:
        text = _substituted(patch, parameters, _GO)
        try:
            change = None if BRACES.search(text) else yaml.safe_load(text)
        except yaml.YAMLError:
            change = None
        if isinstance(change, dict):
            made = _merged(made, change)
        else:
            unseen = [name for word, name in _PATCHED.items() if word in text]
    return {**made, "unseen": unseen}


def _own_template(generator: Answer) -> Any:  # noqa: ANN401 -- decoded YAML
    """Return the template that a generator has of its own, which wins over the set's."""
    for name in generator.object():
        if name != "selector" and generator[name]["template"].is_there:
            return generator[name]["template"].object()
    return {}


def _parameters(generator: Answer) -> tuple[list[Parameters], bool]:
    """Return a generator's parameters, and whether those are all: of what asks others for them there is one, empty."""
    found: list[Parameters] = [{}]
    complete = False
    if generator["list"].is_there:
        found, complete = _of_list(generator["list"])
    elif generator["matrix"].is_there:
        parts = [_parameters(one) for one in generator["matrix"]["generators"]]
        found = [_joined(combination) for combination in product(*(one for one, _ in parts))]
        complete = all(is_all for _, is_all in parts)
    elif generator["merge"].is_there:
        found, complete = _of_merge(generator["merge"])
    if generator["selector"].is_there:
        return [one for one in found if _is_selected(generator["selector"], one)], complete
    return found, complete


def _of_list(generator: Answer) -> tuple[list[Parameters], bool]:
    elements = [one.object() for one in generator["elements"]]
    written = generator["elementsYaml"].text()
    if not written:
        return elements, True
    try:
        more = None if BRACES.search(written) else yaml.safe_load(written)
    except yaml.YAMLError:
        more = None
    if not isinstance(more, list):
        return elements, False
    return elements + [one for one in more if isinstance(one, dict)], True


def _of_merge(generator: Answer) -> tuple[list[Parameters], bool]:
    parts = [_parameters(one) for one in generator["generators"]]
    keys = [key.text() for key in generator["mergeKeys"]]
    if not parts:
        return [], True
    base = [dict(one) for one in parts[0][0]]
    for others, _ in parts[1:]:
        for one in base:
            for other in others:
                if all(_at(one, key) is not None and _at(one, key) == _at(other, key) for key in keys):
                    one.update(other)
    return base, all(is_all for _, is_all in parts)


def _joined(parts: tuple[Parameters, ...]) -> Parameters:
    joined: Parameters = {}
    for part in parts:
        joined = _merged(joined, part)
    return joined


def _is_selected(selector: Answer, parameters: Parameters) -> bool:
    """Tell whether a generator's selector takes these parameters, as Kubernetes' label selectors do."""
    for key, wanted in selector["matchLabels"].texts().items():
        if str(_at(parameters, key)) != wanted:
            return False
    for one in selector["matchExpressions"]:
        value, operator = _at(parameters, one["key"].text()), one["operator"].text()
        values = [wanted.text() for wanted in one["values"]]
        is_in = value is not None and str(value) in values
        if {"In": is_in, "NotIn": not is_in, "Exists": value is not None, "DoesNotExist": value is None}.get(
            operator
        ) is False:
            return False
    return True


def _substituted(value: Any, parameters: Parameters, braces: re.Pattern[str]) -> Any:  # noqa: ANN401 -- decoded YAML
    if isinstance(value, dict):
        return {
            _substituted(key, parameters, braces): _substituted(one, parameters, braces) for key, one in value.items()
        }
    if isinstance(value, list):
        return [_substituted(one, parameters, braces) for one in value]
    if not isinstance(value, str):
        return value

    def replacement(found: re.Match[str]) -> str:
        filled = _at(parameters, found[1])
        return found[0] if filled is None or isinstance(filled, (dict, list)) else str(filled)

    return braces.sub(replacement, value)


def _at(parameters: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 -- decoded YAML
    """Return a parameter by its flat name, else by its path."""
    if path in parameters:
        return parameters[path]
    value: Any = parameters
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _merged(below: Any, above: Any) -> Any:  # noqa: ANN401 -- decoded YAML
    """Return both, block by block; where both give a value, ``above`` has its way."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return {**below, **{name: _merged(below[name], one) if name in below else one for name, one in above.items()}}
