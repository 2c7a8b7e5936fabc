"""QD-12: clocks that are wrong, apart or set back cost no question and start nothing early; and they are named.

Each process has a clock of its own, which a file moves while it runs (clockwork.py); the database keeps the right time.
Slack signs by its own clock, so the app is moved in two ways: together with Slack, where only the database disagrees,
and alone, where Slack's signatures look too old and have to be refused until the clock is right again.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import replace
from email.utils import parsedate_to_datetime
from pathlib import Path

import asyncpg
import pytest

from enablebot.local.children import Child
from enablebot.local.household import Household
from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

MESSAGES = sized(400)
MINUTE, HOUR = 60, 3600
PROCESSES = ("sandbox", "api-1", "api-2")
_EARLY = """
create sequence public.early;
grant usage on sequence public.early to public;
create function public.note_early() returns trigger language plpgsql as $$
begin
  perform nextval('public.early');
  return new;
end $$;
create trigger note_early before update on enablebot.inbox for each row
  when (new.state = 'claimed' and old.state = 'ready' and old.available_at > clock_timestamp() + interval '1 second')
  execute function public.note_early();
"""


class Clocks:
    """A clock for each process of a household, moved by writing its file."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def wind(self, household: Household) -> Household:
        """Give every child its clock."""
        return replace(household, children=tuple(map(self._wound, household.children)))

    def set(self, offsets: Mapping[str, int]) -> None:
        """Set clocks so many seconds ahead of the right time, by the names of the processes."""
        for name, offset in offsets.items():
            draft = self._directory / "draft"
            draft.write_text(f"{offset:+d}\n")
            draft.rename(self._directory / name)

    async def move(self, house: House, offsets: Mapping[str, int]) -> None:
        """Set clocks while the processes run, and wait until they show it."""
        self.set(offsets)
        for name, offset in offsets.items():
            child = house.running(name).child

            async def shows(url: str = child.ready_url, offset: int = offset) -> bool:
                async with house.http.get(url) as response:
                    shown = parsedate_to_datetime(response.headers["Date"]).timestamp()
                return abs(shown - time.time() - offset) < 5

            await until(shows, what=f"{name} does not show the new time")

    def _wound(self, child: Child) -> Child:
        python, flag, module, *arguments = child.argv
        file = str(self._directory / child.name)
        return replace(child, argv=(python, flag, "enablebot.tests.faults.clockwork", file, module, *arguments))


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    directory = tmp_path / "clocks"
    directory.mkdir()
    return Clocks(directory)


async def test_wrong_clocks_lose_nothing_start_nothing_early_and_are_named(
    clocks: Clocks, services_url: str, admin_url: str, tmp_path: Path
) -> None:
    chance = seeded("QD-12")

    async def play(house: House) -> None:
        await on_database(admin_url, _EARLY)
        await house.gather(workspaces=10)
        load = Load(house)

        async def talk() -> None:
            # Some answers have to be tried again, so that there are events which are not to be claimed yet.
            limited = {"method": "chat.postMessage", "kind": "ratelimit", "retry_after": 2, "times": 3}
            await house.control("faults", faults=[limited])
            await load.talk(messages=MESSAGES // 5, per_second=30, seed=chance.randrange(1 << 30))
            await load.until_over()
            await load.until_settled()

        # The house began ten minutes fast; then slow, an hour back and ahead, and its instances two minutes apart.
        await talk()
        for offset in (-10 * MINUTE, -HOUR, HOUR):
            await clocks.move(house, dict.fromkeys(PROCESSES, offset))
            await talk()
        await clocks.move(house, {"sandbox": 0, "api-1": -MINUTE, "api-2": MINUTE})
        await talk()
        await refused_while_the_app_is_wrong_alone(house, load, clocks)
        account = await load.verdict()
        assert set(account.endings) == {"answered"}, "a wrong clock made a question old, or lost it"
        assert not await on_database(admin_url, "select is_called from public.early"), "an event was claimed early"
        said = "\n".join(house.lines)
        assert "600 s ahead of the database's" in said, "nobody was told that the clock differs from the database's"
        named = re.search(r"its time is -(599|60\d) s from this machine's clock", said)
        assert named, "the refusal does not say by how much the clock is wrong"

    clocks.set(dict.fromkeys(PROCESSES, 10 * MINUTE))
    await run(
        play,
        plan=BUSY,
        services_url=services_url,
        admin_url=admin_url,
        data_dir=tmp_path / "data",
        rearrange=clocks.wind,
    )


async def refused_while_the_app_is_wrong_alone(house: House, load: Load, clocks: Clocks) -> None:
    """What Slack signed in the right year looks forged to an app ten minutes fast: refused, and sent again later."""
    await clocks.move(house, {"sandbox": 0, "api-1": 10 * MINUTE, "api-2": 10 * MINUTE})
    before = len((await house.look("ledger"))["deliveries"])
    await load.talk(messages=5, per_second=30, seed=1)
    await load.until_over()

    async def refused() -> bool:
        sent = (await house.look("ledger"))["deliveries"][before:]
        return bool(sent) and all(one["attempts"] for one in sent)

    await until(refused, what="Slack has not sent what was said")
    sent = (await house.look("ledger"))["deliveries"][before:]
    assert {one["attempts"][0]["status"] for one in sent} == {401}
    await clocks.move(house, {"api-1": 0, "api-2": 0})


async def on_database(admin_url: str, statement: str) -> object:
    """Run a statement as the superuser; its first value, if it has one."""
    connection = await asyncpg.connect(admin_url)
    try:
        if statement.startswith("select"):
            return await connection.fetchval(statement)
        return await connection.execute(statement)
    finally:
        await connection.close()
