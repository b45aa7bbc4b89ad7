"""The versions of a store's schema as Temporal ships them: directories ``versioned/vX.Y`` of SQL files with a manifest.

Knows their layout and how temporal-sql-tool reads them (``tools/common/schema/updatetask.go`` and
``common/persistence/query_util.go``); nothing of a database.
"""

import json
import re
from pathlib import Path

# What the tool's splitter looks at, in one pass: what it skips as a whole (comments, quoted text), what nests, the end.
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*)|(?P<quoted>'[^']*'|\"[^\"]*\")|(?P<open>\(|\bbegin\b)|(?P<close>\)|\bend\b)|(?P<end>;)",
    re.IGNORECASE,
)


def versions(store_directory: Path) -> list[str]:
    """The versions of a store, such as ``1.10``, oldest first."""
    names = [path.name.removeprefix("v") for path in (store_directory / "versioned").glob("v*")]
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def statements(store_directory: Path, version: str) -> list[str]:
    """The statements that the tool runs for one version, in its order; ``FileNotFoundError`` if there is none."""
    directory = store_directory / "versioned" / f"v{version}"
    manifest = json.loads((directory / "manifest.json").read_text())
    return [
        statement for name in manifest["SchemaUpdateCqlFiles"] for statement in split((directory / name).read_text())
    ]


def split(text: str) -> list[str]:
    """SQL text as single statements, each with its semicolon, without comments and empty ones."""
    found: list[str] = []
    current, depth, position = "", 0, 0
    for token in _TOKEN.finditer(text):
        current += text[position : token.start()]
        position = token.end()
        if token.lastgroup == "comment":
            continue
        current += token.group()
        if token.lastgroup == "open":
            depth += 1
        elif token.lastgroup == "close":
            depth -= 1
        elif token.lastgroup == "end" and depth == 0:
            found.append(current)
            current = ""
    found.append(current + text[position:])
    return [statement.strip() for statement in found if statement.strip()]
