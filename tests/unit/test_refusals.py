"""What an API server's refusal means, by bodies that real ones sent."""

import pytest

from hook.adapters import refusals
from hook.observation.reasons import ExitCode, Reason, Tolerance

API = "Kubernetes API https://api:6443"
PATCH = "PATCH /apis/argoproj.io/v1alpha1/namespaces/argocd/applications/temporal"

DENIED = [
    # notaryproject/ratify issue 315; Gatekeeper answers with code 403.
    (
        403,
        "Forbidden",
        'admission webhook "validation.gatekeeper.sh" denied the request: [ratify-constraint] Subject failed',
        'admission webhook "validation.gatekeeper.sh"',
    ),
    # kyverno/kyverno issue 8916: without a code of its own, which makes 400 of it.
    (
        400,
        "BadRequest",
        (
            'admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/default/example'
            " was blocked due to the following policies disallow-annotations: ..."
        ),
        'admission webhook "validate.kyverno.svc-fail"',
    ),
    # kubernetes/kubernetes issue 115920 and apiserver's validating/dispatcher.go; a policy may name another reason.
    *(
        (
            status,
            reason,
            (
                'applications.argoproj.io "temporal" is forbidden: ValidatingAdmissionPolicy '
                "'demo-policy.example.com' with binding 'demo-binding-test.example.com' denied request: failed expression: x"
            ),
            "ValidatingAdmissionPolicy 'demo-policy.example.com'",
        )
        for status, reason in (
            (422, "Invalid"),
            (403, "Forbidden"),
            (401, "Unauthorized"),
            (413, "RequestEntityTooLarge"),
        )
    ),
    # apiserver's validating/dispatcher.go, for a policy that has no binding.
    (
        422,
        "Invalid",
        "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'freeze' denied request: frozen",
        "ValidatingAdmissionPolicy 'freeze'",
    ),
    # A webhook may choose 404 or 409, which mean something else to a caller (webhook/errors/statuserror.go).
    (404, "NotFound", 'admission webhook "a.b.c" denied the request: no owner', 'admission webhook "a.b.c"'),
    (409, "Conflict", 'admission webhook "a.b.c" denied the request without explanation', 'admission webhook "a.b.c"'),
    # rancher/k3k issue 294.
    (
        403,
        "Forbidden",
        'pods "security-context-privileged" is forbidden: violates PodSecurity "restricted:latest": privileged (...)',
        'PodSecurity "restricted:latest"',
    ),
    # kubernetes/kubernetes plugin/pkg/admission/resourcequota.
    (
        403,
        "Forbidden",
        'events "x" is forbidden: exceeded quota: objects, requested: count/events=1, used: count/events=9, limited: ...',
        "quota: objects",
    ),
    # kubernetes/kubernetes plugin/pkg/admission/namespace/lifecycle; it names nobody.
    (
        403,
        "Forbidden",
        'events "x" is forbidden: unable to create new content in namespace argocd because it is being terminated',
        API,
    ),
]


@pytest.mark.parametrize(("status", "reason", "message", "who"), DENIED)
def test_a_denial_names_who_denies(status: int, reason: str, message: str, who: str) -> None:
    """Whatever its status: it ends after the grace, since somebody may lift a policy, and asking alone does not."""
    found = refusals.finding(API, status, reason, message, PATCH)
    assert (found.reason, found.about) == (Reason.ADMISSION_DENIED, who)
    assert found.detail == f"{PATCH}: {message}"
    assert (found.reason.exit_code, found.reason.tolerance) == (ExitCode.ACCESS, Tolerance.GRACE)


@pytest.mark.parametrize(
    ("status", "reason", "message", "meaning"),
    [
        (
            403,
            "Forbidden",
            (
                'applications.argoproj.io "x" is forbidden: User "system:serviceaccount:a:b" cannot patch resource '
                '"applications" in API group "argoproj.io" in the namespace "argocd"'
            ),
            Reason.API_FORBIDDEN,
        ),
        (403, "Forbidden", 'forbidden: User "system:anonymous" cannot get path "/"', Reason.API_FORBIDDEN),
        (403, "", "<html>403</html>", Reason.API_FORBIDDEN),
        (401, "Unauthorized", "Unauthorized", Reason.API_LOGIN_REFUSED),
        (422, "Invalid", 'Application.argoproj.io "x" is invalid: spec.source: Required', Reason.API_REQUEST_REFUSED),
        (400, "BadRequest", "the object provided is unrecognized", Reason.API_REQUEST_REFUSED),
        (413, "RequestEntityTooLarge", "limit is 3145728", Reason.API_REQUEST_REFUSED),
        (413, "", "<h1>413 Request Entity Too Large</h1>", Reason.API_UNREACHABLE),
        (429, "TooManyRequests", "Too many requests, please try again later.", Reason.API_UNREACHABLE),
        (503, "ServiceUnavailable", "the server is currently unable to handle", Reason.API_UNREACHABLE),
        (504, "Timeout", "request did not complete within the allotted timeout", Reason.API_UNREACHABLE),
    ],
)
def test_what_is_no_denial(status: int, reason: str, message: str, meaning: Reason) -> None:
    """RBAC and a login are access; what the request itself is at fault for would not pass again; the rest is waited for."""
    assert refusals.finding(API, status, reason, message, PATCH).reason is meaning


@pytest.mark.parametrize(
    ("message", "who"),
    [
        # kyverno/kyverno issue 7576; kubernetes/ingress-nginx issue 5401.
        (
            (
                'Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post '
                '"https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": context deadline exceeded'
            ),
            'webhook "validate.kyverno.svc-fail"',
        ),
        # kubernetes/apiextensions-apiserver pkg/apiserver/conversion/webhook_converter.go
        (
            "conversion webhook for argoproj.io/v1alpha1, Kind=Application failed: connection refused",
            "conversion webhook for argoproj.io/v1alpha1, Kind=Application",
        ),
    ],
)
def test_a_webhook_that_is_away_is_named_and_waited_for(message: str, who: str) -> None:
    """Its pods may be on their way; and its remedy is not the API server's."""
    found = refusals.finding(API, 500, "InternalError", message, PATCH)
    assert (found.reason, found.about) == (Reason.API_UNREACHABLE, who)
    assert "webhook's pods" in found.remedy
