"""The gate is stopped or killed in the middle of an act, or meets another: what it started goes on, and all converges."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.fake_api import Hang
from lab.processes import Process, wait_until
from lab.rollout import BOOTSTRAP, MIGRATIONS
from lab.scenarios import SCENARIOS, settle
from lab.world import World

INCIDENT = SCENARIOS["incident"]

ACTS = {
    "migrate": ("PATCH", f"applications/{MIGRATIONS}$", "asked Application .* to migrate"),
    "restart": ("DELETE", "/pods/", "restarted 4 pod"),
    "refresh": ("PATCH", f"applications/{BOOTSTRAP}$", "asked Argo CD to refresh"),
    "look": ("GET", "/deployments", "schema of default: empty"),
}
"""Each act's request, and how the log tells that it was done."""


@pytest.fixture
def broken(make_world: Callable[..., World]) -> World:
    """The incident, not yet repaired."""
    world = make_world()
    INCIDENT.prepare(world, print)
    return world


def _repair(world: World, **changes: Any) -> None:
    """A gate that is left alone repairs it."""
    gate = world.gate(**changes)
    assert gate.wait(60) == 0, gate.log.read_text()


def _ran_once(world: World) -> None:
    """The gates together asked for one migration."""
    asked = [request for request in world.api.requests.by("gate") if request.method == "PATCH"]
    accepted = [request for request in asked if request.path.endswith(MIGRATIONS) and request.status == 200]
    assert len(accepted) == 1, accepted


@pytest.mark.parametrize("act", ACTS)
def test_sigterm_while_a_request_hangs_ends_the_run(act: str, broken: World) -> None:
    """It is pulled out of a request that would hang for a minute, says what was missing, and the next run repairs all."""
    uids = broken.pod_uids()
    method, path, _ = ACTS[act]
    broken.api.faults.plan(method, path, Hang(60), user="gate")
    gate = broken.gate(requestTimeoutSeconds=60)
    wait_until(lambda: broken.api.faults.left == 0, 30, f"the gate to {act}")
    gate.send_signal(signal.SIGTERM)
    assert gate.wait(10) == 143, gate.log.read_text()
    assert broken.termination_message.startswith("Stopped: ")
    _repair(broken)
    settle(broken, uids, INCIDENT)


@pytest.mark.parametrize("act", ["migrate", "restart", "refresh"])
def test_a_gate_killed_after_an_act_is_taken_over_by_the_next(act: str, broken: World) -> None:
    """Killed outright once an act is done, the same run started anew goes on from the world as it is."""
    uids = broken.pod_uids()
    gate = broken.gate(run={"id": "one-run"})
    done = ACTS[act][2].split(".*")
    wait_until(lambda: all(words in gate.log.read_text() for words in done), 30, f"the gate to {act}")
    gate.send_signal(signal.SIGKILL)
    gate.wait(5)
    _repair(broken, run={"id": "one-run"})
    settle(broken, uids, INCIDENT)
    _ran_once(broken)


def test_two_gates_at_once_repair_it_once(broken: World) -> None:
    """Both pass; one migration ran, since an operation is written only where none is."""
    uids = broken.pod_uids()
    gates = [broken.gate(), broken.gate()]
    assert [gate.wait(60) for gate in gates] == [0, 0], [gate.log.read_text() for gate in gates]
    settle(broken, uids, INCIDENT)
    _ran_once(broken)


def test_an_owners_command_is_left_to_finish(make_world: Callable[..., World], tmp_path: Path) -> None:
    """SIGTERM ends the gate at once and not the migration; the next run of the gate finds it, and starts no other."""
    world = make_world()
    go_on = tmp_path / "go-on"
    waits = 'i=0; while [ ! -e "$0" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; exec "$@"'
    argv = ["/bin/sh", "-c", waits, str(go_on), "env", f"SQL_PASSWORD={world.databases.password}"]
    command = {"argv": [*argv, *world.schema.migration_command(create_databases=False)]}
    settings: dict[str, Any] = {
        "migrations": {
            "strategy": "command",
            "application": None,
            "command": {**command, "stateDirectory": str(tmp_path / "state")},
        },
        "reachability": "never",
        "downstream": [],
        "run": {"id": "one-run"},
    }
    first = world.gate(**settings)
    _says(first, "to migrate (attempt 1)")
    first.send_signal(signal.SIGTERM)
    assert first.wait(10) == 143
    assert "MigrationRunning" in world.termination_message
    second = world.gate(**settings)
    _says(second, "migrations: command /bin/sh: running")
    assert world.schema_versions() == (None, None)
    go_on.touch()
    assert second.wait(30) == 0, second.log.read_text()
    assert world.schema_versions() == ("1.18", "1.9")
    assert "to migrate" not in second.log.read_text()


def _says(gate: Process, words: str) -> None:
    wait_until(lambda: words in gate.log.read_text(), 30, f"the gate to say: {words}")
