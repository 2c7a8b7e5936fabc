"""Master keys: configured, every one in use among them, and a copy elsewhere."""

from enablebot.config.settings import Settings
from enablebot.doctor.findings import Finding
from enablebot.shared.database.operations import Database
from enablebot.shared.encryption.keyring import Keyring


def keyring_of(settings: Settings) -> Keyring | None:
    """The configured master keys."""
    keys = settings.encryption.keys
    return Keyring.parse(keys.get_secret_value()) if keys else None


def examine_keys(settings: Settings, ring: Keyring | None) -> list[Finding]:
    """Findings that need no database."""
    if ring is None:
        return [Finding("keys", "broken", "ENCRYPTION_KEYS is not set", "Run `python -m enablebot keys generate`.")]
    return [
        Finding(
            "keys",
            "warning" if settings.is_production else "fine",
            f"primary {ring.primary_id}; whether a copy is kept elsewhere cannot be seen from here",
            "Keep a copy of the master keys outside this deployment: what they sealed is lost with them.",
        )
    ]


async def examine_key_use(ring: Keyring | None, database: Database) -> list[Finding]:
    """Whether every master key that the database names is configured."""
    used = {row.master_key_id: row.data_keys for row in await database.get_master_key_use()}
    missing = sorted(set(used) - set(ring.ids if ring else ()))
    if missing:
        return [
            Finding(
                "keys",
                "broken",
                f"workspaces' data keys are sealed by master keys that are not configured: {', '.join(missing)}",
                "Put them back into ENCRYPTION_KEYS, behind the first: the services do not start without them.",
            )
        ]
    return [Finding("keys", "fine", f"{sum(used.values())} data keys, each under a configured master key")]
