"""The owner's command as real processes: what outlives what, who sees it, and how its end is told."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hook.adapters.command import MigrationCommand
from hook.observation.findings import FindingError
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.reasons import Reason
from lab.processes import wait_until

RUN, OTHER_RUN = "run-1", "run-2"

# Says that it works and its process id, then waits for the exit code that the test writes into a named pipe.
_HELD = 'echo at work; echo "$$" >"$0/pid.new" && mv "$0/pid.new" "$0/pid"; read -r code <"$0/exit"; exit "$code"'

_GATE = """
import signal, sys
from pathlib import Path
from hook.adapters.command import MigrationCommand
print(MigrationCommand(sys.argv[3:], Path(sys.argv[1]), sys.argv[2]).start(1), flush=True)
signal.pause()
"""


class Held:
    """A migration that goes on until it is let go."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        os.mkfifo(folder / "exit")
        # Open for both, so that neither side waits for the other to come.
        self._exit = os.open(folder / "exit", os.O_RDWR)
        self._folder = folder
        self.argv = ["/bin/sh", "-c", _HELD, str(folder)]

    @property
    def pid(self) -> int:
        """Of the command itself; its parent is the shell that keeps its exit code."""
        wait_until((self._folder / "pid").exists, 10, "the command to run")
        return int((self._folder / "pid").read_text())

    @property
    def shell(self) -> int:
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[1])

    def let_go(self, code: int = 0) -> None:
        os.write(self._exit, f"{code}\n".encode())

    def close(self) -> None:
        os.close(self._exit)


Gate = Callable[..., MigrationCommand]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    command = Held(tmp_path / "held")
    yield command
    command.close()


@pytest.fixture
def gate(state: Path, held: Held) -> Iterator[Gate]:
    """Makes gates that share a state directory; at the end what they started is let go and reaped."""
    made: list[MigrationCommand] = []

    def make(argv: list[str] | None = None, run: str = RUN, directory: Path = state) -> MigrationCommand:
        made.append(MigrationCommand(argv or held.argv, directory, run))
        return made[-1]

    yield make
    held.let_go()
    for command in made:
        if (state / "lock").is_file():
            ended(command)


def ended(command: MigrationCommand) -> Migration:
    """What is seen when nothing runs any more."""

    def at_rest() -> tuple[Migration, ...]:
        seen = command.look()
        return () if seen.phase is MigrationPhase.RUNNING else (seen,)

    return wait_until(at_rest, 20, "the command to end")[0]


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def alive(pid: int) -> bool:
    """Whether there is a process of this id, a zombie included."""
    return Path(f"/proc/{pid}").exists()


# --- its life -----------------------------------------------------------------------------------------------------


def test_a_command_that_never_ran_is_idle(gate: Gate) -> None:
    """Nothing of it is known, and no attempt is counted."""
    assert gate(["migrate", "--all"]).look() == Migration(MigrationPhase.IDLE, "command migrate")


def test_a_started_command_is_running_until_it_succeeds(gate: Gate, held: Held, state: Path) -> None:
    """With its attempt counted, the place of its output, then its exit code, last words and end."""
    command = gate()
    assert command.start(1)
    running = command.look()
    assert (running.phase, running.attempts, running.ended_at) == (MigrationPhase.RUNNING, 1, None)
    assert running.message == f"attempt 1, its output is in {state / 'log'}"

    held.let_go()

    done = ended(command)
    assert (done.phase, done.attempts, done.message) == (MigrationPhase.SUCCEEDED, 1, "exit code 0: at work")


@pytest.mark.parametrize("code", [1, 3, 255])
def test_a_command_that_exits_otherwise_than_zero_has_failed(gate: Gate, code: int) -> None:
    """With its exit code and what it said, on either stream."""
    command = gate(sh(f"echo connecting; echo 'no such host' >&2; exit {code}"))
    assert command.start(1)
    failed = ended(command)
    assert (failed.phase, failed.message) == (
        MigrationPhase.FAILED,
        f"exit code {code}: connecting no such host",
    )


