"""A world for the stand-in for Argo CD: one Application named temporal, its git, and an API without other controllers."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import ArgoCd, Behaviour
from lab.fake_api import FakeApi
from lab.object_status import ended_job

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
TEMPORAL = APPLICATIONS + "/temporal"
JOBS = "/apis/batch/v1/namespaces/data/jobs"
CONFIG_MAPS = "/api/v1/namespaces/data/configmaps"
PATIENCE_SECONDS = 10.0


class World:
    """One Application named temporal, its git, and an API without any other controller."""

    def __init__(self, client: ApiClient, argocd: ArgoCd) -> None:
        self.client = client
        self.argocd = argocd

    @property
    def application(self) -> Json:
        return self.client.get(TEMPORAL)

    @property
    def state(self) -> Json:
        found: Json = self.application.get("status", {}).get("operationState", {})
        return found

    def until(self, holds: Callable[[Json], object]) -> Json:
        """The Application as soon as this holds of it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(found := self.application):
            assert time.monotonic() < deadline, found
            assert self.argocd.is_alive(), "a defect has ended the stand-in"
            time.sleep(0.01)
        return found

    def until_phase(self, phase: str) -> Json:
        found = self.until(lambda it: it.get("status", {}).get("operationState", {}).get("phase") == phase)
        state: Json = found["status"]["operationState"]
        return state

    def until_ended(self, identity: str) -> Json:
        """The state of the operation with this id, at its end and compared since."""

        def ended(found: Json) -> bool:
            state = found.get("status", {}).get("operationState", {})
            return identity_of(state) == identity and state["phase"] != "Running" and "operation" not in found

        state: Json = self.until(ended)["status"]["operationState"]
        return state

    def until_status(self, sync: str, health: str) -> Json:
        def reached(found: Json) -> bool:
            status = found.get("status", {})
            return (status.get("sync", {}).get("status"), status.get("health", {}).get("status")) == (sync, health)

        status: Json = self.until(reached)["status"]
        return status

    def until_defect(self) -> None:
        """Until something has ended the stand-in, which leaving the world raises."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.argocd.is_alive():
            assert time.monotonic() < deadline, "it goes on"
            time.sleep(0.01)

    def operate(self, identity: str, **operation: Any) -> None:
        """Write ``.operation`` from outside, as the hook does: a compare-and-swap, tried again on a conflict."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._written(identity, operation):
            assert time.monotonic() < deadline, "always somebody was faster"

    def _written(self, identity: str, operation: Json) -> bool:
        found = self.application
        body = {
            "initiatedBy": {"username": "gate", "automated": True},
            "info": [{"name": "id", "value": identity}],
            **operation,
        }
        body["sync"] = {"revision": found["status"]["sync"].get("revision", ""), **operation.get("sync", {})}
        version = {"resourceVersion": found["metadata"]["resourceVersion"]}
        try:
            self.client.patch(TEMPORAL, {"metadata": version, "operation": body, "status": {"operationState": None}})
        except ApiError as error:
            if error.status == 409:
                return False
            raise
        return True

    def job(self, name: str) -> Json:
        return self.client.get(f"{JOBS}/{name}")

    def until_job(self, name: str, without: str = "") -> Json:
        """A Job of this name, with another uid than the one given."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            for each in self.client.list(JOBS, field_selector=f"metadata.name={name}"):
                if each["metadata"]["uid"] != without and "deletionTimestamp" not in each["metadata"]:
                    return each
            assert time.monotonic() < deadline, f"no new Job {name}"
            time.sleep(0.01)

    def end_job(self, name: str, condition: str) -> None:
        """The Job controller's part."""
        now = self.job(name)["metadata"]["creationTimestamp"]
        status = ended_job(condition, f"{name} has ended", started=now, ended=now)
        self.client.patch_status(f"{JOBS}/{name}", {"status": status})


def identity_of(state: Json) -> str:
    """Of the operation, as its info carries it."""
    return next((each["value"] for each in state.get("operation", {}).get("info", []) if each["name"] == "id"), "")


@contextmanager
def uncompared(behaviour: Behaviour, commits: list[list[Json]], spec: Mapping[str, Any]) -> Iterator[World]:
    """As it is before Argo CD's first look; ``spec`` is merged into the Application's."""
    with FakeApi() as api, ExitStack() as stack:
        api.add_user("argocd", admin=True)
        client = stack.enter_context(closing(api.client("argocd")))
        for name in ("argocd", "data"):
            client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        argocd = ArgoCd(client, behaviour=behaviour)
        for commit in commits:
            argocd.commit("temporal", commit)
        client.create(
            APPLICATIONS,
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": "temporal"},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "HEAD"},
                    "destination": {"server": "https://kubernetes.default.svc", "namespace": "data"},
                    **spec,
                },
            },
        )
        with argocd:
            yield World(client, argocd)


@contextmanager
def world(*manifests: Json, spec: Mapping[str, Any] | None = None, **behaviour: Any) -> Iterator[World]:
    """Compared once and never synced."""
    given = Behaviour(**{"resync_seconds": 3600.0, **behaviour})
    with uncompared(given, [list(manifests)], spec or {}) as found:
        found.until(lambda it: "reconciledAt" in it.get("status", {}))
        yield found


def message_of(found: Json) -> str:
    """What its operation says."""
    return str(found.get("status", {}).get("operationState", {}).get("message", ""))


def config_map(name: str, wave: int = 0, **data: str) -> Json:
    metadata = {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": str(wave)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def plain_job(name: str = "schema", image: str = "example.org/schema:1") -> Json:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def hook_job(name: str = "gate", kind: str = "Sync", wave: int = 0) -> Json:
    annotations = {"argocd.argoproj.io/hook": kind, "argocd.argoproj.io/sync-wave": str(wave)}
    return {**plain_job(name), "metadata": {"name": name, "annotations": annotations}}


def deployment(name: str = "frontend") -> Json:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": plain_job()["spec"]["template"]["spec"]}
    template["spec"] = {"containers": template["spec"]["containers"]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def job_operation(**sync: Any) -> Json:
    resource = {"group": "batch", "kind": "Job", "name": "schema", "namespace": "data"}
    return {"sync": {"resources": [resource], **sync}}


REPLACE_BY_FORCE = {"syncOptions": ["Replace=true"], "syncStrategy": {"apply": {"force": True}}}
