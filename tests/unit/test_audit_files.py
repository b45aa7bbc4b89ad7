"""What an audit reads from manifests: ApplicationSets as they are rendered, Applications, what they render, Argo CD."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rollouts import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, SET

from hook.adapters.answers import Answer
from hook.audit.rollout import ArgoCd, Chart, Resource, Retry, Seen
from hook.audit.sources import files, manifests, templates
from hook.audit.sources.naming import Name, Names, NamesError
from hook.observation.applications import ApplicationRef
from hook.observation.findings import FindingError

ROOT = Path(__file__).parents[2]
ROLLOUT = ROOT / "examples" / "rollout" / "applicationset.yaml"
NAMES = Names(
    Name("--gate", GATE.name),
    Name("--migrations", MIGRATIONS.name),
    Name("--runtime", RUNTIME.name),
    (Name("--downstream", BOOTSTRAP.name),),
)
Json = dict[str, Any]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Seen]:
    """Reads documents, a list of them a file, as `--file` does."""

    def reading(*documents: list[Json] | Path, names: Names = NAMES, version: tuple[int, ...] | None = None) -> Seen:
        paths = []
        for number, one in enumerate(documents):
            path = one if isinstance(one, Path) else tmp_path / f"{number}.yaml"
            if not isinstance(one, Path):
                path.write_text(yaml.safe_dump_all(one), encoding="utf-8")
            paths.append(str(path))
        return files.read(paths, names, version)

    return reading


def manifest(kind: str, name: str, api: str = "v1", **fields: Any) -> Json:
    metadata = {"name": name} | fields.pop("metadata", {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata} | fields


def application(ref: ApplicationRef, **spec: Any) -> Json:
    return manifest(
        "Application", ref.name, "argoproj.io/v1alpha1", spec={"source": {"path": "x", "repoURL": "r"}} | spec
    )


def job(name: str, instance: str = "", **metadata: Any) -> Json:
    labels = {"app.kubernetes.io/instance": instance} if instance else {}
    return manifest(
        "Job", name, "batch/v1", metadata={"labels": labels | metadata.pop("labels", {})} | metadata, spec={}
    )


def application_set(*generators: Json, **spec: Any) -> Json:
    """One of a label and a name by its generators' parameters."""
    template = {
        "metadata": {"name": "{{ .name }}", "labels": {"rollout-phase": "{{ .phase }}"}},
        "spec": {"source": {"path": "{{ .name }}", "repoURL": "r", "targetRevision": "main"}},
    }
    body = {"goTemplate": True, "generators": list(generators), "template": template} | spec
    return manifest("ApplicationSet", SET.name, "argoproj.io/v1alpha1", spec=body)


ELEMENTS = [
    {"name": MIGRATIONS.name, "phase": 265},
    {"name": GATE.name, "phase": "300"},
    {"name": RUNTIME.name, "phase": "450"},
]
LIST = {"list": {"elements": ELEMENTS}}


def rendered(*generators: Json, **spec: Any) -> tuple[dict[str, Json], bool]:
    """The Applications of a set by their names, and whether they are all."""
    made, complete = templates.rendered(Answer(application_set(*generators, **spec)["spec"], "set"))
    return {one["metadata"]["name"]: one for one in made}, complete


# --- ApplicationSets ----------------------------------------------------------------------------------------------


def test_the_example_is_read_as_it_is(read: Callable[..., Seen]) -> None:
    """All four Applications by their names; the git generator beside the list asks again."""
    seen = read(ROLLOUT)
    assert {ref.name for ref in seen.apps} == {
        MIGRATIONS.name, GATE.name, RUNTIME.name, BOOTSTRAP.name,
    }  # fmt: skip
    found = seen.sets[SET]
    assert (found.strategy, len(found.steps), found.has_period) == ("RollingSync", 3, True)
    assert found.generators == ("git", "list")
    gate = seen.apps[GATE]
    assert gate.set_ref == SET
    assert gate.labels == {"rollout-phase": "300"}
    assert gate.retry == Retry(10, refresh=True)
    assert gate.prune
    assert gate.of_hook_chart("receipt.revision") == "$ARGOCD_APP_REVISION"
    assert gate.resources is None


