"""A guard: what it waits for, what it leaves to others, and when it makes way; and how a gate sees the guard of another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    BEHIND,
    BOOTSTRAP,
    EMPTY,
    GATE,
    MIGRATIONS,
    NAMESPACES,
    OLDER_REVISION,
    REVISION,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    at,
    attempted,
    container,
    downstream,
    finding,
    in_back_off,
    job,
    job_pod,
    managed,
    migration,
    observation,
    operation,
    pod,
    policy,
    runtime,
    schema,
    stores,
    unknown,
)

from hook.decision import planner
from hook.decision.policy import Policy, Reachability
from hook.decision.stage import Stage, stage
from hook.decision.steps import Fail, Migrate, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.observation.applications import Application, Operation, OperationPhase, SyncPolicy
from hook.observation.findings import Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Observation, Run
from hook.observation.reasons import ExitCode, Reason
from hook.observation.versions import Schema, Store
from hook.observation.workloads import Job, JobPhase, JobRef, Runtime
from hook.report import checklist

GUARD = policy(is_guard=True)
"""Of the runtime: nothing of Temporal itself is looked at (hook.compose)."""
ALWAYS_GUARD = policy(is_guard=True, reachability=Reachability.ALWAYS)
ALWAYS = policy(reachability=Reachability.ALWAYS)
GUARD_JOB = JobRef("temporal", "data-temporal-guard")
WHY_DOWN = unknown(Reason.FRONTEND_UNREACHABLE, "frontend")


def being_synced(**changes: Any) -> Application:
    """The guarded Application while its sync, by Argo CD itself, runs this guard; compared a while after it began."""
    under_way = operation(OperationPhase.RUNNING, waits_for=GUARD_JOB, is_automated=True)
    return application(RUNTIME, **{"sync": "OutOfSync", "operation": under_way} | changes)


def at_an_old_commit(**changes: Any) -> Application:
    return being_synced(operation=replace(being_synced().operation or operation(), revisions=OLDER_REVISION, **changes))


def world(guarded: Application | None = None, **changes: Any) -> Observation:
    """What the guard of the runtime sees."""
    nothing: dict[str, Any] = {"application": None, "runtime": None, "frontend": None, "downstream": {}}
    own = guarded or being_synced()
    run = Run("run", at(RUN_STARTED), owner=own.ref.name, job=GUARD_JOB)
    given = {"run": run, "gate_ref": own.ref, "guarded": own, "guarded_at_first": own.revisions}
    return observation(**nothing | given | changes)


def step(seen: Observation, asked: Policy = GUARD) -> Step:
    return planner.next_step(seen, asked)


def reason(taken: Step) -> object:
    match taken:
        case Wait(findings):
            return ("wait", *(one.reason for one in findings))
        case Fail(one):
            return ("fail", one.reason)
        case Pass(warnings):
            return ("pass", *(one.reason for one in warnings))
    return taken


# --- what it waits for --------------------------------------------------------------------------------------------


def test_it_passes_when_both_schemas_are_right() -> None:
    """Though its own Application is OutOfSync, being synced, and lists its Job: it is what it guards."""
    assert step(world()) == Pass()


def test_it_asks_the_migrations_application_as_a_gate_does() -> None:
    assert isinstance(step(world(stores=BEHIND)), Migrate)
    spent = replace(attempted(3), application=application(MIGRATIONS))
    assert reason(step(world(stores=BEHIND, migration=spent))) == ("fail", Reason.MIGRATION_FAILED)


@pytest.mark.parametrize("seen", [BEHIND, EMPTY], ids=["behind", "empty"])
@pytest.mark.parametrize("phase", [MigrationPhase.IDLE, MigrationPhase.FAILED, MigrationPhase.UNCOMPARED])
def test_one_that_may_not_ask_waits_for_others_to_do(
    seen: Mapping[Store, Schema | Unknown], phase: MigrationPhase
) -> None:
    """Nor does it ask for a comparison: it has no right to change that Application."""
    quiet = replace(GUARD, may_migrate=False)
    old = migration(phase, application=application(MIGRATIONS, compared_at=at(-3600)))
    assert reason(step(world(stores=seen, migration=old), quiet)) == ("wait", Reason.MIGRATION_AWAITED)
    assert step(world(migration=old), quiet) == Pass()


def test_a_gate_that_may_not_ask_still_syncs_what_is_downstream() -> None:
    failed = application(BOOTSTRAP, operation=operation(OperationPhase.FAILED))
    taken = step(observation(downstream=downstream(failed)), policy(may_migrate=False))
    assert isinstance(taken, Resync)


def test_its_own_application_is_still_refused_as_the_migrations() -> None:
    own = world(run=Run("run", at(RUN_STARTED), owner=MIGRATIONS.name))
    assert reason(step(own)) == ("fail", Reason.OWN_APPLICATION_TARGETED)


def test_one_that_waits_for_the_servers_it_holds_back_is_refused() -> None:
    """`always` in a guard of the runtime that was not told which Application is its own."""
    unaware = world(application=being_synced(), frontend=WHY_DOWN)
    assert reason(step(unaware, ALWAYS_GUARD)) == ("fail", Reason.OWN_APPLICATION_TARGETED)


def before_the_bootstrap(**changes: Any) -> Observation:
    own = replace(being_synced(), ref=BOOTSTRAP)
    healthy = {"application": application(RUNTIME), "runtime": runtime(), "frontend": observation().frontend}
    return world(own, **healthy | changes)


def test_before_the_bootstrap_it_waits_until_temporal_answers() -> None:
    assert step(before_the_bootstrap(), ALWAYS_GUARD) == Pass()
    waiting = step(before_the_bootstrap(frontend=WHY_DOWN, now=at(86_400)), ALWAYS_GUARD)
    assert reason(waiting) == ("wait", Reason.FRONTEND_UNREACHABLE)


@pytest.mark.parametrize("phase", [JobPhase.RUNNING, JobPhase.FAILED, JobPhase.COMPLETE])
def test_it_waits_for_servers_that_another_guard_holds_back(phase: JobPhase) -> None:
    """All is synced at once, and the migration takes long: no pod is not the wrong selector then."""
    other = replace(guard_job(phase), ref=JobRef("temporal", "another-guard"))
    synced = FAILED if phase is JobPhase.FAILED else operation(OperationPhase.RUNNING)
    held = application(RUNTIME, sync="OutOfSync", operation=synced, hook_jobs=(other.ref,))
    nothing = Runtime(selected_by="temporal, app.kubernetes.io/name=temporal")
    lacking = finding(Reason.RUNTIME_PODS_NOT_FOUND, f"selector {nothing.selected_by}")
    seen = before_the_bootstrap(
        application=held, runtime=nothing, frontend=WHY_DOWN, jobs={other.ref: other},
        since={lacking.key: at(-1000)},
    )  # fmt: skip
    taken = reason(step(seen, ALWAYS_GUARD))
    is_held = phase is not JobPhase.COMPLETE
    expected = ("wait", Reason.FRONTEND_UNREACHABLE) if is_held else ("fail", Reason.RUNTIME_PODS_NOT_FOUND)
    assert taken == expected


def test_it_restarts_no_pod() -> None:
    """Others are responsible for the servers; a gate in its place restarts them."""
    crashed = runtime(in_back_off("frontend", -90_000))
    seen = before_the_bootstrap(runtime=crashed, frontend=WHY_DOWN)
    assert isinstance(step(replace(seen, run=Run("run", at(RUN_STARTED))), ALWAYS), RestartPods)
    assert isinstance(step(seen, ALWAYS_GUARD), Wait)


def test_it_does_not_wait_for_servers_to_grow_old() -> None:
    """They answer, read their database and reach history; a gate would restart one that crashes, and so waits for it."""
    new = runtime(pod("matching", started_at=at(-1)))
    seen = before_the_bootstrap(runtime=new)
    assert step(seen, ALWAYS_GUARD) == Pass()
    assert reason(step(replace(seen, run=Run("run", at(RUN_STARTED))), ALWAYS)) == ("wait", Reason.PODS_NOT_STABLE)
    assert reason(step(seen, replace(ALWAYS_GUARD, reachability=Reachability.AUTO))) == ("wait", Reason.PODS_NOT_STABLE)


def test_it_ends_on_a_fault_of_the_servers_without_a_comparison_that_it_may_not_ask_for() -> None:
    """Its sync is retried; and a right to compare is a right to sync."""
    broken = runtime(in_back_off("frontend", -10, Reason.IMAGE_NOT_PULLABLE))
    why = finding(Reason.IMAGE_NOT_PULLABLE, broken.pods[0].about)
    old = application(RUNTIME, compared_at=at(-3600))
    seen = before_the_bootstrap(runtime=broken, frontend=WHY_DOWN, application=old, since={why.key: at(-1000)})
    assert reason(step(seen, ALWAYS_GUARD)) == ("fail", Reason.IMAGE_NOT_PULLABLE)


def test_it_runs_no_failed_schema_job_again_where_the_schemas_are_right() -> None:
    """Nothing of the migrations may hold a fix of the runtime then; that Job is a gate's to run again."""
    plain = application(MIGRATIONS, jobs=(managed(),), health="Degraded")
    failed = migration(MigrationPhase.FAILED, application=plain, jobs=(job(JobPhase.FAILED),))
    assert isinstance(step(observation(migration=failed), policy()), Migrate)
    assert step(world(migration=failed)) == Pass()


