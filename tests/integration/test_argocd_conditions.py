"""What the stand-in for Argo CD leaves alone, says in ``status.conditions``, deletes, and syncs by itself.

Each as controller/appcontroller.go of argo-cd v3.6.1 does it, by the function that the case names.
"""

import uuid
from datetime import UTC, datetime

import pytest
from argocd_world import (
    APPLICATIONS,
    CONFIG_MAPS,
    JOBS,
    TEMPORAL,
    World,
    config_map,
    hook_job,
    message_of,
    plain_job,
    uncompared,
    world,
)

from lab.api_client import Json
from lab.argocd import REFRESH, SKIP, Behaviour, DeletingError
from lab.processes import wait_until

REFRESHED = {REFRESH: "normal"}
AUTOMATED = {"syncPolicy": {"automated": {}, "syncOptions": ["Validate=false"]}}


def conditions(found: Json) -> list[tuple[str, str]]:
    return [(each["type"], each["message"]) for each in found["status"].get("conditions", [])]


def refreshed(it: World) -> Json:
    """The Application after a full comparison."""
    it.client.patch(TEMPORAL, {"metadata": {"annotations": REFRESHED}})
    return it.until(lambda it: REFRESH not in it["metadata"].get("annotations", {}))


def until_passed(it: World) -> None:
    """Until the controller has looked at another Application, which comes after this one in the list."""
    now = it.application
    name = f"zz-{uuid.uuid4().hex}"
    other = {"apiVersion": now["apiVersion"], "kind": now["kind"], "metadata": {"name": name}, "spec": now["spec"]}
    it.argocd.commit(name, [])
    it.client.create(APPLICATIONS, other)
    wait_until(lambda: it.client.get(f"{APPLICATIONS}/{name}").get("status"), 10.0, "a look at the other")


def untouched(it: World) -> bool:
    """Whether the controller leaves it as it is."""
    before = it.application
    until_passed(it)
    return it.application == before


@pytest.mark.parametrize("value", ["true", "1"])
def test_an_application_whose_reconcile_is_skipped_is_not_processed(value: str) -> None:
    """``canProcessApp``: neither refresh nor operation; both are taken up when the annotation goes."""
    with world(config_map("a")) as it:
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {SKIP: value, **REFRESHED}}, "operation": {"sync": {}}})
        assert untouched(it)
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {SKIP: None}}})
        it.until_phase("Succeeded")
        it.until(lambda it: REFRESH not in it["metadata"].get("annotations", {}))


def test_a_skipped_application_keeps_what_runs_where_it_was() -> None:
    """The hook ends, the operation does not."""
    with world(hook_job(), config_map("a", wave=1)) as it:
        it.operate("one")
        it.until_job("gate")
        it.until(message_of)
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {SKIP: "true"}}})
        until_passed(it)  # a look that had begun before may still write
        it.end_job("gate", "Complete")
        assert untouched(it)
        assert it.state["phase"] == "Running"


def test_an_annotation_that_is_no_boolean_skips_nothing() -> None:
    """``strconv.ParseBool`` takes neither yes nor no."""
    with world(config_map("a")) as it:
        it.client.patch(TEMPORAL, {"metadata": {"annotations": {SKIP: "yes"}}})
        it.operate("one")
        it.until_ended("one")


def test_a_condition_stays_as_it_is_until_its_cause_goes() -> None:
    """``SetConditions``: the time is that of the first comparison that met it; then it is gone, list and all."""
    with uncompared(Behaviour(resync_seconds=3600.0), [], {}) as it:
        (first,) = it.until(lambda it: it.get("status", {}).get("conditions"))["status"]["conditions"]
        assert first["type"] == "ComparisonError"
        wait_until(lambda: datetime.now(UTC).strftime("%FT%TZ") > first["lastTransitionTime"], 5.0, "another second")
        assert refreshed(it)["status"]["conditions"] == [first]
        it.argocd.commit("temporal", [])
        assert "conditions" not in refreshed(it)["status"]


