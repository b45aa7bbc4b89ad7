"""Alerts, notifications and the check in the cluster: what the docs give to paste does what they say of it."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from conftest import Validate
from rendering import CHART, SCENARIOS, SMALLEST, Json, identity, the

from hook.observation.reasons import ExitCode
from lab import toolchain
from lab.helm import Helm

EXAMPLES = CHART.parent.parent / "examples"
GATES = ("data-temporal-recovery-hook", "dev-data-temporal-recovery-hook", "data-temporal-second-gate")
"""Applications, and so releases: the chart names its objects differently by them."""

RULES = yaml.safe_load((EXAMPLES / "alerts" / "prometheusrule.yaml").read_text())
NOTIFICATIONS = yaml.safe_load((EXAMPLES / "notifications" / "gate-failed.yaml").read_text())["data"]

METRICS = {
    # kubernetes/kube-state-metrics, docs/metrics/workload/job-metrics.md and cronjob-metrics.md (all of them STABLE)
    "kube_job_failed": {"namespace", "job_name", "condition"},
    "kube_cronjob_status_last_successful_time": {"namespace", "cronjob"},
    "kube_cronjob_created": {"namespace", "cronjob"},
    "kube_cronjob_spec_suspend": {"namespace", "cronjob"},
    # argoproj/argo-cd v3.6.1 and v3.2.11, controller/metrics/metrics.go, descAppInfo. Its `namespace` is the Application's,
    # which Prometheus often replaces by that of the scraped pod.
    "argocd_app_info": {"name", "project", "sync_status", "health_status", "dest_namespace", "operation"},
}


def alerts() -> dict[str, Json]:
    (group,) = RULES["spec"]["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def selectors(node: Any) -> Iterator[Any]:  # noqa: ANN401 -- the parser's types are not exported
    """Yield the vector selectors of a PromQL expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    for part in ("expr", "lhs", "rhs"):
        if (below := getattr(node, part, None)) is not None:
            yield from selectors(below)


def matches(alert: str, metric: str, label: str, value: str) -> bool:
    """Whether an alert's selector of a metric takes a value of a label; PromQL anchors its expressions."""
    (found,) = {
        matcher.value
        for selector in selectors(promql_parser.parse(alerts()[alert]["expr"]))
        if selector.name == metric
        for matcher in selector.matchers.matchers
        if matcher.name == label
    }
    return re.fullmatch(found, value) is not None


def test_the_alerts_ask_for_metrics_that_exist() -> None:
    """Each expression is PromQL; its metrics and labels, and those of its texts, are those of the exporters."""
    for rule in alerts().values():
        seen: set[str] = set()
        for selector in selectors(promql_parser.parse(rule["expr"])):
            assert {matcher.name for matcher in selector.matchers.matchers} <= METRICS[selector.name], rule["alert"]
            seen |= METRICS[selector.name]
        shown = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert shown <= seen, rule["alert"]


@pytest.mark.parametrize("release", GATES)
def test_the_alerts_find_what_the_chart_renders(release: str, helm3: Helm) -> None:
    """The Job, but no run of the watchdog; the CronJob, whose longer names end in a digest; the Application."""
    objects = helm3.objects(CHART, SCENARIOS["watchdog"], release=release)
    job, cronjob = the(objects, "Job")["metadata"]["name"], the(objects, "CronJob")["metadata"]["name"]
    assert matches("TemporalGateFailed", "kube_job_failed", "job_name", job)
    assert not matches("TemporalGateFailed", "kube_job_failed", "job_name", f"{cronjob}-29384756")
    for metric in ("kube_cronjob_status_last_successful_time", "kube_cronjob_created"):
        assert matches("TemporalWatchdogFails", metric, "cronjob", cronjob)
    assert matches("TemporalGateClosedTooLong", "argocd_app_info", "name", release)


def test_the_alerts_wait_for_longer_than_the_gate() -> None:
    """They are about what the defaults no longer explain."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert alerts()["TemporalGateClosedTooLong"]["for"] == "45m"
    assert values["deadlineSeconds"] + values["graceSeconds"] < 45 * 60
    assert values["watchdog"]["schedule"] == "*/10 * * * *"
    assert "> 1800" in alerts()["TemporalWatchdogFails"]["expr"]
    assert 2 * 600 + values["watchdog"]["deadlineSeconds"] < 1800


def application(said: str, **more: Any) -> Json:
    """The gate's Application after a sync that failed, as Argo CD writes it."""
    job = {"kind": "Job", "name": "temporal-gate", "namespace": "temporal", "hookType": "Sync", "hookPhase": "Failed"}
    config = {"kind": "ConfigMap", "name": "temporal-gate", "namespace": "temporal", "status": "Synced"}
    state: Json = {
        "phase": "Failed",
        "message": "one or more synchronization tasks completed unsuccessfully",
        "syncResult": {"resources": [config, job | {"message": said}]},
    }
    return {"metadata": {"name": "gate", "namespace": "argocd"}, "status": {"operationState": state | more}}


Message = Callable[..., str]


@pytest.fixture
def message(helm3: Helm, tmp_path: Path) -> Message:
    """Expands the message's template as Argo CD does: Go's text/template with sprig, which helm has as well.

    tests/e2e/test_notifications.py has it expanded by Argo CD itself.
    """
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: notifications\nversion: 1.0.0\n")
    (tmp_path / "templates").mkdir()
    template = yaml.safe_load(NOTIFICATIONS["template.temporal-gate-failed"])["message"]
    inner = '{{ define "message" }}' + template + "{{ end }}"
    (tmp_path / "templates" / "_message.tpl").write_text(inner)
    (tmp_path / "templates" / "said.yaml").write_text('said: {{ include "message" .Values | toJson }}\n')

    def render(app: Json, service: str = "slack") -> str:
        context = {"argocdUrl": "https://argocd.example.com"}
        (said,) = helm3.objects(tmp_path, {"app": app, "serviceType": service, "context": context})
        return str(said["said"])

    return render


