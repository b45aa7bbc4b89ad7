"""`audit` as a person or a program calls it: its options, what it prints, how it ends. And the repository's own examples."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hook import cli
from hook.audit.holds import Hold

ROOT = Path(__file__).parents[2]
ROLLOUT = ROOT / "examples" / "rollout" / "applicationset.yaml"
ALONE = ROOT / "examples" / "without-rollingsync"
MIGRATIONS, GATE, RUNTIME, BOOTSTRAP = (
    "data-migrations-temporal",
    "data-temporal-recovery-hook",
    "data-temporal",
    "data-temporal-namespace-bootstrap",
)
ROLES = ("--migrations", MIGRATIONS, "--gate", GATE, "--runtime", RUNTIME, "--downstream", BOOTSTRAP)
FLAG = "applicationsetcontroller.enable.progressive.syncs"
End = tuple[int, str, str]
Json = dict[str, Any]


@pytest.fixture
def audit(capsys: pytest.CaptureFixture[str]) -> Callable[..., End]:
    """Runs the command; its exit code, standard output and standard error."""

    def run(*arguments: str | Path) -> End:
        with pytest.raises(SystemExit) as end:
            cli.main(("audit", *map(str, arguments)))
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes documents into a file."""

    def write(*documents: Json, name: str = "it.yaml") -> Path:
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
        return path

    return write


def parameters(value: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cmd-params-cm"},
        "data": {FLAG: value},
    }


def example(**strategy: Any) -> Json:
    found: Json = yaml.safe_load(ROLLOUT.read_text())
    found["spec"]["strategy"] |= strategy
    return found


# --- the examples -------------------------------------------------------------------------------------------------


def test_the_rollout_of_the_examples_holds(audit: Callable[..., End], file: Callable[..., Path]) -> None:
    """As far as its manifest tells: all in their steps, nothing found; what the charts render is said to be unseen."""
    code, out, err = audit("--file", ROLLOUT, "--file", file(parameters("true")), *ROLES, "--argocd-version", "3.6.1")
    assert (code, err) == (0, "")
    assert out.startswith(f"Argo CD: 3.6.1, progressive syncs on (argocd-cmd-params-cm sets {FLAG}: true)\n\n")
    assert f"argocd/{RUNTIME}  (runtime, step 2 of 3)\n" in out
    assert (
        "  ✔ held by the gate, as far as could be seen: RollingSync starts its step 2 of 3 after the gate's step 1"
        in out
    )
    assert not any(str(hold) + ":" in out for hold in Hold)
    assert f"argocd/{GATE}  (gate, step 1 of 3)\n  ? not seen: the gate's Job" in out
    assert out.endswith("\n\n5 not seen\nexit code 0 (Passed)\n")


def test_the_example_without_rollingsync_holds_by_its_guards(audit: Callable[..., End]) -> None:
    """Each in a source of its Application; they need no order, and the gate beside them gives none."""
    given = [one for path in sorted(ALONE.glob("*.yaml")) for one in ("--file", path)]
    code, out, err = audit(*given, *ROLES)
    assert (code, err) == (0, "")
    for name, role in ((RUNTIME, "runtime"), (BOOTSTRAP, "downstream")):
        held = "its guard in wave -5: its own sync applies nothing before the guard has passed"
        assert f"argocd/{name}  ({role})\n  ✔ held by {held}\n" in out
    assert not any(str(hold) + ":" in out for hold in Hold)


def test_the_example_of_one_application_holds(audit: Callable[..., End]) -> None:
    """The gate shares the step of the Application that it watches over, and the bootstrap comes after."""
    found = ROOT / "examples" / "chart-1.x" / "one-application" / "applicationset.yaml"
    roles = ("--migrations", RUNTIME, "--gate", GATE, "--runtime", RUNTIME, "--downstream", BOOTSTRAP)
    code, out, err = audit("--file", found, *roles)
    assert (code, err) == (0, "")
    assert not any(str(hold) + ":" in out for hold in Hold)
    assert f"argocd/{RUNTIME}  (migrations, runtime, step 1 of 2)\n  ? not seen: " in out
    assert f"argocd/{BOOTSTRAP}  (downstream, step 2 of 2)\n  ✔ held by the gate, as far as could be seen: " in out


