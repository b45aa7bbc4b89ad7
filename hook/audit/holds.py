"""The one table of what `audit` finds: what each finding means, for which versions, who says so, and what to do. Pure.

Sources are public: issues of Argo CD by their number, its documentation by its title, its code by package.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from hook.observation.reasons import ExitCode

if TYPE_CHECKING:
    from hook.observation.applications import ApplicationRef


class Severity(StrEnum):
    """What a finding does to the verdict."""

    FAILS = "fails to hold"
    """A release may get past the gate, or the gate is never run where it is needed."""
    WARNING = "warning"
    """It holds, but by luck, or stays closed for longer than it must."""

    @property
    def exit_code(self) -> ExitCode:
        """Return what an audit ends with that finds nothing else."""
        return ExitCode.AUDIT if self is Severity.FAILS else ExitCode.PASSED


class Hold(Enum):
    """A finding: its name, severity, meaning, versions of Argo CD, source and remedy."""

    PROGRESSIVE_SYNCS_OFF = (
        "ProgressiveSyncsOff",
        Severity.FAILS,
        "Progressive syncs are switched off in Argo CD, as they are by default: the strategy is ignored, and every Application is synced at once.",
        "all",
        "Argo CD docs, Progressive Syncs",
        'Set applicationsetcontroller.enable.progressive.syncs: "true" in the ConfigMap argocd-cmd-params-cm and restart the ApplicationSet controller.',
    )
    NOT_ROLLING_SYNC = (
        "NotRollingSync",
        Severity.FAILS,
        "No RollingSync orders the gate and what it is to hold: another strategy, no steps, another ApplicationSet, or none.",
        "all",
        "Argo CD docs, Progressive Syncs",
        "Generate the gate and what it holds by one ApplicationSet with strategy.type: RollingSync and its steps (examples/rollout). Or put a guard into each Application that is to be held.",
    )
    IN_NO_STEP = (
        "InNoStep",
        Severity.FAILS,
        "No step selects the Application by its labels: RollingSync never syncs it and waits for it in no step.",
        "all",
        "Argo CD docs, Progressive Syncs; progressive_sync.go, buildAppDependencyList",
        "Give the Application a label that one step selects, and select by In or NotIn: there is no other operator.",
    )
    STEPS_OUT_OF_ORDER = (
        "StepsOutOfOrder",
        Severity.FAILS,
        "The steps come in another order than migrations, gate, runtime, downstream. Applications of one step are synced together.",
        "all",
        "Argo CD docs, Progressive Syncs",
        "Order the steps: migrations, gate (or both in one step), runtime, downstream. Where one Application has schema Job and servers, the gate shares its step.",
    )
    STEP_UPDATES_NOTHING = (
        "StepUpdatesNothing",
        Severity.WARNING,
        "The step's maxUpdate is 0: RollingSync syncs none of its Applications, so they and all later steps wait for a sync by hand.",
        "all",
        "Argo CD docs, Progressive Syncs",
        "Remove maxUpdate from the step, unless each rollout is meant to wait there for a person.",
    )
    PLAIN_JOB_BEFORE_GATE = (
        "PlainJobBeforeGate",
        Severity.FAILS,
        "The schema Job is a plain Job in a step before the gate's. When it fails, its step is Degraded, the gate never starts, and nothing repairs it.",
        "all",
        "argo-cd 24507",
        "Put the gate into the migrations' step, without maxUpdate, or make the Job a hook.",
    )
    POST_SYNC_GATE = (
        "PostSyncGate",
        Severity.FAILS,
        "The gate is a PostSync hook: its Application is Synced and Healthy before it has run, and that is all a step waits for.",
        "3.3 and later",
        "argo-cd 24507",
        "Leave hook.phase at Sync.",
    )
    NO_RECEIPT = (
        "NoReceipt",
        Severity.FAILS,
        "Nothing managed comes in a wave after the gate's hook, so the Application is Synced before the hook has passed, or the hook is never run.",
        "all",
        "argo-cd 7237, 9830",
        "Deploy the gate by its chart, whose receipt comes in the wave after the hook. Or add a managed ConfigMap in a later wave that changes with every release.",
    )
    RECEIPT_IGNORES_COMMITS = (
        "ReceiptIgnoresCommits",
        Severity.FAILS,
        "The receipt does not carry the commit: one that changes only migrations or runtime leaves the gate's Application Synced, and the gate does not run.",
        "all",
        "Argo CD docs, Build Environment",
        "Set the Helm parameter receipt.revision to $ARGOCD_APP_REVISION, and keep the gate's chart in git: of a chart repository that is only the chart's version.",
    )
    NO_RETRY = (
        "NoRetry",
        Severity.WARNING,
        "A sync that fails is not retried (retry.limit: 0), and RollingSync syncs once a revision: one short outage keeps the rollout closed.",
        "all",
        "argo-cd 23187; Argo CD docs, Progressive Syncs",
        "Set syncPolicy.retry.limit, such as 10, with a backoff; or leave retry out, for Argo CD's own five.",
    )
    RETRY_WITHOUT_REFRESH = (
        "RetryWithoutRefresh",
        Severity.WARNING,
        "A sync that fails retries its own commit until the retries are used up, and takes up the commit that corrects it only then.",
        "3.2 and later; older ones have no such field",
        "argo-cd 11494, 15642",
        "Set syncPolicy.retry.refresh: true.",
    )
    NO_PERIOD = (
        "NoPeriod",
        Severity.WARNING,
        "No generator polls, so the ApplicationSet controller notices a commit that corrects a failed gate only by chance. On 3.6 it is up to two minutes late.",
        "3.3 and later",
        "Argo CD's code, applicationset/generators (GetRequeueAfter)",
        "Combine the list with a git generator in a matrix, and set its requeueAfterSeconds, such as 60.",
    )
    RELEASE_IN_APPLICATION = (
        "ReleaseInApplication",
        Severity.FAILS,
        "The release is in the Application's own specification (a Helm parameter, inline values, an image), not in git. RollingSync may leave the Application OutOfSync and count its step as done.",
        "3.3 and later",
        "argo-cd 27949, 26685",
        "Keep the release in a file in git that the Applications read (valueFiles), as examples/rollout does.",
    )
    JOB_NOT_RENEWED = (
        "JobNotRenewed",
        Severity.WARNING,
        "A plain Job cannot be changed. If it keeps its name, a sync that brings another image fails. If its name changes and the old Job is not pruned, the Application stays OutOfSync.",
        "all",
        "Argo CD docs, Progressive Syncs (Resource Pruning); Kubernetes docs, Jobs",
        "Name the Job after the commit ($ARGOCD_APP_REVISION_SHORT) and set syncPolicy.automated.prune, or make it a hook.",
    )
    MIGRATIONS_WITH_RUNTIME = (
        "MigrationsWithRuntime",
        Severity.FAILS,
        "The schema Job is a plain Job in the servers' own Application, as Temporal's 0.x charts render it: servers and migration start together, and no gate fits between.",
        "all",
        "helm-charts 891; Temporal's chart 0.x, templates/server-job.yaml",
        "Split Temporal's chart into two Applications (docs/install.md), or use its 1.x with schema.useHelmHooks.",
    )
    NO_GUARD = (
        "NoGuard",
        Severity.WARNING,
        "Nothing in the Application itself holds it: a sync by hand passes every gate, and RollingSync itself does not always keep its order.",
        "all",
        "argo-cd 29410, 29347, 22558",
        "Add the chart as a guard inside the Application: a Sync hook Job in a wave before everything else of it.",
    )
    GUARD_NOT_FIRST = (
        "GuardNotFirst",
        Severity.FAILS,
        "The guard does not come before everything else of its Application: what is in its wave or an earlier one is applied without it.",
        "all",
        "Argo CD docs, Sync Phases and Waves",
        "Set hook.wave below the wave of everything else in the Application, such as -5, and leave hook.phase at Sync.",
    )
    JOB_WITH_TTL = (
        "JobWithTtl",
        Severity.WARNING,
        "Kubernetes deletes the finished Job after its TTL. A plain Job is then missing and its Application OutOfSync. Of a hook, Argo CD may not see the end.",
        "all; the hook's hang up to 2.13",
        "argo-cd 18884, 21055",
        "Remove ttlSecondsAfterFinished (Temporal's chart 1.x: schema.ttlSecondsAfterFinished: null). In its chart 0.x it is fixed: sync the Application when it is OutOfSync.",
    )
    ARGO_CD_FAULT = (
        "ArgoCdFault",
        Severity.FAILS,
        "This version of Argo CD has a known bug in progressive syncs.",
        "3.5.1; 2.12",
        "argo-cd 29240, 19535",
        "Use another version of Argo CD.",
    )

    def __init__(self, title: str, severity: Severity, meaning: str, versions: str, source: str, remedy: str) -> None:
        """Give each row's columns a name."""
        self.title = title
        self.severity = severity
        self.meaning = meaning
        self.versions = versions
        self.source = source
        self.remedy = remedy

    def __str__(self) -> str:
        """Return the name that the output and the docs show."""
        return self.title


@dataclass(frozen=True)
class Finding:
    """A finding about an Application, or about all of them where `about` is None.

    `holds_not` are the Applications that it leaves unheld, None: every one that is to be held.
    """

    hold: Hold
    about: ApplicationRef | None
    detail: str
    holds_not: tuple[ApplicationRef, ...] | None = None
    severity: Severity = Severity.WARNING

    @classmethod
    def of(cls, hold: Hold, about: ApplicationRef | None, detail: str, *holds_not: ApplicationRef) -> Finding:
        """Return it with the severity of its row."""
        return cls(hold, about, detail, holds_not or None, hold.severity)


@dataclass(frozen=True)
class Unseen:
    """What could not be seen from what was given, and what would show it. It counts for neither."""

    about: ApplicationRef | None
    what: str
