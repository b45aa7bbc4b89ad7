"""The gate's loop: when it looks, acts, waits and ends. The planner is the real one; the world and the time are given."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from worlds import (
    BEHIND,
    BOOTSTRAP,
    EMPTY,
    MIGRATIONS,
    NAMESPACES,
    NOW,
    RUN_STARTED,
    RUNTIME,
    ahead,
    application,
    at,
    downstream,
    finding,
    in_back_off,
    job,
    migration,
    observation,
    operation,
    policy,
    runtime,
    schema,
    stores,
    unknown,
)

from hook import gate
from hook.decision import planner, steps
from hook.decision.policy import Policy, Reachability
from hook.decision.steps import Act, Fail, Migrate, Outcome, Pass, Refresh, RestartPods, Resync, Step, Wait
from hook.gate import Gate, StopRequested, Timing, World
from hook.observation import applications
from hook.observation.applications import Application, OperationPhase, SyncPolicy
from hook.observation.findings import Finding, FindingError, Unknown
from hook.observation.migrations import MigrationPhase
from hook.observation.observation import Frontend, Observation, Run
from hook.observation.reasons import Reason
from hook.observation.versions import Schema, Store
from hook.observation.workloads import JobsSeen, Pod, Runtime

T = TypeVar("T")

INTERVAL = 2.0
LIMIT = 1800.0
AWAY: dict[str, Any] = {"stores": stores(default=unknown(Reason.DATABASE_UNREACHABLE, "store default"))}
"""A world in which the gate can only wait."""


def reads(*values: T | Unknown) -> Callable[[], T]:
    """A reader that sees these one after another, the last for ever; what is unknown is raised."""
    left = list(values)

    def read() -> T:
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, Unknown):
            raise FindingError(value.finding)
        return value

    return read


def world(*, also: dict[str, Any] | None = None, **changes: Any) -> World:
    """The healthy world with these changes, each look at it the same; ``also`` replaces parts of it as they are."""
    seen = observation(**changes)
    healthy = World(
        run=reads(seen.run),
        migration=reads(seen.migration),
        migrate=lambda _: True,
        stores={store: reads(value) for store, value in seen.stores.items()},
        application=reads(seen.application) if seen.application else None,
        runtime=reads(seen.runtime) if seen.runtime else None,
        frontend=reads(seen.frontend) if seen.frontend else None,
        downstream={ref: reads(value) for ref, value in seen.downstream.items()},
        gate=reads(seen.gate) if seen.gate else None,
    )
    return replace(healthy, **also or {})


@dataclass
class Course:
    """A run of the gate: its time, what it slept and what was heard of it."""

    now: datetime = NOW
    slept: list[float] = field(default_factory=list)
    seen: list[Observation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    acts: list[tuple[Act, bool]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)

    def observed(self, observation: Observation, policy: Policy, step: Step) -> None:
        assert policy.attempts
        self.seen.append(observation)
        self.steps.append(step)

    def acted(self, act: Act, *, done: bool) -> None:
        self.acts.append((act, done))

    def ended(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def run(
        self,
        world: World,
        policy: Policy = policy(),  # noqa: B008 -- frozen
        stopped_by: Callable[[], Reason | None] = lambda: None,
        limit: float = LIMIT,
        interval: float = INTERVAL,
    ) -> Outcome:
        timing = Timing(lambda: self.now, self.sleep, timedelta(seconds=interval), timedelta(seconds=limit))
        outcome = Gate(world, policy, timing, self, stopped_by).run()
        assert self.outcomes == [outcome]  # told, and once
        return outcome


def forbid(finding: Finding) -> Callable[..., bool]:
    """An act that is refused."""

    def act(*_: object) -> bool:
        raise FindingError(finding)

    return act


def unreached(*_: object) -> Any:  # noqa: ANN401 -- in the place of any function
    pytest.fail("this was not to be asked or done")


# --- looking ------------------------------------------------------------------------------------------------------


def test_a_healthy_world_passes_at_the_first_look_without_sleeping_or_acting() -> None:
    course = Course()
    outcome = course.run(world())
    assert (outcome.finding.reason, course.slept, course.acts) == (Reason.PASSED, [], [])


def test_the_migration_is_looked_at_before_the_stores() -> None:
    """Else one that ends between the two looks finished beside a schema it had not yet made."""
    order: list[str] = []

    def noted(name: str, value: T) -> Callable[[], T]:
        def read() -> T:
            order.append(name)
            return value

        return read

    healthy = observation()
    gate.observe(
        world(
            also={
                "migration": noted("migration", healthy.migration),
                "stores": {store: noted(f"store {store}", healthy.stores[store]) for store in Store},
            }
        ),
        NOW,
    )
    assert order == ["migration", "store default", "store visibility"]


@pytest.mark.parametrize(
    ("place", "seen"),
    [
        ({"run": unknown(Reason.API_FORBIDDEN)}, lambda it: it.run),
        ({"migration": unknown(Reason.API_FORBIDDEN)}, lambda it: it.migration),
        (
            {"stores": stores(visibility=unknown(Reason.API_FORBIDDEN))},
            lambda it: it.stores[Store.VISIBILITY],
        ),
        ({"application": unknown(Reason.API_FORBIDDEN)}, lambda it: it.application),
        ({"runtime": unknown(Reason.API_FORBIDDEN)}, lambda it: it.runtime),
        ({"frontend": unknown(Reason.API_FORBIDDEN)}, lambda it: it.frontend),
        ({"downstream": {BOOTSTRAP: unknown(Reason.API_FORBIDDEN)}}, lambda it: it.downstream[BOOTSTRAP]),
        ({"gate": unknown(Reason.API_FORBIDDEN)}, lambda it: it.gate),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_a_reader_cannot_see_is_unknown_in_its_place_and_the_rest_is_seen_all_the_same(
    place: dict[str, Any], seen: Callable[[Observation], object]
) -> None:
    found = gate.observe(world(**place), NOW)
    assert seen(found) == unknown(Reason.API_FORBIDDEN)
    values = [found.run, found.migration, *found.stores.values(), found.application, found.runtime, found.frontend]
    assert sum(isinstance(value, Unknown) for value in (*values, *found.downstream.values(), found.gate)) == 1


def test_what_is_not_configured_is_none_and_not_looked_at() -> None:
    found = gate.observe(world(application=None, runtime=None, frontend=None, downstream={}), NOW)
    assert (found.application, found.runtime, found.frontend, found.downstream, found.gate) == (
        None,
        None,
        None,
        {},
        None,
    )


def test_a_readers_bug_is_not_taken_for_something_unseen() -> None:
    def read() -> Runtime:
        raise KeyError("metadata")

    with pytest.raises(KeyError):
        Course().run(world(also={"runtime": read}))


def test_the_jobs_of_runtime_and_downstream_are_looked_at_once_they_were_reached() -> None:
    """The runtime's may be its guard."""
    asked: list[Application] = []

    def jobs(of: Application) -> JobsSeen:
        asked.append(of)
        return {NAMESPACES: job(ref=NAMESPACES)}

    reached, coming = application(BOOTSTRAP), ahead(MIGRATIONS)
    found = gate.observe(world(also={"jobs": jobs}, downstream=downstream(reached, coming)), NOW)
    assert asked == [application(RUNTIME), reached]
    assert found.jobs == {NAMESPACES: job(ref=NAMESPACES)}