def test_a_list_is_rendered_and_complete() -> None:
    """Numbers become texts, as Argo CD makes them."""
    made, complete = rendered(LIST)
    assert complete
    assert {name: one["metadata"]["labels"]["rollout-phase"] for name, one in made.items()} == {
        MIGRATIONS.name: "265", GATE.name: "300", RUNTIME.name: "450",
    }  # fmt: skip


@pytest.mark.parametrize(
    "generators",
    [
        [{"matrix": {"generators": [{"git": {"repoURL": "r"}}, LIST]}}],
        [{"merge": {"mergeKeys": ["name"], "generators": [LIST, {"clusters": {}}]}}],
        [{"list": {"elements": ELEMENTS, "elementsYaml": "{{ .more | toJson }}"}}],
        [LIST, {"clusters": {}}],
    ],
)
def test_what_asks_others_leaves_it_open(generators: list[Json]) -> None:
    """The names of the list are known all the same."""
    made, complete = rendered(*generators)
    assert not complete
    assert GATE.name in made


def test_matrix_merge_and_selectors() -> None:
    """As Argo CD combines them: every pair; the first list's elements, completed by the others'."""
    stages = {"list": {"elements": [{"stage": "dev"}, {"stage": "prod"}]}}
    template = {"metadata": {"name": "{{ .stage }}-{{ .name }}"}, "spec": {}}
    made, complete = rendered({"matrix": {"generators": [stages, LIST]}}, template=template)
    assert complete
    assert len(made) == 6
    assert f"prod-{GATE.name}" in made
    more = {"list": {"elements": [{"name": GATE.name, "phase": "301"}, {"name": "nobody", "phase": "1"}]}}
    made, complete = rendered({"merge": {"mergeKeys": ["name"], "generators": [LIST, more]}})
    assert complete
    assert made[GATE.name]["metadata"]["labels"]["rollout-phase"] == "301"
    assert "nobody" not in made
    picked: Json = {"matchLabels": {"name": GATE.name}}
    assert list(rendered({**LIST, "selector": picked})[0]) == [GATE.name]
    picked = {"matchExpressions": [{"key": "phase", "operator": "NotIn", "values": ["300", "265"]}]}
    assert list(rendered({**LIST, "selector": picked})[0]) == [RUNTIME.name]


def test_a_generators_own_template_wins_and_the_plain_syntax_is_known() -> None:
    """Without goTemplate fields are written without a dot."""
    own = {"template": {"metadata": {"labels": {"rollout-phase": "999"}}}}
    made, _ = rendered({"list": LIST["list"] | own})
    assert made[GATE.name]["metadata"]["labels"] == {"rollout-phase": "999"}
    template = {"metadata": {"name": "{{name}}", "labels": {"p": "{{ values.phase }}"}}, "spec": {}}
    made, complete = rendered(
        {"list": {"elements": [{"name": "a", "values": {"phase": "7"}}]}}, goTemplate=False, template=template
    )
    assert complete
    assert made["a"]["metadata"]["labels"] == {"p": "7"}


def test_a_patch_is_merged_or_what_it_may_change_is_not_seen(read: Callable[..., Seen]) -> None:
    """One that needs template code leaves what it names open."""
    names = Names(Name("--gate", GATE.name), None, Name("--runtime", RUNTIME.name))
    plain = application_set(LIST, templatePatch='metadata: {labels: {rollout-phase: "x{{ .phase }}"}}')
    assert read([plain], names=names).apps[GATE].labels == {"rollout-phase": "x300"}
    code = '{{ if eq .name "a" }}\nmetadata: {labels: {a: b}}\nspec: {syncPolicy: {retry: {limit: 0}}}\n{{ end }}'
    gate = read([application_set(LIST, templatePatch=code)], names=names).apps[GATE]
    assert gate.labels is None
    assert not gate.retry_is_seen
    assert gate.values == {"path": GATE.name}
    sources = "{{ if .a }}\nspec: {source: {helm: {parameters: []}}}\n{{ end }}"
    gate = read([application_set(LIST, templatePatch=sources)], names=names).apps[GATE]
    assert gate.labels == {"rollout-phase": "300"}
    assert gate.values is None


