"""Each rule of an audit on a rollout that has its fault, and on one that has not. What only a guard makes up for, too."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from rollouts import (
    BOOTSTRAP,
    GATE,
    GATE_JOB,
    GUARD,
    HOLDS,
    MIGRATIONS,
    PLAIN_SCHEMA_JOB,
    RECEIPT,
    ROLES,
    RUNTIME,
    SCHEMA_JOB,
    SERVER,
    SET,
    step,
    with_app,
    with_argocd,
    with_set,
    without_guards,
)

from hook.audit.holds import Hold, Severity
from hook.audit.rollout import ApplicationSet, Chart, Expression, Resource, Retry, Seen, Step
from hook.audit.rules.syncs import releases
from hook.audit.verdict import judge
from hook.observation.applications import ApplicationRef

OTHER_SET = ApplicationRef("argocd", "other")
CHART = {"app.kubernetes.io/name": "temporal-recovery-hook"}


def found(seen: Seen) -> dict[Hold, tuple[ApplicationRef | None, Severity]]:
    """What an audit finds, about what and how grave; each once."""
    return {one.hold: (one.about, one.severity) for one in judge(seen).all_findings}


def test_a_rollout_that_holds_has_no_findings() -> None:
    """All of it seen, and both holds named for what is held."""
    verdict = judge(HOLDS)
    assert verdict.all_findings == ()
    assert verdict.unseen == ()
    held = {one.ref: one for one in verdict.applications}
    assert [one.unseen for one in held.values()] == [(), (), (), ()]
    assert held[GATE].holds == held[MIGRATIONS].holds == ()
    for ref, number in ((RUNTIME, 3), (BOOTSTRAP, 4)):
        guard, gate = held[ref].holds
        assert guard == "its guard in wave -5: its own sync applies nothing before the guard has passed"
        assert gate == f"the gate: RollingSync starts its step {number} of 4 after the gate's step 2"


PLAIN = without_guards()
FAILS = Severity.FAILS
WARNS = Severity.WARNING


def phase(ref: ApplicationRef, value: str | None) -> Callable[[Seen], Seen]:
    return lambda seen: with_app(ref, seen, labels={} if value is None else {"rollout-phase": value})


def with_resources(ref: ApplicationRef, *resources: Resource) -> Callable[[Seen], Seen]:
    return lambda seen: with_app(ref, seen, resources=resources)


def plain_set(seen: Seen, ref: ApplicationRef) -> Seen:
    return with_app(ref, seen, set_ref=None)


@pytest.mark.parametrize(
    ("change", "hold", "about", "severity"),
    [
        pytest.param(
            lambda seen: with_argocd(seen, progressive_syncs=False), Hold.PROGRESSIVE_SYNCS_OFF, None, FAILS, id="off"
        ),
        pytest.param(lambda seen: with_argocd(seen, version=(3, 5, 1)), Hold.ARGO_CD_FAULT, None, FAILS, id="3.5.1"),
        pytest.param(lambda seen: with_argocd(seen, version=(2, 12, 4)), Hold.ARGO_CD_FAULT, None, FAILS, id="2.12"),
        pytest.param(
            lambda seen: with_set(seen, strategy=""), Hold.NOT_ROLLING_SYNC, GATE, FAILS, id="default strategy"
        ),
        pytest.param(
            lambda seen: with_set(seen, strategy="rollingSync"),
            Hold.NOT_ROLLING_SYNC,
            RUNTIME,
            FAILS,
            id="misspelt strategy",
        ),
        pytest.param(lambda seen: with_set(seen, steps=()), Hold.NOT_ROLLING_SYNC, RUNTIME, FAILS, id="no steps"),
        pytest.param(lambda seen: with_set(seen, updates=False), Hold.NOT_ROLLING_SYNC, GATE, FAILS, id="create-only"),
        pytest.param(lambda seen: plain_set(seen, GATE), Hold.NOT_ROLLING_SYNC, GATE, FAILS, id="the gate in no set"),
        pytest.param(
            lambda seen: plain_set(seen, RUNTIME), Hold.NOT_ROLLING_SYNC, RUNTIME, FAILS, id="runtime in no set"
        ),
        pytest.param(
            lambda seen: replace(
                with_app(BOOTSTRAP, seen, set_ref=OTHER_SET),
                sets={**seen.sets, OTHER_SET: ApplicationSet(OTHER_SET, "RollingSync", (step("455"),))},
            ),
            Hold.NOT_ROLLING_SYNC,
            BOOTSTRAP,
            FAILS,
            id="bootstrap in another set",
        ),
        pytest.param(phase(GATE, "301"), Hold.IN_NO_STEP, GATE, FAILS, id="the gate's label in no step"),
        pytest.param(phase(RUNTIME, None), Hold.IN_NO_STEP, RUNTIME, FAILS, id="runtime without the label"),
        pytest.param(phase(MIGRATIONS, "0"), Hold.IN_NO_STEP, MIGRATIONS, FAILS, id="migrations in no step"),
        pytest.param(
            lambda seen: with_set(
                seen,
                steps=(*seen.sets[SET].steps[:2], Step((Expression("rollout-phase", "Exists", ()),)), step("455")),
            ),
            Hold.IN_NO_STEP,
            RUNTIME,
            FAILS,
            id="an operator that steps do not have",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(step("450"), step("265"), step("300"), step("455"))),
            Hold.STEPS_OUT_OF_ORDER,
            RUNTIME,
            FAILS,
            id="runtime first",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(step("265"), step("300", "450"), step("455"))),
            Hold.STEPS_OUT_OF_ORDER,
            RUNTIME,
            FAILS,
            id="runtime with the gate",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(step("265"), step("300"), step("450", "455"))),
            Hold.STEPS_OUT_OF_ORDER,
            BOOTSTRAP,
            FAILS,
            id="bootstrap with the runtime",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(step("300"), step("265"), step("450"), step("455"))),
            Hold.STEPS_OUT_OF_ORDER,
            GATE,
            FAILS,
            id="the gate before the migrations",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(Step(()), *seen.sets[SET].steps)),
            Hold.STEPS_OUT_OF_ORDER,
            RUNTIME,
            FAILS,
            id="a first step that selects all",
        ),
        pytest.param(
            lambda seen: with_set(seen, steps=(step("265"), step("300", most=0), *seen.sets[SET].steps[2:])),
            Hold.STEP_UPDATES_NOTHING,
            GATE,
            WARNS,
            id="maxUpdate 0",
        ),
        pytest.param(
            with_resources(MIGRATIONS, PLAIN_SCHEMA_JOB),
            Hold.PLAIN_JOB_BEFORE_GATE,
            MIGRATIONS,
            FAILS,
            id="plain Job before",
        ),
        pytest.param(
            lambda seen: with_resources(MIGRATIONS, PLAIN_SCHEMA_JOB)(
                with_set(seen, steps=(step("265", "300", most="50%"), step("450"), step("455")))
            ),
            Hold.PLAIN_JOB_BEFORE_GATE,
            MIGRATIONS,
            FAILS,
            id="plain Job in the gate's step, one at a time",
        ),
        pytest.param(
            with_resources(GATE, replace(GATE_JOB, phases=("PostSync",)), RECEIPT),
            Hold.POST_SYNC_GATE,
            GATE,
            FAILS,
            id="PostSync",
        ),
        pytest.param(
            lambda seen: with_app(
                GATE,
                seen,
                resources=None,
                charts=(Chart("temporal-recovery-hook", "0.1.0"),),
                values={"hook.phase": "PostSync"},
            ),
            Hold.POST_SYNC_GATE,
            GATE,
            FAILS,
            id="PostSync by its values",
        ),
        pytest.param(
            with_resources(GATE, replace(GATE_JOB, phases=("SyncFail",)), RECEIPT),
            Hold.POST_SYNC_GATE,
            GATE,
            FAILS,
            id="SyncFail",
        ),
        pytest.param(with_resources(GATE, GATE_JOB), Hold.NO_RECEIPT, GATE, FAILS, id="a hook alone"),
        pytest.param(with_resources(GATE, SERVER), Hold.NO_RECEIPT, GATE, FAILS, id="no gate at all"),
        pytest.param(
            with_resources(GATE, GATE_JOB, replace(RECEIPT, wave=0)),
            Hold.NO_RECEIPT,
            GATE,
            FAILS,
            id="the receipt too early",
        ),
        pytest.param(
            with_resources(GATE, GATE_JOB, replace(RECEIPT, revision="")),
            Hold.RECEIPT_IGNORES_COMMITS,
            GATE,
            FAILS,
            id="a receipt without revision",
        ),
        pytest.param(
            lambda seen: with_app(GATE, seen, values={"temporal-recovery-hook.receipt.revision": "1"}),
            Hold.RECEIPT_IGNORES_COMMITS,
            GATE,
            FAILS,
            id="a revision that never changes",
        ),
        pytest.param(
            lambda seen: with_app(GATE, seen, values={"receipt.revision": "$ARGOCD_APP_REVISION"}, is_from_git=False),
            Hold.RECEIPT_IGNORES_COMMITS,
            GATE,
            FAILS,
            id="the revision of a chart",
        ),
        pytest.param(
            lambda seen: with_app(GATE, seen, resources=None, charts=(Chart("temporal-recovery-hook", "0.1.0"),)),
            Hold.RECEIPT_IGNORES_COMMITS,
            GATE,
            FAILS,
            id="no revision in the values",
        ),
        pytest.param(
            with_resources(GATE, replace(GATE_JOB, phases=()), RECEIPT),
            Hold.RECEIPT_IGNORES_COMMITS,
            GATE,
            FAILS,
            id="a managed gate that keeps its name",
        ),
        pytest.param(
            lambda seen: with_app(GATE, seen, retry=Retry(0, refresh=True)), Hold.NO_RETRY, GATE, WARNS, id="limit 0"
        ),
        pytest.param(
            lambda seen: with_app(RUNTIME, seen, retry=Retry(5)),
            Hold.RETRY_WITHOUT_REFRESH,
            RUNTIME,
            WARNS,
            id="no refresh",
        ),
        pytest.param(
            lambda seen: with_set(seen, has_period=False, generators=("list",)), Hold.NO_PERIOD, None, WARNS, id="list"
        ),
        pytest.param(
            lambda seen: with_app(RUNTIME, seen, values={"server.image.tag": "1.29.1"}),
            Hold.RELEASE_IN_APPLICATION,
            RUNTIME,
            FAILS,
            id="a release as parameter",
        ),
        pytest.param(
            lambda seen: with_set(
                with_resources(MIGRATIONS, PLAIN_SCHEMA_JOB)(seen), steps=(step("265", "300"), step("450"), step("455"))
            ),
            Hold.JOB_NOT_RENEWED,
            MIGRATIONS,
            WARNS,
            id="a plain Job of constant name",
        ),
        pytest.param(
            lambda seen: with_app(
                MIGRATIONS,
                seen,
                resources=(replace(PLAIN_SCHEMA_JOB, name="temporal-schema-$ARGOCD_APP_REVISION_SHORT"),),
                prune=False,
            ),
            Hold.JOB_NOT_RENEWED,
            MIGRATIONS,
            WARNS,
            id="a plain Job that is not pruned",
        ),
        pytest.param(
            with_resources(RUNTIME, GUARD, SERVER, PLAIN_SCHEMA_JOB),
            Hold.MIGRATIONS_WITH_RUNTIME,
            RUNTIME,
            FAILS,
            id="the schema Job among the servers",
        ),
        pytest.param(
            lambda seen: replace(
                with_app(RUNTIME, seen, resources=None, charts=(Chart("temporal", "0.73.2"),)),
                roles=replace(ROLES, migrations=RUNTIME),
            ),
            Hold.MIGRATIONS_WITH_RUNTIME,
            RUNTIME,
            FAILS,
            id="chart 0.x as one Application",
        ),
        pytest.param(with_resources(RUNTIME, SERVER), Hold.NO_GUARD, RUNTIME, WARNS, id="no guard"),
        pytest.param(
            with_resources(RUNTIME, replace(GUARD, wave=0), SERVER),
            Hold.GUARD_NOT_FIRST,
            RUNTIME,
            FAILS,
            id="a late guard",
        ),
        pytest.param(
            with_resources(RUNTIME, replace(GUARD, phases=("PostSync",)), SERVER),
            Hold.GUARD_NOT_FIRST,
            RUNTIME,
            FAILS,
            id="a PostSync guard",
        ),
        pytest.param(
            with_resources(RUNTIME, GUARD, SERVER, replace(GUARD, phases=("PreSync",), name="seed", labels={})),
            Hold.GUARD_NOT_FIRST,
            RUNTIME,
            FAILS,
            id="a PreSync hook before a Sync guard",
        ),
        pytest.param(
            with_resources(MIGRATIONS, replace(SCHEMA_JOB, ttl="86400")), Hold.JOB_WITH_TTL, MIGRATIONS, WARNS, id="TTL"
        ),
        pytest.param(
            with_resources(GATE, replace(GATE_JOB, ttl="0"), RECEIPT), Hold.JOB_WITH_TTL, GATE, WARNS, id="TTL 0"
        ),
    ],
)
def test_each_fault_is_found(
    change: Callable[[Seen], Seen], hold: Hold, about: ApplicationRef | None, severity: Severity
) -> None:
    """About its Application, with its severity; without guards, so that the gate has to hold."""
    seen = change(PLAIN)
    own = [one for one in judge(seen).all_findings if one.hold is hold and one.about == about]
    assert [one.severity for one in own] == [severity]
    assert own[0].detail
    before = [one for one in judge(PLAIN).all_findings if one.hold is hold and hold is not Hold.NO_GUARD]
    assert before == []


def test_every_row_of_the_table_is_found_by_some_case() -> None:
    """No finding that no rule yields."""
    (mark,) = [one for one in test_each_fault_is_found.pytestmark if one.name == "parametrize"]  # type: ignore[attr-defined]
    assert {case.values[1] for case in mark.args[1]} == set(Hold)


@pytest.mark.parametrize(
    ("change", "hold"),
    [
        pytest.param(lambda seen: with_argocd(seen, progressive_syncs=False), Hold.PROGRESSIVE_SYNCS_OFF, id="off"),
        pytest.param(lambda seen: with_set(seen, strategy=""), Hold.NOT_ROLLING_SYNC, id="no RollingSync"),
        pytest.param(phase(GATE, None), Hold.IN_NO_STEP, id="the gate in no step"),
        pytest.param(with_resources(GATE, GATE_JOB), Hold.NO_RECEIPT, id="no receipt"),
    ],
)
def test_guards_make_up_for_an_order_that_does_not_hold(change: Callable[[Seen], Seen], hold: Hold) -> None:
    """It is still told, as a warning; with one guard missing it fails again."""
    seen = change(HOLDS)
    assert found(seen)[hold][1] is WARNS
    assert judge(seen).fails == ()
    assert "a guard holds data-temporal" in next(one.detail for one in judge(seen).all_findings if one.hold is hold)
    held = {one.ref: one.holds for one in judge(seen).applications}
    assert [one.partition(" in ")[0] for one in held[RUNTIME]] == ["its guard"]
    assert found(with_resources(BOOTSTRAP, SERVER)(seen))[hold][1] is FAILS


def test_a_guard_makes_up_for_its_own_application_alone() -> None:
    """A runtime in no step is held by its guard; a bootstrap's guard is no help to it."""
    seen = phase(RUNTIME, None)(HOLDS)
    assert found(seen)[Hold.IN_NO_STEP] == (RUNTIME, WARNS)
    assert found(with_resources(BOOTSTRAP, SERVER)(seen))[Hold.IN_NO_STEP] == (RUNTIME, WARNS)
    assert found(with_resources(RUNTIME, SERVER)(seen))[Hold.IN_NO_STEP] == (RUNTIME, FAILS)


