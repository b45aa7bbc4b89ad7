"""Argo CD: an Application and its Job."""

from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from hook.observation.applications import Application, ApplicationRef, ManagedJob, Operation, OperationPhase
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.reasons import Reason
from hook.observation.workloads import Job, JobPhase, JobRef
from simulation.clocks import Clock, before
from simulation.scenario import Owned


class Work(Protocol):
    """What an Application's Job does."""

    def begin(self) -> None:
        """Start."""

    def end(self) -> bool:
        """Come to its end; tell whether it succeeded."""

    @property
    def is_worth_keeping(self) -> bool:
        """The truth: whether what it did last still stands."""


class OwnedApplication:
    """An Application and its one Job, a plain one or a hook, with Argo CD's part of it."""

    def __init__(self, clock: Clock, ref: ApplicationRef, owned: Owned, work: Work) -> None:
        self._clock, self._ref, self._owned, self._work = clock, ref, owned, work
        self._version = 1
        self._target = "new"
        self._applied: str | None = None if owned.state == "never ran" and owned.plain else "new"
        self._job: str | None = None if owned.state == "never ran" else "Healthy"
        self._job_number = 0
        self._job_started_at = before(3610)
        self.violations: list[str] = []
        self.job = JobRef("temporal", f"{ref.name}-job")
        self._operation: Operation | None = None
        self._retries, self._lost, self._follows = 0, owned.lost, owned.follows
        self.written: list[int] = []
        """The attempts that the gate wrote and that were not lost."""
        self.attempts_seen = 0
        """What the gate's process remembers of its attempts, as the adapter does; a new process knows nothing."""
        self.foreign = 0
        """How many operations of others there were since the run began."""
        self.synced_while_ahead = False
        self._begin(owned.state)
        self._seen: dict[str, str] = {}
        self._compared_at = before(60)
        self._refresh_requested = False
        self._note_status()
        if owned.state == "moved on":  # a newer revision, which Argo CD has not compared yet
            self._target = "newer"
        for seconds in owned.foreign:
            clock.at(seconds, self.sync_by_others)

    def _begin(self, state: str) -> None:
        phase = OperationPhase.FAILED if state in {"failed", "moved on"} else OperationPhase.SUCCEEDED
        if state == "ahead":
            self._target = "newer"
        if state in {"failed", "moved on"} and self._owned.plain:
            phase, self._job = OperationPhase.SUCCEEDED, "Degraded"
        if state != "never ran":
            self._operation = Operation(phase, before(3610), before(3600), revisions=("new",))
        if state == "running":
            self._job = None
            self._take_up()

    @property
    def is_ahead(self) -> bool:
        """The truth: whether its own step in the rollout is still to come."""
        return self._applied != self._target

    def look(self) -> Application:
        """What the gate sees of it."""
        if self._owned.state == "missing":
            raise FindingError(Finding(Reason.APPLICATION_MISSING, f"Application {self._ref}"))
        operation = self._operation
        if operation is not None and operation.phase is not OperationPhase.REQUESTED:
            self.attempts_seen = max(self.attempts_seen, operation.attempt or 0)
        return Application(
            ref=self._ref,
            uid=str(self._ref),
            resource_version=str(self._version),
            sync=self._seen["sync"],
            health=self._seen["health"],
            revisions=(self._seen["revision"],),
            compared_at=self._compared_at,
            refresh_requested=self._refresh_requested,
            operation=self._operation,
            jobs=(ManagedJob(self.job, synced=self._job is not None),) if self._owned.plain else (),
            hook_jobs=(self.job,) if self._operation is not None and not self._owned.plain else (),
            attempts_seen=self.attempts_seen,
        )

    def look_at_jobs(self, *, may_be_read: bool) -> dict[JobRef, Job | Unknown | None]:
        """What the gate sees of its Job."""
        if not may_be_read:
            return {self.job: Unknown(Finding(Reason.API_FORBIDDEN, f"Job {self.job}"))}
        if self._job is None:
            return {self.job: None}
        phase = {"Progressing": JobPhase.RUNNING, "Healthy": JobPhase.COMPLETE, "Degraded": JobPhase.FAILED}[self._job]
        began = self._job_started_at.replace(microsecond=0)
        return {self.job: Job(self.job, f"uid-{self._job_number}", phase, began, began, makes_schema=True)}

    def sync(self, application: Application, attempt: int, jobs: tuple[JobRef, ...]) -> bool:
        """Write an operation for the gate; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        if self._lost:
            self._lost -= 1
            self.sync_by_others()
            return True
        self.written.append(attempt)
        self.synced_while_ahead |= self.is_ahead
        if jobs and self._job == "Progressing":
            self.violations.append(f"{self._ref}: a Job that runs was replaced")
        if jobs and self._job == "Healthy" and self._work.is_worth_keeping:
            self.violations.append(f"{self._ref}: a Job that succeeded was replaced")
        self._request(attempt, selective=bool(jobs))
        return True

    def refresh(self, application: Application) -> bool:
        """Ask for a comparison; False when somebody was faster."""
        if application.resource_version != str(self._version):
            return False
        self._refresh_requested = True
        self._changed()
        return True

    def sync_by_others(self) -> None:
        """A person or RollingSync syncs it, unless an operation is on its way."""
        if self._operation is None or self._operation.phase.ended:
            self.foreign += 1
            self._request(None, selective=False)

    def _request(self, attempt: int | None, *, selective: bool) -> None:
        self._operation = Operation(OperationPhase.REQUESTED, revisions=(self._target,), attempt=attempt)
        self._retries = self._owned.retries if attempt is None else 0
        self._changed()
        self._clock.after(0.3, partial(self._take_up, selective=selective))

    def _take_up(self, *, selective: bool = False) -> None:
        """Begin the requested operation, or be blocked by the sync window."""
        if not self._clock.is_past(self._owned.window_opens):
            self._move(OperationPhase.BLOCKED, started_at=self._clock.whole_second)
            self._clock.at(self._owned.window_opens, partial(self._take_up, selective=selective))
            return
        self._move(OperationPhase.RUNNING, started_at=self._clock.whole_second, finished_at=None)
        if not self._owned.plain:
            self._start_job()
            return
        if selective or self._job is None:  # a sync leaves a finished plain Job as it is
            self._start_job()
        self._clock.after(1, partial(self._end_operation, OperationPhase.SUCCEEDED))

    def _start_job(self) -> None:
        self._job, self._job_number = "Progressing", self._job_number + 1
        self._job_started_at = self._clock.now
        self._work.begin()
        self._clock.after(self._owned.seconds, partial(self._end_job, self._job_number))

    def _end_job(self, number: int) -> None:
        if number != self._job_number:
            return  # it was replaced
        succeeded = self._work.end()
        self._job = "Healthy" if succeeded else "Degraded"
        if self._owned.plain:
            self._changed()
        elif not succeeded and self._retries:
            self._retries -= 1
            self._move(OperationPhase.PAUSING, finished_at=self._clock.whole_second)
            self._clock.after(5, self._take_up)
        else:
            self._end_operation(OperationPhase.SUCCEEDED if succeeded else OperationPhase.FAILED)

    def _end_operation(self, phase: OperationPhase) -> None:
        self._applied = self._target
        self._move(phase, finished_at=self._clock.whole_second, message="as its Job ended")
        if self._follows:
            self._follows -= 1
            self._clock.after(0.5, self.sync_by_others)

    def _move(self, phase: OperationPhase, **changes: Any) -> None:
        before = self._operation or Operation(phase, revisions=(self._target,))
        self._operation = replace(before, phase=phase, **changes)
        self._changed()

    def _changed(self) -> None:
        self._version += 1
        self._clock.after(self._owned.lag, self._compare)

    def _compare(self) -> None:
        self._note_status()
        self._compared_at = self._clock.whole_second
        self._refresh_requested = False
        self._version += 1

    def _note_status(self) -> None:
        health = "Healthy" if not self._owned.plain else self._job or "Missing"
        synced = self._applied == self._target
        self._seen = {"sync": "Synced" if synced else "OutOfSync", "health": health, "revision": self._target}
