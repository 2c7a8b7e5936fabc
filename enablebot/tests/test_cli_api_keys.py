"""`api-keys create`, `list` and `revoke` as an operator runs them, against a real database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest

from enablebot.cli import main
from enablebot.config.settings import load_settings
from enablebot.shared.database.operations import Database
from enablebot.shared.models.api_key import SCOPES, hash_of_key, reads_as_key
from enablebot.tests.shared.workspaces import Workspace, add_api_key, add_installed, end

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0ACME", "T0GLOBEX"

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(web_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command with the rights of web; returns its exit code, output and complaints."""
    environ = {"ENVIRONMENT": "test", "DATABASE_URL": web_url}
    monkeypatch.setattr(
        "enablebot.commands.terminal.load_settings",
        lambda **_: load_settings(environ=environ, env_file=None, service="cli"),
    )
    monkeypatch.chdir(tmp_path)

    async def command(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ("api-keys", *argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_installed(database, team_id=ACME)


@pytest.fixture
async def globex(database: Database) -> Workspace:
    return await add_installed(database, team_id=GLOBEX)


async def created(run: Run, *options: str, team: str = ACME) -> str:
    code, said, _ = await run("create", "--team", team, *options)
    assert code == 0
    return said.removesuffix("\n")


async def test_the_key_alone_is_printed_and_only_its_hash_is_kept(
    run: Run, acme: Workspace, database: Database, admin: Admin
) -> None:
    code, said, complaints = await run("create", "--team", ACME, "--name", "the wiki's")
    key = said.removesuffix("\n")
    assert code == 0
    assert reads_as_key(key)
    assert key not in complaints
    assert "one time the key is shown" in complaints
    found = await database.find_api_key(key_hash=hash_of_key(key))
    assert found is not None
    assert (found.tenant_id, found.name, found.scopes, found.state) == (acme.tenant_id, "the wiki's", SCOPES, "living")
    stored = await admin.fetchval(
        "select to_jsonb(k)::text || (select jsonb_agg(a)::text from enablebot.audit a) from enablebot.api_keys k"
    )
    assert key.rpartition("_")[2] not in stored
    audited = await admin.fetchrow("select actor, action from enablebot.audit order by seq desc limit 1")
    assert audited is not None
    assert tuple(audited) == ("cli", "api_key.create")


async def test_what_a_key_may_and_how_long_it_lives_can_be_chosen(
    run: Run, acme: Workspace, database: Database
) -> None:
    key = await created(run, "--scopes", "search, documents:read,search", "--days", "30")
    found = await database.find_api_key(key_hash=hash_of_key(key))
    assert found is not None
    assert found.scopes == ("documents:read", "search")
    (row,) = await database.list_api_keys(tenant_id=acme.tenant_id)
    assert row.expires_at is not None
    assert timedelta(days=29.9) < row.expires_at - datetime.now(UTC) <= timedelta(days=30)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--scopes", "everything"), "There is no scope everything."),
        (("--scopes", ""), "There is no scope"),
        (("--name", " "), "A key's name has 1 to 100 characters"),
        (("--name", "n" * 101), "A key's name has 1 to 100 characters"),
        (("--name", "a\x1b[2Jb"), "A key's name has 1 to 100 characters"),
    ],
    ids=str,
)
async def test_what_makes_no_key_is_explained(
    run: Run, acme: Workspace, database: Database, options: tuple[str, ...], words: str
) -> None:
    code, said, complaints = await run("create", "--team", ACME, *options)
    assert (code, said) == (1, "")
    assert words in complaints
    assert await database.list_api_keys(tenant_id=acme.tenant_id) == []


async def test_the_list_shows_everything_but_the_keys(run: Run, acme: Workspace) -> None:
    assert (await run("list", "--team", ACME))[:2] == (0, f"{ACME} has no API key. `api-keys create` makes one.\n")
    first = await created(run, "--name", "first")
    second = await created(run, "--name", "second", "--scopes", "search")
    code, said, _ = await run("list", "--team", ACME)
    assert code == 0
    header, *lines = said.splitlines()
    assert header.split()[:4] == ["KEY", "NAME", "STATE", "SCOPES"]
    assert [line.split()[:4] for line in lines] == [
        [second[:11], "second", "living", "search"],
        [first[:11], "first", "living", ",".join(SCOPES)],
    ]
    code, said, _ = await run("list", "--team", ACME, "--json")
    assert [(row["key"], row["name"], row["created_by"]) for row in json.loads(said)] == [
        (second[:11], "second", "cli"),
        (first[:11], "first", "cli"),
    ]
    for key in (first, second):
        assert key.rpartition("_")[2] not in said


@pytest.mark.parametrize("said", ["beginning", "whole key", "id"])
async def test_a_key_is_revoked_by_what_its_owner_has_at_hand(
    run: Run, acme: Workspace, database: Database, said: str
) -> None:
    key, other = await created(run), await created(run)
    found = await database.find_api_key(key_hash=hash_of_key(key))
    assert found is not None
    named = {"beginning": key[:11], "whole key": key, "id": str(found.id)}[said]
    assert (await run("revoke", named, "--team", ACME))[:2] == (0, f"{key[:11]} (api) is revoked.\n")
    assert (await run("revoke", named, "--team", ACME))[:2] == (0, f"{key[:11]} (api) was revoked before.\n")
    states = [await database.find_api_key(key_hash=hash_of_key(one)) for one in (key, other)]
    assert [state and state.state for state in states] == ["revoked", "living"]


async def test_another_workspace_s_key_and_a_vague_beginning_revoke_nothing(
    run: Run, acme: Workspace, globex: Workspace, database: Database
) -> None:
    keys = [await created(run, team=GLOBEX), await created(run)]
    for named in (keys[0], keys[0][:11], "eb_", "", "eb_zzzzzzzz"):
        code, said, complaints = await run("revoke", named, "--team", ACME)
        assert (code, said) == (1, "")
        assert "no key that begins like this" in complaints
    for key in keys:
        found = await database.find_api_key(key_hash=hash_of_key(key))
        assert found is not None
        assert found.state == "living"


async def test_a_workspace_nobody_knows_gets_no_key_and_one_that_left_is_told(
    run: Run, acme: Workspace, database: Database
) -> None:
    for action in (("create",), ("list",), ("revoke", "eb_00000000")):
        code, said, complaints = await run(*action, "--team", "T0NOBODY")
        assert (code, said) == (1, "")
        assert "No workspace T0NOBODY is known here" in complaints
    assert await end(database, acme)
    code, said, complaints = await run("create", "--team", ACME)
    assert code == 0
    assert "has removed the app" in complaints


async def test_a_name_from_elsewhere_cannot_move_the_cursor(run: Run, acme: Workspace, database: Database) -> None:
    await add_api_key(database, acme, name="odd\x1b[2J")
    _, said, _ = await run("list", "--team", ACME)
    assert "\x1b" not in said
    assert "odd�[2J" in said
