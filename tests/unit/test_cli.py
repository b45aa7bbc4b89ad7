"""The command line: what it prints, how it ends, and that it ends when it is asked to."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import worlds
import yaml
from plain_world import PlainComposition

from hook import cli, compose
from hook.audit.holds import Hold
from hook.decision.steps import Outcome
from hook.gate import Gate
from hook.observation.applications import ApplicationRef, OperationPhase
from hook.observation.findings import Finding, Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Observation, Run
from hook.observation.reasons import ExitCode, Reason
from hook.observation.redaction import Secrets
from hook.observation.versions import Store
from hook.observation.workloads import Runtime
from hook.report.teller import Listener, Notice
from hook.settings.settings import Settings

HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "temporal": {"version": "1.29.1", "frontend": {"address": "frontend:7233"}},
    "stores": {"default": {"host": "db", "user": "temporal"}},
    "migrations": {"application": {"name": "data-migrations-temporal"}},
    "report": {"format": "json"},
    "graceSeconds": 0,
}
VARIABLES = {
    "TRH_TEMPORAL__VERSION": "1.29.1",
    "TRH_STORES__DEFAULT__HOST": "db",
    "TRH_MIGRATIONS__APPLICATION__NAME": "migrations",
    "TRH_REPORT__FORMAT": "json",
}

End = tuple[int, str, str]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., End]:
    """Runs the command line here; returns exit code, standard output and standard error."""

    def run(*arguments: str) -> End:
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def in_world(
    command: Callable[..., End], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[End, str]]:
    """Runs a command over a world of plain functions; returns its end, and its termination message."""

    def run(
        seen: Observation, *arguments: str, listeners: tuple[Listener, ...] = (), **settings: object
    ) -> tuple[End, str]:
        message = tmp_path / "termination-log"
        message.touch()
        file = tmp_path / "settings.yaml"
        report = {"format": "json", "terminationMessageFile": str(message)}
        file.write_text(yaml.safe_dump(SETTINGS | settings | {"report": report}), encoding="utf-8")
        monkeypatch.setattr(
            compose, "Composition", lambda loaded, secrets: PlainComposition(loaded, seen, secrets, listeners)
        )
        end = command(*arguments, "--config", str(file))
        return end, message.read_text(encoding="utf-8")

    return run


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRH_")}
    return subprocess.run(  # noqa: S603 -- this interpreter
        [sys.executable, *arguments],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


# --- versions, help -----------------------------------------------------------------------------------------------


def test_versions_lists_every_release(command: Callable[..., End]) -> None:
    """A heading, and a line for each in their order."""
    code, out, err = command("versions")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "release   default  visibility"
    assert "1.29.1    1.18     1.9" in lines
    assert all(re.fullmatch(r"1\.\d+\.\d+ +1\.\d+ +1\.\d+", line) for line in lines[1:])


def test_versions_of_one_release(command: Callable[..., End]) -> None:
    """As it is written with a v, too."""
    assert command("versions", "v1.29.1") == (0, "release   default  visibility\n1.29.1    1.18     1.9\n", "")


def test_versions_says_what_stands_in_for_a_release_that_is_not_listed(command: Callable[..., End]) -> None:
    """With what that means for a run."""
    code, out, _ = command("versions", "1.29.99")
    assert code == 0
    assert out.splitlines()[1:] == [
        "1.29.99   1.18     1.9",
        "1.29.99 is not listed: shown is 1.29.7, the lower bound that `run` takes for it.",
    ]


def test_versions_as_json(command: Callable[..., End]) -> None:
    """For programs; all of them or one."""
    code, out, _ = command("versions", "1.29.1", "--output", "json")
    assert code == 0
    assert json.loads(out) == {"1.29.1": {"default": "1.18", "visibility": "1.9"}}
    assert len(json.loads(command("versions", "--output", "json")[1])) > 80


@pytest.mark.parametrize(
    ("release", "says"),
    [
        ("1.99.0", "release 1.99.0 is not in the table (it knows 1.17 to 1.32): set temporal.schemaVersions.default"),
        ("latest", "'latest' is not a release of Temporal's server such as 1.29.1"),
    ],
)
def test_versions_of_an_unknown_release_ends_like_other_bad_input(
    command: Callable[..., End], release: str, says: str
) -> None:
    """On standard error, with the settings' exit code."""
    code, out, err = command("versions", release)
    assert (code, out) == (2, "")
    assert err.startswith(f"temporal-recovery-hook versions: {says}")


