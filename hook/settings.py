"""Every setting with its unit, its default and the reason for it.

Reads YAML, environment and secret files; contacts nothing.

A YAML key is written as here but in camelCase (``deadlineSeconds``); an environment variable is ``TRH_`` and the path
in capitals, its parts joined by two underscores (``TRH_STORES__DEFAULT__DSN``). The environment wins over the file.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel, to_snake

from hook.model import ApplicationRef, OnEmptyDatabase, Policy, Reachability
from hook.versions import Release, SchemaVersion, Store, VersionError, expectation

ENVIRONMENT_PREFIX = "TRH_"

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """Settings that cannot be used: one line a fault, each naming its setting and saying what to do."""

    def __init__(self, *faults: str) -> None:
        """Carry the lines."""
        super().__init__("; ".join(faults))
        self.faults = faults


class _Block(BaseModel):
    """A closed block of settings: an unknown key is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class ApplicationSettings(_Block):
    """An Argo CD Application; Argo CD's own namespace unless Applications in any namespace are used."""

    name: Annotated[str, Field(min_length=1)]
    namespace: Annotated[str, Field(min_length=1)] = "argocd"

    @property
    def ref(self) -> ApplicationRef:
        """Return it as the model names it."""
        return ApplicationRef(self.namespace, self.name)


class TlsSettings(_Block):
    """TLS towards the frontend; its presence switches TLS on."""

    ca_file: Path | None = None
    """None: the system's authorities."""
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    """The name that the certificate carries, where it is not the address's host."""

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile go together: give both or neither")
        return self


class FrontendSettings(_Block):
    """Temporal's frontend, asked by gRPC."""

    address: str | None = None
    """``host:port``; the chart's Service is ``<fullname>-frontend.<namespace>:7233``."""
    tls: TlsSettings | None = None

    @field_validator("address")
    @classmethod
    def _is_host_and_port(cls, value: str | None) -> str | None:
        found = re.fullmatch(r"([\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})", value or "")
        if value is not None and (found is None or not 1 <= int(found[2]) <= 65_535):  # noqa: PLR2004 -- TCP's greatest
            message = "must be host:port, such as temporal-frontend.temporal:7233, without http:// and without a path"
            raise ValueError(message)
        return value


class SchemaVersionsSettings(_Block):
    """The expected versions by hand, for a release that the table does not know."""

    default: str
    visibility: str

    @field_validator("default", "visibility")
    @classmethod
    def _is_a_version(cls, value: str) -> str:
        SchemaVersion.parse(value)
        return value


class TemporalSettings(_Block):
    """The release that comes next, and where its frontend will answer."""

    version: str | None = None
    """The server's release (1.29.1), not the chart's; required for `run`, since at an upgrade the live image is the old
    one."""
    schema_versions: SchemaVersionsSettings | None = None
    frontend: FrontendSettings = FrontendSettings()

    @field_validator("version")
    @classmethod
    def _is_a_release(cls, value: str | None) -> str | None:
        if value is not None:
            Release.parse(value)
        return value

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if self.version is not None and self.schema_versions is None:
            try:
                expectation(Release.parse(self.version))
            except VersionError as error:
                message = f"temporal.version: {error}"
                raise ValueError(message) from error
        return self


SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class StoreSettings(_Block):
    """One store's database, either by its parts or by a whole DSN (for a laptop)."""

    dsn: SecretStr | None = None
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """None: PostgreSQL's own default, 5432."""
    database: str | None = None
    user: str | None = None
    password_file: Path | None = None
    """Read anew at each use, so that a rotated Secret is taken up. None: libpq's own ways (PGPASSWORD, ~/.pgpass)."""
    ssl_mode: SslMode | None = None
    """None: libpq's default, prefer."""
    ssl_root_cert_file: Path | None = None
    ssl_cert_file: Path | None = None
    ssl_key_file: Path | None = None

    @field_validator("dsn")
    @classmethod
    def _is_a_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        from psycopg import Error  # noqa: PLC0415 -- 0.1 s that only those pay who have a DSN
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

        try:
            ports = str(conninfo_to_dict(value.get_secret_value() if value else "").get("port", ""))
            usable = all(port.isdecimal() or not port for port in ports.split(","))
        except (Error, UnicodeError):  # its text would show parts of the DSN
            usable = False
        if not usable:
            message = (
                "is no PostgreSQL connection string such as postgresql://user:password@host:5432/database "
                "(characters such as / : @ % in user or password are written as %2F %3A %40 %25)"
            )
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.dsn is not None and self.model_fields_set - {"dsn", "enabled"}:
            others = ", ".join(sorted(to_camel(name) for name in self.model_fields_set - {"dsn", "enabled"}))
            message = f"dsn says it all: remove {others}, or remove dsn"
            raise ValueError(message)
        return self

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the store as it will be used, inherited parts included."""
        if self.dsn is None and not self.host:
            yield "give host (with database, user and passwordFile), or dsn"
        if self.ssl_mode in {"verify-ca", "verify-full"} and self.ssl_root_cert_file is None:
            yield f"sslMode {self.ssl_mode} needs sslRootCertFile, the CA to verify by"
        if (self.ssl_cert_file is None) != (self.ssl_key_file is None):
            yield "sslCertFile and sslKeyFile go together: give both or neither"

    @property
    def place(self) -> tuple[str | None, str, str | None]:
        """Return host, port and database: what makes two stores the same."""
        known = self.conninfo(with_password=False)
        return known.get("host"), known.get("port", "5432"), known.get("dbname")

    def conninfo(self, *, with_password: bool = True) -> dict[str, str]:
        """Return libpq's parameters, the password read from its file now; raise OSError when that cannot be read."""
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 -- 0.1 s that only those pay who connect

        if self.dsn is not None:
            return {key: str(value) for key, value in conninfo_to_dict(self.dsn.get_secret_value()).items()}
        parameters = {
            "host": self.host,
            "port": self.port,
            "dbname": self.database,
            "user": self.user,
            "password": _password(self.password_file) if self.password_file and with_password else None,
            "sslmode": self.ssl_mode,
            "sslrootcert": self.ssl_root_cert_file,
            "sslcert": self.ssl_cert_file,
            "sslkey": self.ssl_key_file,
        }
        return {key: str(value) for key, value in parameters.items() if value is not None}


class DefaultStoreSettings(StoreSettings):
    """The default store."""

    database: str | None = "temporal"


class VisibilityStoreSettings(StoreSettings):
    """The visibility store; what it leaves out is taken from the default store, but for the database's name."""

    enabled: bool = True
    """False where visibility is not in PostgreSQL (Elasticsearch, OpenSearch): then only the default store is gated."""
    database: str | None = "temporal_visibility"


class StoresSettings(_Block):
    """Both stores."""

    default: DefaultStoreSettings = DefaultStoreSettings()
    visibility: VisibilityStoreSettings = VisibilityStoreSettings()

    def of(self, store: Store) -> StoreSettings:
        """Return a store's settings, the visibility store's completed from the default store's."""
        if store is Store.DEFAULT or self.visibility.dsn is not None:
            return self.default if store is Store.DEFAULT else self.visibility
        own = self.visibility.model_dump(by_alias=True, exclude_none=True, exclude={"enabled", "dsn"})
        inherited = self.default.model_dump(by_alias=True, exclude_none=True, exclude={"dsn"})
        return StoreSettings.model_validate(inherited | own)

    @property
    def enabled(self) -> tuple[Store, ...]:
        """Return the stores that are gated."""
        return (Store.DEFAULT, Store.VISIBILITY) if self.visibility.enabled else (Store.DEFAULT,)

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with the stores as they will be used."""
        faults = {store: tuple(self.of(store).faults()) for store in self.enabled}
        for store, found in faults.items():
            inherited = faults[Store.DEFAULT] if store is not Store.DEFAULT and self.visibility.dsn is None else ()
            yield from (f"stores.{store}: {fault}" for fault in found if fault not in inherited)
        if self.visibility.enabled and self.default.place == self.of(Store.VISIBILITY).place:
            yield (
                f"stores.default and stores.visibility are the same database {self.default.place[2]!r}: "
                "give each its own, or set stores.visibility.enabled: false where visibility is not in PostgreSQL"
            )


class CommandSettings(_Block):
    """The owner's own migration command, for CI, a laptop and the demo."""

    argv: Annotated[list[str], Field(min_length=1)]
    state_directory: Path
    """Where the command's record and log are kept; two gates of one machine share it, so that neither doubles the other."""


