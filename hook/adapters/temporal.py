"""Asks Temporal's frontend by gRPC whether it serves, and proves it by reads that need the database and a history server.

SERVING alone proves nothing: it goes on saying so over dropped databases (seen, 1.29.1). GetClusterInfo reads the cluster
metadata, but through the frontend alone: no workflow started for half a minute while it answered, because no history server
was in the ring yet (seen, 1.29.1). So a workflow that is not there is asked for as well. Both need no generated code.
What an answer means stands in ``frontend_answers``.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hook.adapters.frontend_answers import Question, verdict
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.observation import Frontend
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_SERVICE = "temporal.api.workflowservice.v1.WorkflowService"
"""The name that turns NOT_SERVING until the membership is up; the empty name says SERVING from the first moment (seen)."""

_SYSTEM_NAMESPACE = "temporal-system"
"""Registered by the servers themselves, whatever the bootstrap did (common/primitives/namespaces.go)."""

_NOT_THERE = "temporal-recovery-hook-probe"

_NOT_ASKED = {Reason.FRONTEND_UNREACHABLE, Reason.FRONTEND_TLS_REFUSED, Reason.FRONTEND_NOT_TEMPORAL}
"""The frontend itself did not answer."""

_UNPROVED = {Reason.FRONTEND_REFUSES_GATE, Reason.FRONTEND_RATE_LIMITED}
"""It answered, but not what was asked: the other questions may still be answered."""

_SHOWN_CHARACTERS = 500
"""Of an answer's text: a proxy may put a page into it."""

Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Answer:
    """What came back, in words, and what it means: a reason, or None where it is the proof that was asked for."""

    reason: Reason | None
    words: str
    remedy: str = ""
    cause: grpc.RpcError | None = None


