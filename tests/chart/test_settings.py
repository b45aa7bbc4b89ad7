"""The settings file that is rendered is the program's own: it is read by `hook.loading`, with the files that are mounted."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml
from rendering import CHART, SCENARIOS, SMALLEST, Json, config, job_specs, merged, setting, values_of

from hook.decision.policy import OnEmptyDatabase
from hook.observation.applications import ApplicationRef
from hook.observation.versions import SchemaVersion, Store
from hook.settings import loading
from hook.settings.settings import LABEL_SELECTOR, Settings
from lab.helm import Helm, HelmError

COMPONENTS = ("gate", "watchdog")
NOT_OFFERED = {
    "stores.default.dsn": "it holds a password, which no value may: dsnFile",
    "stores.visibility.dsn": "it holds a password, which no value may: dsnFile",
    "migrations.command.argv": "a migration must not die with the gate's pod",
    "migrations.command.stateDirectory": "a migration must not die with the gate's pod",
    "kubernetes.kubeconfigFile": "the gate runs in the cluster of Temporal's pods, by its own service account",
    "kubernetes.context": "the gate runs in the cluster of Temporal's pods, by its own service account",
    "report.terminationMessageFile": "Kubernetes' own default; the chart sets no terminationMessagePath",
}
"""Settings of the program that no value of the chart leads to, and why."""


class Installed:
    """One of the chart's pods as the program finds it: its environment and its files, the secret ones made up."""

    def __init__(self, objects: list[Json], component: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.text = config(objects, component)
        (spec,) = (one["template"]["spec"] for one in job_specs(objects) if of(one) == component)
        self.container = spec["containers"][0]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}
        self.file = root / "config.yaml"
        self.mounted = set()
        text = self.text
        if "secrets" in mounts:
            text = text.replace(mounts["secrets"], str(root))
            for source in volumes["secrets"]["projected"]["sources"]:
                (of_one,) = source.values()
                for item in of_one["items"]:
                    self.mounted.add(f"{mounts['secrets']}/{item['path']}")
                    make_up(root / item["path"], f"{of_one['name']}-{item['key']}")
        self.file.write_text(text)
        assert self.container["args"] == ["run", "--config", f"{mounts['config']}/config.yaml"]
        self.environment = {env["name"]: made_up(env) for env in self.container["env"]}
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def load(self) -> Settings:
        return loading.load(self.file)


def of(spec: Json) -> str:
    return str(spec["template"]["metadata"]["labels"]["app.kubernetes.io/component"])


def made_up(env: Json) -> str:
    """What a variable would hold, told by where it is from."""
    if "value" in env:
        return str(env["value"])
    (source,) = env["valueFrom"].values()
    return f"{source.get('name', 'pod')}-{source.get('key', 'x')}"


AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("gate.example")


def make_up(path: Path, told: str) -> None:
    """Write what the Secret would hold, told by the file's name; a name by where it is from."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {
        "dsn": f"postgresql://role:p%40ss@dsn-host:6432/{told}".encode(),
        "host": told.encode(),
        "port": b"6543",
        "database": told.encode(),
        "user": told.encode(),
        "password": b"hunter2",
        "ca.crt": AUTHORITY.cert_pem.bytes(),
        "tls.crt": CERTIFICATE.cert_chain_pems[0].bytes(),
        "tls.key": CERTIFICATE.private_key_pem.bytes(),
        "kubeconfig": b"apiVersion: v1\nkind: Config\n",
        "token": b"header.claims.signature\n",
    }
    path.write_bytes(contents[path.name])


def components_of(scenario: str) -> tuple[str, ...]:
    return COMPONENTS if values_of(scenario)["watchdog"]["enabled"] else COMPONENTS[:1]


INSTALLED = [(scenario, component) for scenario in SCENARIOS for component in components_of(scenario)]


@pytest.mark.parametrize(("scenario", "component"), INSTALLED)
def test_the_program_takes_every_scenario(
    scenario: str, component: str, helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key unknown to it, no contradiction, each file that is named is mounted, and none that is not named."""
    installed = Installed(helm3.objects(CHART, SCENARIOS[scenario]), component, tmp_path, monkeypatch)
    settings = installed.load()
    assert settings.policy().expected.keys() == set(settings.gated)
    assert set(re.findall(r"/etc/temporal-recovery-hook-secrets/\S+", installed.text)) == installed.mounted


