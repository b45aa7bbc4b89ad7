"""Who is who by their names: ``[NAMESPACE/]NAME``, as a person writes it, against what was found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hook.audit.rollout import Roles
from hook.observation.applications import ApplicationRef

if TYPE_CHECKING:
    from collections.abc import Collection


class NamesError(Exception):
    """Names that cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class Name:
    """An Application as it was named; `namespace` is None where none was given."""

    option: str
    name: str
    namespace: str | None = None

    @classmethod
    def parse(cls, option: str, text: str) -> Name:
        """Read ``[NAMESPACE/]NAME``."""
        namespace, slash, name = text.rpartition("/")
        if not name or "/" in namespace or (slash and not namespace):
            message = f"{option} {text}: must be [NAMESPACE/]NAME"
            raise NamesError(message)
        return cls(option, name, namespace or None)


@dataclass(frozen=True)
class Names:
    """The gate, and what it has to do with."""

    gate: Name | None = None
    migrations: Name | None = None
    runtime: Name | None = None
    downstream: tuple[Name, ...] = ()

    def roles(self, known: Collection[ApplicationRef], namespace: str) -> Roles:
        """Return who is who among the Applications that are known; a name alone that is not among them is of ``namespace``.

        Raises `NamesError` where a name fits two of them, or an Application has two roles that exclude each other.
        """
        roles = Roles(
            _ref(self.gate, known, namespace),
            _ref(self.migrations, known, namespace),
            _ref(self.runtime, known, namespace),
            tuple(dict.fromkeys(ref for one in self.downstream if (ref := _ref(one, known, namespace)))),
        )
        if not roles.held:
            raise NamesError("nothing is named that is to be held: give --runtime or --downstream, or --config")
        for role, ref in roles:
            if ref == roles.gate and role != "gate":
                message = (
                    f"{ref} is named both as gate and as {role}: a gate has its own Application, a guard is not named"
                )
                raise NamesError(message)
        return roles


def _ref(name: Name | None, known: Collection[ApplicationRef], namespace: str) -> ApplicationRef | None:
    if name is None:
        return None
    if name.namespace is not None:
        return ApplicationRef(name.namespace, name.name)
    fitting = sorted(one for one in known if one.name == name.name)
    if len(fitting) > 1:
        named = ", ".join(map(str, fitting))
        message = f"{name.option} {name.name}: there are several ({named}): give its namespace, too"
        raise NamesError(message)
    return fitting[0] if fitting else ApplicationRef(namespace, name.name)
