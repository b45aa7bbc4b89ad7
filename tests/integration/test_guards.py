"""A guard below its command line: what it asks of Argo CD and Kubernetes, and how a gate treats the guards of others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from field_world import (
    APPLICATIONS,
    BOOTSTRAP,
    HOUR,
    JOBS,
    MIGRATIONS,
    NAMESPACE,
    RUNTIME,
    End,
    Field,
    by_hook,
    worlds,
)
from frontend_stand_in import Server, saying

from hook.adapters.frontend_answers import Question
from hook.observation.findings import Finding
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import JobRef
from lab.api_client import Json
from lab.fake_api import FakeApi

DOWN = {Question.HEALTH: saying(2)}
"""NOT_SERVING."""
GUARD = "data-temporal-guard"
LABELS = {"app.kubernetes.io/name": "temporal-recovery-hook"}
AWAY = Finding(Reason.DATABASE_UNREACHABLE, "store default", "connection refused")
MAY_READ = [{"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get"]}]
MAY_MIGRATE = [{**MAY_READ[0], "verbs": ["patch"], "resourceNames": [MIGRATIONS]}]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    yield from worlds(tmp_path, monkeypatch)


def with_rights(world: Field, *rules: Json) -> None:
    """What the chart gives to a guard, and no more."""
    reads = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}
    logs = {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]}
    owners = {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets"], "verbs": ["list"]}
    world.api.add_user("gate", roles={"argocd": list(rules), NAMESPACE: [reads, logs, owners]})


def under_way(revision: str = "new", *, automated: bool = True) -> Json:
    """The state of a sync of this revision that runs the guard."""
    state = by_hook(GUARD)
    state["syncResult"] |= {"revision": revision}
    return {**state, "operation": {"initiatedBy": {"automated": automated}, "sync": {"revision": revision}}}


def commit_later(world: Field, application: str) -> None:
    """Git has a newer commit once it was looked ten times."""
    looks = iter(range(100))

    def commit() -> None:
        if next(looks) == 10:
            later = world.ago(-1000)
            status = {"sync": {"status": "OutOfSync", "revision": "newer"}, "reconciledAt": later}
            world.client.patch(f"{APPLICATIONS}/{application}", {"status": status})

    world.on_sleep = commit


def guarded_runtime(world: Field, state: Json | None = None) -> None:
    world.application(RUNTIME, sync="OutOfSync", health="Missing", state=state or under_way(), synced=60)


def run_guard(world: Field, own: str = RUNTIME, **changes: Any) -> End:
    run = Run("run", world.now, owner=own, job=JobRef(NAMESPACE, GUARD))
    settings: Json = {"guard": True, "gate": {"name": own}, "runtime": {}, "downstream": [], "deadlineSeconds": 600}
    return world.run(run=run, **settings | changes)


def test_before_the_runtime_it_passes_on_the_schemas_alone(world: Field) -> None:
    """The first rollout: no server is there, its own Application is being synced, and nothing is asked of Temporal."""
    with_rights(world, *MAY_READ)
    world.application(MIGRATIONS)
    guarded_runtime(world)
    with Server(DOWN) as frontend:
        end = run_guard(world, frontend=frontend, runtime={"application": {"name": RUNTIME}, "namespace": NAMESPACE})
    assert (end.reason, end.acts, world.deleted()) == (Reason.PASSED, [], [])
    assert end.waited_for == []


def test_it_has_the_schema_migrated_and_syncs_nothing_else(world: Field) -> None:
    with_rights(world, *MAY_READ, *MAY_MIGRATE)
    world.stores[Store.DEFAULT] = None
    world.application(MIGRATIONS)
    guarded_runtime(world)
    world.on_sync = lambda *_: world.stores.update({Store.DEFAULT: "1.18"})
    end = run_guard(world)
    assert (end.reason, end.acts) == (Reason.PASSED, ["Migrate"])
    assert [name for name, _ in world.operations] == [MIGRATIONS]


def test_before_the_bootstrap_it_waits_for_temporal_and_changes_nothing(world: Field) -> None:
    """Its rights are to read: it asks for no migration, no comparison, no restart."""
    with_rights(world, *MAY_READ)
    world.stores[Store.DEFAULT] = "1.17"
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP, sync="OutOfSync", state=under_way(), synced=60)
    world.servers()
    looks = iter(range(100))

    def migrated_by_others() -> None:
        if next(looks) == 2:
            world.stores[Store.DEFAULT] = "1.18"

    world.on_sleep = migrated_by_others
    end = run_guard(
        world,
        BOOTSTRAP,
        reachability="always",
        migrations={"application": {"name": MIGRATIONS}, "attempts": 0},
        runtime={"application": {"name": RUNTIME}, "namespace": NAMESPACE},
        downstream=[{"name": BOOTSTRAP}],
    )
    assert (end.reason, end.acts, world.operations) == (Reason.PASSED, [], [])
    assert Reason.MIGRATION_AWAITED in {finding.reason for finding in end.waited_for}


NO_SCHEMA: Json = {"reachability": "always", "stores": {}, "migrations": {"strategy": "none"}}


def test_before_what_needs_the_frontend_alone_it_looks_at_no_schema(world: Field) -> None:
    """A database that is away and migrations that are not there do not matter to it; it may read its own Application."""
    with_rights(world, {**MAY_READ[0], "resourceNames": ["orders"]})
    world.stores.update(dict.fromkeys(Store, AWAY))
    world.application("orders", sync="OutOfSync", state=under_way(), synced=60)
    end = run_guard(world, "orders", **NO_SCHEMA)
    assert (end.reason, end.acts, end.waited_for) == (Reason.PASSED, [], [])


def test_before_what_needs_the_frontend_alone_it_waits_and_makes_way(world: Field) -> None:
    """Temporal does not answer; a commit for what it guards ends it, as it ends every guard."""
    with_rights(world, {**MAY_READ[0], "resourceNames": ["orders"]})
    world.application("orders", sync="OutOfSync", state=under_way(), synced=60)
    commit_later(world, "orders")
    with Server(DOWN) as frontend:
        end = run_guard(world, "orders", frontend=frontend, **NO_SCHEMA)
    assert (end.reason, end.acts) == (Reason.GUARD_SUPERSEDED, [])
    assert Reason.FRONTEND_NOT_SERVING in {finding.reason for finding in end.waited_for}


@pytest.mark.parametrize("automated", [True, False], ids=["synced by Argo CD", "synced by a person"])
def test_a_commit_that_comes_while_it_waits_ends_it(world: Field, *, automated: bool) -> None:
    """As its Application's own comparison says; nobody has to tell it."""
    with_rights(world, *MAY_READ)
    world.stores[Store.DEFAULT] = AWAY
    world.application(MIGRATIONS)
    guarded_runtime(world, state=under_way(automated=automated))
    commit_later(world, RUNTIME)
    end = run_guard(world)
    assert (end.reason, end.exit_code, end.acts) == (Reason.GUARD_SUPERSEDED, 10, [])
    assert end.seconds < 300
    for word in ("newer", RUNTIME, "connection refused"):
        assert word in end.text


