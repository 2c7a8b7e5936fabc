"""Houses for tests that kill, starve and cut off."""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol

import pytest

from enablebot.tests.house import USUAL, House, Plan, Play, run

__all__ = ["House", "Plan", "Play", "Run"]


class Run(Protocol):
    """Runs a play in a house on this test's own database."""

    def __call__(self, play: Play, plan: Plan = ..., /) -> Coroutine[Any, Any, None]: ...


@pytest.fixture
def in_a_house(services_url: str, admin_url: str, tmp_path: Path) -> Run:
    """Run a play in a house; with `plan`, in one of its own kind."""

    def running(play: Play, plan: Plan = USUAL, /) -> Coroutine[Any, Any, None]:
        return run(play, plan=plan, services_url=services_url, admin_url=admin_url, data_dir=tmp_path / "data")

    return running
