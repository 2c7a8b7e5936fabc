"""One api process of a workshop: killed, frozen and thawed by the test that started it."""

import asyncio
import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp

from enablebot.local.ports import free_port

PATIENCE_SECONDS = 90.0


def _die_with_parent() -> None:
    """A run that is killed leaves no process behind, not even a frozen one."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


class Instance:
    """One api process, started again by whoever killed it."""

    def __init__(self, environ: dict[str, str], *, cwd: Path) -> None:
        self.port = free_port()
        self.lines: list[str] = []
        self._environ = environ | {"API_PORT": str(self.port), "PORT": ""}
        self._cwd = cwd
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; `ready` says when it may be used."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "enablebot.scripts.start_api",
            env=self._environ,
            cwd=self._cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def ready(self) -> None:
        """Wait until it answers on its readiness page."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    with suppress(aiohttp.ClientError, TimeoutError):
                        async with session.get(f"{self.url}/ready") as answer:
                            if answer.status == 200:
                                return
                    await asyncio.sleep(0.05)

    async def metrics(self) -> str:
        """Its figures."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as answer:
            return await answer.text()

    def freeze(self) -> None:
        """Stop it where it stands, as a suspended machine does."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on, unaware of the time that passed."""
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End it without a word."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        assert self._reading is not None
        await self._reading

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
