"""A git repository on this machine, in the place of the one that Argo CD pulls from.

Knows git's command line; nothing of what is committed.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from lab.control_plane import builds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

BRANCH = "main"

_SECONDS = 30.0
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "lab",
    "GIT_AUTHOR_EMAIL": "lab@example.invalid",
    "GIT_COMMITTER_NAME": "lab",
    "GIT_COMMITTER_EMAIL": "lab@example.invalid",
}


class GitError(RuntimeError):
    """Git refused; the text is what it said."""


class Repository:
    """A repository with the one branch ``main``, made in a directory that does not exist yet."""

    def __init__(self, directory: Path) -> None:
        """Make it, without a commit. Raises ``GitError``."""
        self.directory = directory
        self.url = directory.resolve().as_uri()
        self._program = str(builds.git())
        directory.mkdir(parents=True)
        self._git("init", "--quiet", f"--initial-branch={BRANCH}")

    @property
    def head(self) -> str:
        """The revision of the branch. Raises ``GitError`` before the first commit."""
        return self._git("rev-parse", "--verify", BRANCH).strip()

    def commit(self, files: Mapping[str, str | bytes | None], message: str) -> str:
        """Write files by their paths (None deletes one) and commit; returns the revision, a new one even without change.

        Raises ``GitError``.
        """
        for path, content in files.items():
            file = self.directory / path
            if content is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.encode() if isinstance(content, str) else content)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", f"--message={message}")
        return self.head

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._program, "-C", str(self.directory), *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=os.environ | _ENVIRONMENT,
        )
        if done.returncode != 0:
            raise GitError(f"git {' '.join(arguments)}: {(done.stderr + done.stdout).strip()}")
        return done.stdout
