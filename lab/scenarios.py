"""The scenarios: how the world comes to be as it is, what the gate is told, and how its run has to end.

``make demo`` plays some of them, the integration tests all of them. They know the world and nothing of how the gate works;
reasons and exit codes are written as a user reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lab import rollout
from lab.processes import wait_until
from lab.rollout import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.temporal import Store
from lab.world import ANOTHER_NAMESPACE, World

Tell = Callable[[str], None]


class UnmetError(AssertionError):
    """The world is not as the scenario says it has to be."""


@dataclass(frozen=True)
class Scenario:
    """One scenario; `title` is its story in a sentence."""

    name: str
    title: str
    prepare: Callable[[World, Tell], None]
    reason: str
    exit_code: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    verify: Callable[[World], None] = lambda _: None
    plain_jobs: bool = False
    restarts: frozenset[str] = frozenset()
    """The components whose pods are other ones afterwards; every other pod keeps its uid."""
    says: tuple[str, ...] = ()
    """What the termination message has to hold."""


SERVERS = frozenset({"frontend", "history", "matching", "worker"})


# --- how it comes to be -------------------------------------------------------------------------------------------


def _incident(world: World, tell: Tell) -> None:
    tell("the rollout begins before PostgreSQL is ready: the schema migration fails")
    world.postgres.stop()
    world.sync(MIGRATIONS)
    world.until_failed(MIGRATIONS)
    world.postgres.start()
    tell("PostgreSQL is up now, its databases are empty; the rollout goes on all the same: Temporal's servers start")
    _crash_looping(world, tell)
    tell("the namespace bootstrap runs")
    world.sync(BOOTSTRAP)
    world.until_failed(BOOTSTRAP)
    tell(
        "bootstrap failed: connection refused. Nothing of this mends itself; a person would sync, restart and sync again"
    )


def _crash_looping(world: World, tell: Tell) -> None:
    world.sync(RUNTIME)
    world.until_crash_looping()
    tell(f"all four servers are in CrashLoopBackOff: {world.crash('frontend')}")


def _behind(world: World, tell: Tell) -> None:
    tell("the databases are at an older release's schema (default 1.17, visibility 1.7), the servers are of 1.29.1")
    world.schema.migrate("1.17", "1.7")
    _crash_looping(world, tell)
    world.sync(BOOTSTRAP)


def _stuck(world: World, tell: Tell) -> None:
    tell("a migration was killed inside default 1.16, one of the versions whose statements cannot be run twice")
    world.schema.leave_interrupted(Store.DEFAULT, "1.16", 1)
    world.schema.migrate_store(Store.VISIBILITY)
    _crash_looping(world, tell)


def _partial(world: World, tell: Tell) -> None:
    tell("a migration was killed inside default 1.17, whose statements can be run again")
    world.schema.leave_interrupted(Store.DEFAULT, "1.17", 1)
    world.sync(RUNTIME)
    world.until_crash_looping()


def _healthy(world: World, tell: Tell) -> None:
    tell("a rollout in which nothing goes wrong")
    world.roll_out()
    world.start_workflow()
    tell("all is up: a workflow starts")


def _replaced(world: World, tell: Tell) -> None:
    _healthy(world, tell)
    tell("both databases are dropped and migrated anew under the running servers")
    world.replace_databases()
    world.schema.migrate()
    _must(world.frontend_says_serving(), "the frontend goes on to say SERVING")
    tell("everything looks healthy: pods are ready, the frontend says SERVING, all is Synced and Healthy")
    tell(f"and no workflow can start: {world.workflow_refusal()}")


def _denied(world: World, tell: Tell) -> None:
    tell("the schemas are right, but the servers log in as a role without privileges on the tables")
    world.schema.migrate()
    world.serve_as_another_role()
    _crash_looping(world, tell)


def _denied_verb(world: World, tell: Tell) -> None:
    tell("the gate's Role lacks the verb patch on the migrations Application")
    roles = rollout.gate_roles()
    roles[rollout.ARGO_CD_NAMESPACE] = [
        rule for rule in roles[rollout.ARGO_CD_NAMESPACE] if "patch" not in rule["verbs"]
    ]
    world.api.add_user("gate", roles=roles)


def _renamed(world: World, tell: Tell) -> None:
    tell("a populated default database comes back under another name: its version row is of the old one")
    world.schema.migrate()
    name = world.databases.default
    world.postgres.execute(name, "UPDATE schema_version SET db_name = 'temporal_before'")


def _without_namespace_metadata(world: World, tell: Tell) -> None:
    tell("row 54321 of namespace_metadata is missing")
    world.schema.migrate()
    world.postgres.execute(world.databases.default, "DELETE FROM namespace_metadata")
    _crash_looping(world, tell)


def _duplicate_cluster_metadata(world: World, tell: Tell) -> None:
    tell("cluster_metadata_info holds a second cluster with the same initial failover version")
    world.roll_out()
    world.duplicate_cluster_metadata()
    for pod in world.pods():
        world.delete(pod)
    world.until_crash_looping()
    tell(f"no server starts any more: {world.crash('frontend')}")


def _fresh(world: World, tell: Tell) -> None:
    tell("a first rollout: nothing is synced yet, the runtime's step is still ahead")
    del world


def _newer(world: World, tell: Tell) -> None:
    tell("a rollback: the schema is newer than the release")
    world.roll_out()
    world.postgres.execute(world.databases.default, "UPDATE schema_version SET curr_version = '1.19'")


def _standby(world: World, tell: Tell) -> None:
    tell("the database that answers is a standby")
    world.use_standby()


def _never_ran(world: World, tell: Tell) -> None:
    tell("bootstrap holds a hook Job alone, so Argo CD calls it Synced and never runs it")
    world.sync(MIGRATIONS)
    world.sync(RUNTIME)
    world.until_serving()


def _closed_gate(world: World, tell: Tell) -> None:
    tell("all is right by now, but the gate failed before: its Application stays closed, and nobody syncs it")
    world.roll_out()
    mended = world.directory / "mended"
    world.commit(GATE, [rollout.failing_hook(mended)])
    world.sync(GATE)
    world.until_failed(GATE)
    mended.touch()
    roles = rollout.gate_roles()
    patch = {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["patch"], "resourceNames": [GATE]}
    world.api.add_user("gate", roles={**roles, rollout.ARGO_CD_NAMESPACE: [*roles[rollout.ARGO_CD_NAMESPACE], patch]})


def _failed_plain_bootstrap(world: World, tell: Tell) -> None:
    tell("bootstrap is a plain Job that failed: a plain sync would leave it as it is")
    _incident(world, tell)


# --- what has to be true afterwards -------------------------------------------------------------------------------


def _works(world: World) -> None:
    world.start_workflow()
    _must(world.operation(BOOTSTRAP).get("phase") == "Succeeded", "bootstrap succeeded")


def _works_after_replacement(world: World) -> None:
    world.start_workflow(ANOTHER_NAMESPACE)


def _gate_was_reopened(world: World) -> None:
    wait_until(lambda: world.operation(GATE).get("phase") == "Succeeded", 15, "the gate's Application to succeed")


def _untouched(world: World) -> None:
    _must("gate" not in world.initiators(), "the gate wrote no operation")


def _schema_is_right(world: World) -> None:
    _must(world.schema_versions() == ("1.18", "1.9"), "both schemas are right")
    _must(world.operation(RUNTIME) == {}, "the runtime, which is ahead, was left alone")
    _must(world.operation(BOOTSTRAP) == {}, "bootstrap, which is ahead, was left alone")


def _still_empty(world: World) -> None:
    _must(world.schema_versions() == (None, None), "the databases are still empty")
    _untouched(world)


def _must(holds: bool, what: str) -> None:  # noqa: FBT001 -- an assertion
    if not holds:
        raise UnmetError(f"not so: {what}")


_HOLDING = {"reachability": "always", "graceSeconds": 2}

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            "incident",
            "The migration ran before the database was ready; Temporal crash-loops and bootstrap failed.",
            _incident, "Passed", 0, verify=_works, restarts=SERVERS,
        ),
        Scenario(
            "behind",
            "The schema is an older release's.",
            _behind, "Passed", 0, verify=_works, restarts=SERVERS,
        ),
        Scenario(
            "stuck",
            "A migration was interrupted in a version that cannot be run again.",
            _stuck, "SchemaStuck", 4, verify=_untouched, says=("1.16", "ALTER TABLE current_executions"),
        ),
        Scenario(
            "replaced",
            "Both databases were dropped and migrated anew under running servers: all looks healthy, nothing works.",
            _replaced, "Passed", 0, verify=_works_after_replacement, restarts=SERVERS,
        ),
        Scenario(
            "denied",
            "The servers' role has no privileges on the tables.",
            _denied, "TablePermissionDenied", 7, settings=_HOLDING, restarts=SERVERS, says=("permission denied", "GRANT"),
        ),
        Scenario(
            "denied-auto",
            "The same, but the gate is told to let the rollout pass with a warning.",
            _denied, "PassedWithWarning", 0, settings={"graceSeconds": 2}, restarts=SERVERS,
            says=("TablePermissionDenied", "GRANT"),
        ),
        Scenario(
            "denied-verb",
            "The gate's Role lacks a verb.",
            _denied_verb, "ApiForbidden", 6, settings={"graceSeconds": 1}, verify=_still_empty,
            says=("cannot patch resource", MIGRATIONS),
        ),
        Scenario("healthy", "All is right: the gate ends at once.", _healthy, "Passed", 0, verify=_untouched),
        Scenario(
            "partial",
            "A migration was interrupted in a version that can be run again.",
            _partial, "Passed", 0, verify=_works, restarts=SERVERS,
        ),
        Scenario(
            "renamed",
            "A populated database lost its version row.",
            _renamed, "SchemaVersionMissing", 4, settings={"graceSeconds": 1}, verify=_untouched,
            says=("temporal_before", "schema_update_history"),
        ),
        Scenario(
            "no-namespace-metadata",
            "The row that every server locks at its start is missing.",
            _without_namespace_metadata, "NamespaceMetadataMissing", 7, settings=_HOLDING, restarts=SERVERS,
            says=("54321", "INSERT INTO namespace_metadata"),
        ),
        Scenario(
            "duplicate-cluster-metadata",
            "Two clusters with the same initial failover version.",
            _duplicate_cluster_metadata, "ClusterMetadataDuplicated", 7, settings=_HOLDING, restarts=SERVERS,
            says=("cluster_metadata_info",),
        ),
        Scenario("fresh", "A first rollout: the schema alone is gated.", _fresh, "Passed", 0, verify=_schema_is_right),
        Scenario("newer", "A rollback: the schema is newer.", _newer, "Passed", 0, verify=_untouched, says=("SchemaNewer",)),
        Scenario(
            "empty-refused",
            "The database is empty, and policy says that a restore may be under way.",
            _fresh, "DatabaseEmpty", 4, settings={"onEmptyDatabase": "fail"}, verify=_still_empty,
        ),
        Scenario(
            "standby",
            "The database answers as a standby.",
            _standby, "DeadlineExceeded", 3, settings={"deadlineSeconds": 3, "graceSeconds": 1}, verify=_untouched,
            says=("DatabaseInRecovery",),
        ),
        Scenario(
            "bootstrap-never-ran",
            "Bootstrap is a hook Job alone, which Argo CD never ran.",
            _never_ran, "Passed", 0, verify=_works,
        ),
        Scenario(
            "reopened",
            "A watchdog finds all right and the gate's own Application failed: it syncs it.",
            _closed_gate, "Passed", 0, settings={"reopenGate": True, "onEmptyDatabase": "fail"}, verify=_gate_was_reopened,
        ),
        Scenario(
            "plain-bootstrap",
            "The incident, with migrations and bootstrap as plain Jobs.",
            _failed_plain_bootstrap, "Passed", 0, verify=_works, plain_jobs=True, restarts=SERVERS,
        ),
    )
}  # fmt: skip

PLAYED = ("incident", "behind", "stuck", "replaced", "denied")
"""The scenarios that ``make demo`` offers."""


def settle(world: World, uids: Mapping[str, str], scenario: Scenario) -> None:
    """Check that exactly the pods that had to be restarted are others, and the world is as it should be.

    Raises `UnmetError`.
    """
    if uids:
        wait_until(lambda: set(world.pod_uids()) == set(uids), 15, "every component to have its pod")
    after = world.pod_uids()
    changed = {component for component, uid in uids.items() if after.get(component) != uid}
    _must(changed == set(scenario.restarts), f"restarted were {sorted(changed)}, not {sorted(scenario.restarts)}")
    scenario.verify(world)
