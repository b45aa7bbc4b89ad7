"""A store's host is looked up within the bound of a request, whatever the resolver does."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from hook.adapters.postgres import lookup, read
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, Store
from lab.temporal import Databases

BOUND = 0.5
SLACK = 20.0
"""For a machine that is busy; what hangs here does so for a minute."""

RESOLVE = socket.getaddrinfo


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A resolver that hangs on `hangs.example`, knows no `missing.example`, and gives `here.example` two addresses."""
    over, asked = threading.Event(), list[str]()

    def resolve(host: str, *arguments: Any, **named: Any) -> list[Any]:
        asked.append(host)
        if host == "hangs.example":
            over.wait(60)
        if host == "here.example":
            return [*RESOLVE("127.0.0.1", *arguments, **named), *RESOLVE("::1", *arguments, **named)]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield asked
    over.set()


def connecting(databases: Databases, host: str) -> dict[str, str]:
    return {
        "host": host,
        "port": str(databases.port),
        "user": databases.user,
        "password": databases.password,
        "dbname": databases.default,
    }


def test_a_lookup_that_hangs_is_left(databases: Databases, asked: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(FindingError) as caught:
        read(Store.DEFAULT, lambda: connecting(databases, "hangs.example"), BOUND)
    assert time.monotonic() - began < BOUND + SLACK
    assert caught.value.finding.reason is Reason.DATABASE_UNREACHABLE
    assert caught.value.finding.detail == "failed to resolve host 'hangs.example': no answer within 0.5 s"
    assert asked == ["hangs.example"]


@pytest.mark.parametrize("first", ["hangs.example", "missing.example"])
def test_of_several_hosts_one_that_is_found_is_enough(databases: Databases, asked: list[str], first: str) -> None:
    """As libpq has it; and nobody looks a name up a second time."""
    assert read(Store.DEFAULT, lambda: connecting(databases, f"{first},here.example"), BOUND) == Schema(Store.DEFAULT)
    assert asked == [first, "here.example"]


def test_a_name_that_is_none_is_told() -> None:
    """The encoding of host names refuses it, and not by an OSError."""
    with pytest.raises(psycopg.OperationalError, match=r"failed to resolve host 'a\.\.b'"):
        lookup.addresses({"host": "a..b"}, 0.5)


def test_a_name_that_is_not_there_is_told(databases: Databases, asked: list[str]) -> None:
    with pytest.raises(FindingError) as caught:
        read(Store.DEFAULT, lambda: connecting(databases, "missing.example"), BOUND)
    assert caught.value.finding.reason is Reason.DATABASE_UNREACHABLE
    assert "failed to resolve host 'missing.example': " in caught.value.finding.detail
    assert asked == ["missing.example"]


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"host": "127.0.0.1"}, {}),
        ({"host": "/run/postgresql"}, {}),
        ({"host": "here.example", "hostaddr": "10.0.0.1"}, {}),
        ({"host": "here.example,127.0.0.1", "port": "1,2,3"}, {}),  # psycopg says what is wrong with it
        ({}, {}),
        (
            {"host": "here.example,127.0.0.2,/run", "port": "1,2,3"},
            {
                "host": "here.example,here.example,127.0.0.2,/run",
                "hostaddr": "127.0.0.1,::1,127.0.0.2,",
                "port": "1,1,2,3",
            },
        ),
        (
            {"host": "here.example"},
            {"host": "here.example,here.example", "hostaddr": "127.0.0.1,::1", "port": "5432,5432"},
        ),
    ],
)
@pytest.mark.usefixtures("asked")
def test_names_alone_are_looked_up(
    parameters: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    assert lookup.addresses(parameters, BOUND) == found


def test_a_host_of_the_environment_is_one_too(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """psycopg takes PGHOST where nothing else is said."""
    monkeypatch.setenv("PGHOST", "hangs.example")
    with pytest.raises(psycopg.OperationalError, match=r"no answer within 0\.5 s"):
        lookup.addresses({}, BOUND)
    assert asked == ["hangs.example"]
