"""How large a fault test runs: a tenth in the suite, the whole in `make test-faults`."""

import os
import random

FULL = os.environ.get("ENABLEBOT_FAULTS") == "full"


def sized(full: int) -> int:
    """`full`, or a tenth of it, and one at least."""
    return full if FULL else max(1, full // 10)


def seeded(name: str) -> random.Random:
    """Random moments that can be had again: ENABLEBOT_SEED repeats a run whose seed a failure has printed."""
    seed = os.environ.get("ENABLEBOT_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"{name}: ENABLEBOT_SEED={seed}")
    return random.Random(seed)
