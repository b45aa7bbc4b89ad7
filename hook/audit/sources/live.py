"""Reads an audit's facts from a cluster, with the rights of whoever asks: GET and LIST alone.

What may not be read is said, and counts for nothing. Only the ApplicationSet and the Applications that are named have to be
readable.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hook.adapters.answers import Answer
from hook.adapters.api import Api, ApiError
from hook.audit.holds import Unseen
from hook.audit.rollout import App, ApplicationSet, ArgoCd, Resource, Seen
from hook.audit.rules.gate import is_receipt
from hook.audit.sources import manifests
from hook.observation.findings import Finding, FindingError
from hook.observation.reasons import Reason

if TYPE_CHECKING:
    from hook.audit.rollout import Roles, Version
    from hook.audit.sources.naming import Names
    from hook.observation.applications import ApplicationRef

_ARGO = "/apis/argoproj.io/v1alpha1/namespaces"
_NAMESPACE = "argocd"
_HERE = {"https://kubernetes.default.svc", "in-cluster", ""}
"""Destinations in the cluster that Argo CD is in: only there can what it renders be read."""
_READ = {"Job": "/apis/batch/v1/namespaces/{}/jobs/{}", "ConfigMap": "/api/v1/namespaces/{}/configmaps/{}"}


def read(api: Api, set_ref: ApplicationRef, names: Names, version: Version | None) -> Seen:
    """Return what the cluster tells. Raises `FindingError` and `NamesError`."""
    return _Reading(api).seen(set_ref, names, version)


class _Reading:
    """One look."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._unseen: list[Unseen] = []

    def seen(self, set_ref: ApplicationRef, names: Names, version: Version | None) -> Seen:
        """Return all that may be read."""
        found = manifests.application_set(self._object("ApplicationSet", "applicationsets", set_ref))
        answers = self._of_namespace(set_ref.namespace)
        roles = names.roles(answers, set_ref.namespace)
        for _, ref in roles:
            if ref not in answers:
                answers[ref] = self._object("Application", "applications", ref)
        named = {ref for _, ref in roles}
        apps = {  # what is another's may be malformed
            ref: manifests.application(answer)
            for ref, answer in answers.items()
            if ref in named or manifests.owner_of(answer) == found.ref.name
        }
        apps |= {ref: self._with_resources(apps[ref], answers[ref]) for ref in named}
        sets = {found.ref: found} | self._other_sets(apps, named, found.ref)
        argocd = self._argocd(found, apps, roles)
        return Seen(roles, apps, sets, replace(argocd, version=version or argocd.version), tuple(self._unseen))

    def _object(self, kind: str, plural: str, ref: ApplicationRef) -> Answer:
        try:
            return Answer(self._api.get(f"{_ARGO}/{ref.namespace}/{plural}/{ref.name}"), f"{kind} {ref}")
        except ApiError as error:
            reason = Reason.APPLICATION_MISSING if error.reason else Reason.ARGO_CD_MISSING
            raise FindingError(Finding(reason, f"{kind} {ref}", error.message.strip())) from error

    def _of_namespace(self, namespace: str) -> dict[ApplicationRef, Answer]:
        """Return the Applications of a namespace; none where they may not be listed: the named ones are read by name."""
        try:
            listed = self._api.list(f"{_ARGO}/{namespace}/applications", {})
        except FindingError as error:
            self._not_seen(None, "other Applications of the ApplicationSet", error)
            return {}
        answers = [Answer(one, "Application") for one in listed]
        return {manifests.ref_of(one): one for one in answers}

    def _other_sets(
        self, apps: dict[ApplicationRef, App], named: set[ApplicationRef], own: ApplicationRef
    ) -> dict[ApplicationRef, ApplicationSet]:
        """Return the other ApplicationSets that own what is named."""
        found = {}
        for ref in dict.fromkeys(apps[one].set_ref for one in sorted(named)):
            if ref is None or ref == own:
                continue
            try:
                found[ref] = manifests.application_set(self._object("ApplicationSet", "applicationsets", ref))
            except FindingError as error:
                self._not_seen(None, f"ApplicationSet {ref}", error)
        return found

    # --- what an Application renders ------------------------------------------------------------------------------

    def _with_resources(self, app: App, answer: Answer) -> App:
        """Return the Application with what its status names, its Jobs and the receipt as far as they may be read."""
        resources = manifests.status_resources(answer)
        if not resources:
            return app  # it was never compared nor synced: what it renders is not known
        destination = answer["spec"]["destination"]
        if destination["server"].text() in _HERE and destination["name"].text() in _HERE:
            resources = tuple(self._read(app.ref, one) if _is_read(one) else one for one in resources)
        elif any(_is_read(one) for one in resources):
            self._unseen.append(Unseen(app.ref, "its Jobs and the receipt themselves: they are in another cluster"))
        return replace(app, resources=resources, hooks_are_seen=manifests.hooks_are_seen(answer))

    def _read(self, ref: ApplicationRef, one: Resource) -> Resource:
        try:
            read: dict[str, Any] = self._api.get(_READ[one.kind].format(one.namespace, one.name))
        except ApiError:
            return one  # it is gone: a hook that was deleted, or a Job whose TTL has passed
        except FindingError as error:
            self._not_seen(ref, f"{one} itself", error)
            return one
        found = manifests.resource(Answer(read, str(one)))
        return replace(found, phases=found.phases or one.phases, wave=found.wave if one.wave is None else one.wave)

    # --- Argo CD --------------------------------------------------------------------------------------------------

    def _argocd(self, found: ApplicationSet, apps: dict[ApplicationRef, App], roles: Roles) -> ArgoCd:
        """Return whether progressive syncs are on: by the controller, its ConfigMap, or what they leave in the status."""
        controller, switched = ArgoCd(), None
        for namespace in dict.fromkeys((found.ref.namespace, _NAMESPACE)):
            controller = self._controller(namespace) or controller
            switched = self._parameters(namespace)
            if switched is not None or controller != ArgoCd():
                break
        if controller.progressive_syncs is not None:
            return controller
        if switched is not None and switched[0] is not None:
            return ArgoCd(*switched, controller.version)
        is_used = any(ref in apps and apps[ref].set_ref == found.ref for _, ref in roles)
        return manifests.by_status(found, has_applications=is_used, version=controller.version)

    def _not_seen(self, about: ApplicationRef | None, what: str, error: FindingError) -> None:
        """Note what may not be read; whatever else went wrong ends the audit."""
        if error.finding.reason is not Reason.API_FORBIDDEN:
            raise error
        self._unseen.append(Unseen(about, f"{what}: {error.finding.detail}"))

    def _parameters(self, namespace: str) -> tuple[bool | None, str] | None:
        about = f"ConfigMap {namespace}/{manifests.PARAMETERS_CONFIG_MAP}"
        try:
            read = self._api.get(f"/api/v1/namespaces/{namespace}/configmaps/{manifests.PARAMETERS_CONFIG_MAP}")
        except ApiError:
            return None
        except FindingError as error:
            self._not_seen(None, about, error)
            return None
        return manifests.parameters(Answer(read, about))

    def _controller(self, namespace: str) -> ArgoCd | None:
        selector = {"labelSelector": f"app.kubernetes.io/component={manifests.CONTROLLER}"}
        try:
            listed = self._api.list(f"/apis/apps/v1/namespaces/{namespace}/deployments", selector)
        except FindingError as error:
            self._not_seen(None, f"the ApplicationSet controller's Deployment in {namespace}", error)
            return None
        return manifests.controller(Answer(listed[0], "Deployment")) if listed else None


def _is_read(one: Resource) -> bool:
    return one.kind == "Job" or is_receipt(one)
