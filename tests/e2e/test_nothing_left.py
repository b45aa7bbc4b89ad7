"""What a cluster leaves behind on the machine: nothing, also where its process was killed, once another one has begun."""

import signal
import sys
from pathlib import Path

import pytest

from lab.node.network import Network, run
from lab.platform import Cluster
from lab.processes import Process, wait_until

_SYSCTLS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
_HOLDS = """
import signal, sys
from pathlib import Path
from lab.platform import Cluster
with Cluster(Path(sys.argv[1])) as cluster:
    print(cluster.plane.network.number, flush=True)
    signal.pause()
"""


def links(number: int) -> list[str]:
    ours = (f"trh-lab-{number}", f"trh-{number}-")
    return [one.name for one in Path("/sys/class/net").iterdir() if one.name.startswith(ours)]


def cgroups(number: int) -> list[Path]:
    return [path for path in Path("/sys/fs/cgroup").rglob(f"trh-lab-{number}-*") if path.is_dir()]


def processes(directory: Path) -> list[str]:
    """The command lines that name the cluster's directory."""
    found = []
    for file in Path("/proc").glob("[1-9]*/cmdline"):
        try:
            said = file.read_text(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"{directory}/" in said:
            found.append(said)
    return found


def sysctls() -> list[str]:
    return [Path("/proc/sys", one).read_text() for one in _SYSCTLS]


def tables() -> str:
    return run("nft", "list", "tables")


def assert_nothing_left(number: int, directory: Path) -> None:
    assert links(number) == []
    assert cgroups(number) == []
    assert processes(directory) == []
    assert str(directory) not in Path("/proc/mounts").read_text()


@pytest.fixture
def before() -> tuple[list[str], str]:
    return sysctls(), tables()


def test_cluster_that_ends(tmp_path: Path, before: tuple[list[str], str]) -> None:
    directory = tmp_path / "cluster"
    with Cluster(directory) as cluster:
        number = cluster.plane.network.number
        assert links(number)
        assert cgroups(number)
        assert processes(directory)
    assert_nothing_left(number, directory)
    assert (sysctls(), tables()) == before


def test_cluster_whose_process_is_killed(tmp_path: Path, before: tuple[list[str], str]) -> None:
    directory = tmp_path / "cluster"
    log = tmp_path / "log"
    with Process.start([sys.executable, "-c", _HOLDS, str(directory)], log=log) as holder:
        number = int(wait_until(lambda: holder.tail(1).isdigit() and holder.tail(1), 120, "the cluster to be up"))
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
    wait_until(lambda: not processes(directory), 20, "all of its processes to end")
    with Network():
        pass
    assert_nothing_left(number, directory)
    assert (sysctls(), tables()) == before
