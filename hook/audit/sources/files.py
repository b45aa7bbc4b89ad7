"""Reads an audit's facts from manifests: files, or standard input, of one or more YAML documents each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hook.adapters.answers import Answer
from hook.audit.holds import Unseen
from hook.audit.rollout import App, ApplicationSet, ArgoCd, Resource, Roles, Seen
from hook.audit.rules.schema_jobs import is_schema_job
from hook.audit.sources import manifests, templates
from hook.audit.sources.naming import Names, NamesError
from hook.decision.restarts import COMPONENTS
from hook.observation.findings import FindingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hook.observation.applications import ApplicationRef

_NAMESPACE = "argocd"
"""Argo CD's own, where a manifest names none."""


class FileError(Exception):
    """A file that cannot be used, in one line that says where and why; it shows nothing of the file."""


@dataclass
class _Found:
    """What the files hold, as it is read."""

    sets: dict[ApplicationRef, ApplicationSet] = field(default_factory=dict)
    incomplete: set[ApplicationRef] = field(default_factory=set)
    generated: dict[ApplicationRef, App] = field(default_factory=dict)
    apps: dict[ApplicationRef, App] = field(default_factory=dict)
    instances: dict[str, set[ApplicationRef]] = field(default_factory=dict)
    rendered: list[tuple[str, Answer]] = field(default_factory=list)
    of_argocd: set[str] = field(default_factory=set)
    parameters: tuple[bool | None, str] | None = None
    controller: ArgoCd = field(default_factory=ArgoCd)
    version: tuple[int, ...] | None = None
    unseen: list[Unseen] = field(default_factory=list)


def read(files: Iterable[str], names: Names, version: tuple[int, ...] | None) -> Seen:
    """Return what the files tell. Raises `FileError` and `NamesError`."""
    found = _Found(version=version)
    for file in files:
        kinds = set()
        for number, document in enumerate(_documents(file), 1):
            try:
                kinds.add(_take(Answer(document, f"document {number}"), file, found))
            except FindingError as error:
                message = f"--file {file}: {error.finding.about}: {error.finding.detail}"
                raise FileError(message) from None
        if not kinds - {""}:
            message = (
                f"--file {file}: holds no object of Kubernetes: give manifests, as kubectl, argocd or helm print them"
            )
            raise FileError(message)
    apps = _applications(found)
    roles = names.roles(apps, _NAMESPACE)
    if not any(ref in apps for _, ref in roles):
        there = ", ".join(str(ref) for ref in sorted(apps)) or "none"
        message = f"none of the Applications that are named is in the files; there are: {there}"
        raise NamesError(message)
    apps = _with_resources(apps, found, roles)
    return Seen(roles, apps, found.sets, _argocd(found, apps, roles), tuple(found.unseen))


# --- documents ----------------------------------------------------------------------------------------------------


