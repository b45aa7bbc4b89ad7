"""A pod's phase by the states of its containers, as the process kubelet tells it (lab/kubelet/status.py)."""

import pytest

from lab.kubelet.status import NEVER, ContainerView, Running, Terminated, Waiting, phase

RUNNING = Running(NEVER)
OK = Terminated(0, "Completed", "", NEVER, NEVER, "process://1")
FAILED = Terminated(1, "Error", "", NEVER, NEVER, "process://1")
INITIALIZING = Waiting("PodInitializing")
BACK_OFF = Waiting("CrashLoopBackOff")


def view(
    state: Running | Terminated | Waiting, *, last: Terminated | None = None, sidecar: bool = False
) -> ContainerView:
    running = isinstance(state, Running)
    return ContainerView("c", "i", state, last, 0, ready=running, container_id="", started=running, sidecar=sidecar)


@pytest.mark.parametrize(
    ("init", "main", "policy", "expected"),
    [
        (view(RUNNING), view(INITIALIZING), "Always", "Pending"),
        (view(FAILED), view(INITIALIZING), "Never", "Failed"),
        (view(BACK_OFF, last=FAILED), view(INITIALIZING), "Always", "Pending"),
        (view(OK), view(RUNNING), "Always", "Running"),
        (view(RUNNING, sidecar=True), view(OK), "Never", "Running"),
        (view(OK, sidecar=True), view(OK), "Never", "Succeeded"),
        (view(FAILED, sidecar=True), view(OK), "Never", "Succeeded"),
        (view(OK, sidecar=True), view(FAILED), "Never", "Failed"),
        (view(BACK_OFF, last=FAILED, sidecar=True), view(RUNNING), "Always", "Running"),
    ],
)
def test_phase_with_an_init_container(init: ContainerView, main: ContainerView, policy: str, expected: str) -> None:
    assert phase([main], policy, ending=False, init=[init]) == expected
