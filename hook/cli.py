"""The command line: puts the parts together, one command a function, one way out. Holds no logic of the gate's."""

from __future__ import annotations

import argparse
import difflib
import gc
import json
import select
import signal
import socket
import sys
import traceback
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from hook.decision.steps import Outcome
from hook.observation.findings import Finding, FindingError
from hook.observation.plain import indented
from hook.observation.reasons import ExitCode, Reason
from hook.observation.redaction import Secrets, without_secrets
from hook.observation.versions import Release, Store, VersionError, expectation, releases_of, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hook.audit.holds import Hold
    from hook.settings.settings import Settings

_STOP_SECONDS = 1.2
"""After a signal the run gets so long to end by itself; then it is pulled out of a remote call that hangs."""

_LAST_WORDS_SECONDS = 0.3
"""So long may it then take to tell its end; an Event that hangs is given up."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    What is imported stays. To look through it for garbage again and again while it grows takes a tenth of a verdict's time:
    `run` does so from its first look on, and the other commands are over by then.
    """
    gc.disable()
    try:
        sys.exit(_main(arguments))
    finally:
        gc.unfreeze()
        gc.enable()


def _main(arguments: Sequence[str] | None) -> int:
    parsed = _parser().parse_args(arguments)
    if parsed.command == "versions":
        return _versions(parsed.release, parsed.output)
    if parsed.command == "explain":
        return _explain(parsed.reason)
    if parsed.command == "check":
        return _conclude(parsed, lambda load, secrets: _check(load(parsed.config), secrets, parsed.output))
    if parsed.command == "audit":
        return _conclude(
            parsed, lambda load, secrets: _audit(parsed, load(parsed.config) if parsed.config else None, secrets)
        )
    with _Stop() as stop:  # before the slow imports: a container's first process gets no signal that it does not catch
        return _conclude(parsed, lambda load, secrets: _run(load(parsed.config), secrets, stop))


def _conclude(
    parsed: argparse.Namespace, carry_out: Callable[[Callable[[Path | None], Settings], Secrets], Outcome]
) -> int:
    """Carry the command out, which loads the settings, and tell its end, whatever it is; its exit code."""
    from hook.report.listeners import Log, overhearing, write_termination_message  # noqa: PLC0415
    from hook.report.teller import Teller  # noqa: PLC0415
    from hook.settings import loading  # noqa: PLC0415 -- `versions` and `--help` need no pydantic
    from hook.settings.settings import SettingsError  # noqa: PLC0415

    file, secrets, stack = Path("/dev/termination-log"), Secrets(loading.environment_secrets), ExitStack()

    def say(*lines: str) -> None:
        print("\n".join(map(indented, map(secrets.cleaner(), lines))), file=sys.stderr)

    def loaded(config: Path | None) -> Settings:
        nonlocal file
        settings = loading.load(config, opens_files=parsed.command != "audit")  # which needs the names alone
        file = settings.report.termination_message_file
        secrets.ask(partial(loading.secrets, settings))
        stack.enter_context(overhearing(Teller([Log(settings.report.format)], secrets)))
        return settings

    try:
        with stack:
            outcome = carry_out(loaded, secrets)
    except SettingsError as error:
        outcome = Outcome(Finding(Reason.SETTINGS_INVALID, "\n".join(error.faults)))
        say(*(f"{Reason.SETTINGS_INVALID}: {fault}" for fault in error.faults))
    except FindingError as error:  # before the first look: no credentials to look with
        outcome = Outcome(error.finding)
        say(str(error.finding), f"What to do: {error.finding.remedy}")
    except KeyboardInterrupt:  # `check`: nothing was started
        outcome = Outcome(Finding(Reason.INTERRUPTED, "the keyboard"))
        say(f"{Reason.INTERRUPTED}: {Reason.INTERRUPTED.meaning}")
    except Exception as error:  # noqa: BLE001 -- the one way out: a bug ends with its own code, and says so
        outcome = Outcome(Finding(Reason.HOOK_BUG, type(error).__name__, str(error)))
        say(traceback.format_exc().rstrip(), f"{Reason.HOOK_BUG}: {Reason.HOOK_BUG.remedy}")
    if parsed.command == "run":
        write_termination_message(file, outcome, secrets)
    return outcome.finding.reason.exit_code


