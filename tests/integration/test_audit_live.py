"""An audit of a live ApplicationSet, against the stand-in of the API server: all of it, or what its rights let it read."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from hook import cli
from lab.fake_api import DropAnswer, FakeApi

Json = dict[str, Any]
End = tuple[int, Json, str]

ARGO = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
MIGRATIONS, GATE, RUNTIME, BOOTSTRAP = "data-migrations-temporal", "data-gate", "data-temporal", "data-bootstrap"
ROLES = ("--migrations", MIGRATIONS, "--gate", GATE, "--runtime", f"argocd/{RUNTIME}", "--downstream", BOOTSTRAP)
CHART = {"app.kubernetes.io/name": "temporal-recovery-hook"}
FLAG = "applicationsetcontroller.enable.progressive.syncs"
COMMIT = "0123456789abcdef"


def hook(name: str, phase: str = "Sync") -> Json:
    return {"group": "batch", "version": "v1", "kind": "Job", "namespace": "data", "name": name, "hookType": phase}


def managed(kind: str, name: str, wave: int = 0) -> Json:
    return {"kind": kind, "namespace": "data", "name": name, "status": "Synced"} | ({"syncWave": wave} if wave else {})


def application(name: str, phase: str, resources: list[Json], hooks: list[Json]) -> Json:
    policy = {"automated": {"enabled": False, "prune": True}, "retry": {"limit": 10, "refresh": True}}
    owner = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "name": "temporal",
        "uid": "1",
        "controller": True,
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": name,
            "namespace": "argocd",
            "labels": {"rollout-phase": phase},
            "ownerReferences": [owner],
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://git.example", "path": name},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "data"},
            "syncPolicy": policy,
        },
        "status": {
            "sync": {"status": "Synced", "revision": COMMIT},
            "health": {"status": "Healthy"},
            "resources": resources,
            "operationState": {
                "phase": "Succeeded",
                "startedAt": "2026-11-28T08:00:00Z",
                "operation": {"sync": {"revision": COMMIT}},
                "syncResult": {"revision": COMMIT, "resources": [*resources, *hooks]},
            },
        },
    }


def job(name: str, wave: int = 0, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
    annotations = {"argocd.argoproj.io/sync-wave": str(wave)}
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "temporalio/admin-tools:1.29.1"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "data", "labels": dict(labels or {}), "annotations": annotations},
        "spec": {"template": {"spec": pod}} | spec,
    }


def config_map(name: str, namespace: str, **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data}


def application_set(*phases: str) -> Json:
    steps = [{"matchExpressions": [{"key": "rollout-phase", "operator": "In", "values": [phase]}]} for phase in phases]
    generators = [{"git": {"repoURL": "https://git.example", "files": [{"path": "x"}]}}]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "ApplicationSet",
        "metadata": {"name": "temporal", "namespace": "argocd"},
        "spec": {
            "generators": generators,
            "strategy": {"type": "RollingSync", "rollingSync": {"steps": steps}},
            "template": {"metadata": {"name": "{{ .name }}"}, "spec": {"project": "default"}},
        },
    }


APPLICATIONS = {
    MIGRATIONS: application(MIGRATIONS, "265", [managed("ConfigMap", "config")], [hook("temporal-schema")]),
    GATE: application(GATE, "300", [managed("ConfigMap", "gate-receipt", 1)], [hook("gate")]),
    RUNTIME: application(RUNTIME, "450", [managed("Deployment", "temporal-frontend")], [hook("temporal-guard")]),
    BOOTSTRAP: application(
        BOOTSTRAP, "455", [managed("ConfigMap", "names")], [hook("bootstrap-guard"), hook("bootstrap")]
    ),
}
JOBS = (
    job("temporal-schema"),
    job("gate", labels=CHART),
    job("temporal-guard", -5, CHART),
    job("bootstrap-guard", -5, CHART),
    job("bootstrap"),
)
ARGO_RULES = [
    {"apiGroups": ["argoproj.io"], "resources": ["applications", "applicationsets"], "verbs": ["get", "list"]}
]
ALL_RULES = {
    "argocd": [
        *ARGO_RULES,
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
    ],
    "data": [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    ],
}


class Cluster:
    """A cluster with a rollout that holds, and somebody who audits it."""

    def __init__(self, api: FakeApi, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.api = api
        self.client = api.client("cluster")
        self._kubeconfig = kubeconfig
        self._capsys = capsys

    def create(self, item: Json) -> None:
        group = item["apiVersion"]
        plural = f"{item['kind'].lower()}s"
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        path = f"{root}/namespaces/{item['metadata']['namespace']}/{plural}"
        status = item.get("status") if item["kind"] == "ApplicationSet" else None
        self.client.create(path, copy.deepcopy(item))
        if status is not None:
            self.client.patch_status(f"{path}/{item['metadata']['name']}", {"status": status})

    def fill(
        self,
        phases: tuple[str, ...] = ("265", "300", "450", "455"),
        *,
        tracks: bool = True,
        **changed: Json | None,
    ) -> None:
        """Everything, with some of its objects changed, or left out."""
        self.create(application_set(*phases) | {"status": {"applicationStatus": self._statuses() if tracks else []}})
        named = {one["metadata"]["name"]: one for one in (*APPLICATIONS.values(), *JOBS)}
        named["gate-receipt"] = config_map("gate-receipt", "data", revision=COMMIT)
        named["argocd-cmd-params-cm"] = config_map("argocd-cmd-params-cm", "argocd", **{FLAG: "true"})
        named["controller"] = self._controller()
        for name, item in (named | {name.replace("_", "-"): one for name, one in changed.items()}).items():
            if item is not None:
                assert named.get(name) is not None
                self.create(item)

    @staticmethod
    def _statuses() -> list[Json]:
        return [{"application": name, "status": "Healthy", "step": "1", "message": ""} for name in APPLICATIONS]

    @staticmethod
    def _controller() -> Json:
        labels = {"app.kubernetes.io/component": "applicationset-controller"}
        container = {"name": "c", "image": "quay.io/argoproj/argocd:v3.6.1", "args": ["x"]}
        pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "argocd-applicationset-controller", "namespace": "argocd", "labels": labels},
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        }

    def audit(self, *arguments: str) -> End:
        """Run the command; its exit code, its document, and what it says of an error."""
        with pytest.raises(SystemExit) as end:
            cli.main(("audit", "--applicationset", "argocd/temporal", "--output", "json", *(arguments or ROLES)))
        printed = self._capsys.readouterr()
        return int(end.value.code or 0), json.loads(printed.out) if printed.out else {}, printed.err


@pytest.fixture
def cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Cluster]]:
    """Makes a cluster whose auditor has these rights."""
    with FakeApi() as api:
        api.add_user("cluster", admin=True)
        for namespace in ("argocd", "data"):
            api.client("cluster").create("/api/v1/namespaces", {"metadata": {"name": namespace}})

        def make(roles: Mapping[str, list[Json]] = ALL_RULES) -> Cluster:
            api.add_user("auditor", roles=roles)
            kubeconfig = api.write_kubeconfig(tmp_path / "kubeconfig", "auditor")
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
            return Cluster(api, kubeconfig, capsys)

        yield make


def findings(document: Json) -> set[tuple[str | None, str, str]]:
    """Each finding by its Application, name and severity."""
    found: set[tuple[str | None, str, str]] = {(None, one["reason"], one["severity"]) for one in document["findings"]}
    for app in document["applications"]:
        found |= {(app["application"], one["reason"], one["severity"]) for one in app["findings"]}
    return found


def test_a_rollout_that_holds(cluster: Callable[..., Cluster]) -> None:
    """Nothing found, nothing left unseen, and nothing but GET was asked."""
    world = cluster()
    world.fill()
    code, document, error = world.audit()
    assert (code, error) == (0, "")
    assert findings(document) == set()
    assert document["unseen"] == []
    assert [one["unseen"] for one in document["applications"]] == [[], [], [], []]
    assert document["argocd"] == {"version": "3.6.1", "progressiveSyncs": True}
    runtime = document["applications"][2]
    assert runtime["step"] == "step 3 of 4"
    assert [one.partition(":")[0] for one in runtime["heldBy"]] == ["its guard in wave -5", "the gate"]


def test_what_may_not_be_read_is_said(cluster: Callable[..., Cluster]) -> None:
    """With rights on Argo CD's own objects alone: by its status, as far as that goes; no verdict rests on the rest."""
    world = cluster({"argocd": ARGO_RULES})
    world.fill()
    code, document, _ = world.audit()
    assert code == 0
    assert findings(document) == set()
    assert document["argocd"] == {"version": None, "progressiveSyncs": True}  # by the ApplicationSet's status
    told = " ".join(document["unseen"])
    for what in ("ConfigMap argocd/argocd-cmd-params-cm: ", "applicationset-controller"):
        assert what.lower() in told.lower().replace("applicationset controller", "applicationset-controller")
    assert "cannot get resource" in told
    unseen = {one["application"]: " ".join(one["unseen"]) for one in document["applications"]}
    assert "whether Job temporal-guard, a hook, is a guard" in unseen[f"argocd/{RUNTIME}"]
    assert "whether its receipt carries the commit" in unseen[f"argocd/{GATE}"]


