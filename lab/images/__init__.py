"""The images of the rollout and of a node, built here: the gate's by its own Dockerfile, the others around real programs.

Temporal's are its own tool, server and command line of each release with the image's user and places; what the server's
entrypoint does is ours (``temporal_server.sh``). The web page's is a name alone: it is nothing of the gate's business.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lab.control_plane.builds import MODULES
from lab.image import SOURCE, Builder
from lab.images import making
from lab.images.making import Made
from lab.toolchain import build_once, build_tools_once, cache_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.toolchain import Progress, TemporalBuild

GATE = "ghcr.io/temporal-recovery-hook/temporal-recovery-hook:0.1.0"
"""As the chart names it."""
WEB = "temporalio/ui:2.44.0"
PAUSE = "registry.k8s.io/pause:3.10.1"
COREDNS = "registry.k8s.io/coredns/coredns:v1.15.0"

_CLI = "1.5.0"
_ADMIN_TOOLS_SUFFIX = f"-tctl-1.18.4-cli-{_CLI}"
_SCHEMA = "etc/temporal/schema/postgresql/v12"
_USER = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntemporal:x:1000:1000::/home/temporal:/bin/sh\n"}
_AS_TEMPORAL = ("WORKDIR /etc/temporal", "USER temporal")
_SLEEPS = 'CMD ["sleep", "infinity"]'
_GATE_SOURCES = ("Dockerfile", "pyproject.toml", "README.md", "LICENSE", "requirements", "hook")


def server(release: str) -> str:
    """The name of Temporal's server image of a release."""
    return f"temporalio/server:{release}"


def admin_tools_tag(release: str) -> str:
    """The tag of the image that brings the schema of a release, as ``examples/rollout`` writes it."""
    return release + _ADMIN_TOOLS_SUFFIX


def stores(temporal: Iterable[TemporalBuild], progress: Progress = print) -> list[Path]:
    """The folders of registries that hold all images, made where they are missing. Raises ``BuildError``, ``ImageError``."""
    builder = Builder(progress)
    sources = making.digest_of(SOURCE / one for one in _GATE_SOURCES)
    found = [making.kept("gate", sources, partial(_push_gate, builder), progress)]
    for made in (*_of_the_node(progress), *_of_temporal(temporal, progress)):
        name = making.repository(made.name).replace("/", "-").partition(":")[0]
        found.append(making.kept(name, made.digest, partial(making.push, builder, made), progress))
    return found


def _push_gate(builder: Builder, to: str) -> None:
    builder.push(builder.make().name, f"{to}/{making.repository(GATE)}")


def _of_the_node(progress: Progress) -> Iterator[Made]:
    module = MODULES / "node-images"
    home = cache_directory() / "node-images" / making.digest_of([module])
    what = "CoreDNS and the pods' first container"
    programs = build_tools_once(home, what, module, stamp={}, what="./...", progress=progress)
    yield Made(PAUSE, {"pause": programs / "pause"}, ("USER 65535:65535", 'ENTRYPOINT ["/pause"]'))
    yield Made(COREDNS, {"coredns": programs / "coredns"}, ("USER 65532:65532", 'ENTRYPOINT ["/coredns"]'))
    yield Made(WEB, making.shell(progress), ("USER temporal", _SLEEPS), _USER)


def _of_temporal(temporal: Iterable[TemporalBuild], progress: Progress) -> Iterator[Made]:
    module = f"github.com/temporalio/cli/cmd/temporal@v{_CLI}"
    install = ["install", "-ldflags=-s -w", module]
    cli = build_once(cache_directory() / "temporal-cli" / _CLI, f"Temporal's command line {_CLI}", install, progress)
    tools = making.shell(progress) | {"usr/local/bin/temporal": cli / "temporal"}
    servers = making.shell(progress) | {"etc/temporal/entrypoint.sh": Path(__file__).with_name("temporal_server.sh")}
    writes = "COPY --chown=1000:1000 empty /etc/temporal/config"
    for build in temporal:
        release, tool = build.schema_tool.release, build.schema_tool
        yield Made(
            server(release),
            servers | {"usr/local/bin/temporal-server": build.server},
            (writes, *_AS_TEMPORAL, 'ENTRYPOINT ["/etc/temporal/entrypoint.sh"]'),
            _USER,
        )
        yield Made(
            f"temporalio/admin-tools:{admin_tools_tag(release)}",
            tools | {"usr/local/bin/temporal-sql-tool": tool.path, _SCHEMA: tool.schema_directory},
            (*_AS_TEMPORAL, _SLEEPS),
            _USER,
        )
