"""One Application with schema and servers: real databases, Temporal's own tool and servers, the gate as its own process.

Its schema Job has the annotations of Temporal's chart 1.x (temporal-1.6.0, templates/server-job.yaml).
"""

from collections.abc import Callable

from lab import rollout
from lab.api_client import ApiError, Json
from lab.processes import Process
from lab.rollout import BOOTSTRAP, NAMESPACE, RUNTIME, SCHEMA_JOB
from lab.scenarios import SERVERS
from lab.world import World

_HOOK = {
    "helm.sh/hook": "pre-install,pre-upgrade",
    "helm.sh/hook-weight": "0",
    "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
}


def in_one(world: World) -> None:
    """Commit the schema Job beside the servers."""
    (job,) = rollout.migrations(world.schema, hook=False)
    release = world.schema.tool.release
    world.commit(
        RUNTIME,
        [{**job, "metadata": job["metadata"] | {"annotations": _HOOK}}, *rollout.runtime(world.config, release)],
    )


def gate(world: World) -> Process:
    one = {"name": RUNTIME}
    return world.gate(
        migrations={"application": one, "beforeServers": True}, runtime={"application": one}, reachability="always"
    )


def components(pods: dict[str, str], others: dict[str, str]) -> set[str]:
    return {component for component in pods if others.get(component) != pods[component]}


def schema_job(world: World) -> Json | None:
    try:
        return world.client.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{SCHEMA_JOB}")
    except ApiError:
        return None


def test_a_sync_that_was_given_up_is_begun_again(make_world: Callable[..., World]) -> None:
    """The hook failed before the database came, so no server was made. The gate has all of it made, then the bootstrap."""
    world = make_world()
    in_one(world)
    world.postgres.stop()
    assert world.sync(RUNTIME)["phase"] == "Failed"
    assert world.pods() == []
    assert world.sync(BOOTSTRAP)["phase"] == "Failed"
    world.postgres.start()

    process = gate(world)
    assert process.wait(120) == 0, process.log.read_text()

    assert world.schema_versions() == ("1.18", "1.9")
    world.start_workflow()
    assert "asked Application argocd/data-temporal to migrate (attempt 1)" in process.log.read_text()
    assert "attempt 2" not in process.log.read_text()


def test_a_replaced_database(make_world: Callable[..., World]) -> None:
    """The hook is gone with its success; the servers live on a database that is gone. A whole sync brings all anew."""
    world = make_world()
    in_one(world)
    world.sync(RUNTIME)
    world.until_serving()
    world.sync(BOOTSTRAP)
    assert schema_job(world) is None
    before = world.pod_uids()
    world.replace_databases()

    process = gate(world)
    assert process.wait(120) == 0, process.log.read_text()

    assert world.schema_versions() == ("1.18", "1.9")
    assert components(before, world.pod_uids()) == set(SERVERS)
    world.start_workflow()
