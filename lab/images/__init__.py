"""What the images of the rollout are on the process kubelet's node: names, and the programs and files behind them.

Temporal's are its own tool and server of each release, with two small programs in place of what their images bring beside
those (``temporal_server``: the entrypoint that fills in the configuration; ``temporal_cli``: two commands of its command
line). The gate's is the program, installed from its wheel and the locked dependencies as the Dockerfile does.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lab import toolchain
from lab.kubelet import Image
from lab.toolchain import cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.toolchain import TemporalBuild

GATE = "ghcr.io/temporal-recovery-hook/temporal-recovery-hook:0.1.0"
"""As the chart names it."""

WEB = "temporalio/ui:2.44.0"

_ROOT = Path(__file__).parent.parent.parent
_SECONDS = 300.0
_ADMIN_TOOLS_SUFFIX = "-tctl-1.18.4-cli-1.5.0"


def server(release: str) -> str:
    """The name of Temporal's server image of a release."""
    return f"temporalio/server:{release}"


def admin_tools_tag(release: str) -> str:
    """The tag of the image that brings the schema of a release, as ``examples/rollout`` writes it."""
    return release + _ADMIN_TOOLS_SUFFIX


def images(builds: Iterable[TemporalBuild], directory: Path) -> dict[str, Image]:
    """All images by name; what has to be made for them is made in ``directory``. Raises ``BuildError``."""
    here = Path(__file__).parent
    gate = _install_gate(directory / "gate")
    cli = directory / "temporal"
    cli.write_text(f"#!{sys.executable}\n{(here / 'temporal_cli.py').read_text(encoding='utf-8')}", encoding="utf-8")
    cli.chmod(0o755)
    found = {
        GATE: Image(
            command=["/app/bin/temporal-recovery-hook"],
            files={"/app": gate},
            environment={
                "PATH": "/app/bin:/usr/local/bin:/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            user=(65532, 65532),
        ),
        WEB: Image(command=["sleep", "infinity"]),
    }
    for build in builds:
        release = build.schema_tool.release
        found[server(release)] = Image(
            command=[sys.executable, "-I", "-S", "/etc/temporal/entrypoint.py"],
            files={
                "/usr/local/bin/temporal-server": build.server,
                "/etc/temporal/entrypoint.py": here / "temporal_server.py",
            },
        )
        found[f"temporalio/admin-tools:{admin_tools_tag(release)}"] = Image(
            command=["sleep", "infinity"],
            files={
                "/usr/local/bin/temporal-sql-tool": build.schema_tool.path,
                "/etc/temporal/schema/postgresql/v12": build.schema_tool.schema_directory,
                "/usr/local/bin/temporal": cli,
            },
            environment={"PYTHONPATH": str(_ROOT)},
        )
    return found


def _install_gate(directory: Path) -> Path:
    """Install the program of this checkout into a directory that a container has as ``/app``.

    Its locked dependencies come out of the cache, where they are installed once.
    """
    lock = _ROOT / "requirements" / "runtime.lock"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    kept = cache_directory() / "gate" / digest
    toolchain.make_once(kept, print, lambda target: _install_dependencies(target, lock))
    app = directory / "app"
    shutil.copytree(kept, app, symlinks=True)
    wheels = directory / "wheel"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    _run([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(_ROOT)])
    python = str(app / "bin" / "python")
    _run([*pip, "--python", python, "install", "--quiet", "--no-deps", "--no-index", *map(str, wheels.glob("*.whl"))])
    script = app / "bin" / "temporal-recovery-hook"
    body = script.read_text(encoding="utf-8").partition("\n")[2]
    script.write_text(f"#!/app/bin/python -Iu\n{body}", encoding="utf-8")  # as the Dockerfile has it
    return app


def _install_dependencies(target: Path, lock: Path) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(target)])
    _run(
        [
            sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(target / "bin" / "python"),
            "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock),
        ]
    )  # fmt: skip


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode != 0:
        raise toolchain.BuildError(f"{' '.join(argv)} failed:\n{(done.stderr or done.stdout)[-2000:]}")
