"""The stand-in for argocd-server: the part of its REST API that a gate uses, refused where the real one refuses.

It knows tokens of project roles, the policies of AppProjects, and Get and Sync of Applications as
server/application/application.go of argo-cd 3.6.1 does them; the texts are the real one's. Applications are read and written
through the Kubernetes API; what the controller does with them is ``ArgoCd``'s. It has no accounts, no other calls, and fills
in no health of resources.
"""

import base64
import binascii
import fnmatch
import hashlib
import hmac
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.api_client import ApiClient, ApiError, Json
from lab.argocd.controller import REFRESH, ArgoCd, OperationInProgressError, set_operation
from lab.argocd.git import RevisionError
from lab.fake_api.front import Front

_INVALID_ARGUMENT, _NOT_FOUND, _PERMISSION_DENIED, _FAILED_PRECONDITION, _UNAUTHENTICATED = 3, 5, 7, 9, 16
_STATUSES = {
    _INVALID_ARGUMENT: 400, _NOT_FOUND: 404, _PERMISSION_DENIED: 403, _FAILED_PRECONDITION: 400, _UNAUTHENTICATED: 401,
}  # fmt: skip
"""``HTTPStatusFromCode`` of grpc-gateway 1.16."""

_APPLICATIONS = "/api/v1/applications/"
_CONFLICT, _MISSING = 409, 404
_LOOK_SECONDS, _REFRESH_SECONDS = 0.02, 30.0


