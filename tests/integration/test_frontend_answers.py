"""What each answer at the frontend's address is told as: gRPC's, Temporal's, those of authorizers, proxies and strangers.

Every text goes over a real connection. The table of the program says where it stands in public sources.
"""

import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

import grpc
import pytest
import trustme
from frontend_stand_in import Answer, Listener, Server, aborting, banner, forwarding, http2, saying

from hook.adapters.frontend_answers import TABLE, Question, verdict
from hook.adapters.temporal import FrontendClient, tls_credentials
from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason
from lab.processes import free_port

HEALTH, DATABASE, HISTORY = Question
SECONDS = 2.0
NO_ROWS = "sql: no rows in result set"


def asked(address: str, seconds: float = SECONDS, ca: Path | None = None) -> Frontend | Finding:
    """What one look sees, or why it cannot be asked."""
    try:
        return FrontendClient(address, seconds, lambda: tls_credentials(ca, None, None) if ca else None).look()
    except FindingError as error:
        return error.finding


def told(answers: Mapping[Question, Answer | None]) -> tuple[str, Reason | None, str, str]:
    """How a look at a stand-in is told: as works, trouble, unproved or away; with reason, detail and remedy."""
    with Server(answers) as server:
        seen = asked(server.address)
    if isinstance(seen, Finding):
        return "away", seen.reason, seen.detail, seen.remedy
    if seen.trouble is not None:
        return "trouble", seen.trouble.reason, seen.trouble.detail, seen.trouble.remedy
    if seen.unproved is not None:
        return "unproved", seen.unproved.reason, seen.unproved.detail, seen.unproved.remedy
    return "works", None, "", ""


# --- Temporal's own words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "workflow not found for ID: temporal-recovery-hook-probe",  # 1.25 to 1.32
        NO_ROWS,  # 1.17 to 1.24
        "Workflow executionsRow not found.  WorkflowId: temporal-recovery-hook-probe, RunId: ",
        'workflow execution not found for workflow ID "temporal-recovery-hook-probe" and run ID ""',
        "workflow execution not found",
        "workflow execution already completed",
    ],
)
def test_a_workflow_that_is_not_there_is_a_history_servers_answer(text: str) -> None:
    assert told({HISTORY: aborting(grpc.StatusCode.NOT_FOUND, text)})[0] == "works"


@pytest.mark.parametrize(
    ("question", "code", "text", "remedy"),
    [
        (HISTORY, "NOT_FOUND", "Namespace temporal-system is not found.", "Restart Temporal's servers"),
        (HISTORY, "NOT_FOUND", "nothing of the kind", "Wait until the servers have found each other"),
        (HISTORY, "UNAVAILABLE", "Not enough hosts to serve the request", "log of the history pods"),
        (HISTORY, "UNAVAILABLE", "shard status unknown", "log of the history pods"),
        (
            HISTORY,
            "UNAVAILABLE",
            "upstream connect error or disconnect/reset before headers",
            "log of the history pods",
        ),
        (
            HISTORY,
            "UNAVAILABLE",
            'connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.5:7234: connect: connection refused"',
            "log of the history pods",
        ),
        (HISTORY, "UNAVAILABLE", "shard unavailable, please backoff and retry", "log of the history pods"),
        (HISTORY, "UNAVAILABLE", "Frontend is not healthy yet", "Wait until the servers have found each other"),
        (HISTORY, "INTERNAL", "something went wrong, please retry", "Wait until the servers have found each other"),
        (HISTORY, "INVALID_ARGUMENT", "Namespace not set on request.", "Wait until the servers have found each other"),
        (DATABASE, "UNAVAILABLE", "Frontend is not healthy yet", "Wait until the servers have found each other"),
        (DATABASE, "UNAVAILABLE", "Shutting down", "Wait until the servers have found each other"),  # 1.17
        (DATABASE, "UNAVAILABLE", "no usable database connection found", "Check the database"),
        (DATABASE, "UNAVAILABLE", "database connection lost: EOF", "Check the database"),
        (
            DATABASE,
            "UNAVAILABLE",
            "GetClusterMetadata operation failed. Error: dial tcp 10.0.0.1:5432: connect: connection refused",
            "Check the database",
        ),
        (
            DATABASE,
            "UNAVAILABLE",
            "GetClusterMetadata operation failed. Error: tls error: remote error: tls: handshake failed",
            "Check the database",
        ),
        (DATABASE, "NOT_FOUND", f"GetClusterMetadata failed. Error: {NO_ROWS}", "Restart Temporal's servers"),
        (DATABASE, "UNKNOWN", "boom", "Wait until the servers have found each other"),
    ],
)
def test_a_serving_frontend_whose_read_fails_is_in_trouble(
    question: Question, code: str, text: str, remedy: str
) -> None:
    """With what was proved before, gRPC's code, the frontend's words and what to do about them."""
    kind, reason, detail, what_to_do = told({question: aborting(grpc.StatusCode[code], text)})
    proved = "it says SERVING" + (" and it reads its database" if question is HISTORY else "")
    assert (kind, reason) == ("trouble", Reason.FRONTEND_NOT_SERVING)
    assert detail == f"{proved}, but {question.method} fails: {code}: {text}"
    assert remedy in what_to_do


