"""Applications by Argo CD's own API: what only this way has. What both have is in ``test_applications_contract.py``."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from applications_ground import (
    PROJECT,
    ROLE,
    RUN,
    StandInGround,
    config_map,
    stand_in_ground,
    suspended_job,
)

from hook.adapters.argocd import Applications
from hook.adapters.argocd_server import ServerWay
from hook.observation.applications import Application, ApplicationRef, OperationPhase, SyncPolicy
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason
from hook.observation.workloads import JobRef
from lab.api_client import Json
from lab.fake_api import Drop, DropAnswer, Hang, Malformed, Refuse
from lab.fake_api.front import Front

WAY = "argocd-server"
TOKEN = "token-for-nobodys-eyes"
REF = ApplicationRef("argocd", "migrations")
PATH = "/api/v1/applications/migrations"
WEBHOOK = 'admission webhook "validate.kyverno.svc-fail" denied the request: no sync on Fridays'
POLICY = "ValidatingAdmissionPolicy 'fridays' with binding 'all' denied request: no sync"
SEEN = Application(REF, "uid", "7", "OutOfSync", "Missing", revisions=("a" * 40,))


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[StandInGround]:
    with stand_in_ground(WAY, tmp_path, config_map("a")) as found:
        yield found


def refusal(ask: Callable[[], object]) -> Finding:
    with pytest.raises(FindingError) as caught:
        ask()
    finding = caught.value.finding
    assert TOKEN not in f"{finding}{finding.remedy}"
    return finding


def by(ground: StandInGround, token: str) -> Applications:
    return Applications(ground.server_way(token), RUN)


def operation(ground: StandInGround) -> Json:
    found: Json = ground.raw()["operation"]
    return found


# --- tokens -------------------------------------------------------------------------------------------------------


def test_an_expired_token_is_a_refused_login(ground: StandInGround) -> None:
    """In argocd-server's own words, with what to do."""
    token = ground.server.create_token(PROJECT, ROLE, expires_in=timedelta(seconds=-60))
    finding = refusal(lambda: by(ground, token).read(REF))
    assert finding.reason is Reason.API_LOGIN_REFUSED
    assert finding.about == f"Argo CD API {ground.server.address}"
    assert finding.detail == "invalid session: token has invalid claims: token is expired"
    assert "argocd proj role create-token" in finding.remedy


def test_a_revoked_token_is_a_refused_login(ground: StandInGround) -> None:
    """Though its signature holds for ever."""
    token = ground.server.create_token(PROJECT, ROLE)
    gate = by(ground, token)
    assert gate.read(REF).uid
    ground.server.revoke(token)
    finding = refusal(lambda: gate.read(REF))
    assert finding.reason is Reason.API_LOGIN_REFUSED
    assert f"JWT token for role '{ROLE}'" in finding.detail


def test_a_token_is_read_anew_for_each_request(ground: StandInGround, tmp_path: Path) -> None:
    """It is rotated in its Secret; a file that is not there for a moment is a refused login, and no crash."""
    file = tmp_path / "token"

    def header() -> str:
        return f"Bearer {file.read_text()}"

    with closing(ServerWay.connect(ground.server.address, header, lambda _: PROJECT, 5.0, plain_text=True)) as way:
        gate = Applications(way, RUN)
        finding = refusal(lambda: gate.read(REF))
        assert finding.reason is Reason.API_LOGIN_REFUSED
        assert str(file) in finding.detail
        first = ground.server.create_token(PROJECT, ROLE)
        file.write_text(first)
        assert gate.read(REF).uid
        ground.server.revoke(first)
        file.write_text(ground.server.create_token(PROJECT, ROLE))
        assert gate.read(REF).uid


def test_a_token_that_is_no_header_is_not_shown(ground: StandInGround) -> None:
    """A second line would be another header; its text is the token."""
    finding = refusal(lambda: by(ground, f"{TOKEN}\nX: y").read(REF))
    assert finding.reason is Reason.API_LOGIN_REFUSED


# --- rights -------------------------------------------------------------------------------------------------------


def test_who_may_not_even_read_is_told_what_is_missing(ground: StandInGround) -> None:
    """Argocd-server says "permission denied" and no more: what was asked for is added."""
    finding = refusal(lambda: by(ground, ground.server.create_token(PROJECT, "other")).read(REF))
    assert finding.reason is Reason.API_FORBIDDEN
    assert finding.detail == "permission denied: applications, get, default/migrations"
    assert "p, proj:default:ROLE, applications, get, default/migrations, allow" in finding.remedy


