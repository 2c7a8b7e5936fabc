"""Slack: reachable, our credentials, the way its events take to us, and the workspaces' tokens."""

from enablebot.config.settings import SLACK_BASE_URL, Settings
from enablebot.doctor.asking import Silent, ask, unreachable
from enablebot.doctor.findings import Finding, Level
from enablebot.shared.database.models import TenantRow
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import EnableBotError, SlackTokenDead, WallBreached
from enablebot.shared.installations import Installations
from enablebot.shared.models.installation import missing_scopes
from enablebot.shared.slack.client import SlackClients

_ASKED_TENANTS = 3
_NAMED_TENANTS = 10
_PAGE = 500


async def examine_slack(settings: Settings) -> tuple[list[Finding], float | None]:
    """Findings about the app and the way to it, and our clock minus Slack's, in seconds."""
    slack = settings.slack
    findings = [] if _names_app(settings) else [_no_credentials()]
    if is_played(settings):
        return findings, None
    try:
        answer = await ask("POST", f"{slack.api_url}auth.test")
    except Silent as silence:
        return [*findings, unreachable("slack", slack.base_url, silence)], None
    if answer.status != 200 or answer.body.get("error") != "not_authed":
        odd = Finding(
            "slack",
            "warning",
            f"{slack.base_url} answered {answer.status} in an unexpected way",
            "Look at SLACK_BASE_URL and at what stands between here and Slack.",
        )
        return [*findings, odd], answer.skew
    whose = "Slack" if slack.base_url == SLACK_BASE_URL else f"the one at {slack.base_url}"
    findings.append(Finding("slack", "fine", f"reachable ({whose})"))
    return [*findings, *await (_socket(settings) if slack.app_token else _address(settings))], answer.skew


async def examine_installations(settings: Settings, ring: Keyring, database: Database) -> list[Finding]:
    """Whether what workspaces granted is enough, and whether Slack still takes the tokens of some of them."""
    try:
        rows = await _everybody(database)
    except WallBreached:
        return [
            Finding(
                "tokens",
                "warning",
                "this database login may not list workspaces, so their tokens were not looked at",
                "Run `doctor` with the DATABASE_URL of the web service.",
            )
        ]
    active = [row for row in rows if row.status == "active"]
    paused = _paused([row for row in rows if row.status == "paused"])
    if not active:
        return paused or [Finding("tokens", "fine", "no workspace has the app yet")]
    if is_played(settings):
        # Made-up tokens of the sandbox's: the real Slack is not to be asked about them.
        return [*paused, _scopes(active)]
    findings = [*paused, _scopes(active)]
    clients = SlackClients(base_url=settings.slack.base_url, timeout_seconds=8)
    await clients.open()
    try:
        installations = Installations(database, ring)
        workspaces = [row for row in active if row.kind == "workspace"] or active
        findings += [await _token(row, installations, clients) for row in workspaces[:_ASKED_TENANTS]]
    finally:
        await clients.aclose()
    return findings


def _paused(rows: list[TenantRow]) -> list[Finding]:
    if not rows:
        return []
    names = ", ".join(sorted(row.team_id or row.enterprise_id or str(row.tenant_id) for row in rows)[:_NAMED_TENANTS])
    if len(rows) > _NAMED_TENANTS:
        names += f" and {len(rows) - _NAMED_TENANTS} more"
    return [
        Finding(
            "tokens",
            "warning",
            f"Slack called the token of {names} dead: paused, what is asked there waits",
            "Let an admin of the workspace click Add to Slack again: what waits goes on by itself.",
        )
    ]


def is_played(settings: Settings) -> bool:
    """Whether `up` plays Slack here, so that the real one knows nothing of what is installed."""
    return not _names_app(settings) and settings.slack.base_url == SLACK_BASE_URL


def _names_app(settings: Settings) -> bool:
    # What production lacks, its settings have refused before.
    return settings.is_production or settings.slack.names_app


