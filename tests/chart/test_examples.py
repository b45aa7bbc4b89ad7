"""The examples and the docs' values: each is parsed, rendered by the chart, and says what the docs say of it."""

import copy
import re
import shlex
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, Json, canonical, config, merged, of_kind, the

from lab.git_tree import GitTree
from lab.helm import Helm
from lab.temporal import Databases

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


GATES = {"temporal/gate": "temporal-recovery-hook", "temporal/runtime": "guard", "temporal/bootstrap": "guard"}
"""Where the chart is a dependency, and under which name."""


def gate_values(path: str) -> Json:
    """The values that the gate or a guard gets: the file's under the dependency's name, and the parameters."""
    own = yaml.safe_load((ROLLOUT / path / "values.yaml").read_text())[GATES[path]]
    return merged(own, parameters_for(GATES[path]))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_yaml(document: Path) -> None:
    """Helm's templates aside, each file parses, and holds something."""
    assert all(yaml.safe_load_all(document.read_text()))


def named_by(settings: Json) -> set[str]:
    """The Applications that the program is told of."""
    blocks = (settings["migrations"], settings["runtime"])
    named = {block["application"]["name"] for block in blocks if "application" in block}
    return named | {application["name"] for application in settings.get("downstream") or []}


@pytest.mark.parametrize("path", GATES)
def test_the_gates_render(path: str, helm3: Helm) -> None:
    """Gate and guards render with the release that runtime and migrations get; the gate with the commit in its receipt."""
    objects = helm3.objects(CHART, gate_values(path), release=ELEMENTS[path]["name"])
    settings = yaml.safe_load(config(objects))
    assert settings["temporal"]["version"] == RELEASE["temporal"]["server"]["image"]["tag"]
    assert settings["reachability"] == ("always" if path.endswith("bootstrap") else "auto")
    assert named_by(settings) <= {element["name"] for element in ELEMENTS.values()}
    assert settings.get("guard", False) == (path != "temporal/gate")
    assert ("$ARGOCD_APP_REVISION" in str(objects)) == (path == "temporal/gate")


def guarded_chart(path: str, folder: Path) -> Path:
    """A chart of the examples with this chart where ``helm dependency`` would put it, and without any other."""
    chart = folder / "chart"
    shutil.copytree(ROLLOUT / path, chart)
    own = yaml.safe_load((chart / "Chart.yaml").read_text())
    own["dependencies"] = [one for one in own["dependencies"] if one["name"] == CHART.name]
    (chart / "Chart.yaml").write_text(yaml.safe_dump(own))
    (chart / "charts").mkdir()
    (chart / "charts" / CHART.name).symlink_to(CHART)
    return chart


@pytest.mark.parametrize("path", ["temporal/runtime", "temporal/bootstrap"])
def test_a_guard_comes_before_everything_of_its_chart(path: str, helm3: Helm, tmp_path: Path) -> None:
    """As a dependency of it, with what the release's file says; it can be switched off."""
    chart, release = guarded_chart(path, tmp_path), ELEMENTS[path]["name"]
    objects = helm3.objects(chart, RELEASE, release=release)
    others = helm3.objects(chart, merged(RELEASE, {"guard": {"enabled": False}}), release=release)
    guards = [one for one in objects if one not in others]
    (job,) = of_kind(guards, "Job")
    assert job["metadata"]["name"] == f"{release}-guard"
    assert max(int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for one in guards) < 0
    assert not any("argocd.argoproj.io/sync-wave" in one["metadata"].get("annotations", {}) for one in others)


