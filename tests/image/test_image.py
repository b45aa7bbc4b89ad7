"""The image that is shipped: what is in it, and that its program works in it as a kubelet would start it."""

import os
import re
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from lab.image import Image, Sandbox, first_process
from lab.scenarios import SCENARIOS
from lab.world import World

_MOST_PULLED_BYTES = 100e6
"""What an image of this kind may grow to before somebody has to say why."""

_BUILDS = re.compile(r"(pip|uv|uvx|poetry|conda|hatch|cc|c\+\+|gcc|g\+\+|clang|ld|as|make|cmake|rustc|cargo|go)[-.\d]*")
"""Programs that install or build."""

_SETTINGS = {
    "temporal": {"version": "1.29.1", "frontend": {"address": "temporal-frontend.temporal:7233"}},
    "stores": {"default": {"host": "temporal-db-rw.postgres", "user": "temporal", "passwordFile": "/mnt/password"}},
    "migrations": {"application": {"name": "data-migrations-temporal"}},
    "runtime": {"application": {"name": "data-temporal"}, "namespace": "data"},
    "kubernetes": {"kubeconfigFile": "/mnt/kubeconfig.yaml"},
    "report": {"format": "json"},
}

_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "there",
    "clusters": [{"name": "there", "cluster": {"server": "https://kubernetes.default.svc"}}],
    "users": [{"name": "gate", "user": {"token": "a-token"}}],
    "contexts": [{"name": "there", "context": {"cluster": "there", "user": "gate"}}],
}


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files and directories in it, by their path inside. A kubelet brings its own devices."""
    for directory, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(directory) / name
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
                yield Path("/") / path.relative_to(root), found


# --- what is in it ------------------------------------------------------------------------------------------------


def test_it_is_small(image: Image) -> None:
    assert image.compressed < _MOST_PULLED_BYTES, str(image)


def test_its_machine_code_is_for_its_platform(image: Image, root: Path) -> None:
    """The interpreter, libc, and the wheels that are compiled: every one of them, and none of them left out."""
    assert (image.config["os"], image.config["architecture"]) == ("linux", image.machine.architecture)
    machines: dict[Path, int] = {}
    for path, it in _files(root):
        if stat.S_ISREG(it.st_mode):
            with (root / path.relative_to("/")).open("rb") as file:
                header = file.read(20)
            if header.startswith(b"\x7fELF"):
                machines[path] = int.from_bytes(header[18:20], "little")
    assert {path: code for path, code in machines.items() if code != image.machine.elf} == {}
    parts = {path.parts[5] for path in machines if path.is_relative_to("/app/lib/python3.11/site-packages")}
    assert {"google", "grpc", "psycopg_binary", "psycopg_binary.libs", "pydantic_core", "yaml"} <= parts
    assert [path for path in machines if re.fullmatch(r"python3(\.11)?", path.name)]


def test_nothing_in_it_installs_or_builds(root: Path) -> None:
    programs = [path for path, it in _files(root) if stat.S_ISREG(it.st_mode) and it.st_mode & 0o111]
    assert Path("/app/bin/temporal-recovery-hook") in programs
    assert [path for path in programs if _BUILDS.fullmatch(path.name)] == []
    packages = [
        path for path, it in _files(root) if stat.S_ISDIR(it.st_mode) and path.parent.name.endswith("-packages")
    ]
    assert Path("/app/lib/python3.11/site-packages/hook") in packages
    assert [path for path in packages if re.match(r"(pip|setuptools|wheel|hatchling|uv)\b", path.name)] == []
    assert [path for path, _ in _files(root) if path.name in {"ensurepip", "python-wheels"}] == []


def test_no_cache_is_left_in_it(root: Path) -> None:
    caches = [root / name for name in ("var/lib/apt/lists", "var/cache/apt", "root/.cache", "tmp")]
    assert [list(cache.iterdir()) for cache in caches if cache.exists() and any(cache.iterdir())] == []


def test_its_user_can_write_nothing_and_become_nobody(root: Path, sandbox: Sandbox) -> None:
    """Everything is root's and not writable for others, but for the directories for temporary files; nothing is set-uid."""
    assert min(sandbox.user) > 0
    temporary = {Path("/tmp"), Path("/var/tmp"), Path("/run/lock")}  # noqa: S108 -- these are what is asked for
    writable = {path for path, it in _files(root) if it.st_mode & 0o002 or set(sandbox.user) & {it.st_uid, it.st_gid}}
    assert writable <= temporary
    assert [path for path, it in _files(root / "app") if (it.st_uid, it.st_gid) != (0, 0)] == []
    assert [path for path, it in _files(root) if stat.S_ISREG(it.st_mode) and it.st_mode & 0o6000] == []


def test_its_bytecode_is_there(root: Path) -> None:
    """Nothing the program is made of is compiled at each start, which a read-only file system would not let it keep."""
    compiled = {path.name.split(".")[0] for path in (root / "app/lib/python3.11/site-packages/hook").rglob("*.pyc")}
    assert {"cli", "gate", "planner", "postgres", "argocd"} <= compiled
    assert [
        *root.glob("usr/lib/python3.11/__pycache__/argparse*.pyc"),
        *root.glob("usr/local/lib/python3.11/__pycache__/argparse*.pyc"),
    ]


