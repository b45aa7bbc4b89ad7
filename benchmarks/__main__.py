"""``python -m benchmarks [SECTION...]``: measures, and prints each figure with what it is compared with."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import cluster, crowd, healthy, overtaken, reaction, repair, replaced, restarts, verdict, waiting, ways
from benchmarks.programs import compiled_ahead
from lab import toolchain

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.figures import Table
    from lab.toolchain import TemporalBuild


@dataclass(frozen=True)
class _Section:
    measure: Callable[[TemporalBuild, Path, int], list[Table]]
    rounds: int
    by_name_only: bool = False
    """Takes long, or needs what not every machine has."""
    as_root: bool = False
    """On a real control plane: needs root, and what `make e2e` builds."""


_SECTIONS = {
    "verdict": _Section(verdict.tables, 11),
    "repair": _Section(repair.tables, 7),
    "waiting": _Section(waiting.tables, 3),
    "reaction": _Section(reaction.tables, 4),
    "restarts": _Section(restarts.tables, 10, by_name_only=True),
    "cluster": _Section(cluster.tables, 3, by_name_only=True, as_root=True),
    "crowd": _Section(crowd.tables, 3, by_name_only=True, as_root=True),
    "ways": _Section(ways.tables, 3, by_name_only=True, as_root=True),
    "healthy": _Section(healthy.tables, 7, by_name_only=True, as_root=True),
    "overtaken": _Section(overtaken.tables, 20, by_name_only=True, as_root=True),
    "replaced": _Section(replaced.tables, 5, by_name_only=True, as_root=True),
    "left-alone": _Section(cluster.left_alone, 1, by_name_only=True, as_root=True),
}


def main() -> None:
    """Measure the sections that are named, by default all that need no root."""
    parser = argparse.ArgumentParser(
        prog="make benchmark",
        description="Measures the hook; about 7 minutes without what has to be named: "
        f"{', '.join(name for name, one in _SECTIONS.items() if one.by_name_only)}.",
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(_SECTIONS))
    parser.add_argument("--rounds", type=int, help="how often each is measured; by default enough for a median")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too, behind its mark")
    given = parser.parse_args()
    unknown = set(given.sections) - set(_SECTIONS)
    if unknown or (given.rounds is not None and given.rounds < 1):
        parser.error(f"no such section: {', '.join(sorted(unknown))}" if unknown else "--rounds: at least 1")
    named = given.sections or [name for name, section in _SECTIONS.items() if not section.by_name_only]
    if os.geteuid() != 0 and (real := [name for name in named if _SECTIONS[name].as_root]):
        parser.error(f"needs root, as make e2e does: {', '.join(real)}")
    build = toolchain.temporal(progress=lambda line: print(line, file=sys.stderr, flush=True))
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch, compiled_ahead(Path(scratch) / "compiled"):
        for name in named:
            section = _SECTIONS[name]
            directory = Path(scratch) / name
            directory.mkdir(exist_ok=True)
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            for table in section.measure(build, directory, given.rounds or section.rounds):
                print(f"{table.as_text()}\n\n", flush=True)
                tables.append(table)
    if given.markdown:
        _write(given.markdown, tables)


_FROM_HERE = "<!-- From here on written by: python -m benchmarks --markdown FILE -->"


def _write(file: Path, tables: list[Table]) -> None:
    """Write the tables behind what a person wrote above the mark, each in the place of the one with its heading."""
    above, _, below = file.read_text(encoding="utf-8").partition(_FROM_HERE) if file.exists() else ("", "", "")
    there = [f"## {part.strip()}\n" for part in below.split("\n## ")[1:]]
    shown = {one.partition("\n")[0]: one for one in (*there, *(table.as_markdown() for table in tables))}
    file.write_text("\n".join((f"{above}{_FROM_HERE}\n", *shown.values())), encoding="utf-8")


if __name__ == "__main__":
    main()
