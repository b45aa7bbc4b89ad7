"""What the prose linter is asked to lint; `make lint-prose` lints it."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script that runs the linter."""
    spec = importlib.util.spec_from_file_location("lint_prose", ROOT / "scripts" / "lint_prose.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_linted_or_exempt_for_a_reason(script: ModuleType) -> None:
    """A new page is linted from the first; an exemption names a page that exists."""
    pages = set(script.pages())
    assert {"README.md", "docs/install.md", "charts/temporal-recovery-hook/README.md"} <= pages
    assert not pages & set(script.EXEMPT)
    assert all((ROOT / page).is_file() for page in pages | set(script.EXEMPT))
    assert all(script.EXEMPT.values())
