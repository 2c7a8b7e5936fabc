"""`events failed` and `events replay` as an operator runs them, against a real database."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
import pytest

from enablebot.cli import main
from enablebot.commands import events
from enablebot.config.settings import load_settings
from enablebot.shared.database.operations import Database
from enablebot.tests.shared.workspaces import Event, Workspace, accept, add_installed, claim, end, install, settle

if TYPE_CHECKING:
    Admin: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Admin = asyncpg.Connection

pytestmark = pytest.mark.anyio

ACME, GLOBEX = "T0ACME", "T0GLOBEX"
SAID = b"what somebody wrote"

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
        code = await asyncio.to_thread(main, ("events", *argv))
        captured = capsys.readouterr()
        assert SAID.decode() not in captured.out + captured.err
        return code, captured.out, captured.err

    return command


@pytest.fixture
async def acme(database: Database) -> Workspace:
    return await add_installed(database, team_id=ACME)


@pytest.fixture
async def globex(database: Database) -> Workspace:
    return await add_installed(database, team_id=GLOBEX)


async def set_aside(database: Database, workspace: Workspace, *reasons: str, lane: str | None = None) -> list[int]:
    """Have one event set aside for each reason; returns their ids."""
    ids = []
    for reason in reasons:
        event = Event(body=SAID, lane=lane) if lane else Event(body=SAID)
        assert await accept(database, (workspace, event)) == ["accepted"]
        (claimed,) = await claim(database)
        assert await settle(database, claimed, outcome="set_aside", reason=reason) == ["settled"]
        ids.append(claimed.id)
    return ids


async def actions(admin: Admin, workspace: Workspace) -> list[tuple[str, ...]]:
    rows = await admin.fetch(
        "select actor, action, object from enablebot.audit where tenant_id = $1 and action like 'event.%' order by seq",
        workspace.tenant_id,
    )
    return [tuple(row) for row in rows]


async def test_where_nothing_is_set_aside_that_is_said(run: Run, acme: Workspace) -> None:
    assert await run("failed") == (0, "No event is set aside.\n", "")
    assert await run("failed", "--team", ACME) == (0, f"No event of {ACME} is set aside.\n", "")
    assert await run("failed", "--json") == (0, "[]\n", "")
    assert await run("replay", "--all", "--team", ACME) == (0, f"No event of {ACME} is set aside.\n", "")


async def test_what_was_set_aside_is_listed_oldest_first_with_whose_when_and_why(
    run: Run, acme: Workspace, globex: Workspace, database: Database
) -> None:
    first = await set_aside(database, acme, "lease_expired", "unreadable\x1b[2J")
    (second,) = await set_aside(database, globex, "gave_up")
    code, said, complaints = await run("failed")
    assert (code, complaints) == (0, "")
    header, *lines = said.splitlines()
    assert header.split() == ["TEAM", "WHEN", "KIND", "ATTEMPTS", "REASON", "ID"]
    assert [(line.split()[0], line.split()[-2], line.split()[-1]) for line in lines] == [
        (ACME, "lease_expired", str(first[0])),
        (ACME, "unreadable�[2J", str(first[1])),
        (GLOBEX, "gave_up", str(second)),
    ]
    assert lines[0].split()[3:6] == ["UTC", "mention", "1"]


async def test_one_workspaces_events_and_no_others_are_listed_when_it_is_named(
    run: Run, acme: Workspace, globex: Workspace, database: Database
) -> None:
    ids = await set_aside(database, acme, "a", "b")
    await set_aside(database, globex, "c")
    _, said, _ = await run("failed", "--team", ACME, "--json")
    listed = json.loads(said)
    assert [(row["team_id"], row["id"], row["reason"]) for row in listed] == [(ACME, ids[0], "a"), (ACME, ids[1], "b")]
    assert "body" not in listed[0]


async def test_no_more_than_asked_for_are_listed_and_that_there_are_more_is_said(
    run: Run, acme: Workspace, database: Database
) -> None:
    await set_aside(database, acme, "a", "b", "c")
    _, said, complaints = await run("failed", "--limit", "2")
    assert len(said.splitlines()) == 3
    assert "the first 2, there are more" in complaints
    _, said, complaints = await run("failed", "--limit", "3")
    assert (len(said.splitlines()), complaints) == (4, "")


async def test_an_event_that_is_put_back_is_claimed_with_all_its_attempts_and_audited(
    run: Run, acme: Workspace, database: Database, admin: Admin
) -> None:
    first, second = await set_aside(database, acme, "a", "b")
    assert await run("replay", str(first), "--team", ACME) == (0, f"{first} is put back.\n", "")
    (claimed,) = await claim(database)
    assert (claimed.id, claimed.attempts, claimed.body) == (first, 1, SAID)
    assert await actions(admin, acme) == [("cli", "event.replay", str(first))]
    assert str(second) in (await run("failed"))[1]


async def test_an_event_is_put_back_once_and_the_second_time_says_why_not(
    run: Run, acme: Workspace, database: Database, admin: Admin
) -> None:
    first, second = await set_aside(database, acme, "a", "b")
    await run("replay", str(first), "--team", ACME)
    code, said, complaints = await run("replay", str(first), str(second), str(second), "--team", ACME)
    assert (code, said) == (1, f"{second} is put back.\n")
    assert complaints.startswith(f"{first} is not put back: ")
    assert "put back before" in complaints
    assert len(await actions(admin, acme)) == 2


async def test_an_event_whose_content_is_gone_is_not_put_back(
    run: Run, acme: Workspace, database: Database, admin: Admin
) -> None:
    (gone,) = await set_aside(database, acme, "a")
    await admin.execute("delete from enablebot.event_bodies")
    code, said, complaints = await run("replay", str(gone), "--team", ACME)
    assert (code, said) == (1, "")
    assert "kept no longer" in complaints
    assert await actions(admin, acme) == []


async def test_another_workspaces_event_is_not_put_back(
    run: Run, acme: Workspace, globex: Workspace, database: Database, admin: Admin
) -> None:
    (theirs,) = await set_aside(database, globex, "a")
    code, said, complaints = await run("replay", str(theirs), "--team", ACME)
    assert (code, said) == (1, "")
    assert "none of this workspace's" in complaints
    assert await actions(admin, acme) == await actions(admin, globex) == []
    assert await claim(database) == []


async def test_all_of_a_workspaces_events_are_put_back_and_nobody_elses(
    run: Run, acme: Workspace, globex: Workspace, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_PAGE", 2)
    ids = await set_aside(database, acme, *"abcde")
    (theirs,) = await set_aside(database, globex, "f")
    code, said, complaints = await run("replay", "--all", "--team", ACME)
    assert (code, complaints) == (0, "")
    assert said.splitlines() == [f"{id_} is put back." for id_ in ids]
    assert sorted(row.id for row in await claim(database)) == ids
    assert [row.id for row in await database.list_set_aside(tenant_id=None, after_id=None, limit=10)] == [theirs]


async def test_what_a_paused_workspace_gets_back_waits_and_that_is_said(
    run: Run, acme: Workspace, database: Database
) -> None:
    (id_,) = await set_aside(database, acme, "a")
    await database.pause_installation(
        tenant_id=acme.tenant_id, installed_at=datetime.now(UTC) + timedelta(seconds=1), reason="x", actor="slack"
    )
    code, said, complaints = await run("replay", str(id_), "--team", ACME)
    assert (code, said) == (0, f"{id_} is put back.\n")
    assert f"{ACME} is paused" in complaints
    assert await claim(database) == []
    await install(database, acme)
    assert [row.id for row in await claim(database)] == [id_]


async def test_an_uninstall_takes_what_was_kept_with_it(run: Run, acme: Workspace, database: Database) -> None:
    (id_,) = await set_aside(database, acme, "a")
    await end(database, acme)
    code, said, complaints = await run("replay", str(id_), "--team", ACME)
    assert (code, said) == (1, "")
    assert "kept no longer" in complaints


@pytest.mark.parametrize("command", [("failed", "--team", "T0NOBODY"), ("replay", "1", "--team", "T0NO\x1bBODY")])
async def test_an_unknown_workspace_is_told_with_where_the_known_ones_are(run: Run, command: tuple[str, ...]) -> None:
    code, said, complaints = await run(*command)
    assert (code, said) == (1, "")
    assert "tenants list" in complaints
    assert "\x1b" not in complaints


@pytest.mark.parametrize("ids", [(), ("1", "--all")])
async def test_either_ids_or_all_of_them_are_named(run: Run, acme: Workspace, ids: tuple[str, ...]) -> None:
    code, said, complaints = await run("replay", *ids, "--team", ACME)
    assert (code, said) == (1, "")
    assert "--all" in complaints


@pytest.mark.parametrize("argv", [["replay", "1"], ["replay", "one", "--team", ACME], ["failed", "--limit", "0"]])
def test_what_no_command_line_can_mean_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["events", *argv])
    assert left.value.code == 2
    assert "usage:" in capsys.readouterr().err
