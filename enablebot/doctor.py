"""`doctor`: look at everything this deployment needs, and say for each finding what to do about it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from enablebot.config.settings import SLACK_BASE_URL, Settings
from enablebot.shared.database.config import open_database
from enablebot.shared.database.init_db import functions_checksum
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import EnableBotError, SettingsError

Level = Literal["fine", "warning", "broken"]
PATIENCE = aiohttp.ClientTimeout(total=8)
_MARKS: dict[Level, str] = {"fine": "ok  ", "warning": "warn", "broken": "FAIL"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what it is like, and, unless it is fine, what to do."""

    area: str
    level: Level
    what: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """The finding for a program to read."""
        return asdict(self)


async def examine(load: Callable[..., Settings]) -> list[Finding]:
    """Look at settings, database, keys, Slack and the model; never raises for what it finds."""
    try:
        settings = load(env_file=Path(".env"), service="cli")
    except SettingsError as wrong:
        return [
            Finding("settings", "broken", fault, "Correct it in the environment or in .env.") for fault in wrong.faults
        ]
    findings = [Finding("settings", "fine", f"complete for {settings.environment}")]
    findings += await _database(settings)
    findings += _keys(settings)
    for look in (_slack, _model):
        try:
            findings += await look(settings)
        except (aiohttp.ClientError, TimeoutError, OSError) as unreachable:
            findings.append(_unreachable(look.__name__.strip("_"), unreachable))
    return findings


def report(findings: list[Finding]) -> str:
    """The findings for a person to read."""
    lines = []
    for finding in findings:
        lines.append(f"{_MARKS[finding.level]}  {finding.area:<9} {finding.what}")
        if finding.remedy and finding.level != "fine":
            lines.append(f"      {'':<9} → {finding.remedy}")
    broken = sum(finding.level == "broken" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines.append(f"\n{broken} broken, {warnings} to look at, {len(findings) - broken - warnings} fine.")
    return "\n".join(lines)


async def _database(settings: Settings) -> list[Finding]:
    try:
        database = await open_database(settings.database, role="api")
    except EnableBotError as failure:
        return [
            Finding(
                "database",
                "broken",
                failure.message,
                "Start it or correct its address, then `python -m enablebot migrate`.",
            )
        ]
    try:
        return [
            *await _reach(database),
            *await _schema(database),
            *await _login(settings, database),
            *await _key_use(settings, database),
        ]
    except EnableBotError as failure:
        return [
            Finding("database", "broken", failure.message, "Run `python -m enablebot migrate` with DATABASE_ADMIN_URL.")
        ]
    finally:
        await database.aclose()


async def _reach(database: Database) -> list[Finding]:
    began = time.perf_counter()
    await database.ping()
    return [Finding("database", "fine", f"answers in {(time.perf_counter() - began) * 1000:.1f} ms")]


async def _schema(database: Database) -> list[Finding]:
    schema = await database.schema_version(functions=operation_names())
    if schema.missing:
        return [
            Finding(
                "schema",
                "broken",
                f"functions are missing: {', '.join(schema.missing)}",
                "Run `python -m enablebot migrate`.",
            )
        ]
    if schema.functions_checksum != functions_checksum():
        return [
            Finding("schema", "warning", "functions differ from this release's", "Run `python -m enablebot migrate`.")
        ]
    return [Finding("schema", "fine", f"version {schema.version}, functions as in this release")]


async def _login(settings: Settings, database: Database) -> list[Finding]:
    login = await database.login_strength()
    if login.faults:
        return [
            Finding("wall", "broken", fault, "Run `python -m enablebot migrate`; it grants what is needed and no more.")
            for fault in login.faults
        ]
    if login.superuser or login.bypass_rls or login.owner:
        level: Level = "warning" if settings.is_production else "fine"
        return [
            Finding(
                "wall",
                level,
                f"holds; the services log in as {login.login}, which may do more than they need",
                "Create a login that is only a member of enablebot_api (or enablebot_web), and use it in DATABASE_URL.",
            )
        ]
    return [Finding("wall", "fine", f"holds; the login {login.login} may only execute functions")]


async def _key_use(settings: Settings, database: Database) -> list[Finding]:
    ring = _keyring(settings)
    used = {row.master_key_id: row.data_keys for row in await database.get_master_key_use()}
    missing = sorted(set(used) - set(ring.ids if ring else ()))
    if missing:
        return [
            Finding(
                "keys",
                "broken",
                f"workspaces' data keys are sealed by master keys that are not configured: {', '.join(missing)}",
                "Put them back into ENCRYPTION_KEYS, behind the first: these workspaces cannot be read without.",
            )
        ]
    return [Finding("keys", "fine", f"{sum(used.values())} data keys, each under a configured master key")]


def _keys(settings: Settings) -> list[Finding]:
    ring = _keyring(settings)
    if ring is None:
        return [Finding("keys", "broken", "ENCRYPTION_KEYS is not set", "Run `python -m enablebot keys generate`.")]
    remedy = "Keep a copy of the master keys outside this deployment: what they sealed is lost with them."
    return [
        Finding(
            "keys",
            "warning" if settings.is_production else "fine",
            f"primary {ring.primary_id}; escrow cannot be seen from here",
            remedy,
        )
    ]


def _keyring(settings: Settings) -> Keyring | None:
    keys = settings.encryption.keys
    return Keyring.parse(keys.get_secret_value()) if keys else None


async def _slack(settings: Settings) -> list[Finding]:
    slack = settings.slack
    if not (slack.client_id and slack.client_secret and slack.signing_secrets):
        return [
            Finding(
                "slack",
                "warning",
                "no credentials: `up` plays Slack itself",
                "Create an app from `python -m enablebot manifest` and set the three SLACK_… values it shows.",
            )
        ]
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.post(f"{slack.api_url}auth.test") as response,
    ):
        answer = await response.json(content_type=None)
    if response.status != 200 or answer.get("error") != "not_authed":
        return [
            Finding(
                "slack",
                "warning",
                f"{slack.base_url} answered {response.status} in an unexpected way",
                "Look at SLACK_BASE_URL and at what stands between here and Slack.",
            )
        ]
    whose = "Slack" if slack.base_url == SLACK_BASE_URL else f"the one at {slack.base_url}"
    return [
        Finding(
            "slack", "fine", f"reachable ({whose}); events are to arrive at {settings.http.api_public_url}/slack/events"
        )
    ]


