"""Rules about the order: one RollingSync, a step for everyone, and the steps one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.audit.holds import Finding, Hold, Unseen
from hook.audit.rollout import Role, is_rolling
from hook.audit.rules import guards
from hook.audit.steps import members, most_at_once, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hook.audit.rollout import App, ApplicationSet, Seen
    from hook.observation.applications import ApplicationRef


def rolling_sync(seen: Seen) -> Iterator[Finding | Unseen]:
    """RollingSync orders the Applications of one ApplicationSet, and no others. Guards alone need none."""
    gate = seen.app(seen.roles.gate)
    needs_one = any(app.set_ref for app in seen.apps.values()) or not guards.hold_all(seen)
    for role, ref in seen.roles:
        app = seen.app(ref)
        if app is None:
            yield Unseen(ref, f"the Application ({role}) itself: it is not in what was given")
            continue
        if role is Role.MIGRATIONS:
            continue  # the gate asks them to migrate wherever they are
        left = _left_by(role, ref)
        if app.set_ref is None:
            if needs_one:
                yield Finding.of(Hold.NOT_ROLLING_SYNC, ref, "no ApplicationSet owns it", *left)
        elif (found := seen.sets.get(app.set_ref)) is None:
            yield Unseen(ref, f"its ApplicationSet {app.set_ref}")
        elif why := _why_it_does_not_roll(found):
            yield Finding.of(Hold.NOT_ROLLING_SYNC, ref, f"ApplicationSet {found.ref}: {why}", *left)
        elif gate is not None and gate.set_ref not in {None, app.set_ref}:
            detail = f"it is of ApplicationSet {app.set_ref}, the gate of {gate.set_ref}: neither waits for the other"
            yield Finding.of(Hold.NOT_ROLLING_SYNC, ref, detail, *left)


def _why_it_does_not_roll(found: ApplicationSet) -> str:
    if found.strategy != "RollingSync":
        return f"its strategy is {found.strategy or 'AllAtOnce, the default'}"
    if not is_rolling(found):
        return "its RollingSync has no steps"
    if not found.updates:
        return "its applicationsSync policy keeps the controller from changing Applications, so it cannot sync them"
    return ""


def in_a_step(seen: Seen) -> Iterator[Finding | Unseen]:
    """What no step selects is excluded, and waited for by none."""
    for role, ref, app, found in _rolling(seen):
        place = place_of(app, found)
        if not place.is_known:
            yield Unseen(ref, "the labels that put it into a step: give the Application itself")
        elif place.number is None:
            keys = {expression.key for step in found.steps for expression in step.expressions}
            has = ", ".join(f"{key}={value}" for key, value in sorted((app.labels or {}).items()) if key in keys)
            wanted = ", ".join(sorted(keys))
            detail = f"none of the {len(found.steps)} steps selects it ({has or f'it has no label {wanted}'})"
            others = {one.operator for step in found.steps for one in step.expressions} - {"In", "NotIn"}
            if others:
                detail += f"; {', '.join(sorted(others))} is no operator of a step"
            yield Finding.of(Hold.IN_NO_STEP, ref, detail, *_left_by(role, ref))


def in_order(seen: Seen) -> Iterator[Finding | Unseen]:
    """Migrations and gate may share a step; runtime and downstream come after them, one after the other.

    Where one Application is both migrations and runtime the gate shares its step: before it, it would wait for a schema that
    RollingSync brings only after it; after it, servers that crash would keep its step from ever starting.
    """
    is_one = seen.roles.migrations == seen.roles.runtime
    placed = [
        (role, ref, found, number)
        for role, ref, app, found in _rolling(seen)
        if (number := place_of(app, found).number) is not None
    ]
    places = {ref: number for _, ref, _, number in placed}
    gate, one = seen.roles.gate, seen.roles.runtime
    if is_one and gate in places and one in places and places[gate] != places[one]:
        detail = f"step {places[gate]}, and not {places[one]}, that of {one.name}, which is both migrations and runtime"
        yield Finding.of(Hold.STEPS_OUT_OF_ORDER, gate, detail, *seen.roles.downstream)
    ranks = {Role.MIGRATIONS: 0, Role.GATE: 1, Role.RUNTIME: 2, Role.DOWNSTREAM: 3}
    for role, ref, found, number in placed:
        for before, other, its_set, earlier in placed:
            if ranks[before] >= ranks[role] or its_set.ref != found.ref or ref == other:
                continue
            if is_one and Role.GATE in {before, role} and seen.roles.runtime in {ref, other}:
                continue
            may_share = (before, role) == (Role.MIGRATIONS, Role.GATE)
            if earlier > number or (earlier == number and not may_share):
                where = "the same step as" if earlier == number else "an earlier step than"
                detail = f"step {number} is {where} that of {other.name} ({before}, step {earlier})"
                yield Finding.of(Hold.STEPS_OUT_OF_ORDER, ref, detail, *_left_by(role, ref))
                break


def step_updates(seen: Seen) -> Iterator[Finding | Unseen]:
    """A step that lets none of its Applications be synced waits for a person."""
    for _, ref, app, found in _rolling(seen):
        number = place_of(app, found).number
        if number is None:
            continue
        step = found.steps[number - 1]
        if most_at_once(step, len(members(seen, found, number))) == 0:
            yield Finding.of(Hold.STEP_UPDATES_NOTHING, ref, f"maxUpdate of step {number} is {step.max_update}")


def _rolling(seen: Seen) -> Iterator[tuple[Role, ApplicationRef, App, ApplicationSet]]:
    """Yield the Applications that a RollingSync orders."""
    for role, ref in seen.roles:
        app, found = seen.app(ref), seen.rolling_set_of(ref)
        if app is not None and found is not None:
            yield role, ref, app, found


def _left_by(role: Role, ref: ApplicationRef) -> tuple[ApplicationRef, ...]:
    """Return what is not held where this Application is out of place: itself, or where it is the gate's, all."""
    return (ref,) if role in {Role.RUNTIME, Role.DOWNSTREAM} else ()
