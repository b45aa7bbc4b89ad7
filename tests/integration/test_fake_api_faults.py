"""What the stand-in offers beside a real API server's behaviour: faults, the record of requests, users, pod logs."""

import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import urllib3
from kubernetes import client as official
from kubernetes import config as official_config

from lab.api_client import ApiClient, ApiError
from lab.fake_api import CLUSTER, Drop, DropAnswer, FakeApi, Hang, Malformed, Refuse

PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        server.add_user("admin", admin=True)
        yield server


@pytest.fixture
def client(api: FakeApi) -> Iterator[ApiClient]:
    found = api.client("admin")
    yield found
    found.close()


def raw(
    api: FakeApi, method: str, path: str, content_type: str = "application/json", **kwargs: Any
) -> urllib3.BaseHTTPResponse:
    token = api.add_user("admin", admin=True)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": content_type}
    with urllib3.PoolManager(retries=False, timeout=5.0) as pool:
        return pool.request(method, api.url + path, headers=headers, **kwargs)


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {}}


@pytest.mark.parametrize("status", [403, 404, 409, 429, 500, 503])
def test_an_injected_status_counts_down(api: FakeApi, client: ApiClient, status: int) -> None:
    """It meets the requests it was planned for, so many times, and no other."""
    api.faults.plan("GET", r"/pods$", Refuse(status), count=2)
    assert client.list(CONFIG_MAPS) == []
    for _ in range(2):
        with pytest.raises(ApiError) as caught:
            client.list(PODS)
        assert caught.value.status == status
    assert client.list(PODS) == []


def test_a_429_says_when_to_come_back(api: FakeApi) -> None:
    """In the header that clients obey."""
    api.faults.plan("GET", "/pods", Refuse(429, retry_after=3))
    answer = raw(api, "GET", PODS)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "3")
    assert answer.json()["reason"] == "TooManyRequests"


def test_a_dropped_request_never_took_effect(api: FakeApi, client: ApiClient) -> None:
    """The connection ends without an answer."""
    api.faults.plan("POST", "/configmaps", Drop())
    with pytest.raises(ApiError, match="Unreachable"):
        client.create(CONFIG_MAPS, config_map("a"))
    assert client.list(CONFIG_MAPS) == []


def test_a_dropped_answer_did(api: FakeApi, client: ApiClient) -> None:
    """The client cannot know."""
    api.faults.plan("POST", "/configmaps", DropAnswer())
    with pytest.raises(ApiError, match="Unreachable"):
        client.create(CONFIG_MAPS, config_map("a"))
    assert len(client.list(CONFIG_MAPS)) == 1


def test_a_malformed_answer(api: FakeApi, client: ApiClient) -> None:
    """200, and no JSON."""
    api.faults.plan("GET", "/pods", Malformed())
    with pytest.raises(ApiError, match="Malformed"):
        client.list(PODS)


def test_a_hanging_answer_ends_with_the_server(api: FakeApi) -> None:
    """A client with a short timeout gives up; stopping does not wait for the rest."""
    api.faults.plan("GET", "/pods", Hang(30.0))
    began = monotonic()
    with urllib3.PoolManager(retries=False) as pool, pytest.raises(urllib3.exceptions.ReadTimeoutError):
        pool.request("GET", api.url + PODS, timeout=0.2)
    api.stop()
    assert monotonic() - began < 20


def test_it_comes_back_on_its_port_with_its_objects(api: FakeApi, client: ApiClient) -> None:
    """An API server that restarts under its clients."""
    client.create(CONFIG_MAPS, config_map("a"))
    url = api.url
    api.stop()
    with pytest.raises(ApiError, match="Unreachable"):
        client.list(CONFIG_MAPS)
    api.start()
    assert api.url == url
    assert len(client.list(CONFIG_MAPS)) == 1


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_known_token_it_is_401(api: FakeApi, token: str | None) -> None:
    """Even for what everybody may see."""
    for path in (PODS, "/version"):
        with pytest.raises(ApiError) as caught:
            ApiClient(api.url, token=token).get(path)
        assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")


