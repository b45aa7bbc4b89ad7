"""The image as it is shipped: built by buildah, and its programs run as a kubelet would have them run, without containers.

Root only. Where no registry can be reached, the Dockerfile's two base images are made by debootstrap; what then differs is
the base (Debian's Python of the same minor version), never the Dockerfile. Layers are kept in the lab's cache.
For another platform than this machine's own both are done under emulation (``lab.emulation``).
``python -m lab.image [PLATFORM]`` builds the image and states its size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from lab import emulation
from lab.emulation import EmulationError
from lab.processes import Process
from lab.toolchain import BuildError, cache_directory, program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lab.emulation import Machine
    from lab.toolchain import Progress

Json = dict[str, Any]

BASE = "IMAGE_BASE"
"""The variable that says which base: ``registry`` or ``debootstrap``; unset: the registry's where that can be reached."""
PLATFORM = "IMAGE_PLATFORM"
"""The variable that says for which platform: ``linux/amd64`` or ``linux/arm64``; unset: this machine's own."""

SOURCE = Path(__file__).parent.parent
_REGISTRY = "https://registry-1.docker.io/v2/"
_SUITE = "bookworm"
"""Debian's release, whose Python has the minor version of the Dockerfile's default."""
_RUNTIME_PACKAGES = "python3-minimal,libpython3-stdlib,ca-certificates"
_BUILD_PACKAGES = "python3-venv"
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_SLOWER_EMULATED = 5
"""By so much longer a program may take under emulation."""
_SECONDS = 3600.0
"""For one step; under emulation on a busy machine debootstrap and the build took 7 minutes each."""

_ENTER = """
set -eu
root=$1 given=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755,size=64k tmpfs "$root/dev"
for device in null zero random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
touch "$root/dev/termination-log" "$root/etc/resolv.conf"
mount --bind "$given/termination-log" "$root/dev/termination-log"
mount --bind "$given/resolv.conf" "$root/etc/resolv.conf"
mount --bind "$given" "$root/mnt"
mount -o remount,bind,ro "$root/mnt"
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro "$root"
exec env -i "$@"
"""
"""All mounts are made in a mount namespace of the program's own and end with it, however that comes about."""


class ImageError(RuntimeError):
    """The image could not be built or measured; the message ends with the tail of what the tool said."""


@dataclass(frozen=True)
class Part:
    """One layer: what made it, and its size unpacked and as it is pulled."""

    made_by: str
    unpacked: int
    compressed: int


@dataclass(frozen=True)
class Image:
    """A built image: its configuration as in the registry, its layers, and how it came to be."""

    name: str
    machine: Machine
    config: Json
    parts: tuple[Part, ...]
    base: str
    seconds: float

    @property
    def unpacked(self) -> int:
        """Bytes on a node's disk."""
        return sum(part.unpacked for part in self.parts)

    @property
    def compressed(self) -> int:
        """Bytes that are pulled."""
        return sum(part.compressed for part in self.parts)

    def __str__(self) -> str:
        """Its size and its parts."""
        parts = (*self.parts, Part("together", self.unpacked, self.compressed))
        sizes = [f"{part.unpacked / 1e6:6.1f} MB {part.compressed / 1e6:6.1f} MB  {part.made_by}" for part in parts]
        how = "" if self.machine.is_this_one else " under emulation"
        last = f"{self.machine.oci}; base: {self.base}; built in {self.seconds:.0f} s{how}"
        return "\n".join([f"{'unpacked':>9} {'pulled':>9}", *sizes, last])


@dataclass(frozen=True)
class Built:
    """An image by its name, on which base it was made, and in how many seconds."""

    name: str
    base: str
    seconds: float


