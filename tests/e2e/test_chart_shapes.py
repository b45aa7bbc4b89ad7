"""Temporal's chart 1.x, both ways: split as 0.x has to be, and as one Application whose schema Job is a PreSync hook.

The lab's chart has its defaults that hurt: a Job restarted in place, all of its work in init containers, readiness probes.
"""

from collections.abc import Mapping

import pytest
from audited import ONE_APPLICATION, ONE_APPLICATION_BY_HAND, SPLIT_BY_HAND, SPLIT_CHART, shows
from scenario import (
    assert_never_crash_looped,
    assert_order,
    assert_passed,
    assert_works,
    by_the_gate,
    commit_to_the_gate_first,
    has_settled,
    incarnations,
    is_done,
    may_be_left_uncompared,
    on,
    operations,
    says,
    server_starts,
    until_all,
)
from test_upgrade import NEXT, began, images, images_of, is_running, migration_held_up, right_since, schema_pods

from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.images import server
from lab.incident import break_by_hand
from lab.object_status import is_in_back_off
from lab.team import SECRET, SERVERS, Team
from lab.toolchain import RELEASE

SPLIT, ONE = "chart-1.x/split", "chart-1.x/one-application"
ALL_OF_ONE = (GATE, RUNTIME, BOOTSTRAP)


def follow(team: Team, example: str, release: str = RELEASE) -> None:
    """Take the example, at this release."""
    team.follow(example)
    team.git.roll_to(release)


def assert_bootstrap_came_last(team: Team) -> None:
    """Gate and runtime, in one step, were done before the bootstrap was begun."""
    started = team.history.first(
        "Application", team.git.name(BOOTSTRAP), lambda one: "operationState" in one.get("status", {})
    )
    assert started is not None
    for one in (GATE, RUNTIME):
        done = team.history.first("Application", team.git.name(one), is_done)
        assert done is not None
        assert done <= started, one


def assert_servers_replaced(team: Team, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    assert {component for component in before if after[component] != before[component]} == SERVERS
    assert not any(is_in_back_off(pod) for pod in team.pods())


@on("3.6")
@shows(SPLIT_CHART)
def test_split_fresh(team: Team) -> None:
    """A commit: everything from nothing, in its order, without a crash."""
    follow(team, SPLIT, NEXT)
    revision = team.roll_out()
    team.until_rolled_out(revision=revision)
    assert_order(team, revision)
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)
    assert incarnations(team) == dict.fromkeys((*SERVERS, "web"), 1)


@on("3.6")
@shows(SPLIT_BY_HAND)
def test_split_incident(team: Team) -> None:
    """A person syncs each by hand before the database is ready, then the gate once: it repairs all of it."""
    follow(team, SPLIT)
    break_by_hand(team)
    before = team.pod_uids()

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    assert_works(team)
    assert_passed(team, GATE)
    assert_servers_replaced(team, before, team.pod_uids())
    until_all(team, MIGRATIONS, GATE, RUNTIME, BOOTSTRAP)


@on("3.6")
@shows(SPLIT_CHART)
def test_split_upgrade(team: Team) -> None:
    """A commit from 1.29 to 1.30: the new servers start on the new schema."""
    follow(team, SPLIT)
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second sync of the gate, which the runtime could overtake")
    team.git.roll_to(NEXT)
    revision = commit_to_the_gate_first(team, NEXT, RUNTIME)
    team.until_rolled_out(revision=revision)
    assert right_since(team) < min(began(pod) for pod in team.pods() if server(NEXT) in images_of(pod)) + 1
    assert images(team) == {server(NEXT)}
    assert_never_crash_looped(team)
    assert_passed(team, GATE)
    assert_works(team)


@on("3.6", "3.2")
@shows(ONE_APPLICATION)
def test_one_application_fresh(team: Team) -> None:
    """A commit: its own sync brings schema and servers, the gate writes nothing, the bootstrap comes after both."""
    follow(team, ONE, NEXT)
    revision = team.roll_out()
    team.until_rolled_out(revision=revision)
    assert_bootstrap_came_last(team)
    assert operations(team, RUNTIME) == (set(), set())
    assert_never_crash_looped(team)
    assert_passed(team, GATE)
    assert_works(team)
    assert incarnations(team) == dict.fromkeys((*SERVERS, "web"), 1)


