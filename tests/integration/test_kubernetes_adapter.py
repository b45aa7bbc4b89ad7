"""The adapter of pods, Events and the gate's own Job: against pods that really run and crash, else against pods by hand."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from hook.adapters.api import Api
from hook.adapters.kubernetes import Events, JobReader, OwnJob, Servers
from hook.adapters.pods import LastWords
from hook.compose import Composition
from hook.decision import planner
from hook.decision.restarts import COMPONENTS
from hook.decision.steps import Pass
from hook.gate import observe
from hook.observation import diagnosis
from hook.observation.applications import ApplicationRef
from hook.observation.findings import Finding, FindingError
from hook.observation.migrations import Migration
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase, JobRef, Pod, PodState, Runtime
from hook.settings.loading import load
from lab import rollout as platform
from lab.api_client import ApiClient, Json
from lab.controllers import ControllerManager
from lab.fake_api import DropAnswer, FakeApi, Refuse
from lab.kubelet import ProcessKubelet
from lab.processes import wait_until
from lab.world import World

NAMESPACE = "data"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
EVENTS = "/api/v1/namespaces/argocd/events"
SELECTOR = "app.kubernetes.io/name=temporal"
SECONDS = 20.0
STARTED, CRASHED = "2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z"
RUN_FOR_EVER = ["sleep", "infinity"]


class Cluster:
    """An API with the namespaces of a rollout, the gate's view of it, and its log of requests."""

    def __init__(self, server: FakeApi, client: ApiClient, api: Api) -> None:
        self.server = server
        self.client = client
        self.api = api
        self.words = LastWords(api, with_events=True)
        self.servers = Servers(api, NAMESPACE, SELECTOR, COMPONENTS, self.words)

    def look(self) -> Runtime:
        """Look as in a turn of its own."""
        self.words.begin_turn()
        return self.servers.look()

    def pod(self, name: str) -> Pod:
        return next(pod for pod in self.look().pods if pod.name == name)

    def until(self, holds: Callable[[Runtime], object], what: str) -> Runtime:
        def seen() -> Runtime | None:
            found = self.look()
            return found if holds(found) else None

        return wait_until(seen, SECONDS, what) or Runtime()

    def make(self, name: str, *states: Json, component: str = "history", **status: object) -> Json:
        """A pod by hand: a container for each state, the first is Temporal's server."""
        containers = [{"name": f"temporal-{component}", "image": "temporalio/server:1.29.1"}]
        containers += [{"name": f"sidecar-{number}", "image": "proxy:1"} for number in range(1, len(states))]
        spec = {"nodeName": "elsewhere", "containers": containers}
        self.client.create(PODS, {"metadata": {"name": name, "labels": labels(component)}, "spec": spec})
        shown = [
            {"name": container["name"], "image": container["image"], "imageID": "", "ready": False, **state}
            for container, state in zip(containers, states, strict=False)
        ]
        return self.client.patch_status(f"{PODS}/{name}", {"status": {"containerStatuses": shown, **status}})

    def asked(self, part: str) -> list[str]:
        """The gate's requests whose path holds this."""
        return [request.path for request in self.server.requests.by("gate") if part in request.path]


class Logs:
    """What a kubelet says to whoever asks for a previous log."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.containers: list[str] = []

    def __call__(self, *asked: Any, **_: Any) -> bytes:
        self.containers.append(asked[2])
        assert asked[3], "the log of the run before was not asked for"
        return self.text.encode()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The gate's user has the rights that the chart grants."""
    with FakeApi() as server, ExitStack() as stack:
        server.add_user("cluster", admin=True)
        server.add_user("gate", roles=platform.gate_roles())
        client = stack.enter_context(closing(server.client("cluster")))
        for name in ("argocd", NAMESPACE):
            client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        yield Cluster(server, client, stack.enter_context(closing(connect(server, tmp_path, "gate"))))


def connect(server: FakeApi, directory: Path, user: str) -> Api:
    return Api.connect(server.write_kubeconfig(directory / f"kubeconfig-{user}", user), None, 5.0)


@pytest.fixture
def unpullable() -> set[str]:
    return set()


@pytest.fixture
def running(cluster: Cluster, tmp_path: Path, unpullable: set[str]) -> Iterator[Cluster]:
    """The same with a kubelet and controllers: pods run, crash and come back as processes."""
    kubelet = ProcessKubelet(cluster.client, [NAMESPACE], tmp_path / "node", unpullable=unpullable)
    with kubelet, ControllerManager(cluster.client, [NAMESPACE]):
        cluster.server.serve_logs_from(kubelet.container_log)
        yield cluster


def labels(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "temporal", "app.kubernetes.io/component": component}


def deployment(component: str, command: Sequence[str], replicas: int | None = 1, **spec: Any) -> Json:
    """As Temporal's chart makes them; what is given beside goes to the container, or to the pod."""
    of_container = {"env", "readinessProbe", "image"}
    container = {"name": f"temporal-{component}", "image": "temporalio/server:1.29.1", "command": list(command)}
    container |= {key: value for key, value in spec.items() if key in of_container}
    pod = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    pod |= {key: value for key, value in spec.items() if key not in of_container}
    name = {"metadata": {"name": f"temporal-{component}", "labels": labels(component)}}
    template = {"metadata": {"labels": labels(component)}, "spec": pod}
    selector = {"matchLabels": labels(component)}
    counted = {} if replicas is None else {"replicas": replicas}
    return {**name, "spec": {**counted, "selector": selector, "template": template}}


