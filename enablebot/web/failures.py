"""What ends a request, as a page for people; programs get the error body that every service of ours gives."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from enablebot.shared.http import ErrorView, protect
from enablebot.shared.logging import bound
from enablebot.web.cookies import Cookies
from enablebot.web.notices import NOT_SIGNED_IN, NoticeError, notice_for
from enablebot.web.pages import Pages

_log = logging.getLogger(__name__)


def answer_failures(
    app: FastAPI, *, pages: Pages, cookies: Cookies, public_url: str, larger_bodies: Mapping[str, int]
) -> None:
    """Give the app its headers, its error pages, and a page for every notice.

    `larger_bodies` are the addresses that may be sent more than 1 MB, and how many bytes.
    """

    def draw(request: Request, view: ErrorView) -> Response:
        return pages.notice(notice_for(view.status, view.code, view.message), request_id=view.request_id)

    async def show_notice(request: Request, error: Exception) -> Response:
        assert isinstance(error, NoticeError)
        notice, request_id = error.notice, bound().get("request_id", "")
        _log.info("%s %s ended with %s", request.method, request.url.path, notice.code)
        response: Response
        if wants_json(request):
            body = {"code": notice.code, "message": f"{notice.happened} {notice.remedy}", "request_id": request_id}
            response = JSONResponse({"error": body}, status_code=notice.status)
        else:
            response = pages.notice(notice, request_id=request_id)
        if notice.retry_after is not None:
            response.headers["Retry-After"] = str(notice.retry_after)
        if notice is NOT_SIGNED_IN and cookies.session.is_sent(request):
            cookies.session.clear(response)
        return response

    app.add_exception_handler(NoticeError, show_notice)
    protect(app, public_url=public_url, has_pages=True, error_page=draw, larger_bodies=larger_bodies)


def wants_json(request: Request) -> bool:
    """Notices belong to addresses that people open: only who asks for JSON and not for a page gets it."""
    accepted = request.headers.get("accept", "").lower()
    return "application/json" in accepted and "text/html" not in accepted
