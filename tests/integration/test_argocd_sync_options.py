"""What an operation of the stand-in for Argo CD heeds, and what it forgets: its own fields alone count.

``SyncAppState`` reads ``state.Operation.Sync`` and never ``spec.syncPolicy`` (argo-cd v3.6.1 controller/sync.go); what its
own clients want of the policy they copy into the operation (server/application/application.go Sync,
controller/appcontroller.go autoSync, applicationset/progressivesync/progressive_sync.go syncApplication).
"""

from typing import Any

import pytest
from argocd_world import (
    CONFIG_MAPS,
    JOBS,
    REPLACE_BY_FORCE,
    TEMPORAL,
    World,
    config_map,
    deployment,
    hook_job,
    job_operation,
    message_of,
    plain_job,
    world,
)

from lab.actor import NotModelledError
from lab.api_client import ApiError, Json
from lab.argocd import REFRESH
from lab.object_status import ended_job

ELSEWHERE = {"server": "https://kubernetes.default.svc", "namespace": "elsewhere"}
CREATES = {"syncOptions": ["CreateNamespace=true"]}


def annotated(manifest: Json, **annotations: str) -> Json:
    given = {f"argocd.argoproj.io/{name.replace('_', '-')}": text for name, text in annotations.items()}
    metadata = manifest["metadata"]
    return {**manifest, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **given}}}


def refreshed(it: World, *manifests: Json) -> None:
    """Commit these, and have them compared."""
    revision = it.argocd.commit("temporal", manifests)
    it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
    it.until(lambda it: it["status"]["sync"]["revision"] == revision)


def until_ended_by(it: World, sync: Json, *live: Json) -> None:
    """Ask for it, where these ConfigMaps are there, until it has ended the stand-in."""
    for each in live:
        it.client.create(CONFIG_MAPS, each)
    it.operate("one", sync=sync)
    it.until_defect()


def test_the_specifications_options_are_forgotten_by_an_operation_without_them() -> None:
    """An absent namespace is not made, though the Application's policy says so."""
    with world(config_map("a"), spec={"destination": ELSEWHERE, "syncPolicy": CREATES}) as it:
        it.operate("one")
        state = it.until_ended("one")
        assert state["phase"] == "Failed"
        assert state["message"] == 'one or more objects failed to apply, reason: namespaces "elsewhere" not found'
        it.operate("two", sync=CREATES)
        assert it.until_ended("two")["phase"] == "Succeeded"
        assert it.client.get("/api/v1/namespaces/elsewhere/configmaps/a")
        made = it.client.get("/api/v1/namespaces/elsewhere")["metadata"]["annotations"]
        assert not any("tracking-id" in name for name in made)


def test_the_specifications_replace_is_forgotten_by_an_operation_without_it() -> None:
    """A Job in sync is left as it is; with Replace in the operation the PUT is refused."""
    with world(plain_job(), spec={"syncPolicy": {"syncOptions": ["Replace=true"]}}) as it:
        it.operate("one")
        it.until_ended("one")
        it.operate("two")
        assert it.until_ended("two")["syncResult"]["resources"][0]["message"] == "job.batch/schema unchanged"
        it.operate("three", sync={"syncOptions": ["Replace=true"]})
        assert "field is immutable" in it.until_ended("three")["message"]


def test_the_namespace_is_made_in_a_phase_of_its_own_before_everything() -> None:
    """It is in the results of the operation that made it, and no task of the next one (``autoCreateNamespace``)."""
    with world(hook_job(kind="PreSync"), config_map("a"), spec={"destination": ELSEWHERE}) as it:
        it.operate("one", sync=CREATES)
        found = it.until(lambda it: "hook" in message_of(it))["status"]["operationState"]["syncResult"]["resources"]
        assert [(each["kind"], each["syncPhase"]) for each in found] == [("Namespace", "PreSync"), ("Job", "PreSync")]
        status = ended_job("Complete", "", started="2026-01-01T00:00:00Z", ended="2026-01-01T00:00:01Z")
        it.client.patch_status("/apis/batch/v1/namespaces/elsewhere/jobs/gate", {"status": status})
        results = it.until_ended("one")["syncResult"]["resources"]
        assert [each["kind"] for each in results] == ["Namespace", "Job", "ConfigMap"]
        it.operate("two", sync={**CREATES, "resources": [{"kind": "ConfigMap", "name": "a"}]})
        assert [each["kind"] for each in it.until_ended("two")["syncResult"]["resources"]] == ["ConfigMap"]