FAILED = "Container gate for pod temporal/temporal-gate-x7k2p failed with exit code {} matching FailJob rule at index 0"
"""Kubernetes, pkg/controller/job/pod_failure_policy.go, 1.29 to 1.36."""


def test_the_message_says_what_each_ending_asks_of_a_person(message: Message) -> None:
    """One text for each exit code that fails the Job at once, and where the exact reason is."""
    ends = {code for code in ExitCode if code not in {ExitCode.PASSED, ExitCode.BUG, ExitCode.DEADLINE, ExitCode.AUDIT}}
    texts = set()
    for code in ends - {ExitCode.INTERRUPTED, ExitCode.STOPPED}:
        said = message(application(FAILED.format(int(code)))).splitlines()
        assert said[0] == ":no_entry: gate failed: the rollout of Temporal is stopped."
        assert "did not pass in time" not in said[1], code
        texts.add(said[1])
        assert "get pods -l batch.kubernetes.io/job-name=temporal-gate -o jsonpath" in said[2]
        assert said[3] == "The sync: https://argocd.example.com/applications/argocd/gate?operation=true"
    assert len(texts) == 7


@pytest.mark.parametrize(
    "app",
    [
        application("Job has reached the specified backoff limit"),
        application("Job was active longer than specified deadline"),
        application("", message="error looking up the project", syncResult=None),
    ],
    ids=["retried in vain", "ended by Kubernetes", "never ran"],
)
def test_the_message_of_another_failure_says_what_argo_cd_says(app: Json, message: Message) -> None:
    state = app["status"]["operationState"]
    said = state["syncResult"]["resources"][1]["message"] if state["syncResult"] else state["message"]
    lines = message(app, "email").splitlines()
    assert lines[0] == "gate failed: the rollout of Temporal is stopped."
    assert lines[1] == f"It did not pass in time, or could not run: {said}"
    assert "<no value>" not in "".join(lines)


def test_the_trigger_sends_the_template_that_is_there() -> None:
    (trigger,) = yaml.safe_load(NOTIFICATIONS["trigger.on-temporal-gate-failed"])
    assert [f"template.{name}" for name in trigger["send"]] == [name for name in NOTIFICATIONS if "template" in name]


def test_the_check_in_the_cluster_is_the_gates_pod_with_another_command(
    tmp_path: Path, helm3: Helm, validate: Validate
) -> None:
    """The script's Job, made of what the API server has of a gate's: taken by it, and with the gate's pod."""
    gate = the(helm3.objects(CHART, SMALLEST), "Job")
    controllers = {"batch.kubernetes.io/controller-uid": "6a", "controller-uid": "6a"}
    named = {"batch.kubernetes.io/job-name": gate["metadata"]["name"], "job-name": gate["metadata"]["name"]}
    stored = json.loads(json.dumps(gate))
    stored["metadata"] |= {"uid": "6a", "resourceVersion": "7", "ownerReferences": []}
    stored["spec"]["selector"] = {"matchLabels": controllers}
    stored["spec"]["template"]["metadata"]["labels"] |= controllers | named
    stored["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    (tmp_path / "stored.json").write_text(json.dumps(stored))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\ncase "$3 $4" in\n'
        f"'get job') cat {tmp_path}/stored.json;;\n'get pods') printf 3;;\nesac\n"
        f'case "$1" in create) cat > {tmp_path}/made.json;; esac\n'
    )
    kubectl.chmod(0o755)
    path = f"{tmp_path}:{toolchain.program('jq', 'jq').parent}:{os.environ['PATH']}"
    script = [str(EXAMPLES / "check" / "check.sh"), "data", gate["metadata"]["name"]]
    done = subprocess.run(script, check=False, env={"PATH": path}, timeout=30)  # noqa: S603 -- our own script
    assert done.returncode == 3, "that of check"

    made = json.loads((tmp_path / "made.json").read_text())
    assert validate([made]) == {identity(made): []}
    assert made["metadata"] == {"name": f"{gate['metadata']['name']}-check", "namespace": "data"}
    expected = json.loads(json.dumps(gate["spec"]["template"]))
    expected["spec"]["containers"][0]["args"][0] = "check"
    assert made["spec"]["template"] == expected
    assert made["spec"]["backoffLimit"] == 0
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == f"-n data delete job {made['metadata']['name']} --ignore-not-found"
    assert f"-n data logs --follow job/{made['metadata']['name']}" in asked
    assert asked[-1] == f"-n data delete job {made['metadata']['name']}"

    (tmp_path / "sleep").write_text("#!/bin/sh\n")
    (tmp_path / "sleep").chmod(0o755)
    kubectl.write_text(kubectl.read_text().replace("printf 3", "true"))
    late = subprocess.run(script, check=False, env={"PATH": path}, timeout=30, capture_output=True, text=True)  # noqa: S603
    assert (late.returncode, late.stderr.partition(".")[0]) == (1, f"Job {made['metadata']['name']} has not ended")


def test_the_network_policy_takes_the_gates_pods(helm3: Helm) -> None:
    """Its selector is that of the pods that the same install renders, and it opens the ports that its values name."""
    objects = helm3.objects(CHART, SCENARIOS["network-policy"], release="data-temporal-recovery-hook")
    (policy,) = [one for one in objects if one["kind"] == "NetworkPolicy"]
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    labels = the(objects, "Job")["spec"]["template"]["metadata"]["labels"]
    assert wanted.items() <= labels.items()
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 5432, 7233, 443, 6443}
