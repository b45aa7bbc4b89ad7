"""Makes foreign texts plain: what a terminal would obey, and what a reader would not see, is written out. Pure.

A pod's log, an error's body or a manifest may hold escape sequences that rewrite what stands above them, a carriage return
that hides the line, or marks that turn its direction (CWE-150; Unicode Technical Report 36, 2.5).
"""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n\t")


def plain(text: str) -> str:
    r"""Return the text with every control, format or unassigned character as Python writes it: `\x1b`, `\u202e`.

    Line breaks, tabs and blanks of any width stay; CR LF is a line break.
    """
    if text.isprintable():
        return text
    return "".join(map(_written, text.replace("\r\n", "\n")))


def indented(text: str) -> str:
    """Return the text with each line after the first indented, so that none passes for a line of the program's own."""
    return text.replace("\n", "\n    ")


def _written(character: str) -> str:
    if character.isprintable() or character in _KEPT or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()
