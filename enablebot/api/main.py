"""The api service, wired: Slack's door in front of a small web app, and everything both stand on."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from enablebot import __version__
from enablebot.api.answering.model import Model, OpenAIModel
from enablebot.api.answering.service import AnsweringService
from enablebot.api.knowledge.fetch import SlackFiles
from enablebot.api.knowledge.ingest import Ingest
from enablebot.api.knowledge.vectors import Vectors
from enablebot.api.outage import SlackOutage
from enablebot.api.rest.desk import Desk
from enablebot.api.rest.mounting import LARGER_BODIES, mount
from enablebot.api.rest.quotas import QuotaHeaders
from enablebot.api.slack.acceptance import Acceptance
from enablebot.api.slack.endpoints import SlackEndpoints, not_now
from enablebot.api.slack.handlers.dispatch import Dispatch
from enablebot.api.slack.handlers.file_steps import Steps
from enablebot.api.slack.handlers.files import Files
from enablebot.api.slack.intake import Intake
from enablebot.api.slack.managers import Managers
from enablebot.api.slack.socket import SocketListener
from enablebot.api.upkeep import Upkeep
from enablebot.api.worker import Worker
from enablebot.config.settings import Settings
from enablebot.shared.database.config import open_database
from enablebot.shared.database.operations import Database
from enablebot.shared.database.readiness import SchemaCheck
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import SettingsError
from enablebot.shared.health import Pings, health_endpoint, ready_endpoint
from enablebot.shared.http import protect
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.embedding import Embedder, embedder_for
from enablebot.shared.knowledge.library import Library, open_library
from enablebot.shared.knowledge.search import Search
from enablebot.shared.metrics import Metrics, metrics_endpoint
from enablebot.shared.sensitive import Sensitive
from enablebot.shared.slack.client import SlackClients

EVENTS_PATH = "/slack/events"
INTERACTIONS_PATH = "/slack/interactions"


@dataclass(frozen=True, slots=True)
class Services:
    """What a running api consists of."""

    database: Database
    slack: SlackClients
    model: Model
    installations: Installations
    library: Library
    search: Search
    embedder: Embedder | None
    intake: Intake
    worker: Worker
    endpoints: SlackEndpoints
    metrics: Metrics
    socket: SocketListener | None = None


class Api:
    """The ASGI app: Slack's two addresses are answered at once, everything else goes through FastAPI."""

    def __init__(self, web: FastAPI) -> None:
        self._web = web
        self._services: Services | None = None

    @property
    def state(self) -> object:
        """What the server looks at: `state.pings`."""
        return self._web.state

    @property
    def web(self) -> FastAPI:
        """The routes that are not Slack's."""
        return self._web

    @property
    def services(self) -> Services:
        """What is open while the lifespan runs."""
        if self._services is None:
            raise RuntimeError("The api is not running: its lifespan has not begun, or has ended")
        return self._services

    @services.setter
    def services(self, services: Services | None) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take Slack's addresses here, hand the rest on."""
        if scope["type"] != "http" or scope["path"] not in (EVENTS_PATH, INTERACTIONS_PATH):
            await self._web(scope, receive, send)
        elif self._services is None:
            await not_now(send)
        elif scope["path"] == EVENTS_PATH:
            await self._services.endpoints.events(scope, receive, send)
        else:
            await self._services.endpoints.interactions(scope, receive, send)


def create_app(
    settings: Settings,
    *,
    database: Database | None = None,
    slack: SlackClients | None = None,
    model: Model | None = None,
) -> Api:
    """The service. What is handed in stays the caller's to close; the rest is opened with the lifespan.

    Raises SettingsError when there is no master key.
    """
    if settings.encryption.keys is None:
        raise SettingsError(["ENCRYPTION_KEYS is missing. Set it; in development it is made for you."])
    keyring = Keyring.parse(settings.encryption.keys.get_secret_value())
    metrics, pings = Metrics(), Pings()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            api.services = services = await _open(
                settings, opened, keyring=keyring, metrics=metrics, database=database, slack=slack, model=model
            )
            pings.add("database", SchemaCheck(services.database))
            if services.socket is not None:
                pings.on_drain(services.socket.aclose)
            pings.on_drain(lambda: services.worker.drain(settings.worker.drain_seconds / 2))
            web.state.desk = Desk(
                services.database,
                services.installations,
                services.library,
                services.search,
                trusted_proxy=settings.http.trusted_proxy,
                on_queued=services.worker.wake_documents,
            )
            yield
            web.state.desk = api.services = None

    is_open = not settings.is_production or settings.access.openapi_public
    web = FastAPI(
        title="EnableBot",
        version=__version__,
        lifespan=lifespan,
        openapi_url="/openapi.json" if is_open else None,
        docs_url=None,
        redoc_url=None,
        # An address is what it is: a redirect would be one more answer that a client has to expect.
        redirect_slashes=False,
    )
    figures = metrics_endpoint(metrics, token=settings.access.metrics_token, is_production=settings.is_production)
    for path, endpoint in (("/health", health_endpoint), ("/ready", ready_endpoint(pings)), ("/metrics", figures)):
        web.add_route(path, endpoint, methods=["GET"])
    web.state.pings = pings
    error_form = mount(web, public_url=settings.http.api_public_url)
    protect(
        web,
        public_url=settings.http.api_public_url,
        has_pages=False,
        error_form=error_form,
        larger_bodies=LARGER_BODIES,
    )
    web.add_middleware(QuotaHeaders)
    api = Api(web)
    return api


