"""What is told of a run: to whom, how often, and never a secret."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from worlds import (
    BOOTSTRAP,
    EMPTY,
    MIGRATIONS,
    RUNTIME,
    application,
    at,
    crashed,
    in_back_off,
    migration,
    observation,
    operation,
    pod,
    policy,
    runtime,
    stores,
)

from hook import check
from hook.decision import planner, steps
from hook.decision.steps import Migrate, Outcome, Refresh, RestartPods, Resync, Wait
from hook.observation.applications import ApplicationRef, OperationPhase
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Observation
from hook.observation.reasons import ExitCode, Reason, Tolerance
from hook.observation.redaction import Secrets, without_secrets
from hook.report.checklist import items
from hook.report.listeners import EventsListener, Log, write_termination_message
from hook.report.teller import Notice, Teller

GATE = ApplicationRef("argocd", "data-temporal-gate")
SECRET = "correct horse/battery+staple"


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def hear(self, notice: Notice) -> None:
        self.notices.append(notice)

    @property
    def texts(self) -> list[str]:
        return [notice.text for notice in self.notices]

    def events(self) -> list[tuple[str, tuple[ApplicationRef, ...]]]:
        """Return what is posted as Events, and where."""
        return [(notice.reason, notice.about) for notice in self.notices if notice.about]


def teller(heard: Heard, secrets: Callable[[], frozenset[str]] = frozenset) -> Teller:
    return Teller([heard], Secrets(secrets), GATE)


def turn(told: Teller, seen: Observation) -> None:
    """One turn of the gate: what it would decide is told with what it saw."""
    told.observed(seen, policy(), planner.next_step(seen, policy()))


def unseen(reason: Reason, about: str = "store default", detail: str = "as seen") -> Unknown:
    return Unknown(Finding(reason, about, detail))


# --- how often ----------------------------------------------------------------------------------------------------


def test_the_start_says_what_the_run_is_for() -> None:
    """The release, the schema versions it expects, which run this is and how long it may take."""
    heard = Heard()
    teller(heard).started("run-1", policy(), timedelta(minutes=30))
    [notice] = heard.notices
    assert notice.text == "gate for Temporal 1.29.1: expects schema default 1.18, visibility 1.9"
    assert dict(notice.fields) == {"run": "run-1", "deadline": "1800 s after its start", "reachability": "auto"}
    assert not notice.about


def test_a_world_that_does_not_change_is_told_once() -> None:
    """A line for each item of the list, in its order, and none for a second look."""
    heard = Heard()
    told = teller(heard)
    for seconds in range(50):
        turn(told, observation(now=at(seconds)))
    assert heard.texts == [f"{item.subject}: {item.seen}" for item in items(observation(), policy())]
    assert len(heard.texts) >= 8


def test_a_change_is_told_by_one_line() -> None:
    """Only of what changed, there and back."""
    heard = Heard()
    told = teller(heard)
    turn(told, observation())
    before = len(heard.notices)
    missing = unseen(Reason.DATABASE_UNREACHABLE, detail="connection refused")
    for seen in (observation(stores=stores(default=missing)), observation(), observation()):
        turn(told, seen)
    assert heard.texts[before:] == [
        "schema of default: DatabaseUnreachable: connection refused",
        "waiting: DatabaseUnreachable: store default: connection refused",
        "schema of default: at 1.18",
    ]


def test_a_wait_is_told_once_and_again_when_it_comes_back() -> None:
    """Its detail may change from turn to turn without being told anew."""
    heard = Heard()
    told = teller(heard)
    for detail in ("one", "two", "three"):
        told.observed(observation(), policy(), Wait((Finding(Reason.FRONTEND_UNREACHABLE, "frontend", detail),)))
    told.observed(observation(), policy(), Refresh(application(), "between the two"))
    told.observed(observation(), policy(), Wait((Finding(Reason.FRONTEND_UNREACHABLE, "frontend", "four"),)))
    assert [text for text in heard.texts if text.startswith("waiting")] == [
        "waiting: FrontendUnreachable: frontend: one",
        "waiting: FrontendUnreachable: frontend: four",
    ]


@pytest.mark.parametrize(
    ("seen", "end"),
    [
        (
            unseen(Reason.DATABASE_LOGIN_REFUSED),
            "for up to 120 s (graceSeconds), then fail: DatabaseLoginRefused",
        ),
        (
            unseen(Reason.DATABASE_UNREACHABLE),
            "for up to 1800 s (deadlineSeconds), then fail: DeadlineExceeded",
        ),
    ],
    ids=["grace", "deadline"],
)
def test_a_wait_says_how_long_it_may_last_and_what_comes_then(seen: Unknown, end: str) -> None:
    """As `check` says it: who reads the log need not know which setting bounds which wait."""
    heard = Heard()
    told = teller(heard)
    told.started("run-1", policy(), timedelta(minutes=30))
    turn(told, observation(stores=stores(default=seen)))
    assert [text for text in heard.texts if text.startswith("waiting")] == [f"waiting: {seen.finding}; {end}"]


def test_one_cause_of_four_components_is_one_line_and_counting_on_is_none() -> None:
    """Each component's pods crash for one cause; with every restart only the count grows."""
    heard = Heard()
    told = teller(heard)
    for restarts in range(3, 8):
        pods = [
            in_back_off(
                one,
                -10,
                finding=Finding(
                    Reason.TABLE_PERMISSION_DENIED, f"pod {one}", f"{restarts} restarts, last exit code 1: denied"
                ),
                containers=(crashed(f"temporal-{one}", -10, restarts=restarts),),
            )
            for one in ("frontend", "history", "matching", "worker")
        ]
        turn(told, observation(runtime=runtime(*pods)))
    lines = [text for text in heard.texts if text.startswith("pods of")]
    assert len(lines) == 1
    assert lines[0].startswith("pods of frontend, pods of history, pods of matching, pods of worker: TablePermission")


