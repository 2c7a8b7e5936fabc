"""Running tests in a copy of the tree, and saying whether they saw the bug in it."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from enablebot.tests.mutants.mutant import Mutant, copy_tree

Colour = Literal["red", "green", "broken", "skipped", "missing"]

# Longer than the tests of any mutant take: what hangs beyond it has seen nothing.
_PATIENCE_SECONDS = 240.0
_GRACE_SECONDS = 20


@dataclass(frozen=True)
class Run:
    """What became of each named test, and pytest's own words."""

    colours: dict[str, Colour]
    output: str


@dataclass(frozen=True)
class Verdict:
    """A mutant is caught when every test it names turned red."""

    mutant: Mutant
    run: Run
    seconds: float

    @property
    def is_caught(self) -> bool:
        return set(self.run.colours.values()) == {"red"}


async def judge(mutant: Mutant, source: Path) -> Verdict:
    """Plant the mutant into a copy of `source` and run its tests there; raises NotPlantable."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    with tempfile.TemporaryDirectory(prefix="enablebot-mutant-") as name:
        tree = Path(name)
        await asyncio.to_thread(copy_tree, source, tree)
        mutant.plant(tree)
        run = await run_tests(mutant.tests, tree)
    return Verdict(mutant, run, loop.time() - began)


async def run_tests(
    tests: Sequence[str], tree: Path, *, workers: int = 0, patience_seconds: float = _PATIENCE_SECONDS
) -> Run:
    """Run the named tests of a tree with this interpreter, and tell their colours."""
    report = tree / "mutants-report.xml"
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    if workers:
        argv += ["-n", str(workers), "--dist", "worksteal"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    environ.pop("PYTHONSAFEPATH", None)
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=tree,
        # The tree's own package, whatever else is installed; for the processes that tests start, too.
        env=environ | {"PYTHONPATH": str(tree), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(patience_seconds):
            output, _ = await process.communicate()
        said = output.decode(errors="replace")
    except TimeoutError:
        said = f"The tests did not end within {patience_seconds:.0f} s."
    finally:
        await _end(process)
    found = read_report(report.read_text(encoding="utf-8")) if report.exists() else {}
    return Run({test: colour_of(test, found) for test in tests}, said)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let pytest put its house in order, then end whatever is left of its family."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                await process.wait()
        except TimeoutError:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    await process.wait()


def read_report(text: str) -> dict[tuple[str, str], list[Colour]]:
    """The colours in a JUnit report, by module (and class) and by the test's name with its parameters.

    Only a test that ran and failed is red. One whose fixtures or whose import failed is broken: it saw nothing.
    """
    colours: dict[tuple[str, str], list[Colour]] = {}
    for case in ElementTree.fromstring(text).iter("testcase"):
        found: set[str] = {child.tag for child in case}
        colour: Colour = (
            "red"
            if "failure" in found
            else "broken"
            if "error" in found
            else "skipped"
            if "skipped" in found
            else "green"
        )
        colours.setdefault((case.get("classname", ""), case.get("name", "")), []).append(colour)
    return colours


def colour_of(test: str, found: dict[tuple[str, str], list[Colour]]) -> Colour:
    """What became of a named test: red if one of its cases is, green only if one is and none is worse."""
    path, *inner = test.split("::")
    owner = ".".join([path.removesuffix(".py").replace("/", "."), *inner[:-1]])
    colours = [
        colour
        for (classname, name), listed in found.items()
        if classname == owner and (name == inner[-1] or name.startswith(f"{inner[-1]}["))
        for colour in listed
    ]
    ranking: tuple[Colour, ...] = ("red", "broken", "green", "skipped")
    return next((colour for colour in ranking if colour in colours), "missing")
