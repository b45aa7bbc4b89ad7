"""How Argo CD's Applications are reached: by an API server of Kubernetes, or by Argo CD's own API."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 -- pydantic reads the annotations
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from hook.settings.blocks import Block, authorization


class KubeconfigSettings(Block):
    """How to reach an API server. Without a file, the gate uses the service account of its pod."""

    kubeconfig_file: Path | None = None
    """The kubeconfig."""
    context: str | None = None
    """The context. Default: the current context of the file."""


class ArgoCdServerSettings(Block):
    """Use the Argo CD API for Applications. The gate then needs no permission on them in Kubernetes."""

    address: str
    """``host:port`` of argocd-server, such as argocd-server.argocd.svc:443, with its root path if it has one."""
    token_file: Path
    """A token of a project role that may get and sync the Applications. The gate reads it again for each request."""
    project: Annotated[str, Field(min_length=1)] = "default"
    """The AppProject of the Applications that set none. A role's token belongs to one project."""
    ca_file: Path | None = None
    """The CA of argocd-server's certificate. Default: the public CAs that this machine or image trusts. The
    certificate is self-signed unless you replaced it: then give that certificate."""
    server_name: str | None = None
    """The name in the certificate, if it is not the host of the address."""
    plain_text: bool = False
    """Connect without TLS, to an argocd-server that runs with --insecure. Anybody on the network path can then read
    the token, unless a mesh encrypts the connection."""

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
    """By default, the gate reads Applications from the API server of the pods."""

    server: ArgoCdServerSettings | None = None

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.server is not None and (self.kubeconfig_file is not None or self.context is not None):
            raise ValueError("server and kubeconfigFile are two ways to the same Applications: keep one of them")
        return self
