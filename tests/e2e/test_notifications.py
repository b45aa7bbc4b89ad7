"""The notification of examples/notifications, evaluated and expanded by Argo CD's own program, without a control plane."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.control_plane import builds

EXAMPLE = Path(__file__).parents[2] / "examples" / "notifications" / "gate-failed.yaml"

FAILED = "Container gate for pod temporal/temporal-gate-x7k2p failed with exit code 6 matching FailJob rule at index 0"
JOB = {"group": "batch", "version": "v1", "kind": "Job", "name": "temporal-gate", "namespace": "temporal"}
CLUSTER = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {"token": "none"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "current-context": "none",
}
"""Argo CD 3.6 asks it for the AppProject, and goes on without it."""


def argocd(line: str, folder: Path, phase: str, *arguments: str) -> str:
    """What ``argocd admin notifications`` prints of the gate's Application in a phase."""
    result = {"resources": [JOB | {"hookType": "Sync", "hookPhase": phase, "message": FAILED}]}
    state = {"phase": phase, "startedAt": "2026-11-28T08:00:00Z", "message": "x", "syncResult": result}
    application = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "gate", "namespace": "argocd"},
        "spec": {"project": "default"},
        "status": {"operationState": state},
    }
    (folder / "application.yaml").write_text(yaml.safe_dump(application))
    (folder / "kubeconfig").write_text(yaml.safe_dump(CLUSTER))
    more = ["--config-map", str(EXAMPLE), "--secret", ":empty", "--kubeconfig", str(folder / "kubeconfig")]
    done = subprocess.run(  # noqa: S603 -- the lab's own build
        [
            str(builds.argocd(line).program),
            "admin",
            "notifications",
            *arguments,
            str(folder / "application.yaml"),
            *more,
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"ARGOCD_BINARY_NAME": "argocd", "HOME": str(folder)},
    )
    return done.stdout


@pytest.mark.parametrize("line", builds.ARGOCD_LINES)
@pytest.mark.parametrize(("phase", "sent"), [("Failed", "true"), ("Succeeded", "false"), ("Running", "false")])
def test_a_failed_gate_triggers_it(line: str, phase: str, sent: str, tmp_path: Path) -> None:
    told = argocd(line, tmp_path, phase, "trigger", "run", "on-temporal-gate-failed")
    assert told.split()[-1] == sent


@pytest.mark.parametrize("line", builds.ARGOCD_LINES)
def test_the_message_is_argo_cds_to_expand(line: str, tmp_path: Path) -> None:
    told = argocd(
        line, tmp_path, "Failed", "template", "notify", "temporal-gate-failed", "--recipient", "console:stdout"
    )
    said = yaml.safe_load(told)
    assert said["email"]["subject"] == "gate failed: the rollout of Temporal is stopped"
    first, meaning, exact = said["message"].strip().splitlines()
    assert first == "gate failed: the rollout of Temporal is stopped."
    assert meaning.startswith("A login or a permission is refused")
    assert "job-name=temporal-gate" in exact