class Builder:
    """Buildah on a storage of the lab's own, for one platform."""

    def __init__(self, progress: Progress = print, platform: str | None = None) -> None:
        """Raise ``ImageError``, ``EmulationError`` or ``BuildError`` where it cannot work here."""
        if os.geteuid() != 0:
            raise ImageError("building and entering an image needs root here: its file system is mounted and entered")
        self._progress = progress
        self._machine = emulation.machine(platform or os.environ.get(PLATFORM) or None)
        program("buildah", "buildah", progress)
        emulation.enable(self._machine, progress)
        self.directory = cache_directory() / "image"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.directory / ".lock")

    def build(self) -> Image:
        """Build the Dockerfile, from the layers that are kept where nothing changed. Raises ``ImageError``."""
        built = self.make()
        with self._lock:
            return self._measured(built)

    def make(self) -> Built:
        """Build it, and do not measure it."""
        with self._lock, self._tidied():
            base, arguments = self._base()
            began = time.monotonic()
            name = f"localhost/temporal-recovery-hook:lab-{self._machine.architecture}"
            version = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]["version"]
            takes = "about a minute" if self._machine.is_this_one else "7 minutes under emulation"
            self._progress(f"building the image for {self._machine.oci} on {base}: {takes} where no layer is kept")
            self._run(
                "build", "--platform", self._machine.oci, "--isolation", "chroot", "--layers", "--quiet",
                "--build-arg", f"VERSION={version}", *arguments, "--tag", name, str(SOURCE),
            )  # fmt: skip
            return Built(name, base, time.monotonic() - began)

    def make_of(self, context: Path, name: str) -> None:
        """Build the Dockerfile of a folder, which runs nothing."""
        with self._lock:
            self._run("build", "--isolation", "chroot", "--quiet", "--tag", name, str(context))

    def push(self, name: str, to: str) -> None:
        """Push an image to a registry of this machine, ``HOST:PORT/NAME:TAG``."""
        with self._lock:
            self._run(
                "push",
                "--quiet",
                "--tls-verify=false",
                "--compression-level",
                "1",
                "--compression-format",
                "gzip",
                name,
                f"docker://{to}",
            )

    @contextmanager
    def root_of(self, image: Image) -> Iterator[Path]:
        """The image's file system, unpacked for the length of the block; what is written to it is thrown away."""
        with self._lock, self._tidied():
            container = self._from(image.name)
            yield Path(self._run("mount", container).strip())

    @contextmanager
    def _tidied(self) -> Iterator[None]:
        """Unmount and remove every container before and after: a build that failed, or was killed, leaves its own."""
        self._run("rm", "--all")
        try:
            yield
        finally:
            self._run("rm", "--all")

    def _measured(self, built: Built) -> Image:
        """Write it out as a registry would get it, and read the sizes there."""
        with tempfile.TemporaryDirectory(prefix="image-", dir=self.directory) as scratch:
            self._run("push", "--quiet", built.name, f"oci:{scratch}:image")
            index = json.loads((Path(scratch) / "index.json").read_text())

            def blob(descriptor: Json) -> Json:
                file = Path(scratch) / "blobs" / descriptor["digest"].replace(":", "/")
                found: Json = json.loads(file.read_text())
                return found

            manifest = blob(index["manifests"][0])
            config = blob(manifest["config"])
        here: Json = json.loads(json.loads(self._run("inspect", "--type", "image", built.name))["Manifest"])
        made_by = [entry["created_by"] for entry in config["history"] if not entry.get("empty_layer")]
        parts = tuple(
            Part(by.rpartition(" in ")[2].strip() + f" ({what})", unpacked["size"], packed["size"])
            for by, what, unpacked, packed in zip(
                made_by, ("base", "dependencies", "program"), here["layers"], manifest["layers"], strict=True
            )
        )
        return Image(built.name, self._machine, config, parts, built.base, built.seconds)

    # --- the base -------------------------------------------------------------------------------------------------

    def _base(self) -> tuple[str, list[str]]:
        """Say what the base is, and the build arguments for it."""
        wanted = os.environ.get(BASE)
        if wanted == "registry" or (wanted is None and _registry_answers()):
            return "the Dockerfile's own base images", []
        tag = f"{_SUITE}-{self._machine.architecture}"
        runtime, build = f"localhost/lab-runtime:{tag}", f"localhost/lab-build:{tag}"
        if not self._has(runtime):
            self._make_runtime(runtime)
        if not self._has(build):
            self._make_build(build, runtime)
        arguments = ["--build-arg", f"BUILD_IMAGE={build}", "--build-arg", f"RUNTIME_IMAGE={runtime}"]
        return f"Debian {_SUITE} by debootstrap", arguments

    def _has(self, image: str) -> bool:
        return bool(self._run("images", "--quiet", "--filter", f"reference={image}").strip())

    def _make_runtime(self, name: str) -> None:
        program("debootstrap", "debootstrap", self._progress)
        takes = "2 minutes" if self._machine.is_this_one else "7 minutes under emulation"
        self._progress(f"no registry to be reached: making a base of Debian {_SUITE} by debootstrap, once, in {takes}")
        with tempfile.TemporaryDirectory(prefix="base-", dir=self.directory) as scratch:
            os.chmod(scratch, 0o755)  # noqa: PTH101, S103 -- it becomes the root directory, which everybody reads
            # A mount namespace of its own: what debootstrap mounts ends with it.
            _output(
                "unshare", "--mount", "--propagation", "private",
                "debootstrap", f"--arch={self._machine.architecture}", "--variant=minbase",
                f"--include={_RUNTIME_PACKAGES}", _SUITE, scratch,
            )  # fmt: skip
            with self._container("scratch", name) as container:
                self._run("add", "--quiet", container, scratch, "/")
                self._run("config", "--env", "LANG=C.UTF-8", container)

    def _make_build(self, name: str, runtime: str) -> None:
        """Add what makes virtual environments, and the authorities that this machine trusts: it may sit behind a proxy."""
        with self._container(runtime, name) as container:
            install = f"apt-get update && apt-get install --yes --no-install-recommends {_BUILD_PACKAGES}"
            self._run("run", "--isolation", "chroot", container, "--", "sh", "-c", install)
            if _AUTHORITIES.exists():
                self._run("copy", "--quiet", container, str(_AUTHORITIES), "/build/authorities.pem")
                self._run("config", "--env", "PIP_CERT=/build/authorities.pem", container)

    @contextmanager
    def _container(self, parent: str, name: str) -> Iterator[str]:
        container = self._from(parent)
        try:
            yield container
            self._run("commit", "--quiet", container, name)
        finally:
            self._run("rm", container)

    def _from(self, parent: str) -> str:
        pull = () if parent == "scratch" else ("--pull-never",)
        return self._run("from", "--platform", self._machine.oci, *pull, parent).strip()

    def _run(self, *arguments: str) -> str:
        storage = ("--root", str(self.directory / "storage"), "--runroot", str(self.directory / "run"))
        return _output("buildah", *storage, *arguments)


