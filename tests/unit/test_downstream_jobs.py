"""What becomes of the Jobs after Temporal, each judged by itself."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    BOOTSTRAP,
    NAMESPACES,
    OLDER_REVISION,
    RUNTIME,
    ahead,
    application,
    at,
    container,
    crashed,
    downstream,
    ended,
    finding,
    job,
    job_pod,
    managed,
    observation,
    operation,
    pod,
    policy,
    running,
    runtime,
    schema,
    stores,
    unknown,
)

from hook.decision import planner
from hook.decision.policy import Policy, Reachability
from hook.decision.steps import Fail, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.observation.applications import Application, Operation, OperationPhase, SyncPolicy
from hook.observation.findings import Unknown
from hook.observation.observation import Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Job, JobPhase, JobRef, Runtime
from hook.report import checklist

OTHER = JobRef("temporal", "add-search-attributes")
UNSEEN = unknown(Reason.API_FORBIDDEN)
ALWAYS = policy(reachability=Reachability.ALWAYS)
FAILED = job(JobPhase.FAILED, NAMESPACES, message="BackoffLimitExceeded")


def world(*jobs: Job, unseen: tuple[JobRef, ...] = (), missing: tuple[JobRef, ...] = (), **changes: Any) -> Observation:
    """A bootstrap of these plain Jobs."""
    of_world = {key: changes.pop(key) for key in ("stores", "since", "runtime", "now", "absent_at") if key in changes}
    seen: dict[JobRef, Job | Unknown | None] = {one.ref: one for one in jobs}
    seen |= dict.fromkeys(unseen, UNSEEN) | dict.fromkeys(missing)
    plain = changes.pop("jobs", tuple(managed(ref) for ref in seen))
    return observation(downstream=downstream(application(BOOTSTRAP, jobs=plain, **changes)), jobs=seen, **of_world)


def step(seen: Observation, asked: Policy | None = None) -> Step:
    return planner.next_step(seen, asked or policy())


def reasons(taken: Step) -> set[Reason]:
    match taken:
        case Wait(findings) | Pass(findings):
            return {one.reason for one in findings}
        case Fail(one):
            return {one.reason}
    return set()


BORN_LATER = stores(default=schema(Store.DEFAULT, since=-900, born=-900))
YOUNG = runtime(*(pod(one, started_at=at(-800), probed=True) for one in ("frontend", "history", "matching", "worker")))


@pytest.mark.parametrize(
    ("seen", "jobs"),
    [
        (world(FAILED), {NAMESPACES}),
        (world(FAILED, job(ref=OTHER)), {NAMESPACES}),
        (world(FAILED, job(JobPhase.FAILED, OTHER)), {NAMESPACES, OTHER}),
        (world(FAILED, missing=(OTHER,)), set()),
        (world(job(ref=NAMESPACES), stores=BORN_LATER, runtime=YOUNG), {NAMESPACES}),
        (world(FAILED, health="Degraded", operation=operation(OperationPhase.FAILED)), {NAMESPACES}),
        (world(unseen=(NAMESPACES,), health="Degraded"), {NAMESPACES}),
        (
            world(unseen=(NAMESPACES,), health="Degraded", jobs=(managed(NAMESPACES, synced=False, was_synced=False),)),
            set(),
        ),
        (world(health="Degraded"), set()),
        (world(health="Missing"), set()),
    ],
)
def test_what_failed_or_ran_on_a_database_that_is_gone_is_run_again_alone(seen: Observation, jobs: set[JobRef]) -> None:
    """A full sync where one was never made: it makes it with all that it needs (argo-cd 25962)."""
    taken = step(seen)
    assert isinstance(taken, Resync)
    assert (set(taken.jobs), taken.attempt) == (jobs, 1)


@pytest.mark.parametrize(("absent_at", "again"), [(None, False), (-799.5, True), (-800.5, False)])
def test_a_store_that_was_seen_without_a_schema_tells_more_exactly_than_the_clocks(
    absent_at: float | None, *, again: bool
) -> None:
    """The Job ran within the clocks' skew before the schema was made, but before a turn that saw the store empty."""
    done = job(ref=NAMESPACES, created_at=at(-801), started_at=at(-801))
    born = stores(default=schema(Store.DEFAULT, since=-798, born=-798))
    moment = None if absent_at is None else at(absent_at)
    young = runtime(
        *(pod(one, started_at=at(-790), probed=True) for one in ("frontend", "history", "matching", "worker"))
    )
    seen = world(done, stores=born, runtime=young, absent_at=moment)
    taken = step(seen, ALWAYS)
    assert isinstance(taken, Resync if again else Pass)


