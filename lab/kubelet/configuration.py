"""What a container is given: environment, command line and the files of its volumes.

Knows the pod's spec, the Secrets and ConfigMaps it names (read through the API at each start, as the kubelet does)
and a directory to write to. Expansion of ``$(NAME)`` follows third_party/forked/golang/expansion; messages follow
``makeEnvironmentVariables`` in pkg/kubelet/kubelet_pods.go (Kubernetes v1.36.1).
"""

import base64
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from lab.api_client import ApiClient, ApiError, Json

POD_IP = "127.0.0.1"
_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_KINDS = {"secret": "secrets", "configmap": "configmaps"}


class ConfigurationError(Exception):
    """A Secret, ConfigMap or key that the spec names is not there (yet): tried again at each turn."""


class UnsupportedError(Exception):
    """The pod asks for something that the process kubelet does not do."""


def environment(api: ApiClient, pod: Json, container: Json, home: Path) -> dict[str, str]:
    """The container's environment. Of this machine's it gets PATH alone, as an image would set it."""
    given = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home)}
    given["HOSTNAME"] = pod["metadata"]["name"]
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        for kind, field in (("secret", "secretRef"), ("configmap", "configMapRef")):
            reference = source.get(field)
            if reference is not None:
                data = _data(api, pod, kind, reference["name"], optional=bool(reference.get("optional")))
                given |= {prefix + key: os.fsdecode(value) for key, value in data.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _value_from(api, pod, variable["valueFrom"])
            if value is None:
                continue
        else:
            value = expand(variable.get("value") or "", given)
        given[variable["name"]] = value
    return given


def command_line(container: Json, given: Mapping[str, str]) -> list[str]:
    """Command and arguments, with references to the environment expanded."""
    command = container.get("command") or []
    if not command:
        raise UnsupportedError("no command specified: an image is only a name to the process kubelet")
    return [expand(word, given) for word in [*command, *(container.get("args") or [])]]


def expand(text: str, given: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes its value, ``$$`` a dollar; a reference to what is not there stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return given.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def write_volumes(api: ApiClient, pod: Json, directory: Path) -> None:
    """Each volume becomes a directory of its own below ``directory``."""
    for volume in pod["spec"].get("volumes") or []:
        target = directory / volume["name"]
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path, content in _volume_files(api, pod, volume).items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def mount(container: Json, volumes: Path, root: Path) -> None:
    """Links each of the container's mounts into its directory."""
    root.mkdir(parents=True, exist_ok=True)
    for entry in container.get("volumeMounts") or []:
        place = below(root, entry["mountPath"])
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            place.symlink_to(volumes / entry["name"] / entry.get("subPath", ""))


def below(root: Path, path: str) -> Path:
    """Where an absolute path of the container lies on this machine."""
    return root / path.lstrip("/")


def _volume_files(api: ApiClient, pod: Json, volume: Json) -> dict[str, bytes]:
    if "emptyDir" in volume:
        return {}
    if "projected" in volume:
        files: dict[str, bytes] = {}
        for source in volume["projected"].get("sources") or []:
            files |= _source_files(api, pod, volume["name"], source)
        return files
    return _source_files(api, pod, volume["name"], volume)


def _source_files(api: ApiClient, pod: Json, volume: str, source: Json) -> dict[str, bytes]:
    """The files of one source. A volume names its Secret ``secretName``, a projection names it ``name``."""
    if "downwardAPI" in source:
        items = source["downwardAPI"].get("items") or []
        return {item["path"]: _field(pod, item["fieldRef"]).encode() for item in items}
    for kind, field in (("secret", "secret"), ("configmap", "configMap")):
        if field in source:
            reference = source[field]
            name = reference.get("secretName") or reference["name"]
            optional = bool(reference.get("optional"))
            data = _data(api, pod, kind, name, optional=optional)
            items = reference.get("items")
            if items is None:
                return data
            missing = [item["key"] for item in items if item["key"] not in data]
            if missing and not optional:
                raise ConfigurationError(f"references non-existent {kind} key: {missing[0]}")
            return {item["path"]: data[item["key"]] for item in items if item["key"] in data}
    kinds = ", ".join(sorted(set(source) - {"name"}))
    raise UnsupportedError(f"volume {volume}: the process kubelet has no {kinds}")


def _value_from(api: ApiClient, pod: Json, source: Json) -> str | None:
    """The value, or None where an optional reference has none."""
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"])
    for kind, field, shown in (
        ("secret", "secretKeyRef", "Secret"),
        ("configmap", "configMapKeyRef", "ConfigMap"),
    ):
        if field in source:
            name, key = source[field]["name"], source[field]["key"]
            optional = bool(source[field].get("optional"))
            data = _data(api, pod, kind, name, optional=optional)
            if key in data:
                return os.fsdecode(data[key])
            if optional:
                return None
            where = f"{shown} {pod['metadata']['namespace']}/{name}"
            raise ConfigurationError(f"couldn't find key {key} in {where}")
    raise UnsupportedError(f"the process kubelet has no valueFrom {', '.join(source)}")


def _field(pod: Json, reference: Json) -> str:
    """The downward API's fields, as ``podFieldSelectorRuntimeValue`` gives them; an absent label is empty."""
    path = reference["fieldPath"]
    metadata, spec = pod["metadata"], pod["spec"]
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((metadata.get(subscript[1]) or {}).get(subscript[2], ""))
    fields = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", ""),
        "status.hostIP": POD_IP,
        "status.podIP": POD_IP,
    }
    if path not in fields:
        raise UnsupportedError(f"the process kubelet has no fieldRef {path}")
    return str(fields[path])


def _data(api: ApiClient, pod: Json, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
    """The content of a Secret or ConfigMap of the pod's namespace."""
    namespace = pod["metadata"]["namespace"]
    try:
        found = api.get(f"/api/v1/namespaces/{namespace}/{_KINDS[kind]}/{name}")
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        if optional:
            return {}
        raise ConfigurationError(f'{kind} "{name}" not found') from error
    plain = found.get("data") or {}
    if kind == "secret":
        return {key: base64.b64decode(value) for key, value in plain.items()}
    binary = found.get("binaryData") or {}
    return {key: value.encode() for key, value in plain.items()} | {
        key: base64.b64decode(value) for key, value in binary.items()
    }
