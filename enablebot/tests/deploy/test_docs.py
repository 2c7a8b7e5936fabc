"""What the deployment pages say exists: links, settings, figures, commands, and SQL that really runs."""

import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from prometheus_client import generate_latest

from enablebot.config.reference import SETTINGS_REFERENCE
from enablebot.shared.database.init_db import migrate
from enablebot.shared.database.operations import Database
from enablebot.shared.database.postgres import PostgresTransport
from enablebot.shared.database.readiness import refuse_open_walls
from enablebot.shared.metrics import Metrics
from enablebot.tests.database import PostgresServer, from_sync
from enablebot.tests.deploy.files import ROOT, insist_startable

DOCS = ROOT / "docs"
PAGES = [
    DOCS / "guides.md",
    DOCS / "SCALING_GUIDE.md",
    DOCS / "how-to" / "operate.md",
    *sorted((DOCS / "deploy").glob("*.md")),
]
# Names in capitals that are not ours to read: Docker's, Railway's, and what a person replaces.
FOREIGN = {"POSTGRES_PASSWORD", "API_DOMAIN", "WEB_DOMAIN", "ENABLEBOT_REPOSITORY", "RAILWAY_SERVICE_NAME"}
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in target]
    assert targets
    for target in targets:
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(found), f"{page.name} links to {target}"


@every_page
def test_settings_in_the_text_are_settings(page: Path) -> None:
    known = {variable.name for variable in SETTINGS_REFERENCE} | FOREIGN
    named = set(re.findall(r"`([A-Z][A-Z]+_[A-Z_]+)(?:=[^`]*)?`", page.read_text()))
    assert named <= known


def test_figures_in_the_text_are_figures_of_the_services() -> None:
    shown = generate_latest(Metrics().registry).decode()
    for page in PAGES:
        for figure in re.findall(r"`(enablebot_[a-z_]+)`", page.read_text()):
            if figure not in {"enablebot_api", "enablebot_web", "enablebot_api_login", "enablebot_web_login"}:
                assert re.search(rf"(?m)^# TYPE {figure}(_total)? ", shown), f"{page.name} names {figure}"


@every_page
def test_commands_in_the_text_exist(page: Path) -> None:
    for command in re.findall(r"python -m enablebot[^`\n#)]*", page.read_text()):
        insist_startable(shlex.split(re.split(r" > | on its own|, ", command)[0].strip().rstrip(".")))


@every_page
def test_nobody_is_sent_to_a_place_that_only_one_machine_has(page: Path) -> None:
    assert not re.search(r"/tmp/|/home/|localhost", page.read_text())


# --- The logins that server.md creates


@pytest.fixture
def handbook(postgres_server: PostgresServer, database_name: str) -> Iterator[tuple[str, list[str], str]]:
    """An empty database owned by the handbook's admin; statements for the logins; and what its roles are called."""
    mark = secrets.token_hex(4)
    text = (DOCS / "deploy" / "server.md").read_text()
    # Roles are the server's, which other tests share.
    renamed = re.sub(r"enablebot_(admin|api_login|web_login)\b", rf"handbook_{mark}_\1", text)
    admin = re.findall(r"create role handbook_\w+_admin [^\"]*", renamed)
    logins = re.findall(r"(?m)^create role handbook_\w+_login .*;$", renamed)
    assert (len(admin), len(logins)) == (1, 2)
    with postgres_server.empty() as name:
        from_sync(run(postgres_server.admin_url, *admin, f"alter database {name} owner to handbook_{mark}_admin"))
        extensions = f"create schema extensions authorization handbook_{mark}_admin"
        from_sync(run(postgres_server.url(name), extensions, "create extension vector schema extensions"))
        # On a server of its own the admin makes these roles; here another test's database made them before.
        groups = "enablebot_owner, enablebot_router, enablebot_searcher, enablebot_api, enablebot_web"
        from_sync(run(postgres_server.admin_url, f"grant {groups} to handbook_{mark}_admin with admin option"))
        try:
            yield name, logins, f"handbook_{mark}"
        finally:
            left = [f"drop role if exists handbook_{mark}_{each}" for each in ("api_login", "web_login")]
            admin_role = f"handbook_{mark}_admin"
            from_sync(run(postgres_server.url(name), f"reassign owned by {admin_role} to current_user", *left))
            from_sync(run(postgres_server.url(name), f"drop owned by {admin_role} cascade"))
    from_sync(run(postgres_server.admin_url, f"drop role {admin_role}"))


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.mark.anyio
async def test_the_handbooks_logins_migrate_and_serve_and_can_do_no_more(
    handbook: tuple[str, list[str], str], postgres_server: PostgresServer
) -> None:
    name, logins, roles = handbook

    def url(role: str, password: str) -> str:
        with_another = postgres_server.url(name, login=f"{roles}_{role}")
        return re.sub(r":[^:@/]*@", f":{password}@", with_another, count=1)

    await migrate(url("admin", "CHANGE-1"))
    await run(url("admin", "CHANGE-1"), *logins)
    for role, password in (("api_login", "CHANGE-2"), ("web_login", "CHANGE-3")):
        transport = await PostgresTransport.connect(url(role, password))
        try:
            strength = await Database(transport).login_strength()
            await refuse_open_walls(Database(transport))
        finally:
            await transport.aclose()
        assert strength.login == f"{roles}_{role}"
        assert (strength.superuser, strength.bypass_rls, strength.owner) == (False, False, False)