def test_versions_of_a_minor_lists_all_of_it(command: Callable[..., End]) -> None:
    """As one expects who has only the minor in mind."""
    code, out, _ = command("versions", "1.29")
    assert (code, [line.split()[0] for line in out.splitlines()[1:3]]) == (0, ["1.29.0", "1.29.1"])


def test_explain_prints_a_reasons_entry_in_any_case_and_suggests_a_like_one(command: Callable[..., End]) -> None:
    """Meaning, exit code, how long it is waited for, what to do; all reasons without an argument."""
    code, out, _ = command("explain", "schemastuck")
    assert code == 0
    for text in (
        Reason.SCHEMA_STUCK.meaning,
        Reason.SCHEMA_STUCK.remedy,
        "Exit code:   4",
        Reason.SCHEMA_STUCK.patience,
    ):
        assert text in out
    assert command("explain", "SchemaStuk") == (
        2,
        "",
        "temporal-recovery-hook explain: 'SchemaStuk' is not a reason: did you mean SchemaStuck?\n",
    )
    assert {line.split()[1] for line in command("explain")[1].splitlines()} == {
        str(reason) for reason in (*Reason, *Hold)
    }
    code, out, _ = command("explain", "postsyncgate")
    assert code == 0
    for text in ("PostSyncGate", "Exit code:   9 of `audit`", "argo-cd 24507", Hold.POST_SYNC_GATE.remedy):
        assert text in out


def test_help_names_the_commands_and_where_the_exit_codes_are(command: Callable[..., End]) -> None:
    """What a person who has only the program gets to know."""
    code, out, _ = command("--help")
    assert code == 0
    assert re.search(r"^ +run +the gate", out, re.MULTILINE)
    assert re.search(r"^ +check +look once", out, re.MULTILINE)
    assert re.search(r"^ +versions +the schema versions", out, re.MULTILINE)
    assert re.search(r"^ +explain +what a reason means", out, re.MULTILINE)
    assert "`temporal-recovery-hook explain` lists all reasons" in out


@pytest.mark.parametrize("name", ["run", "check", "versions", "explain"])
def test_each_command_explains_its_options(command: Callable[..., End], name: str) -> None:
    """No option is left without a word."""
    code, out, _ = command(name, "--help")
    assert code == 0
    assert re.findall(r"^ {2}(-\S.*?)(?: {2,}\S.*|\n {10,}\S.*)$", out, re.MULTILINE) == re.findall(
        r"^ {2}(-\S.*?)(?: {2,}.*)?$", out, re.MULTILINE
    )


def test_the_version_is_the_package_s(command: Callable[..., End]) -> None:
    """One source."""
    assert command("--version") == (0, f"{version('temporal-recovery-hook')}\n", "")


@pytest.mark.parametrize("arguments", [[], ["gate"], ["run", "--confg", "x"], ["check", "--output", "xml"]])
def test_a_wrong_command_line_ends_with_the_settings_exit_code(
    command: Callable[..., End], arguments: list[str]
) -> None:
    """And with the usage."""
    code, _, err = command(*arguments)
    assert code == ExitCode.SETTINGS
    assert err.startswith("usage: temporal-recovery-hook")


# --- what is loaded -----------------------------------------------------------------------------------------------

