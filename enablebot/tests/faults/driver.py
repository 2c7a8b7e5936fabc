"""Load for a house, and the history that the checker judges."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from enablebot.tests.faults.checker import Account, Answer, Asked, History, Sent, Shown, Stored, check
from enablebot.tests.faults.scale import FULL
from enablebot.tests.house import House

# Long enough for any machine: a test that needs it is stuck, and says where.
PATIENCE_SECONDS = 1800.0 if FULL else 120.0
# A process that starts has opened its door before it answers, and the machine may be busy with other tests: that some
# acknowledgements come after Slack's three seconds, and are not counted as such, belongs to these tests.
LATE = frozenset({"late_acknowledgement"})


class Load:
    """What the crowd of a house's sandbox says, from the first message to the verdict."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def talk(
        self, *, messages: int, per_second: float, seed: int, mix: dict[str, float] | None = None, text: str = ""
    ) -> None:
        """Let people begin to write; it goes on by itself, see `is_over`."""
        given = {"messages": messages, "per_second": per_second, "seed": seed, "mix": mix, "text": text}
        await self._house.control("talk", **given)

    async def progress(self) -> dict[str, int]:
        """Whether people are `talking`, how much they `said`, events `sent`, and how many are `under_way`."""
        return await self._house.look("progress")

    async def is_over(self) -> bool:
        """Whether everything was said."""
        return not (await self.progress())["talking"]

    async def until_over(self) -> None:
        """Wait until everything was said."""
        await until(self.is_over, what="the crowd goes on talking")

    async def until_sent(self, events: int, *, hushed: bool = True) -> None:
        """Let the crowd go on until Slack has sent so many events, then hush it."""

        async def enough() -> bool:
            progress = await self.progress()
            assert progress["talking"] or progress["sent"] >= events, "the crowd ran out of things to say"
            return progress["sent"] >= events

        await until(enough, what=f"Slack has not sent {events} events")
        if hushed:
            await self._house.control("talk", messages=0)

    async def until_delivered(self) -> None:
        """Wait until Slack has repeated what it repeats."""

        async def delivered() -> bool:
            return (await self.progress())["under_way"] == 0

        await until(delivered, what="Slack still delivers")

    async def resend_refused(self) -> int:
        """Have Slack send again what was never acknowledged, until all is; returns how many events it took."""
        count = 0
        for _ in range(5):
            deliveries = (await self._house.look("ledger"))["deliveries"]
            kept = {one["event_id"] for one in deliveries if one["acknowledged"]}
            refused = sorted({one["event_id"] for one in deliveries if one["event_id"]} - kept)
            if not refused:
                return count
            for event_id in refused:
                await self._house.control("redeliver", event_id=event_id)
            count += len(refused)
            await self.until_delivered()
        return count

    async def until_settled(self) -> None:
        """Wait until nothing is delivered and nothing waits in the inbox any more."""
        await self.until_delivered()

        async def settled() -> bool:
            return not any((await self._house.inbox_depth()).values())

        await until(settled, what="events still wait in the inbox", every=0.1)
        # Our own messages and edits come back as events, after the answer that made them.
        await self.until_delivered()

    async def history(self) -> History:
        """Everything that was asked, sent, stored and shown."""
        crowd, ledger = await self._house.look("crowd"), await self._house.look("ledger")
        shown = (await self._house.look("shown"))["messages"]
        connection = await asyncpg.connect(self._house.admin_url)
        try:
            stored = await connection.fetch(_STORED)
            answers = await connection.fetch(_ANSWERS)
        finally:
            await connection.close()
        return History(
            asked=[
                Asked(said["team"], said["channel"], said["ts"], said["thread_ts"], said["token"])
                for said in crowd["said"]
                if said["asks"]
            ],
            sent=[_sent(one) for one in ledger["deliveries"]],
            stored=[Stored(*row) for row in stored],
            answers=[Answer(**{**row, "ts": frozenset(row["ts"])}) for row in answers],
            shown=[
                Shown(
                    team=one["team"],
                    channel=one["channel"],
                    ts=one["ts"],
                    thread_ts=one["thread_ts"],
                    text=one["text"],
                    is_open=one["streaming_state"] == "in_progress",
                )
                for one in shown
            ],
            violations=[f"{one['kind']}: {one['detail']}" for one in ledger["violations"]],
        )

    async def verdict(self, *, excused_violations: frozenset[str] = LATE) -> Account:
        """Send again what was refused, wait until all is settled, and judge; fails with an account of what is wrong."""
        await self.until_settled()
        again = await self.resend_refused()
        await self.until_settled()
        account = check(await self.history(), excused_violations=excused_violations)
        print(f"{account}\n{again} events sent again at the end")
        assert account.is_clean, str(account)
        return account


async def until(
    true: Callable[[], Awaitable[bool]], *, what: str, within: float = PATIENCE_SECONDS, every: float = 0.05
) -> float:
    """Wait until something is true and return the seconds it took; fails with `what` is the matter instead."""
    began = time.monotonic()
    while not await true():
        assert time.monotonic() - began < within, f"after {within:g} s {what}"
        await asyncio.sleep(every)
    return time.monotonic() - began


_STORED = """
select i.event_key, t.team_id, i.state, i.outcome, i.reason
from enablebot.inbox i join enablebot.tenants t on t.id = i.tenant_id
"""
_ANSWERS = """
select t.team_id as team, a.channel, a.question_ts, a.state, a.reason,
       (select count(*)::int from enablebot.replies r where (r.tenant_id, r.answer_id) = (a.tenant_id, a.id)) as parts,
       array(select r.ts from enablebot.replies r
             where (r.tenant_id, r.answer_id) = (a.tenant_id, a.id) and r.ts is not null) as ts
from enablebot.answers a join enablebot.tenants t on t.id = a.tenant_id
"""


def _sent(delivery: dict[str, Any]) -> Sent:
    return Sent(
        event_id=delivery["event_id"],
        team=delivery["team"] or "",
        channel=delivery["channel"],
        # A notice about a message, as of an edit, is none about its arrival.
        ts="" if delivery["subtype"] else delivery["ts"],
        acknowledged=delivery["acknowledged"],
        attempts=len(delivery["attempts"]),
    )