def refusal(ask: Callable[[], object]) -> Finding:
    with pytest.raises(FindingError) as caught:
        ask()
    return caught.value.finding


def running_state(**more: object) -> Json:
    return {"state": {"running": {"startedAt": STARTED}}, "ready": True, "started": True, "restartCount": 0, **more}


def back_off(restarts: int = 1) -> Json:
    ended = {"exitCode": 1, "reason": "Error", "startedAt": STARTED, "finishedAt": CRASHED}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    return {"state": {"waiting": waiting}, "lastState": {"terminated": ended}, "restartCount": restarts}


# --- pods that run ------------------------------------------------------------------------------------------------


def test_replicas_are_wanted_by_component_of_temporals_own_deployments(cluster: Cluster) -> None:
    """The web page and another release are none of the gate's business; none wanted is told from none there."""
    cluster.client.create(DEPLOYMENTS, deployment("history", RUN_FOR_EVER, replicas=2))
    second = deployment("history", RUN_FOR_EVER, replicas=3)
    second["metadata"]["name"] = "temporal-history-canary"
    cluster.client.create(DEPLOYMENTS, second)
    cluster.client.create(DEPLOYMENTS, deployment("frontend", RUN_FOR_EVER, replicas=None))
    cluster.client.create(DEPLOYMENTS, deployment("worker", RUN_FOR_EVER, replicas=0))
    cluster.client.create(DEPLOYMENTS, deployment("internal-frontend", RUN_FOR_EVER))
    cluster.client.create(DEPLOYMENTS, deployment("web", RUN_FOR_EVER))
    other = deployment("matching", RUN_FOR_EVER)
    for metadata in (other["metadata"], other["spec"]["template"]["metadata"]):
        metadata["labels"] = labels("matching") | {"app.kubernetes.io/name": "other"}
    other["spec"]["selector"]["matchLabels"] = other["metadata"]["labels"]
    cluster.client.create(DEPLOYMENTS, other)
    found = cluster.look()
    assert found.wanted == {"history": 5, "frontend": 1, "worker": 0, "internal-frontend": 1}
    assert found.pods == ()


def test_a_pod_that_runs_is_running_since_its_container_started(running: Cluster) -> None:
    """Ready by its probe where it has one, else at once."""
    before = datetime.now(UTC).replace(microsecond=0)
    probe = {"exec": {"command": ["/bin/sh", "-c", "test -e served"]}, "periodSeconds": 1}
    command = ["/bin/sh", "-c", "touch served; exec sleep infinity"]
    running.client.create(DEPLOYMENTS, deployment("frontend", command, readinessProbe=probe))
    running.client.create(DEPLOYMENTS, deployment("history", RUN_FOR_EVER))
    found = running.until(lambda it: len(it.pods) == 2 and all(pod.ready for pod in it.pods), "two ready pods")
    (frontend, history) = sorted(found.pods, key=lambda pod: pod.component)
    assert (frontend.component, frontend.probed, history.probed) == ("frontend", True, False)
    for pod in found.pods:
        raw = running.client.get(f"{PODS}/{pod.name}")
        assert pod.started_at is not None
        assert before <= pod.started_at <= datetime.now(UTC)
        assert (pod.namespace, pod.uid, pod.state) == (NAMESPACE, raw["metadata"]["uid"], PodState.RUNNING)
        assert (pod.image, pod.finding, pod.phase) == ("temporalio/server:1.29.1", None, "Running")
        assert pod.created_at == datetime.fromisoformat(raw["metadata"]["creationTimestamp"])
        assert pod.owner.startswith(f"ReplicaSet/temporal-{pod.component}-")
    assert running.asked("/log") == []


PREFIX = "sql schema version compatibility check failed: "
UNREAD = f"{PREFIX}unable to read DB schema version keyspace/database: temporal error: "
TABLE = f'{UNREAD}pq: relation "schema_version" does not exist'
ROW = f"{UNREAD}sql: no rows in result set"
VERSIONS = "Expected version: 1.18 cannot be greater than Actual version: 1.17"
LOW = f'{PREFIX}version mismatch for keyspace/database: "temporal". {VERSIONS}'
UNUSABLE = f"{PREFIX}no usable database connection found"
LOCK = "Failed to lock namespace metadata. Error: sql: no rows in result set"
DUPLICATES = "panic: Cluster info initial versions have duplicates"
DENIED = "pq: permission denied for table cluster_metadata_info"
STARTING = '{"level":"info","msg":"Starting server for services","error":"none"}'
GOROUTINES = "\n".join(f"goroutine {number} [select]:\n\t/go/src/x.go:{number} +0x1d" for number in range(1, 101))


