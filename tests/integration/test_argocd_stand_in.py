"""The stand-in for Argo CD behaves as a running 3.6 was seen to: a case for each line of the lab's table it covers."""

from datetime import UTC, datetime, timedelta

import pytest
from argocd_world import (
    CONFIG_MAPS,
    JOBS,
    PATIENCE_SECONDS,
    REPLACE_BY_FORCE,
    TEMPORAL,
    config_map,
    deployment,
    hook_job,
    identity_of,
    job_operation,
    message_of,
    plain_job,
    uncompared,
    world,
)

from lab.api_client import ApiError, Json
from lab.argocd import REFRESH, Behaviour, OperationInProgressError


def live_hooks(found: Json) -> list[Json]:
    return [each for each in found["status"]["resources"] if each.get("hook")]


def test_an_application_never_synced_is_out_of_sync() -> None:
    """Compared, with its revision and resources, Missing, and without an operationState."""
    with world(config_map("a"), hook_job()) as it:
        status = it.until_status("OutOfSync", "Missing")
        assert "operationState" not in status
        assert len(status["sync"]["revision"]) == 40
        assert status["resources"] == [
            {"version": "v1", "kind": "ConfigMap", "namespace": "data", "name": "a", "status": "OutOfSync"}
        ]


def test_a_written_operation_runs_and_its_id_comes_back() -> None:
    """In status.operationState.operation.info; .operation is gone at the end, syncResult names the revision."""
    with world(config_map("a", key="value")) as it:
        it.operate("one")
        state = it.until_ended("one")
        assert state["phase"] == "Succeeded"
        assert state["message"] == "successfully synced (all tasks run)"
        assert state["finishedAt"] >= state["startedAt"]
        assert state["syncResult"]["revision"] == it.application["status"]["sync"]["revision"]
        (result,) = state["syncResult"]["resources"]
        assert (result["status"], result["hookPhase"], result["syncPhase"]) == ("Synced", "Running", "Sync")
        it.until_status("Synced", "Healthy")
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"key": "value"}


def test_a_hook_in_an_earlier_wave_holds_the_receipt_back() -> None:
    """OutOfSync and Running until the hook has succeeded; hooks count for neither health nor sync status."""
    with world(config_map("config"), hook_job(wave=1), config_map("receipt", wave=2)) as it:
        it.argocd.sync("temporal")
        it.until_job("gate")
        found = it.until(lambda it: "completion of hook" in message_of(it))
        assert found["status"]["operationState"]["message"] == "waiting for completion of hook batch/Job/gate"
        assert found["status"]["operationState"]["phase"] == "Running"
        assert found["operation"]
        it.until_status("OutOfSync", "Healthy")
        (hook,) = live_hooks(it.until(live_hooks))
        assert (hook["name"], hook.get("status"), hook["syncWave"]) == ("gate", None, 1)
        assert it.client.list(CONFIG_MAPS, field_selector="metadata.name=receipt") == []
        it.end_job("gate", "Complete")
        state = it.until_phase("Succeeded")
        (hook,) = [each for each in state["syncResult"]["resources"] if "hookType" in each]
        assert (hook["hookType"], hook["hookPhase"]) == ("Sync", "Succeeded")
        it.until_status("Synced", "Healthy")


def test_a_failed_hook_fails_the_operation_and_is_not_retried() -> None:
    """The receipt is never made, and nothing happens by itself."""
    with world(hook_job(wave=1), config_map("receipt", wave=2), resync_seconds=0.2) as it:
        it.argocd.sync("temporal")
        first = it.until_job("gate")["metadata"]["uid"]
        it.end_job("gate", "Failed")
        state = it.until_phase("Failed")
        assert state["message"] == "one or more synchronization tasks completed unsuccessfully"
        began = it.application["status"]["reconciledAt"]
        it.until(lambda it: it["status"]["reconciledAt"] > began)
        assert it.state == state
        assert it.job("gate")["metadata"]["uid"] == first
        assert it.application["status"]["sync"]["status"] == "OutOfSync"


