"""Every setting with its unit, its default and the reason for it.

How the settings are found and their faults told is in ``loading``.

A YAML key is written as here but in camelCase (``deadlineSeconds``); an environment variable is ``TRH_`` and the path
in capitals, its parts joined by two underscores (``TRH_STORES__DEFAULT__DSN``). The environment wins over the file.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hook.decision.policy import OnEmptyDatabase, Policy, Reachability
from hook.observation.applications import ApplicationRef
from hook.observation.versions import Release, SchemaVersion, Store, VersionError, expectation
from hook.settings.argocd import ArgoCdSettings, KubeconfigSettings
from hook.settings.blocks import Block, authorization
from hook.settings.stores import StoresSettings

Seconds = Annotated[float, Field(gt=0, le=86_400)]

_LABEL_NAME = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN_PART = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_KEY = rf"({_DOMAIN_PART}(\.{_DOMAIN_PART})*/)?{_LABEL_NAME}"
_LABEL_VALUES = rf"\( *({_LABEL_NAME})?( *, *({_LABEL_NAME})?)* *\)"
_REQUIREMENT = f" *(! *{_LABEL_KEY}|{_LABEL_KEY}( *(==?|!=) *({_LABEL_NAME})?| +(not)?in *{_LABEL_VALUES})?) *"
LABEL_SELECTOR = f"^{_REQUIREMENT}(,{_REQUIREMENT})*$"
"""What the API server takes for a label selector (``labels.Parse`` of apimachinery), without ``<`` and ``>``. The chart has
the same, so it is written for Python and for Go."""


class SettingsError(Exception):
    """Settings that cannot be used: one line a fault, each naming its setting and saying what to do."""

    def __init__(self, *faults: str) -> None:
        """Carry the lines."""
        super().__init__("; ".join(faults))
        self.faults = faults


class ApplicationSettings(Block):
    """An Argo CD Application."""

    name: Annotated[str, Field(min_length=1)]
    """The Application's name."""
    namespace: Annotated[str, Field(min_length=1)] = "argocd"
    """Its namespace: Argo CD's own, unless you use Applications in any namespace."""
    project: Annotated[str, Field(min_length=1)] | None = None
    """Its AppProject, which the Argo CD API needs. Default: `argocd.server.project`."""

    @field_validator("name")
    @classmethod
    def _is_a_name_alone(cls, value: str) -> str:
        if "/" in value:
            namespace, _, name = value.partition("/")
            message = f"must be the name alone: write {{name: {name}, namespace: {namespace}}}"
            raise ValueError(message)
        return value

    @property
    def ref(self) -> ApplicationRef:
        """Return it as the model names it."""
        return ApplicationRef(self.namespace, self.name)


class TlsSettings(Block):
    """TLS to the frontend. Setting this block enables TLS."""

    ca_file: Path | None = None
    """The CA that signed the frontend's certificate. Default: the public CAs that gRPC includes, not those of the
    system or of SSL_CERT_FILE."""
    cert_file: Path | None = None
    """The client certificate."""
    key_file: Path | None = None
    """The key of the client certificate."""
    server_name: str | None = None
    """The name in the certificate, if it is not the host of the address."""

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile go together: give both or neither")
        return self