@pytest.mark.parametrize(("status", "name"), [(2, "NOT_SERVING"), (0, "UNKNOWN"), (3, "SERVICE_UNKNOWN"), (99, "99")])
def test_a_frontend_that_does_not_say_serving_is_in_trouble(status: int, name: str) -> None:
    """Its word is repeated, also one that nobody knows yet, and nothing else is asked."""
    with Server({HEALTH: saying(status)}) as server:
        assert asked(server.address) == Frontend(
            Finding(Reason.FRONTEND_NOT_SERVING, f"frontend {server.address}", f"it says {name}")
        )
        assert [question for question, *_ in server.calls] == [HEALTH]


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "ABORTED"])
def test_a_health_check_that_fails_by_its_own_is_no_silence(code: str) -> None:
    kind, reason, detail, _ = told({HEALTH: aborting(grpc.StatusCode[code], "boom")})
    assert (kind, reason, detail) == ("trouble", Reason.FRONTEND_NOT_SERVING, f"it says {code}: boom")


def test_a_long_answer_is_cut() -> None:
    """A proxy may put a page into the text."""
    detail = told({HEALTH: aborting(grpc.StatusCode.INTERNAL, "<p> " * 500)})[2]
    assert len(detail) < 600


# --- who asks is refused ------------------------------------------------------------------------------------------


REFUSALS = [
    ("PERMISSION_DENIED", "Request unauthorized."),  # Temporal's default authorizer
    ("PERMISSION_DENIED", "RBAC: access denied"),  # Istio's AuthorizationPolicy
    ("PERMISSION_DENIED", ""),  # Envoy's ext_authz
    ("PERMISSION_DENIED", "unauthorized request on route"),  # Linkerd
    ("UNAUTHENTICATED", "Jwt is missing"),  # Istio's RequestAuthentication
    ("UNAUTHENTICATED", "Jwt is expired"),
]


@pytest.mark.parametrize(("code", "text"), REFUSALS)
def test_one_who_refuses_all_questions_is_reached_and_proves_nothing(code: str, text: str) -> None:
    refusal = aborting(grpc.StatusCode[code], text)
    kind, reason, detail, remedy = told(dict.fromkeys(Question, refusal))
    assert (kind, reason) == ("trouble", Reason.FRONTEND_REFUSES_GATE)
    said = f"{code}: {text}" if text else code
    assert detail == (f"nothing is proved; Health.Check, GetClusterInfo, DescribeWorkflowExecution: {said}")
    assert "temporal.frontend.tokenFile" in remedy


@pytest.mark.parametrize(("code", "text"), REFUSALS)
def test_one_who_refuses_the_reads_alone_serves_and_leaves_them_unproved(code: str, text: str) -> None:
    """As Temporal's default authorizer does since 1.20."""
    refusal = aborting(grpc.StatusCode[code], text)
    kind, reason, detail, _ = told({DATABASE: refusal, HISTORY: refusal})
    assert (kind, reason) == ("unproved", Reason.FRONTEND_REFUSES_GATE)
    assert detail.startswith("it says SERVING; GetClusterInfo, DescribeWorkflowExecution: " + code)