@pytest.mark.parametrize(("scenario", "component"), INSTALLED)
def test_values_that_are_settings_arrive_unchanged(
    scenario: str, component: str, helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value of the same name and place is the setting; the watchdog differs in what it says it does."""
    installed = Installed(helm3.objects(CHART, SCENARIOS[scenario]), component, tmp_path, monkeypatch)
    loaded = dict(leaves(installed.load().model_dump(by_alias=True, mode="json")))
    values = dict(leaves(values_of(scenario)))
    differs = {
        "watchdog": {"deadlineSeconds", "migrationDeadlineSeconds", "onEmptyDatabase", "patienceSeconds"},
        "gate": set(),
    }[component]
    same = {path for path in loaded if path in values and values[path] not in ("", 0)} - differs
    if not values["stores.visibility.enabled"]:
        same = {path for path in same if not path.startswith("stores.visibility.")}
    assert {path: loaded[path] for path in same} == {path: values[path] for path in same}
    assert len(same) > 12


def test_defaults_are_the_programs(helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the smallest install renders beside its own values is what the program would have taken anyway."""
    installed = Installed(helm3.objects(CHART, SMALLEST), "gate", tmp_path, monkeypatch)
    rendered = installed.load()
    needed = {
        "temporal": {"version": "1.29.1"},
        "stores": {
            "default": {
                "host": "db",
                "userFile": str(tmp_path / "default" / "user"),
                "passwordFile": str(tmp_path / "default" / "password"),
            }
        },
        "migrations": {"application": {"name": "data-migrations-temporal"}},
        "gate": {"name": "gate"},
    }
    installed.file.write_text(yaml.safe_dump(needed))
    assert rendered == installed.load()


def test_every_setting_is_offered_or_deliberately_not(
    helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: set[str] = set()
    for number, (scenario, component) in enumerate(INSTALLED):
        root = tmp_path / str(number)
        root.mkdir()
        installed = Installed(helm3.objects(CHART, SCENARIOS[scenario]), component, root, monkeypatch)
        reached |= {re.sub(r"\[\d+\]", "", path) for path, _ in leaves(yaml.safe_load(installed.text))}
        reached |= {variable(name) for name in installed.environment if name.startswith("TRH_")}
    paths = {path for path, kind in loading._paths(Settings) if kind is not dict}  # noqa: SLF001 -- all settings there are
    known = {".".join(path) for path in paths if not any(other[:-1] == path for other in paths)}
    assert known - reached == set(NOT_OFFERED)
    assert reached <= known


def variable(name: str) -> str:
    return name.removeprefix("TRH_").lower().replace("__", ".")


def leaves(block: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value with its path; a list's items by their number."""
    if isinstance(block, Mapping):
        for name, value in block.items():
            yield from leaves(value, f"{path}.{name}".removeprefix("."))
    elif isinstance(block, list):
        for number, value in enumerate(block):
            yield from leaves(value, f"{path}[{number}]")
    else:
        yield path, block


Login = Callable[[Json], dict[Store, dict[str, str]]]


class TestStores:
    """The databases, as the program would log in to them."""

    @pytest.fixture
    def login(self, helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Login:
        def of_values(values: Json) -> dict[Store, dict[str, str]]:
            installed = Installed(helm3.objects(CHART, merged(SMALLEST, values)), "gate", tmp_path, monkeypatch)
            stores = installed.load().stores
            return {store: stores.of(store).conninfo() for store in stores.enabled}

        return of_values

    def test_a_cloudnativepg_secret_serves_as_it_is(self, login: Login) -> None:
        found = login({"stores": {"default": {"secret": {"portKey": "port"}}}})
        assert found[Store.DEFAULT] == {
            "host": "db",
            "port": "6543",
            "dbname": "temporal",
            "user": "temporal-db-app-username",
            "password": "hunter2",
        }

    def test_visibility_inherits_all_but_its_database(self, login: Login) -> None:
        found = login({"stores": {"default": {"sslMode": "verify-full", "caSecret": {"name": "temporal-db-ca"}}}})
        assert found[Store.VISIBILITY] == found[Store.DEFAULT] | {"dbname": "temporal_visibility"}

    def test_visibility_may_have_a_login_of_its_own(self, login: Login) -> None:
        found = login({"stores": {"visibility": {"host": "other", "secret": {"name": "temporal-visibility-app"}}}})
        assert found[Store.DEFAULT]["user"] == "temporal-db-app-username"
        assert found[Store.VISIBILITY]["user"] == "temporal-visibility-app-username"
        assert found[Store.VISIBILITY]["host"] == "other"

    def test_visibility_may_have_keys_of_its_own_in_the_same_secret(self, login: Login) -> None:
        keys = {"userKey": "reader", "portKey": "reader-port"}
        found = login({"stores": {"visibility": {"secret": keys}}})
        assert found[Store.DEFAULT]["user"] == "temporal-db-app-username"
        assert found[Store.VISIBILITY]["user"] == "temporal-db-app-reader"
        assert "port" not in found[Store.DEFAULT]
        assert found[Store.VISIBILITY]["port"] == "6543"

    def test_a_key_of_visibilitys_own_does_not_undo_what_it_inherits(self, login: Login) -> None:
        default = {"user": "temporal", "port": 5433}
        found = login({"stores": {"default": default, "visibility": {"secret": {"passwordKey": "other"}}}})
        assert {(each["user"], each["port"]) for each in found.values()} == {("temporal", "5433")}

    @pytest.mark.parametrize(
        ("own", "expected"),
        [
            ({}, ("gate", "5433")),
            ({"userKey": "role"}, ("other-role", "5433")),
            ({"portKey": "port"}, ("gate", "6543")),
        ],
        ids=["a name alone", "with a key of the role's", "with a key of the port's"],
    )
    def test_a_secret_of_visibilitys_own_does_not_undo_what_it_inherits(
        self, own: Json, expected: tuple[str, str], login: Login
    ) -> None:
        """It is named for its password: role and port are its Secret's where it says so, too."""
        default = {"user": "gate", "port": 5433, "secret": {"portKey": "port"}}
        found = login({"stores": {"default": default, "visibility": {"secret": {"name": "other"} | own}}})
        assert (found[Store.VISIBILITY]["user"], found[Store.VISIBILITY]["port"]) == expected
        assert (found[Store.DEFAULT]["user"], found[Store.DEFAULT]["port"]) == ("gate", "5433")

    def test_all_of_it_may_be_in_a_secret_each(self, login: Login) -> None:
        """Both stores' Secrets have the same keys; no two parts come from the same place."""
        keys = {"hostKey": "endpoint", "portKey": "port", "databaseKey": "dbname"}
        stores = {"default": {"host": "", "secret": keys}, "visibility": {"secret": {"name": "vis"}}}
        found = login({"stores": stores})
        for store, name in ((Store.DEFAULT, "temporal-db-app"), (Store.VISIBILITY, "vis")):
            assert found[store] == {
                "host": f"{name}-endpoint",
                "port": "6543",
                "dbname": f"{name}-dbname",
                "user": f"{name}-username",
                "password": "hunter2",
            }

    def test_a_connection_string_says_it_all(self, login: Login) -> None:
        """But for visibility's database, and what is given besides."""
        default = {"host": "", "sslRootCert": "system", "secret": {"dsnKey": "uri"}}
        found = login({"stores": {"default": default}})
        assert (
            found[Store.DEFAULT].items()
            >= {
                "host": "dsn-host",
                "port": "6432",
                "dbname": "temporal-db-app-uri",
                "user": "role",
                "password": "p@ss",
                "sslmode": "verify-full",
            }.items()
        )
        assert found[Store.VISIBILITY] == found[Store.DEFAULT] | {"dbname": "temporal_visibility"}

    @pytest.mark.parametrize("own", [{"dsnKey": "uri2"}, {"name": "vis"}], ids=["a key", "a Secret"])
    def test_visibility_may_have_a_connection_string_of_its_own(self, own: Json, login: Login) -> None:
        default = {"host": "", "secret": {"dsnKey": "uri"}}
        found = login({"stores": {"default": default, "visibility": {"database": "vis", "secret": own}}})
        assert found[Store.VISIBILITY] == found[Store.DEFAULT] | {"dbname": "vis"}

    def test_no_password_is_said_by_no_key(self, login: Login) -> None:
        found = login({"stores": {"default": {"user": "gate", "secret": {"name": "", "passwordKey": ""}}}})
        assert found[Store.VISIBILITY] == {"host": "db", "dbname": "temporal_visibility", "user": "gate"}

    def test_two_schemas_of_one_database(self, login: Login) -> None:
        default = {"searchPath": 'temporal, "My Schema"', "options": "-c a=b"}
        visibility = {"database": "temporal", "searchPath": "visibility"}
        found = login({"stores": {"default": default, "visibility": visibility}})
        assert found[Store.DEFAULT]["options"] == '-c a=b -c search_path=temporal,\\ "My\\ Schema"'
        assert found[Store.VISIBILITY]["options"] == "-c a=b -c search_path=visibility"

    def test_a_ca_may_be_in_a_config_map(self, helm3: Helm) -> None:
        default = {"sslMode": "verify-full", "caConfigMap": {"name": "rds", "key": "bundle"}}
        objects = helm3.objects(CHART, merged(SMALLEST, {"stores": {"default": default}}))
        assert ("default/ca.crt", "rds", "bundle") in secret_files(objects)
        (source,) = [one for one in sources(objects) if "configMap" in one]
        assert source["configMap"]["optional"] is True

    def test_another_server_has_tls_of_its_own(self, login: Login) -> None:
        default = {"sslMode": "verify-full", "caSecret": {"name": "ca"}, "clientSecret": {"name": "client"}}
        found = login({"stores": {"default": default, "visibility": {"host": "rds", "sslMode": "require"}}})
        assert {key for key in found[Store.VISIBILITY] if key.startswith("ssl")} == {"sslmode"}

    def test_a_key_that_is_missing_does_not_keep_the_pod_from_starting(self, helm3: Helm) -> None:
        """The program says which file is missing; a kubelet would wait in silence until Kubernetes ends the Job."""
        for source in sources(helm3.objects(CHART, SCENARIOS["secret-keys"])):
            (of_one,) = source.values()
            assert of_one.get("optional", False) is not any(i["path"].startswith("frontend") for i in of_one["items"])

    def test_a_role_by_value_wins_over_the_secrets(self, login: Login) -> None:
        found = login({"stores": {"default": {"user": "gate"}}})
        assert {login["user"] for login in found.values()} == {"gate"}

    def test_visibility_elsewhere_leaves_one_store(self, login: Login) -> None:
        assert set(login({"stores": {"visibility": {"enabled": False}}})) == {Store.DEFAULT}


GOOD_SELECTORS = (
    "a,!b, ! c,example.com/d=e,f==g,h!=i,j=,k in (l, m),n notin (o,),p in ()",
    "app.kubernetes.io/name=temporal",
)
BAD_SELECTORS = (
    "a=b c=d",
    "a in (b",
    "a=b,",
    "=a",
    "-a=b",
    "a=-b",
    "a in b",
    "A.example/b",
    "a/b/c",
    "a=b=c",
    f"{'a' * 64}=b",
)


@pytest.mark.parametrize("selector", [*GOOD_SELECTORS, *BAD_SELECTORS])
def test_chart_and_program_take_the_same_selectors(helm3: Helm, selector: str) -> None:
    """Each has the expression, which Go and Python read alike."""
    values = merged(SMALLEST, setting("runtime.selector", selector))
    assert bool(re.fullmatch(LABEL_SELECTOR, selector)) is (selector in GOOD_SELECTORS)
    if selector in GOOD_SELECTORS:
        assert selector in config(helm3.objects(CHART, values))
    else:
        with pytest.raises(HelmError, match="is no label selector of Kubernetes"):
            helm3.objects(CHART, values)


def test_without_visibility_one_schema_version_is_enough(
    helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = setting("stores.visibility.enabled", value=False) | setting("temporal.schemaVersions.default", "1.50")
    objects = helm3.objects(CHART, merged(SMALLEST, values))
    expected = Installed(objects, "gate", tmp_path, monkeypatch).load().policy().expected
    assert expected == {Store.DEFAULT: SchemaVersion((1, 50))}


@pytest.mark.parametrize(
    ("key", "mounted"),
    {
        "secret.passwordKey": ("visibility/password", "temporal-db-app", "own"),
        "caSecret.key": ("visibility/ca.crt", "temporal-db-ca", "own"),
        "clientSecret.certKey": ("visibility/tls.crt", "temporal-db-client", "own"),
        "clientSecret.keyKey": ("visibility/tls.key", "temporal-db-client", "own"),
    }.items(),
)
def test_a_key_of_visibilitys_own_is_one_of_the_default_stores_secret(
    key: str, mounted: tuple[str, str, str], helm3: Helm
) -> None:
    """Without any it has no file of its own: the program takes the default store's."""
    tls = {"caSecret": {"name": "temporal-db-ca"}, "clientSecret": {"name": "temporal-db-client"}}
    shared = merged(SMALLEST, setting("stores.default", tls | {"sslMode": "verify-full"}))
    own = merged(shared, setting(f"stores.visibility.{key}", "own"))
    assert not any(path.startswith("visibility/") for path, *_ in secret_files(helm3.objects(CHART, shared)))
    assert mounted in secret_files(helm3.objects(CHART, own))


def secret_files(objects: list[Json]) -> list[tuple[str, str, str]]:
    """The gate's files by path, each with the Secret and the key that it is from."""
    return [
        (item["path"], of_one["name"], item["key"])
        for source in sources(objects)
        for of_one in source.values()
        for item in of_one["items"]
    ]


def sources(objects: list[Json]) -> list[Json]:
    """What the gate's files are from."""
    volumes = {one["name"]: one for one in job_specs(objects)[0]["template"]["spec"]["volumes"]}
    return list(volumes["secrets"]["projected"]["sources"])


def test_the_watchdog_makes_no_schema_and_reopens_the_gate(
    helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database may be one that is being restored."""
    values = merged(SMALLEST, {"watchdog": {"enabled": True}, "onEmptyDatabase": "migrate"})
    loaded = Installed(helm3.objects(CHART, values), "watchdog", tmp_path, monkeypatch).load()
    assert loaded.on_empty_database is OnEmptyDatabase.FAIL
    assert loaded.reopen_gate
    assert loaded.deadline_seconds == 540
    assert loaded.patience_seconds == 270
    assert loaded.migration_deadline_seconds == 540, "the next run waits on"
    short = merged(values, {"patienceSeconds": 60})
    assert Installed(helm3.objects(CHART, short), "watchdog", tmp_path, monkeypatch).load().patience_seconds == 60


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_gate_itself_never_reopens(scenario: str, helm3: Helm) -> None:
    """It runs in its own Application's sync: writing another operation there would be lost."""
    assert "reopenGate" not in config(helm3.objects(CHART, SCENARIOS[scenario]))


def test_argo_cd_elsewhere_is_reached_by_its_kubeconfig(
    helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = Installed(helm3.objects(CHART, SCENARIOS["hub-and-spoke"]), "gate", tmp_path, monkeypatch).load()
    assert loaded.argocd.kubeconfig_file == tmp_path / "argocd" / "kubeconfig"
    assert loaded.argocd.context == "hub"


def test_argo_cds_own_api_is_reached_by_its_token(helm3: Helm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each Application with its own project, and no Events where nobody asks for them."""
    loaded = Installed(helm3.objects(CHART, SCENARIOS["argocd-server"]), "gate", tmp_path, monkeypatch).load()
    server = loaded.argocd.server
    assert server is not None
    assert (server.address, server.project, server.server_name) == (
        "argocd-server.argocd.svc:443",
        "temporal",
        "argocd-server",
    )
    assert server.token_file == tmp_path / "argocd" / "token"
    assert server.ca_file == tmp_path / "argocd" / "ca.crt"
    assert loaded.projects == {ApplicationRef("argocd", "data-temporal"): "data"}
    assert not loaded.posts_events


def test_the_gates_application_is_the_release_unless_it_is_named(helm3: Helm) -> None:
    """Argo CD takes the Application's name as release name."""
    named = merged(SMALLEST, setting("gate.application", {"name": "mine", "namespace": "team"}))
    assert yaml.safe_load(config(helm3.objects(CHART, SMALLEST, release="the-application")))["gate"] == {
        "name": "the-application",
        "namespace": "argocd",
    }
    assert yaml.safe_load(config(helm3.objects(CHART, named)))["gate"] == {"name": "mine", "namespace": "team"}
    assert "gate" not in yaml.safe_load(config(helm3.objects(CHART, SCENARIOS["plain-helm"])))
