"""From a relevant event to the inbox: find its workspace, seal its body, store it with whatever gathered."""

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from enablebot.api.gathering import Gathering
from enablebot.api.slack.relevance import Relevant
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import EnableBotError
from enablebot.shared.installations import Installations, Route
from enablebot.shared.models.event import IncomingEvent, Verdict

log = logging.getLogger(__name__)

Reception = Literal["accepted", "duplicate", "not_ours", "unknown_workspace", "own_message"]

# What Slack's 3 s leave for saying yes; past it the event is refused, and Slack sends it again.
ACCEPT_SECONDS = 2.5

_OwnMessage = tuple[Route, str, str | None, str]


class Intake:
    """Accepts events for the inbox. `on_accepted` is told of every new one once it is committed."""

    def __init__(
        self, database: Database, installations: Installations, *, on_accepted: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._installations = installations
        self._on_accepted = on_accepted
        self._events: Gathering[IncomingEvent, Verdict] = Gathering(
            self._store, weigh=lambda event: len(event.body), deadline_seconds=ACCEPT_SECONDS
        )
        self._own_messages: Gathering[_OwnMessage, bool] = Gathering(self._note, deadline_seconds=ACCEPT_SECONDS)

    async def accept(self, relevant: Relevant, body: bytes) -> Reception:
        """Store an event durably, or say why it is none of ours; raises DatabaseError where it could not be stored."""
        route = await self._installations.route(
            enterprise_id=relevant.enterprise_id, team_id=relevant.team_id, is_org_wide=relevant.is_org_wide
        )
        # A paused workspace's questions wait until it is back.
        if route is None or route.status == "uninstalled":
            return "unknown_workspace"
        if relevant.kind == "own_message":
            return await self._take_as_evidence(route, relevant)
        verdict = await self._events.add(
            IncomingEvent(
                tenant_id=route.tenant_id,
                event_key=relevant.event_key,
                message_key=relevant.message_key,
                lane=relevant.lane,
                kind=relevant.kind,
                joins=relevant.joins,
                body=route.key.seal(Place(route.tenant_id, "event_bodies", "body", relevant.event_key), body),
                data_key_id=route.key.id,
            )
        )
        if verdict == "accepted":
            self._on_accepted()
        return verdict

    async def aclose(self) -> None:
        """Wait until everything taken in is stored."""
        await self._events.aclose()
        await self._own_messages.aclose()

    async def _take_as_evidence(self, route: Route, relevant: Relevant) -> Reception:
        assert relevant.channel is not None
        assert relevant.ts is not None
        try:
            await self._own_messages.add((route, relevant.channel, relevant.thread_ts, relevant.ts))
        except EnableBotError as error:
            # Evidence helps to tell what became of a reply, and there is other evidence: no reason to have it repeated.
            log.warning("Could not note one of our own messages: %s", error.message)
        return "own_message"

    async def _store(self, events: Sequence[IncomingEvent]) -> list[Verdict]:
        tenant_ids, event_keys, message_keys, lanes, kinds, joins, bodies, data_key_ids = zip(*events, strict=True)
        return await self._database.accept_events(
            tenant_ids=tenant_ids,
            event_keys=event_keys,
            message_keys=message_keys,
            lanes=lanes,
            kinds=kinds,
            joins=joins,
            bodies=bodies,
            data_key_ids=data_key_ids,
        )

    async def _note(self, messages: Sequence[_OwnMessage]) -> list[bool]:
        return await self._database.note_own_messages(
            tenant_ids=[route.tenant_id for route, _, _, _ in messages],
            channels=[channel for _, channel, _, _ in messages],
            threads=[thread for _, _, thread, _ in messages],
            ts=[ts for _, _, _, ts in messages],
        )
