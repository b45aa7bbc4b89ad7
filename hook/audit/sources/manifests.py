"""Reads Argo CD's objects and what an Application renders, from decoded YAML or JSON, into the values of an audit.

Field names are those of Argo CD's types.go and applicationset_types.go (3.6.1); a field that is missing has its default.
What still holds a template's braces was not seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from hook.audit.rollout import App, ApplicationSet, ArgoCd, Chart, Expression, Resource, Retry, Step
from hook.audit.sources.templates import BRACES
from hook.observation.applications import ApplicationRef
from hook.observation.findings import FindingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hook.adapters.answers import Answer

PARAMETERS_CONFIG_MAP = "argocd-cmd-params-cm"
_PROGRESSIVE = "applicationsetcontroller.enable.progressive.syncs"
_FLAG = "--enable-progressive-syncs"
_VARIABLE = "ARGOCD_APPLICATIONSET_CONTROLLER_ENABLE_PROGRESSIVE_SYNCS"
CONTROLLER = "applicationset-controller"
"""The component label of Argo CD's ApplicationSet controller, and the end of its Deployment's name."""

_PHASES_OF_HELM = {
    "pre-install": "PreSync",
    "pre-upgrade": "PreSync",
    "post-install": "PostSync",
    "post-upgrade": "PostSync",
}
_PHASES = {"PreSync", "Sync", "PostSync", "SyncFail", "PreDelete", "PostDelete", "Skip"}
_WITH_PERIOD = {"git", "scmProvider", "pullRequest", "clusterDecisionResource", "plugin", "oci"}
_WITHOUT_PERIOD = {"list", "clusters"}
_COMBINING = {"matrix", "merge"}


def ref_of(answer: Answer, namespace: str = "argocd") -> ApplicationRef:
    """Return an object's namespace and name; the namespace that is meant where it names none."""
    metadata = answer["metadata"]
    return ApplicationRef(metadata["namespace"].text(namespace), metadata["name"].text())


# --- ApplicationSets ----------------------------------------------------------------------------------------------


def application_set(answer: Answer) -> ApplicationSet:
    """Return an ApplicationSet; one with a status is a live one."""
    spec, strategy = answer["spec"], answer["spec"]["strategy"]
    rolling = strategy["rollingSync"]
    generators = list(spec["generators"])
    return ApplicationSet(
        ref=ref_of(answer),
        strategy=strategy["type"].text() if rolling.is_there or strategy["type"].text() != "RollingSync" else "",
        steps=tuple(_step(step) for step in rolling["steps"]),
        has_period=any(_has_period(one) for one in generators),
        generators=tuple(dict.fromkeys(name for one in generators for name in _generators(one))),
        default_prune=rolling["defaultPrune"].flag(),
        updates=spec["syncPolicy"]["applicationsSync"].text("sync") in {"sync", "create-update"},
        tracks=bool(list(answer["status"]["applicationStatus"])) if answer["status"].is_there else None,
        prunes=_prunes(spec),
    )


def _prunes(spec: Answer) -> bool | None:
    if spec["templatePatch"].text():
        return None
    try:
        return spec["template"]["spec"]["syncPolicy"]["automated"]["prune"].flag()
    except FindingError:  # a template's braces
        return None


def by_status(found: ApplicationSet, *, has_applications: bool, version: tuple[int, ...] | None) -> ArgoCd:
    """Return whether progressive syncs are on by what they leave: an entry of ``status.applicationStatus`` for each.

    Nothing else writes it (UpdateApplicationSetApplicationStatus).
    """
    if found.tracks:
        return ArgoCd(progressive_syncs=True, why="the ApplicationSet's status has its Applications", version=version)
    if has_applications and found.tracks is False:
        why = "the ApplicationSet's status.applicationStatus is empty"
        return ArgoCd(progressive_syncs=False, why=why, version=version)
    return ArgoCd(version=version)


def _step(step: Answer) -> Step:
    expressions = tuple(
        Expression(one["key"].text(), one["operator"].text(), tuple(value.text() for value in one["values"]))
        for one in step["matchExpressions"]
    )
    return Step(expressions, step["maxUpdate"].number_or_text())


def _generators(generator: Answer) -> Iterator[str]:
    """Yield the kinds of a generator and of those that it combines."""
    for name in generator.object():
        if name in _COMBINING:
            for one in generator[name]["generators"]:
                yield from _generators(one)
        elif name in _WITH_PERIOD | _WITHOUT_PERIOD:
            yield name


def _has_period(generator: Answer) -> bool:
    """Tell whether a generator asks again: all but list and clusters, unless its period is 0 (GetRequeueAfter)."""
    for name in generator.object():
        if name in _COMBINING and any(_has_period(one) for one in generator[name]["generators"]):
            return True
        if name in _WITH_PERIOD and generator[name]["requeueAfterSeconds"].number(1) != 0:
            return True
    return False


# --- Applications -------------------------------------------------------------------------------------------------