@pytest.mark.parametrize(("began", "again"), [(-810, True), (-790, False)])
def test_work_that_a_later_container_did_is_not_as_old_as_its_job(began: float, *, again: bool) -> None:
    """The Job was made before the store was seen empty; its container's start is by a node's clock."""
    kept = job(JobPhase.RUNNING, NAMESPACES, job_pod(ended("tool", started=began), running("istio-proxy")))
    kept = replace(kept, created_at=at(-815), started_at=at(-815))
    young = runtime(
        *(pod(one, started_at=at(-780), probed=True) for one in ("frontend", "history", "matching", "worker"))
    )
    born = stores(default=schema(Store.DEFAULT, since=-798, born=-798))
    taken = step(world(kept, stores=born, runtime=young, absent_at=at(-800)), ALWAYS)
    assert isinstance(taken, Resync if again else Pass)


@pytest.mark.parametrize(("started", "again"), [(-810, True), (-801, False)])
def test_a_server_is_not_restarted_for_a_difference_that_clocks_explain(started: float, *, again: bool) -> None:
    """Its start is by its node's clock; when the store was seen empty is by the API server's."""
    pods = (pod(one, started_at=at(started), probed=True) for one in ("frontend", "history", "matching", "worker"))
    done = job(ref=NAMESPACES, created_at=at(-790), started_at=at(-790))
    born = stores(default=schema(Store.DEFAULT, since=-798, born=-798))
    taken = step(world(done, stores=born, runtime=runtime(*pods), absent_at=at(-800)), ALWAYS)
    assert isinstance(taken, RestartPods if again else Pass)


@pytest.mark.parametrize(
    "seen",
    [
        world(job(ref=NAMESPACES)),
        world(job(ref=NAMESPACES), health="Degraded"),
        world(job(ref=NAMESPACES), health="Progressing"),
        world(job(ref=NAMESPACES), health="Suspended"),
        world(job(JobPhase.RUNNING, NAMESPACES, job_pod(ended("tool"), running("istio-proxy")))),
        world(
            job(JobPhase.COMPLETE, NAMESPACES, job_pod(ended("tool", started=-800)), started_at=at(-2000)),
            stores=BORN_LATER,
            runtime=YOUNG,
        ),
    ],
)
def test_what_is_complete_is_left_alone_whatever_stands_next_to_it(seen: Observation) -> None:
    """argo-cd 25551: a CronJob Degraded since 3.2. And when the work began counts, not when the Job was made."""
    assert isinstance(step(seen, ALWAYS), Pass)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (job(JobPhase.SUSPENDED, NAMESPACES), "spec.suspend is true"),
        (
            job(JobPhase.RUNNING, NAMESPACES, job_pod(crashed("tool", -9), finding=finding(Reason.CRASH_LOOPING))),
            "as seen",
        ),
    ],
)
def test_what_hangs_is_named_and_not_waited_for_for_ever(one: Job, words: str) -> None:
    waiting = step(world(one))
    assert isinstance(waiting, Wait)
    assert any(words in told.detail for told in waiting.findings)
    later = world(one, since={told.key: at(-300) for told in waiting.findings})
    assert reasons(step(later, ALWAYS)) == {Reason.DOWNSTREAM_FAILED}
    assert isinstance(step(later, ALWAYS), Fail)
    assert isinstance(step(later), Pass)


