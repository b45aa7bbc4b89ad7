"""Reads the settings from YAML and the environment, and finds every fault of theirs before anything is contacted.

pydantic checks the values. What stands here it does not do, nor does pydantic-settings: refuse a misspelt variable, let
both spellings of a name win over the file, say each fault in one line that names the setting and never shows a value.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import ssl
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from hook.decision.policy import Reachability
from hook.observation import redaction
from hook.observation.versions import Store, releases_of
from hook.settings.settings import Settings, SettingsError, TlsSettings
from hook.settings.stores import BY_VALUE_OR_FILE, parse_dsn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ENVIRONMENT_PREFIX = "TRH_"


def load(file: Path | None, *, opens_files: bool = True) -> Settings:
    """Read the settings from ``file`` (YAML, may be None) and the environment; contact nothing.

    The files that they name have to be there, unless nothing that needs them is to come. Raises `SettingsError`, with a line
    for each fault found.
    """
    from_environment = _environment()
    from_file = _read(file) if file else {}
    try:
        settings = Settings.model_validate(_merged(_without_replaced(from_file, from_environment), from_environment))
    except ValidationError as error:
        raise SettingsError(*(_line(fault) for fault in error.errors())) from None  # its text would show the values
    faults = (*_contradictions(settings), *(_file_faults(settings) if opens_files else ()))
    if faults:
        raise SettingsError(*faults)
    return settings


def _without_replaced(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the file says without what the environment says of a store: by a DSN all of it, else part by part.

    So the gate's own file serves on a laptop, where its Secret is not mounted. A part is given by its value or by its file.
    """
    stores, given = below.get("stores"), above.get("stores", {})
    if not isinstance(stores, dict):
        return dict(below)
    kept = {name: _without_parts(store, given.get(name) or {}) for name, store in stores.items()}
    return {**below, "stores": kept}


def _without_parts(store: object, given: Mapping[str, Any]) -> object:
    if not isinstance(store, dict):
        return store
    if given.keys() & {"dsn", "dsnFile"}:
        return {key: value for key, value in store.items() if key == "enabled"}
    replaced = {
        twin for name in BY_VALUE_OR_FILE for twin in (name, f"{name}File") if given.keys() & {name, f"{name}File"}
    }
    return {key: value for key, value in store.items() if key not in replaced}


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
    if found := sorted(_CHART_VALUES & document.keys()):
        message = (
            f"--config {file}: looks like values of the chart ({', '.join(found)}): give the gate's settings instead, as "
            "`helm template` or `kubectl get configmap` shows them under the key of the gate's ConfigMap"
        )
        raise SettingsError(message)
    return document


_CHART_VALUES = {"image", "receipt", "watchdog", "serviceAccount", "rbac", "job", "podSecurityContext", "nameOverride"}
"""Keys that only the chart has at its top."""


def secrets(settings: Settings) -> set[str]:
    """Return every secret value that settings and environment lead to now, so that reports can leave them out."""
    values = environment_secrets() | {
        secret for store in settings.gated for secret in settings.stores.of(store).secrets()
    }
    for authorization in _authorizations(settings).values():
        with suppress(OSError):
            header = authorization() or ""
            values |= {header, header.partition(" ")[2]}
    if settings.migrations.command is not None:
        values |= redaction.told_by(shlex.join(settings.migrations.command.argv))
    return values - {""}


_SECRET_VARIABLE = re.compile(r"(?i)(pass(word|wd|phrase)?|pwd|pw|secret|token|credentials?|key)$")
"""By its name: PGPASSWORD, SQL_PASSWORD, AWS_SECRET_ACCESS_KEY. A path's ends in FILE, a Service's in HOST or PORT."""
_LEAST_CHARACTERS = 4


def environment_secrets() -> set[str]:
    """Return what the environment holds of secrets: other programs read it, too, and tell it in their errors."""
    values = {
        value
        for name, value in os.environ.items()
        if _SECRET_VARIABLE.search(name)
        and not name.upper().startswith(ENVIRONMENT_PREFIX)
        and len(value) >= _LEAST_CHARACTERS
        and not value.startswith("/")
    }
    for scheme in ("HTTPS", "HTTP", "ALL"):
        for name in (f"{scheme}_PROXY", f"{scheme}_PROXY".lower()):
            values |= redaction.logins(os.environ.get(name, ""))
    return values | {os.environ.get("PGPASSWORD", "")} | set(_passwords_of_libpq()) - {""}


