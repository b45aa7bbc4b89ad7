"""Temporal's servers as objects: what owns their pods, which instance they are of, and what is said of them at an end."""

from dataclasses import replace

import pytest
from worlds import (
    RUN_STARTED,
    RUNTIME,
    application,
    at,
    finding,
    in_back_off,
    job,
    managed,
    migration,
    observation,
    owner,
    pod,
    policy,
    runtime,
    schema,
    stores,
    unknown,
)

from hook.decision import endings, migrations, planner, restarts
from hook.decision.policy import Policy, Reachability
from hook.decision.runtime import frontend_trouble
from hook.decision.steps import Fail, Pass, RestartPods, Wait, outcome_of
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Run
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import JobRef, Runtime

ALWAYS = policy(reachability=Reachability.ALWAYS)
NOTHING = Runtime(selected_by="app.kubernetes.io/name=temporal in namespace temporal")
TWO = runtime(pod("history"), pod("history", 1, instance="prod"))


@pytest.mark.parametrize(
    ("seen", "asked", "reason"),
    [
        (TWO, policy(), Reason.RUNTIME_INSTANCES_MIXED),
        (TWO, ALWAYS, Reason.RUNTIME_INSTANCES_MIXED),
        (NOTHING, ALWAYS, Reason.RUNTIME_PODS_NOT_FOUND),
    ],
)
def test_what_is_not_one_temporal_is_not_judged(seen: Runtime, asked: Policy, reason: Reason) -> None:
    """It may be a Deployment that was only just renamed: it is waited for as long as a grace lasts."""
    world = observation(runtime=seen)
    taken = planner.next_step(world, asked)
    assert isinstance(taken, Wait)
    (told,) = taken.findings
    assert told.reason is reason
    assert planner.next_step(observation(runtime=seen, since={told.key: at(-300)}), asked) == Fail(told)


def test_nothing_of_two_temporals_is_restarted_while_a_migration_ends() -> None:
    crashed = runtime(*(in_back_off(one, RUN_STARTED - 1) for one in ("history", "matching")))
    mixed = replace(crashed, pods=(crashed.pods[0], replace(crashed.pods[1], instance="prod")))
    ending = migration(MigrationPhase.RUNNING)
    assert isinstance(planner.next_step(observation(runtime=crashed, migration=ending), policy()), RestartPods)
    taken = planner.next_step(observation(runtime=mixed, migration=ending), policy())
    assert isinstance(taken, Wait)
    assert [one.reason for one in taken.findings] == [Reason.MIGRATION_RUNNING]


def test_an_owner_that_cannot_make_its_pods_tells_why() -> None:
    """helm-charts 592: PodSecurity."""
    said = "FailedCreate: violates PodSecurity"
    owners = tuple(
        owner(one, trouble=said if one == "history" else "") for one in ("frontend", "history", "matching", "worker")
    )
    pods = tuple(pod(one) for one in ("frontend", "matching", "worker"))
    taken = planner.next_step(observation(runtime=Runtime(owners, pods)), policy())
    assert isinstance(taken, Wait)
    assert [(one.reason, one.detail) for one in taken.findings] == [
        (Reason.POD_NOT_MADE, f"deployments temporal-history: {said}")
    ]


def test_the_gates_own_application_lists_its_job() -> None:
    """Whatever its labels say (argo-cd 18411)."""
    own = application(RUNTIME, jobs=(managed(JobRef("temporal", "gate")),))
    seen = observation(run=Run("run", at(-60), job=JobRef("temporal", "gate")), application=own)
    taken = planner.next_step(seen, policy())
    assert isinstance(taken, Fail)
    assert taken.finding.reason is Reason.OWN_APPLICATION_TARGETED


def test_a_statement_that_changes_the_schema_is_a_migration_at_work() -> None:
    """Whoever runs it: nobody is asked to run another, and it is not failed by the deadline (temporal 10358)."""
    changing = schema(Store.DEFAULT, "1.17")
    changing = type(changing)(changing.store, changing.version, changing.since, changing.born, changing_since=at(-60))
    seen = observation(stores=stores(default=changing))
    assert migrations.is_at_work(seen)
    assert not migrations.is_at_work(observation(migration=migration(jobs=(job(),))))
    assert not migrations.is_at_work(observation(migration=unknown(Reason.API_UNREACHABLE)))
    taken = planner.next_step(seen, policy())
    assert isinstance(taken, Wait)
    assert [one.reason for one in taken.findings] == [Reason.SCHEMA_BEING_CHANGED]


def test_what_could_not_be_seen_is_told_though_the_next_step_needs_less() -> None:
    seen = observation(runtime=unknown(Reason.API_UNREACHABLE, "pods"), frontend=unknown(Reason.FRONTEND_UNREACHABLE))
    told = {one.reason for one in planner.unseen(seen, policy())}
    assert told == {Reason.API_UNREACHABLE, Reason.FRONTEND_UNREACHABLE}


def test_nothing_is_said_of_what_is_not_configured_or_not_seen() -> None:
    assert list(frontend_trouble(observation(frontend=None), policy())) == []
    assert endings.notes(observation(migration=unknown(Reason.API_UNREACHABLE)), policy()) == ()


def test_how_a_run_ends_by_its_last_step() -> None:
    restart = RestartPods((in_back_off("history", -90),), "it crashed")
    assert "component history: a restart is due: it crashed" in outcome_of(restart).finding.detail
    troubled = outcome_of(Pass((finding(Reason.OUT_OF_MEMORY),)))
    assert troubled.finding.reason is Reason.PASSED_WITH_WARNING
    assert outcome_of(Pass()).finding.reason is Reason.PASSED
    assert outcome_of(Pass((finding(Reason.SCHEMA_NEWER),))).finding.reason is Reason.PASSED
    assert outcome_of(Fail(finding(Reason.OUT_OF_MEMORY))).finding == finding(Reason.OUT_OF_MEMORY)
    assert outcome_of(None).finding.detail == "nothing was seen"


@pytest.mark.parametrize(
    ("started", "seen", "is_young"),
    [(-4, -1, True), (-4, -2, False), (-2, -2, True), (-60, -1, False), (-4, None, False)],
)
def test_a_server_is_trusted_once_it_was_seen_to_run_for_long_enough(
    started: float,
    seen: float | None,
    is_young: bool,  # noqa: FBT001 -- a case's value
) -> None:
    """Its node's clock may be behind the gate's: a server that crashes at once would look old enough."""
    server = pod("history", started_at=at(started))
    first_seen = {(server.uid, at(started)): at(seen)} if seen is not None else {}
    world = observation(runtime=runtime(server), first_seen=first_seen)
    assert bool([*restarts.young(world, policy())]) == is_young