def _no_credentials() -> Finding:
    return Finding(
        "slack",
        "warning",
        "no credentials: `up` plays Slack itself",
        "Create an app from `python -m enablebot manifest` and set the SLACK_… values that its page shows "
        "(docs/how-to/test-with-slack.md).",
    )


async def _socket(settings: Settings) -> list[Finding]:
    """Asks for a socket's address, which opens none."""
    token = settings.slack.app_token
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    try:
        answer = await ask("POST", f"{settings.slack.api_url}apps.connections.open", headers=headers)
    except Silent as silence:
        return [unreachable("events", "Slack", silence)]
    if answer.body.get("ok") is True:
        return [Finding("events", "fine", "come through a socket (Socket Mode), no public address is needed")]
    return [
        Finding(
            "events",
            "broken",
            f"Slack opens no socket with SLACK_APP_TOKEN ({answer.body.get('error', answer.status)})",
            "Make an app-level token with connections:write (Basic Information), and turn Socket Mode on in the app.",
        )
    ]


async def _address(settings: Settings) -> list[Finding]:
    """Whether an event would arrive: the api has to refuse what is not signed."""
    public = settings.http.api_public_url
    # Without a running api there is nothing to see in development, and that is no fault.
    level: Level = "broken" if settings.is_production else "warning"
    try:
        health = await ask("GET", f"{public}/health")
        door = await ask("POST", f"{public}/slack/events")
    except Silent as silence:
        remedy = "Start the api, and let the address lead to it; Slack needs to reach it from outside."
        return [Finding("events", level, f"nobody answers at API_PUBLIC_URL, {public} ({silence})", remedy)]
    if health.status == 200 and door.status == 401:
        return [Finding("events", "fine", f"arrive at {public}/slack/events, which refuses what Slack did not sign")]
    return [
        Finding(
            "events",
            level,
            f"{public} is not the api: /health answers {health.status}, an unsigned event {door.status}",
            "Let API_PUBLIC_URL and what stands before it lead to the api (200 and 401 are right).",
        )
    ]


async def _everybody(database: Database) -> list[TenantRow]:
    rows = await database.list_tenants(after=None, limit=_PAGE)
    while rows and (more := await database.list_tenants(after=rows[-1].tenant_id, limit=_PAGE)):
        rows += more
    return rows


def _scopes(active: list[TenantRow]) -> Finding:
    lacking = {row.team_id or row.enterprise_id or "?": missing_scopes(row.scopes) for row in active}
    lacking = {team: scopes for team, scopes in lacking.items() if scopes}
    if not lacking:
        return Finding("scopes", "fine", f"{len(active)} installations, each with every scope")
    shown = "; ".join(f"{team}: {', '.join(scopes)}" for team, scopes in sorted(lacking.items())[:_ASKED_TENANTS])
    return Finding(
        "scopes",
        "warning",
        f"{len(lacking)} of {len(active)} installations lack scopes ({shown})",
        "Update the app from `python -m enablebot manifest`, and add it to these workspaces again.",
    )


async def _token(row: TenantRow, installations: Installations, clients: SlackClients) -> Finding:
    team = row.team_id or row.enterprise_id or "?"
    try:
        bot = await installations.bot(row.tenant_id)
        _, scopes = await clients.for_workspace(token=bot.token, team_id=row.team_id).auth_test_with_scopes()
    except SlackTokenDead as dead:
        return Finding(
            "tokens", "broken", f"Slack refuses the token of {team} ({dead.slack_code})", "Add the app again."
        )
    except EnableBotError as failure:
        return Finding("tokens", "broken", f"{team}: {failure.message}", "Look at ENCRYPTION_KEYS and at the network.")
    lacking = missing_scopes(scopes)
    if scopes and lacking:
        return Finding(
            "tokens",
            "warning",
            f"the token of {team} lacks {', '.join(lacking)}",
            "Add the app to the workspace again.",
        )
    return Finding("tokens", "fine", f"Slack accepts the token of {team}")
