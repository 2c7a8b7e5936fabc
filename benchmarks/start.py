"""How long a start takes and what an idle service weighs, beside a bare FastAPI app on the same uvicorn.

Prints one table: seconds from the command to every service's readiness page (an empty data directory, and one that
is there already), the demo from start to end, and the resident memory of each idle service. The peer is an app with
one route, started the same way in the same run. Medians of three rounds; memory two seconds after readiness.
"""

import asyncio
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from enablebot.local.ports import free_port

ROUNDS = 3
BARE = """
import sys, uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


async def answers(url: str) -> bool:
    """Whether the page answers 200 now."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session, session.get(url) as found:
            return found.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def seconds_until_ready(urls: list[str], *, since: float) -> float:
    """Wait at most a minute for all pages; return the seconds since the start."""
    async with asyncio.timeout(60):
        for url in urls:
            while not await answers(url):
                await asyncio.sleep(0.01)
    return time.perf_counter() - since


def resident_megabytes(pid: int) -> float:
    """VmRSS of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def pid_running(module: str, parent: int) -> int:
    """The child of `parent` that runs a module."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True, check=True
    )
    return next(int(line.split()[0]) for line in listed.stdout.splitlines() if module in line)


async def measure_bare() -> tuple[float, float]:
    """Start and weigh the peer."""
    port, began = free_port(), time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)])
    try:
        seconds = await seconds_until_ready([f"http://127.0.0.1:{port}/"], since=began)
        await asyncio.sleep(2)
        return seconds, resident_megabytes(process.pid)
    finally:
        process.terminate()
        process.wait()


async def measure_up(environ: Mapping[str, str], sandbox_port: int) -> tuple[float, dict[str, float]]:
    """Start `up`, weigh its services once idle, and stop it with Ctrl-C."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "enablebot", "up", "--sandbox-port", str(sandbox_port)]
    process = subprocess.Popen(command, env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        urls = [f"http://localhost:{environ['API_PORT']}/ready", f"http://localhost:{environ['WEB_PORT']}/ready"]
        seconds = await seconds_until_ready(urls, since=began)
        await asyncio.sleep(2)
        weights = {
            name: resident_megabytes(pid_running(module, process.pid))
            for name, module in (("api", "start_api"), ("web", "start_web"), ("sandbox", "enablebot.sandbox"))
        }
        return seconds, weights
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def measure_demo(environ: Mapping[str, str]) -> float:
    """Play the demo once."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "enablebot", "demo"], env=dict(environ), stdout=subprocess.DEVNULL, check=True
    )
    return time.perf_counter() - began


async def main() -> None:
    """Measure and print."""
    first, second, demos, bare = [], [], [], []
    weights: dict[str, list[float]] = {"api": [], "web": [], "sandbox": []}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as home:
            environ = os.environ | {
                "ENABLEBOT_DATA_DIR": home,
                "API_PORT": str(free_port()),
                "WEB_PORT": str(free_port()),
            }
            bare.append(await measure_bare())
            first.append((await measure_up(environ, free_port()))[0])
            seconds, weighed = await measure_up(environ, free_port())
            second.append(seconds)
            for name, megabytes in weighed.items():
                weights[name].append(megabytes)
            demos.append(measure_demo(environ))
    peer_seconds = statistics.median(seconds for seconds, _ in bare)
    peer_megabytes = statistics.median(megabytes for _, megabytes in bare)

    print("| figure | EnableBot | bare FastAPI on uvicorn | ratio | goal |")
    print("|---|---|---|---|---|")
    for figure, values, goal in (
        ("first start to ready, empty data directory, s", first, ""),
        ("second start to ready, s", second, "5 or less"),
        ("demo after install, s", demos, "20 or less"),
    ):
        ours = statistics.median(values)
        print(f"| {figure} | {ours:.2f} | {peer_seconds:.2f} | {ours / peer_seconds:.1f} | {goal} |")
    for name, goal in (("api", "100 or less"), ("web", "75 or less"), ("sandbox", "")):
        ours = statistics.median(weights[name])
        print(f"| idle {name}, MB RSS | {ours:.0f} | {peer_megabytes:.0f} | {ours / peer_megabytes:.1f} | {goal} |")


if __name__ == "__main__":
    asyncio.run(main())
