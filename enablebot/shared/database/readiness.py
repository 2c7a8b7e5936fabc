"""What is asked of an open database before it is used: does its schema suit this release, do its walls stand."""

import logging

from enablebot.shared.database import errors
from enablebot.shared.database.init_db import migrations
from enablebot.shared.database.models import SchemaVersionRow
from enablebot.shared.database.operations import Database, operation_names
from enablebot.shared.errors import DatabaseError, SchemaMissing

_log = logging.getLogger(__name__)


class SchemaCheck:
    """`/ready`'s question to the database; over the Data API somebody may paste the schema while we run."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._was_missing = False

    async def __call__(self) -> None:
        """Raise SchemaMissing, with the remedy, as long as this release cannot work with what is there."""
        try:
            await refuse_old_schema(self._database)
        except SchemaMissing:
            self._was_missing = True
            raise
        if self._was_missing:
            # Start-up had nothing to look at.
            await refuse_open_walls(self._database)
            self._was_missing = False


async def refuse_old_schema(database: Database) -> None:
    """Raise SchemaMissing where the schema is absent or older than this release; a newer one is none of our concern.

    Raises DatabaseError where commits of our login may be lost.
    """
    found = await database.schema_version(functions=operation_names())
    _refuse_lossy_commits(found)
    if found.missing:
        raise errors.outdated(f"its functions lack {', '.join(found.missing)}")
    if found.version < migrations()[-1].version:
        raise errors.outdated(f"it is at migration {found.version} of {migrations()[-1].version}")


def _refuse_lossy_commits(found: SchemaVersionRow) -> None:
    # Weaker settings than the default keep what one server's crash leaves; only `off` acknowledges what is nowhere yet.
    if found.synchronous_commit == "off":
        raise DatabaseError(
            "The database acknowledges commits before they are on disk (synchronous_commit is off), so that a crash of "
            "the server would lose events Slack was told are stored. Turn it on for our login: "
            "`alter role <login> set synchronous_commit = on`, or reset it where it was set: `alter role … reset "
            "synchronous_commit`, `alter database … reset synchronous_commit`, or postgresql.conf."
        )


async def refuse_open_walls(database: Database) -> bool:
    """Raise DatabaseError when a protection of the schema is off; say, and warn, when our login may do too much."""
    found = await database.login_strength()
    if found.faults:
        listed = "".join(f"\n  - {fault}" for fault in found.faults)
        raise DatabaseError(
            f"The database does not keep workspaces apart, so EnableBot will not use it:{listed}\n"
            "Run `python -m enablebot migrate` to restore the schema, and revoke what was granted by hand."
        )
    powers = [
        power
        for power, has_it in (
            ("is a superuser", found.superuser),
            ("bypasses row-level security", found.bypass_rls),
            ("owns the schema", found.owner),
        )
        if has_it
    ]
    if powers:
        _log.warning(
            "The database login `%s` %s. It works, but a login that is only a member of enablebot_api or enablebot_web "
            "could do less harm: see docs/deploy.",
            found.login,
            " and ".join(powers),
        )
    return bool(powers)
