"""The stand-ins for the controllers of Jobs, Deployments and ReplicaSets: what the real ones write, and in which order.

By pkg/controller/job/job_controller.go and its neighbours in Kubernetes v1.36.1; the functions are named in the cases.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from kubelet_world import (
    DEPLOYMENTS,
    JOBS,
    NAMESPACE,
    PODS,
    SECONDS,
    World,
    builders,
    condition,
    deploy,
    make_job,
)

from lab.actor import NotModelledError
from lab.api_client import Json
from lab.controllers import ControllerManager
from lab.controllers.job import TRACKING
from lab.fake_api import FakeApi
from lab.processes import wait_until

EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
SERVICE_ACCOUNTS = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
FOREVER = "exec sleep 60"
LINGERS = "trap 'sleep 1; exit 0' TERM; while :; do sleep 0.05; done"


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[[float], World]]:
    yield from builders(tmp_path)


@pytest.fixture
def world(build: Callable[[float], World]) -> World:
    return build(0.1)


def until(world: World, name: str, holds: Callable[[Json], object], what: str) -> Json:
    """The Job's status as soon as this holds of the Job."""
    status: Json = world.until(f"{JOBS}/{name}", lambda job: "status" in job and holds(job), what)["status"]
    return status


def until_running(world: World, name: str) -> Json:
    """The Job's one pod, once it runs."""

    def running() -> Json | None:
        found = [pod for pod in world.of_job(name) if pod["status"]["phase"] == "Running"]
        return found[0] if found and "deletionTimestamp" not in found[0]["metadata"] else None

    found = wait_until(running, SECONDS, f"a running pod of {name}")
    assert found is not None
    return found


def kinds(status: Json) -> list[str]:
    """The conditions that hold, in the order in which they were written."""
    return [one["type"] for one in status.get("conditions", []) if one["status"] == "True"]


def test_the_end_of_a_pod_is_written_down_before_it_is_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """``trackJobStatusAndRemoveFinalizers``: by uid and with the verdict, then the finalizer goes, then the counter."""
    written: list[Json] = []
    write = world.api.patch_status

    def recorded(path: str, body: Mapping[str, object]) -> Json:
        answer = write(path, body)
        if path == f"{JOBS}/done":
            written.append(answer["status"])
        return answer

    monkeypatch.setattr(world.api, "patch_status", recorded)
    make_job(world, "done", "exit 0")
    # Not by looking at the Job: it can be seen complete before this write has come back to the controller.
    wait_until(lambda: any("Complete" in kinds(one) for one in written), SECONDS, "completion")
    (pod,) = world.of_job("done")
    first = next(one for one in written if "SuccessCriteriaMet" in kinds(one))
    assert kinds(first) == ["SuccessCriteriaMet"]
    assert first["uncountedTerminatedPods"] == {"succeeded": [pod["metadata"]["uid"]]}
    assert "succeeded" not in first
    assert "completionTime" not in first
    last = written[-1]
    assert kinds(last) == ["SuccessCriteriaMet", "Complete"]
    assert (last["uncountedTerminatedPods"], last["succeeded"], last["ready"], last["terminating"]) == ({}, 1, 0, 0)
    assert TRACKING not in pod["metadata"].get("finalizers", [])


def test_a_pod_that_is_deleted_by_force_is_counted_before_it_goes(world: World) -> None:
    """Its finalizer holds it: a failure, and another pod."""
    make_job(world, "held", FOREVER, backoffLimit=3)
    pod = until_running(world, "held")
    assert pod["metadata"]["finalizers"] == [TRACKING]
    world.api.delete(f"{PODS}/{pod['metadata']['name']}", grace_period_seconds=0)
    status = until(world, "held", lambda job: job["status"].get("failed") == 1, "the failure")
    assert status["uncountedTerminatedPods"] == {}
    wait_until(lambda: len(world.of_job("held")) == 1, SECONDS, "the old pod to go")
    assert until_running(world, "held")["metadata"]["uid"] != pod["metadata"]["uid"]


def test_the_pods_of_a_job_that_is_gone_are_let_go(world: World) -> None:
    """``syncOrphanPod``: nobody counts them any more."""
    make_job(world, "gone", FOREVER)
    until_running(world, "gone")
    world.api.delete(f"{JOBS}/gone")
    wait_until(lambda: not world.of_job("gone"), SECONDS, "its pods to go")
    wait_until(lambda: not world.kubelet.pids(), SECONDS, "the process's end")