def application(answer: Answer, namespace: str = "argocd") -> App:
    """Return an Application as its specification has it; not what it renders."""
    metadata, spec = answer["metadata"], answer["spec"]
    ref = ref_of(answer, namespace)
    owner = owner_of(answer)
    policy = spec["syncPolicy"]
    retry = policy["retry"]
    sources = [one for one in (spec["source"], *spec["sources"]) if one.is_there]
    labels = {key: _seen(value) for key, value in metadata["labels"].texts().items()}
    return App(
        ref=ref,
        set_ref=ApplicationRef(ref.namespace, owner) if owner else None,
        labels=None if any(BRACES.search(key) for key in labels) else labels,
        retry=Retry(retry["limit"].number(), retry["refresh"].flag()) if retry.is_there else None,
        prune=policy["automated"]["prune"].flag(),
        values=_values(sources),
        charts=tuple(
            Chart(_chart_name(one), one["targetRevision"].text())
            for one in sources
            if one["chart"].text() or one["repoURL"].text().startswith("oci://")
        ),
        is_from_git=not any(one["chart"].text() or one["repoURL"].text().startswith("oci://") for one in sources),
        revision=answer["status"]["sync"]["revision"].text(),
    )


def owner_of(answer: Answer) -> str:
    """Return the ApplicationSet that made an Application, "" for none."""
    owners = answer["metadata"]["ownerReferences"]
    return next((one["name"].text() for one in owners if one["kind"].text() == "ApplicationSet"), "")


def release_names(answer: Answer) -> set[str]:
    """Return by which instance an Application's charts label what they render: its name, or the release's."""
    spec = answer["spec"]
    sources = [one for one in (spec["source"], *spec["sources"]) if one.is_there]
    return {one["helm"]["releaseName"].text() for one in sources} - {""} | {answer["metadata"]["name"].text()}


def _seen(value: str) -> str | None:
    return None if BRACES.search(value) else value


def _chart_name(source: Answer) -> str:
    return source["chart"].text() or source["repoURL"].text().rstrip("/").rpartition("/")[2]


