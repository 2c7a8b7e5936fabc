"""UP-6: files come from Slack's own file hosts only, and the token goes nowhere else, whatever an event says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from enablebot.api.knowledge.fetch import CannotFetch, SharedFile, SlackFiles
from enablebot.sandbox.app import Installed, Sandbox, SandboxConfig
from enablebot.sandbox.server import running
from enablebot.shared.errors import SlackRateLimited, SlackUnknownOutcome, SlackUnreachable
from enablebot.shared.models.document import MOST_BYTES
from enablebot.shared.sensitive import Sensitive

pytestmark = pytest.mark.anyio

ACME = "T0SANDBOX1"
TOKEN = "xoxb-the-token-of-a-workspace"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 40


@dataclass
class Listener:
    """Somebody who is not Slack: takes every connection and writes down what comes."""

    port: int = 0
    heard: list[bytes] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def listener(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    """Listens, and is the proxy for everything that would leave this machine: nothing can be sent past it."""
    found = Listener()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.heard.append(await reader.read(65_536))
        body = b"<!DOCTYPE html>"
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, found.origin)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with server:
        yield found


@asynccontextmanager
async def opened(base_url: str, **changed: Any) -> AsyncIterator[SlackFiles]:
    files = SlackFiles(base_url=base_url, **changed)
    await files.open()
    try:
        yield files
    finally:
        await files.aclose()


def described(address: str | None, **changed: Any) -> SharedFile:
    given = {"id": "F1", "name": "handbook.pdf", "mimetype": "application/pdf", "filetype": "pdf", "mode": "hosted"}
    file = SharedFile.read({**given, "url_private_download": address, **changed})
    assert file is not None
    return file


async def gathered(pieces: list[bytes], files: SlackFiles, file: SharedFile, token: str) -> None:
    async for chunk in files.fetch(file, token=Sensitive(token)):
        pieces.append(chunk)  # noqa: PERF401 - what came before an error counts


async def taken(files: SlackFiles, file: SharedFile, token: str = TOKEN) -> bytes:
    return b"".join([chunk async for chunk in files.fetch(file, token=Sensitive(token))])


ELSEWHERE = [
    "http://files.slack.com/files-pri/T1-F1/download/x.pdf",
    "https://files.slack.com:8443/files-pri/T1-F1/x.pdf",
    "https://files.slack.com:0/files-pri/T1-F1/x.pdf",
    "https://ada@files.slack.com/x.pdf",
    "https://ada:secret@files.slack.com/x.pdf",
    "https://files.slack.com@evil.example/x.pdf",
    "https://files.slack.com%40evil.example/x.pdf",
    "https://files.slack.com\\@evil.example/x.pdf",
    "https://evil.example\\.files.slack.com/x.pdf",
    "https://files.slack.com.evil.example/x.pdf",
    "https://files.slack.com./x.pdf",
    "https://xfiles.slack.com/x.pdf",
    "https://slack.com/files-pri/T1-F1/x.pdf",
    "https://hooks.slack.com/x.pdf",
    "https://files.slack.com\uff0eevil.example/x.pdf",
    "https://files\u3002slack.com/x.pdf",
    "https://evil.example/#https://files.slack.com/x.pdf",
    "https://evil.example/?https://files.slack.com/x.pdf",
    "https://files.slack.com\t.evil.example/x.pdf",
    "\nhttps://evil.example/x.pdf",
    "http://{listener}/x.pdf",
    "https://{listener}/x.pdf",
    "http://[::1]/x.pdf",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1/x.pdf",
    "https://2130706433/x.pdf",
    "ftp://files.slack.com/x.pdf",
    "file:///etc/passwd",
    "//files.slack.com/x.pdf",
    "https:files.slack.com/x.pdf",
    "https://",
    "https://[files.slack.com/x.pdf",
    "https://files.slack.com:99999/x.pdf",
    "files.slack.com/x.pdf",
    "",
]


@pytest.mark.parametrize("address", ELSEWHERE)
async def test_nothing_is_asked_of_anybody_but_slacks_file_hosts(listener: Listener, address: str) -> None:
    file = described(address.replace("{listener}", f"127.0.0.1:{listener.port}"))
    async with opened("https://slack.com") as files:
        with pytest.raises(CannotFetch):
            await taken(files, file)
    assert listener.heard == []


async def test_slacks_file_host_is_asked_and_nobody_on_the_way_sees_the_token(listener: Listener) -> None:
    async with opened("https://slack.com") as files:
        for address in ("https://files.slack.com/files-pri/T1-F1/x.pdf", "https://FILES.slack.com:443/x.pdf"):
            # Only through a tunnel, behind which Slack's certificate is looked for; there is none here.
            with pytest.raises((SlackUnreachable, SlackUnknownOutcome)):
                await taken(files, described(address))
    assert [heard.split(b" HTTP")[0] for heard in listener.heard] == [b"CONNECT files.slack.com:443"] * 2
    assert not any(TOKEN.encode() in heard for heard in listener.heard)


@pytest.mark.parametrize(
    "changed",
    [
        {"is_external": True, "external_type": "gdrive"},
        {"mode": "external"},
        {"mode": "tombstone"},
        {"mode": "hidden_by_limit"},
        {"size": MOST_BYTES + 1},
    ],
)
async def test_what_slack_does_not_keep_or_is_too_large_is_not_asked_for(
    listener: Listener, changed: dict[str, Any]
) -> None:
    async with opened("https://slack.com") as files:
        with pytest.raises(CannotFetch) as refused:
            await taken(files, described("https://files.slack.com/files-pri/T1-F1/x.pdf", **changed))
    assert listener.heard == []
    # For who sent the file: why, and what to do.
    assert any(word in refused.value.message for word in ("Download", "Send it again", "smaller"))


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with running(SandboxConfig(time_scale=0.001)) as sandbox:
        yield sandbox


@pytest.fixture
def acme(sandbox: Sandbox) -> Installed:
    return sandbox.install(ACME)


@pytest.fixture
async def files(sandbox: Sandbox) -> AsyncIterator[SlackFiles]:
    async with opened(sandbox.base_url, silence_seconds=0.3, longest_seconds=3) as files:
        yield files


async def shared(sandbox: Sandbox, name: str = "handbook.pdf", content: bytes = PDF, **overrides: Any) -> SharedFile:
    file_id = sandbox.upload(team=ACME, user="U0ADA", name=name, content=content, overrides=overrides)
    await sandbox.post(team=ACME, channel="@bot", user="U0ADA", text="", files=[file_id])
    file = SharedFile.read(sandbox.files.picture(sandbox.world.files[file_id]))
    assert file is not None
    return file


async def test_where_slack_is_played_its_origin_alone_is_asked(
    listener: Listener, sandbox: Sandbox, acme: Installed, files: SlackFiles
) -> None:
    file = await shared(sandbox)
    assert await taken(files, file, acme.token) == PDF
    port = sandbox.base_url.rpartition(":")[2]
    for origin in (
        "https://files.slack.com",
        f"http://127.0.0.1:{port}",
        f"https://localhost:{port}",
        f"http://x@localhost:{port}",
        f"http://localhost:{listener.port}",
        listener.origin,
    ):
        with pytest.raises(CannotFetch):
            await taken(files, described(f"{origin}/files-pri/T-F/x.pdf"), acme.token)
    assert listener.heard == []


@pytest.mark.parametrize("there", ["{listener}/stolen", "{listener}", "//127.0.0.1:{port}/x", "{own}/files-pri/x"])
async def test_no_redirect_is_followed(
    listener: Listener, sandbox: Sandbox, acme: Installed, files: SlackFiles, there: str
) -> None:
    file = await shared(sandbox)
    location = (
        there.replace("{listener}", listener.origin)
        .replace("{port}", str(listener.port))
        .replace("{own}", sandbox.base_url)
    )
    sandbox.faults.add("files.download", "redirect", location=location)
    with pytest.raises(CannotFetch, match="sent me elsewhere"):
        await taken(files, file, acme.token)
    assert listener.heard == []
    assert [call.error for call in sandbox.ledger.calls if call.method == "files.download"] == ["redirect"]


async def test_a_sign_in_page_is_told_from_a_file(sandbox: Sandbox, acme: Installed, files: SlackFiles) -> None:
    for name, content in (("handbook.pdf", PDF), ("page.html", b"<!DOCTYPE html><p>Hello</p>"), ("notes.txt", b"hi")):
        file = await shared(sandbox, name, content)
        assert await taken(files, file, acme.token) == content
        with pytest.raises(CannotFetch, match="sign-in page"):
            await taken(files, file, "xoxb-dead")
    pages = await shared(sandbox, "about-html.txt", b"<!DOCTYPE html> is how a page begins")
    assert await taken(files, pages, acme.token) == b"<!DOCTYPE html> is how a page begins"


async def test_a_body_without_end_is_left_where_it_gets_too_long(sandbox: Sandbox, acme: Installed) -> None:
    file = await shared(sandbox, size=1000)
    sandbox.faults.add("files.download", "endless")
    pieces: list[bytes] = []
    async with opened(sandbox.base_url, most_bytes=300_000) as files:
        with pytest.raises(CannotFetch, match="larger than"):
            await gathered(pieces, files, file, acme.token)
    assert 0 < sum(map(len, pieces)) <= 300_000


async def test_a_length_above_the_limit_is_refused_before_the_first_byte(sandbox: Sandbox, acme: Installed) -> None:
    file = await shared(sandbox, size=10)
    pieces: list[bytes] = []
    async with opened(sandbox.base_url, most_bytes=1000) as files:
        with pytest.raises(CannotFetch, match="larger than"):
            await gathered(pieces, files, file, acme.token)
    assert pieces == []


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("cut", {}),
        ("lost_answer", {"lost": "half"}),
        # A connection that broke before the answer is tried once more at once.
        ("reset", {"times": 2}),
        ("hang", {}),
        ("slow", {"seconds": 20}),
        ("drip", {"seconds": 20}),
        ("drip", {"seconds": 0.05}),
        ("status", {"status": 503}),
    ],
)
async def test_what_came_only_in_part_is_asked_for_another_time(
    sandbox: Sandbox, acme: Installed, kind: Any, details: dict[str, Any]
) -> None:
    file = await shared(sandbox)
    sandbox.faults.add("files.download", kind, **details)
    async with opened(sandbox.base_url, silence_seconds=0.3, longest_seconds=0.5) as files:
        with pytest.raises(SlackUnknownOutcome):
            await taken(files, file, acme.token)
        sandbox.faults.replace([])
        assert await taken(files, file, acme.token) == PDF


async def test_a_slack_that_is_not_there_is_told_from_one_that_breaks_off(acme: Installed) -> None:
    async with opened("http://localhost:1") as files:
        with pytest.raises(SlackUnreachable):
            await taken(files, described("http://localhost:1/files-pri/T-F/x.pdf"), acme.token)


async def test_slacks_own_pause_is_told(sandbox: Sandbox, acme: Installed, files: SlackFiles) -> None:
    file = await shared(sandbox)
    sandbox.faults.add("files.download", "ratelimit", retry_after=7)
    with pytest.raises(SlackRateLimited) as limited:
        await taken(files, file, acme.token)
    assert limited.value.retry_after == 7
    for status in (403, 404, 418):
        sandbox.faults.add("files.download", "status", status=status)
        with pytest.raises(CannotFetch):
            await taken(files, file, acme.token)


async def test_no_error_names_the_address_or_the_token(sandbox: Sandbox, acme: Installed, files: SlackFiles) -> None:
    file = await shared(sandbox)
    assert file.address is not None
    for kind in ("reset", "hang", "status", "redirect", "sign_in"):
        fault: Any = kind
        sandbox.faults.replace([])
        sandbox.faults.add("files.download", fault, times=2, location="http://localhost:1/x")
        with pytest.raises((CannotFetch, SlackUnknownOutcome)) as error:
            await taken(files, file, acme.token)
        assert file.address not in str(error.value) + repr(error.value)
        assert error.value.__cause__ is None
        assert acme.token not in str(error.value)
    assert file.address not in repr(file)


@pytest.mark.parametrize("given", [{}, {"id": 7}, {"id": ""}, {"id": None, "name": "x"}])
def test_what_is_no_file_is_none(given: dict[str, Any]) -> None:
    assert SharedFile.read(given) is None


def test_what_slack_leaves_out_is_borne() -> None:
    file = SharedFile.read({"id": "F1", "size": True, "name": 3, "url_private": 4, "mimetype": None})
    assert file is not None
    assert (file.size, file.name, file.address, file.is_stub) == (None, "a file", None, True)
