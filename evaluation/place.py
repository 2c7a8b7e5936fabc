"""Where the product is measured: a Postgres of its own and the api as it is always started, in this process.

Documents go in through `Library.add`, are read by the worker's reader children, and are searched through `Search`.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg

from enablebot.api.main import Services, create_app
from enablebot.config.settings import load_settings
from enablebot.reader.chunking import count_tokens
from enablebot.shared.database.embedded import EmbeddedPostgres
from enablebot.shared.knowledge.embedding import Embedder, embedder_for
from enablebot.shared.models.installation import REQUIRED_SCOPES, OAuthGrant
from enablebot.shared.models.passage import in_context
from enablebot.shared.sensitive import Sensitive
from evaluation.questions import QuestionSet, SourceDocument

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# What of the environment reaches the api: which embedding model there is.
_HANDED_ON = ("EMBEDDING_MODEL_DIR", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_EMBEDDING_MODEL")
_ADDED_AT_ONCE = 8
_LOOK_SECONDS = 0.5
_MOST_PASSAGES = 10_000


@dataclass(frozen=True, slots=True)
class IndexedPassage:
    """One passage as the product keeps it; `indexed` is its text with title and headings, which is what is ranked.

    `document` is what is judged, `file` what was added.
    """

    document: str
    file: str
    position: int
    text: str = field(repr=False)
    indexed: str = field(repr=False)

    @property
    def tokens(self) -> int:
        """About how many tokens a model would be given."""
        return count_tokens(self.indexed)


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace with a set's documents in it, all of them searchable."""

    tenant_id: UUID
    questions: QuestionSet
    passages: tuple[IndexedPassage, ...] = field(repr=False)
    failed: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """The running api, and beside it a superuser's connection for the peers and the model that the api embeds with."""

    services: Services
    admin: Admin
    embedder: Embedder | None

    async def take_in(self, questions: QuestionSet) -> Workspace:
        """Give a set a workspace of its own, and wait until each document is ready or has failed."""
        began = asyncio.get_running_loop().time()
        team = f"T{sha256(questions.name.encode()).hexdigest()[:9].upper()}"
        tenant_id = await self.services.installations.save(_grant(team, questions.name), audit_actor="U0EVALUATION")
        await self._add_all(tenant_id, questions.documents)
        await self._wait_until_read(tenant_id, len(questions.documents), questions.name)
        seconds = asyncio.get_running_loop().time() - began
        passages, failed = await self._passages(tenant_id, questions)
        return Workspace(tenant_id, questions, tuple(passages), tuple(failed), seconds)

    async def _add_all(self, tenant_id: UUID, documents: Sequence[SourceDocument]) -> None:
        slots = asyncio.Semaphore(_ADDED_AT_ONCE)

        async def add(document: SourceDocument) -> None:
            async with slots:
                await self.services.library.add(
                    tenant_id, name=document.name, content=document.content, source="api", added_by="evaluation"
                )
                self.services.worker.wake_documents()

        async with asyncio.TaskGroup() as adding:
            for document in documents:
                adding.create_task(add(document))

    async def _wait_until_read(self, tenant_id: UUID, expected: int, name: str) -> None:
        query = "select status, count(*)::int as many from enablebot.document_versions where tenant_id = $1 group by 1"
        read, shown = 0, -1
        while read < expected:
            await asyncio.sleep(_LOOK_SECONDS)
            counted = Counter({row["status"]: row["many"] for row in await self.admin.fetch(query, tenant_id)})
            read = counted["ready"] + counted["failed"]
            if read * 20 // expected != shown:
                shown = read * 20 // expected
                note(f"{name}: {read:,} of {expected:,} documents read")
        await self._wait_until_embedded(name)

    async def _wait_until_embedded(self, name: str) -> None:
        """Publishing does not wait for a slow model; what it left is caught up with in the background."""
        while self.embedder is not None:
            left = await self.services.database.count_passages_without_vectors(model=self.embedder.model, limit=100)
            if not left:
                return
            note(f"{name}: {sum(row.passages for row in left):,} passages wait for their vectors")
            await asyncio.sleep(10 * _LOOK_SECONDS)

    async def _passages(self, tenant_id: UUID, questions: QuestionSet) -> tuple[list[IndexedPassage], list[str]]:
        """Everything that is searchable, by what the dashboard's preview calls; and what could not be read."""
        passages: list[IndexedPassage] = []
        failed: list[str] = []
        cursor = None
        while True:
            page = await self.services.library.list(tenant_id, after=cursor, limit=100)
            for document in page.documents:
                if document.status != "ready":
                    failed.append(f"{document.name}: {document.reason}")
                rows = await self.services.database.read_passages(
                    tenant_id=tenant_id, document_id=document.id, after_position=-1, limit=_MOST_PASSAGES
                )
                passages += (
                    IndexedPassage(
                        questions.packed.get((document.name, row.place.get("slide", 0)), document.name),
                        document.name,
                        row.position,
                        row.text,
                        in_context(document.title, row.heading, row.text),
                    )
                    for row in rows
                )
            if page.next is None:
                return passages, failed
            cursor = page.next


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Place]:
    """Start a server under `home` and the api on it; both end with the block, what they stored stays there."""
    server = EmbeddedPostgres(home)
    server.start()
    try:
        handed_on = {name: value for name in _HANDED_ON if (value := os.environ.get(name))}
        settings = load_settings(
            environ={
                "ENVIRONMENT": "development",
                "ENABLEBOT_DATA_DIR": str(home),
                "DATABASE_URL": server.url(),
                "KNOWLEDGE_MOST_DOCUMENTS": "100000",
                "WORKER_DOCUMENTS": str(os.cpu_count() or 2),
                **handed_on,
            },
            env_file=None,
            service="api",
        )
        api = create_app(settings)
        async with api.web.router.lifespan_context(api.web):
            admin, embedder = await asyncpg.connect(server.url()), embedder_for(settings.model)
            try:
                yield Place(api.services, admin, embedder)
            finally:
                await admin.close()
                if embedder is not None:
                    await embedder.aclose()
    finally:
        server.stop()


def note(message: str) -> None:
    """Say how far the work is, where tables are not printed."""
    sys.stderr.write(f"  {message}\n")
    sys.stderr.flush()


def _grant(team: str, name: str) -> OAuthGrant:
    return OAuthGrant(
        app_id="A0EVALUATION",
        enterprise_id=None,
        enterprise_name=None,
        team_id=team,
        team_name=name,
        is_org_wide=False,
        bot_user_id=f"U{team}",
        bot_id=f"B{team}",
        scopes=REQUIRED_SCOPES,
        bot_token=Sensitive(f"xoxb-{team}"),
        refresh_token=None,
        expires_in=None,
        installed_by="U0EVALUATION",
    )
