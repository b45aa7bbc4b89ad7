"""The examples and the docs' values: each is parsed, rendered by the chart, and says what the docs say of it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, Json, canonical, config, merged, of_kind

from lab.helm import Helm

ROOT = CHART.parent.parent
ROLLOUT = ROOT / "examples" / "rollout"
APPLICATION_SET = yaml.safe_load((ROLLOUT / "applicationset.yaml").read_text())
RELEASE = yaml.safe_load((ROLLOUT / "temporal" / "release.yaml").read_text())
TEMPLATE = APPLICATION_SET["spec"]["template"]["spec"]
ELEMENTS = {
    element["folder"]: element
    for generator in APPLICATION_SET["spec"]["generators"][0]["matrix"]["generators"]
    for element in generator.get("list", {}).get("elements", [])
}
DOCUMENTS = [path for path in sorted((ROOT / "examples").rglob("*.yaml")) if "templates" not in path.parts]


def parameters_for(chart: str) -> Json:
    """What the release's file and the ApplicationSet's Helm parameters set in a dependency."""
    found: Json = RELEASE[chart]
    for parameter in TEMPLATE["source"]["helm"]["parameters"]:
        dependency, _, path = parameter["name"].partition(".")
        if dependency == chart:
            value: Any = parameter["value"]
            for part in reversed(path.split(".")):
                value = {part: value}
            found = merged(found, value)
    return found


def gate_values(path: str) -> Json:
    """The values that one of the gates gets: the file's under the dependency's name, and the parameters."""
    own = yaml.safe_load((ROLLOUT / path / "values.yaml").read_text())["temporal-recovery-hook"]
    return merged(own, parameters_for("temporal-recovery-hook"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_yaml(document: Path) -> None:
    """Helm's templates aside, each file parses, and holds something."""
    assert all(yaml.safe_load_all(document.read_text()))


@pytest.mark.parametrize("path", ["temporal/gate", "temporal/second-gate"])
def test_the_gates_render(path: str, helm3: Helm) -> None:
    """Each gate renders with the release that runtime and migrations get, and with the commit in its receipt."""
    objects = helm3.objects(CHART, gate_values(path))
    settings = yaml.safe_load(config(objects))
    assert settings["temporal"]["version"] == RELEASE["temporal"]["server"]["image"]["tag"]
    assert settings["reachability"] == ("always" if path.endswith("second-gate") else "auto")
    named = {settings["migrations"]["application"]["name"], settings["runtime"]["application"]["name"]}
    named |= {application["name"] for application in settings.get("downstream") or []}
    assert named <= {element["name"] for element in ELEMENTS.values()}
    assert "$ARGOCD_APP_REVISION" in str(objects)


def test_one_file_feeds_the_release() -> None:
    """Runtime, migrations and gates take their release from one file in git, and from nowhere else.

    Not from a generator's values: Argo CD 3.6 may never sync what changes in the Application alone (argo-cd 27949).
    """
    assert TEMPLATE["source"]["helm"]["valueFiles"] == ["../release.yaml"]
    assert "{{" not in str(TEMPLATE["source"]["helm"])
    release = RELEASE["temporal"]["server"]["image"]["tag"]
    assert RELEASE["temporal-recovery-hook"]["temporal"]["version"] == release
    for name in ("temporal", "migrations"):
        assert RELEASE[name]["admintools"]["image"]["tag"].startswith(release)
    for path in ("temporal/gate", "temporal/second-gate"):
        own = yaml.safe_load((ROLLOUT / path / "values.yaml").read_text())["temporal-recovery-hook"]
        assert "version" not in own["temporal"]


def test_each_commit_has_a_schema_job_of_its_own() -> None:
    """A plain Job cannot be changed, so its name is the commit's; the one before is pruned."""
    (chart,) = yaml.safe_load((ROLLOUT / "temporal" / "migrations" / "Chart.yaml").read_text())["dependencies"]
    values = {parameter["name"]: parameter["value"] for parameter in TEMPLATE["source"]["helm"]["parameters"]}
    assert "$ARGOCD_APP_REVISION_SHORT" in values[f"{chart['alias']}.fullnameOverride"]
    assert TEMPLATE["syncPolicy"]["automated"]["prune"]


def test_the_steps_come_in_their_order() -> None:
    """Every Application has a folder and a step, in the order 265, 300, 450, 452, 455."""
    steps = APPLICATION_SET["spec"]["strategy"]["rollingSync"]["steps"]
    order = [value for step in steps for value in step["matchExpressions"][0]["values"]]
    assert order == ["265", "300", "450", "452", "455"]
    assert order == [element["phase"] for element in ELEMENTS.values()]
    assert all((ROLLOUT / path / "Chart.yaml").is_file() for path in ELEMENTS)
    labels = APPLICATION_SET["spec"]["template"]["metadata"]["labels"]
    assert {step["matchExpressions"][0]["key"] for step in steps} == set(labels)


def test_temporals_chart_is_split() -> None:
    """The migrations hold the schema Job alone, the runtime the servers alone, on the same databases."""
    migrations, runtime = (
        yaml.safe_load((ROLLOUT / "temporal" / name / "values.yaml").read_text())[alias]
        for name, alias in (("migrations", "migrations"), ("runtime", "temporal"))
    )
    assert not migrations["server"]["enabled"]
    assert migrations["schema"]["update"]["enabled"]
    assert runtime["server"]["enabled"]
    assert not any(step["enabled"] for step in runtime["schema"].values())
    assert migrations["server"]["config"] == runtime["server"]["config"]
    assert runtime["fullnameOverride"] != migrations["fullnameOverride"]


