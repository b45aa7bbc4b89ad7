"""What the lab and the hook rely on of a Kubernetes API server: the same cases hold for the stand-in and a real one.

A suite for a real server imports these tests and brings its own ``client`` (an administrator), ``namespace`` (a fresh
one) and ``user_with`` (a client whose user has these rules there).
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

import pytest

from lab.api_client import ApiClient, ApiError, Json
from lab.fake_api import FakeApi, Rule
from lab.object_status import ended_job

_numbers = itertools.count(1)
ABSENT_UID = "00000000-0000-4000-8000-000000000000"
UserWith = Callable[[Sequence[Rule]], tuple[str, ApiClient]]


@pytest.fixture(scope="module")
def api() -> Iterator[FakeApi]:
    with FakeApi() as server:
        server.add_user("admin", admin=True)
        yield server


@pytest.fixture
def client(api: FakeApi) -> Iterator[ApiClient]:
    found = api.client("admin")
    yield found
    found.close()


@pytest.fixture
def namespace(client: ApiClient) -> Iterator[str]:
    name = f"contract-{next(_numbers)}"
    client.create("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    client.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def user_with(api: FakeApi, namespace: str) -> Iterator[UserWith]:
    made: list[ApiClient] = []

    def make(rules: Sequence[Rule]) -> tuple[str, ApiClient]:
        name = f"system:serviceaccount:{namespace}:tenant-{next(_numbers)}"
        api.add_user(name, roles={namespace: rules})
        made.append(api.client(name))
        return name, made[-1]

    yield make
    for each in made:
        each.close()


def core(namespace: str, plural: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}" + (f"/{name}" if name else "")


def jobs(namespace: str, name: str = "") -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs" + (f"/{name}" if name else "")


def applications(namespace: str, name: str = "") -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications" + (f"/{name}" if name else "")


def config_map(name: str = "settings", **data: str) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str = "web", **labels: str) -> Json:
    # Bound by the cases alone: where they meet a real API server, a node is there that takes what names no scheduler.
    spec = {"schedulerName": "nobody", "containers": [{"name": "main", "image": "example.org/main:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def job(name: str = "schema", image: str = "example.org/schema:1") -> Json:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}
    spec = {"suspend": True, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def application(name: str = "temporal") -> Json:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://example.org/git", "path": "x", "targetRevision": "HEAD"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
        },
    }


def event(namespace: str, about: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "temporal."},
        "involvedObject": {"kind": "Application", "name": "temporal", "namespace": about},
        "reason": "GatePassed",
        "message": f"in {namespace}",
        "type": "Normal",
    }


def bound(client: ApiClient, namespace: str, name: str = "web", **labels: str) -> Json:
    created = client.create(core(namespace, "pods"), pod(name, **labels))
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}}
    target = {"apiVersion": "v1", "kind": "Node", "name": "no-such-node"}
    client.create(core(namespace, "pods", name) + "/binding", {**binding, "target": target})
    return created


def refusal(act: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        act()
    return caught.value


def test_a_created_object_gets_what_the_server_owns(client: ApiClient, namespace: str) -> None:
    """uid, resourceVersion and a creation time in whole seconds; what the client says of them does not count."""
    body = config_map(a="1")
    body["metadata"] |= {"uid": ABSENT_UID, "creationTimestamp": "2001-01-01T00:00:00Z"}
    created = client.create(core(namespace, "configmaps"), body)["metadata"]
    assert created["uid"] != ABSENT_UID
    assert created["namespace"] == namespace
    assert re.fullmatch(r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created["creationTimestamp"])
    assert int(created["resourceVersion"]) > 0


def test_an_absent_object_is_not_found(client: ApiClient, namespace: str) -> None:
    """The message names resource, group and name."""
    error = refusal(lambda: client.get(core(namespace, "pods", "web")))
    assert (error.status, error.reason, error.message) == (404, "NotFound", 'pods "web" not found')
    error = refusal(lambda: client.get(applications(namespace, "x")))
    assert error.message == 'applications.argoproj.io "x" not found'


def test_a_kind_that_is_not_served_is_not_found(client: ApiClient, namespace: str) -> None:
    """And so is a subresource that a kind does not have: Applications have no status subresource."""
    error = refusal(lambda: client.get(core(namespace, "foos", "x")))
    assert (error.status, error.message) == (404, "the server could not find the requested resource")
    client.create(applications(namespace), application())
    error = refusal(lambda: client.patch_status(applications(namespace, "temporal"), {"status": {}}))
    assert error.status == 404


def test_a_second_of_the_same_name_already_exists(client: ApiClient, namespace: str) -> None:
    """409 with a reason of its own, not Conflict."""
    client.create(core(namespace, "configmaps"), config_map())
    error = refusal(lambda: client.create(core(namespace, "configmaps"), config_map()))
    assert (error.status, error.reason) == (409, "AlreadyExists")
    assert error.message == 'configmaps "settings" already exists'


def test_nothing_is_created_in_a_namespace_that_is_not_there(client: ApiClient) -> None:
    """404 that names the namespace."""
    error = refusal(lambda: client.create(core("nowhere", "configmaps"), config_map()))
    assert (error.status, error.message) == (404, 'namespaces "nowhere" not found')


def test_the_body_has_to_agree_with_the_path(client: ApiClient, namespace: str) -> None:
    """Namespace, name and kind."""
    body = config_map()
    body["metadata"]["namespace"] = "default"
    error = refusal(lambda: client.create(core(namespace, "configmaps"), body))
    assert error.status == 400
    assert "does not match the namespace sent on the request" in error.message
    client.create(core(namespace, "configmaps"), config_map())
    error = refusal(lambda: client.replace(core(namespace, "configmaps", "settings"), config_map("other")))
    assert error.status == 400
    assert refusal(lambda: client.create(core(namespace, "pods"), config_map())).status == 400


def test_a_name_is_required_and_has_to_be_one(client: ApiClient, namespace: str) -> None:
    """Or generateName, to which five characters are appended."""
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    error = refusal(lambda: client.create(core(namespace, "configmaps"), nameless))
    assert (error.status, error.reason) == (422, "Invalid")
    assert "name or generateName is required" in error.message
    assert refusal(lambda: client.create(core(namespace, "configmaps"), config_map("Not_a_name"))).status == 422
    nameless["metadata"] = {"generateName": "gate-"}
    created = client.create(core(namespace, "configmaps"), nameless)
    assert re.fullmatch(r"gate-[a-z0-9]{5}", created["metadata"]["name"])


def test_a_stale_resource_version_is_a_conflict(client: ApiClient, namespace: str) -> None:
    """For PUT and for a merge patch that carries one: the compare-and-swap that every act of the hook rests on."""
    stale = client.create(applications(namespace), application())
    path = applications(namespace, "temporal")
    client.patch(path, {"metadata": {"labels": {"somebody": "faster"}}})
    for act in (
        lambda: client.replace(path, stale),
        lambda: client.patch(
            path, {"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}, "operation": {"sync": {}}}
        ),
    ):
        error = refusal(act)
        assert (error.status, error.reason) == (409, "Conflict")
        assert error.message == (
            'Operation cannot be fulfilled on applications.argoproj.io "temporal": the object has been modified; '
            "please apply your changes to the latest version and try again"
        )
    assert "operation" not in client.get(path)


def test_a_fresh_resource_version_is_accepted_once(client: ApiClient, namespace: str) -> None:
    """Of two who read the same version, one wins."""
    read = client.create(applications(namespace), application())["metadata"]["resourceVersion"]
    path = applications(namespace, "temporal")
    patch = {"metadata": {"resourceVersion": read}, "operation": {"sync": {"revision": "one"}}}
    assert client.patch(path, patch)["operation"]["sync"]["revision"] == "one"
    assert refusal(lambda: client.patch(path, patch)).status == 409


def test_a_write_that_changes_nothing_keeps_the_resource_version(client: ApiClient, namespace: str) -> None:
    """And one that changes something gives a greater one."""
    created = client.create(core(namespace, "configmaps"), config_map(a="1"))["metadata"]["resourceVersion"]
    path = core(namespace, "configmaps", "settings")
    assert client.patch(path, {"data": {"a": "1"}})["metadata"]["resourceVersion"] == created
    assert int(client.patch(path, {"data": {"a": "2"}})["metadata"]["resourceVersion"]) > int(created)


def test_a_custom_resource_is_not_replaced_unconditionally(client: ApiClient, namespace: str) -> None:
    """PUT without a resourceVersion: refused for an Application, accepted for a ConfigMap."""
    client.create(applications(namespace), application())
    error = refusal(lambda: client.replace(applications(namespace, "temporal"), application()))
    assert error.status == 422
    assert "must be specified for an update" in error.message
    client.create(core(namespace, "configmaps"), config_map(a="1"))
    assert client.replace(core(namespace, "configmaps", "settings"), config_map(a="2"))["data"] == {"a": "2"}


def test_a_merge_patch_deletes_by_null(client: ApiClient, namespace: str) -> None:
    """RFC 7386: maps merge, null deletes, lists are replaced whole."""
    client.create(core(namespace, "configmaps"), config_map(a="1", b="2"))
    path = core(namespace, "configmaps", "settings")
    assert client.patch(path, {"data": {"a": None, "c": "3"}})["data"] == {"b": "2", "c": "3"}


def test_an_application_takes_its_status_and_operation_in_one_write(client: ApiClient, namespace: str) -> None:
    """No status subresource: as SetAppOperation writes it; null for operationState removes it."""
    client.create(applications(namespace), application())
    path = applications(namespace, "temporal")
    state = {"operation": {"sync": {}}, "phase": "Succeeded", "startedAt": "2026-01-01T00:00:00Z"}
    client.patch(path, {"status": {"operationState": state, "sync": {"status": "Synced"}}})
    operation = {"info": [{"name": "id", "value": "1"}], "sync": {"revision": "abc", "prune": False}}
    written = client.patch(path, {"operation": operation, "status": {"operationState": None}})
    assert written["operation"] == operation
    assert written["status"] == {"sync": {"status": "Synced"}}


def test_every_write_but_of_metadata_is_a_generation_of_an_application(client: ApiClient, namespace: str) -> None:
    """A custom resource without status subresource counts its status too."""
    created = client.create(applications(namespace), application())
    path = applications(namespace, "temporal")
    assert created["metadata"]["generation"] == 1
    assert client.patch(path, {"metadata": {"labels": {"a": "b"}}})["metadata"]["generation"] == 1
    assert client.patch(path, {"status": {"sync": {"status": "Synced"}}})["metadata"]["generation"] == 2


def test_an_applications_schema_is_held(client: ApiClient, namespace: str) -> None:
    """Unknown fields are pruned silently; wrong types and missing fields are refused."""
    client.create(applications(namespace), application())
    path = applications(namespace, "temporal")
    written = client.patch(path, {"operation": {"sync": {"ressources": []}, "retries": 3}})
    assert written["operation"] == {"sync": {}}
    for wrong in (
        {"sync": {"prune": "false"}},
        {"sync": {"resources": [{"group": "batch", "name": "schema"}]}},
        {"info": [{"name": "id"}]},
        {"retry": {"limit": "2"}},
    ):
        assert refusal(lambda operation=wrong: client.patch(path, {"operation": operation})).status == 422  # type: ignore[misc]
    for status in ({"reconciledAt": "yesterday"}, {"conditions": [{"type": "SyncError"}]}):
        assert refusal(lambda status=status: client.patch(path, {"status": status})).status == 422  # type: ignore[misc]
    homeless = application("homeless")
    del homeless["spec"]["destination"]
    assert refusal(lambda: client.create(applications(namespace), homeless)).status == 422


def test_a_core_object_takes_status_through_its_subresource_only(client: ApiClient, namespace: str) -> None:
    """What a POST or a patch of the object says of status is ignored."""
    created = client.create(core(namespace, "pods"), {**pod(), "status": {"phase": "Running"}})
    assert created["status"]["phase"] == "Pending"
    path = core(namespace, "pods", "web")
    assert client.patch(path, {"status": {"phase": "Running"}})["status"]["phase"] == "Pending"
    assert client.patch_status(path, {"status": {"phase": "Running"}})["status"]["phase"] == "Running"
    assert client.get(path)["metadata"]["generation"] == 1


def test_a_pod_gets_the_servers_defaults(client: ApiClient, namespace: str) -> None:
    """Those that the kubelet lives by."""
    spec = client.create(core(namespace, "pods"), pod())["spec"]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
    container = spec["containers"][0]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"


def test_a_pods_spec_is_settled(client: ApiClient, namespace: str) -> None:
    """But for its images."""
    client.create(core(namespace, "pods"), pod())
    path = core(namespace, "pods", "web")
    error = refusal(lambda: client.patch(path, {"spec": {"restartPolicy": "Never"}}))
    assert error.status == 422
    assert "pod updates may not change fields other than" in error.message


def test_a_pod_is_bound_once(client: ApiClient, namespace: str) -> None:
    """The second Binding is a conflict."""
    bound(client, namespace)
    assert client.get(core(namespace, "pods", "web"))["spec"]["nodeName"] == "no-such-node"
    target = {"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "node-2"}}
    error = refusal(lambda: client.create(core(namespace, "pods", "web") + "/binding", target))
    assert (error.status, error.reason) == (409, "Conflict")
    assert "already assigned to node" in error.message


def test_a_bound_pod_is_deleted_gracefully(client: ApiClient, namespace: str) -> None:
    """It stays, with deletionTimestamp, until its kubelet deletes it with a grace period of 0."""
    bound(client, namespace)
    path = core(namespace, "pods", "web")
    answer = client.delete(path)
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 30
    first = client.get(path)["metadata"]
    client.delete(path)
    assert client.get(path)["metadata"]["deletionTimestamp"] == first["deletionTimestamp"]
    client.delete(path, grace_period_seconds=0)
    assert refusal(lambda: client.get(path)).status == 404


@pytest.mark.parametrize("why", ["not yet bound", "finished"])
def test_a_pod_that_no_kubelet_runs_goes_at_once(client: ApiClient, namespace: str, why: str) -> None:
    """There is nobody to wait for."""
    path = core(namespace, "pods", "web")
    if why == "finished":
        bound(client, namespace)
        client.patch_status(path, {"status": {"phase": "Failed"}})
    else:
        client.create(core(namespace, "pods"), pod())
    client.delete(path)
    assert refusal(lambda: client.get(path)).status == 404


def test_a_deletion_with_another_uid_is_a_conflict(client: ApiClient, namespace: str) -> None:
    """So a successor of the same name is never killed."""
    created = bound(client, namespace)
    path = core(namespace, "pods", "web")
    error = refusal(lambda: client.delete(path, uid=ABSENT_UID))
    assert (error.status, error.reason) == (409, "Conflict")
    assert error.message.startswith('Operation cannot be fulfilled on Pod "web": the UID in the precondition')
    assert "deletionTimestamp" not in client.get(path)["metadata"]
    client.delete(path, uid=created["metadata"]["uid"], grace_period_seconds=0)
    assert refusal(lambda: client.get(path)).status == 404


def test_finalizers_hold_a_deleted_object(client: ApiClient, namespace: str) -> None:
    """Until the last is removed; none can be added meanwhile."""
    body = application()
    body["metadata"]["finalizers"] = ["example.org/hold"]
    client.create(applications(namespace), body)
    path = applications(namespace, "temporal")
    client.delete(path)
    assert "deletionTimestamp" in client.get(path)["metadata"]
    more = {"metadata": {"finalizers": ["example.org/hold", "example.org/more"]}}
    assert refusal(lambda: client.patch(path, more)).status == 422
    client.patch(path, {"metadata": {"finalizers": None}})
    assert refusal(lambda: client.get(path)).status == 404


def test_what_a_job_runs_is_immutable(client: ApiClient, namespace: str) -> None:
    """A changed template is refused, and so is a replace by the manifest: selector and labels came with creation."""
    created = client.create(jobs(namespace), job())
    uid = created["metadata"]["uid"]
    assert created["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert created["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "schema"
    assert created["spec"]["backoffLimit"] == 6
    # Not its labels: a suspended Job's may be changed once its controller has seen it.
    changed = job(image="example.org/schema:2")["spec"]["template"]
    error = refusal(lambda: client.patch(jobs(namespace, "schema"), {"spec": {"template": changed}}))
    assert error.status == 422
    error = refusal(lambda: client.replace(jobs(namespace, "schema"), job()))
    assert error.status == 422
    assert 'Job.batch "schema" is invalid' in error.message
    assert "field is immutable" in error.message


def test_where_a_suspended_job_runs_may_change_and_what_it_runs_may_not(client: ApiClient, namespace: str) -> None:
    """Once its controller has said that it is suspended (MutableSchedulingDirectivesForSuspendedJobs, 1.36)."""
    client.create(jobs(namespace), job())
    path = jobs(namespace, "schema")
    suspended = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
    client.patch_status(path, {"status": {"conditions": [suspended]}})
    where = {"spec": {"template": {"spec": {"nodeSelector": {"disk": "fast"}}}}}
    assert client.patch(path, where)["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}
    what = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    assert "field is immutable" in refusal(lambda: client.patch(path, what)).message
    client.patch(path, {"spec": {"suspend": False}})
    back = {"spec": {"template": {"spec": {"nodeSelector": None}}}}
    assert "field is immutable" in refusal(lambda: client.patch(path, back)).message


@pytest.mark.parametrize(
    ("kinds", "fields", "why"),
    [
        (["Complete"], {"completionTime": 1}, "Complete=True condition without the SuccessCriteriaMet=true condition"),
        (["Failed"], {}, "cannot set Failed=True condition without the FailureTarget=true condition"),
        (["SuccessCriteriaMet", "FailureTarget"], {}, "cannot set SuccessCriteriaMet=True and FailureTarget=true"),
        (["SuccessCriteriaMet", "Complete"], {}, "completionTime is required for Complete jobs"),
        ([], {"completionTime": 1}, "cannot set completionTime when there is no Complete=True condition"),
        (["FailureTarget", "Failed"], {"startTime": None}, "startTime is required for finished job"),
        (["FailureTarget", "Failed"], {"active": 1}, "active>0 is invalid for finished job"),
        (["FailureTarget", "Failed"], {"terminating": 1}, "terminating>0 is invalid for finished job"),
        (
            ["FailureTarget", "Failed"],
            {"uncountedTerminatedPods": {"failed": ["a"]}},
            "uncountedTerminatedPods: Invalid value",
        ),
        ([], {"ready": 1}, "cannot set more ready pods than active"),
    ],
)
def test_a_status_that_no_job_can_have_is_refused(
    client: ApiClient, namespace: str, kinds: list[str], fields: Json, why: str
) -> None:
    """Since 1.32 also of whoever plays the controller (``getStatusValidationOptions``)."""
    client.create(jobs(namespace), job())
    at = "2026-01-02T03:04:05Z"
    given = {key: at if value == 1 and key.endswith("Time") else value for key, value in fields.items()}
    conditions = [{"type": kind, "status": "True"} for kind in kinds]
    status = {"startTime": at, **given, "conditions": conditions}
    error = refusal(lambda: client.patch_status(jobs(namespace, "schema"), {"status": status}))
    assert error.status == 422
    assert why in error.message


def test_a_job_that_has_ended_stays_so(client: ApiClient, namespace: str) -> None:
    """Its conditions, the counters and the time of completion are settled."""
    client.create(jobs(namespace), job())
    path = jobs(namespace, "schema")
    times = {"started": "2026-01-02T03:04:05Z", "ended": "2026-01-02T03:04:06Z"}
    client.patch_status(path, {"status": ended_job("Complete", "", **times)})
    for change, why in (
        ({"conditions": []}, "cannot disable the terminal Complete=True condition"),
        ({"completionTime": "2026-01-02T03:04:07Z"}, "status.completionTime"),
        ({"succeeded": 0}, "cannot decrease the succeeded counter"),
    ):
        error = refusal(lambda change=change: client.patch_status(path, {"status": change}))  # type: ignore[misc]
        assert error.status == 422
        assert why in error.message


def test_a_pod_whose_service_account_is_not_there_is_forbidden(client: ApiClient, namespace: str) -> None:
    """Admission plugin ServiceAccount: what a Deployment or a Job of it meets, and its pods are never made."""
    body = pod()
    body["spec"]["serviceAccountName"] = "absent"
    error = refusal(lambda: client.create(core(namespace, "pods"), body))
    assert (error.status, error.reason) == (403, "Forbidden")
    cause = f'error looking up service account {namespace}/absent: serviceaccount "absent" not found'
    assert error.message == f'pods "web" is forbidden: {cause}'
    client.create(core(namespace, "serviceaccounts"), {"metadata": {"name": "absent"}})
    assert client.create(core(namespace, "pods"), body)["spec"]["serviceAccountName"] == "absent"


def test_a_job_that_restarts_for_ever_is_refused(client: ApiClient, namespace: str) -> None:
    """restartPolicy has to be said, since a pod's own default is Always."""
    body = job()
    del body["spec"]["template"]["spec"]["restartPolicy"]
    error = refusal(lambda: client.create(jobs(namespace), body))
    assert error.status == 422
    assert 'restartPolicy: Required value: valid values: "OnFailure", "Never"' in error.message