def test_applications_that_may_not_be_listed_are_read_by_name(cluster: Callable[..., Cluster]) -> None:
    """The least that an audit needs is to get what is named."""
    rules = [{"apiGroups": ["argoproj.io"], "resources": ["applications", "applicationsets"], "verbs": ["get"]}]
    world = cluster({"argocd": rules})
    world.fill()
    code, document, _ = world.audit()
    assert code == 0
    assert len(document["applications"]) == 4
    assert any(one.startswith("other Applications of the ApplicationSet: ") for one in document["unseen"])


def changed(name: str, **spec: Any) -> Json:
    found = copy.deepcopy(APPLICATIONS[name])
    found["spec"]["syncPolicy"] |= spec
    return found


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        ({"phases": ("300", "450", "455")}, (f"argocd/{MIGRATIONS}", "InNoStep", "warning")),
        ({"phases": ("450", "265", "300", "455")}, (f"argocd/{RUNTIME}", "StepsOutOfOrder", "warning")),
        ({"argocd_cmd_params_cm": config_map("argocd-cmd-params-cm", "argocd", **{FLAG: "false"})},
         (None, "ProgressiveSyncsOff", "warning")),
        ({"argocd_cmd_params_cm": None, "tracks": False}, (None, "ProgressiveSyncsOff", "warning")),
        ({"gate_receipt": config_map("gate-receipt", "data", checksum="x")},
         (f"argocd/{GATE}", "ReceiptIgnoresCommits", "warning")),
        ({"temporal_schema": job("temporal-schema", ttlSecondsAfterFinished=60)},
         (f"argocd/{MIGRATIONS}", "JobWithTtl", "warning")),
        ({"temporal_guard": job("temporal-guard", 0, CHART)}, (f"argocd/{RUNTIME}", "GuardNotFirst", "fails")),
        ({"data_gate": changed(GATE, retry={"limit": 0})}, (f"argocd/{GATE}", "NoRetry", "warning")),
        ({"data_gate": application(GATE, "300", [], [hook("gate")])}, (f"argocd/{GATE}", "NoReceipt", "warning")),
        ({"data_gate": application(GATE, "300", [managed("ConfigMap", "gate-receipt", 1)], [hook("gate", "PostSync")])},
         (f"argocd/{GATE}", "PostSyncGate", "warning")),
        ({"data_temporal": application(RUNTIME, "450", [managed("Deployment", "d")], [])},
         (f"argocd/{RUNTIME}", "NoGuard", "warning")),
        ({"data_migrations_temporal": application(MIGRATIONS, "265", [managed("Job", "temporal-schema")], [])},
         (f"argocd/{MIGRATIONS}", "PlainJobBeforeGate", "warning")),
    ],
)  # fmt: skip
def test_each_fault_of_a_live_rollout(
    cluster: Callable[..., Cluster], objects: dict[str, Any], expected: tuple[str | None, str, str]
) -> None:
    """By what the objects say; a guard in runtime and bootstrap makes a warning of what the gate fails to hold."""
    world = cluster()
    world.fill(**objects)
    code, document, error = world.audit()
    assert error == ""
    assert expected in findings(document)
    assert code == (9 if expected[2] == "fails" else 0)


