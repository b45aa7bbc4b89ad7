"""Every scenario of ci/ with both helms: the same objects, which a real API server takes, restricted, without secrets."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import Validate
from rendering import (
    CHART,
    SCENARIOS,
    SMALLEST,
    Json,
    config,
    identity,
    job_specs,
    merged,
    of_kind,
    the,
    values_of,
)

from hook import cli
from hook.observation.reasons import ExitCode, Reason
from lab.helm import Helm, HelmError

NAME = CHART.name
scenarios = pytest.mark.parametrize("scenario", SCENARIOS)
Notes = Callable[..., str]


@scenarios
def test_both_helms_render_the_same(scenario: str, helm3: Helm, helm4: Helm) -> None:
    values = SCENARIOS[scenario]
    assert helm3.objects(CHART, values) == helm4.objects(CHART, values)


@scenarios
@pytest.mark.parametrize("major", [3, 4])
def test_it_lints(scenario: str, major: int, request: pytest.FixtureRequest) -> None:
    helm: Helm = request.getfixturevalue(f"helm{major}")
    assert "0 chart(s) failed" in helm.lint(CHART, SCENARIOS[scenario])


@scenarios
def test_an_api_server_takes_every_object(scenario: str, helm3: Helm, validate: Validate) -> None:
    """By the API server's own decoder, defaults and create strategies, and its restricted Pod Security Standard."""
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    faults = validate(objects)
    assert set(faults) == {identity(one) for one in objects}
    assert {name: found for name, found in faults.items() if found} == {}


