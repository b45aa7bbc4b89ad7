"""Credentials for an API server: a kubeconfig, read as kubectl reads it, or a pod's service account. Contacts nothing.

The official client reads a kubeconfig, too, but names an entry by all that is in it, tokens included, and says of a file
that is not there that no configuration was found. It still makes the requests.
"""

from __future__ import annotations

import base64
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import yaml
from kubernetes import client, config
from kubernetes.config.kube_config import FileOrData

from hook.adapters.answers import Answer
from hook.adapters.helpers import ExecPlugin, OidcIssuer, Renewed
from hook.observation import redaction
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REREAD_SECONDS = 60.0
"""As client-go: a file with a token is read anew after a minute."""


@dataclass(frozen=True)
class _Entry:
    """A named entry of a file; its paths are meant from the file's own folder."""

    value: Answer
    folder: Path


@dataclass
class Credentials:
    """A configuration of the official client, and what renews its token, where something does."""

    configuration: Any
    renewed: Renewed | None = None


def load(kubeconfig: Path | None, context: str | None, learn: Callable[[Iterable[str]], None]) -> Credentials:
    """Return the credentials of a kubeconfig, else of the pod's service account, else of the user's own kubeconfig.

    Each secret value is told to ``learn`` before it is used. Raises `FindingError`.
    """
    no_account = ""
    if kubeconfig is None and context is None:
        configuration: Any = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException as error:
            no_account = f"no service account ({str(error).rstrip('.')}), and "
        except OSError as error:
            _unusable("service account", str(error))
        else:
            configuration.refresh_api_key_hook = _Account(configuration, learn)
            return Credentials(configuration)
    return _Kubeconfig(*_read(kubeconfig, no_account), learn).credentials(context)


def _read(kubeconfig: Path | None, no_account: str) -> tuple[str, list[tuple[Path, Answer]]]:
    """Return the files' names and contents. KUBECONFIG may name several, and some of them need not be there."""
    listed = os.environ.get("KUBECONFIG", "")
    if kubeconfig is not None:
        paths, origin = [kubeconfig], ""
    elif listed:
        paths, origin = [Path(one).expanduser() for one in listed.split(os.pathsep) if one], "KUBECONFIG names "
    else:
        paths, origin = [Path("~/.kube/config").expanduser()], "KUBECONFIG is not set, and "
    names = ", ".join(map(str, paths))
    there = [path for path in paths if path.exists()]
    if not there:
        what = f"{no_account}no kubeconfig: {origin}{names}, which {'does' if len(paths) == 1 else 'do'} not exist"
        _unusable("kubeconfig", what, "Correct the path, or give the pod a ServiceAccount whose token is mounted.")
    return names, [(path, _parsed(path)) for path in there]


def _parsed(path: Path) -> Answer:
    """Return a file's content; nothing of it is shown, it holds tokens."""
    about = f"kubeconfig {path}"
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        _unusable(about, f"cannot be read: {error.strerror}")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        _unusable(about, f"not a kubeconfig{where}: {type(error).__name__}")
    if document is None:
        _unusable(about, "the file is empty")
    if not isinstance(document, dict):
        _unusable(about, "not a kubeconfig: it holds no named values")
    return Answer(document, about)


