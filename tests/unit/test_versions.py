"""Temporal's releases and schema versions: how they are read and ordered, and what a release expects."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hook.observation.versions import Defect, Release, SchemaVersion, Store, VersionError, defects, expectation, table

NUMBERS = st.integers(min_value=0, max_value=10**6)
TWO_OR_THREE = st.lists(NUMBERS, min_size=2, max_size=3).map(tuple)


def version(text: str) -> SchemaVersion:
    return SchemaVersion.parse(text)


# --- schema versions ----------------------------------------------------------------------------------------------


def test_versions_are_ordered_by_their_numbers() -> None:
    """1.10 is newer than 1.9, as Temporal compares them, and not as text does."""
    assert version("1.9") < version("1.10") < version("1.18") < version("2.0")
    assert not version("1.10") < version("1.9")


@given(TWO_OR_THREE, TWO_OR_THREE)
def test_any_two_versions_are_ordered_as_their_numbers_are(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    """For every pair, written as text first."""
    older, newer = (version(".".join(map(str, numbers))) for numbers in (one, other))
    one, other = ((*numbers, 0)[:3] for numbers in (one, other))
    assert (older < newer) == (one < other)
    assert (older == newer) == (one == other) == (hash(older) == hash(newer))


def test_a_last_0_makes_no_other_version() -> None:
    """Temporal compares them as semantic versions: 1.18.0 in settings or in the row is 1.18."""
    assert version("1.18.0") == version("1.18") == version("v1.18.0")
    assert not version("1.18") < version("1.18.0")
    assert {version("1.18.0"): 1}[version("1.18")] == 1
    assert version("1.0") != version("1.0.1")
    assert str(version("1.10")) == "1.10"


@given(TWO_OR_THREE)
def test_a_version_is_read_as_it_is_written(numbers: tuple[int, ...]) -> None:
    """With or without a v in front."""
    written = SchemaVersion(numbers)
    assert version(str(written)) == version(f"v{written}") == written


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.", ".1", "1.x", "1.18-rc", "1.18 ", " 1.18", "1.2.3.4", "V1.18", "-1.2", "1,18", "1.18\n", "1.²"],
)
def test_what_is_no_version_is_refused_by_its_text(text: str) -> None:
    """Temporal would take it for 0, and so for older than everything."""
    with pytest.raises(VersionError) as refusal:
        version(text)
    assert str(refusal.value) == f"{text!r} is not a schema version such as 1.18"


# --- releases -----------------------------------------------------------------------------------------------------


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_a_release_is_read_as_it_is_written(numbers: tuple[int, int, int]) -> None:
    """With or without a v in front."""
    written = Release(*numbers)
    assert Release.parse(str(written)) == Release.parse(f"v{written}") == written


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_releases_are_ordered_by_their_numbers(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    """1.10.0 is newer than 1.9.9."""
    assert (Release(*one) < Release(*other)) == (one < other)


@pytest.mark.parametrize("tag", ["1.29.1", "v1.29.1", "1.29.1-tctl-1.18.4", "1.29.1-alpine", "1.29.1_custom"])
def test_a_release_is_read_from_an_image_tag_that_begins_with_it(tag: str) -> None:
    """What follows is the image's own business."""
    assert Release.parse(tag) == Release(1, 29, 1)


@pytest.mark.parametrize("text", ["", "latest", "1", "1.99", "1.29.", "1.29.x", "1.29.1.2", "release-1.29.1", "-1.2.3"])
def test_what_is_no_release_is_refused_by_its_text(text: str) -> None:
    """A chart's version or a floating tag says nothing about the schema."""
    with pytest.raises(VersionError) as refusal:
        Release.parse(text)
    assert str(refusal.value) == f"{text!r} is not a release of Temporal's server such as 1.29.1"


def test_a_minor_is_answered_with_its_releases() -> None:
    """The nearest thing that was meant."""
    with pytest.raises(VersionError, match=r"'1\.28' is not a release of Temporal's server: give one of 1\.28\.0, "):
        Release.parse("1.28")


# --- what a release expects ---------------------------------------------------------------------------------------


def test_a_listed_release_expects_its_own_row() -> None:
    """Known from the source of 1.29.1: schema/postgresql/v12/version.go."""
    expected = expectation(Release(1, 29, 1))
    assert expected.versions == {Store.DEFAULT: version("1.18"), Store.VISIBILITY: version("1.9")}
    assert expected.listed_as == Release(1, 29, 1)
    assert not expected.estimated


def test_every_listed_release_is_its_own_row() -> None:
    """None is estimated, whatever stands beside it."""
    assert [release for release in table() if expectation(release).estimated] == []
    assert all(expectation(release).versions == row for release, row in table().items())


def test_a_patch_after_the_last_listed_one_takes_that_as_a_lower_bound() -> None:
    """A patch adds schema versions and takes none away."""
    last = max(release for release in table() if (release.major, release.minor) == (1, 29))
    expected = expectation(Release(1, 29, 999))
    assert (expected.listed_as, expected.estimated) == (last, True)
    assert expected.versions == table()[last]


def test_a_patch_between_two_listed_ones_takes_the_one_below(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one above may have added a version already."""
    one, two = ({store: SchemaVersion((1, number)) for store in Store} for number in (1, 2))
    monkeypatch.setattr("hook.observation.versions.table", lambda: {Release(3, 0, 1): one, Release(3, 0, 3): two})
    assert expectation(Release(3, 0, 2)).versions == one
    with pytest.raises(VersionError):
        expectation(Release(3, 0, 0))


SET_YOURSELF = "set temporal.schemaVersions.default and .visibility yourself"
NOT_THE_CHARTS = "give the server's release, not the version of its chart; for an older server "


@pytest.mark.parametrize(
    ("release", "remedy"),
    [
        (Release(1, 999, 0), f"{SET_YOURSELF}, or use a newer hook"),
        (Release(2, 29, 1), f"{SET_YOURSELF}, or use a newer hook"),
        (Release(1, 16, 3), f"{NOT_THE_CHARTS}{SET_YOURSELF}"),
        (Release(0, 73, 2), f"{NOT_THE_CHARTS}{SET_YOURSELF}"),
    ],
    ids=str,
)
def test_an_unknown_minor_is_refused_with_what_to_set_instead(release: Release, remedy: str) -> None:
    """Nothing is guessed across minors. The chart has versions of its own, 0.73.2 and 1.6.0 among them."""
    with pytest.raises(VersionError) as refusal:
        expectation(release)
    known = list(table())
    assert str(refusal.value) == (
        f"release {release} is not in the table (it knows {known[0].major}.{known[0].minor} to "
        f"{known[-1].major}.{known[-1].minor}): {remedy}"
    )


def test_the_table_only_ever_goes_forward() -> None:
    """In its order no release, patch or minor, expects an older schema than the one before: a lower bound is one."""
    rows = list(table().items())
    assert rows == sorted(rows, key=lambda row: row[0])
    assert len(rows) > 80
    backward = [
        (str(release), store)
        for (_, before), (release, row) in pairwise(rows)
        for store in Store
        if row[store] < before[store]
    ]
    assert backward == []


def test_the_table_has_no_gap_between_minors() -> None:
    """An unknown minor is one before the first or after the last, as the refusal says."""
    minors = sorted({release.minor for release in table()})
    assert minors == list(range(minors[0], minors[-1] + 1))


# --- what is known to go wrong ------------------------------------------------------------------------------------


def test_defects_are_asked_for_by_the_version_that_the_row_says() -> None:
    """1.3 may be stuck on its way to 1.4; 1.2 is not."""
    [stuck] = defects(Store.DEFAULT, version("1.3"))
    assert isinstance(stuck, Defect)
    assert stuck.version == version("1.4")
    assert defects(Store.DEFAULT, version("1.2")) == ()


def test_without_a_row_only_its_loss_is_asked_for() -> None:
    """Each store has its own probe for that."""
    for store in Store:
        assert [defect.version for defect in defects(store, None)] == [None]
    assert defects(Store.DEFAULT, None) != defects(Store.VISIBILITY, None)


def test_every_defect_says_why_and_what_to_run() -> None:
    """A remedy is SQL to its semicolon, since it is shown to be run as it is."""
    froms = [None, version("0.0"), *(SchemaVersion((1, minor)) for minor in range(30))]
    known = [defect for store in Store for row in froms for defect in defects(store, row)]
    assert len(known) >= 9
    assert all(defect.why and defect.probe and defect.remedy.endswith(";") for defect in known)
