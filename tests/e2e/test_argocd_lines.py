"""What holds a rollout and what does not, on both lines of Argo CD: docs/gating.md's table, and the fields behind it."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from scenario import TERMINATED, has_settled, hook_migrations, on, succeeded

from lab import images
from lab.api_client import ApiError
from lab.control_plane import argocd
from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, SECOND_GATE
from lab.team import Team, is_in_back_off

Json = dict[str, Any]

NO_RETRY = {"limit": 0}
TWICE = 2
"""How often RollingSync of 3.6 may sync an Application for one step."""
NOT_COMPARED = "argocd.argoproj.io/skip-reconcile"
"""With it Argo CD neither compares nor syncs an Application: so the others hear of a commit first."""


# --- a rollout of Temporal ------------------------------------------------------------------------------------------


def policy(team: Team) -> Json:
    """The sync policy of its Applications."""
    found: Json = team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]
    return found


def leave_out_parameters(team: Team, *ends: str) -> None:
    """Give its Applications no Helm parameter whose name ends so."""
    helm = team.git.application_set["spec"]["template"]["spec"]["source"]["helm"]
    helm["parameters"] = [one for one in helm["parameters"] if not one["name"].endswith(ends)]


def only_up_to_the_runtime(team: Team) -> None:
    """Roll out migrations, gate and runtime."""
    team.git.leave_out(SECOND_GATE, BOOTSTRAP)
    del team.git.gate["downstream"]


def is_at(revision: str, application: Json) -> bool:
    """Whether an Application's last operation was of this revision."""
    state = application.get("status", {}).get("operationState") or {}
    return bool(state.get("syncResult", {}).get("revision") == revision)


def reached(team: Team, application: str, revision: str) -> float | None:
    """When an Application was first synced to a revision."""
    return team.history.first("Application", team.git.name(application), lambda body: is_at(revision, body))


def annotate(team: Team, value: str | None, annotation: str, *applications: str) -> None:
    """Write an annotation of Argo CD's on Applications, or take it away."""
    for one in applications:
        path = f"{argocd.APPLICATIONS}/{team.git.name(one)}"
        team.client.patch(path, {"metadata": {"annotations": {annotation: value}}})


def refresh(team: Team, *applications: str) -> None:
    """Have Argo CD compare them now, as a webhook does, and wait until it has begun."""
    annotate(team, "normal", "argocd.argoproj.io/refresh", *applications)
    for one in applications:
        team.until(
            lambda one=one: (
                "argocd.argoproj.io/refresh" not in team.application(one)["metadata"].get("annotations", {})
            ),  # type: ignore[misc]
            f"{one} to be compared",
        )


def wait_in_post_sync(team: Team) -> None:
    """A commit with a gate in PostSync and migrations that nobody but the gate starts, and no database."""
    only_up_to_the_runtime(team)
    hook_migrations(team)
    team.git.gate["hook"] = {"phase": "PostSync", "backoffLimit": 0}
    policy(team)["retry"] = NO_RETRY
    team.postgres.stop()
    team.roll_out()
    team.until(team.gate_pods, "the gate to run")


@on("3.2")
def test_post_sync_holds(team: Team) -> None:
    """A commit, no database: on 3.2 a gate in PostSync holds while it runs, and when it failed until a commit mends it."""
    gate = team.git.gate
    gate |= {"deadlineSeconds": 10, "graceSeconds": 1}
    wait_in_post_sync(team)
    team.holds_for(20, lambda: team.operation(RUNTIME) == {}, "the runtime's step has not started")
    team.until(team.gate_ends, "the gate to end")
    assert {code for code, _ in team.gate_ends()} == {3}
    team.until(lambda: team.operation(GATE)["phase"] == "Failed", "the gate's sync to fail")
    team.postgres.start()
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "nobody syncs what is Synced")
    team.git.gate["deadlineSeconds"] = 300
    revision = team.commit("more patience")
    team.until_rolled_out(revision=revision)
    assert team.history.ever("Pod", is_in_back_off) == []


@on("3.6", "3.2")
def test_failed_gate(team: Team) -> None:
    """A commit finds the gate's own password wrong, and nothing retries: 3.2 syncs the gate for ever, 3.6 does not."""
    only_up_to_the_runtime(team)
    team.git.gate["graceSeconds"] = 1
    team.git.gate["hook"] = {"backoffLimit": 0}
    team.git.gate["stores"]["default"]["secret"]["name"] = "gate"
    team.add_secret("gate", "wrong")
    policy(team)["retry"] = NO_RETRY
    team.roll_out()

    if team.platform.argocd_line == "3.2":
        team.until(lambda: len(operations_of_the_gate(team)) > TWICE, "the gate to be synced again and again")
    else:
        team.until(lambda: has_settled(team, "Failed"), "the gate to fail")
        team.holds_for(15, lambda: len(operations_of_the_gate(team)) <= TWICE, "nobody syncs the gate again")
    assert {code for code, _ in team.gate_ends()} <= {6, TERMINATED}
    assert team.operation(RUNTIME) == {}
    assert team.receipt() is None


def operations_of_the_gate(team: Team) -> set[str]:
    """When its Application's operations began."""
    versions = team.history.versions("Application", team.git.name(GATE))
    states = (version.body.get("status", {}).get("operationState") or {} for version in versions)
    return {state["startedAt"] for state in states if state}


def began_with_its_step(team: Team) -> bool:
    """Whether the gate's operation began in the second in which its step became Pending.

    To 3.6 that is then no sync of this step (``StartedAt.After(LastTransitionTime)`` of whole seconds,
    applicationset/progressivesync): it asks for another one, and the step waits for that.
    """
    (step,) = (
        one
        for one in team.client.get(f"{argocd.APPLICATION_SETS}/{team.name}")["status"]["applicationStatus"]
        if one["application"] == team.git.name(GATE)
    )
    return bool(step["status"] == "Pending") and bool(
        team.operation(GATE).get("startedAt", "") == step["lastTransitionTime"]
    )