_EXIT_CODES = """exit codes:
  0  passed: the rollout may go on         5  the migration failed or left the schema behind
  1  a bug in the hook                     6  a login or a permission was refused
  2  the settings cannot be used           7  Temporal does not start; the message names the cause
  3  {three:<38}8  an Application after Temporal failed
  4  a schema that only a person can repair
`temporal-recovery-hook explain REASON` says what a reason means and what to do."""

_SETTINGS = """settings come from YAML (--config) and from environment variables (TRH_...), which override the file:
  temporal.version is TRH_TEMPORAL__VERSION, stores.default.dsn is TRH_STORES__DEFAULT__DSN. A DSN in the
  environment replaces the file's block of that store. The project's docs/settings.md lists all settings."""


class _Parser(argparse.ArgumentParser):
    """Quotes no secret from a command line that it does not understand (`check --dsn postgres://...`)."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and leave."""
        super().error(without_secrets(message, ()))


class _Version(argparse.Action):
    """Looks the version up when somebody asks for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 -- what reads packages' metadata costs as much as YAML

        print(version("temporal-recovery-hook"))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="temporal-recovery-hook",
        description="Holds an Argo CD rollout until Temporal's schemas are right, and repairs what it can.",
        epilog="`temporal-recovery-hook explain` lists all reasons with their exit codes.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, summary: str, description: str, epilog: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        return commands.add_parser(name, help=summary, description=description, epilog=epilog, formatter_class=raw)

    run = command(
        "run",
        "the gate: wait, repair, and end when the rollout may go on; the Job runs this",
        "Waits until both schemas are right and Temporal answers. If something is wrong, it reruns the migration,\n"
        "restarts servers and syncs failed Applications again. Fails at the deadline.",
        f"{_EXIT_CODES.format(three='the deadline was reached')}\n\n{_SETTINGS}\n\n"
        "example:\n  temporal-recovery-hook run --config settings.yaml",
    )
    check = command(
        "check",
        "look once, and print a verification list and the next step; changes nothing",
        "Looks once and prints what `run` would do now. Changes nothing.\n"
        "Exits with 0 if `run` would pass now, with 3 if it would wait or act first, otherwise with the error's code.\n"
        "`run` retries some errors for the grace period (graceSeconds) before it fails. `check` exits at once.",
        f"{_EXIT_CODES.format(three='`run` would wait or act first')}\n\n{_SETTINGS}\n\n"
        "example:\n  temporal-recovery-hook check --config settings.yaml --output json",
    )
    for one in (run, check):
        one.add_argument("--config", type=Path, metavar="FILE", help="settings in YAML; TRH_... variables override it")
    audit = _audit_parser(command)
    versions = command(
        "versions",
        "the schema versions that releases of Temporal expect",
        "Prints the schema versions that Temporal's releases expect. Contacts nothing.",
        "exit codes: 0; 2 if the release is unknown\n\nexample:\n  temporal-recovery-hook versions 1.29",
    )
    versions.add_argument("release", nargs="?", help="a release (1.29.1) or a minor release (1.29); default: all")
    for one in (check, audit, versions):
        one.add_argument(
            "--output", choices=("table", "json"), default="table", help="table for people, JSON for programs"
        )
    explain = command(
        "explain",
        "what a reason means, its exit code and what to do",
        "Prints the entry of a reason, or a list of all reasons. Contacts nothing.",
        "exit codes: 0; 2 if the reason is unknown\n\nexample:\n  temporal-recovery-hook explain SchemaStuck",
    )
    explain.add_argument("reason", nargs="?", help="a reason, in upper or lower case; default: all")
    return parser


def _audit_parser(command: Callable[[str, str, str, str], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Return the parser of `audit`."""
    audit = command(
        "audit",
        "show what holds each Application of a rollout back, and what does not; changes nothing",
        "Reads an ApplicationSet and its Applications, from a cluster or from manifests. Prints what holds each of them\n"
        "back, what does not, and what to do. Changes nothing. It names what it cannot see (charts behind a manifest,\n"
        "Argo CD's version), and counts it neither way.\n"
        "If you give manifests of an Application, give all of them (`argocd app manifests NAME`). If the generators of an\n"
        "ApplicationSet read other systems, also give its Applications (`argocd appset generate FILE -o yaml`).",
        "exit codes:\n"
        "  0  everything that could be seen holds; there may be warnings\n"
        "  1  a bug in the hook\n"
        "  2  the options, the settings or a file cannot be used\n"
        "  3  the Kubernetes API does not answer\n"
        "  6  a login or a permission was refused, or something does not exist\n"
        "  9  something that could be seen does not hold\n"
        "`temporal-recovery-hook explain REASON` says what a finding means and what to do; docs/gating.md lists all.\n\n"
        "examples:\n"
        "  temporal-recovery-hook audit --applicationset argocd/temporal --config settings.yaml\n"
        "  temporal-recovery-hook audit --file applicationset.yaml --file gate.yaml --argocd-version 3.6.1 \\\n"
        "    --migrations data-migrations-temporal --gate data-temporal-recovery-hook --runtime data-temporal\n"
        "  argocd app manifests data-temporal-recovery-hook | temporal-recovery-hook audit --file - \\\n"
        "    --file applicationset.yaml --config settings.yaml",
    )
    audited = audit.add_mutually_exclusive_group(required=True)
    audited.add_argument(
        "--applicationset", metavar="NAMESPACE/NAME", help="an ApplicationSet in the cluster of your kubeconfig"
    )
    audited.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of manifests in YAML, or `-` for standard input; repeatable",
    )
    audit.add_argument("--config", type=Path, metavar="FILE", help="the gate's settings, which name the Applications")
    application = "[NAMESPACE/]NAME"
    audit.add_argument("--migrations", metavar=application, help="the migrations' Application")
    audit.add_argument("--gate", metavar=application, help="the gate's Application")
    audit.add_argument("--runtime", metavar=application, help="the Application of Temporal's servers")
    audit.add_argument(
        "--downstream",
        metavar=application,
        action="append",
        default=[],
        help="an Application that needs Temporal; repeatable",
    )
    audit.add_argument(
        "--argocd-version",
        metavar="VERSION",
        help="Argo CD's version, if neither the cluster nor the manifests show it",
    )
    return audit