def test_only_the_tail_of_a_long_output_is_told(gate: Gate) -> None:
    """The cause stands at the end, and a termination message holds 4096 bytes."""
    command = gate(sh("seq 100000; echo the last words; exit 1"))
    assert command.start(1)
    message = ended(command).message
    assert message.endswith("99999 100000 the last words")
    assert len(message) < 1000


def test_the_tail_of_an_output_begins_with_a_whole_word(gate: Gate) -> None:
    """Half of a secret would not be known as one, and be shown."""
    command = gate(sh(f"printf 'not-for-anyones-eyes %s' {'x' * 585}; exit 1"))
    assert command.start(1)
    assert ended(command).message == f"exit code 1: {'x' * 585}"


def test_output_that_is_no_text_is_told_nevertheless(gate: Gate) -> None:
    """A multi-byte character may be cut where the tail begins."""
    command = gate(sh(r"printf '\377\376 broken'; exit 1"))
    assert command.start(1)
    assert ended(command).message.endswith(" broken")


def test_the_end_is_when_it_ended_and_not_when_it_last_said_something(gate: Gate, held: Held, state: Path) -> None:
    """The pause before the next attempt counts from it."""
    command = gate()
    assert command.start(1)
    wait_until(lambda: "at work" in (state / "log").read_text(), 10, "its last words")
    long_ago = 1_000_000_000
    os.utime(state / "log", (long_ago, long_ago))
    before = datetime.now(UTC)
    held.let_go(1)
    at = ended(command).ended_at
    assert at is not None
    # The kernel stamps files with the time of its last tick.
    assert -0.1 < (at - before).total_seconds() < (datetime.now(UTC) - before).total_seconds() + 0.1


def test_the_command_gets_the_gates_environment_and_no_input(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner's settings are in the one, and a tool that asks a question must not wait for ever."""
    monkeypatch.setenv("OWNERS_SETTING", "from the gate")
    command = gate(sh('readlink "/proc/$$/fd/0"; echo "$OWNERS_SETTING"'))
    ours, (read_end, write_end) = os.dup(0), os.pipe()
    os.dup2(read_end, 0)  # pytest's own input is /dev/null already
    try:
        assert command.start(1)
    finally:
        os.dup2(ours, 0)
        for descriptor in (ours, read_end, write_end):
            os.close(descriptor)
    assert ended(command).message == "exit code 0: /dev/null from the gate"


def test_arguments_reach_the_command_as_they_are(gate: Gate) -> None:
    """No shell reads them."""
    command = gate(["printf", "%s|", "a b", "$HOME", "*", "'", ""])
    assert command.start(1)
    assert ended(command).message == "exit code 0: a b|$HOME|*|'||"


# --- gates beside and after one another ---------------------------------------------------------------------------


@pytest.mark.parametrize("run", [RUN, OTHER_RUN])
def test_another_gate_sees_the_command_running_and_cannot_start_it(gate: Gate, run: str) -> None:
    """Neither one of the same run nor one of another: two migrations never run."""
    assert gate().start(1)
    other = gate(run=run)
    seen = other.look()
    assert (seen.phase, seen.attempts) == (MigrationPhase.RUNNING, 1 if run == RUN else 0)
    assert [other.start(attempt) for attempt in (1, 2)] == [False, False]


def test_a_command_outlives_its_killed_gate_and_a_new_one_of_the_same_run_sees_its_end(
    gate: Gate, held: Held, state: Path
) -> None:
    """Killed with its whole process group, as by a terminal or a node; attempts stay counted."""
    argv = [sys.executable, "-c", _GATE, str(state), RUN, *held.argv]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True) as first:  # noqa: S603 - ours
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        pid = held.pid
        os.killpg(first.pid, signal.SIGKILL)
        assert first.wait(10) == -signal.SIGKILL
    assert alive(pid)
    successor = gate()
    seen = successor.look()
    assert (seen.phase, seen.attempts) == (MigrationPhase.RUNNING, 1)
    assert not successor.start(2)

    held.let_go(7)

    seen = ended(successor)
    assert (seen.phase, seen.attempts, seen.message) == (MigrationPhase.FAILED, 1, "exit code 7: at work")
    assert not successor.start(1)
    assert successor.start(2)
    held.let_go()
    assert ended(successor).attempts == 2


