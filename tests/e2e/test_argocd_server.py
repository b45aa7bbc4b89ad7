"""A gate that reaches Applications by Argo CD's own API: the policies of docs/rbac.md, tokens as a person makes them."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audited import BY_HAND, GATE_ALONE, NO_RETRIES, shows
from scenario import assert_works, has_settled, on, says, until_all

from lab.api_client import ApiError
from lab.control_plane import argocd
from lab.control_plane.argocd_server import NAME, ArgoCdServer
from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.incident import break_by_hand, repair
from lab.platform import Cluster, Platform
from lab.team import SERVERS, Team
from lab.team_role import PROJECT, TeamRole

POLICY = re.compile(r"- p, proj:data:gate, applications, (?P<action>\w+), data/(?P<application>[\w-]+), allow")
DOCS = (Path(__file__).parents[2] / "docs" / "rbac.md").read_text()
POLICIES = [(found["action"], found["application"]) for found in POLICY.finditer(DOCS)]
"""What docs/rbac.md has a role of the project allowed."""


@pytest.fixture
def role(team: Team, tmp_path: Path) -> Iterator[TeamRole]:
    """argocd-server is reached by its Service's name, and the gate of the team gets by with what its token may do."""
    with ArgoCdServer(team.platform.argocd) as server:
        found = TeamRole(team, server)
        found.set_gate(tmp_path, NAME)
        yield found


@pytest.fixture
def hub_and_spoke(
    platforms: Callable[[str], Platform], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> Iterator[TeamRole]:
    """A team on a cluster without Argo CD; another cluster's reaches it, and is reached by a name of that one's."""
    hub = platforms("3.6")
    with (
        Cluster(tmp_path_factory.mktemp("spoke")) as spoke,
        ArgoCdServer(hub.argocd) as server,
        server.cluster_added(spoke.plane.kubeconfig),
        Team(hub, "spoke", spoke) as team,
    ):
        found = TeamRole(team, server)
        found.set_gate(tmp_path, "argocd.hub.example.com", server_name=NAME)
        yield found


def no_right_in_kubernetes(team: Team) -> bool:
    """Whether nothing of the team's namespace is bound to a Role in Argo CD's."""
    bindings = team.client.list(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{argocd.NAMESPACE}/rolebindings")
    return not any(subject.get("namespace") == team.name for one in bindings for subject in one.get("subjects") or [])


def assert_synced_by(role: TeamRole, *applications: str) -> None:
    """An operation of each of these Applications was asked for with the role's token."""
    for application in applications:
        initiators = {
            version.body["operation"]["initiatedBy"].get("username")
            for version in role.team.history.versions("Application", role.team.git.name(application))
            if "operation" in version.body
        }
        assert role.initiator() in initiators, application


@on("3.6", "3.2")
@shows(BY_HAND)
def test_the_incident(team: Team, role: TeamRole) -> None:
    """Repaired as by the Kubernetes API, with the rights of docs/rbac.md and none in Argo CD's namespace."""
    role.allow(*POLICIES)
    token = role.give_token()
    break_by_hand(team)
    repaired = repair(team)
    assert repaired.works
    assert no_right_in_kubernetes(team)
    assert_synced_by(role, MIGRATIONS, BOOTSTRAP)
    logs = "".join(log for _, log in team.gate().logs())
    assert token not in logs
    assert team.events(GATE) == []


@on("3.6")
@shows(GATE_ALONE)
def test_a_rollout_waits_for_the_gate(team: Team, role: TeamRole) -> None:
    """A first rollout: the database is there later than the gate, which holds it, and opens it by itself."""
    role.allow(*POLICIES)
    role.give_token()
    team.postgres.stop()
    team.roll_out()
    says(team, "DatabaseUnreachable")
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "the runtime has not started")
    team.postgres.start()
    team.until_rolled_out()
    assert_works(team)


@on("3.6")
@shows(NO_RETRIES)
def test_the_watchdog_reopens(team: Team, role: TeamRole) -> None:
    """With the two policies more that docs/rbac.md asks for then. It is there once the gate has passed before."""
    role.allow(*POLICIES, ("get", GATE), ("sync", GATE))
    role.give_token()
    team.git.gate["watchdog"] = {"enabled": True, "schedule": "0 0 29 2 *"}
    team.git.gate["graceSeconds"] = 1
    team.git.leave_out(BOOTSTRAP)
    del team.git.gate["downstream"]
    team.git.gate["stores"]["default"]["secret"]["name"] = "gate"
    team.add_secret("gate", team.databases.password)
    team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]["retry"] = {"limit": 0}
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second run of the gate")
    team.add_secret("gate", "wrong")
    team.sync(GATE)
    team.until(lambda: has_settled(team, "Failed"), "the gate to fail, and not to be synced again")
    assert team.gate().ends()[-1][0] == 6
    team.add_secret("gate", team.databases.password)
    since = time.time()
    team.gate().start_watchdog()
    ends = team.until(lambda: team.gate().ends(since, "watchdog"), "the watchdog to end")
    assert ends[0][0] == 0, ends
    team.until(lambda: has_settled(team, "Succeeded"), "the gate to be synced again")
    told = {one["name"] for one in team.operation(GATE)["operation"]["info"]}
    assert "temporal-recovery-hook/run" in told