class FrontendSettings(Block):
    """Temporal's frontend, which the gate calls by gRPC."""

    address: str | None = None
    """``host:port``. The Service of Temporal's chart is ``<fullname>-frontend.<namespace>:7233``."""
    tls: TlsSettings | None = None
    token_file: Path | None = None
    """A token for Temporal's authorizer or a proxy, sent in the header ``authorization``. The gate reads the file
    again each time it looks. If the file has one word, the gate puts ``Bearer`` before it. Otherwise, it sends the
    text unchanged (``Basic dXNlcjpwYXNz``)."""
    allow_plain_text_token: bool = False
    """Allow sending the token without TLS. Anybody on the network path can then read it, unless a mesh encrypts the
    connection."""

    def authorization(self) -> str | None:
        """Return the header, from the file as it is now; raise OSError when it cannot be read or is no header's text."""
        return None if self.token_file is None else authorization(self.token_file)

    @model_validator(mode="after")
    def _token_is_encrypted(self) -> Self:
        if self.token_file is not None and self.tls is None and not self.allow_plain_text_token:
            message = (
                "tokenFile would be sent in plain text: set tls, or allowPlainTextToken: true where a mesh encrypts the "
                "connection"
            )
            raise ValueError(message)
        return self

    @field_validator("address")
    @classmethod
    def _is_host_and_port(cls, value: str | None) -> str | None:
        if "," in (value or ""):
            message = "must be one host:port: give the Service's, which stands for all frontends"
            raise ValueError(message)
        found = re.fullmatch(r"([\w.-]+|\[[\da-fA-F:.]+\]):(\d{1,5})", value or "")
        if value is not None and (found is None or not 1 <= int(found[2]) <= 65_535):  # noqa: PLR2004 -- TCP's greatest
            message = "must be host:port, such as temporal-frontend.temporal:7233, without http:// and without a path"
            raise ValueError(message)
        return value


class SchemaVersionsSettings(Block):
    """The expected schema versions, for a release that the gate does not know."""

    default: str
    """The default store's version."""
    visibility: str | None = None
    """The visibility store's version. Required unless visibility is not in PostgreSQL."""

    @field_validator("default", "visibility")
    @classmethod
    def _is_a_version(cls, value: str | None) -> str | None:
        if value is not None:
            SchemaVersion.parse(value)
        return value


class TemporalSettings(Block):
    """The release of Temporal that is rolled out, and its frontend."""

    version: str | None = None
    """The release of the server (1.29.1), not of its chart. Required for `run`, because the running image is the old
    one during an upgrade."""
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


class CommandSettings(Block):
    """A migration command, for CI, a laptop and the demo."""

    argv: Annotated[list[str], Field(min_length=1)]
    """The command and its arguments."""
    state_directory: Path
    """The directory for the command's record and log. Two gates on one machine share it, so that they do not migrate
    twice."""


class MigrationsSettings(Block):
    """What migrates the schema, and how often a run requests it."""

    strategy: Literal["argocd", "command", "none"] = "argocd"
    """`argocd` syncs `application`; `command` runs `command`. `none` checks no schema and needs no `stores`: only for a
    guard with `reachability: always`, before something that needs only Temporal's frontend."""
    application: ApplicationSettings | None = None
    command: CommandSettings | None = None
    attempts: Annotated[int, Field(ge=0, le=20)] = 3
    """How many migrations a run requests at most: one for the first error, one for a database that started in the
    meantime, and one more. With 0, the run waits for the schemas and requests none. The same number, at least 1, limits the
    syncs of each Application in ``downstream``."""
    pause_seconds: Seconds = 10
    """The pause after a failed attempt. It doubles each time, and starts at 10 s as a Job's own back-off does."""
    before_servers: bool = False
    """``application`` also has Temporal's servers, and its sync finishes the schema Job before it creates them
    (Temporal's chart 1.x: a PreSync hook). Required if it is the same as ``runtime.application``."""
    jobs: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The names of the schema Jobs. Default: the gate recognizes them."""

    @model_validator(mode="after")
    def _has_its_block(self) -> Self:
        if self.strategy == "none":
            if self.application is not None or self.command is not None:
                raise ValueError("migrations.strategy: none asks nobody to migrate: remove application and command")
            return self
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


class RuntimeSettings(Block):
    """Temporal's servers: their Application and their pods."""

    application: ApplicationSettings | None = None
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The namespace of the pods. Without it, the gate neither looks at pods nor restarts them."""
    selector: Annotated[str, Field(min_length=1)] = "app.kubernetes.io/name=temporal"
    """The labels of the pods and Deployments, as Temporal's chart sets them. The gate adds the component label."""
    stable_seconds: Seconds = 3
    """How long a pod without a readiness probe must run before the gate counts it as stable. Temporal exits within
    0.2 s if its schema is missing."""

    @field_validator("selector")
    @classmethod
    def _is_a_label_selector(cls, value: str) -> str:
        if not re.fullmatch(LABEL_SELECTOR, value):
            message = (
                "is no label selector of Kubernetes: give labels such as app.kubernetes.io/name=temporal,team=data"
            )
            raise ValueError(message)
        return value


