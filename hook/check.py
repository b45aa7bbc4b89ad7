"""`check`: one look, the verification list, and the step that `run` would take. Changes nothing.

The contract: exit code 0 where `run` would pass now; 3 where it would wait or act first, with the act named, or how long it
would wait and what comes after; else the fault's own code. A fault that `run` ends on only after its grace ends `check` at
once, which says so.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from hook import gate
from hook.decision import planner, restarts, steps
from hook.decision.steps import Fail, Migrate, Outcome, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.observation import applications
from hook.observation.applications import Application
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import Migration
from hook.observation.observation import Run
from hook.observation.plain import indented
from hook.observation.reasons import Reason
from hook.report import checklist

if TYPE_CHECKING:
    from collections.abc import Callable

    from hook.decision.policy import Policy
    from hook.observation.observation import Observation
    from hook.observation.redaction import Secrets
    from hook.observation.versions import Release

T = TypeVar("T")

_PIPE_WIDTH = 10_000
"""No line is folded there."""


@dataclass(frozen=True)
class Verdict:
    """What `check` found: the list, what `run` would do next, in words, and the outcome."""

    items: tuple[checklist.Item, ...]
    next_step: str
    outcome: Outcome


def run() -> Run:
    """Return a run that has just begun; a second ago, since Argo CD's times are whole seconds."""
    return Run("check", datetime.now(UTC) - timedelta(seconds=1))


def look(world: gate.World, policy_for: Callable[[Release | None], Policy], limit: timedelta) -> Verdict:
    """Look once, and judge as a run would that begins now and may take ``limit``.

    ``policy_for`` gets the release that Temporal's pods run, for settings that name none; its policy expects nothing where
    no release is known.
    """
    observation = gate.observe(world, datetime.now(UTC))
    observation = replace(_with_comparisons_as_they_are(observation), restarts_before=observation.api_time)
    policy = policy_for(restarts.live_release(observation))
    if observation.stores.keys() - policy.expected.keys():
        return Verdict(checklist.items(observation, policy), *_without_a_release(observation))
    return Verdict(checklist.items(observation, policy), *_judged(observation, policy, limit))


def _judged(observation: Observation, policy: Policy, limit: timedelta) -> tuple[str, Outcome]:
    """Return what `run` would do next, in words, and what `check` ends with."""
    step = planner.next_step(observation, policy)
    if isinstance(step, (Pass, Fail)):
        return words(step), steps.outcome_of(step)
    without_grace = planner.next_step(observation, replace(policy, grace=timedelta(0)))
    said = words(step)
    if isinstance(step, Wait):
        said = f"{said}; {planner.end_of_wait(observation, policy, limit)}"
    if isinstance(without_grace, Fail):
        if not isinstance(step, Wait):
            said += f"; and {words(without_grace)} if that is still so after {_seconds(policy.grace)} (graceSeconds)"
        return said, steps.outcome_of(without_grace)
    lacking = tuple(dict.fromkeys((*steps.missing(step), *planner.unseen(observation, policy))))
    remedy = " ".join(dict.fromkeys(finding.remedy for finding in lacking))
    return said, Outcome(Finding(Reason.NOT_YET, "run would now", said, remedy), missing=lacking)


def _seconds(time: timedelta) -> str:
    return f"{time.total_seconds():g} s"


def _with_comparisons_as_they_are(observation: Observation) -> Observation:
    """Take Argo CD's last comparison as it is, where nothing was synced since: a run would ask for a fresh one.

    It is the same in all but its time, unless git has changed, and `check` asks for nothing.
    """
    later = observation.now + timedelta(seconds=1)

    def fresh(seen: T) -> T:
        if isinstance(seen, Migration) and seen.application is not None:
            return replace(seen, application=fresh(seen.application))
        if isinstance(seen, Application) and applications.is_compared(seen, datetime.min.replace(tzinfo=UTC)):
            return replace(seen, compared_at=later)
        return seen

    return replace(
        observation,
        migration=fresh(observation.migration),
        application=fresh(observation.application),
        downstream={ref: fresh(one) for ref, one in observation.downstream.items()},
        gate=fresh(observation.gate),
    )


