"""The image, built once for the session, its unpacked root, and a world beside it. Root only; ``make image-test``."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab import toolchain
from lab.image import Builder, Image, Sandbox
from lab.toolchain import Progress
from lab.world import World


@pytest.fixture(scope="session")
def progress(request: pytest.FixtureRequest) -> Progress:
    """Where builds tell that they take minutes, and the image's size is told: past the capturing of output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n{line}" if "\n" in line else line)

    return tell


@pytest.fixture(scope="session")
def builder(progress: Progress) -> Builder:
    return Builder(progress)


@pytest.fixture(scope="session")
def image(builder: Builder, progress: Progress) -> Image:
    """The image; its size is told."""
    built = builder.build()
    progress(str(built))
    return built


@pytest.fixture(scope="session")
def root(builder: Builder, image: Image) -> Iterator[Path]:
    """Its file system; afterwards nothing is mounted any more."""
    with builder.root_of(image) as mounted:
        yield mounted
    mounts = Path("/proc/mounts").read_text()
    assert not re.findall(rf"^\S+ ({re.escape(str(builder.directory))}\S*/merged\b\S*)", mounts, re.MULTILINE)


@pytest.fixture
def sandbox(image: Image, root: Path, tmp_path: Path) -> Sandbox:
    given = tmp_path / "given"
    given.mkdir()
    return Sandbox(image, root, given)


@pytest.fixture
def make_world(progress: Progress, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Makes a world of real parts and stand-ins that ends with the test."""
    directory = tmp_path / "world"
    directory.mkdir()
    with ExitStack() as stack:
        yield lambda: stack.enter_context(World(toolchain.temporal(progress=progress), directory))
