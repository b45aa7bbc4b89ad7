"""What an audit makes of the chart's own rendering: the gate's hook, its receipt, and each value that breaks them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendering import CHART, SCENARIOS, Json, merged
from test_examples import APPLICATION_SET, ROLLOUT, gate_values

from hook import cli
from lab.helm import Helm

GATE = "data-temporal-recovery-hook"
ROLES = ("--migrations", "data-migrations-temporal", "--gate", GATE, "--runtime", "data-temporal")
PARAMETERS = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "argocd-cmd-params-cm"},
    "data": {"applicationsetcontroller.enable.progressive.syncs": "true"},
}


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, Json]]:
    """Audits the example's ApplicationSet with what an Application renders; the exit code, and each Application's part."""

    def run(objects: Sequence[Json], *arguments: str, application_set: Json = APPLICATION_SET) -> tuple[int, Json]:
        file = tmp_path / "it.yaml"
        file.write_text(yaml.safe_dump_all([application_set, PARAMETERS, *objects]))
        with pytest.raises(SystemExit) as end:
            cli.main(("audit", "--file", str(file), "--output", "json", *ROLES, *arguments))
        document: Json = json.loads(capsys.readouterr().out)
        return int(end.value.code or 0), {
            one["application"].partition("/")[2]: one for one in document["applications"]
        }  # fmt: skip

    return run


def reasons(application: Json) -> list[str]:
    return [one["reason"] for one in application["findings"]]


def with_literal_revision() -> Json:
    """The example's ApplicationSet, with no commit in the gate's receipt."""
    found: Json = yaml.safe_load((ROLLOUT / "applicationset.yaml").read_text())
    parameters = found["spec"]["template"]["spec"]["source"]["helm"]["parameters"]
    del parameters[0]
    return found


def test_the_gate_as_the_example_renders_it_holds(helm3: Helm, audit: Callable[..., tuple[int, Any]]) -> None:
    """Hook, receipt and commit are all seen, and nothing is found."""
    code, found = audit(helm3.objects(CHART, gate_values("temporal/gate"), release=GATE), "--argocd-version", "3.6.1")
    assert code == 0
    assert (found[GATE]["findings"], found[GATE]["unseen"]) == ([], [])
    assert found["data-temporal"]["heldBy"] == ["the gate: RollingSync starts its step 2 of 3 after the gate's step 1"]


def test_the_gates_values_are_judged_by_what_they_render(helm3: Helm, audit: Callable[..., tuple[int, Any]]) -> None:
    """PostSync, on the versions where it holds nothing; a receipt without the commit."""
    late = helm3.objects(CHART, merged(gate_values("temporal/gate"), {"hook": {"phase": "PostSync"}}), release=GATE)
    code, found = audit(late, "--argocd-version", "3.3.0")
    assert (code, reasons(found[GATE])) == (9, ["PostSyncGate"])
    code, found = audit(late, "--argocd-version", "3.2.11")
    assert (code, reasons(found[GATE])) == (0, [])
    code, found = audit(late)
    assert code == 0
    assert any("PostSyncGate" in one for one in found[GATE]["unseen"])
    values = gate_values("temporal/gate")
    del values["receipt"]
    code, found = audit(helm3.objects(CHART, values, release=GATE), application_set=with_literal_revision())
    assert (code, reasons(found[GATE])) == (9, ["ReceiptIgnoresCommits"])


def test_without_its_receipt_the_gate_is_never_run(helm3: Helm, audit: Callable[..., tuple[int, Any]]) -> None:
    """As a hand-written gate would be."""
    objects = helm3.objects(CHART, gate_values("temporal/gate"), release=GATE)
    code, found = audit([one for one in objects if not one["metadata"]["name"].endswith("-receipt")])
    assert code == 9
    assert "NoReceipt" in reasons(found[GATE])


def test_the_chart_as_a_guard_is_one(helm3: Helm, audit: Callable[..., tuple[int, Any]]) -> None:
    """By its label and its wave: before everything else of the Application, or too late."""
    bootstrap = "data-temporal-namespace-bootstrap"
    labels = {"app.kubernetes.io/instance": bootstrap}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "temporal-namespaces", "labels": labels},
        "spec": {},
    }
    objects = helm3.objects(CHART, SCENARIOS["guard"], release=bootstrap)
    code, found = audit([job, *objects], "--downstream", bootstrap)
    assert (code, reasons(found[bootstrap])) == (0, [])
    assert found[bootstrap]["heldBy"][0].startswith("its guard in wave -5: ")
    code, found = audit([job], "--downstream", bootstrap)
    assert (code, reasons(found[bootstrap])) == (0, ["NoGuard"])
    job["metadata"] = {**job["metadata"], "annotations": {"argocd.argoproj.io/sync-wave": "-5"}}  # type: ignore[dict-item]
    code, found = audit([job, *objects], "--downstream", bootstrap)
    assert (code, reasons(found[bootstrap])) == (9, ["GuardNotFirst"])
