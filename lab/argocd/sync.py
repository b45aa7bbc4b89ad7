"""One pass of a sync: phases and waves, hooks, results.

It knows ``syncContext.Sync`` of gitops-engine/pkg/sync/sync_context.go (3.6): each pass looks at all tasks, waits while
any is running, fails when one failed, else starts the next wave. Left out: the dry run that comes first, and the pause
of two seconds between waves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import health, manifests, options
from lab.argocd.apply import apply_object, delete, read, remove_hook_finalizer
from lab.argocd.comparison import Comparison
from lab.argocd.manifests import HOOK_FINALIZER, Key

_PHASE_ORDER = ("PreSync", "Sync", "PostSync")
_KIND_ORDER = ("Namespace", "Secret", "ConfigMap", "Service", "Deployment", "Job")
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
    last_wave: int | None = None
    """Of an object that is pruned last: the wave after all others."""

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
        wave = manifests.wave(self.item) if self.last_wave is None else self.last_wave
        return _PHASE_ORDER.index(self.phase), wave, kind, self.key.name

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

    def __init__(self, client: ApiClient, application: Json, sync: Json, comparison: Comparison) -> None:
        self._client = client
        self._namespace: str = application["spec"]["destination"].get("namespace", "")
        self._comparison = comparison
        self._options = options.of(sync, application["spec"])
        self._selected: Sequence[Json] = sync.get("resources") or []
        self._earlier: Sequence[Json] = []
        self.tasks: list[Task] = []

    @property
    def fails_on_shared(self) -> bool:
        """``FailOnSharedResource=true``, and one of its objects is another Application's too."""
        return self._options.fails_on_shared and bool(self._comparison.shared)

    def resume(self, results: Sequence[Json]) -> None:
        """Take up what earlier passes came to."""
        self.tasks = self._tasks(results)
        known = {(task.key, task.phase) for task in self.tasks}
        self._earlier = [each for each in results if (_result_key(each), each["syncPhase"]) not in known]

    def _tasks(self, results: Sequence[Json]) -> list[Task]:
        found = self._namespace_task()
        keys = {*self._comparison.targets, *self._comparison.live}
        for key in keys:
            target, live = self._comparison.targets.get(key), self._comparison.live.get(key)
            item = target if target is not None else live
            if item is None or manifests.is_hook(item) or not self._is_selected(key):
                continue
            found += [Task(phase, target, live) for phase in manifests.sync_phases(item)]
        for hook in [] if self._options.skips_hooks else self._comparison.hooks:
            finalizers = [*hook["metadata"].get("finalizers", [])]
            if HOOK_FINALIZER not in finalizers:
                finalizers.append(HOOK_FINALIZER)
            target = {**hook, "metadata": {**hook["metadata"], "finalizers": finalizers}}
            live = self._comparison.live.get(manifests.key(hook))
            found += [Task(phase, target, live) for phase in manifests.sync_phases(hook)]
        known = {(_result_key(each), each["syncPhase"]): each for each in results}
        for task in found:
            result = known.get((task.key, task.phase))
            if result is not None:
                task.status = result.get("status", "")
                task.state = result.get("hookPhase", "")
                task.message = result.get("message", "")
        last = max((manifests.wave(task.item) for task in found if task.phase == "Sync"), default=0)
        for task in found:
            if task.target is None and (self._options.prune_last or manifests.has_option(task.live, "PruneLast=true")):
                task.last_wave = max(0, last) + 1
        return sorted(found, key=lambda task: task.order)

    def _namespace_task(self) -> list[Task]:
        """``CreateNamespace=true``: the destination's, in the first phase, where neither cluster nor git has it."""
        key = Key("", "Namespace", "", self._namespace)
        target = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._namespace}}
        needed = self._options.creates_namespace and self._namespace and key not in self._comparison.targets
        return [Task("PreSync", target, None)] if needed and read(self._client, target) is None else []

    def _is_selected(self, key: Key) -> bool:
        """``ContainsSyncResource``: an empty namespace in the operation matches any."""
        return not self._selected or any(
            (each.get("group", ""), each["kind"], each["name"]) == (key.group, key.kind, key.name)
            and each.get("namespace", "") in ("", key.namespace)
            for each in self._selected
        )

    def results(self) -> list[Json]:
        """``status.operationState.syncResult.resources``: also of what is no task any more, such as a made namespace."""
        listed = list(self._earlier)
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
        for task in [task for task in self.tasks if task.state == _RUNNING]:
            self._look(task)
        multi_step = bool(self.tasks) and self.tasks[0].step != self.tasks[-1].step
        running = [task for task in self.tasks if task.state == _RUNNING and (multi_step or task.is_hook)]
        if running:
            for task in running:
                if task.live is None and read(self._client, task.item) is None:
                    task.set("SyncFailed", _ERROR, f"Resource {_path(task)} is missing, it might have been deleted")
            return _RUNNING, _waiting(running)
        pruned = [task for task in self.tasks if task.status == "Pruned" and _is_going(task.live)]
        if pruned:
            return _RUNNING, _waiting(pruned, "deletion of")
        hooks = [task for task in self.tasks if task.is_hook and task.live is not None]
        for task in hooks:
            if task.state in (_SUCCEEDED, _FAILED, _ERROR) and task.live is not None:
                remove_hook_finalizer(self._client, task.live)
        if any(task.state in (_FAILED, _ERROR) for task in self.tasks):
            self._delete_hooks(hooks, "HookFailed")
            failed = [task for task in self.tasks if task.status == "SyncFailed"]
            return _FAILED, _with_reasons("one or more synchronization tasks completed unsuccessfully", failed)
        pending = [task for task in self.tasks if not task.state and not self._is_left_alone(task)]
        if not pending:
            self._delete_hooks(hooks, "HookSucceeded")
            return _SUCCEEDED, "successfully synced (no more tasks)"
        return self._start(pending, hooks)

    def terminate(self) -> tuple[str, str]:
        """``Terminate``: hooks that run are deleted, everything else stays as it is."""
        for task in self.tasks:
            if not task.is_hook:
                continue
            live = read(self._client, task.item)
            if live is not None and task.state:
                remove_hook_finalizer(self._client, live)
            if task.state != _RUNNING:
                continue
            task.live = live
            self._look(task)
            if live is not None and (task.state == _RUNNING or "HookFailed" in manifests.delete_policies(task.item)):
                delete(self._client, live)
            if task.state == _RUNNING:
                task.set(task.status, _SUCCEEDED if live is None else _FAILED, "Terminated")
        return _FAILED, "Operation terminated"

    def _is_left_alone(self, task: Task) -> bool:
        """``filterOutOfSyncTasks``: with ApplyOutOfSyncOnly what is in sync is not touched, not even by a replace."""
        if not self._options.only_out_of_sync or task.is_hook or task.target is None or task.live is None:
            return False
        return not manifests.differs(task.live, task.target)

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
        both = (task.target, task.live)
        replace = self._options.replace or any(manifests.has_option(each, "Replace=true") for each in both)
        force = self._options.force or any(manifests.has_option(each, "Force=true") for each in both)
        server_side = self._options.server_side and not manifests.has_option(task.target, "ServerSideApply=false")
        server_side = server_side or manifests.has_option(task.target, "ServerSideApply=true")
        try:
            message = apply_object(
                self._client, task.target, task.live, replace=replace, force=force, server_side=server_side
            )
        except ApiError as error:
            task.set("SyncFailed", _FAILED, error.message)
        else:
            task.set("Synced", _RUNNING, message)
        task.live = None  # what was compared is older than what was just written

    def _prune(self, task: Task) -> None:
        if not self._options.prune:
            task.set("PruneSkipped", _SUCCEEDED, "ignored (requires pruning)")
            return
        if self._options.never_prunes or manifests.has_option(task.live, "Prune=false"):
            task.set("PruneSkipped", _SUCCEEDED, "ignored (no prune)")
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


def _is_going(item: Json | None) -> bool:
    return item is not None and "deletionTimestamp" in item["metadata"]


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