def test_another_run_counts_its_own_attempts(gate: Gate) -> None:
    """What another run's command came to is not its own, and hides none of its own attempts: two gates may share it."""
    first = gate(sh("exit 1"))
    assert first.start(1)
    assert ended(first).attempts == 1
    second = gate(sh("exit 0"), OTHER_RUN)
    assert second.look() == Migration(MigrationPhase.IDLE, "command /bin/sh")
    assert second.start(1)
    assert (ended(second).phase, second.look().attempts) == (MigrationPhase.SUCCEEDED, 1)
    then = first.look()
    assert (then.phase, then.attempts) == (MigrationPhase.IDLE, 1)
    assert then.ended_at is not None
    assert not first.start(1)
    assert first.start(2)


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_a_start_that_rests_on_an_old_count_does_nothing(gate: Gate, attempt: int) -> None:
    """Compare and swap: after one attempt only the second can be started."""
    command = gate(sh("exit 1"))
    assert command.start(1)
    before = ended(command)
    assert not command.start(attempt)
    assert command.look() == before
    assert command.start(2)


def test_of_gates_that_start_at_once_one_wins(gate: Gate, held: Held, state: Path) -> None:
    """And the command runs once."""
    gates = [gate() for _ in range(8)]
    barrier = threading.Barrier(len(gates))
    won: list[bool] = []

    def start(one: MigrationCommand) -> None:
        barrier.wait(10)
        won.append(one.start(1))

    threads = [threading.Thread(target=start, args=(one,)) for one in gates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(won) == [False] * 7 + [True]
    held.let_go()
    assert ended(gates[0]).attempts == 1
    assert (state / "log").read_text() == "at work\n"


def test_gates_that_look_at_once_do_not_take_each_other_for_the_command(gate: Gate, state: Path) -> None:
    """Looking takes a shared lock."""
    command = gate()
    command.look()
    with (state / "lock").open() as another:
        fcntl.flock(another, fcntl.LOCK_SH)
        assert command.look().phase is MigrationPhase.IDLE


# --- killed -------------------------------------------------------------------------------------------------------


def test_a_command_killed_with_its_shell_is_a_failed_attempt(gate: Gate, held: Held) -> None:
    """As when memory or a node ran out: there is no exit code, and another attempt may follow."""
    command = gate()
    assert command.start(1)
    os.killpg(os.getpgid(held.pid), signal.SIGKILL)
    killed = ended(command)
    assert (killed.phase, killed.attempts, killed.message) == (
        MigrationPhase.FAILED,
        1,
        "exit code none, it was killed: at work",
    )
    assert killed.ended_at is not None
    assert command.start(2)


def test_a_command_killed_alone_is_a_failed_attempt_with_its_signal(gate: Gate, held: Held) -> None:
    """As a shell tells it: 128 and the signal's number."""
    command = gate()
    assert command.start(1)
    os.kill(held.pid, signal.SIGKILL)
    killed = ended(command)
    assert killed.phase is MigrationPhase.FAILED
    assert killed.message.startswith("exit code 137: ")


def test_a_command_whose_shell_alone_is_killed_is_still_running(gate: Gate, held: Held) -> None:
    """What still writes to the database counts, not who keeps its exit code."""
    command = gate()
    assert command.start(1)
    shell = held.shell
    os.kill(shell, signal.SIGKILL)
    wait_until(lambda: Path(f"/proc/{shell}/stat").read_text().split()[2] == "Z", 10, "its end")
    assert command.look().phase is MigrationPhase.RUNNING
    assert not command.start(2)
    held.let_go()
    assert ended(command).message.startswith("exit code none, it was killed")


def test_an_exit_code_of_an_earlier_attempt_is_not_taken_for_a_later_ones(gate: Gate, held: Held) -> None:
    """An attempt that was killed after one that ended well has not succeeded."""
    first = gate(sh("exit 0"))
    assert first.start(1)
    assert ended(first).phase is MigrationPhase.SUCCEEDED
    second = gate()
    assert second.start(2)
    os.killpg(os.getpgid(held.pid), signal.SIGKILL)
    assert ended(second).phase is MigrationPhase.FAILED


def test_the_command_is_in_no_group_or_session_of_the_gates(gate: Gate, held: Held) -> None:
    """A signal to the gate's group, or its terminal's end, does not reach it."""
    assert gate().start(1)
    assert os.getpgid(held.pid) == os.getsid(held.pid) == held.shell
    assert os.getpgid(held.pid) != os.getpgid(0)


def test_no_zombie_is_left_once_the_end_is_told(gate: Gate, held: Held) -> None:
    """A gate waits for long after a failed attempt."""
    command = gate()
    assert command.start(1)
    shell, pid = held.shell, held.pid
    held.let_go(1)
    ended(command)
    assert not alive(shell)
    assert not alive(pid)


# --- unusable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "not executable", "a directory"])
def test_a_program_that_cannot_be_run_is_named_and_no_attempt(gate: Gate, tmp_path: Path, kind: str) -> None:
    """A shell would start and tell of it by an exit code alone; it is started once it can be."""
    program = tmp_path / "migrate"
    if kind == "not executable":
        program.write_text("#!/bin/sh\n")
    elif kind == "a directory":
        program.mkdir()
    command = gate([str(program)])
    with pytest.raises(FindingError) as refused:
        command.start(1)
    assert refused.value.finding.reason is Reason.MIGRATION_COMMAND_UNUSABLE
    assert str(program) in refused.value.finding.detail
    assert command.look() == Migration(MigrationPhase.IDLE, f"command {program}")
    if kind == "a directory":
        program.rmdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert command.start(1)
    assert ended(command).phase is MigrationPhase.SUCCEEDED


@pytest.mark.parametrize("place", ["state", "state/deeper"])
def test_a_state_directory_that_cannot_be_made_is_named(gate: Gate, tmp_path: Path, place: str) -> None:
    """A file is in its place, or in that of its parent (root may write anywhere else)."""
    (tmp_path / "state").write_text("")
    command = gate(["migrate"], RUN, tmp_path / place)
    for act in (command.look, lambda: command.start(1)):
        with pytest.raises(FindingError) as caught:
            act()
        finding = caught.value.finding
        assert (finding.reason, finding.about) == (Reason.MIGRATION_COMMAND_UNUSABLE, "command migrate")
        assert str(tmp_path / place) in finding.detail


@pytest.mark.parametrize("name", ["lock", "log", "record.new"])
def test_a_state_directory_that_cannot_be_written_starts_nothing(gate: Gate, state: Path, name: str) -> None:
    """A directory is where a file should be; the file is named, no command runs and no attempt is counted."""
    (state / name).mkdir(parents=True)
    command = gate(["touch", str(state / "ran")])
    with pytest.raises(FindingError) as caught:
        command.start(1)
    finding = caught.value.finding
    assert finding.reason is Reason.MIGRATION_COMMAND_UNUSABLE
    assert str(state / name) in finding.detail
    (state / name).rmdir()
    assert ended(command).attempts == 0
    assert not (state / "ran").exists()


@pytest.mark.parametrize(
    "record", ["", '{"run": "run-1", "att', "[]", json.dumps({"run": RUN}), json.dumps({"run": RUN, "attempt": "x"})]
)
def test_a_damaged_record_counts_no_attempt(gate: Gate, state: Path, record: str) -> None:
    """It is only made whole, so that others wrote it; the gate goes on."""
    state.mkdir()
    (state / "record.json").write_text(record)
    command = gate(sh("exit 0"))
    assert command.look() == Migration(MigrationPhase.IDLE, "command /bin/sh")
    assert command.start(1)
    assert ended(command).phase is MigrationPhase.SUCCEEDED


def test_files_that_others_removed_make_the_attempt_a_failed_one(gate: Gate, state: Path) -> None:
    """What cannot be known is not taken for a success."""
    command = gate(sh("exit 0"))
    assert command.start(1)
    assert ended(command).phase is MigrationPhase.SUCCEEDED
    for name in ("exit-code", "log"):
        (state / name).unlink()
    seen = command.look()
    assert (seen.phase, seen.attempts, seen.ended_at) == (MigrationPhase.FAILED, 1, None)
