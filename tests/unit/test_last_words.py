"""Whose log is read, one a turn: of what crashed, when its log is still its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import pytest
from worlds import NOW, at, container, job_pod

from hook.adapters.pods import LastWords
from hook.observation.workloads import Container, Termination

if TYPE_CHECKING:
    from hook.adapters.api import Api

CRASH = Termination(1, "Error", finished_at=at(-1))


class Logs:
    """The API as far as logs go; it keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []

    def text(self, path: str, query: Mapping[str, str]) -> str:
        assert path.endswith("/log")
        self.asked.append(query)
        return "no luck today"


@pytest.mark.parametrize(
    ("crashed", "previous"),
    [
        (container("setup", waiting="CrashLoopBackOff", last=CRASH, restarts=1), ["true"]),
        (
            container("setup", ended=CRASH, last=CRASH, restarts=1),
            [None],
        ),  # until the pod's next sync
        (container("setup", ended=CRASH), []),  # it is started again at once
    ],
)
def test_a_log_is_read_as_soon_as_it_stays(crashed: Container, previous: list[str | None]) -> None:
    api = Logs()
    (pod,) = LastWords(cast("Api", api), with_events=False).told((job_pod(crashed),), NOW)
    assert [one.get("previous") for one in api.asked] == previous
    assert [one.log for one in pod.containers] == (["no luck today"] if previous else [None])