# --- levels and remedies ------------------------------------------------------------------------------------------


def test_what_is_wrong_is_a_warning_with_its_remedy() -> None:
    """What a person may do stands beside what is wrong, and not only at the end."""
    heard = Heard()
    crashing = in_back_off("history", -10, Reason.TABLE_PERMISSION_DENIED)
    turn(teller(heard), observation(runtime=runtime(crashing)))
    [notice] = [notice for notice in heard.notices if notice.text.startswith("pods of history")]
    assert notice.level == "warning"
    assert dict(notice.fields)["remedy"] == Reason.TABLE_PERMISSION_DENIED.remedy


@pytest.mark.parametrize("acts", [True, False])
def test_what_a_person_can_do_is_told_only_where_the_gate_does_not_do_it(*, acts: bool) -> None:
    """A remedy just before the gate repairs it sends a person to work in vain."""
    heard = Heard()
    failed = application(BOOTSTRAP, operation=operation(OperationPhase.FAILED))
    seen = observation(downstream={BOOTSTRAP: failed})
    step = planner.next_step(seen, policy()) if acts else Wait((Finding(Reason.PODS_NOT_STABLE, "it"),))
    assert isinstance(step, Resync) is acts
    told = teller(heard)
    told.observed(seen, policy(), step)
    (wrong,) = [one for one in heard.notices if one.level == "warning"]
    assert ("remedy" in dict(wrong.fields)) is not acts
    told.observed(seen, policy(), Wait((Finding(Reason.DOWNSTREAM_PAUSING, "it"),)))
    assert [one for one in heard.notices if one.level == "warning"] == [wrong]


def test_what_another_fault_asks_of_a_person_is_told_while_the_gate_acts() -> None:
    heard = Heard()
    crashing = in_back_off("history", -10, Reason.TABLE_PERMISSION_DENIED)
    step = Refresh(application(), "before it is synced again")
    teller(heard).observed(observation(runtime=runtime(crashing)), policy(), step)
    [notice] = [notice for notice in heard.notices if notice.text.startswith("pods of history")]
    assert dict(notice.fields)["remedy"] == Reason.TABLE_PERMISSION_DENIED.remedy
    heard.notices.clear()
    step_of_ours = RestartPods((crashing,), "in back-off")
    teller(heard).observed(observation(runtime=runtime(crashing)), policy(), step_of_ours)
    [notice] = [notice for notice in heard.notices if notice.text.startswith("pods of history")]
    assert "remedy" not in dict(notice.fields)