# --- acting -------------------------------------------------------------------------------------------------------

CRASHED = (in_back_off("history", RUN_STARTED - 1), in_back_off("history", RUN_STARTED - 1, number=1))


@pytest.mark.parametrize("done", [True, False])
def test_each_act_goes_to_the_one_who_does_it_and_says_whether_somebody_was_faster(*, done: bool) -> None:
    asked: list[object] = []

    def doer(name: str) -> Callable[..., bool]:
        def act(*arguments: object) -> bool:
            asked.append((name, *arguments))
            return done

        return act

    doers = {name: doer(name) for name in ("migrate", "sync", "refresh", "delete_pod")}
    can_act = world(also=doers)
    migrate = Migrate(migration(), 2, "")
    assert gate.carry_out(can_act, migrate) is done
    assert gate.carry_out(can_act, Resync(application(), 3, "")) is done
    assert gate.carry_out(can_act, Refresh(application(), "")) is done
    assert gate.carry_out(can_act, RestartPods(CRASHED, "")) is done
    assert asked == [
        ("migrate", migrate),
        ("sync", application(), 3, ()),
        ("refresh", application()),
        *(("delete_pod", one) for one in CRASHED),
    ]


def test_a_pod_that_somebody_else_deleted_does_not_keep_the_next_from_its_restart() -> None:
    deleted: list[str] = []

    def delete(one: Pod) -> bool:
        deleted.append(one.name)
        return one.name != CRASHED[0].name

    assert not gate.carry_out(world(also={"delete_pod": delete}), RestartPods(CRASHED, ""))
    assert deleted == [one.name for one in CRASHED]


