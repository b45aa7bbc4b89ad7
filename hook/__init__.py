"""temporal-recovery-hook: gates an Argo CD rollout on Temporal's real state and repairs what can be repaired."""

from importlib.metadata import version

__version__ = version("temporal-recovery-hook")
