"""One Application that holds schema and servers, as Temporal's chart 1.x makes it: its sync migrates and rolls out.

The chart's shape (temporalio/helm-charts, temporal-1.6.0, templates/server-job.yaml, server-namespace-job.yaml): a PreSync
hook Job ``temporal-schema`` that is deleted once it has succeeded, and a plain Job that registers namespaces.
"""

from dataclasses import replace
from typing import Any

import pytest
from test_planner import ALWAYS, AUTO, NEVER, PASSES, Row, case, cases, fail, gist, wait, warned
from worlds import (
    BEHIND,
    EMPTY,
    JOB,
    NAMESPACES,
    NOW,
    OLDER_REVISION,
    RUN_STARTED,
    RUNTIME,
    application,
    at,
    crashed,
    finding,
    in_back_off,
    job,
    job_pod,
    managed,
    observation,
    operation,
    policy,
    running,
    runtime,
    schema,
    seen_for,
    stores,
    unknown,
)

from hook.decision import planner
from hook.decision.policy import OnEmptyDatabase, Policy
from hook.decision.steps import Migrate, Pass
from hook.observation import migrations
from hook.observation.applications import OperationPhase, SyncPolicy
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Observation
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import Job, JobPhase, JobRef, Runtime

TEST = JobRef("temporal", "smoke-test")
RUNNING, FAILED, SUCCEEDED = OperationPhase.RUNNING, OperationPhase.FAILED, OperationPhase.SUCCEEDED
NONE_YET = Runtime()
AUTOMATED = SyncPolicy(is_automated=True)
ABOUT = f"Application {RUNTIME}"
PENDING = Finding(Reason.MIGRATION_PENDING, ABOUT)
WORKING = job(JobPhase.RUNNING, JOB, job_pod(running("manage-schema-default-store")))
HANGING = job(
    JobPhase.RUNNING, JOB, job_pod(crashed("create-default-store", -9), finding=finding(Reason.CRASH_LOOPING, "pod x"))
)
HANG = Finding(Reason.MIGRATION_HANGS, f"Job {JOB}")
REGISTERS = job(JobPhase.RUNNING, NAMESPACES, job_pod(crashed("create-default-namespace", -9)), makes_schema=False)
REGISTERED = job(JobPhase.COMPLETE, NAMESPACES, makes_schema=False)
CRASHED = runtime(in_back_off("history", -3600))
NEVER_SYNCED: dict[str, Any] = {"sync": "OutOfSync", "operation": None, "policy": AUTOMATED}
GIVEN_UP: dict[str, Any] = {"sync": "OutOfSync", "operation": operation(FAILED, message="one or more hooks failed")}
NEWER: dict[str, Any] = {"sync": "OutOfSync", "operation": operation(revisions=OLDER_REVISION)}
FAILED_BEFORE: dict[str, Any] = {"sync": "OutOfSync", "operation": operation(FAILED, revisions=OLDER_REVISION)}
IN_SCHEMA: dict[str, Any] = {
    "sync": "OutOfSync",
    "operation": operation(RUNNING, waits_for=JOB),
    "hook_jobs": (JOB,),
    "pre_sync_jobs": (JOB,),
}
WITH_SERVERS: dict[str, Any] = {"operation": operation(RUNNING, waits_for_health_of="apps/Deployment/temporal-history")}


def held(*jobs: Job | Unknown | None, names: tuple[str, ...] = (), **changes: Any) -> Observation:
    """A world in which these Jobs are what was seen of those that the one Application has, in the order of its own."""
    owner = application(RUNTIME, **changes)
    seen = dict(zip(owner.all_jobs, jobs, strict=False))
    one = migrations.of_application(owner, seen, NOW, holds_servers=True, names=names)
    return observation(migration=one, application=owner)


def world(*jobs: Job | Unknown | None, **changes: Any) -> dict[str, Any]:
    """How that world differs from a healthy one, for a row; what is no field of an Application differs besides."""
    besides: dict[str, Any] = {
        key: changes.pop(key) for key in ("stores", "runtime", "since", "frontend") if key in changes
    }
    seen = held(*jobs, **changes)
    return {"migration": seen.migration, "application": seen.application, **besides}


def row(name: str, expected: object, changes: dict[str, Any], asked: Policy = AUTO) -> Row:
    return case(name, expected, asked, **changes)