@pytest.mark.parametrize("done", [True, False])
def test_an_act_is_told_and_the_world_looked_at_again(*, done: bool) -> None:
    course = Course()
    also = {"migrate": lambda _: done, "stores": {Store.DEFAULT: reads(EMPTY[Store.DEFAULT], stores()[Store.DEFAULT])}}
    assert course.run(world(also=also)).finding.reason is Reason.PASSED
    assert [(type(act), told) for act, told in course.acts] == [(Migrate, done)]


# --- refused acts -------------------------------------------------------------------------------------------------

REFUSED = Finding(Reason.API_FORBIDDEN, "Application argocd/data-migrations-temporal", "cannot patch")


def test_a_refused_act_is_tried_again_each_turn_and_ends_the_run_with_its_code_after_the_grace() -> None:
    course, tries = Course(), []

    def migrate(act: Migrate) -> bool:
        tries.append(act.attempt)
        raise FindingError(REFUSED)

    outcome = course.run(world(also={"migrate": migrate}, stores=BEHIND), policy(grace=timedelta(seconds=10)))
    assert outcome.finding == REFUSED
    first_refusal = next(seen.now for seen in course.seen if seen.refused)
    assert timedelta(seconds=10) <= course.now - first_refusal < timedelta(seconds=10 + INTERVAL)
    assert tries == [1] * (len(course.seen) - 1)
    assert course.acts == []


def test_a_refusal_that_went_away_is_forgotten_and_a_later_one_has_its_whole_grace() -> None:
    course, answers = Course(), iter([REFUSED, None, *[REFUSED] * 1000])

    def migrate(_: Migrate) -> bool:
        refusal = next(answers)
        if refusal:
            raise FindingError(refusal)
        return True

    assert course.run(world(also={"migrate": migrate}, stores=BEHIND)).finding == REFUSED
    assert [len(seen.refused) for seen in course.seen[:4]] == [0, 1, 0, 1]
    assert course.seen[2].since == {}
    assert course.now - course.seen[3].now >= policy().grace


def test_the_deadline_names_an_act_that_was_refused_beside_what_it_was_to_bring() -> None:
    away = finding(Reason.API_UNREACHABLE, "patch")
    outcome = Course().run(world(also={"migrate": forbid(away)}, stores=BEHIND))
    assert outcome.finding.reason is Reason.DEADLINE_EXCEEDED
    assert [one.reason for one in outcome.missing] == [Reason.MIGRATION_RUNNING, Reason.API_UNREACHABLE]


# --- since when ---------------------------------------------------------------------------------------------------


def test_a_finding_keeps_its_age_while_it_lasts_and_loses_it_when_it_goes() -> None:
    course, denied = Course(), unknown(Reason.API_FORBIDDEN, "runtime")
    also = {"runtime": reads(denied, denied, denied, runtime(), denied)}
    course.run(world(also=also, **AWAY), policy(grace=timedelta(seconds=30)))
    key = denied.finding.key
    ages = [seen.since.get(key) for seen in course.seen[:6]]
    first, anew = course.seen[0].now, course.seen[4].now
    assert ages == [first, first, first, None, anew, anew]


def test_a_finding_whose_words_change_is_the_same_finding() -> None:
    course = Course()
    saying = [Unknown(replace(finding(Reason.API_FORBIDDEN, "runtime"), detail=text)) for text in ("one", "another")]
    course.run(world(also={"runtime": reads(*saying)}, **AWAY), policy(grace=timedelta(seconds=30)))
    assert course.seen[1].since[saying[0].finding.key] == course.seen[0].now