def test_a_hook_is_made_anew_by_each_sync() -> None:
    """BeforeHookCreation, the default; the finalizer that holds it while its sync runs goes at the end."""
    with world(hook_job(), config_map("a", wave=1)) as it:
        it.argocd.sync("temporal")
        first = it.until_job("gate")["metadata"]
        assert first["finalizers"] == ["argocd.argoproj.io/hook-finalizer"]
        it.end_job("gate", "Complete")
        it.until_phase("Succeeded")
        assert "finalizers" not in it.job("gate")["metadata"] or it.job("gate")["metadata"]["finalizers"] == []
        it.argocd.sync("temporal")
        it.until_job("gate", without=first["uid"])
        it.end_job("gate", "Complete")
        it.until_phase("Succeeded")


def test_a_post_sync_hook_waits_for_health() -> None:
    """Of every managed resource, so a crash loop keeps it from ever starting."""
    with world(deployment(), hook_job(kind="PostSync")) as it:
        it.argocd.sync("temporal")
        it.until(lambda it: "healthy state of apps/Deployment" in message_of(it))
        assert it.client.list(JOBS) == []
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "observedGeneration"), 1)
        path = "/apis/apps/v1/namespaces/data/deployments/frontend"
        it.client.patch_status(path, {"status": counts})
        it.until_job("gate")


def test_an_operation_written_while_one_runs_is_accepted_and_lost() -> None:
    """At the running one's end the field is removed, and nothing ran."""
    with world(hook_job(), config_map("a", wave=1)) as it:
        it.operate("one")
        job = it.until_job("gate")["metadata"]["uid"]
        it.client.patch(
            TEMPORAL, {"operation": {"sync": {}, "info": [{"name": "id", "value": "two"}], "retry": {"limit": 1}}}
        )
        assert it.application["operation"]["info"][0]["value"] == "two"
        it.end_job("gate", "Complete")
        it.until_ended("one")
        it.until_status("Synced", "Healthy")
        assert identity_of(it.state) == "one"
        assert "operation" not in it.application
        assert it.job("gate")["metadata"]["uid"] == job


def test_a_stale_write_of_an_operation_is_a_conflict() -> None:
    """Whoever read the Application before is told so."""
    with world(config_map("a")) as it:
        version = it.application["metadata"]["resourceVersion"]
        it.client.patch(TEMPORAL, {"metadata": {"labels": {"a": "b"}}})
        with pytest.raises(ApiError) as caught:
            it.client.patch(TEMPORAL, {"metadata": {"resourceVersion": version}, "operation": {"sync": {}}})
        assert caught.value.status == 409
        assert it.state == {}


def test_a_person_is_refused_while_an_operation_is_there() -> None:
    """``argocd app sync`` asks before it writes."""
    with world(hook_job()) as it:
        it.argocd.sync("temporal")
        it.until_job("gate")
        with pytest.raises(OperationInProgressError):
            it.argocd.sync("temporal")


def test_a_finished_plain_job_survives_a_sync() -> None:
    """Failed or not: the sync succeeds and does nothing, and the Application stays Synced/Degraded."""
    with world(plain_job()) as it:
        it.operate("one")
        it.until_ended("one")
        uid = it.until_job("schema")["metadata"]["uid"]
        it.until_status("Synced", "Progressing")
        it.end_job("schema", "Failed")
        it.until_status("Synced", "Degraded")
        it.operate("two")
        state = it.until_ended("two")
        assert state["phase"] == "Succeeded"
        assert state["syncResult"]["resources"][0]["message"] == "job.batch/schema unchanged"
        assert it.job("schema")["metadata"]["uid"] == uid
        it.until_status("Synced", "Degraded")


def test_a_deleted_job_is_made_anew_by_the_next_sync() -> None:
    """The other way to run a plain Job again, which needs a right on Jobs."""
    with world(plain_job()) as it:
        it.operate("one")
        it.until_ended("one")
        uid = it.until_job("schema")["metadata"]["uid"]
        it.client.delete(f"{JOBS}/schema")
        it.until_status("OutOfSync", "Missing")
        it.operate("two")
        it.until_job("schema", without=uid)