@on("3.6")
def test_post_sync_holds_nothing(team: Team) -> None:
    """A commit, no database: on 3.6 the runtime's step starts while a gate in PostSync runs, which then repairs it.

    But for chance: where its sync began within the second of its step, it holds until somebody ends it.
    """
    wait_in_post_sync(team)
    team.until(lambda: team.operation(RUNTIME) or began_with_its_step(team), "the runtime's step to start")
    if began_with_its_step(team):
        team.terminate(GATE)
        team.until(lambda: team.operation(RUNTIME), "the runtime's step to start after all")
    assert {code for code, _ in team.gate_ends()} <= {TERMINATED}
    assert team.receipt() is not None
    team.until_crash_looping()
    team.postgres.start()
    team.until_rolled_out()
    team.until(lambda: team.operation(GATE)["phase"] == "Succeeded", "the gate's sync to succeed")
    assert not any(is_in_back_off(pod) for pod in team.pods())


@pytest.mark.parametrize("named", [True, False], ids=["with-revision", "without"])
@on("3.6")
def test_commit_for_the_runtime(team: Team, named: bool) -> None:  # noqa: FBT001 -- the case
    """A commit that touches the runtime alone: the gate runs before it with `receipt.revision`, and not at all without."""
    only_up_to_the_runtime(team)
    if not named:
        leave_out_parameters(team, "receipt.revision")
    first = team.roll_out()
    team.until_rolled_out(revision=first)
    receipt = team.receipt()
    team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]["maxConns"] = 21

    second = team.commit("more connections")

    team.until_rolled_out(revision=second)
    assert reached(team, RUNTIME, second)
    if named:
        assert team.receipt() == (receipt or {}) | {"revision": second}
        done = team.history.first(
            "Application", team.git.name(GATE), lambda body: is_at(second, body) and succeeded(body)
        )
        began = reached(team, RUNTIME, second)
        assert done
        assert began
        assert done <= began
    else:
        team.holds_for(10, lambda: is_at(first, team.application(GATE)), "the gate is not run")
        assert team.receipt() == receipt


@on("3.6")
def test_migration_that_failed_for_nothing(team: Team) -> None:
    """A commit while the password is wrong, the schema right: the plain Job failed, which would hold the step for ever."""
    only_up_to_the_runtime(team)
    team.git.migrations["schema"]["setup"]["backoffLimit"] = 0
    team.roll_out()
    team.until_rolled_out()
    team.set_password("wrong")
    team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]["maxConns"] = 21
    revision = team.commit("more connections")
    team.until(lambda: team.state(MIGRATIONS)[1] == "Degraded", "the migration to fail")
    team.set_password(team.databases.password)
    team.until_rolled_out(revision=revision, seconds=90)


@on("3.2")
def test_overtaken(team: Team) -> None:
    """A commit to the next release, of which the runtime hears first: it rolls before its gate, which repairs it alone."""
    only_up_to_the_runtime(team)
    team.git.application_set["spec"]["preservedFields"] = {"annotations": [NOT_COMPARED]}
    team.roll_out()
    team.until_rolled_out()
    team.git.roll_to("1.30.8")
    annotate(team, "true", NOT_COMPARED, MIGRATIONS, GATE)
    revision = team.commit("the next release")
    refresh(team, RUNTIME)
    team.until(lambda: reached(team, RUNTIME, revision), "the runtime to roll")
    annotate(team, None, NOT_COMPARED, MIGRATIONS, GATE)

    team.until_rolled_out(revision=revision)

    runtime, gate = reached(team, RUNTIME, revision), reached(team, GATE, revision)
    assert runtime
    assert gate
    assert runtime < gate
    team.until_serving()
    assert not any(is_in_back_off(pod) for pod in team.pods())
    assert all("1.30.8" in one["spec"]["containers"][0]["image"] for one in team.pods("frontend"))


@on("3.2")
def test_failed_bootstrap(team: Team) -> None:
    """A commit for the bootstrap, the database replaced: 3.2 does not try it again; a person's sync of the gate does."""
    team.git.leave_out(SECOND_GATE)
    leave_out_parameters(team, "receipt.revision", "fullnameOverride")
    policy(team)["retry"] = NO_RETRY
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second run of the gate, which would migrate")
    team.replace_databases()  # its servers still look healthy: Argo CD goes on to the bootstrap
    team.git.values[BOOTSTRAP]["namespaces"].append("billing")
    revision = team.commit("one more namespace")

    team.until(
        lambda: is_at(revision, team.application(BOOTSTRAP)) and team.operation(BOOTSTRAP)["phase"] == "Failed",
        "the bootstrap to fail",
    )
    failed = team.operation(BOOTSTRAP)
    team.holds_for(15, lambda: team.operation(BOOTSTRAP) == failed, "nobody syncs what is Synced")
    team.sync(GATE)
    team.until_rolled_out(revision=revision)
    team.start_workflow("billing")
    team.start_workflow()
    assert not any(is_in_back_off(pod) for pod in team.pods())


# --- small Applications, without any gate of ours -------------------------------------------------------------------


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
    container = {"name": "job", "image": images.WEB, "command": ["sh", "-c", script]}
    annotations = {"argocd.argoproj.io/hook": hook} if hook else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
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
    put(team, "job", job("first", "sleep 5; exit 1"))
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
    done = team.history.first("Job", "second", lambda body: body.get("status", {}).get("succeeded"))
    began = team.history.first("Application", team.git.name("after"), lambda body: "operationState" in body["status"])
    assert done
    assert began
    assert done <= began


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