def test_the_age_of_every_kind_of_finding_is_kept() -> None:
    places: Sequence[tuple[str, Any]] = [
        (name, unknown(Reason.API_UNREACHABLE, name))
        for name in ("run", "migration", "application", "frontend", "gate")
    ]
    crash = in_back_off("worker", RUN_STARTED + 1, Reason.TABLE_PERMISSION_DENIED)
    assert crash.finding is not None
    course = Course()
    course.run(
        world(
            **dict(places),
            **AWAY,
            runtime=runtime(crash),
            downstream={BOOTSTRAP: unknown(Reason.API_UNREACHABLE, "bootstrap")},
        ),
        limit=1,
    )
    assert {about for _, about in course.seen[0].since} == {
        "run",
        "migration",
        "application",
        "frontend",
        "gate",
        "bootstrap",
        "store default",
        crash.finding.about,
    }


def test_a_commit_that_argo_cd_syncs_itself_keeps_its_age_until_it_was_left_long_enough() -> None:
    """By any turn's look at it, whatever else there was to be waited for."""
    waiting = ahead(MIGRATIONS, policy=SyncPolicy(is_automated=True))
    course = Course()
    course.run(world(migration=migration(application=waiting), stores=BEHIND, also={"migrate": lambda _: True}))
    pending = applications.pending_sync(waiting)
    assert pending is not None
    first = course.seen[0].now
    assert {seen.since[pending.key] for seen in course.seen} == {first}
    acted_at = next(seen.now for seen, step in zip(course.seen, course.steps, strict=True) if isinstance(step, Migrate))
    assert (acted_at - first).total_seconds() >= 30


# --- pausing ------------------------------------------------------------------------------------------------------


def test_the_pause_is_short_after_a_change_and_grows_up_to_the_interval_while_nothing_changes() -> None:
    course = Course()
    waiting = unknown(Reason.DATABASE_UNREACHABLE, "store default")
    recovering = unknown(Reason.DATABASE_IN_RECOVERY, "store default")
    changing: Callable[[], Schema] = reads(*[waiting] * 20, recovering)
    course.run(world(also={"stores": {Store.DEFAULT: changing}}), limit=200)
    growing = [min(0.05 * 1.25**turn, INTERVAL) for turn in range(19)]
    for slept, longest in zip(course.slept, [*growing, INTERVAL, *growing], strict=False):
        assert 0.8 * longest <= slept <= longest


def test_the_pause_is_short_again_when_a_migration_gets_on() -> None:
    course = Course()
    moving: Callable[[], Schema] = reads(*[schema(Store.DEFAULT, "1.0")] * 10, schema(Store.DEFAULT, "1.17"))
    course.run(world(also={"stores": {Store.DEFAULT: moving}}, migration=migration(MigrationPhase.RUNNING)), limit=200)
    assert course.slept[9] > 0.05
    assert course.slept[10] <= 0.05


def test_the_longest_pause_is_the_interval_however_short() -> None:
    course = Course()
    course.run(world(**AWAY), interval=0.05, limit=61)
    assert max(course.slept) <= 0.05


