"""What keeps a pod or a Job from working: its container, its reason, and the words that tell why."""

from dataclasses import replace
from typing import Any

import pytest
from worlds import JOB, NOW, at, container, crashed, ended, finding, job, job_pod, running

from hook.observation import diagnosis
from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.workloads import Container, ContainerKind, Job, JobPhase, Pod, Termination

INIT, SIDECAR = ContainerKind.INIT, ContainerKind.SIDECAR
SERVER = "temporal-history"


def found(pod: Pod) -> Finding:
    finding = diagnosis.of_pod(pod, NOW)
    assert finding is not None
    assert finding.about == pod.about
    return finding


def waiting(name: str, why: str, message: str = "", **changes: Any) -> Container:
    return container(name, waiting=why, waiting_message=message, **changes)


@pytest.mark.parametrize(
    ("others", "culprit"),
    [
        ((), crashed(SERVER, -10)),
        ((container(SERVER, waiting="PodInitializing"),), crashed("istio-validation", -10, kind=INIT)),
        ((container(SERVER, waiting="PodInitializing"),), crashed("cloud-sql-proxy", -10, kind=SIDECAR)),
        ((running(SERVER),), crashed("metrics-exporter", -10)),
        ((running("istio-proxy"),), crashed(SERVER, -10)),
    ],
)
def test_any_container_in_back_off_is_named_with_its_end(others: tuple[Container, ...], culprit: Container) -> None:
    """Restarts, exit code, and the last line of its own log."""
    one = replace(culprit, log="starting\nno luck today", last=Termination(3, "Error", finished_at=at(-10)))
    told = found(job_pod(*others, one))
    assert told.reason is Reason.CRASH_LOOPING
    assert told.detail == f"{one.kind} {one.name}: 4 restarts, last exit code 3 (Error): no luck today"


def test_the_latest_of_several_crashes_is_told() -> None:
    """A container that crashed first may only have waited for the other."""
    told = found(job_pod(crashed("first", -100, log="x"), crashed("second", -10, log="y")))
    assert told.detail.startswith("container second")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"log": None}, "its log is not read yet"),
        ({"log": None, "unread": "ApiForbidden: pods/log"}, "its log cannot be read: ApiForbidden: pods/log"),
        ({"log": "\n \n"}, "its log is empty"),
        ({"log": "", "restarts": 1}, "1 restart, last"),
        ({"log": "", "restarts": 0, "waiting": ""}, f"container {SERVER}: last exit code 1"),
        ({"log": "", "last": Termination(None)}, "last exit code unknown: its log is empty"),
        ({"log": "", "last": Termination(1, "Error", "from the termination message")}, "from the termination message"),
    ],
)
def test_a_crash_is_told_with_what_is_known_of_it(change: dict[str, Any], words: str) -> None:
    assert words in found(job_pod(replace(crashed(SERVER, -10), **change))).detail


def test_what_the_kernel_killed_is_told_without_its_last_line() -> None:
    """temporal 8902: a line of information would mislead."""
    told = found(job_pod(crashed(SERVER, -10, 137, "OOMKilled", log="Acquired shard")))
    assert told.reason is Reason.OUT_OF_MEMORY
    assert told.detail == f"container {SERVER}: 4 restarts, last exit code 137 (OOMKilled)"


@pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun"])
def test_an_end_before_the_process_began_is_told_in_the_runtimes_words(reason: str) -> None:
    """It has no log: ``exec: "temporal-server": not found``."""
    one = crashed(SERVER, -10, 128, reason)
    told = found(job_pod(replace(one, last=Termination(128, reason, 'exec: "x": not found', finished_at=at(-10)))))
    assert told.reason is Reason.CONTAINER_CANNOT_START
    assert told.detail.endswith(f'128 ({reason}): exec: "x": not found')


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        ("ErrImagePull", Reason.IMAGE_NOT_PULLABLE),
        ("ImagePullBackOff", Reason.IMAGE_NOT_PULLABLE),
        ("InvalidImageName", Reason.IMAGE_NOT_PULLABLE),
        ("ErrImageNeverPull", Reason.IMAGE_NOT_PULLABLE),
        ("SignatureValidationFailed", Reason.IMAGE_NOT_PULLABLE),
        ("CreateContainerConfigError", Reason.CONTAINER_CONFIG_INVALID),
        ("CreateContainerError", Reason.CONTAINER_CANNOT_START),
        ("RunContainerError", Reason.CONTAINER_CANNOT_START),
        ("PostStartHookError", Reason.CONTAINER_CANNOT_START),
    ],
)
@pytest.mark.parametrize("kind", ContainerKind)
def test_a_container_that_does_not_even_start(why: str, reason: Reason, kind: ContainerKind) -> None:
    """It comes before a crash of another: that one may only have missed it."""
    told = found(job_pod(crashed("other", -1), waiting(SERVER, why, "as the kubelet says", kind=kind)))
    assert told.reason is reason
    assert told.detail.startswith(f"{kind} {SERVER}: {why}: as the kubelet says")
    assert ("example.org" in told.detail) is (reason is Reason.IMAGE_NOT_PULLABLE)


