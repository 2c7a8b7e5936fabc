"""A 600-page PDF through the product: `python -m benchmarks.ingest`.

The api as it is always started, on a Postgres of its own (fsync and synchronous_commit on), without an embedding model.
The file goes in through POST /v1/documents; the clock runs from the first byte sent until GET says `ready`, and then
until a sentence of page 3 and one of the last page are found by POST /v1/search. Memory is the api process's: its peak
while it reads, less what it held before, after one short document; the reader child's is told apart. Beside it, in the
same run, the text of all pages taken by the parsing library alone in a process of its own, with no sealing, no passages
and no index. The PDFs are written here, one of text and one with a picture on every tenth page.
"""

import argparse
import asyncio
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from benchmarks.ingesting.handbook import handbook, sentence
from benchmarks.queueing.place import place
from benchmarks.start import answers
from enablebot.local.ports import free_port
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.encryption.keyring import Keyring, generate_master_key
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant
from enablebot.shared.sensitive import Sensitive

TEAM = "T0BENCHMARK"
PEERS = ("pypdfium2", "pypdf")
MOST_SECONDS, MOST_MEGABYTES = 30, 50


@dataclass(frozen=True)
class Read:
    """One reading: seconds, and megabytes that the api grew by and that the reader child had at most."""

    uploaded: float
    ready: float
    found: float
    growth: float
    child: float
    passages: int


class Api:
    """A running api, as a client with an API key sees it."""

    def __init__(self, url: str, pid: int, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._pid = pid
        self._session = session

    async def read(self, content: bytes, name: str, *, wanted: tuple[str, ...]) -> Read:
        """Upload, wait until it is ready, and look for what stands in it."""
        self._forget_peak()
        before, child = _megabytes(self._pid, "VmRSS"), 0.0
        began = time.perf_counter()
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        async with self._session.post(f"{self._url}/v1/documents", data=form) as answer:
            document = await answer.json()
            if answer.status >= 300:
                raise SystemExit(f"The upload was answered {answer.status}: {document}")
        uploaded = time.perf_counter() - began
        while document["status"] not in ("ready", "failed"):
            await asyncio.sleep(0.02)
            child = max(child, *(_megabytes(pid, "VmHWM") for pid in _children(self._pid)), 0.0)
            async with self._session.get(f"{self._url}/v1/documents/{document['id']}") as answer:
                document = await answer.json()
        ready = time.perf_counter() - began
        if document["status"] == "failed":
            raise SystemExit(f"It was not read: {document['reason']}")
        for text in wanted:
            async with self._session.post(f"{self._url}/v1/search", json={"query": text, "limit": 10}) as answer:
                found = await answer.json()
            if not any(text in passage["text"].replace("\n", " ") for passage in found["passages"]):
                raise SystemExit(f"“{text}” is not found.")
        found_at = time.perf_counter() - began
        growth = _megabytes(self._pid, "VmHWM") - before
        async with self._session.delete(f"{self._url}/v1/documents/{document['id']}") as answer:
            assert answer.status < 300, answer.status
        return Read(uploaded, ready, found_at, growth, child, document["passages"])

    def _forget_peak(self) -> None:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")


def _megabytes(pid: int, what: str) -> float:
    try:
        return int(Path(f"/proc/{pid}/status").read_text().split(f"{what}:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@asynccontextmanager
async def running_api(database_url: str, data_dir: Path) -> AsyncIterator[Api]:
    """Start the api in a process of its own, with one workspace and a key for it."""
    key = generate_master_key(datetime.now(UTC).date())
    transport = await PostgresTransport.connect(database_url)
    grant = OAuthGrant(
        app_id="A0BENCHMARK",
        enterprise_id=None,
        enterprise_name=None,
        team_id=TEAM,
        team_name="Benchmark",
        is_org_wide=False,
        bot_user_id="UBOT",
        bot_id="B0BOT",
        scopes=REQUIRED_SCOPES,
        bot_token=Sensitive("xoxb-benchmark"),
        refresh_token=None,
        expires_in=None,
        installed_by="U0BENCHMARK",
    )
    await Installations(Database(transport), Keyring.parse(key)).save(grant, audit_actor="benchmark")
    await transport.aclose()
    port = free_port()
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ},
        "ENVIRONMENT": "test",
        "DATABASE_URL": database_url,
        "ENABLEBOT_DATA_DIR": str(data_dir),
        "ENCRYPTION_KEYS": key,
        "SESSION_SECRET": "s" * 40,
        "SLACK_SIGNING_SECRET": "a-signing-secret",
        "OPENAI_API_KEY": "sk-nobody-is-asked",
        "API_PORT": str(port),
        "LOG_LEVEL": "WARNING",
    }
    made = subprocess.run(
        [sys.executable, "-m", "enablebot", "api-keys", "create", "--team", TEAM],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    process = subprocess.Popen([sys.executable, "-m", "enablebot.scripts.start_api"], env=environ)
    url = f"http://localhost:{port}"
    try:
        async with asyncio.timeout(60):
            while not await answers(f"{url}/ready"):
                await asyncio.sleep(0.05)
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=300)) as session:
            yield Api(url, process.pid, session)
    finally:
        process.terminate()
        process.wait(timeout=30)


