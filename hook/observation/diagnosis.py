"""What keeps a pod from working: one diagnosis of any pod, be it of a schema Job, a server or a bootstrap. Pure.

It names container, reason, restarts and exit code, and the last words of what crashed last.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from hook.observation.findings import Finding
from hook.observation.reasons import Reason
from hook.observation.workloads import JOB_COMPONENT, ContainerKind

if TYPE_CHECKING:
    from datetime import datetime

    from hook.observation.workloads import Container, Job, Pod, Termination

_SHOWN_CHARACTERS = 300

_IMAGE = {
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError",
    "SignatureValidationFailed",
}  # fmt: skip
_CONFIG = {"CreateContainerConfigError"}
_START = {
    "CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun", "PostStartHookError",
    "PreStartHookError", "PreCreateHookError", "CreatePodSandboxError",
}  # fmt: skip
"""The kubelet's words (pkg/kubelet/images/types.go, pkg/kubelet/container/sync_result.go, kuberuntime_container.go) and the
runtime's for an end before the process began (StartError of containerd, ContainerCannotRun of CRI-O and docker)."""

_LASTS = timedelta(seconds=60)
"""A container is made within seconds; an image of 100 MB, a volume that is attached, within a minute."""

_PROVES_ITSELF = timedelta(seconds=30)
"""What was started again after a crash is believed to work once it has run so much longer than before: clocks differ."""

