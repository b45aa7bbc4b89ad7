"""What a real node does to the gate: it is drained, its memory is limited, its DNS fails, it writes a Secret's files anew.

Not here: a NetworkPolicy. None of the network plugins that a node of the lab has enforces one, so that the chart's would
hold nothing back and prove nothing.
"""

from collections.abc import Iterator
from typing import Protocol

import pytest
from scenario import NO_RETRY, TERMINATED, Json, has_settled, hook_migrations, kubectl, on, policy, says

from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.node import dns
from lab.node.node import Node
from lab.team import Team


class Scale(Protocol):
    """Scales the cluster's DNS."""

    def __call__(self, replicas: int) -> None: ...


@pytest.fixture
def scale_dns(team: Team) -> Iterator[Scale]:
    """Whatever becomes of the scenario, names are looked up again after it."""

    def scale(replicas: int) -> None:
        team.client.patch(dns.DEPLOYMENT, {"spec": {"replicas": replicas}})
        team.until(
            lambda: team.client.get(dns.DEPLOYMENT)["status"].get("readyReplicas", 0) == replicas,
            f"{replicas} pods of the DNS to be ready",
        )

    yield scale
    scale(1)


@pytest.fixture
def second_node(team: Team) -> Iterator[Node]:
    """A second node, on which nothing is put yet; it is gone after the scenario, and the first one is as it was."""
    node = team.cluster.add_node(2)
    kubectl(team, "cordon", node.name)
    yield node
    team.cluster.client.patch("/api/v1/nodes/node-1", {"spec": {"taints": None, "unschedulable": None}})
    kubectl(team, "drain", node.name, "--delete-emptydir-data", "--force", "--timeout=60s")
    dns.wait_until_ready(team.cluster.plane)
    team.cluster.remove_node(node)


def wait_for_the_database(team: Team) -> Json:
    """A commit of migrations and gate alone while the database is away; the gate's pod, which waits."""
    team.git.leave_out(RUNTIME, BOOTSTRAP)
    hook_migrations(team)
    team.postgres.stop()
    team.roll_out()
    return says(team, "waiting: DatabaseUnreachable")


def ends_of(team: Team) -> list[tuple[int, str]]:
    """How the gate's pods ended, in order: exit code and reason."""
    return [(code, message.partition(":")[0]) for code, message in team.gate().ends()]


@on("3.6")
def test_node_drained(team: Team, second_node: Node) -> None:
    """The node is drained while the gate waits: its next pod, on the other node, does the rest. It costs no try."""
    team.git.gate["hook"] = {"backoffLimit": 0}
    pod = wait_for_the_database(team)
    assert pod["spec"]["nodeName"] == "node-1"

    kubectl(team, "taint", "nodes", "node-1", "maintenance=:NoSchedule")
    kubectl(team, "uncordon", second_node.name)
    kubectl(team, "drain", "node-1", "--delete-emptydir-data", "--timeout=60s")
    team.postgres.start()
    team.until_rolled_out(GATE)

    assert ends_of(team)[:2] == [(TERMINATED, "Stopped"), (0, "Passed")]
    _, (next_one, _), *_ = team.gate().logs()
    assert next_one["spec"]["nodeName"] == second_node.name
    # Of the same Job: not a retry of Argo CD's, which makes another one.
    assert next_one["metadata"]["ownerReferences"] == pod["metadata"]["ownerReferences"]


@on("3.6")
def test_out_of_memory(team: Team) -> None:
    """A commit with a limit that the gate cannot live in. Its pod and Argo CD tell it; the commit that mends it opens it."""
    team.git.leave_out(RUNTIME, BOOTSTRAP)
    policy(team)["retry"] = NO_RETRY
    team.git.gate["hook"] = {"backoffLimit": 0}
    team.git.gate["resources"] = {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}
    team.roll_out()
    team.until(lambda: has_settled(team, "Failed"), "the gate's sync to fail")

    (pod,) = team.gate().pods()
    (container,) = pod["status"]["containerStatuses"]
    ended = container["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    hook = next(one for one in team.operation(GATE)["syncResult"]["resources"] if one["kind"] == "Job")
    assert hook["message"] == "Job has reached the specified backoff limit"
    assert team.events(GATE) == []
    assert team.gate().receipt() is None

    del team.git.gate["resources"]
    revision = team.commit("the limit of the chart")
    team.until_rolled_out(MIGRATIONS, GATE, revision=revision)
    assert ends_of(team)[-1] == (0, "Passed")


@on("3.6")
def test_dns_and_password(team: Team, scale_dns: Scale) -> None:
    """While the gate waits the DNS fails and comes back, and the database's password is changed: one pod sees it through.

    The kubelet writes a changed Secret's files at a pod's next sync (``syncFrequency`` in lab/node/node.py): the grace in
    which a refused login may be mended is longer.
    """
    wait_for_the_database(team)
    scale_dns(0)
    team.postgres.start()
    says(team, "name resolution")

    team.postgres.execute("postgres", f"ALTER ROLE {team.databases.user} PASSWORD 'another'")
    scale_dns(1)
    says(team, "waiting: DatabaseLoginRefused")

    team.set_password("another")
    team.until_rolled_out(GATE)
    assert ends_of(team) == [(0, "Passed")]
    (pod,) = team.gate().pods()
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    assert "another" not in team.log(pod)
