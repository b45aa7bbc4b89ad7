"""What is decided: one step from an observation and a policy. Pure; knows no client, clock or setting."""
