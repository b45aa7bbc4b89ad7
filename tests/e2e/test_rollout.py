"""The rollout itself: fresh, the incident, the replaced database."""

import time

from audited import BY_HAND, GATE_ALONE, shows
from scenario import (
    Json,
    assert_never_crash_looped,
    assert_order,
    assert_passed,
    assert_works,
    by_the_gate,
    commit_to_the_gate_first,
    has_settled,
    hook_migrations,
    may_be_left_uncompared,
    mend_password,
    on,
    refresh,
    says,
    server_starts,
    with_wrong_password,
)

from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.incident import break_by_hand
from lab.object_status import component_of, is_in_back_off
from lab.team import SERVERS, Team

pytestmark = shows(GATE_ALONE)


@on("3.6", "3.2")
def test_fresh(team: Team) -> None:
    """A commit: everything from nothing, in its order, without a crash, a second gate too; a workflow starts."""
    team.git.add_second_gate()
    revision = team.roll_out()
    team.until_rolled_out(revision=revision)
    assert_order(team, revision)
    assert_never_crash_looped(team)
    assert_passed(team)
    assert (team.gate().receipt() or {})["revision"] == revision
    assert_works(team)


@on("3.6")
@shows(BY_HAND)
def test_incident(team: Team) -> None:
    """A person syncs each by hand before the database is ready, then the gate once: it repairs all of it."""
    break_by_hand(team)
    crash = team.log(team.pods("frontend")[0], previous=True)
    assert 'relation "schema_version" does not exist' in crash
    before = team.pod_uids()

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    assert_works(team)
    assert_passed(team, GATE)
    after = team.pod_uids()
    assert {component for component in before if after[component] != before[component]} == SERVERS
    assert not any(is_in_back_off(pod) for pod in team.pods())
    team.until(
        lambda: {team.state(one) for one in (MIGRATIONS, GATE, RUNTIME, BOOTSTRAP)} == {("Synced", "Healthy")}, "all"
    )


@on("3.6")
def test_replaced_database(team: Team) -> None:
    """Dropped and made anew under running pods that all look healthy: a person syncs the gate once."""
    team.roll_out()
    team.until_rolled_out()
    team.until(
        lambda: has_settled(team, "Succeeded", *APPLICATIONS), "no second sync: of the gate, which would repair it"
    )
    team.replace_databases()
    before, since = server_starts(team), time.time()
    team.holds_for(5, lambda: all(one == "Healthy" for one in team.steps().values()), "everything looks healthy")
    assert not any(is_in_back_off(pod) for pod in team.pods())

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    team.until_rolled_out()
    assert_passed(team, GATE, since=since)
    after = server_starts(team)
    assert {component for component in before if after[component] != before[component]} == SERVERS
    assert {component_of(pod) for pod in team.pods()} == SERVERS | {"web"}
    team.start_workflow()


@on("3.6")
def test_replaced_database_before_a_commit_for_the_runtime(team: Team) -> None:
    """No step syncs the bootstrap, which the commit does not change: the gate does, before it lets the runtime go on."""
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded", *APPLICATIONS), "no second sync")
    team.replace_databases()
    since = time.time()
    team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]["maxConns"] = 21
    revision = commit_to_the_gate_first(team, "more connections", RUNTIME)
    team.until_rolled_out(revision=revision)
    assert by_the_gate(team.operation(BOOTSTRAP))
    assert_passed(team, GATE, since=since)
    team.until_serving()  # after the gate the commit restarted all servers at once: they join each other in 31 to 38 s
    team.start_workflow()


@on("3.6")
def test_bootstrap_that_a_sync_left_as_it_was(team: Team) -> None:
    """Its operation is younger than the new database, its Job is not: what counts is when the Job's work began.

    The servers remember the namespace for some seconds. On a machine so busy that they have forgotten it, the sync fails
    (`Invalid cluster name: active`), and the gate repairs that.
    """
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded", *APPLICATIONS), "no second sync")
    team.replace_databases()
    team.migrate()
    time.sleep(1.0)
    team.sync_to_end(BOOTSTRAP)
    since = time.time()

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    team.until_rolled_out()
    assert_passed(team, GATE, since=since)
    team.start_workflow()


