"""SQLSTATE → EnableBotError: one table for both transports.

Messages never repeat the database's own words, which may quote the refused value; those stay in `__cause__`.
Codes: https://www.postgresql.org/docs/current/errcodes-appendix.html and PostgREST's own, `PGRST…`.
"""

from collections.abc import Mapping

from enablebot.shared.errors import (
    DatabaseError,
    DatabaseUnavailable,
    DataRefused,
    DuplicateKey,
    SchemaMissing,
    StaleClaim,
    WallBreached,
)

_UNAVAILABLE = "The database could not be reached or did not answer in time. Nothing needs changing; try again."
_BUSY = "The database is busy with somebody else's change to the same rows. Try again."
_MIGRATE = (
    "Run `python -m enablebot migrate`. Where only Supabase's Data API is at hand: paste what `python -m enablebot "
    "migrate --bundle` prints into its SQL editor, and expose the schema `enablebot` in its API settings."
)
_MISSING = f"The database lacks EnableBot's schema or an up-to-date version of it. {_MIGRATE}"
_UNEXPOSED = (
    "Supabase's Data API does not serve EnableBot's schema: expose the schema `enablebot` in the project's API "
    "settings. Where it does not exist yet, first paste what `python -m enablebot migrate --bundle` prints into the "
    "SQL editor."
)
_REFUSED = "The database cannot store one of the values."
_DUPLICATE = "The same thing is stored already."
_STALE = "Somebody else has taken over this event meanwhile."
_BREACHED = (
    "The database refused access. The login may lack EXECUTE on this function (grant it membership of `enablebot_api` "
    "or `enablebot_web`), or a row of another workspace was asked for."
)
_LOGIN = "The database refused the login. Check user, password and database name in DATABASE_URL."
_ADDRESS = "Something answers at SUPABASE_URL, but not as Supabase's Data API does. Check the address."
_POOLER = (
    "A pooler in front of the database gives every transaction another connection, where prepared statements are lost. "
    "Add `?pgbouncer=true` to DATABASE_URL, or use a session pooler or the direct connection."
)
_KEY = "Supabase refused the key. Check SUPABASE_SERVICE_KEY: it must be the project's service_role or secret key."

# The longest prefix of the code wins.
_KINDS: Mapping[str, tuple[type[DatabaseError], str]] = {
    "EB001": (StaleClaim, _STALE),
    "08": (DatabaseUnavailable, _UNAVAILABLE),
    "53": (DatabaseUnavailable, _UNAVAILABLE),
    "57": (DatabaseUnavailable, _UNAVAILABLE),
    "25006": (DatabaseUnavailable, _UNAVAILABLE),  # read-only: a standby that is about to take over
    "40": (DatabaseUnavailable, _BUSY),
    "55P03": (DatabaseUnavailable, _BUSY),
    "3F000": (SchemaMissing, _MISSING),
    "42883": (SchemaMissing, _MISSING),
    "42P01": (SchemaMissing, _MISSING),
    "42703": (SchemaMissing, _MISSING),
    "22": (DataRefused, _REFUSED),
    "23": (DataRefused, _REFUSED),
    "23505": (DuplicateKey, _DUPLICATE),
    "42501": (WallBreached, _BREACHED),
    "26000": (DatabaseError, _POOLER),  # a statement that another connection prepared
    "42P05": (DatabaseError, _POOLER),  # a name that another client has taken on this connection
    "28": (DatabaseError, _LOGIN),
    "3D000": (DatabaseError, _LOGIN),
    "PGRST00": (DatabaseUnavailable, _UNAVAILABLE),
    "PGRST106": (SchemaMissing, _UNEXPOSED),
    "PGRST20": (SchemaMissing, _MISSING),
    "PGRST3": (DatabaseError, _KEY),
}


def translate(code: str | None, *, function: str) -> DatabaseError:
    """Return the error for an SQLSTATE or PostgREST code; the caller raises it `from` the driver's own."""
    for length in range(len(code or ""), 1, -1):
        found = _KINDS.get((code or "")[:length])
        if found is not None:
            kind, message = found
            return kind(message, details=_where(code, function))
    return DatabaseError(f"The database failed unexpectedly in `{function}`.", details=_where(code, function))


def translate_status(status: int, *, function: str) -> DatabaseError:
    """Return the error for an HTTP answer that carries no code: a gateway's, before the database was asked."""
    details = {"function": function, "status": str(status)}
    if status in {401, 403}:
        return DatabaseError(_KEY, details=details)
    if status in {408, 429} or status >= 500:
        return DatabaseUnavailable(_UNAVAILABLE, details=details)
    return DatabaseError(_ADDRESS, details=details)


def outdated(how: str) -> SchemaMissing:
    """Return the error for a schema that answers, but is older than this release."""
    return SchemaMissing(f"EnableBot's schema in the database is older than this release: {how}. {_MIGRATE}")


def unavailable(function: str) -> DatabaseUnavailable:
    """Return the error for a connection that failed before the database could say why."""
    return DatabaseUnavailable(_UNAVAILABLE, details=_where(None, function))


def refused(function: str) -> DataRefused:
    """Return the error for a value that could not even be written down for the database."""
    return DataRefused(_REFUSED, details=_where(None, function))


def _where(code: str | None, function: str) -> dict[str, str]:
    return {"function": function, **({"sqlstate": code} if code else {})}
