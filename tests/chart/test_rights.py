"""The rights that are rendered are those that the program needs under the chosen values, each with its name, and no more."""

import pytest
from rendering import CHART, SCENARIOS, SMALLEST, Json, canonical, identity, merged, of_kind, rights, setting

from lab import rollout
from lab.helm import Helm

JOB = "get batch/jobs gate-temporal-recovery-hook"
GET, PATCH, EVENTS = "get argoproj.io/applications", "patch argoproj.io/applications", "create /events *"
OWNERS = {"list apps/deployments *", "list apps/statefulsets *"}
JOBS = {"get batch/jobs *", "list /pods *", "get /pods/log *", "list /events *"}
PODS = OWNERS | JOBS | {"delete /pods *"}
MIGRATIONS, RUNTIME, BOOTSTRAP = "data-migrations-temporal", "data-temporal", "data-temporal-namespace-bootstrap"

ROLLOUT: Json = {
    "temporal": {"frontend": {"address": "temporal-frontend.data:7233"}},
    "runtime": {"application": {"name": RUNTIME}, "namespace": "temporal"},
    "downstream": [{"name": BOOTSTRAP}],
}


def gate_rights(helm: Helm, values: Json, account: str = "gate-temporal-recovery-hook") -> dict[str, set[str]]:
    return canonical(rights(helm.objects(CHART, merged(SMALLEST, values)), account))


def test_they_are_those_that_the_program_is_tried_with(helm3: Helm) -> None:
    """The integration tests and the demo give the gate these rights and no others; its own Job's is the chart's alone."""
    names = {
        "migrations": {"application": {"name": rollout.MIGRATIONS}},
        "runtime": {"application": {"name": rollout.RUNTIME}, "namespace": rollout.NAMESPACE},
        "downstream": [{"name": rollout.BOOTSTRAP}],
        "argocd": {"namespace": rollout.ARGO_CD_NAMESPACE},
    }
    values = merged(SMALLEST, merged(ROLLOUT, names))
    objects = helm3.objects(CHART, values, release=rollout.GATE, namespace=rollout.NAMESPACE)
    found = canonical(rights(objects, rollout.GATE))
    found[rollout.NAMESPACE].remove(f"get batch/jobs {rollout.GATE}")
    assert found == canonical(rollout.gate_roles())


TOKEN = {"address": "argocd-server.argocd.svc:443", "tokenSecret": {"name": "gate-argocd-token"}}

