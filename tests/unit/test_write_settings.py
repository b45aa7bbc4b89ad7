"""docs/settings.md: as the models say, and whole."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hook.settings.loading import _paths
from hook.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def write_settings() -> ModuleType:
    """The script that writes the document."""
    spec = importlib.util.spec_from_file_location("write_settings", ROOT / "scripts" / "write_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_document_is_what_the_models_say(write_settings: ModuleType) -> None:
    """`python -m scripts.write_settings` writes it anew."""
    assert write_settings.DOCUMENT.read_text(encoding="utf-8") == write_settings.render()


def test_it_lists_every_setting(write_settings: ModuleType) -> None:
    """Each path that a file may hold."""
    text = write_settings.render().replace("[]", "")
    assert [path for path, _ in _paths(Settings) if f"| `{'.'.join(path)}` |" not in text] == []
    assert "| `graceSeconds` | s | `120` | How long to retry an error" in text
