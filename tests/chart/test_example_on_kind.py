"""examples/kind: what can be tried of it without Docker, kind and the public charts.

Its objects are judged by the CRDs of Argo CD and CloudNativePG at the versions that its script installs, its values are
rendered, and its script runs against programs that write down how they were called. tests/e2e plays it on a node.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Validate
from crd_schemas import faults, schemas
from rendering import CHART, Json, config, the

from lab import toolchain
from lab.helm import Helm
from lab.toolchain import Progress

EXAMPLES = CHART.parent.parent / "examples"
MODULES = EXAMPLES.parent / "lab" / "modules"
KIND = EXAMPLES / "kind"
SCRIPT = (KIND / "up.sh").read_text()
PAGE = (KIND / "README.md").read_text()
APPLICATION_SET = yaml.safe_load((KIND / "applicationset.yaml").read_text())
ELEMENTS = {one["name"]: one for one in APPLICATION_SET["spec"]["generators"][0]["list"]["elements"]}
DATABASE = list(yaml.safe_load_all((KIND / "database.yaml").read_text()))
MIGRATIONS, GATE, RUNTIME, BOOTSTRAP = ELEMENTS
SPLIT = EXAMPLES / "chart-1.x" / "split" / "temporal"


def pinned(name: str) -> str:
    """A version that the script installs."""
    found = re.search(rf"\b{name}=(\S+)", SCRIPT)
    assert found
    return found[1]


def values(name: str) -> Json:
    """The values of an Application that is a Helm chart."""
    return dict(ELEMENTS[name]["source"]["helm"]["valuesObject"])


def datastores(values: Json) -> Json:
    """Where Temporal's chart 1.x has its stores."""
    return dict(values["server"]["config"]["persistence"]["datastores"])


@pytest.fixture(scope="session")
def crds(progress: Progress) -> dict[tuple[str, str], Json]:
    """Those of the versions that are pinned."""
    argo_cd = toolchain.module_directory("github.com/argoproj/argo-cd/v3", pinned("ARGO_CD"), progress, (1, 27))
    cnpg = toolchain.module_directory(
        "github.com/cloudnative-pg/cloudnative-pg", f"v{pinned('CLOUDNATIVE_PG')}", progress
    )
    bases = cnpg / "config" / "crd" / "bases"
    return schemas(
        *(argo_cd / "manifests" / "crds" / f"{name}-crd.yaml" for name in ("application", "applicationset")),
        *(bases / f"postgresql.cnpg.io_{name}.yaml" for name in ("clusters", "databases")),
    )


@pytest.fixture
def applications(helm3: Helm, tmp_path: Path) -> dict[str, Json]:
    """What the ApplicationSet generates: template and patch expanded as Argo CD does, by Go's templates with sprig."""
    spec = APPLICATION_SET["spec"]
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: generated\nversion: 1.0.0\n")
    (tmp_path / "templates" / "application.yaml").write_text(
        "{{ range .Values.elements }}\n---\n"
        + yaml.safe_dump({"template": spec["template"]}, width=1000).replace("'{{", '"{{').replace("}}'", '}}"')
        + "patch:\n"
        + "".join(f"  {line}\n" for line in spec["templatePatch"].splitlines())
        + "{{ end }}\n"
    )
    found = {}
    for one in helm3.objects(tmp_path, {"elements": list(ELEMENTS.values())}):
        spec = one["template"]["spec"] | one["patch"]["spec"]
        metadata = one["template"]["metadata"] | {"namespace": "argocd"}
        found[metadata["name"]] = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": metadata,
            "spec": spec,
        }
    return found


def test_the_custom_resources_are_what_their_projects_take(
    crds: dict[tuple[str, str], Json], applications: dict[str, Json]
) -> None:
    assert set(applications) == set(ELEMENTS)
    for one in (APPLICATION_SET, *DATABASE[1:], *applications.values()):
        assert list(faults(one, crds[one["apiVersion"], one["kind"]])) == []