def test_guards_need_no_rolling_sync() -> None:
    """Plain Applications with a guard each are a way of their own, with a gate beside them or without; not one without."""
    plain = HOLDS
    for ref in HOLDS.apps:
        plain = plain_set(plain, ref)
    assert judge(plain).all_findings == ()
    failing = {one.about for one in judge(with_resources(RUNTIME, SERVER)(plain)).fails}
    assert failing == {GATE, RUNTIME}


def test_without_gate_and_guard_nothing_holds() -> None:
    """A guard alone does; none is more than a warning where no gate is named."""
    guards_alone = replace(HOLDS, roles=replace(ROLES, gate=None), sets={}, apps=HOLDS.apps)
    guards_alone = with_app(RUNTIME, with_app(BOOTSTRAP, guards_alone, set_ref=None), set_ref=None)
    assert judge(guards_alone).fails == ()
    bare = without_guards(guards_alone)
    assert [(one.hold, one.about) for one in judge(bare).fails if one.hold is Hold.NO_GUARD] == [
        (Hold.NO_GUARD, RUNTIME),
        (Hold.NO_GUARD, BOOTSTRAP),
    ]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda seen: with_set(seen, steps=(step("265", "300"), step("450"), step("455"))), id="one step for two"
        ),
        pytest.param(
            lambda seen: with_app(
                MIGRATIONS,
                with_set(seen, steps=(step("265", "300"), step("450"), step("455"))),
                resources=(PLAIN_SCHEMA_JOB,),
                values={"migrations.fullnameOverride": "schema-$ARGOCD_APP_REVISION_SHORT"},
            ),
            id="a plain Job in the gate's step, named by the commit",
        ),
        pytest.param(
            lambda seen: with_app(
                MIGRATIONS,
                with_set(seen, steps=(step("265", "300"), step("450"), step("455")), default_prune=True),
                resources=(replace(PLAIN_SCHEMA_JOB, name="schema-0123abc"),),
                revision="0123abcdef",
                prune=False,
            ),
            id="named by the commit and pruned by the set",
        ),
        pytest.param(
            lambda seen: with_app(
                MIGRATIONS,
                with_set(seen, steps=(step("265", "300"), step("450"), step("455"))),
                resources=(replace(PLAIN_SCHEMA_JOB, is_replaced=True),),
            ),
            id="replaced by force",
        ),
        pytest.param(
            lambda seen: with_app(
                MIGRATIONS,
                with_set(seen, steps=(step("265", "300"), step("450"), step("455"))),
                resources=(replace(PLAIN_SCHEMA_JOB, name="schema-1-29-1"),),
            ),
            id="named by the release",
        ),
        pytest.param(
            lambda seen: with_argocd(
                with_resources(GATE, replace(GATE_JOB, phases=("PostSync",)), RECEIPT)(seen), version=(3, 2, 11)
            ),
            id="PostSync up to 3.2",
        ),
        pytest.param(
            with_resources(GATE, replace(GATE_JOB, phases=("PreSync",)), replace(RECEIPT, wave=0)), id="a PreSync gate"
        ),
        pytest.param(lambda seen: with_app(GATE, seen, retry=None), id="no retry of its own: Argo CD's five"),
        pytest.param(
            lambda seen: with_argocd(with_app(GATE, seen, retry=Retry(5)), version=(3, 1, 9)),
            id="no refresh before 3.2",
        ),
        pytest.param(
            lambda seen: with_argocd(with_app(RUNTIME, seen, values={"image.tag": "1.29.1"}), version=(3, 2, 11)),
            id="a release in the Application before 3.3",
        ),
        pytest.param(
            lambda seen: with_app(
                RUNTIME, seen, values={"server.replicas": "3", "receipt.revision": "$ARGOCD_APP_REVISION"}
            ),
            id="values that are no release",
        ),
        pytest.param(
            lambda seen: replace(
                with_set(
                    with_resources(RUNTIME, SERVER, replace(SCHEMA_JOB, phases=("PreSync",)))(seen),
                    steps=(step("300", "450"), step("455")),
                ),
                roles=replace(ROLES, migrations=RUNTIME),
            ),
            id="chart 1.x as one Application, the gate beside it",
        ),
        pytest.param(lambda seen: with_argocd(seen, version=(3, 5, 2)), id="the version after the faulty one"),
        pytest.param(
            lambda seen: with_app(MIGRATIONS, seen, set_ref=None),
            id="migrations outside: the gate asks them wherever they are",
        ),
        pytest.param(
            with_resources(RUNTIME, SERVER, replace(SERVER, kind="Job", name="backup", ttl="5")), id="another's TTL"
        ),
    ],
)
def test_what_is_no_fault_is_not_found(change: Callable[[Seen], Seen]) -> None:
    """Nothing but the guards that are not there."""
    assert set(found(change(PLAIN))) == {Hold.NO_GUARD}


