"""The process kubelet's probes: their thresholds and their order, by what they ask; and what one that fails does."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from kubelet_world import PODS, World, builders, container, spec_of, waiting_reason

from lab.api_client import Json
from lab.kubelet.probe import Probes
from lab.kubelet.run import Run
from lab.kubelet.status import NEVER
from lab.processes import Process, wait_until

SECONDS = 20.0
YES, NO = {"exec": {"command": ["true"]}}, {"exec": {"command": ["false"]}}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for build in builders(tmp_path):
        yield build(0.1)


@pytest.fixture
def probes(tmp_path: Path) -> Iterator[Callable[..., Probes]]:
    """Makes the probes of a container; each asks every second and believes the first answer."""
    process = Process.start(["true"], log=tmp_path / "log")
    process.wait(SECONDS)
    run = Run(process, tmp_path / "message", {}, tmp_path)
    with ThreadPoolExecutor() as executor:

        def make(**specs: Json) -> Probes:
            given = {name: {"failureThreshold": 1, "periodSeconds": 1, **spec} for name, spec in specs.items()}
            return Probes(given, run, NEVER, executor)

        yield make


def until(tried: Probes, holds: Callable[[], object]) -> None:
    def seen() -> object:
        tried.turn(datetime.now(UTC))
        return holds()

    wait_until(seen, SECONDS, "a verdict")


def test_ready_while_the_port_accepts_connections(probes: Callable[..., Probes]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tried = probes(readinessProbe={"tcpSocket": {"port": listener.getsockname()[1]}})
        assert not tried.ready
        until(tried, lambda: tried.ready)
    until(tried, lambda: not tried.ready)


def test_nothing_else_is_asked_before_the_startup_probe_has_succeeded(probes: Callable[..., Probes]) -> None:
    tried = probes(startupProbe=NO, livenessProbe=NO, readinessProbe=YES)
    until(tried, lambda: tried.failed)
    assert not tried.started
    assert tried.failed == {"failureThreshold": 1, "periodSeconds": 1, **NO}
    assert not tried.ready
    tried = probes(startupProbe=YES, livenessProbe=NO, readinessProbe=YES)
    until(tried, lambda: tried.failed and tried.ready)
    assert tried.started


def test_a_liveness_probe_that_fails_restarts_the_container(world: World) -> None:
    """SIGTERM first, which this one ignores, and SIGKILL after its grace."""
    probe = {"exec": {"command": ["test", "!", "-e", "sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    spec = spec_of("trap '' TERM; touch sick; while :; do sleep 0.1; done", terminationGracePeriodSeconds=1)
    spec["containers"][0]["livenessProbe"] = probe
    world.api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sick"}, "spec": spec})
    pod = world.until_pod("sick", lambda it: container(it)["restartCount"] >= 1, "a restart")
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 137


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"readinessProbe": {"httpGet": {"port": 80}}}, "readinessProbe: the process kubelet has no httpGet"),
        ({"command": None}, "no command specified: an image is only a name to the process kubelet"),
    ],
    ids=["a probe by HTTP", "no command"],
)
def test_what_it_does_not_do_is_refused_in_the_container_s_status(world: World, changes: Json, why: str) -> None:
    spec = spec_of("exit 0")
    spec["containers"][0] |= changes
    world.api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "more"}, "spec": spec})
    pod = world.until_pod("more", waiting_reason, "a refusal")
    assert container(pod)["state"]["waiting"] == {"reason": "CreateContainerError", "message": why}