@pytest.mark.parametrize(
    ("before", "after", "alike"),
    [
        (Wait((finding(Reason.API_UNREACHABLE),)), Wait((replace(finding(Reason.API_UNREACHABLE), detail="!"),)), True),
        (Wait((finding(Reason.API_UNREACHABLE),)), Wait((finding(Reason.DATABASE_UNREACHABLE),)), False),
        (Wait((finding(Reason.API_UNREACHABLE, "a"),)), Wait((finding(Reason.API_UNREACHABLE, "b"),)), False),
        (Migrate(migration(), 1, "empty"), Migrate(migration(), 1, "behind"), True),
        (Migrate(migration(), 1, ""), Migrate(migration(), 2, ""), False),
        (RestartPods(CRASHED, ""), RestartPods(CRASHED, ""), True),
        (RestartPods(CRASHED, ""), RestartPods(CRASHED[:1], ""), False),
        (Resync(application(), 1, ""), Resync(application(health="Degraded"), 1, ""), True),
        (Resync(application(), 1, ""), Resync(application(), 2, ""), False),
        (Refresh(application(), ""), Refresh(application(resource_version="2"), ""), True),
        (Refresh(application(), ""), Refresh(application(MIGRATIONS), ""), False),
        (Refresh(application(), ""), Resync(application(), 1, ""), False),
    ],
)
def test_a_turn_is_like_the_one_before_when_it_is_about_the_same_thing(
    before: Step, after: Step, *, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter([before, after])
    monkeypatch.setattr(planner, "next_step", lambda *_: next(steps, Pass()))
    course = Course()
    course.run(world())
    second_pause = course.slept[1]
    assert second_pause > 0.05 if alike else second_pause <= 0.05


# --- the deadline -------------------------------------------------------------------------------------------------


def test_the_deadline_ends_the_run_and_names_what_was_missing_with_its_remedy() -> None:
    outcome = Course().run(world(**AWAY))
    missing = finding(Reason.DATABASE_UNREACHABLE, "store default")
    assert outcome.finding.reason is Reason.DEADLINE_EXCEEDED
    assert outcome.missing == (missing,)
    assert outcome.finding.detail == str(missing)
    assert outcome.finding.remedy == missing.remedy


def test_the_gate_never_sleeps_beyond_its_deadline_and_uses_the_time_up_to_it() -> None:
    course = Course()
    course.run(world(**AWAY))
    deadline = at(RUN_STARTED + LIMIT)
    assert deadline - timedelta(seconds=INTERVAL) <= course.now < deadline


def test_a_pause_that_would_end_after_the_deadline_is_not_slept() -> None:
    course = Course()
    assert course.run(world(**AWAY), limit=-RUN_STARTED + 0.03).finding.reason is Reason.DEADLINE_EXCEEDED
    assert course.slept == []


def test_the_deadline_counts_from_the_start_of_the_run_and_not_of_this_process() -> None:
    started_anew = Course()
    outcome = started_anew.run(world(run=Run("run", at(-LIMIT - 1)), **AWAY))
    assert outcome.finding.reason is Reason.DEADLINE_EXCEEDED
    assert started_anew.slept == []


def test_a_run_whose_start_cannot_be_seen_counts_from_its_own() -> None:
    course = Course()
    outcome = course.run(world(run=unknown(Reason.API_UNREACHABLE)))
    assert outcome.finding.reason is Reason.DEADLINE_EXCEEDED
    assert at(LIMIT - INTERVAL) <= course.now < at(LIMIT)


def test_a_pass_after_the_deadline_is_a_pass() -> None:
    assert Course().run(world(run=Run("run", at(-LIMIT - 1)))).finding.reason is Reason.PASSED


@pytest.mark.parametrize(
    ("reachability", "reason"),
    [(Reachability.AUTO, Reason.PASSED_WITH_WARNING), (Reachability.ALWAYS, Reason.DEADLINE_EXCEEDED)],
)
def test_a_deadline_before_the_end_of_patience_is_the_end_of_patience(
    reachability: Reachability, reason: Reason
) -> None:
    """As a watchdog has it, whose runs are shorter than ten minutes: `auto` never closes a gate over Temporal alone."""
    course = Course()
    patient = policy(reachability=reachability, patience=timedelta(seconds=LIMIT))
    outcome = course.run(world(frontend=unknown(Reason.FRONTEND_UNREACHABLE, "frontend")), patient, limit=540)
    assert outcome.finding.reason is reason
    assert [warning.reason for warning in (*outcome.warnings, *outcome.missing)] == [Reason.FRONTEND_UNREACHABLE]
    assert course.now >= at(RUN_STARTED + 540 - INTERVAL)


REFUSAL = finding(Reason.FRONTEND_REFUSES_GATE, "frontend")


@pytest.mark.parametrize(
    ("frontend", "reachability", "reason", "waited"),
    [
        (Frontend(unproved=REFUSAL), Reachability.ALWAYS, Reason.FRONTEND_REFUSES_GATE, True),
        (Frontend(unproved=REFUSAL), Reachability.AUTO, Reason.PASSED_WITH_WARNING, False),
        (Frontend(trouble=REFUSAL), Reachability.ALWAYS, Reason.FRONTEND_REFUSES_GATE, True),
        (Frontend(trouble=REFUSAL), Reachability.AUTO, Reason.PASSED_WITH_WARNING, True),
    ],
)
def test_a_frontend_that_refuses_the_gate_is_given_the_grace(
    frontend: Frontend,
    reachability: Reachability,
    reason: Reason,
    waited: bool,  # noqa: FBT001 -- a case of the test
) -> None:
    """By the age of the finding, whatever part of the answer it stands in."""
    course = Course()
    patient = policy(reachability=reachability)
    outcome = course.run(world(frontend=frontend), patient, limit=540)
    assert outcome.finding.reason is reason
    grace = patient.grace if waited else timedelta(0)
    assert grace <= course.now - NOW < grace + timedelta(seconds=2 * INTERVAL)


def test_a_day_of_waiting_is_a_day_of_the_injected_clock_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", unreached)
    course, day = Course(), 86_400.0
    course.run(world(**AWAY), limit=day, interval=600)
    assert sum(course.slept) == pytest.approx((course.now - NOW).total_seconds())
    assert day + RUN_STARTED - 600 <= sum(course.slept) < day


# --- stopping -----------------------------------------------------------------------------------------------------


def stops_at(number: int, reason: Reason = Reason.STOPPED) -> Callable[[], Reason | None]:
    """Asked for the so-manieth time whether to stop, it says so, and ever after."""
    asked = iter(range(1, 1_000_000))
    return lambda: reason if next(asked) >= number else None


def test_a_gate_that_is_stopped_before_it_looks_looks_at_nothing() -> None:
    outcome = Course().run(world(also={"run": unreached, "migration": unreached}), stopped_by=stops_at(1))
    assert (outcome.finding.reason, outcome.finding.detail) == (Reason.STOPPED, "nothing was under way")


def test_a_gate_that_is_stopped_while_it_looks_looks_no_further() -> None:
    outcome = Course().run(world(also={"run": unreached}), stopped_by=stops_at(2))
    assert outcome.finding.reason is Reason.STOPPED


def test_a_gate_that_is_stopped_after_it_looked_does_not_act_and_says_what_was_due() -> None:
    course = Course()
    stopped_by: Callable[[], Reason | None] = lambda: Reason.STOPPED if course.seen else None  # noqa: E731
    outcome = course.run(world(also={"migrate": unreached}, stores=EMPTY), stopped_by=stopped_by)
    assert outcome.finding.reason is Reason.STOPPED
    assert [one.reason for one in outcome.missing] == [Reason.MIGRATION_RUNNING]
    assert "attempt 1 is due" in outcome.finding.detail
    assert len(course.seen) == 1


def test_a_gate_that_is_stopped_while_it_sleeps_does_not_look_again() -> None:
    course = Course()
    outcome = course.run(world(**AWAY), stopped_by=lambda: Reason.STOPPED if course.slept else None)
    assert outcome.finding.reason is Reason.STOPPED
    assert outcome.missing == (finding(Reason.DATABASE_UNREACHABLE, "store default"),)
    assert len(course.seen) == 1


def test_the_keyboard_and_a_signal_stop_it_each_under_its_name() -> None:
    outcome = Course().run(world(**AWAY), stopped_by=stops_at(3, Reason.INTERRUPTED))
    assert outcome.finding.reason is Reason.INTERRUPTED


def test_a_stop_that_is_raised_into_a_hanging_call_ends_the_run() -> None:
    def hang() -> Runtime:
        raise StopRequested

    assert Course().run(world(also={"runtime": hang})).finding.reason is Reason.STOPPED


# --- ending -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("warnings", "reason"),
    [
        ((), Reason.PASSED),
        ((finding(Reason.SCHEMA_NEWER), finding(Reason.MINOR_SKIPPED)), Reason.PASSED),
        ((finding(Reason.SCHEMA_NEWER), finding(Reason.CRASH_LOOPING)), Reason.PASSED_WITH_WARNING),
        ((finding(Reason.DOWNSTREAM_FAILED),), Reason.PASSED_WITH_WARNING),
    ],
    ids=["without a warning", "with harmless ones", "with trouble among them", "with trouble"],
)
def test_a_pass_with_trouble_is_told_apart_from_one_with_notes(warnings: tuple[Finding, ...], reason: Reason) -> None:
    outcome = steps.outcome_of(Pass(warnings))
    assert (outcome.finding.reason, outcome.warnings, outcome.missing) == (reason, warnings, ())


