"""Every scenario, from how it comes to be to how the gate's own process ends, in a world of real parts and stand-ins."""

from collections.abc import Callable

import pytest

from lab.scenarios import SCENARIOS, Scenario, settle
from lab.world import World


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(scenario: Scenario, make_world: Callable[..., World]) -> None:
    """The gate ends as the scenario says, restarts those pods and no others, and leaves the world as it should be."""
    world = make_world(plain_jobs=scenario.plain_jobs)
    scenario.prepare(world, print)
    uids = world.pod_uids()
    gate = world.gate(**scenario.settings)
    code = gate.wait(90)
    log = gate.log.read_text()
    message = world.termination_message
    assert (code, message.partition(":")[0]) == (scenario.exit_code, scenario.reason), log
    assert all(words in message for words in scenario.says), message
    assert world.databases.password not in log + message + str(world.events())
    settle(world, uids, scenario)
