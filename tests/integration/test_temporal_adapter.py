"""The frontend's adapter against Temporal's own frontend, TLS, tokens, and from one look to the next.

What each single answer is told as stands in ``test_frontend_answers``.
"""

import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
import yaml
from frontend_stand_in import Listener, Server, forwarding, saying
from grpc_health.v1 import health_pb2
from token_authority import TokenAuthority

from hook.adapters.frontend_answers import Question
from hook.adapters.temporal import FrontendClient, tls_credentials
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from lab import temporal_client, toolchain
from lab.postgres import Postgres
from lab.processes import Process, free_port, wait_until
from lab.temporal import SERVICES, Databases, Schema, ServerConfig

FreshDatabases = Callable[[], Databases]
SECONDS = 2.0
# Services that start side by side on a new schema race for a row; the loser exits (test_lab_temporal).
LOST_RACE = "failed to initialize current cluster metadata"


def look(client: FrontendClient) -> Finding | None:
    """What is wrong with the frontend, if it could be asked or not."""
    try:
        return client.look().trouble
    except FindingError as error:
        return error.finding


def awaited(client: FrontendClient, wanted: Callable[[Finding], bool], what: str) -> Finding:
    """Look until a wanted finding is there."""

    def found() -> tuple[Finding, ...]:
        finding = look(client)
        return (finding,) if finding is not None and wanted(finding) else ()

    return wait_until(found, 30, what)[0]


def asked(
    address: str,
    credentials: Callable[[], grpc.ChannelCredentials | None] = lambda: None,
    server_name: str | None = None,
) -> Frontend:
    """One look by a client of its own."""
    return FrontendClient(address, SECONDS, credentials, server_name).look()


def refused(
    address: str,
    credentials: Callable[[], grpc.ChannelCredentials | None] = lambda: None,
    server_name: str | None = None,
    seconds: float = SECONDS,
) -> Finding:
    """The finding of one look that must fail."""
    with pytest.raises(FindingError) as caught:
        FrontendClient(address, seconds, credentials, server_name).look()
    finding = caught.value.finding
    assert finding.about == f"frontend {address}"
    return finding


# --- Temporal's own frontend --------------------------------------------------------------------------------------


class Temporal:
    """All four services; one that loses the race for the first row is started again, as a kubelet does."""

    def __init__(self, config: ServerConfig, folder: Path) -> None:
        self.address = config.address
        self._config = config
        self._folder = folder
        self._processes = {service: self._start(service) for service in SERVICES}

    def works(self) -> bool:
        """Whether a workflow starts: a frontend that is SERVING may not know of a history server yet."""
        for service, process in self._processes.items():
            if process.poll() is not None:
                assert LOST_RACE in process.tail(1)
                self._processes[service] = self._start(service)
        try:
            return bool(temporal_client.start_workflow(self.address, "temporal-system"))
        except temporal_client.CallError:
            return False

    def stop(self) -> None:
        for process in self._processes.values():
            process.stop(0.1)

    def _start(self, service: str) -> Process:
        return Process.start(self._config.argv(service), log=self._folder / f"{service}.log")


