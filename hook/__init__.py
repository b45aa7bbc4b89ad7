"""temporal-recovery-hook: gates an Argo CD rollout on Temporal's real state and repairs what can be repaired."""
