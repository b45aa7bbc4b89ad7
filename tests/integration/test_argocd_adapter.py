"""The adapter of Argo CD's Applications against the lab's application controller: what is read, what a sync brings."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from hook.adapters.api import Api
from hook.adapters.argocd import ATTEMPT_INFO, RUN_INFO, Applications, KubernetesWay
from hook.decision import planner
from hook.decision.policy import Policy
from hook.decision.steps import Migrate
from hook.observation import applications, migrations
from hook.observation.applications import (
    Application,
    ApplicationRef,
    ManagedJob,
    Operation,
    OperationPhase,
    jobs_that_are_there,
)
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.observation import Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from hook.observation.workloads import JobRef
from lab.api_client import ApiClient, ApiError, Json
from lab.argocd import REFRESH, ArgoCd, Behaviour
from lab.fake_api import DropAnswer, FakeApi
from lab.object_status import ended_job
from lab.processes import wait_until

REF = ApplicationRef("argocd", "migrations")
PATH = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/migrations"
JOBS = "/apis/batch/v1/namespaces/data/jobs"
CONFIG_MAPS = "/api/v1/namespaces/data/configmaps"
SECONDS = 10.0
RUN, OTHER_RUN = "run-of-now", "run-of-before"
RIGHTS = {"argocd": [{"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "patch"]}]}
"""The gate's own in these tests: none on anything that an Application holds."""


def by_argocd(found: Application) -> Migration:
    """The migration by Argo CD's word, where its Jobs may not be read."""
    unread = Unknown(Finding(Reason.API_FORBIDDEN, "Job"))
    return migrations.of_application(found, dict.fromkeys(found.all_jobs, unread), datetime.now(UTC))


def synced(applications: Applications, found: Application, attempt: int) -> bool:
    """Write a sync, of its plain Jobs alone where they are there."""
    return applications.sync(found, attempt, jobs_that_are_there(found))


class Cluster:
    """An API, Argo CD, one Application, and the gate's view of it."""

    def __init__(self, api: FakeApi, argocd: ArgoCd, gate: Api) -> None:
        self.server = api
        self.argocd = argocd
        self.api = gate
        self.client: ApiClient = api.client("cluster")
        self.applications = Applications(KubernetesWay(gate), RUN)

    def look(self) -> Application:
        return self.applications.read(REF)

    @property
    def operation(self) -> Operation:
        found = self.look().operation
        assert found is not None
        return found

    def until(self, holds: Callable[[Application], object], what: str) -> Application:
        return wait_until(lambda: found if holds(found := self.look()) else None, SECONDS, what) or self.look()

    def until_operation(self, phase: OperationPhase) -> Operation:
        self.until(lambda it: it.operation is not None and it.operation.phase is phase, f"the operation {phase}")
        return self.operation

    def until_status(self, sync: str, health: str) -> Application:
        return self.until(lambda it: (it.sync, it.health) == (sync, health), f"{sync} and {health}")

    def until_migration(self, phase: MigrationPhase) -> Migration:
        """The migration in this phase, with a comparison asked for where one is due, as the planner does."""

        def reached() -> Migration | None:
            found = by_argocd(self.look())
            assert found.application is not None
            if found.phase is MigrationPhase.UNCOMPARED and not found.application.refresh_requested:
                self.applications.refresh(found.application)
            return found if found.phase is phase else None

        found = wait_until(reached, SECONDS, f"the migration {phase}")
        assert found is not None
        return found

    def sync(self, attempt: int = 1, run: str = RUN) -> None:
        """Until nobody was faster."""
        wait_until(
            lambda: synced(Applications(KubernetesWay(self.api), run), self.look(), attempt),
            SECONDS,
            "a sync to be written",
        )

    def refresh(self) -> Application:
        """The Application, compared since."""
        wait_until(lambda: self.applications.refresh(self.look()), SECONDS, "a refresh to be asked for")
        return self.until(lambda it: not it.refresh_requested, "the refresh")

    def raw(self) -> Json:
        return self.client.get(PATH)

    def job(self, name: str, without: str = "") -> str:
        """The uid of a Job of this name, another than the one given."""

        def found() -> str | None:
            for each in self.client.list(JOBS, field_selector=f"metadata.name={name}"):
                if each["metadata"]["uid"] != without and "deletionTimestamp" not in each["metadata"]:
                    return str(each["metadata"]["uid"])
            return None

        return wait_until(found, SECONDS, f"a new Job {name}") or ""

    def end_job(self, name: str, condition: str) -> None:
        """The Job controller's part."""
        now = self.client.get(f"{JOBS}/{name}")["metadata"]["creationTimestamp"]
        status = ended_job(condition, f"{name} has ended", started=now, ended=now)
        self.client.patch_status(f"{JOBS}/{name}", {"status": status})

    def run_hook(self, condition: str, without: str = "") -> str:
        """Wait for the hook Job and end it; its uid."""
        uid = self.job("schema", without)
        self.end_job("schema", condition)
        return uid


