"""Lints the language of what users read, with Vale and the rules of `.vale`: words, sentences, spelling.

Vale's wheel would download the program while it is installed, so it is built once from its Go module, like actionlint; parts
of it are in C. `python -m scripts.lint_prose [FILE ...]` lints these files only.
"""

import subprocess
import sys
from pathlib import Path

from lab.toolchain import BuildError, build_once, cache_directory

VALE = "3.22.0"
"""Later ones need a Go module that is not on the module proxy (3.25.1, 3.26.0)."""

_ROOT = Path(__file__).resolve().parent.parent

EXEMPT = {
    "benchmarks/README.md": "figures and how they were taken, for developers",
}
"""Pages that are not linted yet, and why."""


def pages() -> list[str]:
    """Return every page for users but the exempt ones."""
    found = [
        *_ROOT.glob("*.md"),
        *_ROOT.glob("docs/*.md"),
        *_ROOT.glob("charts/*/*.md"),
        *_ROOT.glob("benchmarks/*.md"),
        *_ROOT.glob("examples/*/*.md"),
    ]
    return sorted(set(map(str, (path.relative_to(_ROOT) for path in found))) - set(EXEMPT))


def main() -> int:
    """Lint; 1 where Vale has something to say."""
    package = f"github.com/vale-cli/vale/v3/cmd/vale@v{VALE}"
    try:
        kept = build_once(cache_directory() / "vale" / VALE, f"vale {VALE}", ["install", package], with_c=True)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    command = [str(kept / "vale"), "--config", ".vale/vale.ini", "--output", "line", *(sys.argv[1:] or pages())]
    return subprocess.run(command, check=False, cwd=_ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