def test_the_right_to_sync_is_named_by_its_policy_line(ground: StandInGround) -> None:
    """As it stands in docs/rbac.md."""
    reader = by(ground, ground.server.create_token(PROJECT, "reader"))
    finding = refusal(lambda: reader.sync(reader.read(REF), 1, ()))
    assert "p, proj:default:ROLE, applications, sync, default/migrations, allow" in finding.remedy


def test_an_application_in_another_project_is_not_taken_for_missing() -> None:
    """A missing one is ahead in the rollout, and asked for no more."""
    body = {"metadata": {"name": "migrations"}, "spec": {"project": "data"}}
    missing = {"error": "x", "code": 5, "message": 'applications.argoproj.io "migrations" not found'}

    def answer(path: str) -> tuple[int, Json | str]:
        return (404, missing) if "project=default" in path else (200, body)

    with canned(answer) as gate:
        finding = refusal(lambda: gate.read(REF))
    detail = "it is in project data, and was asked for in project default"
    assert finding == Finding(Reason.APPLICATION_IN_OTHER_PROJECT, f"Application {REF}", detail)


# --- a sync -------------------------------------------------------------------------------------------------------


def test_a_sync_is_written_as_asked(ground: StandInGround) -> None:
    """Bound to the revision as compared, without a retry, by the token's name."""
    ground.argocd.stop()
    ground.change(syncPolicy={"retry": {"limit": 5}})
    seen = ground.look()
    ground.commit(config_map("later"))
    assert ground.gate().sync(seen, 3, ())
    assert operation(ground) == {
        "initiatedBy": {"username": f"proj:{PROJECT}:{ROLE}"},
        "info": [
            {"name": "temporal-recovery-hook/run", "value": RUN},
            {"name": "temporal-recovery-hook/attempt", "value": "3"},
        ],
        "retry": {"limit": 0},
        "sync": {"source": ground.raw()["spec"]["source"], "revision": seen.revisions[0]},
    }


@pytest.mark.parametrize(
    ("policy", "options"),
    [({"automated": {"prune": True}}, {}), (None, {"override_for_revisions": True})],
    ids=["of an Application that syncs by itself", "where a revision takes the right to override"],
)
def test_where_no_revision_may_be_named_the_newest_is_taken(tmp_path: Path, policy: Json | None, options: Json) -> None:
    """The right to override brings manifests of its own: a gate should not have it."""
    with stand_in_ground(WAY, tmp_path, config_map("a"), **options) as ground:
        ground.argocd.stop()
        ground.change(syncPolicy=policy)
        seen = ground.look()
        newest = ground.commit(config_map("later"))
        assert ground.gate().sync(seen, 1, ())
        assert operation(ground)["sync"]["revision"] == newest
        assert operation(ground)["sync"].get("prune", False) is (policy is not None)


def test_several_sources_have_several_revisions(tmp_path: Path) -> None:
    """Each bound by its position."""
    sources = [{"repoURL": f"https://example.org/{name}", "targetRevision": "HEAD", "path": "x"} for name in "ab"]
    with stand_in_ground(WAY, tmp_path, config_map("a"), sources=sources) as ground:
        ground.argocd.stop()
        seen = ground.look()
        assert len(seen.revisions) == 2
        ground.commit(config_map("later"))
        assert ground.gate().sync(seen, 1, ())
        assert operation(ground)["sync"]["revisions"] == list(seen.revisions)


def test_a_closed_sync_window_is_waited_for(ground: StandInGround) -> None:
    """Argocd-server refuses instead of letting the operation wait; one that lets people through lets us through."""
    ground.argocd.close_sync_window(REF.name)
    finding = refusal(lambda: ground.gate().sync(ground.look(), 1, ()))
    assert finding == Finding(Reason.MIGRATION_BLOCKED, f"Application {REF}", "cannot sync: blocked by sync window")
    ground.argocd.close_sync_window(REF.name, manual_sync=True)
    assert ground.gate().sync(ground.look(), 1, ())
    ground.until(lambda it: it.operation and it.operation.phase is OperationPhase.SUCCEEDED, "the sync")


def test_a_server_that_replaces_nothing_says_so(tmp_path: Path) -> None:
    """A plain Job can be run again in no other way; what to do is said."""
    with stand_in_ground(WAY, tmp_path, suspended_job(), replace_allowed=False) as ground:
        finding = refusal(lambda: ground.gate().sync(ground.look(), 1, (JobRef("data", "schema"),)))
    assert finding.reason is Reason.API_REQUEST_REFUSED
    assert "sync with replace was disabled" in finding.detail
    assert "server.sync.replace.allowed" in finding.remedy


