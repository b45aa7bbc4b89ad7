"""The frontend's adapter against Temporal's own frontend, and against small real gRPC servers for what that never says."""

import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import pytest
import trustme
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from hook.adapters.temporal import FrontendClient, tls_credentials
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from lab import temporal_client, toolchain
from lab.postgres import Postgres
from lab.processes import Process, free_port, wait_until
from lab.temporal import SERVICES, Databases, Schema, ServerConfig

FreshDatabases = Callable[[], Databases]
Answer = Callable[[bytes, grpc.ServicerContext], bytes]

SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
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
    with FrontendClient(address, SECONDS, credentials, server_name) as client:
        return client.look()


def refused(
    address: str,
    credentials: Callable[[], grpc.ChannelCredentials | None] = lambda: None,
    server_name: str | None = None,
    seconds: float = SECONDS,
) -> Finding:
    """The finding of one look that must fail."""
    with FrontendClient(address, seconds, credentials, server_name) as client, pytest.raises(FindingError) as caught:
        client.look()
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

    def drop(self) -> None:
        for database in (self.databases.default, self.databases.visibility):
            self.postgres.drop_database(database)

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
    return Installation(postgres, databases, schema, ServerConfig(temporal_build, databases, tmp_path / "config"))


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
    with (
        Process.start(config.argv("frontend"), log=folder / "frontend.log") as process,
        FrontendClient(config.address, SECONDS, lambda: None) as client,
    ):
        yield client
        process.send_signal(signal.SIGKILL)
        process.wait(10)


def test_a_temporal_that_reads_its_database_has_no_trouble(temporal: Temporal) -> None:
    """A workflow starts on it, and one look finds nothing wrong."""
    assert asked(temporal.address) == Frontend(None)


def test_a_serving_frontend_whose_databases_are_dropped_is_in_trouble(
    temporal: Temporal, installation: Installation
) -> None:
    """It goes on to say SERVING; the trouble names what GetClusterInfo says."""
    with FrontendClient(temporal.address, SECONDS, lambda: None) as client:
        assert client.look() == Frontend(None)
        installation.drop()
        trouble = client.look().trouble
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
    with FrontendClient(temporal.address, SECONDS, lambda: None) as client:
        trouble = awaited(
            client, lambda found: "NOT_FOUND" in found.detail, "the frontend to connect to the new database"
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
    config_file = tmp_path / "config" / "lab.yaml"
    config: dict[str, Any] = yaml.safe_load(config_file.read_text())
    config["global"]["tls"] = {
        "frontend": {
            "server": {
                "certFile": str(certificates.cert_file),
                "keyFile": str(certificates.key_file),
                "requireClientAuth": True,
                "clientCaFiles": [str(certificates.ca_file)],
            },
            "client": {"serverName": "127.0.0.1", "rootCaFiles": [str(certificates.ca_file)]},
        }
    }
    config_file.write_text(yaml.safe_dump(config))
    address = installation.config.address
    with alone(installation.config, tmp_path) as plain:
        wait_until(lambda: "refused" not in str(look(plain)), 30, "the frontend to listen")
        closed = look(plain)
        assert closed is not None
        assert (closed.reason, closed.detail.endswith("(it may want TLS)")) == (Reason.FRONTEND_UNREACHABLE, True)
        for credentials in (
            certificates.for_client(),
            lambda: tls_credentials(certificates.ca_file, strangers.client_cert_file, strangers.client_key_file),
            strangers.for_client(certificate=True),
        ):
            assert refused(address, credentials).reason is Reason.FRONTEND_TLS_REFUSED
        with FrontendClient(address, SECONDS, certificates.for_client(certificate=True)) as client:
            wait_until(lambda: is_without_history(look(client)), 30, "the frontend to serve")


# --- small servers ------------------------------------------------------------------------------------------------


class _ClusterInfo(grpc.GenericRpcHandler):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        if handler_call_details.method != f"/{SERVICE}/GetClusterInfo":
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)


class Server:
    """A gRPC server that plays the frontend: grpc.health for its service, and GetClusterInfo."""

    def __init__(
        self,
        *,
        status: int | None = health_pb2.HealthCheckResponse.SERVING,
        answer: Answer = lambda *_: b"",
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ) -> None:
        self._threads = ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        if status is not None:
            servicer = health.HealthServicer()
            servicer.set(SERVICE, status)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, self._server)
        self._server.add_generic_rpc_handlers((_ClusterInfo(answer),))
        where = f"127.0.0.1:{port}"
        bound = (
            self._server.add_secure_port(where, credentials) if credentials else self._server.add_insecure_port(where)
        )
        self.address = f"127.0.0.1:{bound}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)
        self._threads.shutdown()