class MigrationsSettings(_Block):
    """Who owns the schema, and how often a run asks it to migrate."""

    strategy: Literal["argocd", "command"] = "argocd"
    application: ApplicationSettings | None = None
    command: CommandSettings | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] = 3
    """Three: one for the fault itself, one for a database that came up meanwhile, one more; then a person should look."""
    pause_seconds: Seconds = 10
    """After a failed attempt; doubles each time. Ten, as a Job's own back-off begins."""

    @model_validator(mode="after")
    def _has_its_block(self) -> Self:
        wanted, other = (
            (("application", self.application), ("command", self.command))
            if self.strategy == "argocd"
            else (("command", self.command), ("application", self.application))
        )
        if wanted[1] is None:
            message = f"migrations.{wanted[0]}: required by strategy {self.strategy}: set it"
            raise ValueError(message)
        if other[1] is not None:
            message = (
                f"migrations.{other[0]}: not used by strategy {self.strategy}: remove it, or set migrations.strategy"
            )
            raise ValueError(message)
        return self


class RuntimeSettings(_Block):
    """Temporal's servers: their Application, and where their pods are."""

    application: ApplicationSettings | None = None
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The pods' namespace. None: pods are neither looked at nor restarted."""
    selector: Annotated[str, Field(min_length=1)] = "app.kubernetes.io/name=temporal"
    """Labels of the pods and Deployments, as Temporal's chart sets them; the component label is added to it."""
    stable_seconds: Seconds = 3
    """A pod without readiness probe is trusted after it ran so long: Temporal without a schema exits within 0.2 s
    (seen)."""


class KubeconfigSettings(_Block):
    """How an API server is reached. Without a file: the pod's own service account."""

    kubeconfig_file: Path | None = None
    context: str | None = None
    """None: the file's current context."""


class RunSettings(_Block):
    """Which Job this run belongs to, by the downward API; outside of a Job the run gets a random id."""

    id: str | None = None
    """The Job's uid (label ``batch.kubernetes.io/controller-uid``)."""
    job: str | None = None
    """The Job's name; it is read once, for its creation and for the Application whose sync made it."""
    namespace: str | None = None

    @model_validator(mode="after")
    def _job_is_whole(self) -> Self:
        if self.job is not None and (self.id is None or self.namespace is None):
            raise ValueError("job needs id and namespace beside it (the chart sets all three by the downward API)")
        return self


class ReportSettings(_Block):
    """Where a run tells what it does."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto: readable lines on a terminal, JSON elsewhere."""
    events: bool = True
    termination_message_file: Path = Path("/dev/termination-log")
    """Kubernetes' own default (terminationMessagePath)."""


