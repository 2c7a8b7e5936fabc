"""QD-12: clocks that are wrong, apart or set back cost no question and start nothing early; and they are named.

libfaketime gives each process a clock of its own, which a file moves while it runs; the database keeps the right time.
Slack signs by its own clock, so the app is moved in two ways: together with Slack, where only the database disagrees,
and alone, where Slack's signatures look too old and have to be refused until the clock is right again.
"""

from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from enablebot.local.household import Household
from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.missing import lacks
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

MESSAGES = sized(400)
MINUTE, HOUR = 60, 3600
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

    def __init__(self, library: Path, directory: Path) -> None:
        self._library, self._directory = library, directory

    def wind(self, household: Household) -> Household:
        """Give every child its clock."""
        return replace(
            household, children=tuple(replace(c, environ=self._environ(c.name, c.environ)) for c in household.children)
        )

    def set(self, **seconds: int) -> None:
        """Set clocks so many seconds ahead of the right time, by the names of the processes (api_1 for api-1)."""
        for name, offset in seconds.items():
            draft = self._directory / "draft"
            draft.write_text(f"{offset:+d}\n")
            draft.rename(self._directory / name.replace("_", "-"))

    def _environ(self, name: str, environ: object) -> dict[str, str]:
        assert isinstance(environ, dict)
        return environ | {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._directory / name),
            "FAKETIME_NO_CACHE": "1",
            # Time that passes is not at issue: only what the clock on the wall says.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.fixture
def clocks(tmp_path: Path) -> Clocks:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found:
        lacks("FAKETIME", "libfaketime is not installed (on Debian and Ubuntu: apt install faketime)")
    directory = tmp_path / "clocks"
    directory.mkdir()
    return Clocks(found[0], directory)


async def test_wrong_clocks_lose_nothing_start_nothing_early_and_are_named(
    clocks: Clocks, services_url: str, admin_url: str, tmp_path: Path
) -> None:
    chance = seeded("QD-12")

    async def play(house: House) -> None:
        connection = await asyncpg.connect(admin_url)
        await connection.execute(_EARLY)
        await house.gather(workspaces=10)
        load = Load(house)

        async def talk() -> None:
            # Some answers have to be tried again, so that there are events which are not to be claimed yet.
            limited = {"method": "chat.postMessage", "kind": "ratelimit", "retry_after": 2, "times": 5}
            await house.control("faults", faults=[limited])
            await load.talk(messages=MESSAGES // 4, per_second=30, seed=chance.randrange(1 << 30))
            await load.until_over()
            await load.until_settled()

        # The house began ten minutes fast; then slow, then an hour back, then its instances two minutes apart.
        await talk()
        for offset in (-10 * MINUTE, -HOUR):
            clocks.set(sandbox=offset, api_1=offset, api_2=offset)
            await talk()
        clocks.set(sandbox=0, api_1=-MINUTE, api_2=MINUTE)
        await talk()
        await refused_while_the_app_is_wrong_alone(house, load, clocks)
        account = await load.verdict()
        assert set(account.endings) == {"answered"}, "a wrong clock made a question old, or lost it"
        assert not await connection.fetchval("select is_called from public.early"), "an event was claimed early"
        await connection.close()
        said = "\n".join(house.lines)
        assert "600 s ahead of the database's" in said, "nobody was told that the clock differs from the database's"
        assert "-600 s from this machine's clock" in said, "the refusal does not say by how much the clock is wrong"

    clocks.set(**dict.fromkeys(("sandbox", "api_1", "api_2"), 10 * MINUTE))
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
    clocks.set(sandbox=0, api_1=10 * MINUTE, api_2=10 * MINUTE)
    before = len((await house.look("ledger"))["deliveries"])
    await load.talk(messages=5, per_second=30, seed=1)
    await load.until_over()

    async def refused() -> bool:
        sent = (await house.look("ledger"))["deliveries"][before:]
        return bool(sent) and all(one["attempts"] for one in sent)

    await until(refused, what="Slack has not sent what was said")
    sent = (await house.look("ledger"))["deliveries"][before:]
    assert {one["attempts"][0]["status"] for one in sent} == {401}
    clocks.set(api_1=0, api_2=0)