def test_a_job_named_by_the_commit_is_renewed(cluster: Callable[..., Cluster]) -> None:
    """The status tells the commit that the name has."""
    name = f"schema-{COMMIT[:7]}"
    world = cluster()
    world.fill(
        ("265", "450", "455"),
        data_migrations_temporal=application(MIGRATIONS, "265", [managed("Job", name)], []),
        data_gate=application(GATE, "265", [managed("ConfigMap", "gate-receipt", 1)], [hook("gate")]),
    )
    assert findings(world.audit()[1]) == set()


def test_another_cluster_is_not_read(cluster: Callable[..., Cluster]) -> None:
    """What is in a remote cluster may bear the name of something here."""
    remote = copy.deepcopy(APPLICATIONS[RUNTIME])
    remote["spec"]["destination"] = {"name": "remote", "namespace": "data"}
    world = cluster()
    world.fill(data_temporal=remote)
    _, document, _ = world.audit()
    assert "they are in another cluster" in " ".join(document["applications"][2]["unseen"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--runtime", "nobody"), "ApplicationMissing: Application argocd/nobody"),
        (("--runtime", "elsewhere/nobody"), "ApiForbidden"),
    ],
)
def test_what_is_named_has_to_be_there(cluster: Callable[..., Cluster], arguments: tuple[str, ...], says: str) -> None:
    """And readable: exit code 6."""
    world = cluster()
    world.fill()
    code, document, error = world.audit(*arguments)
    assert (code, document) == (6, {})
    assert says in error
    assert "What to do: " in error