@on("3.6")
@shows(ONE_APPLICATION_BY_HAND)
def test_one_application_whose_sync_was_given_up(team: Team) -> None:
    """A person syncs by hand before the database is ready: the hook fails, no server is made. The gate brings all."""
    follow(team, ONE)
    team.git.sync_by_hand()
    team.git.give_up_at_once()
    team.postgres.stop()
    team.roll_out()
    assert team.sync_to_end(RUNTIME)["phase"] == "Failed"
    assert team.pods() == []
    assert team.sync_to_end(BOOTSTRAP)["phase"] == "Failed"
    team.postgres.start()

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    assert by_the_gate(team.operation(RUNTIME))
    assert_never_crash_looped(team)
    assert_passed(team, GATE)
    assert_works(team)
    until_all(team, *ALL_OF_ONE)


@pytest.mark.parametrize("crash_loops", [True, False], ids=["crash-loop", "stale"])
@on("3.6")
@shows(ONE_APPLICATION)
def test_one_application_whose_database_was_replaced(team: Team, *, crash_loops: bool) -> None:
    """The hook Job is gone with its success; servers live on the old database, or crash-loop: the gate repairs all."""
    follow(team, ONE)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded", *ALL_OF_ONE), "no second sync of the gate, which would repair it")
    team.replace_databases()
    if crash_loops:
        for pod in team.pods():
            team.client.delete(f"/api/v1/namespaces/{team.name}/pods/{pod['metadata']['name']}")
        team.until_crash_looping(back_off_seconds=30)
    assert team.objects("apis/batch/v1", "jobs", "app.kubernetes.io/component=database") == []
    before = server_starts(team)

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    assert by_the_gate(team.operation(RUNTIME))
    if not crash_loops:  # those may start again by themselves once the schema is there, before the gate restarts them
        assert_servers_replaced(team, before, server_starts(team))
    assert_passed(team, GATE)
    team.until_rolled_out()
    assert_works(team)


@on("3.6")
@shows(ONE_APPLICATION)
def test_one_application_upgrade(team: Team) -> None:
    """A commit from 1.29 to 1.30: the old pods serve while the hook hangs; then new pods, on the schema that it brought."""
    follow(team, ONE)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded", *ALL_OF_ONE), "no second sync")
    before = team.pod_uids()
    with migration_held_up(team):
        team.git.roll_to(NEXT)
        revision = team.commit(NEXT)
        team.until(lambda: is_running(team.gate().pods()) and is_running(schema_pods(team)), "gate and hook to run")
        team.holds_for(10, lambda: team.pod_uids() == before, "the old pods are left alone")
        team.start_workflow()
    team.until_rolled_out(revision=revision)

    for one in (GATE, RUNTIME):
        name = team.git.name(one)
        assert team.history.first("Application", name, lambda found: is_done(found, revision)) is not None, one
    assert right_since(team) < min(began(pod) for pod in team.pods() if server(NEXT) in images_of(pod)) + 1
    assert images(team) == {server(NEXT)}
    assert team.pod_uids()["web"] == before["web"]
    assert_never_crash_looped(team)
    assert_passed(team, GATE)
    assert_works(team)


@on("3.6")
@shows(ONE_APPLICATION)
def test_one_application_whose_hook_never_fails(team: Team) -> None:
    """By the chart's own limit of a hundred. A wrong password ends the gate, and is named.

    The sync goes on with that commit: for the one that corrects it a person terminates the operation, as the gate says.
    """
    follow(team, ONE)
    del team.git.runtime["schema"]["backoffLimit"]
    team.add_secret("wrong", "wrong")
    set_secret(team, "wrong")
    team.git.gate.update({"graceSeconds": 5, "hook": {"backoffLimit": 0}})
    team.roll_out()

    team.until(team.gate().ends, "the gate to end")
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (5, "MigrationHangs"), message
    assert "init container manage-schema-default-store: " in message
    assert "password authentication failed" in message
    says(team, "argocd app terminate-op")
    team.holds_for(10, lambda: team.pods() == [] and team.operation(BOOTSTRAP) == {}, "closed")

    set_secret(team, SECRET)
    revision = team.commit("the password is right now")
    # Before that, Argo CD would begin again with the commit that it knows.
    team.until(lambda: team.application(RUNTIME)["status"]["sync"].get("revision") == revision, "it to be compared")
    team.terminate(RUNTIME)
    team.until_rolled_out(revision=revision)
    assert_bootstrap_came_last(team)
    assert_never_crash_looped(team)
    assert_passed(team, GATE)
    assert_works(team)


def set_secret(team: Team, name: str) -> None:
    """Let both stores' login come from this Secret, the servers' too."""
    for store in team.git.runtime["server"]["config"]["persistence"]["datastores"].values():
        store["sql"]["existingSecret"] = name