@contextmanager
def cluster(
    directory: Path, *manifests: Json, sources: Sequence[Json] = (), commits: bool = True, **behaviour: Any
) -> Iterator[Cluster]:
    """The Application is compared once and was never synced."""
    source = {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "HEAD"}
    spec = {"project": "default", "destination": {"server": "https://kubernetes.default.svc", "namespace": "data"}}
    with FakeApi() as api:
        api.add_user("cluster", admin=True)
        api.add_user("gate", roles=RIGHTS)
        client = api.client("cluster")
        for name in ("argocd", "data"):
            client.create("/api/v1/namespaces", {"metadata": {"name": name}})
        argocd = ArgoCd(client, behaviour=Behaviour(**{"resync_seconds": 3600.0, **behaviour}))
        if commits:
            argocd.commit(REF.name, manifests)
        body = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": REF.name},
            "spec": {**spec, **({"sources": list(sources)} if sources else {"source": source})},
        }
        client.create(PATH.rpartition("/")[0], body)
        with closing(Api.connect(api.write_kubeconfig(directory / "kubeconfig", "gate"), None, 5.0)) as gate, argocd:
            found = Cluster(api, argocd, gate)
            found.until(lambda it: it.compared_at, "the first comparison")
            yield found
        found.client.close()
        client.close()


def config_map(name: str, wave: int = 0, **data: str) -> Json:
    metadata = {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": str(wave)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def plain_job(name: str = "schema") -> Json:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.org/tool:1"}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def hook_job(name: str = "schema") -> Json:
    return {**plain_job(name), "metadata": {"name": name, "annotations": {"argocd.argoproj.io/hook": "Sync"}}}


def refusal(ask: Callable[[], object]) -> Finding:
    with pytest.raises(FindingError) as caught:
        ask()
    return caught.value.finding


# --- what is read -------------------------------------------------------------------------------------------------


def test_an_application_that_was_never_synced_has_no_operation(tmp_path: Path) -> None:
    """It is ahead in the rollout, and its migration idle."""
    before = datetime.now(UTC).replace(microsecond=0)
    with cluster(tmp_path, hook_job(), config_map("a")) as it:
        found = it.look()
        raw = it.raw()
    assert (found.sync, found.health, found.operation) == ("OutOfSync", "Missing", None)
    assert (found.ref, found.uid) == (REF, raw["metadata"]["uid"])
    assert found.revisions == (raw["status"]["sync"]["revision"],)
    assert found.compared_at is not None
    assert found.compared_at >= before
    assert not found.refresh_requested
    assert applications.is_ahead(found)
    assert by_argocd(found).phase is MigrationPhase.IDLE


def test_a_persons_sync_is_not_ours(tmp_path: Path) -> None:
    """Synced and Healthy, an operation at the compared revision, and no attempt of this run."""
    with cluster(tmp_path, config_map("a")) as it:
        it.argocd.sync(REF.name)
        found = it.until_operation(OperationPhase.SUCCEEDED)
        application = it.until_status("Synced", "Healthy")
    assert found.attempt is None
    assert found.revisions == application.revisions
    assert found.started_at is not None
    assert found.finished_at is not None
    assert found.started_at <= found.finished_at
    assert not applications.is_ahead(application)
    assert by_argocd(application).phase is MigrationPhase.IDLE


def test_a_new_commit_is_ahead_and_a_drift_is_not(tmp_path: Path) -> None:
    """Both are OutOfSync; the operation's revision tells them apart."""
    with cluster(tmp_path, config_map("a", key="value")) as it:
        it.argocd.sync(REF.name)
        it.until_status("Synced", "Healthy")
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        assert not applications.is_ahead(it.until_status("OutOfSync", "Healthy"))
        revision = it.argocd.commit(REF.name, [config_map("a", key="new")])
        found = it.refresh()
        assert found.revisions == (revision,)
        assert applications.is_ahead(found)


