"""What Slack would send: signed requests for distinct mentions of about 1.5 KB, ready to go over a socket.

Signatures are made for one moment just before a round, which stays fresh for five minutes. Every request is as long as
every other, so that a driver cuts them out of the file by length. No event is sent twice: a second lap over the
bodies would be all duplicates, so each round gets a file of its own with more requests than it can use.
"""

import hmac
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

SIGNING_SECRET = "the-signing-secret-of-the-benchmark"
PATH = "/slack/events"
TEAMS = tuple(f"T0BENCH{number:03d}" for number in range(50))

# Stands in a body for the number that makes it distinct.
_MARK = "000000000"
_numbers = itertools.count(1)
_TEXT = "What does our travel policy say about trains abroad, and whom do I ask for the exception? " * 3


def bot_of(team: str) -> str:
    """The bot's user in a workspace."""
    return f"UB{team}"


def write_requests(path: Path, count: int) -> int:
    """Write this many requests that nobody has seen before, signed now; return the length of each in bytes."""
    with path.open("wb") as file:
        length = 0
        for request in _requests(count):
            length = file.write(request)
    return length


def _requests(count: int) -> Iterator[bytes]:
    stamp = b"%d" % time.time()
    key = hmac.new(SIGNING_SECRET.encode(), b"v0:" + stamp + b":", "sha256")
    templates = [_body(team) for team in TEAMS]
    head = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n"
        b"Accept-Encoding: gzip,deflate\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        b"X-Slack-Request-Timestamp: %s\r\nX-Slack-Signature: v0=%%s\r\nContent-Length: %d\r\n\r\n"
    ) % (PATH.encode(), stamp, len(templates[0]))
    for number in itertools.islice(_numbers, count):
        body = templates[number % len(templates)].replace(_MARK.encode(), b"%09d" % number)
        signing = key.copy()
        signing.update(body)
        yield head % signing.hexdigest().encode() + body


def _body(team: str) -> bytes:
    ts = f"1{_MARK}.000100"
    user, channel, bot = "U0ADALOVELACE", "C0GENERAL01", bot_of(team)
    text = f"<@{bot}> {_TEXT}"
    elements = [{"type": "user", "user_id": bot}, {"type": "text", "text": f" {_TEXT}"}]
    envelope = {
        "token": "deprecated-verification-token",
        "team_id": team,
        "context_team_id": team,
        "context_enterprise_id": None,
        "api_app_id": "A0BENCHMARK",
        "event": {
            "user": user,
            "type": "app_mention",
            "ts": ts,
            "client_msg_id": "5f7a0d5e-0000-4000-8000-8d6f5a3b2c1d",
            "text": text,
            "team": team,
            "blocks": [
                {
                    "type": "rich_text",
                    "block_id": "qXr5v",
                    "elements": [{"type": "rich_text_section", "elements": elements}],
                }
            ],
            "channel": channel,
            "event_ts": ts,
        },
        "type": "event_callback",
        "event_id": f"Ev{_MARK}",
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team,
                "user_id": bot,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": "4-eyJldCI6ImFwcF9tZW50aW9uIiwidGlkIjoiVDAiLCJhaWQiOiJBMCIsImNpZCI6IkMwIn0",
    }
    return json.dumps(envelope).encode()
