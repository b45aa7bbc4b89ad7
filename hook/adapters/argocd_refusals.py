"""What argocd-server's refusals mean: whether somebody was faster, who has to allow what. Pure: a status and a message.

Its texts and codes are in argo-cd 3.2.11 and 3.6.1: server/application/application.go (Get, Sync, getAppEnforceRBAC,
resolveSourceRevisions), util/argo/argo.go (ErrAnotherOperationInProgress), util/rbac/rbac.go (EnforceErr). The body has
gRPC's code next to the message; the status is grpc-gateway 1.16's of that code (runtime/errors.go, HTTPStatusFromCode).
"""

from __future__ import annotations

import json
import re
from enum import IntEnum
from typing import TYPE_CHECKING

from hook.adapters import refusals
from hook.adapters.answers import Answer
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from hook.observation.applications import ApplicationRef

LOG_IN = (
    "Make a new token (argocd proj role create-token PROJECT ROLE) and put it into the Secret whose file is "
    "argocd.server.tokenFile: the gate reads it anew for each request."
)
REACH = (
    "Check argocd-server's pods and Service, argocd.server.address, and network policies between them and the gate. Where "
    "argocd-server runs with --insecure, set argocd.server.plainText."
)
_NOT_ARGO_CD = "Set argocd.server.address to argocd-server's host and port, and to its root path where it has one."
_NO_REPLACE = (
    "Allow it (server.sync.replace.allowed of argocd-cmd-params-cm), or give the Job's manifest the annotation "
    "argocd.argoproj.io/sync-options: Replace=true,Force=true and sync the Application by hand."
)
_EXEMPT = (
    "Exempt argocd-server's ServiceAccount, which writes for the gate, in the webhook or policy that is named, or change "
    "what it objects to."
)
_OWN_RIGHTS = (
    "Give argocd-server's ServiceAccount the right in Kubernetes that is named; the token's role is not concerned."
)
_REPOSITORY_REMEDY = "Check that Argo CD's repo server runs and reaches the Application's repository."
_DENIED = re.compile(r"permission denied: applications, (?P<action>\w+), (?P<object>[^,\s]+)")
_BUSY = re.compile(r"another operation is already in progress|application is deleting")
_REPOSITORY = re.compile(r"error (?:resolving repo revision|getting repo)")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
_MOST_CHARACTERS = 600


class _Code(IntEnum):
    """Those of gRPC that matter here."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNAUTHENTICATED = 16


class RefusedError(Exception):
    """An answer that is no success; ``code`` is None where somebody else than argocd-server gave it."""

    def __init__(self, status: int, content: bytes, request: str) -> None:
        """Read what was said."""
        try:
            said = Answer(json.loads(content), request)
            code, message = said["code"].number(), said["message"].text()
        except (ValueError, RecursionError, FindingError):
            code, message = 0, content[:200].decode(errors="replace")
        super().__init__(message)
        self.status = status
        self.code = code or None
        self.message = shortened(message, _MOST_CHARACTERS)
        self.detail = f"{request}: {status}: {self.message}"

    @property
    def is_not_found(self) -> bool:
        """Whether argocd-server says that there is no such Application."""
        return self.code == _Code.NOT_FOUND

    @property
    def means_that_somebody_was_faster(self) -> bool:
        """Whether the Application is no more as it was seen."""
        is_busy = self.code == _Code.FAILED_PRECONDITION and _BUSY.search(self.message) is not None
        return is_busy or self.code in {_Code.NOT_FOUND, _Code.ABORTED}

    @property
    def forbids_the_revision(self) -> bool:
        """Whether only a sync of the target's newest commit is allowed.

        So it is of an Application that syncs by itself, and everywhere for a role without `override` where
        application.sync.requireOverridePrivilegeForRevisionSync is set: that right brings manifests from anywhere, which is
        more than a gate should have.
        """
        is_automated = self.code == _Code.FAILED_PRECONDITION and "auto-sync currently set to" in self.message
        denied = _DENIED.search(self.message)
        return is_automated or (denied is not None and denied["action"] == "override")


def finding(refused: RefusedError, about: str, ref: ApplicationRef, project: str) -> Finding:
    """Return what a refusal means for the Application that was asked for as one of ``project``; ``about`` is the server."""
    if refused.code == _Code.UNAUTHENTICATED or refused.status == _UNAUTHORIZED:
        return Finding(Reason.API_LOGIN_REFUSED, about, refused.message or refused.detail, LOG_IN)
    if refused.code is None:
        return _of_another(refused, about)
    if (who := refusals.denier(refused.message)) is not None:
        return Finding(Reason.ADMISSION_DENIED, who or about, refused.detail, _EXEMPT)
    if refused.code == _Code.PERMISSION_DENIED:
        return _forbidden(refused.message, about, ref, project)
    if refused.code in {_Code.INVALID_ARGUMENT, _Code.FAILED_PRECONDITION}:
        return _refused_as_it_is(refused, about, f"Application {ref}")
    return Finding(Reason.API_UNREACHABLE, about, refused.detail, REACH)


def _refused_as_it_is(refused: RefusedError, about: str, application: str) -> Finding:
    """Return what is wrong with the Application or the request; by the same code a repository is told that is away."""
    if _REPOSITORY.search(refused.message):
        return Finding(Reason.API_UNREACHABLE, about, refused.detail, _REPOSITORY_REMEDY)
    if "is not allowed in project" in refused.message:
        return Finding(Reason.APPLICATION_INVALID, application, refused.message)
    remedy = _NO_REPLACE if "sync with replace was disabled" in refused.message else ""
    return Finding(Reason.API_REQUEST_REFUSED, application, refused.detail, remedy)


def _of_another(refused: RefusedError, about: str) -> Finding:
    """Return what an answer means that is none of argocd-server's: a proxy gave it, or another program."""
    if refused.status == _FORBIDDEN:
        remedy = "A proxy or a mesh before argocd-server refuses the gate: admit it there."
        return Finding(Reason.API_FORBIDDEN, about, refused.detail, remedy)
    if refused.status == _NOT_FOUND:
        return Finding(Reason.ARGO_CD_MISSING, about, refused.detail, _NOT_ARGO_CD)
    return Finding(Reason.API_UNREACHABLE, about, refused.detail, REACH)


def _forbidden(message: str, about: str, ref: ApplicationRef, project: str) -> Finding:
    """Name the action that is missing: of a missing `get` argocd-server says "permission denied" and no more."""
    if "sync window" in message:
        return Finding(Reason.MIGRATION_BLOCKED, f"Application {ref}", message)
    if not message.startswith("permission denied"):
        return Finding(Reason.API_FORBIDDEN, about, message, _OWN_RIGHTS)
    denied = _DENIED.search(message)
    action, named = (denied["action"], denied["object"]) if denied else ("get", f"{project}/{ref.name}")
    detail = message if denied else f"{message}: applications, {action}, {named}"
    remedy = (
        f'Give the token\'s role the policy "p, proj:{project}:ROLE, applications, {action}, {named}, allow" '
        "(docs/rbac.md; PROJECT/NAMESPACE/NAME where the Application is outside of Argo CD's own namespace), or correct "
        "the Application's project in the settings."
    )
    return Finding(Reason.API_FORBIDDEN, about, detail, remedy)
