"""What describes the chart agrees with it: README, schema, Chart.yaml."""

import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from rendering import CHART, SCENARIOS, Json, values_of

from lab.helm import Helm

ROOT = CHART.parent.parent
VERSION = version("temporal-recovery-hook")
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())

KUBERNETES_OWN = {
    "global": "a parent chart's",
    "affinity.nodeAffinity": "Kubernetes' own type",
    "affinity.podAffinity": "Kubernetes' own type",
    "affinity.podAntiAffinity": "Kubernetes' own type",
    "topologySpreadConstraints[].labelSelector": "Kubernetes' own type",
    "extraEnv[].valueFrom": "Kubernetes' own type",
    "extraVolumes[]": "Kubernetes' own type, of some thirty kinds",
    "extraContainers[]": "Kubernetes' own type",
    "extraObjects[]": "an object of any kind",
    "extraObjects[].metadata": "an object of any kind",
}
"""What the schema leaves to the API server, and why."""


def resolved(schema: Json) -> Json:
    """The schema behind a reference."""
    if "$ref" in schema:
        return dict(SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]])
    for one in schema.get("anyOf", ()):
        if "$ref" in one:
            return resolved(one)
    return schema


def objects(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Yield the schema of each object, with its path."""
    schema = resolved(schema)
    if schema.get("type") == "object":
        yield path, schema
        for name, one in schema.get("properties", {}).items():
            yield from objects(one, f"{path}.{name}".removeprefix("."))
    if schema.get("type") == "array":
        yield from objects(schema["items"], f"{path}[]")


def test_the_schema_is_closed() -> None:
    """A value that is not listed is refused, except in what is Kubernetes' own."""
    unlisted = {path for path, schema in objects(SCHEMA) if schema.get("additionalProperties", True) is True}
    assert unlisted == set(KUBERNETES_OWN)


def test_schema_and_values_list_the_same() -> None:
    def compare(schema: Json, block: object, path: str) -> None:
        schema = resolved(schema)
        if not schema.get("required") or not isinstance(block, dict):
            return  # Kubernetes' own, free names, or no block
        assert set(schema["required"]) == set(schema["properties"]), path
        assert set(schema["properties"]) == set(block), path
        for name, one in schema["properties"].items():
            compare(one, block[name], f"{path}.{name}")

    assert set(SCHEMA["required"]) == set(SCHEMA["properties"])
    compare(SCHEMA, VALUES, "")


def test_no_value_is_without_type_or_choice() -> None:
    def check(schema: Json, path: str) -> None:
        schema = resolved(schema)
        assert {"type", "enum", "anyOf"} & set(schema), path
        for name, one in schema.get("properties", {}).items():
            check(one, f"{path}.{name}")
        if "items" in schema:
            check(schema["items"], f"{path}[]")

    check(SCHEMA, "")


def test_readme_and_schema_are_as_generated() -> None:
    """They document every value; the script refuses one without its comment."""
    script = ROOT / "scripts" / "write_chart_readme.py"
    done = subprocess.run(  # noqa: S603 -- our own script
        [sys.executable, str(script), "--check"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_describes_every_value() -> None:
    """In the words of values.yaml: the script of the test above compares all, and fails for a value without its place."""
    described = SCHEMA["properties"]["stores"]["properties"]["default"]["properties"]["host"]["description"]
    assert described.startswith("Host of the default store's PostgreSQL.")


def test_the_chart_installs_this_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == VERSION
    image = f"{VALUES['image']['repository']}:{VERSION}"
    assert image in chart["annotations"]["artifacthub.io/images"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_says_what_it_is(scenario: str) -> None:
    assert SCENARIOS[scenario].read_text().startswith("# ")
    assert values_of(scenario) != VALUES


def test_the_full_scenario_differs_from_every_default() -> None:
    """So that nothing of the chart is rendered with its default alone; what another scenario shows is named."""

    def same(one: Json, other: object, path: str = "") -> Iterator[str]:
        if isinstance(other, dict) and other and path not in {"resources", "podSecurityContext", "securityContext"}:
            for name, value in other.items():
                yield from same(one[name], value, f"{path}.{name}".removeprefix("."))
        elif one == other:
            yield path

    assert set(same(values_of("full"), VALUES)) == {
        "argocd.context",
        "argocd.kubeconfigSecret.key",
        "argocd.kubeconfigSecret.name",
        "argocd.server.plainText",
        "enabled",
        "gate.application.enabled",
        "global",
        "hook.phase",
        "image.digest",
        "migrations.beforeServers",  # one-application
        "reachability",
        "rbac.applications.create",
        "rbac.create",
        "rbac.runtime.create",
        "serviceAccount.create",
        "stores.default.secret.portKey",
        "stores.visibility.enabled",
        "temporal.frontend.tls.caConfigMap.key",
        "temporal.frontend.tls.caConfigMap.name",
        "watchdog.reopenGate",
        *(
            f"stores.{store}.{path}"
            for store in ("default", "visibility")
            for path in (
                "caConfigMap.key",
                "caConfigMap.name",
                "secret.databaseKey",
                "secret.dsnKey",
                "secret.hostKey",
                "sslRootCert",
            )
        ),
    }


def test_what_is_packaged_is_the_chart(tmp_path: Path, helm3: Helm) -> None:
    """The README with all that it links to, the schema and every template."""
    with tarfile.open(helm3.package(CHART, tmp_path)) as package:
        listed = package.getnames()
    names = {name.removeprefix("temporal-recovery-hook/") for name in listed}
    assert {"Chart.yaml", "README.md", "values.yaml", "values.schema.json", "templates/receipt.yaml"} <= names
    linked = re.findall(r"\]\(([^)#]+)\)", (CHART / "README.md").read_text())
    assert len(linked) >= len(SCENARIOS)
    assert {link for link in linked if "://" not in link} <= names
