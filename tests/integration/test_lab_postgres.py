"""The lab's PostgreSQL refuses what a real installation refuses."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trustme

from lab.postgres import Postgres
from lab.processes import wait_until

Certificates = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that these tests may stop and change, with a role and a database."""
    with Postgres() as server:
        server.create_role("temporal", "right")
        server.create_database("temporal", owner="temporal")
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Paths of authority, certificate and key for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    authority, certificate, key = folder / "ca.pem", folder / "tls.crt", folder / "tls.key"
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(str(authority))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    return authority, certificate, key


def test_a_wrong_password_is_refused(own_postgres: Postgres) -> None:
    """Authentication is real."""
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "temporal"'):
        psycopg.connect(own_postgres.dsn("temporal", "temporal", "wrong"))
    with psycopg.connect(own_postgres.dsn("temporal", "temporal", "right")):
        pass


def test_an_absent_database_is_refused(own_postgres: Postgres) -> None:
    """With PostgreSQL's own words."""
    with pytest.raises(psycopg.OperationalError, match='database "absent" does not exist'):
        psycopg.connect(own_postgres.dsn("absent", "temporal", "right"))


def test_it_keeps_port_and_data_over_a_restart(own_postgres: Postgres) -> None:
    """While it is down its port refuses."""
    dsn = own_postgres.dsn("temporal", "temporal", "right")
    own_postgres.execute("temporal", "CREATE TABLE kept AS SELECT 1 AS one")
    own_postgres.stop()
    with pytest.raises(psycopg.OperationalError, match="Connection refused"):
        psycopg.connect(dsn)
    own_postgres.start()
    assert own_postgres.dsn("temporal", "temporal", "right") == dsn
    assert own_postgres.execute("temporal", "SELECT one FROM kept WHERE one = %s", [1]) == [(1,)]


def test_a_database_in_use_is_dropped(postgres: Postgres) -> None:
    """Under running servers too, whose sessions would hold it."""
    postgres.create_database("in_use")
    with psycopg.connect(postgres.dsn("in_use")):
        postgres.drop_database("in_use")
    assert postgres.execute("postgres", "SELECT 1 FROM pg_database WHERE datname = 'in_use'") == []


def test_a_standby_follows_and_answers_reads_only(postgres: Postgres) -> None:
    """It is what a failover leaves behind a service for a while."""
    standby = postgres.standby()
    try:
        assert standby.execute("postgres", "SELECT pg_is_in_recovery()") == [(True,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.create_database("refused")
    finally:
        standby.remove()


def test_required_tls_refuses_plain_sessions(certificates: Certificates) -> None:
    """With the words of a server whose pg_hba.conf has hostssl lines only."""
    authority, certificate, key = certificates
    with Postgres() as server:
        server.enable_tls(certificate, key, required=True)
        dsn = server.dsn()
        with psycopg.connect(dsn, sslmode="verify-full", sslrootcert=str(authority)) as connection:
            assert connection.pgconn.ssl_in_use
            assert connection.execute("SELECT length(repeat('x', 1000000))").fetchone() == (1000000,)
        with pytest.raises(psycopg.OperationalError, match=r'no pg_hba.conf entry .* user "postgres".*, no encryption'):
            psycopg.connect(dsn, sslmode="disable")


def test_offered_tls_leaves_the_choice_to_the_client(certificates: Certificates, tmp_path: Path) -> None:
    """A client that trusts another authority still refuses the server."""
    _, certificate, key = certificates
    stranger = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    with Postgres() as server:
        server.enable_tls(certificate, key, required=False)
        with psycopg.connect(server.dsn(), sslmode="disable") as connection:
            assert not connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            psycopg.connect(server.dsn(), sslmode="verify-full", sslrootcert=str(stranger))


def test_without_tls_a_client_that_wants_it_is_told_so(postgres: Postgres) -> None:
    """The other half of a TLS mismatch."""
    with pytest.raises(psycopg.OperationalError, match="server does not support SSL, but SSL was required"):
        psycopg.connect(postgres.dsn(), sslmode="require")


def test_the_data_of_a_process_that_was_killed_goes_with_the_next_start() -> None:
    """It is in memory, and nobody else would free that."""
    started = (
        "from lab.postgres import Postgres; one = Postgres(); one.start(); print(one._data.parents[1], flush=True)"
    )
    again = [sys.executable, "-c", f"{started}; one.remove()"]
    killed = [sys.executable, "-c", f"{started}; import os; os.kill(os.getpid(), 9)"]
    left = Path(subprocess.run(killed, stdout=subprocess.PIPE, text=True, check=False).stdout.strip())  # noqa: S603 - our own
    assert left.name.startswith("lab-postgres-")

    def is_gone() -> bool:
        # Of a server that is still ending something may stay until the next start.
        subprocess.run(again, stdout=subprocess.PIPE, check=True)  # noqa: S603 - our own
        return not left.exists()

    wait_until(is_gone, 30.0, f"{left} to go")