@pytest.mark.parametrize(
    ("change", "about", "says"),
    [
        (lambda seen: with_argocd(seen, progressive_syncs=None), None, "whether progressive syncs are on"),
        (lambda seen: with_argocd(seen, version=None), None, "Argo CD's version"),
        (lambda seen: with_app(GATE, seen, resources=None), GATE, "the gate's Job"),
        (lambda seen: with_app(GATE, seen, resources=None), GATE, "the gate's receipt"),
        (lambda seen: with_app(GATE, seen, resources=None), GATE, "whether its receipt carries the commit"),
        (
            lambda seen: with_argocd(
                with_resources(GATE, replace(GATE_JOB, phases=("PostSync",)), RECEIPT)(seen), version=None
            ),
            GATE,
            "whether its PostSync hook holds",
        ),
        (lambda seen: with_app(RUNTIME, seen, resources=None), RUNTIME, "whether it has a guard"),
        (
            lambda seen: with_app(RUNTIME, seen, labels={"rollout-phase": None}),
            RUNTIME,
            "the labels that put it into a step",
        ),
        (lambda seen: with_app(RUNTIME, seen, labels=None), RUNTIME, "the labels that put it into a step"),
        (lambda seen: with_app(MIGRATIONS, seen, resources=None), MIGRATIONS, "whether its schema Job is a hook"),
        (lambda seen: with_app(MIGRATIONS, seen, resources=None), MIGRATIONS, "its Jobs"),
        (lambda seen: with_app(GATE, seen, retry=None, retry_is_seen=False), GATE, "its syncPolicy.retry"),
        (lambda seen: with_app(RUNTIME, seen, values=None), RUNTIME, "its Helm values"),
        (
            lambda seen: replace(seen, apps={k: v for k, v in seen.apps.items() if k != RUNTIME}),
            RUNTIME,
            "the Application",
        ),
        (
            with_resources(GATE, replace(GATE_JOB, wave=None), replace(RECEIPT, name="x", labels={})),
            GATE,
            "whether something managed comes after",
        ),
    ],
)
def test_what_was_not_seen_is_said_and_counts_for_neither(
    change: Callable[[Seen], Seen], about: ApplicationRef | None, says: str
) -> None:
    """No finding rests on it."""
    verdict = judge(change(HOLDS))
    told = {one.ref: one.unseen for one in verdict.applications} | {None: verdict.unseen}
    assert any(one.startswith(says) for one in told[about]), told
    assert verdict.all_findings == ()


