"""`demo` as a person runs it on a Supabase project of which only the URL and a key are known."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from contextlib import AbstractContextManager
from pathlib import Path

import asyncpg
import pytest

from enablebot.tests.database import PostgresServer
from enablebot.tests.postgrest import SECRET_KEY, DataApi, data_api
from enablebot.tests.shared.storage_stand_in import storage_stand_in

pytestmark = [pytest.mark.anyio, pytest.mark.postgrest, pytest.mark.slow]


# The legacy form of key is what every other test over the Data API brings.
async def test_the_demo_plays_to_its_end_with_url_and_key_only(
    postgres_server: PostgresServer,
    database_name: str,
    admin: "asyncpg.Connection[asyncpg.Record]",
    tmp_path: Path,
) -> None:
    async with storage_stand_in() as storage:
        output, status = await play(data_api(postgres_server, database_name, storage_url=storage.url), tmp_path)
        assert status == 0, output
        assert "every act ended as it must" in output
        # The file's bytes lie where the key leads, sealed, and in no public place.
        assert len(storage.object_names()) == 1
        assert not any(b"head of finance" in content for one in storage.buckets.values() for content in one.values())
        assert (storage.public, storage.faults) == (set(), [])
    # So does the story, and no Postgres was started beside it.
    assert await admin.fetchval("select count(*) from enablebot.inbox where outcome = 'done'") >= 3
    assert not list((tmp_path / "data").glob("**/PG_VERSION"))


async def play(opening: AbstractContextManager[DataApi], tmp_path: Path) -> tuple[str, int | None]:
    """What the demo printed, and how it ended."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    with opening as api:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "enablebot", "demo"),
            env=kept
            | {
                "PYTHONPATH": str(Path(__file__).parents[3]),
                "ENABLEBOT_DATA_DIR": str(tmp_path / "data"),
                "SUPABASE_URL": api.url,
                "SUPABASE_SERVICE_KEY": SECRET_KEY,
            },
            cwd=tmp_path,
            stdout=PIPE,
            stderr=STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 120)
    return output.decode(), process.returncode