class _RefusedError(Exception):
    """gRPC's code and message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ArgoCdServer(Front):
    """One server for the Applications of all namespaces, whose own is ``namespace``. TLS where a context is given."""

    def __init__(
        self,
        client: ApiClient,
        argocd: ArgoCd,
        namespace: str = "argocd",
        tls: ssl.SSLContext | None = None,
        *,
        replace_allowed: bool = True,
        override_for_revisions: bool = False,
    ) -> None:
        super().__init__(tls)
        self._client = client
        self._argocd = argocd
        self._namespace = namespace
        self._replace_allowed = replace_allowed
        self._override_for_revisions = override_for_revisions
        self._key = secrets.token_bytes(32)
        self._revoked: set[str] = set()

    # --- tokens ----------------------------------------------------------------------------------------------------

    def create_token(self, project: str, role: str, expires_in: timedelta | None = None) -> str:
        """``argocd proj role create-token``."""
        now = datetime.now(UTC)
        claims: Json = {
            "iss": "argocd", "sub": f"proj:{project}:{role}", "jti": secrets.token_hex(8), "iat": int(now.timestamp()),
        }  # fmt: skip
        if expires_in is not None:
            claims["exp"] = int((now + expires_in).timestamp())
        body = f"{_encoded({'alg': 'HS256', 'typ': 'JWT'})}.{_encoded(claims)}"
        return f"{body}.{self._signature(body)}"

    def revoke(self, token: str) -> None:
        """``argocd proj role delete-token``."""
        self._revoked.add(_claims(token)["jti"])

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        """The subject of a token, whether or not it is good."""
        try:
            return str(_claims(headers.get("Authorization", "").removeprefix("Bearer "))["sub"])
        except _RefusedError:
            return None

    def _authenticated(self, token: str) -> Json:
        """``SessionManager.Parse``."""
        if not token:
            raise _RefusedError(_UNAUTHENTICATED, "no session information")
        claims = _claims(token)
        body, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature, self._signature(body)):
            raise _invalid_session("token signature is invalid: signature is invalid")
        if claims.get("exp", time.time() + 1) <= time.time():
            raise _invalid_session("token has invalid claims: token is expired")
        if claims["jti"] in self._revoked:
            _, project, role = claims["sub"].split(":")
            issued = f"JWT token for role '{role}' issued at '{claims['iat']}' does not exist in project '{project}'"
            raise _invalid_session(issued)
        return claims

    def _signature(self, body: str) -> str:
        digest = hmac.digest(self._key, body.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    # --- what is asked ---------------------------------------------------------------------------------------------

    def answer(
        self,
        user: str | None,  # noqa: ARG002 -- the token is read whole
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> tuple[int, Json | str]:
        """Authentication, then the call."""
        parts = urlsplit(path)
        name, _, rest = parts.path.removeprefix(_APPLICATIONS).partition("/")
        if not parts.path.startswith(_APPLICATIONS) or (method, rest) not in {("GET", ""), ("POST", "sync")}:
            return 404, "404 page not found\n"
        try:
            claims = self._authenticated(headers.get("Authorization", "").removeprefix("Bearer "))
            if rest:
                return 200, _sent(self._sync(claims, name, json.loads(body)))
            return 200, _sent(self._get(claims, name, parse_qs(parts.query)))
        except _RefusedError as refusal:
            told = {"error": refusal.message, "code": refusal.code, "message": refusal.message}
            return _STATUSES[refusal.code], told

    def _get(self, claims: Json, name: str, query: Mapping[str, list[str]]) -> Json:
        namespace = query.get("appNamespace", [self._namespace])[0]
        application = self._permitted(claims, namespace, name, query.get("project", [""])[0])
        if "refresh" not in query:
            return application
        path = _path(namespace, name)
        until = time.monotonic() + _REFRESH_SECONDS
        application = self._client.patch(path, {"metadata": {"annotations": {REFRESH: query["refresh"][0]}}})
        while REFRESH in (application["metadata"].get("annotations") or {}) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            application = self._client.get(path)
        return application

    def _sync(self, claims: Json, name: str, request: Json) -> Json:
        namespace = request.get("appNamespace") or self._namespace
        application = self._permitted(claims, namespace, name, request.get("project", ""))
        if self._argocd.is_blocked(name, manual=True):
            raise _RefusedError(_PERMISSION_DENIED, "cannot sync: blocked by sync window")
        self._insist(claims, "sync", application)
        if "deletionTimestamp" in application["metadata"]:
            raise _RefusedError(_FAILED_PRECONDITION, "application is deleting")
        policy = application["spec"].get("syncPolicy") or {}
        options = (request.get("syncOptions") or {"items": policy.get("syncOptions") or []})["items"]
        revision = self._revision(claims, application, request)
        if "Replace=true" in options and not self._replace_allowed:
            disabled = "sync with replace was disabled on the API Server level via the server configuration"
            raise _RefusedError(_FAILED_PRECONDITION, disabled)
        sync = {
            "source": application["spec"].get("source"),
            "sources": application["spec"].get("sources"),
            **revision,
            "prune": request.get("prune", False),
            "syncOptions": options,
            "syncStrategy": request.get("strategy"),
            "resources": request.get("resources"),
        }
        operation: Json = {
            "initiatedBy": {"username": claims["sub"]},
            "info": request.get("infos", []),
            "sync": {key: value for key, value in sync.items() if value},
        }
        if retry := request.get("retryStrategy", policy.get("retry")):
            operation["retry"] = retry
        return self._written(_path(namespace, name), operation)

    def _written(self, path: str, operation: Json) -> Json:
        """``SetAppOperation``: again and again, whatever else was changed meanwhile."""
        while True:
            application = self._client.get(path)
            try:
                set_operation(application, operation)
                return self._client.replace(path, application)
            except OperationInProgressError:
                message = "another operation is already in progress"
                raise _RefusedError(_FAILED_PRECONDITION, message) from None
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise

    def _revision(self, claims: Json, application: Json, request: Json) -> Json:
        """``resolveSourceRevisions``."""
        spec, name = application["spec"], application["metadata"]["name"]
        automated = (spec.get("syncPolicy") or {}).get("automated")
        sources = spec.get("sources") or [spec["source"]]
        wanted = [""] * len(sources)
        positions = request.get("sourcePositions", []) if spec.get("sources") else [1]
        given = request.get("revisions", []) if spec.get("sources") else [request.get("revision", "")]
        for position, revision in zip(positions, given, strict=True):
            wanted[position - 1] = revision
        for source, revision in zip(sources, wanted, strict=True):
            target = source.get("targetRevision") or "HEAD"
            if revision in {"", target}:
                continue
            if self._override_for_revisions:
                self._insist(claims, "override", application)
            if automated is not None and automated.get("enabled", True):
                message = f"Cannot sync to {revision}: auto-sync currently set to {target}"
                raise _RefusedError(_FAILED_PRECONDITION, message)
        try:
            resolved = [revision or self._argocd.newest(name) for revision in wanted]
        except RevisionError as error:
            raise _RefusedError(_FAILED_PRECONDITION, f"error resolving repo revision: {error}") from error
        return {"revisions": resolved} if spec.get("sources") else {"revision": resolved[0]}

    # --- RBAC ------------------------------------------------------------------------------------------------------

    def _permitted(self, claims: Json, namespace: str, name: str, project: str) -> Json:
        """``getAppEnforceRBAC`` for `get`: without a project nobody learns what is not there for him."""
        denied = _RefusedError(_PERMISSION_DENIED, "permission denied")
        missing = _RefusedError(_NOT_FOUND, f'applications.argoproj.io "{name}" not found')
        if project and not self._allows(claims, "get", self._rbac_name(project, namespace, name)):
            raise denied
        try:
            application = self._client.get(_path(namespace, name))
        except ApiError as error:
            raise missing if project and error.status == _MISSING else denied from error
        own = application["spec"].get("project") or "default"
        if not self._allows(claims, "get", self._rbac_name(own, namespace, name)):
            raise missing if project else denied
        if project and own != project:
            raise missing
        if own not in self._projects():
            told = f'app is not allowed in project "{own}", or the project does not exist'
            raise _RefusedError(_INVALID_ARGUMENT, told)
        return application

    def _insist(self, claims: Json, action: str, application: Json) -> None:
        """``EnforceErr``."""
        metadata = application["metadata"]
        name = self._rbac_name(application["spec"].get("project") or "default", metadata["namespace"], metadata["name"])
        if not self._allows(claims, action, name):
            issued = datetime.fromtimestamp(claims["iat"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            told = f"permission denied: applications, {action}, {name}, sub: {claims['sub']}, iat: {issued}"
            raise _RefusedError(_PERMISSION_DENIED, told)

    def _allows(self, claims: Json, action: str, name: str) -> bool:
        """Whether a policy of the token's role allows it; a role has nothing to say in another project."""
        _, project, role = claims["sub"].split(":")
        if project != name.partition("/")[0]:
            return False
        effects = set()
        for one in self._projects().get(project, {}).get("roles", []):
            for policy in one.get("policies", []) if one["name"] == role else []:
                _, subject, resource, allowed, pattern, effect = (part.strip() for part in policy.split(","))
                applies = (subject, resource) == (claims["sub"], "applications") and allowed in {action, "*"}
                if applies and fnmatch.fnmatchcase(name, pattern):
                    effects.add(effect)
        return effects == {"allow"}

    def _projects(self) -> dict[str, Json]:
        listed = self._client.list(f"/apis/argoproj.io/v1alpha1/namespaces/{self._namespace}/appprojects")
        return {one["metadata"]["name"]: one["spec"] for one in listed}

    def _rbac_name(self, project: str, namespace: str, name: str) -> str:
        return f"{project}/{name}" if namespace == self._namespace else f"{project}/{namespace}/{name}"


def _path(namespace: str, name: str) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications/{name}"


def _sent(application: Json) -> Json:
    """An Application as a typed client of Go's sends it: without its kind."""
    return {key: value for key, value in application.items() if key not in {"kind", "apiVersion"}}


def _encoded(part: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _claims(token: str) -> Json:
    try:
        part = token.split(".")[1]
        claims: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error) as error:
        raise _invalid_session("token is malformed: token contains an invalid number of segments") from error
    return claims


def _invalid_session(why: str) -> _RefusedError:
    return _RefusedError(_UNAUTHENTICATED, f"invalid session: {why}")
