"""Guards: what no order of RollingSync's and no person's sync overtakes, and how one that holds is opened again."""

import pytest
from audited import GATE_ALONE, GUARDED, GUARDS_ALONE, shows
from scenario import (
    NO_RETRY,
    NOT_COMPARED,
    Json,
    annotate,
    assert_never_crash_looped,
    assert_works,
    by_the_gate,
    has_settled,
    is_done,
    is_synced_to,
    leave_uncompared,
    may_be_left_uncompared,
    mend_password,
    on,
    policy,
    refresh,
    with_wrong_password,
)

from hook.audit.holds import Hold
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.images import server
from lab.object_status import is_in_back_off
from lab.team import Team
from lab.toolchain import RELEASE

NEXT = "1.30.8"
RIGHT = {RELEASE: ("1.18", "1.9"), NEXT: ("1.18", "1.13")}
"""What the two schemas have to be at for each release."""


@on("3.6", "3.2")
@shows(GUARDS_ALONE)
def test_all_at_once(team: Team) -> None:
    """No RollingSync, no gate: every Application is synced as soon as it is there; guards alone bring them into order."""
    team.git.guard()
    team.git.leave_out(GATE)
    del team.git.application_set["spec"]["strategy"]
    team.roll_out()
    everything = (MIGRATIONS, RUNTIME, BOOTSTRAP)
    team.until(lambda: {team.state(one) for one in everything} == {("Synced", "Healthy")}, "all to be done")

    migrated = team.history.first("Application", team.git.name(MIGRATIONS), is_done)
    for one in (RUNTIME, BOOTSTRAP):
        began = team.history.first("Application", team.git.name(one), is_being_synced)
        assert began is not None
        assert migrated is not None
        assert began < migrated, f"{one} is synced while its guard has something to wait for"
    assert_never_crash_looped(team)
    assert_no_server_before_its_schema(team, RELEASE)
    assert bootstraps(team) == 1
    assert_works(team)
    assert {outcome(team, one) for one in (RUNTIME, BOOTSTRAP)} == {(0, "Passed")}


@pytest.mark.parametrize(
    "guarded",
    [
        pytest.param(True, id="guarded", marks=shows(GUARDED)),
        pytest.param(False, id="not guarded", marks=shows(GATE_ALONE)),
    ],
)
@on("3.6", "3.2")
def test_overtaken_at_an_upgrade(team: Team, *, guarded: bool) -> None:
    """The next release, of which the runtime alone hears, and a person's sync of it besides, while its schema is not there.

    Without a guard its servers start before their schema, and crash-loop.
    """
    if guarded:
        team.git.guard()
    else:
        team.git.leave_out(BOOTSTRAP)
        del team.git.gate["downstream"]
    team.git.guard_of(RUNTIME)["migrations"]["attempts"] = 0  # Argo CD does not process the one that it would ask
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    before = team.pod_uids()
    team.git.roll_to(NEXT)
    others = (MIGRATIONS, GATE, BOOTSTRAP) if guarded else (MIGRATIONS, GATE)
    leave_uncompared(team, *others)
    revision = team.commit("the next release")
    refresh(team, RUNTIME)
    team.until(lambda: is_under_way(team, RUNTIME) or team.try_to_sync(RUNTIME), "the runtime's sync")
    team.until(lambda: is_at(team, RUNTIME, revision), "the runtime to be synced first")
    if not guarded:
        team.until(lambda: team.history.ever("Pod", is_in_back_off), "a server that crash-loops")
        return

    team.until(lambda: team.gate(RUNTIME).pods(), "the guard to run")
    team.holds_for(20, lambda: team.pod_uids() == before, "the old servers serve")
    assert_works(team)
    annotate(team, None, NOT_COMPARED, *others)
    team.until_rolled_out(revision=revision)
    assert_never_crash_looped(team)
    assert_no_server_before_its_schema(team, NEXT)
    assert_works(team)


@on("3.6")
@shows(GUARDED)
def test_synced_by_a_person_while_the_migration_fails(team: Team) -> None:
    """The first rollout, whose migration fails: a person syncs runtime and bootstrap, and no server starts.

    The commit that mends the migration is all that it takes.
    """
    team.git.guard()
    with_wrong_password(team)
    for values in (team.git.gate, team.git.guard_of(RUNTIME)):
        values["migrations"] |= {"attempts": 1}
    team.roll_out()
    team.until(lambda: team.state(MIGRATIONS)[1] == "Degraded", "the migration to fail")
    for one in (RUNTIME, BOOTSTRAP):
        team.sync(one)
    team.until(lambda: outcome(team, RUNTIME) == (5, "MigrationFailed"), "the runtime's guard to fail")
    team.holds_for(15, lambda: not team.pods() and not bootstraps(team), "nothing that is guarded is made")
    assert any(event.startswith("MigrationFailed") for event in team.events(RUNTIME))

    mend_password(team)
    revision = team.commit("the password is right now")
    team.until_rolled_out(revision=revision)
    assert_never_crash_looped(team)
    assert_no_server_before_its_schema(team, RELEASE)
    assert_works(team)


