"""Kubernetes' Jobs: one at a time under a name, a pod with the work in it, and what runs beside the work."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from hook.observation import diagnosis
from hook.observation.workloads import (
    JOB_COMPONENT,
    Container,
    ContainerKind,
    Job,
    JobPhase,
    JobRef,
    Pod,
    Termination,
)
from simulation.clocks import Actor, Clock, before
from simulation.scenario import JobPlan, JobState

_GRACE_SECONDS = {"none": 0.0, "native": 0.5, "native, deaf": 30.0}
"""How long a pod goes on after its work: terminationGracePeriodSeconds is 30 by default."""

_PHASES = {
    "running": JobPhase.RUNNING,
    "complete": JobPhase.COMPLETE,
    "failed": JobPhase.FAILED,
    "suspended": JobPhase.SUSPENDED,
}


class Work(Protocol):
    """What a Job does."""

    def begin(self) -> None:
        """Start."""

    def end(self) -> bool:
        """Come to its end; tell whether it succeeded."""

    @property
    def stands(self) -> bool:
        """The truth: whether what it did last is still there."""

    @property
    def is_known_to_stand(self) -> bool:
        """Whether its Job's own times tell so."""


class SimulatedJob:
    """A Job. `changed` is called when its state does."""

    def __init__(self, clock: Clock, ref: JobRef, plan: JobPlan, work: Work, changed: Callable[[], None]) -> None:
        self.ref, self.plan, self.work = ref, plan, work
        self._clock, self._changed = clock, changed
        is_kept = plan.sidecar == "plain" and plan.state in {"complete", "failed"}
        self.state: JobState = "running" if is_kept else plan.state
        self._number = 0
        self._created, self._ended = before(3610), before(3600)
        self._work_began = None if plan.state == "suspended" else before(3605)
        self._exit: int | None = {"complete": 0, "failed": 1}.get(plan.state)
        if plan.state == "running":
            self.make()
        if plan.state == "suspended" and plan.resumes is not None:
            clock.at(plan.resumes, self._resume)
        if plan.vanishes is not None:
            clock.at(plan.vanishes, self._vanish)

    @property
    def works(self) -> bool:
        """The truth: whether it has something to do still. One whose work is done, but that a sidecar keeps, has not."""
        return self.state == "running" and self._exit is None

    @property
    def has_worked(self) -> bool:
        """The truth: whether its work has ended with success."""
        return self.state in {"running", "complete"} and self._exit == 0

    @property
    def has_ended(self) -> bool:
        """Whether Kubernetes says so."""
        return self.state in {"complete", "failed"}

    def make(self) -> None:
        """Create it; what has its name is deleted before."""
        self.state = "running"
        self._number += 1
        self._created, self._work_began, self._exit = self._clock.now, None, None
        self._clock.after(self.plan.starts, partial(self._begin, self._number))

    def _begin(self, number: int) -> None:
        if number == self._number:
            self._work_began = self._clock.now
            self.work.begin()
            self._clock.after(self.plan.seconds, partial(self._end, number))

    def _end(self, number: int) -> None:
        if number != self._number:
            return  # it was replaced
        self._ended = self._clock.now
        self._exit = 0 if self.work.end() else 1
        if self.plan.sidecar != "plain":
            self._clock.after(_GRACE_SECONDS[self.plan.sidecar], partial(self._finish, number))

    def _finish(self, number: int) -> None:
        if number == self._number:
            self.state = "failed" if self._exit else "complete"
            self._changed()

    def _resume(self) -> None:
        if self.state == "suspended":
            self.make()
            self._changed()

    def _vanish(self) -> None:
        if self.has_ended:
            self.state = "absent"
            self._changed()

    # --- what is seen of it ---------------------------------------------------------------------------------------

    def look(self, *, makes_schema: bool, with_pods_of_complete: bool) -> Job | None:
        """Return what the API has of it; as in the adapter, the pods of a complete one are listed only where asked for."""
        if self.state == "absent":
            return None
        listed = self.state in {"running", "failed"} or (self.state == "complete" and with_pods_of_complete)
        created = self._clock.written(Actor.API, self._created)
        return Job(
            self.ref,
            uid=f"{self.ref.name}-{self._number}",
            phase=_PHASES[self.state],
            created_at=created,
            started_at=None if self.state == "suspended" else created,
            ended_at=self._clock.written(Actor.API, self._ended) if self.has_ended else None,
            message="BackoffLimitExceeded" if self.state == "failed" else "",
            makes_schema=makes_schema,
            pods=(self._pod(),) if listed and not (self.has_ended and self.plan.pods_are_gone) else (),
        )

    def _pod(self) -> Pod:
        name = f"{self.ref.name}-{self._number}"
        own, beside = self._container(), self._beside()
        pod = Pod(
            self.ref.namespace,
            name,
            f"uid-of-{name}",
            JOB_COMPONENT,
            created_at=self._clock.written(Actor.API, self._created),
            phase={"complete": "Succeeded", "failed": "Failed"}.get(self.state, "Running"),
            server=own.name,
            containers=(beside, own) if beside else (own,),
        )
        return replace(pod, finding=diagnosis.of_pod(pod, self._clock.written(Actor.API)))

    def _container(self) -> Container:
        if self._work_began is None:
            return Container("work", waiting="ContainerCreating")
        began = self._clock.written(Actor.NODES, self._work_began)
        if self._exit is None:
            return Container("work", running_since=began)
        why = "Error" if self._exit else "Completed"
        ended = self._clock.written(Actor.NODES, self._ended)
        return Container("work", ended=Termination(self._exit, why, "", began, ended))

    def _beside(self) -> Container | None:
        if self.plan.sidecar == "none" or self._work_began is None:
            return None
        began = self._clock.written(Actor.NODES, self._work_began)
        kind = ContainerKind.MAIN if self.plan.sidecar == "plain" else ContainerKind.SIDECAR
        if self.has_ended:
            ended = Termination(0, "Completed", "", began, self._clock.written(Actor.NODES, self._ended))
            return Container("istio-proxy", kind, ended=ended)
        return Container("istio-proxy", kind, running_since=began)
