"""Did Slack send this request? A pure answer: no clock of its own, no exception whatever comes in."""

import hmac
from collections.abc import Sequence
from hashlib import sha256

TOLERANCE_SECONDS = 300
_HEX_DIGEST_LENGTH = 64
# A Unix time has ten digits until the year 2286. Longer ones are refused before `int` would spend time on them.
_LONGEST_TIMESTAMP = 12


def is_genuine(
    *,
    body: bytes,
    timestamp: bytes | str | None,
    signature: bytes | str | None,
    secrets: Sequence[bytes | str],
    now: float,
) -> bool:
    """Whether one of `secrets` signed exactly this body at a time within 300 s of `now`; False for anything odd.

    Slack's scheme v0: `v0=` and the hex HMAC-SHA256 of `v0:<timestamp>:<raw body>`.
    Several secrets may be valid while the signing secret is being replaced.
    """
    stamp = _as_ascii(timestamp)
    claimed = _as_ascii(signature)
    if stamp is None or claimed is None or len(stamp) > _LONGEST_TIMESTAMP or not stamp.isdigit():
        return False
    # `not <=` and not `>`, so that a clock that reads NaN refuses.
    if not abs(now - int(stamp)) <= TOLERANCE_SECONDS:
        return False
    if len(claimed) != len(b"v0=") + _HEX_DIGEST_LENGTH or not claimed.startswith(b"v0="):
        return False
    message = b"v0:" + stamp + b":" + body
    genuine = False
    for secret in secrets:
        key = secret.encode("utf-8", "surrogatepass") if isinstance(secret, str) else secret
        # A blank key would let anybody sign.
        if key.strip() and hmac.compare_digest(hmac.digest(key, message, sha256).hex().encode(), claimed[3:]):
            genuine = True
    return genuine


def _as_ascii(header: bytes | str | None) -> bytes | None:
    if isinstance(header, str):
        return header.encode() if header.isascii() else None
    return header
