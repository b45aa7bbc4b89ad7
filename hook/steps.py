"""What a step comes to: what it waits for or is about to bring, and how a run ends with it. Pure."""

from __future__ import annotations

from hook.model import Fail, Finding, Migrate, Outcome, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.reasons import ExitCode, Reason


def missing(step: Step | None) -> tuple[Finding, ...]:
    """Return what a step waits for or is about to bring."""
    match step:
        case Wait(findings):
            return findings
        case Migrate(migration, attempt, why):
            return (Finding(Reason.MIGRATION_RUNNING, migration.owner, f"attempt {attempt} is due: {why}"),)
        case RestartPods(component, _, why):
            return (Finding(Reason.PODS_NOT_STABLE, f"component {component}", f"a restart is due: {why}"),)
        case Resync(application, attempt, _):
            return (Finding(Reason.DOWNSTREAM_RUNNING, f"Application {application.ref}", f"sync {attempt} is due"),)
        case Refresh(application, why):
            return (Finding(Reason.COMPARISON_PENDING, f"Application {application.ref}", why),)
    return ()


def outcome_of(step: Step | None, refused: tuple[Finding, ...] = ()) -> Outcome:
    """Return how a run ends whose last step this is: by the step itself, else with what was still missing."""
    match step:
        case Fail(finding):
            return Outcome(finding)
        case Pass(warnings):
            troubled = any(warning.reason.exit_code is not ExitCode.PASSED for warning in warnings)
            reason = Reason.PASSED_WITH_WARNING if troubled else Reason.PASSED
            return Outcome(Finding(reason, "the rollout may go on"), warnings=warnings)
    lacking = (*missing(step), *refused)
    detail = "; ".join(map(str, lacking)) or "nothing was seen"
    remedy = " ".join(dict.fromkeys(finding.remedy for finding in lacking))
    return Outcome(Finding(Reason.DEADLINE_EXCEEDED, "still missing", detail, remedy), missing=lacking)
