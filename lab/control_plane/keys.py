"""Certificates and keys of one control plane: an authority of its own, valid for its life only.

Clients of the API server use tokens, so certificates are for servers, and for the API server where it calls a kubelet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Keys:
    """All of them; ``service_accounts`` is the private key that signs their tokens, and holds the public one."""

    authority: Path
    api_server: Pair
    kubelet: Pair
    kubelet_client: Pair
    service_accounts: Path


def make(directory: Path, api_server_addresses: tuple[str, ...], nodes: tuple[str, ...]) -> Keys:
    """Make them in a new directory, for what the API server is reached by, and the nodes' names and addresses."""
    directory.mkdir(mode=0o700)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.crt"))

    def pair(name: str, *identities: str, common_name: str, organization: str | None = None) -> Pair:
        issued = authority.issue_cert(*identities, common_name=common_name, organization_name=organization)
        made = Pair(directory / f"{name}.crt", directory / f"{name}.key")
        issued.cert_chain_pems[0].write_to_path(str(made.certificate))
        issued.private_key_pem.write_to_path(str(made.key))
        return made

    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    return Keys(
        authority=directory / "ca.crt",
        api_server=pair("apiserver", *names, *api_server_addresses, common_name="kube-apiserver"),
        kubelet=pair("kubelet", *nodes, common_name="system:nodes"),
        kubelet_client=pair("kubelet-client", "kubelet-client.invalid", common_name="kube-apiserver-kubelet-client"),
        service_accounts=pair("service-accounts", "tokens.invalid", common_name="service-accounts").key,
    )
