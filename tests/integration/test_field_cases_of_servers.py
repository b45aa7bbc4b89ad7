"""Public reports, each as the smallest world that shows it: Temporal's servers, and what comes after them."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from field_world import (
    BOOTSTRAP,
    DAY,
    DEPLOYMENTS,
    HOUR,
    JOBS,
    MIGRATIONS,
    RUNTIME,
    SCHEMA_JOB,
    Field,
    managed,
    worlds,
)
from frontend_stand_in import Server, aborting, saying
from grpc import StatusCode

from hook.adapters.frontend_answers import Question
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from hook.observation.workloads import JobRef
from lab import rollout as platform

NAMESPACES = "create-namespaces"
SICK = {Question.HEALTH: saying(2)}
"""NOT_SERVING."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    yield from worlds(tmp_path, monkeypatch)


def rolled_out(world: Field, *without: str, downstream: dict[str, Any] | None = None) -> None:
    """All is right, but that these components have no pods yet; ``downstream`` is the bootstrap's Application."""
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP, **(downstream or {}))
    world.servers(*without)
    for component in without:
        world.deployment(component)


def history(world: Field, name: str = "temporal-history-0", **pod: Any) -> None:
    world.pod(name, component="history", **pod)


# --- servers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("remaining connection slots are reserved for non-replication superuser connections", None),
        ('no pg_hba.conf entry for host "10.0.0.4", user "temporal", database "temporal", no encryption', None),
        ('password authentication failed for user "temporal"', None),
        ("sorry, too many clients already", None),
        ('version mismatch for keyspace/database: "temporal". Expected version: 1.14', "schema"),
        ('relation "schema_version" does not exist', "schema"),
    ],
)
def test_a_server_before_1_25_puts_every_fault_of_its_database_under_one_head(
    world: Field, log: str, reason: str | None
) -> None:
    """canonical/temporal-k8s-operator 55, tryretool/terraform-retool-modules 32, temporal PR 2830."""
    rolled_out(world, "history")
    history(world, containers={"temporal-history": world.back_off(9, crashed=-30)}, age=-5)
    line = {"level": "fatal", "msg": "sql schema version compatibility check failed", "error": f"pq: {log}"}
    world.logs["temporal-history-0", "temporal-history"] = json.dumps(line, separators=(",", ":"))
    with Server(SICK) as frontend:
        end = world.run(frontend=frontend, reachability="always")
    found = {end.reason, *(finding.reason for finding in end.outcome.missing)}
    expected = Reason.RUNTIME_FINDS_NO_SCHEMA if reason else Reason.DATABASE_UNUSABLE_FOR_RUNTIME
    assert expected in found
    assert ({Reason.RUNTIME_FINDS_NO_SCHEMA, Reason.DATABASE_UNUSABLE_FOR_RUNTIME} - {expected}).isdisjoint(found)


def test_what_the_kernel_killed_is_told_so(world: Field) -> None:
    """temporal 8902, k8sgpt PR 792: the last line of its log is a line of information."""
    rolled_out(world, "history")
    history(world, containers={"temporal-history": world.back_off(9, 137, "OOMKilled", -30)}, age=-5)
    world.logs["temporal-history-0", "temporal-history"] = '{"level":"info","msg":"Acquired shard"}'
    end = world.run()
    assert (end.reason, end.warnings) == (Reason.PASSED_WITH_WARNING, {Reason.OUT_OF_MEMORY})
    for word in ("container temporal-history", "9 restarts", "137", "OOMKilled", "memory limit"):
        assert word in end.text
    assert "Acquired shard" not in end.text


@pytest.mark.parametrize(
    ("server", "annotations"),
    [("workflow-history", {}), ("server", {"kubectl.kubernetes.io/default-container": "server"}), ("server", {})],
)
def test_the_server_is_found_behind_a_sidecar_that_was_put_in_front(
    world: Field, server: str, annotations: dict[str, str]
) -> None:
    """istio PR 24737, 44623: holdApplicationUntilProxyStarts; the chart under an alias; an operator's names."""
    rolled_out(world, "history")
    both = {"istio-proxy": world.running(), server: world.back_off(12, crashed=300)}
    history(world, containers=both, annotations=annotations)
    world.logs["temporal-history-0", server] = "panic: something else"
    world.run()
    assert world.deleted()[:1] == ["temporal-history-0"]


