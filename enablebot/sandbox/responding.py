"""`/actions/…`: where an app answers a click without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enablebot.sandbox.blocks import checked_blocks
from enablebot.sandbox.interactivity import ResponseAddress
from enablebot.sandbox.manifest import APP_ID
from enablebot.sandbox.messages import Message
from enablebot.sandbox.refusal import Refused
from enablebot.sandbox.world import bot_user_id

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

_REFUSED_URL = ("used_url", "expired_url", "channel_not_found")


def response_url_route(sandbox: Sandbox) -> Route:
    """The route behind every `response_url`."""

    async def answer(request: Request) -> Response:
        try:
            given = _payload(await request.body())
            address = sandbox.interactivity.use_response(request.path_params["team"], request.path_params["address"])
            _apply(sandbox, address, given)
        except Refused as refused:
            return PlainTextResponse(refused.error, 404 if refused.error in _REFUSED_URL else 400)
        return PlainTextResponse("ok")

    return Route("/actions/{team}/{address:path}", answer, methods=["POST"])


def _payload(body: bytes) -> dict[str, Any]:
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused("invalid_payload") from error
    if not isinstance(given, dict):
        raise Refused("invalid_payload")
    return given


def _apply(sandbox: Sandbox, address: ResponseAddress, given: dict[str, Any]) -> None:
    source = address.message
    if not address.is_own and (given.get("delete_original") or given.get("replace_original")):
        # The original of a shortcut is somebody's message, which no app may change.
        raise Refused("invalid_payload")
    if given.get("delete_original"):
        sandbox.remove_message(source)
        return
    text, blocks = str(given.get("text") or ""), given.get("blocks")
    checked = checked_blocks(blocks, most=50) if blocks is not None else None
    if not text and not checked:
        raise Refused("no_text")
    if given.get("replace_original"):
        previous = sandbox.announcer.picture(source)
        source.text, source.blocks, source.markdown = text, checked, False
        source.edited = {"user": source.user, "ts": sandbox.world.log(source.channel).next_ts(sandbox.clock.now())}
        sandbox.announcer.changed(source, previous=previous)
        sandbox.show(source, "changed")
        return
    in_channel = given.get("response_type") == "in_channel"
    bot = bot_user_id(source.team)
    sandbox.add_message(
        Message(
            ts=sandbox.world.log(source.channel).next_ts(sandbox.clock.now()),
            channel=source.channel,
            team=source.team,
            user=bot,
            text=text,
            thread_ts=given.get("thread_ts") if in_channel else source.thread_ts,
            blocks=checked,
            bot_id="B" + bot[1:],
            app_id=APP_ID,
            ephemeral_to=None if in_channel else address.user,
        )
    )
