"""All that one turn saw: frozen values, no I/O. A thing that could not be seen is an `Unknown` with its finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hook.observation.versions import Schema
from hook.observation.workloads import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hook.observation.applications import Application, ApplicationRef
    from hook.observation.findings import Finding, Unknown
    from hook.observation.migrations import Migration
    from hook.observation.reasons import Reason
    from hook.observation.versions import Store
    from hook.observation.workloads import JobRef, JobsSeen, Member, Pod


@dataclass(frozen=True)
class Frontend:
    """The frontend, or a proxy before it, answered. Neither finding: it proved that Temporal works.

    `trouble` says why Temporal does not work, or that nothing at all was proved. `unproved` says what it would not let the
    gate prove though it serves.
    """

    trouble: Finding | None = None
    unproved: Finding | None = None


@dataclass(frozen=True)
class Run:
    """This run of the gate: its id, and since when it counts (its Job's creation, by the API server's clock).

    `owner` is the Application whose sync made the Job by its tracking annotation, ``name`` or ``namespace_name``; None
    without one. `job` is None outside of a Job.
    """

    id: str
    started_at: datetime
    owner: str | None = None
    job: JobRef | None = None


@dataclass(frozen=True)
class Observation:
    """All that one turn saw. None stands for what is not configured; `since` is when each finding was first seen.

    `gate` is the gate's own Application, looked at only by a run that may reopen it, `gate_ref` its name; `guarded` that of
    a guard, and `guarded_at_first` the revisions that it had been compared with when this process first saw it. `jobs` are
    those of the runtime and of what is downstream, `members` the servers by their rows, looked at after a restart.
    `cluster_now` is the API server's time, `restarts_before` when, by it, this process began or saw the schemas become right
    or another database take their place. `right_after` is how many migrations this run had asked for when it last saw them
    right, `absent_at` when, by the API server's time, it last saw the default store without a schema. `refused` holds the
    findings of acts that were refused when they were last tried. `first_seen` is when this process first saw each server
    that runs, by the pod's uid and the server's start.
    """

    now: datetime
    run: Run | Unknown
    migration: Migration | Unknown
    stores: Mapping[Store, Schema | Unknown]
    application: Application | Unknown | None = None
    runtime: Runtime | Unknown | None = None
    frontend: Frontend | Unknown | None = None
    downstream: Mapping[ApplicationRef, Application | Unknown] = field(default_factory=dict)
    gate: Application | Unknown | None = None
    guarded: Application | Unknown | None = None
    guarded_at_first: tuple[str, ...] = ()
    jobs: JobsSeen = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    cluster_now: datetime | None = None
    restarts_before: datetime | None = None
    right_after: int | None = None
    absent_at: datetime | None = None
    gate_ref: ApplicationRef | None = None
    refused: tuple[Finding, ...] = ()
    since: Mapping[tuple[Reason, str], datetime] = field(default_factory=dict)
    first_seen: Mapping[tuple[str, datetime], datetime] = field(default_factory=dict)

    @property
    def run_started_at(self) -> datetime:
        """Return since when the run counts; now, where it cannot be seen."""
        return self.run.started_at if isinstance(self.run, Run) else self.now

    @property
    def made_before(self) -> datetime:
        """Return the moment before which a pod must have been made to be restarted, by the API server's clock.

        A pod that a restart makes is younger, so that each is restarted once, whatever other clocks say.
        """
        return self.restarts_before or self.run_started_at

    @property
    def api_time(self) -> datetime:
        """Return the API server's time, this program's own where none has answered."""
        return self.cluster_now or self.now

    @property
    def schemas(self) -> tuple[Schema, ...]:
        """Return the schemas of the stores that could be seen."""
        return tuple(schema for schema in self.stores.values() if isinstance(schema, Schema))

    @property
    def right_since(self) -> datetime | None:
        """Return since when all schemas are what they are; a time to come, by a clock that is ahead, tells nothing."""
        return max((at for schema in self.schemas if (at := schema.since) and at <= self.now), default=None)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Return Temporal's pods, none where they could not be seen."""
        return self.runtime.pods if isinstance(self.runtime, Runtime) else ()