@dataclass(frozen=True)
class Installation:
    """A migrated pair of databases and the configuration of a Temporal on it."""

    postgres: Postgres
    databases: Databases
    schema: Schema
    config: ServerConfig
    directory: Path
    build: toolchain.TemporalBuild

    def drop(self) -> None:
        for database in (self.databases.default, self.databases.visibility):
            self.postgres.drop_database(database)

    def configure(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change what the servers that are started from now on read."""
        file = self.directory / "lab.yaml"
        config: dict[str, Any] = yaml.safe_load(file.read_text())
        change(config)
        file.write_text(yaml.safe_dump(config))

    def set_read_only(self) -> None:
        """Make every session read-only that does not ask for more, and end those that began before.

        Not before all servers have started, which they cannot afterwards: a workflow starts without a worker.
        """

        def have_started() -> bool:
            rows = self.postgres.execute(self.databases.default, "SELECT DISTINCT role FROM cluster_membership")
            return len(rows) == len(SERVICES)

        wait_until(have_started, 30, "a row of each service")
        for database in (self.databases.default, self.databases.visibility):
            self.postgres.execute("postgres", f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            self.postgres.execute("postgres", ended, [database])

    def migrate_anew(self) -> None:
        for database in (self.databases.default, self.databases.visibility):
            self.postgres.create_database(database, owner=self.databases.user)
        self.schema.migrate()


@pytest.fixture
def installation(
    temporal_build: toolchain.TemporalBuild, fresh_databases: FreshDatabases, postgres: Postgres, tmp_path: Path
) -> Installation:
    databases = fresh_databases()
    schema = Schema(temporal_build.schema_tool, databases)
    schema.migrate()
    folder = tmp_path / "config"
    config = ServerConfig(temporal_build, databases, folder)
    return Installation(postgres, databases, schema, config, folder, temporal_build)


@pytest.fixture
def temporal(installation: Installation, tmp_path: Path) -> Iterator[Temporal]:
    running = Temporal(installation.config, tmp_path)
    try:
        wait_until(running.works, 30, "a workflow to start")
        yield running
    finally:
        running.stop()


@contextmanager
def alone(config: ServerConfig, folder: Path) -> Iterator[FrontendClient]:
    """A frontend without the other three, and a client of it; the frontend is killed at the end, as by a lost node."""
    with Process.start(config.argv("frontend"), log=folder / "frontend.log") as process:
        yield FrontendClient(config.address, SECONDS, lambda: None)
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def test_a_temporal_that_reads_its_database_has_no_trouble(temporal: Temporal) -> None:
    """A workflow starts on it, and one look finds nothing wrong."""
    assert asked(temporal.address) == Frontend()


def test_a_serving_frontend_whose_databases_are_dropped_is_in_trouble(
    temporal: Temporal, installation: Installation
) -> None:
    """It goes on to say SERVING; the trouble names what GetClusterInfo says."""
    assert asked(temporal.address) == Frontend()
    installation.drop()
    trouble = asked(temporal.address).trouble
    assert temporal_client.health(temporal.address) == "SERVING"
    assert trouble is not None
    assert trouble.reason is Reason.FRONTEND_NOT_SERVING
    assert trouble.detail.startswith("it says SERVING, but GetClusterInfo fails: UNAVAILABLE: ")
    assert re.search(r"no usable database connection found|database \".*\" does not exist", trouble.detail)
    assert installation.databases.password not in str(trouble)


def test_a_temporal_not_restarted_after_its_databases_were_migrated_anew_is_in_trouble(
    temporal: Temporal, installation: Installation
) -> None:
    """The table is there again, and the row in it that only a server's start writes is not."""
    installation.drop()
    installation.migrate_anew()
    trouble = awaited(
        FrontendClient(temporal.address, SECONDS, lambda: None),
        lambda found: "NOT_FOUND" in found.detail,
        "the frontend to connect to the new database",
    )
    assert temporal_client.health(temporal.address) == "SERVING"
    assert (trouble.reason, trouble.detail.partition("NOT_FOUND")[0]) == (
        Reason.FRONTEND_NOT_SERVING,
        "it says SERVING, but GetClusterInfo fails: ",
    )


def is_without_history(found: Finding | None) -> bool:
    """It serves, and reads its database; nothing can start on it all the same."""
    return found is not None and "DescribeWorkflowExecution fails: UNAVAILABLE: Not enough hosts" in found.detail


def test_a_frontend_without_a_history_server_is_in_trouble(installation: Installation, tmp_path: Path) -> None:
    """It says SERVING and reads the cluster's metadata, and no workflow could start."""
    with alone(installation.config, tmp_path) as client:
        wait_until(lambda: is_without_history(look(client)), 30, "the frontend to serve")


def test_a_frontend_whose_membership_is_not_up_is_in_trouble(
    installation: Installation, temporal_build: toolchain.TemporalBuild, tmp_path: Path
) -> None:
    """It tries to join a member that was killed a moment ago, and says NOT_SERVING meanwhile."""
    with alone(installation.config, tmp_path) as client:
        wait_until(lambda: is_without_history(look(client)), 30, "the member that is killed to have joined")
    successor = ServerConfig(temporal_build, installation.databases, tmp_path / "successor")
    with alone(successor, tmp_path) as client:
        trouble = awaited(
            client, lambda found: found.reason is not Reason.FRONTEND_UNREACHABLE, "the second frontend to answer"
        )
    assert (trouble.reason, trouble.detail) == (Reason.FRONTEND_NOT_SERVING, "it says NOT_SERVING")


def use_pgx(config: dict[str, Any]) -> None:
    for store in config["persistence"]["datastores"].values():
        store["sql"]["pluginName"] = "postgres12_pgx"


def test_a_database_that_is_read_only_by_default_leaves_the_proofs_as_they_are_with_the_default_driver(
    temporal: Temporal, installation: Installation, tmp_path: Path
) -> None:
    """Plugin ``postgres12`` opens its transactions READ WRITE (lib/pq, conn_go18.go): workflows go on starting.

    A server that starts on it ends at once, since it keeps its membership outside of transactions. So it is the store that
    tells of such a database, before the next restart does.
    """
    installation.set_read_only()
    client = FrontendClient(temporal.address, SECONDS, lambda: None)
    # A membership's heartbeat fails now and then and takes the server's sessions with it, for a second at most.
    wait_until(lambda: look(client) is None and temporal.works(), 30, "both proofs and a workflow")
    late = ServerConfig(installation.build, installation.databases, tmp_path / "late")
    with Process.start(late.argv("history"), log=tmp_path / "late.log") as process:
        assert process.wait(30) == 1
        assert "unable to initialize membership heartbeats" in process.tail()


def test_a_database_that_is_read_only_for_the_other_driver_is_found_only_once_something_is_written(
    installation: Installation, tmp_path: Path
) -> None:
    """Plugin ``postgres12_pgx`` opens its transactions as the session says.

    No workflow starts, and both proofs are made all the same: they read. After a write that failed history has to take its
    shard anew, which is a write, too. So it is the store that tells of such a database.
    """
    installation.configure(use_pgx)
    temporal = Temporal(installation.config, tmp_path)
    try:
        wait_until(temporal.works, 30, "a workflow to start")
        installation.set_read_only()
        client = FrontendClient(temporal.address, SECONDS, lambda: None)
        wait_until(lambda: look(client) is None, 30, "both proofs")
        assert not temporal.works()

        def lost() -> bool:  # each try writes to one of four shards
            return not temporal.works() and "shard status unknown" in str(look(client))

        wait_until(lost, 60, "the probe's shard to be lost")
    finally:
        temporal.stop()


# --- certificates -------------------------------------------------------------------------------------------------


class Certificates:
    """An authority of its own and what it issued, as files."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self.authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.cert_file, self.key_file = folder / "tls.crt", folder / "tls.key"
        self.client_cert_file, self.client_key_file = folder / "client.crt", folder / "client.key"
        self._write(self.authority.issue_cert("gate@example.com"), self.client_cert_file, self.client_key_file)
        self.issue("127.0.0.1")

    def issue(self, name: str) -> None:
        """Issue the server's certificate (anew)."""
        self._write(self.authority.issue_cert(name), self.cert_file, self.key_file)

    def for_client(self, *, certificate: bool = False) -> Callable[[], grpc.ChannelCredentials]:
        """What the adapter is given; the files are read at each call."""
        pair = (self.client_cert_file, self.client_key_file) if certificate else (None, None)
        return lambda: tls_credentials(self.ca_file, *pair)

    @staticmethod
    def _write(issued: trustme.LeafCert, certificate: Path, key: Path) -> None:
        issued.cert_chain_pems[0].write_to_path(str(certificate))
        issued.private_key_pem.write_to_path(str(key))


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def strangers(tmp_path: Path) -> Certificates:
    """Those of an authority that no server here trusts or is trusted by."""
    return Certificates(tmp_path / "strangers")


def test_temporals_own_frontend_with_mutual_tls_answers_only_a_client_with_a_certificate(
    installation: Installation, certificates: Certificates, strangers: Certificates, tmp_path: Path
) -> None:
    """Without one, or with a stranger's, TLS is refused; without TLS it only closes, and the finding says what to ask."""
    frontend = {
        "server": {
            "certFile": str(certificates.cert_file),
            "keyFile": str(certificates.key_file),
            "requireClientAuth": True,
            "clientCaFiles": [str(certificates.ca_file)],
        },
        "client": {"serverName": "127.0.0.1", "rootCaFiles": [str(certificates.ca_file)]},
    }
    installation.configure(lambda config: config["global"].update(tls={"frontend": frontend}))
    address = installation.config.address
    with alone(installation.config, tmp_path) as plain:
        wait_until(lambda: "refused" not in str(look(plain)), 30, "the frontend to listen")
        closed = look(plain)
        assert closed is not None
        assert (closed.reason, "wants TLS" in closed.remedy) == (Reason.FRONTEND_UNREACHABLE, True)
        for credentials in (
            certificates.for_client(),
            lambda: tls_credentials(certificates.ca_file, strangers.client_cert_file, strangers.client_key_file),
            strangers.for_client(certificate=True),
        ):
            assert refused(address, credentials).reason is Reason.FRONTEND_TLS_REFUSED
        client = FrontendClient(address, SECONDS, certificates.for_client(certificate=True))
        wait_until(lambda: is_without_history(look(client)), 30, "the frontend to serve")


# --- TLS ----------------------------------------------------------------------------------------------------------


def server_credentials(certificates: Certificates, client_authority: Path | None = None) -> grpc.ServerCredentials:
    pair = (certificates.key_file.read_bytes(), certificates.cert_file.read_bytes())
    authority = client_authority.read_bytes() if client_authority else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def test_a_frontend_whose_certificate_the_ca_signed_is_believed(certificates: Certificates) -> None:
    """Name and authority are right."""
    with Server(credentials=server_credentials(certificates)) as server:
        assert asked(server.address, certificates.for_client()) == Frontend()


def test_a_frontend_of_another_ca_is_refused(certificates: Certificates, strangers: Certificates) -> None:
    """Which is a setting's fault, and not the network's."""
    with Server(credentials=server_credentials(certificates)) as server:
        finding = refused(server.address, strangers.for_client())
    assert finding.reason is Reason.FRONTEND_TLS_REFUSED
    assert "CERTIFICATE_VERIFY_FAILED" in finding.detail


def test_a_frontend_whose_certificate_has_another_name_is_refused_unless_that_name_is_set(
    certificates: Certificates,
) -> None:
    """The setting serverName is for certificates without the Service's name."""
    certificates.issue("frontend.example")
    with Server(credentials=server_credentials(certificates)) as server:
        finding = refused(server.address, certificates.for_client())
        assert asked(server.address, certificates.for_client(), "frontend.example") == Frontend()
    assert finding.reason is Reason.FRONTEND_TLS_REFUSED
    assert "ostname" in finding.detail


def test_a_server_that_closes_at_once_is_no_fault_of_tls(certificates: Certificates) -> None:
    """A load balancer without a backend does so for as long as Temporal takes to come up."""
    with Listener(lambda _: None) as closing:
        finding = refused(closing.address, certificates.for_client())
    assert (finding.reason, "client certificate" in finding.remedy) == (Reason.FRONTEND_UNREACHABLE, True)


def test_a_required_client_certificate_is_given_and_its_lack_is_hinted_at(certificates: Certificates) -> None:
    """GRPC's own server closes without a word (Temporal's says more, see above)."""
    with Server(credentials=server_credentials(certificates, certificates.ca_file)) as server:
        assert asked(server.address, certificates.for_client(certificate=True)) == Frontend()
        finding = refused(server.address, certificates.for_client())
    assert (finding.reason, "client certificate" in finding.remedy) == (Reason.FRONTEND_UNREACHABLE, True)


@pytest.mark.parametrize("damage", ["gone", "no PEM", "another key"])
def test_unusable_certificate_files_are_a_fault_of_tls(
    certificates: Certificates, strangers: Certificates, damage: str
) -> None:
    """A Secret that is not mounted yet, or half rotated, may be mended."""
    if damage == "gone":
        certificates.client_key_file.unlink()
    elif damage == "no PEM":
        certificates.ca_file.write_text("not a certificate")
    else:
        certificates.client_key_file.write_bytes(strangers.client_key_file.read_bytes())
    with Server(credentials=server_credentials(strangers)) as server:
        finding = refused(server.address, certificates.for_client(certificate=True))
    assert finding.reason is Reason.FRONTEND_TLS_REFUSED
    assert (str(certificates.client_key_file) in finding.detail) is (damage == "gone")


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_a_server_that_accepts_and_says_nothing_is_unreachable_at_the_deadline(
    certificates: Certificates,
    encrypted: bool,  # noqa: FBT001 - a case of the test
) -> None:
    """The kernel takes the connection of a server that is frozen."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        finding = refused(
            f"127.0.0.1:{frozen.getsockname()[1]}", certificates.for_client() if encrypted else lambda: None, None, 0.3
        )
    assert (finding.reason, finding.detail.partition(":")[0]) == (Reason.FRONTEND_UNREACHABLE, "DEADLINE_EXCEEDED")


# --- from look to look --------------------------------------------------------------------------------------------


def test_a_client_recovers_when_the_frontend_is_back_on_its_port() -> None:
    """At once: no back-off of gRPC's own has to pass."""
    port = free_port()
    client = FrontendClient(f"127.0.0.1:{port}", SECONDS, lambda: None)
    with Server(port=port):
        assert client.look() == Frontend()
    gone = look(client)
    assert gone is not None
    assert gone.reason is Reason.FRONTEND_UNREACHABLE
    with Server(port=port):
        assert client.look() == Frontend()


def test_rotated_certificates_are_taken_up_at_the_next_look(certificates: Certificates, tmp_path: Path) -> None:
    """A new authority on both sides."""
    port = free_port()
    client = FrontendClient(f"127.0.0.1:{port}", SECONDS, certificates.for_client())
    with Server(credentials=server_credentials(certificates), port=port):
        assert client.look() == Frontend()
    renewed = Certificates(tmp_path / "renewed")
    with Server(credentials=server_credentials(renewed), port=port):
        finding = look(client)
        assert finding is not None
        assert (finding.reason, "CERTIFICATE_VERIFY_FAILED" in finding.detail) == (Reason.FRONTEND_TLS_REFUSED, True)
        certificates.ca_file.write_bytes(renewed.ca_file.read_bytes())
        assert client.look() == Frontend()


@pytest.mark.parametrize("sick_first", [True, False])
def test_no_server_behind_a_balancer_hides_the_others_for_ever(sick_first: bool) -> None:  # noqa: FBT001 - a case of the test
    """Neither a sick one the good one, which would hold the gate, nor a good one the sick one."""
    sick = {Question.HEALTH: saying(health_pb2.HealthCheckResponse.NOT_SERVING)}
    with Server(sick) as ill, Server() as well:
        addresses = (ill.address, well.address) if sick_first else (well.address, ill.address)
        with Listener(forwarding(*addresses)) as balancer:
            client = FrontendClient(balancer.address, SECONDS, lambda: None)
            assert [look(client) is None for _ in range(4)] == [not sick_first, sick_first] * 2


def test_all_questions_of_one_look_go_to_one_server() -> None:
    """Else a look would tell of no server that there is."""
    with Server() as server:
        client = FrontendClient(server.address, SECONDS, lambda: None)
        for _ in range(2):
            client.look()
    assert len({peer for *_, peer in server.calls}) == 2
    assert [question for question, *_ in server.calls] == [*Question] * 2


# --- tokens -------------------------------------------------------------------------------------------------------


def test_a_token_goes_with_every_question_and_is_read_anew_at_each_look() -> None:
    tokens = iter(["Bearer old", "Bearer new"])
    with Server() as server:
        client = FrontendClient(server.address, SECONDS, lambda: None, authorization=lambda: next(tokens))
        client.look()
        client.look()
    sent = [headers.get("authorization") for _, headers, _ in server.calls]
    assert sent == ["Bearer old"] * 3 + ["Bearer new"] * 3


def test_without_a_token_no_header_is_sent() -> None:
    with Server() as server:
        asked(server.address)
    assert not any("authorization" in headers for _, headers, _ in server.calls)


def test_a_token_that_cannot_be_read_is_what_refuses_the_gate() -> None:
    """A Secret in the middle of its rotation; nothing is asked without it."""

    def unreadable() -> str:
        raise OSError("no such file")

    with Server() as server:
        client = FrontendClient(server.address, SECONDS, lambda: None, authorization=unreadable)
        finding = look(client)
    assert finding is not None
    assert (finding.reason, finding.detail) == (Reason.FRONTEND_REFUSES_GATE, "token file: no such file")
    assert server.calls == []


def test_temporals_default_authorizer_is_told_as_such_and_a_token_that_may_read_proves_all(
    installation: Installation, tmp_path: Path
) -> None:
    """Health is open to all, a token that is bad closes it, and ``temporal-system:read`` opens both reads (1.29.1)."""
    address = installation.config.address

    def seen(token: str | None) -> tuple[Finding | None, Finding | None]:
        header = f"Bearer {token}" if token else None
        frontend = FrontendClient(address, SECONDS, lambda: None, authorization=lambda: header).look()
        return frontend.trouble, frontend.unproved

    with TokenAuthority() as authority, ExitStack() as stack:
        installation.configure(lambda config: config["global"].update(authorization=authority.authorization))
        for service in ("frontend", "history", "matching"):
            process = Process.start(installation.config.argv(service), log=tmp_path / f"{service}.log")
            stack.callback(process.stop, 0.1)
            if service == "frontend":  # the others would race it for the first rows
                wait_until(lambda: temporal_client_says_serving(address), 30, "the frontend to serve")

        reader = authority.token("temporal-system:read")
        wait_until(lambda: seen(reader) == (None, None), 30, "all proofs to be made")

        trouble, unproved = seen(None)
        assert trouble is None
        assert unproved is not None
        assert unproved.reason is Reason.FRONTEND_REFUSES_GATE
        assert unproved.detail == (
            "it says SERVING; GetClusterInfo, DescribeWorkflowExecution: PERMISSION_DENIED: Request unauthorized."
        )
        assert seen(authority.token("orders:admin"))[1] == unproved
        for bad in (authority.token("temporal-system:read", lifetime_seconds=-60), "no.token.atall"):
            trouble, _ = seen(bad)
            assert trouble is not None
            assert trouble.reason is Reason.FRONTEND_REFUSES_GATE
            assert trouble.detail.startswith("nothing is proved; Health.Check, GetClusterInfo")


def temporal_client_says_serving(address: str) -> bool:
    try:
        return temporal_client.health(address) == "SERVING"
    except temporal_client.CallError:
        return False
