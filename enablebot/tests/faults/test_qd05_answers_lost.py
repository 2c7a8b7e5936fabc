"""QD-5: Slack does what it was asked to, and its answer is lost on the way; nobody sees a second message.

Each way to lose an answer (closed, reset, cut in half, silence until our patience ends) strikes each call that carries
an answer into Slack, at a call drawn by lot.
"""

import itertools
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
import pytest

from enablebot.sandbox.config import SandboxConfig
from enablebot.sandbox.faults import Loss
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.tests.api.answering_room import GENERAL, SETTLED, TEAM, Recorded, Room, opened_room
from enablebot.tests.database import VERSIONS, PostgresServers
from enablebot.tests.faults.scale import seeded, sized

pytestmark = [pytest.mark.anyio, pytest.mark.fault]

SENTENCES = tuple(f"Sentence number {number}. " for number in range(40))
WAYS: tuple[Loss, ...] = ("close", "reset", "half", "hang")
# Where each call is made, and how many of its kind may come before the one that is struck.
CALLS = {
    "chat.postMessage": (GENERAL, 0),
    "chat.update": (GENERAL, 2),
    "chat.startStream": ("@bot", 0),
    "chat.appendStream": ("@bot", 3),
    "chat.stopStream": ("@bot", 0),
}
PATIENCE_SECONDS = 0.5


@pytest.fixture
async def room(postgres_servers: PostgresServers) -> AsyncIterator[Room]:
    """A room whose Slack client waits for half a second, so that silence ends within the test."""
    server = postgres_servers.server(VERSIONS[0])
    config = SandboxConfig(
        model_delay_ms=0, time_scale=0.001, stream_seconds=300_000, rate_limits=False, post_burst=10_000
    )
    with server.migrated() as name:
        transport = await PostgresTransport.connect(server.url(name, login="enablebot_test_api"))
        admin: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(server.url(name))
        try:
            async with opened_room(
                Database(transport), admin, config=config, timeout_seconds=PATIENCE_SECONDS
            ) as opened:
                yield opened
        finally:
            await admin.close()
            await transport.aclose()


async def ask(room: Room, channel: str, about: str) -> None:
    """Ask, and see that the person got one whole message."""
    question = await room.ask("@EnableBot go on", channel=channel)
    calls = len(room.sandbox.ledger.calls)
    assert await room.service(model=Recorded(*SENTENCES, delay=0.003)).answer(question) == SETTLED
    about += f": {[call.method for call in list(room.sandbox.ledger.calls)[calls:]]}"
    shown = room.spoken(question)
    assert len(shown) == 1, about
    assert shown[0]["text"].split() == "".join(SENTENCES).split(), about
    assert shown[0].get("streaming_state") in (None, "completed"), about
    assert await room.inbox(question) == ("done", "done"), about


async def test_whatever_answer_of_slack_is_lost_a_person_sees_one_message(room: Room) -> None:
    rng, struck, asked = seeded("QD-5"), Counter[str](), Counter[str]()
    cases = list(itertools.product(CALLS, WAYS))
    rng.shuffle(cases)
    for method, way in itertools.islice(itertools.cycle(cases), max(len(cases), sized(200))):
        channel, latest = CALLS[method]
        room.sandbox.faults.add(method, "lost_answer", lost=way, skip=rng.randint(0, latest))
        # A busy machine shows an answer in fewer pieces: the next one then has the piece to lose.
        while room.sandbox.faults.left():
            await ask(room, channel, f"{method}, {way}")
            asked[channel] += 1
        struck[f"{method} {way}"] += 1
    said = [message for message in room.sandbox.messages(TEAM, GENERAL) if message.get("bot_id")]
    assert len(said) == asked[GENERAL]
    assert not room.sandbox.ledger.violations
    print(f"struck: {dict(struck)}")