def _passwords_of_libpq() -> Iterator[str]:
    """Yield the passwords of libpq's own file, which serves where no password is set (PGPASSFILE, ~/.pgpass)."""
    with suppress(OSError, RuntimeError):  # no home
        file = Path(os.environ.get("PGPASSFILE") or Path("~/.pgpass").expanduser())
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            *_, password = re.split(r"(?<!\\):", line, maxsplit=4)
            yield re.sub(r"\\(.)", r"\1", password)


def _authorizations(settings: Settings) -> dict[str, Callable[[], str | None]]:
    """Return how each token is read, by its setting."""
    server = settings.argocd.server
    found: dict[str, Callable[[], str | None]] = {
        "temporal.frontend.tokenFile": settings.temporal.frontend.authorization
    }
    return found | ({"argocd.server.tokenFile": server.authorization} if server else {})


def _contradictions(settings: Settings) -> Iterator[str]:
    yield from settings.stores.faults() if settings.gated else _faults_without_schemas(settings)
    yield from _target_contradictions(settings)
    by_hand = settings.temporal.schema_versions
    if by_hand is not None and by_hand.visibility is None and Store.VISIBILITY in settings.gated:
        yield "temporal.schemaVersions.visibility: required unless stores.visibility.enabled is false: set it"
    if settings.projects and settings.argocd.server is None:
        yield "project of an Application: only argocd.server asks for it: remove it, or set argocd.server"
    if settings.reopen_gate and settings.gate is None:
        yield "reopenGate needs gate: the Application to reopen"
    if settings.guard and settings.reopen_gate:
        yield "reopenGate: a guard is part of its own Application's sync and cannot start another: remove one"
    if settings.downstream and settings.reachability is Reachability.NEVER:
        yield "downstream: reachability never does not look at it: remove one"
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


def _faults_without_schemas(settings: Settings) -> Iterator[str]:
    if settings.stores.model_fields_set:
        yield "stores: migrations.strategy none looks at no schema: remove one"
    if not settings.guard or settings.reachability is not Reachability.ALWAYS:
        yield (
            "migrations.strategy: none is for a guard with reachability: always, which waits until Temporal answers: set "
            "both, or migrations.application and stores"
        )


def _target_contradictions(settings: Settings) -> Iterator[str]:
    targets = settings.targets
    migrations, runtime = targets.get("migrations.application"), targets.get("runtime.application")
    are_one = runtime is not None and runtime == migrations
    if are_one and not settings.migrations.before_servers:
        yield (
            f"migrations.application and runtime.application are the same ({runtime}): the schema could never be right "
            "before the servers start; split Temporal's chart into two Applications, or set migrations.beforeServers where "
            "its schema Job is a PreSync hook, as in chart 1.x (docs/install.md)"
        )
    if settings.migrations.before_servers and not are_one:
        yield (
            "migrations.beforeServers is for one Application with schema Job and servers: name it as runtime.application, "
            "too, or remove beforeServers"
        )
    for name, ref in targets.items():
        is_own = settings.gate is not None and ref == settings.gate.ref
        if is_own and not (settings.guard and name != "migrations.application"):
            yield f"{name} is the gate's own Application ({ref}): syncing it from inside its own sync is a deadlock"
        if settings.guard and name.startswith("downstream") and not is_own:
            yield f"{name} ({ref}): a guard syncs no other Application: list it in the gate's settings"
        if settings.guard and is_own and ref == runtime and settings.reachability is Reachability.ALWAYS:
            yield (
                f"reachability: always in a guard of the runtime ({ref}) is a deadlock, since Temporal's servers start "
                "after it: leave it at auto"
            )
        if name.startswith("downstream") and ref in {migrations, runtime}:
            yield f"{name} ({ref}) is the migrations' or the runtime's Application: list only what comes after Temporal"