def fatal(error: str) -> str:
    """A server's last line as Temporal logs it: quotes and newlines are escaped."""
    said = error.replace('"', '\\"').replace("\n", "\\n")
    return f'{{"level":"fatal","msg":"Unable to start server","error":"{said}","logging-call-at":"x.go:1"}}'


CRASHES = {
    "no-table": (f"{STARTING}\n{fatal(TABLE)}\n", Reason.RUNTIME_FINDS_NO_SCHEMA, TABLE),
    "plain-text": (f"Unable to start server. Error: {TABLE}\n", Reason.RUNTIME_FINDS_NO_SCHEMA, f"Error: {TABLE}"),
    "no-row": (fatal(ROW), Reason.RUNTIME_FINDS_NO_SCHEMA, ROW),
    "too-low": (fatal(LOW), Reason.RUNTIME_FINDS_NO_SCHEMA, LOW),
    "unusable": (fatal(UNUSABLE), Reason.DATABASE_UNUSABLE_FOR_RUNTIME, UNUSABLE),
    "no-lock": (fatal(LOCK), Reason.NAMESPACE_METADATA_MISSING, LOCK),
    "duplicates": (f"{STARTING}\n{DUPLICATES}\n\n{GOROUTINES}\n", Reason.CLUSTER_METADATA_DUPLICATED, DUPLICATES),
    "no-system-namespace": (
        fatal("temporal-system namespace does not exist"),
        Reason.SYSTEM_NAMESPACE_MISSING,
        "temporal-system namespace does not exist",
    ),
    "no-privilege": (fatal(DENIED), Reason.TABLE_PERMISSION_DENIED, DENIED),
    "several-lines": (fatal(f"cannot\nbuild: {TABLE}"), Reason.RUNTIME_FINDS_NO_SCHEMA, f"cannot build: {TABLE}"),
    "unknown-panic": (f"panic: nil map\n\n{GOROUTINES}\n", Reason.CRASH_LOOPING, "panic: nil map"),
    "unknown-error": (f"{fatal('no such host')}\nbye\n\n", Reason.CRASH_LOOPING, "no such host"),
    "unknown-text": ("one\ntwo\n\n", Reason.CRASH_LOOPING, "two"),
    "silent": ("", Reason.CRASH_LOOPING, "its log is empty"),
    "long-lines": ("\n".join(["x" * 3000] * 400 + [fatal(LOCK)]), Reason.NAMESPACE_METADATA_MISSING, LOCK),
}
"""What a server said when it crashed (facts.md has the messages), the diagnosis, and what is shown of it."""


def test_each_start_up_crash_is_diagnosed_from_the_previous_log(running: Cluster, tmp_path: Path) -> None:
    """Real processes that say it and exit; what is shown is one short line, without the JSON around it."""
    for name, (log, _, _) in CRASHES.items():
        said = tmp_path / f"{name}.said"
        said.write_text(log, encoding="utf-8")
        command = ["/bin/sh", "-c", f"cat {shlex.quote(str(said))}; exit 1"]
        container = {"name": "temporal-history", "image": "temporalio/server:1.29.1", "command": command}
        body = {"metadata": {"name": name, "labels": labels("history")}, "spec": {"containers": [container]}}
        running.client.create(PODS, body)

    def read(pod: Pod) -> bool:
        return pod.state is PodState.BACK_OFF and pod.containers[0].log is not None

    found = running.until(
        lambda it: len(it.pods) == len(CRASHES) and all(map(read, it.pods)), "every pod to be in back-off"
    )
    for pod in found.pods:
        _, reason, detail = CRASHES[pod.name]
        assert pod.finding is not None, pod.name
        assert (pod.name, pod.finding.reason) == (pod.name, reason)
        assert pod.finding.about == f"pod {NAMESPACE}/{pod.name}"
        assert pod.finding.detail.endswith(detail), pod.name
        assert pod.finding.detail.startswith("container temporal-history: 1 restart, last exit code 1 (Error): ")
        assert len(pod.finding.detail) <= 400, pod.name
        assert "\n" not in pod.finding.detail, pod.name
        assert '"level"' not in pod.finding.detail, pod.name
        assert pod.restarts == 1
        assert pod.started_at is None
        assert pod.crashed_at is not None


def test_a_deleted_pod_is_replaced_and_its_successor_is_spared(running: Cluster) -> None:
    """The deletion is of the one that was seen."""
    running.client.create(DEPLOYMENTS, deployment("history", RUN_FOR_EVER))
    (first,) = running.until(lambda it: it.pods and it.pods[0].ready, "a pod").pods
    assert running.servers.delete(first)
    found = running.until(lambda it: it.pods and it.pods[0].ready and it.pods[0].uid != first.uid, "its successor")
    assert not running.servers.delete(first)
    assert running.look() == found


