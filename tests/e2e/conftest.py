"""One platform an Argo CD and worker, a team of its own for each scenario."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from audited import assert_agrees
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it ships no types

from lab.platform import Platform
from lab.team import Team

_numbers = itertools.count(1)

OLDER_LINE = "3.2"
"""Of Argo CD: it has fewer scenarios."""


class OnePlatformForTheOlderLine(LoadScopeScheduling):  # type: ignore[misc]  # the same
    """Each test goes where there is room, those on the older Argo CD to one worker: a platform takes seconds to start.

    xdist's own groups (`--dist loadgroup`) are lost with pytest 9: it renames items by an attribute that nobody reads.
    """

    def _split_scope(self, nodeid: str) -> str:
        return OLDER_LINE if f"[{OLDER_LINE}" in nodeid else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OnePlatformForTheOlderLine:
    return OnePlatformForTheOlderLine(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "audit(world): what `audit` finds in the scenario's live objects (audited.shows)"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A scenario that passed, and that names its world, is audited before it is taken off the platform."""
    yield
    if isinstance(item, pytest.Function) and isinstance(team := item.funcargs.get("team"), Team):
        assert_agrees(team, item)


@pytest.fixture(scope="session")
def platforms(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Platform]]:
    """Starts a platform the first time that it is asked for, and ends it with the session.

    That of the older line ends when another one is asked for: a worker has all of its tests, one after the other.
    """
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    started: dict[str, Platform] = {}
    with ExitStack() as stack:
        older = stack.enter_context(ExitStack())

        def platform(line: str) -> Platform:
            if line not in started:
                if line != OLDER_LINE:
                    started.pop(OLDER_LINE, None)
                    older.close()
                directory = tmp_path_factory.mktemp(f"argocd-{line}")
                tell = reporter.write_line if reporter else print
                ends = older if line == OLDER_LINE else stack
                started[line] = ends.enter_context(Platform(directory, line, progress=tell))
            return started[line]

        yield platform


@pytest.fixture
def team(request: pytest.FixtureRequest, platforms: Callable[[str], Platform]) -> Iterator[Team]:
    """A team on the platform of the Argo CD that the scenario names (``scenario.on``)."""
    platform = platforms(request.param)
    # Short: helm takes 53 characters of an Application's name, and the longest of the examples has 33.
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    with Team(platform, f"t{worker}{next(_numbers)}") as found:
        yield found


@pytest.fixture
def logs(team: Team) -> Path:
    """Where everything of the platform is logged."""
    return team.platform.directory