@pytest.mark.parametrize(
    ("policy", "owner", "expected"),
    [
        (None, None, False),
        ({"syncOptions": ["CreateNamespace=true"]}, None, False),
        ({"automated": {}}, None, True),
        ({"automated": {"enabled": True, "prune": True}}, None, True),
        ({"automated": {"enabled": False}}, None, False),
        ({"automated": {"enabled": False}}, "Application", False),
        ({"automated": {"enabled": False}}, "ApplicationSet", True),
        (None, "ApplicationSet", True),
    ],
    ids=[
        "by a person",
        "the same, with options",
        "by its policy",
        "the same, in so many words",
        "switched off",
        "switched off, of an app of apps",
        "switched off, by RollingSync of 3.6",
        "taken away, by RollingSync of 3.2",
    ],
)
def test_who_syncs_it_is_known(tmp_path: Path, policy: Json | None, owner: str | None, *, expected: bool) -> None:
    """A person alone, or Argo CD as well."""
    with cluster(tmp_path, config_map("a")) as it:
        owners = [{"apiVersion": "argoproj.io/v1alpha1", "kind": owner, "name": "x", "uid": "y"}] if owner else []
        it.client.patch(PATH, {"metadata": {"ownerReferences": owners}, "spec": {"syncPolicy": policy}})
        assert it.look().policy.is_automated is expected


def test_a_running_hook_is_a_running_operation_until_it_ends(tmp_path: Path) -> None:
    """With Argo CD's message on one line and the hook Job's name; then succeeded or failed."""
    with cluster(tmp_path, hook_job(), config_map("receipt", wave=1)) as it:
        for ending, phase in (("Complete", OperationPhase.SUCCEEDED), ("Failed", OperationPhase.FAILED)):
            before = it.look().operation
            uid = it.job("schema") if before else ""
            it.argocd.sync(REF.name)
            it.job("schema", without=uid)
            found = it.until(
                lambda it: it.operation is not None and "completion of hook" in it.operation.message, "the hook"
            )
            assert found.operation is not None
            assert found.operation.phase is OperationPhase.RUNNING
            assert found.operation.finished_at is None
            assert found.hook_jobs == (JobRef("data", "schema"),)
            assert found.jobs == ()
            assert found.operation.waits_for == JobRef("data", "schema")
            assert by_argocd(found).phase is MigrationPhase.RUNNING
            it.end_job("schema", ending)
            assert it.until_operation(phase).finished_at is not None


def test_an_operation_that_argo_cd_could_not_begin_has_failed(tmp_path: Path) -> None:
    """Its phase Error is a failure, too; nothing is in git here."""
    with cluster(tmp_path, commits=False) as it:
        assert it.look().sync == "Unknown"
        it.sync()
        found = it.until_operation(OperationPhase.FAILED)
        assert "Failed to load target state" in found.message
        assert it.raw()["status"]["operationState"]["phase"] == "Error"
        assert by_argocd(it.look()).phase is MigrationPhase.FAILED


def test_a_message_of_several_lines_is_told_on_one(tmp_path: Path) -> None:
    """As an error of Helm's or kubectl's is."""
    with cluster(tmp_path, config_map("a")) as it:
        it.argocd.stop()
        state = {"operation": {"sync": {}}, "phase": "Failed", "startedAt": "2026-01-02T03:04:05Z"}
        it.client.patch(PATH, {"status": {"operationState": {**state, "message": "one\n  two\n"}}})
        assert it.operation.message == "one two"


def test_a_live_hook_among_the_resources_is_no_plain_job(tmp_path: Path) -> None:
    """An operation on it alone would run nothing: a selective one runs no hooks."""
    with cluster(tmp_path, hook_job(), plain_job("plain")) as it:
        it.argocd.stop()
        job = {"group": "batch", "version": "v1", "kind": "Job", "namespace": "data"}
        listed = [{**job, "name": "plain", "status": "Synced"}, {**job, "name": "schema", "hook": True}]
        it.client.patch(PATH, {"status": {"resources": listed}})
        assert [(job.ref, job.synced) for job in it.look().jobs] == [(JobRef("data", "plain"), True)]


@pytest.mark.parametrize("manual_sync", [False, True])
def test_a_closed_sync_window_blocks_our_operation(tmp_path: Path, manual_sync: bool) -> None:  # noqa: FBT001
    """Also one that lets a person's sync through: ours says that it is automated. It runs when the window opens."""
    with cluster(tmp_path, config_map("a")) as it:
        it.argocd.close_sync_window(REF.name, manual_sync=manual_sync)
        it.sync()
        assert it.until_operation(OperationPhase.BLOCKED).attempt == 1
        assert by_argocd(it.look()).phase is MigrationPhase.BLOCKED
        it.argocd.open_sync_window(REF.name)
        assert it.until_operation(OperationPhase.SUCCEEDED).attempt == 1


