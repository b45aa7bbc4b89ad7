"""What the gate does with Applications is the same by either way. The cases run on stand-ins and on a real Argo CD."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from applications_ground import (
    OTHER_RUN,
    READER,
    RUN,
    WAYS,
    Ground,
    config_map,
    stand_in_ground,
    suspended_job,
)

from hook.adapters.argocd import ATTEMPT_INFO, RUN_INFO, Applications
from hook.observation.applications import Application, ApplicationRef, OperationPhase, jobs_that_are_there
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason


@pytest.fixture(params=WAYS)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    with stand_in_ground(request.param, tmp_path, config_map("a", key="value")) as found:
        yield found


def synced(ground: Ground, applications: Applications, attempt: int = 1) -> Application:
    """The Application after a sync of ours has ended."""
    for _ in range(10):  # whatever is written between a look and a write is somebody who was faster
        seen = applications.read(ground.ref)
        if applications.sync(seen, attempt, jobs_that_are_there(seen)):
            break
    return ground.until(lambda it: it.operation and it.operation.phase.ended, "the sync to end")


def refusal(ask: Callable[[], object]) -> Finding:
    with pytest.raises(FindingError) as caught:
        ask()
    return caught.value.finding


class TestApplications:
    """One contract, two ways."""

    def test_an_application_is_read(self, ground: Ground) -> None:
        """With all that is judged by."""
        found, raw = ground.look(), ground.raw()
        assert (found.ref, found.uid) == (ground.ref, raw["metadata"]["uid"])
        assert found.resource_version
        assert (found.sync, found.health, found.operation) == ("OutOfSync", "Missing", None)
        assert found.revisions == (raw["status"]["sync"]["revision"],)
        assert found.compared_at == datetime.fromisoformat(raw["status"]["reconciledAt"])
        assert not found.refresh_requested

    def test_a_missing_application_is_told_as_missing(self, ground: Ground) -> None:
        """Its step may still be ahead: so it must not be taken for a forbidden one."""
        other = ApplicationRef(ground.ref.namespace, "no-such-application")
        finding = refusal(lambda: ground.gate().read(other))
        assert finding == Finding(
            Reason.APPLICATION_MISSING,
            f"Application {other}",
            'applications.argoproj.io "no-such-application" not found',
        )

    def test_a_comparison_is_asked_for_and_comes(self, ground: Ground) -> None:
        """When it was asked for is remembered; what was committed meanwhile is found."""
        gate = ground.gate()
        revision = ground.commit(config_map("a", key="other"))
        before = datetime.now(UTC)
        for _ in range(10):
            if gate.refresh(gate.read(ground.ref)):
                break
        found = ground.until(lambda it: it.revisions == (revision,) and not it.refresh_requested, "the comparison")
        assert found.compared_at is not None
        assert found.compared_at >= before.replace(microsecond=0)
        asked_at = gate.read(ground.ref).asked_at
        assert asked_at is not None
        assert before <= asked_at <= datetime.now(UTC)

    def test_a_sync_says_whose_and_which_it_is(self, ground: Ground) -> None:
        """By its info: a later process of the same run knows it again, another run does not."""
        found = synced(ground, ground.gate(), attempt=2)
        assert found.operation is not None
        assert (found.operation.phase, found.operation.attempt) == (OperationPhase.SUCCEEDED, 2)
        assert ground.gate(OTHER_RUN).read(ground.ref).attempts == 0
        state = ground.raw()["status"]["operationState"]["operation"]
        assert state["info"] == [{"name": RUN_INFO, "value": RUN}, {"name": ATTEMPT_INFO, "value": "2"}]
        ground.until_status("Synced")
        assert ground.client.get(f"{ground.config_maps}/a")["data"] == {"key": "value"}

    def test_a_sync_is_of_the_revision_that_was_compared(self, ground: Ground) -> None:
        """Though git is further by now; nothing is pruned, nothing tried again by itself."""
        ground.change(syncPolicy={"retry": {"limit": 5}})
        gate = ground.gate()
        seen = gate.read(ground.ref)
        ground.commit(config_map("a", key="later"))
        while not gate.sync(gate.read(ground.ref), 1, ()):
            assert gate.read(ground.ref).revisions == seen.revisions
        found = ground.until(lambda it: it.operation and it.operation.phase.ended, "the sync to end")
        assert found.operation is not None
        assert found.operation.revisions == seen.revisions
        assert found.operation.retries_left == 0
        operation = ground.raw()["status"]["operationState"]["operation"]["sync"]
        assert operation["revision"] == seen.revisions[0]
        assert not operation.get("prune")
        assert ground.client.get(f"{ground.config_maps}/a")["data"] == {"key": "value"}

    def test_the_specifications_options_are_carried_over(self, ground: Ground) -> None:
        """And the pruning of an automated policy, which is switched off here."""
        ground.change(
            syncPolicy={"automated": {"prune": True, "enabled": False}, "syncOptions": ["ApplyOutOfSyncOnly=true"]}
        )
        synced(ground, ground.gate())
        operation = ground.raw()["status"]["operationState"]["operation"]["sync"]
        assert operation["syncOptions"] == ["ApplyOutOfSyncOnly=true"]
        assert operation["prune"] is True

    def test_a_plain_job_is_replaced_and_nothing_else_is_touched(self, ground: Ground) -> None:
        """By an operation on it alone, without any right on Jobs: what drifted stays as it is."""
        ground.commit(suspended_job(), config_map("a", key="value"))
        assert ground.gate().refresh(ground.look())
        ground.until(lambda it: it.jobs and not it.refresh_requested, "the Job to be known")
        ground.sync_as_a_person()
        before = ground.uid(f"{ground.jobs}/schema")
        ground.until(lambda it: it.operation and it.operation.phase is OperationPhase.SUCCEEDED, "the person's sync")
        ground.client.patch(f"{ground.config_maps}/a", {"data": {"key": "drift"}})
        ground.until(lambda it: it.sync == "OutOfSync" and any(job.synced for job in it.jobs), "the drift")
        found = synced(ground, ground.gate())
        assert found.operation is not None
        assert (found.operation.phase, found.operation.attempt) == (OperationPhase.SUCCEEDED, 1)
        assert ground.uid(f"{ground.jobs}/schema", without=before)
        assert ground.client.get(f"{ground.config_maps}/a")["data"] == {"key": "drift"}

    def test_while_another_operation_runs_somebody_was_faster(self, ground: Ground) -> None:
        """The other one goes on, and nothing of ours is left."""
        ground.commit(suspended_job(hook="Sync"))
        assert ground.gate().refresh(ground.look())
        seen = ground.until(lambda it: not it.refresh_requested, "the comparison")
        ground.sync_as_a_person()
        ground.until(lambda it: it.operation and it.operation.phase is OperationPhase.RUNNING, "it to run")
        assert not ground.gate().sync(seen, 1, ())
        found = ground.look()
        assert found.operation is not None
        assert (found.operation.phase, found.operation.attempt) == (OperationPhase.RUNNING, None)

    def test_an_application_that_vanished_cannot_be_synced(self, ground: Ground) -> None:
        """Nor is it made."""
        seen = ground.look()
        ground.client.delete(ground.path)
        assert not ground.gate().sync(seen, 1, ())
        assert not ground.gate().refresh(seen)
        assert refusal(ground.look).reason is Reason.APPLICATION_MISSING

    def test_who_may_only_read_is_told_what_is_missing(self, ground: Ground) -> None:
        """By the name that the missing right has on this way."""
        reader = Applications(ground.way_with(READER), RUN)
        seen = reader.read(ground.ref)
        finding = refusal(lambda: reader.sync(seen, 1, ()))
        assert finding.reason is Reason.API_FORBIDDEN
        missing = {
            "kubernetes": 'cannot patch resource "applications"',
            "argocd-server": f"applications, sync, default/{ground.ref.name}",
        }
        assert missing[ground.way] in finding.detail
        assert "docs/rbac.md" in finding.remedy
        assert "operation" not in ground.raw()

    def test_a_token_that_nobody_knows_is_a_refused_login(self, ground: Ground) -> None:
        """And not shown."""
        finding = refusal(lambda: Applications(ground.way_of_nobody(), RUN).read(ground.ref))
        assert finding.reason is Reason.API_LOGIN_REFUSED

    def test_a_server_that_is_away_is_waited_for(self, ground: Ground) -> None:
        """It may come back."""
        nowhere = Applications(ground.way_to_nowhere(), RUN)
        seen = ground.look()
        for ask in (lambda: nowhere.read(ground.ref), lambda: nowhere.sync(seen, 1, ()), lambda: nowhere.refresh(seen)):
            assert refusal(ask).reason is Reason.API_UNREACHABLE