def test_with_only_out_of_sync_a_job_in_sync_is_not_replaced() -> None:
    """``filterOutOfSyncTasks`` looks at the difference alone: Replace and force come too late."""
    with world(plain_job()) as it:
        it.operate("one")
        it.until_ended("one")
        uid = it.until_job("schema")["metadata"]["uid"]
        options = {**REPLACE_BY_FORCE, "syncOptions": ["Replace=true", "ApplyOutOfSyncOnly=true"]}
        it.operate("two", **job_operation(**options))
        state = it.until_ended("two")
        assert (state["phase"], state["message"]) == ("Succeeded", "successfully synced (no more tasks)")
        assert "resources" not in state["syncResult"] or state["syncResult"]["resources"] == []
        assert it.job("schema")["metadata"]["uid"] == uid
        it.operate("three", **job_operation(**REPLACE_BY_FORCE))
        it.until_job("schema", without=uid)


def test_with_only_out_of_sync_hooks_run_and_what_differs_is_applied() -> None:
    """And what git dropped is pruned."""
    with world(config_map("a"), config_map("b"), config_map("c")) as it:
        it.operate("one")
        it.until_ended("one")
        refreshed(it, config_map("a"), config_map("b", key="new"), hook_job())
        it.operate("two", sync={"syncOptions": ["ApplyOutOfSyncOnly=true"], "prune": True})
        it.until_job("gate")
        it.end_job("gate", "Complete")
        found = it.until_ended("two")["syncResult"]["resources"]
        assert sorted((each["name"], each["status"]) for each in found) == [
            ("b", "Synced"),
            ("c", "Pruned"),
            ("gate", "Synced"),
        ]


@pytest.mark.parametrize("carrier", ["operation", "manifest"])
def test_replace_with_force_by_option_is_the_manifests_alone(carrier: str) -> None:
    """``applyObject``: of the operation the strategy's force, of a manifest ``Force=true``."""
    job = annotated(plain_job(), sync_options="Replace=true,Force=true") if carrier == "manifest" else plain_job()
    with world(job) as it:
        it.operate("one")
        it.until_ended("one")
        uid = it.until_job("schema")["metadata"]["uid"]
        options = ["Replace=true", "Force=true"] if carrier == "operation" else []
        it.operate("two", sync={"syncOptions": options})
        state = it.until_ended("two")
        replaced = it.job("schema")["metadata"]["uid"] != uid
        assert (replaced, state["phase"]) == ((True, "Succeeded") if carrier == "manifest" else (False, "Failed"))


def test_the_policys_prune_is_forgotten_by_an_operation_without_it() -> None:
    """What git dropped stays, is said to require pruning, and keeps the Application OutOfSync after the sync."""
    with world(config_map("a"), config_map("b"), spec={"syncPolicy": {"syncOptions": ["PruneLast=true"]}}) as it:
        it.operate("one")
        it.until_ended("one")
        refreshed(it, config_map("b"))
        it.operate("two")
        result = it.until_ended("two")["syncResult"]["resources"][0]
        assert (result["name"], result["status"], result["message"]) == (
            "a",
            "PruneSkipped",
            "ignored (requires pruning)",
        )
        assert it.until_status("OutOfSync", "Healthy")["resources"][0]["requiresPruning"]
        assert it.client.get(f"{CONFIG_MAPS}/a")


@pytest.mark.parametrize("carrier", ["operation", "object"])
def test_what_may_not_be_pruned_stays_though_pruning_is_asked_for(carrier: str) -> None:
    """``isPruningDisabled``: by the live object's annotation, or by the operation's options."""
    kept = config_map("a") if carrier == "operation" else annotated(config_map("a"), sync_options="Prune=false")
    with world(kept, config_map("b")) as it:
        it.operate("one")
        it.until_ended("one")
        refreshed(it, config_map("b"))
        it.operate("two", sync={"prune": True, "syncOptions": ["Prune=false"] if carrier == "operation" else []})
        assert it.until_ended("two")["syncResult"]["resources"][0]["message"] == "ignored (no prune)"
        assert it.client.get(f"{CONFIG_MAPS}/a")


def test_pruning_comes_last_where_asked() -> None:
    """After every wave of the sync, so that a hook in it finds what goes still there."""
    with world(config_map("old")) as it:
        it.operate("one")
        it.until_ended("one")
        refreshed(it, hook_job(wave=3))
        it.operate("two", sync={"prune": True, "syncOptions": ["PruneLast=true"]})
        it.until_job("gate")
        assert it.client.get(f"{CONFIG_MAPS}/old")
        it.end_job("gate", "Complete")
        it.until_ended("two")
        assert it.client.list(CONFIG_MAPS) == []


