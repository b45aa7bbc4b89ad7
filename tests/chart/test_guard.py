"""A guard: the chart as a dependency of the chart whose Application it guards, in a wave before everything else of it."""

from pathlib import Path

import pytest
import yaml
from rendering import CHART, SCENARIOS, SMALLEST, Json, canonical, config, identity, merged, of_kind, rights, said, the

from lab.helm import Helm, HelmError

WAVE: Json = {"hook": {"wave": -5}}
GUARD = merged(SMALLEST, WAVE)
RUNTIME: Json = {"runtime": {"application": {"name": "gate"}}}  # the release's name, and so its own Application
GUARDED = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: {{ .Release.Name }}, namespace: data}\n"


def waves(objects: list[Json]) -> dict[str, int]:
    return {identity(one): int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for one in objects}


def parent(folder: Path, *aliases: str) -> Path:
    """A chart that is guarded: it has an object named after the release, and a guard under each alias."""
    (folder / "charts").mkdir()
    (folder / "templates").mkdir()
    (folder / "charts" / CHART.name).symlink_to(CHART)
    (folder / "templates" / "account.yaml").write_text(GUARDED)
    dependencies = [{"name": CHART.name, "version": ">=0.0.0", "alias": alias} for alias in aliases]
    chart = {"apiVersion": "v2", "name": "temporal", "version": "1.0.0", "dependencies": dependencies}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return folder


@pytest.mark.parametrize("wave", [-5, -1, 3])
def test_all_waves_follow_from_the_jobs(wave: int, helm3: Helm) -> None:
    """Rights, service account and settings one before it; the receipt, where there is one, one after."""
    found = waves(helm3.objects(CHART, merged(SMALLEST, {"hook": {"wave": wave}})))
    assert found.pop("Job data/gate-temporal-recovery-hook") == wave
    assert found.pop("ConfigMap data/gate-temporal-recovery-hook-receipt", None) == (wave + 1 if wave > 0 else None)
    assert set(found.values()) == {wave - 1}


def test_everything_of_a_guard_comes_before_what_has_no_wave(helm3: Helm) -> None:
    """A receipt would not: it would have a commit that changes nothing else synced, too."""
    objects = helm3.objects(CHART, SCENARIOS["guard"])
    assert max(waves(objects).values()) < 0
    assert [one["metadata"]["name"] for one in of_kind(objects, "ConfigMap")] == ["gate-temporal-recovery-hook"]
    with_revision = merged(GUARD, {"receipt": {"revision": "0f9d3c1b"}})
    assert helm3.objects(CHART, with_revision) == helm3.objects(CHART, GUARD)


