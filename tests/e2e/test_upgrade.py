"""From one release of Temporal to another: up, beyond what the schema's owner brings, and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from audited import GATE_ALONE, shows
from scenario import (
    assert_never_crash_looped,
    assert_passed,
    assert_works,
    commit_to_the_gate_first,
    has_settled,
    is_done,
    is_synced_to,
    may_be_left_uncompared,
    on,
)

from lab.git_tree import GATE, MIGRATIONS, RUNTIME
from lab.images import server
from lab.team import Team
from lab.toolchain import RELEASE

pytestmark = shows(GATE_ALONE)

NEXT = "1.30.8"
BEYOND = "1.31.4"
"""Its default store is at 1.19; the tool of ``NEXT`` brings 1.18. No node has its image."""


@on("3.6")
def test_upgrade(team: Team) -> None:
    """A commit from 1.29 to 1.30: the old pods serve while the migration hangs; right schema, open gate, new pods."""
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second sync of the gate, which the runtime could overtake")
    before = team.pod_uids()
    with migration_held_up(team):
        team.git.roll_to(NEXT)
        revision = commit_to_the_gate_first(team, NEXT, RUNTIME)
        team.until(
            lambda: is_running(team.gate().pods()) and is_running(schema_pods(team)), "gate and migration to run"
        )
        team.holds_for(10, lambda: team.pod_uids() == before, "the old pods are left alone")
        team.start_workflow()
    team.until_rolled_out(revision=revision)

    opened = team.history.first("Application", team.git.name(GATE), lambda one: is_done(one, revision))
    rolled = team.history.first("Application", team.git.name(RUNTIME), lambda one: is_synced_to(revision, one))
    assert opened is not None
    assert rolled is not None
    assert right_since(team) < opened <= rolled
    assert right_since(team) < min(began(pod) for pod in team.pods() if server(NEXT) in images_of(pod)) + 1
    assert images(team) == {server(NEXT)}
    assert team.pod_uids()["web"] == before["web"]
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
def test_release_beyond_the_schema_tool(team: Team) -> None:
    """A commit to a release whose schema the owner's tool lacks: closed, the old pods serve; the right pair opens."""
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second sync of the gate, which the runtime could overtake")
    before, receipt, synced = team.pod_uids(), team.gate().receipt(), team.operation(RUNTIME)["startedAt"]
    team.git.roll_to(BEYOND, admin_tools=NEXT)
    commit_to_the_gate_first(team, BEYOND, RUNTIME)

    team.until(lambda: any(code for code, _ in team.gate().ends()), "the gate to fail")
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (5, "MigrationLeftSchemaBehind"), message
    assert "default is at 1.18, expected 1.19" in message
    assert any(event.startswith("MigrationLeftSchemaBehind") for event in team.events(GATE))
    assert any(event.startswith("MigrationStarted") for event in team.events(MIGRATIONS))
    team.holds_for(
        15,
        lambda: (
            (team.pod_uids(), team.gate().receipt(), team.operation(RUNTIME)["startedAt"]) == (before, receipt, synced)
        ),
        "the gate is closed, the runtime's step has not started",
    )
    team.start_workflow()

    team.git.roll_to(NEXT)
    revision = team.commit("what the tool brings")
    team.until_rolled_out(revision=revision)
    assert images(team) == {server(NEXT)}
    assert team.history.ever("Pod", lambda pod: server(BEYOND) in images_of(pod)) == []
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
def test_rollback(team: Team) -> None:
    """A commit from 1.30 back to 1.29: the schema that is newer passes and is said, and the runtime goes back."""
    team.git.roll_to(NEXT)
    team.roll_out()
    team.until_rolled_out()
    schemas = team.schema_versions()
    team.git.roll_to(RELEASE)
    revision = team.commit("back")
    team.until_rolled_out(revision=revision)

    assert_passed(team)
    said = [message for code, message in team.gate().ends() if not code]
    assert any("SchemaNewer: store visibility: visibility is at 1.13, expected 1.9" in one for one in said), said
    assert any(event.startswith("SchemaNewer") for event in team.events(GATE))
    assert team.schema_versions() == schemas
    assert images(team) == {server(RELEASE)}
    assert_never_crash_looped(team)
    assert_works(team)


@contextmanager
def migration_held_up(team: Team) -> Iterator[None]:
    """Nobody can write what version visibility's schema has, so the migration hangs; whoever reads does not notice."""
    with psycopg.connect(team.postgres.dsn(team.databases.visibility)) as session:
        session.execute("LOCK TABLE schema_version IN SHARE MODE")
        yield


def right_since(team: Team) -> float:
    """When the later of the two schemas became what it is, by the database's own rows."""
    asked = "SELECT extract(epoch FROM creation_time AT TIME ZONE 'UTC') FROM schema_version"
    stores = (team.databases.default, team.databases.visibility)
    return max(float(team.postgres.execute(store, asked)[0][0]) for store in stores)


def began(pod: dict) -> float:  # type: ignore[type-arg]
    """When a pod was made: a whole second."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"]).timestamp()


def schema_pods(team: Team) -> list[dict]:  # type: ignore[type-arg]
    """Those of the schema Job of the next release."""
    pods = team.objects("api/v1", "pods", "app.kubernetes.io/component=database")
    return [pod for pod in pods if any(NEXT in image for image in images_of(pod))]


def is_running(pods: list[dict]) -> bool:  # type: ignore[type-arg]
    """Whether a container of one of them runs, an init container too."""
    statuses = [pod.get("status", {}) for pod in pods]
    containers = [
        each for one in statuses for each in (*one.get("initContainerStatuses", []), *one.get("containerStatuses", []))
    ]
    return any("running" in each["state"] for each in containers)


def images_of(pod: dict) -> set[str]:  # type: ignore[type-arg]
    """A pod's images."""
    return {container["image"] for container in pod["spec"]["containers"]}


def images(team: Team) -> set[str]:
    """Those of Temporal's servers that are there now."""
    found = set().union(*(images_of(pod) for pod in team.pods()))
    return {image for image in found if "server" in image}
