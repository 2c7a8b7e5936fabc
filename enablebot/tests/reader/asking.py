"""Asking the reader child about bytes, and keeping what it says."""

import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from enablebot.api.knowledge import child
from enablebot.api.knowledge.child import Done, Progress, ReadPassage
from enablebot.shared.models.document import Format

TENANT = UUID("6b1c3f52-5d0f-4c55-9f6e-0d9e4a1c7e11")


@dataclass
class Heard:
    """All that was said about one document."""

    passages: list[ReadPassage] = field(default_factory=list)
    progress: list[int] = field(default_factory=list)
    done: Done | None = None

    @property
    def text(self) -> str:
        """All passages, one after the other."""
        return "\n\n".join(passage.text for passage in self.passages)


async def pieces(content: bytes, size: int = 64 * 1024) -> AsyncIterator[bytes]:
    """The bytes as they come out of storage."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


async def hear(
    content: bytes,
    format: Format,  # noqa: A002 the word everywhere
    *,
    name: str = "document",
    title: str | None = None,
    timeout: float = 120,  # noqa: ASYNC109 the child's
    memory: int = child.MEMORY,
) -> Heard:
    """Read it to the end; raises CannotRead."""
    heard = Heard()
    reading = child.read(
        pieces(content), format=format, name=name, tenant_id=TENANT, title=title, timeout=timeout, memory=memory
    )
    async with aclosing(reading) as said:
        async for saying in said:
            match saying:
                case ReadPassage():
                    heard.passages.append(saying)
                case Progress():
                    heard.progress.append(saying.percent)
                case Done():
                    heard.done = saying
    assert heard.done is not None
    return heard


def resident_bytes() -> int:
    """How much memory this process holds."""
    if sys.platform != "linux":
        return 0
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def seconds_spent() -> float:
    """Processor time that our children used, those that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def children_alive() -> set[int]:
    """Readers of this process that still run, and children of it that were never buried."""
    if sys.platform != "linux":
        return set()
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listed.split() if not _has_environment(pid)}


def _has_environment(pid: str) -> bool:
    """Whether it is somebody else: a test's Postgres, browser or service. Readers and the dead have none."""
    try:
        return bool(Path(f"/proc/{pid}/environ").read_bytes())
    except PermissionError:
        # A reader closes its memory to whoever is not root.
        return False
    except OSError:
        return True