def attempted(number: int, **changes: Any) -> dict[str, Any]:
    """Its last operation, as this run's attempt of that number."""
    return {"operation": operation(FAILED, attempt=number, **changes), "sync": "OutOfSync", "attempts_seen": number}


FRESH = cases(
    row("RollingSync is about to sync it", wait(Reason.MIGRATION_PENDING),
        world(stores=EMPTY, runtime=NONE_YET, **NEVER_SYNCED)),
    row("nobody synced it", ("migrate", 1),
        world(stores=EMPTY, runtime=NONE_YET, since=seen_for(30, PENDING), **NEVER_SYNCED)),
    row("its schema Job works", wait(Reason.MIGRATION_RUNNING),
        world(WORKING, stores=EMPTY, runtime=NONE_YET, **IN_SCHEMA), ALWAYS),
    row("its schema Job works on the last of it", wait(Reason.MIGRATION_RUNNING),
        world(WORKING, runtime=NONE_YET, **IN_SCHEMA)),
    row("its schema Job was deleted a moment ago, as its policy says",
        wait(Reason.OPERATION_STUCK, Reason.MIGRATION_RUNNING), world(None, runtime=NONE_YET, **IN_SCHEMA)),
    row("its schema Job may not be read", wait(Reason.MIGRATION_RUNNING),
        world(unknown(Reason.API_FORBIDDEN), stores=EMPTY, runtime=NONE_YET, **IN_SCHEMA)),
    row("its Job waits for a database that comes later, for as long as Kubernetes lets it",
        wait(Reason.MIGRATION_HANGS, Reason.MIGRATION_RUNNING, Reason.DATABASE_UNREACHABLE),
        world(HANGING, stores=stores(default=unknown(Reason.DATABASE_UNREACHABLE)), runtime=NONE_YET,
              since=seen_for(9999, HANG), **IN_SCHEMA)),
    row("its servers start", wait(Reason.FRONTEND_UNREACHABLE),
        world(frontend=unknown(Reason.FRONTEND_UNREACHABLE), **WITH_SERVERS)),
)  # fmt: skip


