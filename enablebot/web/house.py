"""What the routes of this service are handed: everything that one process opened."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends
from starlette.requests import Request

from enablebot.config.settings import Settings
from enablebot.shared.database.operations import Database
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.search import Search
from enablebot.shared.metrics import Metrics
from enablebot.shared.sensitive import Sensitive
from enablebot.web.calling import SlackCalls
from enablebot.web.cookies import Cookies
from enablebot.web.dashboard.knowledge_channels import ChannelBook
from enablebot.web.pages import Pages


@dataclass(frozen=True, slots=True)
class SlackApp:
    """How Slack knows us."""

    client_id: str
    client_secret: Sensitive[str]


@dataclass(frozen=True, slots=True)
class House:
    """`slack_app` is None where no credentials are set, which only development allows."""

    settings: Settings
    database: Database
    slack: SlackCalls
    slack_app: SlackApp | None
    installations: Installations
    library: Library
    search: Search
    channels: ChannelBook
    metrics: Metrics
    pages: Pages
    cookies: Cookies
    form_key: Sensitive[bytes]

    @property
    def public_url(self) -> str:
        """Where browsers reach us. Never taken from a request: a Host header is anybody's to write."""
        return self.settings.http.web_public_url


def house_of(request: Request) -> House:
    return cast("House", request.state.house)


InHouse = Annotated[House, Depends(house_of)]