HEAVY = ("pydantic", "kubernetes", "grpc", "psycopg", "yaml", "structlog", "tenacity", "rich")
LOADED = f"""
import sys
from hook.cli import _main
try:
    _main(sys.argv[1:])
except SystemExit:
    pass
print(*[name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize("arguments", [["versions"], ["versions", "1.29.1", "--output", "json"], ["--help"]])
def test_an_answer_that_needs_no_library_loads_none(arguments: list[str]) -> None:
    """It comes in a tenth of a second."""
    ended = python("-c", LOADED, *arguments)
    assert ended.stderr == ""
    assert ended.stdout.splitlines()[-1] == ""


def test_a_check_loads_what_its_settings_ask_for(tmp_path: Path) -> None:
    """A command as the schema's owner, no pods and no frontend: then neither the Kubernetes client nor gRPC."""
    variables = {
        "TRH_STORES__DEFAULT__HOST": str(tmp_path),  # a directory without PostgreSQL's socket
        "TRH_TEMPORAL__VERSION": "1.29.1",
        "TRH_MIGRATIONS__STRATEGY": "command",
        "TRH_MIGRATIONS__COMMAND__ARGV": '["true"]',
        "TRH_MIGRATIONS__COMMAND__STATE_DIRECTORY": str(tmp_path / "state"),
    }
    ended = python("-c", LOADED, "check", "--output", "json", **variables)
    document, _, loaded = ended.stdout.strip().rpartition("\n")
    assert json.loads(document)["exitCode"] == ExitCode.DEADLINE
    assert "psycopg" in loaded.split()
    assert not {"kubernetes", "grpc"} & {*loaded.split()}


def test_garbage_is_collected_while_the_gate_runs_and_not_while_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, command: Callable[..., End]
) -> None:
    """A gate may wait for an hour."""
    collects: dict[str, bool] = {}

    def begin(settings: Settings, secrets: Secrets) -> PlainComposition:
        collects["import"] = gc.isenabled()
        return PlainComposition(settings, worlds.observation(), secrets)

    def look(_: Gate) -> Outcome:
        collects["run"] = gc.isenabled()
        return Outcome(Finding(Reason.PASSED, "it"))

    monkeypatch.setattr(compose, "Composition", begin)
    monkeypatch.setattr(Gate, "run", look)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert command("run")[0] == ExitCode.PASSED
    assert collects == {"import": False, "run": True}
    assert gc.isenabled()


# --- how it ends --------------------------------------------------------------------------------------------------


def crashing(reason: Reason) -> Observation:
    """Temporal does not come up, for a cause that is in its log since this run began."""
    broken = worlds.in_back_off("history", worlds.RUN_STARTED + 40, reason)
    trouble = worlds.unknown(Reason.FRONTEND_UNREACHABLE)
    return worlds.observation(runtime=worlds.runtime(broken), frontend=trouble)


def failed_downstream() -> Observation:
    operation = worlds.operation(
        OperationPhase.FAILED, attempt=3, finished_at=worlds.at(worlds.RUN_STARTED + 10), message="job failed"
    )
    bootstrap = worlds.application(health="Degraded", operation=operation)
    return worlds.observation(downstream=worlds.downstream(bootstrap))


ENDINGS = [
    pytest.param(worlds.observation(), {}, Reason.PASSED, id="passed"),
    pytest.param(
        crashing(Reason.NAMESPACE_METADATA_MISSING), {}, Reason.PASSED_WITH_WARNING, id="passed with a warning"
    ),
    pytest.param(
        worlds.observation(stores=worlds.stores(default=worlds.unknown(Reason.DATABASE_UNREACHABLE))),
        {},
        Reason.DEADLINE_EXCEEDED,
        id="deadline",
    ),
    pytest.param(
        worlds.observation(stores=worlds.stores(default=worlds.unknown(Reason.SCHEMA_STUCK))),
        {},
        Reason.SCHEMA_STUCK,
        id="schema",
    ),
    pytest.param(
        worlds.observation(stores=worlds.EMPTY), {"onEmptyDatabase": "fail"}, Reason.DATABASE_EMPTY, id="empty"
    ),
    pytest.param(
        worlds.observation(stores=worlds.BEHIND, migration=worlds.migration(MigrationPhase.SUCCEEDED, attempts=1)),
        {},
        Reason.MIGRATION_LEFT_SCHEMA_BEHIND,
        id="migration",
    ),
    pytest.param(
        worlds.observation(stores=worlds.BEHIND, migration=worlds.attempted(3)),
        {},
        Reason.MIGRATION_FAILED,
        id="migration failed",
    ),
    pytest.param(
        worlds.observation(stores=worlds.stores(default=worlds.unknown(Reason.DATABASE_LOGIN_REFUSED))),
        {},
        Reason.DATABASE_LOGIN_REFUSED,
        id="access",
    ),
    pytest.param(
        crashing(Reason.NAMESPACE_METADATA_MISSING),
        {"reachability": "always"},
        Reason.NAMESPACE_METADATA_MISSING,
        id="temporal",
    ),
    pytest.param(failed_downstream(), {"reachability": "always"}, Reason.DOWNSTREAM_FAILED, id="downstream"),
]


