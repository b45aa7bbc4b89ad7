"""A stand-in for Argo CD's application controller: it behaves as the table in the project's lab notes says 3.6 does.

It knows the API through ``ApiClient`` and so runs on the stand-in and on a real API server alike. RollingSync and the
ApplicationSet controller have no part in it.
"""

from lab.argocd.controller import REFRESH, SKIP, ArgoCd, Behaviour, DeletingError, OperationInProgressError
from lab.argocd.server import ArgoCdServer

__all__ = [
    "REFRESH",
    "SKIP",
    "ArgoCd",
    "ArgoCdServer",
    "Behaviour",
    "DeletingError",
    "OperationInProgressError",
]