@pytest.mark.parametrize(
    ("path", "value", "is_release"),
    [
        ("image.tag", "1.29.1", True),
        ("temporal.version", "v1.29.1", True),
        ("temporal-recovery-hook.temporal.version", "{{ .release }}", True),
        ("server.image", "temporalio/server:1.29.1", True),
        ("kustomize.images[0].image", "temporalio/server=registry.example/server:main", True),
        ("imageTag", "1.29", True),
        ("image.tag", "main", True),
        ("path", "temporal/releases/1.29.1", True),
        ("path", "temporal/runtime", False),
        ("helm.valueFiles[0]", "../release.yaml", False),
        ("helm.valueFiles[1]", "values-1.29.1.yaml", True),
        ("plugin.env.TEMPORAL_VERSION", "1.29.1", True),
        ("stage", "1.29", False),
        ("receipt.revision", "$ARGOCD_APP_REVISION", False),
        ("image.tag", "$ARGOCD_APP_REVISION_SHORT", False),
        ("image.pullPolicy", "IfNotPresent", False),
        ("image.repository", "temporalio/server", False),
        ("database.version", "", False),
        ("stage", "production", False),
    ],
)
def test_which_values_are_releases(path: str, value: str, is_release: bool) -> None:  # noqa: FBT001 -- a case's answer
    """By their name and their look."""
    assert releases({path: value}) == ([path] if is_release else [])