@pytest.mark.parametrize("reason", [one for one in Reason if one.tolerance is Tolerance.GRACE], ids=str)
def test_a_wait_that_others_can_end_is_a_warning_with_its_remedy(reason: Reason) -> None:
    """And an Event, since a person has two minutes to read it."""
    heard = Heard()
    teller(heard).observed(observation(), policy(), Wait((Finding(reason, "it", "as seen"),)))
    last = heard.notices[-1]
    assert (last.level, last.text, last.about) == ("warning", f"waiting: {reason}: it: as seen", (GATE,))
    assert dict(last.fields) == {"remedy": reason.remedy}


@pytest.mark.parametrize(
    "reason", [one for one in Reason if one.tolerance in {Tolerance.MOMENT, Tolerance.DEADLINE}], ids=str
)
def test_a_wait_that_time_may_end_is_a_line_of_the_log(reason: Reason) -> None:
    """No warning and no Event: nothing is wrong yet."""
    heard = Heard()
    teller(heard).observed(observation(), policy(), Wait((Finding(reason, "it"),)))
    last = heard.notices[-1]
    assert (last.level, last.text, last.about) == ("info", f"waiting: {reason}: it", ())


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_an_end_has_its_reason_its_level_and_its_remedy(reason: Reason) -> None:
    """An error for all but a pass, with what to do; on the gate's own Application."""
    heard = Heard()
    teller(heard).ended(Outcome(Finding(reason, "it", "as seen")))
    [notice] = heard.notices
    assert (notice.reason, notice.text, notice.about) == (str(reason), f"{reason}: it: as seen", (GATE,))
    passed = reason.exit_code is ExitCode.PASSED
    assert notice.level == ("info" if passed else "error")
    assert dict(notice.fields) == ({} if passed else {"remedy": reason.remedy})


def test_an_exact_remedy_is_told_instead_of_the_general_one() -> None:
    """The SQL to run is more than "run the SQL that is shown"."""
    heard = Heard()
    teller(heard).ended(Outcome(Finding(Reason.SCHEMA_STUCK, "store default", "", "TRUNCATE namespace_metadata;")))
    assert dict(heard.notices[0].fields) == {"remedy": "TRUNCATE namespace_metadata;"}


def test_warnings_are_told_before_the_end() -> None:
    """Each with its remedy and as an Event of its own."""
    heard = Heard()
    warnings = (Finding(Reason.MINOR_SKIPPED, "release 1.29.1"), Finding(Reason.SCHEMA_NEWER, "store default"))
    teller(heard).ended(Outcome(Finding(Reason.PASSED, "the rollout may go on"), warnings=warnings))
    assert [(one.level, one.reason) for one in heard.notices] == [
        ("warning", "MinorSkipped"),
        ("warning", "SchemaNewer"),
        ("info", "Passed"),
    ]
    assert all(dict(one.fields)["remedy"] for one in heard.notices[:2])
    assert {one.about for one in heard.notices} == {(GATE,)}


# --- Events -------------------------------------------------------------------------------------------------------

PODS = (pod("history", 0), pod("history", 1))
ACTS = [
    pytest.param(
        Migrate(migration(), 2, "default is empty"),
        ("asked Application argocd/data-migrations-temporal to migrate (attempt 2)", "MigrationStarted"),
        (GATE, MIGRATIONS),
        id="migrate",
    ),
    pytest.param(
        Migrate(replace(migration(), application=None, owner="command make"), 1, "default is empty"),
        ("asked command make to migrate (attempt 1)", "MigrationStarted"),
        (GATE,),
        id="migrate-by-command",
    ),
    pytest.param(
        RestartPods(PODS, "default is empty"),
        ("restarted 2 pod(s): temporal-history-0, temporal-history-1", "PodsRestarted"),
        (GATE, RUNTIME),
        id="restart",
    ),
    pytest.param(
        Resync(application(BOOTSTRAP), 1, "default is empty"),
        ("synced Application argocd/data-temporal-namespace-bootstrap again (attempt 1)", "ApplicationSynced"),
        (GATE, BOOTSTRAP),
        id="resync",
    ),
    pytest.param(
        Refresh(application(BOOTSTRAP), "default is empty"),
        (
            "asked Argo CD to refresh Application argocd/data-temporal-namespace-bootstrap",
            "RefreshRequested",
        ),
        (),
        id="refresh",
    ),
]