def test_a_selective_forced_replace_makes_one_job_anew() -> None:
    """Everything beside it is untouched, and the operation has succeeded before the Job has ended."""
    with world(plain_job(), plain_job("other"), config_map("a"), hook_job()) as it:
        it.argocd.sync("temporal")
        it.until_job("gate")
        it.end_job("gate", "Complete")
        it.until_phase("Succeeded")
        it.end_job("schema", "Failed")
        it.end_job("other", "Complete")
        it.until_status("Synced", "Degraded")
        uids = {each["metadata"]["name"]: each["metadata"]["uid"] for each in it.client.list(JOBS)}
        it.operate("again", **job_operation(**REPLACE_BY_FORCE))
        assert it.until_ended("again")["phase"] == "Succeeded"
        assert it.job("schema")["metadata"]["uid"] != uids["schema"]
        assert "conditions" not in it.job("schema")["status"]
        assert it.job("other")["metadata"]["uid"] == uids["other"]
        assert it.job("gate")["metadata"]["uid"] == uids["gate"]
        it.until_status("Synced", "Progressing")
        it.end_job("schema", "Complete")
        it.until_status("Synced", "Healthy")


@pytest.mark.parametrize("options", [["Replace=true"], ["Replace=true", "Force=true"]])
def test_a_replace_without_apply_force_fails_on_the_selector(options: list[str]) -> None:
    """``Force=true`` among an operation's options is not looked at."""
    with world(plain_job()) as it:
        it.operate("one")
        it.until_ended("one")
        uid = it.until_job("schema")["metadata"]["uid"]
        it.operate("two", **job_operation(syncOptions=options))
        state = it.until_ended("two")
        assert state["phase"] == "Failed"
        assert "field is immutable" in state["message"]
        assert it.job("schema")["metadata"]["uid"] == uid


def test_a_changed_job_can_only_be_replaced() -> None:
    """A new image in git: OutOfSync, and a sync fails."""
    with world(plain_job()) as it:
        it.operate("one")
        it.until_ended("one")
        it.argocd.commit("temporal", [plain_job(image="example.org/schema:2")])
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
        it.until_status("OutOfSync", "Progressing")
        it.operate("two")
        assert "spec.template" in it.until_ended("two")["message"]
        it.operate("three", **job_operation(**REPLACE_BY_FORCE))
        assert it.until_ended("three")["phase"] == "Succeeded"
        it.until_status("Synced", "Progressing")


def test_a_selective_operation_runs_no_hooks() -> None:
    """Nor does a full one whose strategy is apply."""
    with world(config_map("a"), hook_job()) as it:
        resource = {"kind": "ConfigMap", "name": "a", "namespace": "data"}
        it.operate("one", sync={"resources": [resource]})
        assert it.until_ended("one")["phase"] == "Succeeded"
        it.operate("two", sync={"syncStrategy": {"apply": {}}})
        assert it.until_ended("two")["phase"] == "Succeeded"
        assert it.client.list(JOBS) == []


def test_a_second_operation_may_follow_the_first() -> None:
    """RollingSync's: the hook runs twice, and the id of the first is gone."""
    with world(hook_job(), config_map("a", wave=1), doubles_operations=True) as it:
        it.operate("one")
        first = it.until_job("gate")["metadata"]["uid"]
        it.end_job("gate", "Complete")
        it.until_job("gate", without=first)
        state = it.until_phase("Running")
        assert state["operation"]["initiatedBy"]["username"] == "applicationset-controller"
        assert identity_of(state) == ""
        it.end_job("gate", "Complete")
        it.until_phase("Succeeded")
        it.until(lambda it: "operation" not in it)


def test_between_tries_the_phase_stays_running() -> None:
    """With finishedAt and retryCount set; the last failure is told with their number."""
    with world(hook_job()) as it:
        it.operate("one", retry={"limit": 1, "backoff": {"duration": "200ms"}})
        first = it.until_job("gate")["metadata"]["uid"]
        it.end_job("gate", "Failed")
        state = it.until(lambda it: "finishedAt" in it["status"].get("operationState", {}))["status"]["operationState"]
        assert (state["phase"], state["retryCount"]) == ("Running", 1)
        assert "Retrying attempt #1 at" in state["message"]
        it.until_job("gate", without=first)
        assert "finishedAt" not in it.state
        it.end_job("gate", "Failed")
        state = it.until_ended("one")
        assert state["phase"] == "Failed"
        assert state["message"].endswith("(retried 1 times).")


