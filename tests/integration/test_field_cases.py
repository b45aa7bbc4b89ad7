"""Public reports about Temporal, its charts, Argo CD and Kubernetes, each as the smallest world that shows it.

The source stands at each test. Those of the migrations; what comes after them is in ``test_field_cases_of_servers``.
"""

import itertools
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
    PODS,
    RUNTIME,
    SCHEMA_JOB,
    Field,
    by_hook,
    managed,
    worlds,
)
from frontend_stand_in import Server, saying

from hook.adapters.frontend_answers import Question
from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.versions import Store


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    yield from worlds(tmp_path, monkeypatch)


def rolled_out(world: Field, **migrations: Any) -> None:
    """Everything at its target but the migrations, which are as they are given."""
    world.application(MIGRATIONS, **migrations)
    world.application(RUNTIME)
    world.application(BOOTSTRAP)
    world.servers()


CHART_0 = ("create-default-store", "manage-schema-default-store", "manage-schema-visibility-store")


@pytest.mark.parametrize("plain", [False, True])
def test_a_schema_job_whose_init_container_crash_loops_never_fails_by_itself(world: Field, *, plain: bool) -> None:
    """helm-charts 891, 737: backoffLimit 100, restartPolicy OnFailure, all work in init containers."""
    world.stores[Store.DEFAULT] = "1.17"
    job = managed()
    rolled_out(world, health="Progressing", **({"resources": (job,)} if plain else {"state": by_hook()}))
    world.job(init=CHART_0)
    states = dict.fromkeys(CHART_0[:2], world.ended()) | {CHART_0[2]: world.back_off(8)}
    main = {SCHEMA_JOB: {"state": {"waiting": {"reason": "PodInitializing"}}}}
    world.pod("schema-x", job=SCHEMA_JOB, init=states, containers=main)
    world.logs["schema-x", CHART_0[2]] = (
        'connecting\n"error":"pq: permission denied to create extension \\"btree_gin\\""'
    )
    end = world.run()
    assert (end.reason, end.exit_code) == (Reason.MIGRATION_HANGS, 5)
    assert end.seconds < 200  # the grace, not the deadline
    for word in (CHART_0[2], "8 restarts", "exit code 1", "permission denied to create extension"):
        assert word in end.text
    assert world.operations == []


def test_a_schema_job_that_makes_namespaces_waits_for_a_server_that_comes_later(world: Field) -> None:
    """helm-charts 891, 698 (charts 0.74 to 1.1.0): both schemas are right, and the Job hangs on another matter."""
    rolled_out(world, health="Progressing", state=by_hook())
    init = (*CHART_0, "create-default-namespace")
    world.job(init=init)
    states = dict.fromkeys(CHART_0, world.ended()) | {init[-1]: world.back_off(7)}
    world.pod("schema-x", job=SCHEMA_JOB, init=states, containers={SCHEMA_JOB: {}})
    world.logs["schema-x", init[-1]] = "Error: failed reaching server: context deadline exceeded"
    end = world.run()
    assert (end.reason, end.warnings) == (Reason.PASSED_WITH_WARNING, {Reason.MIGRATION_HANGS})
    assert "create-default-namespace" in end.text
    assert "failed reaching server" in end.text
    assert world.operations == []


@pytest.mark.parametrize("makes_them", [True, False])
def test_a_database_that_only_the_migration_makes_is_asked_for_once(world: Field, *, makes_them: bool) -> None:
    """helm-charts 523, 405, 976: the schema Job failed before PostgreSQL came, and create-database was its first act."""
    world.stores[Store.VISIBILITY] = Finding(Reason.DATABASE_MISSING, "store visibility", "temporal_visibility")
    rolled_out(world, health="Degraded", resources=(managed(),))
    world.job(ended="Failed", message="Job has reached the specified backoff limit")

    def sync(_: str, __: object) -> None:
        if makes_them:
            world.stores[Store.VISIBILITY] = "1.9"
            world.client.delete(f"{JOBS}/{SCHEMA_JOB}")
            world.job(ended="Complete", age=20)

    world.on_sync = sync
    end = world.run()
    assert len(world.syncs_of(MIGRATIONS)) == 1
    expected = (Reason.PASSED, 0) if makes_them else (Reason.DATABASE_MISSING, 6)
    assert (end.reason, end.exit_code) == expected


def test_a_database_that_a_running_migration_is_to_make_is_waited_for(world: Field) -> None:
    """Case 3's worse half: the grace is two minutes, the Job's own back-off five."""
    world.stores = dict.fromkeys(Store, Finding(Reason.DATABASE_MISSING, "store", "it does not exist"))
    rolled_out(world, health="Progressing", state=by_hook())
    world.job(init=CHART_0)
    world.pod("schema-x", job=SCHEMA_JOB, init={CHART_0[0]: world.back_off(4)}, containers={SCHEMA_JOB: {}})
    world.logs["schema-x", CHART_0[0]] = "dial tcp 10.0.0.9:5432: connect: connection refused"
    end = world.run()
    assert (end.reason, end.exit_code) == (Reason.MIGRATION_HANGS, 5)
    assert 300 < end.seconds < 700
    assert "connection refused" in end.text


