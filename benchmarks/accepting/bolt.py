"""Bolt for Python behind FastAPI, as its documentation shows it, in its two ways to know whom it speaks for.

`from_memory`: authorize answers from a dict, the least it can cost. `from_store`: slack_sdk's SQLAlchemy store on
Postgres over asyncpg, with Bolt's cache of auth.test on. Neither keeps an event: the listener returns at once.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from slack_bolt.adapter.fastapi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncInstallationStoreAuthorize
from slack_sdk.oauth.installation_store import Installation
from slack_sdk.oauth.installation_store.sqlalchemy import AsyncSQLAlchemyInstallationStore
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.accepting.signed import PATH, SIGNING_SECRET, TEAMS, bot_of


def from_memory() -> FastAPI:
    """Bolt that looks its workspaces up in a dict."""
    known = {
        team: AuthorizeResult(
            enterprise_id=None, team_id=team, bot_user_id=bot_of(team), bot_id=f"B{team}", bot_token=f"xoxb-{team}"
        )
        for team in TEAMS
    }

    async def authorize(team_id: str) -> AuthorizeResult:
        return known[team_id]

    return _behind_fastapi(AsyncApp(signing_secret=SIGNING_SECRET, authorize=authorize))


def from_store(database_url: str, slack_url: str) -> FastAPI:
    """Bolt that asks its SQLAlchemy store at every event; the store is filled when the app starts."""
    engine = create_async_engine(database_url, pool_size=20, max_overflow=0)
    store = AsyncSQLAlchemyInstallationStore(client_id="1.1", engine=engine)
    client = AsyncWebClient(base_url=f"{slack_url}/api/")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(store.metadata.create_all)
        for team in TEAMS:
            await store.async_save(_installation(team))
        yield
        await engine.dispose()

    authorize = AsyncInstallationStoreAuthorize(
        logger=logging.getLogger("bolt"), installation_store=store, client=client, cache_enabled=True
    )
    return _behind_fastapi(
        # Its type says a function; it takes an AsyncAuthorize just as well.
        AsyncApp(signing_secret=SIGNING_SECRET, client=client, authorize=authorize),  # type: ignore[arg-type]
        lifespan=lifespan,
    )


def _installation(team: str) -> Installation:
    return Installation(
        app_id="A0BENCHMARK",
        team_id=team,
        user_id="U0INSTALLER",
        bot_token=f"xoxb-{team}",
        bot_id=f"B{team}",
        bot_user_id=bot_of(team),
        bot_scopes=["app_mentions:read", "chat:write"],
    )


def _behind_fastapi(bolt: AsyncApp, *, lifespan: Any = None) -> FastAPI:
    @bolt.event("app_mention")
    async def keep_nothing() -> None:
        return None

    handler = AsyncSlackRequestHandler(bolt)
    app = FastAPI(openapi_url=None, lifespan=lifespan)

    @app.post(PATH)
    async def events(request: Request) -> Any:
        return await handler.handle(request)

    return app
