"""The database: does it answer, is its schema ours, do its walls stand, what time is it there."""

import time
from datetime import UTC, datetime

from enablebot.config.settings import Settings
from enablebot.doctor.findings import Finding, Level
from enablebot.shared.database.init_db import functions_checksum, migrations
from enablebot.shared.database.operations import Database, operation_names

_MIGRATE = "Run `python -m enablebot migrate`."
_PASTE = "Paste what `python -m enablebot migrate --bundle` prints into Supabase's SQL editor."


async def examine_database(settings: Settings, database: Database) -> tuple[list[Finding], float | None]:
    """Findings about an open database, and our clock minus its own, in seconds."""
    began = time.perf_counter()
    await database.ping()
    reached = Finding("database", "fine", f"answers in {(time.perf_counter() - began) * 1000:.1f} ms")
    schema, skew = await _schema(database, remedy=_remedy(settings))
    return [reached, schema, *await _login(settings, database)], skew


def _remedy(settings: Settings) -> str:
    named = settings.database
    only_data_api = named.supabase_url is not None and named.url is None and named.admin_url is None
    return _PASTE if only_data_api else _MIGRATE


async def _schema(database: Database, *, remedy: str) -> tuple[Finding, float | None]:
    asked = datetime.now(UTC)
    schema = await database.schema_version(functions=operation_names())
    skew = None
    if schema.asked_at is not None:
        # Its clock was read somewhere between our two looks at ours.
        skew = ((asked + (datetime.now(UTC) - asked) / 2) - schema.asked_at).total_seconds()
    if schema.missing:
        return Finding("schema", "broken", f"functions are missing: {', '.join(schema.missing)}", remedy), skew
    newest = migrations()[-1].version
    if schema.version < newest:
        return Finding("schema", "broken", f"at migration {schema.version} of {newest}", remedy), skew
    if schema.functions_checksum != functions_checksum():
        return Finding("schema", "warning", "functions differ from this release's", remedy), skew
    return Finding("schema", "fine", f"version {schema.version}, functions as in this release"), skew


async def _login(settings: Settings, database: Database) -> list[Finding]:
    login = await database.login_strength()
    if login.faults:
        return [
            Finding("wall", "broken", fault, f"{_MIGRATE} It grants what is needed and no more; revoke the rest.")
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
