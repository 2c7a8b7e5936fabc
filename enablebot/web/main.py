"""The web service, wired: everything it opens, and the routes in front of it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from enablebot.config.settings import Settings
from enablebot.shared.database.config import open_database
from enablebot.shared.database.readiness import SchemaCheck
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError
from enablebot.shared.health import Pings, health_endpoint, ready_endpoint
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.embedding import embedder_for
from enablebot.shared.knowledge.library import open_library
from enablebot.shared.knowledge.search import Search
from enablebot.shared.metrics import Metrics, metrics_endpoint
from enablebot.shared.sensitive import Sensitive
from enablebot.web import auth, landing, paths
from enablebot.web.assets import Assets, static_routes
from enablebot.web.calling import SlackCalls
from enablebot.web.cookies import cookies_for
from enablebot.web.dashboard import knowledge, knowledge_document, knowledge_search, overview
from enablebot.web.dashboard.knowledge_channels import ChannelBook
from enablebot.web.dashboard.knowledge_upload import LARGEST_UPLOAD_BYTES
from enablebot.web.dashboard.session import ABSOLUTE_SECONDS
from enablebot.web.failures import answer_failures
from enablebot.web.house import House, SlackApp
from enablebot.web.pages import Pages

if TYPE_CHECKING:
    from enablebot.shared.database.operations import Database
    from enablebot.shared.slack.client import SlackClients


def create_app(
    settings: Settings,
    *,
    database: "Database | None" = None,
    slack: "SlackClients | None" = None,
    model: object | None = None,
) -> FastAPI:
    """The service. What is handed in stays the caller's to close; the rest is opened here.

    `model` is api's door, which this service has no use for. Raises SettingsError when a secret it needs is missing.
    """
    keyring, form_key = _secrets(settings)
    metrics, pings, assets = Metrics(), Pings(), Assets()
    pages = Pages(assets)
    cookies = cookies_for(
        settings.http.web_public_url, oauth_seconds=auth.STATE_SECONDS, session_seconds=ABSOLUTE_SECONDS
    )

    def count_call(method: str, outcome: str) -> None:
        metrics.slack_calls.labels(method=method, outcome=outcome).inc()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, House]]:
        async with AsyncExitStack() as opened:
            if database is None:
                migrate_first = settings.environment == "development"
                data = await open_database(
                    settings.database,
                    role="web",
                    migrate_first=migrate_first,
                    on_login=metrics.database_login_strength.set,
                )
                opened.push_async_callback(data.aclose)
            else:
                data = database
            installations = Installations(data, keyring)
            if database is None:
                await installations.refuse_missing_keys()
            library = await open_library(settings, data, installations)
            opened.push_async_callback(library.aclose)
            embedder = embedder_for(settings.model)
            if embedder is not None:
                opened.push_async_callback(embedder.aclose)
            pings.add("database", SchemaCheck(data))
            calls = SlackCalls(base_url=settings.slack.base_url, on_call=count_call, given=slack)
            opened.push_async_callback(calls.aclose)
            yield {
                "house": House(
                    settings=settings,
                    database=data,
                    slack=calls,
                    slack_app=_slack_app(settings),
                    installations=installations,
                    library=library,
                    search=Search(data, embedder),
                    channels=ChannelBook(calls, installations),
                    metrics=metrics,
                    pages=pages,
                    cookies=cookies,
                    form_key=form_key,
                )
            }

    # A tidied address would be a redirect to whatever the Host header says.
    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(landing.routes)
    app.include_router(auth.routes)
    app.include_router(overview.routes)
    # The search before the documents: its address looks like one of theirs.
    for room in (knowledge, knowledge_search, knowledge_document):
        app.include_router(room.routes)
    app.include_router(static_routes(assets))
    figures = metrics_endpoint(metrics, token=settings.access.metrics_token, is_production=settings.is_production)
    for path, endpoint in (("/health", health_endpoint), ("/ready", ready_endpoint(pings)), ("/metrics", figures)):
        app.add_route(path, endpoint, methods=["GET"])
    app.state.pings = pings
    answer_failures(
        app,
        pages=pages,
        cookies=cookies,
        public_url=settings.http.web_public_url,
        larger_bodies={paths.KNOWLEDGE: LARGEST_UPLOAD_BYTES},
    )
    return app


def _secrets(settings: Settings) -> tuple[Keyring, Sensitive[bytes]]:
    keys, secret = settings.encryption.keys, settings.session.secret
    if keys is None or secret is None:
        missing = [name for name, value in (("ENCRYPTION_KEYS", keys), ("SESSION_SECRET", secret)) if value is None]
        raise SettingsError(f"{name} is missing. Set it; in development it is made for you." for name in missing)
    return Keyring.parse(keys.get_secret_value()), Sensitive(secret.get_secret_value().encode())


def _slack_app(settings: Settings) -> SlackApp | None:
    client_id, client_secret = settings.slack.client_id, settings.slack.client_secret
    if client_id is None or client_secret is None:
        return None
    return SlackApp(client_id, Sensitive(client_secret.get_secret_value()))