def parsed(name: str, path: Path) -> tuple[float, float]:
    """Seconds and peak megabytes of a library alone."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingesting.parsing", name, str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak, _ = run.stdout.split()
    return float(seconds), float(peak)


async def measure(content: bytes, path: Path, *, pages: int, rounds: int) -> None:
    """Read the file in turn with the libraries, and print the medians."""
    peers = [name for name in PEERS if importlib.util.find_spec(name)]
    ours: list[Read] = []
    theirs: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    with place() as found:
        url = await found.make_ours("ours")
        async with running_api(url, path.parent) as api:
            await api.read(b"One short document, so that whatever is loaded once is loaded.", "short.txt", wanted=())
            for number in range(rounds):
                ours.append(await api.read(content, f"handbook {number}.pdf", wanted=(sentence(3), sentence(pages))))
                for name in peers:
                    theirs[name].append(parsed(name, path))
    passages = ours[0].passages
    print(f"\n{pages} pages, {len(content) / 1e6:.1f} MB, {passages} passages; medians of {rounds} rounds\n")
    print("| what | seconds | api grows by | process that reads, at most |")
    print("|---|---|---|---|")
    print(f"| EnableBot, uploaded | {statistics.median(one.uploaded for one in ours):.2f} | | |")
    print(
        f"| EnableBot, ready | {statistics.median(one.ready for one in ours):.2f} "
        f"| {statistics.median(one.growth for one in ours):.0f} MB "
        f"| {statistics.median(one.child for one in ours):.0f} MB |"
    )
    print(f"| EnableBot, found by two searches | {statistics.median(one.found for one in ours):.2f} | | |")
    for name, runs in theirs.items():
        seconds, peak = (statistics.median(one[place] for one in runs) for place in (0, 1))
        print(f"| {name} alone, text of all pages | {seconds:.2f} | | {peak:.0f} MB |")
    worst = max(one.growth for one in ours)
    print(
        f"\nTargets: ready in under {MOST_SECONDS} s, api grows by {MOST_MEGABYTES} MB or less (worst {worst:.0f} MB)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pages", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="sixty pages and once: to see that it runs")
    options = parser.parse_args()
    pages, rounds = (60, 1) if options.quick else (options.pages, options.rounds)
    for picture_every in (None, 10):
        content = handbook(pages=pages, picture_every=picture_every)
        with tempfile.TemporaryDirectory(prefix="enablebot-bench-") as folder:
            path = Path(folder) / "handbook.pdf"
            path.write_bytes(content)
            asyncio.run(measure(content, path, pages=pages, rounds=rounds))


if __name__ == "__main__":
    main()
