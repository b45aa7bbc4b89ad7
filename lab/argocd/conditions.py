"""An Application's ``status.conditions``: which stay, which go, and since when they hold.

It knows ``ApplicationStatus.SetConditions`` (argo-cd pkg/apis/application/v1alpha1/types.go, 3.6).
"""

from collections.abc import Collection, Sequence

from lab.api_client import Json

INVALID_SPEC, UNKNOWN, COMPARISON, SYNC, DELETION, SHARED = (
    "InvalidSpecError",
    "UnknownError",
    "ComparisonError",
    "SyncError",
    "DeletionError",
    "SharedResourceWarning",
)


def updated(
    before: Sequence[Json], found: Sequence[tuple[str, str]], evaluated: Collection[str], now: str
) -> list[Json]:
    """The conditions after these types were evaluated: others stay, one with the same message keeps its time."""
    kept = [each for each in before if each["type"] not in evaluated]
    for kind, message in found:
        known = next((each for each in before if each["type"] == kind), None)
        same = known is not None and known["message"] == message
        kept.append(known if known and same else {"type": kind, "message": message, "lastTransitionTime": now})
    return sorted(kept, key=lambda each: (each["type"], each["message"], each["lastTransitionTime"]))


def errors(present: Sequence[Json]) -> str:
    """What keeps an operation from being performed, as it is said of it (``FormatAppConditions``); empty if nothing."""
    kinds = (COMPARISON, INVALID_SPEC)
    return ";".join(f"{each['type']}: {each['message']}" for each in present if each["type"] in kinds)
