"""Builds the gate's world from the settings: which adapter sees and does what. The one place that knows them all.

Adapters are imported only where the settings ask for them: their libraries are most of a quick verdict's time.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from hook.adapters import postgres
from hook.decision.restarts import COMPONENTS
from hook.gate import World, seen_or_unknown
from hook.observation.migrations import NO_MIGRATION
from hook.observation.migrations import of_application as migration_of
from hook.observation.observation import Run
from hook.observation.redaction import Secrets
from hook.observation.versions import Store
from hook.observation.workloads import JobRef, JobsSeen
from hook.report.listeners import EventsListener, Log
from hook.report.teller import Teller
from hook.settings import loading
from hook.settings.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hook.adapters.api import Api
    from hook.adapters.argocd import Applications
    from hook.adapters.argocd_server import ServerWay
    from hook.adapters.kubernetes import Servers
    from hook.adapters.pods import LastWords
    from hook.adapters.temporal import FrontendClient
    from hook.decision.steps import Migrate
    from hook.observation.applications import Application, ApplicationRef
    from hook.observation.migrations import Migration
    from hook.observation.versions import SchemaVersion
    from hook.settings.argocd import KubeconfigSettings


class Composition:
    """The parts of one run or check. Raises `FindingError` where an API server is asked for without usable credentials."""

    def __init__(self, settings: Settings, secrets: Secrets | None = None) -> None:
        """Build nothing yet. What an adapter finds to be secret is added to ``secrets``."""
        self._settings = settings
        self._secrets = secrets or Secrets(partial(loading.secrets, settings))
        self._stack = ExitStack()
        self._apis: dict[KubeconfigSettings, Api] = {}
        self._words: LastWords | None = None
        self.run_id = settings.run.id or str(uuid.uuid4())
        """A run's operations carry it: the Job's uid, or outside of a Job one made up."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close every connection."""
        self._stack.close()

    def own_run(self) -> Callable[[], Run]:
        """Return how to learn since when this run counts and which Application's sync it belongs to."""
        own = self._settings.run
        if own.job is None or own.namespace is None:
            run = Run(self.run_id, datetime.now(UTC))
            return lambda: run
        from hook.adapters.kubernetes import OwnJob  # noqa: PLC0415

        return OwnJob(self._api(self._settings.kubernetes), JobRef(own.namespace, own.job), self.run_id).look

    def world(self, run: Callable[[], Run]) -> World:
        """Return the world as ``run`` sees it."""
        settings = self._settings
        applications = self._applications()
        servers, frontend = (self._servers(), self._frontend()) if settings.looks_at_temporal else (None, None)
        migration, migrate = self._migrations(applications)
        runtime = settings.runtime.application
        return World(
            run=run,
            migration=migration,
            migrate=migrate,
            stores={
                store: partial(
                    postgres.read,
                    store,
                    settings.stores.of(store).conninfo,
                    settings.request_timeout_seconds,
                    self._expected().get(store),
                )
                for store in settings.gated
            },
            application=partial(applications.read, runtime.ref)
            if applications and runtime and settings.looks_at_temporal
            else None,
            runtime=servers.look if servers else None,
            frontend=frontend.look if frontend else None,
            downstream={
                one.ref: partial(applications.read, one.ref)
                for one in settings.downstream
                if applications and not settings.guard
            },
            gate=partial(applications.read, settings.gate.ref)
            if applications and settings.gate and settings.reopen_gate
            else None,
            guarded=partial(applications.read, settings.gate.ref)
            if applications and settings.gate and settings.guard
            else None,
            jobs=partial(self._jobs_of, with_pods_of_complete=True) if applications else lambda _: {},
            members=partial(
                postgres.members, settings.stores.of(Store.DEFAULT).conninfo, settings.request_timeout_seconds
            )
            if settings.gated
            else tuple,
            cluster_time=lambda: self._cluster_time,
            gate_ref=settings.gate.ref if settings.gate else None,
            delete_pod=servers.delete if servers else lambda _: False,
            sync=applications.sync if applications else lambda *_: False,
            refresh=applications.refresh if applications else lambda _: False,
        )

    def teller(self) -> Teller:
        """Return who tells the log and the Events."""
        settings = self._settings
        teller = Teller([Log(settings.report.format)], self._secrets, settings.gate.ref if settings.gate else None)
        if settings.posts_events:
            teller.add(EventsListener(self._post(), teller))
        return teller

    def _api(self, server: KubeconfigSettings) -> Api:
        """Return the connection to an API server; the same one for the same server."""
        from hook.adapters.api import Api  # noqa: PLC0415

        if server not in self._apis:
            seconds = self._settings.request_timeout_seconds
            api = Api.connect(server.kubeconfig_file, server.context, seconds, self._secrets.learn)
            self._apis[server] = self._stack.enter_context(closing(api))
        return self._apis[server]

    @property
    def _argocd(self) -> Api:
        """Return the API server that has Argo CD's Applications."""
        return self._api(self._settings.applications_server)

    def _applications(self) -> Applications | None:
        if not self._settings.reads_applications:
            return None
        from hook.adapters.argocd import Applications, KubernetesWay  # noqa: PLC0415

        return Applications(self._server_way or KubernetesWay(self._argocd), self.run_id)

    @cached_property
    def _server_way(self) -> ServerWay | None:
        """Return Argo CD's own API, where the settings choose it."""
        server = self._settings.argocd.server
        if server is None:
            return None
        from hook.adapters.argocd_server import ServerWay  # noqa: PLC0415

        projects = self._settings.projects
        way = ServerWay.connect(
            server.address,
            server.authorization,
            lambda ref: projects.get(ref, server.project),
            self._settings.request_timeout_seconds,
            ca_file=server.ca_file,
            server_name=server.server_name,
            plain_text=server.plain_text,
        )
        return self._stack.enter_context(closing(way))

    def _migrations(
        self, applications: Applications | None
    ) -> tuple[Callable[[], Migration], Callable[[Migrate], bool]]:
        """Return how the owner's migration is seen and started."""
        settings = self._settings.migrations
        if settings.strategy == "none":

            def look_at_none() -> Migration:
                self._begin_turn()
                return NO_MIGRATION

            return look_at_none, lambda _: False
        if settings.application is not None and applications is not None:
            ref = settings.application.ref

            def look() -> Migration:
                self._begin_turn()
                application = applications.read(ref)
                return migration_of(
                    application,
                    self._jobs_of(application),
                    self._cluster_time or datetime.now(UTC),
                    holds_servers=settings.before_servers,
                    names=settings.jobs,
                )

            def migrate(act: Migrate) -> bool:
                application = act.migration.application
                return application is not None and applications.sync(application, act.attempt, act.jobs)

            return look, migrate
        assert settings.command is not None  # noqa: S101 -- the settings have either
        from hook.adapters.command import MigrationCommand  # noqa: PLC0415

        command = MigrationCommand(settings.command.argv, settings.command.state_directory, self.run_id)

        def look_at_command() -> Migration:
            self._begin_turn()
            return command.look()

        return look_at_command, lambda act: command.start(act.attempt)

    @property
    def _cluster_time(self) -> datetime | None:
        """Return the time of the API server that has the pods, None where it has not answered."""
        api = self._apis.get(self._settings.kubernetes)
        return api.server_time if api else None

    def _begin_turn(self) -> None:
        """The migration is what a turn looks at first: one more log may be read."""
        if self._words is not None:
            self._words.begin_turn()

    def _last_words(self) -> LastWords:
        from hook.adapters.pods import LastWords  # noqa: PLC0415

        if self._words is None:
            self._words = LastWords(self._api(self._settings.kubernetes), with_events=True)
        return self._words

    def _servers(self) -> Servers | None:
        runtime = self._settings.runtime
        if runtime.namespace is None:
            return None
        from hook.adapters.kubernetes import Servers  # noqa: PLC0415

        api = self._api(self._settings.kubernetes)
        return Servers(api, runtime.namespace, runtime.selector, COMPONENTS, self._last_words())

    def _jobs_of(self, application: Application, *, with_pods_of_complete: bool = False) -> JobsSeen:
        """Return the Jobs of an Application as they are now; what may not be seen as `Unknown`."""
        from hook.adapters.kubernetes import JobReader  # noqa: PLC0415

        reader = JobReader(self._api(self._settings.kubernetes), self._last_words())
        return {
            ref: seen_or_unknown(partial(reader.look, ref, with_pods_of_complete=with_pods_of_complete))
            for ref in application.all_jobs
        }

    def _frontend(self) -> FrontendClient | None:
        frontend = self._settings.temporal.frontend
        if frontend.address is None:
            return None
        from hook.adapters.temporal import FrontendClient, tls_credentials  # noqa: PLC0415

        tls = frontend.tls
        return FrontendClient(
            frontend.address,
            self._settings.request_timeout_seconds,
            lambda: tls_credentials(tls.ca_file, tls.cert_file, tls.key_file) if tls else None,
            tls.server_name if tls else None,
            frontend.authorization,
        )

    def _expected(self) -> Mapping[Store, SchemaVersion]:
        """Return what the schemas are to become, nothing where only the live release can tell."""
        try:
            return self._settings.policy().expected
        except SettingsError:
            return {}

    def _post(self) -> Callable[[ApplicationRef, str, str, str], None]:
        """Return how an Event is posted on an Application; its uid is read once, since readers select by it."""
        from hook.adapters.kubernetes import Events  # noqa: PLC0415

        applications = self._applications() if self._server_way else None
        uid_of = (lambda ref: applications.read(ref).uid) if applications else None
        return Events(self._argocd, self.run_id, uid_of).post
