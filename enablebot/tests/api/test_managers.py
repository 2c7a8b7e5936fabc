"""Who may manage the knowledge: asked of Slack once a minute, and never of somebody from elsewhere."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from enablebot.api.slack.managers import CACHE_SECONDS, Managers
from enablebot.sandbox.app import Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.errors import SlackUnknownOutcome
from enablebot.shared.installations import BotCredentials
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients

pytestmark = pytest.mark.anyio
ACME = "T0SANDBOX1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def managers(sandbox: Sandbox, clock: Clock) -> AsyncIterator[Managers]:
    clients = SlackClients(base_url=sandbox.base_url)
    await clients.open()
    yield Managers(clients, clock=clock)
    await clients.aclose()


def credentials(sandbox: Sandbox, **changed: Any) -> BotCredentials:
    installed = sandbox.install(ACME, scopes=changed.pop("scopes", ("users:read", "chat:write")))
    tenant_id = uuid4()
    given: dict[str, Any] = {
        "tenant_id": tenant_id,
        "credential_tenant_id": tenant_id,
        "token": Sensitive(installed.token),
        "bot_user_id": installed.bot_user,
        "bot_id": installed.bot_id,
        "team_id": ACME,
        "app_id": "A1",
        "scopes": (),
        "is_org_wide": False,
        "installed_at": datetime.now(UTC),
        "installed_by": "U0GUEST",
    }
    return BotCredentials(**given | changed)


@pytest.mark.parametrize(("user", "may"), [("U0ADA", True), ("U0BEN", False), ("U0GUEST", True), ("U0NOBODY", False)])
async def test_admins_owners_and_whoever_added_the_app_may(
    sandbox: Sandbox, managers: Managers, user: str, may: bool
) -> None:
    assert await managers.may_manage(user, team_id=None, credentials=credentials(sandbox)) is may


async def test_nobody_of_another_workspace_may_whatever_they_are_there(sandbox: Sandbox, managers: Managers) -> None:
    bot = credentials(sandbox)
    for user in ("U0ADA", "U0GUEST"):
        assert not await managers.may_manage(user, team_id="T0OTHER", credentials=bot)
    # Whoever added it for an organisation is no manager of each of its workspaces.
    assert not await managers.may_manage("U0GUEST", team_id=None, credentials=credentials(sandbox, is_org_wide=True))


async def test_what_slack_said_holds_for_a_minute_and_for_one_workspace(
    sandbox: Sandbox, managers: Managers, clock: Clock
) -> None:
    bot = credentials(sandbox)
    for _ in range(3):
        assert await managers.may_manage("U0ADA", team_id=ACME, credentials=bot)
    assert len([call for call in sandbox.ledger.calls if call.method == "users.info"]) == 1
    sandbox.people.promote(team=ACME, user="U0BEN", is_admin=True, is_owner=False)
    sandbox.people.promote(team=ACME, user="U0ADA", is_admin=False, is_owner=False)
    assert not await managers.may_manage("U0ADA", team_id=ACME, credentials=credentials(sandbox))
    assert await managers.may_manage("U0ADA", team_id=ACME, credentials=bot)
    clock.now += CACHE_SECONDS
    assert not await managers.may_manage("U0ADA", team_id=ACME, credentials=bot)


async def test_without_the_permission_to_ask_only_whoever_added_it_may(sandbox: Sandbox, managers: Managers) -> None:
    bot = credentials(sandbox, scopes=("chat:write",))
    assert not await managers.may_manage("U0ADA", team_id=None, credentials=bot)
    assert await managers.may_manage("U0GUEST", team_id=None, credentials=bot)


async def test_a_slack_that_does_not_answer_is_no_no(sandbox: Sandbox, managers: Managers) -> None:
    bot = credentials(sandbox)
    sandbox.faults.add("users.info", "status", status=500)
    with pytest.raises(SlackUnknownOutcome):
        await managers.may_manage("U0ADA", team_id=None, credentials=bot)
    assert await managers.may_manage("U0ADA", team_id=None, credentials=bot)
