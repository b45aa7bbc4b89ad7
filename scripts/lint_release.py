"""Lints what builds and releases, and the scripts that the docs give to paste.

hadolint for the Dockerfile, actionlint (with shellcheck) and zizmor for the workflows, shellcheck for the examples.

hadolint, shellcheck and zizmor come as wheels that hold the whole program; actionlint's would download it while it is
installed, so it is built once from its Go module, like helm. The network is needed for nothing else.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from lab.toolchain import BuildError, build_once, cache_directory

ACTIONLINT = "1.7.12"

_ROOT = Path(__file__).parent.parent


def main() -> int:
    """Run all of them, each to its end; 1 where one has something to say."""
    package = f"github.com/rhysd/actionlint/cmd/actionlint@v{ACTIONLINT}"
    try:
        kept = build_once(
            cache_directory() / "actionlint" / ACTIONLINT, f"actionlint {ACTIONLINT}", ["install", package]
        )
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    programs = Path(sysconfig.get_path("scripts"))
    workflows = sorted(str(path.relative_to(_ROOT)) for path in (_ROOT / ".github" / "workflows").glob("*.yaml"))
    scripts = sorted(str(path.relative_to(_ROOT)) for path in (_ROOT / "examples").rglob("*.sh"))
    shellcheck = programs / "shellcheck"
    commands = (
        [str(programs / "hadolint"), "Dockerfile"],
        [str(shellcheck), *scripts],
        [str(kept / "actionlint"), "-shellcheck", str(shellcheck), "-pyflakes", "", *workflows],
        [str(programs / "zizmor"), "--offline", "--quiet", "--persona", "pedantic", *workflows],
    )
    # Its configuration and its colours are this repository's business alone.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ZIZMOR_", "HADOLINT_"))}
    codes = [subprocess.run(command, check=False, cwd=_ROOT, env=environment).returncode for command in commands]
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
