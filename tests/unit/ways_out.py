"""Every way by which a text that others wrote leaves the program."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from worlds import in_back_off, migration, observation, policy, runtime, stores

from hook import check
from hook.decision import steps
from hook.decision.steps import Migrate, Outcome, Wait
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.reasons import Reason
from hook.report.checklist import items
from hook.report.listeners import EventsListener, Log, write_termination_message
from hook.report.teller import Teller

if TYPE_CHECKING:
    from pathlib import Path

    from hook.observation.redaction import Secrets


def every_way_out(secrets: Secrets, text: str, folder: Path) -> str:
    """What a run and `check` tell of a world in which all that was seen holds the text; the rest is printed."""
    seen = Finding(Reason.DATABASE_LOGIN_REFUSED, f"store default {text}", text, f"remedy {text}")
    bad = observation(
        stores=stores(default=Unknown(seen)),
        migration=migration(MigrationPhase.FAILED, message=text),
        runtime=runtime(replace(in_back_off("history", -10), finding=replace(seen, reason=Reason.CRASH_LOOPING))),
    )
    posted: list[object] = []

    def refuse(*event: object) -> None:
        posted.append(event)
        raise FindingError(Finding(Reason.API_FORBIDDEN, "an Event", text))

    for form in ("json", "console"):
        told = Teller([Log(form)], secrets)
        told.add(EventsListener(refuse, told))
        told.observed(bad, policy(), Wait((seen,)))
        told.acted(Migrate(replace(migration(), owner=f"command {text}"), 1, text), done=True)
        told.ended(Outcome(seen, warnings=(replace(seen, reason=Reason.CRASH_LOOPING),)))
    outcome = Outcome(seen, warnings=(seen,))
    file = folder / "termination"
    file.touch()
    write_termination_message(file, outcome, secrets)
    verdict = check.Verdict(
        items(bad, policy()), check.words(Wait((seen,))), replace(steps.outcome_of(Wait((seen,))), warnings=(seen,))
    )
    as_json = json.loads(check.as_json(verdict, secrets))
    check.print_table(verdict, secrets)
    return f"{posted} {file.read_text()} {json.dumps(as_json, ensure_ascii=False)} {as_json}"
