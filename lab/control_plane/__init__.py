"""A real control plane on this machine, without containers: etcd, Kubernetes, Argo CD and git, as local processes.

Real: etcd, kube-apiserver with RBAC and admission, kube-controller-manager with its controllers; Argo CD's
repo-server (with git and helm), application-controller, applicationset-controller and, where a scenario asks for it,
argocd-server, with the ServiceAccounts and RBAC of its own install.yaml; redis.

Not there: scheduler, kubelet, kube-proxy and DNS (``lab.kubelet`` stands in for them), dex and notifications (nothing
asks them). Services and pods have addresses in the loopback network; EndpointSlices refuse those, so there are none, and
their controllers are off. Two control planes, a hub and a spoke, are two of everything but the network between them: both
are this machine's, where every pod reaches every server.

``python -m lab.control_plane`` builds all of it ahead of use.
"""
