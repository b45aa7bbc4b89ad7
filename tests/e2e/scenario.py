"""What the scenarios share: on which Argo CD they are played, and what a rollout that went well looks like."""

import itertools

import pytest

from lab.git_tree import APPLICATIONS, BOOTSTRAP, GATE, SECOND_GATE
from lab.team import Team, is_in_back_off


def on(*lines: str) -> pytest.MarkDecorator:
    """The Argo CD that the scenario is played on; those of 3.2 share one worker, and so one platform."""
    return pytest.mark.parametrize(
        "team",
        [pytest.param(one, marks=[pytest.mark.xdist_group("argocd-3.2")] if one == "3.2" else []) for one in lines],
        indirect=True,
    )


def succeeded(application: dict) -> bool:  # type: ignore[type-arg]
    """Whether an Application's operation succeeded."""
    return bool(application.get("status", {}).get("operationState", {}).get("phase") == "Succeeded")


def assert_order(team: Team, since: float = 0.0) -> None:
    """Each Application's operation succeeded before the next one's began, in the order of their steps."""

    def began(application: dict) -> bool:  # type: ignore[type-arg]
        return "operationState" in application.get("status", {})

    for before, after in itertools.pairwise(APPLICATIONS):
        ended = team.history.first("Application", team.git.name(before), succeeded, since)
        started = team.history.first("Application", team.git.name(after), began, since)
        assert ended is not None, before
        assert started is not None, after
        if (before, after) != APPLICATIONS[:2]:  # the gate shares the migrations' step
            assert ended <= started, (before, after)


def assert_never_crash_looped(team: Team, since: float = 0.0) -> None:
    """No pod of Temporal ever waited out a back-off."""
    assert team.history.ever("Pod", is_in_back_off, since) == []


def assert_works(team: Team) -> None:
    """The proof of the end: a workflow starts in the namespace that the bootstrap registered."""
    team.start_workflow()
    # Argo CD 3.6 often starts a second operation right after the first one.
    team.until(lambda: team.operation(BOOTSTRAP).get("phase") == "Succeeded", "the bootstrap to have succeeded")


def assert_passed(team: Team, *gates: str) -> None:
    """The gates' last pods passed, and their receipts are of the commit that is rolled out."""
    for gate in gates or (GATE, SECOND_GATE):
        code, message = team.gate_ends(gate)[-1]
        assert (code, message.partition(":")[0]) == (0, "Passed"), message
        assert team.receipt(gate) is not None