def test_between_two_tries_an_operation_pauses(tmp_path: Path) -> None:
    """A person's, with a retry: Argo CD says Running, with the end of the last try."""
    with cluster(tmp_path, hook_job()) as it:
        retry = {"limit": 2, "backoff": {"duration": "1h"}}
        it.client.patch(PATH, {"operation": {"sync": {}, "retry": retry}})
        it.run_hook("Failed")
        assert it.until_operation(OperationPhase.PAUSING).finished_at is not None
        assert it.raw()["status"]["operationState"]["phase"] == "Running"
        found = by_argocd(it.look())
        assert found.phase is MigrationPhase.PAUSING
        assert "Retrying attempt #1" in found.message


def test_an_operation_is_requested_until_it_is_taken_up(tmp_path: Path) -> None:
    """The controller is away: the migration counts as running, with its attempt."""
    with cluster(tmp_path, hook_job()) as it:
        it.argocd.stop()
        it.sync(attempt=2)
        found = it.look()
        assert found.operation == Operation(OperationPhase.REQUESTED, revisions=found.revisions, attempt=2)
        assert by_argocd(found).phase is MigrationPhase.RUNNING
        assert applications.is_busy(found)


def test_an_operation_is_ours_by_the_runs_id(tmp_path: Path) -> None:
    """To whoever runs under this id: one that was killed and started again counts on; to another run it is not."""
    with cluster(tmp_path, config_map("a")) as it:
        it.sync(attempt=2)
        it.until_operation(OperationPhase.SUCCEEDED)
        again = by_argocd(Applications(KubernetesWay(it.api), RUN).read(REF))
        assert (again.phase, again.attempts) == (MigrationPhase.SUCCEEDED, 2)
        other = by_argocd(Applications(KubernetesWay(it.api), OTHER_RUN).read(REF))
        assert (other.phase, other.attempts) == (MigrationPhase.IDLE, 0)


@pytest.mark.parametrize("number", [None, "", "two"])
def test_an_operation_with_our_id_and_no_number_is_not_counted(tmp_path: Path, number: str | None) -> None:
    """Nobody of us wrote it."""
    info = [{"name": RUN_INFO, "value": RUN}]
    if number is not None:
        info.append({"name": ATTEMPT_INFO, "value": number})
    with cluster(tmp_path, config_map("a")) as it:
        it.client.patch(PATH, {"operation": {"sync": {}, "info": info}})
        assert it.until_operation(OperationPhase.SUCCEEDED).attempt is None


def test_several_sources_have_several_revisions(tmp_path: Path) -> None:
    """Read, written and compared as a whole."""
    sources = [{"repoURL": f"https://example.org/{name}", "targetRevision": "HEAD", "path": "x"} for name in "ab"]
    with cluster(tmp_path, config_map("a"), sources=sources) as it:
        found = it.look()
        assert len(found.revisions) == 2
        assert applications.is_ahead(found)
        it.argocd.stop()
        it.sync()
        written = it.raw()["operation"]["sync"]
        assert written["revisions"] == list(found.revisions)
        assert "revision" not in written


def test_several_sources_are_reached_after_our_sync(tmp_path: Path) -> None:
    """Then an OutOfSync is a drift."""
    sources = [{"repoURL": f"https://example.org/{name}", "targetRevision": "HEAD", "path": "x"} for name in "ab"]
    with cluster(tmp_path, config_map("a", key="value"), sources=sources) as it:
        it.sync()
        assert it.until_operation(OperationPhase.SUCCEEDED).revisions == it.look().revisions
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        assert not applications.is_ahead(it.until_status("OutOfSync", "Healthy"))


def test_a_missing_application_is_named(tmp_path: Path) -> None:
    """Also one whose namespace is not there."""
    with cluster(tmp_path, config_map("a")) as it:
        it.server.add_user("gate", roles={"": RIGHTS["argocd"]})
        for ref in (ApplicationRef("argocd", "other"), ApplicationRef("elsewhere", "other")):
            finding = refusal(lambda ref=ref: it.applications.read(ref))  # type: ignore[misc]
            detail = 'applications.argoproj.io "other" not found'
            assert finding == Finding(Reason.APPLICATION_MISSING, f"Application {ref}", detail)


def test_a_forbidden_application_is_told_in_the_apis_own_words(tmp_path: Path) -> None:
    """And writing where only reading is allowed."""
    with cluster(tmp_path, config_map("a")) as it:
        seen = it.look()
        rule = {**RIGHTS["argocd"][0], "verbs": ["get"], "resourceNames": [REF.name]}
        it.server.add_user("gate", roles={"argocd": [rule]})
        for ask, verb, name in (
            (lambda: it.applications.read(ApplicationRef("argocd", "other")), "get", "other"),
            (lambda: synced(it.applications, seen, 1), "patch", REF.name),
            (lambda: it.applications.refresh(seen), "patch", REF.name),
        ):
            finding = refusal(ask)
            assert finding.reason is Reason.API_FORBIDDEN
            assert f'applications.argoproj.io "{name}" is forbidden' in finding.detail
            assert f'cannot {verb} resource "applications" in API group "argoproj.io"' in finding.detail
            assert 'in the namespace "argocd"' in finding.detail


