"""The steps that can be taken, what each comes to, and how a run ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hook.observation.findings import Finding
from hook.observation.reasons import ExitCode, Reason

if TYPE_CHECKING:
    from hook.observation.applications import Application
    from hook.observation.migrations import Migration
    from hook.observation.workloads import JobRef, Pod


@dataclass(frozen=True)
class Wait:
    """Look again after an interval; `findings` say for what."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Refresh:
    """Ask Argo CD to compare the Application afresh; `why` says which decision needs it."""

    application: Application
    why: str


@dataclass(frozen=True)
class Migrate:
    """Ask the schema's owner to run; `attempt` counts from 1 within this run.

    `jobs` are the plain Jobs to be replaced, and nothing else; none: a full sync, which runs hooks and makes what lacks.
    """

    migration: Migration
    attempt: int
    why: str
    jobs: tuple[JobRef, ...] = ()


@dataclass(frozen=True)
class RestartPods:
    """Delete these pods, each only if it still has its uid. `stood_alone`: it is a new server's second start."""

    pods: tuple[Pod, ...]
    why: str
    stood_alone: bool = False


@dataclass(frozen=True)
class Resync:
    """Sync a downstream Application again, or the `jobs` of it alone; `attempt` counts from 1 within this run."""

    application: Application
    attempt: int
    why: str
    jobs: tuple[JobRef, ...] = ()


@dataclass(frozen=True)
class Pass:
    """The rollout may go on."""

    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Fail:
    """The rollout must not go on, and waiting cannot help."""

    finding: Finding


Act = Refresh | Migrate | RestartPods | Resync
Step = Wait | Act | Pass | Fail


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `missing` is what was still waited for, `warnings` what a person should know though it passed."""

    finding: Finding
    missing: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()


def missing(step: Step | None) -> tuple[Finding, ...]:
    """Return what a step waits for or is about to bring."""
    match step:
        case Wait(findings):
            return findings
        case Migrate(migration, attempt, why, _):
            return (Finding(Reason.MIGRATION_RUNNING, migration.owner, f"attempt {attempt} is due: {why}"),)
        case RestartPods(pods, why):
            return (Finding(Reason.PODS_NOT_STABLE, _components(pods), f"a restart is due: {why}"),)
        case Resync(application, attempt, _, _):
            return (Finding(Reason.DOWNSTREAM_RUNNING, f"Application {application.ref}", f"sync {attempt} is due"),)
        case Refresh(application, why):
            return (Finding(Reason.COMPARISON_PENDING, f"Application {application.ref}", why),)
    return ()


def _components(pods: tuple[Pod, ...]) -> str:
    return "component " + ", ".join(dict.fromkeys(pod.component for pod in pods))


def outcome_of(step: Step | None, also: tuple[Finding, ...] = ()) -> Outcome:
    """Return how a run ends whose last step this is: by the step itself, else with what was still missing.

    ``also`` is what is missing besides, since a step waits for the first thing alone.
    """
    match step:
        case Fail(finding):
            return Outcome(finding)
        case Pass(warnings):
            troubled = any(warning.reason.exit_code is not ExitCode.PASSED for warning in warnings)
            reason = Reason.PASSED_WITH_WARNING if troubled else Reason.PASSED
            return Outcome(Finding(reason, "the rollout may go on"), warnings=warnings)
    lacking = tuple(dict.fromkeys((*missing(step), *also)))
    detail = "; ".join(map(str, lacking)) or "nothing was seen"
    remedy = " ".join(dict.fromkeys(finding.remedy for finding in lacking))
    return Outcome(Finding(Reason.DEADLINE_EXCEEDED, "still missing", detail, remedy), missing=lacking)
