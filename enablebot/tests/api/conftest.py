"""What the tests of api's edge stand on: a keyring, and installations over this test's own database."""

from datetime import UTC, datetime

import pytest

from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations

MASTER_KEY = generate_master_key(datetime(2026, 11, 22, tzinfo=UTC).date())


@pytest.fixture(scope="session")
def keyring() -> Keyring:
    return Keyring.parse(MASTER_KEY)


@pytest.fixture
def installations(api_database: Database, keyring: Keyring) -> Installations:
    return Installations(api_database, keyring)
