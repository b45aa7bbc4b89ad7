"""What cannot work is refused before anything is installed, in one line that says which value and what to do."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rendering import CHART, SCENARIOS, SMALLEST, Json, job_specs, merged, said, setting

from lab.helm import Helm, HelmError

GATE = {"name": "gate"}  # the release's name, and so the gate's own Application
RUNTIME = {"name": "data-temporal"}
FRONTEND = setting("temporal.frontend.address", "temporal-frontend.data:7233")
STORE = {"host": "db", "secret": {"name": "temporal-db-app"}}

OWN_LABELS = (
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/name",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
    "helm.sh/chart",
)

SERVER: Json = {"address": "argocd-server.argocd.svc:443", "tokenSecret": {"name": "token"}}

PLAIN_TEXT_AND: dict[str, Json] = {"a CA": {"caSecret": {"name": "ca"}}, "a server's name": {"serverName": "argocd"}}


def extra(metadata: Json) -> Json:
    """Values with one more object, which has this in its metadata."""
    metadata = {"name": "more", "namespace": "data"} | metadata
    return {"extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}]}


REFUSALS: dict[str, tuple[Json, str]] = {
    # Names as other tools have them.
    **{
        f"{path} with a namespace": (
            merged(FRONTEND, setting(path, "data/one")),
            f'{path}: "data/one" has a namespace: set {path} to one and {path.removesuffix(".name")}.namespace to data',
        )
        for path in ("migrations.application.name", "runtime.application.name", "gate.application.name")
    },
    "an Application downstream with its namespace": (
        merged(FRONTEND, {"downstream": [{"name": "argocd/bootstrap"}]}),
        (
            'downstream[0].name: "argocd/bootstrap" has a namespace: '
            "set downstream[0].name to bootstrap and downstream[0].namespace to argocd"
        ),
    ),
    **{
        f"{store}'s {theirs}, as in Temporal's chart": (
            setting(f"stores.{store}.{theirs}", "given"),
            f"stores.{store}.{theirs}: Temporal's own chart calls it so: set stores.{store}.{ours} instead",
        )
        for store in ("default", "visibility")
        for theirs, ours in {
            "existingSecret": "secret.name",
            "secretKey": "secret.passwordKey",
            "databaseName": "database",
            "connectAddr": "host and port",
        }.items()
    },
    # Argo CD's own API.
    "no token": (
        setting("argocd.server.address", "argocd-server.argocd.svc:443"),
        "argocd.server.tokenSecret.name: required by argocd.server.address",
    ),
    "two ways to Applications": (
        setting("argocd.server", SERVER) | {"argocd": {"server": SERVER, "kubeconfigSecret": {"name": "hub"}}},
        "argocd.server.address: argocd.kubeconfigSecret.name is another way to the same Applications: keep one of them",
    ),
    **{
        f"{name} of no server": (
            setting(f"argocd.server.{name}", value),
            f"argocd.server.{name}: there is no argocd.server.address that it is for: set argocd.server.address, or remove",
        )
        for name, value in {
            "tokenSecret.name": "token",
            "caSecret.name": "ca",
            "serverName": "argocd",
            "plainText": True,
        }.items()
    },
    **{
        f"plain text and {name}": (
            setting("argocd.server", {**SERVER, "plainText": True, **given}),
            "argocd.server.plainText: it speaks no TLS: remove it, or caSecret.name and serverName",
        )
        for name, given in PLAIN_TEXT_AND.items()
    },
    **{
        f"an address of argocd-server that {what}": (
            setting("argocd.server", {**SERVER, "address": address}),
            f'argocd.server.address: "{address}" must be host:port, such as argocd-server.argocd.svc:443, without https://',
        )
        for what, address in {
            "has a scheme": "https://argocd.example.com",
            "has no such port": "argocd.example.com:65536",
            "has a user": "me@argocd.example.com",
        }.items()
    },
    **{
        f"a project of {path}, which nobody asks for": (
            value,
            f"{path}.project: only argocd.server asks for it: set argocd.server.address, or remove it",
        )
        for path, value in {
            "migrations.application": setting("migrations.application", {"name": "m", "project": "data"}),
            "runtime.application": setting("runtime.application", {**RUNTIME, "project": "data"}),
            "gate.application": setting("gate.application.project", "data"),
            "downstream[0]": FRONTEND | {"downstream": [{"name": "bootstrap", "project": "data"}]},
        }.items()
    },
    "Events that are neither on nor off": (
        setting("report.events", "sometimes"),
        "at '/report/events': value must be one of 'auto', true, false",
    ),
    # Said by the schema.
    "a misspelt value": ({"deadlineSecond": 60}, "additional properties 'deadlineSecond' not allowed"),
    "a misspelt value in a block": (
        setting("runtime.namespce", "data"),
        "at '/runtime': additional properties 'namespce' not allowed",
    ),
    "a strategy, which the chart does not offer": (
        setting("migrations.strategy", "command"),
        "at '/migrations': additional properties 'strategy' not allowed",
    ),
    "a DSN, which is a secret": (
        setting("stores.default.dsn", "postgresql://u:p@h/d"),
        "at '/stores/default': additional properties 'dsn' not allowed",
    ),
    "an unknown phase": (
        setting("hook.phase", "PreSync"),
        "at '/hook/phase': value must be one of 'Sync', 'PostSync'",
    ),
    "an unknown policy": (
        {"reachability": "sometimes"},
        "at '/reachability': value must be one of 'auto', 'always', 'never'",
    ),
    "a number as text": ({"graceSeconds": "120"}, "at '/graceSeconds': got string, want number"),
    "no seconds at all": ({"deadlineSeconds": 0}, "at '/deadlineSeconds': minimum: got 0, want 0.001"),
    "a downstream Application without a name": (
        {"downstream": [{"namespace": "argocd"}]},
        "at '/downstream/0': missing property 'name'",
    ),
    "a downstream Application with an empty name": (
        {"downstream": [{"name": ""}]},
        "at '/downstream/0/name': '' does not match pattern",
    ),
    "no namespace of Argo CD's": (
        setting("argocd.namespace", ""),
        "at '/argocd/namespace': '' does not match pattern",
    ),
    "a Secret to pull by without a name": (
        {"imagePullSecrets": [{"name": ""}]},
        "at '/imagePullSecrets/0/name': '' does not match pattern",
    ),
    "a host with a scheme": (
        setting("stores.default.host", "postgresql://db"),
        "at '/stores/default/host': 'postgresql://db' does not match pattern",
    ),
    **{
        f"a selector that {what}": (
            setting("runtime.selector", selector),
            f'runtime.selector: "{selector}" is no label selector of Kubernetes: give labels such as',
        )
        for what, selector in {
            "opens and does not close": "app in (a",
            "has no comma": "app=a app=b",
            "ends in a comma": "app=a,",
        }.items()
    },
    "a block taken away": ({"runtime": None}, "missing property 'runtime'"),
    # Said by the chart.
    "no version": (
        setting("temporal.version", ""),
        "temporal.version: required: the server's release that is rolled out, such as 1.29.1",
    ),
    "the version of Temporal's chart 0.x": (
        setting("temporal.version", "0.73.2"),
        'temporal.version: "0.73.2" is older than 1.17, the oldest release that the gate knows: give the server\'s release',
    ),
    "the version of Temporal's chart 1.x": (
        setting("temporal.version", "v1.6.0"),
        'temporal.version: "v1.6.0" is older than 1.17, the oldest release that the gate knows: give the server\'s release',
    ),
    "an image's repository with its tag": (
        setting("image.repository", "registry.example.com:5000/hook:0.1.0"),
        'image.repository: "registry.example.com:5000/hook:0.1.0" has a tag or a digest: set image.tag or image.digest',
    ),
    "an image's repository with its digest": (
        setting("image.repository", f"hook@sha256:{'a' * 64}"),
        "has a tag or a digest: set image.tag or image.digest",
    ),
    "a version that is none": (
        setting("temporal.version", "1.29"),
        'temporal.version: "1.29" is no release of Temporal\'s server: give all of it, such as 1.29.1',
    ),
    **{
        f"an address that is {what}": (
            setting("temporal.frontend.address", address),
            f'temporal.frontend.address: "{address}" must be host:port, such as temporal-frontend.temporal:7233',
        )
        for what, address in {
            "without a port": "temporal-frontend",
            "a URL": "http://temporal-frontend:7233",
            "at port 0": "temporal-frontend:0",
            "beyond all ports": "temporal-frontend:99999",
        }.items()
    },
    "one schema version of two": (
        setting("temporal.schemaVersions.default", "1.18"),
        "temporal.schemaVersions: default and visibility go together: give both or neither",
    ),
    "the schema version of visibility alone": (
        merged(setting("temporal.schemaVersions.visibility", "1.9"), setting("stores.visibility.enabled", False)),  # noqa: FBT003 -- a value of the chart
        "temporal.schemaVersions: default and visibility go together: give both or neither",
    ),
    "no migrations Application": (
        setting("migrations.application.name", ""),
        "migrations.application.name: required: the Application that owns Temporal's schema",
    ),
    "no host": (
        setting("stores.default.host", ""),
        "stores.default.host: required: the PostgreSQL host of Temporal's default store",
    ),
    **{
        f"a host of {store} with its port": (
            setting(f"stores.{store}.host", "db.postgres.svc:5432"),
            f'stores.{store}.host: "db.postgres.svc:5432" holds a port: give it as stores.{store}.port',
        )
        for store in ("default", "visibility")
    },
    "no Secret": (
        merged(setting("stores.default.secret.name", ""), setting("stores.default.user", "temporal")),
        "stores.default.secret.name: required: the Secret with the role's name and password",
    ),
    "a key of no Secret": (
        setting("stores.default", {"user": "u", "secret": {"name": "", "passwordKey": "", "portKey": "port"}}),
        "stores.default.secret.portKey: there is no Secret that it is a key of: set stores.default.secret.name",
    ),
    **{
        f"a connection string and {name}": (
            merged(setting("stores.default", {"host": "", "secret": {"dsnKey": "uri"}}), setting(name, value)),
            f"{name}: secret.dsnKey says it all: remove one",
        )
        for name, value in {
            "stores.default.host": "db",
            "stores.default.port": 5433,
            "stores.default.user": "u",
            "stores.default.secret.hostKey": "host",
            "stores.default.secret.portKey": "port",
        }.items()
    },
    "a login of visibility's for the default store's connection string": (
        merged(
            setting("stores.default", {"host": "", "secret": {"dsnKey": "uri"}}), setting("stores.visibility.user", "u")
        ),
        "stores.visibility.host: required: with a port or a login of its own it takes over nothing",
    ),
    **{
        f"two CAs of {store}": (
            setting(f"stores.{store}", {"sslMode": "verify-full", "caSecret": {"name": "a"}} | more),
            f"stores.{store}.caSecret.name: the CA is given by {said_too}, too: keep one of them",
        )
        for store, more, said_too in (
            ("default", {"caConfigMap": {"name": "b"}}, "caConfigMap.name"),
            ("visibility", {"sslRootCert": "system"}, "sslRootCert"),
        )
    },
    "two CAs of the frontend": (
        merged(
            FRONTEND,
            setting(
                "temporal.frontend.tls", {"enabled": True, "caSecret": {"name": "a"}, "caConfigMap": {"name": "b"}}
            ),
        ),
        "temporal.frontend.tls.caSecret.name: the CA is given by caConfigMap.name, too: keep one of them",
    ),
    **{
        f"public authorities under {mode}": (
            setting("stores.default", {"sslMode": mode, "sslRootCert": "system"}),
            f"stores.default.sslRootCert system needs sslMode verify-full, not {mode}: anybody has such a certificate",
        )
        for mode in ("require", "verify-ca")
    },
    "another server that nothing is said of": (
        setting(
            "stores",
            {
                "default": {"sslMode": "verify-full", "caSecret": {"name": "ca"}},
                "visibility": {"host": "other"},
            },
        ),
        "stores.visibility.sslMode: required: it has a host of its own, which takes over neither sslMode nor CA",
    ),
    "another server that is verified by nothing": (
        setting(
            "stores",
            {
                "default": {"sslMode": "verify-full", "caSecret": {"name": "ca"}},
                "visibility": {"host": "other", "sslMode": "verify-full"},
            },
        ),
        "stores.visibility.sslMode verify-full needs stores.visibility.caSecret.name",
    ),
    "rollouts that are nowhere": (
        setting("rbac.rollouts", True),  # noqa: FBT003 -- a value of the chart
        "rbac.rollouts: there is no runtime.namespace that they are listed in",
    ),
    "no role": (
        setting("stores.default.secret.userKey", ""),
        "stores.default.user: required where no Secret names the role",
    ),
    "nothing to verify the database by": (
        setting("stores.default.sslMode", "verify-full"),
        "stores.default.sslMode verify-full needs stores.default.caSecret.name",
    ),
    "nothing to verify the visibility store by": (
        setting("stores.visibility.sslMode", "verify-ca"),
        "stores.visibility.sslMode verify-ca needs stores.visibility.caSecret.name",
    ),
    **{
        f"a CA of {store} that verifies nothing {where}": (
            setting(f"stores.{store}", {"caSecret": {"name": "ca"}, "sslMode": mode}),
            (
                f"stores.{store}.caSecret.name: nothing is verified by it under sslMode {shown}: "
                f"set stores.{store}.sslMode to verify-full or verify-ca"
            ),
        )
        for store in ("default", "visibility")
        for where, mode, shown in (("by default", "", "prefer, libpq's default"), ("as set", "disable", "disable"))
    },
    **{
        f"one database for both stores, {how}": (
            setting("stores.visibility", visibility),
            'stores.default and stores.visibility are the same database "temporal": give each its own',
        )
        for how, visibility in {
            "by name": {"database": "temporal"},
            "at PostgreSQL's own port": {"database": "temporal", "port": 5432},
            "by the same Secret": {"database": "temporal", "secret": {"passwordKey": "other"}},
        }.items()
    },
    "migrations and runtime the same": (
        setting("runtime.application.name", "data-migrations-temporal"),
        "migrations.application and runtime.application are the same (argocd/data-migrations-temporal)",
    ),
    "one Application, and another": (
        merged(setting("migrations.beforeServers", True), setting("runtime.application.name", "data-temporal")),  # noqa: FBT003
        "migrations.beforeServers is for one Application with schema Job and servers",
    ),
    "one Application, and none": (
        setting("migrations.beforeServers", True),  # noqa: FBT003
        "migrations.beforeServers is for one Application with schema Job and servers",
    ),
    "the gate's own Application as the migrations'": (
        setting("migrations.application", GATE),
        "migrations.application is the gate's own Application (argocd/gate)",
    ),
    "the gate's own Application as the runtime's": (
        setting("runtime.application", GATE),
        "runtime.application is the gate's own Application (argocd/gate)",
    ),
    "the gate's own Application downstream, by its name": (
        {"downstream": [GATE | {"name": "own"}], **FRONTEND, "gate": {"application": {"name": "own"}}},
        "downstream[0] is the gate's own Application (argocd/own)",
    ),
    "the runtime downstream": (
        merged(FRONTEND, {"runtime": {"application": RUNTIME}, "downstream": [RUNTIME]}),
        "downstream[0] is runtime.application again (argocd/data-temporal)",
    ),
    "one Application twice": (
        merged(FRONTEND, {"downstream": [RUNTIME, RUNTIME]}),
        "downstream[1] is downstream[0] again (argocd/data-temporal)",
    ),
    "a Temporal that must answer without an address": (
        {"reachability": "always"},
        "temporal.frontend.address: required by reachability: always",
    ),
    "Applications downstream of a Temporal without an address": (
        {"downstream": [RUNTIME]},
        "temporal.frontend.address: required by downstream",
    ),
    **{
        f"Applications downstream that are never looked at, {how}": (
            merged(more, {"downstream": [RUNTIME], "reachability": "never"}),
            "downstream: reachability never does not look at it: remove one",
        )
        for how, more in {"with an address": FRONTEND, "without": {}}.items()
    },
    "TLS with nobody": (
        setting("temporal.frontend.tls.enabled", True),  # noqa: FBT003 -- a value of the chart
        "temporal.frontend.tls.enabled: there is no temporal.frontend.address to speak TLS to: set one of them",
    ),
    "a token with nobody": (
        setting("temporal.frontend", {"tokenSecret": {"name": "token"}, "allowPlainTextToken": True}),
        "temporal.frontend.tokenSecret.name: there is no temporal.frontend.address to send the token to",
    ),
    "a token in plain text": (
        merged(FRONTEND, setting("temporal.frontend.tokenSecret.name", "token")),
        "temporal.frontend.tokenSecret.name: the token would be sent in plain text",
    ),
    "certificates without TLS": (
        setting("temporal.frontend.tls.caSecret.name", "ca"),
        "temporal.frontend.tls.enabled: set it to true, or remove the rest of the block",
    ),
    "a grace as long as the deadline": (
        {"graceSeconds": 600, "deadlineSeconds": 600},
        "graceSeconds (600) must be less than deadlineSeconds (600)",
    ),
    "a grace as long as the watchdog's deadline": (
        {"watchdog": {"enabled": True, "deadlineSeconds": 100}},
        "graceSeconds (120) must be less than watchdog.deadlineSeconds (100)",
    ),
    "a deadline that Kubernetes ends": (
        setting("hook.activeDeadlineSeconds", 1800) | {"migrationDeadlineSeconds": 60},
        "hook.activeDeadlineSeconds (1800) must be at least 30 more than deadlineSeconds (1800)",
    ),
    "a migration's deadline that Kubernetes ends": (
        setting("hook.activeDeadlineSeconds", 2100),
        "hook.activeDeadlineSeconds (2100) must be at least 30 more than migrationDeadlineSeconds (21600)",
    ),
    "a tag that the digest would win over": (
        {"image": {"tag": "1", "digest": f"sha256:{'0' * 64}"}},
        'image.tag: image.digest wins over it: set image.digest to "" or remove image.tag',
    ),
    "a service account that nobody names": (
        setting("serviceAccount.create", False),  # noqa: FBT003 -- a value of the chart
        "serviceAccount.name: required where serviceAccount.create is false",
    ),
    "a watchdog that reopens what is not there": (
        {"watchdog": {"enabled": True}, "gate": {"application": {"enabled": False}}},
        "watchdog.reopenGate needs gate.application.enabled",
    ),
    "a context of no kubeconfig": (
        setting("argocd.context", "hub"),
        "argocd.context: there is no kubeconfig that it is a context of: set argocd.kubeconfigSecret.name",
    ),
    **{
        f"a volume of the chart's own name, {name}": (
            {"extraVolumes": [{"name": name, "emptyDir": {}}]},
            f"extraVolumes: {name} is the chart's own volume: give yours another name",
        )
        for name in ("config", "secrets", "tmp")
    },
    "a container of the chart's own name": (
        {"extraContainers": [{"name": "gate", "image": "busybox"}]},
        "extraContainers: gate is the chart's own container: give yours another name",
    ),
    **{
        f"{name} in {place}": (
            setting(place, {name: "Sync"}),
            f"{place}: {name} is the chart's to set, by whose order it gates: remove it",
        )
        for place in ("commonAnnotations", "hook.annotations", "podAnnotations", "serviceAccount.annotations")
        for name in ("argocd.argoproj.io/hook", "argocd.argoproj.io/sync-wave", "helm.sh/hook-weight")
    },
    **{
        f"{name} in {place}": (
            setting(place, {name: "mine"}),
            f"{place}: {name} is the chart's own, which would win: remove it",
        )
        for place in ("commonLabels", "podLabels")
        for name in OWN_LABELS
    },
    **{
        f"an extra object with {name}": (
            extra({"annotations": {name: "PreSync"}}),
            f"extraObjects[0]: {name} would make it a hook",
        )
        for name in ("argocd.argoproj.io/hook", "argocd.argoproj.io/hook-delete-policy", "helm.sh/hook")
    },
    "an extra object that a template makes a hook": (
        extra({"annotations": {'argocd.argoproj.io/{{ "hook" }}': "Sync"}}),
        "extraObjects[0]: argocd.argoproj.io/hook would make it a hook",
    ),
    "an extra object without a name": (
        extra({"name": "{{ .Values.nameOverride }}"}),
        "extraObjects[0]: apiVersion, kind and metadata.name are required",
    ),
    "an extra object that is not YAML any more": (
        extra({"name": '{{ printf "%c: x" 39 }}'}),
        "extraObjects[0]: is no YAML any more once its templates are expanded",
    ),
    "an extra object as text": ({"extraObjects": ["kind: Secret"]}, "at '/extraObjects/0': got string, want object"),
    "an extra object's metadata as text": (
        {"extraObjects": [{"apiVersion": "v1", "kind": "Secret", "metadata": "x"}]},
        "at '/extraObjects/0/metadata': got string, want object",
    ),
    "a setting that goes round the checks": (
        {"extraEnv": [{"name": "TRH_ON_EMPTY_DATABASE", "value": "fail"}]},
        "extraEnv: TRH_ON_EMPTY_DATABASE is a setting: give it as a value",
    ),
}


@pytest.mark.parametrize("major", [3, 4])
@pytest.mark.parametrize(("values", "expected"), REFUSALS.values(), ids=list(REFUSALS))
def test_it_is_refused_in_one_line(values: Json, expected: str, major: int, request: pytest.FixtureRequest) -> None:
    helm: Helm = request.getfixturevalue(f"helm{major}")
    with pytest.raises(HelmError) as refusal:
        helm.template(CHART, merged(SMALLEST, values))
    lines = said(str(refusal.value))
    assert len(lines) == 1, lines
    assert expected in lines[0]


def test_every_name_with_a_namespace_is_answered(helm3: Helm) -> None:
    """None that the schema lets through reaches an object."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    paths = list(references(schema))
    assert {"stores.visibility.caConfigMap.name", "argocd.server.tokenSecret.name", "downstream[0].name"} <= set(paths)
    for path in paths:
        values = {"downstream": [{"name": "data/one"}]} if path == "downstream[0].name" else setting(path, "data/one")
        with pytest.raises(HelmError) as refusal:
            helm3.template(CHART, merged(SMALLEST, values))
        assert [line for line in said(str(refusal.value)) if line.startswith(f'{path}: "data/one" has a namespace')]


