"""What a container is given: environment and command line.

Knows the pod's spec and the Secrets and ConfigMaps it names (read through the API at each start, as the kubelet does).
Expansion of ``$(NAME)`` follows third_party/forked/golang/expansion; messages follow
``makeEnvironmentVariables`` in pkg/kubelet/kubelet_pods.go (Kubernetes v1.36.1).
"""

import base64
import os
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from lab.api_client import ApiClient, ApiError, Json

NODE_IP = "127.0.0.1"
_REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")
_KINDS = {"secret": "secrets", "configmap": "configmaps"}


class ConfigurationError(Exception):
    """A Secret, ConfigMap or key that the spec names is not there (yet): tried again at each turn."""


class UnsupportedError(Exception):
    """The pod asks for something that the process kubelet does not do."""


def environment(api: ApiClient, pod: Json, container: Json, home: Path) -> dict[str, str]:
    """The container's environment: of this machine's PATH alone, as an image would set it, then what the pod says."""
    result = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "HOSTNAME": pod["metadata"]["name"]}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix", "")
        for kind, field in (("secret", "secretRef"), ("configmap", "configMapRef")):
            reference = source.get(field)
            if reference is not None:
                found = data(api, pod, kind, reference["name"], optional=bool(reference.get("optional")))
                result |= {prefix + key: os.fsdecode(value) for key, value in found.items()}
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _value_from(api, pod, variable["valueFrom"])
            if value is None:
                continue
        else:
            value = expand(variable.get("value") or "", result)
        result[variable["name"]] = value
    return result


def command_line(container: Json, given: Mapping[str, str]) -> list[str]:
    """Command and arguments, with references to the environment expanded."""
    command = [expand(word, given) for word in container.get("command") or []]
    if not command:
        raise UnsupportedError("no command specified: an image is only a name to the process kubelet")
    return [*command, *(expand(word, given) for word in container.get("args") or [])]


def expand(text: str, given: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes its value, ``$$`` a dollar; a reference to what is not there stays as it is."""

    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return given.get(match[1], match[0])

    return _REFERENCE.sub(replacement, text)


def _value_from(api: ApiClient, pod: Json, source: Json) -> str | None:
    """The value, or None where an optional reference has none."""
    if "fieldRef" in source:
        return downward(pod, source["fieldRef"]["fieldPath"])
    for kind, field, shown in (
        ("secret", "secretKeyRef", "Secret"),
        ("configmap", "configMapKeyRef", "ConfigMap"),
    ):
        if field in source:
            name, key = source[field]["name"], source[field]["key"]
            optional = bool(source[field].get("optional"))
            found = data(api, pod, kind, name, optional=optional)
            if key in found:
                return os.fsdecode(found[key])
            if optional:
                return None
            where = f"{shown} {pod['metadata']['namespace']}/{name}"
            raise ConfigurationError(f"couldn't find key {key} in {where}")
    raise UnsupportedError(f"the process kubelet has no valueFrom {', '.join(source)}")


def downward(pod: Json, path: str) -> str:
    """The downward API's fields, as ``podFieldSelectorRuntimeValue`` gives them; an absent label is empty."""
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
        "status.hostIP": NODE_IP,
        "status.hostIPs": NODE_IP,
        "status.podIP": NODE_IP,
        "status.podIPs": NODE_IP,
    }
    if path not in fields:
        raise UnsupportedError(f"the process kubelet has no fieldRef {path}")
    return str(fields[path])


def data(api: ApiClient, pod: Json, kind: str, name: str, *, optional: bool) -> dict[str, bytes]:
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