@on("3.6", "3.2")
def test_closed_gate(team: Team) -> None:
    """A commit whose migration has a wrong password: the runtime never starts; the commit that mends it opens the gate."""
    with_wrong_password(team)
    team.git.gate["migrations"] |= {"attempts": 2, "pauseSeconds": 2}
    team.roll_out()

    team.until(lambda: any(code for code, _ in team.gate().ends()), "the gate to fail")
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (5, "MigrationFailed"), message
    assert any(event.startswith("MigrationFailed") for event in team.events(GATE))
    assert any(event.startswith("MigrationStarted") for event in team.events(MIGRATIONS))
    team.holds_for(
        20,
        lambda: team.operation(RUNTIME) == {} and team.pods() == [] and team.gate().receipt() is None,
        "the runtime's step has not started",
    )

    mend_password(team)
    revision = team.commit("the password is right now")
    team.until_rolled_out(revision=revision)
    assert_order(team, revision)
    assert_never_crash_looped(team)
    assert_works(team)


@on("3.6", "3.2")
def test_mended_while_the_gate_tries(team: Team) -> None:
    """The commit that mends the migration comes while the gate has it run again and again: Argo CD's own sync brings it.

    3.6 waits for 5 s before it syncs a step, and would take a sync by the gate for its own: the old Job has to be gone, too.
    """
    with_wrong_password(team)
    team.git.gate["migrations"] |= {"attempts": 20, "pauseSeconds": 0.001}
    team.roll_out()
    says(team, "to migrate (attempt 2)")
    mend_password(team)
    revision = team.commit("the password is right now")
    refresh(team, RUNTIME, BOOTSTRAP)
    refresh(team, MIGRATIONS)
    team.until_rolled_out(revision=revision)
    assert schema_jobs(team) == {f"temporal-migrations-{revision[:7]}-schema-1"}
    assert not any(by_the_gate(state) for state in operation_states(team, MIGRATIONS, revision))
    assert_passed(team)
    assert_works(team)


def operation_states(team: Team, application: str, revision: str) -> list[Json]:
    """What became of each of an Application's operations at this revision, as they went on."""
    versions = team.history.versions("Application", team.git.name(application))
    states = [one.body.get("status", {}).get("operationState") or {} for one in versions]
    return [one for one in states if one.get("operation", {}).get("sync", {}).get("revision") == revision]


def schema_jobs(team: Team) -> set[str]:
    """The names of the schema Jobs that are there."""
    found = team.objects("apis/batch/v1", "jobs", "app.kubernetes.io/component=database")
    return {one["metadata"]["name"] for one in found}


@on("3.6")
def test_hook_only_migrations(team: Team) -> None:
    """A commit: the migrations hold nothing but a hook Job, so RollingSync never syncs them; the gate does."""
    hook_migrations(team)
    team.roll_out()
    team.until_rolled_out()
    assert by_the_gate(team.operation(MIGRATIONS))
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
def test_plain_job_migrations_that_failed(team: Team) -> None:
    """A commit while the database is away: the plain schema Job fails for good; the gate in its step gets it done."""
    team.git.migrations["schema"]["setup"]["backoffLimit"] = 0
    team.postgres.stop()
    team.roll_out()
    team.until(lambda: team.state(MIGRATIONS)[1] == "Degraded", "the migration to fail")
    assert team.gate().ends() == []
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "the runtime's step has not started")
    team.postgres.start()
    team.until_rolled_out()
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
def test_migrated_by_hand(team: Team) -> None:
    """A commit while the database is away, then a person migrates by hand: the Job stays failed and would hold its step.

    The gate, which a change of the ApplicationSet adds, finds the schemas right and has the Job run again.
    """
    team.git.leave_out(GATE)
    team.git.migrations["schema"]["setup"]["backoffLimit"] = 0
    team.postgres.stop()
    team.roll_out()
    team.until(lambda: team.state(MIGRATIONS) == ("Synced", "Degraded"), "the migration to fail")
    team.postgres.start()
    team.migrate()
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "the runtime's step has not started")
    team.git.add(GATE, "300", "temporal/gate")
    team.apply()
    team.until_rolled_out()
    assert any("would hold its step" in event for event in team.events(MIGRATIONS))
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)
