"""The peer: Bolt for Python behind FastAPI, whose listener says one sentence.

`python -m benchmarks.answering.saying` serves it in a process of its own.
"""

import argparse
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from slack_bolt.adapter.fastapi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.accepting.signed import PATH, SIGNING_SECRET, bot_of
from benchmarks.answering.stand_ins import TEXT


def app_for(slack_url: str) -> FastAPI:
    """Bolt that looks its workspaces up in a dict, the least it can cost, and answers what it is asked."""

    async def authorize(team_id: str) -> AuthorizeResult:
        return AuthorizeResult(
            enterprise_id=None, team_id=team_id, bot_user_id=bot_of(team_id), bot_id="B1", bot_token="xoxb-1"
        )

    client = AsyncWebClient(base_url=f"{slack_url}/api/")
    bolt = AsyncApp(signing_secret=SIGNING_SECRET, client=client, authorize=authorize)

    async def answer(event: dict[str, Any], say: Any) -> None:
        await say(text=TEXT, thread_ts=event["ts"])

    bolt.event("app_mention")(answer)
    bolt.event("message")(answer)
    handler = AsyncSlackRequestHandler(bolt)
    app = FastAPI(openapi_url=None)

    @app.post(PATH)
    async def events(request: Request) -> Any:
        return await handler.handle(request)

    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slack-url", required=True)
    options = parser.parse_args()
    uvicorn.run(app_for(options.slack_url), host="127.0.0.1", port=options.port, access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