@pytest.mark.parametrize(("said", "at_most"), [("permission denied", 600), ("connection refused", 1000)])
def test_a_crash_loop_is_one_in_the_moment_in_which_it_tries_again(world: Field, said: str, at_most: float) -> None:
    """Case 1 in time: the container runs for a second or two between two back-offs."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, health="Progressing", state=by_hook())
    world.job(init=CHART_0[:1])
    world.pod("schema-x", job=SCHEMA_JOB, init={CHART_0[0]: world.back_off(8)}, containers={SCHEMA_JOB: {}})
    world.logs["schema-x", CHART_0[0]] = said
    turns = itertools.count()

    def sleep() -> None:
        tries = {**world.back_off(8), **world.running(1)} if next(turns) % 3 == 0 else world.back_off(8)
        status = {"name": CHART_0[0], "image": "i", "imageID": "", "ready": False, "restartCount": 0, **tries}
        world.client.patch_status(f"{PODS}/schema-x", {"status": {"initContainerStatuses": [status]}})

    world.on_sleep = sleep
    end = world.run()
    assert (end.reason, end.exit_code) == (Reason.MIGRATION_HANGS, 5)
    assert end.seconds < at_most
    assert said in end.text


def test_a_retry_that_works_is_not_failed_for_the_pod_before_it(world: Field) -> None:
    """restartPolicy Never: the first pod came before the database, the second has worked since ten minutes."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, health="Progressing", state=by_hook())
    world.job()
    world.pod("schema-a", job=SCHEMA_JOB, containers={SCHEMA_JOB: world.ended(1)}, phase="Failed")
    world.logs["schema-a", SCHEMA_JOB] = "permission denied"
    world.pod("schema-b", job=SCHEMA_JOB, containers={SCHEMA_JOB: world.running(600)}, age=600, phase="Running")
    end = world.run(migrationDeadlineSeconds=2500)
    assert end.reason is Reason.DEADLINE_EXCEEDED
    assert {finding.reason for finding in end.outcome.missing} == {Reason.MIGRATION_RUNNING}


OPTIONS = ["CreateNamespace=true", "ServerSideApply=true", "RespectIgnoreDifferences=true"]


@pytest.mark.parametrize("job_is_there", [True, False])
def test_a_sync_is_what_the_owners_client_would_have_written(world: Field, *, job_is_there: bool) -> None:
    """Kargo 874 and 2984, argo-cd 21890: syncOptions and prune; a Job alone is replaced by Replace and force besides."""
    world.stores[Store.DEFAULT] = "1.17"
    policy = {"syncPolicy": {"syncOptions": OPTIONS, "automated": {"prune": True}}}
    rolled_out(world, health="Degraded", resources=(managed(),), spec=policy)
    if job_is_there:
        world.job(ended="Failed")
    world.on_sync = lambda *_: world.stores.update({Store.DEFAULT: "1.18"})
    world.run()
    (sync, *_) = world.syncs_of(MIGRATIONS)
    assert sync["revision"] == "new"
    assert sync["syncOptions"] == ([*OPTIONS, "Replace=true"] if job_is_there else OPTIONS)
    assert sync["prune"] is not job_is_there
    assert ("resources" in sync) == ("syncStrategy" in sync) == job_is_there


def test_revisions_of_several_sources_are_bound_as_a_list_even_of_one(world: Field) -> None:
    """CompareAppState reads ``revisions`` of an Application with ``sources``, whatever its length."""
    rolled_out(world)
    body = {"spec": {"source": None, "sources": [{"repoURL": "https://example.org/git", "path": "x"}]}}
    several = {"status": {"sync": {"revision": None, "revisions": ["new"]}}}
    state = {"syncResult": {"revision": "", "revisions": ["new"]}}
    several["status"]["operationState"] = state  # type: ignore[assignment]
    world.client.patch(f"{APPLICATIONS}/{MIGRATIONS}", {**body, **several})
    world.stores[Store.DEFAULT] = None
    world.on_sync = lambda *_: world.stores.update({Store.DEFAULT: "1.18"})
    world.run()
    (sync,) = world.syncs_of(MIGRATIONS)
    assert (sync["revisions"], "revision" in sync) == (["new"], False)


