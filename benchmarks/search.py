"""Searching: how long it takes and what is found, at 5,000 and 100,000 passages, among twenty workspaces all alike.

Prints two tables. The first: `Search.find`, from the question's text to the ten best passages, under a login that may
do what the api may and nothing else, one question after the other; beside it PostgreSQL's own text search over the same
texts in a table of its own with a GIN index and no wall around it, and bm25s, which keeps its index in memory. The
second: what is found of what an exact ranking finds. Texts are made of invented words as frequent as those of a
language; questions have four words of one passage and four common ones. With vectors, making the question's own is not
counted. One Postgres of our own as it comes, analyzed once.
"""

import argparse
import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import bm25s

from benchmarks.queueing.place import Admin, Place, add_workspaces, place, tidy
from benchmarks.queueing.rounds import table
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.knowledge.search import Search
from enablebot.shared.knowledge.terms import weigh_question
from enablebot.tests.shared import shelf

DIMENSIONS = 384
_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
_NAIVE = """
    select id from peer, {function}('simple', $1) as asked (query)
    where tsv @@ query order by ts_rank_cd(tsv, query) desc limit 10"""


@dataclass(frozen=True)
class Sizes:
    workspaces: int
    passages: int
    grown: int
    questions: int


WHOLE, QUICK = Sizes(20, 5_000, 100_000, 200), Sizes(3, 300, 1_000, 20)


@dataclass
class Measured:
    """Seconds a question, by who was asked, and shares of what should be found."""

    seconds: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    recall: dict[str, float] = field(default_factory=dict)
    staged_a_second: float = 0
    foreign: int = 0

    def quantile(self, name: str, size: int, share: float) -> str:
        """Milliseconds that a share of the questions took at most."""
        ordered = sorted(self.seconds.get((name, size), []))
        return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000:.1f}" if ordered else ""


class Given:
    """An embedding model whose answer is at hand."""

    model = "bench"

    def __init__(self) -> None:
        self.vector: list[float] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [self.vector for _ in texts]

    async def aclose(self) -> None: ...