def test_a_sync_of_an_old_commit_that_a_person_asked_for_waits(world: Field) -> None:
    with_rights(world, *MAY_READ)
    world.stores[Store.DEFAULT] = AWAY
    world.application(MIGRATIONS)
    guarded_runtime(world, state=under_way("old", automated=False))
    assert run_guard(world).reason is Reason.DEADLINE_EXCEEDED


def guard_job(world: Field, *, ended: str | None = None, age: float = 60) -> None:
    world.job(GUARD, ended=ended, age=age, tool="temporal-recovery-hook")
    world.client.patch(f"{JOBS}/{GUARD}", {"metadata": {"labels": LABELS}})


def delete_guard_job(world: Field) -> None:
    world.client.delete(f"{JOBS}/{GUARD}")


@pytest.mark.parametrize("ended", [None, "Failed"])
def test_a_gate_passes_while_the_runtimes_guard_holds(world: Field, *, ended: str | None) -> None:
    """Everything synced at once: neither waits for the other. Without the label on the Job it is a runtime like any."""
    world.application(MIGRATIONS)
    failed = under_way() | {"phase": "Failed", "message": "", "finishedAt": world.ago(30)}
    guarded_runtime(world, state=under_way() if ended is None else failed)
    guard_job(world, ended=ended)
    with Server(DOWN) as frontend:
        end = world.run(frontend=frontend, downstream=[])
        assert (end.reason, end.acts) == (Reason.PASSED, [])
        world.client.patch(f"{JOBS}/{GUARD}", {"metadata": {"labels": None}})
        assert world.run(frontend=frontend, downstream=[]).reason is not Reason.PASSED


def test_a_bootstrap_whose_guard_failed_is_synced_again(world: Field) -> None:
    """By a full sync, which runs its guard again; and it is not the bootstrap that is said to have failed."""
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    failed = under_way() | {"phase": "Failed", "message": "", "finishedAt": world.ago(30)}
    world.application(BOOTSTRAP, sync="OutOfSync", state=failed, synced=60)
    world.servers()
    guard_job(world, ended="Failed")
    world.on_sync = lambda *_: delete_guard_job(world)
    end = world.run()
    assert end.reason is Reason.PASSED
    (sync,) = world.syncs_of(BOOTSTRAP)
    assert "resources" not in sync


def test_the_guard_of_a_later_sync_does_not_hide_work_on_a_database_that_is_gone(world: Field) -> None:
    """The bootstrap's Job is older than the database, its guard younger."""
    world.born = HOUR
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    made = by_hook("create-namespaces")["syncResult"]["resources"] + by_hook(GUARD)["syncResult"]["resources"]
    world.application(BOOTSTRAP, synced=HOUR / 2, state={"syncResult": {"resources": made}})
    world.servers(age=HOUR / 4)
    world.job("create-namespaces", ended="Complete", age=2 * HOUR, tool="temporal")
    guard_job(world, ended="Complete", age=HOUR / 2)
    end = world.run()
    assert end.reason is Reason.PASSED
    assert len(world.syncs_of(BOOTSTRAP)) == 1


def test_a_watchdog_syncs_a_runtime_whose_guard_failed(world: Field) -> None:
    """And its own Application, which is all right, is left alone."""
    own = "data-temporal-recovery-hook"
    patches = {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "patch"]}
    with_rights(world, patches)
    world.application(MIGRATIONS)
    world.application(own)
    failed = under_way() | {"phase": "Failed", "message": "", "finishedAt": world.ago(30)}
    guarded_runtime(world, state=failed)
    guard_job(world, ended="Failed")
    world.on_sync = lambda *_: delete_guard_job(world)
    with Server(DOWN) as frontend:
        world.run(frontend=frontend, downstream=[], reopenGate=True, deadlineSeconds=300)
    assert [name for name, _ in world.operations] == [RUNTIME]


def test_the_fake_api_is_the_one_that_refuses(world: Field) -> None:
    """The tests above can fail: without the right to ask, a guard that has to migrate ends on it."""
    assert isinstance(world.api, FakeApi)
    with_rights(world, *MAY_READ)
    world.stores[Store.DEFAULT] = "1.17"
    world.application(MIGRATIONS)
    guarded_runtime(world)
    assert run_guard(world).reason is Reason.API_FORBIDDEN
