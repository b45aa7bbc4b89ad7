"""Asks Temporal's frontend by gRPC whether it serves, and proves it by reads that need the database and a history server.

SERVING alone proves nothing: it goes on saying so over dropped databases (seen, 1.29.1). GetClusterInfo reads the cluster
metadata, but through the frontend alone: no workflow started for half a minute while it answered, because no history server
was in the ring yet (seen, 1.29.1). So a workflow that is not there is asked for as well. Both need no generated code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hook.observation.findings import Finding, FindingError
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
"""The name that turns NOT_SERVING until the membership is up; the empty name says SERVING from the first moment (seen)."""

_SYSTEM_NAMESPACE = "temporal-system"
"""Registered by the servers themselves, whatever the bootstrap did (common/primitives/namespaces.go)."""

_NOT_THERE = "temporal-recovery-hook-probe"

_NO_HISTORY = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
"""How it fails where no history server owns the workflow's shard ("Not enough hosts to serve the request", "shard status
unknown") or the shard's database is gone. NOT_FOUND is the right answer; a limit or an authorizer answers before history."""

_TLS_SIGNS = (
    "handshake failed",
    "security handshaker",
    "verification check failed",
    "not in peer certificate",
    "unwrap failed",
)
"""What gRPC's text holds when two sides do not agree on TLS (run): it has no status code of its own for that.

None of them can be a part of a host name, which the text holds too. Unwrap fails where Temporal's own server refuses the
client certificate: it does so after the handshake."""

_CLOSED_SIGNS = ("socket closed", "connection reset", "broken pipe")
"""What is seen of a server that closes at once. It may want TLS, or a client certificate, but a proxy without a backend
does the same: so it counts as unreachable."""

_AN_AUTHORIZER_ANSWERED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}


class FrontendClient:
    """A channel to the frontend, made anew when its certificates change or it broke."""

    def __init__(
        self,
        address: str,
        timeout_seconds: float,
        credentials: Callable[[], grpc.ChannelCredentials | None],
        server_name: str | None = None,
    ) -> None:
        """Connect nothing yet; ``credentials`` is asked for each channel, None means plain text."""
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._options = [
            ("grpc.enable_http_proxy", 0),
            *([("grpc.ssl_target_name_override", server_name)] if server_name else []),
        ]
        self._channel: grpc.Channel | None = None
        self._encrypted = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the channel."""
        self.close()

    def close(self) -> None:
        """Close the channel, if there is one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def look(self) -> Frontend:
        """Return whether the frontend works; raise `FindingError` when it cannot be asked."""
        about = f"frontend {self._address}"
        try:
            channel = self._open()
            return Frontend(self._trouble(channel, about))
        except grpc.RpcError as error:
            self.close()
            raise FindingError(_finding(about, error, encrypted=self._encrypted)) from error
        except OSError as error:
            raise FindingError(Finding(Reason.FRONTEND_TLS_REFUSED, about, f"certificate files: {error}")) from error

    def _open(self) -> grpc.Channel:
        if self._channel is None:
            credentials = self._credentials()
            self._encrypted = credentials is not None
            self._channel = (
                grpc.insecure_channel(self._address, self._options)
                if credentials is None
                else grpc.secure_channel(self._address, credentials, self._options)
            )
        return self._channel

    def _trouble(self, channel: grpc.Channel, about: str) -> Finding | None:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=_SERVICE)
        status = health.Check(request, timeout=self._timeout_seconds).status
        if status != health_pb2.HealthCheckResponse.SERVING:
            said = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            return Finding(Reason.FRONTEND_NOT_SERVING, about, f"it says {said}")
        for method, message, says_otherwise in (
            ("GetClusterInfo", b"", _says_no_database),
            ("DescribeWorkflowExecution", _describe_workflow(_SYSTEM_NAMESPACE, _NOT_THERE), _says_no_history),
        ):
            call = channel.unary_unary(f"/{_SERVICE}/{method}", request_serializer=bytes, response_deserializer=bytes)
            try:
                call(message, timeout=self._timeout_seconds)
            except grpc.RpcError as error:
                code, details = _status(error)
                if says_otherwise(code):
                    detail = f"it says SERVING, but {method} fails: {code.name}: {details}"
                    return Finding(Reason.FRONTEND_NOT_SERVING, about, detail)
        return None


def _says_no_database(code: grpc.StatusCode) -> bool:
    return code not in _AN_AUTHORIZER_ANSWERED


def _says_no_history(code: grpc.StatusCode) -> bool:
    return code in _NO_HISTORY


def _describe_workflow(namespace: str, workflow_id: str) -> bytes:
    """DescribeWorkflowExecutionRequest: field 1 the namespace, field 2 an execution, whose field 1 is the workflow's id."""
    return _field(1, namespace.encode()) + _field(2, _field(1, workflow_id.encode()))


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def tls_credentials(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> grpc.ChannelCredentials:
    """Return channel credentials from files read now; raise OSError when one cannot be read."""
    ca, key, cert = (file.read_bytes() if file else None for file in (ca_file, key_file, cert_file))
    return grpc.ssl_channel_credentials(ca, key, cert)


def _status(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Return code and text of a failed call: grpc's errors are calls too, which its types do not say."""
    call = cast("grpc.Call", error)
    return call.code(), " ".join((call.details() or "").split())


def _finding(about: str, error: grpc.RpcError, *, encrypted: bool) -> Finding:
    code, details = _status(error)
    detail = f"{code.name}: {details}"
    if code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}:
        return Finding(
            Reason.FRONTEND_NOT_SERVING, about, "no WorkflowService behind this address: is it the frontend?"
        )
    if code is grpc.StatusCode.UNAVAILABLE and any(sign in details.lower() for sign in _TLS_SIGNS):
        return Finding(Reason.FRONTEND_TLS_REFUSED, about, detail)
    if code is grpc.StatusCode.UNAVAILABLE and any(sign in details.lower() for sign in _CLOSED_SIGNS):
        wanted = "a client certificate, or no TLS" if encrypted else "TLS"
        detail += f" (it may want {wanted})"
    return Finding(Reason.FRONTEND_UNREACHABLE, about, detail)