class Prose:
    """Texts of invented words: a few very common ones, many rare ones, and some that belong to a text's subject."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        words = ["".join(parts) for length in (2, 3) for parts in itertools.product(_SYLLABLES, repeat=length)]
        self._words = self._rng.sample(words, 60_000)
        self._shares = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self._words))))

    def common(self, many: int) -> list[str]:
        return self._rng.choices(self._words, cum_weights=self._shares, k=many)

    def passage(self) -> str:
        subject = self._rng.sample(self._words, 12)
        return " ".join(self.common(90) + self._rng.choices(subject, k=30))

    def question(self, passage: str) -> str:
        return " ".join(self._rng.sample(passage.split(), 4) + self.common(4))


async def measure(found: Place, sizes: Sizes) -> Measured:
    """Fill a database, ask, and ask the others."""
    url = await found.make_ours("search")
    admin = await asyncpg.connect(url)
    database = Database(await PostgresTransport.connect(await _as_api(admin, url), timeout_seconds=120))
    measured = Measured()
    try:
        prose, workspaces = Prose(5), await add_workspaces(url, sizes.workspaces)
        texts = [prose.passage() for _ in range(sizes.passages)]
        began = time.perf_counter()
        for place_, workspace in enumerate(workspaces):
            await shelf.add(database, admin, workspace, [f"{text} own{place_}" for text in texts])
        measured.staged_a_second = sizes.workspaces * sizes.passages / (time.perf_counter() - began)
        vectors = await _add_vectors(admin, sizes.passages)
        await tidy(url)
        questions = [prose.question(random.Random(number).choice(texts)) for number in range(sizes.questions)]
        crowd = workspaces[0]
        await _ask(database, crowd, questions, sizes.passages, measured)
        await _ask_both(database, admin, crowd, questions, vectors, sizes.passages, measured)
        measured.recall["words, beside the same without a cap"] = await _recall_of_words(admin, crowd, questions)
        measured.foreign = await _foreign(database, workspaces, questions[:10])

        grown = workspaces[-1]
        more = [prose.passage() for _ in range(sizes.grown - sizes.passages)]
        await shelf.add(database, admin, grown, more)
        await tidy(url)
        questions = [prose.question(random.Random(number).choice(more)) for number in range(sizes.questions)]
        await _ask(database, grown, questions, sizes.grown, measured)
        measured.recall[f"words, at {sizes.grown:,}"] = await _recall_of_words(admin, grown, questions)
        for workspace, size in ((crowd, sizes.passages), (grown, sizes.grown)):
            await _ask_postgres(admin, workspace, questions, size, measured)
        _ask_bm25s(texts, questions, sizes.passages, measured)
        _ask_bm25s(texts + more, questions, sizes.grown, measured)
    finally:
        await database.aclose()
        await admin.close()
    return measured


async def _as_api(admin: Admin, url: str) -> str:
    await admin.execute("create role search_bench login password 'bench' in role enablebot_api")
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"search_bench:bench@{parts.netloc.rpartition('@')[2]}"))


async def _add_vectors(admin: Admin, passages: int) -> list[list[float]]:
    """Give every workspace the same vectors, one a position: what an index that they share would mix up."""
    rng = random.Random(6)
    vectors = [[rng.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(passages)]
    await admin.execute("create temp table base (position int, vector extensions.halfvec)")
    await admin.executemany(
        "insert into base values ($1, $2::text::extensions.halfvec)",
        [(place_, f"[{','.join(f'{value:.4f}' for value in vector)}]") for place_, vector in enumerate(vectors)],
    )
    await admin.execute("""
        insert into enablebot.passage_vectors (tenant_id, passage_id, model, vector)
        select p.tenant_id, p.id, 'bench', extensions.l2_normalize(b.vector)
        from enablebot.passages p join base b using (position)""")
    return vectors


async def _ask(database: Database, workspace: UUID, questions: list[str], size: int, measured: Measured) -> None:
    search = Search(database, None)
    for question in questions[:20]:
        await search.find(workspace, question)
    taken = measured.seconds.setdefault(("Search.find, words", size), [])
    for question in questions:
        began = time.perf_counter()
        await search.find(workspace, question)
        taken.append(time.perf_counter() - began)


async def _ask_both(
    database: Database,
    admin: Admin,
    workspace: UUID,
    questions: list[str],
    vectors: list[list[float]],
    size: int,
    measured: Measured,
) -> None:
    given, rng, shares = Given(), random.Random(7), []
    search = Search(database, given)
    taken = measured.seconds.setdefault(("Search.find, words and meaning", size), [])
    for question in questions:
        given.vector = [value + rng.gauss(0, 0.7) for value in rng.choice(vectors)]
        began = time.perf_counter()
        await search.find(workspace, question)
        taken.append(time.perf_counter() - began)
        asked = f"[{','.join(f'{value:.4f}' for value in given.vector)}]"
        ranked = await admin.fetch(
            "select passage_id from enablebot.inner_rank_meaning($1, 'bench', $2::text::extensions.halfvec, 10)",
            *(workspace, asked),
        )
        exact = await admin.fetch(
            "select passage_id from enablebot.passage_vectors where tenant_id = $1 "
            "order by vector operator(extensions.<#>) $2::text::extensions.halfvec limit 10",
            *(workspace, asked),
        )
        shares.append(len({row[0] for row in ranked} & {row[0] for row in exact}) / len(exact))
    measured.recall["vectors, beside every one compared"] = sum(shares) / len(shares)


async def _recall_of_words(admin: Admin, workspace: UUID, questions: list[str]) -> float:
    shares = []
    for question in questions:
        asked = weigh_question(workspace, question)
        best = []
        for is_capped in (True, False):
            async with admin.transaction():
                await admin.execute("select enablebot.work_for(array[$1::uuid])", workspace)
                best.append(
                    await admin.fetch(
                        "select r.passage_id from enablebot.inner_weigh_question($1, $2, $3, $4) w "
                        "cross join lateral enablebot.inner_rank_words($1, w.o_rarest, w.o_question, 10) r",
                        *(workspace, asked.ids, asked.weights, is_capped),
                    )
                )
        ours, exact = ({row[0] for row in rows} for rows in best)
        shares.append(len(ours & exact) / max(1, len(exact)))
    return sum(shares) / len(shares)


async def _foreign(database: Database, workspaces: list[UUID], questions: list[str]) -> int:
    search, foreign = Search(database, None), 0
    for place_, workspace in enumerate(workspaces):
        for question in questions:
            found = await search.find(workspace, f"{question} own{(place_ + 1) % len(workspaces)}")
            foreign += sum(not passage.text.endswith(f" own{place_}") for passage in found.passages)
    return foreign


async def _ask_postgres(admin: Admin, workspace: UUID, questions: list[str], size: int, measured: Measured) -> None:
    await admin.execute("drop table if exists peer")
    await admin.execute(
        "create table peer as select id, to_tsvector('simple', text) as tsv from enablebot.passages "
        f"where tenant_id = '{workspace}'"
    )
    await admin.execute("create index on peer using gin (tsv); analyze peer")
    for name, function, between in (
        ("websearch_to_tsquery and ts_rank_cd, all words", "websearch_to_tsquery", " "),
        ("the same, any word", "websearch_to_tsquery", " or "),
    ):
        taken = measured.seconds.setdefault((name, size), [])
        empty = 0
        for question in questions:
            began = time.perf_counter()
            rows = await admin.fetch(_NAIVE.format(function=function), between.join(question.split()))
            taken.append(time.perf_counter() - began)
            empty += not rows
        measured.recall[f"{name}, at {size:,}: questions without an answer"] = empty / len(questions)


def _ask_bm25s(texts: list[str], questions: list[str], size: int, measured: Measured) -> None:
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    taken = measured.seconds.setdefault(("bm25s, in memory", size), [])
    for question in questions:
        began = time.perf_counter()
        asked = bm25s.tokenize([question], stopwords=None, show_progress=False, return_ids=False)
        index.retrieve(asked, k=10, show_progress=False)
        taken.append(time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small: to see that it runs")
    sizes = QUICK if parser.parse_args().quick else WHOLE
    with place() as found:
        measured = asyncio.run(measure(found, sizes))

    small, large = sizes.passages, sizes.grown
    print(f"{sizes.workspaces} workspaces of {small:,} passages, one of which then grows to {large:,}\n")
    goals = {"Search.find, words": "p95 10 and 40 ms"}
    rows = [
        [
            name,
            *(measured.quantile(name, size, share) for size in (small, large) for share in (0.5, 0.95)),
            goals.get(name, ""),
        ]
        for name in dict.fromkeys(name for name, _ in measured.seconds)
    ]
    titles = [f"{share} at {size:,}, ms" for size in (small, large) for share in ("p50", "p95")]
    print(table(["", *titles, "goal"], rows))

    print("\nOf the ten best of an exact ranking, found; and of all that was found, another workspace's\n")
    goals = {"vectors, beside every one compared": "1.00", "words, beside the same without a cap": "0.95"}
    rows = [[name, f"{share:.3f}", goals.get(name, "")] for name, share in measured.recall.items()]
    print(table(["", "share", "goal"], [*rows, ["another workspace's passages", str(measured.foreign), "0"]]))
    print(
        f"\nStaged through the product's calls: {measured.staged_a_second:,.0f} passages a second, weighing included."
    )


if __name__ == "__main__":
    main()