# --- explain ------------------------------------------------------------------------------------------------------


def _explain(name: str | None) -> int:
    """Print a reason's entry, or the list of all: those that commands end with, and those that an audit finds."""
    from hook.audit.holds import Hold  # noqa: PLC0415 -- only this and `audit` know them

    entries: dict[str, Reason | Hold] = {str(one).lower(): one for one in (*Reason, *Hold)}
    if name is None:
        for entry in entries.values():
            code = entry.exit_code if isinstance(entry, Reason) else entry.severity.exit_code
            print(f"{code.value:>3}  {entry!s:<28} {entry.meaning}")
        return ExitCode.PASSED
    named = entries.get(name.lower())
    if named is None:
        close = difflib.get_close_matches(name.lower(), entries, n=3)
        hint = f"did you mean {' or '.join(str(entries[one]) for one in close)}?" if close else "`explain` lists all"
        print(f"temporal-recovery-hook explain: {name!r} is not a reason: {hint}", file=sys.stderr)
        return ExitCode.SETTINGS
    print(f"{named}\n\n{named.meaning}\n")
    if isinstance(named, Reason):
        print(f"Exit code:   {named.exit_code.value}")
        print(f"Ends a run:  {named.patience}")
    else:
        print(f"Exit code:   {named.severity.exit_code.value} of `audit` ({named.severity})")
        print(f"Argo CD:     {named.versions}")
        print(f"Source:      {named.source}")
    print(f"What to do:  {named.remedy}")
    return ExitCode.PASSED


# --- versions -----------------------------------------------------------------------------------------------------


def _versions(release: str | None, output: str) -> int:
    try:
        wanted = [Release.parse(one) for one in releases_of(release) or (release,)] if release else list(table())
        listed = {one: expectation(one).versions for one in wanted}
    except VersionError as error:
        print(f"temporal-recovery-hook versions: {error}", file=sys.stderr)
        return ExitCode.SETTINGS
    if output == "json":
        print(json.dumps({str(one): {str(s): str(v) for s, v in row.items()} for one, row in listed.items()}, indent=2))
        return ExitCode.PASSED
    print(f"{'release':<9} {'default':<8} visibility")
    for one, row in listed.items():
        print(f"{one!s:<9} {row[Store.DEFAULT]!s:<8} {row[Store.VISIBILITY]}")
    for one in listed:
        if expectation(one).estimated:
            print(
                f"{one} is not listed: shown is {expectation(one).listed_as}, the lower bound that `run` takes for it."
            )
    return ExitCode.PASSED


