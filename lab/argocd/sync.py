"""One pass of a sync: phases and waves, hooks, results.

It knows ``syncContext.Sync`` of gitops-engine/pkg/sync/sync_context.go (3.6): each pass looks at all tasks, waits while
any is running, fails when one failed, else starts the next wave. Left out: SyncFail hooks, dry run, confirmation of
pruning, and the pause of two seconds between waves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import health, manifests
from lab.argocd.apply import apply_object, delete, read, remove_hook_finalizer
from lab.argocd.comparison import Comparison
from lab.argocd.manifests import HOOK_FINALIZER, Key

_PHASE_ORDER = ("PreSync", "Sync", "PostSync")
_KIND_ORDER = ("Secret", "ConfigMap", "Service", "Deployment", "Job")
_RUNNING, _SUCCEEDED, _FAILED, _ERROR = "Running", "Succeeded", "Failed", "Error"


@dataclass
class Task:
    """One object in one phase."""

    phase: str
    target: Json | None
    live: Json | None
    status: str = ""
    state: str = ""
    message: str = ""

    @property
    def item(self) -> Json:
        """The manifest, or for a task that prunes the live object."""
        found = self.target if self.target is not None else self.live
        if found is None:
            message = "a task without an object"
            raise ValueError(message)
        return found

    @property
    def key(self) -> Key:
        """Which object."""
        return manifests.key(self.item)

    @property
    def is_hook(self) -> bool:
        """Whether it is a hook."""
        return manifests.is_hook(self.item)

    @property
    def order(self) -> tuple[int, int, int, str]:
        """By phase, wave, kind and name (``syncTasks.Less``)."""
        kind = _KIND_ORDER.index(self.key.kind) if self.key.kind in _KIND_ORDER else len(_KIND_ORDER)
        return _PHASE_ORDER.index(self.phase), manifests.wave(self.item), kind, self.key.name

    @property
    def step(self) -> tuple[int, int]:
        """Phase and wave: what starts together."""
        return self.order[:2]

    def set(self, status: str, state: str, message: str) -> None:
        """``setResourceResult``: the latest message that says anything stays."""
        self.status, self.state = status, state
        self.message = message or self.message


class Sync:
    """One pass over one operation."""

    def __init__(self, client: ApiClient, operation: Json, comparison: Comparison, results: Sequence[Json]) -> None:
        self._client = client
        self._sync: Json = operation.get("sync", {})
        self._comparison = comparison
        strategy = self._sync.get("syncStrategy") or {}
        chosen = strategy.get("apply") or strategy.get("hook") or {}
        self._force = bool(chosen.get("force"))
        self._replace = "Replace=true" in self._sync.get("syncOptions", [])
        self._selected = self._sync.get("resources") or []
        self._skips_hooks = "apply" in strategy or bool(self._selected)
        self.tasks = self._tasks(results)

    def _tasks(self, results: Sequence[Json]) -> list[Task]:
        found = []
        keys = {*self._comparison.targets, *self._comparison.live}
        for key in keys:
            target, live = self._comparison.targets.get(key), self._comparison.live.get(key)
            item = target if target is not None else live
            if item is None or manifests.is_hook(item) or not self._is_selected(key):
                continue
            found += [Task(phase, target, live) for phase in manifests.sync_phases(item)]
        for hook in [] if self._skips_hooks else self._comparison.hooks:
            finalizers = [*hook["metadata"].get("finalizers", [])]
            if HOOK_FINALIZER not in finalizers:
                finalizers.append(HOOK_FINALIZER)
            target = {**hook, "metadata": {**hook["metadata"], "finalizers": finalizers}}
            live = self._comparison.live.get(manifests.key(hook))
            found += [Task(phase, target, live) for phase in manifests.sync_phases(hook) if phase in _PHASE_ORDER]
        known = {(_result_key(each), each["syncPhase"]): each for each in results}
        for task in found:
            result = known.get((task.key, task.phase))
            if result is not None:
                task.status = result.get("status", "")
                task.state = result.get("hookPhase", "")
                task.message = result.get("message", "")
        return sorted(found, key=lambda task: task.order)

    def _is_selected(self, key: Key) -> bool:
        """``ContainsSyncResource``: an empty namespace in the operation matches any."""
        return not self._selected or any(
            (each.get("group", ""), each["kind"], each["name"]) == (key.group, key.kind, key.name)
            and each.get("namespace", "") in ("", key.namespace)
            for each in self._selected
        )

    def results(self) -> list[Json]:
        """``status.operationState.syncResult.resources``."""
        listed = []
        for task in self.tasks:
            if not (task.status or task.state or task.message):
                continue
            key = task.key
            result = {
                "group": key.group,
                "version": task.item["apiVersion"].rpartition("/")[2],
                "kind": key.kind,
                "namespace": key.namespace,
                "name": key.name,
                "syncPhase": task.phase,
            }
            optional = {"status": task.status, "hookPhase": task.state, "message": task.message}
            if task.is_hook:
                optional["hookType"] = task.phase
            listed.append({**result, **{name: text for name, text in optional.items() if text}})
        return listed

    def advance(self) -> tuple[str, str]:
        """Look, and do the next thing: the operation's phase and message."""
        for task in self.tasks:
            if task.state == _RUNNING and task.live is not None:
                self._look(task)
        multi_step = bool(self.tasks) and self.tasks[0].step != self.tasks[-1].step
        running = [task for task in self.tasks if task.state == _RUNNING and (multi_step or task.is_hook)]
        if running:
            for task in running:
                if task.live is None and read(self._client, task.item) is None:
                    task.set("SyncFailed", _ERROR, f"Resource {_path(task)} is missing, it might have been deleted")
            return _RUNNING, _waiting(running)
        hooks = [task for task in self.tasks if task.is_hook and task.live is not None]
        for task in hooks:
            if task.state in (_SUCCEEDED, _FAILED, _ERROR) and task.live is not None:
                remove_hook_finalizer(self._client, task.live)
        if any(task.state in (_FAILED, _ERROR) for task in self.tasks):
            self._delete_hooks(hooks, "HookFailed")
            failed = [task for task in self.tasks if task.status == "SyncFailed"]
            return _FAILED, _with_reasons("one or more synchronization tasks completed unsuccessfully", failed)
        pending = [task for task in self.tasks if not task.state]
        if not pending:
            self._delete_hooks(hooks, "HookSucceeded")
            return _SUCCEEDED, "successfully synced (no more tasks)"
        return self._start(pending, hooks)

    def _start(self, pending: Sequence[Task], hooks: Sequence[Task]) -> tuple[str, str]:
        now = [task for task in pending if task.step == pending[0].step]
        deleting = [task for task in now if self._delete_before_creation(task)]
        if deleting:
            return _RUNNING, _waiting(deleting, "deletion of hook")
        for task in now:
            self._run(task)
        failed = [task for task in now if task.status == "SyncFailed"]
        if failed:
            if any(task.is_hook and task.state == _RUNNING for task in now):
                return _RUNNING, _waiting([task for task in now if task.state == _RUNNING])
            return _FAILED, _with_reasons("one or more objects failed to apply", failed)
        if len(now) == len(pending) and not any(task.is_hook for task in now):
            self._delete_hooks(hooks, "HookSucceeded")
            return _SUCCEEDED, "successfully synced (all tasks run)"
        return _RUNNING, _waiting(now)

    def _delete_before_creation(self, task: Task) -> bool:
        if not task.is_hook or "BeforeHookCreation" not in manifests.delete_policies(task.item):
            return False
        live = read(self._client, task.item)
        if live is None:
            task.live = None
            return False
        remove_hook_finalizer(self._client, live)
        return delete(self._client, live)

    def _run(self, task: Task) -> None:
        if task.target is None:
            self._prune(task)
            return
        options = (task.target, task.live)
        replace = self._replace or any(manifests.has_option(each, "Replace=true") for each in options)
        force = self._force or any(manifests.has_option(each, "Force=true") for each in options)
        try:
            message = apply_object(self._client, task.target, task.live, replace=replace, force=force)
        except ApiError as error:
            task.set("SyncFailed", _FAILED, error.message)
        else:
            task.set("Synced", _RUNNING, message)
        task.live = None  # what was compared is older than what was just written

    def _prune(self, task: Task) -> None:
        if not self._sync.get("prune"):
            task.set("PruneSkipped", _SUCCEEDED, "ignored (requires pruning)")
            return
        try:
            delete(self._client, task.item)
        except ApiError as error:
            task.set("SyncFailed", _FAILED, error.message)
        else:
            task.set("Pruned", _SUCCEEDED, "pruned")

    def _delete_hooks(self, hooks: Sequence[Task], policy: str) -> None:
        for task in hooks:
            if task.live is not None and policy in manifests.delete_policies(task.item):
                delete(self._client, task.live)

    def _look(self, task: Task) -> None:
        """The state of a task that runs, from the live object's health."""
        if task.live is None:
            return
        found = health.of(task.live)
        if found is None:
            message = f"{task.key.name} created" if task.is_hook else task.message
            task.set(task.status, _SUCCEEDED, message)
        elif found.status == "Healthy":
            task.set(task.status, _SUCCEEDED, found.message)
        elif found.status == "Degraded" or (task.is_hook and found.status == "Unknown"):
            task.set(task.status, _FAILED, found.message)


def _result_key(result: Json) -> Key:
    return Key(result["group"], result["kind"], result["namespace"], result["name"])


def _path(task: Task) -> str:
    return f"{task.key.group}/{task.key.kind}/{task.key.name}"


def _waiting(tasks: Sequence[Task], reason: str = "") -> str:
    """``setRunningPhase``."""
    hooks = [task for task in tasks if task.is_hook]
    first = hooks[0] if hooks else tasks[0]
    kind = "hooks" if len(hooks) == len(tasks) else "resources"
    text = f"waiting for {reason or ('completion of hook' if hooks else 'healthy state of')} {_path(first)}"
    return f"{text} and {len(tasks) - 1} more {kind}" if len(tasks) > 1 else text


def _with_reasons(message: str, failed: Sequence[Task]) -> str:
    reasons = ",".join(task.message for task in failed)
    return f"{message}, reason: {reasons}" if reasons else message
