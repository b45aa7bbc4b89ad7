"""The entrypoint of Temporal's server image: fills in the configuration from the environment, becomes the server.

Knows the image's own places and names; reads no code of the lab. ``SERVICES`` says which of the four it is.
"""

import os
import string
from pathlib import Path

_CONFIG = Path("/etc/temporal/config")

if __name__ == "__main__":
    template = string.Template((_CONFIG / "config_template.yaml").read_text(encoding="utf-8"))
    (_CONFIG / "docker.yaml").write_text(template.substitute(os.environ), encoding="utf-8")
    argv = ["temporal-server", "--root", "/etc/temporal", "--env", "docker", "--allow-no-auth", "start"]
    os.execvp(argv[0], [*argv, f"--service={os.environ['SERVICES']}"])  # noqa: S606 - to become it is the purpose
