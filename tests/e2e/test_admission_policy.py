"""`examples/admission-policy` on the real API server: every act of the gate passes, and nothing else that `patch` allows."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from hook.adapters.api import Api
from hook.adapters.argocd import Applications, KubernetesWay
from hook.observation.applications import ApplicationRef
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason
from hook.observation.workloads import JobRef
from lab.api_client import ApiClient, ApiError, Json
from lab.control_plane import argocd
from lab.platform import Platform
from lab.processes import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "admission-policy" / "policy.yaml"
ADMISSION = "/apis/admissionregistration.k8s.io/v1/"
ACCOUNT = "system:serviceaccount:temporal-gate:gate-temporal-recovery-hook"
RBAC = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{argocd.NAMESPACE}"
SKIPPED = {"argocd.argoproj.io/skip-reconcile": "true", "team": "data"}
"""Argo CD leaves these Applications alone: nobody else writes to them."""
REVISION = "a" * 40
STATE = {"operation": {"sync": {}}, "phase": "Failed", "startedAt": "2026-01-02T03:04:05Z"}
_numbers = itertools.count(1)


class Guarded:
    """An Application under the policy, the gate's way to it, and the gate's rights in the hands of somebody else."""

    def __init__(self, admin: ApiClient, account: ApiClient, gate: Api, name: str) -> None:
        self.admin = admin
        self.account = account
        self.applications = Applications(KubernetesWay(gate), "run")
        self.ref = ApplicationRef(argocd.NAMESPACE, name)
        self.path = f"{argocd.APPLICATIONS}/{name}"

    def is_denied(self, patch: Json, client: ApiClient | None = None) -> str:
        """What the API server says to a patch by the gate's account, empty where it lets it through."""
        try:
            (client or self.account).patch(self.path, patch)
        except ApiError as error:
            return error.message
        return ""


@pytest.fixture(scope="module")
def policy(platforms: Callable[[str], Platform]) -> Iterator[Platform]:
    """The example as it is, in force."""
    platform = platforms("3.6")
    client = platform.client
    made, binding = yaml.safe_load_all(EXAMPLE.read_text())
    client.create("/api/v1/namespaces", {"metadata": {"name": "temporal-gate"}})
    accounts = "/api/v1/namespaces/temporal-gate/serviceaccounts"
    for name in ("gate-temporal-recovery-hook", "other"):
        client.create(accounts, {"metadata": {"name": name}})
    rule = {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "patch", "create", "delete"]}
    client.create(f"{RBAC}/roles", {"metadata": {"name": "guarded"}, "rules": [rule]})
    subjects = [
        {"kind": "ServiceAccount", "name": name, "namespace": "temporal-gate"}
        for name in ("gate-temporal-recovery-hook", "other")
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "guarded"}
    client.create(f"{RBAC}/rolebindings", {"metadata": {"name": "guarded"}, "roleRef": role, "subjects": subjects})
    client.create(f"{ADMISSION}validatingadmissionpolicies", made)
    client.create(f"{ADMISSION}validatingadmissionpolicybindings", binding)
    yield platform
    client.delete(f"{ADMISSION}validatingadmissionpolicybindings/{binding['metadata']['name']}")
    client.delete(f"{ADMISSION}validatingadmissionpolicies/{made['metadata']['name']}")
    for kind in ("rolebindings", "roles"):
        client.delete(f"{RBAC}/{kind}/guarded")
    client.delete("/api/v1/namespaces/temporal-gate")


@pytest.fixture
def guarded(policy: Platform, tmp_path: Path) -> Iterator[Guarded]:
    name = f"guarded-{next(_numbers)}"
    source = {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "HEAD"}
    destination = {"server": argocd.DESTINATION, "namespace": "default"}
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "annotations": SKIPPED, "labels": {"phase": "450"}},
        "spec": {"project": "default", "source": source, "destination": destination},
        "status": {
            "sync": {
                "status": "OutOfSync",
                "revision": REVISION,
                "comparedTo": {"destination": destination, "source": source},
            },
            "operationState": STATE,
            "resources": [
                {"group": "batch", "kind": "Job", "namespace": "data", "name": f"job-{number}", "status": "Synced"}
                for number in range(200)
            ],
        },
    }
    policy.client.create(argocd.APPLICATIONS, body)
    plane = policy.plane
    token = plane.token("temporal-gate", "gate-temporal-recovery-hook")
    plane.write_kubeconfig(tmp_path / "kubeconfig", token)
    account = ApiClient(plane.url, token, str(plane.ca_file))
    with closing(account), closing(Api.connect(tmp_path / "kubeconfig", None, 5.0)) as gate:
        found = Guarded(policy.client, account, gate, name)
        # A policy takes a moment to be in force, and a right to be known.
        probes = ({"metadata": {"labels": {"probe": str(number)}}} for number in itertools.count())
        wait_until(lambda: "denied request" in found.is_denied(next(probes)), 30, "the policy to be in force", 0.2)
        yield found
    policy.client.patch(found.path, {"metadata": {"finalizers": None}})
    policy.client.delete(found.path)


def test_every_act_of_the_gate_passes(guarded: Guarded) -> None:
    """A comparison, a full sync over the state of the last one, a sync of Jobs alone."""
    gate = guarded.applications
    assert gate.refresh(gate.read(guarded.ref))
    assert gate.read(guarded.ref).refresh_requested
    assert gate.sync(gate.read(guarded.ref), 1, ())
    assert "operationState" not in guarded.admin.get(guarded.path)["status"]
    guarded.admin.patch(guarded.path, {"operation": None, "status": {"operationState": STATE}})
    assert gate.sync(gate.read(guarded.ref), 2, (JobRef("data", "job-1"),))
    assert guarded.admin.get(guarded.path)["operation"]["sync"]["resources"]
    guarded.admin.patch(guarded.path, {"metadata": {"annotations": {"argocd.argoproj.io/refresh": None}}})


