"""One audit from its options to its end: who is who, where the facts come from, what is printed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hook.audit import telling, verdict
from hook.audit.sources import files, live
from hook.audit.sources.manifests import parse_version
from hook.audit.sources.naming import Name, Names, NamesError
from hook.decision.steps import Outcome
from hook.observation.applications import ApplicationRef
from hook.observation.findings import Finding
from hook.settings.argocd import KubeconfigSettings
from hook.settings.settings import SettingsError

if TYPE_CHECKING:
    from hook.audit.rollout import Seen
    from hook.observation.redaction import Secrets
    from hook.settings.settings import ApplicationSettings, Settings

_TIMEOUT_SECONDS = 5.0
"""For each request where no settings say otherwise; as `requestTimeoutSeconds`."""


@dataclass(frozen=True)
class Question:
    """What was asked for, as it was written on the command line."""

    application_set: str | None
    files: tuple[str, ...]
    gate: str | None
    migrations: str | None
    runtime: str | None
    downstream: tuple[str, ...]
    version: str | None
    output: str


def answer(question: Question, settings: Settings | None, secrets: Secrets) -> Outcome:
    """Carry an audit out and print what it came to. Raises `SettingsError` and `FindingError`."""
    try:
        seen = _look(question, settings, secrets)
    except (NamesError, files.FileError) as error:
        raise SettingsError(str(error)) from None
    judged = verdict.judge(seen)
    clean = secrets.cleaner()
    if question.output == "json":
        print(telling.as_json(judged, seen.argocd, clean))  # noqa: T201 -- the answer
    else:
        telling.print_lines(judged, seen.argocd, clean)
    failing = ", ".join(dict.fromkeys(str(one.hold) for one in judged.fails))
    return Outcome(Finding(telling.reason_of(judged), "the rollout", failing))


def _look(question: Question, settings: Settings | None, secrets: Secrets) -> Seen:
    names = _names(question, settings)
    version = parse_version(question.version) if question.version else None
    if question.version and version is None:
        message = f"--argocd-version {question.version}: must be a version such as 3.6.1"
        raise NamesError(message)
    if question.application_set is None:
        return files.read(question.files, names, version)
    named = Name.parse("--applicationset", question.application_set)
    from hook.adapters.api import Api  # noqa: PLC0415 -- files need no client library

    server = settings.applications_server if settings is not None else KubeconfigSettings()
    timeout = settings.request_timeout_seconds if settings is not None else _TIMEOUT_SECONDS
    with closing(Api.connect(server.kubeconfig_file, server.context, timeout, secrets.learn)) as api:
        return live.read(api, ApplicationRef(named.namespace or "argocd", named.name), names, version)


def _names(question: Question, settings: Settings | None) -> Names:
    """Return who is who by the options, else by the gate's settings."""

    def named(option: str, given: str | None, setting: ApplicationSettings | None) -> Name | None:
        if given is not None:
            return Name.parse(option, given)
        return Name("--config", setting.name, setting.namespace) if setting is not None else None

    gate = settings.gate if settings else None
    migrations = settings.migrations.application if settings else None
    runtime = settings.runtime.application if settings else None
    after = settings.downstream if settings else ()
    if settings is not None and settings.guard and gate is not None:  # its own Application is what it holds
        if runtime is None and not settings.looks_at_temporal:
            runtime = gate
        elif gate.ref not in settings.targets.values():
            after = (*after, gate)
        gate = None
    downstream = tuple(Name.parse("--downstream", one) for one in question.downstream)
    downstream = downstream or tuple(Name("--config", one.name, one.namespace) for one in after)
    return Names(
        named("--gate", question.gate, gate),
        named("--migrations", question.migrations, migrations),
        named("--runtime", question.runtime, runtime),
        downstream,
    )
