"""Accepting Slack's events, durably, beside Bolt and beside the least a durable endpoint can be.

Prints four tables: events a second over 64 connections (wrk), how soon an event is acknowledged at 1,000 a second
(an open-loop driver that keeps its schedule whatever comes back), the memory of the processes after both, and the same
driver at 200 a second over Supabase's Data API beside asyncpg. Medians of interleaved rounds, in one run on the same
cores: driver, service and Postgres share them. Each round has signed requests of its own (see `accepting/signed.py`),
more than it can use, so that no event comes twice; a round in which one was refused is no figure and ends the run.

EnableBot is its api process as it is always started, worker included. Its Slack and its model never answer, so its 32
slots are soon full of questions that wait, which is how a worker spends most of its time; claiming, leases and upkeep
go on. After each round the inbox is counted: what was acknowledged and is not stored ends the run. Postgres is one of
our own as it comes, with fsync and synchronous_commit on. Bolt keeps nothing, answers from a dict or asks its store on
the same Postgres; the bare endpoint verifies, parses and group-commits one insert.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.accepting.arena import DIRECT, OVER_DATA_API, PEERS, Arena, arena
from benchmarks.accepting.contestants import Contestant, enablebot, peer
from benchmarks.accepting.full_speed import Lap, insist_on_wrk, lap
from benchmarks.accepting.slow_slack import slow_slack
from benchmarks.accepting.steady import Course, course
from enablebot.tests.postgrest import data_api

# More than any of them can take: what a round does not use is thrown away.
MOST_PER_SECOND = 30_000


@dataclass(frozen=True)
class Sizes:
    """How long the benchmark runs."""

    rounds: int
    lap_seconds: int
    course_seconds: float


WHOLE, QUICK = Sizes(5, 4, 8), Sizes(1, 2, 3)


def full_speed(contestants: Sequence[Contestant], found: Arena, sizes: Sizes) -> dict[str, list[Lap]]:
    """Rounds of laps; one more before them warms caches and plans, and does not count."""
    laps: dict[str, list[Lap]] = {contestant.name: [] for contestant in contestants}
    for turn in range(sizes.rounds + 1):
        for contestant in contestants:
            stored = found.stored(DIRECT)
            run = lap(contestant, seconds=sizes.lap_seconds if turn else 2, most_per_second=MOST_PER_SECOND)
            if contestant.name == "EnableBot":
                _insist_on_stored(found.stored(DIRECT) - stored, run.acknowledged)
            if turn:
                laps[contestant.name].append(run)
    return laps


def steadily(
    contestants: Sequence[tuple[Contestant, Callable[[], int] | None]], *, per_second: float, sizes: Sizes
) -> dict[str, list[Course]]:
    """Rounds at a fixed rate; the callable counts what the contestant has stored."""
    courses: dict[str, list[Course]] = {contestant.name: [] for contestant, _ in contestants}
    for _ in range(max(1, sizes.rounds - 2)):
        for contestant, count in contestants:
            stored = count() if count else 0
            run = course(contestant, per_second=per_second, seconds=sizes.course_seconds)
            if count:
                _insist_on_stored(count() - stored, run.acknowledged)
            courses[contestant.name].append(run)
    return courses


def print_laps(laps: dict[str, list[Lap]]) -> None:
    """The first figure."""
    print("| 64 connections | events/s | p50 ms | p99 ms | EnableBot to it | goal |")
    print("|---|---|---|---|---|---|")
    goals = {"Bolt": "3 or more", "Bolt, SQLAlchemy store": "10 or more", "bare ASGI": "0.5 or more"}
    ours = laps["EnableBot"]
    for name, runs in laps.items():
        ratio = statistics.median(own.per_second / other.per_second for own, other in zip(ours, runs, strict=True))
        print(
            f"| {name} | {_median(runs, 'per_second'):,.0f} | {_median(runs, 'p50_ms'):.1f} "
            f"| {_median(runs, 'p99_ms'):.1f} | {'' if runs is ours else f'{ratio:.2f}'} | {goals.get(name, '')} |"
        )


def print_courses(title: str, courses: dict[str, list[Course]], goals: dict[str, str]) -> None:
    """A figure at a fixed rate."""
    print(f"\n| {title} | p50 ms | p99 ms | refused | goal |")
    print("|---|---|---|---|---|")
    for name, runs in courses.items():
        print(
            f"| {name} | {_median(runs, 'p50_ms'):.1f} | {_median(runs, 'p99_ms'):.1f} "
            f"| {sum(run.refused for run in runs)} | {goals.get(name, '')} |"
        )
    lateness = statistics.median(run.driver_p99_ms for runs in courses.values() for run in runs)
    print(f"\nThe driver itself was up to {lateness:.1f} ms behind its schedule (p99), which the figures hold.")


def print_memory(contestants: Sequence[Contestant]) -> None:
    """What the processes weigh by now."""
    print("\n| after both loads | MB RSS | goal |")
    print("|---|---|---|")
    for contestant in contestants:
        goal = "130 or less" if contestant.name == "EnableBot" else ""
        print(f"| {contestant.name} | {contestant.resident_megabytes:.0f} | {goal} |")


def over_data_api(found: Arena, slack: str, direct: Contestant, sizes: Sizes) -> None:
    """The last figure; says so where PostgREST cannot be had."""
    try:
        with (
            data_api(found.roles, OVER_DATA_API) as postgrest,
            enablebot(
                "Data API",
                slack_url=slack,
                database={"SUPABASE_URL": postgrest.url, "SUPABASE_SERVICE_KEY": postgrest.key()},
            ) as through,
        ):
            both = [(through, lambda: found.stored(OVER_DATA_API)), (direct, lambda: found.stored(DIRECT))]
            courses = steadily(both, per_second=200, sizes=sizes)
    except pytest.skip.Exception as missing:
        print(f"\n{missing}")
        return
    courses["asyncpg"] = courses.pop(direct.name)
    print_courses("200 events/s offered", courses, {"Data API": "p99 150 or less, none refused"})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short look: one round of each, no figure to quote")
    sizes = QUICK if parser.parse_args().quick else WHOLE
    insist_on_wrk()
    with tempfile.TemporaryDirectory() as home, ExitStack() as opened:
        slack = opened.enter_context(slow_slack())
        found = opened.enter_context(arena(Path(home)))
        peers = found.url(PEERS)
        ours = opened.enter_context(
            enablebot("EnableBot", slack_url=slack, database={"DATABASE_URL": found.url(DIRECT, user=found.api_login)})
        )
        bolt = opened.enter_context(peer("Bolt", "bolt"))
        store = opened.enter_context(peer("Bolt, SQLAlchemy store", "bolt_store", database_url=peers, slack_url=slack))
        bare = opened.enter_context(peer("bare ASGI", "bare", database_url=peers))
        print_laps(full_speed([ours, bolt, store, bare], found, sizes))
        courses = steadily([(ours, lambda: found.stored(DIRECT)), (bolt, None)], per_second=1000, sizes=sizes)
        print_courses("1,000 events/s offered", courses, {"EnableBot": "p50 3, p99 15 or less"})
        print_memory([ours, bolt, store, bare])
        over_data_api(found, slack, ours, sizes)


def _median(runs: Sequence[Lap] | Sequence[Course], name: str) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def _insist_on_stored(stored: int, acknowledged: int) -> None:
    if stored < acknowledged:
        sys.exit(f"{acknowledged} events were acknowledged and {stored} are stored: this is no accept path.")


if __name__ == "__main__":
    main()