def test_a_job_that_argo_cd_keeps_no_health_of_is_not_doubled_while_it_runs(world: Field) -> None:
    """argo-cd PR 20462, govuk-helm-charts 4097: ignore-healthcheck on the Job, and the Application is Healthy."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, resources=(managed(),), synced=6)
    world.job(age=6)
    world.pod("schema-x", job=SCHEMA_JOB, containers={SCHEMA_JOB: world.running(5)}, age=6, phase="Running")
    end = world.run(deadlineSeconds=300, migrationDeadlineSeconds=900)
    assert (end.reason, world.operations) == (Reason.DEADLINE_EXCEEDED, [])
    assert {finding.reason for finding in end.outcome.missing} == {Reason.MIGRATION_RUNNING}
    assert end.seconds > 700  # it verifiably works: temporal 10358, 11594


@pytest.mark.parametrize("health", ["Progressing", "Degraded", "Suspended"])
@pytest.mark.parametrize("behind", [False, True])
def test_what_stands_next_to_a_job_that_is_complete_holds_nothing(world: Field, health: str, *, behind: bool) -> None:
    """argo-cd 14607, 21531, 12840, 25551: an Ingress without address, a CronJob Degraded since 3.2."""
    world.stores[Store.DEFAULT] = "1.17" if behind else "1.18"
    kind = "CronJob" if health == "Degraded" else "Ingress"
    rolled_out(world, health=health, resources=(managed(), managed("other", kind, health)))
    world.job(ended="Complete")
    world.on_sync = lambda *_: world.stores.update({Store.DEFAULT: "1.18"})
    end = world.run()
    assert [sync["resources"][0]["name"] for sync in world.syncs_of(MIGRATIONS)] == [SCHEMA_JOB] * behind
    assert (end.exit_code, end.reason) == (0, Reason.PASSED)
    assert Reason.APPLICATION_UNHEALTHY in end.warnings
    assert f"{kind} other is {health}" in end.text


def test_a_migrations_application_that_argo_cd_does_not_process_is_named(world: Field) -> None:
    """Argo CD's documentation, "Skip Application Reconcile"; argo-cd 17155."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, annotations={"argocd.argoproj.io/skip-reconcile": "true"})
    end = world.run()
    assert (end.reason, world.operations) == (Reason.RECONCILIATION_SKIPPED, [])
    assert "skip-reconcile" in end.text
    assert end.seconds < 200


@pytest.mark.parametrize(
    ("retry", "reason"),
    [
        ({"limit": -1}, Reason.OPERATION_RETRIES_OLD_COMMIT),
        ({"limit": 100}, Reason.OPERATION_RETRIES_OLD_COMMIT),
        ({"limit": -1, "refresh": True}, Reason.DEADLINE_EXCEEDED),
    ],
)
def test_an_operation_that_retries_a_commit_that_git_has_left(
    world: Field, retry: dict[str, Any], reason: Reason
) -> None:
    """argo-cd 11494, 15642: fixed by ``retry.refresh`` only."""
    world.stores[Store.DEFAULT] = "1.17"
    message = "one or more objects failed to apply: field is immutable. Retrying attempt #41 at 12:02PM."
    state = {"phase": "Running", "message": message, "retryCount": 40}
    state |= {"operation": {"sync": {"revision": "old"}, "retry": retry}, "syncResult": {"revision": "old"}}
    rolled_out(world, sync="OutOfSync", state=state)
    end = world.run()
    assert (end.reason, world.operations) == (reason, [])
    assert "field is immutable" in end.text
    if reason is Reason.OPERATION_RETRIES_OLD_COMMIT:
        assert "commit old while git is at new" in end.text
        assert "terminate" in end.text


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("ComparisonError", Reason.DEADLINE_EXCEEDED), ("InvalidSpecError", Reason.APPLICATION_INVALID)],
)
def test_why_argo_cd_cannot_compare_is_told_in_its_own_words(world: Field, kind: str, reason: Reason) -> None:
    """argo-cd 18954, 19920, argo-helm 1183."""
    world.stores[Store.DEFAULT] = "1.17"
    said = "Failed to load target state: authentication required"
    rolled_out(world, sync="Unknown", conditions=({"type": kind, "message": said},))
    end = world.run(deadlineSeconds=600)
    assert end.reason is reason
    assert said in end.text
    assert world.operations == []