class _WithoutArgoCd(BaseHTTPRequestHandler):
    """What kube-apiserver says of a group that no CRD defines."""

    def do_GET(self) -> None:
        body = b"404 page not found\n"
        self.send_response(404)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base's name
        pass


def test_a_cluster_without_argo_cd_is_told_apart_from_a_missing_application(tmp_path: Path) -> None:
    """The API server does not know the group, which is another mistake than a wrong name."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _WithoutArgoCd)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        path = tmp_path / "kubeconfig"
        config = {
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "users": [{"name": "x", "user": {"token": "x"}}],
        }
        path.write_text(yaml.safe_dump(config))
        with closing(Api.connect(path, None, 5.0)) as api:
            finding = refusal(lambda: Applications(KubernetesWay(api), RUN).read(REF))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert finding == Finding(Reason.ARGO_CD_MISSING, f"Application {REF}", "404 page not found")


# --- a sync -------------------------------------------------------------------------------------------------------


def test_a_sync_says_who_what_and_which_attempt(tmp_path: Path) -> None:
    """The revision as it was compared, though git is further by now; no retry, no pruning, and no state of before."""
    with cluster(tmp_path, hook_job()) as it:
        it.argocd.sync(REF.name)
        it.run_hook("Failed")
        it.until_operation(OperationPhase.FAILED)
        it.argocd.stop()
        it.argocd.commit(REF.name, [config_map("new")])
        revision = it.look().revisions[0]
        assert synced(it.applications, it.look(), 2)
        raw = it.raw()
    assert raw["operation"] == {
        "initiatedBy": {"username": "temporal-recovery-hook", "automated": True},
        "info": [{"name": RUN_INFO, "value": RUN}, {"name": ATTEMPT_INFO, "value": "2"}],
        "sync": {"revision": revision, "prune": False},
    }
    assert "operationState" not in raw["status"]
    assert raw["status"]["sync"]["revision"] == revision


def test_a_full_sync_runs_the_hook_job(tmp_path: Path) -> None:
    """Attempt after attempt, each with a Job of its own."""
    with cluster(tmp_path, hook_job(), config_map("receipt", wave=1)) as it:
        it.sync(attempt=1)
        first = it.run_hook("Failed")
        found = it.until_migration(MigrationPhase.FAILED)
        assert found.attempts == 1
        assert found.message == "one or more synchronization tasks completed unsuccessfully"
        it.sync(attempt=2)
        it.run_hook("Complete", without=first)
        found = it.until_migration(MigrationPhase.SUCCEEDED)
        assert found.attempts == 2
        assert found.ended_at is not None
        it.until_status("Synced", "Healthy")


def test_the_first_sync_of_a_plain_job_is_a_full_one(tmp_path: Path) -> None:
    """The Job needs what stands beside it, a Secret perhaps."""
    with cluster(tmp_path, plain_job(), config_map("a")) as it:
        it.sync()
        it.job("schema")
        assert it.client.get(f"{CONFIG_MAPS}/a")
        assert "resources" not in it.raw()["status"]["operationState"]["operation"]["sync"]


def test_a_plain_job_that_is_there_is_replaced_though_no_operation_tells_of_it(tmp_path: Path) -> None:
    """The Application was made anew around it, or a written operation got lost: a full sync would leave it as it is."""
    with cluster(tmp_path, plain_job()) as it:
        it.argocd.sync(REF.name)
        first = it.job("schema")
        it.end_job("schema", "Complete")
        it.until_status("Synced", "Healthy")
        it.client.patch(PATH, {"status": {"operationState": None}})
        assert it.look().operation is None
        it.sync()
        assert it.job("schema", without=first)


def test_a_plain_job_that_a_failed_sync_never_made_comes_with_all_that_it_needs(tmp_path: Path) -> None:
    """By a full sync: alone it would wait for its Secret for ever."""
    with cluster(tmp_path, config_map("a"), plain_job()) as it:
        it.argocd.stop()
        then = "2026-03-01T12:00:00Z"
        failed = {"phase": "Failed", "operation": {"sync": {}}, "startedAt": then, "finishedAt": then}
        it.client.patch(PATH, {"status": {"operationState": failed, "health": {"status": "Missing"}}})
        assert not any(job.synced for job in it.look().jobs)
        assert synced(it.applications, it.look(), 1)
        assert "resources" not in it.raw()["operation"]["sync"]


def test_a_plain_job_is_known_as_such_where_git_cannot_be_read(tmp_path: Path) -> None:
    """Argo CD then says of everything that it requires pruning (controller/state.go, 3.6.1)."""
    with cluster(tmp_path, plain_job()) as it:
        it.argocd.stop()
        job = {"group": "batch", "version": "v1", "kind": "Job", "namespace": "data", "name": "schema"}
        listed = [{**job, "status": "Unknown", "requiresPruning": True}]
        it.client.patch(PATH, {"status": {"sync": {"status": "Unknown"}, "resources": listed}})
        assert [job.ref for job in it.look().jobs] == [JobRef("data", "schema")]


def test_when_a_comparison_was_asked_for_is_remembered(tmp_path: Path) -> None:
    """Argo CD may take the request back without one, and leaves no trace of it."""
    with cluster(tmp_path, config_map("a")) as it:
        assert it.look().asked_at is None
        before = datetime.now(UTC)
        it.refresh()
        asked_at = it.look().asked_at
        assert asked_at is not None
        assert before <= asked_at <= datetime.now(UTC)


def test_a_failed_plain_job_is_replaced_and_nothing_else_is_touched(tmp_path: Path) -> None:
    """By an operation on the Jobs alone, without any right on Jobs: not even what drifted is put right, no hook runs."""
    with cluster(tmp_path, plain_job(), config_map("a", key="value"), hook_job("other")) as it:
        it.argocd.sync(REF.name)
        it.job("other")
        it.end_job("other", "Complete")
        it.until_operation(OperationPhase.SUCCEEDED)
        it.end_job("schema", "Failed")
        it.client.patch(f"{CONFIG_MAPS}/a", {"data": {"key": "drift"}})
        assert it.until_status("OutOfSync", "Degraded").jobs == (ManagedJob(JobRef("data", "schema"), synced=True),)
        failed, hook = it.job("schema"), it.job("other")
        it.sync()
        assert it.job("schema", without=failed)
        it.until_operation(OperationPhase.SUCCEEDED)
        assert it.job("other") == hook
        assert it.client.get(f"{CONFIG_MAPS}/a")["data"] == {"key": "drift"}
        operation = it.raw()["status"]["operationState"]["operation"]["sync"]
        assert operation["resources"] == [{"group": "batch", "kind": "Job", "namespace": "data", "name": "schema"}]


def test_a_failed_plain_job_is_replaced_though_only_what_is_out_of_sync_is_to_be_applied(tmp_path: Path) -> None:
    """The policy's ApplyOutOfSyncOnly is not for an operation that replaces what is in sync; its other options are."""
    with cluster(tmp_path, plain_job()) as it:
        options = ["CreateNamespace=true", "ApplyOutOfSyncOnly=true", "PruneLast=true"]
        it.client.patch(PATH, {"spec": {"syncPolicy": {"syncOptions": options}}})
        it.argocd.sync(REF.name)
        it.until_operation(OperationPhase.SUCCEEDED)
        failed = it.job("schema")
        it.end_job("schema", "Failed")
        it.until_status("Synced", "Degraded")
        it.sync()
        assert it.job("schema", without=failed)
        it.until_operation(OperationPhase.SUCCEEDED)
        written = it.raw()["status"]["operationState"]["operation"]["sync"]["syncOptions"]
        assert written == ["CreateNamespace=true", "PruneLast=true", "Replace=true"]


