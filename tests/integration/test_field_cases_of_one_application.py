"""One Application that holds schema and servers, from Argo CD's own objects to the run's end.

What Argo CD says while it syncs: ``waiting for completion of hook batch/Job/NAME``, ``waiting for healthy state of
apps/Deployment/NAME`` (setRunningPhase in gitops-engine's pkg/sync/sync_context.go); the shape of Temporal's chart 1.x:
temporalio/helm-charts, tag temporal-1.6.0, charts/temporal/templates.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field_world import (
    APPLICATIONS,
    BOOTSTRAP,
    DAY,
    HOUR,
    JOBS,
    PODS,
    RIGHT,
    RUNTIME,
    SCHEMA_JOB,
    End,
    Field,
    by_hook,
    managed,
    worlds,
)

from hook.observation.reasons import Reason
from hook.observation.versions import Store
from lab.api_client import Json

NAMESPACES = "temporal-namespace-1-6-0-1"
INIT = ("manage-schema-default-store", "manage-schema-visibility-store")
AUTOMATED: Json = {"syncPolicy": {"automated": {}}}
DEPLOYMENT = managed("temporal-history", "Deployment", group="apps")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    yield from worlds(tmp_path, monkeypatch)


def run(world: Field, **changes: Any) -> End:
    """The gate of examples/chart-1.x/one-application."""
    one = {"name": RUNTIME}
    return world.run(**{"migrations": {"application": one, "beforeServers": True}, "reachability": "always", **changes})


def pre_sync(**changes: Any) -> Json:
    """The operationState of a sync that waits for the schema Job."""
    found = by_hook()
    found["syncResult"]["resources"][0]["hookType"] = "PreSync"
    return found | changes


def test_fresh(world: Field) -> None:
    """Nobody syncs it for half a minute: the gate has all of it synced, by which schema and servers are made."""
    world.stores = dict.fromkeys(Store)
    world.application(RUNTIME, sync="OutOfSync", health="Missing", state={}, spec=AUTOMATED)
    world.application(BOOTSTRAP)

    def sync(name: str, _: object) -> None:
        if name != RUNTIME:
            return
        world.stores = dict(RIGHT)
        world.servers(age=0)
        world.client.patch(f"{APPLICATIONS}/{RUNTIME}", {"status": {"sync": {"status": "Synced", "revision": "new"}}})

    world.on_sync = sync
    end = run(world)
    assert end.reason is Reason.PASSED, end.text
    (asked,) = world.syncs_of(RUNTIME)
    assert asked["revision"] == "new"
    assert "resources" not in asked
    assert Reason.MIGRATION_PENDING in {one.reason for one in end.waited_for}
    assert Reason.RUNTIME_PODS_NOT_FOUND not in {one.reason for one in end.waited_for}


@pytest.mark.parametrize("from_nothing", [True, False], ids=["fresh", "upgrade"])
def test_its_own_sync(world: Field, *, from_nothing: bool) -> None:
    """Argo CD syncs it: the gate waits for the hook, touches no pod of the release before, and writes nothing."""
    world.stores[Store.VISIBILITY] = None if from_nothing else "1.8"
    world.application(RUNTIME, sync="OutOfSync", synced_to="new", state=pre_sync(), spec=AUTOMATED)
    world.application(BOOTSTRAP)
    world.job(init=INIT)
    world.pod("schema-x", job=SCHEMA_JOB, init={INIT[1]: world.running(10)}, containers={"done": {}})
    if not from_nothing:
        world.servers()
    turns = itertools.count()

    def sleep() -> None:
        if next(turns) != 10:
            return
        world.stores = dict(RIGHT)
        if from_nothing:
            world.servers(age=0)
        for path in (f"{JOBS}/{SCHEMA_JOB}", f"{PODS}/schema-x"):  # as its policy says
            world.client.delete(path)
        result = pre_sync()["syncResult"] | {"revision": "new"}
        ended = {
            "phase": "Succeeded",
            "message": "successfully synced",
            "syncResult": result,
            "finishedAt": world.ago(0),
        }
        synced = {"sync": {"status": "Synced", "revision": "new"}, "operationState": ended}
        world.client.patch(f"{APPLICATIONS}/{RUNTIME}", {"status": synced})

    world.on_sleep = sleep
    end = run(world)
    assert end.reason is Reason.PASSED, end.text
    assert world.operations == []
    assert world.deleted() == []
    assert Reason.MIGRATION_RUNNING in {one.reason for one in end.waited_for}


def test_incident(world: Field) -> None:
    """The database is empty, a server crash-loops, the hook is gone: all is synced. The namespaces' Job is no schema's.

    The servers that run were made for the database before.
    """
    world.stores = dict.fromkeys(Store)
    done = {"syncResult": {"resources": pre_sync()["syncResult"]["resources"]}}
    world.application(RUNTIME, health="Progressing", state=done, resources=(managed(NAMESPACES), DEPLOYMENT))
    world.application(BOOTSTRAP)
    world.job(NAMESPACES, ended="Complete", tool="temporal")
    crash_looping(world)

    def sync(name: str, _: object) -> None:
        if name == RUNTIME:
            world.stores = dict(RIGHT)

    world.on_sync = sync
    end = run(world)
    assert end.reason is Reason.PASSED, end.text
    (asked,) = world.syncs_of(RUNTIME)
    assert "resources" not in asked
    assert {name.split("-")[1] for name in world.deleted()} == {"frontend", "history", "matching", "worker"}


def crash_looping(world: Field) -> None:
    """Servers of which one has waited in back-off since long; the ReplicaSet of each makes another when it is deleted."""
    world.servers("history")
    world.deployment("history")
    crashed = {"temporal-history": world.back_off(5, crashed=HOUR / 2)}
    world.pod("temporal-history-0", component="history", containers=crashed)

    def replace_it() -> None:
        there = {one["metadata"]["name"] for one in world.client.list(PODS)}
        for component in (name.split("-")[1] for name in world.deleted()):
            if (name := f"temporal-{component}-1") not in there:
                up, ready = {f"temporal-{component}": world.running(60)}, [{"type": "Ready", "status": "True"}]
                world.pod(name, component=component, containers=up, age=0, conditions=ready)

    world.on_sleep = replace_it


@pytest.mark.parametrize("by_now", [True, False])
def test_a_sync_that_argo_cd_gave_up(world: Field, *, by_now: bool) -> None:
    """Its hook failed before the database came: no server was made, and none is without another sync."""
    world.stores = dict(RIGHT) if by_now else dict.fromkeys(Store)
    failed = pre_sync(phase="Failed", message="one or more synchronization tasks completed unsuccessfully")
    world.application(RUNTIME, sync="OutOfSync", health="Missing", state=failed | {"finishedAt": world.ago(HOUR)})
    world.application(BOOTSTRAP)

    def sync(name: str, _: object) -> None:
        if name == RUNTIME:
            world.stores = dict(RIGHT)
            world.servers(age=0)

    world.on_sync = sync
    end = run(world)
    assert end.reason is Reason.PASSED, end.text
    assert len(world.syncs_of(RUNTIME)) == 1


@pytest.mark.parametrize("behind", [True, False])
def test_a_hook_that_hangs_closes_the_gate(world: Field, *, behind: bool) -> None:
    """By the chart's defaults it is restarted a hundred times; the servers wait for it even where the schemas are right."""
    world.stores[Store.DEFAULT] = "1.17" if behind else "1.18"
    world.application(RUNTIME, health="Progressing", sync="OutOfSync", state=pre_sync())
    world.application(BOOTSTRAP)
    world.servers()
    world.job(init=INIT)
    world.pod("schema-x", job=SCHEMA_JOB, init={INIT[0]: world.back_off(8)}, containers={SCHEMA_JOB: {}})
    world.logs["schema-x", INIT[0]] = "pq: permission denied for table schema_version"
    end = run(world)
    assert (end.reason, end.exit_code) == (Reason.MIGRATION_HANGS, 5)
    assert end.seconds < 200
    for word in (INIT[0], "8 restarts", "permission denied for table", "argocd app terminate-op"):
        assert word in end.text
    assert world.operations == []
    assert world.deleted() == []