def _without_a_release(observation: Observation) -> tuple[str, Outcome]:
    """Return that nothing can be judged: no setting names the release, and the pods' images do not tell it either."""
    runtime = observation.runtime
    if runtime is None:
        why = "the pods' images were not read: runtime.namespace is not set"
    elif isinstance(runtime, Unknown):
        why = f"the pods' images could not be read: {runtime.finding}"
    elif not runtime.pods:
        why = "there is no pod whose image could tell it"
    elif (live := restarts.live_release(observation)) is not None:
        why = f"the pods run {live}, which is not in the table of releases"
    else:
        why = "no pod's image has a release as its tag: " + ", ".join(sorted({pod.image for pod in runtime.pods}))
    finding = Finding(
        Reason.SETTINGS_INVALID,
        "temporal.version",
        f"required: the server's release that is rolled out, such as 1.29.1; {why}",
        "Set temporal.version, in the file or as TRH_TEMPORAL__VERSION.",
    )
    return f"fail: {finding}", Outcome(finding)


def words(step: Step) -> str:
    """Return in words what `run` would do next."""
    match step:
        case Pass(warnings):
            with_warnings = (
                " with a warning: " + "; ".join(map(str, warnings)) if warnings else ": the rollout may go on"
            )
            return f"pass{with_warnings}"
        case Fail(finding):
            return f"fail: {finding}"
        case Wait(findings):
            return "wait: " + "; ".join(map(str, findings))
        case Migrate(migration, _, why, _):
            return f"ask {migration.owner} to migrate: {why}"
        case RestartPods(pods, why):
            return f"restart {', '.join(pod.name for pod in pods)}: {why}"
        case Resync(application, _, why, _):
            return f"sync Application {application.ref} again: {why}"
        case Refresh(application, why):
            return f"ask Argo CD to refresh Application {application.ref}: {why}"


def as_json(verdict: Verdict, secrets: Secrets) -> str:
    """Return the verdict as one JSON document.

    Secrets leave each text before it becomes JSON: there they would be escaped, and a short one might be a key or a mark.
    """
    clean = secrets.cleaner()

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
        "nextStep": clean(verdict.next_step),
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


def print_table(verdict: Verdict, secrets: Secrets) -> None:
    """Print the verification list as a table, then the remedies, the warnings and the next step."""
    from rich.console import Console  # noqa: PLC0415 -- only a person's answer needs it
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    without_secrets = secrets.cleaner()

    def clean(text: str) -> str:
        return escape(indented(without_secrets(text)))

    marks = {
        checklist.Mark.OK: "[green]✔ ok[/]",
        checklist.Mark.WAITING: "[yellow]… waiting[/]",
        checklist.Mark.WRONG: "[red]✘ wrong[/]",
        checklist.Mark.UNSEEN: "[red]? unseen[/]",
        checklist.Mark.NOT_ASKED: "[dim]- not asked[/]",
    }
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ  # else a program or a pager reads it: one line a row
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("what", overflow="fold", max_width=26 if folds else None)
    table.add_column("seen", overflow="fold")
    for item in checklist.by_cause(verdict.items):
        wanted = f" (wanted: {item.wanted})" if item.wanted and item.mark is not checklist.Mark.OK else ""
        table.add_row(marks[item.mark], clean(item.subject), clean(item.seen + wanted))
    # A remedy is copied: no line may be broken inside of it.
    console = Console(highlight=False, soft_wrap=True, width=None if folds else _PIPE_WIDTH)
    with console.capture() as drawn:
        console.print(table, soft_wrap=False)
    print("\n".join(line.rstrip() for line in drawn.get().splitlines()))  # noqa: T201 -- no blanks up to the margin
    told = [
        item for item in checklist.by_cause(verdict.items) if item.remedy and item.mark is not checklist.Mark.NOT_ASKED
    ]
    for remedy in dict.fromkeys(item.remedy for item in told):
        subjects = ", ".join(item.subject for item in told if item.remedy == remedy)
        console.print(f"\n[bold]{clean(subjects)}[/]: {clean(remedy)}")
    for warning in verdict.outcome.warnings:
        console.print(f"\n[yellow]warning[/] {clean(str(warning))}. {clean(warning.remedy)}")
    reason = verdict.outcome.finding.reason
    console.print(f"\n[bold]run would now[/] {clean(verdict.next_step)}")
    if verdict.outcome.finding.specific_remedy and reason is not Reason.NOT_YET:
        console.print(f"[bold]what to do[/] {clean(verdict.outcome.finding.remedy)}")
    console.print(f"[bold]exit code[/] {reason.exit_code.value} ({reason})")
