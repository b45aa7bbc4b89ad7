"""A runtime that does not come up, and a bootstrap that failed: the first gate lets the cure pass, the second one holds."""

import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from audited import GATE_ALONE, NO_RETRIES, shows
from scenario import (
    TERMINATED,
    Json,
    assert_order,
    assert_passed,
    assert_works,
    by_the_gate,
    commit_to_the_gate_first,
    has_settled,
    may_be_left_uncompared,
    on,
)

from lab.git_tree import BOOTSTRAP, GATE, RUNTIME, SECOND_GATE
from lab.object_status import component_of, is_in_back_off
from lab.team import SERVERS, Team

pytestmark = shows(GATE_ALONE)

READINESS_PROBE = {"tcpSocket": {"port": "rpc"}, "periodSeconds": 1}
HANGS_UP_AFTER_SECONDS = 8
SECRETS, SECRETS_FOLDER = "data-temporal-secrets", "temporal/secrets"
JOB = "temporal/bootstrap/templates/job.yaml"


@on("3.6")
def test_broken_runtime(team: Team) -> None:
    """A commit whose servers crash, with readiness probes; the commit that mends them passes the gate at once."""
    team.git.runtime["server"]["readinessProbe"] = READINESS_PROBE
    sql = sql_of_runtime(team)
    right, sql["database"] = sql["database"], "absent"
    team.roll_out()
    team.until_crash_looping()
    team.holds_for(10, lambda: team.operation(BOOTSTRAP) == {}, "the runtime's step is not done")

    sql["database"] = right
    revision = team.commit("the database that is there")
    team.until_rolled_out(revision=revision)
    assert_order(team)
    assert_passed(team)
    assert all(code == TERMINATED or text.startswith("Passed:") for code, text in team.gate().ends()), (
        team.gate().ends()
    )
    assert_works(team)


@on("3.6")
def test_mended_in_a_step_between(team: Team) -> None:
    """A commit whose Secret at 400 has a wrong password; the commit that mends only that passes the gate with a warning."""
    team.git.add_second_gate()
    team.git.add_step("400")
    team.git.add(SECRETS, "400", SECRETS_FOLDER)
    write_secret(team, "wrong")
    sql_of_runtime(team)["existingSecret"] = "temporal-runtime"
    team.git.gate["patienceSeconds"] = 40  # long enough for the pods that it restarts to crash again
    may_be_left_uncompared(team)
    team.roll_out()
    team.until_crash_looping()
    team.holds_for(10, lambda: is_held(team), "the bootstrap is held")

    write_secret(team, team.databases.password)
    revision = commit_to_the_gate_first(team, "the password is right now", SECRETS)
    team.until_rolled_out(revision=revision)
    warned = [message for code, message in team.gate().ends() if not code and message.startswith("PassedWithWarning:")]
    assert any("DatabaseUnusableForRuntime" in message for message in warned), team.gate().ends()
    assert_order(team)
    assert_passed(team, SECOND_GATE)
    assert_works(team)


@on("3.6")
def test_no_readiness_probe(team: Team) -> None:
    """A commit whose servers crash seconds after their start: to RollingSync that step is done; the second gate holds."""
    sql = sql_of_runtime(team)
    right = dict(sql)
    team.git.add_second_gate()
    with port_that_hangs_up(team.cluster.host) as port:
        sql |= {"host": team.cluster.host, "port": port}
        team.roll_out()
        team.until(lambda: team.gate(SECOND_GATE).pods(), "the second gate to run")
        assert team.steps()[RUNTIME] == "Healthy"
        team.until(lambda: crash_looped(team) >= SERVERS, "all servers to crash-loop")
        team.holds_for(15, lambda: is_held(team), "the bootstrap is held")

    sql |= right
    revision = team.commit("the database's own address")
    team.until_rolled_out(revision=revision)
    assert_order(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
@shows(NO_RETRIES)
def test_bootstrap_failed_as_hook(team: Team) -> None:
    """A hook Job that failed for good, and the cause is gone: nobody runs it again; a person syncs the gate, and it does."""
    team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]["retry"] = {"limit": 0}
    show_failed_bootstrap(team, lambda: team.operation(BOOTSTRAP).get("phase") == "Failed")