def test_a_pod_without_a_node_is_told_with_the_schedulers_words() -> None:
    told = found(job_pod(container(SERVER), unschedulable="0/3 nodes: taint"))
    assert (told.reason, told.detail) == (Reason.POD_UNSCHEDULABLE, "0/3 nodes: taint")


def test_a_pod_that_failed_as_a_whole() -> None:
    told = found(job_pod(container(SERVER), phase="Failed", failure="Evicted: low on disk"))
    assert (told.reason, told.detail) == (Reason.POD_FAILED, "Evicted: low on disk")


MADE = {"created_at": at(-600)}


@pytest.mark.parametrize(
    ("containers", "changes", "is_found"),
    [
        ((waiting(SERVER, "ContainerCreating"),), MADE, True),
        ((waiting("first", "PodInitializing", kind=INIT), waiting(SERVER, "PodInitializing")), MADE, True),
        ((waiting(SERVER, "ContainerCreating"),), {"created_at": at(-59)}, False),
        ((waiting(SERVER, "ContainerCreating"),), {"created_at": None}, False),
        ((running("first", kind=INIT), waiting(SERVER, "PodInitializing")), MADE, False),
        ((running(SERVER),), MADE, False),
        ((ended(SERVER),), MADE, False),
    ],
)
def test_a_container_that_is_being_made_for_too_long(
    containers: tuple[Container, ...], changes: dict[str, Any], *, is_found: bool
) -> None:
    """With the last warning about its pod; not while an init container works."""
    pod = job_pod(*containers, **changes, event="FailedMount: no such Secret")
    told = diagnosis.of_pod(pod, NOW)
    assert (told is not None) is is_found
    if told is not None:
        assert told.reason is Reason.POD_NOT_STARTING
        why = f"{containers[0].kind} {containers[0].name}: {containers[0].waiting} since 11:50:00"
        assert told.detail == f"{why}: FailedMount: no such Secret"
    assert diagnosis.of_pod(pod, None) is None  # the API server's time is not known yet


def test_a_sidecar_that_crashes_next_to_work_that_is_done_is_nothing() -> None:
    """istio-proxy ends with an error once its pod's own work is over."""
    assert diagnosis.of_pod(job_pod(ended("schema"), crashed("istio-proxy", -1)), NOW) is None


def test_a_container_that_runs_again_has_crashed_for_nobody() -> None:
    assert diagnosis.of_pod(job_pod(running(SERVER, last=Termination(1))), NOW) is None


# --- Jobs ---------------------------------------------------------------------------------------------------------

