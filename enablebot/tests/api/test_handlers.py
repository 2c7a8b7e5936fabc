"""Each surface with real parts: an event in, the right thing done, the right workspace's token used or deleted."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers.dispatch import Dispatch
from enablebot.api.slack.handlers.interactions import ANSWERING_AGAIN, QUESTION_GONE
from enablebot.api.slack.intake import Intake
from enablebot.api.slack.markup import plain_text
from enablebot.api.slack.relevance import relevance, retry_pressed
from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.database.models import ClaimedEventRow, Signal
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.errors import SlackTokenDead
from enablebot.shared.installations import Installations, NotInstalled
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.event import RunningSignal
from enablebot.shared.models.question import Outcome, Question
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients
from enablebot.tests.api.slack_side import (
    ROOT,
    bot_of,
    deletion,
    direct,
    envelope,
    install,
    message,
    pressed_retry,
    reply,
    tombstone,
    written,
)

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0SANDBOX1", "T0SANDBOX2"
GENERAL = "C0GENERAL"


@dataclass
class Answers:
    """An answering room that only listens, or fails as it is told."""

    failure: Exception | None = None
    asked: list[Question] = field(default_factory=list)
    given_up: list[tuple[Question, str]] = field(default_factory=list)
    stopped: list[tuple[UUID, str, str]] = field(default_factory=list)
    withdrawn: list[tuple[UUID, str, str]] = field(default_factory=list)
    signalled: list[tuple[UUID, int, str]] = field(default_factory=list)
    writes_here: bool = True

    async def answer(self, question: Question) -> Outcome:
        self.asked.append(question)
        if self.failure is not None:
            raise self.failure
        return Outcome("settled")

    async def give_up(self, question: Question, reason: str) -> Outcome:
        self.given_up.append((question, reason))
        return Outcome("settled")

    def stop(self, tenant_id: UUID, *, channel: str, thread_ts: str) -> bool:
        self.stopped.append((tenant_id, channel, thread_ts))
        return self.writes_here

    def withdraw(self, tenant_id: UUID, *, channel: str, question_ts: str) -> bool:
        self.withdrawn.append((tenant_id, channel, question_ts))
        return self.writes_here

    def signal(self, tenant_id: UUID, event_id: int, signal: RunningSignal) -> bool:
        self.signalled.append((tenant_id, event_id, signal))
        return self.writes_here


@dataclass
class Surfaces:
    database: Database
    installations: Installations
    sandbox: Sandbox
    slack: SlackClients
    tenant_id: UUID
    installed: Installed
    answers: Answers = field(default_factory=Answers)
    metrics: Metrics = field(default_factory=Metrics)

    @property
    def dispatch(self) -> Dispatch:
        return self.dispatch_with(self.installations)

    def dispatch_with(self, installations: Installations) -> Dispatch:
        return Dispatch(self.database, installations, self.slack, self.answers, metrics=self.metrics)

    async def claim(self, event: Any, *, team: str = ACME, **fields: Any) -> ClaimedEventRow:
        """Accept an event and claim it."""
        whole = envelope(event, team=team, **fields)
        relevant = relevance(whole)
        assert relevant is not None
        return await self._claim(relevant, written(whole))

    async def claim_press(self, payload: dict[str, Any]) -> ClaimedEventRow:
        relevant = retry_pressed(payload)
        assert relevant is not None
        return await self._claim(relevant, written(payload))

    async def handle(self, event: Any, **fields: Any) -> Outcome:
        return await self.dispatch.handle(await self.claim(event, **fields))

    async def is_installed(self) -> bool:
        self.installations.forget(self.tenant_id)
        try:
            await self.installations.bot(self.tenant_id)
        except NotInstalled:
            return False
        return True

    async def _claim(self, relevant: Any, body: bytes) -> ClaimedEventRow:
        assert await Intake(self.database, self.installations).accept(relevant, body) == "accepted"
        (claimed,) = await self.database.claim_events(
            worker="test", after_tenant=None, limit=1, tenant_cap=8, lease_seconds=60
        )
        return claimed


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(with_openai=False, rate_limits=False, time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
async def surfaces(api_database: Database, installations: Installations, sandbox: Sandbox) -> AsyncIterator[Surfaces]:
    slack = SlackClients(base_url=sandbox.base_url)
    await slack.open()
    installed = sandbox.install(ACME)
    tenant_id = await install(
        installations,
        ACME,
        bot_token=Sensitive(installed.token),
        bot_user_id=installed.bot_user,
        bot_id=installed.bot_id,
    )
    yield Surfaces(api_database, installations, sandbox, slack, tenant_id, installed)
    await slack.aclose()


async def asked(surfaces: Surfaces, event: Any, **fields: Any) -> Question:
    assert await surfaces.handle(event, **fields) == Outcome("settled")
    (question,) = surfaces.answers.asked
    return question


async def test_a_mention_becomes_a_question_to_answer_in_its_thread(surfaces: Surfaces) -> None:
    bot = surfaces.installed.bot_user
    event = message(f"<@{bot}> what is &lt;this&gt;?", type="app_mention", channel_type=None, ts=ROOT)
    question = await asked(surfaces, event)
    assert (question.text, question.asker, question.ts, question.thread_ts) == ("what is <this>?", "U0ADA", ROOT, ROOT)
    assert (question.tenant_id, question.team_id, question.bot_user_id) == (surfaces.tenant_id, ACME, bot)
    assert (question.channel_type, question.in_thread, question.is_external) == ("channel", False, False)
    assert question.lane == f"{GENERAL}:{ROOT}"
    assert "this" not in repr(question)


async def test_a_direct_message_with_files_names_them(surfaces: Surfaces) -> None:
    files = [{"id": "F1", "name": "plan.pdf"}, {"id": "F2", "title": "untitled"}, {"id": "F3"}, "odd"]
    question = await asked(surfaces, direct("read this", subtype="file_share", files=files, team=ACME))
    assert question.file_names == ("plan.pdf", "untitled")
    assert question.channel_type == "im"


async def test_a_follow_up_is_answered_under_its_root(surfaces: Surfaces) -> None:
    question = await asked(surfaces, direct(ts="1700000001.000200", thread_ts=ROOT))
    assert (question.ts, question.thread_ts, question.in_thread) == ("1700000001.000200", ROOT, True)


@pytest.mark.parametrize(
    ("fields", "external"),
    [
        ({}, False),
        ({"team": ACME}, False),
        ({"team": GLOBEX}, True),
        ({"user_team": GLOBEX, "team": ACME}, True),
        ({"source_team": GLOBEX}, True),
        ({"user_team": "E0ELSEWHERE"}, True),
    ],
)
async def test_people_of_another_workspace_are_told_apart(
    surfaces: Surfaces, fields: dict[str, Any], external: bool
) -> None:
    event = {**message(f"<@{bot_of(ACME)}> hello"), **fields}
    assert (await asked(surfaces, event)).is_external is external


async def test_lone_surrogates_and_nuls_become_text_that_can_be_stored(surfaces: Surfaces) -> None:
    question = await asked(surfaces, direct("a\0b \ud800 c 😀"))
    assert question.text == "ab \ufffd c 😀"


async def test_the_last_word_goes_to_who_asked(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct("hello"))
    assert await surfaces.dispatch.give_up(claimed, "it failed") == Outcome("settled")
    ((question, reason),) = surfaces.answers.given_up
    assert (question.text, reason) == ("hello", "it failed")


async def test_without_an_installation_a_question_is_dropped_and_slack_not_called(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    await surfaces.installations.end(
        surfaces.tenant_id, event_time=datetime.now(UTC) + timedelta(days=1), reason="app_uninstalled"
    )
    assert (await surfaces.dispatch.handle(claimed)).name == "dropped"
    assert surfaces.answers.asked == []
    assert not surfaces.sandbox.ledger.calls


DEAD = SlackTokenDead("dead", method="chat.postMessage", slack_code="token_revoked")


async def test_what_another_process_saw_uninstalled_is_dropped_though_this_one_remembers_it_as_active(
    surfaces: Surfaces,
) -> None:
    claimed = await surfaces.claim(direct())
    assert (await surfaces.installations.route_of_tenant(surfaces.tenant_id)).status == "active"
    elsewhere = Installations(surfaces.database, surfaces.installations._keyring)
    later = datetime.now(UTC) + timedelta(days=1)
    assert await elsewhere.end(surfaces.tenant_id, event_time=later, reason="app_uninstalled")
    assert (await surfaces.dispatch.handle(claimed)).name == "dropped"


async def test_a_dead_token_pauses_the_workspace_and_puts_the_question_back(
    surfaces: Surfaces, caplog: pytest.LogCaptureFixture
) -> None:
    surfaces.answers.failure = DEAD
    first, second = await surfaces.claim(direct()), await surfaces.claim(direct())
    assert (await surfaces.dispatch.handle(first)).name == "release"
    assert not await surfaces.is_installed()
    assert (await surfaces.installations.route_of_tenant(surfaces.tenant_id)).status == "paused"
    # The next one finds no token; it is put back as well, and nobody complains twice.
    assert (await surfaces.dispatch.handle(second)).name == "release"
    assert len(surfaces.answers.asked) == 1
    assert caplog.text.count("The workspace is paused") == 1
    assert surfaces.metrics.registry.get_sample_value("enablebot_workspaces_paused_total") == 1


async def test_what_another_process_paused_is_put_back_though_this_one_remembers_it_as_active(
    surfaces: Surfaces,
) -> None:
    claimed = await surfaces.claim(direct())
    await surfaces.installations.route_of_tenant(surfaces.tenant_id)
    elsewhere = Installations(surfaces.database, surfaces.installations._keyring)
    assert await elsewhere.pause_with_dead_token(await elsewhere.bot(surfaces.tenant_id), reason="token_revoked")
    assert (await surfaces.dispatch.handle(claimed)).name == "release"


async def test_the_end_of_a_paused_workspace_is_its_end(surfaces: Surfaces) -> None:
    surfaces.answers.failure = DEAD
    claimed = await surfaces.claim(direct())
    assert (await surfaces.dispatch.handle(claimed)).name == "release"
    later = int(datetime.now(UTC).timestamp()) + 2
    assert (await surfaces.handle({"type": "app_uninstalled"}, event_time=later)).name == "done"
    assert (await surfaces.dispatch.handle(claimed)).name == "dropped"


async def test_paused_within_the_second_of_the_installation_an_uninstall_still_ends_it(surfaces: Surfaces) -> None:
    credentials = await surfaces.installations.bot(surfaces.tenant_id)
    claimed = await surfaces.claim(direct())
    assert await surfaces.installations.pause_with_dead_token(credentials, reason="token_revoked")
    same_second = int(credentials.installed_at.timestamp())
    assert (await surfaces.handle({"type": "app_uninstalled"}, event_time=same_second)).name == "done"
    assert (await surfaces.dispatch.handle(claimed)).name == "dropped"


async def test_a_token_that_was_replaced_meanwhile_is_tried_again_with_the_new_one(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    await surfaces.installations.bot(surfaces.tenant_id)
    elsewhere = Installations(surfaces.database, surfaces.installations._keyring)
    await install(elsewhere, ACME, bot_token=Sensitive("xoxb-newer"))
    surfaces.answers.failure = DEAD
    assert (await surfaces.dispatch.handle(claimed)).name == "release"
    assert (await surfaces.installations.bot(surfaces.tenant_id)).token.reveal() == "xoxb-newer"


async def test_a_body_sealed_with_a_key_we_lack_is_unreadable_and_names_the_key(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    other_keys = Keyring.parse(generate_master_key(datetime(2027, 1, 1, tzinfo=UTC).date()))
    stranger = surfaces.dispatch_with(Installations(surfaces.database, other_keys))
    with pytest.raises(BodyUnreadable, match="k20261122"):
        await stranger.handle(claimed)


async def test_a_body_moved_to_another_event_does_not_open(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    with pytest.raises(BodyUnreadable):
        await surfaces.dispatch.handle(claimed.model_copy(update={"event_key": "EvOther"}))


@pytest.mark.parametrize("kind", ["app_uninstalled", "tokens_revoked"])
async def test_an_uninstall_deletes_the_tokens_without_a_call_to_slack(surfaces: Surfaces, kind: str) -> None:
    event = {"type": kind, "tokens": {"bot": [surfaces.installed.bot_user]}}
    later = int(datetime.now(UTC).timestamp()) + 2
    assert (await surfaces.handle(event, event_time=later)).name == "done"
    assert not await surfaces.is_installed()
    assert not surfaces.sandbox.ledger.calls


async def test_a_late_uninstall_deletes_nothing(surfaces: Surfaces) -> None:
    assert (await surfaces.handle({"type": "app_uninstalled"}, event_time=1_700_000_000)).name == "done"
    assert await surfaces.is_installed()


async def test_revoked_tokens_of_persons_are_none_of_ours(surfaces: Surfaces) -> None:
    later = int(datetime.now(UTC).timestamp()) + 2
    for tokens in ({"oauth": ["U0ADA"], "bot": []}, {"bot": ["UBOTOTHER"]}, {}, None, {"bot": "odd"}):
        row = await surfaces.claim({"type": "tokens_revoked", "tokens": tokens}, event_time=later)
        await surfaces.dispatch.handle(row)
    assert await surfaces.is_installed()


async def test_within_the_second_of_the_installation_slack_decides(surfaces: Surfaces) -> None:
    installed_at = (await surfaces.installations.bot(surfaces.tenant_id)).installed_at
    same_second = int(installed_at.timestamp())
    assert (await surfaces.handle({"type": "app_uninstalled"}, event_time=same_second)).name == "done"
    assert await surfaces.is_installed()
    surfaces.sandbox.uninstall(ACME)
    assert (await surfaces.handle({"type": "app_uninstalled"}, event_time=same_second)).name == "done"
    assert not await surfaces.is_installed()


async def test_the_stop_button_reaches_the_running_answer_and_the_session(surfaces: Surfaces) -> None:
    root = await surfaces.sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="a long story")
    channel = surfaces.sandbox.world.direct_channel(ACME, "U0ADA").id
    event = {"type": "agent_session_stopped", "channel": channel, "thread_ts": root, "streaming_message_ts": []}
    assert (await surfaces.handle(event)).name == "done"
    assert surfaces.answers.stopped == [(surfaces.tenant_id, channel, root)]
    assert [call.method for call in surfaces.sandbox.ledger.calls] == ["agents.sessions.setStatus"]


async def test_a_stop_is_done_even_if_slack_does_not_show_it(surfaces: Surfaces) -> None:
    event = {"type": "agent_session_stopped", "channel": "D0NOWHERE", "thread_ts": ROOT}
    assert (await surfaces.handle(event)).name == "done"


async def running_elsewhere(surfaces: Surfaces, claimed: ClaimedEventRow) -> Signal | None:
    """What the process that holds this claim is told at its next look."""
    (signal,) = await surfaces.database.read_signals(
        tenant_ids=[claimed.tenant_id], ids=[claimed.id], tokens=[claimed.claim_token]
    )
    return signal


async def test_a_stop_reaches_an_answer_that_another_process_writes(surfaces: Surfaces) -> None:
    surfaces.answers.writes_here = False
    here, beside = await surfaces.claim(direct(ts=ROOT)), await surfaces.claim(direct())
    event = {"type": "agent_session_stopped", "channel": "D0ADA", "thread_ts": ROOT}
    assert (await surfaces.handle(event)).name == "done"
    assert await running_elsewhere(surfaces, here) == "stop"
    assert await running_elsewhere(surfaces, beside) is None


async def test_a_stop_is_done_in_a_workspace_without_a_token(surfaces: Surfaces) -> None:
    credentials = await surfaces.installations.bot(surfaces.tenant_id)
    assert await surfaces.installations.pause_with_dead_token(credentials, reason="token_revoked")
    event = {"type": "agent_session_stopped", "channel": "D0ADA", "thread_ts": ROOT}
    assert (await surfaces.handle(event)).name == "done"
    assert not surfaces.sandbox.ledger.calls


@pytest.mark.parametrize("deleted", [deletion, tombstone])
async def test_a_deleted_question_is_withdrawn_here_and_everywhere(
    surfaces: Surfaces, deleted: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    question = direct(ts=ROOT)
    await surfaces.claim(question)
    outcome = await surfaces.handle(deleted(question))
    assert (outcome.name, outcome.reason) == ("done", "withdrawn")
    assert surfaces.answers.withdrawn == [(surfaces.tenant_id, "D0ADA", ROOT)]
    assert surfaces.answers.asked == []
    assert not surfaces.sandbox.ledger.calls


async def test_a_question_deleted_while_it_waits_is_withdrawn_when_its_answer_is_opened(surfaces: Surfaces) -> None:
    surfaces.answers.writes_here = False
    question = direct(ts=ROOT)
    claimed = await surfaces.claim(question)
    outcome = await surfaces.handle(deletion(question))
    assert (outcome.name, outcome.reason) == ("done", "nothing was being answered")
    opened = await surfaces.database.open_answer(
        tenant_id=claimed.tenant_id,
        event_id=claimed.id,
        claim_token=claimed.claim_token,
        answer_id=uuid4(),
        conversation_id=uuid4(),
        lane=f"D0ADA:{ROOT}",
        channel="D0ADA",
        thread_ts=ROOT,
        question_ts=ROOT,
        asker="U0ADA",
        message_id=uuid4(),
        message=b"sealed",
        data_key_id=claimed.data_key_id,
        history=0,
    )
    assert opened.is_withdrawn


async def test_a_deletion_where_we_take_no_part_is_none_of_ours(surfaces: Surfaces) -> None:
    whole = envelope(deletion(message("not to us")), team=ACME)
    relevant = relevance(whole)
    assert relevant is not None
    assert await Intake(surfaces.database, surfaces.installations).accept(relevant, written(whole)) == "not_ours"


async def test_what_another_process_heard_is_passed_on_to_the_answer(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    assert surfaces.dispatch.signal(claimed, "stop")
    surfaces.answers.writes_here = False
    assert not surfaces.dispatch.signal(claimed, "withdraw")
    assert surfaces.answers.signalled == [
        (surfaces.tenant_id, claimed.id, "stop"),
        (surfaces.tenant_id, claimed.id, "withdraw"),
    ]


async def test_a_question_knows_how_long_it_has_waited_by_the_databases_clock(surfaces: Surfaces) -> None:
    claimed = await surfaces.claim(direct())
    await surfaces.dispatch.handle(claimed.model_copy(update={"waited_seconds": 77.5}))
    (question,) = surfaces.answers.asked
    assert question.waited_seconds == 77.5


@pytest.mark.parametrize("kind", ["stop", "delete", "lifecycle"])
async def test_what_nobody_waits_for_is_set_aside_when_it_is_given_up(surfaces: Surfaces, kind: str) -> None:
    claimed = (await surfaces.claim(direct())).model_copy(update={"kind": kind})
    assert await surfaces.dispatch.give_up(claimed, "it failed") == Outcome("set_aside", "it failed")


@pytest.fixture
async def ambiguous(surfaces: Surfaces) -> Callable[[str], dict[str, Any]]:
    """A thread with a question, its Retry button and another person's later words above it."""
    bot = surfaces.slack.for_workspace(token=Sensitive(surfaces.installed.token), team_id=ACME)
    root = await surfaces.sandbox.post(team=ACME, channel=GENERAL, user="U0BEN", text="@EnableBot the question")
    await surfaces.sandbox.post(team=ACME, channel=GENERAL, user="U0ADA", text="something else", thread_ts=root)
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "no idea"}},
        {
            "type": "actions",
            "elements": [
                {"type": "button", "action_id": "enablebot_retry", "text": {"type": "plain_text", "text": "Retry"}}
            ],
        },
    ]
    button = await bot.post_message(channel=GENERAL, thread_ts=root, text="no idea", blocks=blocks)

    def press(value: str) -> dict[str, Any]:
        where = {"type": "message", "message_ts": button, "channel_id": GENERAL, "thread_ts": root}
        return pressed_retry(
            team=ACME,
            container=where,
            message={"ts": button, "thread_ts": root},
            channel={"id": GENERAL},
            actions=[{"type": "button", "action_id": "enablebot_retry", "value": value.replace("ROOT", root)}],
        )

    return press


