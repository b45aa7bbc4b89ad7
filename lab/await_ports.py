"""Runs a program once its ports are free: ``python await_ports.py PORT,PORT PROGRAM ARGUMENT...``.

In a cluster each pod has an address of its own. Here they share 127.0.0.1, and a pod must not crash because the one that it
replaces is still on its way out. Uses the standard library alone, and nothing of the lab, so that it starts at once.
"""

import os
import socket
import sys
import time

_SECONDS = 15.0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    deadline = time.monotonic() + _SECONDS
    while not all(_is_free(int(port)) for port in sys.argv[1].split(",")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 -- the program it is for
