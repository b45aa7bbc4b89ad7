"""A real control plane on this machine, without containers: etcd, Kubernetes, Argo CD and git, as local processes.

Real: etcd, kube-apiserver with RBAC and admission, kube-controller-manager with its controllers; Argo CD's
repo-server (with git and helm), application-controller and applicationset-controller with the ServiceAccounts and RBAC
of its own install.yaml; redis.

Not there: scheduler, kubelet, kube-proxy and DNS (``lab.kubelet`` stands in for them), argocd-server, dex and
notifications (nothing asks them; Applications are read and written through the Kubernetes API). Services and pods have
addresses in the loopback network; EndpointSlices refuse those, so there are none, and their controllers are off.

``python -m lab.control_plane`` builds all of it ahead of use.
"""
