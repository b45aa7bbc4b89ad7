"""What an Application's status means for the rollout, as tables."""

from typing import Any

import pytest
from worlds import (
    BOOTSTRAP,
    MIGRATIONS,
    NOW,
    ahead,
    application,
    at,
    managed,
    operation,
    unknown,
)

from hook.observation import applications, migrations
from hook.observation.applications import Application, ManagedJob, Operation, OperationPhase
from hook.observation.findings import Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.reasons import Reason
from hook.observation.workloads import JobRef

IDLE, RUNNING, BLOCKED, PAUSING = (
    MigrationPhase.IDLE,
    MigrationPhase.RUNNING,
    MigrationPhase.BLOCKED,
    MigrationPhase.PAUSING,
)
SUCCEEDED, FAILED, UNCOMPARED = MigrationPhase.SUCCEEDED, MigrationPhase.FAILED, MigrationPhase.UNCOMPARED


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (unknown(Reason.APPLICATION_MISSING), True),
        (unknown(Reason.API_FORBIDDEN), False),
        (None, False),
        (application(), False),
        (application(sync="OutOfSync"), False),
        (application(sync="OutOfSync", operation=None), True),
        (application(sync="Synced", operation=None), False),
        (ahead(BOOTSTRAP), True),
        (ahead(BOOTSTRAP, sync="Synced"), False),
        (ahead(BOOTSTRAP, sync="Unknown"), False),
        (application(sync="OutOfSync", operation=operation(revisions=())), True),
        (application(sync="OutOfSync", revisions=("a", "b"), operation=operation(revisions=("a", "b"))), False),
        (application(sync="OutOfSync", revisions=("a", "b"), operation=operation(revisions=("a", "c"))), True),
    ],
    ids=[
        "missing",
        "unseen",
        "not configured",
        "synced",
        "drifts at its revision",
        "never synced",
        "hooks alone, never run",
        "synced to another revision",
        "synced, though last to another revision",
        "not comparable",
        "its last sync names no revision",
        "several sources, all as synced",
        "several sources, one moved on",
    ],
)
def test_an_application_is_ahead_while_it_is_out_of_sync_with_a_revision_it_was_not_synced_to(
    seen: Application | Unknown | None, *, expected: bool
) -> None:
    assert applications.is_ahead(seen) is expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (unknown(Reason.APPLICATION_MISSING), True),
        (unknown(Reason.NAMESPACE_MISSING), False),
        (application(), False),
        (None, False),
    ],
    ids=["missing", "another trouble", "there", "not configured"],
)
def test_an_application_is_missing_when_argo_cd_says_so(seen: Application | Unknown | None, *, expected: bool) -> None:
    assert applications.is_missing(seen) is expected


@pytest.mark.parametrize("phase", OperationPhase)
def test_an_application_is_busy_until_its_operation_has_ended(phase: OperationPhase) -> None:
    ended = phase in {OperationPhase.SUCCEEDED, OperationPhase.FAILED}
    assert applications.is_busy(application(operation=operation(phase))) is not ended


def test_an_application_without_an_operation_is_not_busy() -> None:
    assert not applications.is_busy(application(operation=None))


@pytest.mark.parametrize(
    ("compared", "finished", "expected"),
    [
        (None, None, False),
        (-61, None, False),
        (-60, None, False),
        (-59, None, True),
        (-59, -100, True),
        (-30, -20, False),
        (-20, -20, False),
        (-19, -20, True),
    ],
    ids=[
        "never compared",
        "before the run",
        "in the second of the run's start",
        "after the run's start",
        "after both, the run being the later",
        "after the run, before the operation's end",
        "in the second of the operation's end",
        "after both",
    ],
)
def test_a_status_counts_when_it_was_compared_after_the_run_began_and_the_last_operation_ended(
    compared: float | None, finished: float | None, *, expected: bool
) -> None:
    seen = application(
        compared_at=None if compared is None else at(compared),
        operation=operation(finished_at=None if finished is None else at(finished)),
    )
    assert applications.is_compared(seen, at(-60)) is expected


