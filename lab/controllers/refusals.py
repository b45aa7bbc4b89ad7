"""Pods that the API server refuses to make: the controller goes on trying, and an Event of the owner tells why.

Knows ``createPods`` in pkg/controller/controller_utils.go (Kubernetes v1.36.1) and the shape of an Event.
"""

import uuid
from datetime import UTC, datetime

from lab.api_client import ApiClient, ApiError, Json
from lab.controllers.objects import timestamp

_REFUSED = (400, 403, 422, 429, 500, 503)
"""By admission, a quota, a rule or a fault; 404 and 409 say that owner or namespace are no more what was seen."""


class Refusals:
    """Of one controller, each told once an owner."""

    def __init__(self, api: ApiClient, controller: str) -> None:
        self._api = api
        self._controller = controller
        self._told: set[str] = set()

    def create(self, owner: Json, pod: Json) -> tuple[Json | None, str]:
        """The pod, or why there is none."""
        metadata = owner["metadata"]
        try:
            return self._api.create(f"/api/v1/namespaces/{metadata['namespace']}/pods", pod), ""
        except ApiError as error:
            if error.status not in _REFUSED:
                raise
            if metadata["uid"] not in self._told:
                self._tell(owner, error.message)
            self._told.add(metadata["uid"])
            return None, error.message

    def _tell(self, owner: Json, why: str) -> None:
        metadata, now = owner["metadata"], timestamp(datetime.now(UTC))
        about = {"apiVersion": owner["apiVersion"], "kind": owner["kind"]}
        about |= {key: metadata[key] for key in ("namespace", "name", "uid", "resourceVersion")}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": metadata["namespace"]},
            "involvedObject": about,
            "reason": "FailedCreate",
            "message": f"Error creating: {why}",
            "type": "Warning",
            "source": {"component": self._controller},
            "reportingComponent": self._controller,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._api.create(f"/api/v1/namespaces/{metadata['namespace']}/events", event)
