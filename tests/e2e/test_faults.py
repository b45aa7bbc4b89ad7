"""What holds a rollout from outside of Temporal: a missing right, a closed sync window, a migration's pod that hangs."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from audited import GATE_ALONE, NO_RETRIES, shows
from scenario import (
    TERMINATED,
    assert_never_crash_looped,
    assert_passed,
    assert_works,
    has_settled,
    hook_migrations,
    mend_password,
    on,
    says,
    with_wrong_password,
)

from lab import toolchain
from lab.control_plane import argocd
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.team import Team

pytestmark = shows(GATE_ALONE)

Allow = Callable[..., object]

PROJECTS = f"/apis/argoproj.io/v1alpha1/namespaces/{argocd.NAMESPACE}/appprojects"
RBAC = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{argocd.NAMESPACE}"


@pytest.fixture
def allow(team: Team) -> Iterator[Allow]:
    """The platform's team lets the gate patch these Applications, and see and tell what it needs to."""
    rbac = "rbac.authorization.k8s.io"
    name = {"metadata": {"name": team.name}}

    def rules(patched: tuple[str, ...]) -> list[dict[str, Any]]:
        seen = [team.git.name(one) for one in (MIGRATIONS, RUNTIME, BOOTSTRAP, GATE)]
        applications = {"apiGroups": ["argoproj.io"], "resources": ["applications"]}
        return [
            {**applications, "resourceNames": seen, "verbs": ["get"]},
            {**applications, "resourceNames": [team.git.name(one) for one in patched], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
        ]

    subject = {"kind": "ServiceAccount", "name": team.git.name(GATE), "namespace": team.name}
    role = {"apiGroup": rbac, "kind": "Role", "name": team.name}
    team.client.create(f"{RBAC}/roles", {**name, "rules": rules((RUNTIME,))})
    team.client.create(f"{RBAC}/rolebindings", {**name, "roleRef": role, "subjects": [subject]})
    yield lambda *patched: team.client.patch(f"{RBAC}/roles/{team.name}", {"rules": rules(patched)})
    team.client.delete(f"{RBAC}/rolebindings/{team.name}")
    team.client.delete(f"{RBAC}/roles/{team.name}")


@pytest.fixture
def window(team: Team) -> Callable[[], object]:
    """The team's own project, whose sync window is closed for the migrations; what opens it."""
    denied = {
        "kind": "deny",
        "schedule": "* * * * *",
        "duration": "1h",
        "applications": [team.git.name(MIGRATIONS)],
    }
    everything = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    }
    project = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": team.name}}
    team.client.create(PROJECTS, {**project, "spec": {**everything, "syncWindows": [denied]}})
    team.git.application_set["spec"]["template"]["spec"]["project"] = team.name
    # It is not deleted: the Applications, which are when the scenario has ended, need it for that.
    return lambda: team.client.patch(f"{PROJECTS}/{team.name}", {"spec": {"syncWindows": None}})


def _not_begun(team: Team) -> bool:
    """Neither the schema nor the runtime's step."""
    return team.schema_versions() == (None, None) and team.operation(RUNTIME) == {} and team.pods() == []


@on("3.6")
@shows(NO_RETRIES)
def test_verb_missing(team: Team, allow: Allow) -> None:
    """A commit; the Role for the gate lacks `patch` on the migrations. It says so, and opens by a sync once it may."""
    hook_migrations(team)
    team.git.gate.update({"rbac": {"applications": {"create": False}}, "graceSeconds": 5})
    # Left out, RollingSync retries five times; so the gate is as good as never closed.
    team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]["retry"] = {"limit": 0}
    team.roll_out()

    team.until(team.gate().ends, "the gate to fail")
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (6, "ApiForbidden"), message
    forbidden = f'"{team.git.name(MIGRATIONS)}" is forbidden'
    assert forbidden in message
    assert "cannot patch resource" in message
    event = next(one for one in team.events(GATE) if one.startswith("ApiForbidden: ApiForbidden"))
    assert forbidden in event
    assert "cannot patch resource" in event
    team.until(lambda: has_settled(team, "Failed"), "the gate's sync to fail, and not to be repeated")
    team.holds_for(10, lambda: _not_begun(team) and team.gate().receipt() is None, "closed")

    allow(MIGRATIONS, RUNTIME, BOOTSTRAP)
    team.sync(GATE)
    team.until_rolled_out()
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@pytest.mark.parametrize("prepare", [lambda _: None, hook_migrations], ids=["rollout", "gate"])
@on("3.6")
def test_sync_window_closed(team: Team, window: Callable[[], object], prepare: Callable[[Team], None]) -> None:
    """A commit; a sync window is closed for the migrations, whoever syncs them: the gate waits until it opens."""
    prepare(team)
    team.git.gate["migrations"]["attempts"] = 1
    team.roll_out()
    says(team, "waiting: MigrationBlocked: Application")
    team.holds_for(10, lambda: _not_begun(team) and team.gate().ends() == [], "waiting")
    window()
    team.until_rolled_out()
    assert {0} <= {code for code, _ in team.gate().ends()} <= {0, TERMINATED}
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@pytest.mark.parametrize(
    ("reason", "named"),
    [("ImageNotPullable", "temporalio/admin-tools:1.29.99"), ("PodUnschedulable", "0/1 nodes are available")],
)
@on("3.6")
def test_migration_hangs(team: Team, reason: str, named: str) -> None:
    """A commit whose schema Job's pod cannot start; the gate tells which and why. The commit that mends it opens it."""
    if reason == "ImageNotPullable":
        team.git.roll_to(toolchain.RELEASE, admin_tools="1.29.99")
    else:
        team.git.migrations["admintools"]["nodeSelector"] = {"pool": "nowhere"}
    team.git.gate.update({"graceSeconds": 5, "hook": {"backoffLimit": 0}})
    team.roll_out()

    team.until(team.gate().ends, "the gate to end")
    (pod,) = team.objects("api/v1", "pods", "app.kubernetes.io/component=database")
    hung = f"{reason}: pod {team.name}/{pod['metadata']['name']}"
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (5, "MigrationHangs"), message
    for told in (message, *(one for one in team.events(GATE) if reason in one)):
        assert hung in told
        assert named in told
    assert "MigrationHangs" in {event.partition(":")[0] for event in team.events(GATE)}
    team.holds_for(10, lambda: _not_begun(team) and team.gate().receipt() is None, "closed")

    team.git.roll_to(toolchain.RELEASE)
    team.git.migrations["admintools"]["nodeSelector"] = {}
    revision = team.commit("it can start now")
    team.until_rolled_out(revision=revision)
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)


@on("3.6")
def test_schema_job_that_never_fails(team: Team) -> None:
    """As Temporal's chart has it: restarted for ever in place. A password that is wrong ends the gate, and is named."""
    with_wrong_password(team)
    team.git.migrations["schema"]["setup"]["backoffLimit"] = 100
    team.git.gate.update({"graceSeconds": 5, "hook": {"backoffLimit": 0}})
    team.roll_out()

    team.until(team.gate().ends, "the gate to end")
    code, message = team.gate().ends()[-1]
    assert (code, message.partition(":")[0]) == (5, "MigrationHangs"), message
    assert "init container setup-default-store: " in message
    assert "last exit code 1 (Error)" in message
    assert "password authentication failed" in message
    team.holds_for(10, lambda: _not_begun(team) and team.gate().receipt() is None, "closed")

    mend_password(team)
    revision = team.commit("the password is right now")
    team.until_rolled_out(revision=revision)
    assert_never_crash_looped(team)
    assert_passed(team)
    assert_works(team)
