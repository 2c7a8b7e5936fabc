"""Somebody deleted a message of theirs: the question in it is not answered any more."""

from enablebot.api.handling import BodyUnreadable
from enablebot.api.slack.handlers.messages import Answering
from enablebot.api.slack.handlers.opened import OpenedEvent
from enablebot.api.slack.relevance import relevance
from enablebot.shared.database.operations import Database
from enablebot.shared.models.question import Outcome


async def withdraw_deleted(event: OpenedEvent, database: Database, answering: Answering) -> Outcome:
    """Withdraw the question: one that waits is dropped when it is opened, one being answered ends as it is."""
    deleted = relevance(event.envelope)
    if deleted is None or deleted.channel is None or deleted.ts is None:
        raise BodyUnreadable("a stored deletion names no message")
    tenant_id, channel, question_ts = event.row.tenant_id, deleted.channel, deleted.ts
    # First where it lasts: an answer that begins between these two calls finds it there.
    signalled = await database.withdraw_question(tenant_id=tenant_id, channel=channel, question_ts=question_ts)
    is_ended = answering.withdraw(tenant_id, channel=channel, question_ts=question_ts)
    return Outcome("done", "withdrawn" if is_ended or signalled.signalled else "nothing was being answered")
