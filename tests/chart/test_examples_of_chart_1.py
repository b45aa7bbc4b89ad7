"""The examples for Temporal's chart 1.x: each is rendered as a team has it, over examples/rollout.

The lab's chart stands in for Temporal's own, with the shape of the version that the example asks for.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, Json, config, merged

from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, GitTree
from lab.helm import Helm
from lab.temporal import Databases

ROOT = CHART.parent.parent
SPLIT, ONE = "chart-1.x/split", "chart-1.x/one-application"
DOCUMENTS = sorted((ROOT / "examples" / "chart-1.x").rglob("*.yaml"))


class Rendered:
    """What helm makes of an example's Applications."""

    def __init__(self, helm: Helm, directory: Path, example: str) -> None:
        self.git = GitTree("team", "file:///git", Databases("db", 5432, "temporal", "unused"), "db.svc", example)
        self._helm = helm
        self._directory = directory
        for path, text in self.git.files().items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def objects(self, application: str) -> list[Json]:
        """Those of one Application, with the parameters that concern it."""
        generators = self.git.application_set["spec"]["generators"][0]["matrix"]["generators"]
        elements = {one["name"]: one["folder"] for one in generators[1]["list"]["elements"]}
        folder = self._directory / elements[self.git.name(application)]
        values = merged(yaml.safe_load((self._directory / "temporal" / "release.yaml").read_text()), self._parameters())
        return self._helm.objects(folder, values, release=self.git.name(application))

    def _parameters(self) -> Json:
        found: Json = {}
        helm = self.git.application_set["spec"]["template"]["spec"]["source"]["helm"]
        assert helm["valueFiles"] == ["../release.yaml"]
        for parameter in helm["parameters"]:
            value: Any = parameter["value"].replace("$ARGOCD_APP_REVISION_SHORT", "5d8f3e6")
            for part in reversed(parameter["name"].split(".")):
                value = {part: value}
            found = merged(found, value)
        return found


@pytest.fixture(params=[3, 4])
def major(request: pytest.FixtureRequest) -> int:
    """Helm's: with both a null has to take the default of the chart that is depended on away."""
    return int(request.param)


@pytest.fixture
def split(major: int, helm3: Helm, helm4: Helm, tmp_path: Path) -> Rendered:
    return Rendered({3: helm3, 4: helm4}[major], tmp_path, SPLIT)


@pytest.fixture
def one(helm3: Helm, tmp_path: Path) -> Rendered:
    return Rendered(helm3, tmp_path, ONE)


def job(objects: list[Json]) -> Json:
    (found,) = [each for each in objects if each["kind"] == "Job" and "hook" not in each["metadata"]["name"]]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_example_is_yaml(document: Path) -> None:
    assert all(yaml.safe_load_all(document.read_text()))


def test_the_split_migrations_are_a_plain_job_of_each_commit(split: Rendered) -> None:
    """Which RollingSync syncs, which the gate has run again, and which Kubernetes does not delete; it makes no database."""
    made = job(split.objects(MIGRATIONS))
    assert made["metadata"]["name"] == "temporal-migrations-5d8f3e6-schema-1-6-0-1"
    assert not made["metadata"]["annotations"]
    assert made["spec"]["backoffLimit"] == 3
    assert made["spec"]["ttlSecondsAfterFinished"] is None
    containers = made["spec"]["template"]["spec"]["initContainers"]
    assert [each["name"] for each in containers] == ["manage-schema-default-store", "manage-schema-visibility-store"]
    assert {each["kind"] for each in split.objects(MIGRATIONS)} == {"Job"}


def test_the_split_runtime_has_no_schema_work(split: Rendered) -> None:
    """The chart's Job is there all the same, as a hook without work."""
    made = job(split.objects(RUNTIME))
    assert made["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert not made["spec"]["template"]["spec"]["initContainers"]
    migrations, runtime = (
        chart["server"]["config"]["persistence"]["datastores"] for chart in (split.git.migrations, split.git.runtime)
    )
    for store in ("default", "visibility"):
        assert (migrations[store]["sql"].pop("manageSchema"), runtime[store]["sql"].pop("manageSchema")) == (
            True,
            False,
        )
    assert migrations == runtime


def test_one_application_makes_its_schema_first(one: Rendered) -> None:
    """By a hook that is deleted with its success and given up soon; the servers tell when they are ready."""
    objects = one.objects(RUNTIME)
    made = job(objects)
    assert made["metadata"]["annotations"] == {
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-weight": "0",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
    }
    assert made["spec"]["backoffLimit"] == 3
    assert len(made["spec"]["template"]["spec"]["initContainers"]) == 2
    servers = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["containers"][0]
        for each in objects
        if each["kind"] == "Deployment"
    }
    probed = {name for name, container in servers.items() if "readinessProbe" in container}
    assert probed == {"temporal-frontend", "temporal-history", "temporal-matching"}


def test_its_gate_shares_its_step(one: Rendered) -> None:
    """And holds the next one until Temporal answers: a second gate is not needed."""
    (first, second) = one.git.application_set["spec"]["strategy"]["rollingSync"]["steps"]
    generators = one.git.application_set["spec"]["generators"][0]["matrix"]["generators"]
    phases = {each["name"].removeprefix("team-"): each["phase"] for each in generators[1]["list"]["elements"]}
    assert phases == {GATE: "450", RUNTIME: "450", BOOTSTRAP: "455"}
    assert [step["matchExpressions"][0]["values"] for step in (first, second)] == [["450"], ["455"]]
    settings = yaml.safe_load(config(one.objects(GATE)))
    assert settings["reachability"] == "always"
    assert settings["migrations"]["beforeServers"]
    assert settings["migrations"]["application"] == settings["runtime"]["application"]
    assert settings["runtime"]["application"]["name"] == one.git.name(RUNTIME)


@pytest.mark.parametrize("example", [SPLIT, ONE])
def test_one_file_feeds_the_release(helm3: Helm, tmp_path: Path, example: str) -> None:
    """Gate, servers, schema and bootstrap are of one release."""
    rendered = Rendered(helm3, tmp_path, example)
    release = yaml.safe_load((ROOT / "examples" / example / "temporal" / "release.yaml").read_text())
    version = release["temporal"]["server"]["image"]["tag"]
    objects = rendered.objects(GATE)
    assert yaml.safe_load(config(objects))["temporal"]["version"] == version
    assert "$ARGOCD_APP_REVISION" in str(objects)
    assert f"temporalio/server:{version}" in str(rendered.objects(RUNTIME))
    for application in {MIGRATIONS, RUNTIME, BOOTSTRAP} & rendered.git.values.keys():
        assert f"temporalio/admin-tools:{version}" in str(rendered.objects(application))


def test_the_shapes_say_what_they_ask_for() -> None:
    """The chart's version and the gate's, in each example."""
    for example in (SPLIT, ONE):
        chart = yaml.safe_load((ROOT / "examples" / example / "temporal" / "runtime" / "Chart.yaml").read_text())
        assert chart["dependencies"][0]["version"] == "1.6.0"
    gates = [ROOT / "examples" / place / "temporal" / "gate" / "Chart.yaml" for place in ("rollout", ONE)]
    assert len({path.read_text() for path in gates}) == 1
