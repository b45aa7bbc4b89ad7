"""Which server is alone after a restart on a replaced database, by the rows of ``cluster_membership`` alone.

Each rule was seen on real servers (Temporal 1.29.1) in ``benchmarks/restarts.py``.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from benchmarks.servers import HEARTBEAT_COUNTS, Member, lone

BORN = datetime(2026, 11, 1, 12)  # noqa: DTZ001 - the column has no time zone
"""When the default store's schema was made."""


def seconds(after: float) -> datetime:
    return BORN + timedelta(seconds=after)


def old(beat: float) -> Member:
    """A server that runs since an hour before the schema was made."""
    return Member("history", "10.0.0.1", seconds(-3600), seconds(beat))


def new(component: str, address: str, start: float) -> Member:
    return Member(component, address, seconds(start), seconds(start))


FRONTEND = new("frontend", "10.0.1.1", 30)
HISTORY = new("history", "10.0.1.2", 30.2)
PRESENT = {FRONTEND.address, HISTORY.address}


def test_the_first_is_alone_where_an_old_heartbeat_counted() -> None:
    assert lone([HISTORY, old(beat=20), FRONTEND], BORN, PRESENT) == FRONTEND


def test_nobody_is_alone_where_the_first_found_only_itself() -> None:
    assert lone([FRONTEND, HISTORY], BORN, PRESENT) is None


@pytest.mark.parametrize(("before", "alone"), [(HEARTBEAT_COUNTS.total_seconds() - 1, FRONTEND), (21.0, None)])
def test_an_old_heartbeat_counts_for_twenty_seconds(before: float, alone: Member | None) -> None:
    assert lone([old(beat=30 - before), FRONTEND, HISTORY], BORN, PRESENT) == alone


def test_it_is_left_until_there_is_another_that_it_could_join() -> None:
    assert lone([old(beat=20), FRONTEND], BORN, PRESENT) is None
    assert lone([old(beat=20), FRONTEND, HISTORY], BORN, {FRONTEND.address}) is None


def test_the_second_is_not_alone_once_the_first_was_restarted() -> None:
    successor = new("frontend", "10.0.1.3", 32)
    assert lone([old(beat=20), FRONTEND, HISTORY, successor], BORN, {HISTORY.address, successor.address}) is None


def test_a_container_that_ended_has_left_a_row_that_is_nobodys() -> None:
    again = new("frontend", FRONTEND.address, 31)
    assert lone([old(beat=20), FRONTEND, HISTORY, again], BORN, PRESENT) == HISTORY
