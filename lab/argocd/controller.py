"""The stand-in for Argo CD's application controller: a thread that looks at Applications and acts on them.

It knows when to compare, when to go on with an operation, and what a comparison writes (``needRefreshAppStatus``,
``processAppRefreshQueueItem``, ``persistAppStatus`` and ``finalizeApplicationDeletion`` of argo-cd
controller/appcontroller.go, 3.6). What stands in for git is given to it. It writes no Events.
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
from lab.argocd import autosync, comparison, conditions, manifests
from lab.argocd.apply import delete
from lab.argocd.git import Git, RevisionError
from lab.argocd.manifests import Key
from lab.argocd.operation import COMPLETED, Operation, Settings, sources_of, stamp

REFRESH = "argocd.argoproj.io/refresh"
SKIP = "argocd.argoproj.io/skip-reconcile"
_CASCADES = ("", "/background", "/foreground")
_CASCADED_DELETION = tuple("resources-finalizer.argocd.argoproj.io" + each for each in _CASCADES)
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
"""``strconv.ParseBool``."""
_POLL_SECONDS = 0.05
_TURNS_BETWEEN_LOOKS = 4
_SYNC_TRIES = 10
_NOT_FOUND, _CONFLICT, _EXISTS = 404, 409, "AlreadyExists"
_ROLLING_SYNC = "ApplicationSet RollingSync triggered a sync of this Application resource"


class OperationInProgressError(Exception):
    """``ErrAnotherOperationInProgress`` of argo-cd util/argo."""


class DeletingError(Exception):
    """``application is deleting`` of argo-cd server/application."""


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
        """A person's sync, as argocd-server makes it; refused while an operation is there or a deletion under way."""
        found = self._client.get(f"{self._root}/applications/{application}")
        if found["metadata"].get("deletionTimestamp"):
            raise DeletingError(application)
        compared = found.get("status", {}).get("sync", {})
        revision = {key: compared[key] for key in ("revision", "revisions") if key in compared}
        own = autosync.of_specification(found["spec"])
        own["sync"] = {**own["sync"], **revision, "syncStrategy": {"hook": {}}, **sync}
        self._set_operation(application, {"initiatedBy": {"username": "admin"}, **own})

    def _set_operation(self, application: str, operation: Json) -> None:
        """``SetAppOperation``, again where the Application changed meanwhile."""
        path = f"{self._root}/applications/{application}"
        for _ in range(_SYNC_TRIES):
            found = self._client.get(path)
            set_operation(found, operation)
            try:
                self._client.replace(path, found)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
            else:
                return
        raise _ChangedError(application)

    def _turn(self) -> None:
        applications = self._client.list(f"{self._root}/applications")
        if next(self._turns) == 0:
            self._projects = {each["metadata"]["name"] for each in self._client.list(f"{self._root}/appprojects")}
            self._cluster = self._live()
        for each in applications:
            if self._stopping.is_set():
                return
            if (each["metadata"].get("annotations") or {}).get(SKIP) in _TRUE:
                continue  # ``canProcessApp``: neither compared nor synced nor deleted
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
        if "operation" not in application and application["metadata"].get("deletionTimestamp"):
            self._delete(application)
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
        phase = Operation(self._client, path, application, settings).advance(self._look_and_compare, now)
        if phase in COMPLETED and self._behaviour.doubles_operations and _may_be_doubled(asked or {}):
            again = {"initiatedBy": {"username": "applicationset-controller", "automated": True}}
            info = [{"name": "Reason", "value": _ROLLING_SYNC}]
            own = autosync.of_specification(application["spec"])
            self._client.patch(path, {"operation": {**again, **own, "info": info}})
        return phase

    def _look_and_compare(
        self, application: Mapping[str, Any], wanted: Sequence[str]
    ) -> tuple[list[str], comparison.Comparison]:
        self._cluster = self._live()
        return self._compare(application, wanted)

    def _compare(
        self, application: Mapping[str, Any], wanted: Sequence[str]
    ) -> tuple[list[str], comparison.Comparison]:
        """Compare at these revisions; where they are not one a source, at those of the sources (``CompareAppState``)."""
        sources = sources_of(application["spec"])
        if len(wanted) != len(sources):
            wanted = [str(each.get("targetRevision", "")) for each in sources]
        listed: list[Json] | str
        try:
            read = [self._git.resolve(application["metadata"]["name"], each) for each in wanted]
            revisions, listed = [each for each, _ in read], read[0][1]
        except RevisionError as error:
            where = f"source 1 of {len(sources)}: rpc error: code = Unknown desc"
            revisions, listed = list(wanted), f"failed to generate manifest for {where} = {error}"
        persists = self._behaviour.persists_resource_health
        return revisions, comparison.compare(application, listed, self._cluster, persists_resource_health=persists)

    def _delete(self, application: Json) -> None:
        """``finalizeApplicationDeletion``: with the finalizer what it holds goes first, wave by wave; without, nothing."""
        name, known = application["metadata"]["name"], application["metadata"].get("finalizers") or []
        left = [each for each in known if each not in _CASCADED_DELETION]
        if left == known:
            return
        self._cluster = self._live()
        held = [item for item in self._cluster.values() if manifests.tracked_by(item, name)]
        held = [item for item in held if not manifests.has_option(item, "Delete=false")]
        if any("deletionTimestamp" in item["metadata"] for item in held):
            return
        last = max(map(manifests.wave, held), default=0)
        for item in held:
            if manifests.wave(item) == last:
                delete(self._client, item)
        if not held:
            self._client.patch(f"{self._root}/applications/{name}", {"metadata": {"finalizers": left}})

    def _refresh(self, application: Json, now: datetime, *, full: bool) -> None:
        """Compare and write the status, then remove the annotation: two writes, as the real one's.

        Only a full comparison looks for a new commit and sets reconciledAt, to the moment before it began. A missing
        project ends it with Unknown and an old reconciledAt.
        """
        name, spec = application["metadata"]["name"], application["spec"]
        before = application.get("status", {})
        status: Json = {**before, "sync": dict(before.get("sync", {}))}
        if full:
            self._due[name] = datetime.fromtimestamp(now.timestamp() + self._behaviour.resync_seconds, UTC)
        missing = spec["project"] not in self._projects
        text = f"Application referencing project {spec['project']} which does not exist"
        errors = [(conditions.INVALID_SPEC, text)] if missing else []
        _set_conditions(status, errors, (conditions.INVALID_SPEC, conditions.UNKNOWN), now)
        if missing:
            status["sync"]["status"] = "Unknown"
            self._persist(application, status, "Unknown", "", now)
            return
        wanted = [] if full else _compared_revisions(before)
        revisions, found = self._compare(application, wanted)
        _set_conditions(status, found.conditions, comparison.EVALUATED, now)
        self._compared[name] = self._fingerprint(name, application)
        status["sync"] = _sync_status(spec, found.sync_status, revisions)
        status["resources"] = list(found.resources)
        status["controllerNamespace"] = self._namespace
        status.pop("resourceHealthSource", None)
        if not self._behaviour.persists_resource_health:
            status["resourceHealthSource"] = "appTree"
        if full or "reconciledAt" not in status:
            status["reconciledAt"] = stamp(now)
        if name not in self._windows:
            self._sync_by_itself(application, status, now)
        self._persist(application, status, found.health_status, found.health_message, now)

    def _sync_by_itself(self, application: Json, status: Json, now: datetime) -> None:
        operation, error = autosync.decide(application, status, now)
        if operation is not None:
            with contextlib.suppress(OperationInProgressError):
                self._set_operation(application["metadata"]["name"], operation)
        _set_conditions(status, [(conditions.SYNC, error)] if error else [], (conditions.SYNC,), now)

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


def _set_conditions(status: Json, found: Sequence[tuple[str, str]], evaluated: Sequence[str], now: datetime) -> None:
    """In place; an empty list is absent in the API."""
    left = conditions.updated(status.pop("conditions", None) or [], found, evaluated, stamp(now))
    if left:
        status["conditions"] = left


def _compared_revisions(status: Mapping[str, Any]) -> list[str]:
    sync = status.get("sync", {})
    return [str(each) for each in sync.get("revisions") or [sync.get("revision", "")]]


def _sync_status(spec: Mapping[str, Any], status: str, revisions: Sequence[str]) -> Json:
    destination = spec.get("destination", {})
    if spec.get("sources"):
        compared = {"sources": spec["sources"], "destination": destination}
        return {"status": status, "comparedTo": compared, "revisions": list(revisions)}
    compared = {"destination": destination, **({"source": spec["source"]} if "source" in spec else {})}
    return {"status": status, "comparedTo": compared, "revision": revisions[0]}
