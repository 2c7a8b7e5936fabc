"""One supervised process: started, watched, restarted when it dies, stopped in time."""

import asyncio
import ctypes
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Say = Callable[[str], None]

SECONDS_THAT_COUNT_AS_RUNNING = 30.0


class ChildBroken(Exception):
    """A process that ends again and again right after its start."""


@dataclass(frozen=True)
class Patience:
    """How a child that dies is started again: pauses in seconds that double, up to a number of deaths in a row."""

    first_pause: float = 0.5
    longest_pause: float = 5.0
    deaths_that_count_as_broken: int = 5


USUAL_PATIENCE = Patience()


@dataclass(frozen=True)
class Child:
    """What to run. `ready_url` answers 200 once it may be used."""

    name: str
    argv: tuple[str, ...]
    ready_url: str
    environ: Mapping[str, str] = field(repr=False)


def _die_with_parent() -> None:
    """Ask Linux to end this process when its supervisor dies, so that a killed `up` leaves no service behind."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


async def _launch(child: Child) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *child.argv,
        env=dict(child.environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        # Ctrl-C reaches the whole foreground group; the supervisor alone decides the order of stopping.
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


class RunningChild:
    """Keeps one child alive until it is told to stop."""

    def __init__(self, child: Child, *, say: Say, patience: Patience) -> None:
        self.child = child
        self._say = say
        self._patience = patience
        self.starts = 0
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def run(self) -> None:
        """Start it, pass its output on, start it again whenever it dies.

        Raises ChildBroken after as many deaths in a row, each within half a minute of its start, as patience allows.
        """
        quick_deaths = 0
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            self._process = process = await _launch(self.child)
            self.starts += 1
            await self._pass_output_on(process)
            code = await process.wait()
            if self._stopping.is_set():
                return
            lived = asyncio.get_running_loop().time() - started
            quick_deaths = quick_deaths + 1 if lived < SECONDS_THAT_COUNT_AS_RUNNING else 1
            if quick_deaths >= self._patience.deaths_that_count_as_broken:
                raise ChildBroken(
                    f"{self.child.name} ended {quick_deaths} times right after its start (exit code {code})."
                )
            # The exponent is bounded, too: a patience of hundreds of deaths would make a number without end.
            pause = min(self._patience.first_pause * 2 ** min(quick_deaths - 1, 30), self._patience.longest_pause)
            self._say(f"{self.child.name} ended ({_in_words(code)}); starting it again in {pause:g} s.")
            await asyncio.sleep(pause)

    async def stop(self, *, within: float) -> None:
        """End it with SIGTERM, which drains it, and with SIGKILL after `within` seconds."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), within)
        except TimeoutError:
            self._say(f"{self.child.name} did not end within {within:g} s; killing it.")
            process.kill()
            await process.wait()

    async def _pass_output_on(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await _read_line(process.stdout):
            self._say(f"{self.child.name:<8}| {line.decode(errors='replace').rstrip()}")


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:
        return b"(a line too long to show)\n"


def _in_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