@on("3.6")
@shows(BY_HAND)
def test_what_is_wrong_with_a_token_is_told(team: Team, role: TeamRole) -> None:
    """One that may only get, one that expired, one that was deleted: each by its name, with what to do."""
    role.allow(*(("get", application) for _, application in POLICIES))
    role.give_token()
    team.git.gate["graceSeconds"] = 1
    break_by_hand(team)

    def ending() -> str:
        since = time.time()
        team.sync(GATE)
        ends = team.until(lambda: team.gate().ends(since), "the gate to end")
        assert ends[0][0] == 6, ends
        return ends[0][1]

    forbidden = ending()
    assert forbidden.startswith("ApiForbidden")
    assert f"applications, sync, {PROJECT}/{team.git.name(MIGRATIONS)}" in forbidden
    role.allow(*POLICIES)
    role.give_token("--expires-in", "1s")
    time.sleep(2)
    expired = ending()
    assert expired.startswith("ApiLoginRefused")
    assert "token is expired" in expired
    role.give_token()
    role.server.delete_tokens(PROJECT, team.name)
    deleted = ending()
    assert deleted.startswith("ApiLoginRefused")
    assert "does not exist in project" in deleted
    role.give_token()
    del team.git.gate["graceSeconds"]  # on a slow machine Argo CD takes longer to make a hook that it has deleted
    revision = team.commit("the usual grace")
    team.until(lambda: team.application(GATE)["status"]["sync"]["revision"] == revision, "the commit to be noticed")
    repair(team)
    assert_works(team)


@on("3.6")
@shows(BY_HAND)
def test_the_server_goes_away_and_comes_back(team: Team, role: TeamRole) -> None:
    """The gate waits for it, whatever it was about to do."""
    role.allow(*POLICIES)
    role.give_token()
    break_by_hand(team)
    role.server.stop()
    team.sync(GATE)
    says(team, "ApiUnreachable")
    team.holds_for(5, lambda: not team.gate().ends(), "the gate waits")
    role.server.start()
    team.until(lambda: team.operation(GATE).get("phase") == "Succeeded", "the gate to pass")
    assert_works(team)
    until_all(team, *APPLICATIONS)


def test_the_incident_in_a_spoke(hub_and_spoke: TeamRole) -> None:
    """Argo CD and the Applications on one control plane, Temporal and the gate on another, which has nothing of Argo CD."""
    team = hub_and_spoke.team
    hub_and_spoke.allow(*POLICIES)
    hub_and_spoke.give_token()
    break_by_hand(team)
    with pytest.raises(ApiError) as no_such_kind:
        team.client.list(argocd.APPLICATIONS)
    assert no_such_kind.value.status == 404
    crashing = team.pod_uids()
    repaired = repair(team)
    assert repaired.works
    assert_works(team)
    assert_synced_by(hub_and_spoke, MIGRATIONS, BOOTSTRAP)
    # A slow machine may let one come up by itself.
    restarted = {component for component, uid in team.pod_uids().items() if crashing[component] != uid}
    assert restarted & SERVERS, "the gate restarts pods of its own cluster"
    assert team.name not in {one["metadata"]["name"] for one in team.hub.list("/api/v1/namespaces")}
    until_all(team, *APPLICATIONS)
