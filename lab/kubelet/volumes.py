"""A pod's volumes: directories of this machine, whose files come from the API and are swapped when they change there.

Knows the pod's spec, the API and a directory to write to; not where a container finds them. Names of files, their modes
and the swap follow pkg/volume/util/atomic_writer.go, ownership SetVolumeOwnership in pkg/volume/volume_linux.go
(Kubernetes v1.36.1).
"""

import contextlib
import itertools
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from lab.api_client import ApiClient, ApiError, Json
from lab.kubelet.configuration import ConfigurationError, UnsupportedError, data, downward
from lab.kubelet.security import volume_owner

DEFAULT_MODE = 0o644
TOKEN_MODE = 0o600
TOKEN_SECONDS = 3600
REFRESH = timedelta(seconds=5)
"""The kubelet's own is a minute (``syncFrequency``), and up to as much again for what it has in its cache."""
_READ_ONLY_MASK, _EXECUTE_MASK, _WRITE_MASK = 0o440, 0o110, 0o660
_KINDS = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True)
class File:
    """One file of a volume; ``owner`` is a uid, or None for root."""

    content: bytes
    mode: int
    owner: int | None = None


class Volumes:
    """The volumes of one pod, each a directory below ``directory``.

    ``owned`` says that groups and owners are given, and changes followed, which takes root's rights.
    """

    def __init__(self, api: ApiClient, directory: Path, address: str, *, owned: bool) -> None:
        self._api = api
        self._directory = directory
        self._address = address
        self._owned = owned
        self._written: dict[str, Mapping[str, File]] = {}
        self._tokens: dict[tuple[str, int], bytes] = {}
        self._looked_at: datetime | None = None
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def mounted(self) -> bool:
        """Whether they are there."""
        return self._looked_at is not None

    def mount(self, pod: Json, now: datetime) -> None:
        """Makes them. Raises ``ConfigurationError`` for what is not there yet, ``UnsupportedError`` for what is not done."""
        for volume in pod["spec"].get("volumes") or []:
            target = self._directory / volume["name"]
            if not target.is_dir():
                target.mkdir(parents=True)
                target.chmod(0o777)
                self._own(pod, target, read_only="emptyDir" not in volume)
            self._write(pod, volume)
        self._looked_at = now

    def refresh(self, pod: Json, now: datetime) -> None:
        """Follows the API from time to time; what is gone there stays as it was."""
        if not self._owned or self._looked_at is None or now - self._looked_at < REFRESH:
            return
        self._looked_at = now
        for volume in pod["spec"].get("volumes") or []:
            with contextlib.suppress(ConfigurationError, ApiError):
                self._write(pod, volume)

    def source(self, name: str, sub_path: str = "") -> Path:
        """What is mounted: the volume, or that part of it, which is made a directory where there is nothing."""
        place = self._directory / name / sub_path
        if sub_path and not place.exists():
            place.mkdir(parents=True)
            place.chmod(stat.S_IMODE((self._directory / name).stat().st_mode))
        return place

    def _write(self, pod: Json, volume: Json) -> None:
        if "emptyDir" in volume:
            return
        files = self._files(pod, volume)
        if self._written.get(volume["name"]) != files:
            self._publish(pod, self._directory / volume["name"], files)
            self._written[volume["name"]] = files

    def _files(self, pod: Json, volume: Json) -> dict[str, File]:
        kind = next((kind for kind in _KINDS if kind in volume), None)
        mode = volume[kind].get("defaultMode", DEFAULT_MODE) if kind else DEFAULT_MODE
        sources = volume["projected"].get("sources") or [] if kind == "projected" else [volume]
        files: dict[str, File] = {}
        for source in sources:
            files |= self._of_source(pod, volume["name"], source, mode)
        return files

    def _of_source(self, pod: Json, volume: str, source: Json, mode: int) -> dict[str, File]:
        """The files of one source. A volume names its Secret ``secretName``, a projection names it ``name``."""
        if "downwardAPI" in source:
            items = source["downwardAPI"].get("items") or []
            return {item["path"]: File(self._downward(pod, item), item.get("mode", mode)) for item in items}
        if "serviceAccountToken" in source and self._owned:
            token, owner = source["serviceAccountToken"], volume_owner(pod)
            grouped = "fsGroup" in (pod["spec"].get("securityContext") or {})
            narrow = TOKEN_MODE if owner is not None or grouped else mode
            return {token["path"]: File(self._token(pod, token), narrow, owner)}
        for kind, field in (("secret", "secret"), ("configmap", "configMap")):
            if field in source:
                reference = source[field]
                name = reference.get("secretName") or reference["name"]
                optional = bool(reference.get("optional"))
                found = data(self._api, pod, kind, name, optional=optional)
                items = reference.get("items")
                if items is None:
                    return {path: File(content, mode) for path, content in found.items()}
                missing = [item["key"] for item in items if item["key"] not in found]
                if missing and not optional:
                    raise ConfigurationError(f"references non-existent {kind} key: {missing[0]}")
                return {
                    item["path"]: File(found[item["key"]], item.get("mode", mode))
                    for item in items
                    if item["key"] in found
                }
        kinds = ", ".join(sorted(set(source) - {"name"}))
        raise UnsupportedError(f"volume {volume}: the process kubelet has no {kinds}")

    def _downward(self, pod: Json, item: Json) -> bytes:
        if "fieldRef" not in item:
            raise UnsupportedError("the process kubelet has no resourceFieldRef")
        path = item["fieldRef"]["fieldPath"]
        if path in ("metadata.labels", "metadata.annotations"):  # FormatMap in pkg/fieldpath
            pairs = pod["metadata"].get(path.removeprefix("metadata.")) or {}
            return "\n".join(f'{key}="{pairs[key]}"' for key in sorted(pairs)).encode()
        return downward(pod, path, self._address).encode()

    def _token(self, pod: Json, token: Json) -> bytes:
        """By TokenRequest, bound to the pod; asked for once, as no pod here lives for the hour that it is good."""
        metadata = pod["metadata"]
        audience, seconds = token.get("audience", ""), token.get("expirationSeconds", TOKEN_SECONDS)
        known = self._tokens.get((audience, seconds))
        if known is None:
            account = pod["spec"].get("serviceAccountName") or "default"
            bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            spec: Json = {"expirationSeconds": seconds, "boundObjectRef": bound}
            spec["audiences"] = [audience] if audience else []
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{account}/token"
            try:
                known = self._api.create(path, request)["status"]["token"].encode()
            except ApiError as error:  # the kubelet shows it in an Event and tries again
                raise ConfigurationError(f"failed to fetch token: {error.message}") from error
            self._tokens[audience, seconds] = known
        return known

    def _publish(self, pod: Json, target: Path, files: Mapping[str, File]) -> None:
        """All at once: ``NAME`` leads to ``..data/NAME``, and ``..data`` is moved to a new directory by one rename."""
        new = next(one for number in itertools.count() if not (one := target / f"..{number}").exists())
        new.mkdir()
        new.chmod(0o755)
        for path, file in files.items():
            place = new / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.content)
            place.chmod(file.mode)
            if file.owner is not None:
                os.chown(place, file.owner, -1)
        for place in (new, *new.rglob("*")):
            self._own(pod, place, read_only=True)
        old = (target / "..data").resolve() if (target / "..data").is_symlink() else None
        (target / "..data_tmp").symlink_to(new.name)
        (target / "..data_tmp").replace(target / "..data")
        wanted = {path.split("/")[0] for path in files}
        for name in wanted - {entry.name for entry in target.iterdir()}:
            (target / name).symlink_to(Path("..data") / name)
        for stale in target.iterdir():
            if not stale.name.startswith("..") and stale.name not in wanted:
                stale.unlink()
        if old is not None:
            shutil.rmtree(old)

    def _own(self, pod: Json, place: Path, *, read_only: bool) -> None:
        """``fsGroup``: the group, and what it may do."""
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if group is None or not self._owned:
            return
        mode = stat.S_IMODE(place.stat().st_mode) | (_READ_ONLY_MASK if read_only else _WRITE_MASK)
        if place.is_dir():
            mode |= stat.S_ISGID | _EXECUTE_MASK
        os.chown(place, -1, group)
        place.chmod(mode)