def test_what_was_proved_all_the_same_is_said() -> None:
    """A role for the namespace, and none for the cluster."""
    refusal = aborting(grpc.StatusCode.PERMISSION_DENIED, "Request unauthorized.")
    kind, _, detail, _ = told({DATABASE: refusal})
    assert kind == "unproved"
    assert detail == "it says SERVING and it reaches history; GetClusterInfo: PERMISSION_DENIED: Request unauthorized."


def test_reads_that_succeed_prove_more_than_a_health_check_that_is_refused() -> None:
    """A policy by path that lists Temporal's own service alone."""
    assert told({HEALTH: aborting(grpc.StatusCode.PERMISSION_DENIED, "RBAC: access denied")})[0] == "works"


def test_a_fault_behind_a_refusal_is_still_told() -> None:
    answers: dict[Question, Answer | None] = {
        HEALTH: aborting(grpc.StatusCode.PERMISSION_DENIED, "RBAC: access denied"),
        DATABASE: aborting(grpc.StatusCode.UNAVAILABLE, "no usable database connection found"),
    }
    kind, reason, detail, _ = told(answers)
    assert (kind, reason) == ("trouble", Reason.FRONTEND_NOT_SERVING)
    assert detail == "GetClusterInfo fails: UNAVAILABLE: no usable database connection found"


@pytest.mark.parametrize("method", [DATABASE, HISTORY])
def test_a_read_that_is_not_passed_on_is_unproved(method: Question) -> None:
    """A proxy that routes by method; never taken for a history server's answer."""
    kind, reason, detail, _ = told({method: None})
    assert (kind, reason) == ("unproved", Reason.FRONTEND_REFUSES_GATE)
    assert f"{method.method}: UNIMPLEMENTED" in detail


# --- rate limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["namespace rate limit exceeded", "service rate limit exceeded"])
def test_a_rate_limit_is_an_answer_and_no_proof(text: str) -> None:
    kind, reason, detail, _ = told({HISTORY: aborting(grpc.StatusCode.RESOURCE_EXHAUSTED, text)})
    assert (kind, reason) == ("unproved", Reason.FRONTEND_RATE_LIMITED)
    proved = "it says SERVING and it reads its database"
    assert detail == f"{proved}; DescribeWorkflowExecution: RESOURCE_EXHAUSTED: {text}"


@pytest.mark.parametrize("limited", [(HEALTH,), (DATABASE,), (HEALTH, DATABASE)])
def test_a_rate_limit_takes_nothing_from_what_history_proves(limited: tuple[Question, ...]) -> None:
    """It has read the same database."""
    limit = aborting(grpc.StatusCode.RESOURCE_EXHAUSTED, "service rate limit exceeded")
    assert told(dict.fromkeys(limited, limit))[0] == "works"


def test_a_rate_limit_for_all_questions_is_trouble() -> None:
    """Nothing at all is known then."""
    limit = aborting(grpc.StatusCode.RESOURCE_EXHAUSTED, "service rate limit exceeded")
    assert told(dict.fromkeys(Question, limit))[:2] == ("trouble", Reason.FRONTEND_RATE_LIMITED)


# --- silence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "reason"), [(HEALTH, Reason.FRONTEND_UNREACHABLE), (DATABASE, Reason.FRONTEND_NOT_SERVING)]
)
def test_a_question_that_hangs_ends_at_the_deadline(question: Question, reason: Reason) -> None:
    """A frontend that waits for its database must not hold the gate."""
    over = threading.Event()

    def answer(*_: object) -> bytes:
        over.wait(60)
        return b""

    with Server({question: answer}) as server:
        try:
            seen = asked(server.address, 0.3)
        finally:
            over.set()
    finding = seen.trouble if isinstance(seen, Frontend) else seen
    assert finding is not None
    assert (finding.reason, "DEADLINE_EXCEEDED" in finding.detail) == (reason, True)


