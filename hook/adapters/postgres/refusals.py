"""What the errors of PostgreSQL, of libpq, and of the poolers and providers in front of a database mean.

libpq gives no SQLSTATE for a failed connection (run), so its English text decides there. Sources of the texts:

- PostgreSQL: src/backend/libpq/auth.c, utils/init/{postinit,miscinit}.c, storage/lmgr/proc.c, tcop/backend_startup.c;
  libpq: src/interfaces/libpq/fe-{connect,secure-openssl,protocol3}.c
- PgBouncer: src/{client,objects,server,util}.c, the texts of disconnect_client
- Supavisor: lib/supavisor/errors/*.ex; before supavisor PR 841 "Tenant or user not found", "Max client connections reached"
- RDS Proxy: anomalyco/sst 5161, aws/aws-secretsmanager-jdbc 222, PostHog PR 64084,
  aws-samples/aws-secrets-manager-rotation-lambdas 103, psycopg/psycopg2 1577
- Azure: microsoft/azuredatastudio-postgresql 505, Azure-Samples/rag-postgres-openai-python 161,
  cyrilgdn/terraform-provider-postgresql 60
- Cloud SQL: GoogleCloudPlatform/cloud-sql-proxy 849, cloud-sql-jdbc-socket-factory 727
- Pgpool-II: src/protocol/child.c; Odyssey: sources/frontend.c; CockroachDB: pkg/sql/pgwire/server.go
- Neon: proxy/src/{auth/mod.rs,tls/mod.rs,auth/credentials.rs,control_plane/errors.rs}, its page "Connection errors"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hook.observation.findings import Finding
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    import psycopg

_AT_THE_POOLER = (
    "The pooler or provider in front of PostgreSQL answers, and PostgreSQL does not answer it: check that PostgreSQL runs, "
    "and the pooler's own log."
)
_AS_TENANT = (
    "Take user and host as the provider shows them: its pooler knows the database by them (Supabase: postgres.<project>; "
    "Neon: the endpoint's own host name)."
)
_BY_ADDRESS = (
    "Allow the address that the gate's pods come from, in the provider's firewall or allow list, or in pg_hba.conf."
)
_BY_TOKEN = "The password must be a fresh access token (Entra ID, IAM): check what writes it into the Secret."  # noqa: S105 -- a remedy
_BY_METHOD = (
    "The server or the pooler does not offer what channel_binding or require_auth of the DSN asks for: leave it out, or "
    "log in over TLS at the server itself."
)
_AT_THE_PROXY = "Give the RDS Proxy a secret with this role's present user name and password."

_HBA = r"pg_hba\.conf (entry|rejects) "

_REFUSALS: tuple[tuple[tuple[str, ...], Reason, str], ...] = (
    (
        (
            "too many clients",
            "connection slots are reserved",
            "too many connections",
            "no more connections allowed",
            "client connections exceeded",
            "max (client|proxy) connections reached",
            "max clients reached",
            "max pools count reached",
            "check out connection from the pool",
            "waiting to acquire database connection",
            "connection attempts are currently ongoing",
            "limit of concurrently active endpoints",
            "could not fork new process",
        ),
        Reason.DATABASE_CONNECTIONS_EXHAUSTED,
        "",
    ),
    # --- by target_session_attrs of a DSN, which libpq asks for before it hands the session out
    (("session is read-only",), Reason.DATABASE_READ_ONLY, ""),
    (("server is in hot standby mode",), Reason.DATABASE_IN_RECOVERY, ""),
    # --- who may log in
    (
        ("channel binding", "authentication method requirement"),
        Reason.DATABASE_LOGIN_REFUSED,
        _BY_METHOD,
    ),
    (
        ("no credentials for the role", "provided for the role .+ is wrong"),
        Reason.DATABASE_LOGIN_REFUSED,
        _AT_THE_PROXY,
    ),
    (
        ("access token", "AAD_AUTH", r"\b(PAM|IAM)\b.* authentication failed"),
        Reason.DATABASE_LOGIN_REFUSED,
        _BY_TOKEN,
    ),
    (
        (
            r"tenant( or user|/user \S+)? not found",
            "no tenant identifier",
            "invalid format for user or db_name",
            "user not found in the database",
            "endpoint id is not specified",
            "endpoint could not be found",
            "inconsistent project name",
            "username should be in",
        ),
        Reason.DATABASE_LOGIN_REFUSED,
        _AS_TENANT,
    ),
    (
        (
            r"\w+ authentication failed",
            "role N does not exist",
            "no such user",
            "no password supplied",
            "is not permitted to log in",
            "empty password returned",
            "login rejected",
            "no username supplied",
        ),
        Reason.DATABASE_LOGIN_REFUSED,
        "",
    ),
    (
        ("not in tenant allow_list", "is not allowed to connect to this endpoint", "from a blocked network"),
        Reason.DATABASE_LOGIN_REFUSED,
        _BY_ADDRESS,
    ),
    # --- the database
    (("database N does not exist", "no such database", "route for N is not found"), Reason.DATABASE_MISSING, ""),
    (("permission denied for database",), Reason.DATABASE_PERMISSION_DENIED, ""),
    (
        ("endpoint has been disabled", "compute time quota", "tenant is banned", r"database \S+ is disabled"),
        Reason.DATABASE_SUSPENDED,
        "",
    ),
    (
        (
            "not currently accepting connections",
            "not accepting clients",
            "database system is",
            "pooler is shutting down",
            "server shutting down",
        ),
        Reason.DATABASE_NOT_ACCEPTING,
        "",
    ),
    (
        (
            "unsupported (options )?startup parameter",
            "command-line (options|argument)",
            "unrecognized configuration parameter",
            r"invalid (connection option|integer value|port number|\w+ value)",
            "invalid value for parameter",
            "permission denied to set parameter",
        ),
        Reason.DATABASE_OPTIONS_REFUSED,
        "",
    ),
    # --- TLS, and what looks like it
    (("(certificate|key) file", "(certificate|key) paths"), Reason.DATABASE_TLS_FILE_UNUSABLE, ""),
    ((rf"{_HBA}.*(SSL encryption|SSL on)",), Reason.DATABASE_LOGIN_REFUSED, _BY_ADDRESS),
    ((rf"{_HBA}.*(no encryption|SSL off)",), Reason.DATABASE_TLS_REFUSED, ""),
    ((_HBA,), Reason.DATABASE_LOGIN_REFUSED, _BY_ADDRESS),
    (
        (r"invalid response to \w+ negotiation", "expected authentication request from server, but received"),
        Reason.DATABASE_NOT_POSTGRES,
        "",
    ),
    # A balancer without a server behind it, or a server that crashes: it may be there in a moment.
    (
        ("unexpected eof", "EOF detected", "closed unexpectedly", "closed the connection", "reset by peer"),
        Reason.DATABASE_UNREACHABLE,
        "",
    ),
    (
        (
            "server login has been failing",
            "cannot connect",
            "connect failed",
            "client_login_timeout",
            "query_wait_timeout",
            "server dns lookup",
            "server conn crashed",
            "circuit breaker open",
            "pgpool is not accepting",
            "backend nodes are down",
            "connect to compute node",
            "control plane request failed",
        ),
        Reason.DATABASE_UNREACHABLE,
        _AT_THE_POOLER,
    ),
    (("SSL", "certificate", "tlsv1", r"\bTLS\b"), Reason.DATABASE_TLS_REFUSED, ""),
)
"""The first that matches counts, whatever its letters' case. N is a quoted name.