def test_a_failure_is_its_own_outcome() -> None:
    failed = finding(Reason.SCHEMA_STUCK)
    assert steps.outcome_of(Fail(failed)) == Outcome(failed)


@pytest.mark.parametrize(
    ("step", "reason", "words"),
    [
        (Migrate(migration(), 2, "default is empty"), Reason.MIGRATION_RUNNING, "attempt 2 is due: default is empty"),
        (RestartPods(CRASHED, "in back-off"), Reason.PODS_NOT_STABLE, "a restart is due: in back-off"),
        (Resync(application(), 3, "failed"), Reason.DOWNSTREAM_RUNNING, "sync 3 is due"),
        (Refresh(application(), "before a sync"), Reason.COMPARISON_PENDING, "before a sync"),
    ],
    ids=["migrate", "restart", "resync", "refresh"],
)
def test_a_run_that_ends_on_an_act_misses_what_the_act_was_to_bring(step: Step, reason: Reason, words: str) -> None:
    outcome = steps.outcome_of(step)
    assert outcome.finding.reason is Reason.DEADLINE_EXCEEDED
    assert [(one.reason, one.detail) for one in outcome.missing] == [(reason, words)]


def test_a_run_that_saw_nothing_says_so() -> None:
    assert steps.outcome_of(None).finding.detail == "nothing was seen"