def test_a_closed_sync_window_blocks() -> None:
    """Running, with a message that says so, until it opens."""
    with world(config_map("a")) as it:
        it.argocd.close_sync_window("temporal")
        it.operate("one")
        state = it.until(message_of)["status"]["operationState"]
        assert (state["phase"], state["message"]) == ("Running", "Sync operation blocked by sync window")
        assert it.client.list(CONFIG_MAPS) == []
        it.argocd.open_sync_window("temporal")
        assert it.until_ended("one")["phase"] == "Succeeded"


def test_a_window_with_manual_sync_lets_a_persons_operation_through() -> None:
    """And one that says ``automated`` waits."""
    with world(config_map("a")) as it:
        it.argocd.close_sync_window("temporal", manual_sync=True)
        it.argocd.sync("temporal")
        it.until_phase("Succeeded")
        it.until(lambda it: "operation" not in it)
        it.operate("two")
        it.until(lambda it: message_of(it).endswith("sync window"))


def test_an_asked_for_refresh_compares_and_is_taken_away() -> None:
    """reconciledAt is the moment it began, in whole seconds; a new commit is noticed."""
    with world(config_map("a")) as it:
        revision = it.argocd.commit("temporal", [config_map("b")])
        before = datetime.now(UTC).replace(microsecond=0)
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
        found = it.until(lambda it: REFRESH not in it["metadata"].get("annotations", {}))
        reconciled = datetime.strptime(found["status"]["reconciledAt"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        assert before <= reconciled <= before + timedelta(seconds=PATIENCE_SECONDS)
        assert found["status"]["sync"]["revision"] == revision
        assert [each["name"] for each in found["status"]["resources"]] == ["b"]


def test_a_change_in_the_cluster_is_compared_with_what_was_compared_before() -> None:
    """At once, but neither reconciledAt nor the revision moves: only a full comparison looks into git."""
    with world(config_map("a", key="value")) as it:
        it.operate("one")
        it.until_ended("one")
        status = it.until_status("Synced", "Healthy")
        it.argocd.commit("temporal", [config_map("b")])
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        drifted = it.until_status("OutOfSync", "Healthy")
        assert drifted["reconciledAt"] == status["reconciledAt"]
        assert drifted["sync"]["revision"] == status["sync"]["revision"]


def test_a_commit_is_noticed_at_the_next_resync() -> None:
    """And not synced by itself."""
    with world(config_map("a"), resync_seconds=0.2) as it:
        it.operate("one")
        it.until_ended("one")
        revision = it.argocd.commit("temporal", [config_map("a", key="new")])
        found = it.until(lambda it: it["status"]["sync"]["revision"] == revision)
        assert found["status"]["sync"]["status"] == "OutOfSync"
        assert found["status"]["operationState"]["syncResult"]["revision"] != revision


def test_an_operation_takes_the_revision_it_names() -> None:
    """Without one it takes the newest, and syncResult says which that was."""
    with world(config_map("a", v="1")) as it:
        old = it.application["status"]["sync"]["revision"]
        newest = it.argocd.commit("temporal", [config_map("a", v="2")])
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
        it.until(lambda it: it["status"]["sync"]["revision"] == newest)
        it.operate("old", sync={"revision": old})
        assert it.until_ended("old")["syncResult"]["revision"] == old
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"v": "1"}
        it.until_status("OutOfSync", "Healthy")
        it.operate("new", sync={"revision": ""})
        state = it.until_ended("new")
        assert state["syncResult"]["revision"] == newest
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"v": "2"}


@pytest.mark.parametrize("merges", [False, True])
def test_until_3_5_an_operation_inherits_what_it_does_not_say(merges: bool) -> None:  # noqa: FBT001
    """Where nobody cleared operationState, the older revision stays in the new one's record (argo-cd 28778)."""
    with world(config_map("a"), merges_operation_state=merges) as it:
        it.operate("one")
        revision = it.until_ended("one")["operation"]["sync"]["revision"]
        info = [{"name": "id", "value": "two"}]
        it.client.patch(TEMPORAL, {"operation": {"sync": {"prune": True}, "info": info}})
        assert it.until_ended("two")["operation"]["sync"].get("revision", "") == (revision if merges else "")