@pytest.mark.parametrize(("seen", "settings", "reason"), ENDINGS)
def test_each_ending_has_its_exit_code_and_its_words_everywhere(
    in_world: Callable[..., tuple[End, str]], seen: Observation, settings: dict[str, object], reason: Reason
) -> None:
    """The same reason in exit code, log and termination message; the remedy wherever it did not pass."""
    (code, out, err), message = in_world(seen, "run", **settings)
    last = json.loads(err.splitlines()[-1])
    assert (code, out) == (reason.exit_code, "")
    assert last["reason"] == str(reason)
    assert message.startswith(f"{reason}: ")
    if reason.exit_code is not ExitCode.PASSED:
        assert (last["level"], message.partition("What to do: ")[2]) == ("error", last["remedy"])


@pytest.mark.parametrize("output", ["json", "table"])
@pytest.mark.parametrize(("seen", "settings", "reason"), ENDINGS)
def test_check_ends_as_a_run_would_or_says_what_it_would_do_first(  # noqa: PLR0913, PLR0917 -- a case is a world, its settings and a form
    in_world: Callable[..., tuple[End, str]],
    monkeypatch: pytest.MonkeyPatch,
    seen: Observation,
    settings: dict[str, object],
    reason: Reason,
    output: str,
) -> None:
    """With its exit code and reason in both forms; what a run only ends on later is not yet so."""
    monkeypatch.setenv("COLUMNS", "300")
    crashes = isinstance(seen.runtime, Runtime) and any(pod.crashed_at for pod in seen.runtime.pods)
    if reason is Reason.DEADLINE_EXCEEDED or crashes:  # a pod in back-off from before this run is restarted first
        reason = Reason.NOT_YET
    (code, out, err), message = in_world(seen, "check", "--output", output, **settings)
    assert (code, err, message) == (reason.exit_code, "", "")
    if output == "json":
        document = json.loads(out)
        assert (document["exitCode"], document["reason"]) == (reason.exit_code, str(reason))
    else:
        assert out.endswith(f"exit code {reason.exit_code.value} ({reason})\n")


def test_a_deadline_names_all_that_is_missing_and_not_only_the_first(in_world: Callable[..., tuple[End, str]]) -> None:
    """The API server hides the migration, which is waited for first; the database is away as well."""
    away = worlds.unknown(Reason.API_UNREACHABLE)
    seen = worlds.observation(migration=away, stores=worlds.stores(default=worlds.unknown(Reason.DATABASE_UNREACHABLE)))
    _, message = in_world(seen, "run", graceSeconds=0)
    assert message.startswith("DeadlineExceeded: still missing: ApiUnreachable: ")
    assert "; DatabaseUnreachable: " in message


def test_the_own_application_as_a_target_ends_at_once(in_world: Callable[..., tuple[End, str]]) -> None:
    """As the tracking of the run's Job says, whatever the settings say."""
    run = Run("run", worlds.at(worlds.RUN_STARTED), owner=worlds.RUNTIME.name)
    (code, _, err), message = in_world(worlds.observation(run=run), "run")
    assert code == ExitCode.SETTINGS
    assert json.loads(err.splitlines()[-1])["reason"] == "OwnApplicationTargeted"
    assert message.startswith(f"OwnApplicationTargeted: Application {worlds.RUNTIME}: ")