def test_a_job_that_git_has_no_more_is_not_the_migration(tmp_path: Path) -> None:
    """Its failure says nothing of its successor, and a sync of it alone would do nothing: the successor's hook runs."""
    with cluster(tmp_path, plain_job("old")) as it:
        it.argocd.sync(REF.name)
        it.job("old")
        it.end_job("old", "Failed")
        it.until_status("Synced", "Degraded")
        it.argocd.commit(REF.name, [hook_job()])
        assert it.refresh().jobs == ()
        it.sync()
        it.run_hook("Complete")
        assert it.until_migration(MigrationPhase.SUCCEEDED).attempts == 1
        assert it.job("old")


@pytest.mark.parametrize("persists", [False, True])
def test_a_plain_jobs_end_is_told_alike_with_and_without_persisted_health(
    tmp_path: Path,
    persists: bool,  # noqa: FBT001
) -> None:
    """Argo CD 3 keeps no health per resource by default; the operation has succeeded long before the Job ends."""
    with cluster(tmp_path, plain_job(), config_map("a"), persists_resource_health=persists) as it:
        it.sync(attempt=1)
        it.job("schema")
        assert it.until_migration(MigrationPhase.RUNNING).attempts == 1
        assert it.until_operation(OperationPhase.SUCCEEDED).attempt == 1
        assert it.until_migration(MigrationPhase.RUNNING).attempts == 1
        it.end_job("schema", "Failed")
        found = it.until_migration(MigrationPhase.FAILED)
        assert (found.attempts, found.message) == (1, "Job data/schema failed")
        first = it.job("schema")
        it.sync(attempt=2)
        it.job("schema", without=first)
        assert it.until_migration(MigrationPhase.RUNNING).attempts == 2
        it.until_operation(OperationPhase.SUCCEEDED)
        it.end_job("schema", "Complete")
        assert it.until_migration(MigrationPhase.SUCCEEDED).attempts == 2
        (job,) = it.look().jobs
        assert job.health == ("Healthy" if persists else None)


