"""The watchdog: what it repairs between rollouts, what it leaves alone, and that it closes nothing itself."""

import time

from audited import BY_HAND, GATE_ALONE, NO_RETRIES, shows
from scenario import (
    assert_works,
    by_the_gate,
    commit_to_the_gate_first,
    has_settled,
    is_synced_to,
    may_be_left_uncompared,
    on,
)

from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.object_status import is_in_back_off
from lab.team import SERVERS, Team

pytestmark = shows(GATE_ALONE)

NEVER = "0 0 29 2 *"
EACH_MINUTE = "* * * * *"


def keep_watch(team: Team, schedule: str) -> None:
    """Have a watchdog in the next commit; its faults are named after a second, not after two minutes."""
    team.git.gate["watchdog"] = {"enabled": True, "schedule": schedule}
    team.git.gate["graceSeconds"] = 1


def assert_watchdog_ends(team: Team, since: float, code: int, reason: str) -> None:
    """The first run of the watchdog that begins after ``since`` ends so."""
    ends = team.until(lambda: team.gate().ends(since, "watchdog"), "the watchdog to end")
    assert (ends[0][0], ends[0][1].partition(":")[0]) == (code, reason), ends


@on("3.6")
@shows(BY_HAND)
def test_watchdog_repairs(team: Team) -> None:
    """The watchdog alone, after an outage of the database: all servers crash-loop and the bootstrap failed; nobody syncs."""
    keep_watch(team, NEVER)
    del team.git.gate["graceSeconds"]  # on a slow machine Argo CD takes longer to make a hook that it has deleted
    spec = team.git.application_set["spec"]
    del spec["strategy"], spec["template"]["spec"]["syncPolicy"]["automated"]
    del spec["template"]["spec"]["syncPolicy"]["retry"]
    team.roll_out()
    team.sync_to_end(MIGRATIONS)
    assert team.sync_to_end(GATE)["phase"] == "Succeeded"
    team.postgres.stop()
    team.sync_to_end(RUNTIME)
    assert team.sync_to_end(BOOTSTRAP)["phase"] == "Failed"
    team.until_crash_looping(back_off_seconds=30)
    before, synced = team.pod_uids(), {one: team.operation(one) for one in (MIGRATIONS, GATE, RUNTIME)}
    team.postgres.start()
    since = time.time()

    team.gate().start_watchdog()

    assert_watchdog_ends(team, since, 0, "Passed")
    assert_works(team)
    after = team.pod_uids()
    assert {component for component in before if after[component] != before[component]} == SERVERS
    assert not any(is_in_back_off(pod) for pod in team.pods())
    assert by_the_gate(team.operation(BOOTSTRAP))
    assert {one: team.operation(one) for one in synced} == synced
    team.until(lambda: {team.state(one) for one in APPLICATIONS} == {("Synced", "Healthy")}, "all")


@on("3.6")
def test_watchdog_leaves_an_empty_database_alone(team: Team) -> None:
    """The schedule, while a restore is under way: it fails and says why, migrates nothing, and closes no step."""
    keep_watch(team, EACH_MINUTE)
    team.git.leave_out(BOOTSTRAP)
    del team.git.gate["downstream"]
    team.roll_out()
    team.until_rolled_out()
    team.gate().start_watchdog()
    # Argo CD calls a CronJob Degraded whose last run failed only where one had succeeded before.
    team.until(lambda: "lastSuccessfulTime" in team.gate().watchdog().get("status", {}), "the watchdog to have passed")
    team.until(lambda: has_settled(team, "Succeeded"), "no second run of the gate, which would migrate")
    pods, synced = team.pod_uids(), team.operation(MIGRATIONS)
    team.replace_databases()
    since = time.time()

    assert_watchdog_ends(team, since, 4, "DatabaseEmpty")

    def failed() -> bool:
        status = team.gate().watchdog()["status"]
        return bool(status["lastSuccessfulTime"] < status.get("lastScheduleTime", "") and not status.get("active"))

    team.until(failed, "the schedule's last run to have failed")
    team.holds_for(
        12,
        lambda: team.state(GATE) == ("Synced", "Healthy") and set(team.steps().values()) == {"Healthy"},
        "the gate's step stays open",
    )
    assert team.schema_versions() == (None, None)
    assert team.operation(MIGRATIONS) == synced
    assert team.pod_uids() == pods
    assert any(event.startswith("DatabaseEmpty") for event in team.events(GATE))


@on("3.6")
@shows(NO_RETRIES)
def test_watchdog_reopens(team: Team) -> None:
    """A commit finds the gate's own password wrong; once it is right, the watchdog syncs the gate: the rollout goes on."""
    keep_watch(team, NEVER)
    team.git.leave_out(BOOTSTRAP)
    del team.git.gate["downstream"]
    team.git.gate["stores"]["default"]["secret"]["name"] = "gate"
    team.add_secret("gate", team.databases.password)
    team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]["retry"] = {"limit": 0}
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second run of the gate, which would fail for its own commit")
    team.add_secret("gate", "wrong")
    team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]["maxConns"] = 21
    revision = commit_to_the_gate_first(team, "more connections", RUNTIME)
    team.until(
        lambda: has_settled(team, "Failed") and is_synced_to(revision, team.application(GATE)),
        "the gate to fail, and not to be synced again",
    )
    assert team.gate().ends()[-1][0] == 6
    since = time.time()
    team.gate().start_watchdog()
    assert_watchdog_ends(team, since, 6, "DatabaseLoginRefused")
    team.add_secret("gate", team.databases.password)
    team.holds_for(
        10,
        lambda: has_settled(team, "Failed") and not is_synced_to(revision, team.application(RUNTIME)),
        "the gate stays closed",
    )
    since = time.time()

    team.gate().start_watchdog()

    assert_watchdog_ends(team, since, 0, "Passed")
    team.until_rolled_out(revision=revision)
    assert by_the_gate(team.operation(GATE))
    assert team.gate().receipt() == (team.gate().receipt() or {}) | {"revision": revision}
    assert any(event.startswith("ApplicationSynced") for event in team.events(GATE))
