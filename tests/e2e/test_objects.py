"""What only the Jobs and pods themselves tell, on a real control plane: not an Application's health, nor its operation."""

from scenario import (
    assert_works,
    on,
)

from lab.git_tree import GATE, RUNTIME
from lab.incident import break_by_hand
from lab.team import SERVERS, Team

BOOTSTRAP_JOB = "temporal/bootstrap/templates/job.yaml"
SCHEMA_JOB = "temporal/migrations/charts/temporal/templates/schema-job-0.x.yaml"
TAKES_SECONDS = 20


@on("3.6")
def test_schema_job_that_also_makes_namespaces(team: Team) -> None:
    """As Temporal's charts 0.74 to 1.1.0 have it: both schemas are right, and the Job waits for a frontend that comes later.

    The gate names the container and goes on; the Job holds its step, until a commit takes that part out.
    """
    job = team.git.files()[SCHEMA_JOB]
    team.git.more[SCHEMA_JOB] = job.replace("      containers:\n", f"{NAMESPACE_MAKER}      containers:\n", 1)
    team.git.gate.update({"graceSeconds": 5})
    team.roll_out()

    team.until(lambda: any(code == 0 for code, _ in team.gate().ends()), "the gate to pass")
    message = next(message for code, message in team.gate().ends() if code == 0)
    assert message.startswith("PassedWithWarning:")
    assert "MigrationHangs" in message
    assert "init container create-default-namespace" in message
    assert team.schema_versions() == ("1.18", "1.9")
    team.holds_for(10, lambda: team.operation(RUNTIME) == {}, "the runtime's step has not started")

    del team.git.more[SCHEMA_JOB]
    revision = team.commit("the bootstrap makes the namespaces")
    team.until_rolled_out(revision=revision)
    assert_works(team)


@on("3.6")
def test_another_instance_in_the_namespace(team: Team) -> None:
    """The selector finds the pods of two releases: none is restarted, and the gate ends by a finding that names both."""
    break_by_hand(team)
    (pod,) = team.pods("history")
    other = {**pod["metadata"]["labels"], "app.kubernetes.io/instance": "another"}
    container = {
        "name": "temporal-history",
        "image": pod["spec"]["containers"][0]["image"],
        "command": ["sleep", "3600"],
    }
    path = f"/api/v1/namespaces/{team.name}/pods"
    metadata = {"name": "another-history", "namespace": team.name, "labels": other}
    team.client.create(
        path, {"metadata": metadata, "spec": {"containers": [container], "nodeName": pod["spec"]["nodeName"]}}
    )
    before = team.pod_uids()
    team.git.gate.update({"graceSeconds": 5, "hook": {"backoffLimit": 0}})
    team.commit("a grace that a test can wait for")

    team.sync_to_end(GATE)

    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (2, "RuntimeInstancesMixed"), message
    assert "another" in message
    assert team.pod_uids() == before

    team.delete("pods/another-history")
    assert team.sync_to_end(GATE)["phase"] == "Succeeded"
    assert_works(team)
    assert {component for component, uid in team.pod_uids().items() if before[component] != uid} == SERVERS


NAMESPACE_MAKER = """\
        - name: create-default-namespace
          image: {{ $image }}
          env: [{name: TEMPORAL_ADDRESS, value: "temporal-frontend.{{ .Release.Namespace }}.svc:7233"}]
          command: [temporal, operator, namespace, describe, default]
"""
