"""The growing pause of client-go's ``flowcontrol.Backoff``; knows the times it is told and nothing else."""

from datetime import datetime, timedelta

MAX_SECONDS = 300.0
"""``MaxCrashLoopBackOff`` and ``MaxImageBackOff`` in pkg/kubelet/kubelet.go (Kubernetes v1.36.1)."""


class Backoff:
    """Nothing before the first retry, then ``base`` doubling to five minutes; forgotten after ten quiet minutes.

    As ``doBackOff`` in pkg/kubelet/kuberuntime/kuberuntime_manager.go uses it: the pause is counted from the last
    failure, and a container that ran for twice the maximum since its last start begins again at no pause.
    """

    def __init__(self, base_seconds: float) -> None:
        self._base = base_seconds
        self._updated: datetime | None = None
        self.seconds = 0.0

    def remaining(self, failed_at: datetime, now: datetime) -> float:
        """Seconds still to wait; 0 when the next try may start."""
        if self._expired(failed_at):
            return 0.0
        return max(0.0, self.seconds - (now - failed_at).total_seconds())

    def next(self, failed_at: datetime, now: datetime) -> None:
        """A new try starts: the pause after its failure is the next longer one."""
        grown = self._base if self._expired(failed_at) else self.seconds * 2
        self.seconds = min(grown, MAX_SECONDS)
        self._updated = now

    def _expired(self, failed_at: datetime) -> bool:
        return self._updated is None or failed_at - self._updated > timedelta(seconds=2 * MAX_SECONDS)


def go_duration(seconds: float) -> str:
    """As Go prints a time.Duration: ``500ms``, ``10s``, ``1m20s``, ``5m0s``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:g}m{rest:g}s" if minutes else f"{rest:g}s"