def test_an_application_of_its_own_that_it_may_not_read_is_told() -> None:
    """It holds all the same, but cannot see whether a newer commit waits."""
    unread = unknown(Reason.API_FORBIDDEN, "Application")
    assert reason(step(replace(world(), guarded=unread))) == ("pass", Reason.API_FORBIDDEN)


# --- when it makes way --------------------------------------------------------------------------------------------


WAITING: dict[str, Any] = {"stores": stores(default=unknown(Reason.DATABASE_UNREACHABLE, "store default"))}


def test_a_newer_commit_ends_one_that_waits() -> None:
    """Argo CD would not sync it before this sync has ended; what was still missing is said."""
    taken = step(world(at_an_old_commit(), **WAITING))
    assert reason(taken) == ("fail", Reason.GUARD_SUPERSEDED)
    assert isinstance(taken, Fail)
    assert taken.finding.reason.exit_code is ExitCode.SUPERSEDED
    for word in (*REVISION, *OLDER_REVISION, "DatabaseUnreachable"):
        assert word in taken.finding.detail


def test_a_newer_commit_ends_one_that_would_act_for_the_old_one() -> None:
    assert reason(step(world(at_an_old_commit(), stores=BEHIND))) == ("fail", Reason.GUARD_SUPERSEDED)


