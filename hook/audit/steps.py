"""Which step of a RollingSync selects an Application, as Argo CD decides it. Pure.

Argo CD 3.2.11 (applicationset_controller.go) and 3.6.1 (progressive_sync.go), buildAppDependencyList and
labelMatchedExpression: all expressions of a step have to match; a step without any selects every Application; `In` and
`NotIn` are the only operators. Of a label that is absent `In` does not match and anything else does; of one that is there an
unknown operator does not. An Application that two steps select is synced with the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hook.audit.rollout import App, ApplicationSet, Expression, Seen, Step


@dataclass(frozen=True)
class Place:
    """Where an Application is in a rollout: the number of its step from 1, None for no step. Not known: `is_known`."""

    number: int | None
    is_known: bool = True


def place_of(app: App, found: ApplicationSet) -> Place:
    """Return the first step that selects the Application."""
    if app.labels is None:
        return Place(None, is_known=False)
    for number, step in enumerate(found.steps, 1):
        selected = selects(step, app.labels)
        if selected is None:
            return Place(None, is_known=False)
        if selected:
            return Place(number)
    return Place(None)


def selects(step: Step, labels: Mapping[str, str | None]) -> bool | None:
    """Tell whether a step selects an Application with these labels; None where that rests on a value that was not seen."""
    matches = [_matches(expression, labels) for expression in step.expressions]
    if False in matches:
        return False
    return None if None in matches else True


def _matches(expression: Expression, labels: Mapping[str, str | None]) -> bool | None:
    if expression.key not in labels:
        return expression.operator != "In"
    if expression.operator not in {"In", "NotIn"}:
        return False
    value = labels[expression.key]
    if value is None:
        return None
    return (value in expression.values) is (expression.operator == "In")


def most_at_once(step: Step, applications: int) -> int:
    """Return how many of a step's Applications RollingSync syncs at once.

    Percentages are rounded down, but a text other than ``0%`` counts for one at least, even one that is no percentage
    (intstr.GetScaledValueFromIntOrPercent and UpdateApplicationSetApplicationStatusProgress).
    """
    written = step.max_update
    if written is None:
        return applications
    if isinstance(written, int):
        return max(0, written)
    share = int(written[:-1]) if written.endswith("%") and written[:-1].isdecimal() else 0
    return 0 if written == "0%" else max(1, applications * share // 100)


def members(seen: Seen, found: ApplicationSet, number: int) -> tuple[App, ...]:
    """Return the Applications that are known to be of a step."""
    of_set = (app for app in seen.apps.values() if app.set_ref == found.ref)
    return tuple(app for app in of_set if place_of(app, found).number == number)