def test_unusable_credentials_end_with_their_own_code(command: Callable[..., End], tmp_path: Path) -> None:
    """Nothing can be looked at without; it is said with what to do."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("clusters: []\n")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(SETTINGS | {"kubernetes": {"kubeconfigFile": str(kubeconfig)}}))
    code, _, err = command("check", "--config", str(file))
    assert code == ExitCode.ACCESS
    assert err.startswith("KubeconfigUnusable: ")
    assert err.endswith(
        "\nWhat to do: Set `current-context`, or the context in the settings, to one of its contexts.\n"
    )


@pytest.mark.parametrize("name", ["run", "check"])
def test_a_bug_ends_with_its_own_code_its_traceback_and_what_to_do(
    in_world: Callable[..., tuple[End, str]], tmp_path: Path, name: str
) -> None:
    """And without the password that the exception's text holds, even one that was rotated in meanwhile."""
    password = tmp_path / "password"
    password.write_text("first-password")

    class Rotates(Exception):  # noqa: N818 -- any bug
        def __str__(self) -> str:
            password.write_text("second-password")
            return "host=db password=first-password, then second-password"

    bad: Any = worlds.stores() | {Store.DEFAULT: Rotates()}
    stores = {"default": {"host": "db", "passwordFile": str(password)}}
    (code, out, err), message = in_world(worlds.observation(stores=bad), name, stores=stores)
    assert (code, out) == (ExitCode.BUG, "")
    assert "Traceback (most recent call last):" in err
    assert "host=db password=***, then ***" in err
    assert err.endswith(f"HookBug: {Reason.HOOK_BUG.remedy}\n")
    assert not re.search(r"(first|second)-password", err + message)
    if name == "run":
        assert message == (
            "HookBug: Rotates: host=db password=***, then ***\n" + f"What to do: {Reason.HOOK_BUG.remedy}"
        )


def test_a_password_rotated_during_the_run_is_not_in_the_termination_message(
    in_world: Callable[..., tuple[End, str]], tmp_path: Path
) -> None:
    """It was not yet the password when the run began."""
    password = tmp_path / "password"
    password.write_text("first-password")

    class Rotates:
        def hear(self, _: Notice) -> None:
            password.write_text("second-password")

    told = Finding(Reason.SCHEMA_STUCK, "first-password", "second-password")
    seen = worlds.observation(stores=worlds.stores(default=replace(worlds.unknown(told.reason), finding=told)))
    stores = {"default": {"host": "db", "passwordFile": str(password)}}
    _, message = in_world(seen, "run", listeners=(Rotates(),), stores=stores)
    assert message.startswith("SchemaStuck: ***: ***\n")


