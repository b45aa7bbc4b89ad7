"""Applications by Argo CD's own API: its REST front (grpc-gateway), a token that may get and sync, nothing of Kubernetes.

The requests are those of the `argocd` client; what argocd-server makes of them is in argo-cd 3.2.11 and 3.6.1,
server/application/application.go (Get, Sync) and util/argo/argo.go (SetAppOperation, RefreshApp). Nothing is a
compare-and-swap here: an operation is refused while another one is there, and that is all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubernetes import client

from hook.adapters import argocd_refusals
from hook.adapters.answers import Answer
from hook.adapters.argocd import sync_operation
from hook.adapters.argocd_refusals import LOG_IN, REACH, RefusedError
from hook.adapters.connection import UNUSABLE, Connection, NoAnswerError, made_of, without_entries
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hook.observation.applications import Application, ApplicationRef
    from hook.observation.workloads import JobRef

_TRUST = (
    "Set argocd.server.caFile to the CA of argocd-server's certificate, and argocd.server.serverName to a name in it where "
    "the address's host is none."
)
_REVISION = ("revision", "revisions", "sourcePositions")


class ServerWay:
    """By argocd-server. Each Application is asked for with its project: else a missing one is forbidden, too."""

    def __init__(
        self,
        connection: Connection,
        authorization: Callable[[], str],
        project_of: Callable[[ApplicationRef], str],
    ) -> None:
        """Speak through a connection; ``authorization`` is the header, asked for anew for each request."""
        self._connection = connection
        self._authorization = authorization
        self._project_of = project_of

    @classmethod
    def connect(  # noqa: PLR0913 -- where, as whom, how
        cls,
        address: str,
        authorization: Callable[[], str],
        project_of: Callable[[ApplicationRef], str],
        timeout_seconds: float,
        *,
        ca_file: Path | None = None,
        server_name: str | None = None,
        plain_text: bool = False,
    ) -> ServerWay:
        """Make ready to speak to ``host[:port][/root path]``; contact nothing. Raises `FindingError`."""
        about = f"Argo CD API {address}"
        try:
            configuration = client.Configuration(
                host=f"{'http' if plain_text else 'https'}://{address.rstrip('/')}",
                ssl_ca_cert=str(ca_file) if ca_file else None,
            )
            configuration.tls_server_name = server_name
            connected = made_of(configuration)
        except UNUSABLE as error:
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, about, without_entries(error), _TRUST)) from None
        return cls(Connection(connected, about, timeout_seconds, _TRUST, REACH), authorization, project_of)

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def get(self, ref: ApplicationRef) -> Mapping[str, Any]:
        """Return the Application's object. Raises `FindingError`, as all of these do."""
        try:
            return self._ask("GET", _path(ref), self._query(ref))
        except RefusedError as refused:
            if not refused.is_not_found:
                raise self._error(refused, ref) from None
            missing = Finding(Reason.APPLICATION_MISSING, f"Application {ref}", refused.message)
        self._insist_on_project(ref)
        raise FindingError(missing)

    def refresh(self, application: Application) -> bool:
        """Ask for a comparison. The answer comes when it is done: one that is not awaited was asked for all the same."""
        ref = application.ref
        try:
            self._ask("GET", _path(ref), self._query(ref) | {"refresh": "normal"})
        except NoAnswerError:
            return True
        except RefusedError as refused:
            if refused.means_that_somebody_was_faster:
                return False
            raise self._error(refused, ref) from None
        return True

    def sync(self, application: Application, jobs: tuple[JobRef, ...], info: Mapping[str, str]) -> bool:
        """Have a sync begin, bound to the revision as compared where argocd-server allows it."""
        ref = application.ref
        request = _sync_request(sync_operation(application, jobs), info) | {
            "name": ref.name,
            "appNamespace": ref.namespace,
            "project": self._project_of(ref),
        }
        try:
            self._ask_for_sync(ref, request)
        except RefusedError as refused:
            if refused.means_that_somebody_was_faster:
                return False
            raise self._error(refused, ref) from None
        return True

    def _ask_for_sync(self, ref: ApplicationRef, request: Mapping[str, Any]) -> None:
        """Ask; once more without the revision where only the target's newest is allowed, which it then resolves itself."""
        path = f"{_path(ref)}/sync"
        try:
            self._ask("POST", path, body=request)
        except RefusedError as refused:
            if not refused.forbids_the_revision:
                raise
            unbound = {name: value for name, value in request.items() if name not in _REVISION}
            self._ask("POST", path, body=unbound)

    def _query(self, ref: ApplicationRef) -> dict[str, str]:
        return {"appNamespace": ref.namespace, "project": self._project_of(ref)}

    def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Return the Application that was answered; raise `RefusedError`, or `FindingError` where there is no answer."""
        about = self._connection.about
        try:
            headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
        except OSError as error:
            raise FindingError(Finding(Reason.API_LOGIN_REFUSED, about, f"no token: {error}", LOG_IN)) from None
        status, content = self._connection.send(method, path, query, body, headers)
        request = f"{method} {path}"
        if not 200 <= status < 300:  # noqa: PLR2004 -- HTTP's success
            raise RefusedError(status, content, request)
        decoded = self._connection.decoded(content)
        if not isinstance(decoded, dict) or not {"metadata", "spec"} <= decoded.keys():
            detail = f"{request}: the answer is no Application; is this argocd-server?"
            raise FindingError(self._connection.unreachable(detail))
        return decoded

    def _insist_on_project(self, ref: ApplicationRef) -> None:
        """Raise where the Application is there, in another project: taken for missing it would be taken for not due."""
        try:
            found = self._ask("GET", _path(ref), {"appNamespace": ref.namespace})
        except RefusedError:  # it is missing, or not for this token to see
            return
        about = f"Application {ref}"
        project = Answer(found, about)["spec"]["project"].text()
        detail = f"it is in project {project}, and was asked for in project {self._project_of(ref)}"
        raise FindingError(Finding(Reason.APPLICATION_IN_OTHER_PROJECT, about, detail))

    def _error(self, refused: RefusedError, ref: ApplicationRef) -> FindingError:
        return FindingError(argocd_refusals.finding(refused, self._connection.about, ref, self._project_of(ref)))


def _path(ref: ApplicationRef) -> str:
    return f"/api/v1/applications/{ref.name}"


def _sync_request(sync: Mapping[str, Any], info: Mapping[str, str]) -> dict[str, Any]:
    """Return an operation's sync as an ApplicationSyncRequest (server/application/application.proto).

    Without a retry of its own the request would take the specification's.
    """
    request: dict[str, Any] = {
        "prune": sync["prune"],
        "infos": [{"name": name, "value": value} for name, value in info.items()],
        "retryStrategy": {"limit": 0},
    }
    request |= {name: sync[name] for name in ("revision", "revisions", "resources") if name in sync}
    if "revisions" in sync:
        request["sourcePositions"] = [number for number, _ in enumerate(sync["revisions"], start=1)]
    if "syncStrategy" in sync:
        request["strategy"] = sync["syncStrategy"]
    if "syncOptions" in sync:
        request["syncOptions"] = {"items": sync["syncOptions"]}
    return request