@pytest.mark.parametrize("waits", ["completion", "deletion"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_hook_that_is_gone_is_not_waited_for_by_its_operation_for_ever(
    world: Field, waits: str, *, behind: bool
) -> None:
    """argo-cd 21055, 18884, 6880, 27507: the operation runs for a day, and there is no such Job."""
    world.stores[Store.DEFAULT] = "1.17" if behind else "1.18"
    gone = by_hook() | {"message": f"waiting for {waits} of hook batch/Job/{SCHEMA_JOB}"}
    rolled_out(world, health="Progressing", state=gone)
    end = world.run()
    expected = (Reason.OPERATION_STUCK, 5) if behind else (Reason.PASSED_WITH_WARNING, 0)
    assert (end.reason, end.exit_code) == expected
    assert "does not exist" in end.text
    assert "terminate" in end.text
    assert end.seconds < 200


@pytest.mark.parametrize("injected", ["istio-proxy", "linkerd-proxy", "vault-agent", "cloud-sql-proxy"])
@pytest.mark.parametrize("behind", [False, True])
def test_a_sidecar_that_keeps_the_schema_job(world: Field, injected: str, *, behind: bool) -> None:
    """temporal-operator 681, 524, helm-charts 353, linkerd2 7425: the work is done, and the pod lives on."""
    world.stores[Store.DEFAULT] = "1.17" if behind else "1.18"
    rolled_out(world, health="Progressing", state=by_hook())
    world.job()
    both = {injected: world.running(), "manage-schema": world.ended()}
    world.pod("schema-x", job=SCHEMA_JOB, containers=both, phase="Running")
    end = world.run()
    expected = (Reason.SIDECAR_KEEPS_JOB, 5) if behind else (Reason.PASSED_WITH_WARNING, 0)
    assert (end.reason, end.exit_code) == expected
    assert Reason.SIDECAR_KEEPS_JOB in {end.reason, *end.warnings}
    assert f"{injected} keeps the pod" in end.text


def test_a_schema_job_that_is_refused_its_pod(world: Field) -> None:
    """helm-charts 592, longhorn/charts PR 268: no pod, and no word of it but in Events."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, health="Progressing", state=by_hook())
    world.job()
    end = world.run()
    assert (end.reason, end.exit_code) == (Reason.MIGRATION_HANGS, 5)
    assert "it has no pod" in end.text


def test_only_the_failed_job_is_replaced(world: Field) -> None:
    """Review 2: a Job that succeeded, or that is not Temporal's, is nobody's to run again."""
    rolled_out(world, health="Degraded", resources=(managed(), managed("seed-once")))
    world.job(ended="Failed")
    world.job("seed-once", ended="Complete", tool="psql")
    world.run()
    assert {one["name"] for sync in world.syncs_of(MIGRATIONS) for one in sync["resources"]} == {SCHEMA_JOB}


def test_no_job_is_replaced_while_another_still_runs(world: Field) -> None:
    """Review 2 and 3."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, health="Degraded", resources=(managed(), managed("seed-once")))
    world.job(ended="Failed")
    world.job("seed-once", tool="psql")
    world.pod("seed-x", job="seed-once", containers={"seed-once": world.running()}, phase="Running")
    end = world.run(deadlineSeconds=200, migrationDeadlineSeconds=300)
    assert (end.reason, world.operations) == (Reason.DEADLINE_EXCEEDED, [])


def test_a_database_that_was_replaced_within_the_run_is_migrated_again(world: Field) -> None:
    """Review 17: the success before was on a database that is gone."""
    world.stores[Store.DEFAULT] = "1.17"
    rolled_out(world, resources=(managed(),))
    world.job(ended="Complete")
    looks = itertools.count()

    def sleep() -> None:
        if next(looks) == 20:
            world.stores[Store.DEFAULT] = None

    world.on_sync = lambda *_: world.stores.update({Store.DEFAULT: "1.18"})
    world.on_sleep = sleep
    with Server({Question.HEALTH: saying(2)}) as frontend:
        end = world.run(frontend=frontend, reachability="always", deadlineSeconds=400)
    assert len(world.syncs_of(MIGRATIONS)) == 2
    assert (end.reason, world.stores[Store.DEFAULT]) == (Reason.DEADLINE_EXCEEDED, "1.18")


def test_an_object_that_is_odd_ends_no_run(world: Field) -> None:
    """Review 21: a managed Job of generateName has no name; Go's zero time."""
    rolled_out(world, resources=({**managed(), "name": ""},))
    end = world.run()
    assert (end.reason, world.operations) == (Reason.PASSED, [])


def test_a_runtime_and_a_bootstrap_of_which_nothing_is_known_yet(world: Field) -> None:
    """Review 19: never synced is ahead, whatever the comparison says."""
    world.application(MIGRATIONS)
    for name in (RUNTIME, BOOTSTRAP):
        world.application(name, sync="Unknown", health="Missing", state={})
    end = world.run()
    assert (end.reason, end.seconds < 10) == (Reason.PASSED, True)


def test_times_are_whole_seconds(world: Field) -> None:
    """The world's own: what was made an hour ago is an hour old."""
    world.job(age=HOUR)
    made = world.client.get(f"{JOBS}/{SCHEMA_JOB}")["metadata"]["creationTimestamp"]
    assert made == world.ago(HOUR)
