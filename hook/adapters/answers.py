"""The boundary to everything foreign: an answer that was decoded, read field by field with the path that leads to it.

An adapter wraps what a server sent in an `Answer` and reads typed values from it. A field that is missing or null gives
its default; one of another type than the API's schema says ends as a `FindingError` that names its path, so that the thing
it describes is `Unknown`, and nothing else is raised whatever was sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST_YEAR, _LAST_YEAR = 2000, 2200
"""Go's zero time is of the year 1; nothing that is judged here is older than Kubernetes, or to come in a century."""

_NO_INT64 = 1 << 63

_NAMES = {
    dict: "an object", list: "a list", str: "another text", int: "a number", float: "a fraction", bool: "true or false",
    type(None): "nothing",
}  # fmt: skip


class Answer:
    """A value of an answer, and where it stands. ``about`` names the object in findings."""

    def __init__(self, value: Any, about: str, path: str = "") -> None:  # noqa: ANN401 -- decoded JSON
        """Wrap a decoded value; the path is that of the whole object."""
        self._value = value
        self._about = about
        self._path = path

    def __getitem__(self, name: str) -> Answer:
        """Return a field of a mapping, an absent one as null."""
        mapping = self._as(dict, "an object") or {}
        return Answer(mapping.get(name), self._about, f"{self._path}.{name}" if self._path else name)

    def __contains__(self, name: str) -> bool:
        """Tell whether a mapping has the field, and not as null."""
        return (self._as(dict, "an object") or {}).get(name) is not None

    def __iter__(self) -> Iterator[Answer]:
        """Yield the entries of a list, none where it is absent."""
        for number, entry in enumerate(self._as(list, "a list") or []):
            yield Answer(entry, self._about, f"{self._path}[{number}]")

    @property
    def is_there(self) -> bool:
        """Whether it is there, and not null."""
        return self._value is not None

    def text(self, default: str = "") -> str:
        """Return a text."""
        value: str | None = self._as(str, "text")
        return default if value is None else _writable(value)

    def object(self) -> dict[str, Any]:
        """Return a mapping that has to be there."""
        value: dict[str, Any] | None = self._as(dict, "an object")
        if value is None:
            raise self.not_understood("an object")
        return value

    def name(self) -> str:
        """Return a text that has to be there."""
        value = self.text()
        if not value:
            raise self.not_understood("a text that is not empty")
        return value

    def number(self, default: int = 0) -> int:
        """Return a whole number."""
        if isinstance(self._value, bool):
            raise self.not_understood("a number")
        value: int | None = self._as(int, "a number")
        if value is not None and abs(value) >= _NO_INT64:
            raise self.not_understood("a number of 64 bits")
        return default if value is None else value

    def number_or_text(self) -> int | str | None:
        """Return what may be either (IntOrString), None where it is absent."""
        return self.text() if isinstance(self._value, str) else self.number() if self.is_there else None

    def flag(self, *, default: bool = False) -> bool:
        """Return a truth value."""
        value: bool | None = self._as(bool, "true or false")
        return default if value is None else value

    def time(self) -> datetime | None:
        """Return a time (RFC 3339); None where it is absent, or before or beyond all reason."""
        text = self.text()
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except OverflowError:
            return None
        except ValueError:
            raise self.not_understood("a time") from None
        return moment if _FIRST_YEAR <= moment.year <= _LAST_YEAR else None

    def texts(self) -> dict[str, str]:
        """Return a mapping of texts, such as labels or annotations."""
        return {
            _writable(name): self[name].text() for name in (self._as(dict, "an object") or {}) if isinstance(name, str)
        }

    def not_understood(self, expected: str) -> FindingError:
        """Return the error that says what was expected where. It shows no value: one may hold anything."""
        found = _NAMES.get(type(self._value), type(self._value).__name__)
        detail = f"{self._path or 'the answer'}: expected {expected}, found {found}"
        return FindingError(Finding(Reason.ANSWER_NOT_UNDERSTOOD, self._about, detail))

    def _as(self, kind: type, expected: str) -> Any:  # noqa: ANN401 -- the caller's type
        if self._value is not None and not isinstance(self._value, kind):
            raise self.not_understood(expected)
        return self._value


def _writable(text: str) -> str:
    """Return a text that any output can encode: JSON may escape half of a surrogate pair."""
    return text.encode(errors="replace").decode()
