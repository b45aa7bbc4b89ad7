"""What the chart's tests share: where the chart is, its scenarios, and what to find in what helm rendered."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

CHART = Path(__file__).parent.parent.parent / "charts" / "temporal-recovery-hook"
SCENARIOS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}

SMALLEST: Json = {
    "temporal": {"version": "1.29.1"},
    "stores": {"default": {"host": "db", "secret": {"name": "temporal-db-app"}}},
    "migrations": {"application": {"name": "data-migrations-temporal"}},
}
"""The smallest install, to add to."""


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Json:
    """Both, block by block, as helm merges values files."""
    result = dict(below)
    for name, value in above.items():
        under = result.get(name)
        result[name] = merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return result


def values_of(scenario: str) -> Json:
    """A scenario's values over the chart's own, as a template sees them."""
    own = yaml.safe_load((CHART / "values.yaml").read_text())
    return merged(own, yaml.safe_load(SCENARIOS[scenario].read_text()))


def setting(path: str, value: object) -> Json:
    """``{"a": {"b": value}}`` for ``a.b``."""
    first, _, rest = path.partition(".")
    return {first: setting(rest, value) if rest else value}


def identity(one: Json) -> str:
    """Kind, namespace and name."""
    return f"{one['kind']} {one['metadata']['namespace']}/{one['metadata']['name']}"


def of_kind(objects: Iterable[Json], kind: str, component: str | None = None) -> list[Json]:
    """The objects of a kind, and of a component where it is given; what extraObjects adds has none."""
    label = "app.kubernetes.io/component"
    found = [one for one in objects if one["kind"] == kind]
    return [one for one in found if component in (None, one["metadata"].get("labels", {}).get(label))]


def the(objects: Iterable[Json], kind: str, component: str | None = None) -> Json:
    """The only object of a kind."""
    (one,) = of_kind(objects, kind, component)
    return one


def job_specs(objects: Iterable[Json]) -> list[Json]:
    """The specs of all Jobs, the watchdog's included."""
    objects = list(objects)
    jobs = [one["spec"] for one in of_kind(objects, "Job")]
    return jobs + [one["spec"]["jobTemplate"]["spec"] for one in of_kind(objects, "CronJob")]


def config(objects: Iterable[Json], component: str = "gate") -> str:
    """The settings file of the gate, or of the watchdog."""
    return str(the(objects, "ConfigMap", component)["data"]["config.yaml"])


def receipt(objects: Iterable[Json]) -> Json:
    """The receipt's data."""
    return dict(the(objects, "ConfigMap", "receipt")["data"])


def rights(objects: Iterable[Json], account: str) -> dict[str, list[Json]]:
    """The rules that a service account of the gate's namespace has, by namespace, through its bindings."""
    objects = list(objects)
    roles = {identity(role): role["rules"] for role in of_kind(objects, "Role")}
    found: dict[str, list[Json]] = {}
    for binding in of_kind(objects, "RoleBinding"):
        if any(subject["name"] == account for subject in binding["subjects"]):
            namespace = binding["metadata"]["namespace"]
            found.setdefault(namespace, []).extend(roles[f"Role {namespace}/{binding['roleRef']['name']}"])
    return found


def canonical(found: Mapping[str, Iterable[Json]]) -> dict[str, set[str]]:
    """Rights as sets of single grants, so that the order in which they are written does not count."""
    return {
        namespace: {
            " ".join((verb, f"{group}/{resource}", name))
            for rule in rules
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames", ["*"])
        }
        for namespace, rules in found.items()
    }


def said(refusal: str) -> list[str]:
    """The lines of helm's refusal that are the chart's or the schema's, without helm's own frame."""
    lines = [line.strip().removeprefix("- ") for line in refusal.splitlines()]
    return [line for line in lines if line and not re.match(r"Error: |Use --debug|temporal-recovery-hook:$", line)]