@pytest.mark.parametrize(("act", "said", "about"), ACTS)
def test_an_act_is_told_where_it_is_looked_for(
    act: Migrate | RestartPods | Resync | Refresh, said: tuple[str, str], about: tuple[ApplicationRef, ...]
) -> None:
    """On the gate's Application and on the one acted on, with its cause; a refresh changes nothing and is no Event."""
    heard = Heard()
    told = teller(heard)
    turn(told, observation())
    heard.notices.clear()
    told.acted(act, done=True)
    [notice] = heard.notices
    assert (notice.text, notice.reason) == said
    assert (notice.about, notice.fields, notice.level) == (about, (("why", "default is empty"),), "info")


@pytest.mark.parametrize(("act", "said", "about"), ACTS)
def test_an_act_that_somebody_else_was_faster_with_is_no_event(
    act: Migrate | RestartPods | Resync | Refresh, said: tuple[str, str], about: tuple[ApplicationRef, ...]
) -> None:
    """Nothing was done."""
    del about
    heard = Heard()
    teller(heard).acted(act, done=False)
    assert heard.texts == [f"{said[0]}: somebody was faster, looking again"]
    assert heard.events() == []


def test_what_is_only_seen_is_no_event() -> None:
    """Neither a change nor a wait that passes by itself: Events are few, and each is worth reading."""
    heard = Heard()
    told = teller(heard)
    told.started("run-1", policy(), timedelta(minutes=30))
    for seen in (
        observation(),
        observation(stores=EMPTY),
        observation(migration=migration(MigrationPhase.RUNNING)),
        observation(stores=stores(default=unseen(Reason.DATABASE_UNREACHABLE))),
        observation(runtime=runtime(in_back_off("history", -10, Reason.CRASH_LOOPING))),
        observation(downstream={BOOTSTRAP: application(operation=operation(OperationPhase.RUNNING))}),
    ):
        turn(told, seen)
    assert heard.events() == []
    assert len(heard.notices) > 10


def test_a_wait_about_one_application_is_not_told_on_another_of_a_longer_name() -> None:
    """The gate's Application alone carries it: what is missing could not carry an Event."""
    heard = Heard()
    missing = Unknown(Finding(Reason.APPLICATION_MISSING, f"Application {BOOTSTRAP}"))
    teller(heard).observed(observation(migration=missing), policy(), Wait((missing.finding,)))
    assert heard.events() == [("ApplicationMissing", (GATE,))]


def test_an_act_that_is_forbidden_is_told_as_a_wait() -> None:
    """Once, with an Event: the verb may be granted within the grace."""
    heard = Heard()
    told = teller(heard)
    forbidden = Finding(Reason.API_FORBIDDEN, "Kubernetes API", "cannot delete pods")
    for _ in range(3):
        told.observed(observation(refused=(forbidden,)), policy(), RestartPods(PODS, "stale"))
    assert heard.events() == [("ApiForbidden", (GATE,))]
    assert heard.texts[-1] == "waiting: ApiForbidden: Kubernetes API: cannot delete pods"


def test_without_a_gate_of_its_own_a_run_tells_no_application_but_the_one_acted_on() -> None:
    """As from a laptop."""
    heard = Heard()
    told = Teller([heard], Secrets())
    told.acted(Migrate(migration(), 1, "x"), done=True)
    told.ended(Outcome(Finding(Reason.PASSED, "it")))
    assert [notice.about for notice in heard.notices] == [(MIGRATIONS,), ()]


Posted = list[tuple[ApplicationRef, str, str, str]]


