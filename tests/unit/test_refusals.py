"""What an API server's refusal means, by bodies that real ones sent."""

import pytest

from hook.adapters import refusals
from hook.observation.reasons import ExitCode, Reason, Tolerance

API = "Kubernetes API https://api:6443"
PATCH = "PATCH /apis/argoproj.io/v1alpha1/namespaces/argocd/applications/temporal"

DENIED = [
    # open-policy-agent/gatekeeper pkg/webhook/policy.go (403, StatusReasonForbidden, "[constraint] message"); the whole is
    # of notaryproject/ratify issue 315.
    (
        403,
        "Forbidden",
        'admission webhook "validation.gatekeeper.sh" denied the request: [ratify-constraint] Subject failed',
        'admission webhook "validation.gatekeeper.sh"',
    ),
    # kyverno/kyverno pkg/webhooks/utils/block.go (the text) and issue 8916 (the whole): without a code of its own, which
    # makes 400 of it.
    (
        400,
        "BadRequest",
        (
            'admission webhook "validate.kyverno.svc-fail" denied the request: resource Pod/default/example'
            " was blocked due to the following policies disallow-annotations: ..."
        ),
        'admission webhook "validate.kyverno.svc-fail"',
    ),
    # kubernetes/kubernetes issue 115920 and kubernetes/apiserver pkg/admission/plugin/policy/validating/dispatcher.go; a
    # policy may name another reason (policy_decision.go, reasonToCode).
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
    # The same dispatcher.go, for a policy that has no binding, and for one that cannot be configured.
    (
        422,
        "Invalid",
        "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'freeze' denied request: frozen",
        "ValidatingAdmissionPolicy 'freeze'",
    ),
    (
        422,
        "Invalid",
        (
            "events \"a\" is forbidden: ValidatingAdmissionPolicy 'freeze' with binding 'all' denied request: failed to "
            "configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        ),
        "ValidatingAdmissionPolicy 'freeze'",
    ),
    # kubernetes/apiserver pkg/admission/plugin/policy/generic/policy_dispatcher.go (PolicyError), of a
    # MutatingAdmissionPolicy with and without a binding: it takes the place of "... is forbidden: ...".
    (403, "Forbidden", "policy 'sidecars' with binding 'all' denied request: no such key", "policy 'sidecars'"),
    (403, "Forbidden", 'policy "sidecars" denied request: failed to configure policy: x', 'policy "sidecars"'),
    # kubernetes/apiserver pkg/admission/plugin/webhook/errors/statuserror.go (ToStatusErr): any code from 400 that the
    # webhook chose. 404 and 409 mean something else to a caller.
    (404, "NotFound", 'admission webhook "a.b.c" denied the request: no owner', 'admission webhook "a.b.c"'),
    (409, "Conflict", 'admission webhook "a.b.c" denied the request without explanation', 'admission webhook "a.b.c"'),
    (500, "InternalError", 'admission webhook "a.b.c" denied the request: EOF', 'admission webhook "a.b.c"'),
    # The form of another version of statuserror.go (kubernetes/kubernetes 3d78487), which names the object first.
    (
        403,
        "Forbidden",
        'applications.argoproj.io "x" is forbidden: admission webhook "a.b.c" denied the request: no owner',
        'admission webhook "a.b.c"',
    ),
    # kubernetes/kubernetes staging/src/k8s.io/pod-security-admission/admission/admission.go; the whole: rancher/k3k issue
    # 294.
    (
        403,
        "Forbidden",
        'pods "security-context-privileged" is forbidden: violates PodSecurity "restricted:latest": privileged (...)',
        'PodSecurity "restricted:latest"',
    ),
    (
        403,
        "Forbidden",
        'pod violates PodSecurity "baseline:v1.23": host namespaces (...)',
        'PodSecurity "baseline:v1.23"',
    ),
    # kubernetes/apiserver pkg/admission/plugin/resourcequota/controller.go, all four.
    (
        403,
        "Forbidden",
        'events "x" is forbidden: exceeded quota: objects, requested: count/events=1, used: count/events=9, limited: ...',
        "quota: objects",
    ),
    (403, "Forbidden", 'pods "x" is forbidden: failed quota: compute: must specify limits.cpu', "quota: compute"),
    (403, "Forbidden", 'pods "x" is forbidden: insufficient quota to consume: pods', API),
    (500, "", "insufficient quota to match these scopes: [{PriorityClass In [high]}]", API),
    # kubernetes/apiserver pkg/admission/plugin/namespace/lifecycle/admission.go; it names nobody.
    (
        403,
        "Forbidden",
        'events "x" is forbidden: unable to create new content in namespace argocd because it is being terminated',
        API,
    ),
    # kubernetes/kubernetes plugin/pkg/admission/limitranger/admission.go (maxConstraint); it names nobody either.
    (403, "Forbidden", 'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2', API),
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
        # kubernetes/apiserver pkg/endpoints/handlers/responsewriters/errors.go (forbiddenMessage), of RBAC
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
        # kubernetes/apiserver: pkg/admission/plugin/{webhook/generic/webhook.go,policy/generic/plugin.go,
        # namespace/lifecycle/admission.go}, of a server that has just started
        (403, "Forbidden", 'events "x" is forbidden: not yet ready to handle request', Reason.API_UNREACHABLE),
        # kubernetes/apiserver pkg/admission/plugin/resourcequota/controller.go, of a quota that nobody has counted yet
        (
            403,
            "Forbidden",
            'events "x" is forbidden: status unknown for quota: objects, resources: count/events',
            Reason.API_UNREACHABLE,
        ),
        # kubernetes/kubernetes plugin/pkg/admission/limitranger/admission.go (GetLimitRanges)
        (
            403,
            "Forbidden",
            (
                'pods "x" is forbidden: unable to CREATE /v1, Resource=pods at this time because there was an error '
                "enforcing limit ranges"
            ),
            Reason.API_UNREACHABLE,
        ),
        # kubernetes/apiserver pkg/admission/plugin/resourcequota/controller.go
        (
            500,
            "InternalError",
            "Internal error occurred: resource quota evaluation timed out",
            Reason.API_UNREACHABLE,
        ),
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
        # kubernetes/apiserver pkg/util/webhook/error.go (ErrCallingWebhook); the wholes: kyverno/kyverno issue 7576 and
        # open-policy-agent/gatekeeper issue 3538.
        (
            (
                'Internal error occurred: failed calling webhook "validate.kyverno.svc-fail": failed to call webhook: Post '
                '"https://kyverno-svc.kyverno.svc:443/validate/fail?timeout=10s": context deadline exceeded'
            ),
            'webhook "validate.kyverno.svc-fail"',
        ),
        (
            (
                'Internal error occurred: failed calling webhook "check-ignore-label.gatekeeper.sh": failed to call '
                'webhook: Post "https://gatekeeper-webhook-service.gatekeeper-system.svc:443/v1/admitlabel?timeout=3s": '
                "dial tcp 10.112.0.99:8443: i/o timeout"
            ),
            'webhook "check-ignore-label.gatekeeper.sh"',
        ),
        (
            'Internal error occurred: failed calling webhook "a.b.c"; no further details available',
            'webhook "a.b.c"',
        ),
        # kubernetes/kubernetes staging/src/k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go
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