@pytest.mark.parametrize(
    ("text", "what_to_do"),
    [
        ("no healthy upstream", "A proxy answers"),
        (
            "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
            "A proxy answers",
        ),
        ("logical service temporal-frontend.temporal:7233 is in fail-fast", "A proxy answers"),
        ("temporarily out of order", "Check the frontend's pods"),
    ],
)
@pytest.mark.parametrize("question", [HEALTH, DATABASE])
def test_a_proxy_without_a_frontend_behind_it_is_silence(question: Question, text: str, what_to_do: str) -> None:
    """For the health check; after SERVING what is not known as a proxy's word is the frontend's own."""
    kind, reason, detail, remedy = told({question: aborting(grpc.StatusCode.UNAVAILABLE, text)})
    if question is DATABASE and "proxy" not in what_to_do:
        assert (kind, reason) == ("trouble", Reason.FRONTEND_NOT_SERVING)
    else:
        assert (kind, reason, detail) == ("away", Reason.FRONTEND_UNREACHABLE, f"UNAVAILABLE: {text}")
        assert what_to_do in remedy


@pytest.mark.parametrize("question", [DATABASE, HISTORY])
def test_a_connection_that_is_cut_between_two_questions_is_silence_and_no_trouble_of_temporals(
    question: Question,
) -> None:
    """As a server that is stopped in the middle of a look."""
    cut = threading.Event()

    def answer(*_: object) -> bytes:
        listener.cut()
        cut.wait(10)
        return b""

    with Server({question: answer}) as server, Listener(forwarding(server.address)) as listener:
        seen = asked(listener.address)
        cut.set()
    assert isinstance(seen, Finding)
    assert seen.reason is Reason.FRONTEND_UNREACHABLE


# --- another gRPC server ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "health", [None, aborting(grpc.StatusCode.NOT_FOUND, "unknown service")], ids=["no health", "grpc-go's health"]
)
def test_another_grpc_server_is_told_as_such(health: Answer | None) -> None:
    kind, reason, _, remedy = told({HEALTH: health, DATABASE: None, HISTORY: None})
    assert (kind, reason) == ("away", Reason.FRONTEND_NOT_TEMPORAL)
    assert "gRPC port (7233)" in remedy


# --- HTTP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "away", Reason.FRONTEND_NOT_TEMPORAL),
        (301, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (302, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (307, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (400, "away", Reason.FRONTEND_NOT_TEMPORAL),
        (401, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (403, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (404, "away", Reason.FRONTEND_NOT_TEMPORAL),
        (405, "away", Reason.FRONTEND_NOT_TEMPORAL),
        (407, "trouble", Reason.FRONTEND_REFUSES_GATE),
        (415, "away", Reason.FRONTEND_NOT_TEMPORAL),
        (429, "trouble", Reason.FRONTEND_RATE_LIMITED),
        (500, "away", Reason.FRONTEND_UNREACHABLE),
        (502, "away", Reason.FRONTEND_UNREACHABLE),
        (503, "away", Reason.FRONTEND_UNREACHABLE),
        (504, "away", Reason.FRONTEND_UNREACHABLE),
    ],
)
def test_a_page_in_place_of_grpc_is_told_by_its_status(status: int, kind: str, reason: Reason) -> None:
    """As nginx, a load balancer or oauth2-proxy answers over HTTP/2."""
    page = http2({":status": str(status), "content-type": "text/html"}, b"<html>sorry</html>")
    with Listener(page) as listener:
        seen = asked(listener.address)
    finding = seen if isinstance(seen, Finding) else seen.trouble
    assert finding is not None
    assert ("away" if isinstance(seen, Finding) else "trouble", finding.reason) == (kind, reason)
    assert f"status: {status}" in finding.detail or status == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"grpc-status": "7", "grpc-message": "RBAC: access denied"}, Reason.FRONTEND_REFUSES_GATE),
        ({"grpc-status": "16", "grpc-message": "Jwt is missing"}, Reason.FRONTEND_REFUSES_GATE),
        ({"grpc-status": "12"}, Reason.FRONTEND_NOT_TEMPORAL),
        ({"grpc-status": "0"}, Reason.FRONTEND_NOT_TEMPORAL),
        ({"grpc-status": "99"}, Reason.FRONTEND_NOT_SERVING),
        ({"grpc-status": "13", "grpc-message": "%FF%FE"}, Reason.FRONTEND_NOT_SERVING),
        ({}, Reason.FRONTEND_NOT_TEMPORAL),
    ],
)
def test_a_proxys_own_grpc_answer_is_told_by_its_code(headers: dict[str, str], reason: Reason) -> None:
    with Listener(http2({":status": "200", "content-type": "application/grpc"} | headers)) as listener:
        seen = asked(listener.address)
    finding = seen if isinstance(seen, Finding) else seen.trouble
    assert finding is not None
    assert finding.reason is reason


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\r\n",  # a web server, a forward proxy
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",  # Go's net/http
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_a_server_that_speaks_something_else_is_told_as_such(content: bytes) -> None:
    """Temporal's own HTTP port, its web interface or a proxy's port are the likely mistakes."""
    with Listener(banner(content)) as listener:
        seen = asked(listener.address)
    assert isinstance(seen, Finding)
    assert (seen.reason, "Failed parsing HTTP/2" in seen.detail) == (Reason.FRONTEND_NOT_TEMPORAL, True)