@on("3.6", "3.2")
@shows(GUARDED)
def test_mended_by_a_commit(team: Team) -> None:
    """A guard whose own database's name is wrong waits; the commit that corrects it ends it, and is synced in its place."""
    team.git.guard()
    database = team.git.guard_of(RUNTIME)["stores"]["default"]
    right, database["port"] = database["port"], 1
    team.roll_out()
    team.until(lambda: team.gate(RUNTIME).pods(), "the guard to run")
    team.holds_for(15, lambda: not team.pods() and not outcome(team, RUNTIME), "it waits, and no server is made")

    database["port"] = right
    revision = team.commit("the database's port")
    team.until_rolled_out(revision=revision)
    assert (10, "GuardSuperseded") in ends(team, RUNTIME)
    assert (0, "Passed") in ends(team, RUNTIME)
    assert any(event.startswith("GuardSuperseded") for event in team.events(RUNTIME))
    assert_never_crash_looped(team)
    assert_works(team)


@on("3.6")
@shows(GUARDED.but(Hold.NO_RETRY))
def test_reopened_by_the_watchdog(team: Team) -> None:
    """A guard that failed for good, and its cause is gone without a commit: nobody would sync the runtime again."""
    team.git.guard()
    team.git.leave_out(BOOTSTRAP)
    del team.git.gate["downstream"]
    team.git.gate["watchdog"] = {"enabled": True, "schedule": "0 0 29 2 *"}
    guard = team.git.guard_of(RUNTIME)
    guard["stores"]["default"]["secret"]["name"] = "guard"
    guard["graceSeconds"] = 1
    team.add_secret("guard", "wrong")
    policy(team)["retry"] = NO_RETRY
    team.roll_out()
    team.until(lambda: has_settled(team, "Failed", RUNTIME), "the guard to fail, and nobody to sync again")
    assert outcome(team, RUNTIME) == (6, "DatabaseLoginRefused")
    team.add_secret("guard", team.databases.password)
    team.holds_for(10, lambda: has_settled(team, "Failed", RUNTIME) and not team.pods(), "it stays closed")

    team.gate().start_watchdog()

    team.until(lambda: team.state(RUNTIME) == ("Synced", "Healthy"), "the runtime to be rolled out")
    assert by_the_gate(team.operation(RUNTIME))
    assert outcome(team, RUNTIME) == (0, "Passed")
    assert_never_crash_looped(team)
    team.until_serving()


def is_being_synced(application: Json) -> bool:
    return "operationState" in application.get("status", {})


def is_under_way(team: Team, application: str) -> bool:
    return team.operation(application).get("phase") == "Running"


def is_at(team: Team, application: str, revision: str) -> bool:
    """Whether its last sync, under way or ended, is of this revision."""
    return is_synced_to(revision, team.application(application))


def ends(team: Team, application: str) -> list[tuple[int, str]]:
    """How the pods of an Application's guard have ended, by exit code and reason."""
    return [(code, message.partition(":")[0]) for code, message in team.gate(application).ends()]


def outcome(team: Team, application: str) -> tuple[int, str] | None:
    """How the last one has."""
    found = ends(team, application)
    return found[-1] if found else None


def bootstraps(team: Team) -> int:
    """How many pods the bootstrap's own Job ever had."""
    return len(
        {one.name for one in team.history.versions("Pod") if one.name.startswith("temporal-namespace-bootstrap-")}
    )


def assert_no_server_before_its_schema(team: Team, release: str) -> None:
    """No pod of the release was made before both schemas were what it needs, by the database's clock and the test's."""
    assert team.schema_versions() == RIGHT[release]
    written = []
    for database in (team.databases.default, team.databases.visibility):
        ((at,),) = team.postgres.execute(database, "SELECT extract(epoch FROM creation_time) FROM schema_version")
        written.append(float(at))
    made = [
        version.at
        for version in team.history.versions("Pod")
        if server(release) in {one["image"] for one in version.body["spec"]["containers"]}
    ]
    assert made
    assert min(made) >= max(written) - 1, (min(made), written)