def test_a_status_without_an_operation_counts_when_it_was_compared_after_the_run_began() -> None:
    seen = application(operation=None, compared_at=at(-30))
    assert applications.is_compared(seen, at(-31))
    assert not applications.is_compared(seen, at(-30))


def jobs(*healths: str | None) -> tuple[ManagedJob, ...]:
    return tuple(managed(JobRef("temporal", f"job-{number}"), health) for number, health in enumerate(healths))


@pytest.mark.parametrize(
    ("healths", "of_application", "expected"),
    [
        (("Healthy",), "Healthy", "Healthy"),
        (("Healthy", "Degraded", "Progressing"), "Healthy", "Progressing"),
        (("Suspended", "Degraded"), "Healthy", "Suspended"),
        (("Missing", "Degraded"), "Healthy", "Degraded"),
        (("Missing", "Suspended", "Progressing"), "Healthy", "Progressing"),
        (("Unknown", "Missing", "Suspended"), "Healthy", "Suspended"),
        (("Unknown", "Missing"), "Healthy", "Missing"),
        (("Healthy", "Unknown"), "Healthy", "Unknown"),
        (("Healthy",), "Degraded", "Healthy"),
        ((None,), "Degraded", "Degraded"),
        (("Healthy", None), "Progressing", "Progressing"),
        ((), "Degraded", "Healthy"),
    ],
    ids=str,
)
def test_a_job_that_runs_counts_first_then_the_worst_and_the_application_stands_in_for_a_job_whose_health_is_not_kept(
    healths: tuple[str | None, ...], of_application: str, expected: str
) -> None:
    assert applications.job_health(application(jobs=jobs(*healths), health=of_application)) == expected


# --- the migration, as its Application tells it where its Jobs may not be read ------------------------------------


def by_argocd(seen: Application) -> Migration:
    """The migration by Argo CD's word alone."""
    return migrations.of_application(seen, dict.fromkeys(seen.all_jobs, unknown(Reason.API_FORBIDDEN)), NOW)


OURS: dict[str, Any] = {"attempt": 2}


@pytest.mark.parametrize(
    ("phase", "of_others", "of_this_run"),
    [
        (OperationPhase.REQUESTED, RUNNING, RUNNING),
        (OperationPhase.RUNNING, RUNNING, RUNNING),
        (OperationPhase.BLOCKED, BLOCKED, BLOCKED),
        (OperationPhase.PAUSING, PAUSING, PAUSING),
        (OperationPhase.SUCCEEDED, IDLE, SUCCEEDED),
        (OperationPhase.FAILED, IDLE, FAILED),
    ],
)
def test_a_hook_migration_is_what_its_operation_is_and_its_end_counts_only_if_this_run_wrote_it(
    phase: OperationPhase, of_others: MigrationPhase, of_this_run: MigrationPhase
) -> None:
    assert by_argocd(application(operation=operation(phase))).phase is of_others
    assert by_argocd(application(operation=operation(phase, **OURS))).phase is of_this_run


def test_a_migration_that_was_never_synced_is_idle() -> None:
    assert by_argocd(application(operation=None)).phase is IDLE


def plain(health: str | None, compared: float, phase: OperationPhase, **of_operation: Any) -> Application:
    """A migrations Application with a plain Job, whose operation ended at -20."""
    ended = operation(phase, finished_at=at(-20) if phase.ended else None, **of_operation)
    return application(MIGRATIONS, jobs=jobs(health), compared_at=at(compared), operation=ended)


