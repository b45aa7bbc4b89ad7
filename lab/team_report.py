"""What a person looks at first where a rollout is not as expected: a team's Applications, pods and gates, in words."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

from lab.api_client import ApiError
from lab.object_status import sync_and_health

if TYPE_CHECKING:
    from lab.team import Team


def describe(team: Team) -> str:
    """Return the state of all that the team has, some 300 characters of each message, and the ends of its gates' logs."""
    lines = [f"logs below {team.platform.directory}", "Applications:", *_applications(team), "pods:"]
    for pod in team.objects("api/v1", "pods"):
        status = pod.get("status", {})
        states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        told = [f"{one['name']} {json.dumps(one['state'])[:400]}" for one in states]
        lines.append(f"  {pod['metadata']['name']}: {status.get('phase')}; {'; '.join(told)}")
    for component in ("gate", "watchdog"):
        for pod in team.objects("api/v1", "pods", f"app.kubernetes.io/component={component}")[-2:]:
            try:
                said = team.log(pod)
            except ApiError as error:
                said = str(error)
            ends = "\n".join(said.splitlines()[-15:])
            lines += [f"log of {pod['metadata']['name']}:", textwrap.indent(ends, "  ")]
    return "\n".join(lines)


def _applications(team: Team) -> list[str]:
    steps = team.steps()
    lines = []
    for name in team.applications():
        try:
            found = team.application(name)
        except ApiError:
            lines.append(f"  {name}: not there")
            continue
        operation = team.operation(name)
        lines.append(f"  {name}: {' '.join(sync_and_health(found))}, step {steps.get(name)}")
        lines.append(f"    operation {operation.get('phase')}: {operation.get('message', '')[:300]}")
        lines += [f"    {one['type']}: {one['message'][:300]}" for one in found.get("status", {}).get("conditions", [])]
        lines += [f"    Event {one[:300]}" for one in team.events(name)[-3:]]
    return lines
