"""`/dashboard`: is EnableBot in place, may it do what it needs, and what to try first."""

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from enablebot.config.settings import SLACK_BASE_URL
from enablebot.shared.database.models import OverviewRow
from enablebot.web import paths
from enablebot.web.dashboard.moment import Moment, moment
from enablebot.web.dashboard.scopes import ScopeWords, granted_in_words, missing_in_words
from enablebot.web.dashboard.session import SentForm, SignedIn, form_token, sign_out
from enablebot.web.house import InHouse
from enablebot.web.notices import NOT_SIGNED_IN, Action, NoticeError

routes = APIRouter()


@dataclass(frozen=True, slots=True)
class Status:
    """One of the things that can be said of an installation, and the one thing to do about it."""

    is_well: bool
    headline: str
    explanation: str
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """`is_done` is None where nothing tells us whether it was done."""

    title: str
    text: str
    examples: tuple[str, ...]
    is_done: bool | None = None


@dataclass(frozen=True, slots=True)
class OverviewPage:
    workspace: str
    is_organisation: bool
    status: Status
    added: Moment | None
    last_event: Moment | None
    last_answer: Moment | None
    answered: int
    failed: int
    waiting: int
    steps: tuple[Step, ...]
    granted: tuple[ScopeWords, ...]
    missing: tuple[ScopeWords, ...]


@routes.api_route(paths.DASHBOARD, methods=["GET", "HEAD"])
async def show_overview(house: InHouse, viewer: SignedIn) -> Response:
    """The page of the viewer's own workspace; no address and no form names another."""
    row = await house.database.get_overview(tenant_id=viewer.tenant_id)
    if row is None:
        raise NoticeError(NOT_SIGNED_IN)
    page = overview_page(row, now=datetime.now(UTC), slack_url=house.settings.slack.base_url)
    return house.pages.render("dashboard.html", {"page": page, "csrf_token": form_token(house, viewer)})


@routes.post(paths.LOGOUT)
async def log_out(house: InHouse, viewer: SentForm) -> Response:
    response = RedirectResponse(f"{paths.HOME}?signed-out", status_code=303)
    await sign_out(house, response, viewer)
    return response


def overview_page(row: OverviewRow, *, now: datetime, slack_url: str) -> OverviewPage:
    """What the template shows of a workspace; `slack_url` is where its people talk."""
    installation = row.installation if row.installation is not None and row.installation.status == "active" else None
    granted = () if installation is None else installation.scopes
    missing = () if installation is None else missing_in_words(granted)
    return OverviewPage(
        workspace=row.tenant.name or row.tenant.team_id or row.tenant.enterprise_id or "Your workspace",
        is_organisation=row.tenant.kind == "organisation",
        status=_status(row, missing, slack_url),
        added=None if installation is None else moment(installation.installed_at, now=now),
        last_event=moment(row.last_event_at, now=now),
        last_answer=moment(row.last_answer_at, now=now),
        answered=row.answered,
        failed=row.failed + row.set_aside,
        waiting=row.waiting,
        steps=_steps(has_answered=row.answered > 0),
        granted=granted_in_words(granted),
        missing=missing,
    )


def _status(row: OverviewRow, missing: tuple[ScopeWords, ...], slack_url: str) -> Status:
    installation = row.installation
    if installation is None or installation.status != "active" or row.tenant.status == "uninstalled":
        return Status(
            is_well=False,
            headline="EnableBot is not in this workspace any more",
            explanation="It was removed in Slack, or Slack ended its access. It reads and answers nothing here.",
            action=Action("Add it again", paths.INSTALL),
        )
    if row.tenant.status == "paused":
        return Status(
            is_well=False,
            headline="EnableBot is paused",
            explanation="The people who run this EnableBot have paused it for your workspace. It does not answer now.",
        )
    if missing:
        count = "One permission is" if len(missing) == 1 else f"{len(missing)} permissions are"
        return Status(
            is_well=False,
            headline=f"{count} missing",
            explanation="EnableBot is installed, but part of it cannot work yet. The list below says which part.",
            action=Action("Grant what is missing", paths.INSTALL),
        )
    if row.tenant.kind == "organisation":
        return Status(
            is_well=True,
            headline="EnableBot is approved for the organisation",
            explanation="One step is left, in Slack: choose the workspaces that get it. It starts to work in each of "
            "them at once.",
            action=Action(
                "Choose workspaces in Slack", _workspaces_address(row.tenant.enterprise_id, installation.app_id)
            ),
        )
    return Status(
        is_well=True,
        headline="EnableBot is in place",
        explanation="Every permission is granted, and Slack's messages arrive."
        if row.last_event_at is not None
        else "Every permission is granted. Nobody has written to it yet: be the first.",
        action=Action("Open it in Slack", _talking_address(row.tenant.team_id, installation.app_id, slack_url)),
    )


def _workspaces_address(enterprise_id: str | None, app_id: str) -> str:
    # Source: https://docs.slack.dev/enterprise/, where an organisation's admin adds workspaces to an app.
    enterprise, app = quote(enterprise_id or "", safe=""), quote(app_id, safe="")
    return f"https://app.slack.com/manage/{enterprise}/integrations/profile/{app}/workspaces/add"


def _talking_address(team_id: str | None, app_id: str, slack_url: str) -> str:
    # Source: https://docs.slack.dev/interactivity/deep-linking/. Only Slack itself knows the way to an app.
    if slack_url != SLACK_BASE_URL:
        return f"{slack_url}/"
    return f"{slack_url}/app_redirect?{urlencode({'app': app_id, 'team': team_id or ''})}"


def _steps(*, has_answered: bool) -> tuple[Step, ...]:
    return (
        Step(
            title="Ask it something",
            text="In Slack, open EnableBot under Apps and send it a question. You can watch the answer being written.",
            examples=("What can you help me with?", "Explain the difference between a gross and a net salary"),
            is_done=has_answered,
        ),
        Step(
            title="Bring it into a channel",
            text="Pick a channel where people ask questions. Send the first line there, then the second.",
            examples=("/invite @EnableBot", "@EnableBot draft a friendly reminder about Friday's deadline"),
        ),
        Step(
            title="Go on in the thread",
            text="It answered in a thread and remembers it. No need to mention it again.",
            examples=("Shorter, please, and a little more cheerful",),
        ),
    )
