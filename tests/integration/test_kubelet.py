"""The process kubelet and the stand-ins for kube-controller-manager, with real processes against the fake API."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kubelet_world import (
    DEPLOYMENTS,
    JOBS,
    NAMESPACE,
    PODS,
    SECONDS,
    World,
    alive,
    builders,
    condition,
    container,
    deploy,
    make_job,
    spec_of,
    waiting_reason,
)

from lab.api_client import ApiError, Json
from lab.kubelet.backoff import Backoff, go_duration
from lab.processes import free_port, wait_until


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[[float], World]]:
    yield from builders(tmp_path)


@pytest.fixture
def world(build: Callable[[float], World]) -> World:
    return build(0.1)


def test_backoff_is_none_at_first_then_doubles_to_five_minutes_and_is_forgotten_after_ten() -> None:
    start = datetime(2025, 1, 1, tzinfo=UTC)
    backoff = Backoff(10.0)
    pauses = []
    for _ in range(8):
        pauses.append(backoff.remaining(start, start))
        backoff.next(start, start)
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300]
    assert backoff.remaining(start + timedelta(minutes=10, seconds=1), start + timedelta(minutes=10, seconds=1)) == 0
    assert [go_duration(one) for one in (0.5, 10, 80, 300)] == ["500ms", "10s", "1m20s", "5m0s"]


def test_a_crash_is_restarted_at_once_and_then_held_in_crash_loop_back_off_with_its_log(
    build: Callable[[float], World],
) -> None:
    world = build(10.0)
    made = world.pod("crash", 'echo "run $(cat count 2>/dev/null)"; echo more >> count; exit 3')
    pod = world.until_pod("crash", lambda it: waiting_reason(it) == "CrashLoopBackOff", "back-off")
    status = container(pod)
    assert status["restartCount"] == 1
    assert status["state"]["waiting"]["message"] == (
        f"back-off 10s restarting failed container=main pod=crash_demo({made['metadata']['uid']})"
    )
    ended = status["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert "message" not in ended, "an empty termination message stays empty"
    assert pod["status"]["phase"] == "Running"
    assert condition(pod, "Ready")["reason"] == "ContainersNotReady"
    assert world.log("crash", "previous=true") == "run more\n"
    assert world.log("crash", "previous=true&tailLines=1&limitBytes=3") == "run"


def test_the_back_off_grows_from_crash_to_crash(world: World) -> None:
    """Each pause belongs to its restart, so that one which passed between two looks is not missed."""
    world.pod("crash", "exit 1")
    seen: dict[int, str] = {}

    def three(pod: Json) -> bool:
        message = container(pod)["state"].get("waiting", {}).get("message", "")
        if message:
            seen[container(pod)["restartCount"]] = message.split()[1]
        return len(seen) == 3

    world.until_pod("crash", three, "three pauses")
    assert seen == {restarts: go_duration(0.1 * 2 ** (restarts - 1)) for restarts in seen}


def test_a_deleted_crash_looping_pod_is_replaced_by_a_new_one_without_a_past(world: World) -> None:
    deploy(world, "web", "test -e ../../../mended && exec sleep 60; exit 1")
    wait_until(lambda: any(container(pod)["restartCount"] >= 2 for pod in world.of_app("web")), SECONDS, "a crash loop")
    (old,) = world.of_app("web")
    (world.directory / "mended").touch()
    world.api.delete(f"{PODS}/{old['metadata']['name']}", uid=old["metadata"]["uid"])
    uid = old["metadata"]["uid"]
    wait_until(lambda: [pod["metadata"]["uid"] != uid for pod in world.of_app("web")] == [True], SECONDS, "a successor")
    deployment = world.until(
        f"{DEPLOYMENTS}/web", lambda it: it.get("status", {}).get("availableReplicas") == 1, "availability"
    )
    (new,) = world.of_app("web")
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert container(new)["restartCount"] == 0
    assert condition(deployment, "Available")["reason"] == "MinimumReplicasAvailable"
    assert condition(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"
    assert deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    with pytest.raises(ApiError):
        world.api.delete(f"{PODS}/{new['metadata']['name']}", uid=uid)


def test_a_new_template_is_rolled_out_and_the_old_pod_serves_until_the_new_one_is_ready(world: World) -> None:
    port = free_port()
    probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    deploy(world, "web", "exec sleep 60")
    world.until(f"{DEPLOYMENTS}/web", lambda it: it.get("status", {}).get("availableReplicas") == 1, "availability")
    (old,) = world.of_app("web")
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec_of("exec sleep 61", readinessProbe=probe)}
    world.api.patch(f"{DEPLOYMENTS}/web", {"spec": {"template": template}})
    wait_until(
        lambda: sum(it["status"].get("phase") == "Running" for it in world.of_app("web")) == 2, SECONDS, "a surge"
    )
    deployment = world.until(f"{DEPLOYMENTS}/web", lambda it: it["status"].get("updatedReplicas") == 1, "an update")
    assert (deployment["status"]["replicas"], deployment["status"]["unavailableReplicas"]) == (2, 1)
    with socket.create_server(("127.0.0.1", port)):
        wait_until(lambda: len(world.of_app("web")) == 1, SECONDS, "the old pod's end")
    (new,) = world.of_app("web")
    assert new["metadata"]["uid"] != old["metadata"]["uid"]
    assert new["metadata"]["labels"]["pod-template-hash"] != old["metadata"]["labels"]["pod-template-hash"]
    world.api.delete(f"{DEPLOYMENTS}/web")
    wait_until(lambda: not world.of_app("web"), SECONDS, "the garbage collector")


def test_a_job_completes(world: World) -> None:
    make_job(world, "done", "exit 0")
    job = world.until(f"{JOBS}/done", lambda it: condition(it, "Complete"), "completion")
    assert job["status"]["succeeded"] == 1
    assert "active" not in job["status"]
    assert job["status"]["completionTime"] >= job["status"]["startTime"]
    (pod,) = world.of_job("done")
    assert pod["status"]["phase"] == "Succeeded"
    assert container(pod)["state"]["terminated"]["reason"] == "Completed"
    assert pod["metadata"]["labels"]["controller-uid"] == job["metadata"]["uid"]


def test_a_job_fails_when_its_attempts_are_used_up_and_its_pods_go_with_it(world: World) -> None:
    make_job(world, "bad", "exit 9", backoffLimit=1)
    job = world.until(f"{JOBS}/bad", lambda it: condition(it, "Failed"), "failure")
    assert condition(job, "Failed")["reason"] == "BackoffLimitExceeded"
    assert condition(job, "FailureTarget")["message"] == "Job has reached the specified backoff limit"
    assert job["status"]["failed"] == 2
    assert [pod["status"]["phase"] for pod in world.of_job("bad")] == ["Failed", "Failed"]
    world.api.delete(f"{JOBS}/bad")
    wait_until(lambda: not world.of_job("bad"), SECONDS, "the garbage collector")


def test_a_job_past_its_deadline_fails_and_its_process_is_ended(world: World) -> None:
    make_job(world, "slow", "exec sleep 60", activeDeadlineSeconds=1)
    job = world.until(f"{JOBS}/slow", lambda it: condition(it, "Failed"), "failure")
    assert condition(job, "Failed")["reason"] == "DeadlineExceeded"
    wait_until(lambda: not world.kubelet.pids(), SECONDS, "the process's end")


@pytest.mark.parametrize(("code", "attempts", "reason"), [(4, 1, "PodFailurePolicy"), (1, 2, "BackoffLimitExceeded")])
def test_a_pod_failure_policy_ends_the_job_at_the_codes_it_names(
    world: World, code: int, attempts: int, reason: str
) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2, 4]}}
    make_job(world, "gate", f"exit {code}", backoffLimit=1, podFailurePolicy={"rules": [rule]})
    job = world.until(f"{JOBS}/gate", lambda it: condition(it, "Failed"), "failure")
    pods = world.of_job("gate")
    assert (condition(job, "Failed")["reason"], len(pods)) == (reason, attempts)
    if reason == "PodFailurePolicy":
        assert condition(job, "Failed")["message"] == (
            f"Container main for pod demo/{pods[0]['metadata']['name']} "
            "failed with exit code 4 matching FailJob rule at index 0"
        )


def test_ignored_failures_do_not_count_towards_the_limit(world: World) -> None:
    rule = {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [7]}}
    make_job(world, "gate", "exit 1", backoffLimit=0, podFailurePolicy={"rules": [rule]})
    wait_until(lambda: len(world.of_job("gate")) >= 3, SECONDS, "a third pod")
    assert not condition(world.api.get(f"{JOBS}/gate"), "Failed")


def test_the_termination_message_is_what_the_container_wrote(world: World) -> None:
    world.pod("told", "echo log; printf 'why it ended' > dev/termination-log; exit 5", restartPolicy="Never")
    world.pod(
        "untold", "echo from the log; exit 5", restartPolicy="Never", terminationMessagePolicy="FallbackToLogsOnError"
    )
    for name, message in (("told", "why it ended"), ("untold", "from the log\n")):
        pod = world.until_pod(name, lambda it: it["status"]["phase"] == "Failed", "failure")
        ended = container(pod)["state"]["terminated"]
        assert (ended["message"], ended["exitCode"]) == (message, 5)
        assert container(pod)["restartCount"] == 0
        assert condition(pod, "Ready")["reason"] == "PodFailed"


def test_a_deleted_pod_gets_sigterm_and_its_grace(world: World) -> None:
    world.pod("kind", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done")
    world.until_logged("kind")
    file = next(world.directory.rglob("0.log"))
    world.api.delete(f"{PODS}/kind")
    wait_until(lambda: not world.api.list(PODS), SECONDS, "the deletion")
    assert file.read_text() == "up\nbye\n"
    assert not world.kubelet.pids()


def test_a_pod_that_ignores_sigterm_is_killed_with_its_children_after_its_grace(world: World) -> None:
    world.pod("deaf", "trap '' TERM; sleep 60 & echo $!; wait", terminationGracePeriodSeconds=1)
    child = int(world.until_logged("deaf"))
    pids = [*world.kubelet.pids(), child]
    assert alive(pids) == pids
    world.api.delete(f"{PODS}/deaf")
    wait_until(lambda: not world.api.list(PODS), SECONDS, "the deletion")
    wait_until(lambda: not alive(pids), SECONDS, "the end of its processes")


def test_environment_and_volumes_come_from_the_api_and_are_waited_for(world: World) -> None:
    env = [
        {"name": "WHO", "value": "me"},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
        {"name": "UID_", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "TEXT", "value": "$(WHO) $(NOBODY) $$(WHO)"},
    ]
    volumes = [{"name": "config", "configMap": {"name": "settings"}}]
    mounts = [{"name": "config", "mountPath": "/etc/settings"}]
    script = 'echo "$PASSWORD $UID_ $TEXT $(cat etc/settings/a.yaml)"; exec sleep 60'
    uid = world.pod("fed", script, env=env, volumes=volumes, volumeMounts=mounts)["metadata"]["uid"]
    world.until_pod("fed", lambda it: waiting_reason(it) == "ContainerCreating", "a missing volume")
    configuration = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"a.yaml": "b: c"},
    }
    world.api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", configuration)
    pod = world.until_pod("fed", lambda it: waiting_reason(it) == "CreateContainerConfigError", "a missing Secret")
    assert container(pod)["state"]["waiting"]["message"] == 'secret "login" not found'
    assert pod["status"]["phase"] == "Pending"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "data": {"password": "czNjcmV0"}}
    world.api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)
    assert world.until_logged("fed") == f"s3cret {uid} me $(NOBODY) $(WHO) b: c\n"


def test_a_pod_is_ready_when_its_probe_says_so(world: World) -> None:
    probe = {"exec": {"command": ["test", "-e", "ready"]}, "periodSeconds": 1}
    world.pod("probed", "until test -e go; do sleep 0.02; done; touch ready; exec sleep 60", readinessProbe=probe)
    pod = world.until_pod("probed", lambda it: "running" in container(it)["state"], "a start")
    assert (container(pod)["ready"], condition(pod, "Ready")["status"]) == (False, "False")
    root = next(world.directory.rglob("root"))
    (root / "go").touch()
    pod = world.until_pod("probed", lambda it: condition(it, "Ready").get("status") == "True", "readiness")
    assert container(pod)["ready"]


def test_what_keeps_a_pod_from_running_is_named(world: World) -> None:
    world.unpullable.add("registry.invalid/hook:1")
    world.pod("pull", "exec sleep 60", image="registry.invalid/hook:1")
    world.pod("place", "exec sleep 60", nodeSelector={"disk": "ssd"})
    pod = world.until_pod("pull", lambda it: waiting_reason(it) == "ImagePullBackOff", "a refused image")
    assert container(pod)["state"]["waiting"]["message"].startswith(
        'Back-off pulling image "registry.invalid/hook:1": ErrImagePull: failed to pull and unpack image'
    )
    assert pod["status"]["phase"] == "Pending"
    pod = world.until_pod("place", lambda it: condition(it, "PodScheduled"), "the scheduler's verdict")
    assert (condition(pod, "PodScheduled")["status"], condition(pod, "PodScheduled")["reason"]) == (
        "False",
        "Unschedulable",
    )
    assert "didn't match Pod's node affinity/selector" in condition(pod, "PodScheduled")["message"]
    assert "nodeName" not in pod["spec"]


def test_a_program_that_is_not_there_is_a_start_error(world: World) -> None:
    spec = {
        "containers": [{"name": "main", "image": "lab/main:1", "command": ["no-such-program"]}],
        "restartPolicy": "Never",
    }
    world.api.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "none"}, "spec": spec})
    pod = world.until_pod("none", lambda it: it["status"]["phase"] == "Failed", "failure")
    ended = container(pod)["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


def test_a_pod_past_its_own_deadline_fails(world: World) -> None:
    world.pod("late", "exec sleep 60", activeDeadlineSeconds=1)
    pod = world.until_pod("late", lambda it: it["status"]["phase"] == "Failed" and not world.kubelet.pids(), "failure")
    assert pod["status"]["reason"] == "DeadlineExceeded"


def test_a_killed_process_is_a_crash_with_the_signals_code(world: World) -> None:
    world.pod("shot", "exec sleep 60")
    world.until_pod("shot", lambda it: condition(it, "Ready").get("status") == "True", "readiness")
    (pid,) = world.kubelet.pids()
    os.kill(pid, signal.SIGKILL)
    pod = world.until_pod("shot", lambda it: container(it)["restartCount"] == 1, "a restart")
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 137


def test_nothing_runs_after_the_node_is_stopped(world: World) -> None:
    script = 'import subprocess, time; print(subprocess.Popen(["sleep", "60"]).pid, flush=True); time.sleep(60)'
    container_spec = {"name": "main", "image": "lab/main:1", "command": [sys.executable, "-c", script]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tree"}, "spec": {"containers": [container_spec]}}
    world.api.create(PODS, body)
    child = int(world.until_logged("tree"))
    pids = [*world.kubelet.pids(), child]
    assert alive(pids) == pids
    world.kubelet.stop()
    wait_until(lambda: not alive(pids), SECONDS, "the end of all processes")
