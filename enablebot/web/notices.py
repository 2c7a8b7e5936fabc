"""What a person reads when something does not work: what happened, why, and what they can do about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from enablebot.web import paths


@dataclass(frozen=True, slots=True)
class Action:
    label: str
    href: str


HOME = Action("Go to the start page", paths.HOME)
INSTALL = Action("Add to Slack", paths.INSTALL)
INSTALL_AGAIN = Action("Start again", paths.INSTALL)
DASHBOARD = Action("Open the dashboard", paths.DASHBOARD)


@dataclass(frozen=True, slots=True)
class Notice:
    """One page for one outcome; `code` and `status` say the same to programs."""

    code: str
    status: int
    title: str
    happened: str
    why: str
    remedy: str
    actions: tuple[Action, ...] = (HOME,)
    retry_after: int | None = None


class NoticeError(Exception):
    """Ends a request with this page."""

    def __init__(self, notice: Notice) -> None:
        super().__init__(notice.code)
        self.notice = notice


NOT_CONFIGURED = Notice(
    code="slack_not_configured",
    status=503,
    title="This EnableBot is not connected to a Slack app yet",
    happened="Nothing was sent to Slack and nothing was installed.",
    why="The service was started without the id and secret of a Slack app.",
    remedy="If you run this EnableBot: set SLACK_CLIENT_ID and SLACK_CLIENT_SECRET and restart it. "
    "Otherwise tell the person who does.",
)
CANCELLED = Notice(
    code="access_denied",
    status=403,
    title="EnableBot was not added",
    happened="Slack told us that the request was not approved. Nothing was installed and nothing is kept.",
    why="You chose Cancel, or your workspace lets only certain people add apps.",
    remedy="Start again whenever you like. If your workspace requires approval, ask an admin to add EnableBot.",
    actions=(INSTALL_AGAIN, HOME),
)
STATE_MISSING = Notice(
    code="oauth_state_missing",
    status=400,
    title="Start from Add to Slack",
    happened="This page is the last step of adding EnableBot, and it was opened without the steps before it.",
    why="The address was incomplete, or opened directly or from a bookmark.",
    remedy="Start with Add to Slack; Slack brings you back here by itself.",
    actions=(INSTALL, HOME),
)
STATE_REFUSED = Notice(
    code="oauth_state_refused",
    status=400,
    title="This attempt cannot be used any more",
    happened="We could not confirm that this visit belongs to an installation you started in this browser, "
    "so we stopped. Nothing was installed.",
    why="It took more than ten minutes, the page was opened twice, it was started in another browser or private "
    "window, or cookies are blocked.",
    remedy="Start again in this browser and finish within ten minutes. Cookies must be allowed for this site. If you "
    "had finished already, the dashboard is still there.",
    actions=(INSTALL_AGAIN, DASHBOARD),
)
CODE_REFUSED = Notice(
    code="oauth_code_refused",
    status=400,
    title="Slack did not accept this attempt",
    happened="Slack says that the approval it sent along is not valid any more. Nothing was installed.",
    why="An approval works once and for ten minutes; this one was used before or is too old.",
    remedy="Start again. It takes under a minute.",
    actions=(INSTALL_AGAIN, HOME),
)
APP_MISCONFIGURED = Notice(
    code="slack_app_misconfigured",
    status=500,
    title="EnableBot's own Slack settings are wrong",
    happened="Slack refused to talk to this EnableBot, so nothing was installed. You did nothing wrong.",
    why="The client id, the client secret or the redirect address of this service is not the one its Slack app has.",
    remedy="If you run this EnableBot: compare SLACK_CLIENT_ID, SLACK_CLIENT_SECRET and WEB_PUBLIC_URL with the app's "
    "settings at api.slack.com/apps. Otherwise tell the person who does.",
)
ORGANISATION_INSTALLED_ALREADY = Notice(
    code="installed_by_organisation",
    status=409,
    title="Your organisation has EnableBot already",
    happened="Slack did not install it a second time for this workspace.",
    why="It was added for the whole organisation, and such an app is given to workspaces by an organisation admin.",
    remedy="Ask an organisation admin to add your workspace to EnableBot in Slack's admin pages.",
)
EMAIL_UNVERIFIED = Notice(
    code="slack_email_unverified",
    status=403,
    title="Slack wants you to confirm your e-mail first",
    happened="Slack did not let you add an app. Nothing was installed.",
    why="The e-mail address of your Slack account is not confirmed yet.",
    remedy="Open the confirmation mail from Slack, then start again.",
    actions=(INSTALL_AGAIN, HOME),
)
NO_BOT = Notice(
    code="oauth_no_bot",
    status=502,
    title="Slack gave no access for the bot",
    happened="You approved, but what Slack sent back holds no access for EnableBot's bot user. Nothing was installed.",
    why="The bot's permissions were left out of the approval, or the Slack app of this service has no bot user.",
    remedy="Start again and keep the permissions that Slack lists. If it happens again, the person who runs this "
    "EnableBot should create the Slack app from EnableBot's manifest.",
    actions=(INSTALL_AGAIN, HOME),
)
SLACK_REFUSED = Notice(
    code="slack_refused",
    status=502,
    title="Slack refused the installation",
    happened="Slack answered, but with a refusal. Nothing was installed.",
    why="The exact reason is in the log of this service, under the reference below.",
    remedy="Start again. If it happens a second time, give the reference to the person who runs this EnableBot.",
    actions=(INSTALL_AGAIN, HOME),
)
SLACK_BUSY = Notice(
    code="slack_rate_limited",
    status=503,
    title="Slack asks us to wait a moment",
    happened="Slack is limiting how often it answers us, so this attempt ended. Nothing was installed.",
    why="Too many requests reached Slack from this service within a short time.",
    remedy="Wait a minute, then start again.",
    actions=(INSTALL_AGAIN, HOME),
    retry_after=60,
)
SLACK_SILENT = Notice(
    code="slack_unreachable",
    status=502,
    title="Slack did not answer",
    happened="We asked Slack to finish the installation and got no usable answer.",
    why="Slack, or the network between us and Slack, has a problem at the moment.",
    remedy="Wait a minute and start again; starting again is safe even if the first attempt went through. "
    "slack-status.com says whether Slack itself has trouble.",
    actions=(INSTALL_AGAIN, HOME),
    retry_after=60,
)
NOT_SIGNED_IN = Notice(
    code="not_signed_in",
    status=401,
    title="You are not signed in",
    happened="This page belongs to a workspace, and this browser has no valid session for one.",
    why="A session ends after 30 minutes without use, after 12 hours, when you sign out, or when EnableBot is removed "
    "from the workspace.",
    remedy="Go through Add to Slack again: it changes nothing in a workspace that has EnableBot, and signs you in.",
    actions=(INSTALL, HOME),
)
FOREIGN_REQUEST = Notice(
    code="foreign_request",
    status=403,
    title="This was not sent from EnableBot's own page",
    happened="We did not carry out the request. Nothing has changed.",
    why="Another site may have tried to act in your name, or the page had been open since before you last signed in.",
    remedy="Open the dashboard again and repeat what you wanted to do there.",
    actions=(DASHBOARD, HOME),
)
TRY_LATER = Notice(
    code="database_unavailable",
    status=503,
    title="EnableBot cannot reach its database",
    happened="Your request was not carried out.",
    why="The database is restarting, overloaded or not set up yet.",
    remedy="Wait a minute and try again. If it stays like this, the person who runs this EnableBot should look at "
    "/ready.",
)
INTERNAL_ERROR = Notice(
    code="internal_error",
    status=500,
    title="Something broke on our side",
    happened="An unexpected error ended your request.",
    why="This is a fault in EnableBot, not something you did.",
    remedy="Try again. If it happens a second time, give the reference below to the person who runs this EnableBot.",
)

_BY_STATUS: Mapping[int, Notice] = {
    400: Notice(
        code="bad_request",
        status=400,
        title="We could not read this request",
        happened="Nothing was changed.",
        why="Something in the address or in what was sent is not what this page expects.",
        remedy="Go back and try again from the page you came from.",
    ),
    404: Notice(
        code="not_found",
        status=404,
        title="There is no such page",
        happened="We looked and found nothing at this address.",
        why="The link is mistyped, or leads to something that is gone or belongs to another workspace.",
        remedy="Check the address, or begin at the start page.",
    ),
    405: Notice(
        code="method_not_allowed",
        status=405,
        title="This address does not work that way",
        happened="The request was not carried out. Nothing has changed.",
        why="It was opened in a way this address does not offer, for example typed in instead of by its button.",
        remedy="Go back and use the button or link on the page.",
    ),
    413: Notice(
        code="too_large",
        status=413,
        title="That was too much at once",
        happened="We stopped reading the request. Nothing has changed.",
        why="It is larger than any form on these pages can be.",
        remedy="Go back and try again from the page you came from.",
    ),
    422: Notice(
        code="unprocessable",
        status=422,
        title="Something in this address is not valid",
        happened="We did not use it. Nothing has changed.",
        why="A value is too long or has the wrong form; the link may have been cut or altered on its way.",
        remedy="Go back and try again from the page you came from.",
    ),
}

# Slack's error codes: of the consent page (in the redirect) and of oauth.v2.access.
_BY_SLACK_CODE: Mapping[str, Notice] = {
    "access_denied": CANCELLED,
    "unapproved_scope": CANCELLED,
    "scope_not_allowed_on_enterprise": CANCELLED,
    "invalid_code": CODE_REFUSED,
    "code_already_used": CODE_REFUSED,
    "bad_client_secret": APP_MISCONFIGURED,
    "invalid_client_id": APP_MISCONFIGURED,
    "invalid_client": APP_MISCONFIGURED,
    "bad_redirect_uri": APP_MISCONFIGURED,
    "oauth_authorization_url_mismatch": APP_MISCONFIGURED,
    "invalid_scope": APP_MISCONFIGURED,
    "invalid_team_for_non_distributed_app": APP_MISCONFIGURED,
    "no_scopes": NO_BOT,
    "cannot_install_an_org_installed_app": ORGANISATION_INSTALLED_ALREADY,
    "user_email_unverified": EMAIL_UNVERIFIED,
}


def notice_for_slack_code(slack_code: str | None) -> Notice:
    return _BY_SLACK_CODE.get(slack_code or "", SLACK_REFUSED)


def notice_for(status: int, code: str, message: str) -> Notice:
    """The page for an error that no step of a flow has named better; `message` is the error's own word for people."""
    if status == 503:
        return TRY_LATER
    if status >= 500:
        return INTERNAL_ERROR
    return _BY_STATUS.get(status) or Notice(
        code=code,
        status=status,
        title="That did not work",
        happened=message,
        why="This service cannot do what was asked at this address, or not for you.",
        remedy="Go back and try again from the page you came from.",
    )
