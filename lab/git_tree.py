"""An example as a team has it in its repository: its own names, hosts and charts, everything else as it stands.

It is ``examples/rollout``, or that with another one's files over it.

Knows the examples, YAML and nothing that runs. What a scenario wants otherwise it changes in the parsed values and commits.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from lab.images import admin_tools_tag

if TYPE_CHECKING:
    from lab.temporal import Databases

Json = dict[str, Any]

MIGRATIONS = "data-migrations-temporal"
GATE = "data-temporal-recovery-hook"
RUNTIME = "data-temporal"
SECOND_GATE = "data-temporal-second-gate"
"""Of the lab alone, where a scenario asks for it: without a guard, a second gate holds what needs Temporal."""
BOOTSTRAP = "data-temporal-namespace-bootstrap"
APPLICATIONS = (MIGRATIONS, GATE, RUNTIME, BOOTSTRAP)
"""In the order of their steps, as the examples name them; a team's are prefixed with its name."""

TEMPORAL_NAMESPACE = "orders"
"""The namespace that the bootstrap registers in Temporal."""

_ROOT = Path(__file__).parent.parent
_EXAMPLES = _ROOT / "examples"
_CHARTS = {
    "temporal": _ROOT / "lab" / "charts" / "temporal",
    "temporal-recovery-hook": _ROOT / "charts" / "temporal-recovery-hook",
}
_GUARDED = (RUNTIME, BOOTSTRAP)
"""The charts that the examples depend on, put where ``helm dependency`` would put them, at the version that is asked for."""


