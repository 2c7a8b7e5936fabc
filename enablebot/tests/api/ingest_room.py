"""A workspace with a library, and ingest over it: what the tests of reading documents stand on."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from enablebot.api.knowledge import child
from enablebot.api.knowledge.ingest import Ingest, Read
from enablebot.api.knowledge.sayings import CannotRead, Done, ReadPassage, Said
from enablebot.api.knowledge.vectors import Vectors
from enablebot.shared.database.models import ClaimedDocumentRow
from enablebot.shared.database.operations import Database
from enablebot.shared.installations import Installations
from enablebot.shared.knowledge.embedding import Embedder
from enablebot.shared.knowledge.library import Library
from enablebot.shared.knowledge.originals import InDatabase
from enablebot.shared.knowledge.search import Search
from enablebot.shared.knowledge.terms import weigh
from enablebot.shared.metrics import Metrics
from enablebot.shared.models.document import Document
from enablebot.shared.models.passage import in_context
from enablebot.shared.models.question import Outcome

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass
class IngestRoom:
    """One workspace, and whoever reads for it."""

    database: Database
    admin: Admin
    installations: Installations
    library: Library
    tenant_id: UUID
    metrics: Metrics = field(default_factory=Metrics)
    time_scale: float = 0.01

    async def add(self, text: str, *, name: str = "handbook.txt", **changes: Any) -> Document:
        """Add a document to the workspace's knowledge."""
        values: dict[str, Any] = {"source": "api", "added_by": "U1", **changes}
        return (await self.library.add(self.tenant_id, name=name, content=text.encode(), **values)).document

    async def claim(self) -> ClaimedDocumentRow:
        """Claim the one document that waits."""
        (claimed,) = await self.claim_all()
        return claimed

    async def claim_all(self) -> list[ClaimedDocumentRow]:
        """Claim whatever waits, and whatever somebody lost."""
        await self.admin.execute("update enablebot.inbox set available_at = now() where state = 'ready'")
        return await self.database.claim_documents(worker="test", limit=10, tenant_cap=10, lease_seconds=60)

    async def settle(self, claimed: ClaimedDocumentRow, outcome: Outcome) -> None:
        """End the event, as the worker does."""
        assert outcome.name != "settled"
        await self.database.settle_events(
            tenant_ids=[claimed.tenant_id],
            ids=[claimed.id],
            tokens=[claimed.claim_token],
            outcomes=[outcome.name],
            reasons=[outcome.reason],
            delays=[outcome.delay_seconds],
        )

    async def read(self, ingest: Ingest | None = None) -> Outcome:
        """Claim the one document that waits, read it and settle it."""
        claimed = await self.claim()
        outcome = await (ingest or self.ingest()).handle(claimed)
        await self.settle(claimed, outcome)
        return outcome

    async def lose(self) -> None:
        """Have every claim under way run out, as when its process was killed."""
        await self.admin.execute("update enablebot.inbox set lease_until = now() where state = 'claimed'")
        await self.database.claim_urgent_events(worker="other", limit=0, lease_seconds=60)

    def vectors(self, embedder: Embedder) -> Vectors:
        return Vectors(self.database, embedder, metrics=self.metrics, time_scale=self.time_scale, jitter=lambda: 0.5)

    def ingest(
        self, *, read: Read = child.read, vectors: Vectors | None = None, database: Database | None = None
    ) -> Ingest:
        return Ingest(
            database or self.database,
            self.library,
            vectors,
            metrics=self.metrics,
            without_walls=True,
            time_scale=self.time_scale,
            read=read,
        )

    async def get(self, document: Document) -> Document:
        return await self.library.get(self.tenant_id, document.id, reach="conversations too")

    async def found(self, query: str) -> list[str]:
        """The texts that a search finds, best first."""
        found = await Search(self.database, None).find(self.tenant_id, query)
        return [passage.text for passage in found.passages]

    async def faults(self) -> list[str]:
        """What no moment of any document's life may leave behind: passages nobody owns, counts that do not add up."""
        faults = []
        orphans = await self.admin.fetchval(
            "select count(*) from enablebot.passages p left join enablebot.document_versions v "
            "on v.tenant_id = p.tenant_id and v.document_id = p.document_id and v.version = p.version "
            "left join enablebot.documents d on d.tenant_id = p.tenant_id and d.id = p.document_id "
            "where v.version is null or v.status not in ('processing', 'ready') "
            "or (v.status = 'ready' and d.live_version is distinct from v.version)"
        )
        if orphans:
            faults.append(f"{orphans} passages belong to nothing")
        miscounted = await self.admin.fetchval(
            "select count(*) from (select tenant_id, term, count(*) as df from enablebot.passages, "
            "unnest(term_ids) as term group by tenant_id, term) p "
            "full join enablebot.terms t on t.tenant_id = p.tenant_id and t.term_id = p.term "
            "where t.df is distinct from p.df"
        )
        if miscounted:
            faults.append(f"{miscounted} terms are miscounted")
        sizes = await self.admin.fetchval(
            "select count(*) from (select tenant_id, count(*) as n from enablebot.passages group by tenant_id) p "
            "full join enablebot.corpora c on c.tenant_id = p.tenant_id where coalesce(p.n, 0) <> coalesce(c.n, 0)"
        )
        if sizes:
            faults.append(f"{sizes} workspaces' passages are miscounted")
        uncounted = await self.admin.fetchval(
            "select count(*) from enablebot.document_versions v where v.status = 'ready' and v.passages <> "
            "(select count(*) from enablebot.passages p where p.tenant_id = v.tenant_id "
            "and p.document_id = v.document_id and p.version = v.version)"
        )
        if uncounted:
            faults.append(f"{uncounted} documents that are ready lack passages")
        return faults


def passages_of(tenant_id: UUID, texts: Sequence[str], *, title: str = "Handbook") -> list[Said]:
    """What a child says of these texts."""
    said: list[Said] = []
    for position, text in enumerate(texts):
        indexed = in_context(title, (), text)
        weighed = weigh(tenant_id, indexed)
        said.append(
            ReadPassage(
                position=position,
                text=text,
                heading=(),
                place={"page": position + 1},
                tokens=weighed.count,
                term_ids=tuple(weighed.ids),
                weights=tuple(weighed.weights),
                indexed=indexed,
            )
        )
    return [*said, Done(pages=len(texts), title=title, passages=len(texts))]


def saying(*said: Said | Exception, then: Any = None) -> Read:
    """A reader that says this; an exception is raised in its turn. `then` is awaited before each."""

    async def read(content: AsyncIterator[bytes], **_: Any) -> AsyncGenerator[Said, None]:
        async for _piece in content:
            pass
        for one in said:
            if then is not None:
                await then(one)
            if isinstance(one, Exception):
                raise one
            yield one

    return read


def damaged() -> CannotRead:
    return CannotRead("damaged", "This file is damaged. Save it anew, and send it again.")


async def open_room(database: Database, admin: Admin, installations: Installations, team: str) -> IngestRoom:
    """A room over a test's own database, in a workspace that is installed."""
    route = await installations.route(enterprise_id=None, team_id=team, is_org_wide=False)
    assert route is not None
    library = Library(database, installations, InDatabase(), most_documents=1000, most_bytes=10**9)
    return IngestRoom(database, admin, installations, library, route.tenant_id)
