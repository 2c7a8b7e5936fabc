"""What every test shares: asyncio as the only backend. Databases live in `tests/database.py`."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
