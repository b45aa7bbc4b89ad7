"""The stand-in for Argo CD's application controller: a thread that looks at Applications and acts on them.

It knows when to compare, when to go on with an operation, and what a comparison writes (``needRefreshAppStatus``,
``processAppRefreshQueueItem`` and ``persistAppStatus`` of argo-cd controller/appcontroller.go, 3.6). What stands in for
git is given to it. It writes no Events, does not sync by itself, and deletes nothing when an Application is deleted.
"""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from lab import merge_patch
from lab.actor import Actor
from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import comparison, manifests
from lab.argocd.git import Git, RevisionError
from lab.argocd.manifests import Key
from lab.argocd.operation import COMPLETED, Operation, Settings, stamp

REFRESH = "argocd.argoproj.io/refresh"
_POLL_SECONDS = 0.05
_TURNS_BETWEEN_LOOKS = 4
_SYNC_TRIES = 10
_NOT_FOUND, _CONFLICT, _EXISTS = 404, 409, "AlreadyExists"
_ROLLING_SYNC = "ApplicationSet RollingSync triggered a sync of this Application resource"


class OperationInProgressError(Exception):
    """``ErrAnotherOperationInProgress`` of argo-cd util/argo."""


class _ChangedError(Exception):
    """The Application changed between reading and writing."""


@dataclass(frozen=True)
class Behaviour:
    """What differs between versions and installations; the defaults are a default installation of 3.6."""

    resync_seconds: float = 120.0
    """``timeout.reconciliation``, without its jitter."""
    persists_resource_health: bool = False
    """``controller.resource.health.persist``: true by default until 2.14, false since 3.0."""
    merges_operation_state: bool = False
    """Until 3.5: an operation's state is merged into that of the operation before (argo-cd 28778)."""
    doubles_operations: bool = False
    """A full sync is followed by one of RollingSync's: what 3.6 was often seen to do to a hook gate."""