CRASHING = job_pod(crashed("schema", -10), finding=finding(Reason.CRASH_LOOPING, "pod temporal/job-x1"))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (job(JobPhase.RUNNING, JOB, CRASHING), (Reason.CRASH_LOOPING, "as seen")),
        (job(JobPhase.RUNNING, JOB, job_pod(running("schema"))), None),
        (
            job(JobPhase.RUNNING, JOB, job_pod(ended("schema"), running("istio-proxy"))),
            (Reason.SIDECAR_KEEPS_JOB, "its container ended with 0; istio-proxy keeps the pod"),
        ),
        (job(JobPhase.RUNNING, JOB, job_pod(ended("schema"), running("proxy", kind=SIDECAR))), None),
        (job(JobPhase.RUNNING), (Reason.POD_NOT_MADE, "it has no pod")),
        (job(JobPhase.RUNNING, created_at=at(-30)), None),
        (job(JobPhase.RUNNING, created_at=None), None),
        (job(JobPhase.RUNNING, pods_unseen=finding(Reason.API_FORBIDDEN)), None),
        (job(JobPhase.RUNNING, message="FailedCreate: quota"), (Reason.POD_NOT_MADE, "FailedCreate: quota")),
        (job(JobPhase.FAILED, message="DeadlineExceeded"), (Reason.POD_FAILED, "DeadlineExceeded")),
        (job(JobPhase.SUSPENDED), None),
        (job(), None),
    ],
)
def test_a_job_is_judged_by_its_pods_then_by_itself(seen: Job, expected: tuple[Reason, str] | None) -> None:
    told = diagnosis.of_job(seen, NOW)
    assert (told and (told.reason, told.detail)) == expected


def test_the_newest_pod_of_a_job_tells() -> None:
    """Each retry makes one: the first may have met a database that was not there yet."""
    old = replace(CRASHING, created_at=at(-900), finding=finding(Reason.POD_FAILED, "the old one"))
    told = diagnosis.of_job(job(JobPhase.RUNNING, JOB, old, CRASHING), NOW)
    assert told == CRASHING.finding


@pytest.mark.parametrize(
    ("lasted", "runs_for", "is_found"),
    [(1, 1, True), (1, 30, True), (1, 40, False), (127, 100, True), (127, 160, False)],
)
@pytest.mark.parametrize("anew", ["container", "pod"])
def test_a_retry_is_believed_to_work_once_it_runs_longer_than_what_crashed(
    anew: str, lasted: float, runs_for: float, *, is_found: bool
) -> None:
    """Else a crash loop would be over whenever it tries again; but one that works is not failed for the pod before it."""
    end = Termination(1, "Error", "", at(-400 - lasted), at(-400))
    if anew == "container":
        one = running("schema", -runs_for, last=end, restarts=6, log="connection refused")
        pods = [job_pod(one, phase="Running")]
    else:
        failed = container("schema", ended=end, log="connection refused")
        pods = [job_pod(failed, phase="Failed", created_at=at(-900)), job_pod(running("schema", -runs_for))]
    told = [replace(pod, finding=diagnosis.of_pod(pod, NOW)) for pod in pods]
    seen = job(JobPhase.RUNNING, JOB, *told)
    assert (diagnosis.of_job(seen, NOW) is not None) is is_found
    assert seen.is_working or is_found


def test_a_server_that_runs_again_is_none() -> None:
    """Whether one answers is asked of it: no repair is to wait for half a minute of proof."""
    one = running(SERVER, -1, last=Termination(1), restarts=6)
    assert diagnosis.of_pod(job_pod(one, component="history"), NOW) is None


@pytest.mark.parametrize("last", [None, Termination(0, "Completed", finished_at=at(-10))])
def test_back_off_is_one_whatever_the_end_before(last: Termination | None) -> None:
    """A liveness probe stops a server, which exits with 0; a kubelet that was started anew does not know the end."""
    told = found(job_pod(replace(crashed(SERVER, -10), last=last)))
    assert told.reason is Reason.CRASH_LOOPING
    assert "last exit code" in told.detail


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("", ""),
        ("one\ntwo\n\n", "two"),
        ("error: early\nfine again\nlate words", "error: early"),
        ('{"level":"fatal","msg":"a"}\n{"level":"fatal","msg":"b"}\n{"level":"info"}', '{"level":"fatal","msg":"b"}'),
        ("panic: x\n\ngoroutine 1 [running]:\nmain.main()", "panic: x"),
        ("no usable database connection found\nretrying\npanic: real cause\ngoroutine 1", "panic: real cause"),
        ('"error":"pq: early"\nversion mismatch for keyspace\nbye', "version mismatch for keyspace"),
        ("Error: failed reaching server\nUsage:\n  temporal [command]", "Error: failed reaching server"),
        (
            '{"level":"error","error":"pq: permission denied"}\nshutting down',
            '{"level":"error","error":"pq: permission denied"}',
        ),
    ],
)
def test_the_last_fatal_line_counts_before_any_other(log: str, line: str) -> None:
    """An early transient error hides no panic, and goroutines follow one."""
    assert diagnosis.last_words(log) == line


