"""The gate, the API server or PostgreSQL are lost in the middle of a repair, or two gates repair at once: all converges."""

import gc

import pytest
from audited import BY_HAND, shows
from scenario import TERMINATED, assert_passed, assert_works, incarnations, on, operations, says

from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, SECOND_GATE
from lab.incident import break_by_hand
from lab.object_status import component_of
from lab.team import SERVERS, Team

ACTS = {
    "wait": "DatabaseUnreachable",
    "migrate": "to migrate (attempt 1)",
    "compare": "asked Argo CD to refresh",
    "restart": " pod(s): ",
    "resync": "again (attempt 1)",
}
"""What the gate's log says of each kind of act once it is done, and of a wait."""
KILLED = 137
"""How a process ends that SIGKILL ends."""

pytestmark = shows(BY_HAND)


def _repaired(team: Team, *gates: str, incarnations_at_most: int = 2) -> None:
    """All is right, and no server was restarted more often than it had to be."""
    team.until(lambda: {team.operation(gate).get("phase") for gate in gates} == {"Succeeded"}, "the gates' syncs")
    assert_works(team)
    assert_passed(team, *gates)
    team.until(
        lambda: {team.state(one) for one in (MIGRATIONS, RUNTIME, BOOTSTRAP, *gates)} == {("Synced", "Healthy")}, "all"
    )
    pods = incarnations(team)
    assert pods.pop("web") == 1
    assert pods.keys() == SERVERS
    assert max(pods.values()) <= incarnations_at_most, pods


def _asked_once(team: Team, *applications: str) -> None:
    """One sync of each was asked for, and ran: of the migrations and the bootstrap where none is named."""
    for application in applications or (MIGRATIONS, BOOTSTRAP):
        written, ran = operations(team, application)
        assert len(written) == 1, (application, written)
        assert written == ran, application


def _until_ended(team: Team, *codes: int) -> None:
    """Until the pods of the gate have ended so, one after the other."""
    team.until(lambda: [code for code, _ in team.gate().ends()] == [*codes], f"its pods to end with {codes}")


@pytest.mark.parametrize("act", ["migrate", "restart", "resync"])
@on("3.6")
def test_killed_after_an_act(team: Team, act: str) -> None:
    """A person's sync, whose gate is killed after an act: the Job's next pod does the rest, and nothing again."""
    break_by_hand(team)
    team.sync(GATE)
    team.kill(says(team, ACTS[act]))
    _repaired(team, GATE)
    _asked_once(team)
    _until_ended(team, KILLED, 0)


@pytest.mark.parametrize("end", [KILLED, TERMINATED])
@on("3.6")
def test_ended_after_it_asked_for_a_comparison(team: Team, end: int) -> None:
    """The bootstrap alone has failed, and was just compared: by itself Argo CD would do so again 15 s later."""
    team.git.sync_by_hand()
    team.git.give_up_at_once()
    team.roll_out()
    assert team.sync_to_end(BOOTSTRAP)["phase"] == "Failed"
    for application in (MIGRATIONS, RUNTIME):
        team.sync_to_end(application)
    team.until_serving()
    before = team.application(BOOTSTRAP)["status"]["reconciledAt"]
    team.until(lambda: team.application(BOOTSTRAP)["status"]["reconciledAt"] != before, "a comparison")
    team.sync(GATE)
    pod = says(team, ACTS["compare"])
    if end == KILLED:
        team.kill(pod)
    else:
        team.delete(f"pods/{pod['metadata']['name']}")
    _repaired(team, GATE)
    _asked_once(team, BOOTSTRAP)
    _until_ended(team, end, 0)
    assert operations(team, MIGRATIONS) == (set(), set())


@pytest.mark.parametrize(
    ("acts", "back_off_seconds"), [(("wait", "migrate"), 0), (("restart", "resync"), 30)], ids=["repair", "recovery"]
)
@on("3.6")
def test_stopped_after_acts(team: Team, acts: tuple[str, ...], back_off_seconds: int) -> None:
    """A person's sync; the gate's pod is deleted after an act, and the next one after another: SIGTERM to a process 1.

    Each ends by itself, long before SIGKILL (137), and tells what was still missing, in its Event too; the Job's next pod
    does the rest, and nothing again.
    """
    break_by_hand(team, back_off_seconds=back_off_seconds)
    if "wait" in acts:
        team.postgres.stop()
    team.sync(GATE)
    for act in acts:
        team.delete(f"pods/{says(team, ACTS[act])['metadata']['name']}")
        if act == "wait":
            team.until(team.gate().ends, "its end: until then it would go on once the database is back")
            team.postgres.start()
    _repaired(team, GATE)
    _asked_once(team)
    ends = team.gate().ends()
    assert [code for code, _ in ends] == [*[TERMINATED] * len(acts), 0]
    told = [message.partition("\n")[0] for _, message in ends[:-1]]
    assert all(one.startswith("Stopped: still missing: ") for one in told), told
    assert {f"Stopped: {one}" for one in told} <= {event.partition(" remedy: ")[0] for event in team.events(GATE)}


@on("3.6")
def test_two_gates_at_once(team: Team) -> None:
    """A person syncs both gates at once, for the same targets: both pass, and together they repair it once."""
    team.git.add_second_gate()
    team.git.second_gate["downstream"] = team.git.gate["downstream"]
    break_by_hand(team)
    for gate in (GATE, SECOND_GATE):
        team.sync(gate)
    _repaired(team, GATE, SECOND_GATE)
    _asked_once(team)
    assert all(code == 0 for gate in (GATE, SECOND_GATE) for code, _ in team.gate(gate).ends())


# Python leaves a socket open whose TLS handshake timed out: one that starts takes connections before it answers.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning")
@on("3.6")
def test_api_server_restarted(team: Team) -> None:
    """A person's sync; the API server is away right after the migration and after the first restart were asked for.

    One that has just started may forbid everything for a moment. To Argo CD that is the end of the sync that it is at
    (seen): hence the retries, as the examples have them. A ReplicaSet that is cut off while it replaces a pod may make two,
    and take one back (seen).
    """
    break_by_hand(team, back_off_seconds=60)
    team.sync(GATE, retries=5)
    for act in ("migrate", "restart"):
        says(team, ACTS[act])
        team.platform.plane.restart_api_server()
    _repaired(team, GATE, incarnations_at_most=3)
    # A retry deletes the hook Job that still runs.
    assert {code for code, _ in team.gate().ends()} <= {0, TERMINATED}
    gc.collect()  # whatever was left open: here it may be


@on("3.6")
def test_postgres_restarted(team: Team) -> None:
    """A person's sync while PostgreSQL is away, which is away again while Temporal comes up: the gate waits for it.

    A server that crashes so soon after the schema was right may have looked before: it may be restarted once more.
    """
    break_by_hand(team, back_off_seconds=60)
    team.postgres.stop()
    team.sync(GATE)
    says(team, "DatabaseUnreachable")
    team.postgres.start()
    before = set(team.pod_uids().values())
    says(team, ACTS["restart"])
    team.postgres.stop()
    team.until(lambda: crashed_since(team, before), "a server to start in vain")
    team.postgres.start()
    _repaired(team, GATE, incarnations_at_most=3)
    _asked_once(team)
    _until_ended(team, 0)


def crashed_since(team: Team, before: set[str]) -> bool:
    """Whether a server crashed of a pod that was not there before."""
    return any(
        status.get("restartCount") or "terminated" in status["state"]
        for pod in team.pods()
        if component_of(pod) in SERVERS and pod["metadata"]["uid"] not in before
        for status in pod.get("status", {}).get("containerStatuses", [])
    )
