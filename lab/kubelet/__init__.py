"""The process kubelet: a node on which a pod's containers are local processes. It needs no rights.

It is the node of the fake API server, for the demo and the integration tests; the end-to-end tests have a real one
(``lab.node``). It plays the kubelet, and the part of the scheduler that binds a pod to its one node, through the API
alone. A crash, a back-off, an exit code, a probe and a log are real; what is around the process is not:

- An image is only a name. A container runs ``command`` and ``args`` of its spec; one without a command is refused.
- No mount namespace. A container starts in a directory of its own (unless ``workingDir`` names one of this machine),
  and what it mounts, and its ``terminationMessagePath``, lie *below* that directory: ``/etc/hook/config.yaml`` is
  found as ``etc/hook/config.yaml``. Paths in command and environment are passed on as they are.
- Every pod's address is 127.0.0.1; there are no Services and no DNS.
- A volume's files are not updated later; ``securityContext`` is ignored; there are no service account tokens.
- The process is not pid 1 of a pid namespace, so SIGTERM ends one that has no handler for it. Its children end with
  it: its whole process group is killed.
- ``resources``, ``affinity``, taints and lifecycle hooks are ignored, as is ``imagePullPolicy``: each start is a pull. A
  ``nodeSelector`` fits no node.
- Volumes other than configMap, secret, emptyDir, downwardAPI and the projection of these, probes other than exec and
  tcpSocket, and ``resourceFieldRef`` are refused by name in the container's status, not half done.
- It starts from nothing: pods that were running under an earlier one begin anew, at restartCount 0.
"""

from lab.kubelet.node import ProcessKubelet

__all__ = ["ProcessKubelet"]