def test_the_retries_take_what_is_said() -> None:
    """Seventeen minutes of pauses at the worst."""
    retry = TEMPLATE["syncPolicy"]["retry"]
    pauses = [min(5 * 2**number, 180) for number in range(retry["limit"])]
    assert retry["backoff"] == {"duration": "5s", "factor": 2, "maxDuration": "3m"}
    assert round(sum(pauses) / 60) == 17


def test_the_bootstrap_renders(helm3: Helm) -> None:
    """Its Job is a hook, so that a sync runs it again; what is managed beside it makes RollingSync sync it at all."""
    namespaces, job = helm3.objects(ROLLOUT / "temporal" / "bootstrap", RELEASE)
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"
    assert "annotations" not in namespaces["metadata"]
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"temporalio/admin-tools:{RELEASE['temporal']['admintools']['image']['tag']}"
    (asked,) = [one for one in job["spec"]["template"]["spec"]["containers"][0]["env"] if one["name"] == "NAMESPACES"]
    assert asked["valueFrom"]["configMapKeyRef"]["name"] == namespaces["metadata"]["name"]
    assert namespaces["data"]["namespaces"] == "orders"


APPLICATION = yaml.safe_load((ROOT / "examples" / "without-rollingsync" / "application.yaml").read_text())


def test_the_examples_install_what_a_release_publishes() -> None:
    """The chart lies beside the image (release.yaml of the workflows), at this version."""
    repository = yaml.safe_load((CHART / "values.yaml").read_text())["image"]["repository"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    for path in ("gate", "second-gate"):
        (chart,) = yaml.safe_load((ROLLOUT / "temporal" / path / "Chart.yaml").read_text())["dependencies"]
        assert (chart["repository"], chart["version"]) == (f"oci://{repository}/charts", version)
    source = APPLICATION["spec"]["source"]
    assert (source["repoURL"], source["targetRevision"]) == (f"{repository}/charts", version)
    assert f"oci://{repository}/charts/temporal-recovery-hook" in (ROOT / "docs" / "install.md").read_text()
    workflow = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    assert 'registry=ghcr.io/${GITHUB_REPOSITORY,,}"' in workflow
    assert '"oci://$IMAGE/charts"' in workflow


def test_the_application_without_rolling_sync_renders(helm3: Helm) -> None:
    """It has the watchdog, which repairs between syncs."""
    objects = helm3.objects(CHART, APPLICATION["spec"]["source"]["helm"]["valuesObject"])
    assert "CronJob" in {one["kind"] for one in objects}


def of_docs(name: str, holding: str = "") -> Json:
    """The first block of YAML in a page of the docs, or the first that holds this."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / name).read_text(), re.DOTALL)
    return dict(yaml.safe_load(next(block for block in blocks if holding in block)))


def test_the_docs_smallest_values_render(helm3: Helm) -> None:
    """What docs/install.md calls the smallest values is enough."""
    objects = helm3.objects(CHART, of_docs("install.md"))
    assert yaml.safe_load(config(objects))["temporal"]["version"] == "1.29.1"


def test_the_docs_role_for_tenants_is_the_charts(helm3: Helm) -> None:
    """What docs/rbac.md tells a platform's team to add is what the chart would have made."""
    objects = helm3.objects(CHART, of_docs("install.md"), release="gate", namespace="temporal-gate")
    wanted = of_docs("rbac.md", "kind: Role")
    (made,) = [one for one in of_kind(objects, "Role") if one["metadata"]["namespace"] == "argocd"]
    assert made["metadata"]["name"] == wanted["metadata"]["name"]
    assert canonical({"argocd": made["rules"]}) == canonical({"argocd": wanted["rules"]})


def test_the_docs_project_role_is_what_the_gate_asks_for(helm3: Helm) -> None:
    """It may get what the Kubernetes way may get, but for the gate's own; and sync what that may sync, not only look at."""
    project = of_docs("rbac.md", "kind: AppProject")
    name, (role,) = project["metadata"]["name"], project["spec"]["roles"]
    granted: dict[str, set[str]] = {}
    for policy in role["policies"]:
        kind, subject, resource, action, what, effect = (part.strip() for part in policy.split(","))
        assert (kind, subject, resource, effect) == ("p", f"proj:{name}:{role['name']}", "applications", "allow")
        granted.setdefault(action, set()).add(what.removeprefix(f"{name}/"))
    values = of_docs("install.md")
    downstream = {one["name"] for one in values["downstream"]}
    migrations, runtime = (values[one]["application"]["name"] for one in ("migrations", "runtime"))
    assert granted == {"get": {migrations, runtime} | downstream, "sync": {migrations} | downstream}
    settings = yaml.safe_load(config(helm3.objects(CHART, merged(values, of_docs("rbac.md", "tokenSecret")))))
    assert settings["argocd"]["server"]["project"] == name


def test_the_admission_policy_is_for_the_docs_install(helm3: Helm) -> None:
    """Its accounts and its namespace are those of the values in docs/install.md, with the watchdog."""
    values = merged(of_docs("install.md"), {"watchdog": {"enabled": True}})
    objects = helm3.objects(CHART, values, release="gate", namespace="temporal-gate")
    policy, binding = yaml.safe_load_all((ROOT / "examples" / "admission-policy" / "policy.yaml").read_text())
    accounts = {
        f"system:serviceaccount:temporal-gate:{one['metadata']['name']}" for one in of_kind(objects, "ServiceAccount")
    }
    assert set(re.findall(r'"(system:[^"]+)"', policy["spec"]["matchConditions"][0]["expression"])) == accounts
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    assert list(binding["spec"]["matchResources"]["namespaceSelector"]["matchLabels"].values()) == ["argocd"]
