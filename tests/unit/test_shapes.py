"""What a schema must hold at each version, by the derived data: each case as a database would present it."""

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hook.observation import shapes
from hook.observation.reasons import Reason
from hook.observation.versions import SchemaVersion, Store, table

NEWEST = {store: shapes.updates(store)[-1].version for store in Store}
KNOWN = [(store, update.version) for store in Store for update in shapes.updates(store)]
OTHER = {Store.DEFAULT: Store.VISIBILITY, Store.VISIBILITY: Store.DEFAULT}


def version(text: str) -> SchemaVersion:
    return SchemaVersion.parse(text)


def whole(store: Store, at: SchemaVersion) -> dict[str, frozenset[str]]:
    return dict(shapes.required(store, at))


# --- the data ------------------------------------------------------------------------------------------------------


def test_the_data_reaches_as_far_as_the_releases_do() -> None:
    """A table of releases that is refreshed needs the updates that they bring (scripts/derive_schema_updates.py)."""
    for store in Store:
        assert max(row[store] for row in table().values()) == NEWEST[store]


def test_it_names_the_release_that_it_comes_from() -> None:
    text = resources.files("hook").joinpath("data/schema_updates.json").read_text(encoding="utf-8")
    assert json.loads(text)["release"] == str(list(table())[-1])


def test_no_table_belongs_to_both_stores() -> None:
    """Else the kind of a schema could not be told by it."""
    assert not shapes.tables(Store.DEFAULT) & shapes.tables(Store.VISIBILITY)
    assert shapes.tables(Store.VISIBILITY) == {"executions_visibility"}


def test_what_rewrites_a_table_is_known() -> None:
    """Stored generated columns do, plain ones do not (temporal issue 10358; 1.9 adds a column and takes no time)."""
    rewriting = {str(one.version) for one in shapes.updates(Store.VISIBILITY) if one.rewrites}
    assert rewriting == {"1.2", "1.3", "1.7", "1.8", "1.13", "1.14"}
    assert not any(one.rewrites for one in shapes.updates(Store.DEFAULT))


# --- what is required ----------------------------------------------------------------------------------------------


def test_a_table_is_required_from_the_version_that_makes_it_to_the_one_before_it_is_dropped() -> None:
    """1.7 makes tiered_storage_tasks and 1.8 drops it: at 1.7 it may be gone already."""
    assert "tiered_storage_tasks" in shapes.tables(Store.DEFAULT)
    assert "tiered_storage_tasks" not in whole(Store.DEFAULT, version("1.7"))
    assert "nexus_incoming_services" not in whole(Store.DEFAULT, version("1.12"))
    assert "history_scheduled_tasks" in whole(Store.DEFAULT, version("1.9"))
    assert "history_scheduled_tasks" not in whole(Store.DEFAULT, version("1.8"))


@pytest.mark.parametrize(
    ("store", "before", "column"),
    [
        (Store.DEFAULT, "1.15", ("current_executions", "data_encoding")),
        (Store.VISIBILITY, "1.5", ("executions_visibility", "root_run_id")),
    ],
)
def test_a_column_that_the_next_version_makes_anew_may_be_gone(
    store: Store, before: str, column: tuple[str, str]
) -> None:
    """Its statements run before the row is written; whether it is stuck there is another question."""
    name, part = column
    assert part not in whole(store, version(before))[name]
    after = next(update.version for update in shapes.updates(store) if update.version > version(before))
    assert part in whole(store, after)[name]


def test_nothing_is_required_at_0_0_nor_at_a_version_to_come() -> None:
    """The one is what setup-schema writes, the other is not known."""
    for store in Store:
        assert whole(store, version("0.0")) == {}
        assert whole(store, version("9.0")) == {}


# --- verdicts ------------------------------------------------------------------------------------------------------


@given(st.sampled_from(KNOWN), st.booleans())
def test_a_whole_schema_has_no_fault_whatever_else_is_there(case: tuple[Store, SchemaVersion], more: bool) -> None:  # noqa: FBT001
    """Tables of others and the next version's are no fault."""
    store, at = case
    present = whole(store, at) | ({"orders": frozenset({"id"})} if more else {})
    assert shapes.fault(store, at, present) is None


@given(st.data(), st.sampled_from(KNOWN))
def test_any_table_or_column_that_is_missing_is_named(data: st.DataObject, case: tuple[Store, SchemaVersion]) -> None:
    """At every version, each of them."""
    store, at = case
    present = whole(store, at)
    name = data.draw(st.sampled_from(sorted(present)))
    column = data.draw(st.sampled_from([None, *sorted(present[name])]))
    if column is None:
        del present[name]
    else:
        present[name] -= {column}
    found = shapes.fault(store, at, present)
    assert found is not None
    assert found[0] is Reason.SCHEMA_INCOMPLETE
    assert found[1].endswith(f"missing: table {name}" if column is None else f"missing: column {name}.{column}")


@given(st.sampled_from(KNOWN), st.sampled_from([None, "0.0", "1.1", "1.9", "1.18", "9.9"]))
def test_the_other_stores_schema_is_never_right(case: tuple[Store, SchemaVersion], says: str | None) -> None:
    """Whatever the row says: as new as asked, newer, older, nothing."""
    store, at = case
    found = shapes.fault(OTHER[store], version(says) if says else None, whole(store, at))
    assert found is not None
    assert found[0] is Reason.SCHEMA_OF_OTHER_STORE


def test_a_row_that_is_too_new_for_its_store_is_the_others_where_both_are_there() -> None:
    """One row for two schemas: it says nothing of the one whose columns are missing."""
    present = whole(Store.DEFAULT, version("1.18")) | whole(Store.VISIBILITY, version("1.9"))
    found = shapes.fault(Store.VISIBILITY, version("1.18"), present)
    assert found is not None
    assert found[0] is Reason.SCHEMA_OF_OTHER_STORE
    both = whole(Store.DEFAULT, NEWEST[Store.DEFAULT]) | whole(Store.VISIBILITY, NEWEST[Store.VISIBILITY])
    assert shapes.fault(Store.VISIBILITY, NEWEST[Store.DEFAULT], both) is None


def test_an_empty_database_and_an_interrupted_set_up_have_no_fault() -> None:
    """A new cluster looks so."""
    for store in Store:
        assert shapes.fault(store, None, {}) is None
        assert shapes.fault(store, version("0.0"), {}) is None
        assert shapes.fault(store, version("0.0"), {min(shapes.tables(store)): frozenset()}) is None


def test_many_missing_things_are_counted() -> None:
    """A line of forty tables would be read by nobody."""
    found = shapes.fault(Store.DEFAULT, version("1.18"), {})
    assert found is not None
    assert found[1].endswith("and 31 more")


# --- what is pending -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "expected", "updates"),
    [
        ("1.9", "1.13", ["1.10", "1.11", "1.12", "1.13"]),
        ("1.9", "1.9", []),
        ("1.13", "1.9", []),
        (None, "1.1", ["1.0", "1.1"]),
    ],
)
def test_the_updates_on_the_way_are_those_in_between(at: str | None, expected: str, updates: list[str]) -> None:
    """From an empty database all of them."""
    found = shapes.pending(Store.VISIBILITY, version(at) if at else None, version(expected))
    assert [str(update.version) for update in found] == updates