CASES: dict[str, tuple[Json, dict[str, set[str]]]] = {
    "the smallest install: its own Job, the migrations' Application, Events": (
        {},
        {"data": {JOB}, "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS}},
    ),
    "no Events: the gate's own Application is not read": (
        setting("report.events", False),  # noqa: FBT003 -- a value of the chart
        {"data": {JOB}, "argocd": {f"{GET} {MIGRATIONS}", f"{PATCH} {MIGRATIONS}"}},
    ),
    "plain helm: there is no such Application": (
        setting("gate.application.enabled", False),  # noqa: FBT003 -- a value of the chart
        {"data": {JOB}, "argocd": {f"{GET} {MIGRATIONS}", f"{PATCH} {MIGRATIONS}", EVENTS}},
    ),
    "Argo CD's own API: none in the Applications' namespace": (setting("argocd.server", TOKEN), {"data": {JOB}}),
    "the same, for all of a rollout": (
        ROLLOUT | setting("argocd.server", TOKEN),
        {"data": {JOB}, "temporal": PODS},
    ),
    "Argo CD's own API, and Events": (
        setting("argocd.server", TOKEN) | setting("report.events", True),  # noqa: FBT003 -- a value of the chart
        {"data": {JOB}, "argocd": {EVENTS}},
    ),
    "Argo CD's own API, and Events that the platform's team allows": (
        setting("argocd.server", TOKEN) | setting("report.events", True) | setting("rbac.applications.create", False),  # noqa: FBT003
        {"data": {JOB}},
    ),
    "a runtime whose pods are looked at": (
        setting("runtime.namespace", "temporal"),
        {
            "data": {JOB},
            "temporal": PODS,
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "migrations in a namespace of their own": (
        setting("migrations.namespace", "schema"),
        {
            "data": {JOB},
            "schema": JOBS,
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "migrations away from the runtime": (
        setting("migrations.namespace", "schema") | setting("runtime.namespace", "temporal"),
        {
            "data": {JOB},
            "schema": JOBS,
            "temporal": PODS - {"get batch/jobs *"},
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "migrations whose Jobs are named": (
        setting("migrations", {"namespace": "schema", "jobs": ["schema-1", "schema-2"]}),
        {
            "data": {JOB},
            "schema": JOBS - {"get batch/jobs *"} | {"get batch/jobs schema-1", "get batch/jobs schema-2"},
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "Jobs downstream in a namespace of their own": (
        merged(
            ROLLOUT,
            {"downstream": [{"name": BOOTSTRAP, "jobsNamespace": "later"}], "migrations": {"jobs": ["schema"]}},
        ),
        {
            "data": {JOB},
            "temporal": PODS - {"get batch/jobs *"} | {"get batch/jobs schema"},
            "later": JOBS,
            "argocd": {
                *(f"{GET} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP, "gate")),
                *(f"{PATCH} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP)),
                EVENTS,
            },
        },
    ),
    "Jobs downstream beside named ones: the right is on all": (
        merged(ROLLOUT, setting("migrations.jobs", ["schema"])),
        {
            "data": {JOB},
            "temporal": PODS,
            "argocd": {
                *(f"{GET} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP, "gate")),
                *(f"{PATCH} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP)),
                EVENTS,
            },
        },
    ),
    "Argo Rollouts, and no Events of others": (
        setting("runtime.namespace", "temporal") | {"rbac": {"rollouts": True, "events": False}},
        {
            "data": {JOB},
            "temporal": PODS - {"list /events *"} | {"list argoproj.io/rollouts *"},
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "migrations beside the runtime": (
        setting("migrations.namespace", "temporal") | setting("runtime.namespace", "temporal"),
        {
            "data": {JOB},
            "temporal": PODS,
            "argocd": {f"{GET} {MIGRATIONS}", f"{GET} gate", f"{PATCH} {MIGRATIONS}", EVENTS},
        },
    ),
    "the whole rollout": (
        ROLLOUT,
        {
            "data": {JOB},
            "temporal": PODS,
            "argocd": {
                *(f"{GET} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP, "gate")),
                *(f"{PATCH} {name}" for name in (MIGRATIONS, RUNTIME, BOOTSTRAP)),
                EVENTS,
            },
        },
    ),
    "a Temporal that is not asked for: the runtime's Application is only read": (
        ROLLOUT | {"reachability": "never", "downstream": []},
        {
            "data": {JOB},
            "temporal": PODS,
            "argocd": {
                *(f"{GET} {name}" for name in (MIGRATIONS, RUNTIME, "gate")),
                f"{PATCH} {MIGRATIONS}",
                EVENTS,
            },
        },
    ),
    "Applications in namespaces of their own": (
        merged(
            ROLLOUT,
            {
                "migrations": {"application": {"namespace": "one"}},
                "runtime": {"application": {"namespace": "two"}, "namespace": ""},
                "gate": {"application": {"namespace": "three"}},
            },
        ),
        {
            "data": {JOB},
            "one": {f"{GET} {MIGRATIONS}", f"{PATCH} {MIGRATIONS}", EVENTS},
            "two": {f"{GET} {RUNTIME}"},
            "three": {f"{GET} gate", EVENTS},
            "argocd": {f"{GET} {BOOTSTRAP}", f"{PATCH} {BOOTSTRAP}", EVENTS},
        },
    ),
    "a tenant": (merged(ROLLOUT, setting("rbac.applications.create", False)), {"data": {JOB}, "temporal": PODS}),  # noqa: FBT003
    "somebody else makes those of the runtime": (
        merged(merged(ROLLOUT, setting("rbac.runtime.create", False)), {"downstream": []}),  # noqa: FBT003
        {
            "data": {JOB},
            "argocd": {
                *(f"{GET} {name}" for name in (MIGRATIONS, RUNTIME, "gate")),
                *(f"{PATCH} {name}" for name in (MIGRATIONS, RUNTIME)),
                EVENTS,
            },
        },
    ),
    "Argo CD in another cluster": (
        merged(ROLLOUT, setting("argocd.kubeconfigSecret.name", "hub")),
        {"data": {JOB}, "temporal": PODS},
    ),
    "no rights at all": (merged(ROLLOUT, setting("rbac.create", False)), {}),  # noqa: FBT003
}


@pytest.mark.parametrize(("values", "expected"), CASES.values(), ids=list(CASES))
def test_they_are_exactly_what_is_needed(values: Json, expected: dict[str, set[str]], helm3: Helm) -> None:
    assert gate_rights(helm3, values) == expected


def test_the_watchdog_alone_may_sync_the_gates_application(helm3: Helm) -> None:
    values = merged(ROLLOUT, {"watchdog": {"enabled": True}})
    gate = gate_rights(helm3, values)
    watchdog = gate_rights(helm3, values, "gate-temporal-recovery-hook-watchdog")
    assert f"{PATCH} gate" not in gate["argocd"]
    assert watchdog == {"temporal": gate["temporal"], "argocd": gate["argocd"] | {f"{PATCH} gate"}}


def test_by_argo_cds_own_api_the_token_alone_may_sync_it(helm3: Helm) -> None:
    """The watchdog has the same one."""
    values = setting("watchdog.enabled", True) | setting("argocd.server", TOKEN)  # noqa: FBT003 -- a value of the chart
    assert gate_rights(helm3, values, "gate-temporal-recovery-hook-watchdog") == {}


def test_a_watchdog_that_reopens_nothing_may_not(helm3: Helm) -> None:
    values = merged(ROLLOUT, {"watchdog": {"enabled": True, "reopenGate": False}})
    assert f"{PATCH} gate" not in gate_rights(helm3, values, "gate-temporal-recovery-hook-watchdog")["argocd"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_right_is_narrowed_where_kubernetes_can(scenario: str, helm3: Helm) -> None:
    """By resourceNames for every verb but list, create, and what pods and Jobs with generated names need."""
    free = PODS | {"list argoproj.io/rollouts *", EVENTS}
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    for role in of_kind(objects, "Role"):
        (granted,) = canonical({"": role["rules"]}).values()
        assert granted
        assert {grant for grant in granted if grant.endswith(" *")} <= free


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_right_is_granted_twice_and_none_cluster_wide(scenario: str, helm3: Helm) -> None:
    """One Role for the pods of a namespace, whichever of the three run there."""
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    assert not [one for one in objects if one["kind"].startswith("Cluster")]
    roles = [identity(one) for one in of_kind(objects, "Role")]
    assert len(roles) == len(set(roles))
    for role in of_kind(objects, "Role"):
        assert sum(len(rule["verbs"]) * len(rule["resources"]) for rule in role["rules"]) == len(
            {(verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]}
        )


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_role_is_bound_to_accounts_of_the_gates_namespace(scenario: str, helm3: Helm) -> None:
    objects = helm3.objects(CHART, SCENARIOS[scenario])
    made = {one["metadata"]["name"] for one in of_kind(objects, "ServiceAccount")}
    bound = {(one["metadata"]["namespace"], one["roleRef"]["name"]) for one in of_kind(objects, "RoleBinding")}
    assert bound == {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in of_kind(objects, "Role")}
    for binding in of_kind(objects, "RoleBinding"):
        assert {subject["namespace"] for subject in binding["subjects"]} == {"data"}
        assert not made or {subject["name"] for subject in binding["subjects"]} <= made