def test_a_value_in_braces_was_not_seen() -> None:
    """A label that needs template code, or a parameter that only git knows."""
    template = {"metadata": {"name": "{{ .name }}", "labels": {"a": '{{ .x | default "1" }}', "b": "c"}}, "spec": {}}
    made, _ = rendered(LIST, template=template)
    assert manifests.application(Answer(made[GATE.name], "it")).labels == {"a": None, "b": "c"}


@pytest.mark.parametrize(
    ("generators", "has_period"),
    [
        ([LIST], False),
        ([{"clusters": {}}], False),
        ([{"git": {"repoURL": "r"}}], True),
        ([{"git": {"requeueAfterSeconds": 0}}], False),
        ([{"matrix": {"generators": [LIST, {"clusters": {}}]}}], False),
        ([{"matrix": {"generators": [LIST, {"git": {"requeueAfterSeconds": 60}}]}}], True),
        ([{"merge": {"generators": [LIST, {"pullRequest": {}}]}}], True),
        ([LIST, {"scmProvider": {}}], True),
    ],
)
def test_which_generators_ask_again(generators: list[Json], has_period: bool) -> None:  # noqa: FBT001
    """All but list and clusters; a period of 0 is none (GetRequeueAfter)."""
    assert manifests.application_set(Answer(application_set(*generators), "set")).has_period is has_period


@pytest.mark.parametrize(
    ("spec", "strategy", "updates"),
    [
        ({}, "", True),
        ({"strategy": {"type": "AllAtOnce"}}, "AllAtOnce", True),
        ({"strategy": {"type": "RollingSync"}}, "", True),
        ({"strategy": {"rollingSync": {"steps": []}}}, "", True),
        ({"strategy": {"type": "RollingSync", "rollingSync": {"steps": []}}}, "RollingSync", True),
        ({"syncPolicy": {"applicationsSync": "create-only"}}, "", False),
        ({"syncPolicy": {"applicationsSync": "create-delete"}}, "", False),
        ({"syncPolicy": {"applicationsSync": "create-update"}}, "", True),
    ],
)
def test_strategies_and_policies(spec: Json, strategy: str, updates: bool) -> None:  # noqa: FBT001
    """RollingSync takes both its type and its block (IsRollingSyncStrategy); a policy may keep it from syncing."""
    found = manifests.application_set(Answer(application_set(LIST, **spec), "set"))
    assert (found.strategy, found.updates) == (strategy, updates)


# --- Applications -------------------------------------------------------------------------------------------------


def test_the_values_of_an_application_by_all_ways_of_giving_them() -> None:
    """Inline values as text and as object, parameters, images; from one source and from several."""
    helm = {
        "values": "image:\n  tag: '1'\n",
        "valuesObject": {"server": {"list": [{"a": 1}], "on": True}},
        "parameters": [{"name": "temporal-recovery-hook.receipt.revision", "value": "$ARGOCD_APP_REVISION"}],
        "releaseName": "other",
    }
    sources = [{"repoURL": "https://charts.example", "chart": "temporal", "targetRevision": "0.73.2", "helm": helm},
               {"repoURL": "r", "kustomize": {"images": ["a=b:1"]}}]  # fmt: skip
    answer = Answer(application(RUNTIME, source=None, sources=sources), "it")
    found = manifests.application(answer)
    assert found.values == {
        "image.tag": "1",
        "server.list[0].a": "1",
        "server.on": "True",
        "temporal-recovery-hook.receipt.revision": "$ARGOCD_APP_REVISION",
        "kustomize.images[0].image": "a=b:1",
    }
    assert found.of_hook_chart("receipt.revision") == "$ARGOCD_APP_REVISION"
    assert found.of_hook_chart("evision") is None
    assert found.charts == (Chart("temporal", "0.73.2"),)
    assert not found.is_from_git
    assert manifests.release_names(answer) == {RUNTIME.name, "other"}
    broken = application(RUNTIME, source={"repoURL": "r", "helm": {"values": "{{ if .a }}"}})
    assert manifests.application(Answer(broken, "it")).values is None


