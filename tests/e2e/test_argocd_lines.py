"""What holds a rollout and what does not, on both lines of Argo CD: docs/gating.md's table."""

import pytest
from audited import GATE_ALONE, NO_RETRIES, POST_SYNC, RECEIPT_WITHOUT_COMMIT, shows
from scenario import (
    NO_RETRY,
    NOT_COMPARED,
    TERMINATED,
    annotate,
    commit_to_the_gate_first,
    has_settled,
    hook_migrations,
    is_done,
    is_synced_to,
    leave_uncompared,
    may_be_left_uncompared,
    on,
    policy,
    refresh,
)

from hook.audit.holds import Hold
from lab.control_plane import argocd
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.object_status import is_in_back_off
from lab.team import Team

MORE_THAN_ONE_STEPS = 5
"""Syncs of one Application: for one step RollingSync of 3.6 writes two, now and then three (seen)."""


def leave_out_parameters(team: Team, *ends: str) -> None:
    """Give its Applications no Helm parameter whose name ends so."""
    helm = team.git.application_set["spec"]["template"]["spec"]["source"]["helm"]
    helm["parameters"] = [one for one in helm["parameters"] if not one["name"].endswith(ends)]


def only_up_to_the_runtime(team: Team) -> None:
    """Roll out migrations, gate and runtime."""
    team.git.leave_out(BOOTSTRAP)
    del team.git.gate["downstream"]


def reached(team: Team, application: str, revision: str) -> float | None:
    """When an Application was first synced to a revision."""
    return team.history.first("Application", team.git.name(application), lambda body: is_synced_to(revision, body))


def wait_in_post_sync(team: Team) -> None:
    """A commit with a gate in PostSync and migrations that nobody but the gate starts, and no database."""
    only_up_to_the_runtime(team)
    hook_migrations(team)
    team.git.gate["hook"] = {"phase": "PostSync", "backoffLimit": 0}
    policy(team)["retry"] = NO_RETRY
    team.postgres.stop()
    team.roll_out()
    team.until(team.gate().pods, "the gate to run")


@on("3.2")
@shows(NO_RETRIES)
def test_post_sync_holds(team: Team) -> None:
    """A commit, no database: on 3.2 a gate in PostSync holds while it runs, and when it failed until a commit mends it."""
    gate = team.git.gate
    gate |= {"deadlineSeconds": 10, "graceSeconds": 1}
    wait_in_post_sync(team)
    team.holds_for(20, lambda: team.operation(RUNTIME) == {}, "the runtime's step has not started")
    team.until(team.gate().ends, "the gate to end")
    assert {code for code, _ in team.gate().ends()} == {3}
    team.until(lambda: team.operation(GATE)["phase"] == "Failed", "the gate's sync to fail")
    team.postgres.start()
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "nobody syncs what is Synced")
    team.git.gate["deadlineSeconds"] = 300
    revision = team.commit("more patience")
    team.until_rolled_out(revision=revision)
    assert team.history.ever("Pod", is_in_back_off) == []


@on("3.6", "3.2")
@shows(NO_RETRIES)
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
        team.until(lambda: len(operations_of_the_gate(team)) > MORE_THAN_ONE_STEPS, "the gate to be synced for ever")
    else:
        team.until(lambda: has_settled(team, "Failed"), "the gate to fail")
        begun = operations_of_the_gate(team)
        team.holds_for(15, lambda: operations_of_the_gate(team) == begun, "nobody syncs the gate again")
    assert {6} <= {code for code, _ in team.gate().ends()} <= {6, TERMINATED}
    assert team.operation(RUNTIME) == {}
    assert team.gate().receipt() is None


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
@shows(POST_SYNC)
def test_post_sync_holds_nothing(team: Team) -> None:
    """A commit, no database: on 3.6 the runtime's step starts while a gate in PostSync runs, which then repairs it.

    But for chance: where its sync began within the second of its step, it holds until somebody ends it.
    """
    wait_in_post_sync(team)
    team.until(lambda: team.operation(RUNTIME) or began_with_its_step(team), "the runtime's step to start")
    if began_with_its_step(team):
        team.terminate(GATE)
        team.until(lambda: team.operation(RUNTIME), "the runtime's step to start after all")
    assert {code for code, _ in team.gate().ends()} <= {TERMINATED}
    assert team.gate().receipt() is not None
    team.until_crash_looping()
    team.postgres.start()
    team.until_rolled_out()
    team.until(lambda: team.operation(GATE)["phase"] == "Succeeded", "the gate's sync to succeed")
    assert not any(is_in_back_off(pod) for pod in team.pods())