@pytest.mark.parametrize("empty", [True, False])
def test_a_sync_that_waits_for_its_servers(world: Field, *, empty: bool) -> None:
    """It is past the schema. Where that is gone since, nobody ends the wait but a person; else the pods are restarted."""
    world.stores = dict.fromkeys(Store) if empty else dict(RIGHT)
    waits = {
        "phase": "Running",
        "finishedAt": None,
        "message": "waiting for healthy state of apps/Deployment/temporal-history",
    }
    world.application(RUNTIME, health="Progressing", state=waits, resources=(DEPLOYMENT,))
    world.application(BOOTSTRAP)
    crash_looping(world)
    end = run(world)
    expected = (Reason.OPERATION_STUCK, []) if empty else (Reason.PASSED, ["RestartPods"])
    assert (end.reason, end.acts) == expected, end.text
    assert world.operations == []
    if empty:
        assert "waiting for healthy state" in end.text
        assert "default is empty" in end.text


@pytest.mark.parametrize("wave", [0, -1])
def test_a_schema_job_in_the_servers_own_wave_is_refused(world: Field, wave: int) -> None:
    """As Temporal's chart 0.x has it: the servers start beside it, and crash until it is done."""
    job = managed(syncWave=wave) if wave else managed()
    world.application(RUNTIME, resources=(job, DEPLOYMENT))
    world.application(BOOTSTRAP)
    world.job(ended="Complete", age=DAY)
    world.servers()
    end = run(world)
    expected = (Reason.PASSED, 0) if wave else (Reason.SCHEMA_JOB_BESIDE_SERVERS, 2)
    assert (end.reason, end.exit_code) == expected


def test_what_else_it_holds_may_need_temporal(world: Field) -> None:
    """The chart's own namespace Job crash-loops until the servers are up: the gate restarts them meanwhile."""
    world.application(RUNTIME, health="Progressing", resources=(managed(NAMESPACES), DEPLOYMENT))
    world.application(BOOTSTRAP)
    world.job(NAMESPACES, tool="temporal", init=("create-default-namespace",))
    world.pod(
        "namespace-x", job=NAMESPACES, init={"create-default-namespace": world.back_off(7)}, containers={"done": {}}
    )
    crash_looping(world)
    end = run(world)
    assert end.reason is Reason.PASSED, end.text
    assert world.deleted() == ["temporal-history-0"]
    assert end.seconds < 60
