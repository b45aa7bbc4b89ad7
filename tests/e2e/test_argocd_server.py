"""A gate that reaches Applications by Argo CD's own API: the policies of docs/rbac.md, tokens as a person makes them."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audited import BY_HAND, NO_RETRIES, shows
from scenario import assert_works, has_settled, on, says

from lab.control_plane import argocd
from lab.control_plane.argocd_server import NAME, ArgoCdServer
from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, SECOND_GATE
from lab.incident import break_by_hand, repair
from lab.team import Team

POLICY = re.compile(r"- p, proj:data:gate, applications, (?P<action>\w+), data/(?P<application>[\w-]+), allow")
DOCS = (Path(__file__).parents[2] / "docs" / "rbac.md").read_text()
POLICIES = [(found["action"], found["application"]) for found in POLICY.finditer(DOCS)]
"""What docs/rbac.md has a role of the project allowed."""

PROJECT = "default"
TOKEN = "gate-argocd-token"
Allow = Callable[..., None]


class Server:
    """argocd-server, and the team's role in it."""

    def __init__(self, team: Team, server: ArgoCdServer) -> None:
        self.team = team
        self.server = server
        self._allowed: set[tuple[str, str]] = set()
        server.create_role(PROJECT, team.name)

    def allow(self, *policies: tuple[str, str]) -> None:
        """Let the role do this with these Applications, by the examples' names; what it may already do is left."""
        for action, application in dict.fromkeys(policies):
            if (action, application) in self._allowed:
                continue
            self._allowed.add((action, application))
            self.server.allow(PROJECT, self.team.name, action, self.team.git.name(application))

    def give_token(self, *more: str) -> str:
        """Make a token and put it into its Secret."""
        token = self.server.create_token(PROJECT, self.team.name, *more)
        self.put("token", TOKEN, token)
        return token

    def put(self, key: str, name: str, value: str) -> None:
        """Write a Secret of the team's namespace."""
        path = f"/api/v1/namespaces/{self.team.name}/secrets"
        body = {"metadata": {"name": name}, "stringData": {key: value}}
        if any(one["metadata"]["name"] == name for one in self.team.client.list(path)):
            self.team.client.patch(f"{path}/{name}", body)
        else:
            self.team.client.create(path, body)

    def initiator(self) -> str:
        """Whom an operation is by that the gate asked for."""
        return f"proj:{PROJECT}:{self.team.name}"


@pytest.fixture
def server(team: Team, tmp_path: Path) -> Iterator[Server]:
    """Reached by its Service's name; both gates of the team are set to it, and get by with what its token may do."""
    with ArgoCdServer(team.platform.argocd) as running:
        found = Server(team, running)
        team.platform.hosts[NAME] = "127.0.0.1"
        found.put("ca.crt", "argocd-server-ca", running.write_certificate(tmp_path / "ca.crt").read_text())
        for gate in (team.git.gate, team.git.second_gate):
            gate["argocd"] = {
                "server": {
                    "address": f"{NAME}:{running.port}",
                    "project": PROJECT,
                    "tokenSecret": {"name": TOKEN},
                    "caSecret": {"name": "argocd-server-ca"},
                }
            }
        yield found


def no_right_in_kubernetes(team: Team) -> bool:
    """Whether nothing of the team's namespace is bound to a Role in Argo CD's."""
    bindings = team.client.list(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{argocd.NAMESPACE}/rolebindings")
    return not any(subject.get("namespace") == team.name for one in bindings for subject in one.get("subjects") or [])


@on("3.6", "3.2")
@shows(BY_HAND)
def test_the_incident(team: Team, server: Server) -> None:
    """Repaired as by the Kubernetes API, with the rights of docs/rbac.md and none in Argo CD's namespace."""
    server.allow(*POLICIES)
    token = server.give_token()
    break_by_hand(team)
    repaired = repair(team)
    assert repaired.works
    assert no_right_in_kubernetes(team)
    for application in (MIGRATIONS, BOOTSTRAP):
        initiators = {
            version.body["operation"]["initiatedBy"].get("username")
            for version in team.history.versions("Application", team.git.name(application))
            if "operation" in version.body
        }
        assert server.initiator() in initiators, application
    logs = "".join(log for _, log in team.gate().logs())
    assert token not in logs
    assert team.events(GATE) == []


@on("3.6")
def test_a_rollout_waits_for_the_gate(team: Team, server: Server) -> None:
    """A first rollout: the database is there later than the gate, which holds it, and opens it by itself."""
    server.allow(*POLICIES)
    server.give_token()
    team.git.leave_out(SECOND_GATE)
    team.postgres.stop()
    team.roll_out()
    says(team, "DatabaseUnreachable")
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "the runtime has not started")
    team.postgres.start()
    team.until_rolled_out()
    assert_works(team)


@on("3.6")
@shows(NO_RETRIES)
def test_the_watchdog_reopens(team: Team, server: Server) -> None:
    """With the two policies more that docs/rbac.md asks for then. It is there once the gate has passed before."""
    server.allow(*POLICIES, ("get", GATE), ("sync", GATE))
    server.give_token()
    team.git.gate["watchdog"] = {"enabled": True, "schedule": "0 0 29 2 *"}
    team.git.gate["graceSeconds"] = 1
    team.git.leave_out(SECOND_GATE, BOOTSTRAP)
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
def test_what_is_wrong_with_a_token_is_told(team: Team, server: Server) -> None:
    """One that may only get, one that expired, one that was deleted: each by its name, with what to do."""
    server.allow(*(("get", application) for _, application in POLICIES))
    server.give_token()
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
    server.allow(*POLICIES)
    server.give_token("--expires-in", "1s")
    time.sleep(2)
    expired = ending()
    assert expired.startswith("ApiLoginRefused")
    assert "token is expired" in expired
    server.give_token()
    server.server.delete_tokens(PROJECT, team.name)
    deleted = ending()
    assert deleted.startswith("ApiLoginRefused")
    assert "does not exist in project" in deleted
    server.give_token()
    repair(team)
    assert_works(team)


@on("3.6")
@shows(BY_HAND)
def test_the_server_goes_away_and_comes_back(team: Team, server: Server) -> None:
    """The gate waits for it, whatever it was about to do."""
    server.allow(*POLICIES)
    server.give_token()
    break_by_hand(team)
    server.server.stop()
    team.sync(GATE)
    says(team, "ApiUnreachable")
    team.holds_for(5, lambda: not team.gate().ends(), "the gate waits")
    server.server.start()
    team.until(lambda: team.operation(GATE).get("phase") == "Succeeded", "the gate to pass")
    assert_works(team)
    assert {team.state(one) for one in APPLICATIONS if one != SECOND_GATE} == {("Synced", "Healthy")}