def test_a_missing_project_leaves_other_conditions_and_is_cleared_by_one_that_is_there() -> None:
    """``refreshAppConditions`` evaluates the specification's errors alone; the comparison's were not made anew."""
    with uncompared(Behaviour(resync_seconds=3600.0), [], {}) as it:
        it.until(lambda it: it.get("status", {}).get("conditions"))
        it.client.patch(TEMPORAL, {"spec": {"project": "absent"}})
        kinds = [kind for kind, _ in conditions(refreshed(it))]
        assert kinds == ["ComparisonError", "InvalidSpecError"]
        it.client.patch(TEMPORAL, {"spec": {"project": "default"}})
        assert [kind for kind, _ in conditions(refreshed(it))] == ["ComparisonError"]


def test_an_operation_meets_the_condition_that_still_stands() -> None:
    """``SyncAppState`` reads the status: an InvalidSpecError not yet cleared by a refresh ends it in Error."""
    with world(config_map("a")) as it:
        stale = {"type": "InvalidSpecError", "message": "left over", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        operation = {"sync": {}, "info": [{"name": "id", "value": "one"}]}
        it.client.patch(TEMPORAL, {"status": {"conditions": [stale]}, "operation": operation})
        state = it.until_ended("one")
        assert (state["phase"], state["message"]) == ("Error", "InvalidSpecError: left over")
        it.until(lambda it: "conditions" not in it["status"])
        it.operate("two")
        assert it.until_ended("two")["phase"] == "Succeeded"


def test_an_automated_application_is_synced_once_a_revision() -> None:
    """With its policy's options; a drift is not healed unless asked for (``alreadyAttemptedSync``)."""
    with world(config_map("a", key="value"), spec=AUTOMATED) as it:
        it.until_status("Synced", "Healthy")
        operation = it.state["operation"]
        assert operation["initiatedBy"] == {"automated": True}
        assert operation["retry"] == {"limit": 5}
        assert operation["sync"]["syncOptions"] == ["Validate=false"]
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        it.until_status("OutOfSync", "Healthy")
        before = it.state
        refreshed(it)
        assert it.state == before
        it.argocd.commit("temporal", [config_map("a", key="new")])
        refreshed(it)
        it.until_status("Synced", "Healthy")
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"key": "new"}


def test_a_drift_is_healed_where_asked() -> None:
    """By a selective sync that counts its attempts."""
    with world(config_map("a", key="value"), spec={"syncPolicy": {"automated": {"selfHeal": True}}}) as it:
        it.until_status("Synced", "Healthy")
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        it.until(
            lambda it: it["status"].get("operationState", {}).get("operation", {}).get("sync", {}).get("resources")
        )
        it.until_status("Synced", "Healthy")
        assert it.state["operation"]["sync"]["autoHealAttemptsCount"] == 1


def test_a_failed_automated_sync_is_told_and_not_tried_again() -> None:
    """A SyncError until another revision comes."""
    spec = {"syncPolicy": {"automated": {}, "retry": {"limit": 0}}}
    with world(hook_job(), config_map("a", wave=1), spec=spec) as it:
        it.until_job("gate")
        it.end_job("gate", "Failed")
        it.until_phase("Failed")
        found = it.until(lambda it: it["status"].get("conditions"))
        revision = found["status"]["sync"]["revision"]
        message = (
            f"Failed last sync attempt to [{revision}]: one or more synchronization tasks completed unsuccessfully"
        )
        assert conditions(found) == [("SyncError", message)]
        before = it.state
        refreshed(it)
        assert it.state == before
        it.argocd.commit("temporal", [config_map("a")])
        refreshed(it)
        it.until_status("Synced", "Healthy")
        it.until(lambda it: "conditions" not in it["status"])


@pytest.mark.parametrize(
    ("automated", "left"),
    [({"enabled": False}, [config_map("a", key="new"), config_map("b")]), ({"prune": False}, [config_map("b")])],
)
def test_what_may_not_be_synced_by_itself_is_not(automated: Json, left: list[Json]) -> None:
    """Disabled, or only to be pruned where pruning is not automated."""
    with world(config_map("a"), config_map("b")) as it:
        it.operate("one")
        it.until_ended("one")
        before = it.until_status("Synced", "Healthy")["operationState"]
        it.client.patch(TEMPORAL, {"spec": {"syncPolicy": {"automated": automated}}})
        it.argocd.commit("temporal", left)
        found = refreshed(it)
        assert (found["status"]["sync"]["status"], "operation" in found) == ("OutOfSync", False)
        assert it.state == before


def test_an_automated_sync_prunes_everything_only_where_that_is_allowed() -> None:
    """``allowEmpty``; else a SyncError says what it would have done."""
    with world(config_map("a"), spec={"syncPolicy": {"automated": {"prune": True}}}) as it:
        it.until_status("Synced", "Healthy")
        revision = it.argocd.commit("temporal", [])
        message = f"Skipping sync attempt to [{revision}]: auto-sync will wipe out all resources"
        assert conditions(refreshed(it)) == [("SyncError", message)]
        it.client.patch(TEMPORAL, {"spec": {"syncPolicy": {"automated": {"allowEmpty": True}}}})
        refreshed(it)
        it.until(lambda _: it.client.list(CONFIG_MAPS) == [])
        it.until(lambda it: "conditions" not in it["status"])


def test_a_closed_window_leaves_a_sync_error_as_it_is_and_syncs_nothing() -> None:
    """``CanSync(false)`` is asked before ``autoSync``."""
    with world(config_map("a")) as it:
        it.argocd.close_sync_window("temporal", manual_sync=True)
        it.client.patch(TEMPORAL, {"spec": {"syncPolicy": {"automated": {}}}})
        assert "operation" not in refreshed(it)
        assert it.state == {}
        it.argocd.open_sync_window("temporal")
        refreshed(it)
        it.until_status("Synced", "Healthy")


CASCADES = "resources-finalizer.argocd.argoproj.io"


def test_what_an_application_holds_goes_before_it_wave_by_wave() -> None:
    """``finalizeApplicationDeletion``: the last wave first, each waited for, and then the finalizer."""
    kept = config_map("kept")
    kept["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = "Delete=false"
    with world(config_map("a"), plain_job(), config_map("z", wave=1), kept) as it:
        it.client.patch(TEMPORAL, {"metadata": {"finalizers": [CASCADES]}})
        it.argocd.sync("temporal")
        job = it.until_job("schema")
        it.until_phase("Running")
        it.end_job("schema", "Complete")
        it.until_phase("Succeeded")
        it.client.patch(f"{CONFIG_MAPS}/z", {"metadata": {"finalizers": ["example.org/held"]}})
        it.client.delete(TEMPORAL)
        wait_until(lambda: "deletionTimestamp" in it.client.get(f"{CONFIG_MAPS}/z")["metadata"], 10.0, "the last wave")
        until_passed(it)
        assert it.job("schema")["metadata"]["uid"] == job["metadata"]["uid"]
        with pytest.raises(DeletingError):
            it.argocd.sync("temporal")
        it.client.patch(f"{CONFIG_MAPS}/z", {"metadata": {"finalizers": None}})
        wait_until(lambda: not _names(it, "temporal"), 10.0, "the Application to go")
        assert (it.client.list(JOBS), [each["metadata"]["name"] for each in it.client.list(CONFIG_MAPS)]) == (
            [],
            ["kept"],
        )


def test_an_operation_on_an_application_being_deleted_runs_first() -> None:
    """``processAppOperationQueueItem`` asks for an operation before it looks at the deletion: what is gone comes back."""
    with world(config_map("a")) as it:
        it.client.patch(TEMPORAL, {"metadata": {"finalizers": [CASCADES, "example.org/held"]}})
        it.client.delete(TEMPORAL)
        it.until(lambda it: it["metadata"]["finalizers"] == ["example.org/held"])
        it.client.patch(TEMPORAL, {"operation": {"sync": {}}})
        it.until_phase("Succeeded")
        assert it.client.get(f"{CONFIG_MAPS}/a")


def _names(it: World, name: str) -> list[str]:
    found = it.client.list(APPLICATIONS, field_selector=f"metadata.name={name}")
    return [each["metadata"]["name"] for each in found]
