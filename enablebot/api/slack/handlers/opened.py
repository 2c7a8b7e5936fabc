"""A claimed event with its body opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.payloads import read_object
from enablebot.shared.database.models import ClaimedEventRow
from enablebot.shared.encryption.encryption import Place
from enablebot.shared.errors import BadRequest, KeyMissing, NotFound, SealBroken
from enablebot.shared.installations import Installations, Route


@dataclass(frozen=True, slots=True)
class OpenedEvent:
    """`envelope` is the whole of what Slack posted."""

    row: ClaimedEventRow
    route: Route
    envelope: Mapping[str, Any] = field(repr=False)

    @property
    def inner(self) -> Mapping[str, Any]:
        """The event inside the envelope; empty where there is none, as in an interaction."""
        event = self.envelope.get("event")
        return event if isinstance(event, dict) else {}


async def open_event(row: ClaimedEventRow, installations: Installations) -> OpenedEvent:
    """Open a claimed event's body with its workspace's key; BodyUnreadable where that cannot succeed."""
    place = Place(row.tenant_id, "event_bodies", "body", row.event_key)
    try:
        route = await installations.route_of_tenant(row.tenant_id)
        if route.key.id != row.data_key_id:
            # Sealed with a key that is newer than the one remembered here.
            installations.forget(row.tenant_id)
            route = await installations.route_of_tenant(row.tenant_id)
        return OpenedEvent(row, route, read_object(route.key.open(place, row.body)))
    except (KeyMissing, SealBroken, NotFound) as error:
        raise BodyUnreadable(error.message) from error
    except BadRequest as error:
        raise BodyUnreadable("The stored body is not what Slack sends.") from error
