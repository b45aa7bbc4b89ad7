"""What only the Jobs and pods themselves tell, on a real control plane: not an Application's health, nor its operation."""

import re
import time
from datetime import UTC

from audited import BY_HAND, GATE_ALONE, shows
from scenario import (
    Json,
    assert_passed,
    assert_works,
    by_the_gate,
    has_settled,
    on,
    policy,
)

from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, RUNTIME
from lab.incident import break_by_hand
from lab.team import CONTAINER_SECURITY, POD_SECURITY, Team

pytestmark = shows(GATE_ALONE)

BOOTSTRAP_JOB = "temporal/bootstrap/templates/job.yaml"
SCHEMA_JOB = "temporal/migrations/charts/temporal/templates/schema-job-0.x.yaml"
TAKES_SECONDS = 20
REGISTERED = "all namespaces are registered"


@on("3.6")
def test_databases_replaced_while_the_bootstrap_is_synced(team: Team) -> None:
    """The operation begins before the new schema is made and ends after it; its Job began on the database that is gone."""
    job = team.git.files()[BOOTSTRAP_JOB]
    team.git.more[BOOTSTRAP_JOB] = re.sub(
        r"( +)done\n", rf"\1done\n\1echo {REGISTERED}\n\1sleep {TAKES_SECONDS}\n", job
    )
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded", *APPLICATIONS), "no second sync")
    team.sync(BOOTSTRAP)
    # Before that it fails with its database, and its next pod does its work on the new one.
    team.until(lambda: has_registered(team), "the bootstrap to have registered")
    began = team.operation(BOOTSTRAP)["startedAt"]
    team.replace_databases()
    since = time.time()

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    ended = team.history.first("Application", team.git.name(BOOTSTRAP), lambda one: has_ended(one, began))
    assert ended is not None
    assert born(team) < ended, "the schema was made while that operation ran"
    team.until_rolled_out()
    assert by_the_gate(team.operation(BOOTSTRAP))
    assert team.operation(BOOTSTRAP)["operation"]["sync"]["syncOptions"] == policy(team)["syncOptions"]
    assert_passed(team, GATE, since=since)
    team.start_workflow()


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
@shows(BY_HAND)
def test_another_instance_in_the_namespace(team: Team) -> None:
    """The selector finds the pods of two releases: none is restarted, and the gate ends by a finding that names both."""
    break_by_hand(team)
    (pod,) = team.pods("history")
    other = {**pod["metadata"]["labels"], "app.kubernetes.io/instance": "another"}
    container = {
        "name": "temporal-history",
        "image": pod["spec"]["containers"][0]["image"],
        "command": ["sleep", "3600"],
        "securityContext": CONTAINER_SECURITY,
    }
    path = f"/api/v1/namespaces/{team.name}/pods"
    metadata = {"name": "another-history", "namespace": team.name, "labels": other}
    team.client.create(
        path, {"metadata": metadata, "spec": {"securityContext": POD_SECURITY, "containers": [container]}}
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
    assert_works(team)  # those in back-off may have come back by themselves meanwhile


NAMESPACE_MAKER = """\
        - name: create-default-namespace
          image: {{ $image }}
          securityContext: {{- include "temporal.containerSecurity" . | nindent 12 }}
          env: [{name: TEMPORAL_ADDRESS, value: "temporal-frontend.{{ .Release.Namespace }}.svc:7233"}]
          command: [temporal, operator, namespace, describe, default]
"""


def has_registered(team: Team) -> bool:
    """Whether the Job of the last operation has done its work, and still runs."""
    if team.operation(BOOTSTRAP).get("phase") != "Running":
        return False
    found = team.objects("api/v1", "pods", "batch.kubernetes.io/job-name=temporal-namespace-bootstrap")
    return any(pod["status"].get("phase") == "Running" and REGISTERED in team.log(pod) for pod in found)


def has_ended(application: Json, began: str) -> bool:
    """Whether the operation that began then has ended, or another one followed it."""
    state = application.get("status", {}).get("operationState") or {}
    started = state.get("startedAt", "")
    return bool(started > began or (started == began and state.get("phase") != "Running"))


def born(team: Team) -> float:
    """Since when the default store's schema is there, in seconds since the epoch."""
    rows = team.postgres.execute(team.databases.default, "SELECT min(update_time) FROM schema_update_history")
    return float(rows[0][0].replace(tzinfo=UTC).timestamp())