def _documents(file: str) -> Iterator[Any]:
    """Yield every object of a file, those of a List one by one."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        message = f"--file {file}: cannot be read: {error.strerror}"
        raise FileError(message) from error
    except UnicodeDecodeError:
        message = f"--file {file}: is not UTF-8 text"
        raise FileError(message) from None
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"
        message = f"--file {file}: is not YAML at {where}: give manifests, not a chart's templates"
        raise FileError(message) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        message = f"--file {file}: is not YAML: it holds a character or a value that YAML does not allow"
        raise FileError(message) from None
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document:
            yield from document["items"] if isinstance(document["items"], list) else ()
        elif document is not None:
            yield document


def _take(answer: Answer, file: str, found: _Found) -> str:
    """Sort one object in; return its kind."""
    kind = answer["kind"].text()
    is_argo = answer["apiVersion"].text().startswith("argoproj.io/")
    if is_argo:
        found.of_argocd.add(file)
    if is_argo and kind == "ApplicationSet":
        _take_set(answer, found)
    elif is_argo and kind == "Application":
        app = manifests.application(answer, _NAMESPACE)
        found.apps[app.ref] = app
        for name in manifests.release_names(answer):
            found.instances.setdefault(name, set()).add(app.ref)
        if live := manifests.status_resources(answer):
            found.apps[app.ref] = replace(app, resources=live, hooks_are_seen=manifests.hooks_are_seen(answer))
    elif kind == "ConfigMap" and answer["metadata"]["name"].text() == manifests.PARAMETERS_CONFIG_MAP:
        found.parameters = manifests.parameters(answer)
    elif kind == "Deployment" and manifests.is_controller(answer):
        found.controller = manifests.controller(answer)
        found.version = found.version or found.controller.version
    elif kind in {"Deployment", "StatefulSet"} and (version := manifests.version_of(answer)):
        found.version = found.version or version
    elif kind and kind != "CustomResourceDefinition":
        found.rendered.append((file, answer))
    return kind


def _take_set(answer: Answer, found: _Found) -> None:
    application_set = manifests.application_set(answer)
    ref = application_set.ref
    found.sets[ref] = application_set
    rendered, complete = templates.rendered(answer["spec"])
    if not complete:
        found.incomplete.add(ref)
    for one in rendered:
        unseen = one.pop("unseen")
        generated = Answer(one, f"the template of ApplicationSet {ref}")
        app = replace(manifests.application(generated, ref.namespace), set_ref=ref)
        if "labels" in unseen:
            app = replace(app, labels=None)
        if "sync policy" in unseen:
            app = replace(app, retry=None, retry_is_seen=False, prune=None)
        if "sources" in unseen:
            app = replace(app, values=None)
        found.generated[app.ref] = app
        for name in manifests.release_names(generated):
            found.instances.setdefault(name, set()).add(app.ref)


# --- what belongs together ----------------------------------------------------------------------------------------


def _applications(found: _Found) -> dict[ApplicationRef, App]:
    """Return the Applications: as they are given, else as their set renders them.

    One that is given without an owner, as `argocd appset generate` prints it, is of the set that renders its name; or of the
    only set of which not all is known.
    """
    apps = dict(found.generated)
    open_sets = sorted(found.incomplete) if len(found.incomplete) == 1 else []
    for ref, app in found.apps.items():
        generated = found.generated.get(ref)
        owner = app.set_ref or (generated.set_ref if generated else None) or next(iter(open_sets), None)
        apps[ref] = replace(app, set_ref=owner)
    return apps


def _with_resources(apps: dict[ApplicationRef, App], found: _Found, roles: Roles) -> dict[ApplicationRef, App]:
    """Return the Applications with what they render; what of one is given is taken for all that it renders.

    Whose an object is says Argo CD's tracking or the instance's label; else its file, where that is one Application's
    rendering and nothing else; else what is rendered with it under the same label: the schema Job, servers, the gate's Job.
    """
    owned: dict[ApplicationRef, list[Resource]] = {}
    by_file: dict[str, set[ApplicationRef]] = {}
    groups: dict[str, list[tuple[str, Resource]]] = {}
    for number, (file, answer) in enumerate(found.rendered):
        try:
            rendered, name = manifests.resource(answer), manifests.tracked_by(answer)
        except FindingError as error:
            message = f"--file {file}: {error.finding.about}: {error.finding.detail}"
            raise FileError(message) from None
        owners = found.instances.get(name, set())
        if len(owners) == 1:
            owned.setdefault(next(iter(owners)), []).append(rendered)
            by_file.setdefault(file, set()).update(owners)
        else:
            groups.setdefault(name or f"object {number}", []).append((file, rendered))
    for group in groups.values():
        whole = {ref for file, _ in group if file not in found.of_argocd for ref in by_file.get(file, ())}
        owner = next(iter(whole)) if len(whole) == 1 else _owner_of([one for _, one in group], roles)
        if owner in apps and owner is not None:
            owned.setdefault(owner, []).extend(one for _, one in group)
        else:
            what = "whose {} is: no label or annotation names its Application"
            found.unseen += [Unseen(None, what.format(one)) for _, one in group if one.kind == "Job"]
    return {ref: replace(app, resources=tuple(owned[ref])) if ref in owned else app for ref, app in apps.items()}


def _owner_of(group: list[Resource], roles: Roles) -> ApplicationRef | None:
    """Return whose the objects of one release are, by what is among them."""
    if any(one.labels.get("app.kubernetes.io/component") in COMPONENTS for one in group):
        return roles.runtime
    if any(is_schema_job(one) for one in group):
        return roles.migrations
    if any(one.is_of_chart and one.kind == "Job" and (one.wave or 0) >= 0 for one in group):  # a guard's is below
        return roles.gate
    return None


def _argocd(found: _Found, apps: dict[ApplicationRef, App], roles: Roles) -> ArgoCd:
    """Return what is known of Argo CD: the controller's own words, the ConfigMap that it reads, what it left in a status."""
    switched, why = found.controller.progressive_syncs, found.controller.why
    if switched is None and found.parameters is not None:
        switched, why = found.parameters[0] is True, found.parameters[1]
    if switched is None:
        for ref in dict.fromkeys(apps[one].set_ref for _, one in roles if one in apps):
            if ref in found.sets:
                return manifests.by_status(found.sets[ref], has_applications=True, version=found.version)
    return ArgoCd(switched, why, found.version)
