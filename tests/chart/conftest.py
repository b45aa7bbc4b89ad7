"""Real helm, 3 and 4, and the API server's own judgement of manifests; each is built once into the lab's cache."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rendering import Json

from lab import helm, toolchain
from lab.helm import Helm
from lab.toolchain import Progress

_VALIDATION = Path(__file__).parent / "apivalidation"
_KUBERNETES: Mapping[str, tuple[str, ...]] = {
    "1.29": ("-modfile=kubernetes-1.29.mod", "-tags=kubernetes129"),
    "1.36": (),
}
"""The oldest release that the chart supports, and the newest that was tried; by how its validation is built."""

Validate = Callable[[Iterable[Json]], dict[str, list[str]]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Time the tests, not their fixtures: the first time ever, these compile for some ten minutes, and say so."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(120, func_only=True))


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Progress:
    """Where builds tell that they take minutes."""
    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    return reporter.write_line if reporter else print


@pytest.fixture(scope="session")
def helm3(progress: Progress) -> Helm:
    """Helm 3, which Argo CD renders with."""
    return helm.helm(3, progress)


@pytest.fixture(scope="session")
def helm4(progress: Progress) -> Helm:
    """Helm 4."""
    return helm.helm(4, progress)


@pytest.fixture(scope="session", params=_KUBERNETES)
def validate(request: pytest.FixtureRequest, progress: Progress) -> Validate:
    """Asks what a real API server would refuse: objects to faults, by kind, namespace and name."""
    release, flags = request.param, _KUBERNETES[request.param]
    sources = sorted(path for path in _VALIDATION.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    state = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    kept = toolchain.build_once(
        toolchain.cache_directory() / "apivalidation" / f"{release}-{state}",
        f"the validation of Kubernetes {release}",
        ["build", "-C", str(_VALIDATION), *flags, "-o", "{target}/apivalidation", "."],
        progress,
    )

    def ask(objects: Iterable[Json]) -> dict[str, list[str]]:
        given = "\n".join(json.dumps(one) for one in objects)
        done = subprocess.run(  # noqa: S603 -- our own program
            [str(kept / "apivalidation")], input=given, capture_output=True, text=True, check=True, timeout=60
        )
        answers: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
        return {answer["name"]: answer["faults"] for answer in answers}

    return ask
