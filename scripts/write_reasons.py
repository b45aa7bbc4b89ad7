"""Writes `docs/reasons.md` from `hook/observation/reasons.py`, the table behind log, Events, `check` and docs.

And, between two marks of `docs/gating.md`, what `audit` finds, from `hook/audit/holds.py`.

python scripts/write_reasons.py           write it
python scripts/write_reasons.py --check   only tell whether it is as written
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hook.audit.holds import Hold, Severity
from hook.observation.reasons import ExitCode, Reason

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "reasons.md"
GATING = DOCUMENT.with_name("gating.md")
BEGIN = "<!-- Written by scripts/write_reasons.py from hook/audit/holds.py: change it there. -->"
END = "<!-- As far as scripts/write_reasons.py writes it. -->"

ENDINGS = {
    ExitCode.PASSED: "The rollout may go on.",
    ExitCode.BUG: "A bug in the hook.",
    ExitCode.SETTINGS: "The settings cannot be used.",
    ExitCode.DEADLINE: "`run`: the deadline came before everything was right. `check`: `run` would wait or act first.",
    ExitCode.SCHEMA: "A schema is in a state that only a person can repair.",
    ExitCode.MIGRATION: "The migration failed, or left the schema behind.",
    ExitCode.ACCESS: "A login or a permission was refused, or something in the settings does not exist.",
    ExitCode.TEMPORAL: "Temporal does not start. The message names the cause.",
    ExitCode.DOWNSTREAM: "An Application after Temporal failed.",
    ExitCode.AUDIT: "`audit`: something does not hold the rollout back as it should.",
    ExitCode.SUPERSEDED: "A guard ended because its Application has a newer commit.",
    ExitCode.INTERRUPTED: "Ctrl-C.",
    ExitCode.STOPPED: "SIGTERM.",
}


def render() -> str:
    """Return the document."""
    lines = [
        "# Reasons and exit codes",
        "",
        "<!-- Written by scripts/write_reasons.py from hook/observation/reasons.py: change it there. -->",
        "",
        "Every result, warning and wait has one of these reasons. The log, the Events, the termination message and",
        "`check` use the same words. They add details that this page cannot know, such as the SQL to run or the missing",
        "permission.",
        "",
        "## Exit codes",
        "",
        "`check` exits with 0 if `run` would pass now. It exits with 3 ([NotYet](#notyet)) if `run` would wait or act",
        "first, and says what `run` would do, or how long it would wait and what follows. Otherwise, it exits with the code",
        "of the error that it names. `run` retries some errors for the grace period (`graceSeconds`) before it fails with",
        "them. `check` exits with their code at once, and says so.",
        "",
        "| code | meaning | reasons |",
        "|---:|---|---|",
    ]
    for code in ExitCode:
        reasons = ", ".join(_link(reason) for reason in Reason if reason.exit_code is code)
        lines.append(f"| {code.value} | {ENDINGS[code]} | {reasons} |")
    lines += [
        "",
        "## Reasons",
        "",
        "*Ends a run* says how long a run continues after it meets the reason, because the cause may go away. At the",
        "deadline a run fails with [DeadlineExceeded](#deadlineexceeded) and names the reason as what was still missing.",
        "With `reachability: auto`, a reason that only keeps Temporal or a later Application down becomes a warning, and",
        "the gate passes, because the fix may be in a later step.",
    ]
    for reason in Reason:
        lines += [
            "",
            f"### {reason}",
            "",
            reason.meaning,
            "",
            f"- Exit code: {reason.exit_code.value}",
            f"- Ends a run: {reason.patience}",
            f"- What to do: {reason.remedy}",
        ]
    return "\n".join(lines) + "\n"


def with_findings(text: str) -> str:
    """Return `docs/gating.md` with the table of what `audit` finds between its marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    lines = ["| finding | what it means | Argo CD | source | what to do |", "|---|---|---|---|---|"]
    for hold in Hold:
        mark = "" if hold.severity is Severity.FAILS else " (warning)"
        cells = (f"`{hold}`{mark}", hold.meaning, hold.versions, hold.source, hold.remedy)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return before + "\n".join([BEGIN, "", *lines, "", END]) + after


def _link(reason: Reason) -> str:
    return f"[{reason}](#{str(reason).lower()})"


def main() -> int:
    """Write the documents, or compare them."""
    parser = argparse.ArgumentParser(description="Write docs/reasons.md and the findings of docs/gating.md.")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when it is not as written")
    only_check = parser.parse_args().check
    written = {DOCUMENT: render(), GATING: with_findings(GATING.read_text(encoding="utf-8"))}
    stale = [path for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if only_check:
        for path in stale:
            print(f"docs/{path.name} is out of date: run this without --check")
        if not stale:
            print("docs/reasons.md and docs/gating.md are as written")
        return 1 if stale else 0
    for path in stale:
        path.write_text(written[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
