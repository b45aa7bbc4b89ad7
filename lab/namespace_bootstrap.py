"""What a namespace bootstrap Job does: ``python -m lab.namespace_bootstrap ADDRESS NAMESPACE``.

Knows nothing but to register a namespace. Exit 0 when it is there, however it came; 1 with the plain error otherwise.
"""

import sys

from lab.temporal_client import CallError, register_namespace


def main() -> int:
    """Register the namespace named on the command line."""
    address, namespace = sys.argv[1:]
    try:
        register_namespace(address, namespace)
    except CallError as error:
        if error.code != "ALREADY_EXISTS":
            print(f"cannot register namespace {namespace} at {address}: {error}", file=sys.stderr)
            return 1
        print(f"namespace {namespace} is there already")
        return 0
    print(f"namespace {namespace} registered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
