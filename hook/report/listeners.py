"""Who hears the notices: the log, Kubernetes Events, and the termination message."""

from __future__ import annotations

import logging
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import structlog

from hook.observation.findings import FindingError
from hook.observation.plain import indented
from hook.observation.reasons import ExitCode
from hook.report.teller import Listener, Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hook.decision.steps import Outcome
    from hook.observation.applications import ApplicationRef
    from hook.observation.redaction import Secrets

TERMINATION_MESSAGE_BYTES = 4096
"""Kubernetes keeps no more of it."""


class Log:
    """The log: JSON lines for a collector, readable lines for a terminal, both on standard error."""

    def __init__(self, form: Literal["auto", "json", "console"]) -> None:
        """Configure structlog."""
        console = form == "console" or (form == "auto" and sys.stderr.isatty())
        self._text: Callable[[str], str] = indented if console else str
        renderer: Any = (
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0)
            if console
            else structlog.processors.JSONRenderer()
        )
        self._log = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
                renderer,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )

    def hear(self, notice: Notice) -> None:
        """Write one line."""
        fields: Mapping[str, str] = dict(notice.fields) | ({"reason": notice.reason} if notice.reason else {})
        getattr(self._log, notice.level)(self._text(notice.text), **fields)


class EventsListener:
    """Posts Events. One that is refused never fails a run: it is said once in the log."""

    def __init__(self, post: Callable[[ApplicationRef, str, str, str], None], log: Listener) -> None:
        """Post by ``post(application, kind, reason, message)``."""
        self._post = post
        self._log = log
        self._refused: set[str] = set()

    def hear(self, notice: Notice) -> None:
        """Post an Event on each Application that the notice is about."""
        kind = "Normal" if notice.level == "info" else "Warning"
        message = " ".join((notice.text, *(f"{name}: {value}" for name, value in notice.fields)))
        for ref in dict.fromkeys(notice.about):
            try:
                self._post(ref, kind, notice.reason, message)
            except FindingError as error:
                if ref.namespace not in self._refused:
                    self._refused.add(ref.namespace)
                    text = f"no Event can be posted in namespace {ref.namespace}: {error}"
                    self._log.hear(Notice(text, "warning", fields=(("remedy", error.finding.remedy),)))


class _Overheard(logging.Handler):
    """Hands on what a library logs by itself, each text once; Python would print it past every filter."""

    def __init__(self, listener: Listener) -> None:
        super().__init__(logging.WARNING)
        self._listener = listener
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.name}: {self.format(record)}"
        except Exception:  # noqa: BLE001 -- as the base class has it: a text that does not fit its arguments
            text = f"{record.name}: {record.msg}"
        if text not in self._said:
            self._said.add(text)
            self._listener.hear(Notice(text, "error" if record.levelno >= logging.ERROR else "warning"))


@contextmanager
def overhearing(listener: Listener) -> Iterator[None]:
    """Let the listener hear what libraries log and warn of, and what fails in threads and finalizers.

    The kubernetes client logs by the root logger (`logging.error(str(e))`, kube_config.py), with what a helper printed.
    """
    root, handler = logging.getLogger(), _Overheard(listener)
    handlers, hooks = root.handlers[:], (threading.excepthook, sys.unraisablehook)

    def failed(failure: Any) -> None:  # noqa: ANN401 -- two types of the standard library's with the same two fields
        text = f"{failure.exc_type.__name__}: {failure.exc_value}"
        listener.hear(Notice(f"failed where nobody waits for it: {text}", "warning"))

    root.handlers[:] = [handler]
    logging.captureWarnings(True)  # noqa: FBT003 -- the standard library's
    threading.excepthook = sys.unraisablehook = failed
    try:
        yield
    finally:
        root.handlers[:] = handlers
        logging.captureWarnings(False)  # noqa: FBT003 -- the standard library's
        threading.excepthook, sys.unraisablehook = hooks


def write_termination_message(file: Path, outcome: Outcome, secrets: Secrets) -> None:
    """Write reason and remedy where Kubernetes looks for them, in at most 4096 bytes.

    The file is there in every container; where it is not, nobody looks for it.
    """
    reason, clean = outcome.finding.reason, secrets.cleaner()
    remedies = [f"What to do: {outcome.finding.remedy}"] if reason.exit_code is not ExitCode.PASSED else []
    remedies += [f"Warning: {warning}. What to do: {warning.remedy}" for warning in outcome.warnings]
    first = _bytes(indented(clean(str(outcome.finding))), TERMINATION_MESSAGE_BYTES // 2 if remedies else None)
    rest = "".join(f"\n{indented(clean(line))}" for line in remedies)
    message = first + _bytes(rest, TERMINATION_MESSAGE_BYTES - len(first))
    try:
        if file.exists():
            file.write_bytes(message)
    except OSError as error:
        print(f"cannot write the termination message to {file}: {error}", file=sys.stderr)  # noqa: T201 -- last words


def _bytes(text: str, limit: int | None) -> bytes:
    """Return as much of the text as fits, cut between characters."""
    return text.encode(errors="replace")[: limit or TERMINATION_MESSAGE_BYTES].decode(errors="ignore").encode()
