"""Where the rollout is with Temporal's servers, and so whether Temporal is asked for. Pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from hook.decision import guards, outcomes, restarts
from hook.decision.policy import Reachability
from hook.observation import applications
from hook.observation.applications import Application
from hook.observation.workloads import Runtime

if TYPE_CHECKING:
    from hook.decision.policy import Policy
    from hook.observation.observation import Observation


class Stage(Enum):
    """Where the rollout is with Temporal's servers."""

    AHEAD = "its step is still to come"
    DRIFTING = "it was not synced to the present commit, but its pods run the release"
    REACHED = "its step was reached"


def stage(observation: Observation, policy: Policy) -> Stage:
    """Return where the rollout is with the servers.

    An Application that only a person syncs may be OutOfSync for ever, at a commit that each push to the repository changes
    (argo-cd 19771, 9706): where pods of the release that is rolled out run, its step has brought them before. Pods of an
    older release wait for it, and so does one that Argo CD syncs by itself: it brings each commit, once (argo-cd 23187).
    One that its own guard holds back was not reached, unless pods of the release run.
    """
    application = observation.application
    if guards.holds(application, observation) is not None:
        return Stage.REACHED if observation.pods and not _are_old(observation, policy) else Stage.AHEAD
    if not applications.is_ahead(application):
        is_adopted = isinstance(application, Application) and application.operation is None
        return Stage.AHEAD if is_adopted and not observation.pods else Stage.REACHED
    if not isinstance(application, Application) or application.operation is None or not observation.pods:
        return Stage.AHEAD
    if application.policy.is_automated:
        return Stage.AHEAD
    return Stage.AHEAD if _are_old(observation, policy) else Stage.DRIFTING


def _are_old(observation: Observation, policy: Policy) -> bool:
    """Tell whether the pods run an older release than the one that is rolled out."""
    live = restarts.live_release(observation)
    return live is not None and policy.release is not None and live < policy.release


def is_asked_for(observation: Observation, policy: Policy) -> bool:
    """Tell whether Temporal itself has to answer before the gate passes.

    `auto` asks it of a runtime that was reached and has replicas to run. It asks it before the runtime's step, too, where
    an Application after it did its work on a database that is gone and no step will sync it. None at all is asked where no
    runtime is configured.
    """
    runtime = observation.runtime
    scaled_to_zero = isinstance(runtime, Runtime) and bool(runtime.wanted) and not any(runtime.wanted.values())
    if policy.reachability is Reachability.NEVER or observation.frontend is None or scaled_to_zero:
        return False
    if policy.reachability is Reachability.ALWAYS or stage(observation, policy) is not Stage.AHEAD:
        return True
    return outcomes.are_to_be_done_first(observation, policy)
