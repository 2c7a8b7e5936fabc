"""Slack's Web API: one connection pool per process, one light client per workspace, every failure in our own words."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from enablebot import __version__
from enablebot.shared.errors import SlackRateLimited, SlackRefused, SlackUnreachable
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.origins import KnownHosts
from enablebot.shared.slack.pauses import Pauses
from enablebot.shared.slack.socket_mode import dial
from enablebot.shared.slack.wire import (
    MaySend,
    OnCall,
    call,
    call_with_scopes,
    no_usable_answer,
    proxy_for,
    trace,
)

SessionStatus = Literal["active", "processing", "suspended", "closed"]
Block = Mapping[str, Any]


class SlackClients:
    """One per process: owns the connection pool that every workspace's client shares.

    `on_call(method, outcome)` is told of every call; the outcome is `ok` or the error's code.
    """

    def __init__(self, *, base_url: str, timeout_seconds: float = 10, on_call: OnCall | None = None) -> None:
        self._api_url = base_url.rstrip("/") + "/api/"
        self._response_hosts = KnownHosts(base_url, ["hooks.slack.com"])
        self._timeout_seconds = timeout_seconds
        self._on_call = on_call
        self._pauses = Pauses()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: str | None = None
        # slack_sdk prints whole answers, messages included, to a logger at DEBUG or without a level of its own.
        self._logger = logging.getLogger("slack_sdk.enablebot")
        self._logger.setLevel(logging.INFO)

    async def open(self) -> None:
        """Open the connection pool. Belongs to the lifespan of the app."""
        self._proxy = proxy_for(self._api_url)
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            trace_configs=[trace()],
        )

    async def aclose(self) -> None:
        """Close the connection pool."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def for_workspace(
        self, *, token: Sensitive[str], team_id: str | None, may_send: MaySend | None = None
    ) -> "SlackClient":
        """A client that speaks with this token; `team_id` names the workspace for an organisation-wide one.

        `may_send` is asked just before each call leaves; after a no it does not (SlackUnreachable).
        """
        return SlackClient(
            self._web_client(token=token.reveal(), team_id=team_id),
            workspace=team_id or token.reveal(),
            pauses=self._pauses,
            on_call=self._on_call,
            may_send=may_send,
        )

    async def exchange_code(
        self, *, client_id: str, client_secret: Sensitive[str], code: str, redirect_uri: str
    ) -> dict[str, Any]:
        """Slack's answer to `oauth.v2.access`: the grant that belongs to `code`."""
        return await call(
            self._web_client(token=None, team_id=None),
            "oauth.v2.access",
            on_call=self._on_call,
            data={"code": code, "redirect_uri": redirect_uri},
            # By Basic auth and never as fields, which proxies and tracing tools like to keep.
            headers={"Authorization": aiohttp.encode_basic_auth(client_id, client_secret.reveal())},
        )

    async def connect_socket(self, app_token: Sensitive[str]) -> aiohttp.ClientWebSocketResponse:
        """A new Socket Mode connection, on which Slack has not said hello yet."""
        client = self._web_client(token=app_token.reveal(), team_id=None)
        answer = await call(client, "apps.connections.open", on_call=self._on_call)
        assert self._session is not None
        return await dial(self._session, answer.get("url"), api_url=self._api_url)

    async def respond(
        self,
        url: str,
        *,
        text: str,
        blocks: Sequence[Block] | None = None,
        replace_original: bool = False,
    ) -> None:
        """Answer an interaction at its response URL, for the eyes of whoever acted; no token goes with it.

        Raises SlackRefused once the address is used up or is not Slack's, and the rest of the SlackError tree.
        """
        if not self._response_hosts.know(url):
            raise SlackRefused(
                "A response URL does not lie at Slack, so it was not called.", method="response_url", slack_code=None
            )
        assert self._session is not None
        body = {"text": text, "blocks": blocks, "replace_original": replace_original, "response_type": "ephemeral"}
        given = {name: value for name, value in body.items() if value is not None}
        try:
            async with self._session.post(url, json=given, allow_redirects=False, proxy=proxy_for(url)) as response:
                status, said = response.status, (await response.text(errors="replace"))[:100]
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise SlackUnreachable(
                f"Slack could not be reached for a response ({type(error).__name__}).", method="response_url"
            ) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise no_usable_answer("response_url", because=type(error).__name__) from None
        if status == 429:
            raise SlackRateLimited("Slack limits responses.", method="response_url", retry_after=30)
        if status >= 500:
            raise no_usable_answer("response_url", status=status)
        if status != 200:
            code = said if said.isascii() and said.replace("_", "").isalpha() else f"status_{status}"
            raise SlackRefused(f"Slack refused a response: {code}.", method="response_url", slack_code=code)

    def _web_client(self, *, token: str | None, team_id: str | None) -> AsyncWebClient:
        if self._session is None:
            raise RuntimeError("SlackClients is not open: call open() in the lifespan first")
        client = AsyncWebClient(
            token=token,
            base_url=self._api_url,
            session=self._session,
            team_id=team_id,
            user_agent_prefix=f"EnableBot/{__version__}",
            logger=self._logger,
            # Its retries would post a message twice when only the answer was lost.
            retry_handlers=[],
        )
        # slack_sdk takes any proxy of the environment and never asks NO_PROXY.
        client.proxy = self._proxy
        return client