Under sslmode prefer libpq tries a refused login again without TLS, and with several hosts one after the other; its text
tells of all. What was said of a login counts before what was said of TLS."""

_QUOTED_NAME = re.compile(r"\"[^\"]*\"|'[^'\s]*'")
"""Names are taken out before the text is judged: a role may be called certificate_manager, a host SSL-DB."""

_ERROR_RESPONSE = re.compile(r"failed: [^\Wa-z\d_]{3,}:")
"""What libpq writes before the words of an error that was sent: its severity, FATAL in English (SSL error: has a blank)."""

_STATES: tuple[tuple[str, Reason], ...] = (
    ("42501", Reason.DATABASE_PERMISSION_DENIED),
    ("53300", Reason.DATABASE_CONNECTIONS_EXHAUSTED),
    ("57014", Reason.DATABASE_BUSY),
    ("55P03", Reason.DATABASE_BUSY),
    ("25P0", Reason.DATABASE_BUSY),
    ("57P0", Reason.DATABASE_NOT_ACCEPTING),
    ("08", Reason.DATABASE_UNREACHABLE),
)
"""SQLSTATEs of statements, by their beginning (PostgreSQL's documentation, "Error Codes"); any other is the statement's own
fault. 57014 is statement_timeout, 25P0x the timeouts of transactions, 57P0x a server that stops, starts or was crashed."""


def finding(about: str, error: psycopg.Error) -> Finding:
    """Translate psycopg's error. Its text may hold user and host, never the password (libpq leaves it out)."""
    text = " ".join(str(error).split())
    state = error.sqlstate
    # A pooler logs a client in by itself, and refuses it at the first statement where it has no server for it.
    refused = state is None or error.diag.severity == "FATAL"
    told = _QUOTED_NAME.sub("N", text)
    for phrases, reason, remedy in _REFUSALS if refused else ():
        if any(re.search(phrase, told, re.IGNORECASE) for phrase in phrases):
            return Finding(reason, about, text, remedy)
    if state is None:
        has_answered = _ERROR_RESPONSE.search(told) is not None
        return Finding(Reason.DATABASE_ERROR if has_answered else Reason.DATABASE_UNREACHABLE, about, text)
    known = (reason for start, reason in _STATES if state.startswith(start))
    return Finding(next(known, Reason.DATABASE_ERROR), about, f"{text} (SQLSTATE {state})")
