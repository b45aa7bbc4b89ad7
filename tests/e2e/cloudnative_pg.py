"""CloudNativePG's operator, played: its own custom resources, and what it makes of them around the lab's PostgreSQL.

As cloudnative-pg 1.30.1 does: the databases and their owner, the application's Secret (pkg/specs/secrets.go), the CA's, a
certificate for the names of the Service NAME-rw (GetClusterAltDNSNames in api/v1/cluster_funcs.go), and that Service.
Sessions with and without TLS are taken, as by its pg_hba.conf.
"""

import base64
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

from lab import toolchain
from lab.api_client import ApiError
from lab.platform import Cluster
from lab.postgres import Postgres
from lab.processes import wait_until

Json = dict[str, Any]

PORT = 5432
_GROUP = "postgresql.cnpg.io"
_SECONDS = 90.0


class CloudNativePg:
    """Of one namespace, whose one Cluster is `postgres`; of this release."""

    def __init__(self, cluster: Cluster, postgres: Postgres, namespace: str, release: str) -> None:
        self.kinds = [f"{kind}.{_GROUP}" for kind in ("clusters", "databases")]
        """The names of the definitions."""
        module = toolchain.module_directory("github.com/cloudnative-pg/cloudnative-pg", f"v{release}")
        bases = module / "config" / "crd" / "bases"
        self.resources = [bases / f"{_GROUP}_{kind}.yaml" for kind in ("clusters", "databases")]
        """Their files."""
        self._cluster = cluster
        self._client = cluster.client
        self._postgres = postgres
        self._namespace = namespace

    def reconcile(self) -> None:
        """Wait until a Cluster and a Database have been applied, make what they ask for, and say that it is there."""
        (cluster,) = self._applied("clusters")
        databases = self._applied("databases")
        asked, name = cluster["spec"]["bootstrap"]["initdb"], cluster["metadata"]["name"]
        password = secrets.token_urlsafe(24)
        self._postgres.create_role(asked["owner"], password)
        self._postgres.create_database(asked["database"], owner=asked["owner"])
        for one in databases:
            assert one["spec"]["cluster"]["name"] == name
            self._postgres.create_database(one["spec"]["name"], owner=one["spec"]["owner"])
        self._write_login(name, asked["owner"], asked["database"], password)
        self._enable_tls(name)
        self._cluster.name_outside(self._namespace, f"{name}-rw", self._postgres.port, PORT)
        ready = {"type": "Ready", "status": "True", "reason": "ClusterIsReady", "message": "Cluster is Ready"}
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._client.patch_status(
            self._path("clusters", name), {"status": {"conditions": [ready | {"lastTransitionTime": now}]}}
        )
        for one in databases:
            self._client.patch_status(self._path("databases", one["metadata"]["name"]), {"status": {"applied": True}})

    def _applied(self, kind: str) -> list[Json]:
        def found() -> list[Json]:
            try:
                return self._client.list(self._path(kind))
            except ApiError as error:
                if error.status != 404:
                    raise
                return []  # its definition is not there yet

        return wait_until(found, _SECONDS, f"{kind} of CloudNativePG", 0.3)

    def _path(self, kind: str, name: str = "") -> str:
        return f"/apis/{_GROUP}/v1/namespaces/{self._namespace}/{kind}" + (f"/{name}" if name else "")

    def _write_login(self, name: str, user: str, database: str, password: str) -> None:
        host, login = f"{name}-rw", f"{user}:{password}"
        query = f"password={password}&user={user}"
        fqdn = f"{host}.{self._namespace}.svc.cluster.local:{PORT}/{database}"
        short = f"{host}.{self._namespace}:{PORT}/{database}"
        fields = {
            "username": user, "user": user, "password": password, "dbname": database, "host": host, "port": str(PORT),
            "pgpass": f"{host}:{PORT}:{database}:{login}\n",
            "uri": f"postgresql://{login}@{short}", "jdbc-uri": f"jdbc:postgresql://{short}?{query}",
            "fqdn-uri": f"postgresql://{login}@{fqdn}", "fqdn-jdbc-uri": f"jdbc:postgresql://{fqdn}?{query}",
        }  # fmt: skip
        self._write_secret(
            f"{name}-app", {key: text.encode() for key, text in fields.items()}, "kubernetes.io/basic-auth"
        )

    def _enable_tls(self, name: str) -> None:
        service, authority = f"{name}-rw", trustme.CA()
        names = [service, *(f"{service}.{self._namespace}{rest}" for rest in ("", ".svc", ".svc.cluster.local"))]
        issued = authority.issue_cert(*names)
        self._write_secret(
            f"{name}-ca", {"ca.crt": authority.cert_pem.bytes(), "ca.key": authority.private_key_pem.bytes()}
        )
        with tempfile.TemporaryDirectory() as scratch:
            certificate, key = Path(scratch) / "tls.crt", Path(scratch) / "tls.key"
            issued.cert_chain_pems[0].write_to_path(str(certificate))
            issued.private_key_pem.write_to_path(str(key))
            self._postgres.enable_tls(certificate, key, required=False)

    def _write_secret(self, name: str, data: dict[str, bytes], kind: str = "Opaque") -> None:
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        body = {"metadata": {"name": name}, "type": kind, "data": encoded}
        self._client.create(f"/api/v1/namespaces/{self._namespace}/secrets", body)
