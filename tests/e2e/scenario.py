"""What the scenarios share: on which Argo CD they are played, and what a rollout that went well looks like."""

import itertools
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.control_plane import argocd
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME, SECOND_GATE
from lab.object_status import component_of, is_in_back_off, sync_and_health
from lab.team import SECRET, SERVERS, Team

Json = dict[str, Any]

NO_RETRY = {"limit": 0}
STEPS = ((MIGRATIONS, GATE), (RUNTIME,), (SECOND_GATE,), (BOOTSTRAP,))
"""Those of the examples' RollingSync, and a second gate's where a team has one."""
NOT_COMPARED = "argocd.argoproj.io/skip-reconcile"
"""With it Argo CD neither compares nor syncs an Application: so the others hear of a commit first."""
TERMINATED = 143
"""How a pod of the gate ends whose hook Job is deleted while it runs."""


def on(*lines: str) -> pytest.MarkDecorator:
    """The Argo CD that the scenario is played on."""
    return pytest.mark.parametrize("team", lines, indirect=True)


def is_done(application: Json, revision: str | None = None) -> bool:
    """Whether an Application was synced and is what both lines of Argo CD let the next step start by.

    Not that its operation has succeeded: on 3.6 the next step need not wait for that.
    """
    status = application.get("status", {})
    at = revision in (None, status.get("sync", {}).get("revision"))
    return at and "operationState" in status and sync_and_health(application) == ("Synced", "Healthy")


def is_synced_to(revision: str, application: Json) -> bool:
    """Whether an Application's last operation was of this revision."""
    state = application.get("status", {}).get("operationState") or {}
    return bool(state.get("syncResult", {}).get("revision") == revision)


def assert_order(team: Team, revision: str | None = None) -> None:
    """Each Application was done before one of the next step was begun: at this revision, or the first time."""

    def began(application: Json) -> bool:
        if revision is not None:
            return is_synced_to(revision, application)
        return "operationState" in application.get("status", {})

    there = team.applications()
    for earlier, later in itertools.pairwise([step for step in STEPS if set(step) <= set(there)]):
        for before, after in itertools.product(earlier, later):
            done = team.history.first("Application", team.git.name(before), lambda one: is_done(one, revision))
            started = team.history.first("Application", team.git.name(after), began)
            assert done is not None, before
            assert started is not None, after
            assert done <= started, (before, after)


def assert_never_crash_looped(team: Team, since: float = 0.0) -> None:
    """No pod of Temporal ever waited out a back-off."""
    assert team.history.ever("Pod", is_in_back_off, since) == []


def assert_works(team: Team) -> None:
    """The proof of the end: a workflow starts in the namespace that the bootstrap registered."""
    team.start_workflow()
    # Argo CD 3.6 often starts a second operation right after the first one.
    team.until(lambda: team.operation(BOOTSTRAP).get("phase") == "Succeeded", "the bootstrap to have succeeded")


def assert_passed(team: Team, *gates: str, since: float = 0.0) -> None:
    """A pod of each gate said that it passed, and the receipts are there. Argo CD may have ended a second one half way."""
    for gate in gates or (GATE, *{SECOND_GATE}.intersection(team.applications())):
        ends = team.gate(gate).ends(since)
        assert (0, "Passed") in {(code, message.partition(":")[0]) for code, message in ends}, (gate, ends)
        assert team.gate(gate).receipt() is not None


def incarnations(team: Team) -> dict[str, int]:
    """How many pods each component of Temporal has ever had."""
    found: dict[str, set[str]] = {}
    for version in team.history.versions("Pod"):
        labels = version.body["metadata"].get("labels", {})
        component = labels.get("app.kubernetes.io/component")
        if labels.get("app.kubernetes.io/name") == "temporal" and component != "database":
            found.setdefault(component, set()).add(version.body["metadata"]["uid"])
    return {component: len(uids) for component, uids in found.items()}


