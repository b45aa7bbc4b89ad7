"""Writes `docs/settings.md` from the settings' models: each setting, its variable, default, unit and reason.

python -m scripts.write_settings           write it
python -m scripts.write_settings --check   only compare it
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticUndefined

from hook.settings.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"


def render() -> str:
    """Return the document."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by scripts/write_settings.py from hook/settings: change it there. -->",
        "",
        "Settings come from a YAML file (`--config FILE`) and from environment variables, which override the file. The",
        "name of a variable is `TRH_` and the path in capitals, with two underscores between its parts:",
        "`stores.default.dsn` is `TRH_STORES__DEFAULT__DSN`. The value of a list or a block is JSON. A `dsn` in the",
        "environment replaces the file's whole block of that store.",
        "",
        "| setting | unit | default | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| `{path}` | {unit} | {default} | {text} |" for path, unit, default, text in _rows(Settings)]
    return "\n".join(lines) + "\n"


def _rows(model: type[BaseModel], block: str = "") -> Iterator[tuple[str, str, str, str]]:
    texts = _texts(model)
    for name, field in model.model_fields.items():
        path, text = f"{block}{to_camel(name)}", texts.get(name, "")
        blocks = _blocks(field)
        if not blocks:
            yield path, "s" if name.endswith("_seconds") else "", _default(field), text
        for one in blocks:
            about = " ".join(filter(None, (text, _line(inspect.getdoc(one) or ""))))
            yield path, "", _default(field), about
            yield from _rows(one, f"{path}[]." if "tuple" in str(field.annotation) else f"{path}.")


def _blocks(field: FieldInfo) -> list[type[BaseModel]]:
    kinds = (field.annotation, *get_args(field.annotation))
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required" if field.is_required() else ""
    if field.default is None or field.default == () or isinstance(field.default, BaseModel):
        return ""
    value = getattr(field.default, "value", field.default)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _texts(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring under each field, a base class's included."""
    texts: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if not issubclass(one, BaseModel) or one is BaseModel:
            continue
        [body] = [node.body for node in ast.parse(inspect.getsource(one)).body if isinstance(node, ast.ClassDef)]
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                if is_text:
                    texts[field.target.id] = _line(str(after.value.value))  # type: ignore[attr-defined]
    return texts


def _line(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def main() -> int:
    """Write the document, or compare it."""
    parser = argparse.ArgumentParser(description="Write docs/settings.md from hook/settings.")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when it is not as written")
    if parser.parse_args().check:
        same = DOCUMENT.exists() and DOCUMENT.read_text(encoding="utf-8") == render()
        print("docs/settings.md is as written" if same else "docs/settings.md is out of date: run this without --check")
        return 0 if same else 1
    DOCUMENT.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
