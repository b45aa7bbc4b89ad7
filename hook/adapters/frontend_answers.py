"""What each answer to a question at Temporal's frontend says of it. One table, pure data.

The texts are those of Temporal 1.17 to 1.31 and of its main branch in August 2026 (temporalio/temporal), of grpc-core as
grpcio 1.85 shows them (run), and of the proxies that people put before a frontend. Each row names its source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from grpc import StatusCode

from hook.observation.reasons import Reason


class Question(Enum):
    """What is asked, in this order: the method's name, and what a good answer proves."""

    HEALTH = ("Health.Check", "it says SERVING")
    DATABASE = ("GetClusterInfo", "it reads its database")
    HISTORY = ("DescribeWorkflowExecution", "it reaches history")

    def __init__(self, method: str, proof: str) -> None:
        """Give each part a name."""
        self.method = method
        self.proof = proof


@dataclass(frozen=True)
class Row:
    """The answers that it is for, and what they mean: a reason, or None where the answer is the proof that was asked for.

    ``code`` None stands for every code, ``text`` is looked for without regard to case, ``remedy`` is given where the
    reason's own is too general.
    """

    questions: tuple[Question, ...]
    code: StatusCode | None
    text: str
    reason: Reason | None
    source: str
    remedy: str = ""

    def fits(self, question: Question, code: StatusCode, text: str) -> bool:
        """Tell whether it is for this answer."""
        return (
            question in self.questions
            and self.code in {None, code}
            and re.search(self.text, text, re.IGNORECASE) is not None
        )


def verdict(question: Question, code: StatusCode, text: str) -> Row:
    """Return the first row that fits; the last ones fit everything."""
    return next(row for row in TABLE if row.fits(question, code, text))


_ALL = tuple(Question)
_HEALTH = (Question.HEALTH,)
_DATABASE = (Question.DATABASE,)
_HISTORY = (Question.HISTORY,)
_READS = (Question.DATABASE, Question.HISTORY)

_GRPC_STATUS = "doc/http-grpc-status-mapping.md of grpc/grpc; the text by grpcio 1.85 (run)"
_NO_UPSTREAM = "no healthy upstream|upstream connect error|fail-?fast"
_HTTP = "^received http2 header with status: "

_SPEAKS_PLAIN_TEXT = (
    "The server at this address does not speak TLS. Remove temporal.frontend.tls, or name the port that speaks TLS."
)
_OFFERS_NO_ALPN = "gRPC needs ALPN with h2. Enable it where TLS ends before the frontend, or name the frontend itself."
_MAY_WANT_TLS = (
    "Check the frontend's pods, its Service and address, and network policies. A server that wants TLS or a client "
    "certificate closes the connection in the same way: set temporal.frontend.tls as it asks."
)
_PROXY_WITHOUT_FRONTEND = (
    "A proxy answers and does not reach the frontend. Check the frontend's pods, and the proxy's route to them."
)
_DATABASE_AWAY = "Check the database, then compare the servers' database settings and Secret with the gate's."
_RESTART = "Restart Temporal's servers: they write what is missing when they start."
_HISTORY_AWAY = "Wait until a history server owns the shard. If it stays so, read the log of the history pods."

