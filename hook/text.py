"""Texts of others that are cut to fit into a message. Pure."""

import textwrap


def shortened(text: str, characters: int) -> str:
    """Return the text with single blanks and at most so many characters, cut between two words.

    Half of a secret would not be known as one, and be shown; so a single word that is too long is left out whole.
    """
    return textwrap.shorten(text, characters, placeholder=" …", break_on_hyphens=False, break_long_words=False)