class Settings(_Block):
    """All settings."""

    temporal: TemporalSettings = TemporalSettings()
    stores: StoresSettings
    migrations: MigrationsSettings
    runtime: RuntimeSettings = RuntimeSettings()
    downstream: tuple[ApplicationSettings, ...] = ()
    """Applications after Temporal, such as the namespace bootstrap, in their order."""
    reachability: Reachability = Reachability.AUTO
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    gate: ApplicationSettings | None = None
    """The gate's own Application: it gets the Events, and is refused as a target."""
    reopen_gate: bool = False
    """Sync the gate's own Application where it failed and all is right now: for a watchdog, never for the gate itself."""
    argocd: KubeconfigSettings = KubeconfigSettings()
    """Where Argo CD's Applications are, if not where the pods are."""
    kubernetes: KubeconfigSettings = KubeconfigSettings()
    run: RunSettings = RunSettings()
    report: ReportSettings = ReportSettings()

    deadline_seconds: Seconds = 1800
    """From the Job's creation. Half an hour: longer than a database's slow start, shorter than a person's patience."""
    grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = 120
    """For what others may still mend: on a fresh cluster a Secret or a role is often a minute late."""
    interval_seconds: Seconds = 2
    """Between two looks."""
    patience_seconds: Seconds = 600
    """How long `auto` waits for Temporal before it passes with a warning: the cure may lie in a later step."""
    clock_skew_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    """How far the clocks of nodes and of the migration may be apart."""
    request_timeout_seconds: Annotated[float, Field(ge=1, le=60)] = 5
    """For each single remote call."""

    @property
    def targets(self) -> dict[str, ApplicationRef]:
        """Return the Applications that the gate may sync or looks at, by the setting that names them."""
        named: dict[str, ApplicationSettings | None] = {
            "migrations.application": self.migrations.application,
            "runtime.application": self.runtime.application,
        } | {f"downstream[{number}]": one for number, one in enumerate(self.downstream)}
        return {name: application.ref for name, application in named.items() if application is not None}

    def policy(self, release: Release | None = None) -> Policy:
        """Return the planner's policy for the release that is set, else for ``release``.

        Raises `SettingsError` when neither is known, or when the table does not know it.
        """
        release = Release.parse(self.temporal.version) if self.temporal.version else release
        by_hand = self.temporal.schema_versions
        estimated_from = None
        if by_hand is not None:
            versions = {store: SchemaVersion.parse(getattr(by_hand, store.value)) for store in Store}
        elif release is None:
            raise SettingsError("temporal.version: required: the server's release that is rolled out, such as 1.29.1")
        else:
            try:
                expected = expectation(release)
            except VersionError as error:
                message = f"temporal.version: {error}"
                raise SettingsError(message) from error
            versions = expected.versions
            estimated_from = expected.listed_as if expected.estimated else None
        return Policy(
            expected={store: versions[store] for store in self.stores.enabled},
            release=release,
            estimated_from=estimated_from,
            on_empty_database=self.on_empty_database,
            reachability=self.reachability,
            attempts=self.migrations.attempts,
            pause=timedelta(seconds=self.migrations.pause_seconds),
            grace=timedelta(seconds=self.grace_seconds),
            patience=timedelta(seconds=self.patience_seconds),
            stable=timedelta(seconds=self.runtime.stable_seconds),
            clock_skew=timedelta(seconds=self.clock_skew_seconds),
        )


