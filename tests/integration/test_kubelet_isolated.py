"""The process kubelet with containers in roots of their own, Services and tokens, against the fake API.

The fake API has no Nodes, Leases and tokens: those are tried on a real control plane. Nothing here sleeps to let time pass.
"""

import os
import signal
import socket
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from lab.api_client import Json
from lab.fake_api import FakeApi
from lab.fake_api.faults import Refuse
from lab.kubelet import Image, ProcessKubelet
from lab.kubelet.container_init import resolve
from lab.kubelet.network import Endpoint, Network, write_in_place
from lab.kubelet.plain import PlainRun
from lab.kubelet.probe import Probes
from lab.kubelet.status import NEVER, ContainerView, Running, Terminated, Waiting, phase
from lab.processes import Process, wait_until

NAMESPACE = "demo"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
PODS = f"{CORE}/pods"
SECONDS = 30.0
IMAGE = "lab/main:1"
FOREVER = "exec sleep 60"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mount namespaces need root")


class Node:
    """An isolated node on the fake API; what a test asks of it."""

    def __init__(self, server: FakeApi, kubelet: ProcessKubelet, directory: Path, images: dict[str, Image]) -> None:
        self.server = server
        self.api = server.client("lab")
        self.kubelet = kubelet
        self.directory = directory
        self.images = images

    def pod(self, name: str, script: str = "", labels: Mapping[str, str] | None = None, **spec: object) -> None:
        """One container; what is the pod's is given by name, what is the container's as ``container``."""
        own = spec.pop("container", {})
        assert isinstance(own, dict)
        container = {
            "name": "main",
            "image": IMAGE,
            **({"command": ["/bin/sh", "-c", script]} if script else {}),
            **own,
        }
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels or {})}}
        self.api.create(PODS, {**body, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1, **spec}})

    def until(self, name: str, holds: Callable[[Json], object], what: str) -> Json:
        def look() -> Json | None:
            pod = self.api.get(f"{PODS}/{name}")
            return pod if "status" in pod and pod["status"].get("phase") and holds(pod) else None

        found = wait_until(look, SECONDS, f"{what} of {name}")
        assert found is not None
        return found

    def log(self, pod: str, container: str = "main") -> str:
        found = self.kubelet.container_log(NAMESPACE, pod, container, previous=False, tail_lines=None, limit_bytes=None)
        return (found or b"").decode()

    def until_log(self, pod: str, text: str) -> str:
        return wait_until(lambda: log if text in (log := self.log(pod)) else "", SECONDS, f"{text!r} by {pod}")

    def output(self, pod: str) -> str:
        """All that a pod says that ends by itself."""
        self.until(pod, lambda it: it["status"]["phase"] in ("Succeeded", "Failed"), "end")
        return self.log(pod)

    def secret(self, name: str, **values: str) -> None:
        data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
        self.api.create(
            f"{CORE}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}
        )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    pair = trustme.CA().issue_cert("127.0.0.1")
    files = (tmp_path / "tls.crt", tmp_path / "tls.key")
    pair.cert_chain_pems[0].write_to_path(files[0])
    pair.private_key_pem.write_to_path(files[1])
    return files


@pytest.fixture
def node(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Node]:
    with ExitStack() as stack:
        server = stack.enter_context(FakeApi())
        server.add_user("lab", admin=True)
        api = server.client("lab")
        stack.callback(api.close)
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        images = {IMAGE: Image()}
        kubelet = ProcessKubelet(
            api,
            [NAMESPACE],
            tmp_path / "node",
            images=images,
            hosts={"outside.example": "127.0.0.9"},
            api_server=("127.0.0.1", 6443),
            serving_certificate=certificate,
            restart_backoff_seconds=0.1,
        )
        stack.enter_context(kubelet)
        server.serve_logs_from(kubelet.container_log)
        node = Node(server, kubelet, tmp_path / "node", images)
        stack.callback(node.api.close)
        yield node


def container(pod: Json, kind: str = "containerStatuses") -> Json:
    known: list[Json] = pod["status"].get(kind) or [{"state": {}, "restartCount": 0}]
    return known[0]


def condition(pod: Json, kind: str) -> Json:
    known: list[Json] = pod["status"].get("conditions") or []
    return next((one for one in known if one["type"] == kind), {})


def ready(pod: Json) -> bool:
    return bool(condition(pod, "Ready").get("status") == "True")


