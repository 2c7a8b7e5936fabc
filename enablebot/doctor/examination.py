"""The whole examination, area by area; it never raises for what it finds."""

from collections.abc import Callable

from enablebot.config.settings import Settings
from enablebot.doctor.clock import compare_clocks
from enablebot.doctor.database import examine_database
from enablebot.doctor.documents import examine_documents
from enablebot.doctor.findings import Finding
from enablebot.doctor.inbox import examine_inbox
from enablebot.doctor.keys import examine_key_use, examine_keys, keyring_of
from enablebot.doctor.model import examine_model
from enablebot.doctor.reader import examine_reader
from enablebot.doctor.slack import examine_installations, examine_slack
from enablebot.shared.database.config import open_database
from enablebot.shared.encryption.keyring import Keyring
from enablebot.shared.errors import DatabaseError, DatabaseUnavailable, EnableBotError, SchemaMissing, SettingsError


async def examine(load: Callable[[], Settings]) -> list[Finding]:
    """Look at settings, database, keys, Slack, the model, the reader and the clocks, in this order."""
    try:
        settings = load()
    except SettingsError as wrong:
        return [
            Finding("settings", "broken", fault, "Correct it in the environment or in .env.") for fault in wrong.faults
        ]
    ring = keyring_of(settings)
    findings = [Finding("settings", "fine", f"complete for {settings.environment}"), *examine_keys(settings, ring)]
    stored, database_skew = await _stored(settings, ring)
    slack, slack_skew = await examine_slack(settings)
    model, model_skew = await examine_model(settings)
    reader = await examine_reader(settings)
    skews = {"the database": database_skew, "Slack": slack_skew, "the model's server": model_skew}
    clocks = compare_clocks({whose: skew for whose, skew in skews.items() if skew is not None})
    return [*findings, *stored, *slack, *model, *reader, *clocks]


async def _stored(settings: Settings, ring: Keyring | None) -> tuple[list[Finding], float | None]:
    try:
        database = await open_database(settings.database, role="web")
    except DatabaseUnavailable as failure:
        remedy = "Start it or correct its address, then `python -m enablebot migrate`."
        return [Finding("database", "broken", failure.message, remedy)], None
    except EnableBotError as failure:
        remedy = "Do as it says: the services refuse to start until then."
        return [Finding("database", "broken", failure.message, remedy)], None
    findings: list[Finding] = []
    skew = None
    try:
        findings, skew = await examine_database(settings, database)
        if not any(finding.level == "broken" for finding in findings):
            findings += await examine_inbox(database)
            findings += await examine_documents(settings, database)
        findings += await examine_key_use(ring, database)
        if ring is not None:
            findings += await examine_installations(settings, ring, database)
    except SchemaMissing as missing:
        findings.append(
            Finding(
                "schema",
                "broken",
                missing.message,
                "Run `python -m enablebot migrate` with DATABASE_ADMIN_URL, or paste what `migrate --bundle` prints.",
            )
        )
    except DatabaseError as failure:
        findings.append(Finding("database", "broken", failure.message, "Look at the database, and at its address."))
    finally:
        await database.aclose()
    return findings, skew
