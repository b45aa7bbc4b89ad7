"""What the Jobs do: migrate, and register namespaces."""

from functools import partial

from hook.observation.versions import SchemaVersion, Store
from simulation.clocks import Clock
from simulation.postgres import Databases
from simulation.scenario import EXPECTED, OLD_TOOL, ON_THE_WAY, Owned, Scenario
from simulation.servers import Servers


class MigrationWork:
    """What the migrations' Job does to the databases: step by step, and it may fail half-way."""

    def __init__(self, clock: Clock, databases: Databases, scenario: Scenario) -> None:
        self._clock, self._databases, self._scenario = clock, databases, scenario
        self._failures = scenario.migrations.failures
        self._epoch = 0
        self._fails = False
        self.active = 0
        self.doubled = False

    def begin(self) -> None:
        self.active += 1
        self.doubled |= self.active > 1
        self._epoch = self._databases.epoch
        self._fails = self._failures > 0
        self._failures -= self._fails
        versions = OLD_TOOL if self._scenario.tool == "old" else EXPECTED
        a_third = self._scenario.migrations.seconds / 3
        self._clock.after(a_third, partial(self._bring, Store.DEFAULT, ON_THE_WAY))
        if not self._fails:
            self._clock.after(2 * a_third, partial(self._bring, Store.DEFAULT, versions[Store.DEFAULT]))
            self._clock.after(2.5 * a_third, partial(self._bring, Store.VISIBILITY, versions[Store.VISIBILITY]))

    def _bring(self, store: Store, version: SchemaVersion) -> None:
        if self._can_go_on:
            self._databases.bring(store, version)
        else:
            self._fails = True

    @property
    def _can_go_on(self) -> bool:
        databases = self._databases
        return not databases.are_away and not databases.stuck and databases.epoch == self._epoch

    def end(self) -> bool:
        self.active -= 1
        succeeded = not self._fails and self._can_go_on
        if not succeeded and self._scenario.sticks and not self._databases.are_right:
            self._databases.stuck = True
        return succeeded

    @property
    def is_worth_keeping(self) -> bool:
        return self._databases.are_right


class BootstrapWork:
    """What the bootstrap's Job does: register namespaces in a Temporal that works."""

    def __init__(self, owned: Owned, databases: Databases, servers: Servers, *, done: bool) -> None:
        self._databases, self._servers = databases, servers
        self._failures = owned.failures
        self._done_in = 0 if done else None
        self._began_in: int | None = None

    def begin(self) -> None:
        self._began_in = self._databases.epoch

    def end(self) -> bool:
        fails = self._failures > 0
        self._failures -= fails
        if fails or not self._servers.serve:
            return False
        self._done_in = self._began_in  # what it registered before the databases were replaced is gone
        return True

    @property
    def is_worth_keeping(self) -> bool:
        return self.is_done

    @property
    def is_done(self) -> bool:
        """The truth: whether the namespaces are in the present database."""
        return self._done_in == self._databases.epoch
