"""QD-11: the disk under Postgres is full: events are refused, nothing of ours dies, and with space all is answered."""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from enablebot.tests.faults.driver import Load, until
from enablebot.tests.faults.missing import lacks
from enablebot.tests.faults.postgres import OwnPostgres, own_postgres
from enablebot.tests.faults.scale import seeded, sized
from enablebot.tests.house import BUSY, House, run

pytestmark = [pytest.mark.anyio, pytest.mark.fault, pytest.mark.slow]

EVENTS = sized(2_000)
_CLONE_NEWNS = 0x00020000


class Disk:
    """A small file system that only this process and its children see."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave not one byte."""
        with self._filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"\0" * 65536):
                pass

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A tmpfs of 90 MB in a mount namespace of its own, gone with the test."""
    if sys.platform != "linux":
        lacks("MOUNT", "mount namespaces are Linux's")
    libc = ctypes.CDLL(None, use_errno=True)
    home, here = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY), Path.cwd()
    path = tmp_path / "disk"
    path.mkdir()
    try:
        if libc.unshare(_CLONE_NEWNS) != 0:
            lacks("MOUNT", f"no mount namespace may be made here ({os.strerror(ctypes.get_errno())})")
        for command in ("mount --make-rprivate /", f"mount -t tmpfs -o size=90m,mode=0755 none {path}"):
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            if done.returncode != 0:
                lacks("MOUNT", f"`{command}` failed ({done.stderr.strip()})")
        yield Disk(path)
        subprocess.run(["umount", "-l", str(path)], check=True)
    finally:
        # Refused while other threads share our view of the file system, and then harmless: nothing is left mounted.
        libc.setns(home, _CLONE_NEWNS)
        os.close(home)
        # Changing the namespace has led to its root.
        os.chdir(here)


@pytest.fixture
def postgres(disk: Disk) -> Iterator[OwnPostgres]:
    with own_postgres(disk.path, settings={"max_wal_size": "32MB", "min_wal_size": "32MB"}) as postgres:
        yield postgres


async def test_a_full_disk_gets_events_refused_until_there_is_room(
    disk: Disk, postgres: OwnPostgres, tmp_path: Path
) -> None:
    chance = seeded("QD-11")

    async def play(house: House) -> None:
        await house.gather(workspaces=10)
        load = Load(house)
        await load.talk(messages=EVENTS, per_second=15, seed=chance.randrange(1 << 30))
        await load.until_sent(EVENTS // 4, hushed=False)
        disk.fill()
        await until(lambda: was_refused(house), what="no event was refused")
        await run_out_of_log(postgres)
        await until(lambda: is_down(house), what="the api says it is ready without a database")
        assert [house.running(name).starts for name in house.apis] == [1, 1], "a process of ours gave up"
        disk.make_room()
        if postgres.embedded.postmaster_pid() is not None:
            postgres.strike()
        postgres.revive()
        for name in house.apis:
            await house.until_ready(name)
        await load.until_sent(EVENTS)
        await load.verdict()
        assert [house.running(name).starts for name in house.apis] == [1, 1], "a process of ours was started again"

    await run(
        play,
        plan=BUSY,
        services_url=postgres.services_url,
        admin_url=postgres.admin_url,
        data_dir=tmp_path / "data",
    )


async def was_refused(house: House) -> bool:
    """Whether an event was answered with 503."""
    deliveries = (await house.look("ledger"))["deliveries"]
    return any(attempt["status"] == 503 for one in deliveries for attempt in one["attempts"])


async def is_down(house: House) -> bool:
    return not any([await house.is_ready(name) for name in house.apis])


async def run_out_of_log(postgres: OwnPostgres) -> None:
    """Need a new file for the log where there is no room for one: Postgres panics, and stays down."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(postgres.admin_url)
        try:
            for _ in range(8):
                await connection.execute("select pg_switch_wal()")
                await connection.execute("select pg_logical_emit_message(true, 'filler', repeat('x', 1000))")
        finally:
            connection.terminate()

    async def is_gone() -> bool:
        return postgres.embedded.postmaster_pid() is None

    await until(is_gone, what="Postgres found room for its log")
