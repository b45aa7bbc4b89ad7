"""What the README tells a person to type is what the program takes."""

import re
from pathlib import Path

import pytest

from hook.observation.versions import Store
from hook.settings.loading import load

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
CHART = ROOT / "charts" / "temporal-recovery-hook"


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes links of them: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_for_a_laptop_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the two variables of the README load, and name what it says."""
    file = tmp_path / "check.yaml"
    found = re.search(r"<<'END'\n(.*?)\nEND\n", README, re.DOTALL)
    assert found
    file.write_text(found[1])
    for name, value in re.findall(r"export (TRH_\w+)='(.*)'", README):
        monkeypatch.setenv(name, value)
    settings = load(file)
    assert settings.stores.of(Store.VISIBILITY).conninfo()["dbname"] == "temporal_visibility"
    assert set(settings.targets) == {"migrations.application", "runtime.application", "downstream[0]"}


def test_its_links_and_targets_are_there() -> None:
    """Every link of the README and the docs leads to a file and its heading, and every make target that is named exists."""
    makefile = (ROOT / "Makefile").read_text()
    pages = (path for pattern in ("*.md", "docs/*.md", "examples/*/*.md") for path in sorted(ROOT.glob(pattern)))
    for document in (*pages, CHART / "README.md"):
        text = document.read_text()
        for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]+))?\)", text):
            if "://" in link:
                continue
            target = document.parent / link if link else document
            assert target.exists(), f"{document.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{document.name}: {link}#{anchor}"
        for target in re.findall(r"(?m)(?:^|`)make ([a-z0-9-]+)", text):
            assert f"\n{target}:" in makefile, f"{document.name}: make {target}"


def test_the_demo_offers_the_stories_that_the_readme_names() -> None:
    """Each scenario of the README's last sentence on the demo can be played."""
    played = re.search(r"Other stories: `make demo SCENARIO=(\w+)`, (.*)\.", README)
    assert played
    scenarios = (ROOT / "lab" / "scenarios.py").read_text()
    for name in (played[1], *re.findall(r"`(\w+)`", played[2])):
        assert f'"{name}"' in scenarios


def test_the_workflow_of_ci_runs_what_the_readme_says() -> None:
    """CI's script runs the README's test command."""
    assert "make test" in (ROOT / ".ci" / "run").read_text()