def test_what_is_extraneous_by_annotation_is_to_be_pruned_and_in_sync() -> None:
    """``compare-options: IgnoreExtraneous``: the resource is OutOfSync, the Application is not."""
    with world(annotated(config_map("a"), compare_options="IgnoreExtraneous"), config_map("b")) as it:
        it.operate("one")
        it.until_ended("one")
        refreshed(it, config_map("b"))
        listed = it.until_status("Synced", "Healthy")["resources"]
        assert (listed[0]["status"], listed[0]["requiresPruning"]) == ("OutOfSync", True)


@pytest.mark.parametrize("options", [[], ["FailOnSharedResource=true"]])
def test_an_object_of_two_applications_fails_a_sync_only_where_asked(options: list[str]) -> None:
    """``SharedResourceWarning``: the object tells its other owner by its tracking id, and is taken over by the sync."""
    with world(config_map("a")) as it:
        other = {"argocd.argoproj.io/tracking-id": "other:/ConfigMap:data/a"}
        it.client.create(CONFIG_MAPS, {"metadata": {"name": "a", "annotations": other}})
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {REFRESH: "normal"}}})
        warned = it.until(lambda it: it["status"].get("conditions"))["status"]["conditions"]
        message = "ConfigMap/a is part of applications argocd/temporal and other"
        assert [(each["type"], each["message"]) for each in warned] == [("SharedResourceWarning", message)]
        it.operate("one", sync={"syncOptions": options})
        state = it.until_ended("one")
        if options:
            assert (state["phase"], state["message"]) == ("Failed", f"Shared resource found: {message}")
        else:
            assert state["phase"] == "Succeeded"
            it.until(lambda it: "conditions" not in it["status"])


def test_what_is_applied_by_the_server_is_not_annotated_and_a_replace_goes_before_it() -> None:
    """``applyObject`` asks for Replace first; a server-side apply writes no last-applied configuration."""
    with world(plain_job(), config_map("a")) as it:
        options = ["ServerSideApply=true"]
        it.operate("one", sync={"syncOptions": options})
        found = it.until_ended("one")["syncResult"]["resources"]
        assert {each["message"] for each in found} == {
            "configmap/a serverside-applied",
            "job.batch/schema serverside-applied",
        }
        job = it.until_job("schema")["metadata"]
        assert "kubectl.kubernetes.io/last-applied-configuration" not in job["annotations"]
        it.until_status("Synced", "Progressing")
        it.operate("two", **job_operation(**REPLACE_BY_FORCE | {"syncOptions": [*options, "Replace=true"]}))
        it.until_job("schema", without=job["uid"])


@pytest.mark.parametrize(
    ("spec", "sync"),
    [
        ({}, {"dryRun": True}),
        ({}, {"manifests": ["{}"]}),
        ({}, {"source": {"repoURL": "https://example.org/other", "path": "x"}}),
        ({}, {"syncOptions": ["PrunePropagationPolicy=orphan"]}),
        ({}, {"syncOptions": ["RespectIgnoreDifferences=true"]}),
        ({"syncPolicy": {"managedNamespaceMetadata": {"labels": {"a": "b"}}}}, CREATES),
    ],
)
def test_what_is_not_modelled_of_an_operation_ends_the_stand_in(spec: Json, sync: Json) -> None:
    """Instead of being ignored: the test that needs it learns so."""
    with pytest.raises(NotModelledError), world(config_map("a"), spec=spec) as it:
        until_ended_by(it, sync)


@pytest.mark.parametrize("wanted", [{"hook": "SyncFail"}, {"hook": "PreDelete"}, {"sync_options": "Prune=confirm"}])
def test_what_is_not_modelled_of_a_manifest_ends_the_stand_in(wanted: dict[str, str]) -> None:
    with pytest.raises(NotModelledError), world(annotated(config_map("a"), **wanted)):
        pass


def test_a_changed_object_is_not_applied_by_the_server() -> None:
    """Whose fields are whose is not modelled."""
    with pytest.raises(NotModelledError), world(config_map("a", key="new")) as it:
        until_ended_by(it, {"syncOptions": ["ServerSideApply=true"]}, config_map("a", key="old"))


@pytest.mark.parametrize("options", [["Validate=false"], ["SkipDryRunOnMissingResource=true"], ["Of=nobody"]])
def test_what_says_nothing_to_a_stand_in_is_accepted(options: list[str]) -> None:
    """An option that Argo CD does not know is ignored by it as well (``HasOption`` compares whole texts)."""
    with world(config_map("a")) as it:
        it.operate("one", sync={"syncOptions": options})
        assert it.until_ended("one")["phase"] == "Succeeded"


SOURCES = [{"repoURL": f"https://example.org/{name}", "targetRevision": "HEAD", "path": "x"} for name in "ab"]