def test_a_retry_without_a_limit_is_none() -> None:
    """What is left out is 0 (types.go, RetryStrategy); what is not there at all is Argo CD's own."""
    assert manifests.application(Answer(application(GATE), "it")).retry is None
    policy = {"retry": {"backoff": {"duration": "5s"}}}
    assert manifests.application(Answer(application(GATE, syncPolicy=policy), "it")).retry == Retry(0)


@pytest.mark.parametrize(
    ("annotations", "phases", "wave"),
    [
        ({}, (), 0),
        ({"argocd.argoproj.io/hook": "Sync", "argocd.argoproj.io/sync-wave": "-5"}, ("Sync",), -5),
        ({"argocd.argoproj.io/hook": "PreSync, PostSync"}, ("PreSync", "PostSync"), 0),
        ({"argocd.argoproj.io/hook": "Sync", "helm.sh/hook": "post-install"}, ("Sync",), 0),
        ({"helm.sh/hook": "pre-install,pre-upgrade", "helm.sh/hook-weight": "-1"}, ("PreSync",), -1),
        ({"helm.sh/hook": "post-upgrade", "argocd.argoproj.io/sync-wave": "x"}, ("PostSync",), 0),
        ({"helm.sh/hook": "test"}, ("Skip",), 0),
    ],
)
def test_phases_and_waves(annotations: dict[str, str], phases: tuple[str, ...], wave: int) -> None:
    """Argo CD's annotations before Helm's (gitops-engine)."""
    found = manifests.resource(Answer(job("a", annotations=annotations), "it"))
    assert (found.phases, found.wave) == (phases, wave)


def test_what_an_application_renders_is_told_apart(read: Callable[..., Seen]) -> None:
    """By the tracking annotation, the instance's label, the release's name; else by its file; a schema Job by what it is."""
    apps = [application(RUNTIME, source={"repoURL": "r", "helm": {"releaseName": "temporal"}}), application(GATE),
            application(MIGRATIONS)]  # fmt: skip
    tracked = job("a", annotations={"argocd.argoproj.io/tracking-id": f"{GATE.name}:batch/Job:x/a"})
    any_namespace = job("c", annotations={"argocd.argoproj.io/tracking-id": f"argocd_{GATE.name}:batch/Job:x/a"})
    seen = read(
        apps,
        [tracked, any_namespace, manifest("ConfigMap", "by-its-file")],
        [job("b", "temporal"), job("temporal-schema-1")],
        [job("temporal-schema-2"), job("nobodys"), manifest("Secret", "s", data={"a": "b"})],
    )  # fmt: skip
    by_app = {ref: [one.name for one in app.resources or ()] for ref, app in seen.apps.items()}
    assert by_app == {
        GATE: ["a", "c", "by-its-file"],
        RUNTIME: ["b", "temporal-schema-1"],
        MIGRATIONS: ["temporal-schema-2"],
    }
    assert [one.what for one in seen.unseen] == ["whose Job nobodys is: no label or annotation names its Application"]


def test_a_release_of_another_name_is_known_by_what_is_in_it(read: Callable[..., Seen]) -> None:
    """As `helm template NAME` labels it: the gate by its Job, the runtime by its servers, the migrations by theirs."""
    chart = {"app.kubernetes.io/name": "temporal-recovery-hook"}
    hook = {"argocd.argoproj.io/hook": "Sync"}
    guard = hook | {"argocd.argoproj.io/sync-wave": "-5"}

    def of(instance: str, kind: str, name: str, **metadata: Any) -> Json:
        labels = {"app.kubernetes.io/instance": instance} | metadata.pop("labels", {})
        return manifest(kind, name, metadata={"labels": labels} | metadata)

    mixed = [
        application_set(LIST),
        of("gate", "Job", "gate", labels=chart, annotations=hook),
        of("gate", "ConfigMap", "gate-receipt"),
        of("servers", "Deployment", "temporal-frontend", labels={"app.kubernetes.io/component": "frontend"}),
        of("servers", "Job", "servers-guard", labels=chart, annotations=guard),
        job("temporal-schema-1"),
        of("other", "Job", "seed", labels=chart, annotations=guard),
    ]
    seen = read(mixed)
    by_app = {ref: [one.name for one in app.resources or ()] for ref, app in seen.apps.items()}
    assert by_app == {
        GATE: ["gate", "gate-receipt"],
        RUNTIME: ["temporal-frontend", "servers-guard"],
        MIGRATIONS: ["temporal-schema-1"],
    }
    assert [one.what.partition(":")[0] for one in seen.unseen] == ["whose Job seed is"]


