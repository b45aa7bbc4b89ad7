"""The verification list: how each thing is marked in the situations that a person knows."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import (
    BOOTSTRAP,
    EMPTY,
    MIGRATIONS,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    attempted,
    downstream,
    finding,
    in_back_off,
    migration,
    observation,
    operation,
    owner,
    pod,
    policy,
    runtime,
    schema,
    stores,
    unknown,
)

from hook.decision.policy import Policy, Reachability
from hook.observation.applications import OperationPhase
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from hook.observation.versions import Store
from hook.observation.workloads import PodState, Runtime
from hook.report import checklist
from hook.report.checklist import Item, Mark

AUTO = policy()
NEVER = policy(reachability=Reachability.NEVER)

DEFAULT, VISIBILITY = "schema of default", "schema of visibility"
RUNTIME_APPLICATION = "runtime's Application"
BOOTSTRAP_APPLICATION = f"Application {BOOTSTRAP}"
PODS = ["pods of frontend", "pods of history", "pods of matching", "pods of worker"]


def listed(policy: Policy = AUTO, **changes: Any) -> dict[str, Item]:
    """The list of a healthy world with these changes, by subject."""
    items = checklist.items(observation(**changes), policy)
    assert len({item.subject for item in items}) == len(items)
    return {item.subject: item for item in items}


def not_ok(policy: Policy = AUTO, **changes: Any) -> dict[str, Mark]:
    """What in that list is marked otherwise than ok."""
    return {subject: item.mark for subject, item in listed(policy, **changes).items() if item.mark is not Mark.OK}


def test_a_healthy_worlds_list_is_all_ok_in_the_order_in_which_things_have_to_become_right() -> None:
    assert list(listed()) == [
        "migrations",
        DEFAULT,
        VISIBILITY,
        RUNTIME_APPLICATION,
        *PODS,
        "frontend",
        BOOTSTRAP_APPLICATION,
    ]
    assert not_ok() == {}


def test_what_is_not_configured_is_not_listed() -> None:
    bare = listed(
        application=None, runtime=None, frontend=None, downstream={}, stores={Store.DEFAULT: EMPTY[Store.DEFAULT]}
    )
    assert list(bare) == ["migrations", DEFAULT]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"stores": EMPTY}, {DEFAULT: Mark.WRONG, VISIBILITY: Mark.WRONG}),
        ({"stores": stores(visibility=schema(Store.VISIBILITY, "1.8"))}, {VISIBILITY: Mark.WRONG}),
        ({"stores": stores(default=schema(Store.DEFAULT, "1.19"))}, {}),
        ({"stores": stores(default=unknown(Reason.DATABASE_UNREACHABLE))}, {DEFAULT: Mark.UNSEEN}),
        ({"migration": migration(MigrationPhase.RUNNING)}, {"migrations": Mark.WAITING}),
        ({"migration": migration(MigrationPhase.BLOCKED)}, {"migrations": Mark.WAITING}),
        ({"migration": migration(MigrationPhase.UNCOMPARED)}, {"migrations": Mark.WAITING}),
        ({"migration": attempted(1)}, {"migrations": Mark.WRONG}),
        ({"migration": attempted(1, MigrationPhase.SUCCEEDED)}, {}),
        ({"migration": unknown(Reason.API_FORBIDDEN)}, {"migrations": Mark.UNSEEN}),
        ({"application": unknown(Reason.API_UNREACHABLE)}, {RUNTIME_APPLICATION: Mark.UNSEEN}),
        ({"runtime": unknown(Reason.API_UNREACHABLE)}, {"pods": Mark.UNSEEN}),
        ({"frontend": unknown(Reason.FRONTEND_UNREACHABLE)}, {"frontend": Mark.UNSEEN}),
        ({"frontend": Frontend(finding(Reason.FRONTEND_NOT_SERVING))}, {"frontend": Mark.WAITING}),
        ({"frontend": Frontend(finding(Reason.FRONTEND_REFUSES_GATE))}, {"frontend": Mark.UNSEEN}),
        ({"frontend": Frontend(unproved=finding(Reason.FRONTEND_REFUSES_GATE))}, {"frontend": Mark.UNSEEN}),
        ({"frontend": Frontend(unproved=finding(Reason.FRONTEND_RATE_LIMITED))}, {"frontend": Mark.WAITING}),
        ({"runtime": runtime(pod("history", ready=False))}, {"pods of history": Mark.WRONG}),
        ({"runtime": runtime(wanted={"history": 2})}, {"pods of history": Mark.WRONG}),
        ({"runtime": Runtime((owner("history"),))}, {"pods of history": Mark.WRONG}),
        ({"refused": (finding(Reason.API_FORBIDDEN),)}, {"right to act": Mark.WRONG}),
    ],
    ids=[
        "empty databases",
        "a store behind",
        "a store newer",
        "a store unseen",
        "a migration runs",
        "a migration is blocked",
        "a migration's end is not compared",
        "a migration failed",
        "a migration succeeded",
        "the migration may not be seen",
        "the runtime's Application unseen",
        "the pods unseen",
        "the frontend unseen",
        "the frontend does not serve",
        "the frontend refuses the gate",
        "the frontend leaves its proofs unproved",
        "the frontend limits the gate's rate",
        "a pod is not ready",
        "a replica is missing",
        "no pod is there",
        "an act was refused",
    ],
)
def test_what_is_wrong_is_marked_and_nothing_beside_it(changes: dict[str, Any], expected: dict[str, Mark]) -> None:
    assert not_ok(**changes) == expected


def test_a_proof_that_is_refused_is_never_ticked_off() -> None:
    """What was proved and what was not is said in the adapter's words, with the remedy."""
    detail = "it says SERVING; GetClusterInfo, DescribeWorkflowExecution: PERMISSION_DENIED: Request unauthorized."
    unproved = replace(finding(Reason.FRONTEND_REFUSES_GATE), detail=detail)
    item = listed(frontend=Frontend(unproved=unproved))["frontend"]
    assert item.seen == f"FrontendRefusesGate: {detail}"
    assert item.remedy == Reason.FRONTEND_REFUSES_GATE.remedy


