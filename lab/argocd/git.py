"""What is in git: for each Application its commits, each a list of manifests under a revision.

It knows neither the cluster nor Applications' status. One Application's commit does not touch another's revision, as
with a repository each.
"""

import copy
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from lab.api_client import Json

_BRANCHES = ("", "HEAD", "main")


class RevisionError(Exception):
    """Nothing in git under this name: what Argo CD's ComparisonError says of it."""


class Git:
    """May be written while Argo CD reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commits: dict[str, list[tuple[str, list[Json]]]] = {}

    def commit(self, application: str, manifests: Sequence[Mapping[str, Any]]) -> str:
        """A new revision, 40 hexadecimal digits."""
        with self._lock:
            commits = self._commits.setdefault(application, [])
            content = json.dumps([application, len(commits), list(manifests)], sort_keys=True)
            revision = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
            commits.append((revision, [copy.deepcopy(dict(each)) for each in manifests]))
            return revision

    def resolve(self, application: str, wanted: str) -> tuple[str, list[Json]]:
        """A revision as it stands; of a branch, the newest commit."""
        with self._lock:
            commits = self._commits.get(application)
            if not commits:
                message = f"{application}: app path does not exist"
                raise RevisionError(message)
            for revision, manifests in commits:
                if revision == wanted:
                    return revision, copy.deepcopy(manifests)
            if wanted not in _BRANCHES:
                message = f"failed to resolve revision \"{wanted}\": unable to resolve '{wanted}' to a commit SHA"
                raise RevisionError(message)
            return commits[-1][0], copy.deepcopy(commits[-1][1])
