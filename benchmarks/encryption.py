"""Sealing and opening beside the bare cipher and beside MultiFernet: `python -m benchmarks.encryption`.

The bare calls get a ready key, nonce and associated data, so what is measured against them is all that we add:
the nonce from the operating system, the key id, and binding to a place. The targets are ratios within this run.
"""

import argparse
import time
from collections.abc import Callable
from os import urandom
from statistics import median
from uuid import uuid4

from cryptography.fernet import Fernet, MultiFernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from enablebot.shared.encryption.encryption import Place, SealingKey

TOKEN = b"xoxb-1234567890-1234567890123-abcdefghijklmnopqrstuvwx"


def calls_per_second(call: Callable[[], object], *, calls: int) -> float:
    """How often the call fits into a second, loop included."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return calls / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()

    material, key_id, tenant_id, row = urandom(32), uuid4(), uuid4(), str(uuid4())
    key, place = SealingKey(key_id, material), Place(tenant_id, "installations", "bot_token", row)
    sealed = key.seal(place, TOKEN)
    bare = AESGCM(material)
    nonce, bound = (
        urandom(12),
        b"\x01" + key_id.bytes + tenant_id.bytes + b"\x0dinstallations\x09bot_token" + row.encode(),
    )
    ciphertext = bare.encrypt(nonce, TOKEN, bound)
    # Two keys, as during a rotation; what is opened was made with the first, its best case.
    fernet = MultiFernet([Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())])
    fernet_token = fernet.encrypt(TOKEN)

    contestants: dict[str, Callable[[], object]] = {
        "AESGCM.encrypt": lambda: bare.encrypt(nonce, TOKEN, bound),
        "seal": lambda: key.seal(place, TOKEN),
        "seal, place built each time": lambda: key.seal(Place(tenant_id, "installations", "bot_token", row), TOKEN),
        "MultiFernet.encrypt": lambda: fernet.encrypt(TOKEN),
        "AESGCM.decrypt": lambda: bare.decrypt(nonce, ciphertext, bound),
        "open": lambda: key.open(place, sealed),
        "open, place built each time": lambda: key.open(Place(tenant_id, "installations", "bot_token", row), sealed),
        "MultiFernet.decrypt": lambda: fernet.decrypt(fernet_token),
    }
    rounds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        # In turn within each round, so that a busy moment of the machine hits all of them.
        for name, call in contestants.items():
            calls = options.calls // 5 if name.startswith("MultiFernet") else options.calls
            rounds[name].append(calls_per_second(call, calls=calls))

    print(f"{len(TOKEN)} bytes, medians of {options.rounds} rounds\n")
    print("| call | per second | of bare AESGCM | of MultiFernet |")
    print("|---|---|---|---|")
    for name, speeds in rounds.items():
        sealing = name.startswith(("seal", "AESGCM.e", "MultiFernet.e"))
        base, peer = ("AESGCM.encrypt", "MultiFernet.encrypt") if sealing else ("AESGCM.decrypt", "MultiFernet.decrypt")
        to_base = median(own / other for own, other in zip(speeds, rounds[base], strict=True))
        to_peer = median(own / other for own, other in zip(speeds, rounds[peer], strict=True))
        print(f"| {name} | {median(speeds):,.0f} | {to_base:.2f} | {to_peer:.1f} |")
    print("\nTargets: seal 0.35 or more and open 0.50 or more of bare AESGCM, both 2 or more of MultiFernet.")


if __name__ == "__main__":
    main()
