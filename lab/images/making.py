"""How an image comes to be, and into the folder of a registry: built by buildah around files, pushed once, kept.

Knows Dockerfiles, registries and the cache; nothing of what is in an image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab import toolchain
from lab.node.registry import Registry
from lab.toolchain import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lab.image import Builder
    from lab.toolchain import Progress

_KEPT = 4
"""So many versions of an image stay in the cache."""
_BUSYBOX = "bin/busybox"


@dataclass(frozen=True)
class Made:
    """An image by its name: files and texts by their paths in it, and what its Dockerfile says after those."""

    name: str
    files: Mapping[str, Path]
    lines: tuple[str, ...]
    texts: Mapping[str, str] = field(default_factory=dict)
    base: str = "scratch"

    @property
    def digest(self) -> str:
        """Of all that it is made of."""
        return digest_of(self.files.values(), repr((self.name, sorted(self.files), self.lines, self.texts, self.base)))


def shell(progress: Progress = print) -> dict[str, Path]:
    """Debian's static busybox, by whose names the commands of a shell are there."""
    return {_BUSYBOX: toolchain.program("busybox", "busybox-static", progress).resolve()}


def repository(name: str) -> str:
    """An image's name as a registry has it, which does not know its own."""
    registry, _, rest = name.partition("/")
    return rest if "." in registry else name


def push(builder: Builder, made: Made, to: str) -> None:
    """Build an image and push it to a registry of this machine, ``HOST:PORT``. Raises ``ImageError``."""
    with tempfile.TemporaryDirectory(prefix="context-", dir=builder.directory) as scratch:
        context = Path(scratch)
        (context / "empty").mkdir()
        _lay_out(made, context / "root")
        lines = [f"FROM {made.base}", "COPY root /", "ENV PATH=/usr/local/bin:/usr/bin:/bin", *made.lines]
        (context / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="utf-8")
        name = f"localhost/lab/{repository(made.name)}"
        builder.make_of(context, name)
        builder.push(name, f"{to}/{repository(made.name)}")


def kept(name: str, digest: str, push_to: Callable[[str], None], progress: Progress) -> Path:
    """The folder of a registry in the cache that has one image; ``push_to`` pushes it to an address where it is missing."""
    home = cache_directory() / "images" / name
    found = home / digest

    def make(target: Path) -> None:
        with (
            tempfile.TemporaryDirectory(prefix="lab-registry-") as scratch,
            Registry(target, Path(scratch), "127.0.0.1") as registry,
        ):
            push_to(registry.address)

    if not found.exists():
        progress(f"making the image {name}")
        toolchain.make_once(found, progress, make)
    os.utime(found)
    for old in sorted(home.glob("[0-9a-f]*"), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return found


def merge(found: Iterable[Path], store: Path) -> None:
    """Make one registry's folder of several, by second names of their files."""
    for source in found:
        shutil.copytree(source, store, copy_function=_link, dirs_exist_ok=True)


def digest_of(paths: Iterable[Path], more: str = "") -> str:
    """Of files, and of all below folders but what Python compiled."""
    found = hashlib.sha256(more.encode())
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.suffix != ".pyc":
                found.update(str(file.relative_to(path)).encode())
                with file.open("rb") as content:
                    found.update(hashlib.file_digest(content, "sha256").digest())
    return found.hexdigest()[:16]


def _lay_out(made: Made, root: Path) -> None:
    root.mkdir()
    for where, source in made.files.items():
        target = root / where
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
            target.chmod(0o755)
    for where, text in made.texts.items():
        (root / where).parent.mkdir(parents=True, exist_ok=True)
        (root / where).write_text(text, encoding="utf-8")
    if (busybox := root / _BUSYBOX).exists():
        listed = subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True, timeout=10)
        for command in set(listed.stdout.split()) - {busybox.name}:
            (busybox.parent / command).symlink_to(busybox.name)


def _link(source: str, target: str) -> None:
    with suppress(FileExistsError):  # a layer that two images share
        os.link(source, target)
