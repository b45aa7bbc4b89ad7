"""Stands in for `hook.compose`: a world of plain functions instead of adapters. As a program it is a run that hangs.

python plain_world.py load|look|sleep|report|both|check    hang in settings, a look, a sleep, the last report, check's look
"""

import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, Self

import worlds

from hook import cli, compose, gate
from hook.gate import World
from hook.observation.applications import ApplicationRef
from hook.observation.findings import Finding, Unknown
from hook.observation.findings import FindingError as Unseen
from hook.observation.observation import Observation, Run
from hook.observation.reasons import Reason
from hook.observation.redaction import Secrets
from hook.observation.versions import Schema, Store
from hook.report.listeners import Log
from hook.report.teller import Listener, Notice, Teller
from hook.settings import loading
from hook.settings.settings import Settings


def act(*_: object) -> NoReturn:
    """Stands for all acts: whoever only looks must not come here."""
    raise AssertionError("the world was changed")


def world_of(seen: Observation, run: Callable[[], Run]) -> World:
    """Return a world that is as it was seen, and goes on so."""

    def give(value: Any) -> Callable[..., Any]:  # noqa: ANN401 -- whatever the observation holds
        def read(*_: object) -> Any:  # noqa: ANN401
            if isinstance(value, Unknown):
                raise Unseen(value.finding)
            if isinstance(value, Exception):
                raise value
            return value

        return read

    stores: Mapping[Store, Callable[[], Schema]] = {store: give(schema) for store, schema in seen.stores.items()}
    return World(
        run=run,
        migration=give(seen.migration),
        migrate=act,
        stores=stores,
        application=give(seen.application) if seen.application else None,
        runtime=give(seen.runtime) if seen.runtime else None,
        frontend=give(seen.frontend) if seen.frontend else None,
        downstream={ref: give(one) for ref, one in seen.downstream.items()},
        delete_pod=act,
        sync=act,
        refresh=act,
    )


@dataclass
class PlainComposition:
    """Takes the place of `Composition`."""

    settings: Settings
    seen: Observation
    secrets: Secrets
    listeners: tuple[Listener, ...] = ()
    run_id: str = "run"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def own_run(self) -> Callable[[], Run]:
        run = self.seen.run
        assert isinstance(run, Run)
        return lambda: run

    def world(self, run: Callable[[], Run]) -> World:
        return world_of(self.seen, run)

    def teller(self) -> Teller:
        own = ApplicationRef("argocd", "gate")
        return Teller([Log(self.settings.report.format), *self.listeners], self.secrets, own)


def say() -> None:
    """Tell who started this program that it hangs now."""
    sys.stdout.write("hanging\n")
    sys.stdout.flush()


def hang() -> NoReturn:
    """Say so, and never come back: only what a signal raises ends it.

    It wakes up again and again, as one long sleep may miss the signal that comes just before it.
    """
    say()
    while True:
        time.sleep(0.01)


class HangsAtTheEnd:
    """A listener whose last Event is never answered."""

    def hear(self, notice: Notice) -> None:
        if notice.reason in {str(Reason.PASSED), str(Reason.STOPPED), str(Reason.INTERRUPTED)}:
            hang()


class Tells:
    """A listener that says when the first look is done, so that the run is asleep a moment later."""

    def hear(self, notice: Notice) -> None:
        if notice.text.startswith("waiting"):
            say()


def program(where: str) -> None:
    """Run the command line over a world that hangs."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
    gate._FIRST_PAUSE_SECONDS = 3600  # noqa: SLF001 -- else the first sleep would be over before anybody asks
    unreachable = Unknown(Finding(Reason.DATABASE_UNREACHABLE, "store default"))
    seen = worlds.observation(stores=worlds.stores(default=unreachable)) if where == "sleep" else worlds.observation()
    at_the_end = (HangsAtTheEnd(),)
    listeners: dict[str, tuple[Listener, ...]] = {"sleep": (Tells(),), "report": at_the_end, "both": at_the_end}

    class Hanging(PlainComposition):
        def own_run(self) -> Callable[[], Run]:
            run = Run("run", datetime.now(UTC))
            return lambda: run

        def world(self, run: Callable[[], Run]) -> World:
            world = super().world(run)
            hanging = {Store.DEFAULT: hang} if where in {"look", "check", "both"} else {}
            return World(**{**vars(world), "stores": {**world.stores, **hanging}})

    if where == "load":
        load, caught = loading.load, {signal.SIGTERM, signal.SIGINT}

        def late(file: Path | None, *, opens_files: bool = True) -> Settings:
            signal.pthread_sigmask(signal.SIG_BLOCK, caught)  # or it might come just before the wait for it
            say()
            while not signal.sigpending():
                time.sleep(0.01)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, caught)
            return load(file, opens_files=opens_files)

        loading.load = late
    compose.Composition = lambda settings, secrets: Hanging(settings, seen, secrets, listeners.get(where, ()))  # type: ignore[assignment,misc]
    cli.main(["check" if where == "check" else "run"])


if __name__ == "__main__":
    program(sys.argv[1])