def test_what_runs_is_waited_for_though_another_failed() -> None:
    busy = job(JobPhase.RUNNING, OTHER, job_pod(running("tool")))
    assert reasons(step(world(FAILED, busy))) == {Reason.DOWNSTREAM_RUNNING}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"skips_reconcile": True}, Reason.RECONCILIATION_SKIPPED),
        ({"is_being_deleted": True}, Reason.APPLICATION_BEING_DELETED),
        ({"conditions": (("InvalidSpecError", "no such project"),)}, Reason.APPLICATION_INVALID),
    ],
)
def test_what_argo_cd_does_not_process_is_named_where_it_is_needed(changes: dict[str, Any], reason: Reason) -> None:
    waiting = step(world(FAILED, **changes))
    assert reasons(waiting) == {reason}
    assert isinstance(waiting, Wait)
    later = {told.key: at(-300) for told in waiting.findings}
    assert step(world(FAILED, **changes, since=later), ALWAYS) == Fail(waiting.findings[0])
    assert isinstance(step(world(job(ref=NAMESPACES), **changes), ALWAYS), Pass)


def test_a_hook_that_is_gone_is_named() -> None:
    """argo-cd 21055."""
    waits = Operation(OperationPhase.RUNNING, at(-900), None, "waiting for completion", waits_for=NAMESPACES)
    waiting = step(world(missing=(NAMESPACES,), jobs=(), operation=waits))
    assert isinstance(waiting, Wait)
    assert any("does not exist" in told.detail for told in waiting.findings)


def test_a_hook_whose_last_job_was_just_deleted_is_not_lost() -> None:
    """Argo CD sees the deletion a moment later, and then makes the new one (seen in each repair)."""
    waits = Operation(OperationPhase.RUNNING, at(-2), None, "waiting for deletion", waits_for=NAMESPACES)
    waiting = step(world(missing=(NAMESPACES,), jobs=(), operation=waits))
    assert isinstance(waiting, Wait)
    assert [told.reason for told in waiting.findings] == [Reason.DOWNSTREAM_RUNNING]
    ahead_of_us = replace(waits, started_at=at(3600))  # Argo CD's clock: a lost hook must not be hidden by it
    named = step(world(missing=(NAMESPACES,), jobs=(), operation=ahead_of_us))
    assert isinstance(named, Wait)
    assert any("does not exist" in told.detail for told in named.findings)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sync": "Unknown"}, {Reason.COMPARISON_PENDING}),
        ({"operation": operation(attempt=1, finished_at=at(-5)), "compared_at": at(-2)}, {Reason.DOWNSTREAM_PAUSING}),
    ],
)
def test_what_failed_is_synced_on_a_fresh_comparison_and_after_a_pause(
    changes: dict[str, Any], expected: set[Reason]
) -> None:
    assert reasons(step(world(FAILED, **changes))) == expected


def test_jobs_that_may_not_be_read_are_judged_after_a_comparison() -> None:
    """An operation on a Job ends before the Job does (seen)."""
    ours = operation(attempt=1, finished_at=at(-5))
    seen = world(unseen=(NAMESPACES,), operation=ours, compared_at=at(-10))
    assert isinstance(step(seen), Refresh)
    assert reasons(step(world(unseen=(NAMESPACES,), health="Progressing"))) == {Reason.DOWNSTREAM_RUNNING}


def test_after_the_last_attempt_it_is_given_up_with_its_pods_words() -> None:
    failed = replace(FAILED, pods=(job_pod(container("tool"), finding=finding(Reason.CRASH_LOOPING)),))
    used_up = operation(attempt=3)
    taken = step(world(failed, operation=used_up), ALWAYS)
    assert isinstance(taken, Fail)
    assert taken.finding.detail == "Job temporal/create-namespaces failed: as seen"


DRIFTS = application(RUNTIME, sync="OutOfSync", operation=operation(revisions=OLDER_REVISION))