class FrontendClient:
    """Asks one frontend, each time by a connection of its own.

    Behind a balancer a connection stays with one server. One that is kept would go on showing the same server, sick or
    well; a new one takes what the balancer gives, and the certificates and the token as they are now. It costs
    milliseconds (measured).
    """

    def __init__(
        self,
        address: str,
        timeout_seconds: float,
        credentials: Callable[[], grpc.ChannelCredentials | None],
        server_name: str | None = None,
        authorization: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Connect nothing yet.

        ``credentials`` None means plain text; ``authorization`` is the header of that name. Both are asked for at each look.
        """
        self._address = address
        self._timeout_seconds = timeout_seconds
        self._credentials = credentials
        self._authorization = authorization
        self._options = [
            ("grpc.enable_http_proxy", 0),
            # Else a connection in back-off would be taken over from the look before.
            ("grpc.use_local_subchannel_pool", 1),
            *([("grpc.ssl_target_name_override", server_name)] if server_name else []),
        ]

    def look(self) -> Frontend:
        """Return whether the frontend works; raise `FindingError` when it cannot be asked."""
        about = f"frontend {self._address}"
        with self._connected(about) as (channel, metadata):
            answers: dict[Question, _Answer] = {}
            for question, ask in _ASKED.items():
                answer = self._answer(question, ask, channel, metadata)
                if answer.reason in _NOT_ASKED:
                    raise FindingError(Finding(answer.reason, about, answer.words, answer.remedy)) from answer.cause
                if answer.reason is not None and answer.reason not in _UNPROVED:
                    return Frontend(
                        Finding(answer.reason, about, _in_its_place(question, answers, answer), answer.remedy)
                    )
                answers[question] = answer
        return _frontend(about, answers)

    @contextmanager
    def _connected(self, about: str) -> Iterator[tuple[grpc.Channel, Metadata]]:
        try:
            credentials = self._credentials()
        except OSError as error:
            raise FindingError(Finding(Reason.FRONTEND_TLS_REFUSED, about, f"certificate files: {error}")) from error
        try:
            authorization = self._authorization()
        except OSError as error:
            raise FindingError(Finding(Reason.FRONTEND_REFUSES_GATE, about, f"token file: {error}")) from error
        with (
            grpc.insecure_channel(self._address, self._options)
            if credentials is None
            else grpc.secure_channel(self._address, credentials, self._options)
        ) as channel:
            yield channel, (("authorization", authorization),) if authorization else ()

    def _answer(
        self,
        question: Question,
        ask: Callable[[grpc.Channel, float, Metadata], _Answer],
        channel: grpc.Channel,
        metadata: Metadata,
    ) -> _Answer:
        try:
            return ask(channel, self._timeout_seconds, metadata)
        except grpc.RpcError as error:
            call = cast("grpc.Call", error)  # what a stub raises is a call as well, which no type says
            code, text = call.code(), " ".join((call.details() or "").split())
            row = verdict(question, code, text)
            words = f"{code.name}: {shortened(text, _SHOWN_CHARACTERS)}" if text else code.name
            return _Answer(row.reason, words, row.remedy, error)


def _ask_for_health(channel: grpc.Channel, timeout_seconds: float, metadata: Metadata) -> _Answer:
    request = health_pb2.HealthCheckRequest(service=_SERVICE)
    response = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_seconds, metadata=metadata)
    if _is_empty(response):
        return _EMPTY
    if response.status == health_pb2.HealthCheckResponse.SERVING:
        return _Answer(None, "SERVING")
    known = {number: name for name, number in health_pb2.HealthCheckResponse.ServingStatus.items()}
    return _Answer(Reason.FRONTEND_NOT_SERVING, known.get(response.status, str(response.status)))


def _read(method: str, message: bytes) -> Callable[[grpc.Channel, float, Metadata], _Answer]:
    def ask(channel: grpc.Channel, timeout_seconds: float, metadata: Metadata) -> _Answer:
        call = channel.unary_unary(f"/{_SERVICE}/{method}", request_serializer=bytes, response_deserializer=bytes)
        response = call(message, timeout=timeout_seconds, metadata=metadata)
        return _EMPTY if _is_empty(response) else _Answer(None, "OK")

    return ask


def _is_empty(response: object) -> bool:
    """Tell whether OK came without a message: grpcio returns None then (run), which no type says."""
    return response is None


_EMPTY = _Answer(Reason.FRONTEND_NOT_TEMPORAL, "OK without a message")


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format, of less than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


_MISSING_WORKFLOW = _field(1, _SYSTEM_NAMESPACE.encode()) + _field(2, _field(1, _NOT_THERE.encode()))
"""DescribeWorkflowExecutionRequest: field 1 the namespace, field 2 an execution, whose field 1 is the workflow's id."""

_ASKED = {
    Question.HEALTH: _ask_for_health,
    Question.DATABASE: _read(Question.DATABASE.method, b""),
    Question.HISTORY: _read(Question.HISTORY.method, _MISSING_WORKFLOW),
}


def _in_its_place(question: Question, before: dict[Question, _Answer], answer: _Answer) -> str:
    """Return the trouble in words, after what was proved before it."""
    if question is Question.HEALTH:
        return f"it says {answer.words}"
    proofs = _proofs(before)
    return (
        f"{proofs}, but {question.method} fails: {answer.words}"
        if proofs
        else f"{question.method} fails: {answer.words}"
    )


def _frontend(about: str, answers: dict[Question, _Answer]) -> Frontend:
    """Return what answers without trouble come to."""
    unproved = {question: answer for question, answer in answers.items() if answer.reason is not None}
    if Question.HISTORY not in unproved:
        # History has answered through this frontend, out of the same database: that is more than SERVING, and a rate limit
        # takes nothing from it. A refusal is said, since the gate's rights are not what they should be.
        unproved.pop(Question.HEALTH, None)
        if _reason(unproved) is Reason.FRONTEND_RATE_LIMITED:
            unproved.clear()
    reason = _reason(unproved)
    if reason is None:
        return Frontend()
    methods: dict[str, list[str]] = {}
    for question, answer in unproved.items():
        methods.setdefault(answer.words, []).append(question.method)
    said = "; ".join(f"{', '.join(names)}: {words}" for words, names in methods.items())
    proofs = _proofs(answers)
    finding = Finding(reason, about, f"{proofs or 'nothing is proved'}; {said}", next(iter(unproved.values())).remedy)
    return Frontend(unproved=finding) if proofs else Frontend(trouble=finding)


def _reason(answers: dict[Question, _Answer]) -> Reason | None:
    return next((answer.reason for answer in answers.values()), None)


def _proofs(answers: dict[Question, _Answer]) -> str:
    return " and ".join(question.proof for question, answer in answers.items() if answer.reason is None)


def tls_credentials(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> grpc.ChannelCredentials:
    """Return channel credentials from files read now; raise OSError when one cannot be read."""
    ca, key, cert = (file.read_bytes() if file else None for file in (ca_file, key_file, cert_file))
    return grpc.ssl_channel_credentials(ca, key, cert)