def test_the_end_of_an_operation_is_not_taken_for_the_jobs(tmp_path: Path) -> None:
    """Until Argo CD has compared since, the health may be that of the Job before."""
    with cluster(tmp_path, plain_job()) as it:
        it.sync()
        it.until_operation(OperationPhase.SUCCEEDED)
        raw = it.raw()["status"]
        found = it.look()
        assert raw["reconciledAt"] <= raw["operationState"]["finishedAt"]
        assert by_argocd(found).phase is MigrationPhase.UNCOMPARED


def test_a_stale_sync_is_not_written(tmp_path: Path) -> None:
    """Somebody was faster: whatever they did, it has to be looked at again. The same holds for a refresh."""
    with cluster(tmp_path, hook_job()) as it:
        it.argocd.stop()
        stale = it.look()
        it.client.patch(PATH, {"metadata": {"labels": {"a": "b"}}})
        assert not synced(it.applications, stale, 1)
        assert not it.applications.refresh(stale)
        raw = it.raw()
        assert "operation" not in raw
        assert "annotations" not in raw["metadata"]
        assert synced(it.applications, it.look(), 1)


def test_of_two_gates_one_sync_is_written(tmp_path: Path) -> None:
    """Both have seen the same Application."""
    with cluster(tmp_path, hook_job()) as it:
        it.argocd.stop()
        seen = it.look()
        written = [synced(Applications(KubernetesWay(it.api), run), seen, 1) for run in (RUN, OTHER_RUN)]
        assert written == [True, False]
        assert it.raw()["operation"]["info"][0]["value"] == RUN


def test_an_application_that_vanished_cannot_be_synced(tmp_path: Path) -> None:
    """Nor is it made."""
    with cluster(tmp_path, config_map("a")) as it:
        seen = it.look()
        it.client.delete(PATH)
        assert not synced(it.applications, seen, 1)
        assert not it.applications.refresh(seen)
        assert refusal(it.look).reason is Reason.APPLICATION_MISSING


def test_a_sync_whose_answer_was_lost_is_counted(tmp_path: Path) -> None:
    """The writer does not know; the next look does, so that it is not written twice."""
    with cluster(tmp_path, hook_job()) as it:
        it.server.faults.plan("PATCH", PATH, DropAnswer(), user="gate")
        assert refusal(lambda: synced(it.applications, it.look(), 1)).reason is Reason.API_UNREACHABLE
        it.run_hook("Failed")
        found = it.until_migration(MigrationPhase.FAILED)
        assert found.attempts == 1


class _LosesTheState(Api):
    """The gate's API, whose writes meet a controller that puts its own operationState back in the same moment.

    It does so by a patch without resourceVersion, which no compare-and-swap of ours can see.
    """

    def merge_patch(self, path: str, body: Mapping[str, Any]) -> Json:
        return super().merge_patch(path, {key: value for key, value in body.items() if key != "status"})


def test_a_sync_that_was_lost_is_written_again(tmp_path: Path) -> None:
    """Written while another's runs, it is accepted and gone at that one's end; the migration is idle, and due."""
    with cluster(tmp_path, hook_job()) as it:
        it.argocd.sync(REF.name)
        first = it.job("schema")
        it.until_operation(OperationPhase.RUNNING)
        careless = Applications(KubernetesWay(_careless(it.api)), RUN)
        wait_until(lambda: synced(careless, it.look(), 1), SECONDS, "a sync to be written")
        assert it.raw()["operation"]["info"][0]["value"] == RUN
        assert it.operation.attempt is None
        assert by_argocd(it.look()).phase is MigrationPhase.RUNNING
        it.end_job("schema", "Failed")

        def turn() -> Migration | None:
            """As the gate does: wait while it runs, sync while it is idle."""
            found = by_argocd(it.look())
            assert found.application is not None
            if found.phase is MigrationPhase.IDLE:
                synced(it.applications, found.application, found.attempts + 1)
            return found if found.attempts else None

        assert (wait_until(turn, SECONDS, "our operation") or it.look()).attempts == 1
        it.run_hook("Complete", without=first)
        assert it.until_migration(MigrationPhase.SUCCEEDED).attempts == 1


