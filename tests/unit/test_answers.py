"""The boundary to everything foreign: whatever JSON holds becomes a value of its type, or a finding that names its path."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hook.adapters.answers import Answer
from hook.gate import seen_or_unknown
from hook.observation.findings import FindingError, Unknown
from hook.observation.reasons import Reason

ABOUT = "pod default/web"

READS: dict[str, Callable[[Answer], object]] = {
    "text": Answer.text,
    "name": Answer.name,
    "number": Answer.number,
    "flag": Answer.flag,
    "time": Answer.time,
    "texts": Answer.texts,
    "object": Answer.object,
    "list": list,
    "field": lambda answer: answer["a"]["b"].text(),
    "contains": lambda answer: "a" in answer,
}


def decoded(text: str, name: str = "x") -> Answer:
    """A field of an answer as the transport decodes it."""
    return Answer(json.loads(f'{{"{name}": {text}}}'), ABOUT)[name]


def refused(read: Callable[[], object]) -> str:
    """What the finding of a value says that is not understood."""
    with pytest.raises(FindingError) as caught:
        read()
    finding = caught.value.finding
    assert (finding.reason, finding.about) == (Reason.ANSWER_NOT_UNDERSTOOD, ABOUT)
    return finding.detail


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        (r'"\ud800"', "?"),
        (r'"\udc00 low"', "? low"),
        (r'"a\udfffb\ud83d"', "a?b?"),
        (r'"\ude00\ud83d"', "??"),
        (r'"\ud83d\ude00"', "\N{GRINNING FACE}"),
        (r'"\u0000"', "\0"),
    ],
)
def test_half_of_a_surrogate_pair_is_no_text_that_an_output_could_write(text: str, becomes: str) -> None:
    """JSON may escape one alone, and every encoder would fail on it; a whole pair, and a NUL, stay what they are."""
    answer = decoded(text)
    assert answer.text() == answer.name() == becomes
    assert decoded(f'{{"k": {text}}}').texts() == {"k": becomes}
    assert decoded(f"{{{text}: {text}}}").texts() == {becomes: becomes}
    becomes.encode()


def test_a_time_that_holds_half_of_a_surrogate_pair_is_named() -> None:
    """It is text, and no time."""
    assert refused(decoded(r'"2026-01-01T00:00:0\ud800Z"').time) == "x: expected a time, found another text"


# --- numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63) + 1])
def test_whole_numbers_of_64_bits_are_read_exactly(number: int) -> None:
    """Those beyond 53 bits, too, which a float would round."""
    assert decoded(str(number)).number() == number


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**18 * 10**18, int("9" * 4000)])
def test_whole_numbers_beyond_64_bits_are_named(number: int) -> None:
    """Go has none, and a counter that large would overflow a time or a range elsewhere."""
    assert refused(decoded(str(number)).number) == "x: expected a number of 64 bits, found a number"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400", "-1E999999", "1e-999999", "1.0", "-0.0"])
def test_what_is_no_whole_number_is_named(text: str) -> None:
    """Python's decoder takes NaN, and makes infinity of an exponent that is too large; nothing of it is compared."""
    assert refused(decoded(text).number) == "x: expected a number, found a fraction"


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_truth_value_is_no_number_and_a_number_no_truth_value(text: str) -> None:
    """To Python one is the other."""
    assert refused(decoded(text).number) == "x: expected a number, found true or false"
    assert refused(decoded("1").flag) == "x: expected true or false, found a number"


# --- shapes -------------------------------------------------------------------------------------------------------


def test_the_last_of_two_equal_keys_counts() -> None:
    """As in Go's decoder: what the API server itself would have understood."""
    assert decoded('{"a": {"b": "first"}, "a": {"b": "last"}}')["a"]["b"].text() == "last"
    assert refused(decoded('{"a": "right", "a": 5}')["a"].text) == "x.a: expected text, found a number"


@pytest.mark.parametrize("depth", [10, 900, 100_000])
def test_what_is_nested_deeply_is_read_as_far_as_it_is_asked_for(depth: int) -> None:
    """Nothing here walks down by itself: the depth is the decoder's matter alone, which refuses (see the API's tests)."""
    value: Any = "bottom"
    for _ in range(depth):
        value = [value]
    answer = Answer({"x": value}, ABOUT)["x"]
    assert [entry.is_there for entry in answer] == [True]
    for name in ("text", "number", "flag", "time", "texts", "object", "field", "contains"):
        assert "x: expected" in refused(lambda name=name: READS[name](answer))  # type: ignore[misc]


def test_a_path_leads_through_lists_and_fields() -> None:
    """To the very value."""
    answer = Answer({"items": [{}, {"status": {"conditions": [{"type": "A"}, {"type": 5}]}}]}, ABOUT)
    entries = list(answer["items"])
    types = [one["type"] for one in entries[1]["status"]["conditions"]]
    assert types[0].text() == "A"
    assert refused(types[1].text) == "items[1].status.conditions[1].type: expected text, found a number"
    assert refused(Answer([], ABOUT).object) == "the answer: expected an object, found a list"


@pytest.mark.parametrize("value", [None, {}])
def test_what_is_absent_or_null_has_its_default(value: object) -> None:
    """As the API's own types have it; only what has to be there is missed."""
    answer = Answer(value, ABOUT)["a"]["b"]
    assert (answer.text(), answer.text("x"), answer.number(), answer.number(5)) == ("", "x", 0, 5)
    assert (answer.flag(), answer.flag(default=True), answer.time(), answer.texts()) == (False, True, None, {})
    assert (list(answer), "c" in answer, answer.is_there) == ([], False, False)
    assert refused(answer.name) == "a.b: expected a text that is not empty, found nothing"
    assert refused(answer.object) == "a.b: expected an object, found nothing"


# --- times --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-01T12:00:00Z", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T12:00:00.123456Z", datetime(2026, 8, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-08-01T14:00:00+02:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T12:00:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+14:00", None),  # before the year 1, in UTC
        ("9999-12-31T23:59:59-14:00", None),  # and after 9999
        ("", None),
    ],
)
def test_a_time_is_in_utc_and_within_reason(text: str, moment: datetime | None) -> None:
    """Go's zero time is of the year 1; what lies beyond Python's own range is no error either."""
    assert Answer({"x": text}, ABOUT)["x"].time() == moment


@pytest.mark.parametrize(
    "text",
    ["yesterday", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "\N{FULLWIDTH DIGIT ONE}", "10000-01-01T00:00:00Z"],
)
def test_what_is_no_time_is_named(text: str) -> None:
    """And not shown."""
    assert refused(Answer({"x": text}, ABOUT)["x"].time) == "x: expected a time, found another text"


# --- everything ---------------------------------------------------------------------------------------------------

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters())  # surrogates, too
    | st.datetimes().map(datetime.isoformat),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc") | st.text(st.characters()), inner)
    ),
    max_leaves=8,
)


@given(value=_VALUES, name=st.sampled_from(sorted(READS)))
def test_any_value_is_read_or_named_by_its_path(value: object, name: str) -> None:
    """Nothing else is raised, whatever was sent; what is read can be written by any output."""
    answer = Answer({"x": value}, ABOUT)["x"]
    read = seen_or_unknown(lambda: READS[name](answer))
    if isinstance(read, Unknown):
        assert read.finding.reason is Reason.ANSWER_NOT_UNDERSTOOD
        assert read.finding.detail.startswith("x")
    elif name in {"text", "name", "texts", "field"}:
        json.dumps(read, ensure_ascii=False).encode()
