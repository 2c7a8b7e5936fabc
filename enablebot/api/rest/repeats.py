"""Requests with an Idempotency-Key: done once, answered the same each time; kept in the database for a day.

As draft-ietf-httpapi-idempotency-key-header has it: the same key with another body is 422, one that is still being
worked on 409. A request that failed has done nothing and is forgotten, so that it may be sent again.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from enablebot.api.rest.admission import Caller
from enablebot.shared.database.models import ApiRequestRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import DatabaseError, EnableBotError
from enablebot.shared.http import Refused
from enablebot.shared.installations import Installations, Route

log = logging.getLogger(__name__)

KEPT_HOURS = 24
# A process that died lets go after this; one that lives asks for more in time.
LEASE_SECONDS = 60


class UnderWay(Refused):
    """Another request with this Idempotency-Key is being worked on."""

    code = "request_under_way"
    status = 409
    headers = {"Retry-After": "1"}  # noqa: RUF012 - never changed


class KeyReused(EnableBotError):
    """The Idempotency-Key has served for something else."""

    code = "idempotency_key_reused"
    status = 422


@dataclass(frozen=True, slots=True)
class Given:
    """What was answered to a request before."""

    status: int
    body: bytes
    fingerprint: bytes


class Turn:
    """One request that is ours to work on, until it is finished or given up."""

    def __init__(self, database: Database, caller: Caller, key: str, *, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self._kept_at = clock()
        self._tenant_id = caller.tenant_id
        self._name_hash = sha256(key.encode("utf-8", "surrogatepass")).digest()
        self._row = f"{caller.key_id}:{self._name_hash.hex()}"
        self._named: dict[str, Any] = {
            "tenant_id": caller.tenant_id,
            "api_key_id": caller.key_id,
            "name_hash": self._name_hash,
            "token": uuid4(),
        }

    async def begin(self) -> ApiRequestRow:
        """Ask for the request, or for more time with it."""
        self._kept_at = self._clock()
        return await self._database.begin_api_request(**self._named, lease_seconds=LEASE_SECONDS)

    async def keep(self) -> None:
        """Ask for more time when a third of it is gone; UnderWay when somebody else has it by now."""
        if self._clock() - self._kept_at > LEASE_SECONDS / 3 and (await self.begin()).outcome != "new":
            raise UnderWay("The request took so long that another one took its place. Send it again.")

    async def finish(self, route: Route, *, fingerprint: bytes, status: int, body: bytes) -> None:
        """Keep the answer. What was done stays done when that fails: it is logged, and a repetition finds it done."""
        sealed = route.key.seal(self.place, body)
        try:
            await self._database.finish_api_request(
                **self._named, fingerprint=fingerprint, status=status, response=sealed, data_key_id=route.key.id
            )
        except DatabaseError as error:
            log.warning("An answer could not be kept for repetitions: %s", error.message)

    async def give_up(self) -> None:
        """Let the request go, so that it may be sent again."""
        try:
            await self._database.give_up_api_request(**self._named)
        except DatabaseError as error:
            log.warning("A failed request stays reserved for %s s: %s", LEASE_SECONDS, error.message)

    @property
    def place(self) -> Place:
        """Where the answer lies, sealed."""
        return Place(self._tenant_id, "api_requests", "response", self._row)


class Repeats:
    """Hands out turns."""

    def __init__(
        self, database: Database, installations: Installations, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._installations = installations
        self._clock = clock

    async def begin(self, caller: Caller, key: str) -> Turn | Given:
        """Take a request, or return what was answered to it; UnderWay while another has it."""
        turn = Turn(self._database, caller, key, clock=self._clock)
        row = await turn.begin()
        if row.outcome == "new":
            return turn
        if row.outcome == "under_way" or row.status is None or row.fingerprint is None or row.response is None:
            raise UnderWay("A request with this Idempotency-Key is being worked on. Ask again in a moment.")
        route = await self._installations.route_of_tenant(caller.tenant_id)
        return Given(row.status, route.key.open(turn.place, row.response), row.fingerprint)

    async def finish(self, turn: Turn, caller: Caller, *, fingerprint: bytes, status: int, body: bytes) -> None:
        """Keep what was answered."""
        route = await self._installations.route_of_tenant(caller.tenant_id)
        await turn.finish(route, fingerprint=fingerprint, status=status, body=body)


def refuse_other(given: Given, fingerprint: bytes) -> None:
    """KeyReused where something else is sent than what was answered."""
    if given.fingerprint != fingerprint:
        raise KeyReused("This Idempotency-Key was used for another request. Use a new one for each.")
