"""What blocks of settings have in common: closed, frozen, written in camelCase; a token in a file. Knows no setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pathlib import Path


class Block(BaseModel):
    """A closed block of settings: an unknown key is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


def authorization(token_file: Path) -> str:
    """Return the header ``authorization`` for a token's file as it is now; raise OSError, its text without the token."""
    words = token_file.read_bytes().decode("ascii", "replace").split()
    header = " ".join(words if len(words) > 1 else ["Bearer", *words])
    if not words or not header.isprintable() or not header.isascii():
        message = f"{token_file} holds no token: one line of ASCII text is needed"
        raise OSError(message)
    return header
