"""Which step selects an Application: as Argo CD's own code decides it (progressive_sync.go, 3.6.1)."""

import pytest
from rollouts import RUNTIME, SET, app, step

from hook.audit.rollout import App, ApplicationSet, Expression, Step
from hook.audit.steps import Place, most_at_once, place_of, selects


def one(operator: str, *values: str, key: str = "phase") -> Step:
    return Step((Expression(key, operator, values),))


@pytest.mark.parametrize(
    ("tried", "labels", "selected"),
    [
        (one("In", "450"), {"phase": "450"}, True),
        (one("In", "300", "450"), {"phase": "450"}, True),
        (one("In", "300"), {"phase": "450"}, False),
        (one("In", "450"), {}, False),
        (one("NotIn", "300"), {"phase": "450"}, True),
        (one("NotIn", "450"), {"phase": "450"}, False),
        (one("NotIn", "450"), {}, True),
        (one("NotIn"), {"phase": "450"}, True),
        (one("Exists"), {"phase": "450"}, False),
        (one("Exists"), {}, True),
        (one("DoesNotExist"), {"phase": "450"}, False),
        (one("in", "450"), {"phase": "450"}, False),
        (Step(()), {}, True),
        (Step((Expression("phase", "In", ("450",)), Expression("team", "In", ("data",)))), {"phase": "450"}, False),
        (
            Step((Expression("phase", "In", ("450",)), Expression("team", "NotIn", ("web",)))),
            {"phase": "450", "team": "data"},
            True,
        ),
        (one("In", "450"), {"phase": None}, None),
        (one("NotIn", "450"), {"phase": None}, None),
        (Step((Expression("phase", "In", ("450",)), Expression("team", "In", ("data",)))), {"phase": None}, False),
    ],
)
def test_what_a_step_selects(tried: Step, labels: dict[str, str | None], selected: bool | None) -> None:  # noqa: FBT001
    """All expressions have to match; In and NotIn are the only operators; None where it rests on what was not seen."""
    assert selects(tried, labels) is selected


def place(labels: dict[str, str | None] | None, *steps: Step) -> Place:
    return place_of(App(RUNTIME, labels=labels), ApplicationSet(SET, "RollingSync", steps))


def test_the_first_step_that_selects_counts() -> None:
    """A value that was not seen leaves it open from there on, and one that was seen before it does not."""
    assert place({"phase": "450"}, one("In", "300"), one("In", "450"), one("NotIn", "300")) == Place(2)
    assert place({"phase": "1"}, one("In", "300"), one("In", "450")) == Place(None)
    assert place({"phase": None}, one("In", "300")) == Place(None, is_known=False)
    assert place({"phase": None}, Step(()), one("In", "300")) == Place(1)
    assert place(None, Step(())) == Place(None, is_known=False)


@pytest.mark.parametrize(
    ("written", "applications", "at_once"),
    [
        (None, 3, 3),
        (0, 3, 0),
        (2, 3, 2),
        (-1, 3, 0),
        ("0%", 3, 0),
        ("10%", 3, 1),
        ("50%", 3, 1),
        ("100%", 3, 3),
        ("2", 3, 1),
        ("0", 3, 1),
        ("many", 3, 1),
    ],
)
def test_how_many_a_step_syncs_at_once(written: int | str | None, applications: int, at_once: int) -> None:
    """Percentages are rounded down to one at least; a text that is none counts for one (GetScaledValueFromIntOrPercent)."""
    assert most_at_once(step("450", most=written), applications) == at_once


def test_an_application_of_the_rollout_is_where_it_says() -> None:
    """The worlds of these tests are what they seem."""
    assert place_of(app(RUNTIME, "450"), ApplicationSet(SET, "RollingSync", (step("300"), step("450")))) == Place(2)