def test_a_job_has_failed_only_when_nothing_of_it_runs(world: World) -> None:
    """FailureTarget tells its fate while its pod still ends (``enactJobFinished``)."""
    make_job(world, "slow", LINGERS, {"terminationGracePeriodSeconds": 10}, activeDeadlineSeconds=1)
    status = until(world, "slow", lambda job: condition(job, "FailureTarget"), "its fate")
    assert kinds(status) == ["FailureTarget"]
    assert (status.get("active"), status["ready"], status["terminating"]) == (None, 0, 1)
    status = until(world, "slow", lambda job: condition(job, "Failed"), "failure")
    assert kinds(status) == ["FailureTarget", "Failed"]
    assert {one["reason"] for one in status["conditions"]} == {"DeadlineExceeded"}
    assert status["terminating"] == 0
    assert "completionTime" not in status


def test_a_suspended_job_loses_its_pod_and_begins_anew_when_resumed(world: World) -> None:
    """``manageJob`` and ``syncJob``: neither is its deadline counted meanwhile, nor is the pod a failure of its own."""
    make_job(world, "held", FOREVER, activeDeadlineSeconds=600)
    first = until_running(world, "held")
    world.api.patch(f"{JOBS}/held", {"spec": {"suspend": True}})
    status = until(world, "held", lambda job: condition(job, "Suspended").get("status") == "True", "suspension")
    assert condition({"status": status}, "Suspended")["message"] == "Job suspended"
    assert ("startTime" in status, "active" in status) == (False, False)
    wait_until(lambda: not world.of_job("held"), SECONDS, "its pod to go")
    world.api.patch(f"{JOBS}/held", {"spec": {"suspend": False}})
    assert until_running(world, "held")["metadata"]["uid"] != first["metadata"]["uid"]
    status = until(world, "held", lambda job: condition(job, "Suspended").get("status") == "False", "resumption")
    assert condition({"status": status}, "Suspended")["reason"] == "JobResumed"
    assert (status["active"], "startTime" in status) == (1, True)


def test_a_job_that_is_made_suspended_has_no_pod_and_no_start(world: World) -> None:
    make_job(world, "waits", "exit 0", suspend=True, activeDeadlineSeconds=1)
    status = until(world, "waits", lambda job: condition(job, "Suspended"), "suspension")
    assert "startTime" not in status
    make_job(world, "other", "sleep 1.5")
    until(world, "other", lambda job: condition(job, "Complete"), "time to pass")
    assert world.of_job("waits") == []
    assert kinds(world.api.get(f"{JOBS}/waits")["status"]) == ["Suspended"]


def test_restarts_of_init_containers_count_towards_the_limit(world: World) -> None:
    """``pastBackoffLimitOnFailure``: with OnFailure there is one pod, and its restarts are what is counted."""
    init = [{"name": "setup", "image": "lab/init:1", "command": ["/bin/sh", "-c", "exit 3"]}]
    make_job(world, "bad", "exit 0", {"restartPolicy": "OnFailure", "initContainers": init}, backoffLimit=2)
    status = until(world, "bad", lambda job: condition(job, "Failed"), "failure")
    assert condition({"status": status}, "Failed")["reason"] == "BackoffLimitExceeded"
    assert status["failed"] == 1
    wait_until(lambda: not world.of_job("bad"), SECONDS, "its pod, which is deleted with it, to go")


def test_a_rule_may_be_of_an_init_containers_exit_code(world: World) -> None:
    """``matchOnExitCodes``: main containers first; ``containerName`` narrows it."""
    init = [{"name": "setup", "image": "lab/init:1", "command": ["/bin/sh", "-c", "exit 3"]}]
    rules = [
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [3]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "setup", "operator": "In", "values": [3]}},
    ]
    make_job(world, "bad", "exit 0", {"initContainers": init}, podFailurePolicy={"rules": rules})
    status = until(world, "bad", lambda job: condition(job, "Failed"), "failure")
    message = condition({"status": status}, "Failed")["message"]
    assert message.startswith("Container setup for pod demo/bad-")
    assert message.endswith("failed with exit code 3 matching FailJob rule at index 1")


def test_a_job_is_deleted_when_its_time_after_the_end_is_over(world: World) -> None:
    """The TTL controller's part; pods and all."""
    make_job(world, "brief", "exit 0", ttlSecondsAfterFinished=1)
    until(world, "brief", lambda job: condition(job, "Complete"), "completion")
    wait_until(lambda: not world.api.list(JOBS), SECONDS, "its deletion")
    wait_until(lambda: not world.of_job("brief"), SECONDS, "the garbage collector")


