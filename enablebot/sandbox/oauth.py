"""The consent page: `/oauth/v2/authorize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from enablebot.sandbox.borders import is_cross_origin
from enablebot.sandbox.manifest import APP_NAME, SCOPES
from enablebot.sandbox.refusal import Refused

if TYPE_CHECKING:
    from enablebot.sandbox.sandbox import Sandbox

# No form-action here: browsers apply it to the redirect that follows the form, which leads to the app.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    # no-referrer would have the browser send the form with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_EXPLANATIONS = {
    "invalid_client_id": "No app here has this client id. Set SLACK_CLIENT_ID to the one the sandbox was started with.",
    "bad_redirect_uri": "The link's redirect address is not the one configured for this app.",
    "invalid_scope": "The link asks for scopes that do not exist, or for none.",
    "invalid_request": "This page was used already, or it is older than ten minutes. Start again from the app.",
    "user_not_found": "That person is not a member of that workspace.",
}


def consent_routes(sandbox: Sandbox) -> list[Route]:
    """The page with its Allow and Cancel buttons, and the form behind them."""
    pages = jinja2.Environment(loader=jinja2.PackageLoader("enablebot.sandbox", "templates"), autoescape=True)
    consent, refusal = pages.get_template("consent.html"), pages.get_template("refusal.html")

    def refuse(refused: Refused) -> Response:
        page = refusal.render(
            error=refused.error, explanation=_EXPLANATIONS.get(refused.error, ""), detail=refused.extra.get("detail")
        )
        return HTMLResponse(page, status_code=400, headers=_HEADERS)

    async def show(request: Request) -> Response:
        try:
            asked = sandbox.granting.ask(dict(request.query_params))
        except Refused as refused:
            return refuse(refused)
        if not asked.state:
            sandbox.violated("missing_state", "an authorize link carried no state")
        teams = [
            {"id": team.id, "name": team.name, "people": sandbox.people_of(team.id), "chosen": team.id == asked.team}
            for team in sandbox.world.teams.values()
        ]
        page = consent.render(
            app=APP_NAME, request=asked, teams=teams, scopes=[(scope, SCOPES[scope]) for scope in asked.scopes]
        )
        return HTMLResponse(page, headers=_HEADERS)

    async def decide(request: Request) -> Response:
        if is_cross_origin(request):
            return refuse(Refused("invalid_request", detail="the form was sent from another site"))
        form = {name: str(value) for name, value in (await request.form()).items()}
        # One field names both, so that the page needs no script to offer only a workspace's own people.
        team, _, user = form.get("member", "").partition("/")
        try:
            target = sandbox.granting.decide(
                form.get("request", ""), team=team, user=user, allow=form.get("decision") == "allow"
            )
        except Refused as refused:
            return refuse(refused)
        return RedirectResponse(target, status_code=302, headers=_HEADERS)

    return [
        Route("/oauth/v2/authorize", show, methods=["GET"]),
        Route("/oauth/v2/authorize", decide, methods=["POST"]),
    ]