# --- names, ports, TLS --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    return file


def tls(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("host", ["frontend.invalid", "tls-certificate-handshake-failed-ssl.invalid"])
def test_a_name_that_does_not_resolve_is_unreachable(
    host: str,
    encrypted: bool,  # noqa: FBT001 -- a case of the test
    ca: Path,
) -> None:
    """A name that talks of TLS is no fault of TLS."""
    seen = asked(f"{host}:7233", ca=ca if encrypted else None)
    assert isinstance(seen, Finding)
    assert (seen.reason, host in seen.detail) == (Reason.FRONTEND_UNREACHABLE, True)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_an_unused_port_is_unreachable(
    encrypted: bool,  # noqa: FBT001 -- a case of the test
    ca: Path,
) -> None:
    """As during every rollout of Temporal."""
    seen = asked(f"127.0.0.1:{free_port()}", ca=ca if encrypted else None)
    assert isinstance(seen, Finding)
    assert (seen.reason, "Connection refused" in seen.detail) == (Reason.FRONTEND_UNREACHABLE, True)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)], ids=["none", "http/1.1"])
def test_a_tls_server_that_does_not_offer_http2_is_a_fault_of_tls(
    protocols: tuple[str, ...], authority: trustme.CA, ca: Path
) -> None:
    """A load balancer that ends TLS for TCP, or a web server."""
    page = http2({":status": "200"})
    with Listener(page, tls(authority, *protocols)) as listener:
        seen = asked(listener.address, ca=ca)
    assert isinstance(seen, Finding)
    assert (seen.reason, "ALPN" in seen.detail, "ALPN" in seen.remedy) == (Reason.FRONTEND_TLS_REFUSED, True, True)


@pytest.mark.parametrize("content", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH\r\n"])
def test_tls_to_a_server_that_speaks_none_is_a_fault_of_tls(content: bytes, ca: Path) -> None:
    with Listener(banner(content)) as listener:
        seen = asked(listener.address, ca=ca)
    assert isinstance(seen, Finding)
    assert (seen.reason, "does not speak TLS" in seen.remedy) == (Reason.FRONTEND_TLS_REFUSED, True)


def test_plain_text_to_a_tls_server_is_unreachable_and_the_remedy_speaks_of_tls(authority: trustme.CA) -> None:
    """It only closes, as a proxy without a backend does; so it is waited for."""
    with Listener(http2({":status": "200"}), tls(authority, "h2")) as listener:
        seen = asked(listener.address)
    assert isinstance(seen, Finding)
    assert (seen.reason, "wants TLS" in seen.remedy) == (Reason.FRONTEND_UNREACHABLE, True)


# --- the table ----------------------------------------------------------------------------------------------------


def test_every_row_has_its_source_and_can_be_reached() -> None:
    """No row stands behind one that takes all of its answers."""
    assert all(row.source for row in TABLE)
    for number, row in enumerate(TABLE):
        for before in TABLE[:number]:
            takes_all = before.code in {None, row.code} and before.text in {"", row.text}
            assert not (takes_all and set(row.questions) <= set(before.questions)), row


@pytest.mark.parametrize("code", grpc.StatusCode)
@pytest.mark.parametrize("question", Question)
def test_every_answer_has_a_verdict_and_only_a_missing_workflow_is_a_proof(
    question: Question, code: grpc.StatusCode
) -> None:
    for text in ("", "boom", "Namespace temporal-system is not found.", NO_ROWS):
        proves = question is HISTORY and code is grpc.StatusCode.NOT_FOUND and text == NO_ROWS
        assert (verdict(question, code, text).reason is None) is proves
