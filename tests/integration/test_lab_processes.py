"""What the lab promises of the processes that it starts."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.processes import Process, free_port, wait_until

SLEEP = ["sleep", "300"]


def _gone(pid: int) -> bool:
    """Ended, and no more than a zombie that its new parent has yet to collect."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_process_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves a parent no chance to clean up, and still nothing stays behind."""
    parent = (
        "import sys, time; from pathlib import Path; from lab.processes import Process\n"
        "print(Process.start(['sleep', '300'], log=Path(sys.argv[1])).pid, flush=True); time.sleep(300)"
    )
    argv = [sys.executable, "-c", parent, str(tmp_path / "log")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as popen:  # noqa: S603 - our own
        assert popen.stdout is not None
        child = int(popen.stdout.readline())
        assert not _gone(child)
        popen.kill()
    wait_until(lambda: _gone(child), 5, "the child to be killed")


def test_a_process_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    """The kernel's parent-death signal is bound to a thread; a kubelet's threads come and go."""
    started: list[Process] = []
    thread = threading.Thread(target=lambda: started.append(Process.start(SLEEP, log=tmp_path / "log")))
    thread.start()
    thread.join()
    with started[0] as process, pytest.raises(TimeoutError):
        process.wait(0.2)


def test_stopping_a_process_ends_its_children_too(tmp_path: Path) -> None:
    """As the end of a container ends all that runs in it."""
    log = tmp_path / "log"
    with Process.start(["sh", "-c", "sleep 300 & echo $!; wait"], log=log) as process:
        child = int(wait_until(log.read_text, 5, "the child's id"))
    assert process.poll() == -signal.SIGTERM
    wait_until(lambda: _gone(child), 5, "the child to be killed")


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    """After the grace, by SIGKILL."""
    log = tmp_path / "log"
    process = Process.start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], log=log)
    wait_until(log.read_text, 5, "the trap to be set")
    assert process.stop(grace_seconds=0.1) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_program_that_does_not_exist_exits_127_and_says_so(tmp_path: Path) -> None:
    """A missing program is an end of the process, as in a container, not an exception of whoever starts it."""
    process = Process.start(["/no/such/program"], log=tmp_path / "log")
    assert process.wait(5) == 127
    assert process.tail() == "cannot start /no/such/program: No such file or directory"


def test_a_port_is_given_once() -> None:
    """Two servers of one world never want the same port."""
    ports = [free_port() for _ in range(100)]
    assert len(set(ports)) == len(ports)


def test_waiting_in_vain_names_what_was_awaited() -> None:
    """The error is what a person reads first."""
    with pytest.raises(TimeoutError, match=r"waited 0 s in vain for Godot"):
        wait_until(lambda: False, 0, "Godot")