class ArgoCd(Actor):
    """The controller for the Applications of one namespace."""

    def __init__(self, client: ApiClient, namespace: str = "argocd", behaviour: Behaviour | None = None) -> None:
        super().__init__("argocd", _POLL_SECONDS)
        self._client = client
        self._namespace = namespace
        self._behaviour = Behaviour() if behaviour is None else behaviour
        self._root = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}"
        self._git = Git()
        self._turns = itertools.cycle(range(_TURNS_BETWEEN_LOOKS))
        self._windows: dict[str, bool] = {}
        self._projects: set[str] = set()
        self._cluster: dict[Key, Json] = {}
        self._compared: dict[str, frozenset[tuple[Key, str]]] = {}
        self._due: dict[str, datetime] = {}

    def start(self) -> Self:
        """Begin; makes the AppProject ``default`` where it is missing, as argocd-server does."""
        spec = {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]}
        project = {"metadata": {"name": "default"}, "spec": spec}
        try:
            self._client.create(
                f"{self._root}/appprojects", {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", **project}
            )
        except ApiError as error:
            if error.reason != _EXISTS:
                raise
        return super().start()

    def commit(self, application: str, wanted: Sequence[Mapping[str, Any]]) -> str:
        """A new commit for an Application; noticed at the next comparison that looks for one. Answers the revision."""
        return self._git.commit(application, wanted)

    def close_sync_window(self, application: str, *, manual_sync: bool = False) -> None:
        """A deny window without end; ``manual_sync`` lets operations through that are not ``automated``."""
        self._windows[application] = manual_sync

    def open_sync_window(self, application: str) -> None:
        """End it."""
        self._windows.pop(application, None)

    def is_blocked(self, application: str, *, manual: bool) -> bool:
        """Whether a window keeps an operation from it."""
        return application in self._windows and not (manual and self._windows[application])

    def newest(self, application: str) -> str:
        """The newest commit of an Application's target. Raises ``RevisionError``."""
        return self._git.resolve(application, "HEAD")[0]

    def sync(self, application: str, **sync: Any) -> None:
        """A person's sync, as ``SetAppOperation`` writes it; refused while an operation is there."""
        for _ in range(_SYNC_TRIES - 1):
            with contextlib.suppress(_ChangedError):
                self._set_operation(application, sync)
                return
        self._set_operation(application, sync)

    def _set_operation(self, application: str, sync: Mapping[str, Any]) -> None:
        path = f"{self._root}/applications/{application}"
        found = self._client.get(path)
        compared = found.get("status", {}).get("sync", {})
        revision = {key: compared[key] for key in ("revision", "revisions") if key in compared}
        set_operation(
            found,
            {"initiatedBy": {"username": "admin"}, "sync": {**revision, "syncStrategy": {"hook": {}}, **sync}},
        )
        try:
            self._client.replace(path, found)
        except ApiError as error:
            if error.status == _CONFLICT:
                raise _ChangedError(error.message) from error
            raise

    def _turn(self) -> None:
        applications = self._client.list(f"{self._root}/applications")
        if next(self._turns) == 0:
            self._projects = {each["metadata"]["name"] for each in self._client.list(f"{self._root}/appprojects")}
            self._cluster = self._live()
        for each in applications:
            if self._stopping.is_set():
                return
            if each["metadata"].get("deletionTimestamp"):
                continue
            try:
                self._application(each)
            except ApiError as error:
                if error.status not in (_NOT_FOUND, _CONFLICT):
                    raise

    def _live(self) -> dict[Key, Json]:
        """Every object of the kinds that an Application may hold."""
        found = {}
        for kind, (group, version, _) in manifests.KINDS.items():
            api_version = f"{group}/{version}" if group else version
            for each in self._client.list(manifests.collection(kind)):
                item = {**each, "apiVersion": api_version, "kind": kind}
                found[manifests.key(item)] = item
        return found

    def _application(self, application: Json) -> None:
        name = application["metadata"]["name"]
        now = datetime.now(UTC)
        if "operation" in application and self._operate(application, now) in COMPLETED:
            application = self._client.get(f"{self._root}/applications/{name}")
            self._cluster = self._live()
            self._refresh(application, now, full=True)
            return
        asked = REFRESH in (application["metadata"].get("annotations") or {})
        if asked or now >= self._due.get(name, now) or self._source_changed(application):
            self._cluster = self._live() if asked else self._cluster
            self._refresh(application, now, full=True)
        elif self._fingerprint(name, application) != self._compared.get(name):
            self._refresh(application, now, full=False)

    def _operate(self, application: Json, now: datetime) -> str:
        settings = Settings(
            merges_operation_state=self._behaviour.merges_operation_state,
            blocked=lambda name, manual: self.is_blocked(name, manual=manual),
            project_exists=lambda project: project in self._projects,
        )
        path = f"{self._root}/applications/{application['metadata']['name']}"
        before = application.get("status", {}).get("operationState", {})
        asked = before.get("operation") if before.get("phase") == "Running" else application["operation"]
        phase = Operation(self._client, path, application, settings).advance(self._compare, now)
        if phase in COMPLETED and self._behaviour.doubles_operations and _may_be_doubled(asked or {}):
            again = {"initiatedBy": {"username": "applicationset-controller", "automated": True}, "sync": {}}
            info = [{"name": "Reason", "value": _ROLLING_SYNC}]
            self._client.patch(path, {"operation": {**again, "info": info}})
        return phase

    def _compare(self, application: Mapping[str, Any], wanted: str) -> tuple[str, comparison.Comparison]:
        revision, listed = self._git.resolve(application["metadata"]["name"], wanted)
        self._cluster = self._live()
        persists = self._behaviour.persists_resource_health
        return revision, comparison.compare(application, listed, self._cluster, persists_resource_health=persists)

    def _refresh(self, application: Json, now: datetime, *, full: bool) -> None:
        """Compare and write the status, then remove the annotation: two writes, as the real one's.

        Only a full comparison looks for a new commit and sets reconciledAt, to the moment before it began. A missing
        project ends it with Unknown and an old reconciledAt.
        """
        name = application["metadata"]["name"]
        before = application.get("status", {})
        status: Json = {**before, "sync": dict(before.get("sync", {}))}
        if full:
            self._due[name] = datetime.fromtimestamp(now.timestamp() + self._behaviour.resync_seconds, UTC)
        if application["spec"]["project"] not in self._projects:
            message = f"Application referencing project {application['spec']['project']} which does not exist"
            status["conditions"] = [{"type": "InvalidSpecError", "message": message, "lastTransitionTime": stamp(now)}]
            status["sync"]["status"] = "Unknown"
            self._persist(application, status, "Unknown", "", now)
            return
        conditions: list[Json] = []
        listed: list[Json] | None = None
        wanted = _target_revision(application["spec"]) if full else _compared_revision(before)
        revision = wanted
        try:
            revision, listed = self._git.resolve(name, wanted)
        except RevisionError as error:
            message = f"Failed to load target state: {error}"
            conditions = [{"type": "ComparisonError", "message": message, "lastTransitionTime": stamp(now)}]
        found = comparison.compare(
            application, listed, self._cluster, persists_resource_health=self._behaviour.persists_resource_health
        )
        self._compared[name] = self._fingerprint(name, application)
        status["sync"] = _sync_status(application["spec"], found.sync_status, revision)
        status["resources"] = list(found.resources)
        status["controllerNamespace"] = self._namespace
        status.pop("conditions", None)
        if conditions:
            status["conditions"] = conditions
        status.pop("resourceHealthSource", None)
        if not self._behaviour.persists_resource_health:
            status["resourceHealthSource"] = "appTree"
        if full or "reconciledAt" not in status:
            status["reconciledAt"] = stamp(now)
        self._persist(application, status, found.health_status, found.health_message, now)

    def _persist(self, application: Json, status: Json, health: str, message: str, now: datetime) -> None:
        before = application.get("status", {})
        known = before.get("health", {})
        if known.get("status") != health:
            shown = {"status": health, "lastTransitionTime": stamp(now), **({"message": message} if message else {})}
        else:
            shown = dict(known)
        status["health"] = shown
        path = f"{self._root}/applications/{application['metadata']['name']}"
        change = merge_patch.diff(before, status)
        if change:
            self._client.patch(path, {"status": change})
        if REFRESH in (application["metadata"].get("annotations") or {}):
            self._client.patch(path, {"metadata": {"annotations": {REFRESH: None}}})

    def _fingerprint(self, name: str, application: Json) -> frozenset[tuple[Key, str]]:
        """The versions of everything that is the Application's; a change of it is what asks for a comparison."""
        listed = {
            Key(each.get("group", ""), each["kind"], each.get("namespace", ""), each["name"])
            for each in application.get("status", {}).get("resources", [])
        }
        return frozenset(
            (key, item["metadata"]["resourceVersion"])
            for key, item in self._cluster.items()
            if key in listed or manifests.tracked_by(item, name)
        )

    def _source_changed(self, application: Json) -> bool:
        """``currentSourceEqualsSyncedSource``."""
        compared = application.get("status", {}).get("sync", {}).get("comparedTo", {})
        spec = application["spec"]
        return any(spec.get(field) != compared.get(field) for field in ("source", "sources"))


def set_operation(application: Json, operation: Mapping[str, Any]) -> None:
    """``SetAppOperation`` on an Application that was read; raises ``OperationInProgressError``."""
    if "operation" in application:
        raise OperationInProgressError(application["metadata"]["name"])
    application["operation"] = dict(operation)
    application.get("status", {}).pop("operationState", None)


def _may_be_doubled(operation: Mapping[str, Any]) -> bool:
    """A full sync that is not itself the second one."""
    own = any(each.get("value") == _ROLLING_SYNC for each in operation.get("info", []))
    return not own and not operation.get("sync", {}).get("resources")


def _target_revision(spec: Mapping[str, Any]) -> str:
    source: Mapping[str, Any] = (spec.get("sources") or [spec.get("source", {})])[0]
    return str(source.get("targetRevision", ""))


def _compared_revision(status: Mapping[str, Any]) -> str:
    sync = status.get("sync", {})
    return str(sync.get("revision") or (sync.get("revisions") or [""])[0])


def _sync_status(spec: Mapping[str, Any], status: str, revision: str) -> Json:
    destination = spec.get("destination", {})
    if spec.get("sources"):
        compared = {"sources": spec["sources"], "destination": destination}
        return {"status": status, "comparedTo": compared, "revisions": [revision] * len(spec["sources"])}
    compared = {"destination": destination, **({"source": spec["source"]} if "source" in spec else {})}
    return {"status": status, "comparedTo": compared, "revision": revision}
