"""What a failure is called in the log and in the inbox."""

from enablebot.shared.errors import EnableBotError

_LONGEST_REASON = 300


def described(error: Exception) -> str:
    """Code and message of our own errors; of others only the kind, for their words may quote what people wrote."""
    return f"{error.code}: {error.message}" if isinstance(error, EnableBotError) else type(error).__name__


def unless_ours(error: Exception) -> Exception | None:
    """Our own errors explain themselves; every other one is a fault whose place has to be found."""
    return None if isinstance(error, EnableBotError) else error


def storable(reason: str | None) -> str | None:
    """The reason in a form and length that the inbox takes."""
    return None if reason is None else reason.replace("\0", "")[:_LONGEST_REASON]