async def _open(
    settings: Settings,
    opened: AsyncExitStack,
    *,
    keyring: Keyring,
    metrics: Metrics,
    database: Database | None,
    slack: SlackClients | None,
    model: Model | None,
) -> Services:
    """Open everything in the order in which it is needed; `opened` closes it the other way round."""
    opened_here = database is None
    if database is None:
        database = await open_database(
            settings.database,
            role="api",
            migrate_first=settings.environment == "development",
            on_login=metrics.database_login_strength.set,
        )
        opened.push_async_callback(database.aclose)
    outage = SlackOutage(metrics, time_scale=settings.worker.time_scale)
    if slack is None:

        def note_call(method: str, outcome: str) -> None:
            metrics.slack_calls.labels(method, outcome).inc()
            outage.note_call(method, outcome)

        slack = SlackClients(base_url=settings.slack.base_url, on_call=note_call)
        await slack.open()
        opened.push_async_callback(slack.aclose)
    if model is None:
        model = OpenAIModel(settings.model)
        opened.push_async_callback(model.aclose)
    installations = Installations(database, keyring)
    if opened_here:
        await installations.refuse_missing_keys()
    library = await open_library(settings, database, installations)
    opened.push_async_callback(library.aclose)
    embedder = embedder_for(settings.model)
    if embedder is not None:
        opened.push_async_callback(embedder.aclose)
    answering = AnsweringService(
        database, installations, slack, model, settings.model, metrics, time_scale=settings.worker.time_scale
    )
    slack_files = SlackFiles(base_url=settings.slack.base_url)
    await slack_files.open()
    opened.push_async_callback(slack_files.aclose)
    files = Files(
        Steps(database),
        slack,
        answering,
        library=library,
        slack_files=slack_files,
        managers=Managers(slack),
        wake=lambda: worker.wake_documents(),  # noqa: PLW0108 - the worker is made from what this is part of
    )
    dispatch = Dispatch(database, installations, slack, answering, metrics=metrics, files=files)
    vectors = None
    if embedder is not None:
        vectors = Vectors(database, embedder, metrics=metrics, time_scale=settings.worker.time_scale)
        opened.push_async_callback(vectors.aclose)
    ingest = Ingest(
        database,
        library,
        vectors,
        metrics=metrics,
        without_walls=settings.reader.without_walls,
        time_scale=settings.worker.time_scale,
    )
    worker = Worker(database, dispatch, settings.worker, metrics=metrics, outage=outage, documents=ingest)
    intake = Intake(database, installations, on_accepted=worker.wake)
    upkeep = Upkeep(database, metrics, purge_documents=library.purge)
    opened.push_async_callback(upkeep.aclose)
    opened.push_async_callback(worker.drain, settings.worker.drain_seconds / 2)
    opened.push_async_callback(intake.aclose)
    socket = None
    if settings.slack.app_token is not None:
        app_token = Sensitive(settings.slack.app_token.get_secret_value())
        dial = slack.connect_socket
        socket = SocketListener(lambda: dial(app_token), Acceptance(intake), metrics=metrics)
        opened.push_async_callback(socket.aclose)
        socket.start()
    worker.start()
    upkeep.start()
    if vectors is not None:
        vectors.start()
    return Services(
        database=database,
        slack=slack,
        model=model,
        installations=installations,
        library=library,
        search=Search(database, embedder),
        embedder=embedder,
        intake=intake,
        worker=worker,
        endpoints=SlackEndpoints(
            intake,
            signing_secrets=[secret.get_secret_value() for secret in settings.slack.signing_secrets],
            metrics=metrics,
        ),
        metrics=metrics,
        socket=socket,
    )
