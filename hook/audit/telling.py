"""Says what an audit came to: to a person line by line, to a program as JSON."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from hook.audit.holds import Finding, Severity
from hook.observation.plain import indented
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hook.audit.rollout import ArgoCd
    from hook.audit.verdict import Held, Verdict

_MARKS = {Severity.FAILS: "✘", Severity.WARNING: "!"}
_WIDTH = 110


def reason_of(verdict: Verdict) -> Reason:
    """Return what the audit ends with."""
    return Reason.GATE_DOES_NOT_HOLD if verdict.fails else Reason.PASSED


def print_lines(verdict: Verdict, argocd: ArgoCd, clean: Callable[[str], str] = str) -> None:
    """Print what holds each Application and what does not, the remedies, and the end; each line went through ``clean``."""
    for line in _lines(verdict, argocd):
        print(indented(clean(line)))


def _lines(verdict: Verdict, argocd: ArgoCd) -> Iterator[str]:
    yield f"Argo CD: {_argocd(argocd)}"
    yield from _below(verdict.findings, verdict.unseen)
    for held in verdict.applications:
        yield ""
        yield _heading(held)
        yield from (_marked("✔", f"held by {one}") for one in held.holds)
        yield from _below(held.findings, held.unseen)
    if verdict.all_findings:
        yield ""
        yield "what to do"
    for finding in {one.hold: one for one in verdict.all_findings}.values():
        hold = finding.hold
        yield f"  {hold}  ({hold.source}; Argo CD: {hold.versions})"
        yield from textwrap.wrap(
            hold.remedy, _WIDTH, initial_indent="    ", subsequent_indent="    ", break_long_words=False
        )
    reason = reason_of(verdict)
    yield ""
    yield _end(verdict)
    yield f"exit code {reason.exit_code.value} ({reason})"


def _argocd(argocd: ArgoCd) -> str:
    version = ".".join(map(str, argocd.version)) if argocd.version else "version not seen"
    switched = {True: "on", False: "off", None: "not seen"}[argocd.progressive_syncs]
    return f"{version}, progressive syncs {switched}" + (f" ({argocd.why})" if argocd.why else "")


def _heading(held: Held) -> str:
    return f"{held.ref}  ({', '.join(held.roles)}{f', {held.step}' if held.step else ''})"


def _below(findings: tuple[Finding, ...], unseen: tuple[str, ...]) -> Iterator[str]:
    for finding in sorted(findings, key=lambda one: one.severity is not Severity.FAILS):
        yield _marked(_MARKS[finding.severity], f"{finding.hold}: {finding.detail}")
    for one in unseen:
        yield _marked("?", f"not seen: {one}")


def _marked(mark: str, text: str) -> str:
    return f"  {mark} {text}"


def _end(verdict: Verdict) -> str:
    counts = [
        (len(verdict.fails), "fails to hold", "fail to hold"),
        (len(verdict.all_findings) - len(verdict.fails), "warning", "warnings"),
        (len(list(_unseen(verdict))), "not seen", "not seen"),
    ]
    told = [f"{count} {one if count == 1 else more}" for count, one, more in counts if count]
    return ", ".join(told) if told else "all of it holds"


def _unseen(verdict: Verdict) -> Iterator[str]:
    yield from verdict.unseen
    for held in verdict.applications:
        yield from held.unseen


def as_json(verdict: Verdict, argocd: ArgoCd, clean: Callable[[str], str] = str) -> str:
    """Return the verdict as one JSON document, each text of which went through ``clean``."""
    reason = reason_of(verdict)
    document = {
        "reason": str(reason),
        "exitCode": reason.exit_code.value,
        "argocd": {
            "version": ".".join(map(str, argocd.version)) if argocd.version else None,
            "progressiveSyncs": argocd.progressive_syncs,
        },
        "findings": [_finding(one) for one in verdict.findings],
        "unseen": list(verdict.unseen),
        "applications": [
            {
                "application": str(held.ref),
                "roles": [str(role) for role in held.roles],
                "step": held.step or None,
                "heldBy": list(held.holds),
                "findings": [_finding(one) for one in held.findings],
                "unseen": list(held.unseen),
            }
            for held in verdict.applications
        ],
    }
    return json.dumps(_cleaned(document, clean), indent=2, ensure_ascii=False)


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:  # noqa: ANN401 -- JSON
    if isinstance(value, dict):
        return {name: _cleaned(one, clean) for name, one in value.items()}
    if isinstance(value, list):
        return [_cleaned(one, clean) for one in value]
    return clean(value) if isinstance(value, str) else value


def _finding(finding: Finding) -> dict[str, Any]:
    hold = finding.hold
    return {
        "reason": str(hold),
        "severity": "fails" if finding.severity is Severity.FAILS else "warning",
        "detail": finding.detail,
        "meaning": hold.meaning,
        "versions": hold.versions,
        "source": hold.source,
        "remedy": hold.remedy,
    }