def test_its_gate_without_its_guards_does_not_gate(audit: Callable[..., End]) -> None:
    """It repairs, but nothing waits for it."""
    code, out, err = audit("--file", ALONE / "gate.yaml", *ROLES)
    assert (code, err) == (9, "")
    assert f"argocd/{GATE}  (gate)\n  ✘ NotRollingSync: no ApplicationSet owns it\n" in out
    assert f"  NotRollingSync  ({Hold.NOT_ROLLING_SYNC.source}; Argo CD: all)\n" in out
    assert "exit code 9 (GateDoesNotHold)\n" in out


# --- what it prints -----------------------------------------------------------------------------------------------


def test_a_finding_has_its_reason_source_and_remedy_in_json_too(
    audit: Callable[..., End], file: Callable[..., Path]
) -> None:
    """And the document says what is known of Argo CD, and what holds each Application."""
    at_once = file(example(type="AllAtOnce"), parameters("true"))
    code, out, err = audit("--file", at_once, *ROLES, "--output", "json")
    assert (code, err) == (9, "")
    document = json.loads(out)
    assert (document["reason"], document["exitCode"]) == ("GateDoesNotHold", 9)
    assert document["argocd"] == {"version": None, "progressiveSyncs": True}
    runtime = next(one for one in document["applications"] if one["application"] == f"argocd/{RUNTIME}")
    assert (runtime["roles"], runtime["step"], runtime["heldBy"]) == (["runtime"], None, [])
    hold = Hold.NOT_ROLLING_SYNC
    assert runtime["findings"] == [
        {
            "reason": "NotRollingSync",
            "severity": "fails",
            "detail": "ApplicationSet argocd/temporal: its strategy is AllAtOnce",
            "meaning": hold.meaning,
            "versions": hold.versions,
            "source": hold.source,
            "remedy": hold.remedy,
        }
    ]
    assert "whether it has a guard (NoGuard): give what it renders" in runtime["unseen"]


def test_one_remedy_for_a_finding_of_several_applications(audit: Callable[..., End], file: Callable[..., Path]) -> None:
    """Each is told where it is, what to do once."""
    found = example()
    del found["spec"]["template"]["spec"]["syncPolicy"]["retry"]["refresh"]
    code, out, _ = audit("--file", file(found), *ROLES)
    assert code == 0  # warnings
    assert out.count("  ! RetryWithoutRefresh: ") == 4
    assert out.count(Hold.RETRY_WITHOUT_REFRESH.remedy) == 1
    assert "4 warnings, " in out


# --- where the facts come from ------------------------------------------------------------------------------------


def test_standard_input_and_several_files(audit: Callable[..., End], monkeypatch: pytest.MonkeyPatch) -> None:
    """A ConfigMap that a pipe brings counts as one of a file does."""
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(parameters("false"))))
    code, out, _ = audit("--file", "-", "--file", ROLLOUT, *ROLES)
    assert code == 9
    assert f"  ✘ ProgressiveSyncsOff: argocd-cmd-params-cm sets {FLAG}: false\n" in out


def test_who_is_who_by_the_gates_settings(audit: Callable[..., End], file: Callable[..., Path]) -> None:
    """As `check` takes them; an option wins over them."""
    settings: Json = {
        "temporal": {"frontend": {"address": "frontend:7233", "tls": {"caFile": "/not/mounted/here"}}},
        "stores": {"default": {"dsn": "postgresql://temporal:not-to-be-seen@db/temporal"}},
        "migrations": {"application": {"name": MIGRATIONS}},
        "runtime": {"application": {"name": RUNTIME}},
        "downstream": [{"name": BOOTSTRAP}],
        "gate": {"name": GATE},
    }
    config = file(settings, name="settings.yaml")
    code, out, err = audit("--file", ROLLOUT, "--config", config, "--output", "json")
    assert (code, err) == (0, "")
    roles = {one["application"].partition("/")[2]: one["roles"] for one in json.loads(out)["applications"]}
    assert roles == {MIGRATIONS: ["migrations"], GATE: ["gate"], RUNTIME: ["runtime"], BOOTSTRAP: ["downstream"]}
    assert "not-to-be-seen" not in out
    _, out, _ = audit("--file", ROLLOUT, "--config", config, "--gate", "another/gate", "--output", "json")
    second = json.loads(out)["applications"]
    assert [one["application"] for one in second if one["roles"] == ["gate"]] == ["another/gate"]