def test_a_job_is_read_with_what_the_rules_ask() -> None:
    """Labels, TTL, images, options; a receipt's revision."""
    pod = {"spec": {"initContainers": [{"image": "i:1"}], "containers": [{"image": "c:2"}]}}
    options = {"argocd.argoproj.io/sync-options": "Force=true, Replace=true"}
    found = manifests.resource(
        Answer(
            job("a", annotations=options) | {"spec": {"ttlSecondsAfterFinished": 0, "template": pod}},
            "it",
        )
    )
    assert found == Resource("Job", "a", wave=0, ttl="0", is_replaced=True, images=("i:1", "c:2"))
    receipt = manifest("ConfigMap", "r", data={"checksum": "x", "revision": "abc"})
    assert manifests.resource(Answer(receipt, "it")).revision == "abc"
    assert manifests.resource(Answer(manifest("ConfigMap", "r"), "it")).revision == ""


def test_applications_as_argocd_generates_them_are_of_their_set(read: Callable[..., Seen]) -> None:
    """By the owner, by the name that the set renders, or because only one set may have made them."""
    owned = application(RUNTIME)
    owned["metadata"]["ownerReferences"] = [{"kind": "ApplicationSet", "name": "another"}]
    seen = read([application_set(LIST), application(GATE), owned, application(BOOTSTRAP)])
    assert seen.apps[GATE].set_ref == SET
    assert seen.apps[RUNTIME].set_ref == ApplicationRef("argocd", "another")
    assert seen.apps[BOOTSTRAP].set_ref is None
    open_set = application_set({"git": {"repoURL": "r", "files": []}})
    assert read([open_set, application(GATE)]).apps[GATE].set_ref == SET


def test_live_objects_in_a_file_are_read_with_their_status(read: Callable[..., Seen]) -> None:
    """As `kubectl get applications -o yaml` prints them: a List, and what Argo CD's status names."""
    resources = [{"group": "", "kind": "ConfigMap", "namespace": "data", "name": "gate-receipt", "syncWave": 1},
                 {"kind": "Job", "name": "old", "requiresPruning": True}]  # fmt: skip
    hooks = [{"group": "batch", "kind": "Job", "name": "temporal-recovery-hook", "namespace": "data", "hookType": "Sync"},
             {"kind": "ConfigMap", "name": "gate-receipt"}]  # fmt: skip
    live = application(GATE) | {
        "status": {
            "resources": resources,
            "operationState": {"syncResult": {"resources": hooks}},
            "sync": {"revision": "a1"},
        }
    }
    live["status"]["operationState"]["phase"] = "Failed"
    seen = read([{"apiVersion": "v1", "kind": "List", "items": [live, application(RUNTIME)]}])
    gate = seen.apps[GATE]
    assert gate.resources == (
        Resource("ConfigMap", "gate-receipt", "data", wave=1),
        Resource("Job", "temporal-recovery-hook", "data", phases=("Sync",)),
    )
    assert gate.revision == "a1"
    assert gate.jobs[0].is_of_chart
    assert seen.apps[RUNTIME].resources is None