def test_argo_cd_runs_it_in_each_sync(helm3: Helm) -> None:
    """As the gate. Under plain helm the Job would come before its service account, and so hold rather than let pass."""
    assert the(helm3.objects(CHART, GUARD), "Job")["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
        "argocd.argoproj.io/sync-wave": "-5",
        "helm.sh/hook": "pre-install,pre-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }


def test_plain_helm_runs_it_before_the_release(helm3: Helm) -> None:
    """With all that it needs, by weight; what is not the Job is deleted when all hooks have succeeded."""
    objects = helm3.objects(CHART, merged(GUARD, {"gate": {"application": {"enabled": False}}}))
    for one in objects:
        annotations = one["metadata"]["annotations"]
        is_job = one["kind"] == "Job"
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert annotations["helm.sh/hook-weight"] == ("-5" if is_job else "-6")
        policy = annotations["helm.sh/hook-delete-policy"]
        assert policy == ("before-hook-creation" if is_job else "before-hook-creation,hook-succeeded")
    assert {one["kind"] for one in objects} == {"ConfigMap", "Job", "Role", "RoleBinding", "ServiceAccount"}
    settings = yaml.safe_load(config(objects))
    assert settings["guard"] is True
    assert "gate" not in settings


@pytest.mark.parametrize("release", ["data-temporal", "temporal-guard", "temporal-recovery-hook", "guard"])
def test_its_names_are_not_the_guarded_charts_nor_anothers(release: str, tmp_path: Path, helm3: Helm) -> None:
    """The release's name is the guarded chart's, which may name its objects by it alone; another guard is an alias away."""
    chart = parent(tmp_path, CHART.name, "guard")
    objects = helm3.objects(chart, {CHART.name: GUARD, "guard": GUARD}, release=release)
    names = [identity(one) for one in objects]
    assert f"ServiceAccount data/{release}" in names
    assert len(names) == len(set(names))
    jobs = of_kind(objects, "Job")
    assert len(jobs) == 2
    assert {one["metadata"]["labels"]["app.kubernetes.io/name"] for one in jobs} == {CHART.name}


@pytest.mark.parametrize("names", [{"nameOverride": "temporal"}, {"fullnameOverride": "temporal"}])
def test_it_is_known_by_its_label_whatever_its_name(names: Json, helm3: Helm) -> None:
    """By it a gate tells a guard's Job from the Jobs of what is guarded; and no selector takes its pods for Temporal's."""
    job = the(helm3.objects(CHART, merged(GUARD, names)), "Job")
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == CHART.name
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == CHART.name


RIGHTS: dict[str, tuple[Json, dict[str, set[str]]]] = {
    "before the runtime, which is its own: it asks for the migration, and acts on nothing else": (
        merged(RUNTIME, {"runtime": {"namespace": "temporal"}}),
        {
            "argocd": {
                "get argoproj.io/applications data-migrations-temporal",
                "get argoproj.io/applications gate",
                "patch argoproj.io/applications data-migrations-temporal",
                "create /events *",
            },
            "temporal": {
                "get batch/jobs *",
                "list /pods *",
                "get /pods/log *",
                "list /events *",
            },
        },
    ),
    "before servers whose Jobs are elsewhere: their namespace does not matter to it": (
        merged(
            RUNTIME, {"runtime": {"namespace": "temporal"}, "migrations": {"namespace": "schema", "jobs": ["schema"]}}
        ),
        {
            "argocd": {
                "get argoproj.io/applications data-migrations-temporal",
                "get argoproj.io/applications gate",
                "patch argoproj.io/applications data-migrations-temporal",
                "create /events *",
            },
            "schema": {"get batch/jobs schema", "list /pods *", "get /pods/log *", "list /events *"},
        },
    ),
    "one that asks for no migration changes nothing at all": (
        {"migrations": {"attempts": 0}, "report": {"events": False}},
        {
            "argocd": {
                "get argoproj.io/applications data-migrations-temporal",
                "get argoproj.io/applications gate",
            }
        },
    ),
    "before the bootstrap, which it never syncs": (
        {
            "migrations": {"attempts": 0},
            "temporal": {"frontend": {"address": "frontend:7233"}},
            "reachability": "always",
            "downstream": [{"name": "gate"}],
            "runtime": {"application": {"name": "data-temporal"}, "namespace": "temporal"},
        },
        {
            "argocd": {
                "get argoproj.io/applications data-migrations-temporal",
                "get argoproj.io/applications data-temporal",
                "get argoproj.io/applications gate",
                "create /events *",
            },
            "temporal": {
                "list apps/deployments *",
                "list apps/statefulsets *",
                "get batch/jobs *",
                "list /pods *",
                "get /pods/log *",
                "list /events *",
            },
        },
    ),
}


@pytest.mark.parametrize(("values", "expected"), RIGHTS.values(), ids=list(RIGHTS))
def test_it_may_read_and_ask_for_the_migration(values: Json, expected: dict[str, set[str]], helm3: Helm) -> None:
    account = "gate-temporal-recovery-hook"
    found = canonical(rights(helm3.objects(CHART, merged(GUARD, values)), account))
    assert found.pop("data") == {f"get batch/jobs {account}"}
    assert found == expected


FRONTEND_ALONE: Json = merged(
    WAVE, {"reachability": "always", "temporal": {"frontend": {"address": "temporal-frontend.data:7233"}}}
)


def test_before_what_needs_the_frontend_alone_it_needs_neither_database_nor_migrations(helm3: Helm) -> None:
    """Its pod mounts no Secret, and it may read its own Application and nothing else."""
    objects = helm3.objects(CHART, FRONTEND_ALONE)
    found = yaml.safe_load(config(objects))
    assert found["migrations"] == {"strategy": "none"}
    assert found["temporal"] == {"frontend": {"address": "temporal-frontend.data:7233"}}
    assert "stores" not in found
    assert {one["name"] for one in the(objects, "Job")["spec"]["template"]["spec"]["volumes"]} == {"config", "tmp"}
    rights_of = canonical(rights(objects, "gate-temporal-recovery-hook"))
    assert rights_of["argocd"] == {"get argoproj.io/applications gate", "create /events *"}
    assert rights_of.keys() == {"argocd", "data"}


FORGOTTEN: dict[str, tuple[Json, str]] = {
    "the migrations": ({"stores": SMALLEST["stores"]}, "migrations.application.name: required"),
    "the database": ({"migrations": SMALLEST["migrations"]}, "stores.default.host: required"),
    "to ask Temporal": ({"reachability": "auto"}, "stores.default.host: required"),
    "to be a guard": ({"hook": {"wave": 0}}, "stores.default.host: required"),
}


@pytest.mark.parametrize(("values", "line"), FORGOTTEN.values(), ids=list(FORGOTTEN))
def test_what_names_one_of_them_or_gates_otherwise_has_to_name_all(values: Json, line: str, helm3: Helm) -> None:
    with pytest.raises(HelmError) as refused:
        helm3.template(CHART, merged(FRONTEND_ALONE, values))
    assert line in str(refused.value)


REFUSALS: dict[str, tuple[Json, str]] = {
    "in the wave of what it is to guard": (
        merged(RUNTIME, {"hook": {"wave": 0}}),
        "As a guard, before everything else of that Application, it needs hook.wave below 0, such as -5",
    ),
    "as its own migrations": (
        {"migrations": {"application": {"name": "gate"}}},
        "migrations.application is the gate's own Application (argocd/gate): syncing it from inside its own",
    ),
    "of the runtime, for servers that start after it": (
        merged(RUNTIME, {"reachability": "always", "temporal": {"frontend": {"address": "frontend:7233"}}}),
        "reachability: always in a guard of the runtime (argocd/gate) is a deadlock",
    ),
    "with others to sync": (
        {"downstream": [{"name": "orders"}], "temporal": {"frontend": {"address": "frontend:7233"}}},
        "downstream[0] (argocd/orders): a guard syncs no other Application",
    ),
    "after what it is to guard": (
        {"hook": {"phase": "PostSync"}},
        "hook.phase: PostSync comes after all that hook.wave -5 is to guard",
    ),
    "on a schedule": ({"watchdog": {"enabled": True}}, "watchdog.enabled: a guard has no schedule"),
}


@pytest.mark.parametrize(("values", "line"), REFUSALS.values(), ids=list(REFUSALS))
def test_what_would_not_guard_is_refused_in_one_line(values: Json, line: str, helm3: Helm) -> None:
    with pytest.raises(HelmError) as refused:
        helm3.template(CHART, merged(GUARD, values))
    (only,) = said(str(refused.value))[-1:]
    assert line in only


@pytest.mark.parametrize("reopens", [True, False])
def test_a_watchdog_that_reopens_may_sync_the_runtime_whose_guard_failed(helm3: Helm, *, reopens: bool) -> None:
    """Also where nothing of Temporal is asked for."""
    watchdog = {"watchdog": {"enabled": True, "reopenGate": reopens}}
    objects = helm3.objects(CHART, merged(SMALLEST, {"runtime": {"application": {"name": "data-temporal"}}} | watchdog))
    found = canonical(rights(objects, "gate-temporal-recovery-hook-watchdog"))
    assert ("patch argoproj.io/applications data-temporal" in found["argocd"]) == reopens


def test_a_gate_needs_nothing_of_it(helm3: Helm) -> None:
    """Of the smallest install nothing is a guard's."""
    assert "guard" not in yaml.safe_load(config(helm3.objects(CHART, SMALLEST)))


def test_values_beside_the_dependency_are_missed_first(helm3: Helm, tmp_path: Path) -> None:
    """Helm gives a dependency what stands under its name or alias alone, and says nothing of the rest."""
    umbrella = parent(tmp_path, "gate")
    with pytest.raises(HelmError) as refused:
        helm3.objects(umbrella, SMALLEST)
    said = "gate: none of the required values is set: give the values of a dependency under its name or alias, as in gate: {"
    assert said in str(refused.value)
    with pytest.raises(HelmError) as refused:
        helm3.objects(umbrella, {"gate": {"temporal": {"version": "1.29.1"}}})
    assert "none of the required values" not in str(refused.value)
