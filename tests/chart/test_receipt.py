"""The receipt is honest: whenever anything else that is rendered differs, its data differs, too.

Else Argo CD would find the Application Synced while the hook still runs, and RollingSync would go on (facts 2).
"""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st
from rendering import CHART, SCENARIOS, SMALLEST, Json, identity, merged, receipt, setting, values_of

from lab.helm import Helm, HelmError

OTHERS: dict[str, Any] = {
    "temporal.version": "1.28.1",
    "temporal.schemaVersions.default": "1.17",
    "temporal.schemaVersions.visibility": "1.8",
    "temporal.frontend.address": "another:7233",
    "stores.default.sslMode": "verify-ca",
    "stores.visibility.sslMode": "require",
    "stores.default.sslRootCert": "system",
    "stores.visibility.sslRootCert": "system",
    "migrations.jobs": ["temporal-schema-2"],
    "downstream": [{"name": "orders", "namespace": "team-data"}],
    "reachability": "always",
    "onEmptyDatabase": "migrate",
    "report.format": "console",
    "report.events": False,
    "hook.phase": "PostSync",
    "receipt.revision": "1a2b3c4d",
    "watchdog.schedule": "@hourly",
    "image.digest": f"sha256:{'a' * 64}",
    "image.pullPolicy": "Never",
    "imagePullSecrets": [],
    "resources": {"requests": {"cpu": "1m"}},
    "podSecurityContext": {"runAsUser": 1},
    "securityContext": {"runAsUser": 1},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "company-revoked", "mountPath": "/elsewhere"}],
    "extraContainers": [{"name": "other", "image": "other:1"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
    "dnsConfig.options": [{"name": "ndots", "value": "2"}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "data"}}],
}
"""Another value for each that cannot be changed by rule."""

NO_CA = {"default": {"name": ""}, "visibility": {"name": "", "key": ""}}
UNVERIFIED: Json = {store: {"sslMode": "", "caSecret": none} for store, none in NO_CA.items()}

BY_KUBECONFIG: Json = {
    "argocd": {
        "kubeconfigSecret": {"name": "hub"},
        "server": {"address": "", "tokenSecret": {"name": ""}, "caSecret": {"name": ""}, "serverName": ""},
    },
    "downstream": [],
    **{name: {"application": {"project": ""}} for name in ("migrations", "runtime", "gate")},
}

BESIDE: dict[str, Json] = {
    "temporal.frontend.tls.enabled": setting(
        "temporal.frontend.tls", {"serverName": "", "caSecret": {"name": ""}, "clientSecret": {"name": ""}}
    ),
    "argocd.context": BY_KUBECONFIG,
    "argocd.kubeconfigSecret.name": BY_KUBECONFIG,
    "argocd.kubeconfigSecret.key": BY_KUBECONFIG,
    "argocd.server.plainText": setting("argocd.server", {"caSecret": {"name": ""}, "serverName": ""}),
    "gate.application.enabled": setting("watchdog.reopenGate", value=False),
    "stores.default.secret.userKey": setting("stores.default.user", ""),
    "stores.default.secret.portKey": setting("stores.default.port", 0),
    "stores.visibility.secret.userKey": setting("stores.visibility.user", ""),
    "stores.visibility.secret.portKey": setting("stores.visibility.port", 0),
    **{
        f"stores.{store}.{path}": setting(f"stores.{store}", beside)
        for store in ("default", "visibility")
        for path, beside in {
            "secret.hostKey": {"host": "", "secret": {"hostKey": "host"}},
            "secret.databaseKey": {"database": "", "secret": {"databaseKey": "dbname"}},
            "secret.dsnKey": {"host": "", "port": 0, "user": "", "secret": {"dsnKey": "uri", "portKey": ""}},
            "caConfigMap.name": {"sslMode": "require", "caSecret": NO_CA[store]},
            "caConfigMap.key": {"sslMode": "require", "caSecret": NO_CA[store], "caConfigMap": {"name": "ca"}},
        }.items()
    },
    "stores.default.sslRootCert": setting("stores.default", UNVERIFIED["default"]),
    "stores.visibility.sslRootCert": {"stores": UNVERIFIED},
    "temporal.frontend.tls.caConfigMap.name": setting("temporal.frontend.tls.caSecret.name", ""),
    "temporal.frontend.tls.caConfigMap.key": setting(
        "temporal.frontend.tls", {"caSecret": {"name": ""}, "caConfigMap": {"name": "ca"}}
    ),
    "image.digest": setting("image.tag", ""),
    "nameOverride": setting("fullnameOverride", ""),
}
"""What has to be so beside a value for it to matter at all, over the scenario `full`."""

WITHOUT_EFFECT = {"enabled", "global", "migrations.beforeServers"}
"""The last says what the Applications' names have to agree with: neither renders with the other value (test_refusals)."""