def test_an_event_belongs_to_its_objects_namespace(client: ApiClient, namespace: str) -> None:
    """The gate's namespace and the Application's are two."""
    client.create(core(namespace, "events"), event(namespace, namespace))
    error = refusal(lambda: client.create(core(namespace, "events"), event(namespace, "argocd")))
    assert error.status == 422
    assert "does not match event.namespace" in error.message
    found = client.list(core(namespace, "events"), field_selector="involvedObject.kind=Application,reason=GatePassed")
    assert [each["involvedObject"]["name"] for each in found] == ["temporal"]
    assert client.list(core(namespace, "events"), field_selector="involvedObject.name=other") == []


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("component=frontend", ["a"]),
        ("component==frontend,tier=x", ["a"]),
        ("component!=frontend", ["b", "c"]),
        ("component in (frontend, history)", ["a", "b"]),
        ("component notin (frontend,history)", ["c"]),
        ("tier", ["a", "c"]),
        ("!tier", ["b"]),
        ("component in (frontend,history),!tier", ["b"]),
    ],
)
def test_label_selectors(client: ApiClient, namespace: str, selector: str, names: list[str]) -> None:
    """Equality, sets and existence; terms are joined by and."""
    for name, labels in (
        ("a", {"component": "frontend", "tier": "x"}),
        ("b", {"component": "history"}),
        ("c", {"tier": "y"}),
    ):
        client.create(core(namespace, "pods"), pod(name, **labels))
    assert [each["metadata"]["name"] for each in client.list(core(namespace, "pods"), label_selector=selector)] == names


