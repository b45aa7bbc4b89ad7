"""The rule that decides the restart order, on real servers: who is alone, for whom that ends, and what heals it.

Temporal 1.29.1, ``common/membership/ringpop/monitor.go``: docs/how-it-decides.md, Restart order.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from lab import temporal_client
from lab.processes import Process, free_port, wait_until
from lab.temporal import Databases, Schema, ServerConfig
from lab.temporal_client import CallError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab import toolchain
    from lab.postgres import Postgres

_OLD_SERVER = """
INSERT INTO cluster_membership
       (membership_partition, host_id, rpc_address, rpc_port, role, session_start, last_heartbeat, record_expiry)
VALUES (0, decode(md5('old'), 'hex'), '127.0.0.1', {port}, 2, now() AT TIME ZONE 'UTC' - interval '1 hour',
        now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC' + interval '48 hours')
"""
"""A history server that has just ended: its row counts for 20 s."""


def test_only_the_first_is_alone_beside_an_old_row_and_a_restart_heals_it(
    temporal_build: toolchain.TemporalBuild,
    fresh_databases: Callable[[], Databases],
    postgres: Postgres,
    tmp_path: Path,
) -> None:
    databases = fresh_databases()
    Schema(temporal_build.schema_tool, databases).migrate()
    postgres.execute(databases.default, _OLD_SERVER.format(port=free_port()))
    ports = ServerConfig(temporal_build, databases, tmp_path / "ports")

    def server(service: str, number: int) -> tuple[ServerConfig, Process]:
        config = ServerConfig(temporal_build, databases, tmp_path / str(number), host=f"127.0.1.{number}", ports=ports)
        return config, Process.start(config.argv(service), log=tmp_path / str(number) / "log")

    first, process = server("frontend", 1)
    with process:
        wait_until(lambda: "bootstrap hosts fetched" in process.tail(500), 20, "the first to read the rows")
        _, history = server("history", 2)
        with history:
            wait_until(lambda: "Current reachable members" in history.tail(500), 5, "the second to join the first")
            time.sleep(1.0)
            assert temporal_client.health(first.address) == "NOT_SERVING"
            process.stop()
            again, successor = server("frontend", 3)
            with successor:
                wait_until(lambda: _serves(again), 10, "the first's successor to join")


def _serves(frontend: ServerConfig) -> bool:
    with suppress(CallError):
        return temporal_client.health(frontend.address) == "SERVING"
    return False
