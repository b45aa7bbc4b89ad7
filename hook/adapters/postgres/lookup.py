"""Looks hosts up within a bound. psycopg does it without one, before libpq's connect_timeout begins."""

from __future__ import annotations

import ipaddress
import os
import socket
from functools import partial
from typing import TYPE_CHECKING

from psycopg import OperationalError

from hook.adapters.attempt import within

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORT = "5432"


def addresses(parameters: Mapping[str, str], seconds: float) -> dict[str, str]:
    """Return host, hostaddr and port with an address for each host, of which psycopg and libpq look none up again.

    A host has so many seconds. One that is not found is left out, as psycopg does (3.3, _conninfo_attempts.py), while there
    is another: raises OperationalError in its words.
    """
    hosts = (parameters.get("host") or os.environ.get("PGHOST", "")).split(",")
    ports = (parameters.get("port") or os.environ.get("PGPORT", "") or _PORT).split(",")
    given = parameters.get("hostaddr") or os.environ.get("PGHOSTADDR")
    if given or not any(map(_is_name, hosts)) or len(ports) not in {1, len(hosts)}:
        return {}
    found, missing = list[tuple[str, str, str]](), None
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        try:
            found += [(host, address, port) for address in _addresses(host, seconds)]
        except (OSError, UnicodeError) as error:  # a name that is none, such as a..b, is refused by its encoding
            missing = OperationalError(f"failed to resolve host {host!r}: {error}")
    if not found and missing is not None:
        raise missing
    return {
        name: ",".join(each) for name, each in zip(("host", "hostaddr", "port"), zip(*found, strict=True), strict=True)
    }


def _addresses(host: str, seconds: float) -> list[str]:
    """Return a host's addresses in the resolver's order; of a socket's directory none, of an address itself."""
    if not _is_name(host):
        return ["" if host.startswith(("/", "@")) else host]
    ask = partial(socket.getaddrinfo, host, None, proto=socket.IPPROTO_TCP, type=socket.SOCK_STREAM)
    try:
        return [str(answer[4][0]) for answer in within(seconds, ask)]
    except ConnectionError:
        message = f"no answer within {seconds:g} s"
        raise TimeoutError(message) from None


def _is_name(host: str) -> bool:
    if not host or host.startswith(("/", "@")):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