async def _model(settings: Settings) -> list[Finding]:
    model = settings.model
    if model.api_key is None:
        return [
            Finding(
                "model",
                "warning",
                "OPENAI_API_KEY is not set: `up` plays the model itself",
                "Set OPENAI_API_KEY, or OPENAI_BASE_URL with the key of a compatible server.",
            )
        ]
    base = (model.base_url or "https://api.openai.com/v1").rstrip("/")
    headers = {"Authorization": f"Bearer {model.api_key.get_secret_value()}"}
    async with (
        aiohttp.ClientSession(timeout=PATIENCE) as session,
        session.get(f"{base}/models", headers=headers) as response,
    ):
        if response.status == 401:
            return [Finding("model", "broken", "the server refuses OPENAI_API_KEY", "Make a new key and set it.")]
        if response.status != 200:
            return [
                Finding(
                    "model", "warning", f"the list of models answered {response.status}", "Look at OPENAI_BASE_URL."
                )
            ]
        known = {row.get("id"): row for row in (await response.json(content_type=None)).get("data", [])}
    if model.name not in known:
        return [
            Finding(
                "model",
                "broken",
                f"{model.name} is not among the {len(known)} models this key may use",
                "Set OPENAI_MODEL to one of them.",
            )
        ]
    ends = known[model.name].get("shutdown_date")
    if ends:
        return [
            Finding(
                "model",
                "warning",
                f"{model.name} will be shut down on {ends}",
                "Choose its successor in OPENAI_MODEL before then.",
            )
        ]
    return [Finding("model", "fine", f"{model.name} is available")]


def _unreachable(area: str, failure: BaseException) -> Finding:
    why = "no answer in time" if isinstance(failure, asyncio.TimeoutError) else type(failure).__name__
    return Finding(area, "broken", f"not reachable ({why})", "Look at the network, and at the address in the settings.")
