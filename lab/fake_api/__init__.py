"""A stand-in for the Kubernetes API server that refuses what the real one refuses.

It knows the resources that the hook and the lab use, and no more; ``tests/integration/test_fake_api.py`` holds the
cases that a real kube-apiserver has to pass as well.
"""

from lab.fake_api.access import CLUSTER, Rule
from lab.fake_api.faults import Drop, DropAnswer, Fault, Faults, Hang, Malformed, Refuse, Request, Requests
from lab.fake_api.pod_logs import LogSource
from lab.fake_api.server import FakeApi

__all__ = [
    "CLUSTER",
    "Drop",
    "DropAnswer",
    "FakeApi",
    "Fault",
    "Faults",
    "Hang",
    "LogSource",
    "Malformed",
    "Refuse",
    "Request",
    "Requests",
    "Rule",
]