@pytest.mark.parametrize("named", ["revision", "revisions", "too few"])
def test_an_application_of_sources_is_synced_to_revisions_alone(named: str) -> None:
    """``CompareAppState``: where there is not one revision a source, the sources' own count, and so the newest commit."""
    with world(config_map("a", v="1"), spec={"source": None, "sources": SOURCES}) as it:
        old, _ = it.application["status"]["sync"]["revisions"]
        newest = it.argocd.commit("temporal", [config_map("a", v="2")])
        asked: dict[str, Any] = {"revision": {"revision": old}, "revisions": {"revisions": [old, old]}}.get(
            named, {"revisions": [old]}
        )
        it.operate("one", sync=asked)
        result = it.until_ended("one")["syncResult"]
        came_to = old if named == "revisions" else newest
        assert (result["revision"], result["revisions"]) == ("", [came_to, came_to])
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"v": "1" if named == "revisions" else "2"}


def test_a_revision_that_git_does_not_have_is_an_error() -> None:
    """Not the newest commit instead."""
    with world(config_map("a")) as it:
        it.operate("one", sync={"revision": "f" * 40})
        state = it.until_ended("one")
        assert state["phase"] == "Error"
        assert state["message"].startswith("ComparisonError: Failed to load target state: failed to generate manifest")
        assert state["message"].endswith("unable to resolve 'ffffffffffffffffffffffffffffffffffffffff' to a commit SHA")
        assert it.client.list(CONFIG_MAPS) == []


def test_a_persons_sync_carries_the_specifications_options_and_retry() -> None:
    """As argocd-server builds it; the stand-in's RollingSync too."""
    policy = {**CREATES, "retry": {"limit": 2}, "automated": {"enabled": False, "prune": True}}
    with world(hook_job(), spec={"syncPolicy": policy}, doubles_operations=True) as it:
        it.argocd.sync("temporal")
        operation = it.until_phase("Running")["operation"]
        assert (operation["sync"]["syncOptions"], operation["retry"]) == (CREATES["syncOptions"], {"limit": 2})
        assert "prune" not in operation["sync"]
        it.until_job("gate")
        it.end_job("gate", "Complete")
        second = it.until(lambda it: "info" in it["status"].get("operationState", {}).get("operation", {}))
        operation = second["status"]["operationState"]["operation"]
        assert (operation["sync"]["syncOptions"], operation["retry"]) == (CREATES["syncOptions"], {"limit": 2})


def test_an_operation_that_is_ended_deletes_the_hook_that_runs() -> None:
    """``terminate-op`` writes the phase; Failed without a retry, and what is no hook stays (``Terminate``)."""
    with world(config_map("a", wave=-1), hook_job(), config_map("b", wave=1)) as it:
        it.operate("one", retry={"limit": 3})
        it.until_job("gate")
        it.client.patch(TEMPORAL, {"status": {"operationState": {"phase": "Terminating"}}})
        state = it.until_ended("one")
        assert (state["phase"], state["message"]) == ("Failed", "Operation terminated")
        assert it.client.list(JOBS) == []
        assert [each["metadata"]["name"] for each in it.client.list(CONFIG_MAPS)] == ["a"]


def test_a_hook_whose_job_is_suspended_keeps_the_operation_running() -> None:
    """Suspended is neither Healthy nor Degraded (``getOperationPhase``); of a managed Job it is the Application's health."""
    with world(plain_job(), hook_job(wave=1)) as it:
        it.operate("one")
        it.until_job("schema")
        suspended = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
        it.client.patch_status(f"{JOBS}/schema", {"status": {"conditions": [suspended]}})
        health = it.until(lambda it: it["status"]["health"]["status"] == "Suspended")["status"]["health"]
        assert health["message"] == "Caused by batch/Job:data/schema"
        assert it.state["phase"] == "Running"
        assert message_of(it.application) == "waiting for healthy state of batch/Job/schema"
        resumed = {**suspended, "status": "False", "reason": "JobResumed", "message": "Job resumed"}
        it.client.patch_status(f"{JOBS}/schema", {"status": {"conditions": [resumed]}})
        it.until_job("gate")


def test_what_ignores_health_checks_is_waited_for_by_a_sync_all_the_same() -> None:
    """The annotation is read by ``setApplicationHealth`` alone, of the live object; a later wave still waits."""
    ignored = annotated(deployment(), ignore_healthcheck="true")
    with world(ignored, config_map("later", wave=1)) as it:
        it.operate("one")
        it.until(lambda it: message_of(it) == "waiting for healthy state of apps/Deployment/frontend")
        it.until_status("OutOfSync", "Healthy")
        with pytest.raises(ApiError):
            it.client.get(f"{CONFIG_MAPS}/later")