class Sandbox:
    """Where an image's programs run: its root read-only, its user, no privileges to be had, process 1 of its own.

    The network is this machine's. What ``given`` holds is under /mnt, read-only, and belongs to the user;
    its ``termination-log`` is /dev/termination-log.
    """

    def __init__(self, image: Image, root: Path, given: Path) -> None:
        """Prepare ``given``."""
        self._config = image.config["config"]
        self._root = root
        self.given = given
        self.patience = 1 if image.machine.is_this_one else _SLOWER_EMULATED
        """What waiting times are multiplied by; ``run`` does so itself."""
        self._count = 0
        given.chmod(0o755)
        (given / "termination-log").touch()
        (given / "resolv.conf").write_text("nameserver 127.0.0.1\n")

    @property
    def user(self) -> tuple[int, int]:
        """The uid and the gid that the image names."""
        uid, _, gid = self._config["User"].partition(":")
        return int(uid), int(gid)

    def start(
        self, *arguments: str, entrypoint: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start the image's entry point with arguments, or another program of it. Its output is the process's log."""
        for path in self.given.iterdir():
            os.chown(path, *self.user)
        variables = dict(one.split("=", 1) for one in self._config["Env"]) | dict(environment or {})
        uid, gid = self.user
        self._count += 1
        # chroot gives up root's rights by changing the user; no_new_privs keeps them away, as allowPrivilegeEscalation does.
        argv = [
            "unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--propagation", "private",
            "sh", "-c", _ENTER, "sh", str(self._root), str(self.given),
            *(f"{key}={value}" for key, value in variables.items()),
            "/usr/bin/setpriv", "--no-new-privs",
            "/usr/sbin/chroot", f"--userspec={uid}:{gid}", "--groups=", str(self._root),
            *(entrypoint or self._config["Entrypoint"]), *arguments,
        ]  # fmt: skip
        return Process.start(argv, log=self.given.with_name(f"{self.given.name}-{self._count}.log"))

    def run(self, *arguments: str, entrypoint: Sequence[str] | None = None, seconds: float = 60) -> tuple[int, str]:
        """Run it to its end; exit code and output."""
        with self.start(*arguments, entrypoint=entrypoint) as process:
            return process.wait(seconds * self.patience), process.log.read_text()


def first_process(sandbox: Process) -> int:
    """The pid, as seen from here, of the program that is process 1 in its sandbox; unshare itself hears no SIGTERM."""
    return int(Path(f"/proc/{sandbox.pid}/task/{sandbox.pid}/children").read_text().split()[0])


def _registry_answers() -> bool:
    try:
        with urllib.request.urlopen(_REGISTRY, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401  # noqa: PLR2004 -- it asks for a token, as a registry does
    except OSError:
        return False


def _output(*argv: str) -> str:
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=_SECONDS)
    if done.returncode != 0:
        raise ImageError(f"{' '.join(argv[:9])} … ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(Builder(platform=sys.argv[1] if len(sys.argv) > 1 else None).build())
    except (ImageError, EmulationError, BuildError) as failure:
        sys.exit(str(failure))
