"""How Argo CD's Applications are reached: by an API server of Kubernetes, or by Argo CD's own API."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 -- pydantic reads the annotations
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from hook.settings.blocks import Block, authorization


class KubeconfigSettings(Block):
    """How an API server is reached. Without a file: the pod's own service account."""

    kubeconfig_file: Path | None = None
    context: str | None = None
    """None: the file's current context."""


class ArgoCdServerSettings(Block):
    """Argo CD's own API as the way to Applications: no right on them in Kubernetes is needed then."""

    address: str
    """``host:port`` of argocd-server, such as argocd-server.argocd.svc:443, with its root path where it has one."""
    token_file: Path
    """A token of a project's role that may get and sync the Applications; read anew for each request."""
    project: Annotated[str, Field(min_length=1)] = "default"
    """The AppProject of the Applications that name none: a role's token is of one project."""
    ca_file: Path | None = None
    """None: the public authorities that this machine or image trusts. argocd-server's own certificate is self-signed
    unless it was given another: name that certificate, or its CA."""
    server_name: str | None = None
    """The name that the certificate carries, where it is not the address's host."""
    plain_text: bool = False
    """Speak without TLS, to an argocd-server that runs with --insecure. Anybody on its way can read the token then, unless
    a mesh encrypts the connection: so it has to be said."""

    def authorization(self) -> str:
        """Return the header, from the file as it is now; raise OSError when it cannot be read or is no header's text."""
        return authorization(self.token_file)

    @field_validator("address")
    @classmethod
    def _is_host_and_port(cls, value: str) -> str:
        found = re.fullmatch(r"([\w.-]+|\[[\da-fA-F:.]+\])(:(\d{1,5}))?(/[\w./-]*)?", value)
        if found is None or not 1 <= int(found[3] or 443) <= 65_535:  # noqa: PLR2004 -- TCP's greatest
            message = "must be host:port, such as argocd-server.argocd.svc:443, without https://"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _tls_or_none(self) -> Self:
        if self.plain_text and (self.ca_file is not None or self.server_name is not None):
            raise ValueError("plainText speaks no TLS: remove it, or caFile and serverName")
        return self


class ArgoCdSettings(KubeconfigSettings):
    """How Argo CD's Applications are reached. Without anything: by the API server that has the pods."""

    server: ArgoCdServerSettings | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.server is not None and (self.kubeconfig_file is not None or self.context is not None):
            raise ValueError("server and kubeconfigFile are two ways to the same Applications: keep one of them")
        return self
