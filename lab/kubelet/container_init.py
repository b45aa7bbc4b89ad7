"""The step between ``Process.start`` and a container's program: its own mounts, root and user, then it is the program.

Knows Linux and the description it is given, nothing of Kubernetes. Run by ``lab/launcher.py`` as ``python -I -S
isolate.py DESCRIPTION.json`` with root's rights. The root is an overlay over this machine's ``/`` whose upper layer lies on
a tmpfs (overlayfs refuses one that is itself an overlay, and the tmpfs goes with the namespace). Everything is mounted
in a namespace of its own, which the kernel takes down with its last process: nothing is left on the machine.

What happened is told through the FIFO ``report``: first the namespace's name, then, if the program could not be
started, why, in runc's words. Becoming the program closes it.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

# linux/mount.h, linux/sched.h, linux/prctl.h
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
CLONE_NEWNS = 0x20000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
LAST_CAPABILITY = 63
MAX_LINKS = 40
EXIT_CODE = 128
"""What the kubelet shows of a container that the runtime could not start (``StartError``)."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
STREAMS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Become the container's program, or exit 128 after saying why not."""
    with Path(sys.argv[1]).open(encoding="utf-8") as file:
        description = json.load(file)
    report = os.open(description["report"], os.O_WRONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNS), "unshare")
        os.write(report, f"{Path('/proc/self/ns/mnt').readlink()}\n".encode())
        build_root(description)
        enter(description["root"])
        become(description)
    except OSError as error:
        # With a second file name only where there is one; an errno's own words otherwise.
        where = f' "{error.filename}"' if error.filename else ""
        os.write(report, f"unable to start container process:{where} {error.strerror}".encode())
    except StartError as error:
        os.write(report, f"unable to start container process: {error}".encode())
    sys.exit(EXIT_CODE)


class StartError(Exception):
    """The program itself cannot be started."""


