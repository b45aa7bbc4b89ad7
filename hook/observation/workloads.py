"""Temporal's servers in Kubernetes: what is wanted, and the pods that are there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from hook.observation.findings import Finding


class PodState(StrEnum):
    """What a pod of Temporal's, or rather its server container, is doing."""

    PENDING = "pending"
    RUNNING = "running"
    BACK_OFF = "in back-off"


@dataclass(frozen=True)
class Pod:
    """A pod that is not being deleted. `started_at` is when its running container started, `crashed_at` its last end.

    `finding` is what keeps it from running, diagnosed from its status and its previous container's log.
    """

    namespace: str
    name: str
    uid: str
    component: str
    state: PodState
    image: str = ""
    ready: bool = False
    probed: bool = False
    started_at: datetime | None = None
    crashed_at: datetime | None = None
    restarts: int = 0
    finding: Finding | None = None


@dataclass(frozen=True)
class Runtime:
    """Temporal's servers in Kubernetes: replicas wanted by component, none when no Deployment is there, and their pods."""

    wanted: Mapping[str, int] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
