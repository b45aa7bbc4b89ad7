"""A real control plane as processes of this machine: etcd, Kubernetes, Argo CD and git.

Real: etcd, kube-apiserver with RBAC and admission, kube-controller-manager with its controllers, kube-scheduler; Argo
CD's repo-server (with git and helm), application-controller, applicationset-controller and, where a scenario asks for it,
argocd-server, with the ServiceAccounts and RBAC of its own install.yaml; redis. Its nodes are ``lab.node``'s.

Not there: dex and notifications (nothing asks them). Two control planes, a hub and a spoke, are two of everything but the
network between them: both are this machine's, where every pod reaches every server.
"""
