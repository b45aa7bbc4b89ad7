"""What the hook costs, against what the same work costs without it: a command, never a timed test."""
