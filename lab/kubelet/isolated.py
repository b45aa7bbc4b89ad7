"""Containers in mounts, a root and a user of their own; pods with an address and a hosts file of their own.

Says what ``container_init.py`` is to mount and become; knows the container's spec, its image and its pod's sandbox.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.api_client import Json
from lab.kubelet.address import Address
from lab.kubelet.configuration import expand
from lab.kubelet.image import Image
from lab.kubelet.network import NSSWITCH, RESOLV_CONF, Network, write_in_place
from lab.kubelet.runtime import DEFAULT_MESSAGE_PATH, PodNetwork, Program, Run, StartError, has_ended, succeeds
from lab.kubelet.security import Security, security
from lab.processes import Process

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What containerd gives to an image that sets none (``defaultUnixEnv`` in pkg/oci/spec.go)."""
START_SECONDS = 30.0
_INIT = Path(__file__).with_name("container_init.py")


class IsolatedRuntime:
    """Processes in mounts, a root and a user of their own, by ``container_init.py``; images are those of a mapping."""

    isolated = True

    def __init__(self, images: Mapping[str, Image], network: Network) -> None:
        if os.geteuid() != 0:
            raise PermissionError("containers with a root of their own need root's rights on this machine")
        self._images = images
        self._network = network
        self._home = str(Path.home())

    def pull(self, name: str) -> Image | None:
        """As the mapping has it now."""
        return self._images.get(name)

    def environment(self, pod: Json, spec: Json, image: Image, directory: Path) -> dict[str, str]:
        """As containerd and the kubelet set it."""
        del directory
        home = "/root" if security(pod, spec, image).uid == 0 else "/"
        given = {"PATH": DEFAULT_PATH, "HOME": home, **image.environment, "HOSTNAME": pod["metadata"]["name"]}
        return given | self._network.links(pod)

    def network(self, pod: Json, directory: Path) -> PodNetwork:
        """An address that no other pod of this machine has, and the Services' names."""
        return OwnNetwork(self._network, pod, directory)

    def start(self, program: Program) -> Run:
        """Waits until the program is there: some hundredths of a second."""
        user = security(program.pod, program.spec, program.image)
        base = program.directory / "root"
        base.mkdir(exist_ok=True)
        message = program.directory / f"{program.log.stem}.message"
        message.write_bytes(b"")
        message.chmod(0o666)  # as makeMounts in kuberuntime_container.go has it, whoever the user is
        report = program.directory / "report"
        report.unlink(missing_ok=True)
        os.mkfifo(report, 0o600)
        description = program.directory / "run.json"
        description.touch(mode=0o600)
        description.write_text(json.dumps(self._description(program, user, message, report)), encoding="utf-8")
        reader = os.open(report, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            starter = [sys.executable, "-I", "-S", str(_INIT), str(description)]
            process = Process.start(starter, log=program.log, env={})
            told = _report(reader, process)
        finally:
            os.close(reader)
        namespace, _, error = told.partition("\n")
        run = IsolatedRun(process, message, program.environment, user, namespace, _held(process.pid, namespace))
        if error or not namespace:
            run.sweep()
            process.wait(10.0)
            raise StartError(error or f"failed to create containerd task: {process.tail() or 'no answer'}")
        return run

    def _description(self, program: Program, user: Security, message: Path, report: Path) -> Json:
        spec, volumes = program.spec, program.sandbox.volumes
        kinds = {one["name"]: one for one in program.pod["spec"].get("volumes") or []}
        binds = [(str(path), source, True) for path, source in program.image.files.items()]
        binds += [(path, source, False) for path, source in program.sandbox.network.files.items()]
        for entry in spec.get("volumeMounts") or []:
            sub_path = entry.get("subPath") or expand(entry.get("subPathExpr") or "", program.environment)
            read_only = bool(entry.get("readOnly")) or "emptyDir" not in kinds[entry["name"]]
            binds.append((entry["mountPath"], volumes.source(entry["name"], sub_path), read_only))
        binds.append((spec.get("terminationMessagePath") or DEFAULT_MESSAGE_PATH, message, False))
        return {
            "parent": os.getpid(),
            "report": str(report),
            "root": str(program.directory / "root"),
            "traversable": [self._home],  # toolchains lie there, and images' commands are of this machine
            "binds": [
                {"target": target, "source": str(source.resolve()), "read_only": read_only}
                for target, source, read_only in binds
            ],
            "read_only_root": user.read_only_root,
            "uid": user.uid,
            "gid": user.gid,
            "groups": user.groups,
            "no_new_privileges": user.no_new_privileges,
            "drop_capabilities": user.drop_capabilities,
            "cwd": spec.get("workingDir") or "/",
            "argv": list(program.argv),
            "environment": dict(program.environment),
        }


class OwnNetwork:
    """A pod's own address; ``/etc/hosts`` as the Services are, and files that make a name not in it fail at once."""

    def __init__(self, network: Network, pod: Json, directory: Path) -> None:
        self._network = network
        self._address = Address.take()
        self.address = self._address.text
        self.files = {f"/etc/{name}": directory / name for name in ("hosts", "nsswitch.conf", "resolv.conf")}
        (directory / "nsswitch.conf").write_text(NSSWITCH, encoding="utf-8")
        (directory / "resolv.conf").write_text(RESOLV_CONF, encoding="utf-8")
        self._hosts = ""
        self.refresh(pod)

    def refresh(self, pod: Json) -> None:
        """Rewrites the hosts where they changed."""
        hosts = self._network.hosts(pod, self.address)
        if hosts != self._hosts:
            write_in_place(self.files["/etc/hosts"], hosts)
            self._hosts = hosts

    def release(self) -> None:
        """The address is anyone's."""
        self._address.release()


@dataclass(frozen=True)
class IsolatedRun:
    """One process in its namespace, which is named as ``/proc/PID/ns/mnt`` is.

    It is held open until what is left in it has been killed: the kernel gives its name to the next one at once.
    """

    process: Process
    message: Path
    environment: Mapping[str, str]
    user: Security
    namespace: str
    held: int | None

    def execute(self, command: Sequence[str], seconds: float) -> bool:
        """In its root, as its user."""
        nsenter = shutil.which("nsenter") or "/usr/bin/nsenter"
        user = ["--setgid", str(self.user.gid), "--setuid", str(self.user.uid)]
        inside = [nsenter, "--target", str(self.process.pid), "--mount", "--root", "--wd", *user]
        return succeeds([*inside, "--", *command], self.environment, Path("/"), seconds)

    def sweep(self) -> None:
        """All that lives in its namespace: it may have left its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self.held is None:
            return
        for entry in Path("/proc").glob("[1-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if str((entry / "ns/mnt").readlink()) == self.namespace:
                    os.kill(int(entry.name), signal.SIGKILL)
        os.close(self.held)


def _held(pid: int, namespace: str) -> int | None:
    """A descriptor of the process' namespace; None where it is gone, and its name may be another's already."""
    try:
        held = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if f"mnt:[{os.fstat(held).st_ino}]" == namespace:
        return held
    os.close(held)
    return None


def _report(reader: int, process: Process) -> str:
    """What is written to the FIFO until its one writer closes it, by ending or by becoming the program."""
    told = b""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = has_ended(process.pid)
        if not poll.poll(50):
            if ended:
                break
            continue
        piece = os.read(reader, 65536)
        if not piece:
            break
        told += piece
    return told.decode(errors="replace")