BOOTSTRAP_STATES = [
    (application(operation=operation(OperationPhase.FAILED)), Mark.WRONG),
    (application(operation=None), Mark.WRONG),
    (application(health="Degraded"), Mark.WRONG),
    (application(health="Progressing"), Mark.WAITING),
    (application(health="Degraded", operation=operation(OperationPhase.RUNNING)), Mark.WAITING),
    (ahead(BOOTSTRAP), Mark.NOT_ASKED),
    (unknown(Reason.APPLICATION_MISSING), Mark.NOT_ASKED),
    (unknown(Reason.API_FORBIDDEN), Mark.UNSEEN),
    (application(), Mark.OK),
]


@pytest.mark.parametrize(
    ("bootstrap", "mark"),
    BOOTSTRAP_STATES,
    ids=["failed", "never ran", "Degraded", "its Job runs", "syncs again", "ahead", "missing", "unseen", "well"],
)
def test_downstream_is_marked_by_what_it_is_and_not_at_all_where_temporal_is_not_asked_for(
    bootstrap: Any,  # noqa: ANN401 -- an Application or Unknown
    mark: Mark,
) -> None:
    seen = {BOOTSTRAP: bootstrap}
    assert listed(downstream=seen)[BOOTSTRAP_APPLICATION].mark is mark
    unasked = Mark.UNSEEN if mark is Mark.UNSEEN else Mark.NOT_ASKED
    assert listed(NEVER, downstream=seen)[BOOTSTRAP_APPLICATION].mark is unasked


def test_a_downstream_that_ran_on_a_database_that_is_gone_is_wrong() -> None:
    new = stores(default=schema(Store.DEFAULT, born=-1700))
    found = listed(stores=new, runtime=None)[BOOTSTRAP_APPLICATION]
    assert (found.mark, found.seen) == (Mark.WRONG, "it ran before its database's schema was made")
    assert found.remedy == Reason.DOWNSTREAM_FAILED.remedy


@pytest.mark.parametrize(
    ("runtime_application", "seen"),
    [
        (ahead(RUNTIME), "not yet synced to its target: its step is still ahead"),
        (unknown(Reason.APPLICATION_MISSING), "does not exist: its step is still ahead"),
    ],
    ids=["ahead", "missing"],
)
def test_nothing_is_asked_of_a_runtime_that_is_ahead(
    runtime_application: Any,  # noqa: ANN401 -- an Application or Unknown
    seen: str,
) -> None:
    world = {
        "application": runtime_application,
        "runtime": Runtime((owner("history"), owner("frontend"))),
        "frontend": unknown(Reason.FRONTEND_UNREACHABLE),
    }
    marks = not_ok(**world)
    assert marks == dict.fromkeys(
        (RUNTIME_APPLICATION, "pods of frontend", "pods of history", "frontend", BOOTSTRAP_APPLICATION), Mark.NOT_ASKED
    )
    assert listed(**world)[RUNTIME_APPLICATION].seen == seen