@pytest.mark.parametrize(
    ("own", "runtime", "roles"),
    [
        (RUNTIME, None, {RUNTIME: ["runtime"]}),
        (RUNTIME, RUNTIME, {RUNTIME: ["runtime"]}),
        (BOOTSTRAP, RUNTIME, {RUNTIME: ["runtime"], BOOTSTRAP: ["downstream"]}),
    ],
)
def test_the_settings_of_a_guard_name_what_it_holds(
    audit: Callable[..., End], file: Callable[..., Path], own: str, runtime: str | None, roles: dict[str, list[str]]
) -> None:
    """Its own Application, and no gate."""
    settings = {
        "temporal": {"version": "1.29.1"},
        "stores": {"default": {"host": "db", "user": "temporal"}},
        "migrations": {"application": {"name": MIGRATIONS}},
        "runtime": {"application": {"name": runtime}} if runtime else {},
        "gate": {"name": own},
        "guard": True,
    }
    _, out, err = audit("--file", ROLLOUT, "--config", file(settings), "--output", "json")
    assert err == ""
    found = {one["application"].partition("/")[2]: one["roles"] for one in json.loads(out)["applications"]}
    assert found == {MIGRATIONS: ["migrations"], **roles}


def test_a_guard_before_what_needs_the_frontend_alone_holds_no_runtime(
    audit: Callable[..., End], file: Callable[..., Path]
) -> None:
    """It asks for Temporal, and so comes after it."""
    settings = {
        "temporal": {"frontend": {"address": "temporal:7233"}},
        "migrations": {"strategy": "none"},
        "reachability": "always",
        "gate": {"name": BOOTSTRAP},
        "guard": True,
    }
    _, out, _ = audit("--file", ROLLOUT, "--config", file(settings), "--output", "json")
    found = {one["application"].partition("/")[2]: one["roles"] for one in json.loads(out)["applications"]}
    assert found == {BOOTSTRAP: ["downstream"]}


# --- faults -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "one of the arguments --applicationset --file is required"),
        (("--file", "x", "--applicationset", "a/b"), "not allowed with argument"),
        (("--file", "none.yaml", *ROLES), "--file none.yaml: cannot be read: No such file or directory"),
        (("--file", ROLLOUT), "nothing is named that is to be held: give --runtime or --downstream, or --config"),
        (("--file", ROLLOUT, "--gate", GATE), "nothing is named that is to be held"),
        (("--file", ROLLOUT, "--runtime", "a/b/c"), "--runtime a/b/c: must be [NAMESPACE/]NAME"),
        (("--file", ROLLOUT, "--runtime", GATE, "--gate", GATE), "is named both as gate and as runtime"),
        (("--file", ROLLOUT, "--runtime", "data-temproal"), "none of the Applications that are named is in the files"),
        (
            ("--file", ROLLOUT, *ROLES, "--argocd-version", "latest"),
            "--argocd-version latest: must be a version such as 3.6.1",
        ),
        (("--file", ROLLOUT, "--config", "none.yaml"), "--config none.yaml: cannot be read"),
        (("--applicationset", "a/b/c", *ROLES), "--applicationset a/b/c: must be [NAMESPACE/]NAME"),
    ],
)
def test_what_cannot_be_used_ends_with_2(
    audit: Callable[..., End], arguments: tuple[str | Path, ...], says: str
) -> None:
    """One line on standard error, which says what to do; nothing on standard output."""
    code, out, err = audit(*arguments)
    assert (code, out) == (2, "")
    assert says in err


def test_a_cluster_without_credentials_ends_with_6(
    audit: Callable[..., End], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `check` does."""
    nothing = str(tmp_path / "none")
    monkeypatch.setenv("KUBECONFIG", nothing)
    code, out, err = audit("--applicationset", "argocd/temporal", *ROLES)
    assert (code, out) == (6, "")
    assert err.startswith("KubeconfigUnusable: ")


def test_its_help_has_exit_codes_and_examples(audit: Callable[..., End]) -> None:
    """All that its endings may be."""
    code, out, _ = audit("--help")
    assert code == 0
    said = " ".join(out.split())
    for text in (
        "9 something that could be seen does not hold",
        "examples:",
        "--applicationset NAMESPACE/NAME",
        "or `-` for standard input",
    ):
        assert text in said
