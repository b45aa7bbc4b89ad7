"""All that one turn saw: frozen values, no I/O. A thing that could not be seen is an `Unknown` with its finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hook.observation.versions import Schema
from hook.observation.workloads import Pod, Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hook.observation.applications import Application, ApplicationRef
    from hook.observation.findings import Finding, Unknown
    from hook.observation.migrations import Migration
    from hook.observation.reasons import Reason
    from hook.observation.versions import Store


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
    """This run of the gate: its id, and since when it counts (its Job's creation).

    `owner` is the Application whose sync made the Job, ``name`` or ``namespace_name``; None outside of Argo CD.
    """

    id: str
    started_at: datetime
    owner: str | None = None


@dataclass(frozen=True)
class Observation:
    """All that one turn saw. None stands for what is not configured; `since` is when each finding was first seen.

    `gate` is the gate's own Application, looked at only by a run that may reopen it. `refused` holds the findings of acts
    that were refused when they were last tried.
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
    migration_pods: tuple[Pod, ...] = ()
    refused: tuple[Finding, ...] = ()
    since: Mapping[tuple[Reason, str], datetime] = field(default_factory=dict)

    @property
    def run_started_at(self) -> datetime:
        """Return since when the run counts; now, where it cannot be seen."""
        return self.run.started_at if isinstance(self.run, Run) else self.now

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