@pytest.mark.parametrize(
    ("health", "compared", "phase", "of_others", "of_this_run"),
    [
        ("Healthy", -20, OperationPhase.SUCCEEDED, UNCOMPARED, UNCOMPARED),
        ("Degraded", -20, OperationPhase.FAILED, UNCOMPARED, UNCOMPARED),
        ("Progressing", -19, OperationPhase.SUCCEEDED, RUNNING, RUNNING),
        ("Suspended", -19, OperationPhase.SUCCEEDED, RUNNING, RUNNING),
        ("Degraded", -19, OperationPhase.SUCCEEDED, IDLE, FAILED),
        ("Healthy", -19, OperationPhase.SUCCEEDED, IDLE, SUCCEEDED),
        ("Healthy", -19, OperationPhase.FAILED, IDLE, FAILED),
        ("Degraded", -19, OperationPhase.RUNNING, RUNNING, RUNNING),
        ("Healthy", -30, OperationPhase.REQUESTED, RUNNING, RUNNING),
        ("Healthy", -30, OperationPhase.BLOCKED, BLOCKED, BLOCKED),
        ("Degraded", -30, OperationPhase.PAUSING, PAUSING, PAUSING),
    ],
    ids=[
        "ended, compared in that very second",
        "failed, compared in that very second",
        "ended, its Job runs",
        "ended, its Job is suspended",
        "ended, its Job failed",
        "ended, its Job too",
        "failed, its old Job is whole",
        "runs, its old Job is Degraded",
        "requested",
        "blocked",
        "pausing",
    ],
)
def test_a_plain_jobs_migration_ends_with_its_job_and_not_with_its_operation(
    health: str, compared: float, phase: OperationPhase, of_others: MigrationPhase, of_this_run: MigrationPhase
) -> None:
    assert by_argocd(plain(health, compared, phase)).phase is of_others
    assert by_argocd(plain(health, compared, phase, **OURS)).phase is of_this_run


def test_a_plain_job_without_any_comparison_since_its_operation_is_not_judged() -> None:
    ended = operation(finished_at=at(-20), **OURS)
    assert by_argocd(application(jobs=(managed(),), compared_at=None, operation=ended)).phase is UNCOMPARED


@pytest.mark.parametrize(("health", "expected"), [("Progressing", RUNNING), ("Degraded", IDLE), ("Missing", IDLE)])
def test_a_plain_job_that_no_operation_is_known_of_is_judged_by_its_health(
    health: str, expected: MigrationPhase
) -> None:
    assert by_argocd(application(jobs=jobs(health), operation=None)).phase is expected


def test_a_migration_carries_attempt_end_message_and_jobs_of_its_application() -> None:
    last = operation(OperationPhase.FAILED, finished_at=at(-20), message="hook failed", **OURS)
    seen = application(MIGRATIONS, operation=last, hook_jobs=(JobRef("temporal", "hook"),))
    found = by_argocd(seen)
    assert (found.owner, found.attempts, found.ended_at, found.message) == (
        "Application argocd/data-migrations-temporal",
        2,
        at(-20),
        "hook failed",
    )
    assert [finding.reason for finding in found.unseen] == [Reason.API_FORBIDDEN]
    assert found.application is seen


def test_anothers_operation_is_no_attempt_of_this_run() -> None:
    assert by_argocd(application(operation=operation(OperationPhase.FAILED))).attempts == 0


@pytest.mark.parametrize(("last", "expected"), [(None, 1), (operation(), 1), (operation(attempt=2), 2)])
def test_attempts_that_were_seen_stay_counted_whatever_operation_took_their_place(
    last: Operation | None, expected: int
) -> None:
    assert by_argocd(application(attempts_seen=1, operation=last)).attempts == expected


def test_a_failed_plain_job_is_named_though_its_operation_says_that_all_went_well() -> None:
    seen = plain("Degraded", -19, OperationPhase.SUCCEEDED, message="successfully synced", **OURS)
    found = by_argocd(seen)
    assert found.message == "Job temporal/job-0 failed"


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "Synced, Healthy, operation succeeded"),
        ({"operation": operation(OperationPhase.FAILED, message="no")}, "Synced, Healthy, operation failed (no)"),
        ({"operation": None, "sync": "OutOfSync", "health": "Missing"}, "OutOfSync, Missing"),
    ],
    ids=["without a message", "with one", "never synced"],
)
def test_an_application_is_described_in_argo_cds_words(changes: dict[str, Any], expected: str) -> None:
    assert applications.describe(application(**changes)) == expected