@pytest.mark.parametrize(
    "named",
    [
        pytest.param(True, id="with-revision", marks=shows(GATE_ALONE)),
        pytest.param(False, id="without", marks=shows(RECEIPT_WITHOUT_COMMIT)),
    ],
)
@on("3.6")
def test_commit_for_the_runtime(team: Team, named: bool) -> None:  # noqa: FBT001 -- the case
    """A commit that touches the runtime alone: the gate runs before it with `receipt.revision`, and not at all without."""
    only_up_to_the_runtime(team)
    if not named:
        leave_out_parameters(team, "receipt.revision")
    may_be_left_uncompared(team)
    first = team.roll_out()
    team.until_rolled_out(revision=first)
    receipt = team.gate().receipt()
    team.until(lambda: has_settled(team, "Succeeded"), "no second sync of the gate, which the runtime could overtake")
    team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]["maxConns"] = 21

    second = commit_to_the_gate_first(team, "more connections", RUNTIME) if named else team.commit("more connections")

    team.until_rolled_out(revision=second)
    assert reached(team, RUNTIME, second)
    if named:
        assert team.gate().receipt() == (receipt or {}) | {"revision": second}
        done = team.history.first("Application", team.git.name(GATE), lambda body: is_done(body, second))
        began = reached(team, RUNTIME, second)
        assert done
        assert began
        assert done <= began
    else:
        team.holds_for(10, lambda: is_synced_to(first, team.application(GATE)), "the gate is not run")
        assert team.gate().receipt() == receipt


@on("3.6")
@shows(GATE_ALONE)
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
    team.until_rolled_out(revision=revision)  # once the kubelet has brought the gate the Secret


@on("3.2")
@shows(GATE_ALONE)
def test_overtaken(team: Team) -> None:
    """A commit to the next release, of which the runtime hears first: it rolls before its gate, which repairs it alone."""
    only_up_to_the_runtime(team)
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.git.roll_to("1.30.8")
    leave_uncompared(team, MIGRATIONS, GATE)
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
@shows(RECEIPT_WITHOUT_COMMIT.but(Hold.NO_RETRY, Hold.JOB_NOT_RENEWED))
def test_failed_bootstrap(team: Team) -> None:
    """A commit for the bootstrap, the database replaced: 3.2 does not try it again; a person's sync of the gate does."""
    leave_out_parameters(team, "receipt.revision", "fullnameOverride")
    policy(team)["retry"] = NO_RETRY
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second run of the gate, which would migrate")
    team.replace_databases()  # its servers still look healthy: Argo CD goes on to the bootstrap
    team.git.values[BOOTSTRAP]["namespaces"].append("billing")
    revision = team.commit("one more namespace")

    team.until(
        lambda: is_synced_to(revision, team.application(BOOTSTRAP)) and team.operation(BOOTSTRAP)["phase"] == "Failed",
        "the bootstrap to fail",
    )
    failed = team.operation(BOOTSTRAP)
    team.holds_for(15, lambda: team.operation(BOOTSTRAP) == failed, "nobody syncs what is Synced")
    team.sync(GATE)
    team.until_rolled_out(revision=revision)
    team.start_workflow("billing")
    team.start_workflow()
    assert not any(is_in_back_off(pod) for pod in team.pods())