def test_a_project_that_is_gone_is_a_fault_of_the_application() -> None:
    """As its condition says it by the other way."""
    told = {"code": 3, "message": 'app is not allowed in project "default", or the project does not exist'}
    with canned(lambda _: (400, told)) as gate:
        assert refusal(lambda: gate.read(REF)).reason is Reason.APPLICATION_INVALID


# --- a server that does not answer as it should -------------------------------------------------------------------


def test_a_sync_whose_answer_was_lost_is_found_again(ground: StandInGround) -> None:
    """The writer does not know; the next look does."""
    ground.argocd.stop()
    seen = ground.look()
    ground.server.faults.plan("POST", f"{PATH}/sync", DropAnswer())
    assert refusal(lambda: ground.gate().sync(seen, 1, ())).reason is Reason.API_UNREACHABLE
    assert ground.look().operation is not None
    assert not ground.gate().sync(seen, 1, ())


def test_a_comparison_that_takes_longer_than_a_request_was_asked_for(ground: StandInGround) -> None:
    """The answer comes when it is done; without a controller, never."""
    ground.argocd.stop()
    header = f"Bearer {ground.server.create_token(PROJECT, ROLE)}"
    with closing(
        ServerWay.connect(ground.server.address, lambda: header, lambda _: PROJECT, 1.0, plain_text=True)
    ) as way:
        gate = Applications(way, RUN)
        assert gate.refresh(gate.read(REF))
        assert gate.read(REF).refresh_requested
        assert gate.read(REF).asked_at is not None


def test_the_server_goes_away_and_comes_back(ground: StandInGround) -> None:
    """Every fault on the way is one that is waited for, and the same gate goes on."""
    gate = ground.gate()
    ground.server.stop()
    assert refusal(lambda: gate.read(REF)).reason is Reason.API_UNREACHABLE
    ground.server.start()
    for fault in (Drop(), DropAnswer(), Malformed(), Refuse(500), Refuse(429), Refuse(503), Refuse(504), Hang(30)):
        ground.server.faults.plan("GET", PATH, fault)
        finding = refusal(lambda: gate.read(REF))
        assert finding.reason is Reason.API_UNREACHABLE, fault
        assert "argocd.server.address" in finding.remedy
    assert gate.read(REF).uid


class _Canned(Front):
    """Answers by the path alone."""

    def __init__(self, answer: Callable[[str], tuple[int, Json | str]]) -> None:
        super().__init__()
        self._answer = answer

    def user_of(self, headers: Mapping[str, str]) -> str | None:
        return headers.get("Authorization")

    def answer(
        self,
        user: str | None,  # noqa: ARG002
        method: str,  # noqa: ARG002
        path: str,
        headers: Mapping[str, str],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> tuple[int, Json | str]:
        return self._answer(path)


@contextmanager
def canned(answer: Callable[[str], tuple[int, Json | str]], path: str = "") -> Iterator[Applications]:
    """A gate whose server says just that."""
    with _Canned(answer) as server:
        address = f"{server.address}{path}"
        way = ServerWay.connect(address, lambda: f"Bearer {TOKEN}", lambda _: PROJECT, 2.0, plain_text=True)
        with closing(way):
            yield Applications(way, RUN)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, "<html>Argo CD</html>", Reason.API_UNREACHABLE),
        (200, {"items": []}, Reason.API_UNREACHABLE),
        (307, "", Reason.API_UNREACHABLE),
        (401, "<html>log in</html>", Reason.API_LOGIN_REFUSED),
        (403, "<html>blocked</html>", Reason.API_FORBIDDEN),
        (404, "404 page not found\n", Reason.ARGO_CD_MISSING),
        (404, {"message": "no Route matched with those values"}, Reason.ARGO_CD_MISSING),
        (502, "<html>bad gateway</html>", Reason.API_UNREACHABLE),
        (400, {"code": "nine", "message": 9}, Reason.API_UNREACHABLE),
        (400, {"code": 9, "message": "error resolving repo revision: connection refused"}, Reason.API_UNREACHABLE),
        (500, {"code": 2, "message": "source position is out of range"}, Reason.API_UNREACHABLE),
        (501, {"code": 12, "message": "unknown method"}, Reason.API_UNREACHABLE),
        (401, {"code": 16, "message": "no session information"}, Reason.API_LOGIN_REFUSED),
        (403, {"code": 7, "message": f"error setting app operation: {WEBHOOK}"}, Reason.ADMISSION_DENIED),
        (400, {"code": 3, "message": f"error setting app operation: {POLICY}"}, Reason.ADMISSION_DENIED),
    ],
)
def test_what_answers_in_its_place_is_told(status: int, body: Json | str, reason: Reason) -> None:
    """A proxy, a login page, another program, an argocd-server in trouble."""
    with canned(lambda _: (status, body)) as gate:
        for ask in (lambda: gate.read(REF), lambda: gate.sync(SEEN, 1, ())):
            assert refusal(ask).reason is reason


