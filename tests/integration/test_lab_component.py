"""What a server of the lab's control plane gets from its starter, told by a real process."""

import shutil
from pathlib import Path

import pytest

from lab.control_plane.component import Component


def test_it_gets_its_own_environment_and_the_collectors_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the Makefile exported did not reach it: for a while nobody saw that."""
    monkeypatch.setenv("OF_WHOEVER_STARTED_IT", "yes")
    tell = [str(shutil.which("env"))]
    with Component(tell, name="env", directory=tmp_path, env={"ITS_OWN": "yes"}) as component:
        assert component.process.wait(10.0) == 0
        told = dict(line.split("=", 1) for line in component.process.tail().splitlines())
    assert {"GOGC", "GOMEMLIMIT", "ITS_OWN"} <= told.keys()
    assert "OF_WHOEVER_STARTED_IT" not in told
