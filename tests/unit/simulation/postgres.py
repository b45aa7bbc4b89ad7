"""PostgreSQL: both stores' schemas."""

from datetime import datetime, timedelta

from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from simulation.clocks import Clock, before
from simulation.scenario import BEHIND, EXPECTED, NEWER, Scenario


class Databases:
    """Both stores. An `epoch` is a pair of databases: those that replace them are another. The world was up in epoch 0."""

    def __init__(self, clock: Clock, scenario: Scenario) -> None:
        versions = {"right": EXPECTED, "newer": NEWER, "behind": BEHIND, "empty": {}}[scenario.schema]
        made = before(300 if scenario.replaced else 86_400)
        self._clock = clock
        self._outages = scenario.outages
        self.epoch = 1 if scenario.replaced else 0
        self.stuck = False
        self.turned_wrong_at: datetime | None = None
        self._ahead = timedelta(seconds=scenario.database_clock)
        self.schemas = {
            store: Schema(store, versions[store], made + self._ahead, made + self._ahead) if versions else Schema(store)
            for store in Store
        }
        for seconds in scenario.replacements:
            clock.at(seconds, self.replace)

    def replace(self) -> None:
        """Drop both and make them anew, empty."""
        if self.are_right:
            self.turned_wrong_at = self._clock.now
        self.epoch += 1
        self.stuck = False
        self.schemas = {store: Schema(store) for store in Store}

    def bring(self, store: Store, version: SchemaVersion) -> None:
        """Migrate a store, as Temporal's tool does: one that is as new or newer stays as it is."""
        before = self.schemas[store]
        if before.version is None or before.version < version:
            written_at = self._clock.now + self._ahead
            self.schemas[store] = Schema(store, version, written_at, before.born or written_at)

    @property
    def are_away(self) -> bool:
        """Whether PostgreSQL does not answer."""
        return any(self._clock.is_between(begins, ends) for begins, ends in self._outages)

    @property
    def are_right(self) -> bool:
        """Whether a server of the target release starts on them."""
        return not self.stuck and all(
            schema.version is not None and schema.version >= EXPECTED[store] for store, schema in self.schemas.items()
        )

    def were_right_since(self, moment: datetime) -> bool:
        """Tell whether they were right at any time since then."""
        return self.are_right or (self.turned_wrong_at is not None and self.turned_wrong_at >= moment)

    def look(self, store: Store) -> Schema:
        """What the gate sees of a store."""
        if self.are_away:
            raise FindingError(Finding(Reason.DATABASE_UNREACHABLE, f"store {store}"))
        if self.stuck and store is Store.DEFAULT:
            raise FindingError(Finding(Reason.SCHEMA_STUCK, f"store {store}"))
        return self.schemas[store]