def test_a_guard_by_a_source_of_the_application() -> None:
    """A second source of this chart is one; where its waves are not known it is believed."""
    charts = (Chart("temporal", "1.6.0"), Chart("temporal-recovery-hook", "0.1.0"))
    seen = with_app(RUNTIME, PLAIN, resources=None, charts=charts, values={"hook.wave": "-5"})
    verdict = judge(seen)
    (held,) = [one for one in verdict.applications if one.ref == RUNTIME]
    assert held.holds[0].startswith("its guard in wave -5")
    assert held.findings == ()
    late = with_app(RUNTIME, seen, values={"hook.phase": "PostSync"})
    assert found(late)[Hold.GUARD_NOT_FIRST] == (RUNTIME, FAILS)


@pytest.mark.parametrize("steps", [("300", "450", "455"), ("450", "300", "455")])
def test_a_gate_shares_the_step_of_the_one_application(steps: tuple[str, ...]) -> None:
    """Before it, it waits for what comes after; after it, it may never be started. It leaves what follows unheld."""
    one = with_resources(RUNTIME, SERVER, replace(SCHEMA_JOB, phases=("PreSync",)))(PLAIN)
    one = with_set(replace(one, roles=replace(ROLES, migrations=RUNTIME)), steps=tuple(map(step, steps)))
    (finding,) = judge(one).fails
    assert (finding.hold, finding.about, finding.holds_not) == (Hold.STEPS_OUT_OF_ORDER, GATE, (BOOTSTRAP,))


