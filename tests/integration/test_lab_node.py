"""What of the lab's real node can be tried without root: the logs that it keeps, and how a registry's folder is made."""

from pathlib import Path

from lab.images import making
from lab.node.logs import KeptLogs
from lab.processes import wait_until

POD = {"namespace": "demo", "name": "web", "uid": "a1"}


def line(stream: str, tag: str, said: str) -> str:
    return f"2026-11-28T23:00:00.000000001Z {stream} {tag} {said}\n"


def test_a_log_outlives_its_pod(tmp_path: Path) -> None:
    """Each run of the container, in order, without what the runtime puts before a line; a line in parts is one."""
    home = tmp_path / "pods" / "demo_web_a1" / "main"
    kept = KeptLogs(tmp_path / "pods", tmp_path / "kept")
    with kept:
        assert kept.of(POD, "main") == []
        home.mkdir(parents=True)
        (home / "10.log").write_text(line("stdout", "F", "second run"))
        log = home / "2.log"
        log.write_text(line("stdout", "F", "first"))
        name = tmp_path / "kept" / "demo_web_a1" / "main" / log.name
        wait_until(name.exists, 20, "the log to be kept")
        with log.open("a") as file:
            file.write(line("stderr", "P", "a line in ") + line("stderr", "F", "parts") + line("stdout", "F", ""))
        for path in home.iterdir():
            path.unlink()
        home.rmdir()
        assert kept.of(POD, "main") == ["first\na line in parts\n\n", "second run\n"]
    assert kept.of({**POD, "uid": "other"}, "main") == []


def test_registries_are_merged_by_second_names(tmp_path: Path) -> None:
    for one in ("a", "b"):
        (tmp_path / one / "blobs").mkdir(parents=True)
        (tmp_path / one / "blobs" / "shared").write_text("the same layer")
        (tmp_path / one / "blobs" / one).write_text(one)
    making.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "store")
    assert sorted(one.name for one in (tmp_path / "store" / "blobs").iterdir()) == ["a", "b", "shared"]
    assert (tmp_path / "store" / "blobs" / "a").samefile(tmp_path / "a" / "blobs" / "a")


def test_an_image_is_asked_for_without_its_registry() -> None:
    assert making.repository("ghcr.io/owner/name:1") == "owner/name:1"
    assert making.repository("temporalio/server:1") == "temporalio/server:1"


def test_a_digest_tells_a_change_of_content_and_of_place(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_text("one")
    first = making.digest_of([folder])
    (folder / "a").rename(folder / "b")
    second = making.digest_of([folder])
    (folder / "b").write_text("two")
    third = making.digest_of([folder])
    (folder / "b.pyc").write_text("compiled")
    assert len({first, second, third}) == 3
    assert making.digest_of([folder]) == third
