"""Writes `artifacthub.io/changes` into the chart's Chart.yaml from CHANGELOG.md: its version's entries, else the unreleased.

python -m scripts.write_changes           write them
python -m scripts.write_changes --check   only compare them
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = ROOT / "CHANGELOG.md"
CHART = ROOT / "charts" / "temporal-recovery-hook" / "Chart.yaml"
ANNOTATION = "artifacthub.io/changes"

KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")
"""Those of Keep a Changelog 1.1.0, and of Artifact Hub's annotation (artifacthub/hub, docs/helm_annotations.md)."""


def changes(changelog: str, version: str) -> list[dict[str, str]]:
    """Return the entries of a version, else the unreleased ones. Raises ValueError for another form."""
    sections: dict[str, str] = dict(_parts(r"## \[(.+?)\].*?", changelog))
    found = []
    for title, text in _parts(r"### (\w+)", sections.get(version, sections["Unreleased"])):
        if title.lower() not in KINDS:
            message = f"CHANGELOG.md: ### {title}: must be one of {', '.join(KINDS)}"
            raise ValueError(message)
        entries = re.split(r"^- ", text, flags=re.MULTILINE)[1:]
        found += [{"kind": title.lower(), "description": " ".join(entry.split())} for entry in entries]
    return found


def _parts(heading: str, text: str) -> list[tuple[str, str]]:
    """Return what each heading names, with the text up to the next one of its kind."""
    level = heading.partition(" ")[0]
    return re.findall(rf"^{heading}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)


def render(chart: str, changelog: str) -> str:
    """Return Chart.yaml with its version's changes; the rest, comments included, stays as it is."""
    entries = changes(changelog, yaml.safe_load(chart)["version"])
    block = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)
    annotation = f"  {ANNOTATION}: |\n" + "".join(f"    {line}\n" for line in block.splitlines())
    old = re.compile(rf"^  {re.escape(ANNOTATION)}: \|\n(?:    .*\n)*", re.MULTILINE)
    if old.search(chart):
        return old.sub(lambda _: annotation, chart)
    return chart.replace("annotations:\n", f"annotations:\n{annotation}")


def main() -> int:
    """Write the annotation, or compare it."""
    parser = argparse.ArgumentParser(description="Write artifacthub.io/changes from CHANGELOG.md.")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1 when it is not as written")
    only_check = parser.parse_args().check
    chart = CHART.read_text(encoding="utf-8")
    text = render(chart, CHANGELOG.read_text(encoding="utf-8"))
    if only_check:
        print("the changes are as written" if chart == text else "Chart.yaml is out of date: run without --check")
        return int(chart != text)
    CHART.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
