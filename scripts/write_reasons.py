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
    ExitCode.DEADLINE: "`run`: the deadline came; what was still missing is named. `check`: `run` would wait or act.",
    ExitCode.SCHEMA: "A schema is in a state that only a person mends.",
    ExitCode.MIGRATION: "The migration failed, or left the schema behind.",
    ExitCode.ACCESS: "A login or a permission is refused, or something that is named does not exist.",
    ExitCode.TEMPORAL: "Temporal does not come up, for a cause that is named.",
    ExitCode.DOWNSTREAM: "An Application after Temporal failed.",
    ExitCode.AUDIT: "`audit`: something that could be seen does not hold.",
    ExitCode.SUPERSEDED: "A guard ended for a newer commit of its Application.",
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
        "Every ending, warning and wait names one of these reasons, in the same words in the log, in Events, in the",
        "termination message and in `check`. Where more is known, what to do is said more exactly there: the SQL to run,",
        "the verb that is missing.",
        "",
        "## Exit codes",
        "",
        "One for each class of ending. `check` exits with 0 where `run` would pass now, and with 3",
        "([NotYet](#notyet)) where it would wait or act first; the act is named, or how long it would wait and what comes",
        "after. Else it exits with the code of the fault that it names. `run` waits for some faults for its grace",
        "(`graceSeconds`) before it ends on them; `check` exits with their code at once and says so.",
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
        "*Ends a run* says how long a run that meets the reason goes on, since others or time may mend it. At the deadline",
        "a run ends as [DeadlineExceeded](#deadlineexceeded) and names the reason as what was still missing. Where",
        "`reachability` is `auto`, what keeps Temporal or a later Application down becomes a warning instead, and the gate",
        "passes: the cure may lie in a later step.",
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
