"""What a kubeconfig names to get credentials from: exec plugins, and OIDC issuers that renew a token.

The official client runs both without any limit of time, logs what goes wrong past every reporter and goes on without
credentials, and trusts every issuer that has no CA of its own. Here each fault ends as a finding, and each call in time.
"""

from __future__ import annotations

import base64
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import urllib3
from kubernetes import client

from hook.adapters.answers import Answer
from hook.adapters.attempt import within
from hook.adapters.connection import first_line, made_of
from hook.observation import redaction
from hook.observation.findings import Finding, FindingError, shortened
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SECONDS = 15.0
"""For one call. `aws eks get-token` and `gke-gcloud-auth-plugin` take one to three, cold."""

PAUSE_SECONDS = 10.0
"""So long a failure is not tried again: the requests of a turn shall not each wait for it."""

_EARLY = timedelta(seconds=30)
"""Before its end a token is renewed; clocks differ."""

_MOST_BYTES = 1 << 20
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Credential:
    """What a helper gave: a token, or a client certificate with its key, in PEM."""

    token: str = ""
    certificate: str = ""
    key: str = ""
    expires_at: datetime | None = None


class Renewed:
    """A credential that is fetched when it is first used, and again when it ends or is refused."""

    def __init__(self, fetch: Callable[[], Credential]) -> None:
        """Fetch nothing yet."""
        self._fetch = fetch
        self._credential: Credential | None = None
        self._failure: Finding | None = None
        self._failed_at = 0.0

    def get(self) -> Credential:
        """Return it. Raises `FindingError`, the same one again for a while."""
        if self._failure is not None and time.monotonic() < self._failed_at + PAUSE_SECONDS:
            raise FindingError(self._failure)
        known = self._credential
        if known is None or (known.expires_at is not None and known.expires_at - _EARLY <= datetime.now(UTC)):
            try:
                known = self._fetch()
            except FindingError as error:
                self._failure, self._failed_at = error.finding, time.monotonic()
                raise
            self._failure = None
        self._credential = known
        return known

    def forget(self) -> None:
        """Fetch it anew at its next use: the server refused it."""
        self._credential = None


# --- exec plugins (client.authentication.k8s.io; kubernetes/client-go plugin/pkg/client/auth/exec) --------------------