def test_what_argocd_server_may_not_do_is_not_asked_of_the_role() -> None:
    """It writes with its own rights in Kubernetes."""
    message = (
        'applications.argoproj.io "migrations" is forbidden: User "system:serviceaccount:argocd:argocd-server" cannot'
    )
    with canned(lambda _: (403, {"code": 7, "message": message})) as gate:
        finding = refusal(lambda: gate.sync(SEEN, 1, ()))
    assert (finding.reason, finding.detail) == (Reason.API_FORBIDDEN, message)
    assert "argocd-server's ServiceAccount" in finding.remedy
    assert "ROLE" not in finding.remedy


def test_a_conflict_is_somebody_who_was_faster() -> None:
    """Aborted is Kubernetes' conflict; an Application on its way out is not ours to sync."""
    for status, code, message in (
        (409, 10, "the object has been modified"),
        (400, 9, "application is deleting"),
        (400, 9, "error setting app operation: another operation is already in progress"),
    ):
        told = {"code": code, "message": message}
        with canned(lambda _, status=status, told=told: (status, told)) as gate:  # type: ignore[misc]
            assert not gate.sync(SEEN, 1, ())


def test_a_root_path_is_kept() -> None:
    """Argocd-server runs below one with --rootpath."""
    asked = []
    body = {"metadata": {"name": "migrations"}, "spec": {}}

    def answer(path: str) -> tuple[int, Json | str]:
        asked.append(path)
        return 200, body

    with canned(answer, "/argocd/") as gate:
        gate.read(REF)
    assert asked == [f"/argocd{PATH}?appNamespace=argocd&project=default"]


def test_an_answer_of_another_shape_is_not_understood() -> None:
    """As by the other way."""
    with canned(lambda _: (200, {"metadata": {}, "spec": {}, "status": {"sync": []}})) as gate:
        assert refusal(lambda: gate.read(REF)).reason is Reason.ANSWER_NOT_UNDERSTOOD


def test_the_applications_options_are_sent(ground: StandInGround) -> None:
    """Where it has none the server takes the specification's, which may have changed since."""
    ground.argocd.stop()
    seen = Application(**{**vars(ground.look()), "policy": SyncPolicy(("CreateNamespace=true",))})
    assert ground.gate().sync(seen, 1, (JobRef("data", "schema"),))
    assert operation(ground)["sync"]["syncOptions"] == ["CreateNamespace=true", "Replace=true"]
    assert operation(ground)["sync"]["syncStrategy"] == {"apply": {"force": True}}


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_the_server_is_verified(tmp_path: Path) -> None:
    """By the CA that is named, for the name that is expected; never less, and plain text only where it was asked for."""
    authority, other = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("argocd-server.argocd.svc").configure_cert(context)
    for name, ca in (("ca", authority), ("other", other)):
        ca.cert_pem.write_to_path(tmp_path / name)

    with stand_in_ground("kubernetes", tmp_path, config_map("a"), tls=context) as ground:
        token = ground.server.create_token(PROJECT, ROLE)

        def read(**options: Any) -> Application:
            return Applications(ground.server_way(token, **{"plain_text": False, **options}), RUN).read(REF)

        assert read(ca_file=tmp_path / "ca", server_name="argocd-server.argocd.svc").uid
        for options in (
            {"ca_file": tmp_path / "other", "server_name": "argocd-server.argocd.svc"},
            {"ca_file": tmp_path / "ca"},
            {"server_name": "argocd-server.argocd.svc"},
        ):
            finding = refusal(lambda options=options: read(**options))  # type: ignore[misc]
            assert finding.reason is Reason.API_LOGIN_REFUSED, options
            assert "argocd.server.caFile" in finding.remedy
        assert refusal(lambda: read(plain_text=True)).reason is Reason.API_UNREACHABLE


def test_tls_to_a_server_without_it_is_told(ground: StandInGround) -> None:
    """And what to set."""
    way = ground.server_way(ground.server.create_token(PROJECT, ROLE), plain_text=False)
    finding = refusal(lambda: Applications(way, RUN).read(REF))
    assert finding.reason is Reason.API_UNREACHABLE
    assert "argocd.server.plainText" in finding.remedy
