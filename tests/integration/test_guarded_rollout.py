"""Guards as Jobs in Temporal's rollout: the whole program, real servers and schemas, a stand-in's phases and waves."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from lab import rollout
from lab.api_client import ApiError, Json
from lab.processes import wait_until
from lab.rollout import BOOTSTRAP, BOOTSTRAP_JOB, MIGRATIONS, NAMESPACE, RUNTIME
from lab.world import World, is_in_back_off

if TYPE_CHECKING:
    from pathlib import Path

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
SECONDS = 60


def guard(world: World, of: str, **settings: Any) -> Json:
    """The guard of an Application; its settings are a file, and so is its last word."""
    number = len(list(world.directory.glob(f"{of}-guard-*.yaml")))
    own = world.directory / f"{of}-guard-{number}.yaml"
    last_word = {"report": {"format": "json", "terminationMessageFile": str(own.with_suffix(".end"))}}
    common = {"guard": True, "gate": {"name": of}, "downstream": []}
    own.write_text(yaml.safe_dump(world.settings(**common, **last_word, **settings)), encoding="utf-8")
    own.with_suffix(".end").touch()
    return rollout.guard(f"{of}-guard", own)


def last_word(world: World, of: str) -> str:
    """The reason of a guard's last end that was written."""
    ends: list[Path] = sorted(world.directory.glob(f"{of}-guard-*.end"))
    said = [text for one in ends if (text := one.read_text(encoding="utf-8"))]
    return said[-1].partition(":")[0] if said else ""


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """With the rights that the chart gives to guards: to read, and to ask for the migration."""
    made: World = make_world()
    roles = rollout.gate_roles()
    applications = {"apiGroups": ["argoproj.io"], "resources": ["applications"]}
    events = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
    roles[rollout.ARGO_CD_NAMESPACE] = [
        {**applications, "verbs": ["get"]},
        {**applications, "verbs": ["patch"], "resourceNames": [MIGRATIONS]},
        events,
    ]
    (pods,) = [rule for rule in roles[NAMESPACE] if "delete" in rule["verbs"]]
    pods["verbs"] = ["list"]
    made.api.add_user("gate", roles=roles)
    made.api.write_kubeconfig(made.directory / "kubeconfig.yaml", "gate")
    return made


def servers(world: World) -> list[Json]:
    return rollout.runtime(world.config, world.settings()["temporal"]["version"])


def operation_phase(world: World, of: str) -> str:
    return str(world.operation(of).get("phase", ""))


def test_everything_is_synced_at_once_in_the_wrong_order(world: World) -> None:
    """Nobody orders anything, and no gate runs: no server starts before its schema, and the bootstrap runs once."""
    asks_nobody = {"migrations": {"attempts": 0}}
    world.commit(RUNTIME, [guard(world, RUNTIME, **asks_nobody), *servers(world)])
    bootstrap = rollout.bootstrap(world.config.address, hook=True)
    world.commit(BOOTSTRAP, [guard(world, BOOTSTRAP, reachability="always", **asks_nobody), *bootstrap])
    for one in (BOOTSTRAP, RUNTIME, MIGRATIONS):
        world.argocd.sync(one)
        time.sleep(1)  # longer than a server without a schema lives
        assert world.pods() == []
    crashed: set[str] = set()
    ran: set[str] = set()

    def done() -> bool:
        crashed.update(pod["metadata"]["name"] for pod in world.pods() if is_in_back_off(pod))
        ran.update(
            pod["metadata"]["uid"]
            for pod in world.client.list(PODS, label_selector=f"batch.kubernetes.io/job-name={BOOTSTRAP_JOB}")
        )
        return operation_phase(world, BOOTSTRAP) in {"Succeeded", "Failed"}

    wait_until(done, SECONDS, "the bootstrap to end")
    assert operation_phase(world, BOOTSTRAP) == "Succeeded", world.operation(BOOTSTRAP)
    assert (crashed, len(ran)) == (set(), 1)
    assert {last_word(world, one) for one in (RUNTIME, BOOTSTRAP)} == {"Passed"}
    world.start_workflow()


def test_a_runtime_synced_alone_has_its_schema_migrated_first(world: World) -> None:
    """A person's sync of nothing but the runtime: its guard asks the migrations' Application."""
    world.commit(RUNTIME, [guard(world, RUNTIME), *servers(world)])
    assert world.sync(RUNTIME)["phase"] == "Succeeded"
    assert world.initiators() >= {"gate"}
    world.until_serving()
    assert not any(is_in_back_off(pod) for pod in world.pods())


def _answer(ask: Callable[[], bool]) -> bool:
    """No while the kubelet has no log yet."""
    try:
        return ask()
    except ApiError:
        return False


def test_a_commit_ends_the_guard_of_the_one_before(world: World) -> None:
    """The guard's own database is at no port that anybody listens on; the commit that corrects it gets through."""
    world.sync(MIGRATIONS)
    world.commit(RUNTIME, [guard(world, RUNTIME, stores={"default": {"port": 1}}), *servers(world)])
    world.argocd.sync(RUNTIME)
    name = f"{RUNTIME}-guard"

    def has_looked() -> bool:
        """A commit that it finds when it first looks is none that came meanwhile."""
        pods = world.client.list(PODS, label_selector=f"batch.kubernetes.io/job-name={name}")
        return any("waiting:" in world.client.get_text(f"{PODS}/{pod['metadata']['name']}/log") for pod in pods)

    wait_until(lambda: _answer(has_looked), SECONDS, "the guard to look")
    assert operation_phase(world, RUNTIME) == "Running"

    world.commit(RUNTIME, [guard(world, RUNTIME), *servers(world)])
    wait_until(lambda: operation_phase(world, RUNTIME) == "Failed", SECONDS, "its sync to make way")
    assert last_word(world, RUNTIME) == "GuardSuperseded"
    assert world.pods() == []
    assert world.sync(RUNTIME)["phase"] == "Succeeded"
    assert last_word(world, RUNTIME) == "Passed"
    world.until_serving()