@pytest.mark.parametrize(
    ("state", "are_seen"),
    [
        ({}, False),
        ({"phase": "Succeeded", "syncResult": {"resources": [{"kind": "ConfigMap"}]}}, True),
        ({"phase": "Failed", "syncResult": {"resources": [{"kind": "ConfigMap"}]}}, False),
        ({"phase": "Running", "syncResult": {"resources": [{"kind": "Job", "hookType": "Sync"}]}}, True),
        ({"phase": "Succeeded", "operation": {"sync": {"resources": [{"kind": "Job", "name": "a"}]}}}, False),
    ],
)
def test_when_a_status_names_the_hooks(state: Json, are_seen: bool) -> None:  # noqa: FBT001
    """Not before the first sync, nor after one of some resources alone, nor after one that failed before it got to any."""
    assert manifests.hooks_are_seen(Answer({"status": {"operationState": state}}, "it")) is are_seen


def test_a_live_set_in_a_file_tells_whether_progressive_syncs_are_on(read: Callable[..., Seen]) -> None:
    """By its status, where nothing else does."""
    live = application_set(LIST)
    assert read([live]).argocd.progressive_syncs is None
    assert read([live | {"status": {"conditions": []}}]).argocd.progressive_syncs is False
    tracking = live | {"status": {"applicationStatus": [{"application": GATE.name}]}}
    assert read([tracking]).argocd.progressive_syncs is True
    assert read([tracking, parameters(**{FLAG: "false"})]).argocd.progressive_syncs is False


@pytest.mark.parametrize(
    ("template", "prunes"),
    [
        ({}, False),
        ({"syncPolicy": {"automated": {"prune": True}}}, True),
        ({"syncPolicy": {"automated": {"prune": "{{ .prune }}"}}}, None),
    ],
)
def test_the_templates_prune(template: Json, prunes: bool | None) -> None:  # noqa: FBT001
    """Argo CD 3.2 takes it out of the live Applications, and heeds it all the same (SyncDesiredApplications)."""
    found = application_set(LIST, template={"metadata": {"name": "a"}, "spec": template})
    assert manifests.application_set(Answer(found, "set")).prunes is prunes


# --- Argo CD ------------------------------------------------------------------------------------------------------

FLAG = "applicationsetcontroller.enable.progressive.syncs"


def parameters(**data: str) -> Json:
    return manifest("ConfigMap", "argocd-cmd-params-cm", data=data)


def controller(*arguments: str, variable: str = "", image: str = "quay.io/argoproj/argocd:v3.6.1") -> Json:
    name = "ARGOCD_APPLICATIONSET_CONTROLLER_ENABLE_PROGRESSIVE_SYNCS"
    env = [{"name": name, "value": variable}] if variable else [{"name": name, "valueFrom": {"configMapKeyRef": {}}}]
    container = {
        "name": "c",
        "image": image,
        "args": ["/usr/local/bin/argocd-applicationset-controller", *arguments],
        "env": env,
    }
    spec = {"template": {"spec": {"containers": [container]}}}
    return manifest("Deployment", "argocd-applicationset-controller", "apps/v1", spec=spec)


@pytest.mark.parametrize(
    ("objects", "switched", "version"),
    [
        ([], None, None),
        ([parameters(**{FLAG: "true"})], True, None),
        ([parameters(**{FLAG: "True"})], True, None),
        ([parameters(**{FLAG: "false"})], False, None),
        ([parameters(**{FLAG: "1"})], False, None),
        ([parameters()], False, None),
        ([controller()], None, (3, 6, 1)),
        ([controller("--enable-progressive-syncs")], True, (3, 6, 1)),
        ([controller("--enable-progressive-syncs=false"), parameters(**{FLAG: "true"})], False, (3, 6, 1)),
        ([controller(variable="true"), parameters()], True, (3, 6, 1)),
        ([controller(), parameters(**{FLAG: "true"})], True, (3, 6, 1)),
        ([controller(image="registry.example:5000/mirror/argocd:v2.12.4@sha256:00")], None, (2, 12, 4)),
        ([controller(image="quay.io/argoproj/argocd:latest")], None, None),
    ],
)
def test_what_argo_cd_is_set_to(
    read: Callable[..., Seen],
    objects: list[Json],
    switched: bool | None,  # noqa: FBT001
    version: tuple[int, ...] | None,
) -> None:
    """The controller's own arguments and variables win over the ConfigMap; the default is off."""
    found = read([application(GATE), application(RUNTIME), *objects]).argocd
    assert (found.progressive_syncs, found.version) == (switched, version)


