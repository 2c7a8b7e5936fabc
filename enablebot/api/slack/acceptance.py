"""What becomes of an event or an interaction, whichever way it came: is it for us, and is it stored."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from enablebot.api.deadlines import Deadlines
from enablebot.api.slack.intake import ACCEPT_SECONDS, Intake
from enablebot.api.slack.interactions import interaction_for_us
from enablebot.api.slack.reading import Refused
from enablebot.api.slack.relevance import Relevant, relevance
from enablebot.shared.errors import DataRefused, EnableBotError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Slack may be told yes; `verdict` is what is counted, `body` what Slack asked to hear."""

    verdict: str
    body: bytes = b""


class Acceptance:
    """Decides what is for us and has it stored. Both ways in, HTTP and Socket Mode, end here."""

    def __init__(self, intake: Intake, *, accept_seconds: float = ACCEPT_SECONDS) -> None:
        self._intake = intake
        self._accepting = Deadlines(accept_seconds)

    async def event(self, envelope: Mapping[str, Any], body: bytes) -> Acknowledgement:
        """Accept what the Events API sent; `body` is the same as bytes, and what is kept.

        Raises Refused where it must not be acknowledged.
        """
        match envelope.get("type"):
            case "event_callback":
                relevant = relevance(envelope)
                return Acknowledgement("ignored") if relevant is None else await self._accept(relevant, body)
            case "url_verification":
                challenge = envelope.get("challenge")
                if not isinstance(challenge, str):
                    raise Refused(400, "malformed", "bad_request", "The verification carries no challenge.")
                return Acknowledgement("url_verification", json.dumps({"challenge": challenge}).encode())
            case "app_rate_limited":
                log.warning("Slack holds events back: a workspace sent more than 30,000 within an hour")
                return Acknowledgement("app_rate_limited")
            case _:
                return Acknowledgement("unknown_type")

    async def interaction(self, payload: Mapping[str, Any], body: bytes) -> Acknowledgement:
        """Accept what was done with our buttons and shortcut; the rest is acknowledged unread. Raises Refused."""
        relevant = interaction_for_us(payload)
        return Acknowledgement("ignored") if relevant is None else await self._accept(relevant, body)

    async def _accept(self, relevant: Relevant, body: bytes) -> Acknowledgement:
        try:
            with self._accepting:
                return Acknowledgement(await self._intake.accept(relevant, body))
        except DataRefused as error:
            log.exception("An event cannot be stored: %s", error.message, extra=error.details)
            raise Refused(
                400, "refused", error.code, "The event holds a value that cannot be stored.", is_final=True
            ) from error
        except EnableBotError as error:
            log.warning("An event could not be accepted: %s", error.message, extra={"code": error.code})
            raise Refused(503, "unavailable", error.code, "Not stored, send it again.") from error
        except TimeoutError as error:
            log.warning("An event could not be accepted within %g s", self._accepting.seconds)
            raise Refused(503, "unavailable", "database_unavailable", "Not stored, send it again.") from error