def references(schema: Json, path: str = "") -> Iterator[str]:
    """The paths of the names that may have a namespace, as far as the schema says."""
    if schema.get("$ref", "").lower().endswith("reference"):
        yield path
    for name, one in schema.get("properties", {}).items():
        yield from references(one, f"{path}.{name}".removeprefix("."))
    if "items" in schema:
        yield from references(schema["items"], f"{path}[0]")


def test_all_that_is_missing_is_said_at_once(helm3: Helm) -> None:
    """The chart as it comes: each thing that only its user knows has its line."""
    with pytest.raises(HelmError) as refusal:
        helm3.template(CHART)
    assert [line.partition(":")[0] for line in said(str(refusal.value))] == [
        "temporal.version",
        "stores.default.host",
        "stores.default.secret.name",
        "stores.default.user",
        "migrations.application.name",
    ]


@pytest.mark.parametrize(
    "values",
    [
        setting("gate.application.name", "another"),
        setting("gate.application.namespace", "elsewhere"),
        setting("gate.application.enabled", False),  # noqa: FBT003 -- a value of the chart
    ],
)
def test_the_gates_application_is_told_by_name_and_namespace(values: Json, helm3: Helm) -> None:
    """A target that is only called like the release is none of the gate's."""
    assert helm3.objects(CHART, merged(merged(SMALLEST, {"runtime": {"application": GATE}}), values))