def server_credentials(certificates: Certificates, client_authority: Path | None = None) -> grpc.ServerCredentials:
    pair = (certificates.key_file.read_bytes(), certificates.cert_file.read_bytes())
    authority = client_authority.read_bytes() if client_authority else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


def aborting(code: grpc.StatusCode, details: str) -> Answer:
    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(code, details)

    return answer


@pytest.mark.parametrize("status", ["NOT_SERVING", "UNKNOWN", "SERVICE_UNKNOWN"])
def test_a_frontend_that_does_not_say_serving_is_in_trouble(status: str) -> None:
    """Its word is repeated, and the database is not asked for."""
    calls: list[bytes] = []
    number = health_pb2.HealthCheckResponse.ServingStatus.Value(status)

    def answer(request: bytes, _: grpc.ServicerContext) -> bytes:
        calls.append(request)
        return b""

    with Server(status=number, answer=answer) as server:
        trouble = asked(server.address).trouble
        assert trouble == Finding(Reason.FRONTEND_NOT_SERVING, f"frontend {server.address}", f"it says {status}")
    assert calls == []


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED])
def test_an_authorizer_that_refuses_the_read_is_an_answer(code: grpc.StatusCode) -> None:
    """The request passed the frontend's interceptors; what the gate may read is not the question."""
    with Server(answer=aborting(code, "Request unauthorized.")) as server:
        assert asked(server.address) == Frontend(None)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.UNAVAILABLE, "Frontend is not healthy yet"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "namespace rate limit exceeded"),
        (grpc.StatusCode.INTERNAL, "boom"),
    ],
)
def test_a_serving_frontend_whose_read_fails_is_in_trouble(code: grpc.StatusCode, details: str) -> None:
    """With gRPC's code and the frontend's words."""
    with Server(answer=aborting(code, details)) as server:
        trouble = asked(server.address).trouble
    assert trouble is not None
    assert (trouble.reason, trouble.detail) == (
        Reason.FRONTEND_NOT_SERVING,
        f"it says SERVING, but GetClusterInfo fails: {code.name}: {details}",
    )


def test_a_read_that_hangs_ends_at_the_deadline_and_is_trouble() -> None:
    """A frontend that waits for its database must not hold the gate."""
    over = threading.Event()

    def answer(*_: object) -> bytes:
        over.wait(60)
        return b""

    with Server(answer=answer) as server:
        try:
            with FrontendClient(server.address, 0.3, lambda: None) as client:
                trouble = client.look().trouble
        finally:
            over.set()
    assert trouble is not None
    assert (trouble.reason, "GetClusterInfo fails: DEADLINE_EXCEEDED" in trouble.detail) == (
        Reason.FRONTEND_NOT_SERVING,
        True,
    )


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


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_an_unused_port_is_unreachable(
    certificates: Certificates,
    encrypted: bool,  # noqa: FBT001 - a case of the test
) -> None:
    """As during every rollout of Temporal."""
    finding = refused(f"127.0.0.1:{free_port()}", certificates.for_client() if encrypted else lambda: None)
    assert finding.reason is Reason.FRONTEND_UNREACHABLE
    assert "Connection refused" in finding.detail


@pytest.mark.parametrize("host", ["frontend.invalid", "tls-certificate-handshake-ssl.invalid"])
def test_an_unresolvable_host_is_unreachable_whatever_its_name_is_made_of(host: str) -> None:
    """A name that talks of TLS is no fault of TLS."""
    finding = refused(f"{host}:7233")
    assert finding.reason is Reason.FRONTEND_UNREACHABLE
    assert host in finding.detail