def test_one_file_feeds_the_release() -> None:
    """Runtime, migrations and gates take their release from one file in git, and from nowhere else.

    Not from a generator's values: Argo CD 3.6 may never sync what changes in the Application alone (argo-cd 27949).
    """
    assert TEMPLATE["source"]["helm"]["valueFiles"] == ["../release.yaml"]
    assert "{{" not in str(TEMPLATE["source"]["helm"])
    release = RELEASE["temporal"]["server"]["image"]["tag"]
    assert {RELEASE[chart]["temporal"]["version"] for chart in set(GATES.values())} == {release}
    for name in ("temporal", "migrations"):
        assert RELEASE[name]["admintools"]["image"]["tag"].startswith(release)
    for path, name in GATES.items():
        own = yaml.safe_load((ROLLOUT / path / "values.yaml").read_text())[name]
        assert "version" not in own.get("temporal", {})


def test_each_commit_has_a_schema_job_of_its_own() -> None:
    """A plain Job cannot be changed, so its name is the commit's; the one before is pruned."""
    (chart,) = yaml.safe_load((ROLLOUT / "temporal" / "migrations" / "Chart.yaml").read_text())["dependencies"]
    values = {parameter["name"]: parameter["value"] for parameter in TEMPLATE["source"]["helm"]["parameters"]}
    assert "$ARGOCD_APP_REVISION_SHORT" in values[f"{chart['alias']}.fullnameOverride"]
    assert TEMPLATE["syncPolicy"]["automated"]["prune"]


def test_the_steps_come_in_their_order() -> None:
    """Every Application has a folder and a step, in the order 265, 300, 450, 455."""
    steps = APPLICATION_SET["spec"]["strategy"]["rollingSync"]["steps"]
    order = [value for step in steps for value in step["matchExpressions"][0]["values"]]
    assert order == ["265", "300", "450", "455"]
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


def test_the_bootstrap_renders(helm3: Helm, tmp_path: Path) -> None:
    """Its Job is a hook, so that a sync runs it again; what is managed beside it makes RollingSync sync it at all."""
    unguarded = merged(RELEASE, {"guard": {"enabled": False}})
    namespaces, job = helm3.objects(guarded_chart("temporal/bootstrap", tmp_path), unguarded)
    assert job["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Sync"
    assert "annotations" not in namespaces["metadata"]
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == f"temporalio/admin-tools:{RELEASE['temporal']['admintools']['image']['tag']}"
    (asked,) = [one for one in job["spec"]["template"]["spec"]["containers"][0]["env"] if one["name"] == "NAMESPACES"]
    assert asked["valueFrom"]["configMapKeyRef"]["name"] == namespaces["metadata"]["name"]
    assert namespaces["data"]["namespaces"] == "orders"


WITHOUT = {
    path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / "examples" / "without-rollingsync").glob("*.yaml")
}


def source_of(name: str) -> Json:
    """The source of an Application without RollingSync that is this chart."""
    spec = WITHOUT[name]["spec"]
    (found,) = [one for one in spec.get("sources", [spec.get("source")]) if one.get("chart") == CHART.name]
    return dict(found)


def test_the_examples_install_what_a_release_publishes() -> None:
    """The chart lies beside the image (release.yaml of the workflows), at this version."""
    repository = yaml.safe_load((CHART / "values.yaml").read_text())["image"]["repository"]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    for path in GATES:
        dependencies = yaml.safe_load((ROLLOUT / path / "Chart.yaml").read_text())["dependencies"]
        (chart,) = [one for one in dependencies if one["name"] == CHART.name]
        assert (chart["repository"], chart["version"]) == (f"oci://{repository}/charts", version)
    for name in WITHOUT:
        assert (source_of(name)["repoURL"], source_of(name)["targetRevision"]) == (f"{repository}/charts", version)
    assert f"oci://{repository}/charts/temporal-recovery-hook" in (ROOT / "docs" / "install.md").read_text()
    workflow = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    assert 'registry=ghcr.io/${GITHUB_REPOSITORY,,}"' in workflow
    assert '"oci://$IMAGE/charts"' in workflow


