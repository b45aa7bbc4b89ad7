"""A pod's volumes: directories of this machine, whose files come from the API when the pod starts.

Knows the pod's spec, the API and a directory to write to; not where a container finds them.
"""

from collections.abc import Mapping
from pathlib import Path

from lab.api_client import ApiClient, Json
from lab.kubelet.configuration import ConfigurationError, UnsupportedError, data, downward

_KINDS = ("configMap", "secret", "downwardAPI", "projected")


class Volumes:
    """The volumes of one pod, each a directory below ``directory``."""

    def __init__(self, api: ApiClient, directory: Path) -> None:
        self._api = api
        self._directory = directory
        self.mounted = False
        """Whether they are there."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def mount(self, pod: Json) -> None:
        """Makes them. Raises ``ConfigurationError`` for what is not there yet, ``UnsupportedError`` for what is not done."""
        for volume in pod["spec"].get("volumes") or []:
            target = self._directory / volume["name"]
            target.mkdir(parents=True, exist_ok=True)
            for path, content in self._files(pod, volume).items():
                place = target / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        self.mounted = True

    def source(self, name: str, sub_path: str = "") -> Path:
        """What is mounted: the volume, or that part of it, which is made a directory where there is nothing."""
        place = self._directory / name / sub_path
        if not place.exists():
            place.mkdir(parents=True)
        return place

    def _files(self, pod: Json, volume: Json) -> dict[str, bytes]:
        if "emptyDir" in volume:
            return {}
        kind = next((kind for kind in _KINDS if kind in volume), None)
        sources = volume["projected"].get("sources") or [] if kind == "projected" else [volume]
        files: dict[str, bytes] = {}
        for source in sources:
            files |= self._of_source(pod, volume["name"], source)
        return files

    def _of_source(self, pod: Json, volume: str, source: Json) -> Mapping[str, bytes]:
        """The files of one source. A volume names its Secret ``secretName``, a projection names it ``name``."""
        if "downwardAPI" in source:
            return {item["path"]: _downward(pod, item) for item in source["downwardAPI"].get("items") or []}
        for kind, field in (("secret", "secret"), ("configmap", "configMap")):
            if field in source:
                reference = source[field]
                name = reference.get("secretName") or reference["name"]
                optional = bool(reference.get("optional"))
                found = data(self._api, pod, kind, name, optional=optional)
                items = reference.get("items")
                if items is None:
                    return found
                missing = [item["key"] for item in items if item["key"] not in found]
                if missing and not optional:
                    raise ConfigurationError(f"references non-existent {kind} key: {missing[0]}")
                return {item["path"]: found[item["key"]] for item in items if item["key"] in found}
        kinds = ", ".join(sorted(set(source) - {"name"}))
        raise UnsupportedError(f"volume {volume}: the process kubelet has no {kinds}")


def _downward(pod: Json, item: Json) -> bytes:
    if "fieldRef" not in item:
        raise UnsupportedError("the process kubelet has no resourceFieldRef")
    path = item["fieldRef"]["fieldPath"]
    if path in ("metadata.labels", "metadata.annotations"):  # FormatMap in pkg/fieldpath
        pairs = pod["metadata"].get(path.removeprefix("metadata.")) or {}
        return "\n".join(f'{key}="{pairs[key]}"' for key in sorted(pairs)).encode()
    return downward(pod, path).encode()