def _file_faults(settings: Settings) -> Iterator[str]:
    """Yield a line for each file that a setting names and that cannot be used."""
    tls, server = settings.temporal.frontend.tls or TlsSettings(), settings.argocd.server
    stores = {
        f"stores.{store}.{to_camel(field)}": file
        for store in settings.gated
        for field, file in getattr(settings.stores, store).files.items()
    }
    others = {
        "temporal.frontend.tls.caFile": tls.ca_file,
        "temporal.frontend.tls.certFile": tls.cert_file,
        "temporal.frontend.tls.keyFile": tls.key_file,
        "temporal.frontend.tokenFile": settings.temporal.frontend.token_file,
        "argocd.kubeconfigFile": settings.argocd.kubeconfig_file,
        "argocd.server.tokenFile": server.token_file if server else None,
        "argocd.server.caFile": server.ca_file if server else None,
        "kubernetes.kubeconfigFile": settings.kubernetes.kubeconfig_file,
    }
    for name, path in (stores | others).items():
        if path is None:
            continue
        try:
            content = path.read_bytes()
        except OSError as error:
            # A store's Secret may be late, and a key of it missing: that is told when the file is used, and has its grace.
            if not (isinstance(error, FileNotFoundError) and name in stores):
                yield f"{name}: cannot read {path}: {error.strerror}; is the Secret mounted there?"
            continue
        if (authorization := _authorizations(settings).get(name)) is not None:
            try:
                authorization()
            except OSError as error:
                yield f"{name}: {error}"
        if fault := _content_fault(name, path, content):
            yield fault


def _content_fault(name: str, path: Path, content: bytes) -> str | None:
    """Return what is wrong with what a file holds, nothing of it shown; None where nothing is seen."""
    kind = name.rpartition(".")[2]
    if kind in {"caFile", "certFile", "sslRootCertFile", "sslCertFile"}:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except ssl.SSLError:
            return f"{name}: {path} holds no certificate in PEM form: give a file that begins -----BEGIN CERTIFICATE"
    elif name.startswith("stores.") and kind != "sslKeyFile":
        try:
            text = content.decode()
            if kind == "dsnFile":
                parse_dsn(text.strip())
        except UnicodeDecodeError:
            what = "password" if kind == "passwordFile" else "text"
            return f"{name}: {path} is not UTF-8 text: store the {what} itself, not encoded or encrypted"
        except ValueError as error:
            return f"{name}: {path} {error}"
    return None


_WORDS = {
    "missing": "required: set it",
    "model_type": "must be a block of settings, each with its name, such as {name: value}",
    "dict_type": "must be a block of settings, each with its name, such as {name: value}",
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
    if fault["type"] in {"float_parsing", "float_type"} and str(parts[-1]).endswith("Seconds"):
        what = "must be a number of seconds, such as 300"
    if path == "temporal.version" and fault["type"] == "string_type":
        what = f"must be text, the whole release: {_releases_of(str(fault['input']))}"
    if fault["type"] == "model_type" and _is_application(parts):
        what = f"must be a block: write {{name: {fault['input'] if isinstance(fault['input'], str) else 'NAME'}}}"
    return what if what.startswith(path) else f"{path}: {what}"


def _releases_of(given: str) -> str:
    listed = releases_of(given)
    return f"one of {', '.join(listed)}" if listed else "such as 1.29.1, in quotes"


def _is_application(parts: tuple[str | int, ...]) -> bool:
    return parts[-1] in {"application", "gate"} or parts[0] == "downstream"


def _suggestion(parts: tuple[str | int, ...]) -> str:
    """Return what may have been meant by a setting that is unknown, or where to look."""
    *block, name = (part for part in parts if isinstance(part, str))
    siblings = [path[-1] for path, _ in _paths(Settings) if list(path[:-1]) == block]
    if block[:1] == ["stores"] and name in {"secret", "caSecret", "clientCertificateSecret"}:
        return ": that is a value of the chart: give passwordFile, sslRootCertFile or sslCertFile, or a dsn"
    close = difflib.get_close_matches(name, siblings, n=1, cutoff=_CLOSE)
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
            close = _close_variables(name.upper(), known)
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


_CLOSE = 0.75
"""How alike two names are where one is a misspelling: `passwordFiles`, not `secret` of `user`."""


def _close_variables(name: str, known: Mapping[str, tuple[tuple[str, ...], type | None]]) -> list[str]:
    """Return the variable that may have been meant: a list of which a part is named, or one much alike in each part."""
    if lists := [other for other, (_, kind) in known.items() if kind is list and name.startswith(f"{other}__")]:
        return lists
    parts = name.removeprefix(ENVIRONMENT_PREFIX).split("__")

    def likeness(other: str) -> float:
        if other.replace("_", "") == name.replace("_", ""):
            return 1
        others = other.removeprefix(ENVIRONMENT_PREFIX).split("__")
        if len(others) != len(parts):
            return 0
        return min(difflib.SequenceMatcher(None, *pair).ratio() for pair in zip(parts, others, strict=True))

    best = max(known, key=likeness)
    return [best] if likeness(best) >= _CLOSE + 0.1 else []


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
