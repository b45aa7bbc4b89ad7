"""Refreshes `hook/data/schema_versions.json` from Temporal's own Go module.

The table says which schema version each Temporal server release asks of PostgreSQL when it starts. The source is two
constants in the release itself, `Version` and `VisibilityVersion` in `schema/postgresql/v12/version.go` (`v96` beside
or instead of it in old releases). The releases are listed and fetched by the `go` command as its environment tells it
to; only those the table lacks are fetched, and the zip is read rather than the unpacked module: `go` does not report
where it unpacked a release that asks for a newer Go, and has verified the zip's checksum by then.

    python scripts/refresh_schema_versions.py                  add the releases that the table lacks
    python scripts/refresh_schema_versions.py --check          compare the oldest, a middle and the newest available one
    python scripts/refresh_schema_versions.py --check 1.29.1   compare these
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

MODULE = "go.temporal.io/server"
TABLE = Path(__file__).resolve().parent.parent / "hook" / "data" / "schema_versions.json"

OLDEST = (1, 17, 0)
"""The oldest release the table knows; what came before it is not supported."""

VERSION_FILES = (
    "schema/postgresql/v12/version.go",
    "schema/postgresql/version.go",
    "schema/postgresql/v96/version.go",
)
"""Where the constants may be, first match wins: the hook speaks of the plugin `postgres12` where a release has it."""

RELEASE = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
CONSTANT = re.compile(r'^const (Version|VisibilityVersion) = "([0-9.]+)"', re.MULTILINE)

Table = dict[str, dict[str, str]]


class RefreshError(Exception):
    """Something outside this script is not as it must be; the text says what and what to do."""


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def _go(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs `go` outside of any module, so that nothing beside the environment decides what it does."""
    # GOTOOLCHAIN=local: the zip is all that is wanted, so no newer Go is fetched for the sake of unpacking it.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    with tempfile.TemporaryDirectory() as empty:
        try:
            return subprocess.run(
                ["go", *arguments], cwd=empty, env=environment, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as error:
            raise RefreshError("there is no `go` on PATH: install Go (1.21 or later) and run this again") from error


def available_releases() -> list[str]:
    """The releases that can be had, ascending, without release candidates and what is older than the table."""
    listed = _go("list", "-m", "-versions", MODULE)
    if listed.returncode != 0:
        raise RefreshError(f"`go list -m -versions {MODULE}` failed: {listed.stderr.strip()}")
    found = [
        word.removeprefix("v")
        for word in listed.stdout.split()[1:]
        if RELEASE.fullmatch(word) and _order(word.removeprefix("v")) >= OLDEST
    ]
    if not found:
        raise RefreshError(
            f"no release of {MODULE} is listed: does GOPROXY name a proxy that carries it? {listed.stderr.strip()}"
        )
    return sorted(found, key=_order)


def archive(release: str) -> Path:
    """The zip of a release's Go module, its checksum verified by `go`."""
    downloaded = _go("mod", "download", "-json", f"{MODULE}@v{release}")
    try:
        answer: dict[str, str] = json.loads(downloaded.stdout)
    except json.JSONDecodeError as error:
        raise RefreshError(f"`go mod download` of {release} said: {downloaded.stderr.strip() or 'nothing'}") from error
    if "Zip" not in answer:
        raise RefreshError(f"{release} cannot be downloaded: {answer.get('Error', 'no reason given')}")
    return Path(answer["Zip"])


def expected_versions(release: str) -> dict[str, str]:
    """What a release asks for, from its own source."""
    with zipfile.ZipFile(archive(release)) as files:
        names = set(files.namelist())
        for path in VERSION_FILES:
            name = f"{MODULE}@v{release}/{path}"
            if name in names:
                constants = dict(CONSTANT.findall(files.read(name).decode()))
                if constants.keys() == {"Version", "VisibilityVersion"}:
                    return {"default": constants["Version"], "visibility": constants["VisibilityVersion"]}
    places = ", ".join(VERSION_FILES)
    raise RefreshError(f"{release} holds its schema versions in none of {places}: teach this script the new place")


def read_table() -> Table:
    """The table as it is in the repository."""
    table: Table = json.loads(TABLE.read_text(encoding="utf-8"))
    return table


def render(table: Table) -> str:
    """One line a release, ascending: a refresh shows as added lines and nothing else."""
    rows = [f"  {json.dumps(release)}: {json.dumps(table[release])}" for release in sorted(table, key=_order)]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def refresh() -> int:
    """Adds what the table lacks; what could be had is written even where another release could not be."""
    table = read_table()
    missing = [release for release in available_releases() if release not in table]
    failed = 0
    for release in missing:
        try:
            table[release] = expected_versions(release)
        except RefreshError as error:
            failed += 1
            print(error, file=sys.stderr)
        else:
            print(f"{release}: default {table[release]['default']}, visibility {table[release]['visibility']}")
    text = render(table)
    if text != TABLE.read_text(encoding="utf-8"):
        TABLE.write_text(text, encoding="utf-8")
    if not missing:
        print(f"nothing new: the table holds {len(table)} releases up to {max(table, key=_order)}")
    return 1 if failed else 0


def check(releases: list[str]) -> int:
    """Compares listed releases with their source; changes nothing."""
    table = read_table()
    if not releases:
        known = [release for release in available_releases() if release in table]
        if not known:
            raise RefreshError("none of the table's releases is listed by the proxy: name one that it carries")
        releases = sorted({known[0], known[len(known) // 2], known[-1]}, key=_order)
    wrong = 0
    for release in releases:
        if release not in table:
            raise RefreshError(f"{release} is not in the table: run this without --check first")
        actual = expected_versions(release)
        same = actual == table[release]
        wrong += not same
        print(f"{release}: {'as listed' if same else f'listed {table[release]}, but its source says {actual}'}")
    return 1 if wrong else 0


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Refresh the table of schema versions from Temporal's Go module.")
    parser.add_argument("--check", nargs="*", metavar="RELEASE", help="compare listed releases, change nothing")
    chosen: list[str] | None = parser.parse_args().check
    try:
        return refresh() if chosen is None else check([release.removeprefix("v") for release in chosen])
    except RefreshError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
