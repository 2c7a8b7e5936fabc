"""Documents in the inbox: claimed apart from questions, in fair shares, counted apart, and replayed."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.errors import StaleClaim
from enablebot.tests.database import postgres_versions
from enablebot.tests.shared.queued_documents import add_document, add_waiting, claim_documents, of
from enablebot.tests.shared.workspaces import Event, accept, add_installed, claim, end, settle

pytestmark = pytest.mark.anyio

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def claim_lost(database: Database, admin: Admin) -> list[ClaimedDocumentRow]:
    """Let what is claimed be lost with its process, and claim it anew."""
    await admin.execute("update enablebot.inbox set lease_until = now() - interval '1 second' where state = 'claimed'")
    claimed = await claim_documents(database)
    await admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
    return claimed or await claim_documents(database)


@postgres_versions
async def test_a_queued_document_is_claimed_as_what_it_is_and_by_nobody_who_claims_questions(
    database: Database,
) -> None:
    acme = await add_installed(database)
    document = await add_document(database, acme)
    await accept(database, (acme, question := Event()))
    assert [row.event_key for row in await claim(database)] == [question.event_key]
    (claimed,) = await claim_documents(database)
    assert (claimed.tenant_id, claimed.document_id, claimed.version) == (acme.tenant_id, document, 1)
    assert (claimed.kind, claimed.attempts, claimed.was_lost, claimed.is_last_word) == ("document", 1, False, False)
    assert await claim_documents(database) == []
    assert not (await database.begin_reading(**of(claimed))).gone


async def test_thousands_of_waiting_documents_hold_no_question_up_and_take_nothing_from_its_cap(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    await add_waiting(admin, acme, 3000)
    assert len(await claim_documents(database, limit=8)) == 8
    await accept(database, *((acme, Event()) for _ in range(3)))
    assert len(await claim(database, tenant_cap=2)) == 2
    # The head of its questions is found without stepping over its documents.
    plan = await admin.fetchval(
        "explain (analyze, format json) select from enablebot.inbox where state = 'ready' "
        "and kind not in ('stop', 'delete', 'lifecycle', 'document') order by tenant_id, available_at, id limit 1"
    )
    assert '"Index Name": "inbox_ready"' in plan
    assert '"Rows Removed by Filter"' not in plan


async def test_questions_take_nothing_from_the_documents_cap(database: Database) -> None:
    acme = await add_installed(database)
    await accept(database, *((acme, Event()) for _ in range(5)))
    assert len(await claim(database)) == 5
    await add_document(database, acme)
    assert len(await claim_documents(database, tenant_cap=1)) == 1


@postgres_versions
async def test_no_workspace_holds_more_documents_than_its_cap_however_many_claim_at_once(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    await add_waiting(admin, acme, 100)
    claimed = await asyncio.gather(*(claim_documents(database, limit=2, tenant_cap=3) for _ in range(8)))
    ids = [row.id for rows in claimed for row in rows]
    assert len(ids) == len(set(ids)) == 3


async def test_a_workspace_of_which_nothing_is_read_comes_before_one_that_waits_longer(
    database: Database, admin: Admin
) -> None:
    busy, quiet, third = [await add_installed(database) for _ in range(3)]
    await add_waiting(admin, busy, 500)
    assert len(await claim_documents(database, limit=2)) == 2
    await add_document(database, quiet)
    await add_document(database, third)
    claimed = await claim_documents(database, limit=3)
    assert [row.tenant_id for row in claimed] == [quiet.tenant_id, third.tenant_id, busy.tenant_id]


async def test_a_cap_of_one_leaves_the_place_to_who_has_none(database: Database, admin: Admin) -> None:
    busy, quiet = await add_installed(database), await add_installed(database)
    await add_waiting(admin, busy, 50)
    assert len(await claim_documents(database, limit=2)) == 2
    assert await claim_documents(database, limit=1, tenant_cap=1) == []
    await add_document(database, quiet)
    (claimed,) = await claim_documents(database, limit=1, tenant_cap=1)
    assert claimed.tenant_id == quiet.tenant_id


async def test_a_document_that_another_transaction_holds_is_passed_by(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await add_document(database, acme, "held.txt")
    free = await add_document(database, acme, "free.txt")
    async with admin.transaction():
        await admin.execute("select from enablebot.inbox order by id limit 1 for update")
        assert [row.document_id for row in await claim_documents(database)] == [free]


async def test_a_document_put_back_for_later_waits_for_its_time(database: Database) -> None:
    acme = await add_installed(database)
    await add_document(database, acme)
    (claimed,) = await claim_documents(database)
    assert await database.settle_events(
        tenant_ids=[acme.tenant_id],
        ids=[claimed.id],
        tokens=[claimed.claim_token],
        outcomes=["release"],
        reasons=[None],
        delays=[3600],
    ) == ["settled"]
    assert await claim_documents(database) == []


async def test_a_paused_workspace_s_documents_are_read_while_its_questions_wait(database: Database) -> None:
    acme = await add_installed(database)
    paused = await database.pause_installation(
        tenant_id=acme.tenant_id,
        installed_at=datetime.now(UTC) + timedelta(minutes=1),
        reason="token_revoked",
        actor="slack",
    )
    assert paused.paused
    await add_document(database, acme)
    await accept(database, (acme, Event()))
    assert await claim(database) == []
    assert (await database.get_inbox_depth()).held == 1
    assert len(await claim_documents(database)) == 1


async def test_an_uninstall_drops_what_waits_and_people_are_told_why_it_was_not_read(database: Database) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    document, others = await add_document(database, acme), await add_document(database, other)
    assert await end(database, acme)
    assert [row.document_id for row in await claim_documents(database)] == [others]
    found = await database.get_document(tenant_id=acme.tenant_id, id=document)
    assert found is not None
    assert found.status == "failed"
    assert found.reason is not None
    assert found.reason.startswith("The app was removed")


@postgres_versions
async def test_a_document_lost_three_times_comes_back_for_a_last_word_and_is_failed_when_that_is_lost_too(
    database: Database, admin: Admin
) -> None:
    acme = await add_installed(database)
    document = await add_document(database, acme)
    for attempt in (1, 2, 3, 4):
        (claimed,) = await claim_lost(database, admin)
        assert (claimed.attempts, claimed.is_last_word, claimed.was_lost) == (attempt, attempt == 4, attempt > 1)
        if attempt < 4:
            await database.begin_reading(**of(claimed))
    assert await claim_lost(database, admin) == []
    (event,) = await admin.fetch("select state, reason from enablebot.inbox")
    assert (event["state"], event["reason"]) == ("set_aside", "lease_expired")
    found = await database.get_document(tenant_id=acme.tenant_id, id=document)
    assert found is not None
    assert found.status == "failed"
    assert found.reason is not None
    assert found.reason.startswith("EnableBot could not read this document")


async def test_the_reason_a_worker_gave_stands_when_the_event_is_set_aside(database: Database) -> None:
    acme = await add_installed(database)
    document = await add_document(database, acme)
    (claimed,) = await claim_documents(database)
    await database.begin_reading(**of(claimed))
    await database.fail_document(**of(claimed), reason="It is damaged.")
    await database.settle_events(
        tenant_ids=[acme.tenant_id],
        ids=[claimed.id],
        tokens=[claimed.claim_token],
        outcomes=["set_aside"],
        reasons=["lost"],
        delays=[0],
    )
    found = await database.get_document(tenant_id=acme.tenant_id, id=document)
    assert found is not None
    assert (found.status, found.reason) == ("failed", "It is damaged.")


@postgres_versions
async def test_a_replay_has_a_document_read_again(database: Database, admin: Admin) -> None:
    acme, other = await add_installed(database), await add_installed(database)
    document = await add_document(database, acme)
    for _ in range(4):
        (claimed,) = await claim_lost(database, admin)
    assert await claim_lost(database, admin) == []
    (listed,) = await database.list_set_aside(tenant_id=None, after_id=None, limit=10)
    assert (listed.kind, listed.id) == ("document", claimed.id)
    assert not (await database.replay_event(tenant_id=other.tenant_id, id=claimed.id, actor="cli")).replayed
    assert (await database.replay_event(tenant_id=acme.tenant_id, id=claimed.id, actor="cli")).replayed
    assert not (await database.replay_event(tenant_id=acme.tenant_id, id=claimed.id, actor="cli")).replayed
    found = await database.get_document(tenant_id=acme.tenant_id, id=document)
    assert found is not None
    assert (found.status, found.reason) == ("queued", None)
    (again,) = await claim_documents(database)
    assert (again.id, again.attempts, again.document_id) == (claimed.id, 1, document)
    begun = await database.begin_reading(**of(again))
    assert (begun.gone, begun.already) == (False, None)


async def test_a_deleted_document_is_not_replayed(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    document = await add_document(database, acme)
    for _ in range(4):
        (claimed,) = await claim_lost(database, admin)
    await claim_lost(database, admin)
    await database.delete_document(tenant_id=acme.tenant_id, id=document, undo_seconds=600, actor="U1")
    assert not (await database.replay_event(tenant_id=acme.tenant_id, id=claimed.id, actor="cli")).replayed


async def test_whoever_lost_the_claim_writes_nothing_more(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await add_document(database, acme)
    (lost,) = await claim_documents(database)
    (heir,) = await claim_lost(database, admin)
    with pytest.raises(StaleClaim):
        await database.begin_reading(**of(lost))
    assert not (await database.begin_reading(**of(heir))).gone
    for call in (
        database.note_progress(**of(lost), progress=50),
        database.publish_document(**of(lost), pages=1, title=None),
        database.fail_document(**of(lost), reason="late"),
    ):
        with pytest.raises(StaleClaim):
            await call


async def test_documents_are_counted_apart_from_questions(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await add_waiting(admin, acme, 3)
    await admin.execute("update enablebot.inbox set received_at = now() - interval '2 hours'")
    (_,) = await claim_documents(database, limit=1)
    depth = await database.get_inbox_depth()
    assert (depth.ready, depth.queued, depth.claimed, depth.oldest_seconds) == (0, 0, 0, 0)
    assert (depth.documents_waiting, depth.documents_claimed) == (2, 1)
    assert 7200 <= depth.oldest_document_seconds < 7300


async def test_settling_a_document_ends_its_event(database: Database, admin: Admin) -> None:
    acme = await add_installed(database)
    await add_document(database, acme)
    (claimed,) = await claim_documents(database)
    assert await settle(database, claimed) == ["settled"]
    assert await settle(database, claimed) == ["stale"]
    assert await admin.fetchval("select state from enablebot.inbox") == "done"
    assert await admin.fetchval("select coalesce(sum(live), 0) from enablebot.lanes") == 0
