"""Images that the registry does not have, by a real pull: what tells it, and the commit that mends it."""

from audited import GATE_ALONE, shows
from scenario import Json, assert_passed, assert_works, on, says

from lab import toolchain
from lab.git_tree import BOOTSTRAP, GATE, RUNTIME
from lab.object_status import component_of
from lab.team import SERVERS, Team

pytestmark = shows(GATE_ALONE)

ABSENT = "1.29.99"


def unpulled(pods: list[Json]) -> dict[str, str]:
    """The pods of which an image cannot be pulled, by their component, and what the kubelet says of it."""
    return {
        component_of(pod): waiting["message"]
        for pod in pods
        for status in pod.get("status", {}).get("containerStatuses", [])
        if (waiting := status["state"].get("waiting", {})).get("reason") in {"ErrImagePull", "ImagePullBackOff"}
    }


@on("3.6")
def test_images_missing(team: Team) -> None:
    """A commit with three images that nobody has, mended one after the other: the gate's, the migrations', the servers'.

    Of its own the gate can tell nothing: its pod and Argo CD do. A sync waits for its hook Job, and takes up no commit: it
    has to be terminated.
    """
    team.git.roll_to(toolchain.RELEASE, admin_tools=ABSENT)
    team.git.release["temporal"]["server"]["image"]["tag"] = ABSENT
    team.git.gate.update(
        {"image": {"tag": ABSENT}, "graceSeconds": 5, "patienceSeconds": 5, "hook": {"backoffLimit": 0}}
    )
    first = team.roll_out()

    told = team.until(lambda: unpulled(team.gate().pods()), "the gate's image not to be pulled")["gate"]
    assert f":{ABSENT}" in told
    assert team.events(GATE) == []
    waits = "waiting for completion of hook batch/Job/"
    team.until(lambda: waits in team.operation(GATE)["message"], "the sync to wait for its hook")

    del team.git.gate["image"]
    team.commit("the gate's image is there")
    team.holds_for(10, lambda: team.operation(GATE)["operation"]["sync"].get("revision", first) == first, "held")
    team.terminate(GATE)
    says(team, f"temporalio/admin-tools:{ABSENT}")
    # The pod that never started is ended, too, when its sync is.
    messages = team.until(lambda: [message for code, message in team.gate().ends() if code == 5], "the gate to fail")
    assert messages[0].startswith("MigrationHangs: "), messages
    assert "ImageNotPullable" in messages[0]

    server = team.git.release["temporal"]["server"]["image"]["tag"]
    team.git.roll_to(toolchain.RELEASE)
    team.git.release["temporal"]["server"]["image"]["tag"] = server
    revision = team.commit("the migrations' image is there")
    team.until_rolled_out(GATE, revision=revision)
    team.until(lambda: unpulled(team.pods()).keys() >= SERVERS, "no server's image to be pulled")
    assert team.state(RUNTIME)[1] == "Progressing"
    assert team.sync_to_end(GATE)["phase"] == "Succeeded"
    warned = team.gate().ends()[-1]
    assert warned[1].startswith("PassedWithWarning"), warned
    assert "ImageNotPullable" in warned[1]
    assert any("ImageNotPullable" in event and ABSENT in event for event in team.events(GATE))
    assert team.operation(BOOTSTRAP) == {}

    team.git.roll_to(toolchain.RELEASE)
    revision = team.commit("the servers' image is there")
    team.until_rolled_out(revision=revision)
    assert_passed(team)
    assert_works(team)
