"""Slack's side of the door: envelopes as it sends them, signed as it signs them, to an app called in this process."""

import hmac
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from starlette.types import Message

from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant
from enablebot.shared.sensitive import Sensitive

SIGNING_SECRET = "a-signing-secret-of-the-tests"
TEAM, OTHER_TEAM = "T0FIRST", "T0SECOND"
CHANNEL = "C0GENERAL"
ROOT = "1700000000.000100"

_numbers = itertools.count(1)


def bot_of(team: str) -> str:
    return f"UBOT{team.removeprefix('T0')}"


def next_ts() -> str:
    """A message's `ts`, later than every one before."""
    return f"{1_700_000_100 + next(_numbers)}.000100"


def envelope(event: Any, *, team: str = TEAM, **fields: Any) -> dict[str, Any]:
    """An event as the Events API wraps it; `fields` replace the wrapper's, None removes one."""
    wrapped: dict[str, Any] = {
        "token": "deprecated",
        "team_id": team,
        "context_team_id": team,
        "api_app_id": "A0ENABLEBOT",
        "event": event,
        "type": "event_callback",
        "event_id": f"Ev{next(_numbers):08d}",
        "event_time": int(time.time()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team,
                "user_id": bot_of(team),
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        **fields,
    }
    return {name: value for name, value in wrapped.items() if value is not None}


def message(text: str = "hello", **fields: Any) -> dict[str, Any]:
    """An inner message event in a channel; None removes a field."""
    ts = fields.pop("ts", None) or next_ts()
    event = {
        "type": "message",
        "user": "U0ADA",
        "text": text,
        "ts": ts,
        "channel": CHANNEL,
        "channel_type": "channel",
        "event_ts": ts,
        **fields,
    }
    return {name: value for name, value in event.items() if value is not None}


def mention(text: str = "hello", *, team: str = TEAM, **fields: Any) -> dict[str, Any]:
    return message(f"<@{bot_of(team)}> {text}", **{"type": "app_mention", "channel_type": None, **fields})


def direct(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return message(text, **{"channel": "D0ADA", "channel_type": "im", **fields})


def reply(text: str = "and then?", *, to: str = ROOT, **fields: Any) -> dict[str, Any]:
    return message(text, **{"thread_ts": to, **fields})


def deletion(deleted: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The inner event by which Slack tells that a message was deleted."""
    told = {
        "type": "message",
        "subtype": "message_deleted",
        "hidden": True,
        "channel": deleted["channel"],
        "channel_type": deleted["channel_type"],
        "ts": next_ts(),
        "deleted_ts": deleted["ts"],
        "previous_message": {name: deleted[name] for name in deleted if name not in ("channel", "channel_type")},
        **fields,
    }
    return {name: value for name, value in told.items() if value is not None}


def tombstone(deleted: dict[str, Any]) -> dict[str, Any]:
    """The same for a message with replies, of which a tombstone is left."""
    left = {"type": "message", "subtype": "tombstone", "user": "USLACKBOT", "hidden": True, "ts": deleted["ts"]}
    return deletion(deleted, subtype="message_changed", deleted_ts=None, message={**left, "thread_ts": deleted["ts"]})


def pressed_retry(*, team: str = TEAM, value: str = "an-answer", **fields: Any) -> dict[str, Any]:
    """A press on the Retry button as the interactions URL gets it."""
    return {
        "type": "block_actions",
        "user": {"id": "U0ADA", "team_id": team},
        "container": {"type": "message", "message_ts": "1700000050.000100", "channel_id": CHANNEL, "thread_ts": ROOT},
        "trigger_id": f"{next(_numbers)}.42.abc",
        "team": {"id": team, "domain": "first"},
        "enterprise": None,
        "is_enterprise_install": False,
        "channel": {"id": CHANNEL, "name": "general"},
        "message": {"ts": "1700000050.000100", "thread_ts": ROOT},
        "actions": [{"type": "button", "action_id": "enablebot_retry", "block_id": "b", "value": value}],
        **fields,
    }


def signed(body: bytes, *, secret: str = SIGNING_SECRET, at: float | None = None) -> dict[str, str]:
    """The headers with which Slack vouches for a body."""
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), b"v0:" + stamp.encode() + b":" + body, "sha256").hexdigest()
    return {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": f"v0={digest}"}


def written(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload).encode()


@dataclass(frozen=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """Calls an ASGI app without a server, as uvicorn would for one request."""

    def __init__(self, app: Any, *, path: str = "/slack/events", secret: str = SIGNING_SECRET) -> None:
        self._app = app
        self._path = path
        self._secret = secret

    async def post(
        self, body: bytes, *, headers: Mapping[str, str] | None = None, chunk: int | None = None
    ) -> Response:
        """Post a body, signed unless `headers` say otherwise; in pieces of `chunk` bytes and without a length."""
        sent = dict(signed(body, secret=self._secret) if headers is None else headers)
        if chunk is None:
            sent.setdefault("Content-Length", str(len(body)))
        pieces = [body] if chunk is None else [body[at : at + chunk] for at in range(0, len(body), chunk)]
        messages = [
            {"type": "http.request", "body": piece, "more_body": place < len(pieces) - 1}
            for place, piece in enumerate(pieces)
        ]
        return await self.request(messages, list(sent.items()))

    async def send(self, event: Any, *, team: str = TEAM, **fields: Any) -> Response:
        """Post an event in its envelope."""
        return await self.post(written(envelope(event, team=team, **fields)))

    async def request(self, messages: list[Any], headers: list[tuple[str, str]], *, method: str = "POST") -> Response:
        """One request from raw ASGI messages; a callable among them is awaited for its message."""
        waiting = iter(messages)
        answered: list[Message] = []

        async def receive() -> Message:
            following = next(waiting, {"type": "http.disconnect"})
            return await following() if callable(following) else following

        async def send(told: Message) -> None:
            answered.append(told)

        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": raw,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8001),
        }
        await self._app(scope, receive, send)
        starts = [told for told in answered if told["type"] == "http.response.start"]
        if not starts:
            return Response(0, {}, b"")
        (start,) = starts
        body = b"".join(told.get("body", b"") for told in answered if told["type"] == "http.response.body")
        shown = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Response(start["status"], shown, body)


def grant(team: str, **changed: Any) -> OAuthGrant:
    given = OAuthGrant(
        app_id="A0ENABLEBOT",
        enterprise_id=None,
        enterprise_name=None,
        team_id=team,
        team_name=team,
        is_org_wide=False,
        bot_user_id=bot_of(team),
        bot_id=f"B{team}",
        scopes=REQUIRED_SCOPES,
        bot_token=Sensitive(f"xoxb-of-{team}"),
        refresh_token=None,
        expires_in=None,
        installed_by="U0ADA",
    )
    return replace(given, **changed)


async def install(installations: Installations, team: str = TEAM, **changed: Any) -> UUID:
    return await installations.save(grant(team, **changed), audit_actor="U0ADA")
