"""Rounds of contestants, each run in a process of its own: its rate, or the end of the benchmark where it fails."""

import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

Run = Callable[[], float]


def measured(module: str, *arguments: object) -> float:
    """Run a module and return the number it prints."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return float(done.stdout.split()[-1])


def medians(contestants: Mapping[str, Run], rounds: int) -> dict[str, float]:
    """Run all of them in turns, so that whatever else the machine does meets them alike."""
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            rates[name].append(run())
    return {name: statistics.median(found) for name, found in rates.items()}


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (titles, ["---"] * len(titles), *rows))
