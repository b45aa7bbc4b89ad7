"""The chart by helm itself, without an Application of its own; and what ci/ renders, before a real API server."""

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from audited import HELM_ALONE, shows
from scenario import hook_migrations, kubectl, on

from lab.control_plane import argocd
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.helm import Helm, helm
from lab.object_status import component_of
from lab.platform import Platform
from lab.team import Team

CHART = Path(__file__).parent.parent.parent / "charts" / "temporal-recovery-hook"
RELEASE = "gate"
SECONDS = 240.0

Json = dict[str, Any]


@pytest.fixture(scope="session")
def helm3() -> Helm:
    return helm(3)


def _run(team: Team, program: Helm, command: str, values: Json) -> subprocess.CompletedProcess[str]:
    """`helm install` or `helm upgrade` of the chart as shipped, with these values."""
    return subprocess.run(  # noqa: S603
        [
            str(program.path), command, RELEASE, str(CHART), "--values=-",
            f"--namespace={team.name}", f"--kubeconfig={team.platform.plane.kubeconfig}",
        ],
        input=json.dumps(values), capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip


def _values(team: Team) -> Json:
    """`ci/plain-helm-values.yaml` with the team's names."""
    values: Json = yaml.safe_load((CHART / "ci" / "plain-helm-values.yaml").read_text())
    shared = team.git.gate
    values["stores"]["default"] |= shared["stores"]["default"]
    values["temporal"]["version"] = team.git.release["temporal-recovery-hook"]["temporal"]["version"]
    values["temporal"]["frontend"] = shared["temporal"]["frontend"]
    values["migrations"] |= {"application": shared["migrations"]["application"]}
    values["runtime"] = shared["runtime"]
    return values


def _ends(team: Team, pods: int) -> list[tuple[int, str]]:
    """How so many pods of the gate have ended, as ``TeamGate.ends`` has it; the release is helm's here."""

    def ended() -> dict[str, Json]:
        return {
            version.name: found
            for version in team.history.versions("Pod")
            if component_of(version.body) == "gate"
            for status in version.body.get("status", {}).get("containerStatuses", [])
            if (found := status["state"].get("terminated"))
        }

    team.until(lambda: len(ended()) >= pods, f"{pods} pods of the gate to have ended")
    return [(one["exitCode"], one.get("message", "")) for one in ended().values()]


def _kubectl(team: Team, command: str) -> str:
    """What a command says that a person copies, with this cluster's own kubectl."""
    program, *arguments = shlex.split(command)
    assert program == "kubectl"
    return kubectl(team, *arguments)


def assert_commands_work(team: Team, notes: str) -> None:
    """Those that helm prints after an install, and that of docs/operations.md."""
    log, end = re.findall(r"kubectl .*$", notes, re.MULTILINE)
    assert '"event": "Passed: ' in _kubectl(team, log.removesuffix(" --follow"))  # which this node does not offer
    assert _kubectl(team, end).startswith("Passed: ")
    (look,) = re.findall(r"`(kubectl [^`]+)`", (CHART.parent.parent / "docs" / "operations.md").read_text())
    described = _kubectl(team, look.replace("NAMESPACE", team.name))
    assert f"{RELEASE}-temporal-recovery-hook-" in described
    assert "Exit Code:    0" in described


@on("3.6")
@shows(HELM_ALONE)
def test_helm_alone(team: Team, helm3: Helm) -> None:
    """A person's `helm install` while Temporal crash-loops repairs it; `helm upgrade` runs it again, or fails with it."""
    team.git.leave_out(GATE, BOOTSTRAP)
    hook_migrations(team)
    team.roll_out()
    team.until_crash_looping()

    installed = _run(team, helm3, "install", _values(team))
    assert installed.returncode == 0, installed.stderr
    assert [code for code, _ in _ends(team, 1)] == [0]
    team.until_serving()
    assert_commands_work(team, installed.stdout)
    uids = team.pod_uids()

    for upgrades in (1, 2):
        upgraded = _run(team, helm3, "upgrade", _values(team))
        assert upgraded.returncode == 0, upgraded.stderr
        ends = _ends(team, 1 + upgrades)
        assert [(code, message.partition(":")[0]) for code, message in ends] == [(0, "Passed")] * (1 + upgrades)
    assert team.pod_uids() == uids

    wrong = _values(team)
    wrong["stores"]["default"]["database"] = "another"
    wrong["graceSeconds"] = 5  # longer than Argo CD waits for a hook that it has deleted
    failed = _run(team, helm3, "upgrade", wrong)
    assert failed.returncode != 0
    assert "post-upgrade hooks failed" in failed.stderr
    assert f"job {RELEASE}-temporal-recovery-hook failed" in failed.stderr, failed.stderr
    code, message = _ends(team, 4)[-1]
    assert (code, message.partition(":")[0]) == (6, "DatabaseMissing"), message
    assert team.pod_uids() == uids
    assert {team.state(one) for one in (MIGRATIONS, RUNTIME)} == {("Synced", "Healthy")}


@pytest.mark.parametrize(
    "example",
    [
        "rollout/applicationset.yaml",
        "chart-1.x/one-application/applicationset.yaml",
        *(f"without-rollingsync/{name}.yaml" for name in ("runtime", "bootstrap", "gate")),
    ],
)
@pytest.mark.parametrize("line", ["3.6", "3.2"])
def test_examples_dry_run(line: str, example: str, platforms: Callable[[str], Platform]) -> None:
    """What the examples give Argo CD passes as with `--dry-run=server --validate=strict`, on both lines."""
    one = yaml.safe_load((CHART.parent.parent / "examples" / example).read_text())
    path = argocd.APPLICATION_SETS if one["kind"] == "ApplicationSet" else argocd.APPLICATIONS
    answer = platforms(line).client.create(f"{path}?dryRun=All&fieldValidation=Strict", one)
    assert answer["metadata"]["uid"]


@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*-values.yaml")), ids=lambda path: path.stem)
def test_dry_run(values: Path, helm3: Helm, platforms: Callable[[str], Platform]) -> None:
    """All that the chart renders for a scenario of ci/ passes as with `--dry-run=server --validate=strict`."""
    objects, client = helm3.objects(CHART, values), platforms("3.6").client
    there = {one["metadata"]["name"] for one in client.list("/api/v1/namespaces")}
    for name in {one["metadata"]["namespace"] for one in objects} - there:
        client.create("/api/v1/namespaces", {"metadata": {"name": name}})  # they go with the platform
    assert {one["kind"] for one in objects} >= {"Job", "ConfigMap"}
    for one in objects:
        root = "apis" if "/" in one["apiVersion"] else "api"
        plural = re.sub("y$", "ie", one["kind"].lower()) + "s"
        path = f"/{root}/{one['apiVersion']}/namespaces/{one['metadata']['namespace']}/{plural}"
        answer = client.create(f"{path}?dryRun=All&fieldValidation=Strict", one)
        assert answer["metadata"]["uid"]
