"""examples/kind on the lab's node: its script, and its page's commands one after the other (stand-ins: `on_kind`)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path

import pytest
from on_kind import APPLICATION_SET, ELEMENTS, OnKind, lines
from scenario import Json, is_done

from lab import temporal_client
from lab.object_status import component_of, condition_of, is_in_back_off, is_ready, sync_and_health
from lab.platform import Platform
from lab.team import SERVERS

MIGRATIONS, GATE, RUNTIME, BOOTSTRAP = ELEMENTS
BOOTSTRAP_JOB = "temporal-namespace-bootstrap"
LOOK = "kubectl -n temporal get pods"


@pytest.fixture
def kind(platforms: Callable[[str], Platform], tmp_path: Path) -> Iterator[OnKind]:
    with OnKind(platforms("3.6"), tmp_path) as found:
        yield found


def until_done(kind: OnKind) -> None:
    """Until all are Synced and Healthy, and no sync, which RollingSync may write a second time, follows in 10 s."""

    def done(name: str) -> bool:
        found = kind.application(name)
        if not is_done(found) or "operation" in found or found["status"]["operationState"]["phase"] != "Succeeded":
            return False
        finished = datetime.fromisoformat(found["status"]["operationState"]["finishedAt"])
        return (datetime.now(UTC) - finished).total_seconds() > 10

    kind.until(lambda: all(done(name) for name in ELEMENTS), "all Applications to be Synced, Healthy and at rest")


def assert_order(kind: OnKind) -> None:
    """Each Application was done before one of the next step was first synced."""
    steps = APPLICATION_SET["spec"]["strategy"]["rollingSync"]["steps"]
    phases = [step["matchExpressions"][0]["values"] for step in steps]
    names = [[name for name, one in ELEMENTS.items() if one["phase"] in each] for each in phases]
    for earlier, later in pairwise(names):
        for before, after in product(earlier, later):
            done = kind.history.first("Application", before, is_done)
            began = kind.history.first("Application", after, lambda one: "operationState" in one.get("status", {}))
            assert done is not None, before
            assert began is not None, after
            assert done <= began, (before, after)


def assert_works(kind: OnKind) -> None:
    """A workflow starts in the namespace that the bootstrap registers; a new one takes a second to be known everywhere."""

    def starts() -> str:
        try:
            return temporal_client.start_workflow(kind.frontend(), "orders")
        except temporal_client.CallError:
            return ""

    kind.until(starts, "a workflow to start", 30.0)


def schema_job(kind: OnKind) -> Json:
    found = kind.client.list("/apis/batch/v1/namespaces/temporal/jobs", "app.kubernetes.io/component=database")
    (job,) = [one for one in found if one["metadata"]["name"].startswith("temporal-migrations-")]
    return job


def crash_loops(kind: OnKind) -> bool:
    """Whether the page's look shows it: the kubelet may say Error for a minute before it says CrashLoopBackOff (seen)."""
    rows = [row.split() for row in kind.run(LOOK).splitlines()]
    shown = {row[0].split("-")[1]: row[2] for row in rows if row[0].startswith("temporal-")}
    said = {shown.get(server, "") for server in SERVERS}
    return {"CrashLoopBackOff"} <= said <= {"CrashLoopBackOff", "Error"}


def test_it_comes_up_breaks_and_heals_as_its_page_says(kind: OnKind) -> None:
    """The script ends, all four Applications come up in order; the gate repairs what the page breaks."""
    said = kind.up()
    assert "applicationset.argoproj.io/temporal created" in said
    until_done(kind)
    assert_order(kind)
    assert kind.history.ever("Pod", is_in_back_off) == []
    assert_works(kind)

    job, bootstrap = schema_job(kind), kind.job(BOOTSTRAP_JOB)
    drop, delete = lines("Break it")
    assert kind.run(drop).splitlines() == ["DROP DATABASE", "CREATE DATABASE"] * 2
    assert len(kind.run(delete).splitlines()) >= len(SERVERS)
    kind.until(lambda: crash_loops(kind), "all four servers to crash-loop")
    assert sync_and_health(kind.application(MIGRATIONS)) == ("Synced", "Healthy")
    assert sync_and_health(kind.application(RUNTIME))[0] == "Synced"
    assert schema_job(kind)["metadata"]["uid"] == job["metadata"]["uid"]
    assert condition_of(job, "Complete")

    healing = datetime.now(UTC)
    sync, events, log, pods, bootstrap_log = lines("Watch it heal")
    assert "patched" in kind.run(sync)
    gate = kind.gate(GATE)
    ends = kind.until(lambda: gate.ends(healing.timestamp()), "the gate to end")
    assert (ends[0][0], ends[0][1].partition(":")[0]) == (0, "Passed")
    assert "Passed" in kind.run(events)
    assert "Passed" in kind.run(log).splitlines()[-1]
    until_done(kind)
    assert pods == LOOK
    assert kind.run(pods).count("CrashLoopBackOff") == 0
    assert {component_of(pod) for pod in kind.pods() if is_ready(pod)} == SERVERS
    assert schema_job(kind)["metadata"]["uid"] != job["metadata"]["uid"]
    again = kind.job(BOOTSTRAP_JOB)
    assert again["metadata"]["uid"] != bootstrap["metadata"]["uid"]
    assert condition_of(again, "Complete")
    assert "orders" in kind.run(bootstrap_log)
    assert_works(kind)