async def test_retry_asks_the_question_its_button_names(
    surfaces: Surfaces, ambiguous: Callable[[str], dict[str, Any]]
) -> None:
    payload = ambiguous("an-answer:ROOT")
    assert await surfaces.dispatch.handle(await surfaces.claim_press(payload)) == Outcome("settled")
    (question,) = surfaces.answers.asked
    assert (question.text, question.asker) == ("the question", "U0BEN")
    assert question.thread_ts == payload["container"]["thread_ts"]
    shown = {message["ts"]: message for message in surfaces.sandbox.messages(ACME, GENERAL)}
    button = shown[payload["container"]["message_ts"]]
    assert button["text"] == ANSWERING_AGAIN
    assert "enablebot_retry" not in str(button.get("blocks"))


async def test_retry_without_a_name_asks_the_last_question_above_it(
    surfaces: Surfaces, ambiguous: Callable[[str], dict[str, Any]]
) -> None:
    await surfaces.dispatch.handle(await surfaces.claim_press(ambiguous("an-answer")))
    (question,) = surfaces.answers.asked
    assert question.text == "something else"


async def test_retry_of_a_question_that_is_gone_says_so_to_who_pressed(
    surfaces: Surfaces, ambiguous: Callable[[str], dict[str, Any]]
) -> None:
    outcome = await surfaces.dispatch.handle(await surfaces.claim_press(ambiguous("an-answer:1500000000.000100")))
    assert outcome.name == "failed"
    assert surfaces.answers.asked == []
    told = surfaces.sandbox.messages(ACME, GENERAL)[-1]
    assert (told["text"], told["ephemeral_to"]) == (QUESTION_GONE, "U0ADA")


@pytest.mark.parametrize(
    ("markup", "plain"),
    [
        ("<@UBOT> hi", "hi"),
        ("hi <@UBOT|enablebot>, there", "hi , there"),
        ("<@U1> and <@U2|ben>", "@U1 and @ben"),
        ("see <#C1|general> and <#C2>", "see #general and #C2"),
        ("<!here> <!channel> <!subteam^S1|@team> <!date^1^x|today>", "@here @channel @team today"),
        ("<https://a.example/?x=1&amp;y=2|the plan>", "the plan (https://a.example/?x=1&y=2)"),
        ("<https://a.example>", "https://a.example"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
        ("&amp;lt;", "&lt;"),
        ("a\0b", "ab"),
        ("", ""),
    ],
)
def test_markup_reads_as_it_was_typed(markup: str, plain: str) -> None:
    assert plain_text(markup, bot_user_id="UBOT") == plain


async def test_a_reply_in_an_unknown_thread_never_comes_this_far(surfaces: Surfaces) -> None:
    whole = envelope(reply(), team=ACME)
    relevant = relevance(whole)
    assert relevant is not None
    assert await Intake(surfaces.database, surfaces.installations).accept(relevant, written(whole)) == "not_ours"
