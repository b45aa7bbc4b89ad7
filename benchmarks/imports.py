"""What importing costs, by library, from ``python -X importtime``. Knows that output's form and nothing of the hook."""

from __future__ import annotations

import re
import sys
from collections import defaultdict

_LINE = re.compile(r"^import time:\s*(\d+) \|\s*\d+ \|(\s+)(\S+)$")
_FAMILIES = {
    "psycopg_binary": "psycopg",
    "pydantic_core": "pydantic",
    "annotated_types": "pydantic",
    "typing_inspection": "pydantic",
    "grpc_health": "grpc",
    "google": "protobuf",
    "_yaml": "yaml",
    "_cffi_backend": "cryptography",
}
"""Packages that come with another."""

INTERPRETER = "interpreter"


def by_library(said: str) -> dict[str, float]:
    """Milliseconds by library, the most expensive first.

    A module of the standard library counts for the library that was the first to want it: without that library, its time
    would go too, unless another wants it.
    """
    found: dict[str, float] = defaultdict(float)
    wanted_by: list[tuple[int, str]] = []  # the modules being imported, outermost first
    # Python prints a module when it is done, after those that it wanted itself; backwards, each follows who wanted it.
    for line in reversed(said.splitlines()):
        match = _LINE.match(line)
        if match is None:
            continue
        depth, package = len(match[2]), match[3].partition(".")[0]
        while wanted_by and wanted_by[-1][0] >= depth:
            wanted_by.pop()
        owner = _FAMILIES.get(package, package)
        if package in sys.stdlib_module_names or package.startswith(("_sysconfigdata", "__editable__", "_virtualenv")):
            owner = wanted_by[-1][1] if wanted_by else INTERPRETER
        wanted_by.append((depth, owner))
        found[owner] += int(match[1]) / 1000
    return dict(sorted(found.items(), key=lambda item: -item[1]))
