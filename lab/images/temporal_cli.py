"""Two commands of Temporal's command line, for the bootstrap Job: ``temporal operator namespace describe|create NAME``.

In place of the real one, whose build is as large as the server's again. Knows ``TEMPORAL_ADDRESS``; exit 1 with the server's
own words where it fails.
"""

import os
import sys

from lab.temporal_client import CallError, describe_namespace, register_namespace

_COMMANDS = {"describe": describe_namespace, "create": register_namespace}


def main() -> None:
    """Do what the command line says."""
    *command, verb, namespace = sys.argv[1:]
    if command != ["operator", "namespace"] or verb not in _COMMANDS:
        sys.exit(f"temporal: the lab's has no '{' '.join(sys.argv[1:])}'")
    try:
        said = _COMMANDS[verb](os.environ["TEMPORAL_ADDRESS"], namespace)
    except CallError as error:
        sys.exit(f"Error: unable to {verb} namespace {namespace}: {error}")
    print(f"namespace {namespace}: {said or 'registered'}")


if __name__ == "__main__":
    main()