def operations(team: Team, application: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """What the gates wrote into an Application's operation, and what of it ran: each a run's id and its attempt."""
    written: set[tuple[str, str]] = set()
    ran: set[tuple[str, str]] = set()
    for version in team.history.versions("Application", team.git.name(application)):
        state = version.body.get("status", {}).get("operationState") or {}
        for operation, found in ((version.body.get("operation"), written), (state.get("operation"), ran)):
            told = {one["name"]: one["value"] for one in (operation or {}).get("info") or []}
            if run := told.get("temporal-recovery-hook/run"):
                found.add((run, told["temporal-recovery-hook/attempt"]))
    return written, ran


def says(team: Team, words: str, gate: str = GATE) -> Json:
    """Wait until the log of a gate's pod has these words; the pod that said them."""
    return team.until(lambda: said(team, words, gate), f"the gate to say: {words}") or {}


def said(team: Team, words: str, gate: str = GATE) -> Json | None:
    """The pod of a gate whose log has these words, None as long as there is none."""
    return next((pod for pod, log in team.gate(gate).logs() if words in log), None)


def by_the_gate(operation_state: Json) -> bool:
    """Whether the program asked for this operation: a gate, or its watchdog."""
    return bool(operation_state["operation"]["initiatedBy"].get("username") == "temporal-recovery-hook")


def hook_migrations(team: Team) -> None:
    """Make the migrations a hook Job alone, which RollingSync never syncs.

    But for chance in the first step, whose Applications it may look at before they are compared (seen): so there is one
    before it.
    """
    team.git.add_step("100")
    team.git.add("data-first", "100", "temporal/first")
    team.git.more |= {
        "temporal/first/Chart.yaml": "{apiVersion: v2, name: first, version: 0.1.0}",
        "temporal/first/templates/first.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: first}}",
    }
    team.git.migrations["schema"]["annotations"] = {
        "argocd.argoproj.io/hook": "Sync",
        "argocd.argoproj.io/hook-delete-policy": "BeforeHookCreation",
    }


def has_settled(team: Team, phase: str, *applications: str) -> bool:
    """Whether the syncs of the gate, or of these Applications, ended so, and so long ago that no other one follows.

    RollingSync of 3.6 writes a second one as a rule, and now and then a third (seen).
    """

    def settled(application: Json) -> bool:
        state = application.get("status", {}).get("operationState") or {}
        if state.get("phase") != phase or "operation" in application:
            return False
        return datetime.now(UTC) - datetime.fromisoformat(state["finishedAt"]) > timedelta(seconds=10)

    return all(settled(team.application(one)) for one in applications or (GATE,))


def policy(team: Team) -> Json:
    """The sync policy of its Applications."""
    found: Json = team.git.application_set["spec"]["template"]["spec"]["syncPolicy"]
    return found


def annotate(team: Team, value: str | None, annotation: str, *applications: str) -> None:
    """Write an annotation of Argo CD's on Applications, or take it away."""
    for one in applications:
        path = f"{argocd.APPLICATIONS}/{team.git.name(one)}"
        team.client.patch(path, {"metadata": {"annotations": {annotation: value}}})


def may_be_left_uncompared(team: Team) -> None:
    """Let the ApplicationSet leave that annotation alone; before it is applied."""
    team.git.application_set["spec"]["preservedFields"] = {"annotations": [NOT_COMPARED]}


def leave_uncompared(team: Team, *applications: str) -> None:
    """From now on these are not compared, not even by a refresh that is asked for; and no comparison is under way."""

    def compared_ago(application: str) -> float:
        compared_at = datetime.fromisoformat(team.application(application)["status"]["reconciledAt"])
        return (datetime.now(UTC) - compared_at).total_seconds()

    annotate(team, "true", NOT_COMPARED, *applications)
    team.until(lambda: all(compared_ago(one) > 8 for one in applications), "nobody to compare them")


def commit_to_the_gate_first(team: Team, message: str, *later: str) -> str:
    """Commit, and have these Applications of later steps compared when the gate's step has begun; the revision.

    On 3.6, too, RollingSync starts a step on an old status: what is compared first is synced first (argo-cd 29410; seen).
    """
    leave_uncompared(team, *later)
    revision = team.commit(message)
    team.until(lambda: team.steps()[GATE] != "Healthy", "the gate's step to begin")
    annotate(team, None, NOT_COMPARED, *later)
    return revision


def refresh(team: Team, *applications: str) -> None:
    """Have Argo CD compare them now, as a webhook does, and wait until it has begun."""
    annotate(team, "normal", "argocd.argoproj.io/refresh", *applications)
    for one in applications:
        team.until(
            lambda one=one: (
                "argocd.argoproj.io/refresh" not in team.application(one)["metadata"].get("annotations", {})
            ),  # type: ignore[misc]
            f"{one} to be compared",
        )


def with_wrong_password(team: Team) -> None:
    """Let the migrations, and nobody else, log in with a wrong one; their Job fails at once."""
    team.add_secret("wrong", "wrong")
    team.git.migrations["server"]["config"]["persistence"]["default"]["sql"]["existingSecret"] = "wrong"
    team.git.migrations["schema"]["setup"]["backoffLimit"] = 0


def mend_password(team: Team) -> None:
    """As it is in the examples."""
    team.git.migrations["server"]["config"]["persistence"]["default"]["sql"]["existingSecret"] = SECRET


def server_starts(team: Team) -> dict[str, tuple[str, int]]:
    """Return each server's pod, and how often its container was started again.

    A server whose database is gone may exit before the gate restarts it: the kubelet starts it again, on the new one.
    """
    return {
        component_of(pod): (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in team.pods()
        if component_of(pod) in SERVERS
    }


def until_all(team: Team, *applications: str) -> None:
    """Until these are Synced and Healthy, whatever RollingSync says."""
    team.until(lambda: {team.state(one) for one in applications} == {("Synced", "Healthy")}, "all")


def kubectl(team: Team, *arguments: str) -> str:
    """What this cluster's own kubectl prints, as an administrator's."""
    plane = team.platform.plane
    done = subprocess.run(  # noqa: S603
        [str(plane.build.kubectl), f"--kubeconfig={plane.kubeconfig}", *arguments],
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout
