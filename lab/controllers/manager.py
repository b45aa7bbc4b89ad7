"""The thread that runs the controllers and the garbage collector, a turn after another.

Knows which collections there are. It is the only one that creates their objects and reads all of them at each turn, so
it needs none of the real one's caches and expectations.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial

from lab.actor import Actor
from lab.api_client import ApiClient, ApiError, Json
from lab.controllers.deployment import sync_deployment
from lab.controllers.job import JobController
from lab.controllers.objects import controller_of, deleted, phase_of
from lab.controllers.refusals import Refusals
from lab.controllers.replicas import sync_replica_set

POLL_SECONDS = 0.05
_OWNED_KINDS = ("Deployment", "ReplicaSet", "Job")


class ControllerManager(Actor):
    """Works on ``namespaces`` until it is stopped.

    ``job_backoff_seconds`` is the pause before a Job's second pod, the real one's 10 s where a scenario does not need
    it shorter.
    """

    def __init__(self, api: ApiClient, namespaces: Sequence[str], *, job_backoff_seconds: float = 10.0) -> None:
        super().__init__("controllers", POLL_SECONDS)
        self._api = api
        self._namespaces = tuple(namespaces)
        self._jobs = JobController(api, job_backoff_seconds)
        self._refusals = Refusals(api, "replicaset-controller")

    def _turn(self) -> None:
        jobs: list[Json] = []
        for namespace in self._namespaces:
            jobs += self._namespace_turn(namespace)
        self._jobs.forget_others({job["metadata"]["uid"] for job in jobs})

    def _namespace_turn(self, namespace: str) -> list[Json]:
        """Owned objects are read before their owners: one whose owner is not found has lost it."""
        pods = self._api.list(f"/api/v1/namespaces/{namespace}/pods")
        apps = f"/apis/apps/v1/namespaces/{namespace}"
        replica_sets = self._api.list(f"{apps}/replicasets")
        deployments = self._api.list(f"{apps}/deployments")
        jobs = self._api.list(f"/apis/batch/v1/namespaces/{namespace}/jobs")
        owners = {one["metadata"]["uid"] for one in [*replica_sets, *deployments, *jobs]}
        self._collect(pods, f"/api/v1/namespaces/{namespace}/pods", owners)
        self._collect(replica_sets, f"{apps}/replicasets", owners)
        now = datetime.now(UTC)
        for deployment in deployments:
            if not deleted(deployment):
                _attempt(partial(sync_deployment, self._api, deployment, replica_sets, pods, now))
        for replica_set in replica_sets:
            if not deleted(replica_set):
                _attempt(partial(sync_replica_set, self._api, replica_set, pods, now, self._refusals))
        for job in jobs:
            _attempt(partial(self._jobs.sync, job, pods, now))
        _attempt(partial(self._jobs.release, pods, jobs))
        self._fail_unscheduled(pods)
        return jobs

    def _fail_unscheduled(self, pods: Iterable[Json]) -> None:
        """``gcUnscheduledTerminating``: no kubelet says of a deleted pod without a node that it has ended."""
        for pod in pods:
            if deleted(pod) and not pod["spec"].get("nodeName") and phase_of(pod) == "Pending":
                path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
                _attempt(partial(self._api.patch_status, path, {"status": {"phase": "Failed"}}))

    def _collect(self, things: Iterable[Json], base: str, owners: set[str]) -> None:
        """Background deletion of what has lost its owner."""
        for one in things:
            owner = controller_of(one)
            if owner is None or owner["kind"] not in _OWNED_KINDS or deleted(one):
                continue
            if owner["uid"] not in owners:
                path, uid = f"{base}/{one['metadata']['name']}", one["metadata"]["uid"]
                _attempt(partial(self._api.delete, path, uid=uid))


def _attempt(act: Callable[[], object]) -> None:
    """Somebody was faster (404, 409): the next turn looks again."""
    try:
        act()
    except ApiError as error:
        if error.status not in (404, 409):
            raise