@pytest.mark.parametrize(
    ("document", "path", "value", "said"),
    [
        (DATABASE[1], ("spec", "bootstrap", "initdb", "databases"), [], "unknown field"),
        (DATABASE[1], ("spec", "instances"), "1", "is no integer"),
        (DATABASE[2], ("spec", "owner"), None, "is no string"),
        (APPLICATION_SET, ("spec", "strategy", "rollingSync", "phases"), [], "unknown field"),
    ],
)
def test_the_schemas_refuse(
    crds: dict[tuple[str, str], Json], document: Json, path: tuple[str, ...], value: object, said: str
) -> None:
    """What would be refused is: the judge is awake."""
    broken = yaml.safe_load(yaml.safe_dump(document))
    block: Any = broken
    for name in path[:-1]:
        block = block[name]
    block[path[-1]] = value
    (fault,) = faults(broken, crds[broken["apiVersion"], broken["kind"]])
    assert fault.startswith("." + ".".join(path))
    assert said in fault


def test_an_application_has_the_source_of_its_element(applications: dict[str, Json]) -> None:
    """From the two repositories, with the step that its phase says."""
    for name, element in ELEMENTS.items():
        assert applications[name]["spec"]["source"] == element["source"]
        assert applications[name]["metadata"]["labels"] == {"rollout-phase": element["phase"]}
    steps = APPLICATION_SET["spec"]["strategy"]["rollingSync"]["steps"]
    assert [step["matchExpressions"][0]["values"] for step in steps] == [["265", "300"], ["450"], ["455"]]
    assert [element["phase"] for element in ELEMENTS.values()] == ["265", "300", "450", "455"]


def test_temporals_values_are_those_of_the_example_for_its_chart() -> None:
    """As examples/chart-1.x/split has them, but for the host, and for the release, which that one has in a file."""
    for name, folder, alias in ((MIGRATIONS, "migrations", "migrations"), (RUNTIME, "runtime", "temporal")):
        chart = yaml.safe_load((SPLIT / folder / "Chart.yaml").read_text())["dependencies"][0]
        source = ELEMENTS[name]["source"]
        assert (source["chart"], source["repoURL"], source["targetRevision"]) == (
            chart["name"], chart["repository"], chart["version"],
        )  # fmt: skip
        wanted = yaml.safe_load((SPLIT / folder / "values.yaml").read_text())[alias]
        for store in datastores(wanted).values():
            store["sql"]["connectAddr"] = "temporal-db-rw.temporal.svc:5432"
        assert datastores(values(name)) == datastores(wanted)
        assert values(name)["shims"] == wanted["shims"]
        assert values(name).get("schema", {}).items() <= wanted.get("schema", {}).items()
    assert not values(MIGRATIONS)["schema"]["useHelmHooks"]


def test_the_gate_knows_the_others(helm3: Helm, validate: Validate) -> None:
    """Their names, the databases' Secrets as CloudNativePG names them, and the image that the script loads."""
    objects = helm3.objects(CHART, values(GATE), release=GATE, namespace="temporal")
    assert not any(validate(objects).values())
    settings = yaml.safe_load(config(objects))
    assert settings["migrations"]["application"]["name"] == MIGRATIONS
    assert settings["runtime"]["application"]["name"] == RUNTIME
    assert [one["name"] for one in settings["downstream"]] == [BOOTSTRAP]
    pod = the(objects, "Job")["spec"]["template"]["spec"]
    (image,) = re.findall(r"^kind load docker-image (\S+)", SCRIPT, re.MULTILINE)
    assert {container["image"] for container in pod["containers"]} == {image}
    assert f"docker build --tag {image} " in SCRIPT
    cluster = DATABASE[1]["metadata"]["name"]
    (mounted,) = [volume["projected"]["sources"] for volume in pod["volumes"] if volume["name"] == "secrets"]
    assert {one["secret"]["name"] for one in mounted} == {f"{cluster}-app", f"{cluster}-ca"}