def test_a_pod_whose_init_container_crash_loops_is_made_anew(world: Field) -> None:
    """istio 21498, 21409, 21266: only a new pod cures it."""
    rolled_out(world, "history")
    waiting = {"temporal-history": {"state": {"waiting": {"reason": "PodInitializing"}}}}
    history(world, init={"istio-validation": world.back_off(12, crashed=3000)}, containers=waiting, phase="Pending")
    world.run()
    assert world.deleted() == ["temporal-history-0"]


def test_a_new_pod_whose_init_container_crash_loops_is_named(world: Field) -> None:
    """The same, made after the run began: another one would not be better."""
    rolled_out(world, "history")
    waiting = {"temporal-history": {"state": {"waiting": {"reason": "PodInitializing"}}}}
    history(world, init={"istio-validation": world.back_off(3, 126, crashed=-20)}, containers=waiting, age=-10)
    end = world.run()
    assert (world.deleted(), end.warnings) == ([], {Reason.CRASH_LOOPING})
    assert "init container istio-validation: 3 restarts, last exit code 126" in end.text


def test_a_pod_that_is_never_made_is_told_with_its_owners_words(world: Field) -> None:
    """helm-charts 592: PodSecurity refuses it."""
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP)
    world.servers("history")
    said = 'pods "temporal-history-5d4" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    world.deployment("history", conditions=[condition])
    end = world.run()
    assert end.warnings == {Reason.POD_NOT_MADE}
    assert said in end.text


def test_a_mount_that_never_comes_is_told_with_the_events_words(world: Field) -> None:
    """actions-runner-controller 1673: ContainerCreating for twenty minutes."""
    rolled_out(world, "history")
    creating = {"temporal-history": {"state": {"waiting": {"reason": "ContainerCreating"}}}}
    history(world, containers=creating, phase="Pending", age=1200)
    pod = world.client.get(f"/api/v1/namespaces/{platform.NAMESPACE}/pods/temporal-history-0")
    event = {"metadata": {"name": "e1"}, "involvedObject": {"kind": "Pod", "uid": pod["metadata"]["uid"]}}
    event["involvedObject"] |= {"namespace": platform.NAMESPACE, "name": "temporal-history-0"}
    said = {"type": "Warning", "reason": "FailedMount", "message": 'secret "temporal-tls" not found'}
    world.client.create(
        f"/api/v1/namespaces/{platform.NAMESPACE}/events", {**event, **said, "lastTimestamp": world.ago(5)}
    )
    end = world.run()
    assert end.warnings == {Reason.POD_NOT_STARTING}
    assert 'FailedMount: secret "temporal-tls" not found' in end.text
    assert "ContainerCreating since" in end.text


@pytest.mark.parametrize("reachability", ["auto", "always"])
def test_a_selector_that_finds_nothing_is_told(world: Field, reachability: str) -> None:
    """helm-charts 521: an alias or nameOverride changes the label."""
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP)
    other = {"app.kubernetes.io/name": "workflow"}
    world.deployment("history", labels=other)
    crashing = {"workflow-history": world.back_off(9, crashed=300)}
    history(world, "workflow-history-0", labels=other, containers=crashing)
    end = world.run(reachability=reachability)
    assert Reason.RUNTIME_PODS_NOT_FOUND in {end.reason, *end.warnings}
    assert (end.exit_code != 0) == (reachability == "always")
    assert "app.kubernetes.io/name=temporal" in end.text
    assert world.deleted() == []


