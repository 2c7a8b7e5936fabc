"""The reader child from outside: started with nothing, fed, listened to, and ended in any case."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from uuid import UUID

import orjson

from enablebot.api.knowledge.sayings import LONGEST_LINE, CannotRead, Done, Progress, ReadPassage, Said, Sayings
from enablebot.shared.models.document import MOST_BYTES, Format

__all__ = ["CannotRead", "Done", "Progress", "ReadPassage", "Said", "missing_walls", "read"]

MEMORY = 512 * 1024 * 1024
TIMEOUT = 300.0
_READER = Path(__file__).resolve().parents[2] / "reader" / "__main__.py"

# No document of the permitted size says as much: whoever talks on is not reading, but filling our disk.
_MOST_SAID = 1024 * 1024 * 1024

_OUT_OF_TIME = {signal.SIGXCPU, signal.SIGPROF, signal.SIGKILL}
_TOO_SLOW = "Reading this file took longer than any document should. Split it, or save it in a simpler form."
_CRASHED = "This file brought the reader down: it is damaged, or made to do harm. Save it anew, and send it again."
_NO_CHILD = "This server has no room for reading documents right now. Send it again later."


async def read(
    content: AsyncIterator[bytes],
    *,
    format: Format,  # noqa: A002 the word everywhere else
    name: str,
    tenant_id: UUID,
    title: str | None = None,
    timeout: float = TIMEOUT,  # noqa: ASYNC109 it counts the child's time only, not the consumer's
    memory: int = MEMORY,
    without_walls: bool = False,
) -> AsyncGenerator[Said, None]:
    """Read one document in a child of its own: Progress and ReadPassage as they come, Done at the end.

    Raises CannotRead whatever the file is like, and lets through what `content` raises.
    `timeout` is in seconds spent waiting for the child, `memory` in bytes of its address space.
    `without_walls` lets it read behind limits alone where the platform cannot do more.
    Close it (`contextlib.aclosing`) when you stop early, so that the child ends.
    """
    header = {
        "format": format,
        "name": name,
        "title": title,
        "tenant_id": str(tenant_id),
        "most_bytes": MOST_BYTES,
        "memory": memory,
        "without_walls": without_walls,
    }
    child = await _start()
    feeding = asyncio.create_task(_feed(child, header, content))
    try:
        async with contextlib.aclosing(_listen(child, feeding, timeout)) as listening:
            async for said in listening:
                yield said
    finally:
        feeding.cancel()
        await _end(child)
        await asyncio.gather(feeding, return_exceptions=True)


async def missing_walls() -> str | None:
    """Why a child could not be walled in on this machine, None when it can; found out by trying."""
    try:
        child = await _start("--walls")
    except CannotRead as failure:
        return failure.reason
    try:
        async with asyncio.timeout(20):
            said, _ = await child.communicate()
    except TimeoutError:
        return "the reader did not start within 20 seconds"
    finally:
        await _end(child)
    if child.returncode != 0:
        return f"the reader ended with {child.returncode}"
    return said.decode(errors="replace").strip()[:300] or None


async def _start(*arguments: str) -> Process:
    try:
        # -I: no PYTHON… variables, no directory of the user's on the path; it finds our package by its own file.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(_READER),
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={},
            cwd="/",
            close_fds=True,
            start_new_session=True,
            limit=LONGEST_LINE,
        )
    except OSError as failure:
        raise CannotRead("no_child", _NO_CHILD, transient=True, where=type(failure).__name__) from failure


async def _feed(child: Process, header: Mapping[str, object], content: AsyncIterator[bytes]) -> None:
    stdin = child.stdin
    assert stdin is not None
    stdin.write(orjson.dumps(header) + b"\n")
    async for piece in content:
        stdin.write(piece)
        try:
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            return  # it has seen enough, and says so
    stdin.close()


async def _listen(child: Process, feeding: "asyncio.Task[None]", seconds: float) -> AsyncGenerator[Said, None]:
    assert child.stdout is not None
    loop, sayings, said_bytes = asyncio.get_running_loop(), Sayings(), 0
    while True:
        asked_at = loop.time()
        try:
            line = await _next_line(child.stdout, feeding, seconds)
        except TimeoutError as late:
            raise CannotRead("too_slow", _TOO_SLOW, where="the clock") from late
        except ValueError as endless:
            raise CannotRead("broken", Sayings.broken, where="a line without end") from endless
        seconds -= loop.time() - asked_at
        if not line:
            raise await _last_words(child)
        said_bytes += len(line)
        if said_bytes > _MOST_SAID:
            raise CannotRead("broken", Sayings.broken, where="the length of what the reader said")
        said = sayings.hear(line)
        if said is not None:
            yield said
        if isinstance(said, Done):
            return


async def _next_line(stdout: asyncio.StreamReader, feeding: "asyncio.Task[None]", seconds: float) -> bytes:
    """The child's next line, empty at its end. Whatever the content's source raises is raised here."""
    async with asyncio.timeout(max(seconds, 0)):
        if not feeding.done():
            listening = asyncio.ensure_future(stdout.readline())
            try:
                await asyncio.wait((listening, feeding), return_when=asyncio.FIRST_COMPLETED)
                if not (feeding.done() and feeding.exception()):
                    return await listening
            finally:
                listening.cancel()
                await asyncio.wait((listening,))
        feeding.result()
        return await stdout.readline()


async def _last_words(child: Process) -> CannotRead:
    """Why a child ended without a word."""
    async with asyncio.timeout(5):
        code = await child.wait()
    if code >= 0:
        return CannotRead("broken", Sayings.broken, where=f"exit {code}")
    died_of = signal.Signals(-code)
    if died_of in _OUT_OF_TIME:
        return CannotRead("too_slow", _TOO_SLOW, where=died_of.name)
    return CannotRead("crashed", _CRASHED, where=died_of.name)


async def _end(child: Process) -> None:
    """No child outlives the reading, and none is left unburied."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    # Some Pythons wait for the pipes too, and one that is full of unread words never ends by itself.
    while child.stdout is not None and await child.stdout.read(LONGEST_LINE):
        pass
    await child.wait()
