"""One verdict taken apart: ``python -m benchmarks.anatomy SETTINGS`` does what ``run`` does, and prints a time a part.

It goes the way of ``hook.cli`` in its order: each import where it falls due, the settings, the first look of each
reader (which connects), a second look (which need not, but for PostgreSQL), the plan and the report. Milliseconds by
part, as JSON. It imports nothing of the lab, which would have loaded the libraries already.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hook.gate import World


def readers(world: World) -> dict[str, Callable[[], object]]:
    """Every look at the world, by what it looks at, in the gate's order."""
    found: dict[str, Callable[[], object]] = {"Application of migrations": world.migration}
    found |= {f"store {store}": read for store, read in world.stores.items()}
    if world.application:
        found["Application of runtime"] = world.application
    if world.runtime:
        found["Deployments and pods"] = world.runtime
    if world.frontend:
        found["frontend"] = world.frontend
    found |= {f"Application {ref}": read for ref, read in world.downstream.items()}
    return found


def main() -> None:
    """Take the parts' times."""
    parts: dict[str, float] = {}
    last = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        parts[part] = (now - last) * 1000
        last = now

    import hook.cli  # noqa: PLC0415 -- each import is a part
    from hook.settings.loading import load, secrets  # noqa: PLC0415

    lap("import: command line and settings")
    import psycopg  # noqa: F401, PLC0415 -- the settings want it, to read a DSN

    lap("import: psycopg")
    settings = load(Path(sys.argv[1]))
    policy, _ = settings.policy(), secrets(settings)
    lap("settings: read and checked")
    from hook.compose import Composition  # noqa: PLC0415
    from hook.decision import planner  # noqa: PLC0415
    from hook.gate import observe  # noqa: PLC0415

    lap("import: gate, planner, report")
    import hook.adapters.argocd  # noqa: PLC0415
    import hook.adapters.kubernetes  # noqa: PLC0415

    lap("import: Kubernetes' adapters")
    import hook.adapters.temporal  # noqa: F401, PLC0415

    lap("import: Temporal's adapter")
    with Composition(settings) as composition:
        world = composition.world(composition.own_run())
        teller = composition.teller()
        teller.started(composition.run_id, policy, timedelta(seconds=settings.deadline_seconds))
        lap("connections prepared (kubeconfig), first log line")
        for look in ("first look", "second look"):
            for name, read in readers(world).items():
                read()
                lap(f"{look}: {name}")
        observation = observe(world, datetime.now(UTC))
        last = time.perf_counter()
        step = planner.next_step(observation, policy)
        lap("plan")
        teller.observed(observation, policy, step)
        lap("report of what was seen")
        from hook.decision.steps import outcome_of  # noqa: PLC0415

        teller.ended(outcome_of(step))
        lap("report of the end, with its Event")
    lap("connections closed")
    print(json.dumps(parts))


if __name__ == "__main__":
    main()
