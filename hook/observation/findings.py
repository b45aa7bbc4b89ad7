"""What was found: a reason, what it is about and what was seen. An adapter raises nothing else."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hook.observation.reasons import Reason


@dataclass(frozen=True)
class Finding:
    """A reason, what it is about, and what was seen. `remedy` is the exact cure where it is more than the reason's own."""

    reason: Reason
    about: str
    detail: str = ""
    specific_remedy: str = ""

    @property
    def remedy(self) -> str:
        """Return what a person should do."""
        return self.specific_remedy or self.reason.remedy

    @property
    def key(self) -> tuple[Reason, str]:
        """Return what makes it the same finding from turn to turn: its detail may change."""
        return (self.reason, self.about)

    def __str__(self) -> str:
        """Return it as one line, without the remedy."""
        return f"{self.reason}: {self.about}" + (f": {self.detail}" if self.detail else "")


class FindingError(Exception):
    """How an adapter says that it could not see or do something; the foreign exception is its cause."""

    def __init__(self, finding: Finding) -> None:
        """Carry the finding."""
        super().__init__(str(finding))
        self.finding = finding


@dataclass(frozen=True)
class Unknown:
    """In the place of a value that could not be seen."""

    finding: Finding


def shortened(text: str, characters: int) -> str:
    """Return the text with single blanks and at most so many characters, cut between two words.

    Half of a secret would not be known as one, and be shown; so a single word that is too long is left out whole.
    """
    return textwrap.shorten(text, characters, placeholder=" …", break_on_hyphens=False, break_long_words=False)
