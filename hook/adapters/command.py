"""Runs the owner's own migration command, for CI, a laptop and the demo, where no Argo CD does it.

The command is a process group of its own that outlives the gate: a migration is never signalled. While it runs it
holds a lock on a file that it inherited, which the kernel lets go at its end, however it ends; its record and exit code
lie beside. So a gate that is started anew, or a second one, sees it running and counts its attempts.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from hook.observation.findings import Finding, FindingError
from hook.observation.migrations import Migration, MigrationPhase
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_KEEP_EXIT_CODE = '"$@"; code=$?; echo "$code" >"$0.new" && mv "$0.new" "$0"; exit "$code"'
"""Run by sh with the exit code's file as $0 and the command as its arguments."""

_LOG_TAIL_BYTES = 600

_REAP_SECONDS = 1.0
"""Between letting go of its lock and being a zombie a process needs microseconds."""


class MigrationCommand:
    """The owner's command, and what is known of its last run in this directory."""

    def __init__(self, argv: list[str], state_directory: Path, run_id: str) -> None:
        """Work for the run of this id; nothing is started."""
        self._argv = argv
        self._directory = state_directory
        self._run_id = run_id
        self._owner = f"command {argv[0]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._attempts_seen = 0
        """Another gate's run takes the place of ours in the record."""

    def look(self) -> Migration:
        """Return what the command is doing; raise `FindingError`."""
        with self._translated(), self._lock(fcntl.LOCK_SH) as lock:
            if lock is not None:
                self._reap()
            return self._migration(running=lock is None)

    def start(self, attempt: int) -> bool:
        """Start the command; return False if it runs already or another gate started it since. Raises `FindingError`."""
        with self._translated(), self._lock(fcntl.LOCK_EX) as lock:
            if lock is None or self._migration(running=False).attempts != attempt - 1:
                return False
            self._insist_on_a_program()
            self._reap()
            self._exit_code_file.unlink(missing_ok=True)
            record = {"run": self._run_id, "attempt": attempt, "startedAt": datetime.now(UTC).isoformat()}
            written = self._record_file.with_suffix(".new")
            with self._log_file.open("wb") as log:
                written.write_text(json.dumps(record), encoding="utf-8")
                written.replace(self._record_file)  # whole or not at all: it holds the count of attempts
                self._process = subprocess.Popen(  # noqa: S603 -- the owner's command is what the user asked for
                    ["/bin/sh", "-c", _KEEP_EXIT_CODE, str(self._exit_code_file), *self._argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
            return True

    def _insist_on_a_program(self) -> None:
        """A shell would start, too, and tell of it as an exit code alone."""
        if shutil.which(self._argv[0]) is None:
            detail = f"{self._argv[0]} is not there, or cannot be executed"
            raise FindingError(Finding(Reason.MIGRATION_COMMAND_UNUSABLE, self._owner, detail))

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise FindingError(Finding(Reason.MIGRATION_COMMAND_UNUSABLE, self._owner, str(error))) from error

    @contextmanager
    def _lock(self, kind: int) -> Iterator[IO[bytes] | None]:
        """Yield the locked file, or None while the command (or another gate that starts it) holds it.

        To look takes a shared lock, or two gates that look at once would each see a command running.
        """
        with (self._directory / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
            else:
                yield lock

    def _migration(self, *, running: bool) -> Migration:
        record = self._record()
        is_ours = record.get("run") == self._run_id
        if is_ours:
            self._attempts_seen = max(self._attempts_seen, int(record["attempt"]))
        message, ended_at = "", self._ended_at() if self._attempts_seen else None
        if running:
            phase, ended_at = MigrationPhase.RUNNING, None
            message = f"attempt {record.get('attempt')}, its output is in {self._log_file}"
        elif not is_ours:
            phase = MigrationPhase.IDLE
        else:
            code = self._exit_code()
            phase = MigrationPhase.SUCCEEDED if code == "0" else MigrationPhase.FAILED
            message = f"exit code {code}: {self._log_tail()}"
        return Migration(phase, self._owner, attempts=self._attempts_seen, ended_at=ended_at, message=message)

    def _reap(self) -> None:
        """Take our own command's end from the kernel; its lock is free, so it is at its end if it is not over it."""
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_REAP_SECONDS)

    def _ended_at(self) -> datetime | None:
        """Return when it wrote its exit code, or its last words if it was killed before."""
        for file in (self._exit_code_file, self._log_file):
            with suppress(FileNotFoundError):
                return datetime.fromtimestamp(file.stat().st_mtime, UTC)
        return None

    def _record(self) -> dict[str, Any]:
        try:
            record = json.loads(self._record_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return record if isinstance(record, dict) and isinstance(record.get("attempt"), int) else {}

    def _exit_code(self) -> str:
        """Return the exit code, or a word for a command that was killed before it could leave one."""
        try:
            return self._exit_code_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return "none, it was killed"

    def _log_tail(self) -> str:
        try:
            log = self._log_file.read_bytes()
        except FileNotFoundError:
            return ""
        words = log[-_LOG_TAIL_BYTES:].decode(errors="replace").split()
        # Half of a secret is not known as one.
        return " ".join(words[1:] if len(log) > _LOG_TAIL_BYTES else words)

    @property
    def _record_file(self) -> Path:
        return self._directory / "record.json"

    @property
    def _exit_code_file(self) -> Path:
        return (self._directory / "exit-code").absolute()

    @property
    def _log_file(self) -> Path:
        return self._directory / "log"
