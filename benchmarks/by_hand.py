"""What a person does by hand against the same faults who hesitates nowhere: each wait ends with the look that sees its end.

Knows Argo CD's syncs, Kubernetes' deletions and Temporal's frontend; nothing of the gate.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lab import temporal_client
from lab.git_tree import BOOTSTRAP, MIGRATIONS, TEMPORAL_NAMESPACE
from lab.object_status import component_of
from lab.processes import wait_until
from lab.temporal import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.team import Team

Json = dict[str, Any]

BOOTSTRAP_JOB = "temporal-namespace-bootstrap"
_LONGEST_SECONDS = 90.0
_LOOK_SECONDS = 0.05
_TRIES = 5
Order = tuple[tuple[str, ...], ...]
"""Components that are restarted together, one group after the other."""
AT_ONCE: Order = (SERVICES,)
IN_TURN: Order = (("history",), ("matching",), ("frontend",), ("worker",))
_STAGGER_SECONDS = 1.5


def repair(team: Team, order: Order = AT_ONCE) -> None:
    """Migrate, restart the servers in that order, and once the frontend serves sync the bootstrap until it is done."""
    migrate(team)
    old = {pod["metadata"]["uid"] for pod in team.pods()}
    for number, components in enumerate(order):
        if number:
            time.sleep(_STAGGER_SECONDS)
        for pod in team.pods():
            if pod["metadata"]["uid"] in old and component_of(pod) in components:
                team.delete(f"pods/{pod['metadata']['name']}")
    _wait(lambda: _frontends_are_new(team, old) and _serves(team), "the frontend to serve")
    for _ in range(_TRIES):
        began = time.time()
        team.sync(BOOTSTRAP)
        _wait(lambda: ended(team, BOOTSTRAP_JOB, began), "the bootstrap's Job to end")  # noqa: B023 -- called at once
        if ended(team, BOOTSTRAP_JOB, began, "Complete"):
            return
    raise RuntimeError(f"the bootstrap failed {_TRIES} times\n\n{team.describe()}")


def migrate(team: Team) -> None:
    """Replace the Job that ran before, as ``argocd app sync --resource batch:Job:NAME --replace --force`` does."""
    (job,) = team.objects("apis/batch/v1", "jobs", "app.kubernetes.io/component=database")
    name, began = job["metadata"]["name"], time.time()
    team.sync(MIGRATIONS, replaced_job=name)
    _wait(lambda: ended(team, name, began, "Complete"), "the schema Job")


def works(team: Team) -> bool:
    """Tell whether a workflow starts in the namespace that the bootstrap registers."""
    database = team.databases.default
    try:
        if not team.postgres.execute(database, f"SELECT 1 FROM namespaces WHERE name = '{TEMPORAL_NAMESPACE}'"):  # noqa: S608 -- a constant
            return False
        temporal_client.start_workflow(team.frontend, TEMPORAL_NAMESPACE)
    except Exception:  # noqa: BLE001 -- no database, no table, no server: not yet
        return False
    return True


def ended(team: Team, job: str, since: float, *conditions: str) -> float | None:
    """Return when a Job that was made after that moment first was Complete or Failed, or had one of these conditions."""
    wanted = conditions or ("Complete", "Failed")

    def has_ended(body: Json) -> bool:
        told = body.get("status", {}).get("conditions", [])
        return any(one["type"] in wanted and one["status"] == "True" for one in told)

    before = {one.body["metadata"]["uid"] for one in team.history.versions("Job", job) if one.at < since}
    return team.history.first("Job", job, lambda one: one["metadata"]["uid"] not in before and has_ended(one), since)


def _frontends_are_new(team: Team, old: set[str]) -> bool:
    return all(pod["metadata"]["uid"] not in old for pod in team.pods("frontend"))


def _serves(team: Team) -> bool:
    try:
        return temporal_client.health(team.frontend) == "SERVING"
    except temporal_client.CallError:
        return False


def _wait(holds: Callable[[], object], what: str) -> None:
    wait_until(holds, _LONGEST_SECONDS, what, _LOOK_SECONDS)