@pytest.mark.parametrize("name", WITHOUT)
def test_the_applications_without_rolling_sync_render(name: str, helm3: Helm) -> None:
    """The gate has the watchdog, which repairs between syncs; the others are guarded from within."""
    own = WITHOUT[name]["metadata"]["name"]
    objects = helm3.objects(CHART, source_of(name)["helm"]["valuesObject"], release=own)
    settings = yaml.safe_load(config(objects))
    assert named_by(settings) <= {"data-migrations-temporal", *(one["metadata"]["name"] for one in WITHOUT.values())}
    assert ("CronJob" in {one["kind"] for one in objects}) == (name == "gate")
    assert settings.get("guard", False) == (name != "gate")
    assert (the(objects, "Job")["metadata"]["name"] == f"{own}-guard") == (name != "gate")
    assert WITHOUT[name]["spec"]["syncPolicy"]["retry"]["refresh"] is True


def blocks(name: str, language: str = "yaml") -> list[str]:
    """The blocks of a language in a page, without their indentation in a list."""
    found = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(text) for its, text in found if its == language]


def of_docs(name: str, holding: str = "") -> Json:
    """The first block of YAML in a page of the docs, or the first that holds this."""
    return dict(yaml.safe_load(next(block for block in blocks(f"docs/{name}") if holding in block)))


def test_the_docs_smallest_values_render(helm3: Helm) -> None:
    """What docs/install.md calls the smallest values is enough."""
    objects = helm3.objects(CHART, of_docs("install.md"))
    assert yaml.safe_load(config(objects))["temporal"]["version"] == "1.29.1"


PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_of_yaml_is_yaml(page: Path) -> None:
    for block in blocks(str(page)):
        assert all(yaml.safe_load_all(block)), block


def test_the_readme_installs_the_smallest_values(helm3: Helm) -> None:
    """As an Application from a clone of this repository, and with helm by the command that it gives for a release."""
    application = yaml.safe_load(blocks("README.md")[0])
    source, installed = application["spec"]["source"], source_of("gate")
    assert ROOT / source["path"] == CHART
    values = source["helm"]["valuesObject"]
    said = copy.deepcopy(values)
    assert said.pop("image").keys() == {"repository"}
    assert said["stores"]["default"].pop("port") == 5432
    assert said == of_docs("install.md")
    assert application["spec"]["destination"]["namespace"] == values["runtime"]["namespace"]
    (command,) = (block for block in blocks("README.md", "") if block.startswith("helm install "))
    words = shlex.split(command)
    assert words[3] == f"oci://{installed['repoURL']}/{installed['chart']}"
    assert words[words.index("--version") + 1] == installed["targetRevision"]
    objects = helm3.objects(CHART, values, release=words[2], more=["--set", words[words.index("--set") + 1]])
    limit = next(one for one in objects if one["kind"] == "Job")["spec"]["activeDeadlineSeconds"]
    assert words[words.index("--timeout") + 1] == "7h"
    assert limit < 7 * 3600


def test_the_docs_copy_of_a_secret_renders(helm3: Helm) -> None:
    """The gate mounts what the ExternalSecret makes, and that is in the gate's namespace."""
    values = merged(of_docs("install.md"), yaml.safe_load(blocks("docs/install.md")[1]))
    objects = helm3.objects(CHART, values, namespace="temporal")
    (made,) = of_kind(objects, "ExternalSecret")
    keys = {item["secretKey"] for item in made["spec"]["data"]}
    assert made["metadata"]["namespace"] == "temporal"
    assert "ca.key" not in str(made)
    (job,) = of_kind(objects, "Job")
    (mounted,) = [volume for volume in job["spec"]["template"]["spec"]["volumes"] if volume["name"] == "secrets"]
    wanted = [source["secret"] for source in mounted["projected"]["sources"]]
    assert {one["name"] for one in wanted} == {made["spec"]["target"]["name"]}
    assert {item["key"] for one in wanted for item in one["items"]} == keys


def side(diff: str, marks: str) -> Json:
    """The lines of a diff that begin with one of the marks: what it is before (" -"), or after (" +")."""
    return dict(yaml.safe_load("\n".join(line[1:] for line in diff.splitlines() if line[:1] in marks)))


@pytest.mark.parametrize(
    ("marks", "steps", "parameters"),
    [
        (" -", [["265"], ["450"], ["455"]], ["global.environment"]),
        (
            " +",
            [["265", "300"], ["450"], ["455"]],
            ["global.environment", "temporal-recovery-hook.receipt.revision"],
        ),
    ],
    ids=["before", "after"],
)
def test_the_docs_diff_gives_the_gate_a_step(marks: str, steps: list[list[str]], parameters: list[str]) -> None:
    """Every Application has one, before and after: the gate the migrations', and before the runtime."""
    (diff,) = blocks("docs/install.md", "diff")
    spec = side(diff, marks)["spec"]
    phases = [element["phase"] for element in spec["generators"][0]["list"]["elements"]]
    found = [step["matchExpressions"][0]["values"] for step in spec["strategy"]["rollingSync"]["steps"]]
    assert found == steps
    assert phases == [phase for step in steps for phase in step]
    assert [one["name"] for one in spec["template"]["spec"]["source"]["helm"]["parameters"]] == parameters


def test_the_worked_example_renders(helm3: Helm) -> None:
    """Its chart depends on this one at its version, and its values are taken."""
    chart, values = (yaml.safe_load(block) for block in blocks("docs/install.md")[2:4])
    (dependency,) = chart["dependencies"]
    assert dependency["version"] == yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    objects = helm3.objects(CHART, values[dependency["name"]], release="data-temporal-recovery-hook")
    assert of_kind(objects, "Job")[0]["metadata"]["name"] == "data-temporal-recovery-hook"
    assert yaml.safe_load(config(objects))["temporal"]["version"] == "1.29.0"


def test_the_docs_rights_in_a_hub_are_the_charts(helm3: Helm) -> None:
    """What a hub's account gets is what the chart would have made in the same cluster."""
    text = next(block for block in blocks("docs/platforms.md") if "kind: ServiceAccount" in block)
    account, token, role, binding = yaml.safe_load_all(text)
    assert token["metadata"]["annotations"] == {"kubernetes.io/service-account.name": account["metadata"]["name"]}
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]
    objects = helm3.objects(CHART, of_docs("install.md"), release="data-temporal-recovery-hook")
    (made,) = [one for one in of_kind(objects, "Role") if one["metadata"]["namespace"] == "argocd"]
    assert canonical({"argocd": made["rules"]}) == canonical({"argocd": role["rules"]})


def test_in_the_docs_spoke_there_is_nothing_of_argo_cd(helm3: Helm) -> None:
    """The hub's argocd-server is spoken to by a name of its certificate, and no object is in a namespace of Argo CD's."""
    objects = helm3.objects(
        CHART, merged(of_docs("install.md"), of_docs("platforms.md", "tokenSecret: {name: gate-argocd"))
    )
    assert "argocd" not in {one["metadata"].get("namespace") for one in objects}
    server = yaml.safe_load(config(objects))["argocd"]["server"]
    assert (server["address"], server["serverName"]) == ("argocd.hub.example.com:443", "argocd-server.argocd.svc")


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


def test_before_the_gate_nothing_of_it_is_there() -> None:
    """What `make lab GATE=no` rolls out: the examples' charts without it, their dependencies on it, and its phase."""
    tree = GitTree("team", "file:///git", Databases("db", 5432, "temporal", "unused"), "db.svc")
    tree.take_out_the_gate()
    assert [path for path, text in tree.files().items() if re.search("recovery-hook|guard", text)] == []
    assert [path for path in tree.files() if "recovery-hook" in path or "gate" in path] == []
    assert not re.search("recovery-hook|guard|'300'", yaml.safe_dump(tree.application_set))
    steps = tree.application_set["spec"]["strategy"]["rollingSync"]["steps"]
    assert [step["matchExpressions"][0]["values"] for step in steps] == [["265"], ["450"], ["455"]]
    assert "temporal/runtime/charts/temporal/Chart.yaml" in tree.files()
