"""The process kubelet and the stand-ins for kube-controller-manager at work on the fake API, for the tests of both.

Nothing here sleeps to let time pass: ``wait_until`` asks until something is so. Back-offs are short where their growth
is not the matter.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from lab.api_client import ApiClient, ApiError, Json
from lab.controllers import ControllerManager
from lab.fake_api import FakeApi
from lab.kubelet import ProcessKubelet
from lab.processes import wait_until

NAMESPACE = "demo"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
SECONDS = 20.0


class World:
    """An API server with a node and controllers at work; what a test asks of them."""

    def __init__(self, api: ApiClient, kubelet: ProcessKubelet, directory: Path, unpullable: set[str]) -> None:
        self.api = api
        self.directory = directory
        self.kubelet = kubelet
        self.unpullable = unpullable

    def pod(self, name: str, script: str, **spec: object) -> Json:
        self.api.create(
            PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec_of(script, **spec)}
        )
        return self.api.get(f"{PODS}/{name}")

    def until(self, path: str, holds: Callable[[Json], object], what: str) -> Json:
        """The object at ``path``, as soon as it is as wanted."""

        def look() -> Json | None:
            try:
                found = self.api.get(path)
            except ApiError as error:
                if error.status == 404:
                    return None
                raise
            return found if holds(found) else None

        found = wait_until(look, SECONDS, f"{what} of {path}")
        assert found is not None
        return found

    def until_pod(self, name: str, holds: Callable[[Json], object], what: str) -> Json:
        return self.until(f"{PODS}/{name}", lambda pod: "status" in pod and holds(pod), what)

    def log(self, pod: str, query: str = "") -> str:
        """The container's log through the API; empty where the kubelet has none."""
        try:
            return self.api.get_text(f"{PODS}/{pod}/log?{query}")
        except ApiError as error:
            if error.status == 400:
                return ""
            raise

    def until_logged(self, pod: str) -> str:
        return wait_until(lambda: self.log(pod), SECONDS, f"output of {pod}")

    def of_job(self, name: str) -> list[Json]:
        return self.api.list(PODS, label_selector=f"batch.kubernetes.io/job-name={name}")

    def of_app(self, name: str) -> list[Json]:
        return self.api.list(PODS, label_selector=f"app={name}")


def spec_of(script: str, **spec: object) -> Json:
    """A pod's spec with one container; keys of a container go there, the others to the pod."""
    of_container = {"env", "volumeMounts", "readinessProbe", "terminationMessagePolicy", "image"}
    container: Json = {"name": "main", "image": "lab/main:1", "command": ["/bin/sh", "-c", script]}
    container |= {key: value for key, value in spec.items() if key in of_container}
    return {"containers": [container], **{key: value for key, value in spec.items() if key not in of_container}}


def container(pod: Json, kind: str = "containerStatuses") -> Json:
    """The status of its one container, or of its first."""
    statuses: list[Json] = pod.get("status", {}).get(kind) or [{"state": {}, "lastState": {}, "restartCount": 0}]
    return statuses[0]


def waiting_reason(pod: Json) -> str | None:
    """Why that one waits."""
    reason: str | None = container(pod)["state"].get("waiting", {}).get("reason")
    return reason


def condition(thing: Json, kind: str) -> Json:
    """Of its status; empty where there is none."""
    known: list[Json] = thing.get("status", {}).get("conditions") or []
    return next((one for one in known if one["type"] == kind), {})


def alive(pids: Sequence[int]) -> list[int]:
    """Those that run; a zombie that init has not reaped yet does not."""
    return [pid for pid in pids if _state(pid) not in ("", "Z")]


def _state(pid: int) -> str:
    """The letter after the name in /proc/PID/stat, see proc(5)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def builders(directory: Path) -> Iterator[Callable[[float], World]]:
    """For a fixture: makes a world with the restart back-off that the test wants."""
    with ExitStack() as stack:

        def make(restart_backoff_seconds: float) -> World:
            server = stack.enter_context(FakeApi())
            server.add_user("lab", admin=True)
            api = server.client("lab")
            stack.callback(api.close)
            api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            unpullable: set[str] = set()
            kubelet = ProcessKubelet(
                api,
                [NAMESPACE],
                directory / "node",
                unpullable=unpullable,
                restart_backoff_seconds=restart_backoff_seconds,
            )
            stack.enter_context(kubelet)
            server.serve_logs_from(kubelet.container_log)
            stack.enter_context(ControllerManager(api, [NAMESPACE], job_backoff_seconds=0.05))
            return World(api, kubelet, directory / "node", unpullable)

        yield make


def deploy(world: World, name: str, script: str, **pod: object) -> None:
    """A Deployment of one such pod."""
    labels = {"app": name}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": spec_of(script, **pod)},
    }
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
    world.api.create(DEPLOYMENTS, body)


def make_job(world: World, name: str, script: str, pod: Json | None = None, **spec: object) -> None:
    """A Job whose pods run this; ``pod`` is of their specification, the rest of the Job's."""
    given = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, **(pod or {})}
    template = {"spec": spec_of(script, **given)}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {**spec, "template": template}}
    world.api.create(JOBS, body)
