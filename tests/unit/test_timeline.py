"""The figure of a repair: all that is given is in it, and it can be read."""

import itertools
from xml.etree import ElementTree  # noqa: ICN001 -- a name that says what it is

import pytest

from lab.timeline import Lane, Mark, Span, State, Timeline, draw

SVG = "{http://www.w3.org/2000/svg}"
LANES = (
    Lane(
        "history",
        "runtime",
        (Span(-2, 8, State.BROKEN, "crash-looping"), Span(8, 8.1, State.UNDER_WAY, "starting"),
         Span(8.1, 20, State.RIGHT, "running")),
    ),
    Lane("web & <others>", "runtime", (Span(-2, 20, State.RIGHT, "running"),)),
    Lane("receipt", "gate", (Span(-2, 15, State.NOTHING, ""), Span(15, 20, State.RIGHT, "written"))),
)  # fmt: skip
MARKS = (
    Mark(8.05, "history", "the gate restarts history"),
    Mark(0.0, "receipt", "a person syncs"),
    Mark(8.2, "history", "history runs"),
)


@pytest.fixture(scope="module")
def figure() -> ElementTree.Element:
    return ElementTree.fromstring(draw(Timeline("A & B", -2, 20, LANES, MARKS)))  # noqa: S314 -- our own


def words(figure: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in figure.iter(f"{SVG}text")]


def test_every_lane_mark_and_colour_is_named(figure: ElementTree.Element) -> None:
    for name in (*(lane.name for lane in LANES), *(mark.text for mark in MARKS), *(state.value[2] for state in State)):
        assert name in words(figure), name
    assert figure.findtext(f"{SVG}title") == "A & B"


def test_every_span_is_drawn_in_its_colour_from_its_start_to_its_end(figure: ElementTree.Element) -> None:
    seconds = [
        one.findtext(f"{SVG}title") or "" for one in figure.iter(f"{SVG}rect") if one.find(f"{SVG}title") is not None
    ]
    assert len(seconds) == sum(len(lane.spans) for lane in LANES)
    assert "crash-looping: -2.00 to 8.00 s" in seconds
    bars = [one for one in figure.iter(f"{SVG}rect") if one.find(f"{SVG}title") is not None]
    broken, starting, running = bars[:3]
    assert [one.get("fill") for one in (broken, starting, running)] == [
        state.value[0] for state in (State.BROKEN, State.UNDER_WAY, State.RIGHT)
    ]
    assert float(starting.get("x", "")) == pytest.approx(
        float(broken.get("x", "")) + float(broken.get("width", "")), abs=0.2
    )


def test_marks_are_numbered_in_the_order_of_time(figure: ElementTree.Element) -> None:
    key = [text for text in words(figure) if text in {mark.text for mark in MARKS}]
    assert key == ["a person syncs", "the gate restarts history", "history runs"]


def test_marks_of_one_lane_do_not_cover_each_other(figure: ElementTree.Element) -> None:
    places = sorted({(one.get("cy"), float(one.get("cx", ""))) for one in figure.iter(f"{SVG}circle")})
    for (lane, left), (other, right) in itertools.pairwise(places):
        assert lane != other or right - left >= 2 * 8


def test_words_that_do_not_fit_are_left_to_the_tooltip(figure: ElementTree.Element) -> None:
    assert "starting" not in words(figure)
    assert words(figure).count("running") == 2
