"""What the tests of api's edge stand on: a keyring, and installations over this test's own database."""

from datetime import UTC, datetime

import pytest

from enablebot.api import leases as leases_module
from enablebot.api import worker as worker_module
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations
from enablebot.tests.api.bench import NEVER, Admin, Bench
from enablebot.tests.api.slack_side import OTHER_TEAM, TEAM, install

MASTER_KEY = generate_master_key(datetime(2026, 11, 22, tzinfo=UTC).date())


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.parse(MASTER_KEY)


@pytest.fixture
def installations(api_database: Database, keyring: Keyring) -> Installations:
    return Installations(api_database, keyring)


@pytest.fixture
async def bench(api_database: Database, installations: Installations, admin: Admin) -> Bench:
    await install(installations, TEAM)
    await install(installations, OTHER_TEAM)
    return Bench(api_database, installations, admin)


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that never look by themselves."""
    monkeypatch.setattr(worker_module, "SHORTEST_PAUSE_SECONDS", NEVER)
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_SECONDS", NEVER)


@pytest.fixture
def never_looking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that look at what they run only where they have a reason to."""
    monkeypatch.setattr(leases_module, "LOOK_SECONDS", NEVER * 1000)