def test_its_labels_say_what_it_is(image: Image, sandbox: Sandbox) -> None:
    labels = image.config["config"]["Labels"]
    assert sandbox.run("--version") == (0, labels["org.opencontainers.image.version"] + "\n")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


# --- what it does -------------------------------------------------------------------------------------------------


def test_a_program_in_it_is_process_1_of_its_user_without_rights(sandbox: Sandbox) -> None:
    """What the other tests rest on: the sandbox is as strict as the chart's securityContext."""
    code, said = sandbox.run(
        "-c",
        "import os; print(os.getpid(), os.getuid(), os.getgid(), os.getgroups(), os.statvfs('/').f_flag & os.ST_RDONLY);"
        "print(open('/proc/self/status').read())",
        entrypoint=["/app/bin/python"],
    )
    assert code == 0, said
    assert said.splitlines()[0] == f"1 {sandbox.user[0]} {sandbox.user[1]} [] 1"
    assert re.findall(r"^(CapEff|CapPrm|NoNewPrivs):\s*(\w+)", said, re.MULTILINE) == [
        ("CapPrm", "0" * 16),
        ("CapEff", "0" * 16),
        ("NoNewPrivs", "1"),
    ]


def test_versions(sandbox: Sandbox) -> None:
    code, said = sandbox.run("versions", "1.29.1")
    assert code == 0, said
    assert "1.29.1" in said


def test_it_is_found_on_the_path(sandbox: Sandbox) -> None:
    """The chart's command is the program's bare name."""
    code, said = sandbox.run("versions", "1.29.1", entrypoint=["temporal-recovery-hook"])
    assert code == 0, said


def test_it_does_not_listen_to_python_variables(sandbox: Sandbox) -> None:
    """A module of the same name that somebody puts in its way is not imported."""
    (sandbox.given / "hook").mkdir()
    (sandbox.given / "hook" / "__init__.py").write_text("raise SystemExit('not the program')")
    with sandbox.start("versions", "1.29.1", environment={"PYTHONPATH": "/mnt"}) as process:
        assert process.wait(30 * sandbox.patience) == 0, process.log.read_text()


def test_check_with_bad_settings_names_them(sandbox: Sandbox) -> None:
    (sandbox.given / "config.yaml").write_text(yaml.safe_dump({**_SETTINGS, "deadlineSecond": 600}))
    code, said = sandbox.run("check", "--config", "/mnt/config.yaml")
    assert code == 2
    assert "deadlineSecond" in said


def test_run_passes_in_a_healthy_world(make_world: Callable[[], World], sandbox: Sandbox) -> None:
    """The whole gate out of the image: PostgreSQL, gRPC, the Kubernetes API; and again as a check, in JSON."""
    world = make_world()
    scenario = SCENARIOS["healthy"]
    scenario.prepare(world, print)
    (sandbox.given / "password").write_text(world.databases.password)
    world.api.write_kubeconfig(sandbox.given / "kubeconfig.yaml", "gate")
    changes = {
        "stores": {"default": {"passwordFile": "/mnt/password"}},
        "kubernetes": {"kubeconfigFile": "/mnt/kubeconfig.yaml"},
        "report": {"terminationMessageFile": "/dev/termination-log"},
    }
    (sandbox.given / "config.yaml").write_text(yaml.safe_dump(world.settings(**changes)))
    code, said = sandbox.run("run", "--config", "/mnt/config.yaml", seconds=90)
    message = (sandbox.given / "termination-log").read_text()
    assert (code, message.partition(":")[0]) == (scenario.exit_code, scenario.reason), said
    code, said = sandbox.run("check", "--config", "/mnt/config.yaml", "--output", "json")
    assert code == 0, said


@pytest.mark.parametrize("after", [1.0, 1.8, 2.6])
def test_a_name_server_that_hangs_does_not_hold_the_end_up_for_long(sandbox: Sandbox, after: float) -> None:
    """Libc hears no signal while it waits for one: by RES_OPTIONS 2 s a name, 20 s without it."""
    (sandbox.given / "password").write_text("a-password")
    (sandbox.given / "kubeconfig.yaml").write_text(yaml.safe_dump(_KUBECONFIG))
    (sandbox.given / "config.yaml").write_text(yaml.safe_dump(_SETTINGS))
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.77.0.53", 53))
        (sandbox.given / "resolv.conf").write_text(
            "nameserver 127.77.0.53\nsearch data.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
        )
        with sandbox.start("run", "--config", "/mnt/config.yaml") as process:
            server.settimeout(20 * sandbox.patience)
            server.recv(512)  # its first question
            time.sleep(after)  # into the one or the other name: what is tested is the image with real time
            began = time.monotonic()
            os.kill(first_process(process), signal.SIGTERM)
            code = process.wait(30 * sandbox.patience)
            took = time.monotonic() - began
    assert code == 143, process.log.read_text()
    # Two names: the one that is being asked for, and the next one before it is seen that the run is to stop.
    # An emulated program needs seconds for its end (6.7 s in all, seen on a busy machine): far from 20 s still.
    assert took < (4.5 if sandbox.patience == 1 else 12), process.log.read_text()
