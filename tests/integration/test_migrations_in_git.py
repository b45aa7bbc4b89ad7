"""The migrations Application as git and Argo CD make it: commits that are not seen yet, Jobs beside others."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lab import rollout
from lab.api_client import Json
from lab.processes import wait_until
from lab.rollout import MIGRATIONS, NAMESPACE
from lab.temporal import Store
from lab.world import World

JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"


def _running(job: Json, name: str, command: Sequence[str]) -> Json:
    """The Job by another name, with another command."""
    (container,) = job["spec"]["template"]["spec"]["containers"]
    template = {"spec": {**job["spec"]["template"]["spec"], "containers": [{**container, "command": list(command)}]}}
    return {**job, "metadata": {**job["metadata"], "name": name}, "spec": {**job["spec"], "template": template}}


@pytest.mark.parametrize("plain", [False, True], ids=["hook", "plain Job"])
def test_a_commit_that_argo_cd_had_not_seen_yet_ends_no_run(make_world: Callable[..., World], *, plain: bool) -> None:
    """What the commit before runs leaves the schema behind; the one that is in git by now does not."""
    world = make_world(plain_jobs=plain)
    (job,) = rollout.migrations(world.schema, hook=not plain)
    command = ["sh", "-ec", "\n".join(shlex.join(world.schema.setup(store)) for store in Store)]
    world.commit(MIGRATIONS, [_running(job, "temporal-schema", command)])
    world.argocd.commit(MIGRATIONS, [job])
    gate = world.gate(reachability="never", downstream=[])
    assert gate.wait(60) == 0, gate.log.read_text()
    assert world.schema_versions() == ("1.18", "1.9")
    assert "to migrate (attempt 2)" in gate.log.read_text()


def test_a_job_that_runs_is_not_replaced_for_the_sake_of_another_that_failed(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    """The Application is Degraded by the one, which hides the other: Argo CD keeps no health for each."""
    world = make_world(plain_jobs=True)
    go_on = tmp_path / "go-on"
    (job,) = rollout.migrations(world.schema, hook=False)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    waits = 'i=0; while [ ! -e "$0" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; exec "$@"'
    slow = _running(job, "temporal-schema", ["/bin/sh", "-c", waits, str(go_on), *container["command"]])
    world.commit(MIGRATIONS, [slow, _running(job, "failing", ["false"])])
    world.sync(MIGRATIONS)
    world.until_failed(MIGRATIONS)
    uid = world.client.get(f"{JOBS}/temporal-schema")["metadata"]["uid"]
    gate = world.gate(reachability="never", downstream=[], migrations={"pauseSeconds": 0.1})
    wait_until(lambda: "MigrationRunning" in gate.log.read_text(), 30, "the gate to see it run")
    assert world.client.get(f"{JOBS}/temporal-schema")["metadata"]["uid"] == uid
    go_on.touch()
    wait_until(lambda: world.schema_versions() == ("1.18", "1.9"), 30, "its end")
    assert "to migrate" not in gate.log.read_text().partition("at 1.18")[0]
    assert gate.wait(60) == 0, gate.log.read_text()