def test_bad_settings_are_in_the_termination_message(
    command: Callable[..., End], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Kubernetes' own place: where the settings name another, they could not be read."""
    place = tmp_path / "termination-log"
    place.touch()
    monkeypatch.setattr(cli, "Path", lambda path: place if path == "/dev/termination-log" else Path(path))
    code, _, _ = command("run", "--config", str(tmp_path / "none.yaml"))
    assert code == ExitCode.SETTINGS
    assert place.read_text().startswith("SettingsInvalid: --config ")
    assert place.read_text().endswith(f"\nWhat to do: {Reason.SETTINGS_INVALID.remedy}")


# --- check --------------------------------------------------------------------------------------------------------

STALE = worlds.pod("history", started_at=worlds.at(worlds.BORN - 3600))
UNCOMPARED = replace(worlds.migration(MigrationPhase.UNCOMPARED), attempts=1)
NEXT_STEPS = [
    pytest.param(
        worlds.observation(stores=worlds.EMPTY),
        "ask Application argocd/data-migrations-temporal to migrate: "
        "default is empty, expected 1.18, visibility is empty, expected 1.9",
        id="migrate",
    ),
    pytest.param(
        worlds.observation(runtime=worlds.runtime(STALE)),
        "restart temporal-history-0: running since before its database's schema was made",
        id="restart",
    ),
    pytest.param(
        worlds.observation(downstream=worlds.downstream(worlds.application(operation=None))),
        "sync Application argocd/data-temporal-namespace-bootstrap again: it never ran",
        id="sync",
    ),
    pytest.param(
        worlds.observation(migration=UNCOMPARED),
        "ask Argo CD to refresh Application argocd/data-migrations-temporal: its Job's end is not in its status yet",
        id="compare",
    ),
    pytest.param(
        worlds.observation(migration=worlds.migration(MigrationPhase.RUNNING, message="wave 1")),
        "wait: MigrationRunning: Application argocd/data-migrations-temporal: wave 1; "
        "for up to 1800 s (deadlineSeconds), then fail: DeadlineExceeded",
        id="wait",
    ),
    pytest.param(worlds.observation(), "pass: the rollout may go on", id="pass"),
    pytest.param(
        worlds.observation(stores=worlds.stores(default=worlds.unknown(Reason.SCHEMA_STUCK))),
        "fail: SchemaStuck: it: as seen",
        id="fail",
    ),
]


@pytest.mark.parametrize(("seen", "step"), NEXT_STEPS)
def test_check_says_what_a_run_would_do_and_does_not_do_it(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch, seen: Observation, step: str
) -> None:
    """Every act of this world raises; a run over it shows that they do."""
    monkeypatch.setenv("COLUMNS", "300")
    (_, out, _), _ = in_world(seen, "check", "--output", "json")
    assert json.loads(out)["nextStep"] == step
    (_, out, _), _ = in_world(seen, "check")
    assert f"run would now {step}" in out.splitlines()


def test_the_acts_of_this_world_would_be_noticed(in_world: Callable[..., tuple[End, str]]) -> None:
    """Else the cases above showed nothing."""
    (code, _, err), _ = in_world(worlds.observation(stores=worlds.EMPTY), "run")
    assert code == ExitCode.BUG
    assert "AssertionError: the world was changed" in err


def test_check_prints_a_table_to_tick_off(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there, what was seen, what is wanted; then what to do, and the next step."""
    monkeypatch.setenv("COLUMNS", "200")
    login = Finding(Reason.DATABASE_LOGIN_REFUSED, "store default", "[bold]password[/] authentication failed")
    seen = worlds.observation(stores=worlds.stores(default=replace(worlds.unknown(login.reason), finding=login)))
    (_, out, _), _ = in_world(seen, "check")
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert rows[0] == ["what", "seen"]
    assert ["? unseen", "schema of default", "DatabaseLoginRefused: [bold]password[/] authentication failed"] in rows
    assert ["✔ ok", "schema of visibility", "at 1.9"] in rows
    assert out.splitlines()[-5:] == [
        "",
        f"schema of default: {Reason.DATABASE_LOGIN_REFUSED.remedy}",
        "",
        "run would now fail: DatabaseLoginRefused: store default: [bold]password[/] authentication failed",
        "exit code 6 (DatabaseLoginRefused)",
    ]


def test_a_narrow_terminal_shows_all_of_the_table(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long names of Applications left no room for what was seen of them: both are folded."""
    ref = ApplicationRef("argocd", "production-data-temporal-namespace-bootstrap")
    monkeypatch.setenv("COLUMNS", "80")
    seen = worlds.observation(downstream={ref: worlds.application(ref, health="Progressing")})
    (_, out, _), _ = in_world(seen, "check")
    table = out.partition("\n\n")[0].splitlines()
    assert max(len(line) for line in table) <= 80
    assert table[0].split() == ["what", "seen"]
    what, seen_at = (table[0].index(heading) for heading in ("what", "seen"))
    assert str(ref) in "".join(line[what:seen_at].strip() for line in table)
    assert "Synced, Progressing" in "".join(line[seen_at:].strip() for line in table)


def test_a_remedy_is_printed_as_one_line_on_a_narrow_terminal(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is SQL to be copied; only the table is folded."""
    monkeypatch.setenv("COLUMNS", "40")
    crashing_history = crashing(Reason.NAMESPACE_METADATA_MISSING)
    (_, out, _), _ = in_world(crashing_history, "check", reachability="always")
    assert f"pods of history: {Reason.NAMESPACE_METADATA_MISSING.remedy}" in out.splitlines()
    assert max(len(line) for line in out.partition("\n\n")[0].splitlines()) <= 40


def test_check_as_json_holds_the_same(in_world: Callable[..., tuple[End, str]]) -> None:
    """Each check with its mark, and the warnings with what to do."""
    newer = worlds.stores(default=worlds.schema(Store.DEFAULT, "1.19"))
    (_, out, _), _ = in_world(worlds.observation(stores=newer), "check", "--output", "json")
    document = json.loads(out)
    assert set(document) == {"reason", "exitCode", "nextStep", "remedy", "warnings", "checks"}
    assert {
        "subject": "schema of default",
        "mark": "ok",
        "seen": "at 1.19",
        "wanted": "1.18 for Temporal 1.29.1",
        "remedy": "",
    } in document["checks"]
    assert document["warnings"] == [
        {
            "reason": "SchemaNewer",
            "about": "store default",
            "detail": "default is at 1.19, expected 1.18",
            "remedy": Reason.SCHEMA_NEWER.remedy,
        }
    ]


def test_check_takes_the_release_from_the_pods_where_none_is_set(in_world: Callable[..., tuple[End, str]]) -> None:
    """As for a look at what runs now; without pods it says which setting is missing."""
    (code, out, _), _ = in_world(worlds.observation(), "check", "--output", "json", temporal={})
    assert code == ExitCode.PASSED
    assert "1.18 for Temporal 1.29.1" in out


UNREADABLE = worlds.unknown(Reason.API_UNREACHABLE)
OTHER_IMAGE = replace(worlds.runtime(), pods=(worlds.pod("history", image="registry/temporal:latest"),))


@pytest.mark.parametrize(
    ("pods", "why"),
    [
        (None, "the pods' images were not read: runtime.namespace is not set"),
        (UNREADABLE, f"the pods' images could not be read: {UNREADABLE.finding}"),
        (replace(worlds.runtime(), pods=()), "there is no pod whose image could tell it"),
        (OTHER_IMAGE, "no pod's image has a release as its tag: registry/temporal:latest"),
    ],
)
def test_without_a_release_check_shows_all_that_it_saw_and_says_what_is_missing(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch, pods: object, why: str
) -> None:
    """The schemas' versions are shown, and which source was asked for the release, in vain."""
    monkeypatch.setenv("COLUMNS", "300")
    (code, out, _), _ = in_world(worlds.observation(runtime=pods), "check", temporal={})
    assert code == ExitCode.SETTINGS
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()]
    assert ["? unseen", "schema of default", "at 1.18 (wanted: unknown: set temporal.version)"] in rows
    assert f"such as 1.29.1; {why}\n" in out


def test_servers_that_crashed_long_ago_are_restarted_by_a_run_and_check_says_so(
    in_world: Callable[..., tuple[End, str]],
) -> None:
    """Later than the schema was right: a run that begins now restarts them at once, so nothing passes."""
    crashed = worlds.in_back_off("history", worlds.RUN_STARTED - 10, Reason.CRASH_LOOPING)
    seen = worlds.observation(runtime=worlds.runtime(crashed), frontend=worlds.unknown(Reason.FRONTEND_UNREACHABLE))
    (code, out, _), _ = in_world(seen, "check", "--output", "json")
    assert (code, json.loads(out)["reason"]) == (ExitCode.DEADLINE, "NotYet")
    assert json.loads(out)["nextStep"].startswith("restart temporal-history-0: in back-off")


def test_a_wait_for_temporal_says_how_long_and_what_comes_after(in_world: Callable[..., tuple[End, str]]) -> None:
    """Under `auto` the patience ends it with a warning, under `always` the deadline."""
    seen = worlds.observation(frontend=worlds.unknown(Reason.FRONTEND_UNREACHABLE))
    (code, out, _), _ = in_world(seen, "check", "--output", "json")
    assert code == ExitCode.DEADLINE
    assert "; for up to 600 s (patienceSeconds), then pass with a warning: Frontend" in json.loads(out)["nextStep"]
    (code, out, _), _ = in_world(seen, "check", "--output", "json", reachability="always")
    assert json.loads(out)["nextStep"].endswith("for up to 1800 s (deadlineSeconds), then fail: DeadlineExceeded")


def test_a_fault_that_a_run_has_grace_for_ends_check_with_its_own_code(
    in_world: Callable[..., tuple[End, str]],
) -> None:
    """And says how long a run would wait before it ends so."""
    seen = worlds.observation(stores=worlds.stores(default=worlds.unknown(Reason.DATABASE_LOGIN_REFUSED)))
    (code, out, _), _ = in_world(seen, "check", "--output", "json", graceSeconds=120)
    assert code == ExitCode.ACCESS
    assert "for up to 120 s (graceSeconds), then fail: DatabaseLoginRefused" in json.loads(out)["nextStep"]


def test_one_cause_is_shown_once_and_a_pipe_gets_one_line_a_row(
    in_world: Callable[..., tuple[End, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API server that is away hides all that it has, by one cause whose path alone differs."""

    def away(path: str) -> Unknown:
        return Unknown(Finding(Reason.API_UNREACHABLE, "Kubernetes API", f"GET /apis/{path}: Connection refused"))

    monkeypatch.delenv("COLUMNS", raising=False)
    seen = worlds.observation(migration=away("one"), application=away("two"), runtime=away("three"))
    (_, out, _), _ = in_world(seen, "check")
    [row] = [line for line in out.splitlines() if line.startswith("? unseen")]
    assert re.split(r" {2,}", row)[1:] == [
        "migrations, runtime's Application, pods",
        "ApiUnreachable: Connection refused",
    ]


# --- signals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "number", "reason"),
    [
        ("load", signal.SIGTERM, Reason.STOPPED),
        ("load", signal.SIGINT, Reason.INTERRUPTED),
        ("look", signal.SIGTERM, Reason.STOPPED),
        ("look", signal.SIGINT, Reason.INTERRUPTED),
        ("sleep", signal.SIGTERM, Reason.STOPPED),
        ("sleep", signal.SIGINT, Reason.INTERRUPTED),
        ("report", signal.SIGTERM, Reason.STOPPED),
        ("both", signal.SIGTERM, Reason.STOPPED),
        ("check", signal.SIGINT, Reason.INTERRUPTED),
    ],
)
def test_a_signal_ends_it(tmp_path: Path, where: str, number: signal.Signals, reason: Reason) -> None:
    """Before it begins, out of a remote call that never answers, of a sleep of an hour, and of a last Event that hangs."""
    message = tmp_path / "termination-log"
    message.touch()
    variables = VARIABLES | {
        "TRH_REPORT__TERMINATION_MESSAGE_FILE": str(message),
        "TRH_INTERVAL_SECONDS": "3600",
        "TRH_DEADLINE_SECONDS": "86400",
    }
    with subprocess.Popen(  # noqa: S603 -- this interpreter
        [sys.executable, str(HERE / "plain_world.py"), where],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "hanging\n"
            process.send_signal(number)
            _, log = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == reason.exit_code
    if where == "check":
        assert log == f"Interrupted: {Reason.INTERRUPTED.meaning}\n"
    else:
        assert message.read_text().startswith(f"{reason}: ")
    if where in {"look", "sleep"}:
        assert json.loads(log.splitlines()[-1])["reason"] == str(reason)


def test_a_sleep_ends_with_a_signal_whose_handler_has_not_run_yet() -> None:
    """The handler runs between two instructions of Python; a signal just before the sleep would be slept over."""
    with cli._Stop() as stop:  # noqa: SLF001 -- what the run sleeps by
        waker = signal.set_wakeup_fd(-1)
        os.write(waker, bytes([signal.SIGTERM]))  # what the interpreter writes the moment that the signal comes
        signal.set_wakeup_fd(waker)
        stop.sleep(3600)
        assert stop.reason() is None


def test_it_gives_itself_less_than_the_two_seconds_that_are_promised() -> None:
    """What hangs is left behind, and the last words are cut off, early enough (the design's two seconds)."""
    assert cli._STOP_SECONDS + cli._LAST_WORDS_SECONDS < 2  # noqa: SLF001 -- the promise is about these two


def test_signals_are_afterwards_what_they_were(in_world: Callable[..., tuple[End, str]]) -> None:
    """A run leaves nothing behind in its process."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)]
    in_world(worlds.observation(), "run")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.set_wakeup_fd(-1) == -1
