"""What holds each Application and what does not: the rules' findings, with what a guard makes up for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Severity, Unseen
from hook.audit.rules import RULES
from hook.audit.rules.guards import guard_of, is_guarded, own_migration
from hook.audit.steps import place_of

if TYPE_CHECKING:
    from hook.audit.rollout import Role, Seen
    from hook.observation.applications import ApplicationRef

_OF_THE_GUARD = {Hold.GUARD_NOT_FIRST, Hold.MIGRATIONS_WITH_RUNTIME, Hold.NO_GUARD}
"""A guard does not make up for these."""


@dataclass(frozen=True)
class Held:
    """An Application, its roles and its step, what holds it, what does not, and what could not be seen of it."""

    ref: ApplicationRef
    roles: tuple[Role, ...]
    step: str
    holds: tuple[str, ...]
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What an audit came to. `findings` and `unseen` are those that are about no single Application."""

    applications: tuple[Held, ...]
    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """Every finding, in the order of the output."""
        return (*self.findings, *(finding for held in self.applications for finding in held.findings))

    @property
    def fails(self) -> tuple[Finding, ...]:
        """The findings that fail to hold something."""
        return tuple(one for one in self.all_findings if one.severity is Severity.FAILS)


def judge(seen: Seen) -> Verdict:
    """Ask every rule, and say what holds each Application."""
    answers = list(dict.fromkeys(answer for rule in RULES for answer in rule(seen)))
    findings = [_weighed(answer, seen) for answer in answers if isinstance(answer, Finding)]
    unseen = [*seen.unseen, *(answer for answer in answers if isinstance(answer, Unseen))]
    roles: dict[ApplicationRef, list[Role]] = {}
    for role, ref in seen.roles:
        roles.setdefault(ref, []).append(role)
    return Verdict(
        tuple(
            Held(
                ref,
                tuple(own),
                _step(ref, seen),
                _holds(ref, seen, findings, unseen),
                tuple(one for one in findings if one.about == ref),
                _texts(unseen, ref),
            )
            for ref, own in roles.items()
        ),
        tuple(one for one in findings if one.about is None),
        _texts(unseen, None),
    )


def _texts(unseen: list[Unseen], about: ApplicationRef | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.what for one in unseen if one.about == about))


def _weighed(finding: Finding, seen: Seen) -> Finding:
    """Return the finding as a warning where guards hold all that it leaves unheld.

    Without a gate there is nothing else than a guard, so that none is a failure.
    """
    held = finding.holds_not or seen.roles.held
    if finding.hold is Hold.NO_GUARD and seen.roles.gate is None:
        return replace(finding, severity=Severity.FAILS, detail=f"{finding.detail}, and no gate is named")
    if finding.hold in _OF_THE_GUARD or finding.severity is Severity.WARNING:
        return finding
    if held and all(is_guarded(seen, ref) for ref in held):
        names = ", ".join(ref.name for ref in held)
        return replace(
            finding, severity=Severity.WARNING, detail=f"{finding.detail}; a guard holds {names} all the same"
        )
    return finding


def _step(ref: ApplicationRef, seen: Seen) -> str:
    number, found = _number(ref, seen), seen.rolling_set_of(ref)
    return f"step {number} of {len(found.steps)}" if number is not None and found is not None else ""


def _number(ref: ApplicationRef | None, seen: Seen) -> int | None:
    """Return the number of an Application's step, None where it has none or that was not seen."""
    app, found = seen.app(ref), seen.rolling_set_of(ref)
    return place_of(app, found).number if app is not None and found is not None else None


def _holds(ref: ApplicationRef, seen: Seen, findings: list[Finding], unseen: list[Unseen]) -> tuple[str, ...]:
    """Return what holds an Application back until the gate, or its own guard, has passed."""
    if ref not in seen.roles.held:
        return ()
    holds = []
    guard = guard_of(seen.app(ref))
    if (migration := own_migration(seen, ref)) is not None:
        holds.append(f"its own {migration}, a PreSync hook: servers are applied after it")
    elif guard is not None and is_guarded(seen, ref):
        wave = f" in wave {guard.wave}" if guard.wave is not None else ""
        holds.append(f"its guard{wave}: its own sync applies nothing before the guard has passed")
    gate, own = _number(seen.roles.gate, seen), _number(ref, seen)
    if gate is not None and own is not None and gate < own and not any(_leaves_unheld(one, ref) for one in findings):
        doubt = seen.argocd.progressive_syncs is None or any(one.about == seen.roles.gate for one in unseen)
        told = "the gate, as far as could be seen" if doubt else "the gate"
        holds.append(f"{told}: RollingSync starts its {_step(ref, seen)} after the gate's step {gate}")
    return tuple(holds)


def _leaves_unheld(finding: Finding, ref: ApplicationRef) -> bool:
    """Tell whether the gate does not hold the Application by this finding, whatever a guard does."""
    is_of_the_gate = finding.hold.severity is Severity.FAILS and finding.hold not in _OF_THE_GUARD
    return is_of_the_gate and (finding.holds_not is None or ref in finding.holds_not)