def test_field_selectors(client: ApiClient, namespace: str) -> None:
    """Those that the server has indexed; another is refused."""
    bound(client, namespace, "a")
    client.create(core(namespace, "pods"), pod("b"))
    client.patch_status(core(namespace, "pods", "a"), {"status": {"phase": "Running"}})

    def names(selector: str) -> list[str]:
        found = client.list(core(namespace, "pods"), field_selector=selector)
        return [each["metadata"]["name"] for each in found]

    assert names("spec.nodeName=no-such-node") == ["a"]
    assert names("spec.nodeName=") == ["b"]
    assert names("status.phase!=Running") == ["b"]
    assert names("metadata.name=b,status.phase=Pending") == ["b"]
    error = refusal(lambda: names("spec.priority=1"))
    assert error.status == 400
    assert "field label not supported: spec.priority" in error.message
    assert refusal(lambda: client.list(core(namespace, "pods"), label_selector="a in b")).status == 400


def test_a_list_says_which_version_it_is_of(client: ApiClient, namespace: str) -> None:
    """Kind, apiVersion and resourceVersion; items of core kinds carry no kind, those of a CRD do."""
    created = client.create(core(namespace, "configmaps"), config_map())
    found = client.get(core(namespace, "configmaps"))
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert int(found["metadata"]["resourceVersion"]) >= int(created["metadata"]["resourceVersion"])
    assert all("kind" not in each for each in found["items"])
    client.create(applications(namespace), application())
    assert client.list(applications(namespace))[0]["kind"] == "Application"


