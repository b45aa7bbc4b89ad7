"""The changelog and what a release takes from it."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]

EXAMPLE = """\
# Changelog

## [Unreleased]

### Fixed

- Not yet out.

## [1.1.0] - 2027-01-02

### Added

- One thing,
  over two lines.
- Another.

### Security

- A third.

## [1.0.0] - 2026-12-01

### Added

- All.
"""


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that writes the annotation."""
    spec = importlib.util.spec_from_file_location("write_changes", ROOT / "scripts" / "write_changes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_chart_has_the_changelogs_entries(script: ModuleType) -> None:
    """`python -m scripts.write_changes` writes them anew, and leaves the rest as it is."""
    chart = script.CHART.read_text()
    assert script.render(chart, script.CHANGELOG.read_text()) == chart
    entries = yaml.safe_load(yaml.safe_load(chart)["annotations"][script.ANNOTATION])
    assert entries
    assert all(set(entry) == {"kind", "description"} and entry["kind"] in script.KINDS for entry in entries)


def test_a_versions_entries_are_its_own(script: ModuleType) -> None:
    """A version without a section is not released yet: then what is unreleased is to be in it."""
    assert script.changes(EXAMPLE, "1.1.0") == [
        {"kind": "added", "description": "One thing, over two lines."},
        {"kind": "added", "description": "Another."},
        {"kind": "security", "description": "A third."},
    ]
    assert script.changes(EXAMPLE, "1.2.0") == [{"kind": "fixed", "description": "Not yet out."}]


def test_an_unknown_kind_is_refused(script: ModuleType) -> None:
    """Artifact Hub would drop it."""
    with pytest.raises(ValueError, match="### Improved: must be one of added"):
        script.changes(EXAMPLE.replace("### Fixed", "### Improved"), "1.2.0")


def test_the_annotation_replaces_the_one_before_it_and_nothing_else(script: ModuleType) -> None:
    """Comments and order stay."""
    chart = '# why\nversion: 1.0.0\nannotations:\n  a: "b" # c\n'
    once = script.render(chart, EXAMPLE)
    assert yaml.safe_load(yaml.safe_load(once)["annotations"][script.ANNOTATION]) == script.changes(EXAMPLE, "1.0.0")
    again = script.render(once.replace("1.0.0", "1.1.0"), EXAMPLE)
    assert yaml.safe_load(yaml.safe_load(again)["annotations"][script.ANNOTATION]) == script.changes(EXAMPLE, "1.1.0")
    assert again.startswith("# why\n")
    assert '  a: "b" # c\n' in again


def test_a_release_needs_its_section(script: ModuleType) -> None:
    """With its date; the workflow looks for the tag's version in the changelog."""
    workflow = (ROOT / ".github" / "workflows" / "release.yaml").read_text()
    assert 'grep --quiet --fixed-strings "## [$program] - " CHANGELOG.md' in workflow
    text = script.CHANGELOG.read_text()
    dated = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert len(dated) == len(re.findall(r"^## \[\d", text, re.MULTILINE))
