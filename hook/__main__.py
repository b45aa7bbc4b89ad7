"""``python -m hook``."""

from hook.cli import main

main()
