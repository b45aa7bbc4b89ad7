"""The step between ``Process.start`` and the program: ties the child to its parent, drops rights, becomes the program.

Knows the Linux calls for that and nothing of the lab. Run as ``python -I -S launcher.py PARENT_PID UID GID ARGV...``;
it stands in place of ``preexec_fn``, which is unsafe beside the threads of gRPC and of the lab.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    """Become ``ARGV``; exit 127 with the reason on standard error where that cannot be done."""
    parent, uid, gid, *argv = sys.argv[1:]
    if int(uid) != os.getuid():
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    # After setuid, which clears it (prctl(2)); it survives execve of an ordinary program.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # died before the line above: nobody would send the signal
        sys.exit(127)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - to become it is the purpose
    except OSError as error:
        sys.stderr.write(f"cannot start {argv[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
