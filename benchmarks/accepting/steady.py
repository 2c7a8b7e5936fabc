"""So many events a second, offered by a process that keeps its schedule."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accepting.contestants import Contestant
from benchmarks.accepting.full_speed import MEMORY
from benchmarks.accepting.signed import write_requests


@dataclass(frozen=True)
class Course:
    """What one round at a fixed rate came to; `refused` counts everything but a 200, silence included."""

    p50_ms: float
    p99_ms: float
    driver_p99_ms: float
    acknowledged: int
    refused: int


def course(contestant: Contestant, *, per_second: float, seconds: float) -> Course:
    """Offer one contestant so many events a second for some seconds, after three more that are not counted."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        requests = Path(folder) / "requests"
        length = write_requests(requests, int(per_second * (seconds + 3) * 1.2) + 100)
        command = [sys.executable, "-m", "benchmarks.accepting.open_loop", contestant.url, str(requests)]
        command += ["--bytes", str(length), "--per-second", str(per_second), "--seconds", str(seconds)]
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode != 0:
        sys.exit(f"The driver failed: {said.stderr[-2000:]}")
    found = json.loads(said.stdout)
    return Course(
        found["p50_ms"],
        found["p99_ms"],
        found["driver_p99_ms"],
        found["acknowledged"],
        found["sent"] - found["acknowledged"],
    )
