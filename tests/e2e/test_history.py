"""What the scenarios judge by is whole: no version of an object is lost between two watches."""

import time
from collections.abc import Callable

from lab.history import History, Watched
from lab.platform import Platform
from lab.processes import wait_until

VERSIONS = 150
PAUSE_SECONDS = 0.03


def test_history_has_every_version(platforms: Callable[[str], Platform]) -> None:
    """An object that changes all the time, followed by watches of a second each."""
    client = platforms("3.6").client
    path = "/api/v1/namespaces/default/configmaps"
    client.create(path, {"metadata": {"name": "restless"}, "data": {"version": "first"}})
    written = {str(number) for number in range(VERSIONS)}

    def seen(history: History) -> set[str]:
        return {one.body["data"]["version"] for one in history.versions("ConfigMap", "restless")}

    try:
        with History([Watched(client, "ConfigMap", path)], watch_seconds=1) as history:
            wait_until(lambda: seen(history), 10, "the history to begin")
            for number in range(VERSIONS):
                client.patch(f"{path}/restless", {"data": {"version": str(number)}})
                time.sleep(PAUSE_SECONDS)
            wait_until(lambda: str(VERSIONS - 1) in seen(history), 10, "the last version")
            assert written - seen(history) == set()
    finally:
        client.delete(f"{path}/restless")
