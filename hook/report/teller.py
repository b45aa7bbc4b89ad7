"""Tells what the gate does: log, Kubernetes Events, termination message. Listens; decides nothing.

Everything goes through one `Teller` as `Notice` values, which are freed of secrets there, once, for every listener.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hook.decision import planner
from hook.decision.steps import Act, Migrate, Outcome, Refresh, RestartPods, Resync, Step, Wait
from hook.observation.applications import Application, ApplicationRef
from hook.observation.reasons import ExitCode, Tolerance
from hook.report import checklist

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from hook.decision.policy import Policy
    from hook.observation.findings import Finding
    from hook.observation.observation import Observation
    from hook.observation.redaction import Secrets


@dataclass(frozen=True)
class Notice:
    """One thing to tell; `fields` go to the log, and an Event is posted on each of the Applications `about`."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    reason: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    about: tuple[ApplicationRef, ...] = ()


class Listener(Protocol):
    """Takes notices."""

    def hear(self, notice: Notice) -> None:
        """Take one; must not raise."""


class Teller:
    """Turns what the gate says into notices: one for each change of what is observed, each act, and the end."""

    def __init__(self, listeners: Iterable[Listener], secrets: Secrets, gate: ApplicationRef | None = None) -> None:
        """Tell the listeners, without any of the secrets, and with Events on the gate's own Application."""
        self._listeners = list(listeners)
        self._secrets = secrets
        self._runtime: ApplicationRef | None = None
        self._gate = (gate,) if gate else ()
        self._said: dict[str, checklist.Item] = {}
        self._waited_for: set[tuple[Any, str]] = set()
        self._limit: timedelta | None = None

    def add(self, listener: Listener) -> None:
        """Tell this one, too."""
        self._listeners.append(listener)

    def started(self, run_id: str, policy: Policy, limit: timedelta) -> None:
        """Tell what this run is for, and how long it may take."""
        self._limit = limit
        release = f"Temporal {policy.release}" if policy.release else "the versions that are set"
        expected = ", ".join(f"{store} {version}" for store, version in policy.expected.items())
        fields = (
            ("run", run_id),
            ("deadline", f"{limit.total_seconds():g} s after its start"),
            ("reachability", policy.reachability.value),
        )
        self.hear(Notice(f"gate for {release}: expects schema {expected}", fields=fields))

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:
        """Tell each item of the checklist that changed, and each new thing that is waited for.

        What a person can do is left out for what the gate itself repairs now; the end tells it if that fails.
        """
        if isinstance(observation.application, Application):
            self._runtime = observation.application.ref
        changed = [
            item for item in checklist.items(observation, policy) if self._said.get(item.subject) != _uncounted(item)
        ]
        self._said.update((item.subject, _uncounted(item)) for item in changed)
        repaired = _repaired_by(step)
        told = [replace(item, remedy="") if item.subject in repaired else item for item in changed]
        for item in checklist.by_cause(told):
            self.hear(_of_item(item))
        waited_for = (*(step.findings if isinstance(step, Wait) else ()), *observation.refused)
        new = [finding for finding in waited_for if finding.key not in self._waited_for]
        end = ""
        if new and isinstance(step, Wait) and self._limit is not None:
            end = f"; {planner.end_of_wait(observation, policy, self._limit)}"
        for reason in dict.fromkeys(finding.reason for finding in new):
            self.hear(self._of_wait([finding for finding in new if finding.reason is reason], end))
        self._waited_for = {finding.key for finding in waited_for}

    def acted(self, act: Act, *, done: bool) -> None:
        """Tell an act."""
        text, reason, ref = _of_act(act, self._runtime)
        if not done:
            self.hear(Notice(f"{text}: somebody was faster, looking again"))
            return
        about = (*self._gate, *((ref,) if ref else ())) if not isinstance(act, Refresh) else ()
        self.hear(Notice(text, reason=reason, fields=(("why", act.why),), about=about))

    def ended(self, outcome: Outcome) -> None:
        """Tell the end: its warnings first, then the outcome itself."""
        for warning in outcome.warnings:
            self.hear(_of_finding(warning, "warning", self._gate))
        finding = outcome.finding
        level: Literal["info", "error"] = "info" if finding.reason.exit_code is ExitCode.PASSED else "error"
        self.hear(_of_finding(finding, level, self._gate))

    def _of_wait(self, findings: list[Finding], end: str) -> Notice:
        """Tell a wait for findings of one reason, and how it ends: an Event only where a person can shorten it."""
        first, *more = findings
        text = f"waiting: {first}" + "".join(f"; {finding.about}" for finding in more) + end
        if first.reason.tolerance is not Tolerance.GRACE:
            return Notice(text, reason=str(first.reason))
        return replace(_of_finding(first, "warning", self._gate), text=text)

    def hear(self, notice: Notice) -> None:
        """Tell a notice of somebody else's (a listener that cannot do its part) as all others: without secrets."""
        clean = self._secrets.cleaner()
        fields = tuple((name, clean(value)) for name, value in notice.fields)
        cleaned = replace(notice, text=clean(notice.text), fields=fields)
        for listener in self._listeners:
            listener.hear(cleaned)


def _uncounted(item: checklist.Item) -> checklist.Item:
    """Return the item without what is no news: one more crash for the same cause, and what to do for it."""
    return replace(item, seen=re.sub(r"\d+ restarts?", "", item.seen), remedy="")


def _repaired_by(step: Step) -> set[str]:
    """Return the subjects of the checklist that a step repairs, or is about to."""
    match step:
        case RestartPods(pods):
            return {f"pods of {pod.component}" for pod in pods}
        case Resync(application) | Refresh(application):
            return {f"Application {application.ref}"}
    return set()


def _of_item(item: checklist.Item) -> Notice:
    level: Literal["info", "warning"] = "warning" if item.mark is checklist.Mark.WRONG else "info"
    remedy = item.remedy if item.mark is checklist.Mark.WRONG else ""  # what is only unseen is told by its wait
    fields = {"mark": item.mark.value, "wanted": item.wanted, "remedy": remedy}
    told = tuple((name, value) for name, value in fields.items() if value)
    return Notice(f"{item.subject}: {item.seen}", level=level, fields=told)


def _of_finding(
    finding: Finding, level: Literal["info", "warning", "error"], about: tuple[ApplicationRef, ...]
) -> Notice:
    fields = (("remedy", finding.remedy),) if finding.remedy and level != "info" else ()
    return Notice(str(finding), level=level, reason=str(finding.reason), fields=fields, about=about)


def _of_act(act: Act, runtime: ApplicationRef | None) -> tuple[str, str, ApplicationRef | None]:
    """Return what is told of an act: its text, the Event's reason, and the Application acted on."""
    match act:
        case Migrate(migration, attempt, _):
            ref = migration.application.ref if migration.application else None
            return f"asked {migration.owner} to migrate (attempt {attempt})", "MigrationStarted", ref
        case RestartPods(pods, _):
            names = ", ".join(pod.name for pod in pods)
            return f"restarted {len(pods)} pod(s): {names}", "PodsRestarted", runtime
        case Resync(application, attempt, _):
            return (
                f"synced Application {application.ref} again (attempt {attempt})",
                "ApplicationSynced",
                application.ref,
            )
        case Refresh(application, _):
            return f"asked Argo CD to refresh Application {application.ref}", "RefreshRequested", None