def test_a_pod_that_cannot_start_is_named_with_its_cause(running: Cluster, unpullable: set[str]) -> None:
    """Image, node, Secret: none of them ends in an exit code."""
    unpullable.add("registry.example.org/server:none")
    running.client.create(DEPLOYMENTS, deployment("history", RUN_FOR_EVER, image="registry.example.org/server:none"))
    running.client.create(DEPLOYMENTS, deployment("matching", RUN_FOR_EVER, nodeSelector={"disk": "fast"}))
    secret = [{"name": "SQL_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "absent", "key": "password"}}}]
    running.client.create(DEPLOYMENTS, deployment("frontend", RUN_FOR_EVER, env=secret))
    found = running.until(lambda it: len(it.pods) == 3 and all(pod.finding for pod in it.pods), "three causes")
    seen = {pod.component: pod for pod in found.pods}
    expected = {
        "history": (Reason.IMAGE_NOT_PULLABLE, 'pull and unpack image "registry.example.org/server:none"'),
        "matching": (Reason.POD_UNSCHEDULABLE, "0/1 nodes are available"),
        "frontend": (Reason.CONTAINER_CONFIG_INVALID, 'CreateContainerConfigError: secret "absent" not found'),
    }
    for component, (reason, detail) in expected.items():
        pod = seen[component]
        assert pod.finding is not None
        assert pod.state is PodState.PENDING
        assert pod.finding.reason is reason
        assert pod.finding.about == f"pod {NAMESPACE}/{pod.name}"
        assert detail in pod.finding.detail
    assert running.asked("/log") == []


def test_a_migrations_pod_that_hangs_is_named(running: Cluster, unpullable: set[str]) -> None:
    """By its Job, among the pods of others; one that has ended is not."""
    unpullable.add("example.org/tool:none")
    for name, image, command in (
        ("schema", "example.org/tool:none", RUN_FOR_EVER),
        ("done", "example.org/tool:1", ["true"]),
        ("others", "example.org/tool:none", RUN_FOR_EVER),
    ):
        spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": image, "command": command}]}
        running.client.create(JOBS, {"metadata": {"name": name}, "spec": {"template": {"spec": spec}}})
    reader = JobReader(running.api, running.words)

    def hung() -> Job | None:
        found = reader.look(JobRef(NAMESPACE, "schema"))
        return found if found is not None and found.pods and found.pods[0].finding else None

    job = wait_until(hung, SECONDS, "the hung pod")
    assert job is not None
    (pod,) = job.pods
    assert (job.phase, job.makes_schema, job.is_working) == (JobPhase.RUNNING, True, False)
    assert pod.name.startswith("schema-")
    assert pod.finding is not None
    assert pod.finding.reason is Reason.IMAGE_NOT_PULLABLE
    assert pod.finding.about == f"pod {NAMESPACE}/{pod.name}"

    def done() -> Job | None:
        found = reader.look(JobRef(NAMESPACE, "done"), with_pods_of_complete=True)
        return found if found is not None and found.phase is JobPhase.COMPLETE else None

    ended = wait_until(done, SECONDS, "the Job that ends")
    assert ended is not None
    assert [one.is_done for one in ended.pods] == [True]
    assert not ended.makes_schema
    assert ended.work_started_at is not None
    assert reader.look(JobRef(NAMESPACE, "absent")) is None


def test_pods_that_are_refused_are_told_with_the_reason(running: Cluster) -> None:
    """Of a Deployment by its condition; of a Job by an Event, since it has no condition for that."""
    running.client.create(DEPLOYMENTS, deployment("history", RUN_FOR_EVER, serviceAccountName="absent"))
    container = {"name": "main", "image": "example.org/tool:1", "command": ["true"]}
    pod = {"restartPolicy": "Never", "serviceAccountName": "absent", "containers": [container]}
    running.client.create(JOBS, {"metadata": {"name": "schema"}, "spec": {"template": {"spec": pod}}})
    why = f'error looking up service account {NAMESPACE}/absent: serviceaccount "absent" not found'
    found = running.until(lambda it: it.owners and it.owners[0].trouble, "the refusal")
    assert found.owners[0].trouble.startswith('FailedCreate: pods "temporal-history-')
    assert found.owners[0].trouble.endswith(why)
    reader = JobReader(running.api, running.words)

    def looked() -> Job | None:
        running.words.begin_turn()
        return reader.look(JobRef(NAMESPACE, "schema"))

    def refused() -> Job | None:
        job = looked()
        return job if job is not None and job.message else None

    job = wait_until(refused, SECONDS, "the Event")
    assert job is not None
    told = diagnosis.of_job(job, None)
    assert told is not None
    assert told.reason is Reason.POD_NOT_MADE
    assert told.detail.startswith('FailedCreate: Error creating: pods "schema-')
    assert told.detail.endswith(why)
    account = {"metadata": {"name": "absent"}}
    running.client.create(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
    wait_until(lambda: job if (job := looked()) and job.phase is JobPhase.COMPLETE else None, SECONDS, "completion")


# --- pods by hand -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "state", "crashed"),
    [
        ({"state": {"waiting": {"reason": "ContainerCreating"}}, "restartCount": 0}, PodState.PENDING, False),
        ({"state": {"waiting": {"reason": "PodInitializing"}}, "restartCount": 0}, PodState.PENDING, False),
        (running_state(), PodState.RUNNING, False),
        (running_state(lastState=back_off()["lastState"]), PodState.RUNNING, False),
        ({"state": back_off()["lastState"], "restartCount": 0}, PodState.PENDING, True),
        (back_off(), PodState.BACK_OFF, True),
    ],
)
def test_a_pod_is_what_its_server_container_does(
    cluster: Cluster,
    server: Json,
    state: PodState,
    crashed: bool,  # noqa: FBT001
) -> None:
    """A crash is its last end, in whichever field Kubernetes keeps it, unless it has started again since."""
    cluster.server.serve_logs_from(Logs(""))
    cluster.make("web", server)
    found = cluster.pod("web")
    assert found.state is state
    assert found.started_at == (datetime.fromisoformat(STARTED) if state is PodState.RUNNING else None)
    assert found.crashed_at == (datetime.fromisoformat(CRASHED) if crashed else None)


def test_a_pod_without_any_status_is_pending(cluster: Cluster) -> None:
    """Just made, and no kubelet has said a word."""
    cluster.make("web")
    assert cluster.pod("web").state is PodState.PENDING
    assert not cluster.pod("web").ready


def test_a_log_is_read_once_for_each_restart(cluster: Cluster) -> None:
    """Not at each look; and only of pods in back-off, only of the server's container."""
    logs = Logs(fatal(LOCK))
    cluster.server.serve_logs_from(logs)
    cluster.make("first", back_off(restarts=4), running_state())
    cluster.make("second", running_state())
    for _ in range(3):
        finding = cluster.pod("first").finding
        assert finding is not None
        assert finding.reason is Reason.NAMESPACE_METADATA_MISSING
    assert cluster.pod("second").finding is None
    assert len(cluster.asked("/log")) == 1
    logs.text = "panic: another"
    shown = cluster.client.get(f"{PODS}/first")["status"]["containerStatuses"]
    shown[0]["restartCount"] = 5
    cluster.client.patch_status(f"{PODS}/first", {"status": {"containerStatuses": shown}})
    for _ in range(3):
        finding = cluster.pod("first").finding
        assert finding is not None
        assert finding.detail.endswith("panic: another")
    assert logs.containers == ["temporal-history"] * 2


def test_a_log_that_could_not_be_read_is_asked_for_again(cluster: Cluster) -> None:
    """Until then it says so: the next restart may be five minutes away."""
    cluster.server.serve_logs_from(Logs(fatal(LOCK)))
    cluster.make("web", back_off())
    cluster.server.faults.plan("GET", "/log", Refuse(500))
    cluster.server.faults.plan("GET", "/log", DropAnswer())
    for said in ("500 InternalError", "Connection broken"):
        finding = cluster.pod("web").finding
        assert finding is not None
        assert finding.reason is Reason.CRASH_LOOPING
        assert "its log cannot be read" in finding.detail
        assert said in finding.detail
    finding = cluster.pod("web").finding
    assert finding is not None
    assert finding.reason is Reason.NAMESPACE_METADATA_MISSING


def test_a_log_that_cannot_be_read_keeps_no_other_from_being_read(cluster: Cluster) -> None:
    """One is read a turn, and who was tried last comes last."""
    cluster.server.serve_logs_from(Logs(fatal(LOCK)))
    cluster.make("first", back_off())
    cluster.make("second", back_off())
    cluster.server.faults.plan("GET", "/first/log", Refuse(500), count=9)
    cluster.server.faults.plan("GET", "/second/log", Refuse(500))
    for _ in range(3):
        cluster.look()
    found = {pod.name: pod for pod in cluster.look().pods}
    assert {name: pod.finding.reason for name, pod in found.items() if pod.finding} == {
        "first": Reason.CRASH_LOOPING,
        "second": Reason.NAMESPACE_METADATA_MISSING,
    }


def test_a_forbidden_log_leaves_the_pods_seen(cluster: Cluster) -> None:
    """The crash is told, and the verb that would explain it."""
    roles = platform.gate_roles()
    roles[NAMESPACE] = [rule for rule in roles[NAMESPACE] if "pods/log" not in rule["resources"]]
    cluster.server.add_user("gate", roles=roles)
    cluster.make("web", back_off())
    pod = cluster.pod("web")
    assert pod.state is PodState.BACK_OFF
    assert pod.finding is not None
    assert pod.finding.reason is Reason.CRASH_LOOPING
    assert 'cannot get resource "pods/log" in API group ""' in pod.finding.detail


def test_a_pod_on_its_way_out_is_not_seen(cluster: Cluster) -> None:
    """Nor one that has ended, as after an eviction."""
    uid = cluster.make("leaving", running_state())["metadata"]["uid"]
    cluster.make("evicted", back_off(), phase="Failed", reason="Evicted")
    cluster.make("staying", running_state())
    assert cluster.servers.delete(cluster.pod("leaving"))
    assert cluster.client.get(f"{PODS}/leaving")["metadata"]["uid"] == uid
    assert [pod.name for pod in cluster.look().pods] == ["staying"]


def test_a_deletion_spares_the_successor_of_the_same_name(cluster: Cluster) -> None:
    """As a StatefulSet makes them."""
    cluster.make("web-0", running_state())
    seen = cluster.pod("web-0")
    cluster.client.delete(f"{PODS}/web-0", grace_period_seconds=0)
    assert not cluster.servers.delete(seen)
    successor = cluster.make("web-0", running_state())["metadata"]
    assert not cluster.servers.delete(seen)
    found = cluster.client.get(f"{PODS}/web-0")["metadata"]
    assert found["uid"] == successor["uid"]
    assert "deletionTimestamp" not in found


def test_a_forbidden_deletion_is_told(cluster: Cluster) -> None:
    """It is not taken for somebody's being faster."""
    cluster.make("web", running_state())
    seen = cluster.pod("web")
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    cluster.server.add_user("gate", roles={NAMESPACE: [rule]})
    finding = refusal(lambda: cluster.servers.delete(seen))
    assert finding.reason is Reason.API_FORBIDDEN
    assert 'cannot delete resource "pods"' in finding.detail


def test_sidecars_do_not_confuse(cluster: Cluster) -> None:
    """Neither their crashes nor their readiness, nor their place in the pod, are the server's."""
    logs = Logs(fatal(LOCK))
    cluster.server.serve_logs_from(logs)
    cluster.make("served", running_state(), back_off(restarts=7))
    cluster.make("crashed", back_off(restarts=2), running_state())
    served, crashed = cluster.pod("served"), cluster.pod("crashed")
    assert (served.state, served.started_at) == (PodState.RUNNING, datetime.fromisoformat(STARTED))
    assert served.finding is not None
    assert served.finding.detail.startswith("container sidecar-1: 7 restarts, last exit code 1")
    assert (crashed.state, crashed.image) == (PodState.BACK_OFF, "temporalio/server:1.29.1")
    probe = {"tcpSocket": {"port": 1}}
    containers = [
        {"name": "proxy", "image": "proxy:1", "readinessProbe": probe},
        {"name": "temporal-worker", "image": "temporalio/server:1.30.8"},
    ]
    statuses = [
        {"name": "proxy", "image": "proxy:1", "imageID": "", "ready": True, **back_off(restarts=9)},
        {"name": "temporal-worker", "image": "x", "imageID": "", **running_state()},
    ]
    spec = {"nodeName": "elsewhere", "containers": containers}
    cluster.client.create(PODS, {"metadata": {"name": "injected", "labels": labels("worker")}, "spec": spec})
    cluster.client.patch_status(f"{PODS}/injected", {"status": {"containerStatuses": statuses}})
    injected = cluster.pod("injected")
    assert (injected.state, injected.image, injected.probed) == (PodState.RUNNING, "temporalio/server:1.30.8", False)


def test_an_image_of_a_sidecar_or_an_init_container_is_named_as_well(cluster: Cluster) -> None:
    """The pod is not ready without it."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    unpulled = {"state": waiting, "restartCount": 0}
    cluster.make("beside", running_state(), unpulled)
    init = {"name": "wait", "image": "busybox:none", "imageID": "", "ready": False, **unpulled}
    cluster.make("before", {"state": {"waiting": {"reason": "PodInitializing"}}}, initContainerStatuses=[init])
    for name, image in (("beside", "proxy:1"), ("before", "busybox:none")):
        finding = cluster.pod(name).finding
        assert finding is not None
        assert (finding.reason, finding.about) == (Reason.IMAGE_NOT_PULLABLE, f"pod {NAMESPACE}/{name}")
        assert finding.detail.endswith(f": ImagePullBackOff: Back-off pulling image ({image})")


# --- the namespace ------------------------------------------------------------------------------------------------


def test_a_namespace_that_is_not_there_is_named_to_whoever_may_ask(cluster: Cluster, tmp_path: Path) -> None:
    """To others it looks empty, which is no finding; an empty one looks the same to all."""
    cluster.server.add_user("poor", roles={"": platform.gate_roles()[NAMESPACE]})
    for user in ("cluster", "poor"):
        with closing(connect(cluster.server, tmp_path, user)) as api:
            assert Servers(api, NAMESPACE, SELECTOR, COMPONENTS, cluster.words).look() == Runtime()
    with closing(connect(cluster.server, tmp_path, "poor")) as api:
        assert Servers(api, "nowhere", SELECTOR, COMPONENTS, cluster.words).look() == Runtime()
    with closing(connect(cluster.server, tmp_path, "cluster")) as api:
        finding = refusal(Servers(api, "nowhere", SELECTOR, COMPONENTS, cluster.words).look)
    assert finding == Finding(Reason.NAMESPACE_MISSING, "namespace nowhere", 'namespaces "nowhere" not found')


def test_a_namespace_that_has_pods_is_not_asked_for(cluster: Cluster) -> None:
    """One request less in every turn."""
    cluster.make("web", running_state())
    cluster.look()
    assert len(cluster.asked("/namespaces/")) == 2
    cluster.server.faults.plan("GET", f"/namespaces/{NAMESPACE}$", Refuse(503))
    cluster.client.delete(f"{PODS}/web", grace_period_seconds=0)
    assert refusal(cluster.servers.look).reason is Reason.API_UNREACHABLE


@pytest.mark.parametrize("resource", ["deployments", "pods"])
def test_a_forbidden_list_is_told_in_the_apis_own_words(cluster: Cluster, resource: str) -> None:
    """Either of them."""
    roles = platform.gate_roles()
    roles[NAMESPACE] = [rule for rule in roles[NAMESPACE] if resource not in rule["resources"]]
    cluster.server.add_user("gate", roles=roles)
    finding = refusal(cluster.servers.look)
    assert finding.reason is Reason.API_FORBIDDEN
    assert f'cannot list resource "{resource}"' in finding.detail
    assert f'in the namespace "{NAMESPACE}"' in finding.detail


@pytest.mark.parametrize("resource", ["deployments", "pods"])
def test_a_list_that_is_not_found_is_no_end_of_the_loop(cluster: Cluster, resource: str) -> None:
    """A collection is there even when it is empty: a server that does not know it is not the one that was meant."""
    cluster.make("web", running_state())
    cluster.server.faults.plan("GET", f"/{resource}", Refuse(404), count=2)
    assert refusal(cluster.servers.look).reason is Reason.API_UNREACHABLE
    if resource == "pods":
        cluster.server.faults.plan("GET", "/jobs/", Refuse(500))
        finding = refusal(lambda: JobReader(cluster.api, cluster.words).look(JobRef(NAMESPACE, "schema")))
        assert finding.reason is Reason.API_UNREACHABLE


# --- Events -------------------------------------------------------------------------------------------------------


def application(cluster: Cluster, name: str = platform.RUNTIME) -> str:
    """Make an Application; its uid."""
    return str(cluster.client.create(APPLICATIONS, platform.application(name))["metadata"]["uid"])


def test_an_event_is_posted_on_the_application_with_its_uid(cluster: Cluster) -> None:
    """By which Argo CD's page and kubectl select; the uid is read once."""
    uid = application(cluster)
    events = Events(cluster.api, "r" * 200)
    ref = ApplicationRef("argocd", platform.RUNTIME)
    events.post(ref, "Warning", "RestartPods", "restarted history")
    events.post(ref, "Normal", "Passed", "the rollout may go on")
    found = cluster.client.list(EVENTS, field_selector=f"involvedObject.uid={uid}")
    assert [(each["type"], each["reason"], each["message"]) for each in found if each["count"] == 1] in (
        [("Warning", "RestartPods", "restarted history"), ("Normal", "Passed", "the rollout may go on")],
        [("Normal", "Passed", "the rollout may go on"), ("Warning", "RestartPods", "restarted history")],
    )
    for each in found:
        assert each["involvedObject"] == {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "namespace": "argocd",
            "name": platform.RUNTIME,
            "uid": uid,
        }
        assert each["reportingComponent"] == each["source"]["component"] == "temporal-recovery-hook"
        assert each["reportingInstance"] == "r" * 128
        assert abs(datetime.fromisoformat(each["lastTimestamp"]) - datetime.now(UTC)).total_seconds() < 60
    assert [request.method for request in cluster.server.requests.by("gate")] == ["GET", "POST", "POST"]


@pytest.mark.parametrize(("message", "posted"), [("é" * 600, "é" * 512), ("x" + "é" * 600, "x" + "é" * 511)])
def test_a_long_message_is_cut_at_a_character(cluster: Cluster, message: str, posted: str) -> None:
    """At 1024 bytes, above which the API refuses it."""
    application(cluster)
    Events(cluster.api, "run").post(ApplicationRef("argocd", platform.RUNTIME), "Normal", "Passed", message)
    (event,) = cluster.client.list(EVENTS)
    assert event["message"] == posted


def test_a_refused_event_is_a_finding(cluster: Cluster) -> None:
    """Its listener tells it and goes on."""
    application(cluster)
    ref = ApplicationRef("argocd", platform.RUNTIME)
    roles = platform.gate_roles()
    roles["argocd"] = [rule for rule in roles["argocd"] if "events" not in rule["resources"]]
    cluster.server.add_user("gate", roles=roles)
    finding = refusal(lambda: Events(cluster.api, "run").post(ref, "Normal", "Passed", "m"))
    assert finding.reason is Reason.API_FORBIDDEN
    assert 'cannot create resource "events"' in finding.detail


def test_an_event_on_a_missing_application_is_a_finding(cluster: Cluster) -> None:
    """Nothing is posted on nothing."""
    ref = ApplicationRef("argocd", platform.RUNTIME)
    finding = refusal(lambda: Events(cluster.api, "run").post(ref, "Normal", "Passed", "m"))
    assert finding.reason is Reason.APPLICATION_MISSING
    assert finding.about == f"Event on Application {ref}"
    assert cluster.client.list(EVENTS) == []


# --- the gate's own Job -------------------------------------------------------------------------------------------

TRACKING = "argocd.argoproj.io/tracking-id"
INSTANCE = "app.kubernetes.io/instance"
OWN = JobRef("argocd", "gate")
OWN_PATH = "/apis/batch/v1/namespaces/argocd/jobs/gate"
MAY_READ_JOBS = {"argocd": [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}]}


@pytest.mark.parametrize(
    ("annotations", "marks", "owner"),
    [
        ({TRACKING: "data-gate:batch/Job:argocd/gate"}, {}, "data-gate"),
        ({TRACKING: "argocd_data-gate:batch/Job:argocd/gate"}, {INSTANCE: "release"}, "argocd_data-gate"),
        ({}, {INSTANCE: "data-gate"}, None),
        ({}, {}, None),
    ],
)
def test_a_run_is_its_job(
    cluster: Cluster, annotations: Mapping[str, str], marks: Mapping[str, str], owner: str | None
) -> None:
    """Its uid, its creation, and the Application that the tracking annotation names; read once."""
    cluster.server.add_user("gate", roles=MAY_READ_JOBS)
    pod = {"restartPolicy": "Never", "containers": [{"name": "gate", "image": "gate:1"}]}
    metadata = {"name": OWN.name, "annotations": annotations, "labels": marks}
    body = {"metadata": metadata, "spec": {"template": {"spec": pod}}}
    made = cluster.client.create(OWN_PATH.rpartition("/")[0], body)["metadata"]
    own = OwnJob(cluster.api, OWN, made["uid"])
    for _ in range(3):
        run = own.look()
        assert run.id == made["uid"]
        assert run.started_at == datetime.fromisoformat(made["creationTimestamp"])
        assert run.owner == owner
    assert [request.path for request in cluster.server.requests.by("gate")] == [OWN_PATH]


def test_a_job_that_could_not_be_read_is_read_again(cluster: Cluster) -> None:
    """Forbidden until the RoleBinding has arrived, missing, away."""
    own = OwnJob(cluster.api, OWN, "another")
    assert refusal(own.look).reason is Reason.API_FORBIDDEN
    cluster.server.add_user("gate", roles=MAY_READ_JOBS)
    finding = refusal(own.look)
    expected = 'jobs.batch "gate" not found'
    assert finding == Finding(Reason.API_UNREACHABLE, "Job argocd/gate", expected)
    pod = {"restartPolicy": "Never", "containers": [{"name": "gate", "image": "gate:1"}]}
    made = {"metadata": {"name": OWN.name}, "spec": {"template": {"spec": pod}}}
    uid = cluster.client.create(OWN_PATH.rpartition("/")[0], made)["metadata"]["uid"]
    assert "another Job of that name" in refusal(own.look).detail
    own = OwnJob(cluster.api, OWN, uid)
    cluster.server.faults.plan("GET", "/jobs/gate", Refuse(503))
    assert refusal(own.look).reason is Reason.API_UNREACHABLE
    assert own.look().owner is None


# --- requests of a turn -------------------------------------------------------------------------------------------


def test_a_turn_makes_the_same_requests_however_large_the_cluster_is(make_world: Callable[..., World]) -> None:
    """Eight in a healthy world: Applications and Jobs by name, Deployments and pods of one selector, pods of a Job."""
    world = make_world()
    world.roll_out()
    config = world.directory / "observer.yaml"
    config.write_text(yaml.safe_dump(world.settings()), encoding="utf-8")
    world.api.write_kubeconfig(world.directory / "kubeconfig.yaml", "gate")
    settings = load(config)
    with Composition(settings) as parts:
        seen = parts.world(parts.own_run())

        def turn() -> list[tuple[str, str, int]]:
            world.api.requests.clear()
            observation = observe(seen, datetime.now(UTC))
            assert isinstance(observation.migration, Migration)
            assert isinstance(observation.runtime, Runtime)
            assert observation.frontend == Frontend()
            return [(one.method, one.path.partition("?")[0], one.bytes_sent) for one in world.api.requests.by("gate")]

        def passes() -> bool:
            return isinstance(planner.next_step(observe(seen, datetime.now(UTC)), settings.policy()), Pass)

        wait_until(passes, SECONDS, "the world to be healthy")
        small = turn()
        world.argocd.stop()
        fill(world.client)
        large = turn()
    named = [f"{APPLICATIONS}/{name}" for name in (platform.MIGRATIONS, platform.RUNTIME, platform.BOOTSTRAP)]
    jobs = [f"{JOBS}/{name}" for name in (platform.SCHEMA_JOB, platform.BOOTSTRAP_JOB)]
    assert sorted(request[1] for request in small) == sorted([*named, DEPLOYMENTS, PODS, *jobs, PODS])
    assert [request[:2] for request in large] == [request[:2] for request in small]
    assert sum(request[2] for request in large) == pytest.approx(sum(request[2] for request in small), rel=0.1)


def fill(client: ApiClient) -> None:
    """300 further Applications, and 100 pods that are not Temporal's, on a node without a kubelet."""
    for number in range(300):
        client.create(APPLICATIONS, platform.application(f"other-{number}"))
    containers = [{"name": "main", "image": "other:1"}]
    for number in range(100):
        body = {"metadata": {"name": f"other-{number}"}, "spec": {"nodeName": "elsewhere", "containers": containers}}
        client.create(PODS, body)
