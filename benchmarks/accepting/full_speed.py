"""As many requests as 64 connections carry: wrk, and a file of requests to replay."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepting.contestants import Contestant
from benchmarks.accepting.signed import write_requests

CONNECTIONS = 64
# In memory where there is such a place: writing requests to the disk would disturb the database's commits.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
_SCRIPT = Path(__file__).with_name("replay.lua")


@dataclass(frozen=True)
class Lap:
    """What one round at full speed came to."""

    per_second: float
    p50_ms: float
    p99_ms: float
    acknowledged: int


def insist_on_wrk() -> None:
    """End with a plain word where the driver is missing."""
    if shutil.which("wrk") is None:
        sys.exit("This benchmark drives with wrk, which is not installed. Get it with `apt-get install wrk`.")


def lap(contestant: Contestant, *, seconds: float, most_per_second: float) -> Lap:
    """Drive one contestant for some whole seconds with requests of its own, at most so many a second.

    Ends the process where a request was refused, broke, or would have been sent twice: such a figure means nothing.
    """
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        requests = Path(folder) / "requests"
        length = write_requests(requests, int(seconds * most_per_second) + CONNECTIONS)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s", "-s", str(_SCRIPT)]
        environ = {**os.environ, "REQUESTS": str(requests), "REQUEST_BYTES": str(length)}
        said = subprocess.run([*command, contestant.url], env=environ, capture_output=True, text=True, check=False)
    result = next((line for line in said.stdout.splitlines() if line.startswith("RESULT ")), None)
    if result is None:
        sys.exit(f"wrk failed: {said.stdout}{said.stderr}")
    found = json.loads(result.removeprefix("RESULT "))
    if found["refused"] or found["broken"] or found["exhausted"]:
        sys.exit(f"{contestant.name}: not every request was new and acknowledged, so this is no figure: {found}")
    seconds_taken = found["microseconds"] / 1e6
    return Lap(found["requests"] / seconds_taken, found["p50_ms"], found["p99_ms"], found["requests"])
