"""What the Jobs do: migrate, register namespaces, or something else."""

from collections.abc import Callable
from functools import partial

from hook.observation.versions import SchemaVersion, Store
from simulation.clocks import Clock
from simulation.postgres import Databases
from simulation.scenario import EXPECTED, OLD_TOOL, ON_THE_WAY, JobPlan, Scenario
from simulation.servers import Servers

_STORES = {"all": tuple(Store), "default": (Store.DEFAULT,), "visibility": (Store.VISIBILITY,)}


class MigrationWork:
    """A Job of the migrations: it brings its stores on, step by step, and may fail half-way. `hear` hears its beginning."""

    def __init__(
        self, clock: Clock, databases: Databases, scenario: Scenario, plan: JobPlan, hear: Callable[[str], None]
    ) -> None:
        self._hear = hear
        self._clock, self._databases, self._scenario, self._plan = clock, databases, scenario, plan
        self._stores = _STORES[plan.does]
        self._failures = plan.failures
        self._epoch = 0
        self._fails = False
        self._active = 0
        self.doubled = False
        """The truth: whether it ever ran twice at once."""

    def begin(self) -> None:
        self._active += 1
        self.doubled |= self._active > 1
        self._epoch = self._databases.epoch
        self._fails = self._failures > 0
        self._failures -= self._fails
        versions = OLD_TOOL if self._scenario.tool == "old" else EXPECTED
        a_third = self._plan.seconds / 3
        if Store.DEFAULT in self._stores:
            self._clock.after(a_third, partial(self._bring, Store.DEFAULT, ON_THE_WAY))
        if not self._fails:
            for store, thirds in ((Store.DEFAULT, 2.0), (Store.VISIBILITY, 2.5)):
                if store in self._stores:
                    self._clock.after(thirds * a_third, partial(self._bring, store, versions[store]))
        self._hear("migrations")

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
        self._active -= 1
        succeeded = not self._fails and self._can_go_on
        if not succeeded and self._scenario.sticks and not self._databases.have(*self._stores):
            self._databases.stuck = True
        return succeeded

    @property
    def stands(self) -> bool:
        return self._databases.have(*self._stores)

    @property
    def is_known_to_stand(self) -> bool:
        return self.stands


class BootstrapWork:
    """A Job of the bootstrap: it registers namespaces in a Temporal that works."""

    def __init__(
        self, databases: Databases, servers: Servers, plan: JobPlan, hear: Callable[[str], None], *, done: bool
    ) -> None:
        self._hear = hear
        self._databases, self._servers = databases, servers
        self._failures = plan.failures
        self._done_in = 0 if done else None
        self._began_in: int | None = None
        self._began_on_a_schema = True

    def begin(self) -> None:
        self._began_in = self._databases.epoch
        self._began_on_a_schema = self._databases.schemas[Store.DEFAULT].born is not None
        self._hear("bootstrap")

    def end(self) -> bool:
        fails = self._failures > 0
        self._failures -= fails
        if fails or not self._servers.serve:
            return False
        self._done_in = self._began_in  # what it registered before the databases were replaced is gone
        return True

    @property
    def stands(self) -> bool:
        """The truth: whether its namespaces are in the present database."""
        return self._done_in == self._databases.epoch

    @property
    def is_known_to_stand(self) -> bool:
        """One that began before the schema was made may have meant the database before: its times do not tell."""
        return self.stands and self._began_on_a_schema


class OtherWork:
    """What is none of the gate's business."""

    def __init__(self, plan: JobPlan) -> None:
        self._failures = plan.failures

    def begin(self) -> None:
        """Nothing."""

    def end(self) -> bool:
        fails = self._failures > 0
        self._failures -= fails
        return not fails

    @property
    def stands(self) -> bool:
        return True

    @property
    def is_known_to_stand(self) -> bool:
        return True
