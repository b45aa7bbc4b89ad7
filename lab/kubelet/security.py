"""As whom a container runs and what it may write: its ``securityContext``, the pod's and the image's user, put together.

Knows these three and nothing else. A container's field counts before the pod's
(``DetermineEffectiveSecurityContext`` in pkg/securitycontext/util.go, Kubernetes v1.36.1).
"""

from dataclasses import dataclass

from lab.api_client import Json
from lab.kubelet.configuration import ConfigurationError
from lab.kubelet.image import Image


@dataclass(frozen=True)
class Security:
    """What is honoured of it."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    read_only_root: bool
    no_new_privileges: bool
    drop_capabilities: bool
    """All are dropped; a single one is not, and none is added back."""


def security(pod: Json, container: Json, image: Image) -> Security:
    """Raises ``ConfigurationError``, in the words of ``verifyRunAsNonRoot``, where a user that must not be root would be."""
    of_pod = pod["spec"].get("securityContext") or {}
    own = container.get("securityContext") or {}
    both = {**of_pod, **own}
    uid, gid = image.user
    if "runAsUser" in both:
        # The image's group belongs to the image's user; another user's would be looked up in /etc/passwd, else root's.
        uid, gid = both["runAsUser"], gid if both["runAsUser"] == uid else 0
    gid = both.get("runAsGroup", gid)
    if both.get("runAsNonRoot") and uid == 0:
        cause = (
            "container's runAsUser breaks non-root policy"
            if "runAsUser" in both
            else "container has runAsNonRoot and image will run as root"
        )
        raise ConfigurationError(f'{cause} (pod: "{shown(pod)}", container: {container["name"]})')
    groups = {*(of_pod.get("supplementalGroups") or []), *([of_pod["fsGroup"]] if "fsGroup" in of_pod else [])}
    return Security(
        uid=uid,
        gid=gid,
        groups=tuple(sorted(groups)),
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        drop_capabilities="ALL" in ((own.get("capabilities") or {}).get("drop") or []),
    )


def shown(pod: Json) -> str:
    """A pod in the kubelet's messages (``format.Pod``)."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"


def volume_owner(pod: Json) -> int | None:
    """Whose a token's file is: the one user of all containers, if there is one (``FsUserFrom``)."""
    spec = pod["spec"]
    default = (spec.get("securityContext") or {}).get("runAsUser")
    containers = [*(spec.get("initContainers") or []), *spec["containers"]]
    users = {(one.get("securityContext") or {}).get("runAsUser", default) for one in containers}
    return users.pop() if len(users) == 1 else None