def changed(path: str, value: object) -> object:
    """Another value of the same kind."""
    if path in OTHERS:
        return OTHERS[path]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, dict):
        return {**value, "example.com/changed": "true"}
    assert isinstance(value, str), f"{path}: give another value in OTHERS"
    return f"{value}x"


def values(block: Json, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value that the chart documents, whole where it is Kubernetes' own."""
    whole = {"resources", "podSecurityContext", "securityContext", "affinity", "nodeSelector", "global"}
    for name, value in block.items():
        here = f"{path}.{name}".removeprefix(".")
        is_block = (
            isinstance(value, dict) and here not in whole and not here.lower().endswith(("labels", "annotations"))
        )
        if is_block:
            yield from values(value, here)
        else:
            yield here, value


FULL = dict(values(values_of("full")))


def rest(objects: list[Json]) -> list[Json]:
    """All but the receipt's own data."""
    return sorted(
        ({**one, "data": None} if one["metadata"]["name"].endswith("-receipt") else one for one in objects),
        key=identity,
    )


@pytest.fixture(scope="module")
def full(helm3: Helm) -> list[Json]:
    return helm3.objects(CHART, SCENARIOS["full"])


@pytest.mark.parametrize("path", [path for path in FULL if path not in WITHOUT_EFFECT])
def test_every_value_matters_and_is_in_the_receipt(path: str, full: list[Json], helm3: Helm) -> None:
    """There is no value that does nothing, and none that the receipt does not tell."""
    beside = BESIDE.get(path, {})
    before = helm3.objects(CHART, merged(values_of("full"), beside)) if beside else full
    own = dict(values(merged(values_of("full"), beside)))[path]
    above = merged(beside, setting(path, changed(path, own)))
    after = helm3.objects(CHART, merged(values_of("full"), above))
    assert after != before
    assert receipt(after) != receipt(before)


@pytest.mark.parametrize(
    "options", [{"release": "another"}, {"namespace": "another"}], ids=["the release's name", "the namespace"]
)
def test_names_are_in_the_receipt(options: dict[str, str], helm3: Helm) -> None:
    before, after = helm3.objects(CHART, SMALLEST), helm3.objects(CHART, SMALLEST, **options)
    assert rest(before) != rest(after)
    assert receipt(before) != receipt(after)


def test_the_revision_alone_changes_the_receipt_alone(helm3: Helm) -> None:
    """So a commit that changes nothing here runs the gate, too."""
    before = helm3.objects(CHART, SMALLEST)
    after = helm3.objects(CHART, merged(SMALLEST, setting("receipt.revision", "0f9d3c1b")))
    assert rest(before) == rest(after)
    assert receipt(after) == {**receipt(before), "revision": "0f9d3c1b"}


@pytest.mark.parametrize("revision", ["1234567", "12e4567", "0x12", "true"])
def test_a_revision_stays_what_it_is(revision: str, helm3: Helm, helm4: Helm) -> None:
    """Argo CD gives it by --set-string with forceString, else by --set, which takes digits for a number."""
    for helm in (helm3, helm4):
        forced = helm.objects(CHART, SMALLEST, more=["--set-string", f"receipt.revision={revision}"])
        assert receipt(forced)["revision"] == revision
    if revision.isdecimal():
        assert (
            receipt(helm3.objects(CHART, SMALLEST, more=["--set", f"receipt.revision={revision}"]))["revision"]
            == revision
        )


SCENARIO_VALUES = {name: yaml.safe_load(path.read_text()) for name, path in SCENARIOS.items()}
WITH_RECEIPT = sorted(name for name in SCENARIOS if not name.startswith("guard"))
"""A guard has no receipt: the Application that it stands in is held by what comes after it."""

Install = tuple[set[str], str, str, str]
installs = st.tuples(
    st.sets(st.sampled_from([path for path in FULL if path not in WITHOUT_EFFECT]), max_size=2),
    st.sampled_from(["gate", "other"]),
    st.sampled_from(["data", "elsewhere"]),
    st.sampled_from(["1.29.0", "1.36.1"]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenario=st.sampled_from(WITH_RECEIPT), one=installs, other=installs)
@pytest.mark.timeout(300, func_only=True)
def test_what_differs_anywhere_differs_in_the_receipt(
    scenario: str, one: Install, other: Install, helm3: Helm, helm4: Helm
) -> None:
    """Of any two installs of a scenario that are both possible, each by another helm."""
    rendered = []
    for helm, (paths, release, namespace, kubernetes) in ((helm3, one), (helm4, other)):
        flat = dict(values(values_of(scenario)))
        above = SCENARIO_VALUES[scenario]
        for path in sorted(paths):
            above = merged(above, setting(path, changed(path, flat.get(path, FULL[path]))))
        try:
            rendered.append(helm.objects(CHART, above, release=release, namespace=namespace, kubernetes=kubernetes))
        except HelmError:
            reject()  # an install that is refused
    before, after = rendered
    event("alike" if rest(before) == rest(after) else "different")
    assert rest(before) == rest(after) or receipt(before) != receipt(after)
