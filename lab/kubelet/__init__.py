"""The process kubelet: a node on which a pod's containers are local processes.

It plays the kubelet, and the part of the scheduler that binds a pod to its one node, through the API alone, so that
the same code serves the fake API server and a real one. A crash, a back-off, an exit code, a probe and a log are real;
what is around the process is so in two degrees.

Plain, which needs no rights:

- An image is only a name. A container runs ``command`` and ``args`` of its spec; one without a command is refused.
- No mount namespace. A container starts in a directory of its own (unless ``workingDir`` names one of this machine),
  and what it mounts, and its ``terminationMessagePath``, lie *below* that directory: ``/etc/hook/config.yaml`` is
  found as ``etc/hook/config.yaml``. Paths in command and environment are passed on as they are.
- Every pod's address is 127.0.0.1.
- A volume's files are not updated later; ``securityContext`` is ignored; there are no service account tokens.

Isolated, where ``images`` are given, which needs root on Linux:

- An image is a command, an environment, a user and files of this machine (``Image``).
- A container has a root of its own, an overlay over this machine's ``/``: it sees what is installed here, and what it
  writes is gone with it. Mounts, user, groups, a read-only root, ``allowPrivilegeEscalation`` and the dropping of all
  capabilities are as the spec says. Files of Secrets and ConfigMaps follow the API within some 5 s.
- No network namespace: a pod has an address of its own in 127.77.0.0/16, but whoever listens on 0.0.0.0 takes the port
  from all of them, and from the Services, which are forwarded at their cluster IPs. ``localhost`` is shared by all.
- In place of DNS every Service, headless ones with their ready pods, is in ``/etc/hosts``.

In both:

- The process is not pid 1 of a pid namespace, so SIGTERM ends one that has no handler for it. Its children end with
  it: its whole process group is killed, and when isolated whatever lives in its mounts.
- ``resources``, ``affinity``, taints and lifecycle hooks are ignored, as is ``imagePullPolicy``: each start is a pull.
- The log is a file: opening ``/dev/stdout`` anew truncates or overwrites it, where a runtime's pipe would take it.
- Volumes other than configMap, secret, emptyDir, downwardAPI and the projection of these and of tokens are refused by
  name in the container's status, not half done, as are ``resourceFieldRef``, and logs followed or by time.
- It starts from nothing: pods that were running under an earlier one begin anew, at restartCount 0.
"""

from lab.kubelet.image import Image
from lab.kubelet.node import ProcessKubelet

__all__ = ["Image", "ProcessKubelet"]
