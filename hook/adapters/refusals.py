"""What an API server's refusal means: who refused, and whether it is worth waiting. Pure: a status and a message.

The texts are the API server's own: errors/statuserror.go of the admission webhooks (`ToStatusErr`: any code from 400 that
the webhook chose, else 400), plugin/policy/validating/dispatcher.go (422 unless the policy names another reason), and
admission/errors.go (`NewForbidden`: 403 "... is forbidden: ..."), all under kubernetes/apiserver. RBAC's 403 is of that last
form too, and says `User "..." cannot ...`.
"""

from __future__ import annotations

import re

from hook.observation.findings import Finding, shortened
from hook.observation.reasons import Reason

_DENIALS = (
    re.compile(r'(?P<who>admission webhook "[^"]+") denied the request'),
    re.compile(r"(?P<who>(?:Validating|Mutating)AdmissionPolicy '[^']+').*? denied request"),
    re.compile(r'is forbidden: violates (?P<who>PodSecurity "[^"]*")'),
    re.compile(r"is forbidden: exceeded (?P<who>quota: [^,]+)"),
    re.compile(r'is forbidden: (?!User ")(?P<who>)'),
)
_AWAY = re.compile(r'failed calling (?:admission )?(webhook "[^"]+")|(conversion webhook for [^,]+, Kind=\S+) failed')
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
    if status == 403:  # noqa: PLR2004 -- HTTP's Forbidden
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
    return next((found["who"] for denial in _DENIALS if (found := denial.search(message))), None)
