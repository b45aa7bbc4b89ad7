"""The fake API's contract, case by case, against a real API server: what the fake refuses, the real one refuses."""

# The fixtures below take the place of the imported ones.
# mypy: disable-error-code="no-redef"

import itertools
from collections.abc import Callable, Iterator, Sequence

import pytest
from test_fake_api import *  # noqa: F403 -- the cases; their fixtures are replaced below

from lab.api_client import ApiClient, Json
from lab.control_plane.kubernetes import ControlPlane
from lab.platform import Platform
from lab.processes import wait_until

_numbers = itertools.count(1)
_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"


def is_allowed(user: ApiClient, namespace: str, rule: Json) -> bool:
    """Whether the user knows of the first of what a rule gives."""
    resource, _, subresource = rule["resources"][0].partition("/")
    asked = {"namespace": namespace, "verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": resource}
    asked |= {"subresource": subresource, "name": rule.get("resourceNames", [""])[0]}
    body = {"spec": {"resourceAttributes": asked}}
    return bool(user.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)["status"]["allowed"])


@pytest.fixture
def plane(platforms: Callable[[str], Platform]) -> ControlPlane:
    return platforms("3.6").plane


@pytest.fixture
def client(plane: ControlPlane) -> ApiClient:
    return plane.client


@pytest.fixture
def namespace(client: ApiClient) -> Iterator[str]:
    name = f"contract-{next(_numbers)}"
    client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def user_with(plane: ControlPlane, client: ApiClient, namespace: str) -> Iterator[Callable[..., tuple[str, ApiClient]]]:
    made: list[ApiClient] = []

    def make(rules: Sequence[Json]) -> tuple[str, ApiClient]:
        name = f"tenant-{next(_numbers)}"
        client.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
        client.create(f"{_RBAC}/{namespace}/roles", {"metadata": {"name": name}, "rules": list(rules)})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        binding = {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}
        client.create(f"{_RBAC}/{namespace}/rolebindings", binding)
        made.append(ApiClient(plane.url, plane.token(namespace, name), str(plane.ca_file)))
        for rule in rules:  # a fresh RoleBinding takes a moment to reach the authorizer
            wait_until(lambda rule=rule: is_allowed(made[-1], namespace, rule), 10, "the rights to be known")  # type: ignore[misc]
        return f"system:serviceaccount:{namespace}:{name}", made[-1]

    yield make
    for each in made:
        each.close()