# --- run and check ------------------------------------------------------------------------------------------------


def _run(settings: Settings, secrets: Secrets, stop: _Stop) -> Outcome:
    """Run the gate to its end."""
    policy = settings.policy()
    from hook.compose import Composition  # noqa: PLC0415 -- the adapters' libraries cost 0.5 s, only these pay it
    from hook.gate import Gate, StopRequested, Timing  # noqa: PLC0415

    try:
        stop.pulls_out_by = StopRequested
        with Composition(settings, secrets) as parts:
            teller = parts.teller()
            limit = timedelta(seconds=settings.deadline_seconds)
            teller.started(parts.run_id, policy, limit)
            timing = Timing(
                clock=lambda: datetime.now(UTC),
                sleep=stop.sleep,
                interval=timedelta(seconds=settings.interval_seconds),
                limit=limit,
                longest=timedelta(seconds=settings.migration_deadline_seconds),
            )
            gate = Gate(parts.world(parts.own_run()), policy, timing, teller, stop.reason)
            gc.freeze()  # what was imported
            gc.enable()
            return gate.run()
    except StopRequested:  # out of its last words: an Event that hangs
        return Outcome(Finding(stop.reason() or Reason.STOPPED, "the run", "its last report hung"))
    finally:
        stop.pulls_out_by = None


def _check(settings: Settings, secrets: Secrets, output: str) -> Outcome:
    """Look once, as a run that begins now would; change nothing."""
    from hook import check  # noqa: PLC0415
    from hook.compose import Composition  # noqa: PLC0415

    with Composition(settings, secrets) as parts:
        run, limit = check.run(), timedelta(seconds=settings.deadline_seconds)
        verdict = check.look(parts.world(lambda: run), settings.policy_as_far_as_known, limit)
    if output == "json":
        print(check.as_json(verdict, secrets))
    else:
        check.print_table(verdict, secrets)
    return verdict.outcome


def _audit(parsed: argparse.Namespace, settings: Settings | None, secrets: Secrets) -> Outcome:
    """Tell whether a gate gates; change nothing."""
    from hook.audit.asking import Question, answer  # noqa: PLC0415

    question = Question(
        application_set=parsed.applicationset,
        files=tuple(parsed.file),
        gate=parsed.gate,
        migrations=parsed.migrations,
        runtime=parsed.runtime,
        downstream=tuple(parsed.downstream),
        version=parsed.argocd_version,
        output=parsed.output,
    )
    return answer(question, settings, secrets)


class _Stop:
    """SIGTERM and SIGINT: the run is asked to stop, and pulled out of a remote call that hangs."""

    def __init__(self) -> None:
        """Catch nothing yet."""
        self.pulls_out_by: type[BaseException] | None = None
        """What is raised into a call that hangs; None while there is nobody yet to catch it."""
        self._reason: Reason | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._waker, self._sleeper = socket.socketpair()
        self._waker_before = -1

    def __enter__(self) -> Self:
        """Catch the signals."""
        self._waker.setblocking(False)  # noqa: FBT003 -- the standard library's
        self._waker_before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._overdue)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._requested)
        return self

    def __exit__(self, *_: object) -> None:
        """Let signals be what they were."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._waker_before)
        self._waker.close()
        self._sleeper.close()

    def sleep(self, seconds: float) -> None:
        """Sleep so long, or until a signal.

        By what the signal itself writes: a sleep that its handler has to end is slept to its end where the signal comes
        between the last look at signals and the sleep (seen, with an interval of an hour).
        """
        select.select([self._sleeper], [], [], seconds)

    def reason(self) -> Reason | None:
        """Return why the run is to stop, None as long as it is not."""
        return self._reason

    def _requested(self, number: int, _: object) -> None:
        if self._reason is not None:
            return  # it is on its way out
        self._reason = Reason.STOPPED if number == signal.SIGTERM else Reason.INTERRUPTED
        signal.setitimer(signal.ITIMER_REAL, _STOP_SECONDS, _LAST_WORDS_SECONDS)

    def _overdue(self, *_: object) -> None:
        if self.pulls_out_by is not None:
            raise self.pulls_out_by