def test_an_event_says_all_that_the_log_says() -> None:
    """Its type by its level; once on an Application that is both the gate's and the one acted on."""
    posted: Posted = []
    events = EventsListener(lambda *event: posted.append(event), Heard())
    events.hear(Notice("text", "info", "Reason", (("why", "because"), ("remedy", "do")), (GATE, GATE, RUNTIME)))
    events.hear(Notice("text", "warning", "Reason", about=(GATE,)))
    events.hear(Notice("text", "error", "Reason", about=(GATE,)))
    events.hear(Notice("nobody"))
    assert posted == [
        (GATE, "Normal", "Reason", "text why: because remedy: do"),
        (RUNTIME, "Normal", "Reason", "text why: because remedy: do"),
        (GATE, "Warning", "Reason", "text"),
        (GATE, "Warning", "Reason", "text"),
    ]


def test_a_refused_event_fails_nothing_and_is_said_once() -> None:
    """Once a namespace, with what to do; the others are still posted."""
    tried: list[ApplicationRef] = []
    elsewhere = ApplicationRef("team", "data-temporal")

    def post(ref: ApplicationRef, *_: str) -> None:
        tried.append(ref)
        if ref.namespace == "argocd":
            raise FindingError(Finding(Reason.API_FORBIDDEN, "Kubernetes API", "cannot create events"))

    heard = Heard()
    events = EventsListener(post, heard)
    for _ in range(3):
        events.hear(Notice("text", reason="Reason", about=(GATE, RUNTIME, elsewhere)))
    assert tried == [GATE, RUNTIME, elsewhere] * 3
    assert heard.notices == [
        Notice(
            "no Event can be posted in namespace argocd: ApiForbidden: Kubernetes API: cannot create events",
            "warning",
            fields=(("remedy", Reason.API_FORBIDDEN.remedy),),
        )
    ]


# --- the log ------------------------------------------------------------------------------------------------------

NOTICES = [
    Notice("gate for Temporal", fields=(("run", "run-1"),)),
    Notice('a "quoted" line\nand another, grün ✔', "warning", "CrashLooping", (("remedy", "do this"),), (GATE,)),
    Notice("the end", "error", "SchemaStuck"),
]


@pytest.mark.parametrize("form", ["json", "auto"])
def test_json_lines_parse_each_with_level_time_and_event(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "auto"]
) -> None:
    """So it is wherever standard error is no terminal; a text of two lines is still one."""
    log = Log(form)
    for notice in NOTICES:
        log.hear(notice)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all(datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None for line in lines)
    assert lines == [
        {"level": "info", "event": "gate for Temporal", "run": "run-1"},
        {"level": "warning", "event": NOTICES[1].text, "reason": "CrashLooping", "remedy": "do this"},
        {"level": "error", "event": "the end", "reason": "SchemaStuck"},
    ]