@pytest.mark.parametrize("with_health", [False, True])
def test_another_grpc_service_is_asked_whether_it_is_the_frontend(
    with_health: bool,  # noqa: FBT001 - a case of the test
) -> None:
    """Whether it knows grpc.health (NOT_FOUND) or not (UNIMPLEMENTED)."""
    threads = ThreadPoolExecutor(1)
    server = grpc.server(threads)
    if with_health:
        health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        finding = refused(f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait(10)
        threads.shutdown()
    assert (finding.reason, finding.detail) == (
        Reason.FRONTEND_NOT_SERVING,
        "no WorkflowService behind this address: is it the frontend?",
    )


def test_an_http_server_is_unreachable_and_the_finding_shows_what_speaks_there() -> None:
    """Temporal's own HTTP port, or its web interface, is the likely mistake."""

    class Quiet(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            finding = refused(f"127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join(5)
    assert finding.reason is Reason.FRONTEND_UNREACHABLE
    assert "Failed parsing HTTP/2" in finding.detail


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_a_frontend_whose_certificate_the_ca_signed_is_believed(certificates: Certificates) -> None:
    """Name and authority are right."""
    with Server(credentials=server_credentials(certificates)) as server:
        assert asked(server.address, certificates.for_client()) == Frontend(None)


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
        assert asked(server.address, certificates.for_client(), "frontend.example") == Frontend(None)
    assert finding.reason is Reason.FRONTEND_TLS_REFUSED
    assert "ostname" in finding.detail


def test_tls_to_a_plain_frontend_is_refused(certificates: Certificates) -> None:
    """The frontend speaks, but not TLS."""
    with Server() as server:
        finding = refused(server.address, certificates.for_client())
    assert finding.reason is Reason.FRONTEND_TLS_REFUSED
    assert "WRONG_VERSION_NUMBER" in finding.detail


def test_plain_text_to_a_tls_frontend_is_unreachable_with_a_hint(certificates: Certificates) -> None:
    """It only closes, as a proxy without a backend does; so it is waited for, but the likely cause is said."""
    with Server(credentials=server_credentials(certificates)) as server:
        finding = refused(server.address)
    assert (finding.reason, finding.detail.endswith("(it may want TLS)")) == (
        Reason.FRONTEND_UNREACHABLE,
        True,
    )


def test_a_server_that_closes_at_once_is_no_fault_of_tls(certificates: Certificates) -> None:
    """A load balancer without a backend does so for as long as Temporal takes to come up."""
    with socket.create_server(("127.0.0.1", 0)) as closing:

        def close_each() -> None:
            while True:
                try:
                    connection, _ = closing.accept()
                except OSError:
                    return
                connection.close()

        thread = threading.Thread(target=close_each)
        thread.start()
        try:
            finding = refused(f"127.0.0.1:{closing.getsockname()[1]}", certificates.for_client())
        finally:
            closing.shutdown(socket.SHUT_RDWR)
            thread.join(5)
    assert (finding.reason, finding.detail.endswith("(it may want a client certificate, or no TLS)")) == (
        Reason.FRONTEND_UNREACHABLE,
        True,
    )


def test_a_required_client_certificate_is_given_and_its_lack_is_hinted_at(certificates: Certificates) -> None:
    """GRPC's own server closes without a word (Temporal's says more, see above)."""
    with Server(credentials=server_credentials(certificates, certificates.ca_file)) as server:
        assert asked(server.address, certificates.for_client(certificate=True)) == Frontend(None)
        finding = refused(server.address, certificates.for_client())
    assert (finding.reason, "it may want a client certificate" in finding.detail) == (Reason.FRONTEND_UNREACHABLE, True)


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


# --- over time ----------------------------------------------------------------------------------------------------


def test_a_client_recovers_when_the_frontend_is_back_on_its_port() -> None:
    """A channel that failed is given up: no back-off of gRPC's own has to pass."""
    with ExitStack() as stack:
        first = Server(port=free_port())
        client = stack.enter_context(FrontendClient(first.address, SECONDS, lambda: None))
        with first:
            assert client.look() == Frontend(None)
        gone = look(client)
        assert gone is not None
        assert gone.reason is Reason.FRONTEND_UNREACHABLE
        stack.enter_context(Server(port=int(first.address.rpartition(":")[2])))
        wait_until(lambda: look(client) is None, 20, "the client to reach the frontend again")


def test_a_client_uses_one_connection_as_long_as_it_holds() -> None:
    """Every turn's look would else cost a handshake."""
    peers: list[str] = []

    def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
        peers.append(context.peer())
        return b""

    with Server(answer=answer) as server, FrontendClient(server.address, SECONDS, lambda: None) as client:
        for _ in range(3):
            client.look()
    assert len(peers) == 3
    assert len(set(peers)) == 1


def test_rotated_certificates_are_taken_up_once_the_channel_broke(certificates: Certificates, tmp_path: Path) -> None:
    """A new authority on both sides: the old channel lives on, its end is noticed, the next one reads the files anew."""
    port = free_port()
    with FrontendClient(f"127.0.0.1:{port}", SECONDS, certificates.for_client()) as client:
        with Server(credentials=server_credentials(certificates), port=port):
            assert client.look() == Frontend(None)
        renewed = Certificates(tmp_path / "renewed")
        with Server(credentials=server_credentials(renewed), port=port):
            finding = awaited(
                client,
                lambda found: found.reason is Reason.FRONTEND_TLS_REFUSED,
                "the client to mistrust the new authority",
            )
            assert "CERTIFICATE_VERIFY_FAILED" in finding.detail
            certificates.ca_file.write_bytes(renewed.ca_file.read_bytes())
            wait_until(lambda: look(client) is None, 20, "the client to trust the new authority")