def test_rights_may_change_and_hold_everywhere(api: FakeApi) -> None:
    """Rules under ``""`` are a ClusterRoleBinding's; a fresh grant needs no other token."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    token = api.add_user("reader", roles={"default": rules})
    reader = api.client("reader")
    with pytest.raises(ApiError, match='cannot list resource "pods" in API group "" at the cluster scope'):
        reader.list("/api/v1/pods")
    assert api.add_user("reader", roles={CLUSTER: rules}) == token
    assert reader.list("/api/v1/pods") == []
    reader.close()


def test_requests_are_counted_by_user(api: FakeApi, client: ApiClient) -> None:
    """With what they cost on the wire."""
    client.list(PODS)
    with pytest.raises(ApiError):
        client.get(PODS + "/web")
    api.add_user("other", admin=True)
    other = api.client("other")
    other.list(PODS)
    other.close()
    first, second = api.requests.by("admin")
    assert (first.method, first.path, first.status) == ("GET", PODS, 200)
    assert second.status == 404
    assert first.bytes_sent > 0
    api.requests.clear()
    assert api.requests.all() == []


def test_what_it_does_not_offer_it_says(api: FakeApi) -> None:
    """Watch, and every patch but the merge patch."""
    answer = raw(api, "GET", PODS + "?watch=true")
    assert answer.status == 400
    assert "not offered by the stand-in" in answer.json()["message"]
    for kind in ("application/strategic-merge-patch+json", "application/json-patch+json"):
        answer = raw(api, "PATCH", PODS + "/web", kind, body=b"{}")
        assert (answer.status, answer.json()["reason"]) == (415, "UnsupportedMediaType")
    assert raw(api, "POST", PODS, body=b"{").status == 400
    assert raw(api, "DELETE", PODS).status == 405
    assert raw(api, "GET", "/apis").status == 404


def test_pod_logs_come_from_the_kubelet(api: FakeApi, client: ApiClient) -> None:
    """With its own refusals: a container that is not there, or was never started, or has no previous run."""
    spec = {"nodeName": "node-1", "containers": [{"name": "main", "image": "example.org/main:1"}]}
    client.create(PODS, {"metadata": {"name": "web"}, "spec": spec})
    asked: list[tuple[object, ...]] = []

    def source(  # noqa: PLR0913, PLR0917 - the kubelet is asked for that much
        namespace: str,
        pod: str,
        container: str,
        previous: bool,  # noqa: FBT001
        tail_lines: int | None,
        limit_bytes: int | None,
    ) -> bytes | None:
        asked.append((namespace, pod, container, previous, tail_lines, limit_bytes))
        return None if previous else b"hello\n"

    with pytest.raises(ApiError, match="connection refused"):
        client.get_text(PODS + "/web/log")
    api.serve_logs_from(source)
    assert client.get_text(PODS + "/web/log?tailLines=20&limitBytes=4096") == "hello\n"
    assert asked == [("default", "web", "main", False, 20, 4096)]
    with pytest.raises(ApiError) as caught:
        client.get_text(PODS + "/web/log?previous=true&container=main")
    assert (caught.value.status, caught.value.reason) == (400, "BadRequest")
    assert caught.value.message == 'previous terminated container "main" in pod "web" not found'
    with pytest.raises(ApiError, match="container other is not valid for pod web"):
        client.get_text(PODS + "/web/log?container=other")


def test_the_official_client_works_with_its_kubeconfig(api: FakeApi, tmp_path: Path) -> None:
    """Typed calls, custom objects and refusals."""
    api.add_user("admin", admin=True)
    path = api.write_kubeconfig(tmp_path / "kubeconfig", "admin")
    assert path.stat().st_mode & 0o077 == 0
    settings = official.Configuration()
    settings.retries = False
    official_config.load_kube_config(str(path), client_configuration=settings)
    with official.ApiClient(settings) as connection:
        core = official.CoreV1Api(connection)
        core.create_namespaced_config_map("default", official.V1ConfigMap(metadata=official.V1ObjectMeta(name="a")))
        assert core.read_namespaced_config_map("a", "default").api_version == "v1"
        with pytest.raises(official.ApiException) as caught:
            core.delete_namespaced_config_map(
                "a", "default", body=official.V1DeleteOptions(preconditions=official.V1Preconditions(uid="other"))
            )
        assert caught.value.status == 409
        custom = official.CustomObjectsApi(connection)
        with pytest.raises(official.ApiException) as caught:
            custom.patch_namespaced_custom_object("argoproj.io", "v1alpha1", "default", "applications", "x", {})
        assert caught.value.status == 404


def test_of_many_writers_each_change_is_kept(api: FakeApi, client: ApiClient) -> None:
    """Merge patches of different keys from many threads: no write is lost, no resourceVersion used twice."""
    client.create(CONFIG_MAPS, config_map("shared"))

    def write(worker: int) -> None:
        for turn in range(20):
            client.patch(CONFIG_MAPS + "/shared", {"data": {f"{worker}-{turn}": "x"}})

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(client.get(CONFIG_MAPS + "/shared")["data"]) == 160
    assert {request.status for request in api.requests.by("admin")} == {200, 201}


def test_a_watch_and_a_dry_run_are_refused(client: ApiClient) -> None:
    """A real server would do as it is asked: neither is to be done half."""
    with pytest.raises(ApiError, match="watch is not offered"):
        client.list(f"{CONFIG_MAPS}?watch=true")
    with pytest.raises(ApiError, match="dryRun is not offered"):
        client.create(f"{CONFIG_MAPS}?dryRun=All", config_map("dry"))
    assert client.list(CONFIG_MAPS) == []


@pytest.mark.parametrize("options", [{"propagationPolicy": "Orphan"}, {"dryRun": ["All"]}])
def test_a_deletion_that_leaves_something_is_refused(
    api: FakeApi, client: ApiClient, options: dict[str, object]
) -> None:
    """Its dependents, or the object itself."""
    client.create(CONFIG_MAPS, config_map("kept"))
    assert raw(api, "DELETE", f"{CONFIG_MAPS}/kept", json=options).status == 400
    assert [each["metadata"]["name"] for each in client.list(CONFIG_MAPS)] == ["kept"]