def test_a_second_temporal_in_the_namespace_loses_no_pod(world: Field) -> None:
    """Review 4: the database of one was made an hour ago, the other serves since a month."""
    world.born = HOUR
    rolled_out(world)
    history(
        world,
        "prod-history-0",
        containers={"temporal-history": world.running(30 * DAY)},
        age=30 * DAY,
        labels={"app.kubernetes.io/instance": "prod"},
        conditions=[{"type": "Ready", "status": "True"}],
    )
    end = world.run()
    assert (end.reason, world.deleted()) == (Reason.RUNTIME_INSTANCES_MIXED, [])
    assert "prod, temporal" in end.text


@pytest.mark.parametrize("behind", [2, 30, 300, HOUR])
def test_a_node_whose_clock_is_behind_has_each_pod_restarted_once(world: Field, behind: float) -> None:
    """Review 5: its times of crashes are older than the run, for every new pod, too."""
    rolled_out(world, "history")
    history(world, containers={"temporal-history": world.back_off(9, crashed=behind + 100)}, age=behind + 200)
    made = iter(range(1, 1000))

    def anew() -> None:
        """The Deployment's new pod, which crashes again at once, by its node's clock."""
        if len(world.deleted()) > len(names):
            names.append(f"temporal-history-{next(made)}")
            age = -world.passed - 1
            crashed = {"temporal-history": world.back_off(1, crashed=age + behind)}
            history(world, names[-1], containers=crashed, age=age)

    names: list[str] = []
    world.on_sleep = anew
    end = world.run()
    assert world.deleted() == ["temporal-history-0"]
    assert end.exit_code == 0


def test_a_pod_that_cannot_start_keeps_no_other_from_a_dead_database(world: Field) -> None:
    """Review 12."""
    world.born = HOUR
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP)
    world.servers("worker")
    world.deployment("worker")
    creating = {"temporal-worker": {"state": {"waiting": {"reason": "ContainerCreating"}}}}
    world.pod("temporal-worker-0", component="worker", containers=creating, phase="Pending", age=600)
    world.run()
    assert {f"temporal-{one}-0" for one in ("frontend", "history", "matching")} == set(world.deleted())


def test_replicas_of_other_kinds_that_are_scaled_to_zero_are_so(world: Field) -> None:
    """Review 28: StatefulSets."""
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP)
    labels = {"app.kubernetes.io/name": "temporal", "app.kubernetes.io/component": "history"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "history", "image": "s:1"}]}}
    spec = {"replicas": 0, "serviceName": "h", "selector": {"matchLabels": labels}, "template": pod}
    path = f"/apis/apps/v1/namespaces/{platform.NAMESPACE}/statefulsets"
    world.client.create(path, {"metadata": {"name": "h", "labels": labels}, "spec": spec})
    with Server(SICK) as frontend:
        end = world.run(frontend=frontend)
    assert (end.reason, end.seconds < 10) == (Reason.PASSED, True)


# --- the runtime's step -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frontend_serves", [True, False])
def test_a_runtime_that_drifts_for_ever_is_asked_all_the_same(world: Field, *, frontend_serves: bool) -> None:
    """argo-cd 19771, 9706: OutOfSync by a webhook, in a repository where each commit changes the revision."""
    world.application(MIGRATIONS)
    world.application(RUNTIME, sync="OutOfSync", synced_to="old")
    world.application(BOOTSTRAP, sync="OutOfSync", synced_to="old", health="Degraded", state={"phase": "Failed"})
    world.servers()
    with Server({} if frontend_serves else SICK) as frontend:
        end = world.run(frontend=frontend)
    assert end.reason is Reason.PASSED_WITH_WARNING
    assert Reason.RUNTIME_DRIFTS in end.warnings
    trouble = Reason.DOWNSTREAM_FAILED if frontend_serves else Reason.FRONTEND_NOT_SERVING
    assert trouble in end.warnings


