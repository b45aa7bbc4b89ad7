"""The process kubelet: a node on which a pod's containers are plain local processes.

It plays the kubelet, and the part of the scheduler that binds a pod to its one node, through the API alone, so that
the same code serves the fake API server and a real one. A crash, a back-off, an exit code and a log are real; what
is not there is the container around the process:

- An image is only a name. A container runs ``command`` and ``args`` of its spec; one without a command is refused.
- No mount namespace. A container starts in a directory of its own (unless ``workingDir`` names one of this machine),
  and what it mounts, and its ``terminationMessagePath``, lie *below* that directory: ``/etc/hook/config.yaml`` is
  found as ``etc/hook/config.yaml``. Paths in command and environment are passed on as they are.
- No network namespace: every pod's address is 127.0.0.1.
- The process is not pid 1 of a pid namespace, so SIGTERM ends one that has no handler for it. Its children end with
  it: its whole process group is killed.
- A volume's files are written when the pod starts and not updated later; ``resources`` and ``securityContext`` are
  ignored, as are liveness and startup probes and lifecycle hooks.
- Init containers, volumes other than configMap, secret, emptyDir, downwardAPI and the projection of these, and
  readiness probes other than tcpSocket and exec are refused by name in the container's status, not half done.
- It starts from nothing: pods that were running under an earlier one begin anew, at restartCount 0.
"""

from lab.kubelet.node import ProcessKubelet

__all__ = ["ProcessKubelet"]
