"""What a machine may lack for a fault test: then the test skips loudly, or fails where nothing may be skipped."""

import os
from typing import NoReturn

import pytest


def lacks(name: str, why: str) -> NoReturn:
    """Skip, or fail where ENABLEBOT_REQUIRE_<name> is 1."""
    message = f"NO {name}, a fault test is not run: {why}"
    if os.environ.get(f"ENABLEBOT_REQUIRE_{name}") == "1":
        pytest.fail(message)
    pytest.skip(message)