def test_a_sync_that_was_just_requested_makes_nothing_ahead(world: Field) -> None:
    """Review 11: `.operation` is written, and the controller has not taken it up."""
    rolled_out(world)
    path = f"/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/{RUNTIME}"
    requested = {"operation": {"sync": {"revision": "HEAD"}}, "status": {"operationState": None}}
    world.client.patch(path, {**requested, "metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": "true"}}})
    status = {"sync": {"status": "OutOfSync", "revision": "new"}}
    world.client.patch(path, {"status": status})
    with Server(SICK) as frontend:
        end = world.run(frontend=frontend)
    assert (end.reason, Reason.FRONTEND_NOT_SERVING in end.warnings) == (Reason.PASSED_WITH_WARNING, True)


# --- whose Application --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "lists_it", "is_own"),
    [
        (RUNTIME, False, True),
        (f"argocd_{RUNTIME}", False, True),
        (f"team-a_{RUNTIME}", False, False),
        ("temporal-gate", False, False),
        (None, False, False),
        (None, True, True),
    ],
)
def test_the_gates_own_application_is_known_by_what_lists_its_job(
    world: Field, owner: str | None, *, lists_it: bool, is_own: bool
) -> None:
    """ClusterSecret 150, argo-cd 8839, 18411; review 20: labels are anybody's."""
    world.application(MIGRATIONS)
    world.application(RUNTIME, resources=(managed("gate"),) if lists_it else ())
    world.application(BOOTSTRAP)
    world.servers()
    run = Run("run", world.now - timedelta(seconds=60), owner=owner, job=JobRef(platform.NAMESPACE, "gate"))
    end = world.run(run=run)
    assert (end.reason is Reason.OWN_APPLICATION_TARGETED) is is_own
    assert end.exit_code == (2 if is_own else 0)


# --- what comes after ---------------------------------------------------------------------------------------------


def test_only_what_failed_downstream_is_run_again(world: Field) -> None:
    """Review 2: three Jobs; one failed, one succeeded, none runs."""
    jobs = (NAMESPACES, "add-search-attributes", "seed-once")
    rolled_out(world, downstream={"health": "Degraded", "resources": tuple(map(managed, jobs))})
    world.job(jobs[0], ended="Failed", tool="tctl")
    for name in jobs[1:]:
        world.job(name, ended="Complete", tool="tctl")
    world.run()
    named = [[one["name"] for one in sync["resources"]] for sync in world.syncs_of(BOOTSTRAP)]
    assert named[0] == [NAMESPACES]
    assert all(one == [NAMESPACES] for one in named)


def test_nothing_downstream_is_run_again_while_a_part_of_it_runs(world: Field) -> None:
    """Review 2."""
    rolled_out(world, downstream={"health": "Degraded", "resources": (managed(NAMESPACES), managed("seed"))})
    world.job(NAMESPACES, ended="Failed", tool="tctl")
    world.job("seed", tool="tctl")
    world.pod("seed-x", job="seed", containers={"seed": world.running()}, phase="Running")
    end = world.run()
    assert world.operations == []
    assert end.reason is Reason.PASSED_WITH_WARNING


@pytest.mark.parametrize("reachability", ["auto", "always"])
def test_a_cron_job_next_to_the_bootstrap_is_nobodys_reason_to_run_it_again(world: Field, reachability: str) -> None:
    """argo-cd 25551, govuk-infrastructure 3701: Degraded since 3.2 where its last run failed."""
    backup = managed("db-backup", "CronJob", "Degraded")
    rolled_out(world, downstream={"health": "Degraded", "resources": (managed(NAMESPACES), backup)})
    world.job(NAMESPACES, ended="Complete", tool="tctl")
    end = world.run(reachability=reachability)
    assert (end.exit_code, world.operations) == (0, [])


def test_a_job_that_was_never_made_is_made_with_all_that_it_needs(world: Field) -> None:
    """Review 6, argo-cd 25962: since 3.4 the Application is Missing only where nothing of it is live."""
    missing = managed(NAMESPACES, health="Missing", status="OutOfSync")
    config = managed("config", "ConfigMap")
    downstream = {"sync": "OutOfSync", "resources": (config, missing), "state": {"phase": "Failed"}}
    rolled_out(world, downstream={"health": "Progressing", **downstream})

    def sync(*_: object) -> None:
        world.job(NAMESPACES, ended="Complete", tool="tctl", age=0)

    world.on_sync = sync
    world.run()
    (first, *_) = world.syncs_of(BOOTSTRAP)
    assert "resources" not in first