class GitTree:
    """What one team commits. ``values`` by Application, ``release`` and ``application_set`` are there to be changed.

    Without the examples' guards until `guard` is called: most scenarios show what a gate repairs, and a guard lets none of
    that happen.
    """

    def __init__(
        self, team: str, repository_url: str, databases: Databases, host: str, example: str = "rollout"
    ) -> None:
        """A team whose name is the prefix of its Applications and its namespace, with its database at ``host``."""
        self.team = team
        self._layers = [_EXAMPLES / "rollout", _EXAMPLES / example]
        self.release: Json = _parsed(self._file("temporal/release.yaml"))
        self.application_set: Json = _parsed(self._file("applicationset.yaml"))
        self._folders: dict[str, str] = {one["name"]: one["folder"] for one in self._elements()}
        self._adapt_application_set(repository_url)
        self.values: dict[str, Json] = {
            name: _parsed(self._file(f"{folder}/values.yaml")) for name, folder in self._folders.items()
        }
        self.more: dict[str, str] = {}
        """Further files by path, such as a template of a team's own chart."""
        self.roll_to(self.release["temporal"]["server"]["image"]["tag"])
        self._adapt(databases, host)

    def name(self, application: str) -> str:
        """What an Application of the examples is called here."""
        return f"{self.team}-{application}"

    @property
    def gate(self) -> Json:
        """The values of the gate's chart."""
        return _dependency(self.values[GATE])

    @property
    def second_gate(self) -> Json:
        """Those of the second one's."""
        return _dependency(self.values[SECOND_GATE])

    def guard_of(self, application: str) -> Json:
        """The values of the guard in an Application."""
        found: Json = self.values[application]["guard"]
        return found

    @property
    def migrations(self) -> Json:
        """The values of Temporal's chart in the migrations."""
        return _dependency(self.values[MIGRATIONS])

    @property
    def runtime(self) -> Json:
        """Those of the runtime."""
        found: Json = self.values[RUNTIME]["temporal"]
        return found

    def guard(self) -> None:
        """Be as the examples are: a guard in runtime and bootstrap."""
        for name in self._guarded():
            del self.values[name]["guard"]["enabled"]

    def add_second_gate(self) -> None:
        """Put one between runtime and bootstrap, with the gate's values but for what makes it the second one.

        Not in one Application, where the gate is in the runtime's step.
        """
        gate = copy.deepcopy(self.gate)
        del gate["downstream"]
        self.values[SECOND_GATE] = {"temporal-recovery-hook": gate | {"reachability": "always"}}
        self._folders[SECOND_GATE] = "temporal/second-gate"
        elements = self._elements()
        elements.insert(-1, {"name": self.name(SECOND_GATE), "phase": "452", "folder": self._folders[SECOND_GATE]})
        self.add_step("452")

    def take_out_the_gate(self) -> None:
        """Be as before the gate came: without its Application and folder, its phase, and every guard."""
        phase = next(one["phase"] for one in self._elements() if one["name"] == self.name(GATE))
        self.leave_out(GATE)
        del self._folders[GATE]
        for step in self.application_set["spec"]["strategy"]["rollingSync"]["steps"]:
            values = step["matchExpressions"][0]["values"]
            values[:] = [value for value in values if value != phase]
        helm = self.application_set["spec"]["template"]["spec"]["source"]["helm"]
        helm["parameters"] = [
            one for one in helm["parameters"] if not one["name"].startswith("temporal-recovery-hook.")
        ]
        for name in self._guarded():
            del self.values[name]["guard"]
        for chart in ("temporal-recovery-hook", "guard"):
            del self.release[chart]

    def roll_to(self, release: str, admin_tools: str | None = None) -> None:
        """Say in the release's file which Temporal is rolled out; ``admin_tools`` where the schema's tool is another's."""
        self.release["temporal"]["server"]["image"]["tag"] = release
        self.release["temporal"]["admintools"]["image"]["tag"] = admin_tools_tag(admin_tools or release)
        for chart in ("temporal-recovery-hook", "guard"):
            self.release[chart]["temporal"]["version"] = release

    def deploy_to(self, server: str) -> None:
        """Name the cluster that all of it is deployed to, by its API server, which Argo CD has to know."""
        self.application_set["spec"]["template"]["spec"]["destination"]["server"] = server

    def sync_by_hand(self) -> None:
        """Leave every sync to people: no RollingSync, no automated sync, no retry."""
        spec = self.application_set["spec"]
        policy = spec["template"]["spec"]["syncPolicy"]
        del spec["strategy"], policy["automated"], policy["retry"]

    def give_up_at_once(self) -> None:
        """Let the schema Job fail the first time: 0.x has that in ``schema.setup``, 1.x in ``schema``."""
        schema = (self.migrations if MIGRATIONS in self.values else self.runtime)["schema"]
        schema.get("setup", schema)["backoffLimit"] = 0

    def merge_steps(self, *phases: str) -> None:
        """Put the Applications of these phases into one step of RollingSync, where the first of them is."""
        steps = self.application_set["spec"]["strategy"]["rollingSync"]["steps"]
        values = [step["matchExpressions"][0]["values"] for step in steps]
        flat = [[phase] for each in values for phase in each]
        first = next(number for number, each in enumerate(flat) if each[0] in phases)
        merged = [each for each in flat if each[0] not in phases]
        merged.insert(first, list(phases))
        expression = steps[0]["matchExpressions"][0]
        steps[:] = [{"matchExpressions": [{**expression, "values": each}]} for each in merged]

    def leave_out(self, *applications: str) -> None:
        """Generate no Application for these."""
        elements = self._elements()
        elements[:] = [one for one in elements if one["name"] not in {self.name(each) for each in applications}]

    def add(self, application: str, phase: str, folder: str) -> None:
        """Generate one more Application, from this folder; its step has to be there."""
        self._elements().append({"name": self.name(application), "phase": phase, "folder": folder})

    def add_step(self, phase: str) -> None:
        """Give this phase a step of its own, in the order of the phases."""
        steps = self.application_set["spec"]["strategy"]["rollingSync"]["steps"]
        expression = steps[0]["matchExpressions"][0]
        steps.append({"matchExpressions": [{**expression, "values": [phase]}]})
        steps.sort(key=lambda step: int(step["matchExpressions"][0]["values"][0]))

    def files(self) -> dict[str, str]:
        """Everything, by path in the repository."""
        found = {"temporal/release.yaml": _dumped(self.release)}
        for name, folder in self._folders.items():
            source = self._folders[GATE] if name == SECOND_GATE else folder
            for layer in self._layers:
                found |= _texts(layer / source, folder)
            found[f"{folder}/values.yaml"] = _dumped(self.values[name])
            described = yaml.safe_load(found[f"{folder}/Chart.yaml"])
            wanted = [
                one for one in described.get("dependencies", []) if one.get("alias", one["name"]) in self.values[name]
            ]
            if wanted != described.get("dependencies", []):
                found[f"{folder}/Chart.yaml"] = _dumped(described | {"dependencies": wanted})
            for dependency in wanted:
                chart = f"{folder}/charts/{dependency['name']}"
                found |= _texts(_CHARTS[dependency["name"]], chart)
                version = f"version: {dependency['version']}"
                found[f"{chart}/Chart.yaml"] = re.sub(r"(?m)^version: .*", version, found[f"{chart}/Chart.yaml"])
        return found | self.more

    def _file(self, path: str) -> Path:
        """Where this file of the example is."""
        return next(found for layer in reversed(self._layers) if (found := layer / path).is_file())

    def _elements(self) -> list[Json]:
        generators = self.application_set["spec"]["generators"][0]["matrix"]["generators"]
        elements: list[Json] = generators[1]["list"]["elements"]
        return elements

    def _adapt_application_set(self, repository_url: str) -> None:
        self.application_set["metadata"]["name"] = self.team
        spec = self.application_set["spec"]
        git = spec["generators"][0]["matrix"]["generators"][0]["git"]
        git["repoURL"] = repository_url
        git["requeueAfterSeconds"] = 5  # a minute in the examples
        for element in self._elements():
            element["name"] = self.name(element["name"])
        template = spec["template"]["spec"]
        template["source"]["repoURL"] = repository_url
        template["destination"]["namespace"] = self.team

    def _guarded(self) -> list[str]:
        return [name for name in _GUARDED if "guard" in self.values[name]]

    def _adapt(self, databases: Databases, host: str) -> None:
        for name in {MIGRATIONS, RUNTIME} & self.values.keys():
            config = (self.migrations if name == MIGRATIONS else self.runtime)["server"]["config"]
            config["persistence"] = copy.deepcopy(config["persistence"])  # an example may share it by an anchor
            _adapt_persistence(config["persistence"], host, databases.port)
        address = f"temporal-frontend.{self.team}.svc:7233"
        for chart in (self.gate, *map(self.guard_of, self._guarded())):
            chart["stores"]["default"] |= {"host": host, "port": databases.port}
            if "frontend" in chart.get("temporal", {}):
                chart["temporal"]["frontend"]["address"] = address
            for block in (chart["migrations"], chart.get("runtime", {})):
                if "namespace" in block:
                    block["namespace"] = self.team
            for block in (chart["migrations"], chart.get("runtime", {}), *chart.get("downstream", [])):
                reference = block.get("application", block)
                if "name" in reference:
                    reference["name"] = self.name(reference["name"])
        for name in self._guarded():
            self.guard_of(name)["enabled"] = False
        self.values[BOOTSTRAP]["address"] = address


def _adapt_persistence(persistence: Json, host: str, port: int) -> None:
    """Of Temporal's chart 0.x, or of 1.x with its ``datastores``."""
    for store in ("default", "visibility"):
        if "datastores" in persistence:
            persistence["datastores"][store]["sql"]["connectAddr"] = f"{host}:{port}"
        else:
            persistence[store]["sql"] |= {"host": host, "port": port}


def _dependency(values: Json) -> Json:
    """The one block of values that is for the dependency."""
    (found,) = values.values()
    return cast("Json", found)


def _parsed(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _dumped(value: Json) -> str:
    return str(yaml.safe_dump(value, sort_keys=False))


def _texts(folder: Path, where: str) -> dict[str, str]:
    return {
        f"{where}/{path.relative_to(folder)}": path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