def test_one_that_can_pass_passes_whatever_git_says() -> None:
    """A rollback, a busy repository: its own commit may be applied."""
    assert step(world(at_an_old_commit())) == Pass()


def test_one_that_fails_says_its_own_reason() -> None:
    spent = replace(attempted(3), application=application(MIGRATIONS))
    assert reason(step(world(at_an_old_commit(), stores=BEHIND, migration=spent))) == ("fail", Reason.MIGRATION_FAILED)


@pytest.mark.parametrize(
    ("guarded", "changes"),
    [
        (being_synced(), {}),
        (replace(at_an_old_commit(), compared_at=None), {}),
        (replace(at_an_old_commit(), compared_at=at(RUN_STARTED + 5)), {}),
        (at_an_old_commit(phase=OperationPhase.SUCCEEDED), {}),
        (replace(at_an_old_commit(), operation=None), {}),
        (replace(at_an_old_commit(), revisions=()), {}),
        (being_synced(operation=operation(OperationPhase.RUNNING, revisions=(), is_automated=True)), {}),
        (at_an_old_commit(is_automated=False), {}),
        (at_an_old_commit(), {"migration": migration(MigrationPhase.RUNNING, jobs=(
            job(JobPhase.RUNNING, job().ref, job_pod(container("schema", running_since=at(-30)))),))}),
    ],
    ids=[
        "git is where this sync is", "never compared", "compared with what was there as the sync began",
        "the sync has ended", "no sync at all", "nothing is known of git", "nor of the sync",
        "a person asked for an old commit", "a migration works: the newer commit's guard would wait, too",
    ],
)  # fmt: skip
def test_else_it_waits(guarded: Application, changes: dict[str, Any]) -> None:
    assert isinstance(step(world(guarded, **WAITING | changes)), Wait)


def test_a_commit_that_it_saw_come_needs_no_second_comparison() -> None:
    """The next one may be minutes away, without a webhook."""
    soon = replace(at_an_old_commit(), compared_at=at(RUN_STARTED + 1))
    seen = replace(world(soon, **WAITING), guarded_at_first=OLDER_REVISION)
    assert reason(step(seen)) == ("fail", Reason.GUARD_SUPERSEDED)


def test_a_persons_sync_is_ended_by_a_commit_that_comes_while_it_waits() -> None:
    by_hand = at_an_old_commit(is_automated=False)
    seen = replace(world(by_hand, **WAITING), guarded_at_first=OLDER_REVISION)
    assert reason(step(seen)) == ("fail", Reason.GUARD_SUPERSEDED)