class SlackClient:
    """The Web API methods this product uses, with one workspace's token.

    Every method raises the SlackError tree: `SlackUnreachable` where the request never left, so that it may be
    repeated; `SlackUnknownOutcome` where it left and no usable answer came back. After a `SlackRateLimited` no client
    of this process calls that method for this workspace before its time: it raises the same again, unsent.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        *,
        workspace: str,
        pauses: Pauses,
        on_call: OnCall | None = None,
        may_send: MaySend | None = None,
    ) -> None:
        self._client = client
        self._workspace = workspace
        self._pauses = pauses
        self._on_call = on_call
        self._may_send = may_send

    def left(self, method: str) -> float:
        """Seconds until Slack wants `method` to be called again for this workspace."""
        return self._pauses.left(self._workspace, method)

    async def auth_test(self) -> dict[str, Any]:
        """Who this token is: `user_id`, `bot_id`, `team_id` and more."""
        return await self._post("auth.test", {})

    async def auth_test_with_scopes(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Who this token is, and the scopes it holds."""
        return await self._called("auth.test", json={})

    async def post_message(
        self,
        *,
        channel: str,
        thread_ts: str | None,
        text: str | None = None,
        markdown_text: str | None = None,
        blocks: Sequence[Block] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Post a message, never with an unfurled link; returns its `ts`. `markdown_text` excludes text and blocks."""
        answer = await self._post(
            "chat.postMessage",
            {
                "channel": channel,
                "thread_ts": thread_ts,
                "text": text,
                "markdown_text": markdown_text,
                "blocks": blocks,
                "metadata": metadata,
                "unfurl_links": False,
                "unfurl_media": False,
            },
        )
        return _ts(answer, method="chat.postMessage")

    async def post_ephemeral(
        self,
        *,
        channel: str,
        user: str,
        thread_ts: str | None,
        text: str,
        blocks: Sequence[Block] | None = None,
    ) -> None:
        """Show `text` to one person only."""
        await self._post(
            "chat.postEphemeral",
            {"channel": channel, "user": user, "thread_ts": thread_ts, "text": text, "blocks": blocks},
        )

    async def update_message(
        self,
        *,
        channel: str,
        ts: str,
        text: str | None = None,
        markdown_text: str | None = None,
        blocks: Sequence[Block] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace the whole content of one of our messages: `text` up to 4,000 characters, markdown up to 12,000."""
        await self._post(
            "chat.update",
            {
                "channel": channel,
                "ts": ts,
                "text": text,
                "markdown_text": markdown_text,
                "blocks": blocks,
                "metadata": metadata,
            },
        )

    async def delete_message(self, *, channel: str, ts: str) -> None:
        """Take one of our messages away; may be repeated."""
        await self._post("chat.delete", {"channel": channel, "ts": ts})

    async def start_stream(
        self,
        *,
        channel: str,
        thread_ts: str,
        recipient_user_id: str,
        recipient_team_id: str,
        markdown_text: str | None = None,
    ) -> str:
        """Open a streamed message in a thread; returns its `ts`. It lives for about five minutes."""
        answer = await self._post(
            "chat.startStream",
            {
                "channel": channel,
                "thread_ts": thread_ts,
                "recipient_user_id": recipient_user_id,
                "recipient_team_id": recipient_team_id,
                "markdown_text": markdown_text,
            },
        )
        return _ts(answer, method="chat.startStream")

    async def append_stream(self, *, channel: str, ts: str, markdown_text: str) -> None:
        """Add up to 12,000 characters to a streamed message."""
        await self._post("chat.appendStream", {"channel": channel, "ts": ts, "markdown_text": markdown_text})

    async def stop_stream(
        self,
        *,
        channel: str,
        ts: str,
        markdown_text: str | None = None,
        blocks: Sequence[Block] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """End a streamed message; `blocks` appear below what was streamed."""
        await self._post(
            "chat.stopStream",
            {"channel": channel, "ts": ts, "markdown_text": markdown_text, "blocks": blocks, "metadata": metadata},
        )

    async def replies(
        self, *, channel: str, thread_ts: str, oldest: str | None = None, limit: int = 15
    ) -> list[dict[str, Any]]:
        """One page of a thread, its root first, with message metadata. Unlisted apps get one call a minute."""
        answer = await self._get(
            "conversations.replies",
            {
                "channel": channel,
                "ts": thread_ts,
                "oldest": oldest,
                "limit": str(limit),
                "include_all_metadata": "1",
            },
        )
        messages = answer.get("messages")
        return [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []

    async def own_conversations(
        self, *, cursor: str | None = None, limit: int = 200
    ) -> tuple[list[dict[str, Any]], str | None]:
        """One page of the channels this token's bot is in, archived ones left out, and the cursor of the next."""
        answer = await self._get(
            "users.conversations",
            {
                "types": "public_channel,private_channel",
                "exclude_archived": "true",
                "limit": str(limit),
                "cursor": cursor,
            },
        )
        channels, more = answer.get("channels"), answer.get("response_metadata")
        following = more.get("next_cursor") if isinstance(more, dict) else None
        return (
            [channel for channel in channels if isinstance(channel, dict)] if isinstance(channels, list) else [],
            following if isinstance(following, str) and following else None,
        )

    async def user_info(self, *, user: str) -> dict[str, Any]:
        """What Slack knows of a person: `is_admin`, `is_owner`, `is_stranger` and more."""
        return _mapping(await self._get("users.info", {"user": user}), "user", method="users.info")

    async def file_info(self, *, file: str) -> dict[str, Any]:
        """A file's whole object, which a message from elsewhere may only hint at."""
        return _mapping(await self._get("files.info", {"file": file}), "file", method="files.info")

    async def set_status(self, *, channel: str, thread_ts: str, status: SessionStatus) -> None:
        """Show in the thread whether the agent works; `processing` lasts until changed, at most an hour."""
        await self._post("agents.sessions.setStatus", {"channel_id": channel, "thread_ts": thread_ts, "status": status})

    async def _post(self, method: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        return (await self._called(method, json=given))[0]

    async def _get(self, method: str, arguments: Mapping[str, str | None]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        return (await self._called(method, http_verb="GET", params=given))[0]

    async def _called(self, method: str, **request: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
        if (left := self.left(method)) > 0:
            raise SlackRateLimited(
                f"Slack limits {method} for this workspace for another {left:.1f} s.", method=method, retry_after=left
            )
        try:
            return await call_with_scopes(
                self._client, method, on_call=self._on_call, may_send=self._may_send, **request
            )
        except SlackRateLimited as error:
            self._pauses.note(self._workspace, method, error.retry_after)
            raise


def _mapping(answer: Mapping[str, Any], name: str, *, method: str) -> dict[str, Any]:
    found = answer.get(name)
    if not isinstance(found, dict):
        raise no_usable_answer(method, because=f"no {name}")
    return found


def _ts(answer: Mapping[str, Any], *, method: str) -> str:
    ts = answer.get("ts")
    if not isinstance(ts, str) or not ts:
        raise no_usable_answer(method, because="no ts")
    return ts