def test_one_application_of_chart_1_holds_its_servers_itself() -> None:
    """By its PreSync hook; whatever the order."""
    one = with_resources(RUNTIME, SERVER, replace(SCHEMA_JOB, phases=("PreSync",)))(HOLDS)
    one = with_set(replace(one, roles=replace(ROLES, migrations=RUNTIME)), strategy="")
    (held,) = [each for each in judge(one).applications if each.ref == RUNTIME]
    assert held.holds == ("its own Job temporal-schema, a PreSync hook: servers are applied after it",)
    assert judge(one).fails == ()


@pytest.mark.parametrize("kind", ["Secret", "ServiceAccount", "ConfigMap"])
def test_what_runs_nothing_may_come_before_a_guard(kind: str) -> None:
    """Its own Secret has to."""
    assert found(with_resources(RUNTIME, Resource(kind, "a", wave=-10), GUARD, SERVER)(HOLDS)) == {}
    assert Hold.GUARD_NOT_FIRST in found(
        with_resources(RUNTIME, Resource("Widget", "a", wave=-10), GUARD, SERVER)(HOLDS)
    )


def test_hooks_that_the_last_sync_did_not_name_are_unseen() -> None:
    """A first sync that is still to come, or one of some resources alone: neither no guard nor no gate."""
    seen = with_app(RUNTIME, with_app(GATE, PLAIN, resources=(RECEIPT,), hooks_are_seen=False), hooks_are_seen=False)
    told = {one.ref: " ".join(one.unseen) for one in judge(seen).applications}
    assert "its last sync does not name its hooks" in told[RUNTIME]
    assert "the gate's Job" in told[GATE]
    assert set(found(seen)) == {Hold.NO_GUARD}  # of the bootstrap
    assert found(seen)[Hold.NO_GUARD][0] == BOOTSTRAP


