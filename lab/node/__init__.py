"""A real node on this machine: containerd, kubelet and kube-proxy in namespaces and cgroups of their own. Root, Linux.

What runs on it runs as on any node: images are pulled from a registry, pods have their own network, names come from the
cluster's DNS and Services from kube-proxy. What is not as elsewhere:

- The node's programs see this machine's file system, but for the folders that they write to.
- The registry is on the host's end of the network, whatever an image's name says, and speaks plain HTTP.
- The network plugin is the bridge of containernetworking-plugins: it enforces no NetworkPolicy.
- Neither disk nor memory of the machine makes the kubelet evict a pod.
- No cloud: no LoadBalancer, no volumes but the kubelet's own.
"""
