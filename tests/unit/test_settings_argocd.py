"""The settings of Argo CD's own API as the way to Applications: what is refused, what is taken, what follows from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_settings import Load, load, refused, with_  # noqa: F401 -- the fixtures

from hook.observation.applications import ApplicationRef
from hook.settings import loading

ADDRESS = "argocd-server.argocd.svc:443"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("aaa.bbb.ccc\n")
    return file


def by_server(token: Path, **server: Any) -> dict[str, Any]:
    return with_("argocd.server", {"address": ADDRESS, "tokenFile": str(token), **server})


@pytest.mark.parametrize(
    "address",
    ["argocd-server.argocd.svc", ADDRESS, "argocd.example.com/argocd", "[fd00::1]:8080", "10.0.0.1:8080/a/b"],
)
def test_a_good_address_is_taken(load: Load, token: Path, address: str) -> None:  # noqa: F811
    """With a root path, as argocd-server has one with --rootpath."""
    server = load(by_server(token, address=address)).argocd.server
    assert server is not None
    assert server.address == address


@pytest.mark.parametrize(
    "address", ["https://argocd.example.com", "argocd:0", "argocd:65536", "user:word@argocd", "", "a b"]
)
def test_a_bad_address_is_refused(refused: Callable[..., list[str]], token: Path, address: str) -> None:  # noqa: F811
    """A scheme is said by plainText alone."""
    assert refused(by_server(token, address=address)) == [
        "argocd.server.address: must be host:port, such as argocd-server.argocd.svc:443, without https://"
    ]


@pytest.mark.parametrize(
    ("server", "more", "line"),
    [
        (
            {},
            {"kubeconfigFile": __file__},
            "argocd: server and kubeconfigFile are two ways to the same Applications: keep one of them",
        ),
        (
            {},
            {"context": "x"},
            "argocd: server and kubeconfigFile are two ways to the same Applications: keep one of them",
        ),
        (
            {"plainText": True, "serverName": "argocd"},
            {},
            "argocd.server: plainText speaks no TLS: remove it, or caFile and serverName",
        ),
        (
            {"plainText": True, "caFile": __file__},
            {},
            "argocd.server: plainText speaks no TLS: remove it, or caFile and serverName",
        ),
        (
            {"caFile": __file__},
            {},
            (
                f"argocd.server.caFile: {__file__} holds no certificate in PEM form: give a file that begins "
                "-----BEGIN CERTIFICATE"
            ),
        ),
        ({"tokenFile": None}, {}, "argocd.server.tokenFile: must be the path of a file, as text"),
        ({"insecure": True}, {}, "argocd.server.insecure: unknown setting: check its spelling and its place"),
    ],
)
def test_what_does_not_go_together_is_refused(
    refused: Callable[..., list[str]],  # noqa: F811
    token: Path,
    server: dict[str, Any],
    more: dict[str, Any],
    line: str,
) -> None:
    document = by_server(token, **server)
    document["argocd"] |= more
    assert refused(document) == [line]


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_token_that_cannot_be_used_is_told_at_once(
    refused: Callable[..., list[str]],  # noqa: F811
    token: Path,
    content: bytes | None,
) -> None:
    """The Secret is not mounted, or holds something else."""
    if content is None:
        token.unlink()
    else:
        token.write_bytes(content)
    [line] = refused(by_server(token))
    assert line.startswith("argocd.server.tokenFile: ")


def test_the_token_is_a_secret(load: Load, token: Path) -> None:  # noqa: F811
    """Read anew at each use."""
    loaded = load(by_server(token))
    assert loaded.argocd.server is not None
    assert loaded.argocd.server.authorization() == "Bearer aaa.bbb.ccc"
    token.write_text("ddd.eee.fff")
    assert loaded.argocd.server.authorization() == "Bearer ddd.eee.fff"
    assert {"ddd.eee.fff", "Bearer ddd.eee.fff"} <= loading.secrets(loaded)


def test_each_application_may_have_its_own_project(load: Load, token: Path) -> None:  # noqa: F811
    document = with_(
        "runtime.application", {"name": "data-temporal", "project": "data"}, by_server(token, project="all")
    )
    loaded = load(document)
    assert loaded.projects == {ApplicationRef("argocd", "data-temporal"): "data"}
    assert loaded.argocd.server is not None
    assert loaded.argocd.server.project == "all"


def test_a_project_that_nobody_asks_for_is_refused(refused: Callable[..., list[str]]) -> None:  # noqa: F811
    """The Kubernetes API knows an Application by its name and namespace."""
    assert refused(with_("runtime.application", {"name": "data-temporal", "project": "data"})) == [
        "project of an Application: only argocd.server asks for it: remove it, or set argocd.server"
    ]


@pytest.mark.parametrize(
    ("by_argo_cd", "events", "posts"),
    [(False, "auto", True), (False, False, False), (True, "auto", False), (True, True, True), (True, False, False)],
)
def test_events_need_a_right_that_a_token_has_not(
    load: Load,  # noqa: F811
    token: Path,
    *,
    by_argo_cd: bool,
    events: object,
    posts: bool,
) -> None:
    document = by_server(token) if by_argo_cd else with_("graceSeconds", 60)
    assert load(with_("report.events", events, document)).posts_events is posts
    if events == "auto":
        assert load(document).posts_events is posts
