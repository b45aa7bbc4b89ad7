"""Who may do what: bearer tokens and RBAC.

It knows users, their tokens and Role rules, and evaluates them as k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac
does: a rule that names resourceNames matches a request that carries one of these names and nothing else, so it never
allows ``list`` (unless a field selector pins metadata.name) or ``create``; ``pods/log`` is another resource than
``pods``.
"""

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.fake_api.statuses import Cause, RefusalError, invalid

Rule = Mapping[str, Any]
"""As in a Role's manifest: apiGroups, resources, verbs and, if wanted, resourceNames."""

CLUSTER = ""
"""The namespace under which rules that hold everywhere are given (a ClusterRoleBinding)."""


@dataclass(frozen=True)
class Attributes:
    """What is asked for."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        """``pods`` or ``pods/log``."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass
class _User:
    token: str
    admin: bool
    roles: dict[str, list[Rule]] = field(default_factory=dict)


class Access:
    """The users of one server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[str, _User] = {}

    def add(self, user: str, *, admin: bool, roles: Mapping[str, Sequence[Rule]] | None) -> str:
        """A new user, or other rights for one that is there; the token stays the same."""
        with self._lock:
            known = self._users.get(user)
            token = known.token if known is not None else secrets.token_urlsafe(24)
            granted = {namespace: list(rules) for namespace, rules in (roles or {}).items()}
            self._users[user] = _User(token, admin, granted)
            return token

    def token(self, user: str) -> str:
        """The token of a user that was added."""
        with self._lock:
            return self._users[user].token

    def user_of(self, header: str | None) -> str | None:
        """Whose token an Authorization header carries."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        with self._lock:
            for name, user in self._users.items():
                if secrets.compare_digest(user.token.encode(), token.strip().encode()):
                    return name
        return None

    def allows(self, user: str, wanted: Attributes) -> bool:
        """RBAC's verdict."""
        with self._lock:
            known = self._users[user]
            if known.admin:
                return True
            rules = [*known.roles.get(CLUSTER, [])]
            if wanted.namespace:
                rules += known.roles.get(wanted.namespace, [])
        return any(_matches(rule, wanted) for rule in rules)

    def check(self, user: str, wanted: Attributes) -> None:
        """Raise the API server's 403 unless it is allowed."""
        if wanted.resource == "selfsubjectaccessreviews" and wanted.verb == "create":
            return  # ClusterRole system:basic-user, bound to every authenticated user
        if not self.allows(user, wanted):
            raise forbidden(user, wanted)

    def review(self, user: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a SelfSubjectAccessReview."""
        spec = body.get("spec") or {}
        asked = spec.get("resourceAttributes")
        if not asked or spec.get("nonResourceAttributes"):
            kind, group = "SelfSubjectAccessReview", "authorization.k8s.io"
            detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            cause = Cause("spec.resourceAttributes", "FieldValueInvalid", detail, str(asked))
            raise invalid(kind, group, "", [cause])
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        wanted = Attributes(**{name: asked.get(name) or "" for name in names})
        return {
            "kind": "SelfSubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {"creationTimestamp": None},
            "spec": dict(spec),
            "status": {"allowed": self.allows(user, wanted)},
        }


def _matches(rule: Rule, wanted: Attributes) -> bool:
    """``RuleAllows``: verb, group, resource and resource name, each of which must match."""
    resources = rule.get("resources") or ()
    wildcard = f"*/{wanted.subresource}" if wanted.subresource else None
    names = rule.get("resourceNames") or ()
    return (
        _covers(rule.get("verbs"), wanted.verb)
        and _covers(rule.get("apiGroups"), wanted.group)
        and ("*" in resources or wanted.full_resource in resources or wildcard in resources)
        and (not names or wanted.name in names)
    )


def _covers(listed: Sequence[str] | None, value: str) -> bool:
    return listed is not None and ("*" in listed or value in listed)


def forbidden(user: str, wanted: Attributes) -> RefusalError:
    """``errors.NewForbidden`` around ``responsewriters.ForbiddenMessage``."""
    resource = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    named = f'{resource} "{wanted.name}"' if wanted.name else resource
    where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    details = {"kind": wanted.resource}
    if wanted.name:
        details["name"] = wanted.name
    if wanted.group:
        details["group"] = wanted.group
    return RefusalError(
        403,
        f'{named} is forbidden: User "{user}" cannot {wanted.verb} resource "{wanted.full_resource}" '
        f'in API group "{wanted.group}" {where}',
        details=details,
    )
