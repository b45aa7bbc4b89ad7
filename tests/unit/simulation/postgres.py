"""PostgreSQL: both stores' schemas."""

from datetime import datetime

from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, SchemaVersion, Store
from simulation.clocks import Actor, Clock, before, moment
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
        self.changed_at = made
        """When they were replaced, or became right, for the last time."""
        self.made_at = made if versions else None
        """When the default store's schema was made."""
        self.times_right = 1
        """How often they became right, the time before the run included."""
        written = clock.read(Actor.DATABASE, made)
        self.schemas = {
            store: Schema(store, versions[store], written, written) if versions else Schema(store) for store in Store
        }
        for seconds in scenario.replacements:
            clock.at(seconds, self.replace)

    def replace(self) -> None:
        """Drop both and make them anew, empty."""
        self.changed_at = self._clock.now
        self.epoch += 1
        self.stuck = False
        self.made_at = None
        self.schemas = {store: Schema(store) for store in Store}

    def bring(self, store: Store, version: SchemaVersion) -> None:
        """Migrate a store, as Temporal's tool does: one that is as new or newer stays as it is."""
        seen, were_right = self.schemas[store], self.are_right
        if seen.version is not None and seen.version >= version:
            return
        written = self._clock.read(Actor.DATABASE)
        self.schemas[store] = Schema(store, version, written, seen.born or written)
        if store is Store.DEFAULT and self.made_at is None:
            self.made_at = self._clock.now
        if self.are_right and not were_right:
            self.changed_at = self._clock.now
            self.times_right += 1

    @property
    def are_away(self) -> bool:
        """Whether PostgreSQL does not answer."""
        return any(self._clock.is_between(begins, ends) for begins, ends in self._outages)

    @property
    def are_right(self) -> bool:
        """Whether a server of the target release starts on them."""
        return not self.stuck and self.have(*Store)

    def have(self, *stores: Store) -> bool:
        """Tell whether these stores are as the target release wants them."""
        versions = {store: self.schemas[store].version for store in stores}
        return all(version is not None and version >= EXPECTED[store] for store, version in versions.items())

    def changed_since(self, since: datetime) -> bool:
        """Tell whether something has happened to them since then that the gate may not have seen."""
        return self.changed_at >= since or any(
            moment(begins) >= since and self._clock.is_past(begins) for begins, _ in self._outages
        )

    def look(self, store: Store) -> Schema:
        """What the gate sees of a store."""
        if self.are_away:
            raise FindingError(Finding(Reason.DATABASE_UNREACHABLE, f"store {store}"))
        if self.stuck and store is Store.DEFAULT:
            raise FindingError(Finding(Reason.SCHEMA_STUCK, f"store {store}"))
        return self.schemas[store]