def load(file: Path | None) -> Settings:
    """Read the settings from ``file`` (YAML, may be None) and the environment; contact nothing.

    Raises `SettingsError`, with a line for each fault found.
    """
    from_environment = _environment()
    from_file = _read(file) if file else {}
    try:
        settings = Settings.model_validate(_merged(from_file, from_environment))
    except ValidationError as error:
        raise SettingsError(*(_line(fault) for fault in error.errors())) from None  # its text would show the values
    faults = (*_contradictions(settings), *_file_faults(settings))
    if faults:
        raise SettingsError(*faults)
    return settings


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, block by block; where both give a value, ``above`` has its way."""
    merged = dict(below)
    for name, value in above.items():
        under = below.get(name)
        merged[name] = _merged(under, value) if isinstance(value, dict) and isinstance(under, dict) else value
    return merged


def _read(file: Path) -> Mapping[str, Any]:
    """Return what the file says; its faults are told by their place, never by their text, which may hold a secret."""
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"--config {file}: cannot be read: {error.strerror}; give the path of a settings file"
        raise SettingsError(message) from error
    except UnicodeDecodeError as error:
        message = f"--config {file}: is not UTF-8 text (byte {error.start}): save it as UTF-8"
        raise SettingsError(message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"
        message = f"--config {file}: is not YAML at {where}: check indentation, brackets and quotes there"
        raise SettingsError(message) from None
    except (yaml.YAMLError, ValueError):  # a character that YAML does not allow; a date that does not exist
        message = f"--config {file}: is not YAML: it holds a character or a value that YAML does not allow"
        raise SettingsError(message) from None
    if document is None:
        return {}
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        message = f"--config {file}: must hold settings, one `name: value` a line, and holds something else"
        raise SettingsError(message)
    return document


def _password(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        message = f"{file} is not UTF-8 text"
        raise OSError(message) from None


def secrets(settings: Settings) -> frozenset[str]:
    """Return every secret value that the settings lead to now, so that reports can leave them out."""
    values = {os.environ.get("PGPASSWORD", "")}
    for store in settings.stores.enabled:
        try:
            known = settings.stores.of(store).conninfo()
        except OSError:
            continue
        values |= {known.get("password", ""), known.get("sslpassword", "")}
    return frozenset(values - {""})


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from settings.stores.faults()
    yield from _target_contradictions(settings)
    if settings.reopen_gate and settings.gate is None:
        yield "reopenGate needs gate: the Application to reopen"
    if settings.temporal.frontend.address is None:
        if settings.reachability is Reachability.ALWAYS:
            yield "temporal.frontend.address: required by reachability: always: set it"
        if settings.downstream and settings.reachability is not Reachability.NEVER:
            yield "temporal.frontend.address: required by downstream, which is synced only when Temporal answers: set it"
    if settings.grace_seconds >= settings.deadline_seconds:
        yield (
            f"graceSeconds ({settings.grace_seconds:g}) must be less than deadlineSeconds "
            f"({settings.deadline_seconds:g}), or no fault would ever be named by its own exit code"
        )


def _target_contradictions(settings: Settings) -> Iterator[str]:
    targets = settings.targets
    migrations, runtime = targets.get("migrations.application"), targets.get("runtime.application")
    if runtime is not None and runtime == migrations:
        yield (
            f"migrations.application and runtime.application are the same ({runtime}): the schema could never be right "
            "before the servers start; split Temporal's chart into two Applications (docs/install.md)"
        )
    for name, ref in targets.items():
        if settings.gate is not None and ref == settings.gate.ref:
            yield f"{name} is the gate's own Application ({ref}): syncing it from inside its own sync is a deadlock"
        if name.startswith("downstream") and ref in {migrations, runtime}:
            yield f"{name} ({ref}) is the migrations' or the runtime's Application: list only what comes after Temporal"


def _file_faults(settings: Settings) -> Iterator[str]:
    """Yield a line for each file that a setting names and that cannot be used."""
    tls = settings.temporal.frontend.tls or TlsSettings()
    stores = {f"stores.{store}": getattr(settings.stores, store) for store in settings.stores.enabled}
    certificates = {
        "temporal.frontend.tls.caFile": tls.ca_file,
        "temporal.frontend.tls.certFile": tls.cert_file,
        **{f"{name}.sslRootCertFile": store.ssl_root_cert_file for name, store in stores.items()},
        **{f"{name}.sslCertFile": store.ssl_cert_file for name, store in stores.items()},
    }
    others = {
        "temporal.frontend.tls.keyFile": tls.key_file,
        **{f"{name}.passwordFile": store.password_file for name, store in stores.items()},
        **{f"{name}.sslKeyFile": store.ssl_key_file for name, store in stores.items()},
        "argocd.kubeconfigFile": settings.argocd.kubeconfig_file,
        "kubernetes.kubeconfigFile": settings.kubernetes.kubeconfig_file,
    }
    for name, path in (certificates | others).items():
        if path is None:
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            yield f"{name}: cannot read {path}: {error.strerror}; is the Secret mounted there?"
            continue
        if name in certificates:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
            except ssl.SSLError:
                yield f"{name}: {path} holds no certificate in PEM form: give a file that begins -----BEGIN CERTIFICATE"
        if name.endswith(".passwordFile"):
            try:
                content.decode()
            except UnicodeDecodeError:
                yield f"{name}: {path} is not UTF-8 text: store the password itself, not encoded or encrypted"


_WORDS = {
    "missing": "required: set it",
    "model_type": "must be a block of settings, each with its name",
    "dict_type": "must be a block of settings, each with its name",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "string_type": "must be text: put it in quotes",
    "path_type": "must be the path of a file, as text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
}
"""pydantic's kinds of fault in the words of a person who writes YAML."""


def _line(fault: Any) -> str:  # noqa: ANN401 -- pydantic's ErrorDetails, whose parts are Any themselves
    """Return one line for a fault that pydantic found: the setting's path in camelCase, what is wrong, never the value."""
    parts: tuple[str | int, ...] = fault["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")
    if fault["type"] == "extra_forbidden":
        return f"{path}: unknown setting{_suggestion(parts)}"
    said = str(fault["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    what = _WORDS.get(fault["type"], said)
    return what if what.startswith(path) else f"{path}: {what}"


def _suggestion(parts: tuple[str | int, ...]) -> str:
    """Return what may have been meant by a setting that is unknown, or where to look."""
    *block, name = (part for part in parts if isinstance(part, str))
    siblings = [path[-1] for path, _ in _paths(Settings) if list(path[:-1]) == block]
    close = difflib.get_close_matches(name, siblings, n=1)
    return f": did you mean {close[0]}?" if close else ": check its spelling and its place"


def _environment() -> dict[str, Any]:
    """Return what the TRH_ variables say, as the file would say it.

    Raises `SettingsError` for those that name no setting, name one twice, or are no JSON where they must be: a part of
    a block wins over the block's own variable.
    """
    known, faults = _variables(), []
    settings: dict[tuple[str, ...], str] = {}
    found: dict[str, Any] = {}
    for name in sorted(name for name in os.environ if name.upper().startswith(ENVIRONMENT_PREFIX)):
        if name.upper() not in known:
            close = difflib.get_close_matches(name.upper(), known, n=1)
            what = f"did you mean {close[0]}?" if close else "check its spelling; a path's parts are joined by __"
            faults.append(f"{name}: unknown environment variable: {what}")
            continue
        path, kind = known[name.upper()]
        if path in settings:
            faults.append(f"{settings[path]} and {name} are the same setting: remove one")
        settings[path] = name
        value: Any = None
        with suppress(ValueError):
            value = os.environ[name] if kind is None else json.loads(os.environ[name])
        if kind is not None and not isinstance(value, kind):
            example = '["one", "two"]' if kind is list else '{"name": "value"}'
            faults.append(
                f"{name}: must be {'a list' if kind is list else 'a block of settings'} in JSON, as {example}"
            )
        for part in reversed(path):
            value = {part: value}
        found = _merged(found, value)
    if faults:
        raise SettingsError(*faults)
    return found


def _variables() -> dict[str, tuple[tuple[str, ...], type | None]]:
    """Return each environment variable's name, in both spellings, with the path and the kind of its setting."""
    paths = list(_paths(Settings))
    lists = {path for path, kind in paths if kind is list}
    return {
        ENVIRONMENT_PREFIX + "__".join(spelling(part) for part in path).upper(): (path, kind)
        for path, kind in paths
        if path[:-1] not in lists
        for spelling in (str, to_snake)
    }


def _paths(model: type[BaseModel], block: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], type | None]]:
    """Yield the path of each setting, in camelCase; with dict for a block, list for a list, None for a plain value."""
    for name, field in model.model_fields.items():
        blocks = [
            one
            for one in (field.annotation, *get_args(field.annotation))
            if isinstance(one, type) and issubclass(one, BaseModel)
        ]
        is_list = get_origin(field.annotation) in {list, tuple}
        path = (*block, to_camel(name))
        yield path, list if is_list else dict if blocks else None
        for one in blocks:
            yield from _paths(one, path)
