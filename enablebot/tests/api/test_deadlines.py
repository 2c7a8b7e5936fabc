"""One timer for everybody's deadline: whoever is late is told, nobody else is disturbed."""

import asyncio

import pytest

from enablebot.api.deadlines import Deadlines

pytestmark = pytest.mark.anyio


async def test_what_does_not_end_in_time_is_ended_and_told_so() -> None:
    deadlines = Deadlines(0.01)
    with pytest.raises(TimeoutError), deadlines:
        await asyncio.Event().wait()


async def test_each_has_its_own_time_although_they_share_a_timer() -> None:
    deadlines = Deadlines(0.05)
    late: list[int] = []

    async def wait(number: int) -> None:
        try:
            with deadlines:
                await asyncio.Event().wait()
        except TimeoutError:
            late.append(number)

    waiting = []
    for number in range(4):
        waiting.append(asyncio.create_task(wait(number)))
        await asyncio.sleep(0.01)
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert late == [0, 1, 2, 3]


async def test_what_ended_in_time_is_left_alone_afterwards() -> None:
    deadlines = Deadlines(0.01)
    with deadlines:
        await asyncio.sleep(0)
    with deadlines:
        await asyncio.sleep(0)
    await asyncio.sleep(0.03)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_whoever_is_cancelled_by_somebody_else_stays_cancelled() -> None:
    deadlines = Deadlines(60)

    async def wait() -> None:
        with deadlines:
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_by_somebody_else_at_its_end_it_obeys_them() -> None:
    deadlines = Deadlines(0.01)
    others: list[asyncio.Task[None]] = []

    async def wait() -> None:
        with deadlines:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                others[0].cancel()
                raise

    others.append(asyncio.create_task(wait()))
    with pytest.raises(asyncio.CancelledError):
        await others[0]