class RunSettings(Block):
    """The Job that this run belongs to, from the downward API. Outside a Job, the run gets a random id."""

    id: str | None = None
    """The Job's uid (label ``batch.kubernetes.io/controller-uid``)."""
    job: str | None = None
    """The Job's name. The gate reads the Job once, for its creation time and for the Application whose sync created
    it."""
    namespace: str | None = None
    """The Job's namespace."""

    @model_validator(mode="after")
    def _job_is_whole(self) -> Self:
        if self.job is not None and (self.id is None or self.namespace is None):
            raise ValueError("job needs id and namespace beside it (the chart sets all three by the downward API)")
        return self


class ReportSettings(Block):
    """How a run reports what it does."""

    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable lines on a terminal, JSON elsewhere."""
    events: bool | Literal["auto"] = "auto"
    """Whether the gate writes Events to the Applications. `auto`: yes, except with `argocd.server`, whose token has
    no such permission. `true` then needs `create` on events in their namespace, in the cluster of the pods."""
    termination_message_file: Path = Path("/dev/termination-log")
    """The file for the termination message. The default is the default of Kubernetes (terminationMessagePath)."""


class Settings(Block):
    """All settings."""

    temporal: TemporalSettings = TemporalSettings()
    stores: StoresSettings
    migrations: MigrationsSettings
    runtime: RuntimeSettings = RuntimeSettings()
    downstream: tuple[ApplicationSettings, ...] = ()
    """Applications after Temporal, such as the namespace bootstrap, in their order. Not with `reachability: never`,
    which requires none of them."""
    reachability: Reachability = Reachability.AUTO
    """Whether Temporal must answer before the gate passes. `auto`: only if its step was already reached, for up to
    `patienceSeconds`. `always`: yes. `never`: only the schemas count."""
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    """What to do if a database has no schema: `migrate`, or `fail` if a restore may be in progress."""
    gate: ApplicationSettings | None = None
    """The gate's own Application. It gets the Events. Only a guard may have it as a target."""
    guard: bool = False
    """This run is part of the sync of its own Application, in a wave before everything else, and guards it. That
    Application may then be the runtime or downstream: the guard reads it and never syncs it. A guard requests only
    migrations and restarts no pod. It ends if Git has a newer commit for its Application, because Argo CD cannot sync
    that commit while the guard waits."""
    reopen_gate: bool = False
    """Sync the gate's own Application if it failed and everything is right now. For a watchdog only, never for the
    gate."""
    argocd: ArgoCdSettings = ArgoCdSettings()
    """Where Argo CD's Applications are, if they are in another cluster than the pods, or the Argo CD API."""
    kubernetes: KubeconfigSettings = KubeconfigSettings()
    run: RunSettings = RunSettings()
    report: ReportSettings = ReportSettings()

    deadline_seconds: Seconds = 1800
    """How long a run may take, from the creation of its Job. The default is longer than a slow start of a database,
    and shorter than a person would wait."""
    migration_deadline_seconds: Seconds = 21_600
    """How long a run may take while a migration makes progress, from the creation of the run's Job. It then continues
    after `deadlineSeconds`. A large visibility table can need an hour."""
    grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = 120
    """How long to retry an error that somebody else may still repair. In a new cluster, a Secret or a role is often a
    minute late."""
    interval_seconds: Seconds = 2
    """The longest pause between two looks."""
    patience_seconds: Seconds = 600
    """How long `auto` waits for Temporal before it passes with a warning, because the fix may be in a later step. An
    earlier deadline ends the wait, too."""
    clock_skew_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    """How far the clocks of the nodes and of the migration may differ."""
    request_timeout_seconds: Annotated[float, Field(ge=1, le=60)] = 5
    """The timeout of each remote call. The lookup of a database's host has the same time before it."""

    @model_validator(mode="before")
    @classmethod
    def _needs_no_store(cls, given: Any) -> Any:  # noqa: ANN401 -- what a file says may be anything
        migrations = given.get("migrations") if isinstance(given, dict) else None
        return (
            {"stores": {}, **given} if isinstance(migrations, dict) and migrations.get("strategy") == "none" else given
        )

    @property
    def gated(self) -> tuple[Store, ...]:
        """Return the stores whose schemas have to be right; none to a guard that waits for the frontend alone."""
        return () if self.migrations.strategy == "none" else self.stores.enabled

    @property
    def reads_applications(self) -> bool:
        """Tell whether any Application is looked at; a guard looks at its own, for a newer commit."""
        return bool(self.targets) or (self.guard and self.gate is not None)

    @property
    def targets(self) -> dict[str, ApplicationRef]:
        """Return the Applications that the gate may sync or looks at, by the setting that names them."""
        named: dict[str, ApplicationSettings | None] = {
            "migrations.application": self.migrations.application,
            "runtime.application": self.runtime.application,
        } | {f"downstream[{number}]": one for number, one in enumerate(self.downstream)}
        return {name: application.ref for name, application in named.items() if application is not None}

    @property
    def posts_events(self) -> bool:
        """Tell whether Events are posted."""
        events = self.argocd.server is None if self.report.events == "auto" else self.report.events
        return self.reads_applications and events

    @property
    def applications_server(self) -> KubeconfigSettings:
        """Return the API server that has Argo CD's Applications: the pods' own, unless a kubeconfig names another."""
        return self.argocd if self.argocd.kubeconfig_file or self.argocd.context else self.kubernetes

    @property
    def projects(self) -> dict[ApplicationRef, str]:
        """Return the AppProjects of those Applications that name one of their own."""
        named = (self.migrations.application, self.runtime.application, *self.downstream, self.gate)
        return {one.ref: one.project for one in named if one is not None and one.project is not None}

    @property
    def looks_at_temporal(self) -> bool:
        """Whether Temporal's servers matter: not to a guard before them, through which what mends them has to get."""
        return not self.guard or self.reachability is Reachability.ALWAYS

    def policy_as_far_as_known(self, release: Release | None = None) -> Policy:
        """Return the policy for the release that is set, else for ``release``; expecting nothing where none is known."""
        try:
            return self.policy(release)
        except SettingsError:
            return self._policy({}, None)

    def policy(self, release: Release | None = None) -> Policy:
        """Return the planner's policy for the release that is set, else for ``release``.

        Raises `SettingsError` when neither is known, or when the table does not know it.
        """
        release = Release.parse(self.temporal.version) if self.temporal.version else release
        by_hand = self.temporal.schema_versions
        estimated_from = None
        if not self.gated:
            return self._policy({}, release)
        if by_hand is not None:
            versions = {store: SchemaVersion.parse(getattr(by_hand, store.value)) for store in self.gated}
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
        return self._policy({store: versions[store] for store in self.gated}, release, estimated_from)

    def _policy(
        self, expected: dict[Store, SchemaVersion], release: Release | None, estimated_from: Release | None = None
    ) -> Policy:
        return Policy(
            expected=expected,
            release=release,
            estimated_from=estimated_from,
            on_empty_database=self.on_empty_database,
            reachability=self.reachability,
            attempts=max(1, self.migrations.attempts),
            may_migrate=self.migrations.attempts > 0,
            pause=timedelta(seconds=self.migrations.pause_seconds),
            grace=timedelta(seconds=self.grace_seconds),
            patience=timedelta(seconds=self.patience_seconds),
            stable=timedelta(seconds=self.runtime.stable_seconds),
            clock_skew=timedelta(seconds=self.clock_skew_seconds),
            schema_jobs=self.migrations.jobs,
            is_guard=self.guard,
        )
