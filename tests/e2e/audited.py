"""What `audit` has to find in a scenario's live objects at its end: that of its world, such as a gate without guards.

A scenario names the world that it shows (`shows`), and `conftest.py` has it audited.
"""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from hook import cli
from hook.audit.holds import Hold, Severity
from lab.control_plane import argocd
from lab.git_tree import BOOTSTRAP, GATE, MIGRATIONS, RUNTIME
from lab.processes import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from lab.platform import Platform
    from lab.team import Team

Json = dict[str, Any]

_HOLDS = {str(one): one for one in Hold}

_SETTLES_SECONDS = 20.0
"""A scenario may end while another sync goes on, whose status does not name its hooks yet."""
_RIGHTS = [
    {"apiGroups": ["argoproj.io"], "resources": ["applications", "applicationsets"], "verbs": ["get", "list"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]},
]
"""All that an audit needs: whoever asks may change nothing."""


@dataclass(frozen=True)
class World:
    """What `audit` says of it: the findings, whether one fails to hold (exit code 9), and what holds the runtime.

    A warning may be missing: what a sync under way does not show counts for neither (`unseen`).
    """

    findings: frozenset[Hold]
    fails: bool = False
    runtime_held_by: frozenset[str] = frozenset({"the gate"})

    def but(self, *more: Hold, without: tuple[Hold, ...] = (), fails: bool | None = None) -> World:
        """This world with more findings, or fewer."""
        findings = (self.findings | set(more)) - set(without)
        return replace(self, findings=findings, fails=self.fails if fails is None else fails)

    def is_shown_by(self, found: World) -> bool:
        """Tell whether an audit's answer is that of this world."""
        missing = self.findings - found.findings
        return (
            found.findings <= self.findings
            and all(one.severity is Severity.WARNING for one in missing)
            and (found.fails, found.runtime_held_by) == (self.fails, self.runtime_held_by)
        )


GATE_ALONE = World(frozenset({Hold.NO_GUARD, Hold.JOB_WITH_TTL}))
"""RollingSync and a gate: it holds, and can be overtaken. The schema Job of Temporal's 0.x charts has a TTL."""
NO_RETRIES = GATE_ALONE.but(Hold.NO_RETRY)
GUARDED = replace(GATE_ALONE.but(without=(Hold.NO_GUARD,)), runtime_held_by=frozenset({"the gate", "its guard"}))
GUARDS_ALONE = replace(GUARDED.but(Hold.NOT_ROLLING_SYNC), runtime_held_by=frozenset({"its guard"}))
"""No RollingSync, and everything is held all the same: a warning."""
BY_HAND = replace(GATE_ALONE.but(Hold.NOT_ROLLING_SYNC, Hold.JOB_NOT_RENEWED, fails=True), runtime_held_by=frozenset())
"""Nothing orders anything, and nothing is pruned."""
RECEIPT_WITHOUT_COMMIT = GATE_ALONE.but(Hold.RECEIPT_IGNORES_COMMITS)
RECEIPT_WITHOUT_COMMIT = replace(RECEIPT_WITHOUT_COMMIT, fails=True, runtime_held_by=frozenset())
"""A commit for the runtime alone does not run the gate."""
POST_SYNC = replace(NO_RETRIES.but(Hold.POST_SYNC_GATE), fails=True, runtime_held_by=frozenset())
"""On Argo CD 3.3 and later."""
HELM_ALONE = replace(GATE_ALONE, fails=True, runtime_held_by=frozenset())
"""No Application has the gate, so nothing holds but a guard, and there is none."""
SPLIT_CHART = GATE_ALONE.but(without=(Hold.JOB_WITH_TTL,))
"""Chart 1.x in two Applications: the example takes the TTL off the schema Job."""
SPLIT_BY_HAND = BY_HAND.but(without=(Hold.JOB_WITH_TTL,))
ONE_APPLICATION = replace(SPLIT_CHART, runtime_held_by=frozenset({"its own"}))
"""Chart 1.x: its own schema Job, a PreSync hook that is deleted once done, holds the runtime; the gate the bootstrap."""
ONE_APPLICATION_BY_HAND = replace(ONE_APPLICATION.but(Hold.NOT_ROLLING_SYNC), fails=True)


