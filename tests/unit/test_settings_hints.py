"""Faults of settings: the hint that each gets, by what people really write."""

from pathlib import Path

import pytest
import yaml

from hook.settings.loading import load
from hook.settings.settings import SettingsError

BASE = {
    "temporal": {"version": "1.29.1"},
    "stores": {"default": {"host": "db"}},
    "migrations": {"application": {"name": "migrations"}},
}


def faults(tmp_path: Path, **changes: object) -> str:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(BASE | changes), encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        load(file)
    return "\n".join(refused.value.faults)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"temporal": {"version": 1.29}}, "temporal.version: must be text, the whole release: one of 1.29.0, 1.29.1"),
        ({"temporal": {"version": "1.29"}}, "'1.29' is not a release of Temporal's server: give one of 1.29.0, 1.29.1"),
        ({"migrations": {"application": "data"}}, "migrations.application: must be a block: write {name: data}"),
        (
            {"migrations": {"application": {"name": "argocd/data"}}},
            "migrations.application.name: must be the name alone: write {name: data, namespace: argocd}",
        ),
        ({"downstream": ["boot"]}, "downstream[0]: must be a block: write {name: boot}"),
        ({"deadlineSeconds": "5m"}, "deadlineSeconds: must be a number of seconds, such as 300"),
        (
            {"stores": {"default": {"secret": {"name": "db"}}}},
            "stores.default.secret: unknown setting: that is a value",
        ),
        ({"image": {"tag": "1"}}, "looks like values of the chart (image)"),
        (
            {"temporal": {"version": "1.29.1", "frontend": {"address": "a:7233,b:7233"}}},
            "temporal.frontend.address: must be one host:port",
        ),
    ],
)
def test_a_fault_says_what_to_write_instead(tmp_path: Path, changes: dict[str, object], hint: str) -> None:
    """In the setting's own words."""
    assert hint in faults(tmp_path, **changes)


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("TRH_NAMESPACE", "check its spelling"),
        ("TRH_PORT", "check its spelling"),
        ("TRH_DEADLINESECOND", "did you mean TRH_DEADLINESECONDS?"),
        ("TRH_STORES_DEFAULT_DSN", "did you mean TRH_STORES__DEFAULT__DSN?"),
        ("TRH_STORES__DEFAULT__PASWORDFILE", "did you mean TRH_STORES__DEFAULT__PASSWORDFILE?"),
    ],
)
def test_a_variable_is_suggested_only_where_it_is_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, hint: str
) -> None:
    """A wrong guess is worse than none."""
    monkeypatch.setenv(variable, "x")
    assert hint in faults(tmp_path)


def test_the_gates_own_file_serves_on_a_laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A DSN in the environment replaces the file's block, whose password file is not there."""
    file = tmp_path / "settings.yaml"
    store = {"host": "db", "user": "temporal", "passwordFile": "/not/there"}
    file.write_text(yaml.safe_dump(BASE | {"stores": {"default": store}}), encoding="utf-8")
    assert load(file).stores.default.host == "db"  # a file that is late is told where it is used
    monkeypatch.setenv("TRH_STORES__DEFAULT__DSN", "postgresql://a:b@localhost/temporal")
    monkeypatch.setenv("TRH_STORES__VISIBILITY__DSN", "postgresql://a:b@localhost/visibility")
    assert load(file).stores.default.host is None


def test_a_password_file_in_the_environment_takes_the_place_of_one_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other parts stay the file's."""
    (tmp_path / "password").write_text("secret")
    file = tmp_path / "settings.yaml"
    file.write_text(
        yaml.safe_dump(BASE | {"stores": {"default": {"host": "db", "passwordFile": "/not/there"}}}), encoding="utf-8"
    )
    monkeypatch.setenv("TRH_STORES__DEFAULT__PASSWORDFILE", str(tmp_path / "password"))
    assert load(file).stores.default.host == "db"


def test_a_value_in_the_environment_takes_the_place_of_the_files_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chart mounts each part of a login as a file, which a laptop does not have."""
    file = tmp_path / "settings.yaml"
    store = {"hostFile": "/not/there", "userFile": "/not/there", "passwordFile": "/not/there"}
    file.write_text(yaml.safe_dump(BASE | {"stores": {"default": store}}), encoding="utf-8")
    monkeypatch.setenv("TRH_STORES__DEFAULT__HOST", "localhost")
    monkeypatch.setenv("TRH_STORES__DEFAULT__USER", "temporal")
    found = load(file).stores.default
    assert (found.host, found.user, found.host_file, found.user_file) == ("localhost", "temporal", None, None)
