"""Draws what happened to several things at once as lanes over time, in SVG; knows nothing of what they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class State(Enum):
    """How something is; its colour, that of words on it, and what the legend says."""

    BROKEN = ("#b5402f", "#ffffff", "broken: empty, failed, crash-looping")
    UNDER_WAY = ("#e8b54a", "#26282c", "under way: starting, syncing, migrating")
    RIGHT = ("#3f8560", "#ffffff", "right: at its version, running, succeeded")
    GATE = ("#38608f", "#ffffff", "the gate at work")
    NOTHING = ("#e6e8ec", "#26282c", "not there, or not synced yet")


@dataclass(frozen=True)
class Span:
    """A stretch of a lane, in seconds."""

    start: float
    end: float
    state: State
    text: str


@dataclass(frozen=True)
class Lane:
    """One thing and how it was; `group` sets lanes apart."""

    name: str
    group: str
    spans: Sequence[Span]


@dataclass(frozen=True)
class Mark:
    """One moment on a lane, numbered in the order of time."""

    at: float
    lane: str
    text: str


@dataclass(frozen=True)
class Timeline:
    """All that is drawn; seconds from the person's sync."""

    title: str
    start: float
    end: float
    lanes: Sequence[Lane]
    marks: Sequence[Mark]


_WIDTH, _LEFT, _RIGHT = 960, 204, 20
_LANE, _GAP, _TOP, _ROW = 20, 8, 76, 18
_LETTER = 6.3
"""The width of a letter in a lane, roughly."""
_RADIUS = 8
_SVG = (
    'xmlns="http://www.w3.org/2000/svg" role="img" font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif"'
)
_INK, _FAINT, _PAPER = "#26282c", "#6b7280", "#ffffff"


def draw(timeline: Timeline) -> str:
    """Return the SVG."""
    scale = (_WIDTH - _LEFT - _RIGHT) / (timeline.end - timeline.start)

    def x(at: float) -> float:
        return _LEFT + (at - timeline.start) * scale

    tops = _tops(timeline.lanes)
    bottom = max(tops.values()) + _LANE + 4
    marks = sorted(timeline.marks, key=lambda mark: mark.at)
    key_rows = -(-len(marks) // 2)
    height = bottom + 44 + key_rows * _ROW + 2 * _ROW + 26
    parts = [
        f'<svg {_SVG} width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}">',
        f"<title>{escape(timeline.title)}</title>",
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1}" rx="8" fill="{_PAPER}" stroke="#d3d7de"/>',
        _text(20, 30, timeline.title, size=15, weight="600"),
        _text(20, 50, "Seconds since the sync, by what the API server, the gate and the database said", fill=_FAINT),
    ]
    parts += _axis(timeline, x, bottom)
    discs = _discs(marks, x)
    for lane in timeline.lanes:
        top = tops[lane.name]
        parts.append(_text(_LEFT - 10, top + 14, lane.name, anchor="end"))
        own = [disc for mark, disc in zip(marks, discs, strict=True) if mark.lane == lane.name]
        parts += [part for span in lane.spans for part in _bar(span, x(span.start), x(span.end), top, own)]
    for number, (mark, disc) in enumerate(zip(marks, discs, strict=True), 1):
        parts += _marker(number, x(mark.at), disc, tops[mark.lane])
    parts += _key(marks, bottom + 50)
    parts += _legend(bottom + 50 + key_rows * _ROW + 10)
    return "\n".join([*parts, "</svg>", ""])


def _tops(lanes: Sequence[Lane]) -> dict[str, int]:
    tops, top, group = {}, _TOP, lanes[0].group
    for lane in lanes:
        top += _GAP if lane.group != group else 0
        tops[lane.name], group = top, lane.group
        top += _LANE + 3
    return tops


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", fill: str = _INK, size: int = 12, weight: str = ""
) -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{fill}" font-size="{size}"{bold}>{escape(words)}</text>'


def _axis(timeline: Timeline, x: Callable[[float], float], bottom: int) -> Iterator[str]:
    step = next(step for step in (1, 2, 5, 10, 20, 60, 300) if (timeline.end - timeline.start) / step <= 16)  # noqa: PLR2004
    for at in range(0, int(timeline.end) + 1, step):
        stroke = _FAINT if at == 0 else "#d3d7de"
        yield f'<line x1="{x(at):.1f}" y1="{_TOP - 6}" x2="{x(at):.1f}" y2="{bottom}" stroke="{stroke}"/>'
        yield _text(x(at), bottom + 15, f"{at} s", anchor="middle", fill=_FAINT, size=11)


def _discs(marks: Sequence[Mark], x: Callable[[float], float]) -> list[float]:
    """Where the discs of the marks are; those of one lane are set apart."""
    last: dict[str, float] = {}
    discs = []
    for mark in marks:
        last[mark.lane] = max(x(mark.at), last.get(mark.lane, 0.0) + 2 * _RADIUS + 1)
        discs.append(last[mark.lane])
    return discs


def _bar(span: Span, left: float, right: float, top: int, discs: Sequence[float]) -> Iterator[str]:
    fill, ink, meaning = span.state.value
    yield (
        f'<rect x="{left:.1f}" y="{top}" width="{max(right - left, 0.5):.1f}" height="{_LANE}" fill="{fill}">'
        f"<title>{escape(f'{span.text or meaning}: {span.start:.2f} to {span.end:.2f} s')}</title></rect>"
    )
    width = len(span.text) * _LETTER
    start = left + 5
    for disc in sorted(discs):
        if start - _RADIUS < disc < start + width + _RADIUS:
            start = disc + _RADIUS + 4
    if span.text and start + width < right:
        yield _text(start, top + 14, span.text, fill=ink, size=11)


def _marker(number: int, at: float, disc: float, top: int) -> Iterator[str]:
    """Yield a line where the mark is, and its number."""
    y = top + _LANE / 2
    yield (
        f'<line x1="{at:.1f}" y1="{top - 2}" x2="{at:.1f}" y2="{top + _LANE + 2}" stroke="{_INK}" stroke-width="2"/>'
        f'<circle cx="{disc:.1f}" cy="{y}" r="{_RADIUS}" fill="{_INK}" stroke="{_PAPER}" stroke-width="1.5"/>'
    )
    yield _text(disc, y + 3.5, str(number), anchor="middle", fill=_PAPER, size=10, weight="600")


def _key(marks: Sequence[Mark], top: int) -> Iterator[str]:
    rows = -(-len(marks) // 2)
    for number, mark in enumerate(marks, 1):
        column, row = divmod(number - 1, rows)
        left, y = 30 + column * (_WIDTH // 2), top + row * _ROW
        yield f'<circle cx="{left}" cy="{y - 4}" r="{_RADIUS}" fill="{_INK}"/>'
        yield _text(left, y - 0.5, str(number), anchor="middle", fill=_PAPER, size=10, weight="600")
        yield _text(left + 54, y, f"{mark.at:.1f} s", anchor="end", fill=_FAINT)
        yield _text(left + 64, y, mark.text)


def _legend(top: int) -> Iterator[str]:
    for number, state in enumerate(State):
        fill, _, words = state.value
        column, row = number % 3, number // 3
        left, y = 22 + column * 300, top + row * _ROW
        yield f'<rect x="{left}" y="{y - 10}" width="16" height="12" fill="{fill}"/>'
        yield _text(left + 24, y, words, fill=_FAINT)
