"""The channels a document can be bound to come from Slack; without Slack's word they can still be typed in."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from enablebot.sandbox.app import Sandbox
from enablebot.tests.web.conftest import NewVisitor
from enablebot.tests.web.knowing import KNOWLEDGE
from enablebot.tests.web.reading import Page
from enablebot.tests.web.visiting import ACME, ADA, EVA, GLOBEX, Visitor

pytestmark = pytest.mark.anyio

SEARCH = f"{KNOWLEDGE}/search"
ASKED = "users.conversations"


async def offered(visitor: Visitor) -> list[str]:
    """The channels a person can choose from."""
    page = Page((await visitor.get(SEARCH)).text)
    return [option["value"] for option in page.all("option") if option["value"]]


async def test_the_channels_the_bot_is_in_are_offered(visitor: Visitor, sandbox: Sandbox) -> None:
    general = sandbox.world.channels["C0GENERAL"]
    for number in range(250):
        sandbox.world.channels[f"C0MANY{number:03}"] = replace(
            general, id=f"C0MANY{number:03}", name=f"many-{number:03}"
        )
    sandbox.world.channels["C0OLD0"] = replace(general, id="C0OLD0", name="old", is_archived=True)
    await visitor.install(team=ACME, user=ADA)
    found = await offered(visitor)
    # Slack gives them in pages; the one it is not in and the one that is closed are not among them.
    assert "C0GENERAL" in found
    assert len(found) == 251
    assert not {"C0RANDOM", "C0OLD0"} & set(found)


async def test_slack_is_asked_once_for_many_pages(visitor: Visitor, sandbox: Sandbox) -> None:
    await visitor.install(team=ACME, user=ADA)
    for _ in range(5):
        await visitor.get(SEARCH)
    assert len(sandbox.ledger.calls_of(ASKED)) == 1


async def test_one_workspace_is_never_offered_anothers_channels(new_visitor: NewVisitor) -> None:
    ada, eva = new_visitor(), new_visitor()
    await ada.install(team=ACME, user=ADA)
    await eva.install(team=GLOBEX, user=EVA)
    assert await offered(ada) == ["C0GENERAL"]
    assert await offered(eva) == ["C1GENERAL"]


async def test_a_missing_permission_is_named_and_an_id_can_be_typed(visitor: Visitor) -> None:
    await visitor.install(team=ACME, user=ADA, scopes="chat:write")
    page = Page((await visitor.get(SEARCH)).text)
    assert "a permission is missing" in page.text
    assert [field["name"] for field in page.all("input") if field.get("id") == "channel"] == ["channel"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "status", "status": 503}, "Slack did not say in time"),
        ({"kind": "reset", "times": 5}, "Slack did not say in time"),
        ({"kind": "ratelimit"}, "Slack did not say in time"),
        ({"kind": "error", "error": "team_access_not_granted"}, "Slack refused to say"),
        ({"kind": "error", "error": "token_revoked"}, "Slack"),
    ],
)
async def test_without_slacks_word_the_page_is_there_and_says_so(
    visitor: Visitor, sandbox: Sandbox, fault: Mapping[str, object], words: str
) -> None:
    await visitor.install(team=ACME, user=ADA)
    sandbox.faults.add(ASKED, **fault)  # type: ignore[arg-type]
    response = await visitor.get(SEARCH)
    assert response.status_code == 200
    assert words in Page(response.text).text


async def test_slack_that_does_not_answer_is_not_waited_for_and_asked_again_later(
    visitor: Visitor, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enablebot.web.dashboard.knowledge_channels._PATIENCE_SECONDS", 0.2)
    await visitor.install(team=ACME, user=ADA)
    sandbox.faults.add(ASKED, "hang")
    assert "Slack did not say in time" in Page((await visitor.get(SEARCH)).text).text
    monkeypatch.undo()
    assert await offered(visitor) == ["C0GENERAL"]
