"""The gate's own process by Argo CD's own API, in a world where its user may do nothing with Applications in Kubernetes."""

from collections.abc import Callable, Iterator

import pytest

from lab.argocd import ArgoCdServer
from lab.rollout import ARGO_CD_NAMESPACE, GATE, MIGRATIONS, NAMESPACE, gate_roles
from lab.scenarios import SCENARIOS, settle
from lab.world import World

PROJECT = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGO_CD_NAMESPACE}/appprojects/default"


@pytest.fixture
def server(make_world: Callable[..., World], request: pytest.FixtureRequest) -> Iterator[tuple[World, ArgoCdServer]]:
    world = make_world(plain_jobs=getattr(request, "param", False))
    world.api.add_user("gate", roles={NAMESPACE: gate_roles()[NAMESPACE]})
    with ArgoCdServer(world.client, world.argocd, ARGO_CD_NAMESPACE) as found:
        allow(world, "get", "sync")
        yield world, found


def allow(world: World, *actions: str) -> None:
    """As docs/rbac.md has it."""
    policies = [f"p, proj:default:gate, applications, {action}, default/*, allow" for action in actions]
    world.client.patch(PROJECT, {"spec": {"roles": [{"name": "gate", "policies": policies}]}})


def settings(world: World, server: ArgoCdServer, token: str) -> dict[str, object]:
    file = world.directory / "argocd-token"
    file.write_text(token)
    return {"server": {"address": server.address, "tokenFile": str(file), "plainText": True}}


@pytest.mark.parametrize("server", [False, True], indirect=True, ids=["hooks", "plain Jobs"])
def test_the_incident(server: tuple[World, ArgoCdServer]) -> None:
    """As by the other way: migrated, restarted, bootstrapped; no Event is tried, and no token shown."""
    world, argocd = server
    scenario = SCENARIOS["incident"]
    scenario.prepare(world, print)
    uids = world.pod_uids()
    token = argocd.create_token("default", "gate")
    gate = world.gate(argocd=settings(world, argocd, token))
    assert gate.wait(90) == 0, gate.log.read_text()
    assert world.termination_message.startswith("Passed")
    assert token not in gate.log.read_text() + world.termination_message
    settle(world, uids, scenario)
    assert world.initiators() >= {"proj:default:gate"}
    asked = [one for one in world.api.requests.by("gate") if f"namespaces/{ARGO_CD_NAMESPACE}/" in one.path]
    assert asked == []


def test_a_role_that_may_only_read_ends_the_run_with_what_is_missing(server: tuple[World, ArgoCdServer]) -> None:
    """After the grace."""
    world, argocd = server
    allow(world, "get")
    gate = world.gate(argocd=settings(world, argocd, argocd.create_token("default", "gate")), graceSeconds=1)
    assert gate.wait(60) == 6, gate.log.read_text()
    assert world.termination_message.startswith("ApiForbidden")
    assert f"applications, sync, default/{MIGRATIONS}" in world.termination_message


def test_a_check_says_what_a_revoked_token_is(server: tuple[World, ArgoCdServer]) -> None:
    """And what to do."""
    world, argocd = server
    token = argocd.create_token("default", "gate")
    argocd.revoke(token)
    check = world.gate("check", argocd=settings(world, argocd, token))
    assert check.wait(60) == 6, check.log.read_text()
    said = " ".join(check.log.read_text().split())
    assert "ApiLoginRefused" in said
    assert "argocd proj role create-token" in said


def test_the_watchdog_reopens_the_gate(server: tuple[World, ArgoCdServer]) -> None:
    """All is right, and the gate's own Application failed."""
    world, argocd = server
    scenario = SCENARIOS["reopened"]
    scenario.prepare(world, print)
    uids = world.pod_uids()
    token = argocd.create_token("default", "gate")
    gate = world.gate(argocd=settings(world, argocd, token), **scenario.settings)
    assert gate.wait(60) == 0, gate.log.read_text()
    settle(world, uids, scenario)
    assert world.operation(GATE)["operation"]["initiatedBy"]["username"] == "proj:default:gate"