def test_an_application_of_several_sources_is_synced(guarded: Guarded) -> None:
    """And one that has neither annotation nor status of its own yet."""
    source = {"repoURL": "https://example.org/git", "path": "x"}
    status = {
        "operationState": None,
        "sync": {"status": "OutOfSync", "revision": None, "revisions": ["b" * 40, "c" * 40]},
    }
    guarded.admin.patch(guarded.path, {"spec": {"sources": [source, source]}, "status": status})
    gate = guarded.applications
    assert gate.sync(gate.read(guarded.ref), 1, ())
    assert guarded.admin.get(guarded.path)["operation"]["sync"]["revisions"] == ["b" * 40, "c" * 40]


SOURCE = {"repoURL": "https://example.org/mine", "path": "x"}
DENIED: dict[str, tuple[Any, str]] = {
    "another source": ({"spec": {"source": SOURCE}}, "specification"),
    "another revision to follow": ({"spec": {"source": {"targetRevision": "mine"}}}, "specification"),
    "another destination": ({"spec": {"destination": {"namespace": "kube-system"}}}, "specification"),
    "another project": ({"spec": {"project": "other"}}, "specification"),
    "automated sync": ({"spec": {"syncPolicy": {"automated": {}}}}, "specification"),
    "a label": ({"metadata": {"labels": {"phase": "1"}}}, "labels"),
    "a new label": ({"metadata": {"labels": {"new": "1"}}}, "labels"),
    "a finalizer": ({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}, "finalizers"),
    "another annotation": ({"metadata": {"annotations": {"argocd.argoproj.io/sync-options": "x"}}}, "annotation"),
    "a changed annotation": ({"metadata": {"annotations": {"team": "mine"}}}, "annotation"),
    "an annotation taken away": ({"metadata": {"annotations": {"team": None}}}, "annotation"),
    "all annotations taken away": ({"metadata": {"annotations": None}}, "annotation"),
    "a status": ({"status": {"sync": {"revision": "b" * 40}}}, "status"),
    "a health": ({"status": {"health": {"status": "Healthy"}}}, "status"),
    "a status taken away": ({"status": {"resources": None}}, "status"),
    "an operation's state": ({"status": {"operationState": {"phase": "Running"}}}, "status"),
    "manifests of its own": ({"operation": {"sync": {"manifests": ["{}"]}}}, "no manifests"),
    "a sync of another source": ({"operation": {"sync": {"source": SOURCE}}}, "no other source"),
    "a sync of other sources": ({"operation": {"sync": {"sources": [SOURCE]}}}, "no other source"),
    "a sync of another revision": ({"operation": {"sync": {"revision": "mine"}}}, "no other revision"),
    "a sync of other revisions": ({"operation": {"sync": {"revisions": ["mine"]}}}, "no other revision"),
    "an operation of no sync": ({"operation": {"info": []}}, "no other source"),
    "both of it": ({"operation": {"sync": {}}, "spec": {"source": SOURCE}}, "specification"),
}


@pytest.mark.parametrize(("patch", "message"), DENIED.values(), ids=DENIED)
def test_nothing_else_passes(guarded: Guarded, patch: Json, message: str) -> None:
    """Each is denied in a sentence, and lets everybody else through who has the right."""
    before = guarded.admin.get(guarded.path)
    said = guarded.is_denied(patch)
    assert "ValidatingAdmissionPolicy 'temporal-recovery-hook'" in said
    assert message in said
    assert guarded.admin.get(guarded.path) == before


def test_an_operation_is_not_taken_back(guarded: Guarded) -> None:
    """Another's, that is to say: the gate never does."""
    guarded.admin.patch(guarded.path, {"operation": {"sync": {"source": SOURCE}}})
    assert "take an operation back" in guarded.is_denied({"operation": None})
    assert guarded.is_denied({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}) == ""


def test_it_may_neither_make_nor_delete_one(guarded: Guarded) -> None:
    """Though its Role were as wide as that."""
    body = {**guarded.admin.get(guarded.path), "metadata": {"name": "made"}}
    with pytest.raises(ApiError, match="only change Applications that are there"):
        guarded.account.create(argocd.APPLICATIONS, body)
    with pytest.raises(ApiError, match="only change Applications that are there"):
        guarded.account.delete(guarded.path)


def test_others_are_let_alone(policy: Platform, guarded: Guarded) -> None:
    """It is for the accounts that it names."""
    token = policy.plane.token("temporal-gate", "other")
    with closing(ApiClient(policy.plane.url, token, str(policy.plane.ca_file))) as other:
        assert guarded.is_denied({"spec": {"source": {"targetRevision": "main"}}}, other) == ""


def test_the_gate_tells_a_denial(guarded: Guarded) -> None:
    """As what it is, with the policy's name."""
    seen = replace(guarded.applications.read(guarded.ref), revisions=("b" * 40,))
    with pytest.raises(FindingError) as caught:
        guarded.applications.sync(seen, 1, ())
    assert caught.value.finding.reason is Reason.ADMISSION_DENIED
    assert "temporal-recovery-hook" in caught.value.finding.about