@needs_root
def test_a_container_has_a_root_of_its_own_and_leaves_nothing_on_the_machine(node: Node) -> None:
    before = Path("/proc/self/mounts").read_text()
    node.pod("own", "echo mine > /written; cat /written; ls /.old 2>&1; echo up; exec sleep 60")
    assert node.until_log("own", "up").startswith("mine\n")
    assert not Path("/written").exists()
    node.api.delete(f"{PODS}/own")
    wait_until(lambda: not node.api.list(PODS), SECONDS, "the deletion")
    assert Path("/proc/self/mounts").read_text() == before


@needs_root
def test_a_container_runs_as_the_spec_says(node: Node) -> None:
    script = (
        "id -u; id -g; id -G; grep NoNew /proc/self/status; touch /no 2>/dev/null || echo read-only; pwd; echo $HOME"
    )
    node.pod(
        "user",
        script,
        restartPolicy="Never",
        securityContext={"runAsUser": 65532, "fsGroup": 2000},
        container={
            "securityContext": {"runAsGroup": 65533, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False},
            "workingDir": "/var/run/work",
        },
    )
    lines = node.output("user").splitlines()
    assert lines == ["65532", "65533", "65533 2000", "NoNewPrivs:\t1", "read-only", "/run/work", "/"]


@needs_root
def test_roots_own_read_only_root_is_read_only_too_and_its_capabilities_can_be_dropped(node: Node) -> None:
    context = {"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    script = "touch /no 2>&1; echo x > /dev/shm/yes && grep CapEff /proc/self/status"
    node.pod("root", script, restartPolicy="Never", container={"securityContext": context})
    said = node.output("root")
    assert "Read-only file system" in said
    assert said.splitlines()[-1] == "CapEff:\t0000000000000000"


@needs_root
def test_root_where_it_must_not_be_is_a_configuration_error(node: Node) -> None:
    node.pod("root", FOREVER, securityContext={"runAsNonRoot": True})
    pod = node.until("root", lambda it: "waiting" in container(it)["state"], "refusal")
    waiting = container(pod)["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerConfigError"
    assert waiting["message"].startswith("container has runAsNonRoot and image will run as root (pod: ")
    node.images[IMAGE] = Image(user=(1000, 1000))
    node.until("root", ready, "readiness")


@needs_root
def test_an_image_is_a_command_files_environment_and_user_and_may_come_late(node: Node, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\necho "$FROM_IMAGE $(id -u) $*"; touch /app/new 2>/dev/null || echo bound\n')
    program.chmod(0o755)
    node.pod("late", container={"image": "lab/late:1", "args": ["$(FROM_IMAGE)"]}, restartPolicy="Never")
    pod = node.until(
        "late", lambda it: container(it)["state"].get("waiting", {}).get("reason") == "ErrImagePull", "a pull"
    )
    assert 'failed to pull and unpack image "lab/late:1"' in container(pod)["state"]["waiting"]["message"]
    node.images["lab/other:1"] = Image(
        command=["/app/program", "first"],
        files={"/app": tmp_path, "/usr/local/bin/other": program},
        environment={"FROM_IMAGE": "hello"},
        user=(1234, 1234),
    )
    tmp_path.chmod(0o755)
    node.pod("other", container={"image": "lab/other:1", "args": ["$(FROM_IMAGE)"]}, restartPolicy="Never")
    assert node.output("other") == "hello 1234 first hello\nbound\n"
    node.pod("name", container={"image": "lab/other:1", "command": ["other"]}, restartPolicy="Never")
    assert node.output("name") == "hello 1234 \nbound\n"


@needs_root
def test_a_program_that_is_not_there_is_a_start_error(node: Node) -> None:
    node.pod("none", restartPolicy="Never", container={"command": ["no-such-program"]})
    node.pod("path", restartPolicy="Never", container={"command": ["/no/such"]})
    for name, why in (("none", "executable file not found in $PATH"), ("path", "no such file or directory")):
        ended = container(node.until(name, lambda it: it["status"]["phase"] == "Failed", "failure"))["state"][
            "terminated"
        ]
        assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
        assert ended["message"].startswith('unable to start container process: exec: "')
        assert ended["message"].endswith(why)


@needs_root
def test_the_termination_message_is_taken_from_where_the_spec_says_whoever_wrote_it(node: Node) -> None:
    user = {"securityContext": {"runAsUser": 65532}}
    node.pod("told", "printf why > /dev/termination-log; exit 3", restartPolicy="Never", container=user)
    other = {**user, "terminationMessagePath": "/var/run/end/message"}
    node.pod("there", "printf where > /run/end/message; exit 3", restartPolicy="Never", container=other)
    for name, message in (("told", "why"), ("there", "where")):
        pod = node.until(name, lambda it: it["status"]["phase"] == "Failed", "failure")
        assert container(pod)["state"]["terminated"]["message"] == message
    assert not Path("/dev/termination-log").exists()


@needs_root
def test_volumes_have_their_modes_and_groups_and_follow_the_api(node: Node) -> None:
    node.secret("login", password="first", other="x")
    volumes = [
        {
            "name": "login",
            "secret": {"secretName": "login", "defaultMode": 0o400, "items": [{"key": "password", "path": "a/p"}]},
        },
        {"name": "plain", "secret": {"secretName": "login", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [
        {"name": "login", "mountPath": "/var/run/secrets/login"},
        {"name": "plain", "mountPath": "/etc/one-file", "subPath": "other"},
        {"name": "scratch", "mountPath": "/scratch", "subPath": "part"},
        {"name": "scratch", "mountPath": "/whole", "readOnly": True},
    ]
    script = """
        stat -L -c '%a %u %g' /run/secrets/login/a/p
        cat /etc/one-file; echo
        echo kept > /scratch/file && cat /whole/part/file
        touch /whole/no 2>/dev/null || echo read-only
        touch /run/secrets/login/no 2>/dev/null || echo read-only
        cat /run/secrets/login/a/p; echo
        until grep -q second /run/secrets/login/a/p; do sleep 0.1; done; echo followed; exec sleep 60"""
    node.pod(
        "volumes",
        script,
        volumes=volumes,
        container={"volumeMounts": mounts},
        securityContext={"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 3000},
    )
    said = node.until_log("volumes", "first")
    assert said.splitlines() == ["440 0 3000", "x", "kept", "read-only", "read-only", "first"]
    node.api.patch(f"{CORE}/secrets/login", {"data": {"password": b64encode(b"second").decode()}})
    node.until_log("volumes", "followed")


@needs_root
def test_names_are_those_of_services_and_an_unknown_one_fails_at_once(node: Node) -> None:
    service(node, "web", "127.96.7.1", {"app": "web"}, [{"port": 80}])
    script = """
        getent hosts web.demo.svc.cluster.local | cut -d' ' -f1
        getent hosts outside.example | cut -d' ' -f1
        hostname_address=$(getent hosts "$HOSTNAME" | cut -d' ' -f1); test "$hostname_address" = "$POD_IP" && echo own
        echo $WEB_SERVICE_HOST $WEB_PORT_80_TCP $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT
        getent hosts unknown.example || echo unknown
        until getent hosts late >/dev/null; do sleep 0.1; done; getent hosts late | cut -d' ' -f1; exec sleep 60"""
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    node.pod("first", "until getent hosts web; do sleep 0.05; done; exec sleep 60")
    node.until_log("first", "127.96.7.1")  # a Service that is not seen yet gives no variables, as in a real cluster
    node.pod("names", script, container={"env": env})
    said = node.until_log("names", "unknown").splitlines()
    assert said[:5] == ["127.96.7.1", "127.0.0.9", "own", "127.96.7.1 tcp://127.96.7.1:80 127.0.0.1:6443", "unknown"]
    service(node, "late", "127.96.7.2", {}, [{"port": 80}])
    node.until_log("names", "127.96.7.2")


@needs_root
def test_a_service_refuses_without_a_ready_pod_and_forwards_to_those_that_are(node: Node) -> None:
    place = ("127.96.8.1", 8081)
    service(node, "web", place[0], {"app": "web"}, [{"port": place[1], "targetPort": "http"}])
    program = (
        "import http.server, os, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        there = os.path.exists('/tmp/ready')\n"
        "        self.send_response(200 if there or self.path == '/' else 503); self.end_headers()\n"
        "        self.wfile.write(os.environ['HOSTNAME'].encode())\n"
        "        if self.path == '/drop': os.remove('/tmp/ready')\n"
        "http.server.ThreadingHTTPServer((os.environ['POD_IP'], 8080), H).serve_forever()\n"
    )
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"httpGet": {"port": "http", "path": "/ready"}, "periodSeconds": 1, "failureThreshold": 1}
    for name in ("one", "two"):
        node.pod(
            name,
            labels={"app": "web"},
            container={
                "command": ["/bin/sh", "-c", f'touch /tmp/ready; exec python3 -c "{program}"'],
                "env": env,
                "ports": [{"name": "http", "containerPort": 8080}],
                "readinessProbe": probe,
            },
        )
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place)
    addresses = {node.until(name, ready, "readiness")["status"]["podIP"] for name in ("one", "two")}
    assert len(addresses) == 2
    url = f"http://{place[0]}:{place[1]}/"
    wait_until(lambda: answers_of(url) == {b"one", b"two"}, SECONDS, "both pods to answer")
    assert answer_of(url + "drop") in (b"one", b"two")
    wait_until(lambda: len(answers_of(url)) == 1, SECONDS, "one pod alone to answer")
    assert answer_of(url + "drop") in (b"one", b"two")

    def refused() -> bool:
        try:
            socket.create_connection(place).close()
        except ConnectionRefusedError:
            return True
        return False

    wait_until(refused, SECONDS, "the Service to refuse")


@needs_root
def test_a_backend_that_refuses_resets_the_caller(node: Node) -> None:
    place = ("127.96.9.1", 8082)
    service(node, "shut", place[0], {"app": "shut"}, [{"port": place[1], "targetPort": 9}])
    node.pod("shut", FOREVER, labels={"app": "shut"})
    node.until("shut", ready, "readiness")

    def connected() -> socket.socket | None:
        try:
            return socket.create_connection(place)
        except ConnectionRefusedError:
            return None

    caller = wait_until(connected, SECONDS, "a listener")
    assert caller is not None
    with caller, pytest.raises(ConnectionResetError):
        caller.recv(1)


@needs_root
def test_init_containers_run_in_order_before_the_others(node: Node) -> None:
    volumes = [{"name": "shared", "emptyDir": {}}]
    mounts = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    step = "test -e /shared/go || exit 1; echo {0} >> /shared/order"
    init = [
        {"name": name, "image": IMAGE, "command": ["/bin/sh", "-c", step.format(name)], **mounts} for name in ("a", "b")
    ]
    node.pod(
        "init", "cat /shared/order", initContainers=init, volumes=volumes, container=mounts, restartPolicy="OnFailure"
    )
    pod = node.until("init", lambda it: container(it, "initContainerStatuses")["restartCount"] > 1, "a retry")
    assert pod["status"]["phase"] == "Pending"
    assert container(pod)["state"]["waiting"]["reason"] == "PodInitializing"
    assert condition(pod, "Initialized")["message"] == "containers with incomplete status: [a b]"
    (next(node.directory.glob("*_init_*")) / "volumes/shared/go").touch()
    assert node.output("init") == "a\nb\n"
    pod = node.api.get(f"{PODS}/init")
    assert [one["ready"] for one in pod["status"]["initContainerStatuses"]] == [True, True]


@needs_root
def test_an_init_container_that_fails_for_good_fails_the_pod(node: Node) -> None:
    init = [{"name": "a", "image": IMAGE, "command": ["/bin/false"]}]
    node.pod("init", FOREVER, initContainers=init, restartPolicy="Never")
    pod = node.until("init", lambda it: it["status"]["phase"] == "Failed", "failure")
    assert container(pod)["state"]["waiting"]["reason"] == "PodInitializing"


@needs_root
def test_a_sidecar_starts_first_and_ends_last(node: Node) -> None:
    side = {
        "name": "side",
        "image": IMAGE,
        "restartPolicy": "Always",
        "command": [
            "/bin/sh",
            "-c",
            "trap 'echo bye; exit 0' TERM; mkdir /made; touch /made/up; echo up; while :; do sleep 0.05; done",
        ],
        "startupProbe": {"exec": {"command": ["test", "-e", "/made/up"]}, "periodSeconds": 1},
    }
    node.pod("with", "sleep 0.5; echo done", initContainers=[side], restartPolicy="Never")
    pod = node.until("with", lambda it: it["status"]["phase"] == "Succeeded", "completion")
    assert container(pod, "initContainerStatuses")["state"]["terminated"]["exitCode"] == 0
    assert node.log("with", "side") == "up\nbye\n"
    assert not Path("/made/up").exists()


@needs_root
def test_a_liveness_probe_that_fails_restarts_the_container(node: Node) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    node.pod("sick", "trap '' TERM; touch /sick; while :; do sleep 0.1; done", container={"livenessProbe": probe})
    pod = node.until("sick", lambda it: container(it)["restartCount"] >= 1, "a restart")
    assert container(pod)["lastState"]["terminated"]["exitCode"] == 137


@needs_root
def test_what_a_container_leaves_behind_ends_with_it(node: Node) -> None:
    node.pod("daemon", "setsid sleep 6161 & sleep 0.2; exit 0", restartPolicy="Never")
    node.output("daemon")
    assert not subprocess.run(["/usr/bin/pgrep", "-x", "-f", "sleep 6161"], capture_output=True, check=False).stdout


@needs_root
def test_logs_are_served_to_the_api_server(node: Node) -> None:
    node.pod("talk", "echo one; echo two; exec sleep 60")
    node.until_log("talk", "two")
    context = ssl.create_default_context(cafile=None)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    base = f"https://127.0.0.1:{node.kubelet.log_port}/containerLogs/{NAMESPACE}"

    def ask(query: str) -> tuple[int, str]:
        try:
            with urlopen(f"{base}/{query}", context=context) as found:  # noqa: S310 - of this machine
                return found.status, found.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    assert ask("talk/main?tailLines=1") == (200, "two\n")
    assert ask("talk/main?limitBytes=3") == (200, "one")
    assert ask("talk/main?previous=true") == (400, 'previous terminated container "main" in pod "talk" not found')
    assert ask("talk/other") == (404, 'container "other" not found in pod "talk"')
    assert ask("gone/main") == (404, 'pod "gone" does not exist')
    assert ask("talk/main?follow=true") == (400, "the process kubelet has no follow")


@needs_root
def test_all_ends_with_the_node(node: Node) -> None:
    node.pod("one", "trap '' TERM; sleep 60 & wait")
    node.until("one", ready, "readiness")
    pids = node.kubelet.pids()
    assert pids
    node.kubelet.stop()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@needs_root
def test_a_container_is_restarted_while_the_api_is_away(node: Node) -> None:
    node.pod("shot", "date; exec sleep 60")
    node.until("shot", ready, "readiness")
    (pid,) = node.kubelet.pids()
    node.server.faults.plan("GET", "/pods$", Refuse(503), count=1_000_000)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: node.kubelet.pids() not in ([], [pid]), SECONDS, "a new process")
    assert node.server.faults.left
    node.server.faults.clear()
    node.until("shot", lambda it: container(it)["restartCount"] == 1, "the status")


def test_probes_speak_http_grpc_and_tcp(tmp_path: Path) -> None:
    """Ready at a success, given up after as many failures as the threshold says; liveness waits for the startup."""
    health = HealthServicer()
    health.set("web", health_pb2.HealthCheckResponse.SERVING)
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    address = "127.0.0.1"
    port = server.add_insecure_port(f"{address}:0")
    server.start()
    with ThreadPoolExecutor() as executor, socket.create_server((address, 0)) as listener:

        def probes(**specs: Json) -> Probes:
            given = {name: {"failureThreshold": 1, "periodSeconds": 1, **spec} for name, spec in specs.items()}
            run = PlainRun(Process.start(["true"], log=tmp_path / "log"), tmp_path / "message", {}, tmp_path)
            run.process.wait(SECONDS)
            return Probes(given, run, address, NEVER, executor)

        def settled(tried: Probes, holds: Callable[[], object]) -> None:
            def seen() -> object:
                tried.turn(datetime.now(UTC))
                return holds()

            wait_until(seen, SECONDS, "a verdict")

        tried = probes(readinessProbe={"grpc": {"port": port, "service": "web"}})
        assert not tried.ready
        settled(tried, lambda: tried.ready)
        health.set("web", health_pb2.HealthCheckResponse.NOT_SERVING)
        settled(tried, lambda: not tried.ready)
        tried = probes(livenessProbe={"grpc": {"port": port, "service": "none"}})
        settled(tried, lambda: tried.failed)
        tried = probes(readinessProbe={"tcpSocket": {"port": listener.getsockname()[1]}})
        settled(tried, lambda: tried.ready)
        tried = probes(startupProbe={"httpGet": {"port": port}}, livenessProbe={"exec": {"command": ["false"]}})
        settled(tried, lambda: tried.failed)
        assert not tried.started
        tried = probes(startupProbe={"exec": {"command": ["true"]}}, livenessProbe={"exec": {"command": ["false"]}})
        settled(tried, lambda: tried.failed)
        assert tried.started
    server.stop(None).wait()


def test_links_are_followed_inside_the_new_root(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var/run").symlink_to("/run")
    (tmp_path / "out").symlink_to("../../../etc")
    root = str(tmp_path)
    assert resolve(root, "/var/run/secrets/x") == f"{root}/run/secrets/x"
    assert resolve(root, "/out/passwd") == f"{root}/etc/passwd"
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match="symbolic links"):
        resolve(root, "/round")


def test_headless_services_have_the_ready_pods_addresses() -> None:
    network = Network({}, None)
    pod = {"metadata": {"name": "a", "namespace": "x", "labels": {"app": "a"}}, "spec": {"containers": []}}
    headless = {"metadata": {"name": "h", "namespace": "x"}, "spec": {"clusterIP": "None", "selector": {"app": "a"}}}
    table = network.look(
        [headless], [Endpoint(pod, "127.77.0.1", ready=True), Endpoint(pod, "127.77.0.2", ready=False)]
    )
    assert table == {}
    assert "127.77.0.1\th.x.svc.cluster.local h.x.svc h.x h\n" in network.hosts(pod, "127.77.0.1")
    assert "127.77.0.2" not in network.hosts(pod, "127.77.0.1")
    assert network.links({**pod, "spec": {"containers": [], "enableServiceLinks": False}}) == {}


def test_a_file_is_written_in_place(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    write_in_place(file, "a\n" * 5000)
    inode = file.stat().st_ino
    write_in_place(file, "b\n")
    assert file.read_text().strip() == "b"
    assert file.stat().st_ino == inode


RUNNING = Running(NEVER)
OK = Terminated(0, "Completed", "", NEVER, NEVER, "process://1")
FAILED = Terminated(1, "Error", "", NEVER, NEVER, "process://1")


def view(
    state: Running | Terminated | Waiting, *, last: Terminated | None = None, sidecar: bool = False
) -> ContainerView:
    running = isinstance(state, Running)
    return ContainerView("c", "i", state, last, 0, ready=running, container_id="", started=running, sidecar=sidecar)


@pytest.mark.parametrize(
    ("init", "main", "policy", "expected"),
    [
        ([view(RUNNING)], view(Waiting("PodInitializing")), "Always", "Pending"),
        ([view(FAILED)], view(Waiting("PodInitializing")), "Never", "Failed"),
        ([view(Waiting("CrashLoopBackOff"), last=FAILED)], view(Waiting("PodInitializing")), "Always", "Pending"),
        ([view(OK)], view(RUNNING), "Always", "Running"),
        ([view(RUNNING, sidecar=True)], view(OK), "Never", "Running"),
        ([view(OK, sidecar=True)], view(OK), "Never", "Succeeded"),
        ([view(FAILED, sidecar=True)], view(OK), "Never", "Succeeded"),
        ([view(OK, sidecar=True)], view(FAILED), "Never", "Failed"),
        ([view(Waiting("CrashLoopBackOff"), last=FAILED, sidecar=True)], view(RUNNING), "Always", "Running"),
    ],
)
def test_phase_with_init_containers(init: list[ContainerView], main: ContainerView, policy: str, expected: str) -> None:
    assert phase([main], policy, ending=False, init=init) == expected


def service(node: Node, name: str, cluster_ip: str, selector: Mapping[str, str], ports: list[Json]) -> None:
    spec = {"clusterIP": cluster_ip, "selector": dict(selector), "ports": ports}
    node.api.create(
        f"{CORE}/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
    )


def answer_of(url: str) -> bytes:
    with urlopen(url) as found:  # noqa: S310 - of this machine
        content: bytes = found.read()
    return content


def answers_of(url: str) -> set[bytes]:
    """The next four; none of one that is refused: a pod is ready in the API a moment before its Service forwards to it."""
    try:
        return {answer_of(url) for _ in range(4)}
    except OSError:
        return set()


@needs_root
def test_what_ends_takes_nothing_else_with_it(node: Node) -> None:
    """The kernel gives the name of a namespace that is gone to the next one: it is not mistaken for it."""
    for number in range(4):
        node.pod(f"ends-{number}", "sleep 0.05")
    for number in range(8):
        node.pod(f"stays-{number}", "exec sleep 60", restartPolicy="Never")
        node.until(f"stays-{number}", lambda it: "running" in container(it)["state"], "a start")
    for number in range(8):
        assert node.api.get(f"{PODS}/stays-{number}")["status"]["phase"] == "Running"