@pytest.mark.parametrize(
    ("version", "values", "expected"),
    [
        ("0.73.2", {}, {Hold.PLAIN_JOB_BEFORE_GATE, Hold.JOB_NOT_RENEWED, Hold.JOB_WITH_TTL}),
        (
            "0.73.2",
            {"schema.update.enabled": "False"},
            {Hold.PLAIN_JOB_BEFORE_GATE, Hold.JOB_NOT_RENEWED, Hold.JOB_WITH_TTL},
        ),
        (
            "0.73.2",
            {"fullnameOverride": "schema-$ARGOCD_APP_REVISION_SHORT"},
            {Hold.PLAIN_JOB_BEFORE_GATE, Hold.JOB_WITH_TTL},
        ),
        ("1.6.0", {}, {Hold.JOB_WITH_TTL}),
        ("1.6.0", {"schema.ttlSecondsAfterFinished": "null"}, set()),
        (
            "1.6.0",
            {"schema.useHelmHooks": "False"},
            {Hold.PLAIN_JOB_BEFORE_GATE, Hold.JOB_NOT_RENEWED, Hold.JOB_WITH_TTL},
        ),
    ],
)
def test_temporals_chart_tells_what_it_renders(version: str, values: dict[str, str], expected: set[Hold]) -> None:
    """By its version and its values, where all of them stand in the Application (templates/server-job.yaml)."""
    charts = (Chart("temporal", version),)
    assert set(found(with_app(MIGRATIONS, HOLDS, resources=None, charts=charts, values=values))) == expected
    files = {**values, "helm.valueFiles[0]": "values.yaml"}
    unseen = judge(with_app(MIGRATIONS, HOLDS, resources=None, charts=charts, values=files))
    assert unseen.all_findings == ()
    assert "its Jobs" in " ".join(unseen.applications[0].unseen)


