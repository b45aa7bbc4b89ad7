"""`check`: one look, the verification list, and the step that `run` would take. Changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from hook import gate
from hook.decision import planner, restarts, steps
from hook.decision.steps import Fail, Migrate, Outcome, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.observation.observation import Run
from hook.report import checklist
from hook.report.teller import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hook.decision.policy import Policy
    from hook.observation.findings import Finding
    from hook.observation.versions import Release


@dataclass(frozen=True)
class Verdict:
    """What `check` found: the list, the step that `run` would take, and the outcome it would have now."""

    items: tuple[checklist.Item, ...]
    step: Step
    outcome: Outcome


def run() -> Run:
    """Return a run that began before everything: `check` takes Argo CD's last comparison as it is."""
    return Run("check", datetime.min.replace(tzinfo=UTC))


def look(world: gate.World, policy_for: Callable[[Release | None], Policy]) -> Verdict:
    """Look once and judge as a run would whose grace and deadline are over.

    ``policy_for`` gets the release that Temporal's pods run, for settings that name none.
    """
    observation = gate.observe(world, datetime.now(UTC))
    observation = replace(observation, restarts_before=observation.api_time)
    policy = replace(policy_for(restarts.live_release(observation)), grace=timedelta(0))
    step = planner.next_step(observation, policy)
    outcome = steps.outcome_of(planner.step_at_deadline(observation, policy))
    return Verdict(checklist.items(observation, policy), step, outcome)


def words(step: Step) -> str:
    """Return in words what `run` would do next."""
    match step:
        case Pass():
            return "pass: the rollout may go on"
        case Fail(finding):
            return f"fail: {finding}"
        case Wait(findings):
            return "wait: " + "; ".join(map(str, findings))
        case Migrate(migration, _, why):
            return f"ask {migration.owner} to migrate: {why}"
        case RestartPods(pods, why):
            return f"restart {', '.join(pod.name for pod in pods)}: {why}"
        case Resync(application, _, why):
            return f"sync Application {application.ref} again: {why}"
        case Refresh(application, why):
            return f"ask Argo CD to compare Application {application.ref} afresh: {why}"


def as_json(verdict: Verdict, secrets: Iterable[str]) -> str:
    """Return the verdict as one JSON document.

    Secrets leave each text before it becomes JSON: there they would be escaped, and a short one might be a key or a mark.
    """
    known = frozenset(secrets)

    def clean(text: str) -> str:
        return without_secrets(text, known)

    def as_object(finding: Finding) -> dict[str, str]:
        return {
            "reason": str(finding.reason),
            "about": clean(finding.about),
            "detail": clean(finding.detail),
            "remedy": clean(finding.remedy),
        }

    finding = verdict.outcome.finding
    document = {
        "reason": str(finding.reason),
        "exitCode": finding.reason.exit_code.value,
        "nextStep": clean(words(verdict.step)),
        "remedy": clean(finding.remedy),
        "warnings": [as_object(warning) for warning in verdict.outcome.warnings],
        "checks": [
            {
                "subject": clean(one.subject),
                "mark": one.mark.value,
                "seen": clean(one.seen),
                "wanted": clean(one.wanted),
                "remedy": clean(one.remedy),
            }
            for one in verdict.items
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def print_table(verdict: Verdict, secrets: Iterable[str]) -> None:
    """Print the verification list as a table, then the remedies, the warnings and the next step."""
    from rich.console import Console  # noqa: PLC0415 -- only a person's answer needs it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    def clean(text: str) -> str:
        return escape(without_secrets(text, secrets))

    marks = {
        checklist.Mark.OK: "[green]✔ ok[/]",
        checklist.Mark.WAITING: "[yellow]… waiting[/]",
        checklist.Mark.WRONG: "[red]✘ wrong[/]",
        checklist.Mark.UNSEEN: "[red]? unseen[/]",
        checklist.Mark.NOT_ASKED: "[dim]- not asked[/]",
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("what", "seen", "wanted"):
        table.add_column(heading, overflow="fold")  # each gives way: a narrow terminal shows all of it, in more lines
    for item in verdict.items:
        table.add_row(marks[item.mark], clean(item.subject), clean(item.seen), clean(item.wanted))
    console = Console(highlight=False, soft_wrap=True)  # a remedy is copied: no line may be broken inside of it
    console.print(table, soft_wrap=False)
    told = [item for item in verdict.items if item.remedy and item.mark is not checklist.Mark.NOT_ASKED]
    for remedy in dict.fromkeys(item.remedy for item in told):
        subjects = ", ".join(item.subject for item in told if item.remedy == remedy)
        console.print(f"\n[bold]{clean(subjects)}[/]: {clean(remedy)}")
    for warning in verdict.outcome.warnings:
        console.print(f"\n[yellow]warning[/] {clean(str(warning))}. {clean(warning.remedy)}")
    reason = verdict.outcome.finding.reason
    console.print(f"\n[bold]run would now[/] {clean(words(verdict.step))}")
    console.print(f"[bold]exit code[/] {reason.exit_code.value} ({reason})")