def test_as_many_pods_run_as_are_wanted_at_once(world: World) -> None:
    """Completions and parallelism: the third only when one has succeeded."""
    make_job(world, "many", "sleep 0.5", completions=3, parallelism=2)
    status = until(world, "many", lambda job: job["status"].get("active") == 2, "two pods")
    assert "succeeded" not in status
    assert len(world.of_job("many")) == 2
    status = until(world, "many", lambda job: condition(job, "Complete"), "completion")
    assert (status["succeeded"], len(world.of_job("many"))) == (3, 3)


def events_of(world: World, kind: str) -> list[str]:
    found = world.api.list(EVENTS, field_selector=f"involvedObject.kind={kind},reason=FailedCreate")
    return [one["message"] for one in found]


def test_a_deployment_tells_that_its_pods_are_refused_until_they_are_not(world: World) -> None:
    """By the ReplicaSet's ReplicaFailure, which the Deployment takes over (``getReplicaFailures``)."""
    deploy(world, "web", FOREVER, serviceAccountName="absent")
    path = f"{DEPLOYMENTS}/web"
    found = condition(world.until(path, lambda it: condition(it, "ReplicaFailure"), "the refusal"), "ReplicaFailure")
    assert (found["status"], found["reason"]) == ("True", "FailedCreate")
    assert found["message"].startswith('pods "web-')
    assert found["message"].endswith('error looking up service account demo/absent: serviceaccount "absent" not found')
    deployment = world.api.get(path)
    assert condition(deployment, "Available")["status"] == "False"
    assert "replicas" not in deployment["status"]
    (event,) = events_of(world, "ReplicaSet")
    assert event.startswith('Error creating: pods "web-')
    world.api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "absent"}})
    world.until(path, lambda it: it["status"].get("readyReplicas") == 1, "a pod")
    world.until(path, lambda it: not condition(it, "ReplicaFailure"), "the condition to go")


def test_only_an_event_tells_that_a_jobs_pod_is_refused(world: World) -> None:
    """It has started and is active with nothing; a condition for this a Job does not have."""
    make_job(world, "web", "exit 0", {"serviceAccountName": "absent"})
    wait_until(lambda: events_of(world, "Job"), SECONDS, "the Event")
    (event,) = events_of(world, "Job")
    assert "error looking up service account demo/absent" in event
    status = until(world, "web", lambda job: "startTime" in job["status"], "its start")
    assert (status.get("active"), status.get("conditions"), status.get("failed")) == (None, None, None)
    world.api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "absent"}})
    until(world, "web", lambda job: condition(job, "Complete"), "completion")


def test_a_pod_that_ends_before_it_was_placed_has_failed(world: World) -> None:
    """``gcUnscheduledTerminating``; a podReplacementPolicy of Failed waits for that word before the next pod."""
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    make_job(world, "far", "exit 0", {"nodeSelector": {"nobody": "has"}}, podFailurePolicy={"rules": [rule]})
    wait_until(lambda: world.of_job("far"), SECONDS, "its pod")
    (pod,) = world.of_job("far")
    world.api.delete(f"{PODS}/{pod['metadata']['name']}")
    status = until(world, "far", lambda job: job["status"].get("failed") == 1, "the failure")
    assert status["uncountedTerminatedPods"] == {}
    old = [pod["metadata"]["uid"]]
    wait_until(lambda: [one["metadata"]["uid"] for one in world.of_job("far")] not in ([], old), SECONDS, "another")


def test_a_job_that_another_controller_manages_is_left_to_it(world: World) -> None:
    """``managedByExternalController``."""
    make_job(world, "others", "exit 0", managedBy="example.org/controller")
    make_job(world, "own", "exit 0", managedBy="kubernetes.io/job-controller")
    until(world, "own", lambda job: condition(job, "Complete"), "completion")
    assert (world.of_job("others"), world.api.get(f"{JOBS}/others")["status"]) == ([], {})


@pytest.mark.parametrize("kind", ["indexed", "paused"])
def test_what_is_not_modelled_ends_the_stand_in(kind: str) -> None:
    """Instead of a Job whose indexes are forgotten, or a rollout that goes on."""
    pod = {"containers": [{"name": "main", "image": "lab/main:1"}]}
    with FakeApi() as server:
        server.add_user("lab", admin=True)
        api = server.client("lab")
        api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        if kind == "indexed":
            spec: Json = {
                "completionMode": "Indexed",
                "completions": 2,
                "template": {"spec": {"restartPolicy": "Never", **pod}},
            }
            api.create(JOBS, {"metadata": {"name": "many"}, "spec": spec})
        else:
            template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
            spec = {"paused": True, "selector": {"matchLabels": {"app": "web"}}, "template": template}
            api.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})
        with pytest.raises(NotModelledError), ControllerManager(api, [NAMESPACE]) as controllers:
            wait_until(lambda: not controllers.is_alive(), SECONDS, "its end")
        api.close()
