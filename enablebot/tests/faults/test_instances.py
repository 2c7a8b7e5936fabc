"""OP-8: two of each service, and every request to the other one; one of each dies, and nobody notices."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import asyncpg
import pytest

from enablebot.config.development import development_secrets
from enablebot.local.children import Patience
from enablebot.local.household import Household
from enablebot.local.ports import free_port
from enablebot.local.visitor import Visitor
from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

MESSAGES = sized(500)
PER_SECOND = 40
# Whatever dies here is gone for the rest of the test.
GONE = Patience(first_pause=3600, longest_pause=3600)
# Everything this process sees becomes read-only; the sockets in it still work.
_READ_ONLY = ("unshare", "--mount", "sh", "-c", 'mount -o remount,bind,ro / && exec "$@"', "sh")


async def test_what_one_instance_began_another_finishes_and_none_keeps_anything_of_its_own(
    services_url: str, admin_url: str, tmp_path: Path
) -> None:
    chance = seeded("OP-8")
    data_dir = tmp_path / "data"
    secrets = development_secrets(data_dir)
    kept: dict[Path, str] = {}

    def rearranged(household: Household) -> Household:
        # All that is there before a service has begun.
        kept.update(files(data_dir))
        return with_two_webs(household, prefix=read_only())

    async def play(house: House) -> None:
        await house.gather(workspaces=5)
        first, second = (house.running(name).child.ready_url.removesuffix("/ready") for name in ("web-1", "web-2"))
        async with Visitor() as ada:
            # Slack sends her back to the other one, which has never seen her.
            dashboard = await ada.press(await ada.open(f"{first}/slack/install"), "Allow")
            assert dashboard.url == f"{second}/dashboard"
            load = Load(house)
            await load.talk(messages=MESSAGES, per_second=PER_SECOND, seed=chance.randrange(1 << 30))
            await until(lambda: both_have_claimed(house), what="one instance does everything")
            for name in ("api-2", "web-2"):
                os.kill(house.pid(name), signal.SIGKILL)
            account = await load.verdict()
            # The other one signed her in, and is gone.
            assert (await ada.open(f"{first}/dashboard")).url == f"{first}/dashboard"
        # The workspace that the two webs installed together.
        asked = await house.workspace.post("C0GENERAL", "@EnableBot Are you there?")
        await house.workspace.answer_to(asked, channel="C0GENERAL")
        assert account.endings["answered"] == sum(account.endings.values()) >= MESSAGES // 2
        assert [house.running(name).pid for name in ("api-2", "web-2")] == [None, None]
        assert files(data_dir) == kept

    await run(
        play,
        # Slack's retries to the one that is gone take less than a second and a half.
        plan=replace(BUSY, has_web=True, patience=GONE, time_scale=0.004, environ={**BUSY.environ, **secrets}),
        services_url=services_url,
        admin_url=admin_url,
        data_dir=data_dir,
        rearrange=rearranged,
    )


def with_two_webs(household: Household, *, prefix: Sequence[str]) -> Household:
    """Add a second web, which calls the first one the public address; start every service through `prefix`."""
    sandbox, *apis, web = household.children
    port = str(free_port())
    web_1 = replace(
        web,
        name="web-1",
        ready_url=f"http://localhost:{port}/ready",
        environ={**web.environ, "WEB_PORT": port},
    )
    services = [*apis, web_1, replace(web, name="web-2")]
    return replace(household, children=(sandbox, *(replace(each, argv=(*prefix, *each.argv)) for each in services)))


def read_only() -> Sequence[str]:
    """What a command is started through, so that it can write no file; nothing where the machine cannot do that."""
    if shutil.which("unshare") is None:
        return ()
    with tempfile.TemporaryDirectory() as directory:
        tried = subprocess.run(
            [*_READ_ONLY, "touch", f"{directory}/probe"], capture_output=True, text=True, check=False
        )
        is_read_only = "Read-only" in tried.stderr
    print("OP-8: services", "may write nothing" if is_read_only else "could write, were they to")
    return _READ_ONLY if is_read_only else ()


def files(directory: Path) -> dict[Path, str]:
    """Every file with what is in it, as a hash: some are secrets, which no failure is to print."""
    return {path: sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()}


async def both_have_claimed(house: House) -> bool:
    connection = await asyncpg.connect(house.admin_url)
    try:
        return bool(await connection.fetchval("select count(distinct claimed_by) = 2 from enablebot.inbox"))
    finally:
        await connection.close()