def test_a_secrets_string_data_becomes_data(client: ApiClient, namespace: str) -> None:
    """stringData can be written and never read."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "app"}, "stringData": {"password": "geheim"}}
    created = client.create(core(namespace, "secrets"), secret)
    assert created["data"] == {"password": "Z2VoZWlt"}
    assert "stringData" not in created


def test_what_no_rule_allows_is_forbidden(namespace: str, user_with: UserWith) -> None:
    """The message names user, verb, resource, group and namespace."""
    user, tenant = user_with([])
    error = refusal(lambda: tenant.list(core(namespace, "pods")))
    assert (error.status, error.reason) == (403, "Forbidden")
    assert error.message == (
        f'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" in the namespace "{namespace}"'
    )
    error = refusal(lambda: tenant.patch(applications(namespace, "temporal"), {}))
    assert error.message == (
        f'applications.argoproj.io "temporal" is forbidden: User "{user}" cannot patch resource "applications" '
        f'in API group "argoproj.io" in the namespace "{namespace}"'
    )
    error = refusal(lambda: tenant.get_text(core(namespace, "pods", "web") + "/log"))
    assert f'pods "web" is forbidden: User "{user}" cannot get resource "pods/log"' in error.message


def test_a_resource_name_narrows_what_has_a_name(client: ApiClient, namespace: str, user_with: UserWith) -> None:
    """get and patch, and a list whose field selector pins the name; never a list of all, never create."""
    names = {"resourceNames": ["temporal"]}
    verbs = ["get", "list", "patch", "create"]
    rule = {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": verbs, **names}
    _, tenant = user_with([rule])
    client.create(applications(namespace), application())
    client.create(applications(namespace), application("other"))
    assert tenant.get(applications(namespace, "temporal"))
    tenant.patch(applications(namespace, "temporal"), {"operation": {"sync": {}}})
    assert refusal(lambda: tenant.get(applications(namespace, "other"))).status == 403
    assert refusal(lambda: tenant.list(applications(namespace))).status == 403
    assert len(tenant.list(applications(namespace), field_selector="metadata.name=temporal")) == 1
    assert refusal(lambda: tenant.create(applications(namespace), application("new"))).status == 403
    assert refusal(lambda: tenant.get(applications("default", "temporal"))).status == 403


def test_a_subresource_is_another_resource(client: ApiClient, namespace: str, user_with: UserWith) -> None:
    """pods does not cover pods/log, nor pods/status."""
    _, tenant = user_with([{"apiGroups": [""], "resources": ["pods"], "verbs": ["*"]}])
    client.create(core(namespace, "pods"), pod())
    assert tenant.get(core(namespace, "pods", "web"))
    assert refusal(lambda: tenant.get_text(core(namespace, "pods", "web") + "/log")).status == 403
    assert refusal(lambda: tenant.patch_status(core(namespace, "pods", "web"), {"status": {}})).status == 403


def test_a_self_subject_access_review_answers_as_the_authorizer(namespace: str, user_with: UserWith) -> None:
    """Everybody may ask, and what it says is what happens."""
    rule = {"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}
    named = {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["patch"], "resourceNames": ["a"]}
    _, tenant = user_with([rule, named])

    def allowed(**attributes: str) -> bool:
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"namespace": namespace, **attributes}},
        }
        answer = tenant.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        return bool(answer["status"]["allowed"])

    assert allowed(verb="list", resource="pods")
    assert allowed(verb="get", resource="pods", subresource="log")
    assert not allowed(verb="delete", resource="pods")
    assert not allowed(verb="list", resource="pods", namespace="default")
    assert allowed(verb="patch", group="argoproj.io", resource="applications", name="a")
    assert not allowed(verb="patch", group="argoproj.io", resource="applications", name="b")
    assert not allowed(verb="patch", group="argoproj.io", resource="applications")


def test_the_server_says_that_it_is_ready(client: ApiClient) -> None:
    """And which version it is."""
    assert client.get_text("/readyz") == "ok"
    assert client.get("/version")["major"] == "1"


def test_a_name_in_a_path_may_be_escaped(client: ApiClient, namespace: str) -> None:
    """As clients write it."""
    client.create(core(namespace, "configmaps"), config_map("a.b"))
    assert (
        client.get(core(namespace, "configmaps", quote("a.b", safe="").replace(".", "%2E")))["metadata"]["name"]
        == "a.b"
    )