def test_a_bootstrap_that_registered_with_a_database_that_is_gone(world: Field) -> None:
    """Its Job is Complete, and began before the schema was made."""
    world.born = 1800
    world.application(MIGRATIONS)
    world.application(RUNTIME)
    world.application(BOOTSTRAP, resources=(managed(NAMESPACES),))
    world.servers(age=1000)
    world.job(NAMESPACES, ended="Complete", tool="tctl")

    def sync(*_: object) -> None:
        world.client.delete(f"{JOBS}/{NAMESPACES}")
        world.job(NAMESPACES, ended="Complete", tool="tctl", age=0)

    world.on_sync = sync
    end = world.run()
    assert [sync["resources"][0]["name"] for sync in world.syncs_of(BOOTSTRAP)] == [NAMESPACES]
    assert end.reason is Reason.PASSED


def test_a_surplus_pod_that_cannot_start_keeps_no_bootstrap_from_being_repaired(world: Field) -> None:
    """Review 16."""
    rolled_out(world, downstream={"health": "Degraded", "resources": (managed(NAMESPACES),)})
    world.client.patch(f"{DEPLOYMENTS}/temporal-history", {"spec": {"replicas": 2}})
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
    history(
        world, "temporal-history-1", containers={"temporal-history": {}}, phase="Pending", conditions=[unschedulable]
    )
    world.job(NAMESPACES, ended="Failed", tool="tctl")

    def sync(*_: object) -> None:
        world.client.delete(f"{JOBS}/{NAMESPACES}")
        world.job(NAMESPACES, ended="Complete", tool="tctl", age=0)

    world.on_sync = sync
    end = world.run()
    assert len(world.syncs_of(BOOTSTRAP)) == 1
    assert end.warnings == {Reason.POD_UNSCHEDULABLE}


def test_a_downstream_that_argo_cd_does_not_process_is_named(world: Field) -> None:
    """Case 9's other half."""
    skipped = {"argocd.argoproj.io/skip-reconcile": "true"}
    rolled_out(world, downstream={"health": "Degraded", "resources": (managed(NAMESPACES),), "annotations": skipped})
    world.job(NAMESPACES, ended="Failed", tool="tctl")
    end = world.run()
    assert (world.operations, end.warnings) == ([], {Reason.RECONCILIATION_SKIPPED})
    assert "skip-reconcile" in end.text


def test_a_frontend_that_refuses_the_gate_answers(world: Field) -> None:
    """istio 20479, 53071, helm-charts 766: an authorizer stands before it."""
    rolled_out(world)
    refuses = dict.fromkeys(Question, aborting(StatusCode.PERMISSION_DENIED, "RBAC: access denied"))
    with Server(refuses) as frontend:
        end = world.run(frontend=frontend)
    assert "RBAC: access denied" in end.text
    assert Reason.FRONTEND_UNREACHABLE not in {end.reason, *end.warnings}


def test_a_schema_to_come_by_a_clock_that_is_ahead_restarts_nothing(world: Field) -> None:
    """The database's clock an hour ahead: each pod would be older than the schema for ever."""
    at = world.now + timedelta(seconds=HOUR)
    world.stores[Store.DEFAULT] = Schema(Store.DEFAULT, SchemaVersion((1, 18)), at, at)
    rolled_out(world)
    end = world.run()
    assert (end.reason, world.deleted(), world.operations) == (Reason.PASSED, [], [])


def test_the_schema_job_is_no_bootstrap(world: Field) -> None:
    """A namespace without any Job of the migrations: they are hooks, long deleted."""
    rolled_out(world)
    end = world.run()
    asked = [one.path for one in world.api.requests.by("gate") if "/jobs/" in one.path]
    assert (end.reason, [path for path in asked if path.endswith(SCHEMA_JOB)]) == (Reason.PASSED, [])