def test_an_applicationset_that_is_not_there_or_not_readable(cluster: Callable[..., Cluster]) -> None:
    """Each by its name."""
    code, _, error = cluster().audit()
    assert code == 6
    assert "ApplicationMissing: ApplicationSet argocd/temporal" in error
    code, _, error = cluster({}).audit()
    assert code == 6
    assert "ApiForbidden" in error


def test_an_api_that_drops_its_answers_is_no_verdict(cluster: Callable[..., Cluster]) -> None:
    """Only what is forbidden is passed over; exit code 3 as `check` has it."""
    world = cluster()
    world.fill()
    world.api.faults.plan(
        "GET", "/api/v1/namespaces/argocd/configmaps/argocd-cmd-params-cm", DropAnswer(), user="auditor"
    )
    code, document, error = world.audit()
    assert (code, document) == (3, {})
    assert "ApiUnreachable" in error


def test_who_is_who_and_where_by_the_gates_settings(cluster: Callable[..., Cluster], tmp_path: Path) -> None:
    """As `check` takes them: the Applications, and the kubeconfig."""
    world = cluster()
    world.fill()
    settings = {
        "temporal": {"version": "1.29.1"},
        "stores": {"default": {"host": "db", "user": "temporal"}},
        "migrations": {"application": {"name": MIGRATIONS}},
        "runtime": {"application": {"name": RUNTIME}},
        "gate": {"name": GATE},
        "argocd": {"kubeconfigFile": str(tmp_path / "kubeconfig")},
    }
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(settings))
    code, document, error = world.audit("--config", str(file))
    assert (code, error) == (0, "")
    assert [one["roles"] for one in document["applications"]] == [["migrations"], ["gate"], ["runtime"]]