@pytest.mark.parametrize("persists", [False, True])
def test_resources_carry_health_only_where_it_is_persisted(persists: bool) -> None:  # noqa: FBT001
    """Since 3.0 not by default: the Application's own health and resourceHealthSource are all there is."""
    with world(plain_job(), persists_resource_health=persists) as it:
        it.operate("one")
        it.until_ended("one")
        it.until_job("schema")
        it.end_job("schema", "Failed")
        status = it.until_status("Synced", "Degraded")
        assert status["health"]["message"] == "Caused by batch/Job:data/schema"
        (job,) = status["resources"]
        if persists:
            assert job["health"] == {"status": "Degraded", "message": "schema has ended"}
            assert "resourceHealthSource" not in status
        else:
            assert "health" not in job
            assert status["resourceHealthSource"] == "appTree"


def test_what_is_annotated_so_does_not_count_for_health() -> None:
    """``argocd.argoproj.io/ignore-healthcheck``."""
    ignored = plain_job()
    ignored["metadata"]["annotations"] = {"argocd.argoproj.io/ignore-healthcheck": "true"}
    with world(ignored) as it:
        it.operate("one")
        it.until_ended("one")
        it.until_job("schema")
        it.end_job("schema", "Failed")
        it.until_status("Synced", "Healthy")


def test_a_deployment_that_was_available_for_a_moment_is_healthy() -> None:
    """From replicas alone; then Progressing again."""
    with world(deployment()) as it:
        it.operate("one")
        it.until_ended("one")
        it.until_status("Synced", "Progressing")
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas", "observedGeneration"), 1)
        path = "/apis/apps/v1/namespaces/data/deployments/frontend"
        it.client.patch_status(path, {"status": counts})
        it.until_status("Synced", "Healthy")
        it.client.patch_status(path, {"status": {"availableReplicas": None}})
        it.until_status("Synced", "Progressing")


def test_what_git_no_longer_has_is_pruned_only_where_asked() -> None:
    """Without prune it stays, and the Application OutOfSync."""
    with world(config_map("a"), config_map("b")) as it:
        it.operate("one")
        it.until_ended("one")
        it.until_status("Synced", "Healthy")
        it.argocd.commit("temporal", [config_map("b")])
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
        status = it.until_status("OutOfSync", "Healthy")
        assert status["resources"][0]["requiresPruning"]
        it.operate("two")
        it.until_ended("two")
        assert len(it.client.list(CONFIG_MAPS)) == 2
        it.operate("three", sync={"prune": True})
        it.until_ended("three")
        assert [each["metadata"]["name"] for each in it.client.list(CONFIG_MAPS)] == ["b"]
        it.until_status("Synced", "Healthy")


def test_without_anything_in_git_it_is_unknown() -> None:
    """A ComparisonError, and an operation ends in Error."""
    with uncompared(Behaviour(resync_seconds=3600), [], {}) as it:
        status = it.until_status("Unknown", "Healthy")
        assert status["conditions"][0]["type"] == "ComparisonError"
        it.client.patch(TEMPORAL, {"operation": {"sync": {}}})
        assert it.until_phase("Error")["message"].startswith("ComparisonError: Failed to load target state")


def test_without_its_project_it_is_unknown_and_not_compared() -> None:
    """reconciledAt stays where it was, though a refresh was asked for and taken away."""
    with world(config_map("a")) as it:
        before = it.application["status"]["reconciledAt"]
        annotations = {"annotations": {REFRESH: "hard"}}
        it.client.patch(TEMPORAL, {"metadata": annotations, "spec": {"project": "absent"}})
        status = it.until_status("Unknown", "Unknown")
        assert status["conditions"][0]["type"] == "InvalidSpecError"
        found = it.until(lambda it: REFRESH not in it["metadata"].get("annotations", {}))
        assert found["status"]["reconciledAt"] == before