@pytest.mark.parametrize(
    ("servers", "asked", "expected"),
    [
        (runtime(), policy(), {Reason.DOWNSTREAM_FAILED, Reason.RUNTIME_DRIFTS}),
        (runtime(pod("history", started_at=at(-1))), policy(), {Reason.PODS_NOT_STABLE}),
        (runtime(pod("history", ready=False)), ALWAYS, {Reason.PODS_NOT_STABLE}),
    ],
)
def test_what_is_given_up_lowers_no_other_claim(servers: Runtime, asked: Policy, expected: set[Reason]) -> None:
    """It failed at the commit before, where nobody can tell whether its step is still to come: said, and no more."""
    failed = ahead(BOOTSTRAP, operation=operation(OperationPhase.FAILED, revisions=OLDER_REVISION))
    seen = observation(application=DRIFTS, runtime=servers, downstream=downstream(failed))
    taken = step(seen, asked)
    assert reasons(taken) == expected
    assert isinstance(taken, Pass) is (Reason.DOWNSTREAM_FAILED in expected)


def test_one_that_never_ran_while_drifting_is_no_failure() -> None:
    never = ahead(BOOTSTRAP, operation=None)
    seen = observation(application=DRIFTS, downstream=downstream(never))
    assert reasons(step(seen)) == {Reason.RUNTIME_DRIFTS}


@pytest.mark.parametrize(("began", "expected"), [(-1800, Resync), (-850, Pass)])
def test_work_that_was_done_on_a_database_that_is_gone_is_done_again_though_a_sidecar_keeps_its_job(
    began: float, expected: type[Step]
) -> None:
    """Such a Job is never Complete."""
    kept = job_pod(ended("register", started=began), running("istio-proxy"))
    seen = world(job(JobPhase.RUNNING, NAMESPACES, kept), stores=BORN_LATER, runtime=YOUNG)
    taken = step(seen)
    assert isinstance(taken, expected)
    if isinstance(taken, Resync):
        assert taken.jobs == (NAMESPACES,)


@pytest.mark.parametrize("health", ["Progressing", "Suspended"])
def test_a_job_that_may_not_be_read_is_not_replaced_while_argo_cd_sees_it_at_work(health: str) -> None:
    """Nor where its database was replaced: what it does on the new one nobody knows yet (found by the properties)."""
    lost = operation(OperationPhase.SUCCEEDED, started_at=at(-2000), finished_at=at(-1990))
    changes: dict[str, Any] = {"stores": BORN_LATER, "runtime": YOUNG, "operation": lost}
    plain = (replace(managed(NAMESPACES), health=health),)
    at_work = world(unseen=(NAMESPACES,), jobs=plain, **changes)
    assert reasons(step(at_work)) == {Reason.DOWNSTREAM_RUNNING}
    assert checklist.items(at_work, policy())[-1].mark is checklist.Mark.WAITING
    taken = step(world(unseen=(NAMESPACES,), **changes))
    assert isinstance(taken, Resync)
    assert taken.jobs == (NAMESPACES,)


def test_hooks_that_failed_are_run_before_a_plain_job_beside_them() -> None:
    """They may be deleted (HookFailed, a TTL): after a selective operation nothing would tell of them."""
    hook = JobRef("temporal", "hook")
    failed = operation(OperationPhase.FAILED)
    taken = step(world(FAILED, jobs=(managed(NAMESPACES),), hook_jobs=(hook,), operation=failed))
    assert isinstance(taken, Resync)
    assert taken.jobs == ()


STALE = job(ref=NAMESPACES)
"""It ran before its database's schema was made (`BORN_LATER`)."""
AHEAD = ahead(RUNTIME, policy=SyncPolicy(is_automated=True))


def before_the_runtimes_step(bootstrap: Application, *jobs: Job, **changes: Any) -> Observation:
    """A commit for the runtime, after the databases were replaced."""
    seen = {one.ref: one for one in jobs}
    given: dict[str, Any] = {"stores": BORN_LATER, "runtime": YOUNG, "application": AHEAD}
    return observation(**given | {"downstream": downstream(bootstrap), "jobs": seen} | changes)


STANDS = application(BOOTSTRAP, jobs=(managed(NAMESPACES),))
BUSY = operation(OperationPhase.RUNNING)


