"""RA-1 to RA-4 of reference/security.md, as far as a pure function can be asked."""

import hmac
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from enablebot.shared.slack.verification import is_genuine

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
STAMP = "1531420618"
NOW = 1531420618.0
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com"
    b"%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
    b"803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def genuine(**changed: Any) -> bool:
    arguments: dict[str, Any] = {
        "body": BODY,
        "timestamp": STAMP,
        "signature": SIGNATURE,
        "secrets": [SECRET],
        "now": NOW,
    }
    return is_genuine(**(arguments | changed))


def signed(body: bytes, secret: str = SECRET) -> str:
    signature = SignatureVerifier(secret).generate_signature(timestamp=STAMP, body=body)
    assert signature is not None
    return signature


def test_accepts_slacks_own_example() -> None:
    assert genuine()


def test_accepts_headers_as_bytes() -> None:
    assert genuine(timestamp=STAMP.encode(), signature=SIGNATURE.encode(), secrets=[SECRET.encode()])


@pytest.mark.parametrize(("seconds", "accepted"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_accepts_five_minutes_either_way(seconds: int, accepted: bool) -> None:
    assert genuine(now=NOW + seconds) is accepted


def test_either_secret_is_valid_while_one_replaces_the_other() -> None:
    assert genuine(secrets=["the next one", SECRET])
    assert genuine(secrets=[SECRET, "the last one"])
    assert not genuine(secrets=["the next one", "the last one"])


@pytest.mark.parametrize("secrets", [[], [""], [b""], [" "]])
def test_nobody_signs_with_no_secret_or_a_blank_one(secrets: list[str | bytes]) -> None:
    key = b"".join(secret if isinstance(secret, bytes) else secret.encode() for secret in secrets)
    signature = "v0=" + hmac.new(key, f"v0:{STAMP}:".encode() + BODY, "sha256").hexdigest()
    assert not genuine(secrets=secrets, signature=signature)


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": None},
        {"signature": ""},
        {"signature": SIGNATURE.replace("v0=", "v1=")},
        {"signature": SIGNATURE.removeprefix("v0=")},
        {"signature": SIGNATURE.upper()},
        {"signature": SIGNATURE + "0"},
        {"signature": SIGNATURE[:-1]},
        {"signature": f" {SIGNATURE}"},
        {"signature": SIGNATURE[:-1] + "é"},
        {"timestamp": None},
        {"timestamp": ""},
        {"timestamp": f"+{STAMP}"},
        {"timestamp": f"-{STAMP}"},
        {"timestamp": f"{STAMP}.0"},
        {"timestamp": f" {STAMP}"},
        {"timestamp": "9" * 5000},
        {"timestamp": "١٥٣١٤٢٠٦١٨"},
        {"timestamp": b"\xff\xfe"},
        {"now": float("nan")},
        {"now": float("inf")},
        {"body": BODY + b" "},
        {"body": b""},
    ],
)
def test_refuses_whatever_differs(changed: dict[str, Any]) -> None:
    assert not genuine(**changed)


def test_refuses_a_body_that_was_written_anew() -> None:
    body = b'{"type": "event_callback", "text": "\\u00e9"}'
    assert genuine(body=body, signature=signed(body))
    assert not genuine(body=json.dumps(json.loads(body), ensure_ascii=False).encode(), signature=signed(body))


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_one_changed_bit_anywhere_refuses(data: st.DataObject) -> None:
    parts = {"body": BODY, "timestamp": STAMP.encode(), "signature": SIGNATURE.encode()}
    name = data.draw(st.sampled_from(sorted(parts)))
    bit = data.draw(st.integers(0, len(parts[name]) * 8 - 1))
    mutant = bytearray(parts[name])
    mutant[bit // 8] ^= 1 << bit % 8
    assert not genuine(**{name: bytes(mutant)})


ODD = st.one_of(st.none(), st.binary(max_size=300), st.text(max_size=300))


@settings(max_examples=1000, deadline=None)
@given(
    body=st.binary(max_size=400),
    timestamp=st.one_of(ODD, st.sampled_from([STAMP, STAMP.encode()])),
    signature=st.one_of(ODD, st.sampled_from([SIGNATURE, SIGNATURE.encode()])),
    secrets=st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40)), max_size=3),
    now=st.one_of(st.just(NOW), st.floats(allow_nan=True, allow_infinity=True)),
)
def test_arbitrary_input_is_refused_and_never_raises(
    body: bytes, timestamp: Any, signature: Any, secrets: list[Any], now: float
) -> None:
    assert not is_genuine(body=body, timestamp=timestamp, signature=signature, secrets=secrets, now=now)


@settings(max_examples=200, deadline=None)
@given(body=st.text(max_size=500), secret=st.text("0123456789abcdef", min_size=1, max_size=64))
def test_agrees_with_slacks_own_signer(body: str, secret: str) -> None:
    assert genuine(body=body.encode(), secrets=[secret], signature=signed(body.encode(), secret))
