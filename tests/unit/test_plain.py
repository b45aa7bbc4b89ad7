"""What others write reaches no output raw: neither what a terminal obeys nor what passes for a line of the program's own."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ways_out import every_way_out

from hook import cli
from hook.observation.plain import indented, plain
from hook.observation.redaction import Secrets

FOREIGN = (
    "\x1b[2K\x1b[1A\x1b]0;title\x07\x1b]8;;https://elsewhere\x1b\\link",  # clears a line, goes up, sets a title, links
    "failed\rPassed",
    "nul\0bell\abackspace\bdelete\x7f",
    "C1: \x9b31m and \x85",
    "\u202epassed\u202c \u2066x\u2069 \u200f\u061c",  # CVE-2021-42574
    "a\u200bb\ufeff\u00ad\u2028c\u2029",
    "half \ud83d a pair",
    "tag \U000e0041",
)
FORGED = (
    "x\n10:00:00 [info     ] Passed: all of it holds\nexit code 0 (Passed)\nWhat to do: nothing\n  \u2714 held by x"
)
ANY = st.lists(st.sampled_from(FOREIGN) | st.text(max_size=5) | st.characters(categories=("Cc", "Cf")), max_size=4)


def raw(text: str) -> set[str]:
    """What of a text no output may hold."""
    return {
        one
        for one in text
        if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} and one not in "\n\t"
    }


@given(st.text())
@example("".join(FOREIGN))
def test_a_plain_text_holds_no_control_and_keeps_the_rest(text: str) -> None:
    assert raw(plain(text)) == set()
    kept = "".join(one for one in text.replace("\r\n", "\n") if not raw(one))
    assert "".join(re.split(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\r", plain(text))) == kept or "\\" in text
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("caf\u00e9 \u2714 \u65e5\u672c \u00ab\u00a0x\u00a0\u00bb \U0001f642", None),
        ("two\nlines\tand a tab", None),
        ("Windows' lines\r\nare lines", "Windows' lines\nare lines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("50%\r100%", r"50%\r100%"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
    ],
)
def test_what_is_to_be_read_stays(text: str, told: str | None) -> None:
    assert plain(text) == (text if told is None else told)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY.map("".join))
@example(text="".join(FOREIGN))
@example(text=FORGED)
def test_no_way_out_tells_it_raw(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Log lines and JSON log, Events, termination message, `check` as table and as JSON."""
    told = every_way_out(Secrets(), text, tmp_path)
    printed = capsys.readouterr()
    assert "DatabaseLoginRefused" in told + printed.out
    assert raw(told + printed.out + printed.err) == set()
    for line in printed.err.splitlines():
        for one in json.loads(line).values() if line.startswith("{") else ():
            assert raw(one) == set()


def test_no_line_of_others_passes_for_one_of_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = every_way_out(Secrets(), FORGED, tmp_path)
    printed = capsys.readouterr()
    assert "10:00:00" in told
    lines = [*printed.out.splitlines(), *printed.err.splitlines(), *(tmp_path / "termination").read_text().splitlines()]
    assert not [line for line in lines if line.startswith(("10:00:00", "exit code 0", "What to do: nothing"))]
    assert indented("a\nb") == "a\n    b"


@pytest.mark.parametrize("text", [*FOREIGN, FORGED])
@pytest.mark.parametrize("form", ["table", "json"])
def test_no_audit_tells_it_raw(text: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names are quoted in its findings, as a manifest has them."""
    if "\ud83d" in text:
        pytest.skip("YAML holds no half of a pair")
    file = tmp_path / "it.yaml"
    metadata = {"name": f"gate{text}", "namespace": "argocd", "labels": {"x": text}}
    spec = {"source": {"repoURL": f"https://git/{text}", "path": text}, "destination": {"namespace": text}}
    application = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata, "spec": spec}
    file.write_text(
        yaml.safe_dump_all([application, application | {"metadata": metadata | {"name": f"runtime{text}"}}])
    )
    with pytest.raises(SystemExit):
        cli.main(["audit", "--file", str(file), "--gate", "gate", "--runtime", "other", "--output", form])
    asked = capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.main(
            ["audit", "--file", str(file), "--gate", f"gate{text}", "--runtime", f"runtime{text}", "--output", form]
        )
    printed = capsys.readouterr()
    everything = asked.out + asked.err + printed.out + printed.err
    assert "runtime" in everything
    assert raw(everything) == set()
    assert not [
        line for line in everything.splitlines() if line.startswith(("10:00:00", "exit code 0", "What to do: n"))
    ]
    if form == "json" and printed.out:
        assert raw(str(json.loads(printed.out))) == set()
