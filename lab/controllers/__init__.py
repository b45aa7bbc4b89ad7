"""Stand-ins for kube-controller-manager on the fake API: Deployments, ReplicaSets, Jobs, and the garbage collector.

In e2e the real one does this. They write what it writes (names, labels, owner references, status, conditions, reasons;
pkg/controller, Kubernetes v1.36.1) and leave out what no scenario needs:

- A Job has no indexes and no success policy, and a pod that is refused is tried again at once.
- A Deployment can roll and be recreated; no pause, no rollback, and old ReplicaSets are kept.
  An indexed Job or a paused Deployment ends them by an exception.
- The garbage collector knows the ReplicaSets of Deployments and the pods of ReplicaSets and Jobs, and deletes them in
  the background when their owner is gone.
"""

from lab.controllers.manager import ControllerManager

__all__ = ["ControllerManager"]
