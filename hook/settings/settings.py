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
    """An Argo CD Application; Argo CD's own namespace unless Applications in any namespace are used."""

    name: Annotated[str, Field(min_length=1)]
    namespace: Annotated[str, Field(min_length=1)] = "argocd"
    project: Annotated[str, Field(min_length=1)] | None = None
    """Its AppProject, which Argo CD's own API wants to know. None: `argocd.server.project`."""

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
    """TLS towards the frontend; its presence switches TLS on."""

    ca_file: Path | None = None
    """None: the public authorities that gRPC brings, neither the system's nor SSL_CERT_FILE's; name a private CA."""
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None
    """The name that the certificate carries, where it is not the address's host."""

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile go together: give both or neither")
        return self


class FrontendSettings(Block):
    """Temporal's frontend, asked by gRPC."""

    address: str | None = None
    """``host:port``; the chart's Service is ``<fullname>-frontend.<namespace>:7233``."""
    tls: TlsSettings | None = None
    token_file: Path | None = None
    """A token for Temporal's authorizer or a proxy, sent as the header ``authorization`` and read anew at each look. Where
    the file holds one word, ``Bearer`` is put before it; else it is sent as it is (``Basic dXNlcjpwYXNz``)."""
    allow_plain_text_token: bool = False
    """Send the token without TLS. Anybody on its way can read it then, unless a mesh encrypts the connection: so it has to
    be said."""

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
    """The expected versions by hand, for a release that the table does not know."""

    default: str
    visibility: str | None = None
    """Required unless visibility is not in PostgreSQL."""

    @field_validator("default", "visibility")
    @classmethod
    def _is_a_version(cls, value: str | None) -> str | None:
        if value is not None:
            SchemaVersion.parse(value)
        return value


class TemporalSettings(Block):
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


class CommandSettings(Block):
    """The owner's own migration command, for CI, a laptop and the demo."""

    argv: Annotated[list[str], Field(min_length=1)]
    state_directory: Path
    """Where the command's record and log are kept; two gates of one machine share it, so that neither doubles the other."""


class MigrationsSettings(Block):
    """Who owns the schema, and how often a run asks it to migrate."""

    strategy: Literal["argocd", "command", "none"] = "argocd"
    """none: no schema is looked at, and `stores` is left out. Only for a guard with `reachability: always`, before something
    that needs Temporal's frontend alone."""
    application: ApplicationSettings | None = None
    command: CommandSettings | None = None
    attempts: Annotated[int, Field(ge=0, le=20)] = 3
    """Three: one for the fault itself, one for a database that came up meanwhile, one more; then a person should look.
    None (0): the run waits for the schemas and asks nobody."""
    pause_seconds: Seconds = 10
    """After a failed attempt; doubles each time. Ten, as a Job's own back-off begins."""
    before_servers: bool = False
    """``application`` holds Temporal's servers, too, and its sync ends the schema Job before it makes them (Temporal's chart
    1.x: a PreSync hook). Required where it is ``runtime.application``."""
    jobs: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """The schema Jobs' names. Empty: the gate recognises them by itself."""

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
    """Temporal's servers: their Application, and where their pods are."""

    application: ApplicationSettings | None = None
    namespace: Annotated[str, Field(min_length=1)] | None = None
    """The pods' namespace. None: pods are neither looked at nor restarted."""
    selector: Annotated[str, Field(min_length=1)] = "app.kubernetes.io/name=temporal"
    """Labels of the pods and Deployments, as Temporal's chart sets them; the component label is added to it."""
    stable_seconds: Seconds = 3
    """A pod without readiness probe is trusted after it ran so long: Temporal without a schema exits within 0.2 s
    (seen)."""

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


class ReportSettings(Block):
    """Where a run tells what it does."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto: readable lines on a terminal, JSON elsewhere."""
    events: bool | Literal["auto"] = "auto"
    """Whether what the gate does is told by Events on the Applications. auto: yes, but not with `argocd.server`, whose token
    has no such right: true then needs `create` on events in their namespace, in the cluster that has the pods."""
    termination_message_file: Path = Path("/dev/termination-log")
    """Kubernetes' own default (terminationMessagePath)."""


class Settings(Block):
    """All settings."""

    temporal: TemporalSettings = TemporalSettings()
    stores: StoresSettings
    migrations: MigrationsSettings
    runtime: RuntimeSettings = RuntimeSettings()
    downstream: tuple[ApplicationSettings, ...] = ()
    """Applications after Temporal, such as the namespace bootstrap, in their order; not with `reachability: never`, which
    asks for none of them."""
    reachability: Reachability = Reachability.AUTO
    on_empty_database: OnEmptyDatabase = OnEmptyDatabase.MIGRATE
    gate: ApplicationSettings | None = None
    """The gate's own Application: it gets the Events, and is refused as a target, except by a guard."""
    guard: bool = False
    """The run is part of its own Application's sync and guards it, in a wave before everything else of it. It may be the
    runtime or downstream then: it is read and never synced. A guard acts on nothing but the migrations, restarts no pod, and
    ends where git has a newer commit for its Application, which could not be synced while it waits."""
    reopen_gate: bool = False
    """Sync the gate's own Application where it failed and all is right now: for a watchdog, never for the gate itself."""
    argocd: ArgoCdSettings = ArgoCdSettings()
    """Where Argo CD's Applications are, if not where the pods are; or Argo CD's own API."""
    kubernetes: KubeconfigSettings = KubeconfigSettings()
    run: RunSettings = RunSettings()
    report: ReportSettings = ReportSettings()

    deadline_seconds: Seconds = 1800
    """From the Job's creation. Half an hour: longer than a database's slow start, shorter than a person's patience."""
    migration_deadline_seconds: Seconds = 21_600
    """From the Job's creation, for a migration that verifiably works: it is waited for beyond `deadlineSeconds`. Six hours:
    one is common for a large visibility table."""
    grace_seconds: Annotated[float, Field(ge=0, le=86_400)] = 120
    """For what others may still mend: on a fresh cluster a Secret or a role is often a minute late."""
    interval_seconds: Seconds = 2
    """Between two looks."""
    patience_seconds: Seconds = 600
    """How long `auto` waits for Temporal before it passes with a warning: the cure may lie in a later step. A deadline
    that comes before ends it, too."""
    clock_skew_seconds: Annotated[float, Field(ge=0, le=3600)] = 5
    """How far the clocks of nodes and of the migration may be apart."""
    request_timeout_seconds: Annotated[float, Field(ge=1, le=60)] = 5
    """For each single remote call."""

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