def test_a_remedy_that_cures_two_things_is_given_once() -> None:
    twice = Wait((finding(Reason.DATABASE_UNREACHABLE, "default"), finding(Reason.DATABASE_UNREACHABLE, "visibility")))
    assert steps.outcome_of(twice).finding.remedy == Reason.DATABASE_UNREACHABLE.remedy


def test_a_whole_repair_acts_once_for_each_thing_that_is_wrong() -> None:
    """Migrated, restarted, compared and synced again, in this order, each at the first look after the one before."""
    failed = application(operation=operation(OperationPhase.FAILED), compared_at=at(RUN_STARTED))
    compared = replace(failed, compared_at=NOW)
    course = Course()
    also = {
        "stores": {Store.DEFAULT: reads(EMPTY[Store.DEFAULT], stores()[Store.DEFAULT])},
        "runtime": reads(runtime(CRASHED[0]), runtime(CRASHED[0]), runtime()),
        "downstream": {BOOTSTRAP: reads(failed, failed, failed, compared, application())},
        **dict.fromkeys(("sync", "refresh", "delete_pod"), lambda *_: True),
    }
    assert course.run(world(also=also)).finding.reason is Reason.PASSED
    assert [type(act) for act, _ in course.acts] == [Migrate, RestartPods, Refresh, Resync]


def test_an_application_is_synced_as_it_was_last_seen() -> None:
    """Its resourceVersion is what makes the write a compare-and-swap."""
    synced: list[Application] = []

    def sync(seen: Application, *_: object) -> bool:
        synced.append(seen)
        return True

    failed = application(operation=operation(OperationPhase.FAILED), resource_version="41")
    later = replace(failed, resource_version="42")
    also = {"downstream": {BOOTSTRAP: reads(failed, later, application())}, "sync": sync}
    Course().run(world(also=also))
    assert [seen.resource_version for seen in synced] == ["41", "42"]


def test_the_moment_at_which_the_default_store_was_last_without_a_schema_is_the_api_servers() -> None:
    times = iter([None, at(-300), at(-299), at(-298), at(-297)])
    gone, away = (
        unknown(Reason.DATABASE_MISSING, "store default"),
        unknown(Reason.DATABASE_UNREACHABLE, "store default"),
    )
    wrong, right = EMPTY[Store.DEFAULT], stores()[Store.DEFAULT]
    also = {
        "cluster_time": lambda: next(times, at(-200)),
        "stores": {Store.DEFAULT: reads(away, gone, away, wrong, away, right)},
        "migrate": lambda _: True,
    }
    course = Course()
    course.run(world(also=also))
    assert [seen.absent_at for seen in course.seen][:6] == [None, at(-300), at(-300), at(-298), at(-298), at(-298)]


def test_the_moment_before_which_pods_are_restarted_is_the_api_servers_alone() -> None:
    """By this program's own clock, were it ahead, each pod that a restart makes would be restarted again."""
    times = iter([None, None, at(-300), at(-299), at(-298), at(-297)])
    away = unknown(Reason.DATABASE_UNREACHABLE, "store default")
    wrong, right = EMPTY[Store.DEFAULT], stores()[Store.DEFAULT]
    also = {
        "cluster_time": lambda: next(times, at(-200)),
        "stores": {Store.DEFAULT: reads(away, away, away, wrong, right)},
        "migrate": lambda _: True,
    }
    course = Course()
    course.run(world(also=also))
    assert [seen.restarts_before for seen in course.seen][:5] == [None, None, at(-300), at(-300), at(-298)]