class ExecPlugin:
    """A program that prints a credential."""

    def __init__(self, settings: Answer, cluster: Answer, folder: Path, about: str) -> None:
        """Take the user's block `exec`. Raises `FindingError` where it is none."""
        self._about = about
        command = settings["command"].name()
        self._name = command
        # As client-go has it: a path is meant from the file's own folder, a bare name from PATH.
        self._command = str(folder / Path(command)) if "/" in command else command
        self._arguments = [one.text() for one in settings["args"]]
        self._variables = {one["name"].name(): one["value"].text() for one in settings["env"]}
        self._version = settings["apiVersion"].name()
        self._hint = settings["installHint"].text()
        self._is_interactive = settings["interactiveMode"].text() == "Always"
        spec: dict[str, Any] = {"interactive": False}
        if settings["provideClusterInfo"].flag():
            spec["cluster"] = _cluster_info(cluster)
        self._info = json.dumps({"apiVersion": self._version, "kind": "ExecCredential", "spec": spec})

    def secrets(self) -> Iterable[str]:
        """Yield what is secret of arguments and variables: the plugin's own errors may hold it."""
        yield from redaction.told_by(shlex.join(self._arguments))
        yield from (value for name, value in self._variables.items() if redaction.told_by(f"{name}=x"))

    def fetch(self) -> Credential:
        """Run it. Raises `FindingError`."""
        if self._is_interactive:
            self._fail("wants a terminal (interactiveMode: Always), and the gate has none")
        program = shutil.which(self._command)
        if program is None:
            where = "in PATH" if self._command == self._name else f"at {self._command}"
            hint = f" {shortened(self._hint, _SHOWN_CHARACTERS)}" if self._hint else ""
            self._fail(f"is not there, or cannot be executed: looked {where}", f"Install it.{hint}")
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            code = self._run(program, output, errors)
            if code != 0:
                said = shortened(_said(errors).decode(errors="replace"), _SHOWN_CHARACTERS)
                self._fail(f"ended with exit code {code}{f': {said}' if said else ''}")
            return self._credential(_said(output))

    def _run(self, program: str, output: IO[bytes], errors: IO[bytes]) -> int:
        """Run it into files, which nobody has to drain, and which whom it leaves behind cannot keep open."""
        try:
            process = subprocess.Popen(  # noqa: S603 -- what the kubeconfig names, as kubectl would run it
                [program, *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **self._variables, "KUBERNETES_EXEC_INFO": self._info},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # no program by its first bytes; a null byte in an argument
            self._fail(f"cannot be started: {error}")
        until = time.monotonic() + SECONDS
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(0.02)
                if time.monotonic() > until:
                    self._fail(f"did not end within {SECONDS:g} s")
                if os.fstat(output.fileno()).st_size + os.fstat(errors.fileno()).st_size > _MOST_BYTES:
                    self._fail(f"prints without end: more than {_MOST_BYTES >> 20} MiB")
        finally:  # also when a signal's handler raises out of the wait
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _credential(self, output: bytes) -> Credential:
        """Read what it printed; nothing of it is shown."""
        try:
            answer = Answer(json.loads(output), self._about)
            if (kind := answer["kind"].text()) != "ExecCredential" or answer["apiVersion"].text() != self._version:
                self._fail(
                    f"printed {kind or 'something'} of {answer['apiVersion'].text() or 'no version'}, not {self._version}"
                )
            status = answer["status"]
            credential = Credential(
                token=status["token"].text(),
                certificate=status["clientCertificateData"].text(),
                key=status["clientKeyData"].text(),
                expires_at=status["expirationTimestamp"].time(),
            )
        except (ValueError, RecursionError):
            self._fail("printed something that is not JSON" if output.strip() else "printed nothing")
        except FindingError as error:
            if error.finding.reason is Reason.CREDENTIAL_HELPER_FAILED:
                raise
            self._fail(f"printed something that is no ExecCredential: {error.finding.detail}")
        if not credential.token and not (credential.certificate and credential.key):
            self._fail("printed neither a token nor a client certificate with its key")
        return credential

    def _fail(self, what: str, remedy: str = "") -> NoReturn:
        remedy = remedy or f"Run it by hand as the gate's user: {self._name}."
        detail = f"exec plugin {self._name} {what}"
        raise FindingError(Finding(Reason.CREDENTIAL_HELPER_FAILED, self._about, detail, remedy)) from None


def _cluster_info(cluster: Answer) -> dict[str, Any]:
    """Return the cluster as a plugin is told of it, with what its extension holds for plugins."""
    names = ("server", "tls-server-name", "insecure-skip-tls-verify", "certificate-authority-data", "proxy-url")
    found = {name: cluster.object()[name] for name in names if name in cluster}
    for extension in cluster["extensions"]:
        if extension["name"].text() == "client.authentication.k8s.io/exec":
            found["config"] = extension.object().get("extension")
    return found


def _said(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_MOST_BYTES)


# --- OIDC (kubernetes/client-go plugin/pkg/client/auth/oidc) ----------------------------------------------------------


class OidcIssuer:
    """An issuer that gives a new id-token for a refresh-token. What it gives is kept in memory, never written back."""

    def __init__(self, settings: Answer, ca_file: str | None, about: str) -> None:
        """Take the block `config` of the user's `auth-provider`."""
        self._about = about
        self._issuer = settings["idp-issuer-url"].text().rstrip("/")
        self._id = settings["client-id"].text()
        self._secret = settings["client-secret"].text()
        self._id_token = settings["id-token"].text()
        self._refresh_token = settings["refresh-token"].text()
        self._ca_file = ca_file

    def secrets(self) -> Iterable[str]:
        """Yield what is secret of it."""
        yield from (self._secret, self._id_token, self._refresh_token, *redaction.logins(self._issuer))

    def fetch(self) -> Credential:
        """Return the token that is known while it is valid, else a new one. Raises `FindingError`."""
        end = _end_of(self._id_token)
        if self._id_token and (end is None or end - _EARLY > datetime.now(UTC)):
            return Credential(self._id_token, expires_at=end)
        if not (self._issuer and self._id and self._refresh_token):
            known = f"its id-token ended at {end:%Y-%m-%dT%H:%M:%SZ}" if end else "it has no id-token"
            self._fail(f"{known}, and it has no refresh-token, client-id or idp-issuer-url to get one by")
        try:
            answer = within(SECONDS, self._renew)
            self._id_token = answer["id_token"].text()
            self._refresh_token = answer["refresh_token"].text() or self._refresh_token
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._fail(f"does not answer: {first_line(error)}")
        except FindingError as error:
            if error.finding.reason is not Reason.ANSWER_NOT_UNDERSTOOD:
                raise
            self._fail(f"answers with something else: {error.finding.detail}")
        if not self._id_token:
            self._fail("gave no id_token for the refresh-token")
        return Credential(self._id_token, expires_at=_end_of(self._id_token))

    def _renew(self) -> Answer:
        connected = made_of(client.Configuration(host=self._issuer, ssl_ca_cert=self._ca_file))
        try:
            pools = connected.rest_client.pool_manager
            found = self._ask(pools, "GET", f"{self._issuer}/.well-known/openid-configuration")
            endpoint = found["token_endpoint"].text()
            if not endpoint:
                self._fail("names no token_endpoint")
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh_token, "client_id": self._id}
            return self._ask(pools, "POST", endpoint, form | ({"client_secret": self._secret} if self._secret else {}))
        finally:
            connected.rest_client.close()

    def _ask(self, pools: Any, method: str, url: str, form: dict[str, str] | None = None) -> Answer:  # noqa: ANN401
        """Return an answer of the issuer's; its errors say what, and no value is shown."""
        response = pools.request(
            method, url, fields=form, redirect=False, timeout=SECONDS, **({"encode_multipart": False} if form else {})
        )
        what = "discovery" if form is None else "refresh"
        try:
            answer = Answer(json.loads(response.data), self._about)
            answer.object()
            error = answer["error"].text()
        except (ValueError, RecursionError, FindingError):
            self._fail(f"answers {what} with {response.status} and something that is not JSON")
        if response.status != 200:  # noqa: PLR2004 -- HTTP's OK
            self._fail(f"answers {what} with {response.status} {shortened(error, _SHOWN_CHARACTERS)}".rstrip())
        return answer

    def _fail(self, what: str) -> NoReturn:
        about = redaction.without_secrets(self._issuer, ()) or "that is not named"
        detail = f"OIDC issuer {about} {what}"
        remedy = "Check the issuer, and log in again with kubectl. A gate is better served by a ServiceAccount's token."
        raise FindingError(Finding(Reason.CREDENTIAL_HELPER_FAILED, self._about, detail, remedy)) from None


def _end_of(token: str) -> datetime | None:
    """Return when a JWT ends; None where it does not say so. It is not verified: that is the server's to do."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (LookupError, ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
