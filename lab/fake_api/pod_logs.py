"""``pods/log``: which container is meant, and what the kubelet says when it has nothing.

It knows ``LogLocation`` of k8s.io/kubernetes/pkg/registry/core/pod/strategy.go and the errors of
pkg/kubelet/kubelet_pods.go (``validateContainerLogStatus``), which reach the client as 400.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from lab.fake_api.statuses import RefusalError, bad_request


class LogSource(Protocol):
    """What the process kubelet registers."""

    def __call__(  # noqa: PLR0917 - the query of a log is that long
        self,
        namespace: str,
        pod: str,
        container: str,
        previous: bool,  # noqa: FBT001
        tail_lines: int | None,
        limit_bytes: int | None,
    ) -> bytes | None:
        """The log; None where that container, or its previous run, is not there."""
        ...


def read_log(pod: Mapping[str, Any], query: Mapping[str, str], source: LogSource | None) -> str:
    """The log as text, or the refusal that the real server would give."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    containers = [each["name"] for each in pod["spec"]["containers"]]
    others = [each["name"] for each in pod["spec"].get("initContainers", [])]
    container = query.get("container") or (containers[0] if len(containers) == 1 and not others else "")
    if not container:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]")
    if container not in (*containers, *others):
        raise bad_request(f"container {container} is not valid for pod {name}")
    if not pod["spec"].get("nodeName"):
        return ""
    if source is None:
        node = pod["spec"]["nodeName"]
        raise RefusalError(
            500, f'Get "https://{node}/containerLogs/{namespace}/{name}/{container}": connection refused'
        )
    previous = query.get("previous") in ("true", "1", "True")
    log = source(namespace, name, container, previous, _number(query, "tailLines"), _number(query, "limitBytes"))
    if log is not None:
        return log.decode("utf-8", errors="replace")
    if previous:
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    reason = _waiting_reason(pod, container)
    raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not text.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _waiting_reason(pod: Mapping[str, Any], container: str) -> str:
    for status in pod.get("status", {}).get("containerStatuses", []):
        if status["name"] == container:
            return str(status.get("state", {}).get("waiting", {}).get("reason", "ContainerCreating"))
    return "ContainerCreating"
