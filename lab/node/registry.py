"""A registry of images on this machine: Debian's ``docker-registry`` over a folder, to which containerd is led.

Knows its configuration and containerd's; nothing of the images.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

from lab.control_plane.component import Component
from lab.node import builds
from lab.processes import free_port

if TYPE_CHECKING:
    from pathlib import Path


class Registry:
    """One server over ``store``, a folder that several may share as long as the same is not pushed twice at once."""

    def __init__(self, store: Path, directory: Path, host: str) -> None:
        self.address = f"{host}:{free_port()}"
        self.directory = directory
        self._store = store
        self._component: Component | None = None

    def __enter__(self) -> Self:
        self._store.mkdir(parents=True, exist_ok=True)
        configuration = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": str(self._store)},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": self.address, "secret": "lab"},
        }
        file = self.directory / "registry.json"  # which is YAML too
        file.write_text(json.dumps(configuration), encoding="utf-8")
        self._component = Component(
            [str(builds.registry()), "serve", str(file)], name="registry", directory=self.directory
        )
        self._component.wait_until_answers(f"http://{self.address}/v2/")
        return self

    def __exit__(self, *_: object) -> None:
        if self._component is not None:
            self._component.stop()

    def lead(self, directory: Path) -> Path:
        """Write what leads containerd here for every registry's name: what is not here is honestly not found."""
        every = directory / "_default"
        every.mkdir(parents=True)
        url = f"http://{self.address}"
        lines = [f'server = "{url}"', f'[host."{url}"]', '  capabilities = ["pull", "resolve"]', ""]
        (every / "hosts.toml").write_text("\n".join(lines), encoding="utf-8")
        return directory