def test_a_crash_loop_is_wrong_and_names_pod_restarts_diagnosis_and_remedy() -> None:
    crashing = in_back_off("history", RUN_STARTED + 1, Reason.NAMESPACE_METADATA_MISSING)
    item = listed(runtime=runtime(crashing))["pods of history"]
    assert item == Item(
        "pods of history",
        Mark.WRONG,
        "0 running, temporal-history-0 in back-off, 4 restarts (NamespaceMetadataMissing: as seen)",
        "1 running",
        Reason.NAMESPACE_METADATA_MISSING.remedy,
    )


def test_a_replica_too_many_that_crashes_is_named_and_does_not_make_its_component_wrong() -> None:
    rolling = runtime(pod("history"), in_back_off("history", -1, number=1))
    item = listed(runtime=rolling)["pods of history"]
    assert item.mark is Mark.OK
    assert "temporal-history-1 in back-off" in item.seen


def test_pods_without_a_deployment_are_wanted_as_they_are() -> None:
    alone = Runtime((), (pod("history"), pod("history", 1, state=PodState.PENDING)))
    item = listed(runtime=alone)["pods of history"]
    assert (item.mark, item.wanted) == (Mark.WRONG, "2 running")


def test_what_holds_the_migration_is_listed_beside_it() -> None:
    hang = finding(Reason.MIGRATION_HANGS)
    items = listed(migration=migration(MigrationPhase.RUNNING, hang=hang))
    assert list(items)[:2] == ["migrations", "migration's Job"]
    found = items["migration's Job"]
    assert (found.mark, found.seen, found.remedy) == (
        Mark.WRONG,
        "MigrationHangs: as seen",
        Reason.MIGRATION_HANGS.remedy,
    )


def test_a_schema_is_shown_beside_what_the_release_wants() -> None:
    item = listed(stores=EMPTY)[DEFAULT]
    assert (item.seen, item.wanted) == ("empty", "1.18 for Temporal 1.29.1")
    by_hand = listed(policy(release=None))[DEFAULT]
    assert (by_hand.seen, by_hand.wanted) == ("at 1.18", "1.18")


@pytest.mark.parametrize("phase", [MigrationPhase.RUNNING, MigrationPhase.UNCOMPARED])
def test_a_schema_in_the_middle_of_a_migration_is_no_fault(phase: MigrationPhase) -> None:
    """Between two versions it looks stuck, behind or empty for a moment; the planner does not judge it either."""
    stuck = {Store.DEFAULT: unknown(Reason.SCHEMA_STUCK), Store.VISIBILITY: schema(Store.VISIBILITY, "1.7")}
    items = listed(migration=migration(phase), stores=stuck)
    for subject in (DEFAULT, VISIBILITY):
        assert (items[subject].mark, items[subject].seen) == (Mark.WAITING, "being migrated")


def test_a_migrations_state_names_its_owner_and_what_it_said() -> None:
    assert listed(migration=attempted(1))["migrations"].seen == f"Application {MIGRATIONS}: failed (exit code 1)"
    assert listed()["migrations"].seen == f"Application {MIGRATIONS}: idle"


def test_what_cannot_be_seen_says_why_and_what_to_do() -> None:
    bare = replace(finding(Reason.API_UNREACHABLE, "Deployments"), detail="")
    found = listed(runtime=replace(unknown(Reason.API_UNREACHABLE), finding=bare))["pods"]
    assert (found.seen, found.remedy) == ("ApiUnreachable: Deployments", Reason.API_UNREACHABLE.remedy)


def test_an_application_that_was_reached_is_described_in_argo_cds_words() -> None:
    assert listed()[RUNTIME_APPLICATION].seen == f"{RUNTIME}: Synced, Healthy, operation succeeded"
    assert (
        listed(downstream=downstream(application()))[BOOTSTRAP_APPLICATION].seen
        == "Synced, Healthy, operation succeeded"
    )
