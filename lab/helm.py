"""Helm itself, both majors that are in use, built once from their Go modules; and what it renders of a chart.

Argo CD 3.x renders with helm 3, its next ones with helm 4. Knows helm's command line; nothing of this project's chart.
``python -m lab.helm`` builds both ahead of use.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.toolchain import BuildError, Progress, build_once, cache_directory

RELEASES = {3: "3.22.0", 4: "4.3.1"}
"""The one of each major that is tried."""

_SECONDS = 60.0

Json = dict[str, Any]


class HelmError(Exception):
    """Helm refused; the text is what it said."""


@dataclass(frozen=True)
class Helm:
    """One helm."""

    major: int
    path: Path

    def template(
        self,
        chart: Path,
        *values: Path | Mapping[str, Any],
        release: str = "gate",
        namespace: str = "data",
        kubernetes: str = "1.36.1",
        more: Sequence[str] = (),
    ) -> str:
        """What ``helm template`` prints. Values are files, or given as they are. Raises ``HelmError``."""
        return self._run(
            ["template", release, str(chart), "--namespace", namespace, "--kube-version", kubernetes, *more], values
        )

    def objects(self, chart: Path, *values: Path | Mapping[str, Any], **options: Any) -> list[Json]:
        """The objects that ``helm template`` prints."""
        return [one for one in yaml.safe_load_all(self.template(chart, *values, **options)) if one is not None]

    def lint(self, chart: Path, *values: Path | Mapping[str, Any], kubernetes: str = "1.36.1") -> str:
        """What ``helm lint --strict`` prints. Raises ``HelmError`` for what it does not like."""
        return self._run(["lint", str(chart), "--strict", "--kube-version", kubernetes], values)

    def package(self, chart: Path, directory: Path) -> Path:
        """The chart's package, written into the directory. Raises ``HelmError``."""
        said = self._run(["package", str(chart), "--destination", str(directory)], ())
        return Path(said.strip().rpartition(": ")[2])

    def index(self, directory: Path, url: str) -> None:
        """Make a repository of a folder with packages, which is served at ``url``. Raises ``HelmError``."""
        self._run(["repo", "index", str(directory), "--url", url], ())

    def _run(self, arguments: Sequence[str], values: Sequence[Path | Mapping[str, Any]]) -> str:
        if sum(not isinstance(one, Path) for one in values) > 1:
            raise ValueError("values are given as they are once: by standard input")
        given = "".join(json.dumps(one) for one in values if not isinstance(one, Path))
        files = [f"--values={one if isinstance(one, Path) else '-'}" for one in values]
        done = subprocess.run(
            [str(self.path), *arguments, *files],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        if done.returncode != 0:
            raise HelmError((done.stderr + done.stdout).strip())
        return done.stdout


def helm(major: int, progress: Progress = print) -> Helm:
    """Helm of this major, built if it is not in the cache. Raises ``BuildError``."""
    release = RELEASES[major]
    package = f"helm.sh/helm/v{major}/cmd/helm@v{release}"
    kept = build_once(cache_directory() / "helm" / release, f"helm {release}", ["install", package], progress)
    return Helm(major, kept / "helm")


if __name__ == "__main__":
    try:
        for each in RELEASES:
            print(helm(each).path)
    except BuildError as failure:
        sys.exit(str(failure))
