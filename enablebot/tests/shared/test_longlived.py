"""What lives as long as the process is out of the collector's sight."""

import gc
from collections.abc import Iterator

import pytest

from enablebot.shared.longlived import keep_for_good


@pytest.fixture
def _thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_thawed")
def test_what_is_there_is_not_looked_at_again_and_what_comes_later_is() -> None:
    before: list[object] = [object()]
    keep_for_good()
    after: list[object] = [object()]
    seen = {id(one) for one in gc.get_objects()}
    assert id(before) not in seen
    assert id(after) in seen