def test_console_lines_are_for_reading(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, text and fields, without colours where there is no terminal."""
    Log("console").hear(Notice("the end", "error", "SchemaStuck", (("remedy", "do this"),)))
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d \[error *\] the end +reason=SchemaStuck remedy='do this'\n", capsys.readouterr().err
    )


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "text", "clean"),
    [
        pytest.param(SECRET, f"at <{SECRET}>x{SECRET}y", "at <***>x***y", id="long, everywhere"),
        pytest.param("s3cr3t-long-enough", "xs3cr3t-long-enoughx", "x***x", id="long, inside a word"),
        pytest.param("temporal", "user=temporal;", "user=***;", id="short, as a word"),
        pytest.param("temporal", "temporal://temporal:temporal@h", "***://***@h", id="short, in a URL"),
        pytest.param("temporal", "password 'temporal'", "password '***'", id="short, quoted"),
        pytest.param(
            "temporal",
            "temporal_visibility data-temporal temporal-frontend temporally",
            "temporal_visibility data-temporal temporal-frontend temporally",
            id="short, inside of words",
        ),
        pytest.param("a.c", "abc a.c", "abc ***", id="no pattern"),
        pytest.param("$x", "$x, and ($x)", "***, and (***)", id="not a word itself"),
    ],
)
def test_a_secret_is_taken_out_of_a_text(secret: str, text: str, clean: str) -> None:
    """Everywhere if it is long; as a word if it is short, since a short one may be a part of any name."""
    assert without_secrets(text, {secret}) == clean


def test_a_secret_that_contains_another_is_taken_out_whole() -> None:
    """The longest first."""
    assert without_secrets("long-secret-password-2", {"long-secret-password", "long-secret-password-2"}) == "***"


def every_output(secrets: Callable[[], frozenset[str]], text: str, folder: Path) -> dict[str, str]:
    """Return what a run tells through each of its ways, a text (a driver's, say) being part of all that it saw."""
    posted: Posted = []
    log = Heard()
    outputs = {}
    seen = Finding(Reason.DATABASE_LOGIN_REFUSED, f"store default {text}", text, f"remedy {text}")
    bad = observation(
        stores=stores(default=Unknown(seen)),
        migration=migration(MigrationPhase.FAILED, message=text),
        runtime=runtime(replace(in_back_off("history", -10), finding=replace(seen, reason=Reason.CRASH_LOOPING))),
    )
    for form in ("json", "console"):
        told = Teller(
            [Log(form), EventsListener(lambda *event: posted.append(event), log)],
            Secrets(secrets),
            GATE,
        )
        told.observed(bad, policy(), Wait((seen,)))
        told.acted(Migrate(replace(migration(), owner=f"command {text}"), 1, text), done=True)
        told.ended(Outcome(seen, warnings=(replace(seen, reason=Reason.CRASH_LOOPING),)))
    outputs["events"] = "\n".join(" ".join(map(str, event)) for event in posted)
    file = folder / "termination"
    file.touch()
    write_termination_message(file, Outcome(seen, warnings=(seen,)), Secrets(secrets))
    outputs["termination"] = file.read_text(encoding="utf-8")
    for step in (Wait((seen,)), Migrate(migration(), 1, text)):
        verdict = check.Verdict(
            items(bad, policy()), check.words(step), replace(steps.outcome_of(step), warnings=(seen,))
        )
        outputs[f"json of {type(step)}"] = json.dumps(
            json.loads(check.as_json(verdict, Secrets(secrets))), ensure_ascii=False
        )
        check.print_table(verdict, Secrets(secrets))
    return outputs


@pytest.mark.parametrize(
    "secret",
    [SECRET, "temporal", "p4ss", 'with"quote\\and backslash', "ünïcode-pässword", "[bold]markup[/]", "ok", "4"],
)
def test_no_output_ever_holds_a_secret(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str
) -> None:
    """Log, Events, termination message and `check`, in both forms each; and what is machine-readable stays so."""
    monkeypatch.setenv("COLUMNS", "1000")
    marker = "said <{}> here"
    outputs = every_output(lambda: frozenset({secret}), marker.format(secret), tmp_path)
    printed = capsys.readouterr()
    outputs |= {"table": printed.out, "log": printed.err}
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    leaks = {name: form for name, text in outputs.items() for form in forms if marker.format(form) in text}
    assert leaks == {}
    assert {name for name, text in outputs.items() if marker.format("***") not in text} == set(), "all tell the text"


def test_a_driver_s_own_error_text_tells_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    """psycopg quotes from a connection string that it does not understand."""
    with pytest.raises(psycopg.ProgrammingError) as error:
        psycopg.connect("host=h p4ssw0rd-of-temporal")
    assert "p4ssw0rd-of-temporal" in str(error.value), "else this shows nothing"
    told = Teller([Log("json")], Secrets(lambda: {"p4ssw0rd-of-temporal"}))
    told.ended(Outcome(Finding(Reason.DATABASE_UNREACHABLE, "store default", str(error.value))))
    printed = capsys.readouterr().err
    assert 'missing \\"=\\" after \\"***\\"' in printed
    assert "p4ssw0rd" not in printed


def test_a_password_that_was_rotated_out_stays_a_secret() -> None:
    """An error's text may hold the old one still, and the new one is a secret from its first use."""
    heard = Heard()
    passwords = iter([set[str](), {"first-password"}, {"second-password"}, set[str]()])
    told = teller(heard, lambda: frozenset(next(passwords)))
    for _ in range(3):
        told.acted(Refresh(application(), "first-password, second-password"), done=True)
    assert [dict(notice.fields)["why"] for notice in heard.notices] == [
        "***, second-password",  # not yet anybody's password
        "***, ***",
        "***, ***",
    ]


# --- the termination message --------------------------------------------------------------------------------------


def message(folder: Path, outcome: Outcome, secrets: frozenset[str] = frozenset()) -> bytes:
    file = folder / "termination-log"
    file.touch()
    write_termination_message(file, outcome, Secrets(lambda: secrets))
    return file.read_bytes()


def test_the_termination_message_names_reason_and_remedy(tmp_path: Path) -> None:
    """What `kubectl describe pod` shows."""
    warnings = (Finding(Reason.SCHEMA_NEWER, "store default", "is at 1.19"),)
    failed = Outcome(Finding(Reason.SCHEMA_STUCK, "store default", "between 1.3 and 1.4", "DROP INDEX x;"))
    assert message(tmp_path, failed) == (b"SchemaStuck: store default: between 1.3 and 1.4\nWhat to do: DROP INDEX x;")
    assert message(tmp_path, Outcome(Finding(Reason.PASSED, "the rollout may go on"))) == (
        b"Passed: the rollout may go on"
    )
    passed = Outcome(Finding(Reason.PASSED_WITH_WARNING, "the rollout may go on"), warnings=warnings)
    assert message(tmp_path, passed) == (
        b"PassedWithWarning: the rollout may go on\n"
        b"Warning: SchemaNewer: store default: is at 1.19. What to do: Nothing, if you intended the rollback."
    )


@pytest.mark.parametrize("shift", range(4))
def test_a_long_termination_message_is_cut_between_characters(tmp_path: Path, shift: int) -> None:
    """To 4096 bytes of UTF-8, wherever the cut falls, and to no less than it must."""
    finding = Finding(Reason.DEADLINE_EXCEEDED, "x" * shift, "🔒" * 5000, "ü" * 5000)
    written = message(tmp_path, Outcome(finding))
    assert 4096 - 6 <= len(written) <= 4096
    assert "\ufffd" not in written.decode()


def test_what_to_do_is_not_what_is_cut_away(tmp_path: Path) -> None:
    """However much was seen."""
    finding = Finding(Reason.DEADLINE_EXCEEDED, "still missing", "x" * 10_000, "Mend this.")
    assert message(tmp_path, Outcome(finding)).endswith(b"\nWhat to do: Mend this.")
    passed = message(tmp_path, Outcome(Finding(Reason.PASSED, "it", "x" * 10_000)))
    assert len(passed) == 4096, "where nothing follows, all of the room is taken"


def test_a_secret_at_the_cut_is_taken_out_first(tmp_path: Path) -> None:
    """Half a password is no longer recognised."""
    secret = "s" * 100
    finding = Finding(Reason.PASSED, "it", "x" * (4096 - 12 - 50) + secret)
    assert b"s" * 10 not in message(tmp_path, Outcome(finding), frozenset({secret}))


def test_a_name_that_is_no_text_is_written_nevertheless(tmp_path: Path) -> None:
    """A file's name may hold any byte."""
    assert message(tmp_path, Outcome(Finding(Reason.PASSED, "\udcff"))) == rb"Passed: \udcff"


def test_no_termination_message_is_made_where_nobody_looks_for_one(tmp_path: Path) -> None:
    """The file is there in every container; on a laptop none appears."""
    write_termination_message(tmp_path / "none", Outcome(Finding(Reason.PASSED, "it")), Secrets())
    assert not (tmp_path / "none").exists()


def test_a_termination_message_that_cannot_be_written_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said where the log is."""
    write_termination_message(tmp_path, Outcome(Finding(Reason.PASSED, "it")), Secrets())
    said = capsys.readouterr().err
    assert said == f"cannot write the termination message to {tmp_path}: [Errno 21] Is a directory: '{tmp_path}'\n"