def test_the_version_that_is_given_wins(read: Callable[..., Seen]) -> None:
    """A Deployment in git may be older than what runs."""
    assert read([application(RUNTIME), controller()], version=(3, 2)).argocd == ArgoCd(None, "", (3, 2))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("v3.6.1", (3, 6, 1)), ("3.6", (3, 6)), ("v3.6.0-rc1+abc", (3, 6, 0)), ("3", None), ("latest", None), ("", None)],
)
def test_versions(text: str, numbers: tuple[int, ...] | None) -> None:
    """As image tags and people write them."""
    assert manifests.parse_version(text) == numbers


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not YAML at line 1"),
        ("a: {{ .Values.a }}\nb: {{ if }}", "is not YAML at line 1"),
        (
            "kind: Application\napiVersion: argoproj.io/v1alpha1\nspec: {sources: 7}",
            "document 1: spec.sources: expected a list",
        ),
        (
            yaml.safe_dump(
                application_set(
                    LIST,
                    strategy={"rollingSync": {"steps": [{"matchExpressions": [{"key": "a", "values": [265]}]}]}},
                )
            ),
            "steps[0].matchExpressions[0].values[0]: expected text, found a number",
        ),
        ("server:\n  image: {tag: x}\n", "holds no object of Kubernetes"),
        ("", "holds no object of Kubernetes"),
        ("just text", "document 1: the answer: expected an object, found another text"),
        ("kind: Job\nmetadata: {labels: [a]}", "metadata.labels: expected an object"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_place(tmp_path: Path, text: str, says: str) -> None:
    """And shows nothing else of it."""
    file = tmp_path / "it.yaml"
    file.write_text(yaml.safe_dump(application(RUNTIME)) + "---\n" + text if text.startswith("kind: Job") else text)
    with pytest.raises(files.FileError, match=r"--file .*it\.yaml: ") as error:
        files.read([str(file)], NAMES, None)
    assert says in str(error.value)


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    """With the system's own words."""
    with pytest.raises(files.FileError, match="cannot be read: No such file"):
        files.read([str(tmp_path / "none.yaml")], NAMES, None)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(files.FileError, match="is not UTF-8"):
        files.read([str(tmp_path / "b.yaml")], NAMES, None)


def test_names_that_fit_nothing_or_too_much(read: Callable[..., Seen]) -> None:
    """A misspelt name must not end as a verdict on nothing."""
    with pytest.raises(NamesError, match=r"none of the Applications .* there are: argocd/other$"):
        read([application(ApplicationRef("argocd", "other"))])
    twice = [application(RUNTIME), application(RUNTIME)]
    twice[1]["metadata"]["namespace"] = "team"
    with pytest.raises(
        NamesError, match=r"--runtime data-temporal: there are several \(argocd/data-temporal, team/data-temp"
    ):
        read(twice)
    names = Names(runtime=Name.parse("--runtime", f"team/{RUNTIME.name}"))
    assert read(twice, names=names).roles.runtime == ApplicationRef("team", RUNTIME.name)
    with pytest.raises(NamesError, match="nothing is named that is to be held"):
        read(twice, names=Names(Name("--gate", GATE.name)))
    with pytest.raises(NamesError, match="is named both as gate and as runtime"):
        read(twice[:1], names=Names(Name("--gate", RUNTIME.name), None, Name("--runtime", RUNTIME.name)))


@pytest.mark.parametrize("text", ["", "/a", "a/", "a/b/c"])
def test_a_name_is_a_namespace_and_a_name(text: str) -> None:
    """Or a name alone."""
    with pytest.raises(NamesError, match=r"must be \[NAMESPACE/\]NAME"):
        Name.parse("--gate", text)


def test_no_malformed_field_ends_as_anything_but_a_finding() -> None:
    """The boundary's promise: the one reader reads all of it."""
    with pytest.raises(FindingError, match=r"spec\.strategy: expected an object, found another text"):
        manifests.application_set(Answer({"spec": {"strategy": "RollingSync"}}, "set"))
