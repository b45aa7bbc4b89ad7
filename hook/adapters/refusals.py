"""What an API server's refusal means: who refused, and whether it is worth waiting. Pure: a status and a message.

The texts are the API server's own, read in its source (July 2026). The paths are those of kubernetes/apiserver, below
pkg/admission unless said otherwise; what the repository kubernetes/kubernetes alone has is named by it.
"""

from __future__ import annotations

import re

from hook.observation.findings import Finding, shortened
from hook.observation.reasons import Reason

_DENIALS = (
    # plugin/webhook/errors/statuserror.go, ToStatusErr: with any code from 400 on that the webhook chose, else 400.
    re.compile(r'(?P<who>admission webhook "[^"]+") denied the request'),
    # plugin/policy/validating/dispatcher.go: 422, unless the policy names another reason.
    re.compile(r"(?P<who>ValidatingAdmissionPolicy '[^']+').*? denied request: "),
    # plugin/policy/generic/policy_dispatcher.go, which is what mutating policies go through: PolicyError replaces the whole
    # message, so that there is no "is forbidden" before it; 403.
    re.compile(r"""^(?P<who>policy ['"][^'"]+['"]).*? denied request: """),
    # kubernetes/kubernetes staging/src/k8s.io/pod-security-admission/admission/admission.go: 403; older ones replaced the
    # whole message by "pod violates ...".
    re.compile(r'(?:is forbidden:|pod) violates (?P<who>PodSecurity "[^"]*")'),
    # plugin/resourcequota/controller.go: 403; the second, which a quota with scopes causes, is no status error: 500.
    re.compile(r"is forbidden: (?:exceeded|failed) (?P<who>quota: [^,:]+)"),
    re.compile(r"(?P<who>)insufficient quota to (?:consume|match these scopes): "),
    # errors.go, NewForbidden, for all others: namespace/lifecycle, LimitRange (kubernetes/kubernetes
    # plugin/pkg/admission/limitranger), ... RBAC is of the same form, and begins with the user
    # (pkg/endpoints/handlers/responsewriters/errors.go, forbiddenMessage).
    re.compile(r'is forbidden: (?!User ")(?P<who>)'),
)
_NOT_READY = re.compile(
    # initializer of webhooks, policies and namespace/lifecycle: the server has just started, and its caches are empty
    r"is forbidden: (?:not yet ready to handle request"
    # plugin/resourcequota/controller.go: the quota is new, and nobody has counted yet
    r"|status unknown for quota: "
    # kubernetes/kubernetes plugin/pkg/admission/limitranger/admission.go: it could not list them
    r"|[Uu]nable to \S+ .+ at this time because there was an error enforcing )"
)
"""403 for a state of the server's own that passes."""

_AWAY = re.compile(r'failed calling (?:admission )?(webhook "[^"]+")|(conversion webhook for [^,]+, Kind=\S+) failed')
"""pkg/util/webhook/error.go, ErrCallingWebhook, as 500 by plugin/webhook/{mutating,validating}/dispatcher.go; kubernetes/
kubernetes staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go, whose errors are 500."""

_INVALID = {400, 405, 406, 413, 415, 422}
"""Statuses that the same request always meets again. 408, 429 and all above 500 pass."""

_MOST_CHARACTERS = 600
"""A policy may list every container of a pod."""


def finding(about: str, status: int, reason: str, message: str, request: str) -> Finding:
    """Return what a refusal means; ``reason`` is empty where what answered is no API server."""
    message = shortened(message, _MOST_CHARACTERS)
    if (who := denier(message)) is not None:
        return Finding(Reason.ADMISSION_DENIED, who or about, f"{request}: {message}")
    if status == 401:  # noqa: PLR2004 -- HTTP's Unauthorized
        return Finding(Reason.API_LOGIN_REFUSED, about, message or "401 Unauthorized")
    if status == 403 and not _NOT_READY.search(message):  # noqa: PLR2004 -- HTTP's Forbidden
        return Finding(Reason.API_FORBIDDEN, about, message)
    if away := _AWAY.search(message):
        remedy = "Check the webhook's pods and its Service, and network policies between the API server and them."
        return Finding(Reason.API_UNREACHABLE, away[1] or away[2], f"{request}: {message}", remedy)
    detail = f"{request}: {status} {reason}: {message}"
    if status in _INVALID and reason:
        return Finding(Reason.API_REQUEST_REFUSED, about, detail)
    return Finding(Reason.API_UNREACHABLE, about, detail)


def denier(message: str) -> str | None:
    """Return which webhook or policy denied a request, "" for one that does not name itself; None where none did."""
    if _NOT_READY.search(message):
        return None
    return next((found["who"] for denial in _DENIALS if (found := denial.search(message))), None)
