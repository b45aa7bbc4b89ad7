"""What every block of settings is: closed, frozen, written in camelCase. Knows pydantic, and no setting."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Block(BaseModel):
    """A closed block of settings: an unknown key is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)
