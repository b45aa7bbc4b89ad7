"""Programs of another kind of machine, run on this one: by the kernel's binfmt_misc and Debian's qemu-user-static.

Knows the two kinds that the image is made for; nothing of images. Root only. What the kernel is told counts for the whole
machine until it is shut down: for every chroot and container, as the interpreter is opened once, when it is registered.
"""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lab.toolchain import program

if TYPE_CHECKING:
    from lab.toolchain import Progress

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_FORMATS = Path("/usr/lib/binfmt.d")
"""Where the package has its lines for the kernel, one file a machine; systemd reads them where it runs."""


class EmulationError(RuntimeError):
    """The kernel does not run another machine's programs here."""


@dataclass(frozen=True)
class Machine:
    """A kind of machine by the names it goes by."""

    architecture: str
    """Debian's, Go's and the registries' name."""
    kernel: str
    """The kernel's and qemu's."""
    elf: int
    """In the header of its programs, ``e_machine``."""

    @property
    def is_this_one(self) -> bool:
        """Whether its programs run here by themselves."""
        return platform.machine() == self.kernel

    @property
    def oci(self) -> str:
        """As an image's platform is written: ``linux/arm64``."""
        return f"linux/{self.architecture}"


MACHINES = (Machine("amd64", "x86_64", 62), Machine("arm64", "aarch64", 183))


def machine(oci: str | None = None) -> Machine:
    """The machine of a platform such as ``linux/arm64``, by default this one. Raises ``EmulationError``."""
    for one in MACHINES:
        if one.is_this_one if oci is None else one.oci == oci:
            return one
    known = " and ".join(one.oci for one in MACHINES)
    raise EmulationError(f"the image is made for {known}, not for {oci or platform.machine()}")


def enable(of: Machine, progress: Progress = print) -> None:
    """Have the kernel run a machine's programs. Raises ``EmulationError``, ``BuildError`` where qemu cannot be had."""
    if of.is_this_one:
        return
    name = f"qemu-{of.kernel}"
    registered = _KERNEL / name
    _mount()
    if not registered.exists():
        program(f"{name}-static", "qemu-user-static", progress)
        progress(f"registering {name} with this machine's kernel: it runs {of.architecture}'s programs from now on")
        try:
            with suppress(FileExistsError):  # another run was faster
                (_KERNEL / "register").write_text((_FORMATS / f"{name}.conf").read_text())
        except OSError as error:
            raise EmulationError(f"the kernel does not take {name} as an interpreter: {error}") from error
    said = registered.read_text()
    if not said.startswith("enabled") or "F" not in said.partition("flags:")[2].partition("\n")[0]:
        raise EmulationError(
            f"{registered} is of no use in another root file system: it must be enabled, with the flag F; it says:\n{said}"
        )


def _mount() -> None:
    if (_KERNEL / "register").exists():
        return
    argv = ["mount", "-t", "binfmt_misc", "binfmt_misc", str(_KERNEL)]
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise EmulationError(f"the kernel has no binfmt_misc here: {' '.join(argv)}: {done.stderr.strip()}")
