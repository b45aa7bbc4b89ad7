"""Argo CD: an Application, its Jobs, its operations and its status."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hook.adapters.argocd import ATTEMPT_INFO
from hook.observation.applications import (
    Application,
    ApplicationRef,
    ManagedJob,
    Operation,
    OperationPhase,
    SyncPolicy,
)
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from simulation.clocks import RUN_STARTED, Actor, Clock, before, moment
from simulation.jobs import SimulatedJob
from simulation.scenario import Owned

_COMPARES_EVERY = 120.0
"""``timeout.reconciliation`` of argocd-cm: a commit is noticed then at the latest, if nothing else asks for a comparison."""

_HEALS_AFTER = 5.0
"""``--self-heal-timeout-seconds`` of the application controller."""


class SimulatedApplication:
    """An Application. `violations` is where it notes what the gate must not write."""

    def __init__(
        self, clock: Clock, ref: ApplicationRef, owned: Owned, violations: list[str], *, comes_after_temporal: bool
    ) -> None:
        self._clock, self._ref, self._owned, self._violations = clock, ref, owned, violations
        self._comes_after_temporal = comes_after_temporal
        self.jobs: Sequence[SimulatedJob] = ()
        self.jobs_were_seen = False
        """Whether the gate could see them in this turn."""
        self._sync: Mapping[str, Any] = {"revision": "commit 0"}
        self._version = 1
        self._commits = [moment(-86_400)]
        self._operation: Operation | None = None
        self._retries, self._lost, self._follows = 0, owned.lost, owned.follows
        self.written: list[int] = []
        """The attempts that the gate wrote and that were not lost."""
        self._attempts_seen = 0
        self._asked_at = before(86_400)
        self.foreign = 0
        """How many operations of others there were since the run began."""

    def begin(self, jobs: Sequence[SimulatedJob]) -> None:
        """Begin with these Jobs, as they are."""
        self.jobs = jobs
        owned, phase = self._owned, OperationPhase.SUCCEEDED
        self._applied = None if owned.sync == "never" and self._plain else "commit 0"
        hooks = {job.state for job in self._hooks}
        if hooks & {"running", "suspended"}:
            phase = OperationPhase.RUNNING
        elif "failed" in hooks:
            phase = OperationPhase.FAILED
        if owned.sync != "never":
            self._operation = Operation(
                phase,
                self._clock.written(Actor.ARGO_CD, before(3610)),
                self._clock.written(Actor.ARGO_CD, before(3600)) if phase.ended else None,
                revisions=("commit 0",),
            )
        if owned.sync == "ahead":
            self._commits.append(before(600))
        self._refresh_requested = False
        self._compared_at = self._clock.written(Actor.ARGO_CD, before(60))
        self._seen = self._status()
        if owned.sync == "moved on":
            self._commits.append(before(30))
        for seconds in owned.commits:
            self._clock.at(seconds, self._commit)
        for seconds in owned.foreign:
            self._clock.at(seconds, self.sync_by_others)
        if owned.automated != "no":
            self._clock.at(0, self._sync_by_itself)

    @property
    def _plain(self) -> list[SimulatedJob]:
        return [job for job in self.jobs if job.plan.plain]

    @property
    def _hooks(self) -> list[SimulatedJob]:
        return [job for job in self.jobs if not job.plan.plain]

    @property
    def _target(self) -> str:
        return f"commit {len(self._commits) - 1}"

    @property
    def is_ahead(self) -> bool:
        """The truth: whether its own step in the rollout is still to come."""
        return self._applied != self._target

    def _commit(self) -> None:
        self._commits.append(self._clock.now)
        self._clock.after(_COMPARES_EVERY, self._compare)

    # --- what is seen of it, and done to it ------------------------------------------------------------------------

    def look(self) -> Application:
        """What the gate sees of it."""
        if self._owned.sync == "missing":
            raise FindingError(Finding(Reason.APPLICATION_MISSING, f"Application {self._ref}"))
        operation = self._operation
        if operation is not None and operation.phase is not OperationPhase.REQUESTED:
            self._attempts_seen = max(self._attempts_seen, operation.attempt or 0)
        running = operation is not None and operation.phase is OperationPhase.RUNNING
        waits_for = next((job.ref for job in self._hooks if running and not job.has_ended), None)
        return Application(
            ref=self._ref,
            uid=str(self._ref),
            resource_version=str(self._version),
            sync=self._seen["sync"],
            health=self._seen["health"],
            revisions=(self._seen["revision"],),
            compared_at=self._compared_at,
            refresh_requested=self._refresh_requested,
            operation=replace(operation, waits_for=waits_for) if operation and waits_for else operation,
            jobs=tuple(ManagedJob(job.ref, synced=job.state != "absent") for job in self._plain),
            hook_jobs=tuple(job.ref for job in self._hooks) if operation is not None else (),
            attempts_seen=self._attempts_seen,
            asked_at=self._asked_at,
            policy=SyncPolicy(self._owned.options, self._owned.prune, self._owned.automated != "no"),
        )

    def forget(self) -> None:
        """Forget what the gate's process remembered, as the adapter does: another process knows nothing of it."""
        self._attempts_seen, self._asked_at = 0, before(86_400)

    def refresh(self, application: Application) -> bool:
        """Ask for a comparison; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        self._refresh_requested = True
        self._asked_at = self._clock.read(Actor.GATE)
        self._changed()
        return True

    def write(self, application: Application, operation: Mapping[str, Any]) -> bool:
        """Write an operation for the gate; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        self._watch(operation["sync"])
        if self._lost:  # written while another begins, it is accepted and silently lost (seen)
            self._lost -= 1
            self.sync_by_others()
            return True
        info = {entry["name"]: entry["value"] for entry in operation["info"]}
        self.written.append(int(info[ATTEMPT_INFO]))
        self._request(operation["sync"], self.written[-1])
        return True

    def _watch(self, sync: Mapping[str, Any]) -> None:
        """Note what the gate must not write."""
        options, named = sync.get("syncOptions", []), _named(sync)
        kept = [one for one in self._owned.options if not (named and one.startswith("Replace="))]
        if kept + ["Replace=true"] * bool(named) != options:
            self._violations.append(f"{self._ref}: an operation has the options {options}, not {kept}")
        if sync["prune"] != (self._owned.prune and not named):
            self._violations.append(f"{self._ref}: an operation prunes: {sync['prune']}")
        if sync["revision"] != self._seen["revision"]:
            self._violations.append(
                f"{self._ref}: an operation is of {sync['revision']}, which is not the one compared"
            )
        could_be_known = self._commits[-1] <= RUN_STARTED or self._seen["revision"] == self._target
        if self._comes_after_temporal and self.is_ahead and could_be_known:
            self._violations.append(f"{self._ref} was synced though its step was still ahead")
        for job in self.jobs:
            if job.ref.name in named and job.works:
                self._violations.append(f"{self._ref}: {job.ref} was replaced though it runs")
            when_is_known = self.jobs_were_seen and not job.plan.pods_are_gone
            # Which of several that succeeded makes the store that is not right, nobody can tell.
            when_is_known &= self._comes_after_temporal or not all(one.has_worked for one in self.jobs)
            if job.ref.name in named and job.has_worked and job.work.is_known_to_stand and when_is_known:
                self._violations.append(f"{self._ref}: {job.ref} was replaced though it has succeeded")

    # --- operations ------------------------------------------------------------------------------------------------

    def sync_by_others(self, **sync: Any) -> None:
        """A person, RollingSync or auto-sync syncs it, unless an operation is on its way."""
        if self._operation is None or self._operation.phase.ended:
            self.foreign += 1
            self._request({"revision": self._target, **sync}, None)

    def _sync_by_itself(self) -> None:
        """Auto-sync (controller/appcontroller.go of 3.x: autoSync, alreadyAttemptedSync, shouldSelfHeal).

        Only what is OutOfSync; a commit once, and not again where that failed; with selfHeal what is missing of one that
        was synced, by a selective operation without Replace.
        """
        operation = self._operation
        if self._owned.automated == "no" or self._seen["sync"] != "OutOfSync":
            return
        if operation is not None and not operation.phase.ended:
            return
        if operation is None or operation.revisions != (self._seen["revision"],):
            self.sync_by_others(revision=self._seen["revision"])
        elif operation.phase is OperationPhase.SUCCEEDED and self._owned.automated == "self-heal":
            absent = [{"name": job.ref.name} for job in self._plain if job.state == "absent"]
            self._clock.after(_HEALS_AFTER, partial(self._heal, absent, operation))

    def _heal(self, absent: Sequence[Mapping[str, str]], after: Operation) -> None:
        if self._operation is after:
            self.sync_by_others(revision=self._seen["revision"], resources=absent)

    def _request(self, sync: Mapping[str, Any], attempt: int | None) -> None:
        self._operation = Operation(OperationPhase.REQUESTED, revisions=(sync["revision"],), attempt=attempt)
        self._retries = self._owned.retries if attempt is None else 0
        self._changed()
        self._clock.after(0.3, partial(self._take_up, sync))

    def _take_up(self, sync: Mapping[str, Any]) -> None:
        """Begin the requested operation, or be blocked by the sync window."""
        now = self._clock.written(Actor.ARGO_CD)
        if not self._clock.is_past(self._owned.window_opens):
            self._move(OperationPhase.BLOCKED, started_at=now)
            self._clock.at(self._owned.window_opens, partial(self._take_up, sync))
            return
        self._sync = sync
        self._move(OperationPhase.RUNNING, started_at=now, finished_at=None)
        if named := _named(sync):
            self._clock.after(1, partial(self._end_operation, self._apply_selected(named, sync)))
            return
        for job in self.jobs:  # a sync leaves a finished plain Job as it is (seen), and makes each hook anew
            if not job.plan.plain or job.state == "absent":
                job.make()
        if not self._hooks:
            self._clock.after(1, partial(self._end_operation, OperationPhase.SUCCEEDED))

    def _apply_selected(self, named: set[str], sync: Mapping[str, Any]) -> OperationPhase:
        """Apply the named Jobs alone: no hook runs. A Job is replaced only by Replace and force together (seen)."""
        replaces = "Replace=true" in sync.get("syncOptions", [])
        forced = sync.get("syncStrategy", {}).get("apply", {}).get("force", False)
        for job in self._plain:
            if job.ref.name not in named:
                continue
            if job.state != "absent" and replaces and not forced:
                return OperationPhase.FAILED  # field is immutable
            if job.state == "absent" or replaces:
                job.make()
        return OperationPhase.SUCCEEDED

    def job_changed(self) -> None:
        """Hear that a Job has come to its end, is there no more, or runs again."""
        self._changed()
        operation = self._operation
        if operation is None or operation.phase is not OperationPhase.RUNNING or _named(self._sync):
            return
        if not self._hooks or not all(job.has_ended for job in self._hooks):
            return
        if all(job.state == "complete" for job in self._hooks):
            self._end_operation(OperationPhase.SUCCEEDED)
        elif self._retries:
            self._retries -= 1
            self._move(OperationPhase.PAUSING, finished_at=self._clock.written(Actor.ARGO_CD))
            self._clock.after(5, partial(self._take_up, self._sync))
        else:
            self._end_operation(OperationPhase.FAILED)

    def _end_operation(self, phase: OperationPhase) -> None:
        self._applied = self._sync["revision"]
        self._move(phase, finished_at=self._clock.written(Actor.ARGO_CD), message="as its Jobs ended")
        if self._follows:
            self._follows -= 1
            self._clock.after(0.5, self.sync_by_others)

    def _move(self, phase: OperationPhase, **changes: Any) -> None:
        assert self._operation is not None
        self._operation = replace(self._operation, phase=phase, **changes)
        self._changed()

    # --- its status ------------------------------------------------------------------------------------------------

    def _changed(self) -> None:
        self._version += 1
        self._clock.after(self._owned.lag, self._compare)

    def _compare(self) -> None:
        self._seen = self._status()
        self._compared_at = self._clock.written(Actor.ARGO_CD)
        self._refresh_requested = False
        self._version += 1
        self._sync_by_itself()

    def _status(self) -> dict[str, str]:
        """Hooks count for nothing; a missing resource is OutOfSync, and health Missing only where all are (since 3.4.0)."""
        states = {job.state for job in self._plain}
        synced = not self.is_ahead and "absent" not in states
        words = {"running": "Progressing", "suspended": "Suspended", "failed": "Degraded"}
        health = next((word for state, word in words.items() if state in states), "Healthy")
        health = "Missing" if states == {"absent"} else health
        return {"sync": "Synced" if synced else "OutOfSync", "health": health, "revision": self._target}


def _named(sync: Mapping[str, Any]) -> set[str]:
    return {one["name"] for one in sync.get("resources", ())}
