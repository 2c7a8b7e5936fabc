"""`/`: what EnableBot is, and the way to add it. Needs neither database nor Slack."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from enablebot.web import paths
from enablebot.web.house import InHouse

routes = APIRouter()


@routes.api_route(paths.HOME, methods=["GET", "HEAD"])
async def show_landing(request: Request, house: InHouse) -> Response:
    """The cookie alone decides whether the dashboard is offered; the dashboard itself decides who may in."""
    signed_out = "signed-out" in request.query_params
    context = {"has_session": not signed_out and house.cookies.session.is_sent(request), "signed_out": signed_out}
    return house.pages.render("index.html", context)