def shows(world: World) -> pytest.MarkDecorator:
    """The scenario's world."""
    return pytest.mark.audit(world)


def assert_agrees(team: Team, item: pytest.Item) -> None:
    """`audit` says of the team's live objects what the scenario's world shows."""
    mark = item.get_closest_marker("audit")
    if mark is None:
        return
    world: World = mark.args[0]
    roles = _roles(team)
    said: Json = {}

    def agrees() -> bool:
        nonlocal said
        said = _audit(team, roles)
        return world.is_shown_by(_as_world(team, said))

    try:
        wait_until(agrees, _SETTLES_SECONDS, "audit to agree with the scenario", 1.0)
    except TimeoutError:
        found = _as_world(team, said)
        details = json.dumps(said, indent=1, ensure_ascii=False)
        raise AssertionError(f"audit says {found}, the scenario shows {world}\n{details}") from None


def _roles(team: Team) -> list[str]:
    """Who is who among the Applications that are there."""
    options = {"--migrations": MIGRATIONS, "--gate": GATE, "--runtime": RUNTIME, "--downstream": BOOTSTRAP}
    there = {one["metadata"]["name"] for one in team.client.list(argocd.APPLICATIONS)}
    found = {option: name for option, one in options.items() if (name := team.git.name(one)) in there}
    if MIGRATIONS not in team.git.values:  # one Application has schema Job and servers
        found["--migrations"] = team.git.name(RUNTIME)
    return [argument for pair in found.items() for argument in pair]


def _audit(team: Team, roles: list[str]) -> Json:
    """The program's own answer, with its exit code; by a kubeconfig that may only read."""
    version = team.platform.argocd.release
    command = ["audit", "--applicationset", f"{argocd.NAMESPACE}/{team.name}", *roles]
    with pytest.MonkeyPatch.context() as environment, redirect_stdout(StringIO()) as output:
        environment.setenv("KUBECONFIG", str(_kubeconfig(team.platform)))
        with pytest.raises(SystemExit) as end:
            cli.main((*command, "--argocd-version", version, "--output", "json"))
    assert output.getvalue(), f"audit ended with exit code {end.value.code}"
    said: Json = json.loads(output.getvalue())
    assert end.value.code == said["exitCode"]
    return said


def _as_world(team: Team, said: Json) -> World:
    findings = [*said["findings"], *(one for each in said["applications"] for one in each["findings"])]
    runtime = next(
        (each for each in said["applications"] if each["application"].endswith(f"/{team.git.name(RUNTIME)}")), None
    )
    holds = runtime["heldBy"] if runtime else []
    return World(
        frozenset(_HOLDS[one["reason"]] for one in findings),
        said["exitCode"] != 0,
        frozenset(
            " ".join(one.removeprefix("held by ").replace(":", " ").replace(",", " ").split()[:2]) for one in holds
        ),
    )


def _kubeconfig(platform: Platform) -> Path:
    """One that reads what an audit reads, made once for a platform."""
    path = platform.directory / "auditor.kubeconfig"
    if not path.exists():
        rbac, name = "/apis/rbac.authorization.k8s.io/v1", "auditor"
        account = {"kind": "ServiceAccount", "name": name, "namespace": argocd.NAMESPACE}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
        metadata = {"metadata": {"name": name}}
        for where, body in (
            (f"/api/v1/namespaces/{argocd.NAMESPACE}/serviceaccounts", metadata),
            (f"{rbac}/clusterroles", metadata | {"rules": _RIGHTS}),
            (f"{rbac}/clusterrolebindings", metadata | {"roleRef": role, "subjects": [account]}),
        ):
            platform.client.create_or_patch(where, body)
        platform.plane.write_kubeconfig(path, platform.plane.token(argocd.NAMESPACE, name))
    return path
