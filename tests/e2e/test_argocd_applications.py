"""Small Applications on both lines of Argo CD, without any gate of ours: what holds a step, and the fields we judge by."""

from datetime import UTC, datetime

import pytest
import yaml
from scenario import NO_RETRY, Json, on, policy, refresh

from lab import images
from lab.api_client import ApiError
from lab.control_plane import argocd
from lab.git_tree import APPLICATIONS
from lab.team import CONTAINER_SECURITY, POD_SECURITY, Team


def only(team: Team, **phases: str) -> None:
    """Generate these Applications alone, each from plain manifests in the folder of its name."""
    team.git.leave_out(*APPLICATIONS)
    del team.git.application_set["spec"]["template"]["spec"]["source"]["helm"]
    for name, phase in phases.items():
        team.git.add(name, phase, name)


def by_hand(team: Team) -> None:
    """Nothing is synced unless somebody does."""
    del team.git.application_set["spec"]["strategy"], policy(team)["automated"], policy(team)["retry"]


def put(team: Team, application: str, *manifests: Json) -> None:
    """Have these manifests, and no others, in an Application's folder."""
    team.git.more[f"{application}/all.yaml"] = yaml.safe_dump_all(manifests)


def config_map(name: str, value: str = "") -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}}


def job(name: str, script: str, hook: str | None = None) -> Json:
    container = {
        "name": "job",
        "image": images.WEB,
        "command": ["sh", "-c", script],
        "securityContext": CONTAINER_SECURITY,
    }
    pod = {"restartPolicy": "Never", "securityContext": POD_SECURITY, "containers": [container]}
    annotations = {"argocd.argoproj.io/hook": hook} if hook else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }


@on("3.6", "3.2")
def test_hook_job_alone(team: Team) -> None:
    """A commit: an Application of a hook Job alone is Synced from the start, so the Job is not run and holds nothing.

    In the first step RollingSync may look at it before it was compared, and syncs it (seen on 3.6).
    """
    only(team, before="265", alone="450", after="455")
    put(team, "before", config_map("before"))
    put(team, "alone", job("alone", "exit 1", hook="Sync"))
    put(team, "after", config_map("after"))
    team.roll_out()
    team.until_rolled_out("alone", "after")
    assert team.operation("alone") == {}
    assert team.history.versions("Job") == []
    assert team.sync_to_end("alone")["phase"] == "Failed"


@on("3.6", "3.2")
def test_managed_job(team: Team) -> None:
    """A commit: a managed Job holds while it runs and when it failed; a sync does not run it again, a new Job opens."""
    only(team, job="300", after="450")
    policy(team)["retry"] = NO_RETRY
    put(team, "job", job("first", "sleep 15; exit 1"))
    put(team, "after", config_map("after"))
    team.roll_out()
    team.until(lambda: team.state("job") == ("Synced", "Progressing"), "the Job to run")
    team.until(lambda: team.state("job") == ("Synced", "Degraded"), "the Job to fail")
    (before,) = team.objects("apis/batch/v1", "jobs")
    assert team.sync_to_end("job")["phase"] == "Succeeded"
    team.holds_for(10, lambda: team.operation("after") == {}, "the next step has not started")
    (after,) = team.objects("apis/batch/v1", "jobs")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]

    put(team, "job", job("second", "true"))
    revision = team.commit("a Job that succeeds")
    team.until_rolled_out(revision=revision)
    (done,) = team.objects("apis/batch/v1", "jobs")
    assert done["metadata"]["name"] == "second"
    assert done["status"]["completionTime"] <= team.operation("after")["startedAt"]


# --- the fields that the gate's judgement rests on ------------------------------------------------------------------


def sync_of(application: Json) -> Json:
    found: Json = application["status"]["sync"]
    return found


def compared_at(team: Team) -> str:
    """When ``small`` was last compared, empty where it never was."""
    return str(team.application("small").get("status", {}).get("reconciledAt", ""))


def this_second() -> str:
    """As Kubernetes writes times."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


@on("3.6", "3.2")
def test_revisions(team: Team) -> None:
    """A person's syncs: the revision that was synced and the one that is compared are the same until a commit is noticed."""
    only(team, small="300")
    by_hand(team)
    put(team, "small", config_map("small", "first"))
    first = team.roll_out()
    team.until(lambda: sync_of(team.application("small"))["status"] == "OutOfSync", "the comparison")
    assert "operationState" not in team.application("small")["status"]
    assert team.sync_to_end("small")["syncResult"]["revision"] == first
    team.until(lambda: team.state("small")[0] == "Synced", "Synced")
    assert sync_of(team.application("small"))["revision"] == first

    put(team, "small", config_map("small", "second"))
    second = team.commit("second")
    team.until(lambda: sync_of(team.application("small"))["revision"] == second, "the commit to be noticed")
    assert team.state("small")[0] == "OutOfSync"
    assert team.operation("small")["syncResult"]["revision"] == first
    assert team.sync_to_end("small")["syncResult"]["revision"] == second

    team.client.patch(f"/api/v1/namespaces/{team.name}/configmaps/small", {"data": {"value": "by hand"}})
    team.until(lambda: team.state("small")[0] == "OutOfSync", "the drift")
    assert sync_of(team.application("small"))["revision"] == team.operation("small")["syncResult"]["revision"] == second


@on("3.6", "3.2")
def test_revisions_of_several_sources(team: Team) -> None:
    """A person's syncs of an Application with two sources: the same of the lists of revisions."""
    only(team, small="300")
    by_hand(team)
    spec = team.git.application_set["spec"]["template"]["spec"]
    source = spec.pop("source")
    spec["sources"] = [source, {**source, "path": "other"}]
    put(team, "small", config_map("small", "first"))
    put(team, "other", config_map("other", "first"))
    first = team.roll_out()
    team.until(lambda: sync_of(team.application("small"))["status"] == "OutOfSync", "the comparison")
    team.client.patch(
        f"{argocd.APPLICATIONS}/{team.git.name('small')}",
        {"operation": {"sync": {"revisions": sync_of(team.application("small"))["revisions"]}}},
    )
    team.until(lambda: team.operation("small").get("phase") == "Succeeded", "the sync")
    result = team.operation("small")["syncResult"]
    assert (result["revisions"], result.get("revision", "")) == ([first, first], "")
    assert sync_of(team.application("small"))["revisions"] == [first, first]

    put(team, "other", config_map("other", "second"))
    second = team.commit("second")
    team.until(lambda: sync_of(team.application("small"))["revisions"] == [second, second], "the commit to be noticed")
    assert team.state("small")[0] == "OutOfSync"
    assert team.operation("small")["syncResult"]["revisions"] == [first, first]


@on("3.6", "3.2")
def test_reconciled_at(team: Team) -> None:
    """A refresh that is asked for: `reconciledAt` is then of the request's second or later, and the annotation is gone."""
    only(team, small="300")
    by_hand(team)
    put(team, "small", config_map("small"))
    team.roll_out()
    team.until(lambda: compared_at(team), "the first comparison")
    for _ in range(3):
        before = compared_at(team)
        team.until(lambda before=before: this_second() > before, "the next second")  # type: ignore[misc]
        asked_at = this_second()
        refresh(team, "small")
        team.until(lambda at=asked_at: compared_at(team) >= at, "the comparison", 4.0)  # type: ignore[misc]


@on("3.6", "3.2")
def test_operations(team: Team) -> None:
    """Operations that a program writes: info comes back; over a running one it is lost; on an old version it is refused."""
    only(team, small="300")
    by_hand(team)
    put(team, "small", config_map("small"), job("slow", "sleep 6", hook="Sync"))
    team.roll_out()
    path = f"{argocd.APPLICATIONS}/{team.git.name('small')}"
    team.until(lambda: team.state("small")[0] == "OutOfSync", "the comparison")
    stale = team.application("small")["metadata"]["resourceVersion"]

    def write(marker: str) -> None:
        operation = {"info": [{"name": "marker", "value": marker}], "sync": {"syncStrategy": {"hook": {}}}}
        team.client.patch(path, {"operation": operation})

    def markers() -> set[str]:
        versions = team.history.versions("Application", team.git.name("small"))
        states = [one.body.get("status", {}).get("operationState") or {} for one in versions]
        return {info["value"] for one in states for info in one.get("operation", {}).get("info") or []}

    write("first")
    team.until(lambda: team.operation("small").get("phase") == "Running", "the first to run")
    write("second")
    assert team.application("small")["operation"]["info"][0]["value"] == "second"
    team.until(lambda: team.operation("small")["phase"] != "Running", "the first to end")
    assert team.operation("small")["phase"] == "Succeeded"
    team.holds_for(
        10,
        lambda: "operation" not in team.application("small") and markers() == {"first"},
        "the second is gone, and was not run",
    )
    with pytest.raises(ApiError) as refused:
        team.client.patch(path, {"metadata": {"resourceVersion": stale}, "operation": {}})
    assert refused.value.status == 409