def test_the_servers_chart_brings_its_own_schema_job_unless_that_is_off() -> None:
    """0.x renders it wherever one of its three parts is on, beside migrations of their own, too."""
    charts = (Chart("temporal", "0.73.2"), Chart("temporal-recovery-hook", "0.1.0"))
    whole = with_app(RUNTIME, HOLDS, resources=None, charts=charts)
    assert found(whole)[Hold.MIGRATIONS_WITH_RUNTIME] == (RUNTIME, FAILS)
    off = {f"schema.{part}.enabled": "False" for part in ("createDatabase", "setup", "update")}
    assert found(with_app(RUNTIME, whole, values=off)) == {}


def test_a_watchdog_is_no_guard() -> None:
    """Its Job comes after everything."""
    watchdog = Resource("CronJob", "temporal-gate-watchdog", wave=1, labels=CHART)
    assert Hold.NO_GUARD in found(with_resources(RUNTIME, SERVER, watchdog)(HOLDS))


def test_rollouts_share_one_application_for_two_roles() -> None:
    """It is told once, with both."""
    seen = replace(HOLDS, roles=replace(ROLES, migrations=RUNTIME))
    assert next((one.ref, tuple(map(str, one.roles))) for one in judge(seen).applications) == (
        RUNTIME,
        ("migrations", "runtime"),
    )
