"""`python -m enablebot.tests.mutants`: plant each known bug, and see whether the tests that should notice do.

Exit codes: 0 every mutant is caught · 1 one survived · 2 the list or the tests themselves are wrong.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from enablebot.tests.mutants.bugs import MUTANTS, TO_COME
from enablebot.tests.mutants.judging import Run, Verdict, judge, run_tests
from enablebot.tests.mutants.mutant import Mutant, NotPlantable, ToCome, copy_tree

ROOT = Path(__file__).parents[3]
_LAST_LINES = 25
# For every test of every mutant together.
_PATIENCE_SECONDS = 900.0


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the mutants of the list, or those named, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m enablebot.tests.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be given several times")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--why", action="store_true", help="quote what each red test said")
    arguments = parser.parse_args(argv)
    chosen = [mutant for mutant in MUTANTS if not arguments.only or mutant.name in arguments.only]
    unknown = set(arguments.only or ()) - {mutant.name for mutant in MUTANTS}
    if unknown:
        say(f"There is no mutant named {', '.join(sorted(unknown))}. There are:")
        say("\n".join(f"  {mutant.name}" for mutant in MUTANTS))
        return 2
    to_come = () if arguments.only else TO_COME
    return asyncio.run(examine(chosen, to_come, source=ROOT, jobs=arguments.jobs, why=arguments.why))


async def examine(
    mutants: Sequence[Mutant], to_come: Sequence[ToCome], *, source: Path, jobs: int = 2, why: bool = False
) -> int:
    """Judge the mutants and print the table; returns the exit code."""
    try:
        for mutant in mutants:
            mutant.check(source)
    except NotPlantable as wrong:
        say(str(wrong))
        return 2
    useless = await _not_green_without(mutants, source=source, jobs=jobs)
    turns = asyncio.Semaphore(jobs)
    width = max(len(name) for name in [*(each.name for each in mutants), *(each.name for each in to_come)])

    async def judged(mutant: Mutant) -> Verdict | None:
        if useless & set(mutant.tests):
            say(f"{mutant.name:<{width}}  NOT JUDGED")
            return None
        async with turns:
            verdict = await judge(mutant, source)
        reds = sum(colour == "red" for colour in verdict.run.colours.values())
        word = "caught  " if verdict.is_caught else "SURVIVED"
        say(f"{mutant.name:<{width}}  {word}  {reds} of {len(mutant.tests)} tests red  {verdict.seconds:5.1f} s")
        if why:
            say("\n".join(f"    {line}" for line in verdict.run.output.splitlines() if line.startswith("FAILED ")))
        return verdict

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(judged(mutant)) for mutant in mutants]
    for entry in to_come:
        say(f"{entry.name:<{width}}  to come   {entry.issue}")
    verdicts = [verdict for task in tasks if (verdict := task.result()) is not None]
    survivors = [verdict for verdict in verdicts if not verdict.is_caught]
    for verdict in survivors:
        places = ", ".join(change.file for change in verdict.mutant.changes)
        say(f"\n“{verdict.mutant.name}” was planted in {places}, and these did not turn red:")
        _explain(verdict.run, wanted="red")
    unjudged = f"{len(tasks) - len(verdicts)} not judged, " if useless else ""
    say(f"\n{len(verdicts) - len(survivors)} caught, {len(survivors)} survived, {unjudged}{len(to_come)} to come.")
    return 1 if survivors else 2 if useless else 0


async def _not_green_without(mutants: Sequence[Mutant], *, source: Path, jobs: int) -> set[str]:
    """The tests that do not pass even without a bug: their turning red would say nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    say(f"Running the {len(tests)} tests without any mutant first ...")
    with tempfile.TemporaryDirectory(prefix="enablebot-mutant-") as name:
        await asyncio.to_thread(copy_tree, source, Path(name))
        # Workers take longer to start than a handful of tests to run.
        workers = jobs if len(tests) > 10 else 0
        run = await run_tests(tests, Path(name), workers=workers, patience_seconds=_PATIENCE_SECONDS)
    found = {test for test, colour in run.colours.items() if colour != "green"}
    if found:
        say("These are not green without any mutant, so that their turning red would say nothing:")
        _explain(run, wanted="green")
    return found


def _explain(run: Run, *, wanted: str) -> None:
    for test, colour in run.colours.items():
        if colour != wanted:
            say(f"  {colour:<8} {test}")
    say("\n".join(f"    {line}" for line in run.output.splitlines()[-_LAST_LINES:]))


def say(line: str) -> None:
    """A line for whoever started this."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