def test_it_is_one_release() -> None:
    """Of servers, schema, gate and bootstrap."""
    (job,) = [one for one in bootstrap() if one["kind"] == "Job"]
    said = {
        values(MIGRATIONS)["admintools"]["image"]["tag"],
        values(GATE)["temporal"]["version"],
        values(RUNTIME)["server"]["image"]["tag"],
        job["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2],
    }
    assert len(said) == 1


def bootstrap() -> list[Json]:
    """The objects of the bootstrap."""
    return list(yaml.safe_load_all((KIND / "bootstrap" / "namespaces.yaml").read_text()))


def test_the_bootstrap_is_taken(validate: Validate) -> None:
    """By an API server, and with a managed object, without which RollingSync never syncs it."""
    assert not any(validate(bootstrap()).values())
    hooks = ["argocd.argoproj.io/hook" in one["metadata"].get("annotations", {}) for one in bootstrap()]
    assert sorted(hooks) == [False, True]


def test_the_script_is_short_and_pins_what_it_installs() -> None:
    assert len(SCRIPT.splitlines()) < 60
    assert f"argo-cd/v3 {pinned('ARGO_CD')} " in (MODULES / "argocd-3.6" / "go.mod").read_text()
    assert re.fullmatch(r"kindest/node:v1\.\d+\.\d+@sha256:[0-9a-f]{64}", pinned("NODE"))


def test_the_script_does_what_the_page_says(tmp_path: Path) -> None:
    """In this order, and with the user's repository in place of the one that nobody has."""
    for program in ("docker", "kind", "kubectl"):
        file = tmp_path / program
        file.write_text(
            f'#!/bin/sh\necho "{program} $*" >> {tmp_path}/asked\n'
            f'case "$*" in *"--filename -"*) cat > {tmp_path}/applied;; esac\n'
        )
        file.chmod(0o755)
    repository = "https://git.example.com/me/hook.git"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(KIND / "up.sh"), repository, "mine"]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=30)  # noqa: S603 -- our own script

    asked = (tmp_path / "asked").read_text()
    order = (
        "kind create cluster --name temporal-gate", "docker build", "kind load docker-image",
        "manifests/install.yaml", "progressive.syncs", "rollout restart deployment argocd-applicationset-controller",
        f"/release-1.30/releases/cnpg-{pinned('CLOUDNATIVE_PG')}.yaml", "database.yaml", "temporal-db", "--filename -",
    )  # fmt: skip
    positions = [asked.index(part) for part in order]
    assert positions == sorted(positions)
    assert all("--context kind-temporal-gate" in line for line in asked.splitlines() if line.startswith("kubectl"))

    applied = yaml.safe_load((tmp_path / "applied").read_text())
    sources = [one["source"] for one in applied["spec"]["generators"][0]["list"]["elements"]]
    from_git = [source for source in sources if "path" in source]
    assert {(source["repoURL"], source["targetRevision"]) for source in from_git} == {(repository, "mine")}
    assert all((EXAMPLES.parent / source["path"]).is_dir() for source in from_git)
    assert len(from_git) == 2
    assert "git.example.org" not in str(applied)


def test_the_script_asks_for_the_repository() -> None:
    done = subprocess.run([str(KIND / "up.sh")], check=False, capture_output=True, text=True, timeout=30)  # noqa: S603 -- our own script
    assert done.returncode != 0
    assert "usage: up.sh GIT_URL" in done.stderr


def test_the_page_breaks_what_the_manifests_make() -> None:
    """Two lines: the databases that Temporal uses are replaced, and its pods restarted."""
    (section,) = re.findall(r"^## Break it\n(.*?)^## ", PAGE, re.DOTALL | re.MULTILINE)
    first, second = re.findall(r"^kubectl .*", section, re.MULTILINE)
    used = {(store["sql"]["databaseName"], store["sql"]["user"]) for store in datastores(values(RUNTIME)).values()}
    assert set(re.findall(r"CREATE DATABASE (\w+) OWNER (\w+)", first)) == used
    assert {(name, "temporal") for name in re.findall(r"DROP DATABASE (\w+) WITH", first)} == used
    initdb, second_database = DATABASE[1]["spec"]["bootstrap"]["initdb"], DATABASE[2]["spec"]
    assert {(initdb["database"], initdb["owner"]), (second_database["name"], second_database["owner"])} == used
    assert f"exec {DATABASE[1]['metadata']['name']}-1 " in first
    assert second.endswith(f"-l app.kubernetes.io/name={ELEMENTS[RUNTIME]['source']['chart']}")
    assert set(re.findall(r"\bdata-[\w-]+", PAGE)) == set(ELEMENTS)