def test_what_an_api_server_refuses_is_told(helm3: Helm, validate: Validate) -> None:
    """The judge of the test above can say no: to a misspelt field, a wrong value, and a pod that is not restricted."""
    job = the(helm3.objects(CHART, SMALLEST), "Job")
    spec = job["spec"]["template"]["spec"]
    misspelt = merged(job, {"spec": {"backofLimit": 1}})
    wrong = merged(job, {"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}})
    open_wide = merged(job, {"spec": {"template": {"spec": {**spec, "securityContext": {}}}}})
    for bad, expected in ((misspelt, "backofLimit"), (wrong, "restartPolicy"), (open_wide, "PodSecurity restricted")):
        if bad is open_wide:
            bad["spec"]["template"]["spec"]["securityContext"] = {}
        (faults,) = validate([bad]).values()
        assert any(expected in fault for fault in faults), faults


@scenarios
def test_nothing_is_cluster_wide_and_everything_says_its_namespace(scenario: str, helm3: Helm) -> None:
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    kinds = {one["kind"] for one in objects}
    assert kinds <= {"ConfigMap", "CronJob", "Job", "NetworkPolicy", "Role", "RoleBinding", "ServiceAccount"}
    assert all(one["metadata"]["namespace"] for one in objects)
    assert len({identity(one) for one in objects}) == len(objects)
    assert not any(ref["roleRef"]["kind"] == "ClusterRole" for ref in of_kind(objects, "RoleBinding"))


@scenarios
def test_pods_are_restricted_and_told_by_their_files(scenario: str, helm3: Helm) -> None:
    for spec in job_specs(helm3.objects(CHART, SCENARIOS[scenario])):
        pod = spec["template"]["spec"]
        (gate,) = pod["containers"]
        assert pod["restartPolicy"] == "Never"
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert gate["securityContext"]["readOnlyRootFilesystem"] is True
        assert gate["securityContext"]["allowPrivilegeEscalation"] is False
        assert gate["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert gate["command"] == ["temporal-recovery-hook"]
        assert {"name": "tmp", "mountPath": "/tmp"} in gate["volumeMounts"]  # noqa: S108 -- the container's
        assert "ttlSecondsAfterFinished" not in spec
        # Environment variables carry names only; what is secret is a file.
        assert not [env for env in gate["env"] if "PASSWORD" in env["name"] or "DSN" in env["name"]]


def test_a_numeric_user_is_named(helm3: Helm) -> None:
    """So that the kubelet can tell that it is not root, whatever the image says."""
    (spec,) = job_specs(helm3.objects(CHART, SMALLEST))
    assert spec["template"]["spec"]["securityContext"]["runAsUser"] > 0


def test_user_and_group_can_be_left_to_the_namespace(helm3: Helm, helm4: Helm) -> None:
    """As OpenShift assigns them: null takes a default away, with both helms."""
    for helm in (helm3, helm4):
        (spec,) = job_specs(helm.objects(CHART, SCENARIOS["openshift"]))
        assert spec["template"]["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }


@scenarios
def test_no_secret_can_be_rendered(scenario: str, helm3: Helm) -> None:
    """No object of kind Secret, no password or DSN in the settings: Secrets are named, never read (`lookup`)."""
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    assert not of_kind(objects, "Secret")
    assert not re.search(r"\b(dsn|password):|postgres(ql)?://", config(objects))
    assert "lookup" not in "".join(path.read_text() for path in (CHART / "templates").iterdir())


def test_waves_order_rights_gate_and_receipt(helm3: Helm) -> None:
    objects = helm3.objects(CHART, SCENARIOS["watchdog"])
    waves = {identity(one): int(one["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for one in objects}
    job, receipt, watchdog = the(objects, "Job"), the(objects, "ConfigMap", "receipt"), the(objects, "CronJob")
    late = {identity(receipt), identity(watchdog)}
    assert waves[identity(job)] == 0
    assert {waves[name] for name in late} == {1}
    assert {wave for name, wave in waves.items() if name not in late | {identity(job)}} == {-1}


@pytest.mark.parametrize(("scenario", "phase"), [("smallest", "Sync"), ("postsync", "PostSync")])
def test_the_job_is_a_hook_of_argo_cd_and_of_helm(scenario: str, phase: str, helm3: Helm) -> None:
    annotations = the(helm3.objects(CHART, SCENARIOS[scenario]), "Job")["metadata"]["annotations"]
    assert annotations == {
        "argocd.argoproj.io/hook": phase,
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
        "argocd.argoproj.io/sync-wave": "0",
        "helm.sh/hook": "post-install,post-upgrade",
        "helm.sh/hook-delete-policy": "before-hook-creation",
    }


def test_only_the_job_is_a_hook(helm3: Helm) -> None:
    """An Application of hooks alone has nothing to be OutOfSync, and would never be synced (argo-cd 7237)."""
    objects = helm3.objects(CHART, SCENARIOS["full"])
    hooks = {
        one["kind"]
        for one in objects
        if any("hook" in name.partition("/")[2] for name in one["metadata"]["annotations"])
    }
    assert hooks == {"Job"}


def test_endings_that_no_second_try_mends_fail_the_job(helm3: Helm) -> None:
    """The codes of podFailurePolicy are the program's own: those by which it asks for a person."""
    for_a_person = {reason.exit_code for reason in Reason} - {
        ExitCode.PASSED,
        ExitCode.BUG,
        ExitCode.DEADLINE,
        ExitCode.AUDIT,  # no Job runs it
        ExitCode.INTERRUPTED,
        ExitCode.STOPPED,
    }
    for spec in job_specs(helm3.objects(CHART, SCENARIOS["watchdog"])):
        fails, ignored = spec["podFailurePolicy"]["rules"]
        assert fails["action"] == "FailJob"
        assert fails["onExitCodes"]["containerName"] == spec["template"]["spec"]["containers"][0]["name"]
        assert set(fails["onExitCodes"]["values"]) == set(map(int, for_a_person))
        assert ignored == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


@pytest.mark.parametrize(
    ("deadlines", "given", "expected"),
    [
        ({}, 0, 21_900),
        ({"deadlineSeconds": 30_000}, 0, 30_300),
        ({"deadlineSeconds": 0.5, "migrationDeadlineSeconds": 0.7}, 0, 301),
        ({"migrationDeadlineSeconds": 600}, 0, 2100),
        ({"deadlineSeconds": 600, "migrationDeadlineSeconds": 600}, 630, 630),
    ],
)
def test_kubernetes_ends_the_job_later_than_it_ends_itself(
    deadlines: dict[str, float], given: int, expected: int, helm3: Helm
) -> None:
    """Later than the longer of its two deadlines; a watchdog's run knows its own alone."""
    watchdog = {"enabled": True, "deadlineSeconds": 540}
    values = {"graceSeconds": 0, "hook": {"activeDeadlineSeconds": given}, "watchdog": watchdog}
    gate, watched = job_specs(helm3.objects(CHART, merged(SMALLEST, values | deadlines)))
    assert gate["activeDeadlineSeconds"] == expected
    assert watched["activeDeadlineSeconds"] == 840


def test_a_run_knows_its_job(helm3: Helm) -> None:
    """By labels that the Job controller sets; the watchdog's Jobs have names that no Role could name: the id alone."""
    hook, watchdog = job_specs(helm3.objects(CHART, SCENARIOS["watchdog"]))
    fields = [
        {
            env["name"]: env["valueFrom"]["fieldRef"]["fieldPath"]
            for env in env_of(spec)
            if env["name"].startswith("TRH_RUN")
        }
        for spec in (hook, watchdog)
    ]
    uid = "metadata.labels['batch.kubernetes.io/controller-uid']"
    job = "metadata.labels['batch.kubernetes.io/job-name']"
    assert fields == [
        {"TRH_RUN__ID": uid, "TRH_RUN__JOB": job, "TRH_RUN__NAMESPACE": "metadata.namespace"},
        {"TRH_RUN__ID": uid},
    ]


def env_of(spec: Json) -> list[Json]:
    return list(spec["template"]["spec"]["containers"][0]["env"])


def test_the_watchdog_never_closes_a_step_nor_runs_twice(helm3: Helm) -> None:
    cronjob = the(helm3.objects(CHART, SCENARIOS["watchdog"]), "CronJob")
    assert cronjob["metadata"]["annotations"]["argocd.argoproj.io/ignore-healthcheck"] == "true"
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    assert cronjob["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    # Its Jobs must not look like parts of the Application to an Argo CD that tracks by label.
    assert "metadata" not in cronjob["spec"]["jobTemplate"]


def test_other_containers_end_with_the_gate(helm3: Helm) -> None:
    """As native sidecars: a second plain container would keep the Job from ending."""
    for spec in job_specs(helm3.objects(CHART, SCENARIOS["full"])):
        (sidecar,) = spec["template"]["spec"]["initContainers"]
        assert sidecar["restartPolicy"] == "Always"
        assert len(spec["template"]["spec"]["containers"]) == 1


def test_scheduling_and_credentials_reach_every_pod(helm3: Helm) -> None:
    """The hook's pod once hung Pending on tainted nodes, and without imagePullSecrets."""
    for spec in job_specs(helm3.objects(CHART, SCENARIOS["full"])):
        pod = spec["template"]["spec"]
        assert pod["imagePullSecrets"] == [{"name": "registry-credentials"}]
        assert pod["tolerations"][0]["key"] == "dedicated"
        assert pod["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
        assert pod["affinity"]
        assert pod["topologySpreadConstraints"]
        assert pod["priorityClassName"] == "platform"
        assert pod["securityContext"]["runAsUser"] == 1000700001
        assert pod["containers"][0]["image"] == "registry.example/platform/temporal-recovery-hook:0.1.0-fips"
        assert spec["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
        assert spec["template"]["metadata"]["annotations"]["example.com/scrape"] == "false"


def test_hosts_and_dns_reach_every_pod(helm3: Helm) -> None:
    for spec in job_specs(helm3.objects(CHART, SCENARIOS["full"])):
        pod = spec["template"]["spec"]
        assert pod["hostAliases"] == values_of("full")["hostAliases"]
        assert pod["dnsConfig"] == {"options": [{"name": "ndots", "value": "1"}]}


def test_extra_objects_come_before_the_gate(helm3: Helm, helm4: Helm) -> None:
    """Their templates are expanded, what is escaped is left to others, and a wave of their own is kept."""

    def extra(name: str, annotations: Json) -> Json:
        metadata = {"name": f"{{{{ .Release.Name }}}}-{name}", "namespace": "{{ .Release.Namespace }}"}
        data = {"url": '{{ "{{ .password }}" }}', "number": "{{ 5432 }}"}
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata | {"annotations": annotations},
            "data": data,
        }

    wave = "argocd.argoproj.io/sync-wave"
    values = merged(SMALLEST, {"extraObjects": [extra("early", {"example.com/a": "b"}), extra("late", {wave: "2"})]})
    for helm in (helm3, helm4):
        found = {one["metadata"]["name"]: one for one in helm.objects(CHART, values)}
        early, late = found["gate-early"], found["gate-late"]
        assert early["metadata"]["annotations"] == {"example.com/a": "b", wave: "-1"}
        assert late["metadata"]["annotations"] == {wave: "2"}
        assert early["metadata"]["namespace"] == "data"
        assert early["data"] == {"url": "{{ .password }}", "number": "5432"}


def test_an_image_may_be_named_by_digest(helm3: Helm) -> None:
    """As a released chart names it."""
    digest = f"sha256:{'0' * 64}"
    (spec,) = job_specs(helm3.objects(CHART, merged(SMALLEST, {"image": {"digest": digest}})))
    assert spec["template"]["spec"]["containers"][0]["image"].endswith(f"temporal-recovery-hook@{digest}")


def test_long_names_differ_where_they_are_cut(helm3: Helm) -> None:
    """Two gates whose release names differ at the end alone share nothing."""
    names = []
    watchdog = yaml.safe_load(SCENARIOS["watchdog"].read_text())
    for release in ("production-data-temporal-recovery-hook-before", "production-data-temporal-recovery-hook-after-x"):
        objects = helm3.objects(CHART, merged(watchdog, {"nameOverride": "gate-of-temporal"}), release=release)
        names.append({identity(one) for one in objects})
        assert len(the(objects, "CronJob")["metadata"]["name"]) <= 52
        assert len(the(objects, "Job")["metadata"]["name"]) <= 63
    assert not names[0] & names[1]


@pytest.mark.parametrize("release", ["data-temporal-second-gate", "dev-data-temporal-namespace-gate"])
def test_usual_names_are_whole(release: str, helm3: Helm) -> None:
    """The release's name and the chart's, without a digest: a Job's name may have 63 characters."""
    job = the(helm3.objects(CHART, SCENARIOS["second-gate"], release=release), "Job")
    assert job["metadata"]["name"] == f"{release}-temporal-recovery-hook"


@pytest.mark.parametrize("cut", ["-", ".", "--"])
def test_a_name_is_cut_to_one_that_kubernetes_takes(cut: str, helm3: Helm) -> None:
    """Where the cut is, there may be a hyphen or a dot, and no part of a name may end in one."""
    release = f"{'a' * (34 - len(cut))}{cut}{'b' * 10}"
    objects = helm3.objects(CHART, SCENARIOS["watchdog"], release=release)
    assert re.fullmatch(r"a+-[0-9a-f]{8}-watchdog", the(objects, "CronJob")["metadata"]["name"])
    job = the(helm3.objects(CHART, SCENARIOS["watchdog"], release="a" * 53), "Job")
    assert re.fullmatch(r"a{53}-[0-9a-f]{8}", job["metadata"]["name"])


@pytest.mark.parametrize(
    ("one", "other"),
    [(("gate", "one"), ("gate", "two")), (("x-prod", "a"), ("x", "prod-a")), (("x", "a"), ("x", "a-watchdog"))],
    ids=["of one name", "whose names and namespaces read alike", "in a namespace that is called like a part"],
)
def test_names_in_other_namespaces_carry_the_gates(one: tuple[str, str], other: tuple[str, str], helm3: Helm) -> None:
    """Two gates in two namespaces share no Role in Argo CD's."""
    found = []
    for name, namespace in (one, other):
        values = merged(values_of("full"), {"fullnameOverride": name})
        objects = helm3.objects(CHART, values, release=name, namespace=namespace)
        found.append({identity(one) for one in objects if one["metadata"]["namespace"] != namespace})
    assert found[0]
    assert not found[0] & found[1]


@pytest.fixture
def notes(helm3: Helm, tmp_path: Path) -> Notes:
    """Renders what helm prints after an install, as an object of a copy, since `helm template` leaves it out."""
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "said.yaml").write_text(
        'kind: Notes\ntext: {{ include (printf "%s/NOTES.txt" .Template.BasePath) . | toJson }}\n'
    )

    def render(values: Path | Json, home: str = "") -> str:
        if home:  # as a release sets it
            chart = yaml.safe_load((copy / "Chart.yaml").read_text())
            (copy / "Chart.yaml").write_text(yaml.safe_dump(chart | {"home": home}))
        return str(next(one["text"] for one in helm3.objects(copy, values) if one["kind"] == "Notes"))

    return render


@scenarios
def test_the_notes_say_where_to_look(scenario: str, helm3: Helm, notes: Notes) -> None:
    said = notes(SCENARIOS[scenario])
    values = values_of(scenario)
    assert f"logs job/{the(helm3.objects(CHART, SCENARIOS[scenario]), 'Job')['metadata']['name']}" in said
    assert ("sync the Application" in said) == values["gate"]["application"]["enabled"]
    assert ("holds no rollout back" in said) == (values["hook"]["phase"] == "PostSync")
    assert ("docs/rbac.md" in said) == (
        scenario in {"tenant", "hub-and-spoke", "argocd-server", "argocd-server-in-a-mesh", "full"}
    )
    assert "docs/ is a folder of" not in said
    assert "%!" not in said
    assert "<no value>" not in said


@scenarios
def test_the_notes_name_the_audit_of_the_rollout(scenario: str, helm3: Helm, notes: Notes) -> None:
    """With every Application that the settings name; the ApplicationSet's name is nobody's but the reader's."""
    found = re.findall(r"(temporal-recovery-hook audit .*)\n", notes(SCENARIOS[scenario]))
    if not values_of(scenario)["gate"]["application"]["enabled"]:
        assert found == []
        return
    parsed = cli._parser().parse_args(found[0].split()[1:])  # noqa: SLF001 -- the arguments are the program's own
    settings = yaml.safe_load(config(helm3.objects(CHART, SCENARIOS[scenario])))

    def named(block: Json | None) -> str | None:
        return f"{block.get('namespace', 'argocd')}/{block['name']}" if block else None

    own = named(settings["gate"])
    assert parsed.gate == (None if settings.get("guard") else own)
    assert parsed.applicationset.endswith("/APPLICATIONSET")
    assert parsed.migrations == named(settings["migrations"].get("application"))
    assert parsed.runtime == named(settings.get("runtime", {}).get("application"))
    downstream = [named(one) for one in settings.get("downstream") or []]
    assert parsed.downstream == [*downstream, *([own] if settings.get("guard") else [])]


def test_the_notes_of_the_runtimes_guard_name_the_runtime(notes: Notes) -> None:
    """Whether its values name it, or not."""
    for named in ({}, {"runtime": {"application": {"name": "gate"}}}):
        said = notes(merged(merged(SMALLEST, {"hook": {"wave": -5}}), named))
        (found,) = re.findall(r"(temporal-recovery-hook audit .*)\n", said)
        assert found.count("argocd/gate") == 1
        assert "--runtime argocd/gate" in found


@pytest.mark.parametrize(
    ("values", "missing"),
    [
        ({"runtime": {"namespace": "temporal"}}, True),
        ({"migrations": {"namespace": "schema"}}, True),
        ({"runtime": {"namespace": "temporal"}, "rbac": {"create": False}}, False),
        ({}, False),
    ],
    ids=["of the runtime", "of the migrations", "said already", "not needed"],
)
def test_the_notes_say_which_rights_are_missing(values: Json, *, missing: bool, notes: Notes) -> None:
    """Those on pods, where somebody else is to make them."""
    said = notes(merged(merged(SMALLEST, {"rbac": {"runtime": {"create": False}}}), values))
    assert ("The chart created no Role for the pods of Temporal" in said) == missing


def test_the_notes_of_a_release_say_where_the_docs_are(notes: Notes) -> None:
    assert notes(SMALLEST, home="https://example.com/hook").endswith(
        "\n\ndocs/ is a folder of https://example.com/hook\n"
    )


def test_an_older_kubernetes_is_refused(helm3: Helm) -> None:
    with pytest.raises(HelmError, match="chart requires kubeVersion"):
        helm3.template(CHART, SMALLEST, kubernetes="1.28.15")


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart that depends on this one, by a condition."""
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / NAME).symlink_to(CHART)
    dependency = {"name": NAME, "version": ">=0.0.0", "condition": f"{NAME}.enabled"}
    chart = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    return tmp_path


@pytest.mark.parametrize("major", [3, 4])
def test_a_parent_chart_may_hold_it(major: int, parent: Path, request: pytest.FixtureRequest) -> None:
    """Helm hands a dependency `global`, its condition, and values by its name; receipt and checks work there, too."""
    helm: Helm = request.getfixturevalue(f"helm{major}")
    for condition in ({}, {"enabled": True}):
        values = {"global": {"team": "data"}, NAME: SMALLEST | condition}
        assert {one["kind"] for one in helm.objects(parent, values)} >= {"Job", "ConfigMap"}
    assert helm.objects(parent, {NAME: {"enabled": False}}) == []


@pytest.mark.parametrize(("major", "by_file"), [(3, True), (3, False), (4, True)])
def test_user_and_group_can_be_left_to_the_namespace_in_a_parent_chart(
    major: int, parent: Path, request: pytest.FixtureRequest, *, by_file: bool
) -> None:
    """By a values file with both helms; by the parent's own values.yaml with helm 3 alone, as the docs say."""
    helm: Helm = request.getfixturevalue(f"helm{major}")
    values = {NAME: yaml.safe_load(SCENARIOS["openshift"].read_text())}
    (parent / "values.yaml").write_text("" if by_file else yaml.safe_dump(values))
    (spec,) = job_specs(helm.objects(parent, values if by_file else {}))
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["template"]["spec"]["securityContext"])
