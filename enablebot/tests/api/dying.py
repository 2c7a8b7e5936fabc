"""Processes that die, and processes that stand still while another takes over, at a chosen moment of an answer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from enablebot.api.answering.fence import Pulse
from enablebot.api.answering.model import ModelEvent, ModelRequest
from enablebot.api.answering.service import AnsweringService
from enablebot.shared.database.operations import Database
from enablebot.shared.database.transport import Argument, Json, Transport
from enablebot.shared.models.question import Question
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClient, SlackClients
from enablebot.shared.slack.wire import MaySend
from enablebot.tests.api.answering_room import SETTLED, Recorded, Room

STILL_SECONDS = 0.05

Act = Callable[[], Awaitable[None]]


class Killed(BaseException):
    """The process is gone: no handler of ours may treat this as a failure to recover from."""


class Struck:
    """A transport on which something happens before or after the n-th call of one function."""

    def __init__(self, whole: Transport, function: str, act: Act, *, before: bool = False, number: int = 1) -> None:
        self._whole = whole
        self._function = function
        self._act = act
        self._before = before
        self._left = number

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        if function != self._function:
            return await self._whole.call(function, arguments)
        self._left -= 1
        if self._left == 0 and self._before:
            await self._act()
        result = await self._whole.call(function, arguments)
        if self._left == 0 and not self._before:
            await self._act()
        return result

    async def ping(self) -> None:
        await self._whole.ping()

    async def aclose(self) -> None:
        """The whole one is closed by whoever opened it."""


class StruckModel(Recorded):
    """A model whose caller has something happen to it after the n-th piece of text."""

    def __init__(self, *texts: str, act: Act, number: int, delay: float = 0) -> None:
        super().__init__(*texts, delay=delay)
        self._act = act
        self._number = number

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        number = 0
        async for event in super().stream(request):
            yield event
            number += 1
            if number == self._number:
                await self._act()


async def die(room: Room, question: Question, method: str, model: Recorded, **when: Any) -> None:
    """Answer with a process that dies at this call of the database."""

    async def killed() -> None:
        raise Killed

    whole = room.database
    room.database = Database(Struck(whole._transport, method, killed, **when))
    try:
        await room.service(model=model).answer(question)
    except Killed:
        return
    finally:
        room.database = whole
    raise AssertionError("the answer was finished before its process could die")


class _Halting:
    """A transport that neither asks nor hears anything while its process stands still."""

    def __init__(self, whole: Transport, running: asyncio.Event) -> None:
        self._whole = whole
        self._running = running

    async def call(self, function: str, arguments: Mapping[str, Argument]) -> Json:
        await self._running.wait()
        result = await self._whole.call(function, arguments)
        await self._running.wait()
        return result

    async def ping(self) -> None:
        await self._whole.ping()

    async def aclose(self) -> None:
        """The whole one is closed by whoever opened it."""


class _HaltingClients(SlackClients):
    def __init__(self, running: asyncio.Event, *, base_url: str) -> None:
        super().__init__(base_url=base_url, timeout_seconds=5)
        self._running = running

    def for_workspace(
        self, *, token: Sensitive[str], team_id: str | None, may_send: MaySend | None = None
    ) -> SlackClient:
        client = super().for_workspace(token=token, team_id=team_id, may_send=may_send)
        calling = client._called

        async def halted(method: str, **request: Any) -> Any:
            # Behind whatever was checked before the call, as a process may be stopped anywhere.
            await self._running.wait()
            return await calling(method, **request)

        setattr(client, "_called", halted)  # noqa: B010 - a method of an instance
        return client


class Zombie:
    """A process that stands still at a chosen moment, until another has finished its answer, and then goes on."""

    def __init__(self, room: Room, question: Question, slack: SlackClients, running: asyncio.Event) -> None:
        self._room = room
        self._question = question
        self._slack = slack
        self._running = running
        self.heirs_words: tuple[str, ...] = ("Answered by another.",)
        self.has_slept = False
        self._calls = 0

    @property
    def calls_since(self) -> list[str]:
        """What it called after the answer had been finished."""
        return [call.method for call in list(self._room.sandbox.ledger.calls)[self._calls :]]

    def service(self, model: Recorded, *, at: str | None = None, **when: Any) -> AnsweringService:
        """Its answering room, which stands still at this function of the database; without one the model says when."""
        transport: Transport = _Halting(self._room.database._transport, self._running)
        if at is not None:
            transport = Struck(transport, at, self.stand_still, **when)
        room = self._room
        return AnsweringService(
            Database(transport),
            room.installations,
            self._slack,
            model,
            room.settings,
            room.metrics,
            time_scale=room.time_scale,
            pulse=Pulse(still_seconds=STILL_SECONDS),
        )

    async def stand_still(self) -> None:
        """Let another process take over and finish the answer."""
        self._running.clear()
        heir = await self._room.claimed(self._question)
        # Unhurried, so that a slow machine does not end its search for the evidence.
        room = replace(self._room, time_scale=0.1)
        assert await room.service(model=Recorded(*self.heirs_words)).answer(heir) == SETTLED
        self._calls = len(self._room.sandbox.ledger.calls)
        self.has_slept = True
        # Its clocks show it, too, once it wakes.
        time.sleep(2 * STILL_SECONDS)  # noqa: ASYNC251 - nothing of this process may run meanwhile
        self._running.set()


@asynccontextmanager
async def zombie_of(room: Room, question: Question) -> AsyncIterator[Zombie]:
    """A zombie with connections of its own."""
    running = asyncio.Event()
    running.set()
    slack = _HaltingClients(running, base_url=room.sandbox.base_url)
    await slack.open()
    try:
        yield Zombie(room, question, slack, running)
    finally:
        await slack.aclose()
