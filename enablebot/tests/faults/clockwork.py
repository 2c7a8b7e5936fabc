"""`python -m enablebot.tests.faults.clockwork FILE MODULE …`: run a module with a wall clock that a file sets wrong.

The file holds how many seconds the clock is ahead, and is looked at ten times a second. Only what the clock on the wall
says is changed, never how time passes. libfaketime would do the same from outside, but makes an event loop spin.
"""

import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

_RIGHT_TIME, _RIGHT_DATETIME = time.time, datetime.datetime
_LOOK_EVERY_SECONDS = 0.1


class _Offset:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._seconds = 0.0
        self._looked_at = float("-inf")

    def time(self) -> float:
        now = time.monotonic()
        if now - self._looked_at > _LOOK_EVERY_SECONDS:
            self._looked_at = now
            self._seconds = float(self._file.read_text())
        return _RIGHT_TIME() + self._seconds


class _LooksLikeDatetime(type(_RIGHT_DATETIME)):  # type: ignore[misc]  # the metaclass of datetime is type
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _RIGHT_DATETIME)


def wind(file: Path) -> None:
    """Set this process's clock by a file; before anything that asks for the time is imported."""
    offset = _Offset(file)

    class Shifted(datetime.datetime, metaclass=_LooksLikeDatetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return _RIGHT_DATETIME.fromtimestamp(offset.time(), tz)

    time.time = offset.time
    time.time_ns = lambda: int(offset.time() * 1e9)
    datetime.datetime = Shifted  # type: ignore[misc]


def main() -> None:
    """Wind the clock, then be the module."""
    _, file, module, *arguments = sys.argv
    wind(Path(file))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