class _Kubeconfig:
    """The files together: of two entries of one name the first counts, and of two current contexts."""

    def __init__(self, names: str, files: list[tuple[Path, Answer]], learn: Callable[[Iterable[str]], None]) -> None:
        self._about = f"kubeconfig {names}"
        self._files = files
        self._learn = learn

    def credentials(self, context: str | None) -> Credentials:
        try:
            return self._credentials(context)
        except FindingError as error:
            if error.finding.reason is not Reason.ANSWER_NOT_UNDERSTOOD:
                raise
            _unusable(error.finding.about, f"not a kubeconfig: {error.finding.detail}")

    def _credentials(self, name: str | None) -> Credentials:
        current = (content["current-context"].text() for _, content in self._files)
        name = name or next(filter(None, current), None)
        contexts = self._entries("contexts", "context")
        listed = ", ".join(contexts) or "none"
        remedy = "Set `current-context`, or the context in the settings, to one of its contexts."
        if name is None:
            _unusable(self._about, f"it has no current-context; its contexts are: {listed}", remedy)
        if name not in contexts:
            _unusable(self._about, f"it has no context {name}; its contexts are: {listed}", remedy)
        chosen = contexts[name].value
        cluster = self._named("cluster", chosen["cluster"].text(), name)
        user = self._named("user", chosen["user"].text(), name) if chosen["user"].text() else None
        configuration = client.Configuration()
        self._set_cluster(configuration, cluster)
        return Credentials(configuration, self._set_user(configuration, user, cluster) if user else None)

    def _entries(self, kind: str, field: str) -> dict[str, _Entry]:
        found: dict[str, _Entry] = {}
        for path, content in self._files:
            for one in content[kind]:
                found.setdefault(one["name"].name(), _Entry(one[field], path.absolute().parent))
        return found

    def _named(self, kind: str, name: str, context: str) -> _Entry:
        entries = self._entries(f"{kind}s", kind)
        if name not in entries:
            what = f"its context {context} names the {kind} {name or 'without a name'}, which is not there"
            _unusable(self._about, f"{what}; its {kind}s are: {', '.join(entries) or 'none'}")
        entries[name].value.object()
        return entries[name]

    def _set_cluster(self, configuration: Any, cluster: _Entry) -> None:  # noqa: ANN401 -- the client ships no types
        server, proxy = cluster.value["server"].name().rstrip("/"), cluster.value["proxy-url"].text()
        self._learn([*_logins(server), *_logins(proxy)])
        configuration.host = server
        if server.lower().startswith("https"):
            configuration.ssl_ca_cert = self._file(cluster, "certificate-authority")
        configuration.verify_ssl = not cluster.value["insecure-skip-tls-verify"].flag()
        configuration.tls_server_name = cluster.value["tls-server-name"].text() or None
        if proxy:
            configuration.proxy = proxy

    def _set_user(self, configuration: Any, user: _Entry, cluster: _Entry) -> Renewed | None:  # noqa: ANN401
        """Log in as the user: by certificate, and by the first of token, exec plugin, OIDC, and name with password."""
        value = user.value
        password, token = value["password"].text(), value["token"].text()
        self._learn([password, token, _decoded(value["client-key-data"].text())])
        configuration.cert_file = self._file(user, "client-certificate")
        configuration.key_file = self._file(user, "client-key")
        if (file := value["tokenFile"].text()) or token:
            configuration.refresh_api_key_hook = _TokenFile(user.folder / file, self._learn) if file else None
            configuration.api_key["BearerToken"] = f"Bearer {token}"
            if file:
                self._try(f"tokenFile {user.folder / file}", lambda: configuration.refresh_api_key_hook(configuration))
            return None
        if (helper := self._helper(user, cluster)) is not None:
            self._learn(helper.secrets())
            renewed = Renewed(helper.fetch)
            configuration.api_key["BearerToken"] = ""
            configuration.refresh_api_key_hook = lambda into: self._renew(into, renewed)
            return renewed
        if password:
            login = base64.b64encode(f"{value['username'].text()}:{password}".encode()).decode()
            configuration.api_key["BearerToken"] = f"Basic {login}"
        return None

    def _helper(self, user: _Entry, cluster: _Entry) -> ExecPlugin | OidcIssuer | None:
        if "exec" in user.value:
            return ExecPlugin(user.value["exec"], cluster.value, user.folder, self._about)
        provider = user.value["auth-provider"]
        if not provider.is_there:
            return None
        if provider["name"].text() != "oidc":
            what = f"auth-provider {provider['name'].text()} is not supported; kubectl has none since 1.26"
            _unusable(self._about, what, "Use the provider's exec plugin, or a ServiceAccount's token.")
        settings = _Entry(provider["config"], user.folder)
        return OidcIssuer(settings.value, self._file(settings, "idp-certificate-authority"), self._about)

    def _renew(self, configuration: Any, renewed: Renewed) -> None:  # noqa: ANN401 -- the client ships no types
        credential = renewed.get()
        self._learn([credential.token, credential.key])
        configuration.api_key["BearerToken"] = f"Bearer {credential.token}" if credential.token else ""
        if credential.certificate:
            pem = {"client-certificate-data": credential.certificate, "client-key-data": credential.key}
            entry = _Entry(Answer({name: _encoded(text) for name, text in pem.items()}, self._about), Path())
            configuration.cert_file = self._file(entry, "client-certificate")
            configuration.key_file = self._file(entry, "client-key")

    def _file(self, entry: _Entry, name: str) -> str | None:
        """Return the file that an entry names, or one with the data that it holds itself."""
        given = {one: text for one in (name, f"{name}-data") if (text := entry.value[one].text())}
        found: str | None = self._try(name, lambda: FileOrData(given, name, file_base_path=str(entry.folder)).as_file())
        return found

    def _try(self, name: str, read: Callable[[], Any]) -> Any:  # noqa: ANN401 -- what it returns
        try:
            return read()
        except (config.ConfigException, OSError) as error:
            _unusable(self._about, f"{name}: {error}")
        except ValueError:
            _unusable(self._about, f"{name}: its content is not base64, or not text")


class _Account:
    """The client's own hook before each request, which reads a service account's token anew; and what it read."""

    def __init__(self, configuration: Any, learn: Callable[[Iterable[str]], None]) -> None:  # noqa: ANN401
        self._renew = configuration.refresh_api_key_hook
        self._learn = learn
        self._learn_token(configuration)

    def __call__(self, configuration: Any) -> None:  # noqa: ANN401 -- the client ships no types
        self._renew(configuration)
        configuration.refresh_api_key_hook = self  # it has put itself in this place again
        self._learn_token(configuration)

    def _learn_token(self, configuration: Any) -> None:  # noqa: ANN401 -- the client ships no types
        self._learn([configuration.api_key["BearerToken"].partition(" ")[2].strip()])


class _TokenFile:
    """The client's hook before each request: a token that somebody renews in its file."""

    def __init__(self, path: Path, learn: Callable[[Iterable[str]], None]) -> None:
        self._path = path
        self._learn = learn
        self._read_at: float | None = None

    def __call__(self, configuration: Any) -> None:  # noqa: ANN401 -- the client ships no types
        if self._read_at is None or time.monotonic() > self._read_at + _REREAD_SECONDS:
            token = self._path.read_text(encoding="utf-8").strip()
            self._learn([token])
            configuration.api_key["BearerToken"] = f"Bearer {token}"
            self._read_at = time.monotonic()


def _logins(address: str) -> set[str]:
    return redaction.logins(address) if "@" in address else set()


def _decoded(data: str) -> str:
    with suppress(ValueError):
        return base64.b64decode(data).decode(errors="replace")
    return ""


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _unusable(about: str, detail: str, remedy: str = "") -> NoReturn:
    raise FindingError(Finding(Reason.KUBECONFIG_UNUSABLE, about, detail, remedy)) from None