def test_a_guard_of_several_sources_is_ended_by_a_commit_to_any() -> None:
    old = being_synced(operation=operation(OperationPhase.RUNNING, revisions=("a", "b"), is_automated=True))
    assert reason(step(world(replace(old, revisions=("a", "c")), **WAITING))) == ("fail", Reason.GUARD_SUPERSEDED)
    assert isinstance(step(world(replace(old, revisions=("a", "b")), **WAITING)), Wait)


# --- how a gate sees the guard of another -------------------------------------------------------------------------


def guard_job(phase: JobPhase = JobPhase.RUNNING, **changes: Any) -> Job:
    return replace(job(phase, GUARD_JOB, makes_schema=False), guards=True, **changes)


HELD = operation(OperationPhase.RUNNING, waits_for=GUARD_JOB)
PAUSING = operation(OperationPhase.PAUSING)
FAILED = operation(OperationPhase.FAILED)
NO_PODS = Runtime()
OLD = runtime(
    *(pod(one, image="temporalio/server:1.28.2") for one in ("frontend", "history", "matching", "worker")),
)


def held_runtime(phase: JobPhase = JobPhase.RUNNING, **changes: Any) -> Observation:
    shown = {"operation": HELD, "sync": "OutOfSync", "hook_jobs": (GUARD_JOB,)} | changes.pop("application", {})
    seen = {GUARD_JOB: guard_job(phase)}
    world: dict[str, Any] = {"frontend": WHY_DOWN, "runtime": NO_PODS, "downstream": {}}
    return observation(application=application(RUNTIME, **shown), jobs=seen, **world | changes)


@pytest.mark.parametrize("pods", [NO_PODS, OLD], ids=["no server yet", "servers of the release before"])
@pytest.mark.parametrize(
    ("phase", "synced"),
    [(JobPhase.RUNNING, HELD), (JobPhase.FAILED, FAILED), (JobPhase.FAILED, PAUSING)],
    ids=["waits", "failed", "is tried again"],
)
def test_a_runtime_that_its_guard_holds_is_ahead(phase: JobPhase, synced: Operation, pods: Runtime) -> None:
    """Nothing of it was applied: a gate that waited for its servers would wait for what waits for the schemas."""
    seen = held_runtime(phase, application={"operation": synced}, runtime=pods)
    assert stage(seen, policy()) is Stage.AHEAD
    assert step(seen, policy()) == Pass()


def test_the_list_says_that_a_guard_holds_the_runtime() -> None:
    (item,) = (one for one in checklist.items(held_runtime(), policy()) if one.subject == "runtime's Application")
    assert (item.mark, item.seen) == (checklist.Mark.NOT_ASKED, f"its guard holds it: Job {GUARD_JOB} is running")


def test_servers_of_the_release_are_asked_for_though_a_guard_holds() -> None:
    """A sync of what was rolled out before: what crash-loops, and what is downstream, is repaired."""
    seen = held_runtime(runtime=runtime())
    assert stage(seen, policy()) is Stage.REACHED


def test_a_guard_that_passed_holds_nothing() -> None:
    """Nor one whose Job cannot be read, nor a Job that is no guard."""
    passed = held_runtime(JobPhase.COMPLETE)
    unread = replace(passed, jobs={GUARD_JOB: unknown(Reason.API_FORBIDDEN)})
    another = replace(passed, jobs={GUARD_JOB: replace(guard_job(), guards=False)})
    over = held_runtime(application={"operation": operation(), "sync": "Synced"})
    for seen in (passed, unread, another, over):
        assert stage(seen, policy()) is Stage.REACHED


def failed_guard(**changes: Any) -> Observation:
    """What a watchdog sees: its gate's Application is all right, the runtime's guard failed."""
    return held_runtime(
        JobPhase.FAILED, application={"operation": FAILED} | changes.pop("application", {}), gate=application(GATE),
        gate_ref=GATE, **changes,
    )  # fmt: skip


def test_a_watchdog_reopens_the_runtime_whose_guard_failed() -> None:
    """As it does a gate that failed: once, and on a fresh comparison."""
    taken = step(failed_guard(), policy())
    assert isinstance(taken, Resync)
    assert (taken.application.ref, taken.jobs) == (RUNTIME, ())
    again = failed_guard(application={"operation": replace(FAILED, attempt=1)})
    assert step(again, policy()) == Pass()
    old = failed_guard(application={"compared_at": at(-3600)})
    assert isinstance(step(old, policy()), Refresh)
    assert not isinstance(step(replace(failed_guard(), gate=None), policy()), Resync)