_SCHEMA_CHECK = (
    r"(sql schema version compatibility check failed|unable to read DB schema version|version mismatch for keyspace)"
)
_UNUSABLE = (
    r"no usable database connection found|database \\?\"[^\"]*\\?\" does not exist|connection refused|no such host"
    r"|i/o timeout"
    r"|connection slots are reserved|too many (connections|clients)|no pg_hba\.conf entry|authentication failed"
    r"|role \\?\"[^\"]*\\?\" does not exist|tls: |x509: |SSL is not enabled|the database system is|broken pipe|EOF"
)
_SERVER_CRASHES: tuple[tuple[str, Reason], ...] = (
    (r"Failed to lock namespace metadata\. ?Error: ?sql: no rows", Reason.NAMESPACE_METADATA_MISSING),
    (r"Cluster info initial versions have duplicates", Reason.CLUSTER_METADATA_DUPLICATED),
    (r"temporal-system namespace does not exist", Reason.SYSTEM_NAMESPACE_MISSING),
    (r"permission denied for (table|relation|schema)", Reason.TABLE_PERMISSION_DENIED),
    (rf"{_SCHEMA_CHECK}.*({_UNUSABLE})", Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
    (r"no usable database connection found", Reason.DATABASE_UNUSABLE_FOR_RUNTIME),
    (_SCHEMA_CHECK, Reason.RUNTIME_FINDS_NO_SCHEMA),
)
"""Temporal's start-up crashes that are rooted in the database, by their text (facts, "what the server checks").

Before 1.25 every fault of the database carries the schema check's prefix (canonical/temporal-k8s-operator 55,
tryretool/terraform-retool-modules 32), after it only the last one: so the more exact texts come first.
"""

_FATAL = re.compile(
    r'^panic:|"level":"(fatal|panic)"|level=(fatal|panic)|^(FATAL|fatal)\b|[Uu]nable to start server|^Error:'
)
_KNOWN = re.compile("|".join(pattern for pattern, _ in _SERVER_CRASHES))
_ERROR = re.compile(r'"level":"error"|level=error|"error":|\bERROR\b|\b[Ee]rror\b')

_ERROR_FIELD = re.compile(r'"error": ?"((?:[^"\\]|\\.)*)"')
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_NO_CONNECTION = "no usable database connection found"
_POOL = "unable to refresh database connection pool"

TRANSIENT = re.compile(
    r"connection refused|no such host|i/o timeout|connection reset|the database system is|EOF\b|broken pipe"
    r"|no usable database connection found(?!:)"
    r"|connection timed out|[Tt]emporary failure in name resolution|no route to host|deadline exceeded|server misbehaving"
)
"""What a schema tool says of a database that is not there yet."""


def of_pod(pod: Pod, now: datetime | None) -> Finding | None:
    """Return what keeps the pod from working, None where nothing is seen to; ``now`` is by the API server's clock."""
    about = pod.about
    if pod.unschedulable:
        return Finding(Reason.POD_UNSCHEDULABLE, about, pod.unschedulable)
    crashed = [one for one in pod.containers if (one.crash or _is_retrying(one, pod, now)) and _counts(one, pod)]
    crashed.sort(key=lambda one: str(one.last_crash.finished_at if one.last_crash else ""), reverse=True)
    for container in pod.containers:
        if (finding := _of_waiting(container, about)) is not None:
            return finding
    for container in crashed:
        return _of_crash(container, about)
    if pod.failure:
        return Finding(Reason.POD_FAILED, about, pod.failure)
    return _of_making(pod, about, now)


def of_job(job: Job, now: datetime | None) -> Finding | None:
    """Return what keeps a Job from its end, or made it fail: by its pods, else by its own condition."""
    about = f"Job {job.ref}"
    pods = _newest_first(job)
    troubled = next((pod for pod in pods if pod.finding is not None), None)
    # A retry that works makes what failed before it a thing of the past.
    if troubled is not None and (
        troubled is pods[0] or not _has_proved_itself(_running_since(pods[0]), _lasted(troubled), now)
    ):
        return troubled.finding
    if job.kept_by:
        detail = f"its container ended with 0; {', '.join(job.kept_by)} keeps the pod"
        return Finding(Reason.SIDECAR_KEEPS_JOB, about, detail)
    if job.message:
        return Finding(Reason.POD_FAILED if job.ended_at else Reason.POD_NOT_MADE, about, job.message)
    is_old = now is not None and job.created_at is not None and now - job.created_at >= _LASTS
    if job.is_running and not job.pods and job.pods_unseen is None and is_old:
        return Finding(Reason.POD_NOT_MADE, about, "it has no pod")
    return None


def _is_retrying(container: Container, pod: Pod, now: datetime | None) -> bool:
    """Tell whether a Job's container, started again, is about as far as it was when it crashed: it does not work yet.

    Else a crash loop would be over for the moment in which it tries once more, every five minutes.
    """
    crash = container.last_crash
    if pod.component != JOB_COMPONENT or crash is None or container.running_since is None:
        return False
    return not _has_proved_itself(container.running_since, _time(crash), now)


def _time(end: Termination | None) -> timedelta:
    return end.finished_at - end.started_at if end and end.finished_at and end.started_at else timedelta(0)


def _lasted(pod: Pod) -> timedelta:
    return max((_time(one.last_crash) for one in pod.containers), default=timedelta(0))


def _running_since(pod: Pod) -> datetime | None:
    return min(filter(None, (one.running_since for one in pod.containers)), default=None)


def _has_proved_itself(running_since: datetime | None, lasted: timedelta, now: datetime | None) -> bool:
    return running_since is not None and now is not None and now - running_since > lasted + _PROVES_ITSELF


def _newest_first(job: Job) -> list[Pod]:
    return sorted(job.pods, key=lambda pod: str(pod.created_at or ""), reverse=True)


def _counts(container: Container, pod: Pod) -> bool:
    """Tell whether a crash matters: not that of a container beside work that has ended well."""
    return not (pod.is_done and container not in pod.main)


def _of_waiting(container: Container, about: str) -> Finding | None:
    """Return why a container does not even start: each hangs for ever without an exit code."""
    detail = f"{container.kind} {container.name}: {container.waiting}: {container.waiting_message}".rstrip(": ")
    if container.waiting in _IMAGE:
        return Finding(Reason.IMAGE_NOT_PULLABLE, about, f"{detail} ({container.image})")
    if container.waiting in _CONFIG:
        return Finding(Reason.CONTAINER_CONFIG_INVALID, about, detail)
    return Finding(Reason.CONTAINER_CANNOT_START, about, detail) if container.waiting in _START else None


def _of_crash(container: Container, about: str) -> Finding:
    crash = container.last_crash
    assert crash is not None  # noqa: S101 -- the caller has asked
    code = "unknown" if crash.exit_code is None else str(crash.exit_code)
    said = f" ({crash.reason})" if crash.reason else ""
    times = f"{container.restarts} restart{'s' * (container.restarts != 1)}, " if container.restarts else ""
    ended = f"{container.kind} {container.name}: {times}last exit code {code}{said}"
    if crash.reason == "OOMKilled":
        return Finding(Reason.OUT_OF_MEMORY, about, ended)
    if crash.reason in _START:
        return Finding(Reason.CONTAINER_CANNOT_START, about, f"{ended}: {crash.message}".rstrip(": "))
    line = last_words(container.log or "") or last_words(crash.message)
    reason = Reason.CRASH_LOOPING
    if container.kind is ContainerKind.MAIN:
        reason = next((reason for pattern, reason in _SERVER_CRASHES if re.search(pattern, line)), reason)
    unread = f"its log cannot be read: {container.unread}" if container.unread else "its log is not read yet"
    unread = unread if container.log is None else "its log is empty"
    return Finding(reason, about, f"{ended}: {_told(line) if line else unread}")


def _of_making(pod: Pod, about: str, now: datetime | None) -> Finding | None:
    """Return that a container is being made for too long: a volume, a network, a sandbox that does not come."""
    waiting = next((one for one in pod.containers if one.waiting in {"ContainerCreating", "PodInitializing"}), None)
    if waiting is None or now is None or pod.created_at is None or now - pod.created_at < _LASTS:
        return None
    if any(one.running_since is not None for one in pod.containers):
        return None  # an init container works, or another runs already
    detail = f"{waiting.kind} {waiting.name}: {waiting.waiting} since {pod.created_at:%H:%M:%S}"
    return Finding(Reason.POD_NOT_STARTING, about, f"{detail}: {pod.event}".rstrip(": "))


def last_words(log: str) -> str:
    """Return the line that tells why it ended: the last fatal one, else a known one, else an error, else the last at all.

    A panic is followed by some 200 lines of goroutines, and an early error may have passed by itself.
    """
    lines = [line for line in _COLOURS.sub("", log).splitlines() if line.strip()]
    for sign in (_FATAL, _KNOWN, _ERROR):
        if telling := [line for line in lines if sign.search(line)]:
            return _with_pools_cause(telling[-1], lines)
    return lines[-1] if lines else ""


def _with_pools_cause(line: str, lines: list[str]) -> str:
    """Return the line with what the connection pool said before: from 1.25 on the line itself hides it (seen, 1.29.1)."""
    causes = [found[1] for one in lines if _POOL in one and (found := _ERROR_FIELD.search(one))]
    return line.replace(_NO_CONNECTION, f"{_NO_CONNECTION}: {causes[-1]}", 1) if causes else line


def _told(line: str) -> str:
    """Return what fits into a message of a log line: Temporal's are JSON with a stack trace, and the cause stands last."""
    found = _ERROR_FIELD.search(line)
    text = " ".join((found.group(1).replace('\\"', '"').replace("\\n", " ") if found else line).split())
    words: list[str] = []
    length = 0
    for word in reversed(text.split()):
        length += len(word) + 1
        if length > _SHOWN_CHARACTERS:
            return " ".join(("…", *reversed(words)))
        words.append(word)
    return text