def _careless(api: Api) -> Api:
    made = _LosesTheState.__new__(_LosesTheState)
    vars(made).update(vars(api))
    return made


def test_a_second_operation_after_ours_leaves_our_attempt_counted(tmp_path: Path) -> None:
    """RollingSync's own, as 3.6 often makes them: the gate waits for it, and what it syncs then is its second attempt."""
    with cluster(tmp_path, hook_job(), doubles_operations=True) as it:
        it.sync(attempt=1)
        it.until(lambda seen: seen.operation and seen.operation.phase is OperationPhase.RUNNING, "ours to run")
        first = it.run_hook("Failed")
        it.job("schema", without=first)
        found = by_argocd(it.until(lambda it: it.operation and it.operation.attempt is None, "the second"))
        assert found.phase is MigrationPhase.RUNNING
        assert found.application is not None
        it.end_job("schema", "Failed")
        found = it.until_migration(MigrationPhase.IDLE)
        step = _next_step(found)
        assert isinstance(step, Migrate)
        assert step.attempt == 2


def _next_step(migration: Migration) -> object:
    now = datetime.now(UTC)
    wanted = dict.fromkeys(Store, SchemaVersion.parse("1.18"))
    stores = {store: Schema(store) for store in Store}
    return planner.next_step(Observation(now, Run(RUN, now), migration, stores), Policy(wanted, pause=timedelta(0)))


# --- a refresh ----------------------------------------------------------------------------------------------------


def test_a_refresh_is_asked_for_seen_and_done(tmp_path: Path) -> None:
    """By the annotation; afterwards the status rests on a later comparison, which a decision may rest on."""
    with cluster(tmp_path, config_map("a")) as it:
        before = it.look()
        began = before.compared_at
        assert began is not None
        assert not applications.is_compared(before, began)

        def compared() -> bool:
            return applications.is_compared(it.refresh(), began)

        wait_until(compared, SECONDS, "a comparison in a later second")
        it.argocd.stop()
        assert it.applications.refresh(it.look())
        assert it.look().refresh_requested
        assert it.raw()["metadata"]["annotations"] == {REFRESH: "normal"}


# --- other versions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merges", [False, True])
def test_nothing_of_an_earlier_operation_counts_as_ours(tmp_path: Path, merges: bool) -> None:  # noqa: FBT001
    """Until 3.5 a new operation's state is merged into the one before, which our write therefore removes."""
    with cluster(tmp_path, config_map("a"), merges_operation_state=merges) as it:
        it.sync(attempt=3, run=OTHER_RUN)
        old = it.until_operation(OperationPhase.SUCCEEDED)
        assert old.attempt is None
        it.until_status("Synced", "Healthy")
        revision = it.argocd.commit(REF.name, [config_map("b")])
        assert by_argocd(it.refresh()).attempts == 0
        assert applications.is_ahead(it.look())
        it.sync(attempt=1)
        found = wait_until(lambda: it.operation if it.operation.attempt else None, SECONDS, "our operation")
        it.until_operation(OperationPhase.SUCCEEDED)
        assert found is not None
        assert (it.operation.attempt, it.operation.revisions) == (1, (revision,))
        assert it.raw()["status"]["operationState"]["operation"]["sync"] == {"revision": revision, "prune": False}
        it.until_status("OutOfSync", "Healthy")  # what is in git no more stays, as nothing is pruned
        newest = it.argocd.commit(REF.name, [config_map("b", key="new")])
        info = [{"name": "Reason", "value": "ApplicationSet RollingSync triggered a sync of this Application resource"}]
        it.client.patch(PATH, {"operation": {"sync": {}, "info": info}})
        it.until(lambda it: it.operation is not None and newest in it.operation.revisions, "RollingSync's operation")
        it.until_operation(OperationPhase.SUCCEEDED)
        assert it.operation.attempt is None


def test_the_api_answers_as_the_lab_says(tmp_path: Path) -> None:
    """The gate's user has no right on Jobs here, or the case of the replaced Job would prove nothing."""
    with cluster(tmp_path, config_map("a")) as it, closing(it.server.client("gate")) as client:
        for verb in (client.list, client.delete):
            with pytest.raises(ApiError) as caught:
                verb(JOBS)
            assert caught.value.status == 403
