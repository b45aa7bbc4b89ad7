"""One gate of a team as its people see it: its pods and how they ended, what they said, its receipt, its watchdog.

Of pods that are gone the history and the logs that the nodes keep tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.api_client import ApiClient
    from lab.history import History, Version

Json = dict[str, Any]


@dataclass(frozen=True)
class TeamGate:
    """A gate by its Application's name, in its namespace; ``said`` is what each run of a pod's container said."""

    client: ApiClient
    history: History
    said: Callable[[Json, str], list[str]]
    namespace: str
    application: str

    def pods(self) -> list[Json]:
        """Those of its Job that are there now."""
        return self._objects("api/v1", "pods", "gate")

    def ends(self, since: float = 0.0, component: str = "gate") -> list[tuple[int, str]]:
        """How its pods have ended that began after ``since``: exit code and termination message, in order.

        They may be gone by now. ``component`` is the gate or its watchdog.
        """
        ends: dict[str, tuple[int, str]] = {}
        for version in self._pods_since(since, component):
            for status in version.body.get("status", {}).get("containerStatuses", []):
                if ended := status["state"].get("terminated"):
                    ends[version.name] = (ended["exitCode"], ended.get("message", ""))
        return list(ends.values())

    def logs(self) -> list[tuple[Json, str]]:
        """Each pod that its Job ever had, and what it has said; the node keeps the logs of those that are gone."""
        pods = {version.body["metadata"]["uid"]: version.body for version in self._pods_since(0.0, "gate")}
        return [(pod, "".join(self.said(pod, "gate"))) for pod in pods.values()]

    def receipt(self) -> Json | None:
        """What its receipt holds, None where there is none."""
        found = self._objects("api/v1", "configmaps", "receipt")
        return dict(found[0]["data"]) if found else None

    def watchdog(self) -> Json:
        """Its CronJob."""
        (found,) = self._objects("apis/batch/v1", "cronjobs", "watchdog")
        return found

    def start_watchdog(self) -> None:
        """Start the watchdog now, as ``kubectl create job --from=cronjob/NAME`` does."""
        cron_job = self.watchdog()
        metadata = cron_job["metadata"]
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": metadata["name"], "uid": metadata["uid"]}
        body = {
            "metadata": {
                "generateName": f"{metadata['name']}-by-hand-",
                "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
                "ownerReferences": [{**owner, "controller": True}],
            },
            "spec": cron_job["spec"]["jobTemplate"]["spec"],
        }
        self.client.create(f"/apis/batch/v1/namespaces/{self.namespace}/jobs", body)

    def _objects(self, group: str, kind: str, component: str) -> list[Json]:
        selector = ",".join(f"{key}={value}" for key, value in self._labels(component).items())
        return self.client.list(f"/{group}/namespaces/{self.namespace}/{kind}", label_selector=selector)

    def _labels(self, component: str) -> Json:
        return {"app.kubernetes.io/component": component, "app.kubernetes.io/instance": self.application}

    def _pods_since(self, since: float, component: str) -> list[Version]:
        """The versions of its pods that were first seen after ``since``, in order."""
        wanted = self._labels(component)
        versions = [
            version
            for version in self.history.versions("Pod")
            if wanted.items() <= version.body["metadata"].get("labels", {}).items()
        ]
        began: dict[str, float] = {}
        for version in versions:
            began.setdefault(version.name, version.at)
        return [version for version in versions if began[version.name] >= since]
