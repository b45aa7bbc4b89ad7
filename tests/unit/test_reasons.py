"""The table of reasons: whole, used, and told in the documents as it is in the code."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from hook.audit.holds import Hold
from hook.observation.reasons import ExitCode, Reason, Tolerance

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def write_reasons() -> ModuleType:
    """The script that writes the document."""
    spec = importlib.util.spec_from_file_location("write_reasons", ROOT / "scripts" / "write_reasons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_document_is_what_the_table_says(write_reasons: ModuleType) -> None:
    """`python scripts/write_reasons.py` writes it anew."""
    assert write_reasons.DOCUMENT.read_text(encoding="utf-8") == write_reasons.render()


def test_the_findings_of_an_audit_are_what_their_table_says(write_reasons: ModuleType) -> None:
    """Each with its meaning, versions, source and remedy in one row, between the marks of docs/gating.md."""
    text = write_reasons.GATING.read_text(encoding="utf-8")
    assert text == write_reasons.with_findings(text)
    for hold in Hold:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{hold}`")]
        assert [cell.strip() for cell in row.strip("|").split(" | ")][1:] == [
            hold.meaning, hold.versions, hold.source, hold.remedy,
        ]  # fmt: skip


@pytest.mark.parametrize("hold", Hold, ids=str)
def test_a_finding_names_a_public_source(hold: Hold) -> None:
    """An issue by its number, documentation or code by its place, never an address; and no name is a reason's."""
    assert re.search(r"(argo-cd|helm-charts) \d{3,}|docs, |code, ", hold.source)
    assert "://" not in hold.source
    assert str(hold) not in {str(reason) for reason in Reason}
    assert hold.remedy.endswith(".")
    assert hold.meaning.endswith(".")


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_the_document_tells_all_of_a_reason(write_reasons: ModuleType, reason: Reason) -> None:
    """Meaning, exit code, when it ends a run, what to do; and the table of exit codes links to it."""
    text = write_reasons.render()
    _, found, rest = text.partition(f"\n### {reason}\n")
    section = rest.partition("\n### ")[0]
    assert found
    assert reason.meaning in section
    assert f"- Exit code: {reason.exit_code.value}\n" in section
    assert re.search(r"^- Ends a run: \w", section, re.MULTILINE)
    assert f"- What to do: {reason.remedy}\n" in section
    assert re.search(rf"^\| {reason.exit_code.value} \|.*\[{reason}\]\(#{str(reason).lower()}\)", text, re.MULTILINE)


def test_exit_codes_are_the_documented_ones() -> None:
    """The chart's podFailurePolicy and other people's scripts are written against these numbers."""
    assert {code.name: code.value for code in ExitCode} == {
        "PASSED": 0,
        "BUG": 1,
        "SETTINGS": 2,
        "DEADLINE": 3,
        "SCHEMA": 4,
        "MIGRATION": 5,
        "ACCESS": 6,
        "TEMPORAL": 7,
        "DOWNSTREAM": 8,
        "AUDIT": 9,
        "SUPERSEDED": 10,
        "INTERRUPTED": 130,
        "STOPPED": 143,
    }


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: code.name)
def test_each_exit_code_has_a_reason(code: ExitCode) -> None:
    """A code without one could not be explained."""
    assert any(reason.exit_code is code for reason in Reason)


def test_titles_are_unique_and_in_upper_camel_case() -> None:
    """Kubernetes takes them as an Event's reason, and the document links by them."""
    titles = [str(reason) for reason in Reason]
    assert len({title.lower() for title in titles}) == len(titles)
    assert [title for title in titles if not re.fullmatch(r"([A-Z][a-z]+)+", title)] == []


def test_a_title_is_its_name_in_the_code() -> None:
    """Who reads one finds the other."""
    differing = [reason.name for reason in Reason if str(reason).lower() != reason.name.replace("_", "").lower()]
    assert differing == []


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_meaning_and_remedy_are_sentences(reason: Reason) -> None:
    """They begin with a capital and end with a full stop, and are one line."""
    for text in (reason.meaning, reason.remedy):
        assert re.fullmatch(r"[A-Z][^\n]*[.]", text), text


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_patience_fits_the_exit_code(reason: Reason) -> None:
    """Who waits for the deadline ends with its code; who waits for the grace ends with a code of its own."""
    match reason.tolerance:
        case Tolerance.DEADLINE:
            assert reason.exit_code is ExitCode.DEADLINE
        case Tolerance.GRACE:
            assert reason.exit_code not in {ExitCode.PASSED, ExitCode.BUG, ExitCode.DEADLINE}
        case Tolerance.MOMENT:
            assert reason.exit_code is ExitCode.SCHEMA
        case Tolerance.NONE:
            assert reason.exit_code is not ExitCode.ACCESS
            assert reason.exit_code is not ExitCode.DEADLINE or reason in {Reason.DEADLINE_EXCEEDED, Reason.NOT_YET}


def test_every_reason_is_given_somewhere() -> None:
    """One that no code gives would be documented in vain."""
    code = "\n".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "hook").rglob("*.py") if file.name != "reasons.py"
    )
    assert [reason.name for reason in Reason if not re.search(rf"\bReason\.{reason.name}\b", code)] == []
