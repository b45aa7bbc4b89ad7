"""The API server's refusals, in its own words.

It knows the Status object and nothing else. The wording is that of k8s.io/apimachinery/pkg/api/errors/errors.go and
k8s.io/apiserver/pkg/endpoints/handlers/responsewriters/errors.go, since the hook and people read these messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}


class RefusalError(Exception):
    """A request refused: becomes a Status body with this code."""

    def __init__(
        self,
        code: int,
        message: str,
        reason: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = REASONS[code] if reason is None else reason
        self.details = details

    def body(self) -> dict[str, Any]:
        """The Status object as it goes over the wire."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        if self.details:
            status["details"] = self.details
        return status


OMITTED = object()
"""``field.OmitValueType``: a value that the message does not show."""


@dataclass(frozen=True)
class Cause:
    """One field that is wrong: ``field.Error`` of k8s.io/apimachinery/pkg/util/validation/field."""

    field: str
    kind: str
    detail: str = ""
    value: object = None

    def text(self) -> str:
        """E.g. ``spec.template: Invalid value: {...}: field is immutable``."""
        shown = {"FieldValueRequired": "Required value", "FieldValueForbidden": "Forbidden"}.get(self.kind)
        if shown is None:
            value = f'"{self.value}"' if isinstance(self.value, str) else str(self.value)
            name = "Unsupported value" if self.kind == "FieldValueNotSupported" else "Invalid value"
            shown = name if self.value is OMITTED else f"{name}: {value}"
        return f"{self.field}: {shown}" + (f": {self.detail}" if self.detail else "")


def required(field: str, detail: str = "") -> Cause:
    """A field that must be there."""
    return Cause(field, "FieldValueRequired", detail)


def invalid_value(field: str, value: object, detail: str) -> Cause:
    """A field whose value cannot be."""
    return Cause(field, "FieldValueInvalid", detail, value)


def forbidden_field(field: str, detail: str) -> Cause:
    """A field that may not be set or changed now."""
    return Cause(field, "FieldValueForbidden", detail)


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, group: str, name: str) -> RefusalError:
    """``errors.NewNotFound``."""
    details = _details(resource, group, name)
    return RefusalError(404, f'{_qualified(resource, group)} "{name}" not found', details=details)


def unknown_resource() -> RefusalError:
    """What a kind that the server does not serve gets (``errors.NewGenericServerResponse``, 404)."""
    return RefusalError(404, "the server could not find the requested resource", details={})


def already_exists(resource: str, group: str, name: str) -> RefusalError:
    """``errors.NewAlreadyExists``."""
    message = f'{_qualified(resource, group)} "{name}" already exists'
    return RefusalError(409, message, "AlreadyExists", _details(resource, group, name))


def conflict(resource: str, group: str, name: str, why: str = MODIFIED) -> RefusalError:
    """``errors.NewConflict``."""
    message = f'Operation cannot be fulfilled on {_qualified(resource, group)} "{name}": {why}'
    return RefusalError(409, message, details=_details(resource, group, name))


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> RefusalError:
    """``errors.NewInvalid``: kind and group, then every field error."""
    texts = [cause.text() for cause in causes]
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = _details(kind, group, name)
    details["causes"] = [
        {"reason": cause.kind, "message": cause.text().split(": ", 1)[1], "field": cause.field} for cause in causes
    ]
    return RefusalError(422, f'{_qualified(kind, group)} "{name}" is invalid: {listed}', details=details)


def forbidden_by_admission(resource: str, group: str, name: str, why: str) -> RefusalError:
    """``admission.NewForbidden``."""
    details = _details(resource, group, name)
    return RefusalError(403, f'{_qualified(resource, group)} "{name}" is forbidden: {why}', details=details)


def bad_request(message: str) -> RefusalError:
    """``errors.NewBadRequest``."""
    return RefusalError(400, message)


def unsupported_media(accepted: Sequence[str]) -> RefusalError:
    """``negotiation.NewUnsupportedMediaTypeError``."""
    return RefusalError(
        415,
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
    )


def method_not_allowed() -> RefusalError:
    """``errors.NewMethodNotSupported`` as the endpoint installer says it."""
    return RefusalError(405, "the server does not allow this method on the requested resource")


def unauthorized() -> RefusalError:
    """What a request without a known token gets."""
    return RefusalError(401, "Unauthorized")


def _details(resource: str, group: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {"name": name, "kind": resource}
    if group:
        details["group"] = group
    return details