def _values(sources: list[Answer]) -> dict[str, str] | None:
    """Return the Helm values and images that a specification holds itself, by their path; None where one is no YAML."""
    found: dict[str, str] = {}
    for source in sources:
        helm = source["helm"]
        written = helm["values"].text()
        try:
            found |= dict(_leaves(yaml.safe_load(written))) if written else {}
        except yaml.YAMLError:
            return None
        if helm["valuesObject"].is_there:
            found |= dict(_leaves(helm["valuesObject"].object()))
        found |= {one["name"].text(): one["value"].text() for one in helm["parameters"]}
        found |= {
            f"kustomize.images[{number}].image": one.text() for number, one in enumerate(source["kustomize"]["images"])
        }
        found |= {f"plugin.env.{one['name'].text()}": one["value"].text() for one in source["plugin"]["env"]}
        found |= {f"helm.valueFiles[{number}]": one.text() for number, one in enumerate(helm["valueFiles"])}
        if path := source["path"].text():
            found["path"] = path
    return found


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- decoded YAML
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _leaves(one, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{path}[{number}]")
    else:
        yield path, "null" if value is None else str(value)


# --- what an Application renders ----------------------------------------------------------------------------------


def resource(answer: Answer) -> Resource:
    """Return an object that an Application renders."""
    metadata, spec = answer["metadata"], answer["spec"]
    annotations = metadata["annotations"].texts()
    kind = answer["kind"].text()
    ttl = spec["ttlSecondsAfterFinished"] if kind == "Job" else None
    options = {one.strip() for one in annotations.get("argocd.argoproj.io/sync-options", "").split(",")}
    return Resource(
        kind=kind,
        name=metadata["name"].text() or metadata["generateName"].text(),
        namespace=metadata["namespace"].text(),
        phases=_phases(annotations),
        wave=_wave(annotations),
        labels=metadata["labels"].texts(),
        ttl=str(ttl.number()) if ttl is not None and ttl.is_there else None,
        is_replaced=options >= {"Force=true", "Replace=true"},
        images=_images(spec) if kind == "Job" else (),
        revision=answer["data"]["revision"].text() if kind == "ConfigMap" else None,
    )


def _phases(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """Return a hook's phases: Argo CD's, else those that it makes of Helm's (gitops-engine, pkg/sync/hook)."""
    own = [one.strip() for one in annotations.get("argocd.argoproj.io/hook", "").split(",")]
    if known := [one for one in own if one in _PHASES]:
        return tuple(known)
    helms = [one.strip() for one in annotations.get("helm.sh/hook", "").split(",")]
    return tuple(dict.fromkeys(_PHASES_OF_HELM.get(one, "Skip") for one in helms if one))


def _wave(annotations: Mapping[str, str]) -> int:
    """Return the wave, else Helm's weight, else 0 (gitops-engine, syncwaves.Wave)."""
    for name in ("argocd.argoproj.io/sync-wave", "helm.sh/hook-weight"):
        try:
            return int(annotations.get(name, ""))
        except ValueError:
            continue
    return 0


def _images(spec: Answer) -> tuple[str, ...]:
    pod = spec["template"]["spec"]
    return tuple(one["image"].text() for one in (*pod["initContainers"], *pod["containers"]))


def tracked_by(answer: Answer) -> str:
    """Return the Application that Argo CD's tracking annotation names, the instance that a label names, or ""."""
    metadata = answer["metadata"]
    tracking = metadata["annotations"].texts().get("argocd.argoproj.io/tracking-id", "")
    if tracking:
        return tracking.partition(":")[0].rpartition("_")[2]  # NAMESPACE_NAME where Applications are in any namespace
    labels = metadata["labels"].texts()
    return (
        labels.get("argocd.argoproj.io/instance")
        or labels.get("app.kubernetes.io/instance")
        or labels.get("release", "")
    )


def status_resources(answer: Answer) -> tuple[Resource, ...]:
    """Return what Argo CD's status names of a live Application: its managed objects, and its last operation's hooks."""
    status = answer["status"]
    managed = [
        Resource(
            one["kind"].text(),
            one["name"].text(),
            one["namespace"].text(),
            wave=one["syncWave"].number(),
        )
        for one in status["resources"]
        if not one["hook"].flag() and not one["requiresPruning"].flag()
    ]
    hooks = [
        Resource(one["kind"].text(), one["name"].text(), one["namespace"].text(), phases=(one["hookType"].text(),))
        for one in status["operationState"]["syncResult"]["resources"]
        if one["hookType"].text()
    ]
    return (*managed, *hooks)


def hooks_are_seen(answer: Answer) -> bool:
    """Tell whether the status names every hook: after a whole sync that came to its end, or got to one of them."""
    state = answer["status"]["operationState"]
    is_selective = bool(list(state["operation"]["sync"]["resources"]))
    got_to_hooks = any(one["hookType"].text() for one in state["syncResult"]["resources"])
    return not is_selective and (got_to_hooks or state["phase"].text() == "Succeeded")


# --- Argo CD itself -----------------------------------------------------------------------------------------------


def parameters(answer: Answer) -> tuple[bool | None, str]:
    """Return whether argocd-cmd-params-cm switches progressive syncs on, None where it says nothing (ParseBoolFromEnv)."""
    value = answer["data"].texts().get(_PROGRESSIVE, "")
    if value.lower() not in {"true", "false"}:
        return None, f"{PARAMETERS_CONFIG_MAP} does not set {_PROGRESSIVE} to true, and the default is false"
    return value.lower() == "true", f"{PARAMETERS_CONFIG_MAP} sets {_PROGRESSIVE}: {value}"


def is_controller(answer: Answer) -> bool:
    """Tell whether a Deployment is that of Argo CD's ApplicationSet controller."""
    labels = answer["metadata"]["labels"].texts()
    named = answer["metadata"]["name"].text().endswith(CONTROLLER)
    return named or labels.get("app.kubernetes.io/component") == CONTROLLER


def controller(answer: Answer) -> ArgoCd:
    """Return what the ApplicationSet controller's Deployment says itself; its arguments win over its variables."""
    switched, why = None, ""
    for container in answer["spec"]["template"]["spec"]["containers"]:
        for variable in container["env"]:
            if variable["name"].text() == _VARIABLE and variable["value"].text():
                switched, why = variable["value"].text().lower() == "true", f"{_VARIABLE} of the controller"
        for argument in (*container["command"], *container["args"]):
            name, _, value = argument.text().partition("=")
            if name == _FLAG:
                switched, why = value.lower() in {"", "1", "t", "true"}, f"{argument.text()} of the controller"
    return ArgoCd(switched, why, version_of(answer))


def version_of(answer: Answer) -> tuple[int, ...] | None:
    """Return Argo CD's version by the image of one of its Deployments, else by its label."""
    images = [one["image"].text() for one in answer["spec"]["template"]["spec"]["containers"]]
    for image in images:
        name, _, tag = image.partition("@")[0].rpartition(":")
        if name.rpartition("/")[2] == "argocd" and (parsed := parse_version(tag)):
            return parsed
    labels = answer["metadata"]["labels"].texts()
    if labels.get("app.kubernetes.io/part-of") == "argocd":
        return parse_version(labels.get("app.kubernetes.io/version", ""))
    return None


def parse_version(text: str) -> tuple[int, ...] | None:
    """Return a version such as v3.6.1 or 3.6 as its numbers, None for what is none."""
    numbers = text.strip().removeprefix("v").partition("-")[0].partition("+")[0].split(".")
    if len(numbers) < 2 or not all(one.isdecimal() for one in numbers):  # noqa: PLR2004 -- major and minor
        return None
    return tuple(map(int, numbers))