def test_of_a_long_line_its_end_is_told_and_of_json_its_error() -> None:
    """The cause stands last; a quoted word stays one."""
    long = " ".join(f"word{number}" for number in range(200))
    told = found(job_pod(crashed("schema", -1, log=f"panic: {long}"))).detail
    assert told.endswith("word198 word199")
    assert ": … word" in told
    assert len(told) < 400
    json = r'{"level":"error","msg":"m","error":"pq: relation \"x\"\ndoes not exist","stacktrace":"s"}'
    assert found(job_pod(crashed("schema", -1, log=json))).detail.endswith('pq: relation "x" does not exist')


HEAD = '{"level":"fatal","msg":"unable to start","error":"sql schema version compatibility check failed: '


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (HEAD + 'pq: remaining connection slots are reserved"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + 'pq: no pg_hba.conf entry for host"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + 'pq: password authentication failed for user"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + r'pq: database \"temporal\" does not exist"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + 'dial tcp: lookup db: no such host"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + 'x509: certificate signed by unknown authority"}', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        (HEAD + r'pq: relation \"schema_version\" does not exist"}', Reason.RUNTIME_FINDS_NO_SCHEMA),
        (HEAD + 'version mismatch for keyspace: expected 1.14"}', Reason.RUNTIME_FINDS_NO_SCHEMA),
        (HEAD + 'pq: permission denied for table schema_version"}', Reason.TABLE_PERMISSION_DENIED),
        ('"error":"no usable database connection found"', Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
        ("Failed to lock namespace metadata. Error: sql: no rows in result set", Reason.NAMESPACE_METADATA_MISSING),
        ("Cluster info initial versions have duplicates", Reason.CLUSTER_METADATA_DUPLICATED),
        ("temporal-system namespace does not exist", Reason.SYSTEM_NAMESPACE_MISSING),
        ("panic: something of its own", Reason.CRASH_LOOPING),
    ],
)
def test_a_servers_crash_is_told_by_its_cause_in_the_database(line: str, reason: Reason) -> None:
    """Before 1.25 every fault of it bears the schema check's name (temporal-k8s-operator 55)."""
    assert found(job_pod(crashed(SERVER, -1, log=line))).reason is reason
    assert found(job_pod(crashed(SERVER, -1, log=line, kind=INIT))).reason is Reason.CRASH_LOOPING


@pytest.mark.parametrize(
    ("words", "may_pass"),
    [
        ("dial tcp 10.0.0.9:5432: connect: connection refused", True),
        ("pq: the database system is starting up", True),
        ("dial tcp: lookup db on 10.96.0.10:53: no such host", True),
        ("unexpected EOF", True),
        ("pq: password authentication failed", False),
        ("pq: permission denied to create extension", False),
    ],
)
def test_what_may_pass_by_itself_is_told_from_what_stays(words: str, *, may_pass: bool) -> None:
    assert bool(diagnosis.TRANSIENT.search(words)) is may_pass


POOL = (
    "\x1b[31mERROR\x1b[0m\tsql handle: unable to refresh database connection pool\t"
    '{"error": "pq: password authentication failed for user \\"temporal\\"", "logging-call-at": "db_handle.go:109"}'
)
TOOL = '\x1b[31mERROR\x1b[0m\tUnable to setup SQL schema.\t{"error": "no usable database connection found"}'


def test_what_the_connection_pool_said_is_told_where_the_last_line_hides_it() -> None:
    """As Temporal's schema tool logs it (seen, 1.29.1): a wrong password is no database that is away."""
    words = diagnosis.last_words(f"{POOL}\n{TOOL}\n")
    assert 'no usable database connection found: pq: password authentication failed for user \\"temporal\\"' in words
    assert not diagnosis.TRANSIENT.search(words)
    assert diagnosis.TRANSIENT.search(
        diagnosis.last_words(POOL.replace("pq: password", "dial tcp: connection refused") + f"\n{TOOL}")
    )
    assert diagnosis.TRANSIENT.search(diagnosis.last_words(TOOL))
