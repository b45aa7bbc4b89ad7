"""The rules of an audit: each a pure function of what was seen that yields findings, and what it could not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hook.audit.rules import argocd, gate, guards, jobs, order, syncs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hook.audit.holds import Finding, Unseen
    from hook.audit.rollout import Seen

RULES: tuple[Callable[[Seen], Iterator[Finding | Unseen]], ...] = (
    argocd.progressive_syncs,
    argocd.version,
    order.rolling_sync,
    order.in_a_step,
    order.in_order,
    order.step_updates,
    gate.phase,
    gate.receipt,
    gate.receipt_and_commits,
    jobs.plain_job_before_gate,
    jobs.with_the_servers,
    jobs.renewed,
    jobs.kept,
    syncs.retries,
    syncs.period,
    syncs.release,
    guards.first,
    guards.missing,
)