@pytest.mark.parametrize(
    "application",
    [
        {"operation": HELD},
        {"operation": PAUSING},
        {"revisions": ("newer",), "policy": SyncPolicy(is_automated=True)},
    ],
    ids=["it waits", "Argo CD tries it again", "Argo CD syncs a newer commit by itself"],
)
def test_it_leaves_alone_what_opens_by_itself(application: dict[str, Any]) -> None:
    assert step(failed_guard(application=application), policy()) == Pass()


def test_a_newer_commit_that_nobody_syncs_is_synced_with_the_guard() -> None:
    assert isinstance(step(failed_guard(application={"revisions": ("newer",)}), policy()), Resync)


def bootstrap(guard: Job | None, *jobs: Job, born: float = -86_400, **changes: Any) -> Observation:
    """A bootstrap with a guard and hook Jobs of its own."""
    seen = [one for one in (guard, *jobs) if one is not None]
    shown = application(BOOTSTRAP, **{"hook_jobs": tuple(one.ref for one in seen)} | changes)
    return observation(
        downstream=downstream(shown),
        jobs={one.ref: one for one in seen},
        stores=stores(default=schema(Store.DEFAULT, born=born)),
        runtime=runtime(*(pod(one, started_at=at(-100)) for one in ("frontend", "history", "matching", "worker"))),
    )


def test_a_bootstrap_that_its_guard_holds_is_waited_for_and_not_called_failing() -> None:
    seen = bootstrap(guard_job(), operation=HELD, sync="OutOfSync")
    assert reason(step(seen, ALWAYS)) == ("wait", Reason.GUARD_HOLDS)
    late = replace(seen, now=at(3600))
    assert reason(step(late, policy())) == ("pass", Reason.GUARD_HOLDS)


def test_a_bootstrap_whose_guard_failed_is_synced_again_as_a_whole() -> None:
    """That runs the guard again, which is no plain Job to be replaced; what failed is the guard, not the bootstrap."""
    taken = step(bootstrap(guard_job(JobPhase.FAILED), operation=FAILED, sync="OutOfSync"), policy())
    assert isinstance(taken, Resync)
    assert taken.jobs == ()
    spent = bootstrap(guard_job(JobPhase.FAILED), operation=FAILED, sync="OutOfSync", attempts_seen=3)
    assert reason(step(spent, ALWAYS)) == ("fail", Reason.GUARD_HOLDS)


def test_a_guard_that_cannot_start_is_named() -> None:
    stuck = job_pod(container("gate", waiting="ImagePullBackOff", waiting_message="not found"))
    stuck = replace(stuck, finding=finding(Reason.IMAGE_NOT_PULLABLE, "pod temporal/guard-x"))
    seen = bootstrap(guard_job(pods=(stuck,)), operation=HELD, sync="OutOfSync")
    taken = step(seen, ALWAYS)
    assert reason(taken) == ("wait", Reason.GUARD_HOLDS)
    assert isinstance(taken, Wait)
    assert "ImageNotPullable" in str(taken.findings[0])


def test_a_guards_job_is_no_evidence_that_the_work_ran_on_the_present_database() -> None:
    """The bootstrap's Job ran before the schema was made, its guard (of a later sync) after it; and the other way about."""
    work = job(JobPhase.COMPLETE, NAMESPACES)
    late = guard_job(JobPhase.COMPLETE, started_at=at(-500), ended_at=at(-490))
    assert isinstance(step(bootstrap(late, work, born=-900), policy()), Resync)
    early, done = guard_job(JobPhase.COMPLETE), replace(work, started_at=at(-600), ended_at=at(-590))
    assert step(bootstrap(early, done, born=-900), policy()) == Pass()


def test_without_a_job_to_be_read_the_work_begins_when_its_guard_ends() -> None:
    """The operation began before: it was held."""
    late, early = at(-500), at(-1700)
    assert step(bootstrap(guard_job(JobPhase.COMPLETE, ended_at=late), born=-900), policy()) == Pass()
    taken = step(bootstrap(guard_job(JobPhase.COMPLETE, ended_at=early), born=-900), policy())
    assert isinstance(taken, Resync)


def test_a_runtime_that_is_ahead_is_ahead_with_a_guard_too() -> None:
    """The guard that passed at the commit before says nothing of this one."""
    seen = replace(held_runtime(JobPhase.COMPLETE), application=ahead(RUNTIME, hook_jobs=(GUARD_JOB,)))
    assert stage(seen, policy()) is Stage.AHEAD


def test_the_deadline_of_a_guard_is_a_deadline() -> None:
    """It passes over nothing that it waits for."""
    taken = planner.step_at_deadline(world(**WAITING), GUARD)
    assert isinstance(taken, Wait)
