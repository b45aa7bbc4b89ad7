"""No answer of an API server, whatever is in it, ends a run but by a finding; and that finding names the field."""

import copy
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from answers_world import ARGO, JOBS, PODS, RIGHT, Json, Response, Told, answers, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client

from hook.adapters.api import Api, ApiError
from hook.adapters.argocd import Applications
from hook.adapters.argocd_server import ServerWay
from hook.adapters.connection import Connection
from hook.observation.applications import Application, ApplicationRef
from hook.observation.findings import FindingError
from hook.observation.reasons import Reason
from hook.observation.versions import Store

AT_LEAST = 100
BEHIND = {Store.DEFAULT: "1.17", Store.VISIBILITY: "1.9"}
"""So that the migration is asked for."""

WRONG: tuple[Any, ...] = ({"an": "object"}, ["a list"], "another text", 12, 1.5, True)
ODD: tuple[Any, ...] = (None, "", -1, 1 << 70, {}, [], "\ud800", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59")
Path = tuple[str | int, ...]
pytestmark = pytest.mark.timeout(600)


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """Every field and entry below a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in entries:
        yield (*path, key)
        yield from paths(below, (*path, key))


def changed(right: Json, path: Path, value: object) -> Json:
    """The answers with one field that is another; ``...`` takes it away."""
    result = copy.deepcopy(right)
    holder: Any = result
    for key in path[:-1]:
        holder = holder[key]
    if value is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return result


def shown(path: Path) -> str:
    """A field as a finding names it, within its object: `status.conditions[0].type`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path[1:])
    return re.sub(r"^\.items\[\d+\]", "", text).lstrip(".") or text.lstrip(".")


WORLDS = {
    "migrates": ({}, BEHIND),
    "restarts": ({}, RIGHT),
    "syncs the bootstrap": ({"servers_run": True}, RIGHT),
}
"""What differs of the answers, and the schemas: so that all that can be read is read, and each act is done."""
FIELDS = list(
    {
        tuple("*" if isinstance(key, int) else key for key in path): path for path in paths(answers()) if path[1:]
    }.values()
)
"""One entry of each list is enough: the last one that has the field."""
ACTS = {"migrates": "Migrate", "restarts": "RestartPods", "syncs the bootstrap": "Resync"}
each_world = pytest.mark.parametrize("name", WORLDS)


def is_named(path: Path, told: Told) -> bool:
    """Whether a finding names the field or what holds it, as not understood."""
    name = re.escape(shown(path)) or "the answer"
    return re.search(rf"{name}(\[\d+\])?[.\w-]*: expected ", told.text) is not None


@each_world
def test_each_act_is_done_in_its_world(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the tests below would change what nobody reads."""
    differs, schemas = WORLDS[name]
    assert ACTS[name] in run(answers(**differs), monkeypatch, schemas=schemas).acts


@each_world
def test_a_field_of_another_type_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody reads it: then the run is the same as without the change."""
    differs, schemas = WORLDS[name]
    usual = run(answers(**differs), monkeypatch, schemas=schemas)
    unnamed, named = [], set()
    for number, path in enumerate(FIELDS):
        right = answers(**differs)
        try:
            wrong = [value for value in WRONG if not isinstance(value, type(_at(right, path)))]
        except LookupError:
            continue
        value = wrong[number % len(wrong)]
        told = run(changed(right, path, value), monkeypatch, schemas=schemas)
        if is_named(path, told):
            named.add(path)
        elif told.end != usual.end:
            unnamed.append((path, value, told.end))
    assert unnamed == []
    assert len(named) > AT_LEAST


@pytest.mark.parametrize("value", [..., *ODD])
def test_a_field_that_is_odd_or_not_there_ends_nothing(value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in FIELDS:
        assert run(changed(answers(), path, value), monkeypatch).outcome is not None


def _at(right: Json, path: Path) -> object:
    value: Any = right
    for key in path:
        value = value[key]
    return value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=8,
)


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), JSON), min_size=1, max_size=4))
def test_random_objects_end_nothing(changes: list[tuple[Path, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    given_answers = answers()
    for path, value in changes:
        try:
            given_answers = changed(given_answers, path, value)
        except (LookupError, TypeError):
            continue  # an earlier change took it away
    assert run(given_answers, monkeypatch).outcome is not None


@settings(max_examples=200, deadline=None)
@given(
    status=st.integers(200, 599),
    content=st.binary(max_size=40)
    | JSON.map(repr).map(str.encode)
    | st.builds(
        lambda said: f'{{"kind": "Status", "message": {said}, "reason": {said}}}'.encode(), st.text(max_size=9)
    ),
)
def test_any_error_is_the_callers_or_a_finding(status: int, content: bytes) -> None:
    class Once(client.ApiClient):
        def call_api(self, *_: object, **__: object) -> Response:  # type: ignore[override]  # whatever is asked
            return Response(status, content)

    connection = Connection(Once(), "an API", 5.0, "")
    api = Api(connection)
    for ask in (lambda: api.get("/x"), lambda: api.list("/x", {}), lambda: api.create("/x", {})):
        with suppress(ApiError, FindingError):
            ask()
    seen = Application(ApplicationRef("argocd", "x"), "uid", "7", "OutOfSync", "Missing")
    applications = Applications(ServerWay(connection, lambda: "Bearer x", lambda _: "default"), "run")
    for ask_argo_cd in (
        lambda: applications.read(seen.ref),
        lambda: applications.refresh(seen),
        lambda: applications.sync(seen, 1, ()),
    ):
        with suppress(FindingError):
            ask_argo_cd()


@pytest.mark.parametrize("answer", [None, [], "", 3, {}])
@pytest.mark.parametrize("path", [f"{ARGO}/argocd/applications/migrations", f"{JOBS}/temporal-schema", f"{PODS}?app"])
def test_an_answer_that_is_no_object(path: str, answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Reason.API_UNREACHABLE.name in run(answers() | {path: answer}, monkeypatch).text


@pytest.mark.parametrize("items", [7, "x", [[]], ["x"], [None]])
def test_a_list_that_is_none(items: object, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run(answers() | {f"{PODS}?app": {"kind": "List", "items": items}}, monkeypatch)
    assert "items" in told.text
    assert Reason.ANSWER_NOT_UNDERSTOOD.name in told.text