@FRESH
def test_a_fresh_rollout(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    """Its own sync brings it; the gate waits for that, then has it begin, and judges no servers that are not made."""
    assert gist(planner.next_step(observation(**changes), policy)) == expected


INCIDENT = cases(
    row("the database is empty, and the Job is gone with its success", ("migrate", 1),
        world(None, stores=EMPTY, hook_jobs=(JOB,))),
    row("another Job of it is no schema's", ("migrate", 1), world(REGISTERED, stores=EMPTY, jobs=(managed(NAMESPACES),))),
    row("it was not compared since the run began", ("refresh", RUNTIME),
        world(stores=EMPTY, compared_at=at(RUN_STARTED))),
    row("a sync runs, for another reason", wait(Reason.MIGRATION_RUNNING),
        world(stores=EMPTY, operation=operation(RUNNING), compared_at=at(RUN_STARTED))),
    row("Argo CD pauses between retries", wait(Reason.MIGRATION_PAUSING),
        world(stores=EMPTY, operation=operation(OperationPhase.PAUSING))),
    row("the schemas are right, and pods wait out an old crash", ("restart", "temporal-history-0"), world(runtime=CRASHED)),
    row("they do so while the namespaces' Job waits for them", ("restart", "temporal-history-0"),
        world(REGISTERS, runtime=CRASHED, jobs=(managed(NAMESPACES),))),
    row("they do so while the sync waits for their health", ("restart", "temporal-history-0"),
        world(runtime=CRASHED, **WITH_SERVERS)),
    row("the sync waits for servers whose schema is gone", wait(Reason.OPERATION_STUCK),
        world(stores=EMPTY, **WITH_SERVERS)),
    row("it does so for the grace", fail(Reason.OPERATION_STUCK),
        world(stores=EMPTY, since=seen_for(120, Finding(Reason.OPERATION_STUCK, ABOUT)), **WITH_SERVERS)),
    row("a test after the sync fails for want of a schema", wait(Reason.OPERATION_STUCK),
        world(job(JobPhase.RUNNING, TEST, makes_schema=False), stores=EMPTY, hook_jobs=(TEST,),
              operation=operation(RUNNING, waits_for=TEST))),
    row("its sync was given up, and the schemas are right by now", ("migrate", 1),
        world(runtime=NONE_YET, **GIVEN_UP), ALWAYS),
    row("… and it was not compared since", ("refresh", RUNTIME),
        world(runtime=NONE_YET, compared_at=at(RUN_STARTED), **GIVEN_UP)),
    row("… and this run's attempt has just failed", wait(Reason.MIGRATION_PAUSING),
        world(runtime=NONE_YET, compared_at=at(-2), **attempted(1, finished_at=at(-5)))),
    row("… for the last time", warned(Reason.MIGRATION_FAILED), world(**attempted(3))),
    row("… under always", fail(Reason.MIGRATION_FAILED), world(**attempted(3)), ALWAYS),
    row("… and nobody asks for the servers", PASSES, world(**GIVEN_UP), NEVER),
    row("… and Argo CD does not process it", warned(Reason.RECONCILIATION_SKIPPED), world(skips_reconcile=True, **GIVEN_UP)),
)  # fmt: skip


@INCIDENT
def test_the_incident(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    """A database that is empty under servers that are there, or a sync that nobody begins again."""
    assert gist(planner.next_step(observation(**changes), policy)) == expected


UPGRADE = cases(
    row("RollingSync is about to bring the release, and its schema", wait(Reason.MIGRATION_PENDING),
        world(stores=BEHIND, policy=AUTOMATED, **NEWER)),
    row("it does not", ("migrate", 1), world(stores=BEHIND, policy=AUTOMATED, since=seen_for(30, PENDING), **NEWER)),
    row("the release needs no other schema: its pods are to be seen all the same", wait(Reason.MIGRATION_PENDING),
        world(policy=AUTOMATED, **NEWER), ALWAYS),
    row("RollingSync is at an earlier step", PASSES, world(policy=AUTOMATED, since=seen_for(30, PENDING), **NEWER)),
    row("an older commit's sync failed, and only a person syncs this one", warned(Reason.RUNTIME_DRIFTS),
        world(**FAILED_BEFORE)),
    row("Argo CD begins again by itself", wait(Reason.MIGRATION_PAUSING),
        world(operation=operation(OperationPhase.PAUSING))),
    row("it does so for ten minutes", warned(Reason.MIGRATION_PAUSING),
        world(operation=operation(OperationPhase.PAUSING)), policy(patience=AUTO.patience * 0)),
    row("a sync window is closed", wait(Reason.MIGRATION_BLOCKED),
        world(operation=operation(OperationPhase.BLOCKED)), ALWAYS),
)  # fmt: skip


@UPGRADE
def test_an_upgrade(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    """Its sync brings schema and servers: it is left to Argo CD for a while, and not passed over while it is on its way."""
    assert gist(planner.next_step(observation(**changes), policy)) == expected


CLOSED = cases(
    row("its schema Job hangs, and the schemas are behind", fail(Reason.MIGRATION_HANGS),
        world(HANGING, stores=BEHIND, since=seen_for(120, HANG), **IN_SCHEMA)),
    row("… or right: the servers wait for it all the same", fail(Reason.MIGRATION_HANGS),
        world(HANGING, since=seen_for(120, HANG), **IN_SCHEMA)),
    row("three attempts failed", fail(Reason.MIGRATION_FAILED), world(stores=BEHIND, **attempted(3))),
    row("its migration brings an older schema", fail(Reason.MIGRATION_LEFT_SCHEMA_BEHIND),
        world(stores=BEHIND, operation=operation(SUCCEEDED, attempt=1), attempts_seen=1)),
    row("a restore may be under way", fail(Reason.DATABASE_EMPTY),
        world(stores=EMPTY), policy(on_empty_database=OnEmptyDatabase.FAIL)),
    row("its schema Job is in the servers' wave, as in chart 0.x", fail(Reason.SCHEMA_JOB_BESIDE_SERVERS),
        world(WORKING, stores=EMPTY, jobs=(managed(),), server_wave=0)),
    row("in the wave before, it is migrated by its Job alone", ("migrate", 1),
        world(job(), stores=EMPTY, jobs=(managed(wave=-1), managed(NAMESPACES)), server_wave=0)),
    row("another program's schema is made beside them, Temporal's by the hook", PASSES,
        world(job(), None, jobs=(managed(),), hook_jobs=(TEST,), pre_sync_jobs=(TEST,), server_wave=0)),
    row("a Job beside them that makes no schema is no fault", PASSES,
        world(REGISTERED, jobs=(managed(NAMESPACES),), server_wave=0)),
)  # fmt: skip


@CLOSED
def test_a_gate_that_stays_closed(changes: dict[str, Any], policy: Policy, expected: object) -> None:
    assert gist(planner.next_step(observation(**changes), policy)) == expected


@pytest.mark.parametrize(
    ("seen", "jobs"),
    [
        (held(None, hook_jobs=(JOB,)), ()),
        (held(REGISTERED, jobs=(managed(NAMESPACES),)), ()),
        (held(job(), None, jobs=(managed(),), hook_jobs=(TEST,), pre_sync_jobs=(TEST,), server_wave=0), ()),
        (held(job(), REGISTERED, jobs=(managed(wave=-1), managed(NAMESPACES))), (JOB,)),
        (held(REGISTERED, jobs=(managed(NAMESPACES),), names=(NAMESPACES.name,)), (NAMESPACES,)),
        (held(unknown(Reason.API_FORBIDDEN), jobs=(managed(),)), ()),
        (held(unknown(Reason.API_FORBIDDEN), jobs=(managed(),), names=(JOB.name,)), ()),
    ],
)
def test_what_is_synced(seen: Observation, jobs: tuple[JobRef, ...]) -> None:
    """All of it, which runs the hook, but for a plain Job that makes the schema: never one that does other work."""
    taken = planner.next_step(replace(seen, stores=EMPTY), AUTO)
    assert isinstance(taken, Migrate)
    assert taken.jobs == jobs


def test_a_custom_hook_is_known_by_its_name() -> None:
    """A Sync hook that runs a team's own program is the migration where it is named, and not else."""
    own = job(JobPhase.RUNNING, TEST, makes_schema=False)
    changes: dict[str, Any] = {"operation": operation(RUNNING, waits_for=TEST), "hook_jobs": (TEST,)}
    named, other = (held(own, names=names, **changes).migration for names in ((TEST.name,), ()))
    assert not isinstance(named, Unknown)
    assert not isinstance(other, Unknown)
    assert (named.phase, other.phase) == (MigrationPhase.RUNNING, MigrationPhase.WITH_SERVERS)


def test_the_health_that_its_schema_job_lacks_is_the_migrations() -> None:
    """A plain Job in a wave of its own: Argo CD says that it waits for its health, as it does of a server."""
    waits = operation(RUNNING, waits_for_health_of=f"batch/Job/{JOB.name}")
    one = held(job(JobPhase.RUNNING), jobs=(managed(wave=-1),), operation=waits).migration
    assert not isinstance(one, Unknown)
    assert one.phase is MigrationPhase.RUNNING


def test_a_hang_says_what_a_commit_does_not_end() -> None:
    """The operation goes on with the commit before until it is terminated: a retry takes a newer one, a wait does not."""
    one = held(HANGING, **IN_SCHEMA).migration
    assert not isinstance(one, Unknown)
    assert one.hang is not None
    assert "argocd app terminate-op" in one.hang.remedy
    assert "argocd app terminate-op" not in str(held(HANGING, jobs=(managed(wave=-1),)).migration)


def test_its_health_is_the_servers_and_no_note_on_the_migration() -> None:
    """What may not be read is told all the same."""
    seen = held(
        job(), unknown(Reason.API_FORBIDDEN), jobs=(managed(wave=-1), managed(NAMESPACES)), health="Progressing"
    )
    taken = planner.next_step(seen, AUTO)
    assert isinstance(taken, Pass)
    assert [one.reason for one in taken.warnings] == [Reason.JOBS_UNSEEN]


def test_a_plain_schema_job_that_failed_is_run_again_and_no_other() -> None:
    """The schemas are right; the Job that registers namespaces needs Temporal, which is asked for later."""
    other = job(JobPhase.FAILED, NAMESPACES, makes_schema=False)
    seen = held(job(JobPhase.FAILED), other, jobs=(managed(wave=-1), managed(NAMESPACES)))
    taken = planner.next_step(replace(seen, stores=stores(default=schema(Store.DEFAULT))), AUTO)
    assert isinstance(taken, Migrate)
    assert taken.jobs == (JOB,)