def test_work_on_a_database_that_is_gone_is_done_again_before_the_runtimes_step() -> None:
    """The commit does not change the bootstrap, so that RollingSync does not sync it (seen: all green, no namespace)."""
    taken = step(before_the_runtimes_step(STANDS, STALE))
    assert isinstance(taken, Resync)
    assert (taken.application.ref, taken.jobs) == (BOOTSTRAP, (NAMESPACES,))
    ours = replace(STANDS, operation=replace(BUSY, attempt=1))
    assert reasons(step(before_the_runtimes_step(ours))) == {Reason.DOWNSTREAM_RUNNING}
    done = job(ref=NAMESPACES, created_at=at(-20), started_at=at(-20))
    assert step(before_the_runtimes_step(STANDS, done)) == Pass()


@pytest.mark.parametrize(
    ("bootstrap", "seen", "changes"),
    [
        (STANDS, (FAILED,), {}),
        (STANDS, (STALE,), {"runtime": Runtime()}),
        (replace(STANDS, operation=operation(OperationPhase.FAILED)), (), {}),
    ],
)
def test_what_the_runtimes_step_may_mend_is_told_and_not_waited_for(
    bootstrap: Application, seen: tuple[Job, ...], changes: dict[str, Any]
) -> None:
    taken = step(before_the_runtimes_step(bootstrap, *seen, **changes))
    assert isinstance(taken, Pass)
    assert reasons(taken) == {Reason.DOWNSTREAM_FAILED}


@pytest.mark.parametrize(
    ("bootstrap", "seen"),
    [
        (replace(STANDS, operation=BUSY), (FAILED,)),
        (STANDS, (FAILED, job(JobPhase.RUNNING, JobRef("temporal", "more")))),
    ],
    ids=["its sync", "a Job"],
)
def test_nothing_is_told_of_one_that_is_at_work(bootstrap: Application, seen: tuple[Job, ...]) -> None:
    """Somebody has synced it, or its sync tries again: how that ends nobody knows."""
    several = replace(bootstrap, jobs=tuple(managed(one.ref) for one in seen))
    assert step(before_the_runtimes_step(several, *seen)) == Pass()


@pytest.mark.parametrize(
    "bootstrap",
    [
        ahead(BOOTSTRAP, jobs=(managed(NAMESPACES),)),
        ahead(BOOTSTRAP, operation=None),
        application(BOOTSTRAP, operation=None),
        unknown(Reason.APPLICATION_MISSING),
    ],
)
def test_what_its_own_step_will_sync_is_left_to_it(bootstrap: Application | Unknown) -> None:
    assert step(before_the_runtimes_step(STANDS, STALE, downstream={BOOTSTRAP: bootstrap})) == Pass()


def test_never_asks_for_no_bootstrap_either() -> None:
    assert step(before_the_runtimes_step(STANDS, STALE), policy(reachability=Reachability.NEVER)) == Pass()


@pytest.mark.parametrize(("seconds", "expected"), [(100, Wait), (130, Pass)])
def test_old_servers_that_do_not_come_up_hold_the_runtimes_step_for_the_grace_alone(
    seconds: float, expected: type[Step]
) -> None:
    """The commit may bring what they lack."""
    down = unknown(Reason.FRONTEND_UNREACHABLE, "frontend")
    seen = before_the_runtimes_step(STANDS, STALE, frontend=down, run=Run("run", at(-seconds)))
    taken = step(seen)
    assert isinstance(taken, expected)
    assert reasons(taken) == {Reason.FRONTEND_UNREACHABLE} | ({Reason.DOWNSTREAM_FAILED} if expected is Pass else set())


@pytest.mark.parametrize(
    ("attempt", "now", "expected"),
    [
        (1, FAILED, Resync),
        (3, FAILED, Pass),
        (1, job(JobPhase.RUNNING, NAMESPACES), Wait),
        (1, job(ref=NAMESPACES, created_at=at(-20), started_at=at(-20)), Pass),
    ],
)
def test_what_this_run_has_synced_before_the_runtimes_step_is_seen_to_its_end(
    attempt: int, now: Job, expected: type[Step]
) -> None:
    """One that fails again, on servers that have just started, is tried as often as after the step."""
    ours = replace(STANDS, operation=operation(attempt=attempt))
    taken = step(before_the_runtimes_step(ours, now))
    assert isinstance(taken, expected)
    if isinstance(taken, Resync):
        assert taken.attempt == attempt + 1
