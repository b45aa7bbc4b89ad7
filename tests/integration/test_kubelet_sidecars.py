"""The process half of the kubelet and pods of several containers: native and plain sidecars, init containers, restarts.

Native sidecars by pkg/kubelet/kuberuntime (``computeInitContainerActions``, ``terminationOrdering``) and ``getPhase`` in
pkg/kubelet/kubelet_pods.go of Kubernetes v1.36.1, and the enhancement that brought them (KEP 753).
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubelet_world import (
    JOBS,
    PODS,
    SECONDS,
    World,
    builders,
    condition,
    container,
    make_job,
    waiting_reason,
)

from lab.api_client import Json
from lab.processes import wait_until

INIT = "initContainerStatuses"
SHARED = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
VOLUMES = {"volumes": [{"name": "shared", "emptyDir": {}}]}
FOREVER = "while :; do sleep 0.05; done"


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[[float], World]]:
    yield from builders(tmp_path)


@pytest.fixture
def world(build: Callable[[float], World]) -> World:
    return build(0.1)


def beside(script: str, name: str = "side", **more: object) -> Json:
    return {"name": name, "image": "lab/side:1", "command": ["/bin/sh", "-c", script], **SHARED, **more}


def native(script: str, name: str = "side", **more: object) -> Json:
    return beside(script, name, restartPolicy="Always", **more)


def pod_of(world: World, job: str, holds: Callable[[Json], object], what: str) -> Json:
    """Its one pod, as soon as it is so."""

    def look() -> Json | None:
        found = [pod for pod in world.of_job(job) if "status" in pod and holds(pod)]
        return found[0] if found else None

    found = wait_until(look, SECONDS, f"{what} of {job}")
    assert found is not None
    return found


def test_a_native_sidecar_is_there_before_the_others_and_keeps_no_job(world: World) -> None:
    """Stopped when the last of them has ended; its own exit code is nobody's failure."""
    side = native("trap 'exit 9' TERM; touch shared/up; " + FOREVER)
    setup = beside("test -e shared/up && touch shared/set", "setup")
    main = "test -e shared/set || exit 5; sleep 0.3"
    make_job(world, "done", main, {"initContainers": [side, setup], **VOLUMES, **SHARED, "restartPolicy": "OnFailure"})
    job = world.until(f"{JOBS}/done", lambda it: condition(it, "Complete"), "completion")
    assert "failed" not in job["status"]
    (pod,) = world.of_job("done")
    assert pod["status"]["phase"] == "Succeeded"
    beside_it, before = pod["status"][INIT]
    assert beside_it["state"]["terminated"]["exitCode"] == 9
    ended = container(pod)["state"]["terminated"]["finishedAt"]
    assert before["state"]["terminated"]["finishedAt"] <= ended <= beside_it["state"]["terminated"]["finishedAt"]
    assert not world.kubelet.pids()


def test_a_native_sidecar_is_stopped_after_the_others_when_the_pod_is_deleted(world: World) -> None:
    """One after the other, the last one first."""
    tell = "trap 'cat shared/ended; echo {0} >> shared/ended; exit 0' TERM; touch shared/{0}; " + FOREVER
    sides = [native(tell.format(name), name) for name in ("a", "b")]
    main = "trap 'sleep 0.4; echo main >> shared/ended; exit 0' TERM; touch shared/main; " + FOREVER
    spec = {"initContainers": sides, **VOLUMES, **SHARED, "terminationGracePeriodSeconds": 10}
    uid = world.pod("with", main, **spec)["metadata"]["uid"]
    home = next(iter(wait_until(lambda: list(world.directory.glob(f"*_{uid}/volumes/shared")), SECONDS, "its volume")))
    wait_until(lambda: all((home / name).exists() for name in ("a", "b", "main")), SECONDS, "all of them to be up")
    world.api.patch(f"{PODS}/with", {"metadata": {"finalizers": ["example.org/held"]}})
    world.api.delete(f"{PODS}/with")
    wait_until(lambda: not world.kubelet.pids(uid), SECONDS, "their ends")
    assert [world.log("with", f"container={name}") for name in ("b", "a")] == ["main\n", "main\nb\n"]
    world.api.patch(f"{PODS}/with", {"metadata": {"finalizers": None}})