TABLE = (
    # --- no gRPC server answered: TLS and connections. Only the first question opens a connection; the texts of later
    # answers may speak of TLS or of refused connections, too, and mean those to Temporal's database.
    Row(
        _HEALTH, StatusCode.UNAVAILABLE, "missing selected alpn|invalid alpn", Reason.FRONTEND_TLS_REFUSED,
        "grpc-core, security_connector (grpc_ssl_check_alpn): any TLS server that does not offer h2 (run)", _OFFERS_NO_ALPN,
    ),
    Row(
        _HEALTH, StatusCode.UNAVAILABLE, "wrong_version_number", Reason.FRONTEND_TLS_REFUSED,
        "BoringSSL, for whatever is no TLS record (run)", _SPEAKS_PLAIN_TEXT,
    ),
    Row(
        _HEALTH, StatusCode.UNAVAILABLE,
        # None of them can be a part of a host name, which the text holds, too.
        "handshake failed|security handshaker|verification check failed|not in peer certificate|unwrap failed",
        Reason.FRONTEND_TLS_REFUSED,
        "grpc-core (run); unwrap fails where Temporal refuses a client certificate, which it does after the handshake",
    ),
    Row(
        _HEALTH, StatusCode.UNAVAILABLE, "failed parsing http/2|http1.x server", Reason.FRONTEND_NOT_TEMPORAL,
        "grpc-core, for HTTP/1.1 and anything else that is not HTTP/2 (run)",
    ),
    Row(
        _ALL, StatusCode.UNAVAILABLE,
        "^(failed to connect to all addresses.*(socket closed|connection reset|broken pipe)|socket closed|stream removed"
        "|recvmsg|sendmsg|connection reset|broken pipe)",
        Reason.FRONTEND_UNREACHABLE, "grpc-core: the server, or a proxy without a backend, closed (run)", _MAY_WANT_TLS,
    ),
    Row(
        _ALL, StatusCode.UNAVAILABLE,
        "^(failed to connect to all addresses|errors resolving|dns resolution failed|endpoint closed|goaway)",
        Reason.FRONTEND_UNREACHABLE, "grpc-core: name not found, connection refused, connection lost (run)",
    ),
    # --- a proxy answered
    Row(
        _READS, StatusCode.UNIMPLEMENTED, "", Reason.FRONTEND_REFUSES_GATE,
        "a route by method or path: gRPC's answer to an unknown method, envoy's and nginx' to an unknown route (HTTP 404)",
    ),
    Row(
        _ALL, None, _HTTP + "(30[12378]|401|403|407)", Reason.FRONTEND_REFUSES_GATE,
        f"{_GRPC_STATUS}; oauth2-proxy redirects to its login (302), nginx and load balancers answer 401 and 403",
    ),
    Row(_ALL, None, _HTTP + "429", Reason.FRONTEND_RATE_LIMITED, f"{_GRPC_STATUS}; RFC 6585"),
    Row(_ALL, None, _HTTP + "5", Reason.FRONTEND_UNREACHABLE, _GRPC_STATUS, _PROXY_WITHOUT_FRONTEND),
    Row(_ALL, None, _HTTP, Reason.FRONTEND_NOT_TEMPORAL, f"{_GRPC_STATUS}; 404 where nothing is routed"),
    Row(
        _ALL, StatusCode.UNKNOWN, "^no status received|end_stream flag received", Reason.FRONTEND_NOT_TEMPORAL,
        "grpc-core, for an HTTP/2 answer without gRPC's trailers, such as a page with status 200 (run)",
    ),
    Row(
        _HISTORY, StatusCode.UNAVAILABLE, f"^connection error: desc|{_NO_UPSTREAM}", Reason.FRONTEND_NOT_SERVING,
        "grpc/grpc-go, or a mesh's proxy: the frontend has answered before, and passes on that history does not",
        _HISTORY_AWAY,
    ),
    Row(
        _ALL, StatusCode.UNAVAILABLE, _NO_UPSTREAM, Reason.FRONTEND_UNREACHABLE,
        "envoyproxy/envoy#18511; linkerd/linkerd2-proxy, fail-fast", _PROXY_WITHOUT_FRONTEND,
    ),
    # --- who asks is refused: by Temporal's authorizer (before the frontend's own health is asked), a mesh or a proxy
    Row(
        _ALL, StatusCode.PERMISSION_DENIED, "", Reason.FRONTEND_REFUSES_GATE,
        'common/authorization/interceptor.go ("Request unauthorized."): all three questions where the token is bad, the two '
        "reads where there is none and since 1.20 (default_authorizer.go: before, temporal-system was open to all); "
        'istio/istio#20479 ("RBAC: access denied"); linkerd/linkerd2#13013 ("unauthorized request on route")',
    ),
    Row(
        _ALL, StatusCode.UNAUTHENTICATED, "", Reason.FRONTEND_REFUSES_GATE,
        'istio/istio#27292 ("Jwt is missing", of envoy\'s jwt_authn)',
    ),
    Row(
        _ALL, StatusCode.RESOURCE_EXHAUSTED, "", Reason.FRONTEND_RATE_LIMITED,
        'temporalio/temporal common/rpc/interceptor/rate_limit.go ("service rate limit exceeded"), '
        'namespace_rate_limit.go ("namespace rate limit exceeded")',
    ),
    # --- another gRPC server
    Row(
        _HEALTH, StatusCode.UNIMPLEMENTED, "", Reason.FRONTEND_NOT_TEMPORAL,
        "gRPC: a server without this method; envoy answers so where no route matches",
    ),
    Row(
        _HEALTH, StatusCode.NOT_FOUND, "", Reason.FRONTEND_NOT_TEMPORAL,
        'grpc/grpc-go health/server.go ("unknown service"): no WorkflowService behind this health check',
    ),
    # --- Temporal's frontend
    Row(_HEALTH, StatusCode.UNAVAILABLE, "", Reason.FRONTEND_UNREACHABLE, "Temporal's health check never says so"),
    Row(_HEALTH, StatusCode.DEADLINE_EXCEEDED, "", Reason.FRONTEND_UNREACHABLE, "no answer in time"),
    Row(
        _DATABASE, StatusCode.NOT_FOUND, "", Reason.FRONTEND_NOT_SERVING,
        "common/persistence/sql/common.go, with an empty cluster_metadata_info: "
        '"GetClusterMetadata failed. Error: sql: no rows in result set" (1.17 to main; run with 1.29.1)', _RESTART,
    ),
    Row(
        _HISTORY, StatusCode.NOT_FOUND, "^namespace", Reason.FRONTEND_NOT_SERVING,
        'api-go serviceerror/namespace_not_found.go: "Namespace temporal-system is not found." is said by the frontend '
        "alone; every server registers it at its start", _RESTART,
    ),
    Row(
        _HISTORY, StatusCode.NOT_FOUND, "workflow|execution|^sql: no rows in result set", None,
        'common/persistence/execution_manager.go, "workflow not found for ID: …" (1.25 to main); sql/execution.go, "sql: no '
        'rows in result set" and "Workflow executionsRow not found" (1.17 to 1.24); '
        'service/history/consts/const.go, "workflow execution not found", "workflow execution already completed"',
    ),
    Row(
        _READS, StatusCode.UNAVAILABLE, "^frontend is not healthy yet", Reason.FRONTEND_NOT_SERVING,
        "common/rpc/interceptor/health.go, since 1.24",
    ),
    Row(
        _READS, StatusCode.UNAVAILABLE, "^not enough hosts to serve the request|^shard (status unknown|unavailable)",
        Reason.FRONTEND_NOT_SERVING,
        "common/membership/interfaces.go, service/history/shard/context_impl.go (1.17 to main), "
        "common/rpc/interceptor/frontend_service_error.go", _HISTORY_AWAY,
    ),
    Row(
        _READS, StatusCode.UNAVAILABLE, "no usable database connection found|database connection lost|operation failed. err",
        Reason.FRONTEND_NOT_SERVING,
        "common/persistence/sql/sqlplugin/db_handle.go (since 1.25), common/persistence/sql/common.go (1.17 to main)",
        _DATABASE_AWAY,
    ),
    Row(_ALL, None, "", Reason.FRONTEND_NOT_SERVING, "whatever else it says, it answers and does not do what was asked"),
)  # fmt: skip