@pytest.mark.parametrize(
    "visibility",
    [
        {"host": "another", "database": "temporal"},
        {"port": 5433, "database": "temporal"},
        {"enabled": False, "database": "temporal"},
        {"searchPath": "visibility", "database": "temporal"},
        {"secret": {"databaseKey": "dbname"}},
    ],
)
def test_one_name_may_be_two_databases(visibility: dict[str, Any], helm3: Helm) -> None:
    assert helm3.objects(CHART, merged(SMALLEST, setting("stores.visibility", visibility)))


@pytest.mark.parametrize("place", ["commonAnnotations", "hook.annotations", "serviceAccount.annotations"])
def test_options_of_a_sync_change_no_order(place: str, helm3: Helm) -> None:
    """Only hooks and waves are the chart's."""
    objects = helm3.objects(
        CHART, merged(SMALLEST, setting(place, {"argocd.argoproj.io/sync-options": "Delete=false"}))
    )
    assert any("argocd.argoproj.io/sync-options" in one["metadata"]["annotations"] for one in objects)


def test_every_label_of_the_charts_is_its_own(helm3: Helm) -> None:
    """None that it sets could be given by a value and be overridden."""
    objects = helm3.objects(CHART, SCENARIOS["watchdog"])
    labels = {label for one in objects for label in one["metadata"]["labels"]}
    labels |= {label for spec in job_specs(objects) for label in spec["template"]["metadata"]["labels"]}
    assert labels == set(OWN_LABELS)


def test_an_ipv6_address_holds_no_port(helm3: Helm) -> None:
    """Its last part may be digits alone."""
    assert helm3.objects(CHART, merged(SMALLEST, setting("stores.default.host", "fd00::5432")))


def test_a_refusal_renders_nothing(helm3: Helm) -> None:
    """Nothing is installed half."""
    with pytest.raises(HelmError) as refusal:
        helm3.template(CHART, SCENARIOS["full"], setting("temporal.version", ""))
    assert "kind:" not in str(refusal.value)
