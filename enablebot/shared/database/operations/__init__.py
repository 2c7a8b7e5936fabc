"""Every data operation, one typed method per SQL function; the function's text is in migrations/functions."""

from enablebot.shared.database.operations.api_keys import ApiKeyCalls
from enablebot.shared.database.operations.conversations import ConversationCalls
from enablebot.shared.database.operations.documents import DocumentCalls
from enablebot.shared.database.operations.inbox import InboxCalls
from enablebot.shared.database.operations.installations import InstallationCalls
from enablebot.shared.database.operations.operators import OperatorCalls
from enablebot.shared.database.operations.passages import PassageCalls
from enablebot.shared.database.operations.sessions import SessionCalls

__all__ = ["Database", "operation_names"]


class Database(
    InstallationCalls,
    InboxCalls,
    ConversationCalls,
    SessionCalls,
    OperatorCalls,
    ApiKeyCalls,
    DocumentCalls,
    PassageCalls,
):
    """EnableBot's database. Each method is one call, one transaction; errors are DatabaseError and its kinds."""


def operation_names() -> tuple[str, ...]:
    """Return the names of all operations, which are also the names of the SQL functions they call."""
    kinds = [kind for kind in Database.__bases__ if kind.__module__.startswith(__name__)]
    return tuple(sorted(name for kind in kinds for name in vars(kind) if not name.startswith("_")))
