"""An address of 127.0.0.0/8 for each pod: all of them are this machine's without any set-up, and no two pods share one."""

import fcntl
import os
import random
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

_FIRST, _SECOND = 127, 77
_FILES = Path(tempfile.gettempdir()) / f"temporal-recovery-hook-addresses-{os.getuid()}"


class Address:
    """Given to one holder on this machine until it is released or the process ends, by a lock as ports are."""

    def __init__(self, text: str, file: int | None = None) -> None:
        self.text = text
        self._file = file

    @classmethod
    def take(cls) -> Self:
        """One that is free. Raises ``OSError`` if a thousand tries find none."""
        _FILES.mkdir(exist_ok=True)
        for _ in range(1000):
            third, fourth = random.randrange(256), random.randrange(1, 255)  # noqa: S311 - nothing hangs on its being guessed
            text = f"{_FIRST}.{_SECOND}.{third}.{fourth}"
            file = os.open(_FILES / text, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(file)
                continue
            return cls(text, file)
        raise OSError(f"no free address in {_FIRST}.{_SECOND}.0.0/16")

    def release(self) -> None:
        """Anyone may have it."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
