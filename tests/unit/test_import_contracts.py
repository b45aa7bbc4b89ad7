"""The import contracts of pyproject.toml hold, and each of them can fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.api import read_configuration

ROOT = Path(__file__).parents[2]

BREACHES = {
    "Layers are folders: each knows those below it": (
        "hook/observation/applications.py",
        "def f():\n    from hook.decision import planner",
    ),
    "What is seen knows no I/O, no client library and nothing that is built on it": (
        "hook/observation/observation.py",
        "import socket",
    ),
    "What decides knows no client, no setting, no adapter and no clock": (
        "hook/decision/restarts.py",
        "from hook.adapters import argocd",
    ),
    "The loop knows no client library, no adapter and no setting": ("hook/gate.py", "import kubernetes"),
    "Adapters know what is seen, and neither what decides nor where settings come from": (
        "hook/adapters/postgres/refusals.py",
        "from hook.settings import settings",
    ),
    "Adapters do not know each other; argocd and kubernetes share api, the transport": (
        "hook/adapters/argocd.py",
        "from hook.adapters import kubernetes",
    ),
    "Of the adapters, Argo CD's own API knows argocd alone, whose Applications it reaches": (
        "hook/adapters/argocd_server.py",
        "from hook.adapters import kubernetes",
    ),
    "The transport knows nobody who uses it": ("hook/adapters/api.py", "from hook.adapters import argocd"),
    "Only argocd and kubernetes use the transport": ("hook/adapters/temporal.py", "from hook.adapters import api"),
    "Settings know the policy that they make, and nothing of the world": (
        "hook/settings/settings.py",
        "def f():\n    from hook.adapters import postgres",
    ),
    "An audit's rules know what was seen, and not where it was read": (
        "hook/audit/rules/jobs.py",
        "from hook.audit.sources import manifests",
    ),
    "An audit reads Argo CD's objects alone, and neither syncs nor decides": (
        "hook/audit/sources/live.py",
        "from hook.adapters import argocd",
    ),
    "Listeners do not decide, look or act": ("hook/report/listeners.py", "import tenacity"),
    "The hook and its lab never import each other": ("lab/world.py", "from hook.observation import findings"),
}
"""A line for each contract that breaks it, and the module that it is added to."""


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter over the packages under ``root``, by this project's contracts."""
    return subprocess.run(  # noqa: S603 -- its own tool, on its own files
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_module_keeps_to_its_room_of_the_house() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_every_contract_has_a_breach_that_is_tried() -> None:
    contracts = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    assert {contract["name"] for contract in contracts} == set(BREACHES)


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_of_each_contract_is_noticed(name: str, tmp_path: Path) -> None:
    for package in ("hook", "lab"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    module, breach = BREACHES[name]
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{breach}\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert f"{name} BROKEN" in result.stdout