def test_a_native_sidecar_that_crashes_is_started_again_and_fails_nothing(build: Callable[[float], World]) -> None:
    """Whatever the pod's own policy; it waits out its back-off while the others run."""
    world = build(30.0)
    sides = {"initContainers": [native("exit 7")], **VOLUMES, "restartPolicy": "Never"}
    make_job(world, "done", "until test -e shared/go; do sleep 0.05; done", {**sides, **SHARED})
    pod = pod_of(world, "done", lambda it: container(it, INIT)["restartCount"] == 1, "a second run")
    pod = pod_of(world, "done", lambda it: "waiting" in container(it, INIT)["state"], "its back-off")
    side = container(pod, INIT)
    assert side["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert side["lastState"]["terminated"]["exitCode"] == 7
    assert pod["status"]["phase"] == "Running"
    (next(world.directory.glob("*/volumes/shared")) / "go").touch()
    world.until(f"{JOBS}/done", lambda it: condition(it, "Complete"), "completion")


def test_a_native_sidecar_that_does_not_come_up_holds_the_others(world: World) -> None:
    """Until its startup probe has succeeded they are PodInitializing, and the pod is Pending."""
    probe = {"exec": {"command": ["test", "-e", "shared/up"]}, "periodSeconds": 1, "failureThreshold": 60}
    side = native("trap 'exit 0' TERM; " + FOREVER, startupProbe=probe)
    make_job(world, "held", "exit 0", {"initContainers": [side], **VOLUMES})
    pod = pod_of(world, "held", lambda it: "running" in container(it, INIT)["state"], "the sidecar")
    assert (pod["status"]["phase"], waiting_reason(pod)) == ("Pending", "PodInitializing")
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [side]"
    (next(world.directory.glob("*/volumes/shared")) / "up").touch()
    world.until(f"{JOBS}/held", lambda it: condition(it, "Complete"), "completion")


def test_a_plain_sidecar_keeps_the_job_of_a_container_that_is_done(world: World) -> None:
    """The pod runs on with one of its containers Completed, and so does the Job."""
    both = [beside("exit 0", "main"), beside("exec sleep 60", "proxy")]
    make_job(world, "kept", "", {"containers": both, **VOLUMES, "restartPolicy": "OnFailure"})
    pod = pod_of(world, "kept", lambda it: "terminated" in container(it)["state"], "the end of its work")
    assert pod["status"]["phase"] == "Running"
    main, proxy = pod["status"]["containerStatuses"]
    assert main["state"]["terminated"]["reason"] == "Completed"
    assert "running" in proxy["state"]
    assert condition(pod, "Ready")["message"] == "containers with unready status: [main]"
    job = world.until(f"{JOBS}/kept", lambda it: it["status"]["ready"] == 0, "a pod that is ready no more")
    assert (job["status"]["active"], job["status"].get("conditions")) == (1, None)


def test_a_failed_container_is_started_again_in_its_pod_where_the_policy_says_so(
    build: Callable[[float], World],
) -> None:
    """OnFailure: at once, then with a back-off; the pod runs all the while and is the Job's only one."""
    world = build(30.0)
    make_job(world, "bad", "exit 4", {"restartPolicy": "OnFailure"}, backoffLimit=9)
    pod = pod_of(world, "bad", lambda it: waiting_reason(it) == "CrashLoopBackOff", "its back-off")
    assert container(pod)["restartCount"] == 1
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 4
    message = (
        f"back-off 30s restarting failed container=main pod={pod['metadata']['name']}_demo({pod['metadata']['uid']})"
    )
    assert container(pod)["state"]["waiting"]["message"] == message
    assert (pod["status"]["phase"], len(world.of_job("bad"))) == ("Running", 1)
    assert "failed" not in world.api.get(f"{JOBS}/bad")["status"]


def test_a_container_that_succeeded_is_not_started_again_for_its_neighbour(world: World) -> None:
    """Of two with OnFailure the one that failed alone."""
    pair = [beside("exit 0", "first"), beside("test -e shared/once || { touch shared/once; exit 1; }", "second")]
    body = {"metadata": {"name": "pair"}, "spec": {"containers": pair, **VOLUMES, "restartPolicy": "OnFailure"}}
    world.api.create(PODS, body)
    pod = world.until_pod("pair", lambda it: it["status"]["phase"] == "Succeeded", "success")
    assert [one["restartCount"] for one in pod["status"]["containerStatuses"]] == [0, 1]


def test_an_init_container_in_its_crash_loop_keeps_the_pod_pending(build: Callable[[float], World]) -> None:
    """With its last end to be read; what comes after it has not been tried."""
    world = build(30.0)
    steps = [beside("exit 0", "first"), beside("echo no schema; exit 6", "setup"), beside("exit 0", "last")]
    make_job(world, "bad", "exit 0", {"initContainers": steps, **VOLUMES, "restartPolicy": "OnFailure"}, backoffLimit=9)
    pod = pod_of(
        world,
        "bad",
        lambda it: (
            "waiting" in it["status"].get(INIT, [{}] * 2)[1].get("state", {})
            and it["status"][INIT][1]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        ),
        "the crash loop",
    )
    first, setup, last = pod["status"][INIT]
    assert (first["ready"], first["state"]["terminated"]["exitCode"]) == (True, 0)
    assert setup["lastState"]["terminated"]["exitCode"] == 6
    assert last["state"]["waiting"]["reason"] == waiting_reason(pod) == "PodInitializing"
    assert pod["status"]["phase"] == "Pending"
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [setup last]"
    assert world.log(pod["metadata"]["name"], "container=setup&previous=true") == "no schema\n"


def test_a_pod_that_is_deleted_before_it_has_run_has_failed(world: World) -> None:
    """``TerminatePod``: Pending is no end; here its only container waits for a Secret."""
    missing = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "a"}}}]}
    world.pod("never", "exit 0", **missing, restartPolicy="Never")
    world.until_pod("never", lambda it: waiting_reason(it) == "CreateContainerConfigError", "a missing Secret")
    world.api.patch(f"{PODS}/never", {"metadata": {"finalizers": ["example.org/held"]}})
    world.api.delete(f"{PODS}/never")
    pod = world.until_pod("never", lambda it: it["status"]["phase"] == "Failed", "failure")
    assert waiting_reason(pod) == "CreateContainerConfigError"
    world.api.patch(f"{PODS}/never", {"metadata": {"finalizers": None}})


def test_a_pod_that_is_deleted_in_its_back_off_tells_its_last_end(build: Callable[[float], World]) -> None:
    """Nothing of it waits any more for a next start."""
    world = build(30.0)
    world.pod("loops", "exit 3", restartPolicy="Always")
    world.until_pod("loops", lambda it: waiting_reason(it) == "CrashLoopBackOff", "its back-off")
    world.api.patch(f"{PODS}/loops", {"metadata": {"finalizers": ["example.org/held"]}})
    world.api.delete(f"{PODS}/loops")
    pod = world.until_pod("loops", lambda it: it["status"]["phase"] == "Failed", "failure")
    assert container(pod)["state"]["terminated"]["exitCode"] == 3
    world.api.patch(f"{PODS}/loops", {"metadata": {"finalizers": None}})