@on("3.6")
def test_bootstrap_failed_as_plain_job(team: Team) -> None:
    """The same of a plain Job, whose sync succeeded and would leave it as it is."""
    job = team.git.files()[JOB]
    team.git.more[JOB] = re.sub(r"  annotations:\n(    .*\n)+", "", job, count=1)
    show_failed_bootstrap(team, lambda: team.state(BOOTSTRAP) == ("Synced", "Degraded"))


def show_failed_bootstrap(team: Team, failed: Callable[[], bool]) -> None:
    """It fails since Temporal's role may not register a namespace, and is done by the gate after that was mended."""
    team.git.leave_out(BOOTSTRAP)
    team.roll_out()
    team.until_rolled_out()
    team.until(lambda: has_settled(team, "Succeeded"), "no second sync of the gate, which would repair it")
    database, role = team.databases.default, team.databases.user
    team.postgres.execute(database, f"REVOKE INSERT ON namespaces FROM {role}")
    team.git.add(BOOTSTRAP, "455", "temporal/bootstrap")
    team.apply()
    team.until(lambda: failed() and is_over(team), "the bootstrap to fail, and not to be synced again")
    team.postgres.execute(database, f"GRANT INSERT ON namespaces TO {role}")
    pods, began = team.pod_uids(), team.operation(BOOTSTRAP)["startedAt"]
    team.holds_for(
        15, lambda: failed() and team.operation(BOOTSTRAP)["startedAt"] == began, "nobody runs the bootstrap again"
    )

    assert team.sync_to_end(GATE)["phase"] == "Succeeded"

    assert by_the_gate(team.operation(BOOTSTRAP))
    assert any(event.startswith("ApplicationSynced") for event in team.events(BOOTSTRAP))
    assert team.pod_uids() == pods
    team.until_rolled_out()
    assert_passed(team)
    assert_works(team)


@contextmanager
def port_that_hangs_up(host: str) -> Iterator[int]:
    """A port that takes connections and drops them after a while, as a proxy does whose database is gone.

    Servers that find no database at all are gone so soon that the four may never be seen running at once.
    """

    class HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            time.sleep(HANGS_UP_AFTER_SECONDS)

    with socketserver.ThreadingTCPServer((host, 0), HangUp) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def is_over(team: Team) -> bool:
    """Whether RollingSync has done with the bootstrap."""
    return team.steps()[BOOTSTRAP] not in {"Waiting", "Pending"} and (
        has_settled(team, "Failed", BOOTSTRAP) or has_settled(team, "Succeeded", BOOTSTRAP)
    )


def crash_looped(team: Team) -> set[str]:
    """The components of which a pod ever waited out a back-off."""
    return {component_of(one.body) for one in team.history.versions("Pod") if is_in_back_off(one.body)}


def sql_of_runtime(team: Team) -> Json:
    """What the servers are told of the default store."""
    sql: Json = team.git.runtime["server"]["config"]["persistence"]["default"]["sql"]
    return sql


def is_held(team: Team) -> bool:
    """Whether nothing after the runtime has come through."""
    return team.operation(BOOTSTRAP) == {} and team.gate(SECOND_GATE).receipt() is None


def write_secret(team: Team, password: str) -> None:
    """The Secret that the servers log in by, in a chart of the team's own."""
    team.git.more |= {
        f"{SECRETS_FOLDER}/Chart.yaml": "{apiVersion: v2, name: temporal-secrets, version: 0.1.0}",
        f"{SECRETS_FOLDER}/templates/secret.yaml": (
            f"{{apiVersion: v1, kind: Secret, metadata: {{name: temporal-runtime}}, stringData: {{password: {password}}}}}"
        ),
    }