def build_root(description: dict) -> None:  # type: ignore[type-arg] # no typing: what is imported here delays every start
    """Mounts the container's root and all that is bound into it."""
    base = description["root"]
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    mount("tmpfs", base, "tmpfs", data="mode=0755")
    upper, work, root = (f"{base}/{name}" for name in ("upper", "work", "merged"))
    for name in (upper, work, root):
        os.mkdir(name)  # noqa: PTH102 - plain strings throughout: these paths are of two roots
    mount("overlay", root, "overlay", data=f"lowerdir=/,upperdir={upper},workdir={work}")
    for directory in description["traversable"]:
        os.chmod(root + directory, 0o711)  # noqa: PTH101, S103 - to pass through, in this overlay alone
    mount("/proc", f"{root}/proc", flags=MS_BIND | MS_REC)
    mount("/sys", f"{root}/sys", flags=MS_BIND | MS_REC)
    build_devices(f"{root}/dev")
    for bind in sorted(description["binds"], key=lambda bind: str(bind["target"]).count("/")):
        target = resolve(root, bind["target"])
        make_target(target, directory=os.path.isdir(bind["source"]))  # noqa: PTH112
        mount(bind["source"], target, flags=MS_BIND | MS_REC)
        if bind["read_only"]:
            mount("none", target, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.makedirs(resolve(root, description["cwd"]), exist_ok=True)  # noqa: PTH103
    if description["read_only_root"]:
        mount("none", root, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)


def build_devices(directory: str) -> None:
    """A ``/dev`` of its own, as the runtime specification's default devices have it, so that the machine's stays clean."""
    mount("tmpfs", directory, "tmpfs", MS_NOSUID, "mode=0755")
    for name in DEVICES:
        make_target(f"{directory}/{name}", directory=False)
        mount(f"/dev/{name}", f"{directory}/{name}", flags=MS_BIND)
    for name in ("shm", "pts"):
        os.mkdir(f"{directory}/{name}")  # noqa: PTH102
    mount("shm", f"{directory}/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k")
    mount("/dev/pts", f"{directory}/pts", flags=MS_BIND)
    os.symlink("pts/ptmx", f"{directory}/ptmx")  # noqa: PTH211
    for name, target in STREAMS.items():
        os.symlink(target, f"{directory}/{name}")  # noqa: PTH211


def enter(base: str) -> None:
    """The new root becomes ``/`` and the old one is let go (pivot_root(2), the form without a place for the old)."""
    root = f"{base}/merged"
    mount(root, root, flags=MS_BIND | MS_REC)
    os.chdir(root)
    _check(_libc.syscall(ctypes.c_long(_pivot_root()), b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def become(description: dict) -> None:  # type: ignore[type-arg] # as above
    """Drops rights and executes. Only returns by an exception."""
    uid, gid = description["uid"], description["gid"]
    os.fchown(1, uid, gid)  # as runc does, for programs that open /dev/stdout
    if description["drop_capabilities"]:
        for number in range(LAST_CAPABILITY + 1):
            _libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)  # beyond the kernel's last one it is refused, which is right
    os.umask(0o022)
    os.setgroups(description["groups"])
    os.setgid(gid)
    os.setuid(uid)
    if description["no_new_privileges"]:
        _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Again, as setuid clears it (prctl(2)), and with it the look whether the parent is still there.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != description["parent"]:
        sys.exit(EXIT_CODE)
    try:
        os.chdir(description["cwd"])
    except OSError as error:
        raise StartError(f'chdir to cwd ("{description["cwd"]}"): {_words(error)}') from error
    argv, environment = description["argv"], description["environment"]
    program = find(argv[0], environment.get("PATH", ""))
    try:
        os.execve(program, argv, environment)  # noqa: S606 - to become it is the purpose
    except OSError as error:
        raise StartError(f'exec: "{argv[0]}": {_words(error)}') from error


def find(program: str, search_path: str) -> str:
    """Where the program is, as Go's ``exec.LookPath`` finds it for runc."""
    if "/" in program:
        return program
    for directory in search_path.split(":"):
        candidate = f"{directory or '.'}/{program}"
        if os.access(candidate, os.X_OK) and not os.path.isdir(candidate):  # noqa: PTH112
            return candidate
    raise StartError(f'exec: "{program}": executable file not found in $PATH')


def resolve(root: str, path: str) -> str:
    """Where ``path`` leads inside ``root``: links are followed there and never out of it; what is not there yet, is kept."""
    left = [part for part in path.split("/") if part]
    found: list[str] = []
    links = 0
    while left:
        part = left.pop(0)
        if part == ".":
            continue
        if part == "..":
            found = found[:-1]
            continue
        place = "/".join([root, *found, part])
        try:
            target = os.readlink(place)  # noqa: PTH115
        except OSError:
            found.append(part)
            continue
        links += 1
        if links > MAX_LINKS:
            raise OSError(40, "Too many levels of symbolic links", path)
        if target.startswith("/"):
            found = []
        left = [piece for piece in target.split("/") if piece] + left
    return "/".join([root, *found])


def make_target(path: str, *, directory: bool) -> None:
    """Something to mount on, where there is nothing."""
    if os.path.lexists(path):
        return
    if directory:
        os.makedirs(path)  # noqa: PTH103
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def mount(source: str, target: str, kind: str = "none", flags: int = 0, data: str = "") -> None:
    """The system call of that name."""
    failed = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(failed, f"mount {source} on {target}")


def _check(failed: int, what: str) -> None:
    if failed:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _pivot_root() -> int:
    """Its number, which glibc has no wrapper for: asm/unistd_64.h, and asm-generic/unistd.h for all newer ports."""
    return {"x86_64": 155}.get(os.uname().machine, 41)


def _words(error: OSError) -> str:
    """An errno as Go says it: without the capital."""
    return (error.strerror or "").lower()


if __name__ == "__main__":
    main()
