"""The verification list that a person would tick off, drawn from one observation.

Pure. `check` shows it, `run` logs its changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from hook.decision import guards, outcomes
from hook.decision.stage import Stage, is_asked_for, stage
from hook.observation import applications
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Frontend, Observation
from hook.observation.reasons import Reason, Tolerance
from hook.observation.workloads import Job, Pod, PodState, Runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hook.decision.policy import Policy
    from hook.observation.applications import Application
    from hook.observation.versions import Schema


class Mark(StrEnum):
    """How an item stands."""

    OK = "ok"
    WAITING = "waiting"
    WRONG = "wrong"
    UNSEEN = "unseen"
    NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Item:
    """One thing to tick off: what was seen of it, what is wanted, and what to do where it is not right."""

    subject: str
    mark: Mark
    seen: str
    wanted: str = ""
    remedy: str = ""
    cause: str = field(default="", compare=False)
    """What is wrong apart from where: things of one cause are shown as one, by `by_cause`."""


_PATH = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) /\S*: ")
"""What of an API server's answer is not its cause, but what was asked."""

_UNDER_WAY = {MigrationPhase.RUNNING, MigrationPhase.UNCOMPARED}


def by_cause(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items with those of one cause as one, in the place of its first."""
    groups: dict[object, list[Item]] = {}
    for item in items:
        groups.setdefault((item.mark, item.cause) if item.cause else item.subject, []).append(item)
    return tuple(_as_one(group) for group in groups.values())


def _as_one(group: list[Item]) -> Item:
    first, *more = group
    if not more:
        return first
    remedies = dict.fromkeys(item.remedy for item in group if item.remedy)
    return Item(", ".join(item.subject for item in group), first.mark, first.cause, "", " ".join(remedies), first.cause)


def items(observation: Observation, policy: Policy) -> tuple[Item, ...]:
    """Return the list, in the order in which things have to become right.

    What only follows from something before it (a crash without a schema, a bootstrap without Temporal) has no remedy of
    its own.
    """
    return tuple(_items(observation, policy))


def _items(observation: Observation, policy: Policy) -> Iterator[Item]:
    asked = is_asked_for(observation, policy)
    if observation.stores:
        yield _migration(observation.migration)
    if isinstance(observation.migration, Migration) and observation.migration.hang is not None:
        yield _troubled("migration's Job", observation.migration.hang)
    under_way = isinstance(observation.migration, Migration) and observation.migration.phase in _UNDER_WAY
    for store, schema in observation.stores.items():
        item = _schema(f"schema of {store}", schema, policy)
        # In the middle of a migration what is between two versions is no fault, and not judged (the planner's rule, too).
        being_changed = under_way and item.mark is Mark.WRONG
        yield Item(item.subject, Mark.WAITING, "being migrated", item.wanted) if being_changed else item
    if observation.application is not None:
        guard = guards.holds(observation.application, observation)
        yield _runtime_application(observation.application, stage(observation, policy), guard)
    if observation.runtime is not None:
        known = policy.expected.keys() >= observation.stores.keys()
        schemas_are_right = known and all(policy.is_right(schema) for schema in observation.stores.values())
        for item in _pods(observation.runtime, asked=asked):
            yield item if schemas_are_right else replace(item, remedy="")
    if observation.frontend is not None:
        yield _frontend(observation, asked=asked)
    for ref, application in observation.downstream.items():
        item = _downstream(f"Application {ref}", application, observation, policy, asked=asked)
        yield item if _answers(observation.frontend) else replace(item, remedy="")
    for finding in observation.refused:
        yield _troubled("right to act", finding)


def _troubled(subject: str, finding: Finding, mark: Mark = Mark.WRONG) -> Item:
    seen = f"{finding.reason}: {finding.detail or finding.about}"
    return Item(subject, mark, seen, remedy=finding.remedy, cause=_cause(finding))


def _cause(finding: Finding) -> str:
    """Return the finding without the place at which it was met."""
    return _PATH.sub("", f"{finding.reason}: {finding.detail or finding.about}")


def _unseen(subject: str, unknown: Unknown) -> Item:
    only_a_person_can_mend_it = unknown.finding.reason.tolerance is Tolerance.MOMENT
    return _troubled(subject, unknown.finding, Mark.WRONG if only_a_person_can_mend_it else Mark.UNSEEN)


def _answers(frontend: Frontend | Unknown | None) -> bool:
    return isinstance(frontend, Frontend) and frontend.trouble is None


def _migration(migration: Migration | Unknown) -> Item:
    if isinstance(migration, Unknown):
        return _unseen("migrations", migration)
    said = f" ({migration.message})" if migration.message else ""
    mark = {MigrationPhase.IDLE: Mark.OK, MigrationPhase.SUCCEEDED: Mark.OK, MigrationPhase.FAILED: Mark.WRONG}.get(
        migration.phase, Mark.WAITING
    )
    return Item("migrations", mark, f"{migration.owner}: {migration.phase}{said}", "none running")


def _schema(subject: str, schema: Schema | Unknown, policy: Policy) -> Item:
    if isinstance(schema, Unknown):
        return _unseen(subject, schema)
    at = f"at {schema.version}" if schema.version else "empty"
    if schema.store not in policy.expected:
        return Item(subject, Mark.UNSEEN, at, "unknown: set temporal.version")
    release = f" for Temporal {policy.release}" if policy.release else ""
    wanted = f"{policy.expected[schema.store]}{release}"
    mark = Mark.OK if policy.is_right(schema) else Mark.WRONG
    return Item(subject, mark, at, wanted)


def _runtime_application(application: Application | Unknown, at: Stage, guard: Job | None) -> Item:
    subject = "runtime's Application"
    if at is Stage.AHEAD and guard is not None:
        return Item(subject, Mark.NOT_ASKED, f"its guard holds it: Job {guard.ref} is {guard.phase}")
    if at is Stage.AHEAD:
        seen = "does not exist" if applications.is_missing(application) else "not yet synced to its target"
        return Item(subject, Mark.NOT_ASKED, f"{seen}: its step is still ahead")
    if isinstance(application, Unknown):
        return _unseen(subject, application)
    drifts = f" ({at.value})" if at is Stage.DRIFTING else ""
    return Item(
        subject, Mark.OK, f"{application.ref}: {applications.describe(application)}{drifts}", "reached by the rollout"
    )


def _pods(runtime: Runtime | Unknown, *, asked: bool) -> Iterator[Item]:
    if isinstance(runtime, Unknown):
        yield _unseen("pods", runtime)
        return
    if not runtime.is_found:
        mark = Mark.WRONG if asked else Mark.NOT_ASKED
        seen = f"{Reason.RUNTIME_PODS_NOT_FOUND}: nothing matches {runtime.selected_by}"
        yield Item("pods", mark, seen, "found by the selector", Reason.RUNTIME_PODS_NOT_FOUND.remedy)
    if len(runtime.instances) > 1:
        seen = f"{Reason.RUNTIME_INSTANCES_MIXED}: {', '.join(runtime.instances)}"
        yield Item("pods", Mark.WRONG, seen, "of one instance", Reason.RUNTIME_INSTANCES_MIXED.remedy)
    components = sorted({*runtime.wanted, *(pod.component for pod in runtime.pods)})
    for component in components:
        pods = [pod for pod in runtime.pods if pod.component == component]
        running = [pod for pod in pods if pod.state is PodState.RUNNING and pod.ready]
        wanted = runtime.wanted.get(component, len(pods))
        findings = [pod.finding for pod in pods if pod.finding]
        causes = {_cause(finding) for finding in findings}
        seen = f"{len(running)} running" + "".join(f", {_describe(pod)}" for pod in pods if pod not in running)
        right = len(running) >= wanted
        mark = Mark.OK if right else Mark.WRONG if asked else Mark.NOT_ASKED
        remedy = findings[0].remedy if findings else ""
        cause = causes.pop() if len(causes) == 1 and not right else ""
        yield Item(f"pods of {component}", mark, seen, f"{wanted} running", remedy, cause)


def _describe(pod: Pod) -> str:
    trouble = f" ({pod.finding.reason}: {pod.finding.detail})" if pod.finding else ""
    return f"{pod.name} {pod.state}, {pod.restarts} restarts{trouble}"


def _frontend(observation: Observation, *, asked: bool) -> Item:
    frontend, wanted = observation.frontend, "SERVING, reads its database, reaches history"
    if not asked:
        return Item("frontend", Mark.NOT_ASKED, "not asked for now", wanted)
    if isinstance(frontend, Unknown):
        return _unseen("frontend", frontend)
    finding = (frontend.trouble or frontend.unproved) if frontend is not None else None
    if finding is not None:
        refused = finding.reason.tolerance is Tolerance.GRACE
        return _troubled("frontend", finding, Mark.UNSEEN if refused else Mark.WAITING)
    return Item("frontend", Mark.OK, "serves, reads its database, reaches history", wanted)


def _downstream(
    subject: str, application: Application | Unknown, observation: Observation, policy: Policy, *, asked: bool
) -> Item:
    if applications.is_ahead(application):
        return Item(subject, Mark.NOT_ASKED, "its step is still ahead")
    if isinstance(application, Unknown):
        return _unseen(subject, application)
    seen, wanted = applications.describe(application), "ran, succeeded and Healthy"
    if not asked:
        return Item(subject, Mark.NOT_ASKED, seen, wanted)
    if outcomes.is_at_work(application, observation):
        return Item(subject, Mark.WAITING, seen, wanted)
    failure = outcomes.failure(application, observation, policy)
    if failure is not None:
        return Item(subject, Mark.WRONG, failure.detail, wanted, failure.remedy)
    return Item(subject, Mark.OK if application.health == "Healthy" else Mark.WAITING, seen, wanted)
